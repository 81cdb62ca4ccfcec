"""Every example's own gradient, clipped and summed: what DP-SGD does to a batch before it adds noise.

The gradient of a dense layer's weight by one example is the outer product of what the example sends into the layer
and what comes back to its output. Its length is the product of theirs, and the clipped sum a product of matrices: so
it need never be written out (Goodfellow 2015, "Efficient per-example gradient computations").
"""

import copy
from collections.abc import Sequence

import mindspore as ms
import numpy as np
from mindspore import Parameter, ParameterTuple, Tensor, nn, ops

from suppress_privacy.runtime import operator_by_operator

LARGEST_LOSS = 88.0  # of one example, in nats: MindSpore's cross-entropy is infinite where a probability underflows
TINY = 1e-12  # below any gradient's norm that matters; keeps the division defined
CLOSE = 1e-3, 1e-6  # relative and absolute, within which two ways to the same gradient agree in float32


class Seen(nn.Cell):
    """Adds zeros, by which the gradient is what was added to."""

    def construct(self, x: Tensor, zeros: Tensor) -> Tensor:
        return x + zeros

    def bprop(self, x: Tensor, zeros: Tensor, out: Tensor, back: Tensor) -> tuple[Tensor, Tensor]:
        return back, x


class Probed(nn.Dense):
    """A dense layer that tells, as gradients by zeros, what goes into it and what comes back to its output."""

    def probe(self, name: str) -> tuple[Parameter, Parameter]:
        """Make an ordinary layer of this class ready; what its gradients are to be taken by."""
        self.look = Seen()
        self.into = Parameter(Tensor(np.zeros((1, self.in_channels), np.float32)), name=f"into.{name}")
        self.back = Parameter(Tensor(np.zeros((1, self.out_channels), np.float32)), name=f"back.{name}")
        return self.into, self.back

    def construct(self, x: Tensor) -> Tensor:
        return super().construct(self.look(x, self.into)) + self.back


def probed(forward: nn.Cell) -> tuple[nn.Cell, list[tuple[Probed, Parameter, Parameter]]]:
    """A copy of a network and its loss that shares all parameters, and its dense layers with their probes."""
    twin = copy.deepcopy(forward, {id(parameter): parameter for parameter in forward.get_parameters()})
    layers = []
    for name, layer in twin.cells_and_names():
        if type(layer) is nn.Dense:
            layer.__class__ = Probed
            layers.append((layer, *layer.probe(name)))
    return twin, layers


def tells_all(
    forward: nn.Cell, twin: nn.Cell, layers: Sequence[tuple[Probed, Parameter, Parameter]], *one: Tensor
) -> bool:
    """Whether outer products are the whole gradients of the layers' weights, tried on one example.

    They are not where a weight is used twice, or elsewhere than in its layer.
    """
    weights = [layer.weight for layer, _, _ in layers] + [layer.bias for layer, _, _ in layers if layer.has_bias]
    probes = [probe for _, *both in layers for probe in both]
    with operator_by_operator():
        whole = ops.grad(forward, None, ParameterTuple(weights))(*one)
        parts = [part.asnumpy() for part in ops.grad(twin, None, ParameterTuple(probes))(*one)]
    if any(part.shape != probe.shape for part, probe in zip(parts, probes, strict=True)):
        return False
    told = [back.T @ into for into, back in zip(parts[::2], parts[1::2], strict=True)]
    told += [back[0] for (layer, _, _), back in zip(layers, parts[1::2], strict=True) if layer.has_bias]
    return all(np.allclose(mine, full.asnumpy(), *CLOSE) for mine, full in zip(told, whole, strict=True))


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
            self._prepare(images[:1], labels[:1])
            self.ready = True
        return super().__call__(images, labels, present)

    def _prepare(self, *one: Tensor) -> None:
        """Settle, on one example, which gradients are written out and which are told by their layers."""
        wanted = {id(parameter) for parameter in self.parameters}
        forward, layers = self.forward, []
        if ms.get_context("mode") == ms.GRAPH_MODE:
            try:
                twin, found = probed(forward)
                dense = [each for each in found if {id(each[0].weight)} | self._bias(each[0]) <= wanted]
                if dense and len(dense) == len(found) and tells_all(forward, twin, dense, *one):
                    forward, layers = twin, dense
            except (RuntimeError, TypeError, ValueError, AttributeError):
                pass  # a network that cannot be copied, or is no function of one example: all is written out
        self._settle(forward, layers)

    @staticmethod
    def _bias(layer: nn.Dense) -> set[int]:
        return {id(layer.bias)} if layer.has_bias else set()

    def _settle(self, forward: nn.Cell, layers: Sequence[tuple[Probed, Parameter, Parameter]]) -> None:
        of_layers = {id(layer.weight): (1, number) for number, (layer, _, _) in enumerate(layers)}
        of_layers |= {id(layer.bias): (2, number) for number, (layer, _, _) in enumerate(layers) if layer.has_bias}
        whole = [parameter for parameter in self.parameters if id(parameter) not in of_layers]
        of_whole = {id(parameter): (0, number) for number, parameter in enumerate(whole)}
        self.whole, self.places = len(whole), tuple((of_layers | of_whole)[id(each)] for each in self.parameters)
        self.biased = tuple(float(layer.has_bias) for layer, _, _ in layers)
        self.twin = forward  # a child, so that train and eval modes reach it
        sought = ParameterTuple([*whole, *(probe for _, *both in layers for probe in both)])
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
