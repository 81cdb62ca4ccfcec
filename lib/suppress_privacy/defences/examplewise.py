"""Every example's own gradient, clipped and summed: what DP-SGD does to a batch before it adds noise.

The gradient of a dense layer's weight by one example is the outer product of what the example sends into the layer
and what comes back to its output. Its length is the product of theirs, and the clipped sum a product of matrices: so
it need never be written out (Goodfellow 2015, "Efficient per-example gradient computations").
"""

import copy
from collections import Counter
from collections.abc import Sequence
from typing import Any

import mindspore as ms
import numpy as np
from mindspore import Parameter, ParameterTuple, Tensor, nn, ops

from suppress_privacy.runtime import generator, operator_by_operator

LARGEST_LOSS = 88.0  #: of one example, in nats; MindSpore's cross-entropy is infinite where a probability underflows
TINY = 1e-12  #: below any gradient's norm that matters; keeps the division defined
TRIED = 3  #: examples on which the one is held beside the other
CLOSE = 1e-5  #: of the largest entry, within which two ways to the same gradient agree in float32


class Counted(nn.Dense):
    """A dense layer that counts how often its weight and its bias are asked for, by itself or by others."""

    def __getattribute__(self, name: str) -> Any:
        if name in ("weight", "bias"):
            reads = super().__getattribute__("reads")
            reads[name] = reads.get(name, 0) + 1
        return super().__getattribute__(name)


class Seen(nn.Cell):
    """Adds zeros, by which the gradient is what was added to."""

    def construct(self, x: Tensor, zeros: Tensor) -> Tensor:
        return x + zeros

    def bprop(self, x: Tensor, zeros: Tensor, out: Tensor, back: Tensor) -> tuple[Tensor, Tensor]:
        return back, x


class Probed(nn.Dense):
    """A dense layer that tells, as gradients by zeros, what goes into it and what comes back to its output."""

    def probe(self, name: str) -> None:
        """Make an ordinary layer that is of this class now ready."""
        self.look = Seen()
        self.into = Parameter(Tensor(np.zeros((1, self.in_channels), np.float32)), name=f"into.{name}")
        self.back = Parameter(Tensor(np.zeros((1, self.out_channels), np.float32)), name=f"back.{name}")

    def construct(self, x: Tensor) -> Tensor:
        return super().construct(self.look(x, self.into)) + self.back

    def own(self) -> list[Parameter]:
        return [self.weight, self.bias] if self.has_bias else [self.weight]


def probed(forward: nn.Cell, images: Tensor, labels: Tensor) -> tuple[nn.Cell, list[Probed]]:
    """A copy of a network and its loss that shares all parameters, and its dense layers if they tell their gradients.

    They do where outer products are the whole gradients: not where a weight is used twice, or elsewhere than in its
    layer, or an activation stands between. That is looked for in who holds a weight and how often it is asked for, and
    tried on each example, as it is and in noise.
    """
    twin = copy.deepcopy(forward, {id(parameter): parameter for parameter in forward.get_parameters()})
    layers = {name: layer for name, layer in twin.cells_and_names() if type(layer) is nn.Dense}
    if any(layer.activation is not None for layer in layers.values()):
        return twin, []
    held = Counter(number for _, cell in twin.cells_and_names() for number in _held(cell))
    for layer in layers.values():
        layer.reads = {}
        layer.__class__ = Counted
    with operator_by_operator():
        twin(images[:1], labels[:1])
    once = all(layer.reads == dict.fromkeys(("weight", "bias")[: 1 + layer.has_bias], 1) for layer in layers.values())
    for name, layer in layers.items():
        layer.__class__ = Probed
        layer.probe(name)
    found = list(layers.values())
    once = once and all(held[id(parameter)] == 1 for layer in found for parameter in layer.own())
    return twin, found if found and once and tells_all(forward, twin, found, images, labels) else []


def _held(cell: nn.Cell) -> set[int]:
    """The parameters that a cell holds itself, alone or in a collection."""
    found: set[int] = set()
    for value in vars(cell).values():
        items = value.values() if isinstance(value, dict) else value if isinstance(value, (list, tuple)) else [value]
        found |= {id(item) for item in items if isinstance(item, Parameter)}
    return found


def tells_all(forward: nn.Cell, twin: nn.Cell, layers: Sequence[Probed], images: Tensor, labels: Tensor) -> bool:
    """Whether outer products are the gradients of the layers' weights, and what comes back those of their biases.

    A gradient that is zero in all trials shows nothing; the other parameters' must be those of the network itself.
    """
    owned = [parameter for layer in layers for parameter in layer.own()]
    told_of = {id(parameter) for parameter in owned}
    others = [parameter for parameter in forward.trainable_params() if id(parameter) not in told_of]
    probes = [probe for layer in layers for probe in (layer.into, layer.back)]
    rng, shown = generator(0, "trials"), np.zeros(len(owned), bool)

    def gradients(cell: nn.Cell, parameters: list[Parameter], *one: Tensor) -> list[np.ndarray]:
        return [each.asnumpy() for each in ops.grad(cell, None, ParameterTuple(parameters))(*one)]

    with operator_by_operator():
        for number in range(len(labels)):
            image, label = images[number : number + 1].asnumpy(), labels[number : number + 1]
            noise = rng.standard_normal(image.shape) if np.issubdtype(image.dtype, np.floating) else 0
            for tried in (Tensor(image), Tensor((image + noise).astype(image.dtype))):
                whole = gradients(forward, owned + others, tried, label)
                parts = gradients(twin, probes + others, tried, label)
                if any(part.shape != probe.shape for part, probe in zip(parts, probes, strict=False)):
                    return False
                told: list[np.ndarray] = []
                for layer, into, back in zip(layers, parts[::2], parts[1::2], strict=False):
                    told += [back.T @ into, back[0]][: len(layer.own())]
                told += parts[len(probes) :]
                largest = [np.abs(full).max() for full in whole]
                if any(np.abs(a - b).max() > CLOSE * most for a, b, most in zip(told, whole, largest, strict=True)):
                    return False
                shown |= np.array(largest[: len(owned)]) > 0
    return bool(shown.all())


class ClippedSum(nn.Cell):
    """The sum of every example's own gradient, each at most as long as the clipping norm.

    Args:
        forward: from images and labels to their mean loss.
        parameters: to differentiate by.
        clip_norm: C, the largest Euclidean norm over all parameters together; infinity clips nothing.

    Inputs:
        images, float32 [B, ...]; labels, int32 [B]; present, float32 [B], 0 for examples that only fill the batch up.

    Outputs:
        The sum of losses, each counted as `LARGEST_LOSS` at most, then one sum a parameter, of its shape.
    """

    def __init__(self, forward: nn.Cell, parameters: ParameterTuple, clip_norm: float) -> None:
        super().__init__(auto_prefix=False)
        self.forward, self.parameters, self.clip_norm = forward, parameters, clip_norm
        self.ready = False

    def __call__(self, images: Tensor, labels: Tensor, present: Tensor) -> tuple[Tensor, ...]:
        if not self.ready:
            self._prepare(images[:TRIED], labels[:TRIED])
            self.ready = True
        return super().__call__(images, labels, present)

    def _prepare(self, *examples: Tensor) -> None:
        """Settle, on a few examples, which gradients are written out and which are told by their layers."""
        forward, layers, wanted = self.forward, [], {id(parameter) for parameter in self.parameters}
        if ms.get_context("mode") == ms.GRAPH_MODE:
            try:
                twin, found = probed(forward, *examples)
                if found and {id(parameter) for layer in found for parameter in layer.own()} <= wanted:
                    forward, layers = twin, found
            except (RuntimeError, TypeError, ValueError, AttributeError):
                pass  # a network that cannot be copied, or is no function of one example: all is written out
        self._settle(forward, layers)

    def _settle(self, forward: nn.Cell, layers: Sequence[Probed]) -> None:
        told = {
            id(each): (1 + of, number) for number, layer in enumerate(layers) for of, each in enumerate(layer.own())
        }
        whole = [parameter for parameter in self.parameters if id(parameter) not in told]
        places = told | {id(parameter): (0, number) for number, parameter in enumerate(whole)}
        self.whole, self.places = len(whole), tuple(places[id(parameter)] for parameter in self.parameters)
        self.biased = tuple(float(layer.has_bias) for layer in layers)
        self.twin = forward  # a child, so that train and eval modes reach it
        sought = ParameterTuple([*whole, *(probe for layer in layers for probe in (layer.into, layer.back))])
        loss_and_gradient = ops.value_and_grad(forward, None, sought)

        def of_one(image: Tensor, label: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
            return loss_and_gradient(image.expand_dims(0), label.expand_dims(0))

        self.of_each = ops.vmap(of_one, (0, 0))

    def construct(self, images: Tensor, labels: Tensor, present: Tensor) -> tuple[Tensor, ...]:
        losses, found = self.of_each(images, labels)
        squares = ops.zeros_like(present)
        for index in range(self.whole):
            squares += ops.square(found[index]).reshape(present.shape[0], -1).sum(1)
        for number in range(len(self.biased)):
            into, back = found[self.whole + 2 * number], found[self.whole + 2 * number + 1]
            squares += (ops.square(into).sum((1, 2)) + self.biased[number]) * ops.square(back).sum((1, 2))
        factors = present * ops.minimum(self.clip_norm / (ops.sqrt(squares) + TINY), ops.ones_like(present))
        losses = ops.minimum(losses, LARGEST_LOSS * ops.ones_like(present))
        sums: tuple[Tensor, ...] = ((losses * present).sum(),)
        for kind, index in self.places:
            if kind == 0:
                flat = found[index].reshape(present.shape[0], -1)
                sums += (ops.matmul(factors.expand_dims(0), flat).reshape(found[index].shape[1:]),)
            else:
                scaled = found[self.whole + 2 * index + 1].squeeze(1) * factors.expand_dims(1)
                into = found[self.whole + 2 * index].squeeze(1)
                sums += (ops.matmul(scaled.swapaxes(0, 1), into) if kind == 1 else scaled.sum(0),)
        return sums
