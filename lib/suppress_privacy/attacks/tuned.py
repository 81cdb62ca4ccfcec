"""Feature inversion as strong as we can make it: weights chosen per network, Adam, restarts, the best kept.

    |f(x) - f*|^2 / |f*|^2 + a smoothness(x) + b mean((x - x0)^2)   ->  min over x in the pixels' range

x0 is what the ridge decoder makes of the features. The weights (a, b) are those that serve best on the
attacker's held-out images, whose originals the attacker knows; the targets have no part in it.
"""

from itertools import product
from typing import NamedTuple

import numpy as np
from mindspore import Tensor, nn, ops
from numpy.typing import ArrayLike
from tqdm import tqdm

from suppress_privacy.attacks.adam import AdamStep, rates
from suppress_privacy.attacks.decoder import fitted_ridge
from suppress_privacy.attacks.inversion import InversionObjective
from suppress_privacy.attacks.registry import attack
from suppress_privacy.attacks.views import FeatureView, Reconstruction
from suppress_privacy.checks import Positive, Seed, Tried, Whole
from suppress_privacy.runtime import generator

CURVE_POINTS = 20


class AnchoredObjective(nn.Cell):
    """The objective above, image by image; weights are inputs, so that trials of several go through as one batch.

    Args:
        network: from images [N, C, H, W] to features [N, ...].

    Inputs:
        images, [N, C, H, W]; features, [N, ...]; anchor, x0, like images; weights, [N, 2], a and b.

    Outputs:
        [N].
    """

    def __init__(self, network: nn.Cell) -> None:
        super().__init__(auto_prefix=False)
        self.unweighted = InversionObjective(network, (1, 1, 1), "ascend")

    def construct(self, images: Tensor, features: Tensor, anchor: Tensor, weights: Tensor) -> Tensor:
        mismatch = self.unweighted.mismatch(images, features)
        smoothness = self.unweighted.roughness(images)
        return mismatch + weights[:, 0] * smoothness + weights[:, 1] * ops.square(images - anchor).mean((1, 2, 3))


class Descended(NamedTuple):
    """What a descent found for each target."""

    images: np.ndarray  # float32 [N, C, H, W], the best on the way
    objective: np.ndarray  # float64 [N], at these
    curve: np.ndarray  # float64 [K, N], the best objective so far, at equal distances of steps

    def better(self, other: "Descended") -> "Descended":
        """Image by image the better of two."""
        wins = other.objective < self.objective
        return Descended(*map(np.where, (wins[:, None, None, None], wins, wins), other, self))


class Descent:
    """Adam with cosine decay on the objective; of some twenty looks on the way, keeps each target's best image.

    Args:
        network: from images to features.
        lr: the first step's length, in pixel values.
    """

    def __init__(self, network: nn.Cell, lr: float) -> None:
        network.set_train(False)
        self._objective = AnchoredObjective(network)
        self._step = AdamStep(self._objective)
        self._lr = lr

    def __call__(
        self, start: np.ndarray, features: np.ndarray, anchor: np.ndarray, weights: ArrayLike, steps: int
    ) -> Descended:
        """Go `steps` steps from `start`; `weights` are a and b for all images, [2], or for each its own, [N, 2]."""
        weights = np.broadcast_to(np.array(weights, np.float32), (len(start), 2)).copy()
        known = Tensor(features), Tensor(anchor), Tensor(weights)
        images = Tensor(start)
        first = second = ops.zeros_like(images)
        best, best_images, curve = np.full(len(start), np.inf), start.copy(), []

        def look(each: Tensor, candidates: Tensor) -> None:
            better = each.asnumpy() < best
            if better.any():
                best[better] = each.asnumpy()[better]
                best_images[better] = candidates.asnumpy()[better]
            curve.append(best.copy())

        looks = {round(point) for point in np.linspace(0, steps, CURVE_POINTS + 1)}
        for step in range(steps):
            rate = self._lr * 0.5 * (1 + np.cos(np.pi * step / steps))
            before = images
            images, first, second, each = self._step(images, first, second, rates(rate, step), *known)
            if step in looks:
                look(each, before)
        look(self._objective(images, *known), images)
        return Descended(best_images, best, np.stack(curve))


@attack("tuned", sees="features")
def invert(
    view: FeatureView,
    *,
    seed: Seed,
    iters: Whole,
    search_iters: Whole,
    lr: Positive,
    smoothness_weights: Tried,
    anchor_weights: Tried,
    restarts: Whole,
    batch_size: Whole,
) -> Reconstruction:
    """The tuned attack on a view.

    Args:
        view: what the attacker has.
        seed: draws the starts from noise.
        iters, search_iters: steps of the attack, and of each trial of the search for weights.
        lr: the first step's length, in pixel values.
        smoothness_weights, anchor_weights: the values of a and b that are tried, every a with every b.
        restarts: starts; the first from the decoder's image, the others from noise U(0, 1). Of each
            image's descents the one with the best objective is kept.
        batch_size: targets at a time.

    Returns:
        images and what they cost; `chosen` has the weights and every trial's mean squared error on the held-out images.
    """
    decoder = fitted_ridge(view, seed=seed)
    descent = Descent(view.network, lr)
    held_out = view.held_out()
    features = view.as_seen(held_out, generator(seed, "attacker's noise"))
    anchor = decoder(features)
    tried = list(product(smoothness_weights, anchor_weights))
    anchors, wanted = (np.concatenate([values] * len(tried)) for values in (anchor, features))
    trial = descent(anchors, wanted, anchors, np.repeat(tried, len(anchor), axis=0), search_iters)
    errors = [float(((images - held_out) ** 2).mean()) for images in np.split(trial.images, len(tried))]
    trials = dict(zip(tried, errors, strict=True))
    weights = min(trials, key=lambda pair: trials[pair])
    rng = generator(seed, "tuned inversion start")
    anchor = decoder(view.features)
    ends = []
    for first in tqdm(range(0, len(anchor), batch_size), unit="batch", disable=None):
        chunk = slice(first, first + batch_size)
        best = descent(anchor[chunk], view.features[chunk], anchor[chunk], weights, iters)
        for _ in range(restarts - 1):
            start = rng.uniform(0, 1, anchor[chunk].shape).astype(np.float32)
            best = best.better(descent(start, view.features[chunk], anchor[chunk], weights, iters))
        ends.append(best)
    chosen = {
        "smoothness_weight": weights[0],
        "anchor_weight": weights[1],
        "ridge_penalty": decoder.penalty,
        "held_out_mse": {f"{a:g}, {b:g}": mse for (a, b), mse in trials.items()},
        "held_out_mse_of_start": float(((decoder(features) - held_out) ** 2).mean()),
    }
    images, objective, curve = zip(*ends, strict=True)
    found = np.concatenate(images), np.concatenate(objective), np.concatenate(curve, axis=1)
    return Reconstruction(*found, chosen=chosen)
