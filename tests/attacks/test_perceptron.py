"""The decoder network: its gradient is that of its formula, its size is chosen, and it ends when it learns no more."""

from dataclasses import replace

import mindspore as ms
import numpy as np
import pytest

from suppress_privacy.attacks import perceptron
from suppress_privacy.attacks.decoder import fitted_ridge
from suppress_privacy.attacks.perceptron import Lesson, Perceptron, Training, fitted_ensemble, moved

SETTINGS = {"batch_size": 32, "lr": 0.003, "steps": 300, "width": 64, "copies": 1, "members": 2}


def mse(images, originals):
    return float(((images - originals) ** 2).mean())


@pytest.fixture
def fit(planted):
    return perceptron.decoder(planted[0], seed=0, **SETTINGS)


def test_the_gradient_is_mindspores_of_the_same_formula():
    rng = np.random.default_rng(0)
    network = Perceptron((5, 7, 6, 4), rng)
    for bias in network.parameters[3:]:
        bias[:] = rng.standard_normal(bias.shape)
    x, pixels = rng.standard_normal((3, 5)).astype(np.float32), rng.random((3, 4)).astype(np.float32)

    def error(*parameters):
        found = ms.Tensor(x)
        for number in range(3):
            found = ms.ops.matmul(found, parameters[number]) + parameters[3 + number]
            found = ms.ops.sigmoid(found) if number == 2 else ms.ops.relu(found)
        return ms.ops.square(found - ms.Tensor(pixels)).mean()

    tensors = [ms.Tensor(each) for each in network.parameters]
    expected = ms.grad(error, tuple(range(6)))(*tensors)
    for own, other in zip(network.gradients(x, pixels), expected, strict=True):
        assert own == pytest.approx(other.asnumpy(), abs=1e-6)
    assert mse(network(x), pixels) == pytest.approx(float(error(*tensors).asnumpy()), rel=1e-5)


def test_a_step_is_adams():
    """Against the update written out, for three steps."""
    rng = np.random.default_rng(1)
    network = Perceptron((3, 4, 4, 2), rng)
    x, pixels = rng.standard_normal((5, 3)).astype(np.float32), rng.random((5, 2)).astype(np.float32)
    expected = [each.astype(np.float64) for each in network.parameters]
    first, second = ([np.zeros_like(each) for each in expected] for _ in range(2))
    for step in range(1, 4):
        for number, gradient in enumerate(network.gradients(x, pixels)):
            first[number] = 0.9 * first[number] + 0.1 * gradient
            second[number] = 0.999 * second[number] + 0.001 * gradient.astype(np.float64) ** 2
            corrected = first[number] / (1 - 0.9**step), second[number] / (1 - 0.999**step)
            expected[number] -= 0.01 * corrected[0] / (np.sqrt(corrected[1]) + 1e-8)
        network.step(x, pixels, 0.01)
        for own, other in zip(network.parameters, expected, strict=True):
            assert own == pytest.approx(other, abs=1e-4)


def test_it_learns_and_repeats(planted, fit, mean_image):
    view, originals = planted
    assert mse(fit.images, originals) < 0.6 * mean_image
    again = replace(view)  # which has learned nothing
    assert np.array_equal(fit.images, perceptron.decoder(again, seed=0, **SETTINGS).images)
    assert not np.array_equal(fit.images, perceptron.decoder(again, seed=1, **SETTINGS).images)


def test_width_and_rate_are_the_best_of_those_that_were_tried(fit):
    tried = fit.chosen["held_out_mse"]
    assert tried[f"{fit.chosen['width']:g}, {fit.chosen['rate']:g}"] == min(tried.values())
    assert len(tried) >= 9 and {"32", "64", "128"} <= {point.split(", ")[0] for point in tried}


def test_more_networks_are_better_than_one_of_them(planted):
    view, originals = planted
    alone, together = (fitted_ensemble(view, seed=0, **SETTINGS | {"members": count}) for count in (1, 3))
    errors = [
        mse(np.clip(member(alone.scale(view.features).astype(np.float32)), 0, 1).reshape(originals.shape), originals)
        for member in together.members
    ]
    assert mse(together(view.features), originals) < min(errors)
    assert np.array_equal(together.members[0].parameters[0], alone.members[0].parameters[0])


def test_a_training_ends_where_the_held_out_images_gain_no_more(planted):
    view, _ = planted
    one = Training(Lesson(view, 0, 0), 16, 0.01, 32, 20, np.random.default_rng(0))
    errors = [one.advance().error for _ in range(200) if not one.ended()]
    assert one.ended() and len(errors) < 200 and np.all(np.diff(errors) <= 0)
    assert Lesson(view, 0, 0).error(one.best()) == pytest.approx(one.error)


def test_a_limit_ends_it_too_and_is_said(planted):
    found = perceptron.decoder(planted[0], seed=0, **SETTINGS | {"steps": 20}).chosen
    assert found["plateau"] == [False, False]


def test_it_is_fitted_once_a_view_and_setting(planted, monkeypatch):
    view, _ = planted
    short = SETTINGS | {"steps": 10}
    first = fitted_ensemble(view, seed=0, **short)
    monkeypatch.setattr(perceptron, "Lesson", None)
    again = fitted_ensemble(view, seed=0, **short)
    assert again.members is first.members and first.search_seconds > 0 == again.search_seconds
    with pytest.raises(TypeError):
        fitted_ensemble(view, seed=1, **short)
    with pytest.raises(TypeError):
        fitted_ensemble(replace(view), seed=0, **short)


def test_every_step_sees_another_draw_of_what_is_released(planted):
    view, _ = planted
    draws = []

    def release(features, rng):
        draws.append(rng.standard_normal(features.shape, np.float32))
        return features + draws[-1]

    lesson = Lesson(replace(view, release=release), 0, 1)
    rng = np.random.default_rng(0)
    for _ in range(2):
        lesson.batch(50, rng)
    assert [len(draw) for draw in draws] == [300, 100, 50, 50]  # to standardise by, held out, and each batch
    assert not np.array_equal(draws[2], draws[3])


def test_no_noise_at_all_is_no_noise(planted):
    view, _ = planted
    silent = replace(view, release=lambda features, rng: features + 0 * rng.standard_normal(features.shape, np.float32))
    short = SETTINGS | {"steps": 50}
    assert np.array_equal(
        perceptron.decoder(view, seed=0, **short).images, perceptron.decoder(silent, seed=0, **short).images
    )


def test_images_are_moved_a_little_and_each_otherwise():
    images = np.zeros((4, 2, 32, 32), np.float32)
    images[:, :, 12:20, 14:18] = 1
    found = moved(images, np.random.default_rng(0))
    assert found.shape == images.shape and found.dtype == np.float32 and found.min() >= 0 and found.max() <= 1
    assert np.array_equal(found[:, 0], found[:, 1])  # channels move together
    assert all(1e-3 < np.abs(found[number] - images[number]).mean() < 0.2 for number in range(4))
    assert not np.array_equal(found[0], found[1])
    rows, columns = np.indices((32, 32))
    for image in found[:, 0]:
        centre = [(image * axis).sum() / image.sum() for axis in (rows, columns)]
        assert np.abs(np.array(centre) - 15.5).max() < 32 * perceptron.SHIFT * 1.5


def test_the_network_beats_ridge_where_features_are_bent(planted):
    """On images of two coordinates whose features are folded; where they are not, ridge regression is exact."""
    view, _ = planted
    rng = np.random.default_rng(0)
    drawn = np.sin(rng.uniform(-2, 2, (400, 2)) @ rng.standard_normal((2, 64)) + rng.uniform(0, 6, 64))
    plain = replace(view, auxiliary=(0.5 + drawn.reshape(400, 1, 8, 8) / 2).astype(np.float32))
    bent = replace(plain, network=Bent(view.network, 6))
    fixed = SETTINGS | {"members": 1, "copies": 0}
    assert fitted_ridge(plain, seed=0).held_out_mse < fitted_ensemble(plain, seed=0, **fixed).held_out_mse
    assert fitted_ridge(bent, seed=0).held_out_mse > 1.2 * fitted_ensemble(bent, seed=0, **fixed).held_out_mse


class Bent(ms.nn.Cell):
    """A few features of another network, folded at one."""

    def __init__(self, network, count):
        super().__init__(auto_prefix=False)
        self.network, self.count = network, count

    def construct(self, x):
        return ms.ops.abs(self.network(x)[:, : self.count] - 1)
