"""Feature inversion by gradient descent on the image (Mahendran & Vedaldi 2015), as MindArmour does it.

    w1 |f(x) - f*|^2 / |f*|^2 + w2 smoothness(x) + w3 mean(x^2)   ->  min over x in the pixels' range

Start U(0, 0.05); then x <- clip(x - 0.01 sign(gradient)). All images go through as one batch: the
objective is a sum over images, so each gets the gradient it would get alone.
"""

import mindspore as ms
import numpy as np
from mindspore import nn, ops

from suppress_privacy.attacks.views import FeatureView, Reconstruction
from suppress_privacy.checks import checked, described
from suppress_privacy.runtime import generator

# MindArmour computes another smoothness on a CPU than elsewhere; at 32x32 the first weighs about 32
# times as much as the second.
SMOOTHNESS_SCALES = ("cpu", "ascend")
STEP = 0.01
START = 0.05  # upper end of the uniform start


class InversionObjective(nn.Cell):
    """The objective of one batch of images, image by image.

    Args:
        network (nn.Cell): from images [N, C, H, W] to features [N, ...].
        loss_weights (sequence of 3 floats): of features, smoothness and norm.
        smoothness (str): "cpu" sums, over neighbouring rows, the mean squared difference along the
            row, and the same for columns; "ascend" takes the mean over the whole image of squared
            differences to the next row, the last row against zero, and the same for columns.
        guard_scale (bool): measure features that are all zero as they are. They have no scale of their
            own; the reference divides by it all the same, and gets images that are not numbers.

    Inputs:
        images (Tensor), [N, C, H, W]; features (Tensor), the targets, [N, ...].

    Outputs:
        Tensor, [N].
    """

    def __init__(self, network, loss_weights, smoothness, *, guard_scale=True):
        super().__init__(auto_prefix=False)
        self.network = network
        self.feature_weight, self.smoothness_weight, self.norm_weight = (float(w) for w in loss_weights)
        self.sum_of_rows = smoothness == "cpu"
        self.guard_scale = guard_scale

    def construct(self, images, features):
        norm = ops.square(images).mean((1, 2, 3))
        return (
            self.feature_weight * self.mismatch(images, features)
            + self.smoothness_weight * self.roughness(images)
            + self.norm_weight * norm
        )

    def mismatch(self, images, features):
        """The feature term, [N]."""
        target = features.reshape(features.shape[0], -1)  # [N, ...] -> [N, F]
        found = self.network(images).reshape(target.shape)
        scale = ops.square(target).mean(1)
        if self.guard_scale:
            scale = ops.select(scale > 0, scale, ops.ones_like(scale))
        return ops.square(found - target).mean(1) / scale

    def roughness(self, images):
        """The smoothness term, [N, C, H, W] -> [N]."""
        rows = ops.square(images[:, :, 1:, :] - images[:, :, :-1, :])
        columns = ops.square(images[:, :, :, 1:] - images[:, :, :, :-1])
        if self.sum_of_rows:
            return rows.mean((1, 3)).sum(1) + columns.mean((1, 2)).sum(1)
        edge = ops.square(images[:, :, -1, :]).sum((1, 2)) + ops.square(images[:, :, :, -1]).sum((1, 2))
        pixels = images.shape[1] * images.shape[2] * images.shape[3]
        return (rows.sum((1, 2, 3)) + columns.sum((1, 2, 3)) + edge) / pixels


class _SignStep(nn.Cell):
    """One step of sign descent for a batch, compiled once."""

    def __init__(self, objective, step, bound):
        super().__init__(auto_prefix=False)
        self.gradient = ops.GradOperation()
        self.total = _Total(objective)
        self.step = step
        self.low, self.high = bound

    def construct(self, images, features):
        gradient = self.gradient(self.total)(images, features)
        return ops.clamp(images - self.step * ops.sign(gradient), self.low, self.high)


class _Total(nn.Cell):
    def __init__(self, objective):
        super().__init__(auto_prefix=False)
        self.objective = objective

    def construct(self, images, features):
        return self.objective(images, features).sum()


class FeatureInversion:
    """The attack on one network: reconstructs images from their features.

    Args:
        network (nn.Cell): from images to features.
        input_shape (tuple of 3 ints): channels, height and width of one image.
        input_bound (tuple or list): smallest and largest pixel value.
        loss_weights (tuple or list): weights of features, smoothness and norm, all above 0.
        smoothness (str): "cpu" or "ascend", the scale of the smoothness term (see
            `InversionObjective`); None takes the one the reference would use on this device.
        seed (int): seeds the start.
        batch_size (int): images at a time.
        compat (bool): True does what MindArmour does also where it is wrong: features that are all zero
            give images that are not numbers.

    Raises:
        TypeError, ValueError: an argument of the wrong type or out of its range.
    """

    def __init__(
        self,
        network,
        input_shape,
        input_bound,
        loss_weights=(1, 0.2, 5),
        *,
        smoothness=None,
        seed=0,
        batch_size=500,
        compat=False,
    ):
        checked("network", network, nn.Cell, "a nn.Cell from images to features")
        _numbers(
            "input_shape", input_shape, int, "three positive integers: channels, height, width", 3, lambda v: v > 0
        )
        _numbers("input_bound", input_bound, float, "a smaller and a larger pixel value, as (0, 1)", 2)
        low, high = input_bound
        if not low < high:
            raise ValueError(f"input_bound is {input_bound}; it must be a smaller and a larger pixel value: swap them.")
        weights = "three numbers above 0: of features, smoothness and norm"
        _numbers("loss_weights", loss_weights, float, weights, 3, lambda v: v > 0)
        if smoothness is None:
            smoothness = "cpu" if ms.get_context("device_target") == "CPU" else "ascend"
        allowed = " or ".join(map(repr, SMOOTHNESS_SCALES))
        checked("smoothness", smoothness, str, allowed, lambda v: v in SMOOTHNESS_SCALES)
        checked("seed", seed, int, "an integer from 0", lambda v: v >= 0)
        checked("batch_size", batch_size, int, "an integer from 1, the images at a time", lambda v: v >= 1)
        checked("compat", compat, bool, "True or False")
        network.set_train(False)
        self._network = network
        self._shape = tuple(input_shape)
        self._bound = (float(low), float(high))
        self._objective = InversionObjective(network, loss_weights, smoothness, guard_scale=not compat)
        self._step = _SignStep(self._objective, STEP, self._bound)
        self._seed = seed
        self._batch_size = batch_size

    def generate(self, target_features, iters=100):
        """Reconstruct the images behind features.

        Args:
            target_features (numpy.ndarray): [N, ...], as the network gives them.
            iters (int): steps, from 1.

        Returns:
            numpy.ndarray, float32 [N, C, H, W] within the pixels' range; the last iterate.

        Raises:
            TypeError, ValueError: features of another shape than the network's, or not finite; iters below 1.
        """
        return self.descend(target_features, iters)[0]

    def start(self, count):
        """The images the descent starts from, float32 [count, C, H, W]; `seed` decides them."""
        return generator(self._seed, "inversion start").uniform(0, START, (count, *self._shape)).astype(np.float32)

    def descend(self, target_features, iters):
        """As `generate`, and the objective at each image: (float32 [N, C, H, W], float64 [N])."""
        checked("target_features", target_features, np.ndarray, "a numpy.ndarray, [N, ...]")
        checked("iters", iters, int, "an integer from 1, the number of steps", lambda v: v >= 1)
        if target_features.dtype.kind not in "fiu":
            raise TypeError(f"target_features is {described(target_features)}; it must hold numbers: convert it.")
        target_features = target_features.astype(np.float32)
        if not np.isfinite(target_features).all():
            raise ValueError("target_features holds values that are not finite: leave those images out.")
        count = len(target_features)
        start = self.start(count)
        expected = self._network(ms.Tensor(start[:1])).shape[1:]
        if count == 0 or target_features.shape[1:] != expected:
            raise ValueError(
                f"target_features has shape {target_features.shape}; the network gives {('N', *expected)} "
                "with N at least 1: take the features from this network."
            )
        images, objective = [], []
        for first in range(0, count, self._batch_size):
            chunk = slice(first, first + self._batch_size)
            image, target = ms.Tensor(start[chunk]), ms.Tensor(target_features[chunk])
            for _ in range(iters):
                image = self._step(image, target)
            images.append(image.asnumpy())
            objective.append(self._objective(image, target).asnumpy())
        return np.concatenate(images), np.concatenate(objective).astype(np.float64)


def _numbers(name, values, kind, allowed, count, in_range=lambda value: True):
    checked(name, values, (tuple, list), allowed, lambda v: len(v) == count)
    for value in values:
        checked(name, value, kind, allowed, in_range)


def invert(view: FeatureView, *, seed, loss_weights, iters, smoothness) -> Reconstruction:
    """The reference attack on a view; the arguments are those of `FeatureInversion`."""
    attack = FeatureInversion(
        view.network, view.auxiliary.shape[1:], (0, 1), loss_weights, smoothness=smoothness, seed=seed
    )
    return Reconstruction(*attack.descend(view.features, iters))
