"""Trivial baselines: images that need no reconstruction. A metric that rates the first two well shows no leakage."""

import numpy as np

from suppress_privacy.attacks.registry import attack
from suppress_privacy.attacks.views import FeatureView, NothingView, Reconstruction
from suppress_privacy.checks import Seed
from suppress_privacy.lenet import predict

NEIGHBOUR_ROWS = 100  #: features compared at a time, so that the table of distances stays small


@attack("black", sees="nothing")
def black(view: NothingView, *, seed: Seed) -> Reconstruction:
    """A black image for every target; the seed is not used.

    Examples:
        >>> from suppress_privacy.attacks.views import NothingView
        >>> nothing = NothingView(4, known, known_labels)
        >>> float(black(nothing, seed=0).images.max())
        0.0
    """
    return Reconstruction(np.zeros((view.count, *view.auxiliary.shape[1:]), np.float32))


@attack("mean", sees="nothing")
def mean(view: NothingView, *, seed: Seed) -> Reconstruction:
    """The mean of the auxiliary images for every target; the seed is not used.

    Examples:
        >>> bool(np.allclose(mean(nothing, seed=0).images[0], known.mean(0), atol=1e-6))
        True
    """
    return Reconstruction(np.repeat(_mean(view.auxiliary)[None], view.count, axis=0))


@attack("class-mean", sees="features")
def class_mean(view: FeatureView, *, seed: Seed) -> Reconstruction:
    """The mean of the auxiliary images of the class that the network gives the target; the seed is not used.

    Examples:
        >>> class_mean(view, seed=0).images.shape
        (4, 1, 32, 32)
    """
    predicted = predict(view.rest, view.features).argmax(1)
    means = {label: _mean(view.auxiliary[view.auxiliary_labels == label]) for label in np.unique(view.auxiliary_labels)}
    everything = _mean(view.auxiliary)  # for a class that no auxiliary image has
    return Reconstruction(np.stack([means.get(label, everything) for label in predicted]))


@attack("nearest", sees="features")
def nearest(view: FeatureView, *, seed: Seed) -> Reconstruction:
    """The auxiliary image whose features are nearest to the target's (Euclidean); the seed is not used.

    Examples:
        >>> found = nearest(view, seed=0).images
        >>> bool((found[0] == known).all((1, 2, 3)).any())  # one of the attacker's own
        True
    """
    known = predict(view.network, view.auxiliary)
    known = known.reshape(len(known), -1).astype(np.float64)
    targets = view.features.reshape(len(view.features), -1).astype(np.float64)
    squares = (known**2).sum(1)
    chosen = [
        (squares - 2 * targets[first : first + NEIGHBOUR_ROWS] @ known.T).argmin(1)
        for first in range(0, len(targets), NEIGHBOUR_ROWS)
    ]
    return Reconstruction(view.auxiliary[np.concatenate(chosen)])


def _mean(images: np.ndarray) -> np.ndarray:
    return images.mean(axis=0, dtype=np.float64).astype(np.float32)
