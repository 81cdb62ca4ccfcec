"""What an attacker has. An attack is given one of these and nothing else."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from mindspore import nn

from suppress_privacy.lenet import predict

HELD_OUT = 100  # auxiliary images on which an attack may choose its settings


@dataclass(frozen=True)
class FeatureView:
    """The attacker saw what the network computed for private images, up to one depth.

    This is split inference: the user's device computes the first layers, the attacker reads what is
    sent on and knows the network (a mask, if there is one, shows in its weights).
    """

    features: np.ndarray  # float32 [N, ...], of the private images
    network: nn.Cell  # from images to such features
    rest: nn.Cell  # from such features to logits, the network's other half
    auxiliary: np.ndarray  # float32 [M, C, H, W], images of the same kind, none of them private
    auxiliary_labels: np.ndarray  # int32 [M]
    noise: float = 0.0  # standard deviation of the noise that was added to the features; the attacker knows it

    def as_seen(self, images, rng):
        """What the attacker would have seen for images of its own: their features, with noise drawn from `rng`."""
        features = predict(self.network, images)
        if self.noise:
            features = features + np.float32(self.noise) * rng.standard_normal(features.shape, np.float32)
        return features

    def learning(self):
        """The auxiliary images to learn from: all but the held-out ones, float32 [M - H, C, H, W]."""
        return self.auxiliary[: -self._held_out()]

    def held_out(self):
        """The last auxiliary images, to choose settings on: float32 [H, C, H, W]."""
        return self.auxiliary[-self._held_out() :]

    def _held_out(self):
        return min(HELD_OUT, len(self.auxiliary) // 4)


@dataclass(frozen=True)
class Reconstruction:
    """What an attack returns: one image for each row of features, and what it cost to get them."""

    images: np.ndarray  # float32 [N, C, H, W]
    objective: np.ndarray | None = None  # float64 [N], the attack's own objective at `images`
    curve: np.ndarray | None = None  # float64 [K, N], the best objective so far, at equal distances of steps
    labels: np.ndarray | None = None  # int [N], the labels it found, where it seeks them
    chosen: dict | None = None  # settings the attack chose by itself, and on what ground: plain data


@dataclass(frozen=True)
class GradientView:
    """The attacker saw the gradients of one training step on one private image, as in federated learning."""

    gradients: tuple  # of numpy.ndarray, one for each trainable parameter of `network`, in their order
    network: nn.Cell  # the network at that step; every operator in it must have second derivatives
    image_shape: tuple  # (C, H, W)


@dataclass(frozen=True)
class MembershipView:
    """The attacker owns images and their labels, and asks which of them the network was trained on.

    `train` is the victim's own recipe, defence included: from indices into `images` and a seed to the logits
    that a network trained on those images alone gives for all of `images`, float32 [N, K].
    """

    logits: np.ndarray  # float32 [N, K], the victim's, for every image the attacker owns
    labels: np.ndarray  # int32 [N]
    candidates: np.ndarray  # int64 [Q], positions of the images in question
    train: Callable
