"""Feature matching: of the images that a private one may be, the one whose features are nearest to what was seen::

    argmin over candidates c of |f(c) - f*|^2

It reconstructs nothing. How often it is right bounds how often any image made from these features can be told from
others; under Gaussian noise of one size on all features the nearest candidate is also the likeliest.
"""

import numpy as np
from scipy.spatial.distance import cdist

from suppress_privacy.attacks.registry import attack
from suppress_privacy.attacks.views import GalleryView
from suppress_privacy.checks import Seed
from suppress_privacy.lenet import predict

CANDIDATES = 1000  #: compared at a time, so that features of early layers find room


@attack("matching", sees="gallery")
def matching(view: GalleryView, *, seed: Seed) -> np.ndarray:
    """How far what was seen is from what the network makes of each candidate; the seed is not used.

    Returns:
        float32 [N, P], squared distances.

    Examples:
        >>> from suppress_privacy.attacks.views import GalleryView
        >>> seen = GalleryView(view.features, first, gallery=np.concatenate([known[:20], images]))
        >>> matching(seen, seed=0).argmin(1).tolist()  # the private images are the last four
        [20, 21, 22, 23]
    """
    targets = view.features.reshape(len(view.features), -1)
    starts = range(0, len(view.gallery), CANDIDATES)
    found = (predict(view.network, view.gallery[first : first + CANDIDATES]) for first in starts)
    return np.concatenate(
        [cdist(targets, each.reshape(len(each), -1), "sqeuclidean").astype(np.float32) for each in found], axis=1
    )
