"""Gradient leakage: the gradients of one training step on one image give the image away::

    DLG     |g(x, softmax(y)) - g*|^2             ->  min over x and y       (Zhu, Liu & Han 2019)
    iDLG    the same over x, the label being known: of the last bias's gradients, p - onehot, only the
            label's is negative; without a bias, of the last weight's rows, (p - onehot) h, only the label's
            points away from all others                                      (Zhao, Mopuri & Bilen 2020)
    cosine  1 - <g, g*> / (|g| |g*|) + a TV(x)    ->  min over x, by signed Adam  (Geiping et al. 2020)

All need second derivatives, which MindSpore's CPU backend lacks for max pooling and log_softmax: a network
under attack is seen through a twin that computes the same from operators that have them.
"""

import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import NamedTuple

import numpy as np
from mindspore import ParameterTuple, Tensor, get_context, mutable, nn, ops
from numpy.typing import ArrayLike
from scipy.optimize import minimize
from tqdm import tqdm

from suppress_privacy.attacks.adam import AdamStep, Tensors, rates
from suppress_privacy.attacks.registry import attack
from suppress_privacy.attacks.search import Point, searched
from suppress_privacy.attacks.views import GradientView, Reconstruction
from suppress_privacy.checks import NotNegative, Positive, Seed, Tried, Whole
from suppress_privacy.lenet import through
from suppress_privacy.runtime import generator
from suppress_privacy.training import Defence

log = logging.getLogger(__name__)

NO_NUMBER = 1e30  #: an objective that is none counts as this much
POOLS = (nn.MaxPool2d, nn.AdaptiveMaxPool2d)
ONCE_DIFFERENTIABLE = (*POOLS, nn.AvgPool2d, nn.LogSoftmax)  # on a CPU
FELL = 0.01  #: of its start's, what a squared distance must come below; a cosine has no such way to go
OWN = 20  #: of the attacker's images, to choose the weight of total variation on
HEAVIEST = 100.0  #: weight of total variation; the image is one grey long before
TINY = 1e-8  #: keeps a quotient defined where all gradients vanish


def twice_differentiable(network: nn.Cell) -> nn.Cell:
    """A network to attack: the twin of one that lists its `stages`, as LeNet5 does; another as it is.

    Examples:
        >>> twin = twice_differentiable(network)  # its max pools can be differentiated twice
        >>> bool(np.allclose(predict(twin, images), predict(network, images), atol=1e-5))
        True
    """
    return TwiceDifferentiable(network) if hasattr(network, "stages") else network


class TwiceDifferentiable(nn.Cell):
    """A network from operators that have second derivatives on every backend; it shares the network's weights.

    Args:
        network: lists its `stages`; what it pools with is swapped for `MaxPool`, of 2x2.

    Raises:
        ValueError: it pools otherwise.

    Inputs:
        x: images, float32 [N, C, H, W].

    Outputs:
        logits, float32 [N, K].
    """

    def __init__(self, network: nn.Cell) -> None:
        super().__init__(auto_prefix=False)
        self.network = network
        for _, _, onward in network.stages:
            for step in onward:
                if isinstance(step, nn.MaxPool2d) and (step.kernel_size, step.stride) != (2, 2):
                    raise ValueError(f"network pools with {step}; its twin pools 2x2 with stride 2: pool like that.")
        pool = MaxPool()
        self.stages = tuple(
            (layer, activation, tuple(pool if isinstance(step, POOLS) else step for step in onward))
            for layer, activation, onward in network.stages
        )

    def construct(self, x: Tensor) -> Tensor:
        return through(x, self.stages)


class MaxPool(nn.Cell):
    """2x2 max pooling as maxima of the four strided parts of the image."""

    def construct(self, x: Tensor) -> Tensor:
        top = ops.maximum(x[:, :, 0::2, 0::2], x[:, :, 0::2, 1::2])
        return ops.maximum(top, ops.maximum(x[:, :, 1::2, 0::2], x[:, :, 1::2, 1::2]))


class ParameterGradients(nn.Cell):
    """Gradients of the mean loss of images with soft labels, by trainable parameter: what a GradientView holds.

    Args:
        network: from images to logits, twice differentiable.
        sent: what gradients go through before they leave the user's device.

    Inputs:
        image, [B, C, H, W]; label, [B, K], probabilities.
    """

    def __init__(self, network: nn.Cell, sent: Defence) -> None:
        super().__init__(auto_prefix=False)
        self.network, self.sent = network, sent
        self.weights = ParameterTuple(network.trainable_params())
        self.gradient = ops.GradOperation(get_by_list=True)

    def loss(self, image: Tensor, label: Tensor) -> Tensor:
        """Cross-entropy with a soft label, written out: log_softmax has no second derivative on a CPU."""
        logits = self.network(image)
        shifted = logits - ops.stop_gradient(logits.max(1, keepdims=True))
        return (ops.log(ops.exp(shifted).sum(1)) - (label * shifted).sum(1)).mean()

    def construct(self, image: Tensor, label: Tensor) -> Tensors:
        return self.sent.on_gradients(self.gradient(self.loss, self.weights)(image, label))


class SquaredDistance(nn.Cell):
    """DLG's objective, of the image and of the label's logits; a scale like `|g - g*|` keeps its square a float32."""

    def __init__(self, network: nn.Cell, sent: Defence) -> None:
        super().__init__(auto_prefix=False)
        self.gradients = ParameterGradients(network, sent)

    def construct(self, image: Tensor, label_logits: Tensor, targets: Tensors, scale: Tensor) -> Tensor:
        exponentials = ops.exp(label_logits - ops.stop_gradient(label_logits.max(1, keepdims=True)))
        found = self.gradients(image, exponentials / exponentials.sum(1, keepdims=True))
        total = 0.0
        for index in range(len(targets)):
            total = total + ops.square((found[index] - targets[index]) / scale).sum()
        return total


class CosineDistance(nn.Cell):
    """The cosine objective, with total variation; the targets together have norm 1."""

    def __init__(self, network: nn.Cell, sent: Defence) -> None:
        super().__init__(auto_prefix=False)
        self.gradients = ParameterGradients(network, sent)

    def construct(self, image: Tensor, label: Tensor, targets: Tensors, tv_weight: Tensor) -> Tensor:
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
        return 1 - product / ops.sqrt(norm + TINY) + tv_weight * (rows + columns)


class Observer:
    """The gradients a client would send for labelled images: compiled once for each size of a batch.

    Args:
        network: twice differentiable.
        classes: how many there are.
        sent: what gradients go through before they leave the user's device.

    Examples:
        >>> from suppress_privacy.controls import SigmoidLeNet
        >>> victim = SigmoidLeNet(seed=0)
        >>> sent = Observer(victim, classes=10)(images[:1], labels[:1])
        >>> [gradient.shape for gradient in sent][-1]  # of the last layer's bias
        (10,)
        >>> bool(label_of(sent) == labels[0])
        True
    """

    def __init__(self, network: nn.Cell, classes: int, sent: Defence | None = None) -> None:
        self._gradients = ParameterGradients(network, sent or Defence())
        self._one_hot = np.eye(classes, dtype=np.float32)

    def __call__(self, images: np.ndarray, labels: ArrayLike) -> tuple[np.ndarray, ...]:
        """For one batch: images, float32 [B, C, H, W], and their classes."""
        found = self._gradients(Tensor(images), Tensor(self._one_hot[np.asarray(labels)]))
        return tuple(gradient.asnumpy() for gradient in found)


def label_of(gradients: tuple[np.ndarray, ...]) -> int:
    """iDLG's rule on the gradients of the last layer's bias, [K], or of its weight, [K, ...], where it has none.

    The bias's entries are p - onehot, of which only the label's is negative. The weight's rows are these times the
    layer's inputs h; the label's has negative inner products with all others, whatever the signs of h. Of two classes
    each is opposite to the other; where h is not negative, as after ReLU, the label's is the row whose sum is.
    """
    last = gradients[-1].astype(np.float64)
    if last.ndim == 1:
        return int(last.argmin())
    rows = last.reshape(len(last), -1)
    opposed = (rows @ rows.T < 0).sum(1)
    return int(np.lexsort((rows.sum(1), -opposed))[0])


def must_be_twice_differentiable(network: nn.Cell) -> None:
    """Raise ValueError, by its name, at a layer that this device cannot differentiate twice."""
    if isinstance(network, TwiceDifferentiable) or get_context("device_target") != "CPU":
        return
    for name, layer in network.cells_and_names():
        if isinstance(layer, ONCE_DIFFERENTIABLE):
            raise ValueError(
                f"network has the layer {name}, a {type(layer).__name__}, which has no second derivative on a CPU: "
                "put another in its place, or list the network's stages, as LeNet5 does, for a twin without it."
            )


def must_be_finite(views: list[GradientView]) -> None:
    """Raise ValueError unless all gradients are finite."""
    if not all(np.isfinite(gradient).all() for view in views for gradient in view.gradients):
        raise ValueError("gradients hold values that are not finite, of a network that diverged: attack another.")


def classes_of(views: list[GradientView], *, label_read: bool) -> int:
    """How many classes the network of views tells apart.

    Args:
        views: all of one network.
        label_read: `label_of` will read labels from them.

    Raises:
        ValueError: gradients that are not finite, of several images, or from which no label can be read; a layer
            without second derivatives.
    """
    must_be_finite(views)
    if views[0].batch_size > 1:
        raise ValueError(f"batch_size is {views[0].batch_size}; this attack seeks one image a gradient: give it 1.")
    network = views[0].network
    must_be_twice_differentiable(network)
    classes = network(Tensor(np.zeros((1, *views[0].image_shape), np.float32))).shape[-1]
    last = network.trainable_params()[-1]
    if label_read and len(last) != classes:
        raise ValueError(
            f"network tells {classes} classes apart, but its last trainable parameter, {last.name}, has the shape "
            f"{last.shape}, from which no label can be read: make the output layer the last one, and trainable."
        )
    return classes


def _finite(value: float) -> float:
    """An objective to compare by: what is no number is worse than any."""
    return value if np.isfinite(value) else NO_NUMBER


def came_to_nothing(end: float, *others: float) -> bool:
    """Whether an objective is no number, or not below all the others that it must come below."""
    return not all(end < other for other in others)


class End(NamedTuple):
    """What a descent came to."""

    objective: float  #: at the image
    image: np.ndarray  #: [C, H, W], within the pixels' range
    label: int  #: that was read, or found with the image
    failed: bool  #: whether the descent came to nothing


Descents = Callable[[GradientView, np.random.Generator], Iterator[End]]


def _best(views: list[GradientView], seed: int, ends: Descents) -> Reconstruction:
    """Of each view's descents, from starts that the generator draws, the best end."""
    rng = generator(seed, "gradient leakage start")
    kept = [min(ends(view, rng), key=lambda end: end.objective) for view in tqdm(views, unit="image", disable=None)]
    objectives, images, labels, failed = zip(*kept, strict=True)
    if lost := sum(failed):
        log.warning("The descents of %d of %d images came to nothing, and their images say nothing.", lost, len(views))
    return Reconstruction(np.stack(images), np.array(objectives), labels=np.array(labels), failed=np.array(failed))


def _matched(views: list[GradientView], *, seed: int, restarts: int, iters: int, label_known: bool) -> Reconstruction:
    """DLG on each view, and iDLG where the label is known: L-BFGS from each start, within the pixels' range."""
    classes = classes_of(views, label_read=label_known)
    # The network is the same in all views: compile once.
    step = ops.value_and_grad(SquaredDistance(views[0].network, views[0].sent), (0, 1))
    options = {"maxiter": iters, "maxcor": 100, "ftol": 0, "gtol": 0}
    pixels = int(np.prod(views[0].image_shape))
    bounds = [(0, 1)] * pixels + [(None, None)] * (0 if label_known else classes)
    mean = views[0].auxiliary.mean(0, dtype=np.float64).ravel()

    def ends(view: GradientView, rng: np.random.Generator) -> Iterator[End]:
        read = label_of(view.gradients) if label_known else -1
        # Mutable: as constants they would have the graph compiled anew for every image.
        targets = mutable(tuple(map(Tensor, view.gradients)))

        def objective(point: np.ndarray, scale: float) -> tuple[float, np.ndarray]:
            """The objective and its gradient at the pixels and, where the label is not known, its logits."""
            # A soft label at 50 is one-hot to float32's precision.
            logits = 50.0 * np.eye(classes)[read] if label_known else point[pixels:]
            given = point[:pixels].reshape(1, *view.image_shape), logits[None]
            known = targets, Tensor(np.float32(scale))
            value, slopes = step(*(Tensor(each.astype(np.float32)) for each in given), *known)
            sought = slopes[:1] if label_known else slopes
            slope = np.concatenate([each.asnumpy().ravel() for each in sought])
            return float(value.asnumpy()), slope.astype(np.float64)

        starts = [started(rng, pixels, 0 if label_known else classes) for _ in range(restarts)]
        # A trained network's gradients are tiny at the image and are not at the start: the first start's distance is 1.
        distance = np.sqrt(objective(starts[0], 1.0)[0])
        scale = distance if np.isfinite(distance) and distance > 0 else 1.0
        for start in starts:
            found = minimize(objective, start, (scale,), method="L-BFGS-B", jac=True, bounds=bounds, options=options)
            point = np.nan_to_num(found.x)
            value, first, of_mean = (
                objective(each, scale)[0] for each in (point, start, np.append(mean, point[pixels:]))
            )
            label = read if label_known else int(point[pixels:].argmax())
            image = point[:pixels].reshape(view.image_shape).astype(np.float32)
            # An image that the network fits has no gradient: to match no better than by none is not to match.
            of_none = _size(view) / scale**2
            yield End(_finite(value), image, label, came_to_nothing(value, FELL * first, of_mean, of_none))

    return _best(views, seed, ends)


def started(rng: np.random.Generator, pixels: int, logits: int) -> np.ndarray:
    """Where a descent starts: pixels within their range, and the logits of a label."""
    return np.concatenate([rng.uniform(0, 1, pixels), rng.standard_normal(logits)])


@attack("dlg", sees="gradients")
def dlg(views: list[GradientView], *, seed: Seed, restarts: Whole, iters: Whole) -> Reconstruction:
    """Deep leakage from gradients: image and label sought together.

    Args:
        views: one for each private image, all of one network.
        seed: draws the starts.
        restarts: starts an image; the one with the best end is kept.
        iters: most iterations of L-BFGS from each.

    Returns:
        Reconstruction; its objective is relative to that of the first start.

    Examples:
        >>> from suppress_privacy.attacks.views import GradientView
        >>> seen = GradientView(sent, victim, (1, 32, 32), known, known_labels)
        >>> found = dlg([seen], seed=0, restarts=1, iters=5)  # some hundreds find the image
        >>> found.images.shape, found.failed.shape
        ((1, 1, 32, 32), (1,))
    """
    return _matched(views, seed=seed, restarts=restarts, iters=iters, label_known=False)


@attack("idlg", sees="gradients")
def idlg(views: list[GradientView], *, seed: Seed, restarts: Whole, iters: Whole) -> Reconstruction:
    """Improved DLG: the label is read from the gradients first. Arguments as `dlg`.

    Examples:
        >>> found = idlg([seen], seed=0, restarts=1, iters=5)
        >>> bool(found.labels[0] == labels[0])
        True
    """
    return _matched(views, seed=seed, restarts=restarts, iters=iters, label_known=True)


@attack("cosine", sees="gradients")
def cosine(
    views: list[GradientView],
    *,
    seed: Seed,
    restarts: Whole,
    iters: Whole,
    lr: Positive,
    tv_weight: NotNegative | Tried,
) -> Reconstruction:
    """Cosine matching with total variation; the label by iDLG's rule, the step divided by ten at 3/8, 5/8, 7/8.

    Args:
        views: one for each private image, all of one network.
        seed: draws the starts.
        restarts: starts an image, the first from the mean image; the one with the best end is kept.
        iters: steps from each.
        lr: the first step's length, in pixel values.
        tv_weight: weight of the total variation; of several, and of what lies beyond where the best is at an end, the
            one that gets most from the gradients of images of the attacker's own.

    Returns:
        Reconstruction; where there was a choice, `chosen` has the weight and every weight's error on the own images.

    Examples:
        >>> found = cosine([seen], seed=0, restarts=1, iters=3, lr=0.1, tv_weight=0.01)
        >>> float(found.images.min()) >= 0 and float(found.images.max()) <= 1
        True
    """
    classes = classes_of(views, label_read=True)
    one = views[0]
    descend = AdamStep(CosineDistance(one.network, one.sent), signed=True)
    mean = one.auxiliary.mean(0, dtype=np.float64).astype(np.float32)

    def ends(view: GradientView, rng: np.random.Generator, weight: float, starts: int = restarts) -> Iterator[End]:
        label, norm = label_of(view.gradients), np.sqrt(_size(view))
        one_hot = Tensor(np.eye(classes, dtype=np.float32)[[label]])
        unit = [Tensor((gradient / norm).astype(np.float32)) for gradient in view.gradients]
        known = (one_hot, mutable(tuple(unit)), Tensor(np.float32(weight)))
        for number in range(starts):
            start = started(rng, mean.size, 0).reshape(mean.shape) if number else mean
            start = image = Tensor(start[None].astype(np.float32))
            first = second = ops.zeros_like(image)
            for step in range(iters):
                rate = lr * 0.1 ** sum(step >= iters * part / 8 for part in (3, 5, 7))
                image, first, second, _ = descend(image, first, second, rates(rate, step), *known)
            # Of the step, which is compiled, as the objective alone is not.
            at = (descend(each, first, second, rates(lr, 0), *known) for each in (image, start, Tensor(mean[None])))
            value, *others = (float(each.asnumpy()) for *_, each in at)
            yield End(_finite(value), np.nan_to_num(image.asnumpy()[0]), label, came_to_nothing(value, *others))

    if not isinstance(tv_weight, list):
        return _best(views, seed, partial(ends, weight=tv_weight))
    own, labels = one.auxiliary[-OWN:], one.auxiliary_labels[-OWN:]
    observe = Observer(one.network, classes, one.sent)
    seen = [replace(one, gradients=observe(own[i : i + 1], labels[i : i + 1])) for i in range(len(own))]

    def errors_of(points: list[Point]) -> list[float]:
        trials = (_best(seen, seed, partial(ends, weight=weight, starts=1)) for (weight,) in points)
        return [float(((trial.images - own) ** 2).mean()) for trial in trials]

    began = time.perf_counter()
    axes, limits = {"tv_weight": tv_weight}, {"tv_weight": (0, HEAVIEST)}
    search = searched(axes, errors_of, factors={"tv_weight": 3}, limits=limits)
    (best,), seconds = search.best, time.perf_counter() - began
    chosen = {"tv_weight": best, **search.as_data()}
    return replace(_best(views, seed, partial(ends, weight=best)), chosen=chosen, search_seconds=seconds)


def _size(view: GradientView) -> float:
    """|g*|^2, or 1 where all gradients are zero."""
    return float(sum((gradient.astype(np.float64) ** 2).sum() for gradient in view.gradients)) or 1.0
