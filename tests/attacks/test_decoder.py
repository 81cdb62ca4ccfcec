"""Decoders learn to invert what can be inverted, and nothing else."""

from dataclasses import replace

import numpy as np
import pytest

from suppress_privacy.attacks import decoder
from suppress_privacy.lenet import predict


def mse(images, originals):
    return float(((images - originals) ** 2).mean())


def test_ridge_inverts_a_linear_network(planted, mean_image):
    view, originals = planted
    found = decoder.ridge(view, seed=0, shuffled=False)
    assert mse(found.images, originals) < 1e-4 * mean_image
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


def test_ridge_from_shuffled_features_is_no_better_than_the_mean_image(planted, mean_image):
    view, originals = planted
    shuffled = decoder.ridge(view, seed=0, shuffled=True)
    assert mse(shuffled.images, originals) > 0.999 * mean_image
    # It has nothing of its target: the images of another target's features serve as well.
    other = mse(shuffled.images[::-1], originals)
    assert mse(shuffled.images, originals) == pytest.approx(other, rel=0.2)


def test_the_decoder_network_learns_and_repeats(planted, mean_image):
    view, originals = planted
    settings = {"epochs": 40, "batch_size": 32, "lr": 0.005}
    first = decoder.convolutional(view, seed=0, **settings)
    assert mse(first.images, originals) < 0.6 * mean_image
    assert np.array_equal(first.images, decoder.convolutional(view, seed=0, **settings).images)
    assert not np.array_equal(first.images, decoder.convolutional(view, seed=1, **settings).images)


def test_decoders_learn_from_features_as_they_are_released(planted, mean_image):
    """Halved in a way the attacker knows of, they give as much away; one who does not know decodes another image."""
    view, originals = planted
    halved = replace(view, features=view.features / 2, release=lambda features, rng: features / 2)
    assert mse(decoder.ridge(halved, seed=0, shuffled=False).images, originals) < 1e-4 * mean_image
    assert (
        mse(decoder.ridge(replace(halved, release=None), seed=0, shuffled=False).images, originals) > 0.1 * mean_image
    )


def test_the_decoder_network_sees_another_draw_every_epoch(planted):
    """What is released of the images it learns from, and of those it is tried on at the end."""
    view, _ = planted
    draws = []

    def release(features, rng):
        draws.append(features + 0.1 * rng.standard_normal(features.shape, np.float32))
        return draws[-1]

    decoder.convolutional(replace(view, release=release), seed=0, epochs=3, batch_size=100, lr=0.001)
    learned_from = [draw for draw in draws if len(draw) == len(view.learning())]
    assert len(learned_from) == 4 and len(draws) == 5  # the first to standardise by
    assert not any(np.array_equal(draw, learned_from[0]) for draw in learned_from[1:])


def test_too_few_images_for_a_step_are_refused(planted):
    view, _ = planted
    with pytest.raises(ValueError, match="batch_size is 301; there are 300 images to learn from: take fewer"):
        decoder.convolutional(view, seed=0, epochs=1, batch_size=301, lr=0.001)


def test_of_a_dead_layer_ridge_makes_the_mean_image(dead):
    found = decoder.ridge(dead, seed=0, shuffled=False)
    assert found.images[0] == pytest.approx(dead.learning().mean(0), abs=1e-6)
