"""The trivial baselines are what they are called."""

import numpy as np
import pytest

from suppress_privacy.attacks import trivial
from suppress_privacy.attacks.views import NothingView
from suppress_privacy.lenet import predict


def test_black_and_mean_need_no_more_than_images_of_the_attackers(planted):
    owned = planted[0].auxiliary
    view = NothingView(3, owned, np.zeros(len(owned), np.int32))
    assert np.array_equal(trivial.black(view, seed=0).images, np.zeros((3, 1, 8, 8)))
    means = trivial.mean(view, seed=0).images
    assert means.shape == (3, 1, 8, 8) and means.dtype == np.float32
    np.testing.assert_allclose(means[1], owned.mean(0), atol=1e-6)


def test_class_mean_is_the_mean_of_the_class_the_network_sees(planted):
    view, _ = planted
    found = trivial.class_mean(view, seed=0).images
    predicted = (view.features[:, 0] > 0).astype(int)
    for image, label in zip(found, predicted, strict=True):
        assert image == pytest.approx(view.auxiliary[view.auxiliary_labels == label].mean(0), abs=1e-6)


def test_the_nearest_neighbour_is_the_nearest(planted):
    view, _ = planted
    known = predict(view.network, view.auxiliary)
    for image, features in zip(trivial.nearest(view, seed=0).images, view.features, strict=True):
        assert np.array_equal(image, view.auxiliary[((known - features) ** 2).sum(1).argmin()])
