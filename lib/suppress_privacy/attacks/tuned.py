"""Feature inversion as strong as we can make it: weights chosen per network, Adam, restarts, the best kept.

    |f(x) - f*|^2 / |f*|^2 + a smoothness(x) + b mean((x - x0)^2)   ->  min over x in the pixels' range

x0 is what the ridge decoder makes of the features. The weights (a, b) are those that serve best on the
attacker's held-out images, whose originals the attacker knows; the targets have no part in it.
"""

from itertools import product

import mindspore as ms
import numpy as np
from mindspore import nn, ops
from tqdm import tqdm

from suppress_privacy.attacks.adam import adam_step, rates
from suppress_privacy.attacks.decoder import fitted_ridge
from suppress_privacy.attacks.inversion import InversionObjective
from suppress_privacy.attacks.views import FeatureView, Reconstruction
from suppress_privacy.runtime import generator

CURVE_POINTS = 20


class AnchoredObjective(nn.Cell):
    """The objective above, image by image; weights are inputs, so that trials of several go through as one batch.

    Args:
        network (nn.Cell): from images [N, C, H, W] to features [N, ...].

    Inputs:
        images (Tensor), [N, C, H, W]; features (Tensor), [N, ...]; anchor (Tensor), x0, like images; weights
        (Tensor), [2], a and b.

    Outputs:
        Tensor, [N].
    """

    def __init__(self, network):
        super().__init__(auto_prefix=False)
        self.unweighted = InversionObjective(network, (1, 1, 1), "ascend")

    def construct(self, images, features, anchor, weights):
        mismatch = self.unweighted.mismatch(images, features)
        smoothness = self.unweighted.roughness(images)
        return mismatch + weights[:, 0] * smoothness + weights[:, 1] * ops.square(images - anchor).mean((1, 2, 3))


class _AdamStep(nn.Cell):
    """One step for a batch, and the objective before it; the images are independent of each other."""

    def __init__(self, objective):
        super().__init__(auto_prefix=False)
        self.total = _TotalAndEach(objective)
        self.value_and_gradient = ops.value_and_grad(self.total, 0, None, has_aux=True)

    def construct(self, images, first, second, rate, features, anchor, weights):
        (_, each), gradient = self.value_and_gradient(images, features, anchor, weights)
        return *adam_step(images, first, second, rate, gradient), each


class _TotalAndEach(nn.Cell):
    def __init__(self, objective):
        super().__init__(auto_prefix=False)
        self.objective = objective

    def construct(self, images, features, anchor, weights):
        each = self.objective(images, features, anchor, weights)
        return each.sum(), each


class Descent:
    """Adam with cosine decay on the objective; of some twenty looks on the way, keeps each target's best image.

    Args:
        network (nn.Cell): from images to features.
        lr (float): the first step's length, in pixel values.
    """

    def __init__(self, network, lr):
        network.set_train(False)
        self._objective = AnchoredObjective(network)
        self._step = _AdamStep(self._objective)
        self._lr = lr

    def __call__(self, start, features, anchor, weights, steps):
        """Go `steps` steps from `start`: the best images [N, C, H, W], their objective [N], its curve [K, N].

        `weights` are a and b for all images, [2], or for each its own, [N, 2].
        """
        features, anchor = ms.Tensor(features), ms.Tensor(anchor)
        weights = ms.Tensor(np.broadcast_to(np.array(weights, np.float32), (len(start), 2)).copy())
        images = ms.Tensor(start)
        first = second = ops.zeros_like(images)
        best, best_images = np.full(len(start), np.inf), start.copy()
        curve = []

        def keep(each, candidates):
            better = each < best
            if better.any():
                best[better] = each[better]
                best_images[better] = candidates.asnumpy()[better]

        looks = {round(point) for point in np.linspace(0, steps, CURVE_POINTS + 1)}
        for step in range(steps):
            rate = self._lr * 0.5 * (1 + np.cos(np.pi * step / steps))
            before = images
            images, first, second, each = self._step(
                images, first, second, rates(rate, step), features, anchor, weights
            )
            if step in looks:
                keep(each.asnumpy().astype(np.float64), before)
                curve.append(best.copy())
        keep(self._objective(images, features, anchor, weights).asnumpy().astype(np.float64), images)
        curve.append(best.copy())
        return best_images, best, np.stack(curve)


def invert(
    view: FeatureView,
    *,
    seed,
    iters,
    search_iters,
    lr,
    smoothness_weights,
    anchor_weights,
    restarts,
    batch_size,
) -> Reconstruction:
    """The tuned attack on a view.

    Args:
        view (FeatureView): what the attacker has.
        seed (int): draws the starts from noise.
        iters, search_iters (int): steps of the attack, and of each trial of the search for weights.
        lr (float): the first step's length, in pixel values.
        smoothness_weights, anchor_weights (list of float): the values of a and b that are tried, every a with
            every b.
        restarts (int): starts; the first from the decoder's image, the others from noise U(0, 1). Of each
            image's descents the one with the best objective is kept.
        batch_size (int): targets at a time.

    Returns:
        Reconstruction; `chosen` has the weights and every trial's mean squared error on the held-out images.
    """
    decoder = fitted_ridge(view, seed=seed)
    descent = Descent(view.network, lr)
    held_out = view.held_out()
    features = view.as_seen(held_out, generator(seed, "attacker's noise"))
    anchor = decoder(features)
    tried = list(product(smoothness_weights, anchor_weights))
    anchors, wanted = (np.concatenate([values] * len(tried)) for values in (anchor, features))
    found = descent(anchors, wanted, anchors, np.repeat(tried, len(anchor), axis=0), search_iters)[0]
    trials = {
        weights: float(((images - held_out) ** 2).mean())
        for weights, images in zip(tried, np.split(found, len(tried)), strict=True)
    }
    weights = min(trials, key=trials.get)
    rng = generator(seed, "tuned inversion start")
    anchor = decoder(view.features)
    images, objective, curves = [], [], []
    for first in tqdm(range(0, len(anchor), batch_size), unit="batch", disable=None):
        chunk = slice(first, first + batch_size)
        best = None
        for restart in range(restarts):
            start = rng.uniform(0, 1, anchor[chunk].shape).astype(np.float32) if restart else anchor[chunk]
            found = descent(start, view.features[chunk], anchor[chunk], weights, iters)
            best = found if best is None else _better(best, found)
        for collected, part in zip((images, objective, curves), best, strict=True):
            collected.append(part)
    chosen = {
        "smoothness_weight": weights[0],
        "anchor_weight": weights[1],
        "ridge_penalty": decoder.penalty,
        "held_out_mse": {f"{a:g}, {b:g}": mse for (a, b), mse in trials.items()},
        "held_out_mse_of_start": float(((decoder(features) - held_out) ** 2).mean()),
    }
    return Reconstruction(
        np.concatenate(images), np.concatenate(objective), np.concatenate(curves, axis=1), chosen=chosen
    )


def _better(one, other):
    """Image by image the better of two descents."""
    wins = other[1] < one[1]
    images = np.where(wins[:, None, None, None], other[0], one[0])
    return images, np.where(wins, other[1], one[1]), np.where(wins, other[2], one[2])
