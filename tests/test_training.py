from dataclasses import replace

import mindspore as ms
import numpy as np
import pytest
from mindspore import nn
from mindspore.train import CheckpointConfig, ModelCheckpoint
from mindspore.train.checkpoint_pb2 import Checkpoint
from scipy.special import log_softmax, softmax

import suppress_privacy as sp
from small import Small
from suppress_privacy import Defence, LeNet5, configure, load_checkpoint, save_checkpoint, train, training
from suppress_privacy.defences import dpsgd, examplewise

PARTS = ("train", "test")


def weights(network):
    return {parameter.name: parameter.asnumpy().copy() for parameter in network.get_parameters()}


@pytest.fixture(scope="module")
def few(digits):
    chosen = np.arange(0, 4000, 20)
    few = replace(digits, train_images=digits.train_images[chosen], train_labels=digits.train_labels[chosen])
    return replace(few, test_images=digits.test_images[::5], test_labels=digits.test_labels[::5])


def trained(data, seed=0, epochs=1, kind=Small, **options):
    network = kind(seed)
    optimizer = nn.Momentum(network.trainable_params(), 0.05, 0.9)
    history = train(network, optimizer, data, epochs=epochs, batch_size=20, seed=seed, **options)
    return network, history


def test_one_step_is_that_of_softmax_regression():
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((16, 5)).astype(np.float32), rng.integers(0, 3, 16).astype(np.int32)
    network = nn.Dense(5, 3)
    before = weights(network)
    step = training.TrainStep(training.with_cross_entropy(network), nn.SGD(network.trainable_params(), 0.5), Defence())
    loss = float(step(ms.Tensor(x), ms.Tensor(y)))
    logits = x @ before["weight"].T + before["bias"]
    error = (softmax(logits, 1) - np.eye(3)[y]) / 16
    assert loss == pytest.approx(-log_softmax(logits, 1)[np.arange(16), y].mean(), rel=1e-5)
    np.testing.assert_allclose(network.weight.asnumpy(), before["weight"] - 0.5 * error.T @ x, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(network.bias.asnumpy(), before["bias"] - 0.5 * error.sum(0), rtol=1e-4, atol=1e-6)


def test_the_same_seed_gives_the_same_weights_bit_for_bit(few):
    first, again, other = (weights(trained(few, seed)[0]) for seed in (0, 0, 1))
    assert all(np.array_equal(first[name], again[name]) for name in first)
    assert not any(np.array_equal(first[name], other[name]) for name in first)


def test_history_has_one_entry_an_epoch_and_learns(digits):
    half = replace(digits, train_images=digits.train_images[::2], train_labels=digits.train_labels[::2])
    network, history = trained(half, epochs=3, kind=LeNet5)
    assert len(history.loss) == len(history.test_accuracy) == 3
    assert history.loss[-1] < 0.5 * history.loss[0]
    assert history.test_accuracy[-1] > 0.85
    assert history.test_accuracy[-1] == training.accuracy(network, digits.test_images, digits.test_labels)
    assert history.sparsity.keys() == {"conv1.weight", "conv2.weight", "fc1.weight", "fc2.weight", "fc3.weight"}
    assert all(share == 0 for shares in history.sparsity.values() for share in shares)


def test_a_defence_is_asked_at_its_three_points(few):
    class Halving(Defence):
        """Stops all learning by its gradients, then sets every bias of the last layer to 7."""

        def __init__(self, bias):
            super().__init__(auto_prefix=False)
            self.bias = bias
            self.steps = []

        def on_gradients(self, gradients):
            return ms.ops.HyperMap()(ms.ops.zeros_like, gradients)

        def after_update(self):
            ms.ops.assign(self.bias, ms.ops.full_like(self.bias, 7))

        def after_step(self, step):
            self.steps.append(step)

    network = Small(0)
    before = weights(network)
    defence = Halving(network.fc3.bias)
    optimizer = nn.SGD(network.trainable_params(), 0.1)
    train(network, optimizer, few, epochs=2, batch_size=20, seed=0, defence=defence)
    after = weights(network)
    assert defence.steps == list(range(1, 21))
    assert np.all(after["fc3.bias"] == 7)
    assert all(np.array_equal(before[name], after[name]) for name in before if name != "fc3.bias")


def test_the_history_has_the_accuracy_that_the_defence_leaves(few):
    class Coarse(Defence):
        def correct(self, network, images, labels):
            return super().correct(network, images[:10], labels[:10])

    network, history = trained(few, epochs=2, defence=Coarse())
    last = training.accuracy(network, few.test_images[:10], few.test_labels[:10])
    assert history.test_accuracy[-1] == pytest.approx(last)


def test_images_to_choose_on_are_told_from_those_that_are_reported(few):
    aside = np.arange(0, len(few.test_labels), 3)
    network, history = trained(replace(few, validation=aside), epochs=2)
    others = np.setdiff1d(np.arange(len(few.test_labels)), aside)
    for found, where in ((history.validation_accuracy, aside), (history.reported_accuracy, others)):
        assert len(found) == 2
        assert found[-1] == training.accuracy(network, few.test_images[where], few.test_labels[where])
    assert history.to_choose_by() == history.validation_accuracy != history.test_accuracy
    assert history.test_accuracy[-1] == training.accuracy(network, few.test_images, few.test_labels)
    assert history.until(1).reported_accuracy == history.reported_accuracy[:1]
    undivided = trained(few, epochs=2)[1]
    assert undivided.to_choose_by() == undivided.test_accuracy == history.test_accuracy
    assert undivided.validation_accuracy == undivided.reported_accuracy == []


def test_a_plain_defence_releases_any_features_as_they_are():
    features = np.ones((2, 3), np.float32)
    assert Defence().release(features, np.random.default_rng(0)) is features and Defence().releases is None


def test_a_plan_counts_whole_batches(few):
    plan = training.Plan(few, epochs=2, batch_size=30, lr=0.1, seed=0)
    assert plan.steps == 6


def test_checkpoints_are_named_and_kept_as_in_the_tutorial(few, tmp_path):
    network, _ = trained(few, epochs=12, checkpoints=tmp_path)
    found = training.checkpoints_in(tmp_path)
    assert [path.name for path in found] == [f"checkpoint_lenet-{epoch}_10.ckpt" for epoch in range(3, 13)]
    states = [tmp_path / f"training_state-{step:08d}.npz" for step in (110, 120)]
    assert sorted(tmp_path.iterdir()) == sorted([*found, *states])  # nothing half-written beside them
    fresh = Small(9)
    load_checkpoint(fresh, found[-1])
    assert all(np.array_equal(value, weights(network)[name]) for name, value in weights(fresh).items())


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture
def tutorials(tmp_path):
    """A folder of ten checkpoints as the tutorial leaves them, with others' files among them."""
    folder = tmp_path / "trained_ckpt_file"
    folder.mkdir()
    for epoch in range(1, 11):
        ms.save_checkpoint(LeNet5(seed=epoch), str(folder / f"checkpoint_lenet-{epoch}_1875.ckpt"))
    (folder / "checkpoint_lenet-graph.meta").write_text("graph")
    (folder / "checkpoint_lenet-best_so_far.ckpt").write_text("a name of the user's own")
    return folder


@pytest.mark.parametrize("resume", [False, True, "last-good"])
def test_a_folder_of_another_training_is_refused_and_nothing_in_it_changes(few, tutorials, resume):
    before = contents(tutorials)
    with pytest.raises(
        ValueError, match=r"which has checkpoint_lenet-1_1875.ckpt of another training: name another fo"
    ):
        trained(few, checkpoints=tutorials, resume=resume)
    assert contents(tutorials) == before


def test_a_training_is_not_begun_over_its_own_states_but_by_going_on(few, tmp_path):
    trained(few, checkpoints=tmp_path)
    before = contents(tmp_path)
    with pytest.raises(ValueError, match=r"name another folder, or go on from its state with resume=True\.$"):
        trained(few, checkpoints=tmp_path, epochs=2)
    assert contents(tmp_path) == before
    trained(few, checkpoints=tmp_path, epochs=2, resume=True)
    assert {f"checkpoint_lenet-{epoch}_10.ckpt" for epoch in (1, 2)} < contents(tmp_path).keys()


def test_of_the_files_in_its_folder_a_training_deletes_only_those_it_wrote(few, tmp_path):
    trained(few, checkpoints=tmp_path)
    ms.save_checkpoint(LeNet5(seed=5), str(tmp_path / "checkpoint_lenet-2_1875.ckpt"))  # meanwhile, by another
    (tmp_path / "notes.txt").write_text("mine")
    before = contents(tmp_path)
    trained(few, checkpoints=tmp_path, epochs=12, resume=True)
    after = contents(tmp_path)
    assert {name for name in before if name not in after} == {
        "checkpoint_lenet-1_10.ckpt",
        "training_state-00000010.npz",
    }
    assert all(after[name] == before[name] for name in ("checkpoint_lenet-2_1875.ckpt", "notes.txt"))


def test_saving_a_checkpoint_deletes_none(tmp_path, tutorials):
    before = contents(tutorials)
    save_checkpoint(LeNet5(seed=0), tutorials / "checkpoint_lenet-11_1875.ckpt")
    assert contents(tutorials).items() > before.items()
    with pytest.raises(ValueError, match=r"trained_ckpt_file is a folder: name a file in it\.$"):
        save_checkpoint(LeNet5(seed=0), tutorials)


def test_a_folder_that_cannot_be_written_is_refused_before_the_training(few, tmp_path):
    (tmp_path / "file").touch()
    for place, reason in ((tmp_path / "file", "File exists"), (tmp_path / "file" / "in", "Not a directory")):
        network = LeNet5(seed=0)
        before = weights(network)
        with pytest.raises(ValueError, match=rf"which cannot be written \({reason}\): name another folder"):
            train(
                network,
                nn.SGD(network.trainable_params(), 0.1),
                few,
                epochs=1,
                batch_size=20,
                seed=0,
                checkpoints=place,
            )
        assert all(np.array_equal(before[name], value) for name, value in weights(network).items())


def written_by_a_model(folder, make_optimizer, library):
    """The network and the last checkpoint of a training by MindSpore's Model with one library's defence in it."""
    network = Small(1)
    layers = [library.MaskLayerDes("fc1.weight", 1, False, False, -1)]
    schedule = {"end_epoch": 1, "batch_num": 2, "start_epoch": 1, "mask_times": 1, "lr": 0.05}
    control = library.SuppressPrivacyFactory().create(network, layers, **schedule)
    loss = nn.SoftmaxCrossEntropyWithLogits(sparse=True, reduction="mean")
    model = library.SuppressModel(network, loss, make_optimizer(network))
    model.link_suppress_ctrl(control)
    data = ms.dataset.NumpySlicesDataset(
        (np.zeros((40, 1, 32, 32), np.float32), np.arange(40, dtype=np.int32) % 10), ["image", "label"]
    ).batch(20)
    keep = ModelCheckpoint("checkpoint_lenet", str(folder), CheckpointConfig(save_checkpoint_steps=2))
    model.train(1, data, callbacks=[keep, library.SuppressMasker(model, control)], dataset_sink_mode=False)
    return network, folder / "checkpoint_lenet-1_2.ckpt"


OPTIMIZERS = {
    "sgd": lambda network: nn.SGD(network.trainable_params(), 0.05),
    "decaying": lambda network: nn.Momentum(network.trainable_params(), [0.05] * 100, 0.9),
    "adam": lambda network: nn.Adam(network.trainable_params(), 0.001),
    "mindarmour": lambda network: nn.SGD(network.trainable_params(), 0.05),
}


@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_what_optimisers_and_defences_leave_in_a_checkpoint_is_no_difference(original, tmp_path, kind):
    if kind == "mindarmour":
        configure("CPU", "pynative")  # it runs in no other mode
    network, path = written_by_a_model(tmp_path, OPTIMIZERS[kind], original if kind == "mindarmour" else sp)
    configure("CPU", "graph")
    assert len(ms.load_checkpoint(str(path))) > 14  # twice the network's own
    found = Small(9)
    load_checkpoint(found, path)
    expected = {name.removeprefix("networks."): value for name, value in weights(network).items()}
    assert all(np.array_equal(expected[name], value) for name, value in weights(found).items())


class Wider(LeNet5):
    """A LeNet5 with one layer more."""

    def __init__(self):
        super().__init__(seed=0)
        self.fc4 = nn.Dense(10, 10)


def test_missing_and_strange_entries_and_other_shapes_are_named(tmp_path):
    save_checkpoint(LeNet5(seed=0), tmp_path / "lenet.ckpt")
    save_checkpoint(Wider(), tmp_path / "wider.ckpt")
    values = [{"name": name, "data": ms.Tensor(value)} for name, value in weights(LeNet5(seed=0)).items()]
    ms.save_checkpoint(values[1:], str(tmp_path / "lacking.ckpt"))
    values[0]["data"] = ms.Tensor(values[0]["data"].asnumpy()[:, :, :4])
    ms.save_checkpoint(values, str(tmp_path / "shape.ckpt"))
    for network, name, different in (
        (Wider(), "lenet", "fc4.bias, fc4.weight"),
        (LeNet5(), "wider", "fc4.bias, fc4.weight"),
        (LeNet5(), "lacking", "conv1.weight"),
        (LeNet5(), "shape", "conv1.weight"),
    ):
        with pytest.raises(ValueError, match=rf"{name}.ckpt is of another network \({different} differ\): name one"):
            load_checkpoint(network, tmp_path / f"{name}.ckpt")


def test_a_checkpoint_whose_shapes_promise_more_than_it_holds_is_refused(tmp_path):
    """MindSpore's reader would give the memory behind it."""
    save_checkpoint(LeNet5(seed=0), tmp_path / "good.ckpt")
    content = Checkpoint.FromString((tmp_path / "good.ckpt").read_bytes())
    content.value[2].tensor.dims[0] = 10**7
    (tmp_path / "hostile.ckpt").write_bytes(content.SerializeToString())
    with pytest.raises(ValueError, match=r"hostile\.ckpt is damaged or is not a checkpoint"):
        load_checkpoint(LeNet5(), tmp_path / "hostile.ckpt")


def test_whatever_a_checkpoint_holds_it_is_loaded_or_refused_and_never_half_of_it(tmp_path):
    save_checkpoint(LeNet5(seed=0), tmp_path / "good.ckpt")
    good, path = (tmp_path / "good.ckpt").read_bytes(), tmp_path / "mutated.ckpt"
    rng, network = np.random.default_rng(0), LeNet5(seed=9)
    before = weights(network)
    ends = []
    for case in range(300):
        content = bytearray(good if case % 3 else good[: rng.integers(0, len(good))])
        for position in rng.integers(0, min(len(content), 60 if case % 2 else len(good)) or 1, 3 if content else 0):
            content[position] = rng.integers(0, 256)
        path.write_bytes(content)
        try:
            load_checkpoint(network, path)
            network = LeNet5(seed=9)
        except ValueError as error:
            assert str(path) in str(error) and "\n" not in str(error)
            assert all(np.array_equal(before[name], value) for name, value in weights(network).items())
            ends.append(str(error))
    assert len(ends) > 100


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {"labels": lambda x: x + 1},
            r"train_labels are from 1 to 10; network tells 10 classes apart, numbered from 0",
        ),
        ({"labels": lambda x: x - 1}, r"train_labels are from -1 to 8; network tells 10"),
        ({"labels": lambda x: x[:-1]}, r"train_labels is an array of shape \(199,\).*give each image the number"),
        ({"labels": lambda x: x.astype(np.float32)}, r"train_labels is an array of shape \(200,\) and type float32"),
        ({"labels": lambda x: np.eye(10)[x]}, r"train_labels is an array of shape \(200, 10\)"),
        ({"labels": list}, r"train_labels is .*; it must be a numpy.ndarray"),
        ({"images": lambda x: x[:, :, 2:30, 2:30]}, r"LeNet5, which does not take images of shape \(1, 28, 28\)"),
        ({"images": lambda x: x[:, 0]}, r"does not take images of shape \(32, 32\)"),
        ({"images": lambda x: x.transpose(0, 2, 3, 1)}, r"does not take images of shape \(32, 32, 1\)"),
        ({"images": lambda x: x.repeat(3, 1)}, r"does not take images of shape \(3, 32, 32\)"),
        (
            {"images": lambda x: (x * 255).astype(np.uint8)},
            r"_images is an array of .* type uint8; pixels must be floats",
        ),
        ({"images": lambda x: x * 255}, r"train_images is from 0 to 255; pixels must be floats from 0 to 1"),
        ({"images": lambda x: 2 * x - 1}, r"train_images is from -1 to 1; pixels must be"),
        ({"images": lambda x: np.where(np.arange(len(x))[:, None, None, None] == 7, np.nan, x)}, r"first in image 7"),
        ({"images": lambda x: np.where(np.arange(len(x))[:, None, None, None] == 7, np.inf, x)}, r"first in image 7"),
    ],
)
def test_data_of_another_kind_is_refused_in_one_sentence_before_the_training(few, capfd, changes, sentence):
    both = {f"{part}_{of}": change(getattr(few, f"{part}_{of}")) for of, change in changes.items() for part in PARTS}
    network = LeNet5(seed=0)
    before = weights(network)
    with pytest.raises((TypeError, ValueError), match=sentence) as refused:
        train(network, nn.SGD(network.trainable_params(), 0.1), replace(few, **both), epochs=1, batch_size=20, seed=0)
    assert "\n" not in str(refused.value) and refused.value.__cause__ is None
    assert all(np.array_equal(before[name], value) for name, value in weights(network).items())
    assert capfd.readouterr() == ("", "")


def test_training_and_test_images_of_two_shapes_are_refused(few):
    with pytest.raises(
        ValueError, match=r"train_images are of shape \(1, 28, 28\), test_images of \(1, 32, 32\): give"
    ):
        trained(replace(few, train_images=few.train_images[:, :, 2:30, 2:30]))


def test_numbers_of_other_types_are_trained_as_their_values(few):
    expected, _ = trained(few)
    images = {f"{part}_images": getattr(few, f"{part}_images").astype(np.float64) for part in PARTS}
    labels = {f"{part}_labels": getattr(few, f"{part}_labels").astype(np.uint8) for part in PARTS}
    found, _ = trained(replace(few, **images, **labels))
    assert all(np.array_equal(value, weights(expected)[name]) for name, value in weights(found).items())


def test_a_bad_checkpoint_is_refused_and_changes_nothing(tmp_path):
    network = LeNet5(seed=0)
    before = weights(network)
    foreign, damaged = tmp_path / "foreign.ckpt", tmp_path / "damaged.ckpt"
    ms.save_checkpoint(nn.Dense(3, 3), str(foreign))
    ms.save_checkpoint(network, str(damaged))
    damaged.write_bytes(damaged.read_bytes()[:-1000])
    for path, reason in ((foreign, "of another network"), (damaged, "damaged"), (tmp_path / "none.ckpt", "not a ch")):
        with pytest.raises(ValueError, match=reason):
            load_checkpoint(network, path)
    assert all(np.array_equal(before[name], value) for name, value in weights(network).items())


@pytest.mark.parametrize(("lr", "found"), [(100.0, "its mean loss is inf"), (1e10, "are not finite")])
def test_a_training_that_diverges_stops_at_that_epoch_with_the_remedy(few, tmp_path, lr, found):
    network = Small(0)
    optimizer = nn.SGD(network.trainable_params(), lr)
    with pytest.raises(ValueError, match=rf"\Aepoch 1 diverged, .*{found}: train with a lower learning rate\.\Z"):
        train(network, optimizer, few, epochs=3, batch_size=20, seed=0, checkpoints=tmp_path)
    assert list(tmp_path.iterdir()) == []  # nothing of it passes for a trained network


def test_an_epoch_that_diverges_after_good_ones_leaves_those(few, tmp_path):
    rates = [0.05] * 20 + [1e10] * 10
    network = Small(0)
    optimizer = nn.SGD(network.trainable_params(), rates)
    with pytest.raises(ValueError, match=r"\Aepoch 3 diverged"):
        train(network, optimizer, few, epochs=3, batch_size=20, seed=0, checkpoints=tmp_path)
    kept = training.checkpoints_in(tmp_path)
    assert [path.name for path in kept] == ["checkpoint_lenet-1_10.ckpt", "checkpoint_lenet-2_10.ckpt"]
    load_checkpoint(network, kept[-1])
    assert all(np.isfinite(value).all() for value in weights(network).values())


def test_an_infinite_loss_of_a_private_training_is_an_underflow_and_not_a_divergence(few):
    """An example that is wrong beyond all doubt: its probability underflows, its gradient is as bounded as any."""
    network = nn.SequentialCell(nn.Flatten(), nn.Dense(1024, 10))
    network[1].bias.set_data(ms.Tensor(np.float32([0, 0, 0, 1000, 0, 0, 0, 0, 0, 0])))
    assert not np.isfinite(trained_loss(network, few))
    defence = dpsgd.DpSgd(20, 1.0, 0.5, 0)
    optimizer = nn.SGD(network.trainable_params(), 0.01)
    history = train(network, optimizer, few, epochs=1, batch_size=20, seed=0, defence=defence)
    assert 0.5 * examplewise.LARGEST_LOSS < history.loss[0] <= examplewise.LARGEST_LOSS
    assert all(np.isfinite(value).all() for value in weights(network).values())


def test_a_private_training_that_does_diverge_says_so(few):
    network = nn.SequentialCell(nn.Flatten(), nn.Dense(1024, 16), nn.ReLU(), nn.Dense(16, 10))
    optimizer = nn.SGD(network.trainable_params(), 1e30)
    with pytest.raises(ValueError, match=r"\Aepoch 1 diverged"):
        train(network, optimizer, few, epochs=1, batch_size=20, seed=0, defence=dpsgd.DpSgd(20, 1.0, 0.5, 0))


def trained_loss(network, data):
    forward = training.with_cross_entropy(network)
    return float(forward(ms.Tensor(data.train_images), ms.Tensor(data.train_labels)))
