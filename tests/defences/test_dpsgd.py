"""DP-SGD: gradients example by example, what clipping and noise do to them, and what that guarantees."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import nn, ops

from suppress_privacy import LeNet5, train
from suppress_privacy.defences import dpsgd, examplewise
from suppress_privacy.mnist import Mnist
from suppress_privacy.training import Plan, with_cross_entropy


@pytest.fixture(scope="module")
def batch(digits):
    chosen = np.random.default_rng(0).choice(len(digits.train_labels), 20, replace=False)
    return digits.train_images[chosen], digits.train_labels[chosen]


def small(seed=0):
    """A convolution and a dense layer, one of each kind of gradient, in a fraction of LeNet5's time to compile."""
    network = nn.SequentialCell(
        nn.Conv2d(1, 4, 5, 4, "valid", has_bias=True), nn.ReLU(), nn.Flatten(), nn.Dense(196, 10)
    )
    rng = np.random.default_rng(seed)
    for parameter in network.trainable_params():
        drawn = rng.standard_normal(parameter.shape) / np.sqrt(max(1, np.prod(parameter.shape[1:])))
        parameter.set_data(ms.Tensor((0.5 * drawn).astype(np.float32)))
    return network


def one_by_one(network, images, labels):
    """Every example's gradient by a loop over batches of one: a list of tuples of numpy.ndarray."""
    gradient = ops.grad(with_cross_entropy(network), None, ms.ParameterTuple(network.trainable_params()))
    return [
        [part.asnumpy() for part in gradient(ms.Tensor(image[None]), ms.Tensor(label[None]))]
        for image, label in zip(images, labels, strict=True)
    ]


def defence(clip_norm=float("inf"), noise_multiplier=0.0, batch_size=20, seed=0):
    return dpsgd.DpSgd(batch_size, clip_norm, noise_multiplier, seed)


def clipped_sums(network, clip_norm, images, labels, present=None):
    parameters = ms.ParameterTuple(network.trainable_params())
    cell = examplewise.ClippedSum(with_cross_entropy(network), parameters, clip_norm)
    present = np.ones(len(labels), np.float32) if present is None else present
    return [part.asnumpy() for part in cell(ms.Tensor(images), ms.Tensor(labels), ms.Tensor(present))]


@pytest.mark.parametrize("clip_norm", [float("inf"), 1.012])
def test_sums_are_those_of_a_loop_over_single_examples(batch, clip_norm):
    network = LeNet5(seed=0)
    images, labels = batch
    wanted = [np.zeros(parameter.shape) for parameter in network.trainable_params()]
    norms = []
    for gradient in one_by_one(network, images, labels):
        norm = np.sqrt(sum(float((part.astype(np.float64) ** 2).sum()) for part in gradient))
        norms.append(norm)
        for total, part in zip(wanted, gradient, strict=True):
            total += part * min(1.0, clip_norm / norm)
    assert min(norms) < 1.012 < max(norms) or clip_norm == float("inf")  # both sorts are among them
    _, *found = clipped_sums(network, clip_norm, images, labels)
    for one, other in zip(found, wanted, strict=True):
        assert np.abs(one - other).max() <= 1e-5 * np.abs(other).max()


def test_an_example_that_is_wrong_beyond_all_doubt_has_a_finite_loss(batch):
    """Its probability underflows; noise as large as the gradients does that to a network now and then."""
    network = small()
    images, labels = batch
    bias = np.zeros(10, np.float32)
    bias[3] = 1000
    network[-1].bias.set_data(ms.Tensor(bias))
    total, *found = clipped_sums(network, 1.0, images, labels, np.append(np.ones(19, np.float32), np.float32(0)))
    assert total == pytest.approx(examplewise.LARGEST_LOSS * np.sum(labels[:19] != 3))
    assert all(np.isfinite(part).all() for part in found) and np.abs(found[-1]).max() > 0.1


def test_absent_examples_and_batches_of_any_size_count_right(batch):
    network = small()
    images, labels = batch
    present = (np.arange(20) < 13).astype(np.float32)
    for one, other in zip(
        clipped_sums(network, 0.5, images, labels, present),
        clipped_sums(network, 0.5, images[:13], labels[:13]),
        strict=True,
    ):
        assert one == pytest.approx(other, rel=1e-5, abs=1e-6)


def test_without_clipping_and_noise_a_run_is_ordinary_training(digits):
    """Same Poisson batches, no clipping, no noise: the weights of a plain loop, to rounding."""
    few = Mnist(
        digits.train_images[:600], digits.train_labels[:600], digits.test_images[:50], digits.test_labels[:50], "x", {}
    )
    batches = []

    class Seen(dpsgd.DpSgd):
        def batches(self, rng, count, batch_size):
            drawn = super().batches(rng, count, batch_size)
            batches.extend(drawn)
            return drawn

    private = small(seed=3)
    plain = small(seed=3)
    train(
        private,
        nn.SGD(private.trainable_params(), 0.1),
        few,
        epochs=2,
        batch_size=60,
        seed=1,
        defence=Seen(60, float("inf"), 0.0, 0),
    )
    largest = max(map(len, batches))

    def loss(images, labels, present):
        return (ops.cross_entropy(plain(images), labels, reduction="none") * present).sum() / 60

    gradient = ops.grad(loss, None, ms.ParameterTuple(plain.trainable_params()))
    descend = nn.SGD(plain.trainable_params(), 0.1)
    for chosen in batches:
        present = np.arange(largest) < len(chosen)  # batches are filled up to one size, for which it is compiled once
        images, labels = (given[np.resize(chosen, largest)] for given in (few.train_images, few.train_labels))
        descend(gradient(ms.Tensor(images), ms.Tensor(labels), ms.Tensor(present.astype(np.float32))))
    assert len(batches) == 20 and len({len(chosen) for chosen in batches}) > 5
    for one, other in zip(private.get_parameters(), plain.get_parameters(), strict=True):
        assert np.abs(one.asnumpy() - other.asnumpy()).max() < 1e-4  # the rounding of 20 steps
    assert np.abs(private[0].weight.asnumpy() - small(seed=3)[0].weight.asnumpy()).max() > 1e-3


def test_a_private_step_clips_adds_noise_and_divides_by_the_expected_size(digits):
    """More images than are held at a time; against a loop, and the noise drawn again from its seed."""
    chosen = np.random.default_rng(1).choice(len(digits.train_labels), 300, replace=False)
    images, labels = digits.train_images[chosen], digits.train_labels[chosen]
    network = small()
    gradients = one_by_one(network, images, labels)
    norms = [np.sqrt(sum(float((part.astype(np.float64) ** 2).sum()) for part in gradient)) for gradient in gradients]
    clip_norm, noise_multiplier, lr = float(np.median(norms)), 1.1, 0.5  # half of them are clipped
    wanted = [np.zeros(parameter.shape) for parameter in network.trainable_params()]
    for gradient, norm in zip(gradients, norms, strict=True):
        for total, part in zip(wanted, gradient, strict=True):
            total += part * min(1.0, clip_norm / norm)
    before = [parameter.asnumpy().copy() for parameter in network.trainable_params()]
    private = defence(clip_norm, noise_multiplier, batch_size=256, seed=4)
    step = private.step(with_cross_entropy(network), nn.SGD(network.trainable_params(), lr))
    step(ms.Tensor(images), ms.Tensor(labels))
    noise = defence(clip_norm, noise_multiplier, batch_size=256, seed=4).noised([np.zeros_like(b) for b in before])
    for old, parameter, total, drawn in zip(before, network.trainable_params(), wanted, noise, strict=True):
        moved = parameter.asnumpy() - old
        assert moved == pytest.approx(-lr * (total / 256 + drawn), abs=1e-6)
        assert np.abs(drawn).mean() > 1e-4  # there is noise to be seen


def test_batches_of_another_size_than_accounted_for_are_refused():
    with pytest.raises(ValueError, match="batch_size is 30; the defence was made for 20"):
        defence().batches(np.random.default_rng(0), 1000, 30)


def test_every_image_is_drawn_by_itself_at_the_stated_rate():
    drawn = defence(batch_size=50).batches(np.random.default_rng(0), 1000, 50)
    assert len(drawn) == 20 and all(len(set(chosen)) == len(chosen) for chosen in drawn)
    many = [len(c) for seed in range(50) for c in defence(batch_size=50).batches(np.random.default_rng(seed), 1000, 50)]
    # Binomial: mean 50, variance 47.5, over 1,000 batches
    assert abs(np.mean(many) - 50) < 4 * np.sqrt(47.5 / 1000)
    assert 40 < np.var(many) < 56


def test_noise_has_the_stated_size_and_its_own_seed():
    sums = [np.zeros((300, 300), np.float32)]
    [noise] = defence(0.5, 2.0, batch_size=10).noised(sums)
    assert noise.std() == pytest.approx(2.0 * 0.5 / 10, rel=0.02) and abs(noise.mean()) < 0.002
    [again] = defence(0.5, 2.0, batch_size=10).noised(sums)
    [other] = defence(0.5, 2.0, batch_size=10, seed=1).noised(sums)
    assert np.array_equal(noise, again) and not np.array_equal(noise, other)
    [none] = defence(0.5, 0.0, batch_size=10).noised([np.ones((2, 2), np.float32)])
    assert np.array_equal(none, np.full((2, 2), 0.1, np.float32))


# Examples of TensorFlow Privacy (compute_dp_sgd_privacy_lib_test.py)
@pytest.mark.parametrize(
    ("count", "batch_size", "noise_multiplier", "epochs", "delta", "published"),
    [(60000, 150, 1.3, 15, 1e-5, 0.7242234026109595), (100000, 100, 1.0, 30, 1e-7, 1.4154988495444845)],
)
def test_epsilon_is_the_published_one(count, batch_size, noise_multiplier, epochs, delta, published):
    spent = dpsgd.spent_epsilon(noise_multiplier, batch_size / count, epochs * count // batch_size, delta)
    assert spent == pytest.approx(published, rel=1e-9)


# TensorFlow Privacy, tutorials/README.md: MNIST, batches of 256, delta 1e-5; the conversion from Renyi DP has become
# tighter since
@pytest.mark.parametrize(
    ("noise_multiplier", "epochs", "published"), [(1.3, 15, 1.19), (1.1, 60, 3.01), (0.7, 45, 7.10)]
)
def test_epsilon_is_below_what_looser_accounting_gave(noise_multiplier, epochs, published):
    spent = dpsgd.spent_epsilon(noise_multiplier, 256 / 60000, epochs * 60000 // 256, 1e-5)
    assert 0.75 * published < spent < published


def test_the_noise_is_what_a_guarantee_asks_for_and_no_more():
    noise_multiplier = dpsgd.noise_multiplier_for(3.0, 0.01, 1000, 1e-5)
    assert 2.99 < dpsgd.spent_epsilon(noise_multiplier, 0.01, 1000, 1e-5) <= 3.0
    assert dpsgd.spent_epsilon(0.99 * noise_multiplier, 0.01, 1000, 1e-5) > 3.0
    thousand = Mnist(np.zeros((1000, 1, 32, 32)), np.zeros(1000), np.zeros((0, 1, 32, 32)), np.zeros(0), "x", {})
    plan = Plan(thousand, epochs=4, batch_size=100, lr=0.1, seed=0)
    made = dpsgd.PrivateTraining(epsilon=3.0, delta=1e-5, clip_norm=1).make(LeNet5(seed=0), plan)
    facts = made.facts()
    assert facts["steps"] == 40 and facts["sampling_rate"] == 0.1 and 2.9 < facts["epsilon"] <= 3.0
    assert made.noise_multiplier == facts["noise_multiplier"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, 1.0, 1.0, 0), "batch_size is 0"),
        ((10, 0.0, 1.0, 0), "clip_norm is 0.0"),
        ((10, 1.0, -1.0, 0), "noise_multiplier is -1.0"),
        ((10, float("inf"), 1.0, 0), "clip_norm is inf, which no noise can cover"),
    ],
)
def test_wrong_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        dpsgd.DpSgd(*arguments)


class Reading(nn.Cell):
    """Reads an image row by row with a recurrent layer."""

    def __init__(self, kind):
        super().__init__()
        self.rows, self.last = kind(32, 8, batch_first=True), nn.Dense(8, 10)

    def construct(self, x):
        read, _ = self.rows(x.reshape(x.shape[0], 32, 32))
        return self.last(read.mean(1))


def with_layer(layer):
    """A small classifier of images with a layer in it."""
    return nn.SequentialCell(nn.Conv2d(1, 4, 5, 4, "valid"), layer, nn.ReLU(), nn.Flatten(), nn.Dense(196, 10))


SEPARABLE = {
    "GroupNorm": lambda: with_layer(nn.GroupNorm(2, 4)),
    "LayerNorm": lambda: with_layer(nn.LayerNorm((4, 7, 7), 1, 1)),
    "BatchNorm2d, frozen": lambda: with_layer(nn.BatchNorm2d(4, use_batch_statistics=False)),
    "Dropout of none": lambda: with_layer(nn.Dropout(p=0.0)),
    "no bias": lambda: nn.SequentialCell(nn.Flatten(), nn.Dense(1024, 10, has_bias=False)),
}


@pytest.mark.parametrize("kind", SEPARABLE)
def test_layers_that_keep_examples_apart_are_taken(kind, batch):
    """Every gradient is that of the example alone, and nothing but the optimiser changes the network."""
    network, (images, labels) = SEPARABLE[kind]().set_train(), batch
    before = [parameter.asnumpy().copy() for parameter in network.get_parameters()]
    step = defence().step(with_cross_entropy(network), nn.SGD(network.trainable_params(), 1.0)).set_train()
    wanted = [sum(parts) / 20 for parts in zip(*one_by_one(network, images, labels), strict=True)]
    step(ms.Tensor(images), ms.Tensor(labels))
    trained = [parameter.name for parameter in network.trainable_params()]
    for old, parameter in zip(before, network.get_parameters(), strict=True):
        slope = wanted[trained.index(parameter.name)] if parameter.name in trained else np.zeros_like(old)
        assert old - parameter.asnumpy() == pytest.approx(slope, abs=1e-5)


NOT_SEPARABLE = {
    "BatchNorm2d": (lambda: with_layer(nn.BatchNorm2d(4)), "1, a BatchNorm2d, which mixes the examples of a batch"),
    "BatchNorm1d": (
        lambda: nn.SequentialCell(nn.Flatten(), nn.SequentialCell(nn.Dense(1024, 10), nn.BatchNorm1d(10))),
        "1.1, a BatchNorm1d, which mixes the examples of a batch",
    ),
    "Dropout": (lambda: with_layer(nn.Dropout(p=0.5)), "1, a Dropout, which has no gradients example by example"),
    "LSTM": (lambda: Reading(nn.LSTM), "rows, a LSTM, which has no gradients example by example"),
    "GRU": (lambda: Reading(nn.GRU), "rows, a GRU, which has no gradients example by example"),
    "RNN": (lambda: Reading(nn.RNN), "rows, a RNN, which has no gradients example by example"),
}


def test_a_layer_that_a_cpu_has_not_is_refused_too():
    with pytest.raises(ValueError, match="1, a InstanceNorm2d, which has no gradients example by example"):
        dpsgd.must_be_separable(with_layer(nn.InstanceNorm2d(4)))


@pytest.mark.parametrize("kind", NOT_SEPARABLE)
def test_a_layer_under_which_examples_have_no_gradients_of_their_own_is_refused_by_its_name(kind, digits, capfd):
    make, message = NOT_SEPARABLE[kind]
    network = make()
    before = [parameter.asnumpy().copy() for parameter in network.get_parameters()]
    with pytest.raises(ValueError, match=rf"\Anetwork has the layer {message}") as refused:
        train(
            network, nn.SGD(network.trainable_params(), 0.1), digits, epochs=1, batch_size=20, seed=0, defence=defence()
        )
    assert "\n" not in str(refused.value) and str(refused.value).endswith(".")
    after = [parameter.asnumpy() for parameter in network.get_parameters()]
    assert all(np.array_equal(old, new) for old, new in zip(before, after, strict=True))
    assert "C++" not in "".join(capfd.readouterr())


def test_another_operator_without_gradients_example_by_example_is_one_sentence(batch):
    """Where MindSpore finds out by itself: its first line is kept, its stack is not."""
    network, (images, labels) = with_layer(nn.ReLU()), batch
    step = defence().step(with_cross_entropy(network), nn.SGD(network.trainable_params(), 1.0))

    def failing(*chunk):
        raise RuntimeError("Operator Strange does not support Vmap.\n\n----\n- C++ Call Stack: (For framework dev")

    object.__setattr__(step, "clipped_sum", failing)
    message = r"\Anetwork, loss and data give no gradients example .* \(Operator Strange does not support Vmap\.\): put"
    with pytest.raises(ValueError, match=message) as refused:
        step(ms.Tensor(images), ms.Tensor(labels))
    assert "\n" not in str(refused.value)
