"""Every public call with every kind of bad input: one sentence that names parameter, value and remedy; nothing is done.

A case is the call, the error, and the beginning of its message; a network in `n` must stay as it was.
"""

import ast
import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from mindspore import nn

import suppress_privacy as sp
from suppress_privacy.defences.layers import PUBLISHED_LAYERS
from suppress_privacy.mnist import DataError


def layer(**changes):
    return sp.MaskLayerDes(**(PUBLISHED_LAYERS["mindarmour-example"][0] | changes))


def control(network, layers=None, **changes):
    return sp.SuppressPrivacyFactory().create(network, [layer()] if layers is None else layers, **changes)


def model(network, **changes):
    parts = {"loss_fn": nn.SoftmaxCrossEntropyWithLogits(sparse=True), "optimizer": sgd(network)}
    return sp.SuppressModel(**({"network": network} | parts | changes))


def sgd(network):
    return nn.SGD(network.trainable_params(), 0.1)


def attack(network, **changes):
    good = {"features": sp.Features(network, "fc1"), "input_shape": (1, 32, 32), "input_bound": (0, 1)}
    arguments = good | changes
    return sp.ImageInversionAttack(arguments.pop("features"), **arguments)


def train(given, **changes):
    good = {"epochs": 1, "batch_size": 10, "seed": 0}
    positional = [changes.pop(name, value) for name, value in given.train.items()]
    return sp.train(*positional, **(good | changes))


def linked(network, **changes):
    trained, made = model(network), control(network, **changes)
    trained.link_suppress_ctrl(made)
    return trained, made


IMAGES = np.full((2, 1, 32, 32), 0.5, np.float32)
FEATURES = np.ones((2, 120), np.float32)
LABELS = np.array([3, 4])

CASES = [
    # --- configure, data
    (lambda g: sp.configure("TPU"), ValueError, "device is 'TPU'; it must be 'auto' or 'Ascend' or 'GPU' or"),
    (lambda g: sp.configure(mode="eager"), ValueError, "mode is 'eager'; it must be 'graph' or 'pynative'"),
    (lambda g: sp.configure(0), TypeError, "device is 0; it must be 'auto' or 'Ascend' or 'GPU' or 'CPU'"),
    (lambda g: sp.load_mnist("nowhere"), DataError, "nowhere has no train-images-idx3-ubyte"),
    (lambda g: sp.load_mnist(7), TypeError, "source is 7; it must be 'auto', 'embedded' or a directory"),
    (lambda g: sp.load_images("fashion-mnist", "nowhere"), DataError, "nowhere has no train-images-idx3-ubyte"),
    (lambda g: sp.load_images("fashion"), ValueError, "name is 'fashion'; it must be 'mnist' or 'fashion-mnist'"),
    (lambda g: sp.generate_mnist_dataset("nowhere"), DataError, "data_path is 'nowhere', which holds no"),
    (lambda g: sp.generate_mnist_dataset(None), TypeError, "data_path is None; it must be a folder"),
    (lambda g: sp.generate_mnist_dataset(".", 0), ValueError, "batch_size is 0; it must be an integer from 1"),
    (lambda g: sp.generate_mnist_dataset(".", 32, 0), ValueError, "repeat_size is 0; it must be"),
    (lambda g: sp.generate_mnist_dataset(".", samples=0), ValueError, "samples is 0; it must be"),
    (lambda g: sp.generate_mnist_dataset(".", 32, 1, 0), ValueError, "num_samples is 0; it must be"),
    (lambda g: sp.generate_mnist_dataset(".", num_samples=3, samples=4), ValueError, "num_samples is 3 and samples 4"),
    (lambda g: sp.generate_mnist_dataset(".", 32, 1, 64, False), TypeError, "num_parallel_workers is False; it"),
    (lambda g: sp.generate_mnist_dataset(".", usage="all"), ValueError, "usage is 'all'; it must be 'train' or 'test'"),
    (lambda g: sp.generate_mnist_dataset(".", seed=-1), ValueError, "seed is -1; it must be"),
    (lambda g: sp.generate_mnist_dataset(".", num_parallel_workers=0), ValueError, "num_parallel_workers is 0; it"),
    (lambda g: sp.generate_mnist_dataset(".", sparse=1), TypeError, "sparse is 1; it must be True or False"),
    # --- networks
    (lambda g: sp.LeNet5(seed=-1), ValueError, "seed is -1; it must be an integer from 0, or None"),
    (lambda g: sp.LeNet5(seed="0"), TypeError, "seed is '0'; it must be an integer from 0, or None"),
    (lambda g: sp.Features(g.n, "fc9"), ValueError, "depth is 'fc9'; allowed are conv1, conv2, fc1, fc2, logits"),
    (lambda g: sp.Features("n", "fc1"), TypeError, "network is 'n'; it must be a nn.Cell"),
    (lambda g: sp.Features(nn.ReLU(), "fc1"), ValueError, "network is ReLU"),
    # --- layers
    (lambda g: layer(layer_name=7), TypeError, "layer_name is 7; it must be a parameter's name"),
    (lambda g: layer(layer_name=""), ValueError, "layer_name is ''; it must be a parameter's name"),
    (lambda g: layer(grad_idx="2"), TypeError, "grad_idx is '2'; it must be an integer from 0, or None"),
    (lambda g: layer(grad_idx=-1), ValueError, "grad_idx is -1; it must be an integer from 0, or None"),
    (lambda g: layer(is_add_noise=1), TypeError, "is_add_noise is 1; it must be True or False"),
    (lambda g: layer(is_lower_clip=None), TypeError, "is_lower_clip is None; it must be True or False"),
    (lambda g: layer(min_num=-2), ValueError, "min_num is -2; it must be an integer from -1"),
    (lambda g: layer(min_num=1.5), TypeError, "min_num is 1.5; it must be an integer from -1"),
    (lambda g: layer(upper_bound=0), ValueError, "upper_bound is 0; it must be a number above 0"),
    (lambda g: layer(upper_bound=float("nan")), ValueError, "upper_bound is nan; it must be a number above 0"),
    (lambda g: layer(upper_bound="1"), TypeError, "upper_bound is '1'; it must be a number above 0"),
    (lambda g: sp.maskable_layers("n"), TypeError, "network is 'n'; it must be a nn.Cell"),
    (lambda g: sp.propose_mask_layers(None), TypeError, "network is None; it must be a nn.Cell"),
    (lambda g: sp.propose_mask_layers(nn.ReLU()), ValueError, "network is a ReLU without weight matrices or kernels"),
    # --- the control
    (lambda g: control("n"), TypeError, "networks is 'n'; it must be the nn.Cell to train"),
    (lambda g: control(g.n, layer()), TypeError, "mask_layers is a MaskLayerDes; it must be a list"),
    (lambda g: control(g.n, []), ValueError, "mask_layers is []; it must be a list of at least one MaskLayerDes"),
    (lambda g: control(g.n, ["conv1"]), TypeError, "mask_layers is ['conv1']; it must be a list of at l"),
    (lambda g: control(g.n, [layer(layer_name="conv9")]), ValueError, "layer_name is 'conv9', which is none of conv1"),
    (lambda g: control(g.n, [layer(layer_name="weight")]), ValueError, "layer_name is 'weight', which matches conv1"),
    (lambda g: control(g.n, [layer(layer_name="x*")]), ValueError, "layer_name is 'x*', which matches none of conv1"),
    (
        lambda g: control(g.n, [layer(), layer(layer_name="conv1")]),
        ValueError,
        "layer_name 'conv1' names conv1.weight a",
    ),
    (
        lambda g: control(g.n, [layer(), layer(layer_name="conv*", grad_idx=None)]),
        ValueError,
        "layer_name 'conv*' names conv1.weight a second time: describe it once",
    ),
    (
        lambda g: control(g.n, [layer(grad_idx=3)]),
        ValueError,
        "grad_idx is 3, but conv1.weight is trainable parameter 0: correct it or give None",
    ),
    (lambda g: control(g.frozen), ValueError, "layer_name 'conv1.weight' names conv1.weight, which is not trained"),
    (lambda g: control(g.n, policy="federated"), ValueError, "policy is 'federated'; it must be 'local_train'"),
    (lambda g: control(g.n, policy=1), TypeError, "policy is 1; it must be 'local_train'"),
    (
        lambda g: control(g.n, end_epoch=2),
        ValueError,
        "start_epoch is 3; it must be an integer from 1 to end_epoch (2)",
    ),
    (lambda g: control(g.n, end_epoch=101), ValueError, "end_epoch is 101; it must be an integer from 1 to 100"),
    (lambda g: control(g.n, end_epoch="10"), TypeError, "end_epoch is '10'; it must be an integer from 1 to 100"),
    (lambda g: control(g.n, start_epoch=0), ValueError, "start_epoch is 0; it must be an integer from 1"),
    (lambda g: control(g.n, batch_num=0), ValueError, "batch_num is 0; it must be an integer from 1"),
    (lambda g: control(g.n, batch_num=2.5), TypeError, "batch_num is 2.5; it must be an integer from 1"),
    (lambda g: control(g.n, mask_times=0), ValueError, "mask_times is 0; it must be an integer from 1"),
    (lambda g: control(g.n, mask_times=True), TypeError, "mask_times is True; it must be an integer from 1"),
    (lambda g: control(g.n, lr=0), ValueError, "lr is 0; it must be a number above 0, at most 0.5"),
    (lambda g: control(g.n, lr=0.6), ValueError, "lr is 0.6; it must be a number above 0, at most 0.5"),
    (lambda g: control(g.n, lr="fast"), TypeError, "lr is 'fast'; it must be a number above 0, at most 0.5"),
    (lambda g: control(g.n, lr=float("nan")), ValueError, "lr is nan; it must be a number above 0, at most 0.5"),
    (lambda g: control(g.n, sparse_end=1.0), ValueError, "sparse_end is 1.0; it must be a number above 0, below 1"),
    (lambda g: control(g.n, sparse_end=None), TypeError, "sparse_end is None; it must be a number above 0, below 1"),
    (
        lambda g: control(g.n, sparse_start=0.9),
        ValueError,
        "sparse_start is 0.9; it must be a number from 0, below spa",
    ),
    (
        lambda g: control(g.n, sparse_start=-0.1),
        ValueError,
        "sparse_start is -0.1; it must be a number from 0, below 1",
    ),
    (lambda g: control(g.n, seed=-1), ValueError, "seed is -1; it must be an integer from 0"),
    (lambda g: control(g.n, compat="yes"), TypeError, "compat is 'yes'; it must be True or False"),
    (
        lambda g: control(g.n).calc_actual_sparse_for_layer("n", "fc1"),
        TypeError,
        "networks is 'n'; it must be a nn.Cell",
    ),
    (lambda g: control(g.n).calc_actual_sparse_for_layer(g.n, 1), TypeError, "layer_name is 1; it must be a parameter"),
    (lambda g: control(g.n).calc_actual_sparse_for_layer(g.n, "fc9"), ValueError, "layer_name is 'fc9', which is none"),
    (lambda g: control(g.n).calc_actual_sparse_for_layer(g.n, "fc1"), ValueError, "layer_name is 'fc1', which matches"),
    # --- training through mindspore.train.Model
    (lambda g: sp.SuppressModel("n", nn.MSELoss(), sgd(g.n)), TypeError, "network is 'n'; it must be a nn.Cell"),
    (lambda g: model(g.n, loss_fn=None), TypeError, "loss_fn is None; it must be a nn.Cell"),
    (lambda g: model(g.n, optimizer="SGD"), TypeError, "optimizer is 'SGD'; it must be a nn.Optimizer"),
    (lambda g: model(g.n, amp_level="O2"), ValueError, "amp_level or loss_scale_manager is set"),
    (lambda g: model(g.n).link_suppress_ctrl("c"), TypeError, "suppress_pri_ctrl is 'c'; it must be what SuppressPri"),
    (lambda g: model(g.n).link_suppress_ctrl(control(g.other)), ValueError, "suppress_pri_ctrl was made for another"),
    (
        lambda g: model(g.n, optimizer=nn.Adam(g.n.trainable_params())).link_suppress_ctrl(control(g.n, compat=True)),
        TypeError,
        "optimizer is Adam(); it must be nn.SGD, for a control made with compat=True",
    ),
    (lambda g: sp.SuppressMasker(g.n, control(g.n)), TypeError, "model is a LeNet5; it must be a SuppressModel"),
    (lambda g: sp.SuppressMasker(model(g.n), "c"), TypeError, "suppress_ctrl is 'c'; it must be what SuppressPrivacyF"),
    (lambda g: sp.SuppressMasker(model(g.n), control(g.n)), ValueError, "suppress_ctrl is not linked to model: call"),
    (
        lambda g: sp.SuppressMasker(*linked(g.n, batch_num=7)).on_train_begin(g.run_of(20)),
        ValueError,
        "batch_num is 7, but the dataset has 20 batches: create the control with that number",
    ),
    (
        lambda g: sp.SuppressMasker(*linked(g.n)).on_train_begin(g.run_of(20, dataset_sink_mode=True)),
        ValueError,
        "dataset_sink_mode is True; masks are updated between steps: train with False",
    ),
    (lambda g: sp.LogUtil.get_instance().set_level(None), TypeError, "level is None; it must be an integer, or text"),
    (lambda g: sp.LogUtil.get_instance().add_handler("h"), TypeError, "handler is 'h'; it must be a Handler"),
    # --- training by the loop
    (lambda g: train(g, network="n"), TypeError, "network is 'n'; it must be the nn.Cell to train"),
    (lambda g: train(g, optimizer=0.1), TypeError, "optimizer is 0.1; it must be a nn.Optimizer"),
    (lambda g: train(g, data=IMAGES), TypeError, "data is an array of shape (2, 1, 32, 32)"),
    (lambda g: train(g, epochs=0), ValueError, "epochs is 0; it must be an integer from 1"),
    (lambda g: train(g, epochs=1.5), TypeError, "epochs is 1.5; it must be an integer from 1"),
    (lambda g: train(g, batch_size=0), ValueError, "batch_size is 0; it must be an integer from 1 to 40"),
    (lambda g: train(g, batch_size=41), ValueError, "batch_size is 41; it must be an integer from 1 to 40"),
    (lambda g: train(g, data=replace(g.few, train_labels=g.few.train_labels[:0])), ValueError, "train_labels is an"),
    (lambda g: train(g, seed=None), TypeError, "seed is None; it must be an integer from 0"),
    (lambda g: train(g, defence="suppress"), TypeError, "defence is 'suppress'; it must be a Defence, or None"),
    (lambda g: train(g, save_every=0), ValueError, "save_every is 0; it must be an integer from 1, the steps"),
    (lambda g: train(g, resume="yes"), ValueError, "resume is 'yes'; it must be False or True or 'last-good'"),
    (lambda g: train(g, resume=True), ValueError, "checkpoints is None, but resume or save_every needs a folder"),
    (lambda g: sp.load_checkpoint(g.n, "none.ckpt"), ValueError, "none.ckpt is not a checkpoint file (No such file or"),
    (lambda g: sp.load_checkpoint("n", "none.ckpt"), TypeError, "network is 'n'; it must be a nn.Cell"),
    (lambda g: sp.save_checkpoint("n", g.folder / "n.ckpt"), TypeError, "network is 'n'; it must be a nn.Cell"),
    # --- the attack
    (lambda g: attack(g.n, features="n"), TypeError, "network is 'n'; it must be a nn.Cell from images to features"),
    (lambda g: attack(g.n, input_shape=(32, 32)), ValueError, "input_shape is (32, 32); it must be three positive"),
    (lambda g: attack(g.n, input_shape=(1, 0, 32)), ValueError, "input_shape is (1, 0, 32); it must be three positive"),
    (lambda g: attack(g.n, input_shape=32), TypeError, "input_shape is 32; it must be three positive integers"),
    (lambda g: attack(g.n, input_bound=(1, 0)), ValueError, "input_bound is (1, 0); it must be a smaller and a larger"),
    (lambda g: attack(g.n, input_bound=(0, "1")), TypeError, "input_bound is (0, '1'); it must be a smaller and a l"),
    (
        lambda g: attack(g.n, loss_weights=(1, 0, 5)),
        ValueError,
        "loss_weights is (1, 0, 5); it must be three numbers above",
    ),
    (
        lambda g: attack(g.n, loss_weights=(1, 5)),
        ValueError,
        "loss_weights is (1, 5); it must be three numbers above 0",
    ),
    (lambda g: attack(g.n, loss_weights=None), TypeError, "loss_weights is None; it must be three numbers above 0"),
    (lambda g: attack(g.n, smoothness="gpu"), ValueError, "smoothness is 'gpu'; it must be 'cpu' or 'ascend'"),
    (lambda g: attack(g.n, seed=-1), ValueError, "seed is -1; it must be an integer from 0"),
    (lambda g: attack(g.n, batch_size=0), ValueError, "batch_size is 0; it must be an integer from 1"),
    (lambda g: attack(g.n, compat=1), TypeError, "compat is 1; it must be True or False"),
    (lambda g: g.attack.generate("f"), TypeError, "target_features is 'f'; it must be a numpy.ndarray"),
    (lambda g: g.attack.generate(FEATURES.astype(str)), TypeError, "target_features is an array of shape (2, 120) and"),
    (lambda g: g.attack.generate(FEATURES[:, :84]), ValueError, "target_features has shape (2, 84); the network gives"),
    (lambda g: g.attack.generate(FEATURES[:0]), ValueError, "target_features has shape (0, 120); the network gives"),
    (lambda g: g.attack.generate(FEATURES * np.nan), ValueError, "target_features holds values that are not finite"),
    (lambda g: g.attack.generate(FEATURES * np.inf), ValueError, "target_features holds values that are not finite"),
    (lambda g: g.attack.generate(FEATURES, 0), ValueError, "iters is 0; it must be an integer from 1"),
    (lambda g: g.attack.generate(FEATURES, 1.5), TypeError, "iters is 1.5; it must be an integer from 1"),
    (lambda g: g.attack.evaluate([1], IMAGES), TypeError, "original_images is [1]; it must be a numpy.ndarray"),
    (lambda g: g.attack.evaluate(IMAGES, None), TypeError, "inversion_images is None; it must be a numpy.ndarray"),
    (lambda g: g.attack.evaluate(IMAGES, IMAGES[:1]), ValueError, "originals have shape (2, 1, 32, 32), images (1, 1"),
    (lambda g: g.attack.evaluate(IMAGES[:0], IMAGES[:0]), ValueError, "originals have shape (0, 1, 32, 32), images"),
    (lambda g: g.attack.evaluate(IMAGES, IMAGES * np.nan), ValueError, "originals or images hold values that are not"),
    (lambda g: g.attack.evaluate(0 * IMAGES, IMAGES), ValueError, "original image 0 is black"),
    (lambda g: g.attack.evaluate(IMAGES, IMAGES, [3, 4], g.n), TypeError, "labels is [3, 4]; it must be a numpy.ndarr"),
    (lambda g: g.attack.evaluate(IMAGES, IMAGES, LABELS[:1], g.n), ValueError, "labels is an array of shape (1,)"),
    (lambda g: g.attack.evaluate(IMAGES, IMAGES, LABELS / 2, g.n), ValueError, "labels is an array of shape (2,) and"),
    (lambda g: g.attack.evaluate(IMAGES, IMAGES, LABELS + 7, g.n), ValueError, "labels has values from 10 to 11; new_"),
    (lambda g: g.attack.evaluate(IMAGES, IMAGES, LABELS, "n"), TypeError, "new_network is 'n'; it must be a nn.Cell"),
]


@pytest.fixture(scope="module")
def given(digits, tmp_path_factory):
    network, frozen = sp.LeNet5(seed=0), sp.LeNet5(seed=0)
    frozen.conv1.weight.requires_grad = False
    few = replace(digits, train_images=digits.train_images[:40], train_labels=digits.train_labels[:40])

    def run_of(batches, dataset_sink_mode=False):
        run = SimpleNamespace(batch_num=batches, dataset_sink_mode=dataset_sink_mode)
        return SimpleNamespace(original_args=lambda: run)

    return SimpleNamespace(
        n=network,
        other=sp.LeNet5(seed=1),
        frozen=frozen,
        few=few,
        folder=tmp_path_factory.mktemp("bad"),
        attack=attack(network),
        train={"network": network, "optimizer": sgd(network), "data": few},
        run_of=run_of,
    )


def state_of(network):
    return {
        parameter.name: (parameter.asnumpy().tobytes(), parameter.requires_grad)
        for parameter in network.get_parameters()
    } | {"training": network.training}


@pytest.mark.parametrize(("call", "error", "message"), CASES, ids=[message[:40] for _, _, message in CASES])
def test_bad_input_gets_one_sentence_and_changes_nothing(given, call, error, message):
    before = state_of(given.n)
    with pytest.raises(error, match=rf"\A{re.escape(message)}") as caught:
        call(given)
    sentence = str(caught.value)
    assert "\n" not in sentence and ":" in sentence[len(message) // 2 :] and sentence.endswith(".")
    assert state_of(given.n) == before
    assert list(given.folder.iterdir()) == []


def test_every_public_name_is_in_the_table():
    used = {
        node.attr
        for node in ast.walk(ast.parse(Path(__file__).read_text()))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "sp"
    }
    internal = {"Defence", "SuppressCtrl"}  # a base class to implement; made by the factory alone
    assert set(sp.__all__) - used == internal
