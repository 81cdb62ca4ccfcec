"""Any network in two at a layer that is named: both halves together are the network, or there is a sentence."""

import functools
import types

import numpy as np
import pytest
from mindspore import Tensor, nn, ops

from suppress_privacy import Features
from suppress_privacy.convnet import ConvNet
from suppress_privacy.cut import cut
from suppress_privacy.lenet import Rest, predict, require_whole


class Block(nn.Cell):
    """Residual, its shortcut with or without a layer."""

    def __init__(self, channels, out):
        super().__init__()
        self.conv1, self.norm = nn.Conv2d(channels, out, 3), nn.BatchNorm2d(out)
        self.conv2, self.relu = nn.Conv2d(out, out, 3), nn.ReLU()
        self.short = nn.Conv2d(channels, out, 1) if channels != out else None

    def construct(self, x):
        y = self.conv2(self.relu(self.norm(self.conv1(x))))
        if self.short is not None:
            x = self.short(x)
        return self.relu(x + y)


class Residual(nn.Cell):
    """Layers in a row, in a list, by attribute and within each other."""

    def __init__(self, last=True):
        super().__init__()
        self.stem = nn.SequentialCell(nn.Conv2d(3, 4, 3), nn.ReLU())
        self.blocks = nn.CellList([Block(4, 6), Block(6, 6)])
        self.dense = nn.Dense(6, 5, activation="relu")
        self.head = nn.Dense(5, 4)
        self.last = last

    def construct(self, images):
        x = self.stem(images)
        for block in self.blocks:
            x = block(x)
        pooled = ops.mean(x, (2, 3))
        if self.last:
            pooled = self.dense(pooled)
        return self.head(pooled) if self.last else pooled


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).random((3, 3, 8, 8), np.float32)


@pytest.mark.parametrize("layer", ["stem", "stem.0", "stem.1", "blocks.0", "blocks.1", "dense"])
def test_both_halves_together_are_the_network(layer, images):
    network = Residual()
    features = predict(Features(network, layer), images)
    np.testing.assert_array_equal(predict(Rest(network, layer), features), predict(network, images))


def test_features_are_what_the_layer_gives(images):
    """Beside a hook, which MindSpore calls where no graph is compiled."""
    network, seen = Residual(), []
    network.dense.register_forward_hook(lambda _cell, _inputs, output: seen.append(output.asnumpy()))
    import mindspore as ms

    ms.set_context(mode=ms.PYNATIVE_MODE)
    try:
        network.set_train(False)
        network(Tensor(images))
        network.dense._forward_hook.clear()
    finally:
        ms.set_context(mode=ms.GRAPH_MODE)
    np.testing.assert_allclose(predict(Features(network, "dense"), images), seen[0], rtol=1e-5, atol=1e-6)


def test_halves_share_the_weights_and_leave_their_names(images):
    network = Residual()
    names = [parameter.name for parameter in network.get_parameters()]
    features = Features(network, "blocks.0")
    before = predict(features, images)
    network.stem[0].weight.set_data(2 * network.stem[0].weight)
    after = predict(features, images)
    assert np.abs(after - before).max() > 0
    assert [parameter.name for parameter in network.get_parameters()] == names


@pytest.mark.parametrize("layer", ["features.0", "features.2", "fc1", "fc2"])
def test_a_layer_may_be_called_features(layer, digits):
    network = ConvNet(2, channels=1, seed=0)
    features = predict(Features(network, layer), digits.test_images[:2])
    found = predict(Rest(network, layer), features)
    np.testing.assert_array_equal(found, predict(network, digits.test_images[:2]))


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        ("nowhere", "network is Residual, which has no layer 'nowhere'; it has stem, stem.0, .*: name one"),
        ("blocks", "layer is 'blocks', which is never called in Residual: name another"),
        ("blocks.0.conv1", "beside which Block looks at x: what follows depends on more than its features"),
        ("blocks.0.short", "beside which Block looks at y: what follows depends on more"),
        ("blocks.0.relu", "which is called 2 times in Block: name another"),
    ],
)
def test_where_a_network_cannot_be_cut_a_sentence_says_why(layer, message):
    with pytest.raises(ValueError, match=message):
        cut(Residual(), layer)


def test_a_layer_that_this_network_does_not_use_is_refused():
    with pytest.raises(ValueError, match=r"layer is 'dense', which is never called in Residual"):
        cut(Residual(last=False), "dense")


class Undecided(nn.Cell):
    """Calls a layer as its input wants it."""

    def __init__(self):
        super().__init__()
        self.dense, self.again, self.last = nn.Dense(2, 2), nn.Dense(2, 2), nn.Dense(2, 2)

    def construct(self, x):
        if x.sum() > 0:
            x = self.dense(x)
        for _ in range(2):
            x = self.again(x)
        return self.last(x)


@pytest.mark.parametrize("layer", ["dense", "again"])
def test_a_layer_that_may_be_called_or_not_is_refused(layer):
    with pytest.raises(ValueError, match="which Undecided calls under a condition or in a loop: name another"):
        cut(Undecided(), layer)


def test_code_that_cannot_be_read_is_refused():
    space = {"nn": nn}
    exec("class Typed(nn.Cell):\n    def construct(self, x):\n        return self.dense(x)", space)
    network = space["Typed"]()
    network.dense = nn.Dense(2, 2)
    with pytest.raises(ValueError, match="how Typed calls it cannot be read"):
        cut(network, "dense")


def doubled(construct):
    @functools.wraps(construct)
    def twice(self, x):
        return 2 * construct(self, x)

    return twice


class Nasty(nn.Cell):
    """Two layers, called in a way that another class says."""

    odd = 3

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Dense(2, 2), nn.Dense(2, 2)
        self.layers = nn.CellList([nn.Dense(2, 2), nn.Dense(2, 2)])
        self.inner = Scaled()


class Scaled(nn.Cell):
    def __init__(self):
        super().__init__()
        self.dense = nn.Dense(2, 2)

    def construct(self, x, scale=2.0, shift=0.0):
        return self.dense(scale * x + shift)


class OnAnArithmeticCondition(Nasty):
    def construct(self, x):
        if self.odd % 2:  # noqa: SIM108
            x = self.a(x)
        else:
            x = 5 * self.a(x)
        return self.b(x)


class ReturnsBefore(Nasty):
    def construct(self, x):
        if x.shape[0] > 1:
            return self.b(x)
        x = self.a(x)
        return self.b(x)


class Decorated(Nasty):
    @doubled
    def construct(self, x):
        return self.b(self.a(x))


class ByKeyword(Nasty):
    def construct(self, x):
        return self.b(self.inner(x, shift=0.5, scale=3.0))


class LeavesADefault(Nasty):
    def construct(self, x):
        return self.b(self.inner(x))


class TakesAnotherInTheLoop(Nasty):
    def construct(self, x):
        for layer in self.layers:
            layer = self.a
            x = layer(x)
        return self.b(x)


class InTraining(Nasty):
    def construct(self, x):
        if self.training:
            x = self.a(x)
        return self.b(x)


class KeepsWhatItSaw(Nasty):
    def construct(self, x):
        self.seen = x
        return self.b(self.a(x) + self.seen)


class ReadsWhatOneBranchWrote(Nasty):
    def construct(self, x):
        y = 2 * x
        x = self.a(x)
        if self.odd > 5:
            y = x
        return self.b(y)


class ByTheWay(Nasty):
    def construct(self, x):
        return self.b((y := self.a(x)) * 2) + y


class InARow(nn.SequentialCell):
    def construct(self, x):
        for layer in self:
            x = ops.tanh(layer(x))
        return x


class Breaks(Nasty):
    def construct(self, x):
        for layer in self.layers:
            x = layer(x)
            break
        return self.b(x)


@pytest.mark.parametrize(
    ("kind", "layer", "message"),
    [
        (OnAnArithmeticCondition, "a", "which is called 2 times"),
        (ReturnsBefore, "a", "before which ReturnsBefore may return"),
        (Decorated, "a", "has a construct that is decorated, which the halves would leave out"),
        (ByKeyword, "inner.dense", "inside a layer that is not given all its arguments by their place"),
        (LeavesADefault, "inner.dense", "inside a layer that is not given all its arguments by their place"),
        (TakesAnotherInTheLoop, "layers.0", "layer is 'layers.0', which is never called"),
        (InTraining, "a", "calls under a condition or in a loop"),
        (KeepsWhatItSaw, "a", "has an assignment to (s|self).seen, which is not understood here"),
        (ReadsWhatOneBranchWrote, "a", "looks at y: what follows depends on more"),
        (ByTheWay, "b", "has an assignment within an expression"),
        (Breaks, "layers.0", "layer is 'layers.0', which is never called"),
        (lambda: InARow(nn.Dense(2, 2), nn.Dense(2, 2)), "0", None),
    ],
)
def test_code_that_is_hard_to_take_apart_is_cut_right_or_refused(kind, layer, message):
    network = kind()
    if message is None:
        return require_whole(network, layer, np.ones((3, 2), np.float32))
    with pytest.raises(ValueError, match=message):
        cut(network, layer)
    return None


def test_what_hooks_or_another_construct_would_add_is_not_left_out():
    hooked, changed = Residual(), Residual()
    hooked.blocks[0].register_forward_hook(lambda _cell, _inputs, output: 2 * output)
    changed.construct = types.MethodType(lambda self, x: self.head(x), changed)
    for network, layer, message in (
        (hooked, "blocks.0.conv2", "Block has hooks"),
        (changed, "stem", "has a construct of its own, beside its class's"),
    ):
        with pytest.raises(ValueError, match=message):
            cut(network, layer)


def test_halves_that_are_not_the_network_are_found_by_their_numbers(images, monkeypatch):
    network = Residual()
    require_whole(network, "dense", images)
    monkeypatch.setattr("suppress_privacy.lenet.cut", lambda _, layer: cut(Residual(), layer))
    with pytest.raises(ValueError, match="both halves together give other outputs than the network"):
        require_whole(network, "dense", images)


class Featured(Residual):
    """Has a method of the name that LeNet5's has, which is something else."""

    def features(self, x, mean=None):
        return self.stem(x)


def test_a_method_called_features_is_taken_only_for_what_it_is(images):
    network = Featured()
    np.testing.assert_array_equal(predict(Features(network, "dense"), images).shape, (3, 5))
    require_whole(network, "dense", images)
