"""The tuned inversion: its objective is the equation, its choices are the attacker's, and more of it is never worse."""

from dataclasses import replace

import mindspore as ms
import numpy as np
import pytest

from suppress_privacy.attacks import adam, perceptron, tuned
from suppress_privacy.attacks.views import LOOKS


def mse(images, originals):
    return float(((images - originals) ** 2).mean())


SEARCH = {"smoothness_weights": [0, 0.1], "anchor_weights": [0, 1], "batch_size": 6}
NETWORK = {"steps": 40, "batch_size": 32, "lr": 0.003, "width": 32, "copies": 0, "members": 1}


def test_tuned_inversion_inverts_a_linear_network_from_noise(planted):
    view, originals = planted
    descent = tuned.Descent(view.network, 0.1)
    start = np.random.default_rng(1).random(originals.shape, np.float32)
    found = descent(start, view.features, np.zeros_like(start), (0, 0), 400)
    assert np.abs(found.images - originals).max() < 0.01
    assert np.all(np.diff(found.curve, axis=0) <= 0) and np.array_equal(found.curve[-1], found.objective)
    assert np.array_equal(found.frames[0], start) and np.array_equal(found.frames[-1], found.images)


def test_images_with_weights_of_their_own_descend_as_if_alone(planted):
    """Trials of several weights go through as one batch."""
    view, originals = planted
    descent = tuned.Descent(view.network, 0.1)
    start = np.random.default_rng(1).random(originals.shape, np.float32)
    anchor = np.full_like(start, 0.5)
    pairs = [(0.0, 3.0), (1.0, 0.0)]
    start2, features2, anchor2 = (np.concatenate([values] * 2) for values in (start, view.features, anchor))
    together = descent(start2, features2, anchor2, np.repeat(pairs, len(start), axis=0), 30).images
    alone = [descent(start, view.features, anchor, pair, 30).images for pair in pairs]
    assert together == pytest.approx(np.concatenate(alone), abs=1e-4)
    assert np.abs(alone[0] - alone[1]).max() > 0.1


def test_tuned_inversion_chooses_its_weights_on_images_it_owns(planted):
    view, originals = planted
    found = tuned.invert(view, seed=0, iters=100, lr=0.05, restarts=1, **SEARCH)
    trials = found.chosen["held_out_mse"]
    assert {"0, 0", "0, 1", "0.1, 0", "0.1, 1"} <= trials.keys()
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
    assert np.all(np.diff(few.curve, axis=0) <= 0) and few.curve.shape == (LOOKS + 1, 12)


def test_the_course_of_watched_images_ends_in_what_is_found(planted):
    view, originals = planted
    watching = replace(view, watched=(7, 2))
    found = tuned.invert(watching, seed=0, iters=30, lr=0.05, restarts=2, **{**SEARCH, "batch_size": 5})
    assert found.course.targets.tolist() == [7, 2] and found.course.images.shape == (LOOKS + 1, 2, *originals.shape[1:])
    assert np.array_equal(found.course.images[-1], found.images[[7, 2]])
    assert np.array_equal(found.course.objective, found.curve[:, [7, 2]])
    plain = tuned.invert(view, seed=0, iters=30, lr=0.05, restarts=2, **{**SEARCH, "batch_size": 5})
    assert plain.course is None and np.array_equal(plain.images, found.images)


def test_weights_are_chosen_at_the_length_they_are_used(planted, monkeypatch):
    view, _ = planted
    lengths = []
    descend = tuned.Descent.__call__

    def counted(self, start, features, anchor, weights, steps):
        lengths.append(steps)
        return descend(self, start, features, anchor, weights, steps)

    monkeypatch.setattr(tuned.Descent, "__call__", counted)
    tuned.invert(view, seed=0, iters=7, lr=0.05, restarts=2, **SEARCH)
    assert set(lengths) == {7} and len(lengths) >= 4 + 2 * 2


def test_a_weight_at_the_edge_is_searched_beyond(planted):
    """Anchored at the image itself: the stronger, the better, as far as there is anything to gain."""
    view, _ = planted
    narrow = SEARCH | {"smoothness_weights": [1, 3], "anchor_weights": [0.01, 0.03]}
    found = tuned.invert(view, seed=0, iters=20, lr=0.05, restarts=1, **narrow).chosen
    assert found["smoothness_weight"] < 1 or found["anchor_weight"] > 0.03
    assert len(found["held_out_mse"]) > 4


@pytest.mark.parametrize("better", ["ridge", "ensemble"])
def test_it_starts_from_the_better_decoder_and_from_the_other_one(planted, monkeypatch, better):
    view, _ = planted
    worse = {"ridge": "ensemble", "ensemble": "ridge"}[better]
    fitted = {type(one).__name__.lower(): one for one in perceptron.decoders(view, seed=0, settings=NETWORK)}
    order = [replace(fitted[better], held_out_mse=0.1), replace(fitted[worse], held_out_mse=0.2)]
    monkeypatch.setattr(tuned, "decoders", lambda view, *, seed, settings: order)
    starts, anchors = [], []

    def descend(self, start, features, anchor, weights, steps):
        starts.append(start)
        anchors.append(anchor)
        return tuned.Descended(
            start, np.arange(len(start)) + len(starts), np.zeros((2, len(start))), np.stack([start] * 2)
        )

    monkeypatch.setattr(tuned.Descent, "__call__", descend)
    fixed = {"smoothness_weights": [0], "anchor_weights": [1], "batch_size": 12}
    found = tuned.invert(view, seed=0, iters=2, lr=0.05, restarts=4, decoder=NETWORK, **fixed)
    assert found.chosen["start"] == better
    first, second, third, fourth = starts[-4:]
    assert np.array_equal(first, fitted[better](view.features))
    assert np.array_equal(second, fitted[worse](view.features))
    assert all(np.array_equal(anchor, first) for anchor in anchors[-4:])
    for noisy in (third, fourth):
        assert 0.05 < np.abs(noisy - first).mean() < tuned.START_NOISE and noisy.min() >= 0 and noisy.max() <= 1
    assert not np.array_equal(third, fourth)
    assert np.array_equal(found.images, first)  # whose objective was the best


def test_decoders_come_the_better_one_first(planted):
    view, _ = planted
    both = perceptron.decoders(view, seed=0, settings=NETWORK)
    assert both[0].held_out_mse < both[1].held_out_mse and type(both[0]).__name__ == "Ridge"  # the network is linear
    assert [type(one).__name__ for one in perceptron.decoders(view, seed=0, settings=None)] == ["Ridge"]


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
    total = adam.TotalAndEach(tuned.AnchoredObjective(view.network))
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


def test_of_two_descents_each_image_takes_the_better_one():
    low, high = (
        tuned.Descended(*(np.full(shape, value) for shape in ((2, 1, 1, 1), (2,), (3, 2), (3, 2, 1, 1, 1))))
        for value in (1, 2)
    )
    mixed = tuned.Descended(high.images, np.array([2.0, 0.5]), high.curve, high.frames)
    found = low.better(mixed)
    assert found.images.ravel().tolist() == [1, 2] and found.objective.tolist() == [1, 0.5]
    assert found.curve.tolist() == [[1, 2]] * 3 == found.frames[:, :, 0, 0, 0].tolist()


def test_a_dead_layer_does_not_stop_it(dead):
    assert np.isfinite(tuned.invert(dead, seed=0, iters=5, lr=0.05, restarts=1, **SEARCH).images).all()
