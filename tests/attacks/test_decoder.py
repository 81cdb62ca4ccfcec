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
    # Nothing to smooth: the least penalty that makes a difference is the best, and smaller ones were tried beside it.
    assert found.chosen["penalty"] < 1e-9 and found.chosen["at_edge"] == []
    assert float(min(found.chosen["held_out_mse"], key=float)) < found.chosen["penalty"]
    assert found.chosen["held_out_skill"] > 0.999


@pytest.mark.parametrize("count", [400, 40])
def test_ridge_is_ridge_regression(planted, count):
    """Against least squares on the stacked system, written out; of more images than features and of far fewer."""
    view, _ = planted
    view = replace(view, auxiliary=view.auxiliary[:count], auxiliary_labels=view.auxiliary_labels[:count])
    fitted = decoder.fitted_ridge(view, seed=0)
    images = view.learning()
    features = predict(view.network, images).astype(np.float64)
    centred = (features - features.mean(0)) / features.std()
    pixels = images.reshape(len(images), -1).astype(np.float64)
    root = np.sqrt(len(images) * fitted.chosen["penalty"]) * np.eye(centred.shape[1])
    stacked = np.concatenate([centred, root]), np.concatenate([pixels - pixels.mean(0), np.zeros_like(root)])
    assert fitted.weights == pytest.approx(np.linalg.lstsq(*stacked, rcond=None)[0], abs=1e-4)


def test_where_features_are_noisy_the_penalty_lies_inside_of_what_was_tried(planted):
    """As much as 64 features of 300 images can be fitted to is noise, unless they are held back."""
    view, _ = planted
    noisy = replace(view, release=lambda features, rng: features + 3 * rng.standard_normal(features.shape, np.float32))
    found = decoder.fitted_ridge(noisy, seed=0).chosen
    tried = sorted(float(penalty) for penalty in found["held_out_mse"])
    assert tried[0] < found["penalty"] < tried[-1] and found["at_edge"] == []
    assert tried[-1] > max(decoder.PENALTIES)  # beyond the first grid


def test_ridge_from_shuffled_features_is_no_better_than_the_mean_image(planted, mean_image):
    view, originals = planted
    shuffled = decoder.ridge(view, seed=0, shuffled=True)
    assert mse(shuffled.images, originals) > 0.999 * mean_image
    # It has nothing of its target: the images of another target's features serve as well.
    other = mse(shuffled.images[::-1], originals)
    assert mse(shuffled.images, originals) == pytest.approx(other, rel=0.2)


def test_decoders_learn_from_features_as_they_are_released(planted, mean_image):
    """Halved in a way the attacker knows of, they give as much away; one who does not know decodes another image."""
    view, originals = planted
    halved = replace(view, features=view.features / 2, release=lambda features, rng: features / 2)
    assert mse(decoder.ridge(halved, seed=0, shuffled=False).images, originals) < 1e-4 * mean_image
    assert (
        mse(decoder.ridge(replace(halved, release=None), seed=0, shuffled=False).images, originals) > 0.1 * mean_image
    )


def test_of_a_dead_layer_ridge_makes_the_mean_image(dead):
    found = decoder.ridge(dead, seed=0, shuffled=False)
    assert found.images[0] == pytest.approx(dead.learning().mean(0), abs=1e-6)
