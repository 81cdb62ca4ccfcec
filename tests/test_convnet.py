import mindspore as ms
import numpy as np
import pytest
from mindspore import nn

from suppress_privacy import MaskLayerDes, SuppressPrivacyFactory, train
from suppress_privacy.convnet import ConvNet
from suppress_privacy.mnist import Mnist
from suppress_privacy.training import sparsity


@pytest.fixture(scope="module")
def colours():
    """Ten classes of 3x32x32 images, told apart by their mean colour and half."""
    rng = np.random.default_rng(0)
    labels = np.arange(600, dtype=np.int32) % 10
    images = 0.3 * rng.random((600, 3, 32, 32)).astype(np.float32)
    for label in range(10):
        half = slice(0, 16) if label < 5 else slice(16, 32)
        images[labels == label, label % 3, half, : 16 + 3 * label] += 0.6
    return Mnist(images[:500], labels[:500], images[500:], labels[500:], name="colours", sha256={})


def test_the_seed_decides_all_weights():
    def weights(seed):
        return np.concatenate([parameter.asnumpy().ravel() for parameter in ConvNet(seed=seed).get_parameters()])

    assert np.array_equal(weights(0), weights(0)) and not np.array_equal(weights(0), weights(1))


def test_any_layers_of_a_deeper_network_are_suppressed_under_any_optimiser(colours):
    ms.set_seed(0)
    network = ConvNet()
    weights = [parameter.name for parameter in network.trainable_params() if parameter.ndim >= 2]
    assert len(weights) == 8
    chosen = weights[1:-1]  # first and last layer left alone
    layers = [MaskLayerDes(name, None, False, False, 20) for name in chosen]
    defence = SuppressPrivacyFactory().create(
        network, layers, end_epoch=6, batch_num=20, start_epoch=2, mask_times=10, lr=0.1, sparse_end=0.8
    )
    optimizer = nn.Adam(network.trainable_params(), 2e-3, weight_decay=1e-4)
    history = train(network, optimizer, colours, epochs=6, batch_size=25, seed=0, defence=defence)
    assert history.test_accuracy[-1] > 0.8
    shares = sparsity(network)
    assert all(0.78 <= shares[name] <= 0.801 for name in chosen)
    assert shares[weights[0]] == 0 and shares[weights[-1]] == 0
    assert list(defence.report()) == chosen
    # Batch norm has seen training: its running mean is no longer what it started from.
    assert np.abs(network.features[1].moving_mean.asnumpy()).max() > 0.01
