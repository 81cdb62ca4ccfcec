"""Feature inversion as strong as we can make it: weights chosen per network, Adam, restarts, the best kept::

    |f(x) - f*|^2 / |f*|^2 + a smoothness(x) + b mean((x - x0)^2)   ->  min over x in the pixels' range

x0 is what a decoder makes of the features, ridge regression or the network, whichever is better on the attacker's
held-out images. The weights (a, b) are those that serve best on these; the targets have no part in it. Its first start
is x0: with one start it is the decoder's image, refined.
"""

import time
from functools import reduce
from typing import Any, NamedTuple

import numpy as np
from mindspore import Tensor, nn, ops
from numpy.typing import ArrayLike
from tqdm import tqdm

from suppress_privacy.attacks.adam import AdamStep, rates
from suppress_privacy.attacks.inversion import InversionObjective
from suppress_privacy.attacks.perceptron import decoders
from suppress_privacy.attacks.registry import attack
from suppress_privacy.attacks.search import Point, searched
from suppress_privacy.attacks.views import Course, FeatureView, Reconstruction, looks
from suppress_privacy.checks import Positive, Seed, Tried, Whole
from suppress_privacy.runtime import generator

START_NOISE = 0.3  #: standard deviation, in pixel values
WEIGHTS = 1e-4, 1e4  #: the least and the greatest; below it a term adds nothing, above it the mismatch does


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

    images: np.ndarray  #: float32 [N, C, H, W], the best on the way
    objective: np.ndarray  #: float64 [N], at these
    curve: np.ndarray  #: float64 [K, N], the best objective so far, at equal distances of steps
    frames: np.ndarray  #: float32 [K, N, C, H, W], the images with these

    def better(self, other: "Descended") -> "Descended":
        """Image by image the better of two."""
        wins = other.objective < self.objective
        of_images = wins[:, None, None, None]
        return Descended(*map(np.where, (of_images, wins, wins, of_images), other, self))


class Descent:
    """Adam with cosine decay on the objective; of some twenty looks on the way, keeps each target's best image.

    Args:
        network: from images to features.
        lr: the first step's length, in pixel values.
    """

    def __init__(self, network: nn.Cell, lr: float) -> None:
        network.set_train(False)
        self._step = AdamStep(AnchoredObjective(network))
        self._lr = lr

    def __call__(
        self, start: np.ndarray, features: np.ndarray, anchor: np.ndarray, weights: ArrayLike, steps: int
    ) -> Descended:
        """Go `steps` steps from `start`; `weights` are a and b for all images, [2], or for each its own, [N, 2]."""
        weights = np.broadcast_to(np.array(weights, np.float32), (len(start), 2)).copy()
        known = Tensor(features), Tensor(anchor), Tensor(weights)
        images = Tensor(start)
        first = second = ops.zeros_like(images)
        best, best_images = np.full(len(start), np.inf), start.copy()
        curve, frames = [], []

        def look(each: Tensor, candidates: Tensor) -> None:
            better = each.asnumpy() < best
            if better.any():
                best[better] = each.asnumpy()[better]
                best_images[better] = candidates.asnumpy()[better]
            curve.append(best.copy())
            frames.append(best_images.copy())

        at = looks(steps)
        for step in range(steps):
            rate = self._lr * 0.5 * (1 + np.cos(np.pi * step / steps))
            before = images
            images, first, second, each = self._step(images, first, second, rates(rate, step), *known)
            if step in at:
                look(each, before)
        # Of the step, which is compiled, as the objective alone is not.
        *_, each = self._step(images, first, second, rates(self._lr, 0), *known)
        look(each, images)
        return Descended(best_images, best, np.stack(curve), np.stack(frames))


@attack("tuned", sees="features")
def invert(
    view: FeatureView,
    *,
    seed: Seed,
    iters: Whole,
    lr: Positive,
    smoothness_weights: Tried,
    anchor_weights: Tried,
    restarts: Whole,
    batch_size: Whole,
    decoder: dict[str, Any] | None = None,
) -> Reconstruction:
    """The tuned attack on a view.

    Args:
        view: what the attacker has.
        seed: draws the noise on the starts.
        iters: steps, of a trial of weights too.
        lr: the first step's length, in pixel values.
        smoothness_weights, anchor_weights: the values of a and b that are tried first, every a with every b.
        restarts: starts; the first is the anchor, the second what the other decoder makes of the features, where there
            is one, the others the anchor under noise. Of each image's descents the one with the best objective is kept.
        batch_size: targets at a time, and held-out images of a trial.
        decoder: settings of the attack of that name, which it then may start from; None: from the ridge decoder alone.

    Returns:
        images and what they cost; `chosen` has the weights and every trial's mean squared error on the held-out images.

    Examples:
        >>> size = {"iters": 3, "restarts": 1, "batch_size": 4}
        >>> found = invert(view, seed=0, lr=0.05, smoothness_weights=[0.1], anchor_weights=[1.0], **size)
        >>> found.images.shape, found.chosen["start"]
        ((4, 1, 32, 32), 'ridge')
    """
    best, *others = decoders(view, seed=seed, settings=decoder)
    descent = Descent(view.network, lr)
    started = time.perf_counter()
    held_out = view.held_out()[:batch_size]
    features = view.as_seen(held_out, generator(seed, "attacker's noise"))
    anchor = best(features)

    def errors_of(points: list[Point]) -> list[float]:
        found = (descent(anchor, features, anchor, point, iters).images for point in points)
        return [float(((images - held_out) ** 2).mean()) for images in found]

    axes = {"smoothness_weight": smoothness_weights, "anchor_weight": anchor_weights}
    search = searched(axes, errors_of, factors=dict.fromkeys(axes, 3), limits=dict.fromkeys(axes, WEIGHTS))
    seconds = time.perf_counter() - started
    rng = generator(seed, "tuned inversion start")
    ends = []
    for first in tqdm(range(0, len(view.features), batch_size), unit="batch", disable=None):
        wanted = view.features[first : first + batch_size]
        anchor = best(wanted)
        starts = [anchor, *(other(wanted) for other in others)][:restarts]
        for _ in range(restarts - len(starts)):
            noise = rng.normal(0, START_NOISE, anchor.shape).astype(np.float32)
            starts.append(np.clip(anchor + noise, 0, 1))
        descents = [descent(start, wanted, anchor, search.best, iters) for start in starts]
        ends.append(reduce(Descended.better, descents))
    chosen = {
        **dict(zip(axes, search.best, strict=True)),
        **search.as_data(),
        "start": type(best).__name__.lower(),
        "held_out_mse_of_start": float(((best(features) - held_out) ** 2).mean()),
    }
    images, objective, curve, frames = zip(*ends, strict=True)
    found = np.concatenate(images), np.concatenate(objective), np.concatenate(curve, axis=1)
    course = None
    if len(watched := np.array(view.watched, int)):
        course = Course(watched, np.concatenate(frames, axis=1)[:, watched], found[2][:, watched])
    return Reconstruction(*found, chosen=chosen, search_seconds=seconds, course=course)
