"""Feature inversion by gradient descent on the image (Mahendran & Vedaldi 2015), as MindArmour does it::

    w1 |f(x) - f*|^2 / |f*|^2 + w2 smoothness(x) + w3 mean(x^2)   ->  min over x in the pixels' range

Start U(0, 0.05); then x <- clip(x - 0.01 sign(gradient)). All images go through as one batch: the
objective is a sum over images, so each gets the gradient it would get alone.
"""

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Annotated, Literal, get_args

import numpy as np
from mindspore import Tensor, get_context, nn, ops

from suppress_privacy.attacks.adam import TotalAndEach
from suppress_privacy.attacks.registry import attack
from suppress_privacy.attacks.views import Course, FeatureView, Reconstruction, looks
from suppress_privacy.checks import Bounds, CheckedFields, Positive, Seed, Whole, checked, described
from suppress_privacy.runtime import cure_pynative, generator

# MindArmour computes another smoothness on a CPU than elsewhere; at 32x32 the first weighs about 32
# times as much as the second.
Smoothness = Literal["cpu", "ascend"]
SMOOTHNESS_SCALES = get_args(Smoothness)
STEP = 0.01
START = 0.05  #: upper end of the uniform start
TWO, THREE = (Bounds(at_least=count, at_most=count) for count in (2, 3))
BOUND = "a smaller and a larger pixel value, as (0, 1)"
SHAPE = "three positive integers: channels, height, width"
WEIGHTS = "three numbers above 0: of features, smoothness and norm"


class InversionObjective(nn.Cell):
    """The objective of one batch of images, image by image.

    Args:
        network: from images [N, C, H, W] to features [N, ...].
        loss_weights: of features, smoothness and norm.
        smoothness: "cpu" sums, over neighbouring rows, the mean squared difference along the
            row, and the same for columns; "ascend" takes the mean over the whole image of squared
            differences to the next row, the last row against zero, and the same for columns.
        guard_scale: measure features that are all zero as they are. They have no scale of their
            own; the reference divides by it all the same, and gets images that are not numbers.

    Inputs:
        images, [N, C, H, W]; features, the targets, [N, ...].

    Outputs:
        [N].
    """

    def __init__(
        self, network: nn.Cell, loss_weights: Sequence[float], smoothness: Smoothness, *, guard_scale: bool = True
    ) -> None:
        super().__init__(auto_prefix=False)
        self.network = network
        self.feature_weight, self.smoothness_weight, self.norm_weight = (float(w) for w in loss_weights)
        self.sum_of_rows = smoothness == "cpu"
        self.guard_scale = guard_scale

    def construct(self, images: Tensor, features: Tensor) -> Tensor:
        mismatch, roughness = self.mismatch(images, features), self.roughness(images)
        norm = ops.square(images).mean((1, 2, 3))
        return self.feature_weight * mismatch + self.smoothness_weight * roughness + self.norm_weight * norm

    def mismatch(self, images: Tensor, features: Tensor) -> Tensor:
        """The feature term, [N]."""
        target = features.reshape(features.shape[0], -1)  # [N, ...] -> [N, F]
        found = self.network(images).reshape(target.shape)
        scale = ops.square(target).mean(1)
        if self.guard_scale:
            scale = ops.select(scale > 0, scale, ops.ones_like(scale))
        return ops.square(found - target).mean(1) / scale

    def roughness(self, images: Tensor) -> Tensor:
        """The smoothness term, [N, C, H, W] -> [N]."""
        rows = ops.square(images[:, :, 1:, :] - images[:, :, :-1, :])
        columns = ops.square(images[:, :, :, 1:] - images[:, :, :, :-1])
        if self.sum_of_rows:
            return rows.mean((1, 3)).sum(1) + columns.mean((1, 2)).sum(1)
        edge = ops.square(images[:, :, -1, :]).sum((1, 2)) + ops.square(images[:, :, :, -1]).sum((1, 2))
        pixels = images.shape[1] * images.shape[2] * images.shape[3]
        return (rows.sum((1, 2, 3)) + columns.sum((1, 2, 3)) + edge) / pixels


class _SignStep(nn.Cell):
    """One step of sign descent for a batch, compiled once; the images after it, and the objective before it."""

    def __init__(self, objective: nn.Cell, low: float, high: float) -> None:
        super().__init__(auto_prefix=False)
        self.total = TotalAndEach(objective)
        self.gradient = ops.grad(self.total, 0, None, has_aux=True)
        self.low, self.high = low, high

    def construct(self, images: Tensor, features: Tensor) -> tuple[Tensor, Tensor]:
        gradient, (each,) = self.gradient(images, features)
        return ops.clamp(images - STEP * ops.sign(gradient), self.low, self.high), each


@dataclass(eq=False, repr=False)
class FeatureInversion(CheckedFields):
    """The attack on one network: reconstructs images from their features.

    Args:
        network: from images to features.
        input_shape: channels, height and width of one image.
        input_bound: smallest and largest pixel value.
        loss_weights: of features, smoothness and norm.
        smoothness: the scale of the smoothness term (see `InversionObjective`); None takes the one the
            reference would use on this device.
        seed: seeds the start.
        batch_size: images at a time.
        compat: True does what MindArmour does also where it is wrong: features that are all zero
            give images that are not numbers.

    Raises:
        TypeError, ValueError: an argument of the wrong type or out of its range.

    Examples:
        >>> attack = FeatureInversion(first, input_shape=(1, 32, 32), input_bound=(0, 1), loss_weights=(1, 0.2, 5))
        >>> attack.generate(view.features, iters=3).shape
        (4, 1, 32, 32)
    """

    network: Annotated[nn.Cell, "a nn.Cell from images to features"]
    input_shape: Annotated[Sequence[Whole], THREE, SHAPE]
    input_bound: Annotated[Sequence[float], TWO, BOUND]
    loss_weights: Annotated[Sequence[Positive], THREE, WEIGHTS] = (1, 0.2, 5)
    _: KW_ONLY
    smoothness: Smoothness | None = None
    seed: Seed = 0
    batch_size: Whole = 500
    compat: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        low, high = map(float, self.input_bound)
        if not low < high:
            raise ValueError(f"input_bound is {self.input_bound}; it must be {BOUND}: swap them.")
        if self.smoothness is None:
            self.smoothness = "cpu" if get_context("device_target") == "CPU" else "ascend"
        self.network.set_train(False)
        guard = not self.compat
        objective = InversionObjective(self.network, self.loss_weights, self.smoothness, guard_scale=guard)
        self._step = _SignStep(objective, low, high)

    def generate(self, target_features: np.ndarray, iters: int = 100) -> np.ndarray:
        """Reconstruct the images behind features.

        Args:
            target_features: [N, ...], as the network gives them.
            iters: steps.

        Returns:
            float32 [N, C, H, W] within the pixels' range; the last iterate.

        Raises:
            TypeError, ValueError: features of another shape than the network's, or not finite; iters below 1.
        """
        return self.descend(target_features, iters).images

    def start(self, count: int) -> np.ndarray:
        """The images the descent starts from, float32 [count, C, H, W]; `seed` decides them."""
        shape = (count, *self.input_shape)
        return generator(self.seed, "inversion start").uniform(0, START, shape).astype(np.float32)

    @checked
    def descend(self, target_features: np.ndarray, iters: Whole, watched: tuple[int, ...] = ()) -> Reconstruction:
        """As `generate`, with the objective at each image, and the course of those at the positions `watched`."""
        if target_features.dtype.kind not in "fiu":
            raise TypeError(f"target_features is {described(target_features)}; it must hold numbers: convert it.")
        target_features = target_features.astype(np.float32)
        if not np.isfinite(target_features).all():
            raise ValueError("target_features holds values that are not finite: leave those images out.")
        cure_pynative()
        count = len(target_features)
        start = self.start(count)
        expected = self.network(Tensor(start[: self.batch_size])).shape[1:]
        if count == 0 or target_features.shape[1:] != expected:
            raise ValueError(
                f"target_features has shape {target_features.shape}; the network gives {('N', *expected)} "
                "with N at least 1: take the features from this network."
            )
        ends, courses, at = [], [], looks(iters) if watched else {iters}
        for first in range(0, count, self.batch_size):
            chunk = slice(first, first + self.batch_size)
            image, target = Tensor(start[chunk]), Tensor(target_features[chunk])
            seen = []
            for step in range(iters + 1):
                before = image
                image, each = self._step(image, target)
                if step in at:
                    seen.append((before.asnumpy(), each.asnumpy().astype(np.float64)))
            ends.append(seen[-1])
            courses.append([np.stack(part) for part in zip(*seen, strict=True)])
        images, objective = (np.concatenate(part) for part in zip(*ends, strict=True))
        if not watched:
            return Reconstruction(images, objective)
        shown = np.array(watched)
        frames, curve = (np.concatenate(part, axis=1)[:, shown] for part in zip(*courses, strict=True))
        return Reconstruction(images, objective, course=Course(shown, frames, curve))


@attack("reference", sees="features")
def invert(
    view: FeatureView,
    *,
    seed: Seed,
    feature_weight: Positive = 1,
    smoothness_weight: Positive,
    norm_weight: Positive,
    iters: Whole,
    smoothness: Smoothness,
) -> Reconstruction:
    """The reference attack on a view.

    Args:
        view: what the attacker has.
        seed: seeds the start.
        feature_weight, smoothness_weight, norm_weight: w1, w2 and w3.
        iters: steps.
        smoothness: the scale of the smoothness term, as `InversionObjective` has it.

    Examples:
        >>> found = invert(view, seed=0, smoothness_weight=0.2, norm_weight=5, iters=3, smoothness="cpu")
        >>> found.images.shape, found.objective.shape
        ((4, 1, 32, 32), (4,))
    """
    weights, shape = (feature_weight, smoothness_weight, norm_weight), view.auxiliary.shape[1:]
    attacker = FeatureInversion(view.network, shape, (0, 1), weights, smoothness=smoothness, seed=seed)
    return attacker.descend(view.features, iters, view.watched)
