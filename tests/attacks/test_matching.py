"""Feature matching tells whose features were seen, as far as features tell images apart."""

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from suppress_privacy.attacks import matching
from suppress_privacy.attacks.views import GalleryView
from suppress_privacy.lenet import predict


@pytest.fixture
def gallery(planted):
    """The private images among the auxiliary ones, as the last."""
    view, originals = planted
    return GalleryView(view.features, view.network, np.concatenate([view.auxiliary, originals]))


def test_every_image_is_found_among_the_candidates(gallery):
    distances = matching.matching(gallery, seed=0)
    assert distances.shape == (12, 412) and distances.dtype == np.float32
    assert distances.argmin(1).tolist() == [*range(400, 412)]


def test_distances_are_those_of_features_however_many_are_compared_at_a_time(gallery, monkeypatch):
    together = matching.matching(gallery, seed=0)
    assert together == pytest.approx(cdist(gallery.features, predict(gallery.network, gallery.gallery)) ** 2, abs=1e-4)
    monkeypatch.setattr(matching, "CANDIDATES", 103)
    assert matching.matching(gallery, seed=0) == pytest.approx(together, abs=1e-4)


def test_noise_on_the_features_hides_an_image(gallery):
    noise = np.random.default_rng(0).standard_normal(gallery.features.shape, np.float32)
    right = [
        np.mean(matching.matching(GalleryView(gallery.features + sigma * noise, *within), seed=0).argmin(1) >= 400)
        for sigma in (0, 1, 30)
        for within in [(gallery.network, gallery.gallery)]
    ]
    assert right[0] == 1 and right[0] >= right[1] >= right[2] and right[2] < 0.5


def test_a_dead_layer_tells_nobody_apart(gallery):
    for parameter in gallery.network.get_parameters():
        parameter.set_data(parameter * 0)
    dead = GalleryView(np.zeros_like(gallery.features), gallery.network, gallery.gallery)
    assert not matching.matching(dead, seed=0).any()
