"""What an attacker holds: images to learn from, images to choose on, and features as they leave the device."""

from dataclasses import replace

import numpy as np

from suppress_privacy.lenet import predict


def test_images_to_learn_from_and_to_choose_on_are_apart_and_all(planted):
    view, _ = planted
    assert np.array_equal(np.concatenate([view.learning(), view.held_out()]), view.auxiliary)
    assert len(view.held_out()) == 100
    assert len(replace(view, auxiliary=view.auxiliary[:40]).held_out()) == 10


def test_own_images_are_seen_as_private_ones_are_released(planted):
    view, originals = planted
    plain = predict(view.network, originals)
    assert np.array_equal(view.as_seen(originals, np.random.default_rng(0)), plain)
    noisy = replace(view, release=lambda features, rng: features + rng.standard_normal(features.shape, np.float32))
    drawn = np.random.default_rng(0).standard_normal(plain.shape, np.float32)
    assert np.array_equal(noisy.as_seen(originals, np.random.default_rng(0)), plain + drawn)
