"""Gradient leakage: the gradients of one training step on one image give the image away.

    DLG     |g(x, softmax(y)) - g*|^2             ->  min over x and y       (Zhu, Liu & Han 2019)
    iDLG    the same over x, the label being known: of the last bias's gradients, p - onehot, only the
            label's is negative                                              (Zhao, Mopuri & Bilen 2020)
    cosine  1 - <g, g*> / (|g| |g*|) + a TV(x)    ->  min over x, by signed Adam  (Geiping et al. 2020)

All need second derivatives, which MindSpore's CPU backend lacks for max pooling and log_softmax: a network
under attack is seen through a twin that computes the same from operators that have them.
"""

from collections.abc import Callable
from typing import Any

import mindspore as ms
import numpy as np
from mindspore import nn, ops
from scipy.optimize import minimize
from tqdm import tqdm

from suppress_privacy.attacks.adam import adam_step, rates
from suppress_privacy.attacks.registry import attack
from suppress_privacy.attacks.views import GradientView, Reconstruction
from suppress_privacy.checks import NotNegative, Positive, Seed, Whole
from suppress_privacy.lenet import through
from suppress_privacy.runtime import generator

NO_NUMBER = 1e30  # an objective that is none counts as this much
POOLS = (nn.MaxPool2d, nn.AdaptiveMaxPool2d)
TINY = 1e-8  # keeps a quotient defined where all gradients vanish


def twice_differentiable(network: nn.Cell) -> nn.Cell:
    """A network to attack: the twin of one that lists its `stages`, as LeNet5 does; another as it is."""
    return TwiceDifferentiable(network) if hasattr(network, "stages") else network


class TwiceDifferentiable(nn.Cell):
    """A network from operators that have second derivatives on every backend; it shares the network's weights.

    Args:
        network: lists its `stages`; what it pools with is swapped for `MaxPool`, of 2x2.

    Inputs:
        x: images, float32 [N, C, H, W].

    Outputs:
        logits, float32 [N, K].
    """

    def __init__(self, network: nn.Cell) -> None:
        super().__init__(auto_prefix=False)
        self.network = network
        pool = MaxPool()
        self.stages = tuple(
            (layer, activation, tuple(pool if isinstance(step, POOLS) else step for step in onward))
            for layer, activation, onward in network.stages
        )

    def construct(self, x: ms.Tensor) -> ms.Tensor:
        return through(x, self.stages)


class MaxPool(nn.Cell):
    """2x2 max pooling as maxima of the four strided parts of the image."""

    def construct(self, x: ms.Tensor) -> ms.Tensor:
        top = ops.maximum(x[:, :, 0::2, 0::2], x[:, :, 0::2, 1::2])
        return ops.maximum(top, ops.maximum(x[:, :, 1::2, 0::2], x[:, :, 1::2, 1::2]))


class _Loss(nn.Cell):
    """Cross-entropy with a soft label, written out: log_softmax has no second derivative on a CPU."""

    def __init__(self, network: nn.Cell) -> None:
        super().__init__(auto_prefix=False)
        self.network = network

    def construct(self, image: ms.Tensor, label: ms.Tensor) -> ms.Tensor:
        logits = self.network(image)
        shifted = logits - ops.stop_gradient(logits.max(1, keepdims=True))
        return (ops.log(ops.exp(shifted).sum(1)) - (label * shifted).sum(1)).mean()


class ParameterGradients(nn.Cell):
    """Gradients of the loss of one image with a soft label, by trainable parameter: what a GradientView holds.

    Args:
        network: from images to logits, twice differentiable.

    Inputs:
        image, [1, C, H, W]; label, [1, K], probabilities.
    """

    def __init__(self, network: nn.Cell) -> None:
        super().__init__(auto_prefix=False)
        self.loss = _Loss(network)
        self.weights = ms.ParameterTuple(network.trainable_params())
        self.gradient = ops.GradOperation(get_by_list=True)

    def construct(self, image: ms.Tensor, label: ms.Tensor) -> tuple[ms.Tensor, ...]:
        return self.gradient(self.loss, self.weights)(image, label)


class SquaredDistance(nn.Cell):
    """DLG's objective, of the image and of the label's logits, relative to |g*|^2."""

    def __init__(self, network: nn.Cell) -> None:
        super().__init__(auto_prefix=False)
        self.gradients = ParameterGradients(network)

    def construct(
        self, image: ms.Tensor, label_logits: ms.Tensor, targets: tuple[ms.Tensor, ...], scale: ms.Tensor
    ) -> ms.Tensor:
        exponentials = ops.exp(label_logits - ops.stop_gradient(label_logits.max(1, keepdims=True)))
        found = self.gradients(image, exponentials / exponentials.sum(1, keepdims=True))
        total = 0.0
        for index in range(len(targets)):
            total = total + ops.square(found[index] - targets[index]).sum()
        return total / scale


class CosineDistance(nn.Cell):
    """The cosine objective, with total variation; the targets together have norm 1."""

    def __init__(self, network: nn.Cell, tv_weight: float) -> None:
        super().__init__(auto_prefix=False)
        self.gradients = ParameterGradients(network)
        self.tv_weight = tv_weight

    def construct(self, image: ms.Tensor, label: ms.Tensor, targets: tuple[ms.Tensor, ...]) -> ms.Tensor:
        found = self.gradients(image, label)
        # A well-fitted image's gradients are so small that their squares would vanish in float32.
        peak = ops.abs(found[0]).max()
        for index in range(1, len(targets)):
            peak = ops.maximum(peak, ops.abs(found[index]).max())
        peak = ops.stop_gradient(ops.select(peak > 0, peak, ops.ones_like(peak)))
        product, norm = 0.0, 0.0
        for index in range(len(targets)):
            scaled = found[index] / peak
            product = product + (scaled * targets[index]).sum()
            norm = norm + ops.square(scaled).sum()
        rows = ops.abs(image[:, :, 1:] - image[:, :, :-1]).mean()
        columns = ops.abs(image[:, :, :, 1:] - image[:, :, :, :-1]).mean()
        return 1 - product / ops.sqrt(norm + TINY) + self.tv_weight * (rows + columns)


class Observer:
    """The gradients a client would send for one labelled image: compiled once.

    Args:
        network: twice differentiable.
        classes: how many there are.
    """

    def __init__(self, network: nn.Cell, classes: int) -> None:
        self._gradients = ParameterGradients(network)
        self._one_hot = np.eye(classes, dtype=np.float32)

    def __call__(self, image: np.ndarray, label: int) -> tuple[np.ndarray, ...]:
        """For an image, float32 [C, H, W], and its class."""
        found = self._gradients(ms.Tensor(image[None]), ms.Tensor(self._one_hot[[label]]))
        return tuple(gradient.asnumpy() for gradient in found)


def label_of(gradients: tuple[np.ndarray, ...]) -> int:
    """iDLG's rule: the class whose entry in the last bias's gradient is the smallest, the only negative one."""
    return int(gradients[-1].argmin())


def _matched(views: list[GradientView], *, seed: int, restarts: int, iters: int, label_known: bool) -> Reconstruction:
    """DLG on each view, and iDLG where the label is known: L-BFGS from several starts, the best end kept."""
    images, objectives, labels = [], [], []
    rng = generator(seed, "gradient leakage start")
    # The network is the same in all views: compile once.
    step = ops.value_and_grad(SquaredDistance(views[0].network), (0, 1))
    options = {"maxiter": iters, "maxcor": 100, "ftol": 0, "gtol": 0}
    for view in tqdm(views, unit="image", disable=None):
        size, classes = int(np.prod(view.image_shape)), len(view.gradients[-1])
        objective = _distance_from(view, step, label_known)
        ends = [
            minimize(
                objective,
                rng.standard_normal(size if label_known else size + classes),
                jac=True,
                method="L-BFGS-B",
                options=options,
            )
            for _ in range(restarts)
        ]
        best = min(ends, key=lambda end: _finite(end.fun)).x
        point = np.nan_to_num(best)
        point[:size] = np.clip(point[:size], 0, 1)
        images.append(point[:size].reshape(view.image_shape).astype(np.float32))
        objectives.append(_finite(objective(point)[0]))
        labels.append(label_of(view.gradients) if label_known else int(best[size:].argmax()))
    return Reconstruction(np.stack(images), np.array(objectives), labels=np.array(labels))


def _distance_from(
    view: GradientView, step: Callable[..., Any], label_known: bool
) -> Callable[[np.ndarray], tuple[float, np.ndarray]]:
    """DLG's objective and its gradient at a point: the pixels and, where the label is not known, its logits."""
    shape, size = (1, *view.image_shape), int(np.prod(view.image_shape))
    scale = float(sum((gradient.astype(np.float64) ** 2).sum() for gradient in view.gradients)) or 1.0
    # Mutable: as constants they would have the graph compiled anew for every image.
    arguments = (ms.mutable(tuple(map(ms.Tensor, view.gradients))), ms.Tensor(np.float32(scale)))
    # A soft label at these logits is one-hot to float32's precision.
    known = 50.0 * np.eye(len(view.gradients[-1]))[label_of(view.gradients)]

    def objective(point: np.ndarray) -> tuple[float, np.ndarray]:
        label = known if label_known else point[size:]
        value, (of_image, of_label) = step(
            ms.Tensor(point[:size].reshape(shape).astype(np.float32)),
            ms.Tensor(label[None].astype(np.float32)),
            *arguments,
        )
        gradient = of_image.asnumpy().ravel()
        if not label_known:
            gradient = np.concatenate([gradient, of_label.asnumpy().ravel()])
        return float(value.asnumpy()), gradient.astype(np.float64)

    return objective


@attack("dlg", sees="gradients")
def dlg(views: list[GradientView], *, seed: Seed, restarts: Whole, iters: Whole) -> Reconstruction:
    """Deep leakage from gradients: image and label sought together.

    Args:
        views: one for each private image, all of one network.
        seed: draws the starts, standard normal.
        restarts: starts an image; the one with the best end is kept.
        iters: most iterations of L-BFGS from each.
    """
    return _matched(views, seed=seed, restarts=restarts, iters=iters, label_known=False)


@attack("idlg", sees="gradients")
def idlg(views: list[GradientView], *, seed: Seed, restarts: Whole, iters: Whole) -> Reconstruction:
    """Improved DLG: the label is read from the gradients first. Arguments as `dlg`."""
    return _matched(views, seed=seed, restarts=restarts, iters=iters, label_known=True)


def _finite(value: float) -> float:
    """An objective to compare by: what is no number is worse than any."""
    return value if np.isfinite(value) else NO_NUMBER


class _SignedAdamStep(nn.Cell):
    def __init__(self, objective: nn.Cell) -> None:
        super().__init__(auto_prefix=False)
        self.value_and_gradient = ops.value_and_grad(objective, 0)

    def construct(
        self,
        image: ms.Tensor,
        first: ms.Tensor,
        second: ms.Tensor,
        rate: ms.Tensor,
        label: ms.Tensor,
        targets: tuple[ms.Tensor, ...],
    ) -> tuple[ms.Tensor, ...]:
        value, gradient = self.value_and_gradient(image, label, targets)
        return *adam_step(image, first, second, rate, ops.sign(gradient)), value


@attack("cosine", sees="gradients")
def cosine(
    views: list[GradientView], *, seed: Seed, restarts: Whole, iters: Whole, lr: Positive, tv_weight: NotNegative
) -> Reconstruction:
    """Cosine matching with total variation; the label by iDLG's rule, the step divided by ten at 3/8, 5/8, 7/8.

    Args:
        views: one for each private image, all of one network.
        seed: draws the starts, standard normal.
        restarts: starts an image; the one with the best end is kept.
        iters: steps from each.
        lr: the first step's length, in pixel values.
        tv_weight: weight of the total variation.
    """
    rng = generator(seed, "gradient leakage start")
    objective = CosineDistance(views[0].network, tv_weight)
    descend = _SignedAdamStep(objective)
    images, objectives = [], []
    labels = [label_of(view.gradients) for view in views]
    for view, known in zip(tqdm(views, unit="image", disable=None), labels, strict=True):
        label = ms.Tensor(np.eye(len(view.gradients[-1]), dtype=np.float32)[[known]])
        norm = np.sqrt(sum((gradient.astype(np.float64) ** 2).sum() for gradient in view.gradients)) or 1.0
        unit = [ms.Tensor((gradient / norm).astype(np.float32)) for gradient in view.gradients]
        arguments = (label, ms.mutable(tuple(unit)))
        ends = []
        for _ in range(restarts):
            image = ms.Tensor(rng.standard_normal((1, *view.image_shape)).astype(np.float32))
            first = second = ops.zeros_like(image)
            for step in range(iters):
                rate = lr * 0.1 ** sum(step >= iters * part / 8 for part in (3, 5, 7))
                image, first, second, _ = descend(image, first, second, rates(rate, step), *arguments)
            ends.append((_finite(float(objective(image, *arguments).asnumpy())), image.asnumpy()[0]))
        value, found = min(ends, key=lambda end: end[0])
        images.append(np.nan_to_num(found))
        objectives.append(value)
    return Reconstruction(np.stack(images), np.array(objectives), labels=np.array(labels))
