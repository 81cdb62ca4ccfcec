"""Floors: images anyone can offer without an attack. A metric that rates them well shows no leakage."""

import numpy as np

from suppress_privacy.attacks.views import FeatureView, Reconstruction


def black(view: FeatureView, *, seed) -> Reconstruction:
    """A black image for every target; the seed is not used."""
    return Reconstruction(np.zeros((len(view.features), *view.auxiliary.shape[1:]), np.float32))


def mean(view: FeatureView, *, seed) -> Reconstruction:
    """The mean of the auxiliary images for every target; the seed is not used."""
    average = view.auxiliary.mean(axis=0, dtype=np.float64).astype(np.float32)
    return Reconstruction(np.repeat(average[None], len(view.features), axis=0))
