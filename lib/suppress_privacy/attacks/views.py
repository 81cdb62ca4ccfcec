"""What an attacker has. An attack is given one of these and nothing else."""

from dataclasses import dataclass

import numpy as np
from mindspore import nn


@dataclass(frozen=True)
class FeatureView:
    """The attacker saw what the network computed for private images, up to one depth.

    This is split inference: the user's device computes the first layers, the attacker reads what is
    sent on and knows the network (a mask, if there is one, shows in its weights).
    """

    features: np.ndarray  # float32 [N, ...], of the private images
    network: nn.Cell  # from images to such features
    auxiliary: np.ndarray  # float32 [M, C, H, W], images of the same kind, none of them private


@dataclass(frozen=True)
class Reconstruction:
    """What an attack returns: one image for each row of features, and what it cost to get them."""

    images: np.ndarray  # float32 [N, C, H, W]
    objective: np.ndarray | None = None  # float64 [N], the attack's own objective at `images`
