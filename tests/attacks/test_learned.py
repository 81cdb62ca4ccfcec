"""Attacks that learn from auxiliary images or search: each finds the answer where one was planted."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import nn

from suppress_privacy.attacks import decoder, floors, tuned
from suppress_privacy.attacks.views import FeatureView
from suppress_privacy.lenet import Features, LeNet5, Rest, predict

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


def mse(images, originals):
    return float(((images - originals) ** 2).mean())


def test_ridge_inverts_a_linear_network(planted):
    view, originals = planted
    found = decoder.ridge(view, seed=0, shuffled=False)
    prior = mse(floors.mean(view, seed=0).images, originals)
    assert mse(found.images, originals) < 1e-4 * prior
    assert found.chosen["penalty"] == min(decoder.PENALTIES)  # nothing to smooth


def test_ridge_is_ridge_regression(planted):
    """Against least squares on the stacked system, written out."""
    view, _ = planted
    fitted = decoder.fitted_ridge(view, seed=0)
    images = view.learning()
    features = predict(view.network, images).astype(np.float64)
    centred = (features - features.mean(0)) / features.std()
    pixels = images.reshape(len(images), -1).astype(np.float64)
    root = np.sqrt(len(images) * fitted.penalty) * np.eye(centred.shape[1])
    stacked = np.concatenate([centred, root]), np.concatenate([pixels - pixels.mean(0), np.zeros_like(root)])
    assert fitted.weights == pytest.approx(np.linalg.lstsq(*stacked, rcond=None)[0], abs=1e-4)


def test_ridge_from_shuffled_features_is_no_better_than_the_mean_image(planted):
    view, originals = planted
    shuffled = decoder.ridge(view, seed=0, shuffled=True)
    prior = floors.mean(view, seed=0).images
    assert mse(shuffled.images, originals) > 0.999 * mse(prior, originals)
    # It has nothing of its target: the images of another target's features serve as well.
    other = mse(shuffled.images[::-1], originals)
    assert mse(shuffled.images, originals) == pytest.approx(other, rel=0.2)


def test_the_decoder_network_learns_and_repeats(planted):
    view, originals = planted
    settings = {"epochs": 40, "batch_size": 32, "lr": 0.005}
    first = decoder.network(view, seed=0, **settings)
    assert mse(first.images, originals) < 0.6 * mse(floors.mean(view, seed=0).images, originals)
    assert np.array_equal(first.images, decoder.network(view, seed=0, **settings).images)
    assert not np.array_equal(first.images, decoder.network(view, seed=1, **settings).images)


SEARCH = {"search_iters": 10, "smoothness_weights": [0, 0.1], "anchor_weights": [0, 1], "batch_size": 5}


def test_tuned_inversion_inverts_a_linear_network_from_noise(planted):
    view, originals = planted
    descent = tuned.Descent(view.network, 0.1)
    start = np.random.default_rng(1).random(originals.shape, np.float32)
    images, objective, curve = descent(start, view.features, np.zeros_like(start), (0, 0), 400)
    assert np.abs(images - originals).max() < 0.01
    assert np.all(np.diff(curve, axis=0) <= 0) and np.array_equal(curve[-1], objective)


def test_images_with_weights_of_their_own_descend_as_if_alone(planted):
    """Trials of several weights go through as one batch."""
    view, originals = planted
    descent = tuned.Descent(view.network, 0.1)
    start = np.random.default_rng(1).random(originals.shape, np.float32)
    anchor = np.full_like(start, 0.5)
    pairs = [(0.0, 3.0), (1.0, 0.0)]
    start2, features2, anchor2 = (np.concatenate([values] * 2) for values in (start, view.features, anchor))
    together = descent(start2, features2, anchor2, np.repeat(pairs, len(start), axis=0), 30)[0]
    alone = [descent(start, view.features, anchor, pair, 30)[0] for pair in pairs]
    assert together == pytest.approx(np.concatenate(alone), abs=1e-4)
    assert np.abs(alone[0] - alone[1]).max() > 0.1


def test_tuned_inversion_chooses_its_weights_on_images_it_owns(planted):
    view, originals = planted
    found = tuned.invert(view, seed=0, iters=100, lr=0.05, restarts=1, **SEARCH)
    trials = found.chosen["held_out_mse"]
    assert len(trials) == 4
    best = f"{found.chosen['smoothness_weight']:g}, {found.chosen['anchor_weight']:g}"
    assert trials[best] == min(trials.values())
    # A planted smoothness would only hurt: random pixels are not smooth.
    assert found.chosen["smoothness_weight"] == 0
    assert mse(found.images, originals) < 1e-3


def test_restarts_and_steps_never_raise_the_objective(planted):
    view, _ = planted
    few = tuned.invert(view, seed=0, iters=30, lr=0.05, restarts=1, **SEARCH)
    more = tuned.invert(view, seed=0, iters=30, lr=0.05, restarts=3, **SEARCH)
    assert np.all(more.objective <= few.objective)
    assert np.all(np.diff(few.curve, axis=0) <= 0) and few.curve.shape == (tuned.CURVE_POINTS + 1, 12)


def test_the_objective_has_the_gradient_of_its_formula(planted):
    """Against finite differences in float64 of the formula written out."""
    view, originals = planted
    weights = (0.3, 0.7)
    anchor = np.full_like(originals, 0.4)
    target = view.features.astype(np.float64)
    mixing = view.network.dense.weight.asnumpy().astype(np.float64)

    def written_out(images):
        features = images.reshape(len(images), -1) @ mixing.T + 1
        mismatch = ((features - target) ** 2).mean(1) / (target**2).mean(1)
        padded = np.pad(images[:, 0], ((0, 0), (0, 1), (0, 1)))
        rows, columns = np.diff(padded[:, :, :-1], axis=1) ** 2, np.diff(padded[:, :-1], axis=2) ** 2
        smoothness = rows.mean((1, 2)) + columns.mean((1, 2))
        return mismatch + weights[0] * smoothness + weights[1] * ((images - anchor) ** 2).mean((1, 2, 3))

    images = np.random.default_rng(2).random(originals.shape, np.float32)
    total = tuned._TotalAndEach(tuned.AnchoredObjective(view.network))
    step = ms.ops.value_and_grad(total, 0, None, has_aux=True)
    of_each = np.tile(np.array(weights, np.float32), (len(images), 1))
    arguments = (ms.Tensor(value) for value in (images, view.features, anchor, of_each))
    (_, each), gradient = step(*arguments)
    assert each.asnumpy() == pytest.approx(written_out(images.astype(np.float64)), rel=1e-5)
    for pixel in ((0, 0, 0, 0), (3, 0, 4, 7), (7, 0, 7, 7), (11, 0, 2, 5)):
        shift = np.zeros(images.shape)
        shift[pixel] = 1e-6
        slope = (written_out(images + shift).sum() - written_out(images - shift).sum()) / 2e-6
        assert gradient.asnumpy()[pixel] == pytest.approx(slope, rel=1e-3, abs=1e-6)


def test_class_mean_is_the_mean_of_the_class_the_network_sees(planted):
    view, _ = planted
    found = floors.class_mean(view, seed=0).images
    predicted = (view.features[:, 0] > 0).astype(int)
    for image, label in zip(found, predicted, strict=True):
        assert image == pytest.approx(view.auxiliary[view.auxiliary_labels == label].mean(0), abs=1e-6)


def test_the_nearest_neighbour_is_the_nearest(planted):
    view, _ = planted
    known = predict(view.network, view.auxiliary)
    for image, features in zip(floors.nearest(view, seed=0).images, view.features, strict=True):
        assert np.array_equal(image, view.auxiliary[((known - features) ** 2).sum(1).argmin()])


@pytest.mark.parametrize("depth", ["conv1", "conv2", "fc1", "fc2", "logits"])
def test_the_two_halves_of_a_network_are_the_network(digits, depth):
    network = LeNet5(seed=0)
    images = digits.test_images[:5]
    seen = predict(Features(network, depth), images)
    assert predict(Rest(network, depth), seen) == pytest.approx(predict(network, images), abs=1e-6)


def test_a_dead_layer_does_not_stop_an_attack(planted):
    """All features zero: nothing to learn from, and the answer is the mean image."""
    view, _ = planted
    view.network.dense.weight.set_data(ms.ops.zeros_like(view.network.dense.weight))
    view.network.dense.bias.set_data(ms.ops.zeros_like(view.network.dense.bias))
    dead = FeatureView(np.zeros_like(view.features), view.network, view.rest, view.auxiliary, view.auxiliary_labels)
    prior = view.learning().mean(0)
    assert decoder.ridge(dead, seed=0, shuffled=False).images[0] == pytest.approx(prior, abs=1e-6)
    assert np.isfinite(tuned.invert(dead, seed=0, iters=5, lr=0.05, restarts=1, **SEARCH).images).all()
