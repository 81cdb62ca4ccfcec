"""Gradients example by example: told by dense layers where they can be, else written out, and the same either way."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import nn, ops

from suppress_privacy import LeNet5
from suppress_privacy.defences.examplewise import TRIED, ClippedSum
from suppress_privacy.training import with_cross_entropy

CLIP = 0.7


class Plain(nn.Cell):
    def __init__(self):
        super().__init__()
        self.flatten, self.first, self.last = nn.Flatten(), nn.Dense(16, 16), nn.Dense(16, 3, has_bias=False)

    def construct(self, x):
        return self.last(ops.tanh(self.first(self.flatten(x))))


class Twice(Plain):
    """One layer is used two times."""

    def construct(self, x):
        return self.last(ops.tanh(self.first(ops.tanh(self.first(self.flatten(x))))))


class Elsewhere(Plain):
    """A layer's weight acts outside of it too."""

    def construct(self, x):
        x = self.flatten(x)
        return self.last(ops.tanh(self.first(x)) + ops.matmul(x, self.first.weight))


class Rarely(Plain):
    """As before, but not for the examples that it is first tried on."""

    def construct(self, x):
        x = self.flatten(x)
        return self.last(ops.tanh(self.first(x)) + ops.relu(x[:, :1] + 0.5) * ops.matmul(x, self.first.weight))


class Held(Plain):
    """As before, but by a weight that another name has."""

    def __init__(self):
        super().__init__()
        self.held = self.first.weight

    def construct(self, x):
        x = self.flatten(x)
        return self.last(ops.tanh(self.first(x)) + ops.relu(x[:, :1] + 0.5) * ops.matmul(x, self.held))


class HeldByAnother(Plain):
    def __init__(self):
        super().__init__()
        self.inner = nn.Cell()
        self.inner.several = ms.ParameterTuple([self.first.weight])

    def construct(self, x):
        x = self.flatten(x)
        gate = ops.relu(x[:, :1] + 0.5)
        return self.last(ops.tanh(self.first(x)) + gate * ops.matmul(x, self.inner.several[0]))


class Hidden(Plain):
    """As before, by a weight that nobody is seen to hold: the numbers alone can tell."""

    def __init__(self):
        super().__init__()
        self.nested = ((self.first.weight,),)

    def construct(self, x):
        x = self.flatten(x)
        return self.last(ops.tanh(self.first(x)) + ops.tanh(ops.matmul(x, self.nested[0][0])))


class Activated(nn.Cell):
    """What comes back to the layer has passed its own activation; at first nothing does."""

    def __init__(self):
        super().__init__()
        self.flatten, self.first = nn.Flatten(), nn.Dense(16, 16, activation="relu")
        self.last = nn.Dense(16, 3, weight_init="zeros")

    def construct(self, x):
        return self.last(self.first(self.flatten(x)))


class Decayed(Plain):
    """A little of the weights themselves is in the loss."""

    def construct(self, x):
        logits = super().construct(x)
        return logits + 1e-3 * (self.first.bias**2).sum() * ms.Tensor([1.0, 0, 0])


class Sequence(nn.Cell):
    """A layer sees four things of each example."""

    def __init__(self):
        super().__init__()
        self.flatten, self.first, self.last = nn.Flatten(), nn.Dense(4, 5), nn.Dense(20, 3)

    def construct(self, x):
        return self.last(self.flatten(ops.tanh(self.first(x.squeeze(1)))))


def batch(shape=(1, 4, 4), count=9):
    rng = np.random.default_rng(0)
    images = rng.normal(size=(count, *shape)).astype(np.float32)
    images[:TRIED, 0, 0, 0] = -1
    return images, rng.integers(0, 3, count).astype(np.int32)


def looped(network, images, labels):
    """The sum of clipped gradients by a loop over single examples, and how many were clipped."""
    gradient = ops.grad(with_cross_entropy(network), None, ms.ParameterTuple(network.trainable_params()))
    total, clipped = 0, 0
    for image, label in zip(images, labels, strict=True):
        own = [part.asnumpy().astype(np.float64) for part in gradient(ms.Tensor(image[None]), ms.Tensor(label[None]))]
        length = np.sqrt(sum((part**2).sum() for part in own))
        clipped += length > CLIP
        total = [one + part * min(1, CLIP / length) for one, part in zip(total or [0] * len(own), own, strict=True)]
    return total, clipped


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        (Plain, 2),
        (Twice, 0),
        (Elsewhere, 0),
        (Rarely, 0),
        (Held, 0),
        (HeldByAnother, 0),
        (Hidden, 0),
        (Activated, 0),
        (Decayed, 0),
        (Sequence, 0),
        (lambda: LeNet5(seed=0), 3),
    ],
)
def test_sums_are_those_of_a_loop_whether_layers_tell_them_or_not(kind, told):
    ms.set_seed(1)
    network = kind()
    images, labels = batch((1, 32, 32)) if isinstance(network, LeNet5) else batch()
    cell = ClippedSum(with_cross_entropy(network), ms.ParameterTuple(network.trainable_params()), CLIP)
    for _ in range(2):
        _, *found = cell(ms.Tensor(images), ms.Tensor(labels), ms.Tensor(np.ones(len(labels), np.float32)))
        wanted, clipped = looped(network, images, labels)
        assert clipped
        for one, other in zip(found, wanted, strict=True):
            assert np.abs(one.asnumpy() - other).max() <= 1e-4 * np.abs(other).max()
        for parameter in network.trainable_params():  # as an optimiser does: the sums are of the weights as they are
            parameter.set_data(parameter * 1.5 + 0.01)
    assert len(cell.biased) == told


def test_the_network_itself_is_left_as_it_is():
    network = Plain()
    names = [parameter.name for parameter in network.get_parameters()]
    cell = ClippedSum(with_cross_entropy(network), ms.ParameterTuple(network.trainable_params()), CLIP)
    images, labels = batch()
    cell(ms.Tensor(images), ms.Tensor(labels), ms.Tensor(np.ones(len(labels), np.float32)))
    assert [parameter.name for parameter in network.get_parameters()] == names
    assert {type(layer) for _, layer in network.cells_and_names()} == {Plain, nn.Flatten, nn.Dense}
