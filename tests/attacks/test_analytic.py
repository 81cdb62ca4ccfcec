"""A dense layer's input is found exactly, whatever the network; what nobody can find is not made up."""

from dataclasses import replace

import mindspore as ms
import numpy as np
import pytest
from mindspore import nn, ops

from suppress_privacy.attacks import analytic, decoder, gradients, perceptron
from suppress_privacy.attacks.views import GradientView
from suppress_privacy.controls import Perceptron
from suppress_privacy.convnet import ConvNet
from suppress_privacy.defences import DEFENCES
from suppress_privacy.defences.layers import mask_layers
from suppress_privacy.defences.suppress import Masked
from suppress_privacy.lenet import LeNet5, predict
from suppress_privacy.training import Defence

CLASSES = 10


class Residual(nn.Cell):
    """A network that is nobody's here: it defines its layers in another order than it uses them."""

    def __init__(self, seed=0):
        super().__init__()
        self.out = nn.Dense(32, CLASSES)
        self.inner = nn.Dense(48, 48)
        self.skipped = nn.Dense(48, 32)
        self.conv = nn.Conv2d(1, 3, 8, 8, "valid", has_bias=True)  # its bias makes it no dense layer
        rng = np.random.default_rng(seed)
        for weight in self.trainable_params():
            weight.set_data(ms.Tensor((rng.standard_normal(weight.shape) / 5).astype(np.float32)))

    def construct(self, x):
        x = ops.tanh(self.conv(x)).reshape(x.shape[0], -1)
        return self.out(ops.relu(self.skipped(x + ops.relu(self.inner(x)))))


def view_of(network, digits, images, labels, sent=None):
    twin = gradients.twice_differentiable(network)
    seen = gradients.Observer(twin, CLASSES, sent)(images, labels)
    own = digits.test_images, digits.test_labels
    return GradientView(seen, twin, images.shape[1:], *own, len(images), sent or Defence())


def inputs_of(view):
    """The layer's inputs that a view gives away, and what it is given for images."""
    layer = analytic.first_dense(view.network, view.image_shape)
    parameters = view.network.trainable_params()
    weight, bias = (next(i for i, each in enumerate(parameters) if each is one) for one in (layer.weight, layer.bias))
    ones = tuple(ms.Tensor(np.ones(each.shape, np.float32)) for each in parameters)
    kept = view.sent.on_gradients(ones)[weight].asnumpy() != 0
    return analytic.inputs_from(view.gradients[weight], view.gradients[bias], kept, view.batch_size), analytic.Inputs(
        view.network, layer
    )


NETWORKS = [lambda: LeNet5(seed=0), Residual, Perceptron, lambda: ConvNet(4, channels=1, seed=0)]


@pytest.mark.parametrize("network", NETWORKS, ids=["LeNet5", "residual", "perceptron", "convnet"])
def test_one_images_input_is_found_exactly_in_any_network(digits, network):
    network = network()
    for number in (3, 400):
        images, labels = digits.train_images[[number]], digits.train_labels[[number]]
        (found, known), upto = inputs_of(view_of(network, digits, images, labels))
        wanted = predict(upto, images)
        assert known.all() and np.abs(found - wanted).max() <= 1e-4 * np.abs(wanted).max()


def test_the_first_dense_layer_is_the_first_that_is_used(digits):
    network = Residual()
    assert analytic.first_dense(network, (1, 32, 32)) is network.inner
    features = predict(analytic.Inputs(network, network.inner), digits.test_images[:5])
    assert features == pytest.approx(np.tanh(predict(network.conv, digits.test_images[:5])).reshape(5, -1), abs=1e-6)


def test_what_a_layer_is_given_is_the_same_once_the_network_has_been_compiled(digits):
    network = LeNet5(seed=0)
    upto, images = analytic.Inputs(network, network.fc1), digits.test_images[:7]
    before, logits = predict(upto, images), predict(network, images)
    assert np.array_equal(predict(upto, images), before)
    assert np.array_equal(predict(network, images), logits) and len(network.compile_cache) == 1


class Shared(nn.Cell):
    """Uses its only biased layer twice."""

    def __init__(self):
        super().__init__()
        self.twice, self.out, self.flatten = nn.Dense(1024, 1024), nn.Dense(1024, 10, has_bias=False), nn.Flatten()

    def construct(self, x):
        return self.out(self.twice(self.twice(self.flatten(x))))


@pytest.mark.parametrize(
    "network", [nn.SequentialCell(nn.Flatten(), nn.Dense(1024, CLASSES, has_bias=False)), Shared()]
)
def test_a_network_whose_layers_give_no_input_away_is_refused(digits, network):
    view = view_of(network, digits, digits.train_images[:1], digits.train_labels[:1])
    with pytest.raises(
        ValueError, match=r"\Anetwork is a \w+ without a trained dense layer with a bias that sees each"
    ):
        analytic.analytic([view], seed=0)


def test_where_the_input_is_the_image_that_is_the_answer(digits):
    images, labels = digits.train_images[::400], digits.train_labels[::400]
    network = Perceptron()
    views = [view_of(network, digits, images[[i]], labels[[i]]) for i in range(len(images))]
    found = analytic.analytic(views, seed=0)
    assert found.images == pytest.approx(images, abs=1e-4) and found.chosen == {
        "layer": "hidden.weight",
        "found": len(images),
    }


def test_a_decoder_makes_images_of_other_inputs(digits):
    images, labels = digits.train_images[::800], digits.train_labels[::800]
    network = LeNet5(seed=0)
    views = [view_of(network, digits, images[[i]], labels[[i]]) for i in range(len(images))]
    found = analytic.analytic(views, seed=0)
    of_mean = ((views[0].auxiliary.mean(0) - images) ** 2).mean()
    assert ((found.images - images) ** 2).mean() < 0.3 * of_mean


@pytest.mark.parametrize(("handicap", "wanted"), [(0.0, "ridge"), (1.0, "ensemble")])
def test_of_ridge_and_network_the_better_decoder_is_taken(digits, monkeypatch, handicap, wanted):
    def handicapped(*given, **options):
        fitted = decoder.fitted_ridge(*given, **options)
        return replace(fitted, held_out_mse=fitted.held_out_mse + handicap)

    monkeypatch.setattr(perceptron, "fitted_ridge", handicapped)
    view = view_of(LeNet5(seed=0), digits, digits.train_images[:1], digits.train_labels[:1])
    tried = {"steps": 40, "batch_size": 32, "lr": 0.003, "width": 16, "copies": 0, "members": 1}
    found = analytic.analytic([view], seed=0, decoder=tried)
    assert found.chosen["decoder"] == wanted and {"held_out_mse", "held_out_skill"} <= found.chosen.keys()
    assert np.array_equal(found.images, analytic.analytic([view], seed=0).images) == (wanted == "ridge")
    assert found.search_seconds > 0


@pytest.mark.parametrize("count", [2, 4])
def test_of_a_batch_inputs_that_rows_agree_on_are_found_and_no_others(digits, count):
    images, labels = digits.train_images[:: 4000 // count][:count], digits.train_labels[:: 4000 // count][:count]
    view = view_of(LeNet5(seed=0), digits, images, labels)
    (found, known), upto = inputs_of(view)
    wanted, found = predict(upto, images), found[known.any(1)]
    errors = np.abs(found[:, None] - wanted[None]).max(2) / np.abs(wanted).max(1)
    assert 1 <= len(found) <= count and errors.min(1).max() < 2e-3
    assert len(set(errors.argmin(1))) == len(found)  # none twice
    filled = analytic.analytic([view], seed=0).images
    mean = view.auxiliary.mean(0)
    assert sum(np.abs(image - mean).max() < 0.1 for image in filled) == count - len(found)


def test_rows_that_mix_images_agree_with_no_other():
    """Of planted rows: two of one image, two of another, and mixtures of both, each in its own proportion."""
    rng = np.random.default_rng(0)
    inputs, shares = rng.random((2, 50)), np.array([[1, 0], [2, 0], [0, 1], [0, -3], [0.5, 0.5], [0.2, 0.8], [-1, 3]])
    found, known = analytic.inputs_from(shares @ inputs, shares.sum(1), np.ones((7, 50), bool), 8)
    assert known.all(1).tolist() == [True] * 2 + [False] * 6 and not known[2:].any()
    assert np.sort(found[:2], axis=0) == pytest.approx(np.sort(inputs, axis=0), rel=1e-9)
    _, known = analytic.inputs_from(shares[[0, 2, 4]] @ inputs, np.ones(3), np.ones((3, 50), bool), 8)
    assert not known.any()


def test_of_masked_rows_each_entry_comes_from_those_that_have_it():
    rng = np.random.default_rng(0)
    x, slopes, kept = rng.random(60), rng.standard_normal(30), rng.random((30, 60)) < 0.05
    kept[:, 7] = False
    found, known = analytic.inputs_from(np.outer(slopes, x) * kept, slopes, kept, 1)
    assert known[0].tolist() == kept.any(0).tolist()
    assert found[0][known[0]] == pytest.approx(x[known[0]], rel=1e-12) and not found[0][~known[0]].any()


def test_what_no_row_has_is_what_the_attackers_own_inputs_lead_to_expect():
    rng = np.random.default_rng(0)
    hidden = rng.standard_normal((2000, 3))
    like = hidden @ rng.standard_normal((3, 12)) + 5
    known = np.ones((10, 12), bool)
    known[:, [2, 9]] = False
    full = analytic.completed(np.where(known, like[:10], 0), known, like)
    assert np.array_equal(full[known], like[:10][known])
    assert np.abs(full - like[:10]).max() < 0.05 < like.std() / 10


def test_what_a_suppressed_networks_client_sends_has_nothing_of_its_zeros(digits):
    network = LeNet5(seed=0)
    rng = np.random.default_rng(0)
    for layer in (network.fc1, network.fc2, network.conv1):
        layer.weight.set_data(ms.Tensor(layer.weight.asnumpy() * (rng.random(layer.weight.shape) < 0.1)))
    images, labels = digits.train_images[:1], digits.train_labels[:1]
    masked = view_of(network, digits, images, labels, Masked(network, mask_layers("mindarmour-example")))
    whole = view_of(network, digits, images, labels)
    for weight, sent, before in zip(network.trainable_params(), masked.gradients, whole.gradients, strict=True):
        assert np.array_equal(sent, before * (weight.asnumpy() != 0) if weight.ndim > 1 else before)
    (found, known), upto = inputs_of(masked)
    wanted = predict(upto, images)
    assert 0.5 < known.mean() < 1
    assert np.abs(found - wanted)[known].max() <= 1e-4 * np.abs(wanted).max()


def test_what_the_originals_arithmetic_leaves_of_a_weight_is_masked_too(digits):
    network = LeNet5(seed=0)
    kept = np.random.default_rng(0).random(network.fc1.weight.shape) < 0.1
    network.fc1.weight.set_data(ms.Tensor(np.where(kept, network.fc1.weight.asnumpy(), np.float32(1e-9))))
    rise = {"start_epoch": 1, "end_epoch": 2, "mask_times": 4, "sparse_start": 0.0, "sparse_end": 0.9}
    settings = DEFENCES["suppress"](**rise, layers="mindarmour-example", compat=True)
    view = view_of(network, digits, digits.train_images[:1], digits.train_labels[:1], settings.sender(network))
    (sent,) = (
        gradient
        for weight, gradient in zip(network.trainable_params(), view.gradients, strict=True)
        if weight.name == "fc1.weight"
    )
    assert not sent[~kept].any() and sent[kept].any()


def test_a_gradient_of_zeros_gives_nothing_away(digits):
    view = view_of(LeNet5(seed=0), digits, digits.train_images[:1], digits.train_labels[:1])
    nothing = replace(view, gradients=tuple(0 * gradient for gradient in view.gradients))
    found = analytic.analytic([nothing], seed=0)
    assert found.chosen["found"] == 0 and np.abs(found.images[0] - view.auxiliary.mean(0)).max() < 0.1
