import mindspore as ms
import numpy as np
import pytest
from mindspore import nn, ops

from suppress_privacy.evaluation import mechanism
from suppress_privacy.lenet import Features, LeNet5, predict


class Quadratic(nn.Cell):
    def __init__(self, weight):
        super().__init__()
        self.dense = nn.Dense(16, 5, ms.Tensor(weight), has_bias=False)

    def construct(self, x):
        return ops.square(self.dense(x.reshape(x.shape[0], -1)))


def test_the_jacobian_of_a_known_function():
    rng = np.random.default_rng(0)
    weight = rng.standard_normal((5, 16)).astype(np.float32)
    images = rng.random((3, 1, 4, 4)).astype(np.float32)
    found = mechanism.jacobians(Quadratic(weight), images)
    wanted = 2 * (images.reshape(3, 16) @ weight.T)[:, :, None] * weight
    assert found == pytest.approx(wanted, rel=1e-4, abs=1e-5)


def test_the_jacobian_of_lenet_predicts_a_small_change():
    network = Features(LeNet5(seed=0), "fc1")
    # Noise, not digits: where pixels are equal, as on black, max pooling has a kink.
    images = np.random.default_rng(1).random((2, 1, 32, 32), np.float32)
    shift = 2e-4 * np.random.default_rng(0).standard_normal(images.shape).astype(np.float32)
    change = predict(network, images + shift) - predict(network, images - shift)
    predicted = 2 * np.einsum("nfp,np->nf", mechanism.jacobians(network, images), shift.reshape(2, -1))
    assert np.linalg.norm(change - predicted) < 0.05 * np.linalg.norm(change)


def test_effective_rank_of_known_matrices():
    identity = np.eye(4, 9)
    one = np.outer([1.0, 2, 3, 4], np.ones(9))
    found = mechanism.effective_rank(np.stack([identity, 7 * identity, one, 0 * one]))
    assert found == pytest.approx([4, 4, 1, 0], abs=1e-6)


def test_dead_units_and_norms():
    features = np.array([[0, 3, 0, 1], [0, 4, 0, 0]], np.float32)
    assert mechanism.dead_units(features) == 0.5
    assert mechanism.feature_norm(features) == pytest.approx([np.sqrt(10), 4])
