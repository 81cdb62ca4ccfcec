import mindspore as ms
import numpy as np
import pytest
from mindspore import nn

from suppress_privacy.attacks.views import FeatureView
from suppress_privacy.lenet import predict

SIDE = 8


class Linear(nn.Cell):
    """All pixels, mixed by an orthogonal matrix and shifted so that none is lost to a ReLU elsewhere."""

    def __init__(self, rng):
        super().__init__()
        mixing = np.linalg.qr(rng.standard_normal((SIDE**2, SIDE**2)))[0].astype(np.float32)
        self.dense = nn.Dense(SIDE**2, SIDE**2, ms.Tensor(mixing), "ones")

    def construct(self, x):
        return self.dense(x.reshape(x.shape[0], -1))


class Sign(nn.Cell):
    """A stand-in for the other half of a network: two logits from the first feature."""

    def construct(self, x):
        return ms.ops.stack((-x[:, 0], x[:, 0]), 1)


@pytest.fixture
def planted():
    """A linear network, seen through random images: what an exact attack gives back exactly."""
    rng = np.random.default_rng(0)
    network = Linear(rng)
    auxiliary = rng.random((400, 1, SIDE, SIDE)).astype(np.float32)
    originals = rng.random((12, 1, SIDE, SIDE)).astype(np.float32)
    labels = (predict(network, auxiliary)[:, 0] > 0).astype(np.int32)
    return FeatureView(predict(network, originals), network, Sign(), auxiliary, labels), originals


@pytest.fixture
def dead(planted):
    """The same with all features zero: nothing to learn from."""
    view, _ = planted
    for parameter in view.network.get_parameters():
        parameter.set_data(ms.ops.zeros_like(parameter))
    return FeatureView(np.zeros_like(view.features), view.network, view.rest, view.auxiliary, view.auxiliary_labels)


@pytest.fixture
def mean_image(planted):
    """What the mean image scores, as mean squared error."""
    view, originals = planted
    return float(((view.auxiliary.mean(0) - originals) ** 2).mean())
