import mindspore as ms
import numpy as np
import pytest
from mindspore import nn
from scipy.signal import correlate

from suppress_privacy import Features, LeNet5
from suppress_privacy.lenet import DEPTHS, Rest, predict

SHAPES = {"conv1": (6, 28, 28), "conv2": (16, 10, 10), "fc1": (120,), "fc2": (84,), "logits": (10,)}


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).random((4, 1, 32, 32)).astype(np.float32)


ACTIVATIONS = {"relu": lambda x: np.maximum(x, 0), "tanh": np.tanh}


def forward(network, image, act=ACTIVATIONS["relu"]):
    """LeNet5 written out in NumPy and SciPy for one image: features by depth."""
    weights = {parameter.name: parameter.asnumpy().astype(np.float64) for parameter in network.get_parameters()}

    def convolution(x, kernels):
        return np.array([sum(correlate(c, k, "valid") for c, k in zip(x, kernel, strict=True)) for kernel in kernels])

    def pool(x):
        return x.reshape(x.shape[0], x.shape[1] // 2, 2, x.shape[2] // 2, 2).max((2, 4))

    found = {"conv1": act(convolution(image, weights["conv1.weight"]))}
    found["conv2"] = act(convolution(pool(found["conv1"]), weights["conv2.weight"]))
    x = pool(found["conv2"]).ravel()
    found["fc1"] = act(weights["fc1.weight"] @ x + weights["fc1.bias"])
    found["fc2"] = act(weights["fc2.weight"] @ found["fc1"] + weights["fc2.bias"])
    found["logits"] = weights["fc3.weight"] @ found["fc2"] + weights["fc3.bias"]
    return found


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("depth", DEPTHS)
def test_features_equal_the_network_written_out(images, depth, activation):
    network = LeNet5(seed=1, activation=activation)
    found = predict(Features(network, depth), images)
    assert found.shape == (4, *SHAPES[depth])
    expected = np.array([forward(network, image, ACTIVATIONS[activation])[depth] for image in images])
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("depth", DEPTHS)
def test_the_two_halves_of_a_network_are_the_network(images, depth):
    network = LeNet5(seed=0)
    seen = predict(Features(network, depth), images)
    assert predict(Rest(network, depth), seen) == pytest.approx(predict(network, images), abs=1e-6)


class Gradients(nn.Cell):
    """What a cell gives, and the gradients of its inputs for what comes back from above."""

    def __init__(self, cell):
        super().__init__()
        self.cell = cell
        self.gradient = ms.ops.GradOperation(get_all=True, sens_param=True)

    def construct(self, inputs, upstream):
        return self.cell(*inputs), *self.gradient(self.cell)(*inputs, upstream)


def gradients(cell, inputs, upstream):
    found = Gradients(cell)(tuple(ms.Tensor(values) for values in inputs), ms.Tensor(upstream))
    return [values.asnumpy() for values in found]


def test_the_pooling_has_the_values_and_gradients_of_a_max_pool():
    rng = np.random.default_rng(0)
    x = np.maximum(rng.standard_normal((8, 6, 28, 28)), 0).astype(np.float32)  # many ties at zero
    upstream = rng.standard_normal((8, 6, 14, 14)).astype(np.float32)
    ours, theirs = (gradients(pool, (x,), upstream) for pool in (LeNet5().pool1, nn.MaxPool2d(2, 2)))
    for one, other in zip(ours, theirs, strict=True):
        assert np.array_equal(one, other)


def test_convolution_and_pool_in_one_have_the_values_and_gradients_of_the_two():
    class InTwo(nn.Cell):
        def __init__(self):
            super().__init__()
            self.convolution = ms.ops.Conv2D(6, 5)
            self.pool = nn.MaxPool2d(2, 2)

        def construct(self, x, weight):
            return self.pool(self.convolution(x, weight))

    rng = np.random.default_rng(0)
    x = rng.random((8, 1, 32, 32)).astype(np.float32)
    x[:, :, :16] = 0  # where all four of a window are equal, the gradient goes to the first
    weight = rng.standard_normal((6, 1, 5, 5)).astype(np.float32)
    upstream = rng.standard_normal((8, 6, 14, 14)).astype(np.float32)
    ours, theirs = (gradients(cell, (x, weight), upstream) for cell in (LeNet5().pooled_conv1, InTwo()))
    for one, other in zip(ours, theirs, strict=True):
        assert np.abs(other).max() > 1
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-4)


def test_the_seed_decides_the_weights():
    def weights(seed):
        return np.concatenate([parameter.asnumpy().ravel() for parameter in LeNet5(seed=seed).get_parameters()])

    first = weights(0)
    assert len(first) == 61470 + 120 + 84 + 10  # weights, then the three biases
    assert np.array_equal(first, weights(0)) and not np.array_equal(first, weights(1))
    assert np.abs(first).max() <= 0.1  # cut at two sigma
    assert abs(first.std() - 0.05 * 0.8796) < 5e-4  # standard deviation of a normal cut at two sigma


def test_parameters_have_the_tutorials_names():
    names = [parameter.name for parameter in LeNet5(seed=0).trainable_params()]
    assert names == [
        "conv1.weight", "conv2.weight", "fc1.weight", "fc1.bias", "fc2.weight", "fc2.bias", "fc3.weight", "fc3.bias"
    ]  # fmt: skip


def test_batches_do_not_change_predictions(images):
    network = LeNet5(seed=0)
    np.testing.assert_allclose(predict(network, images, 3), predict(network, images), rtol=1e-5, atol=1e-7)
