"""Decoders: maps from features to images, learned from the attacker's own images run through the network.

They suit themselves to the network under attack, whatever its defence does to the features
(Dosovitskiy & Brox 2016; the closed form is ridge regression, Hoerl & Kennard 1970).
"""

import time
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.linalg import LinAlgError, cho_factor, cho_solve

from suppress_privacy.attacks.registry import attack
from suppress_privacy.attacks.search import Point, searched
from suppress_privacy.attacks.views import FeatureView, Reconstruction, once_a_view
from suppress_privacy.checks import Seed
from suppress_privacy.runtime import generator

PENALTIES = (1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1)  #: tried first; then smaller or larger ones while that is better
MOST_PENALTY = 1e6  #: with which nothing is left but the mean image


@dataclass(frozen=True)
class Scale:
    """What features are standardised by: their mean, and one standard deviation for all together."""

    mean: np.ndarray  #: [F]
    deviation: float

    @classmethod
    def of(cls, features: np.ndarray) -> "Scale":
        flat = _flat(features)
        return cls(flat.mean(0), float(flat.std()) or 1.0)  # a dead layer has no spread

    def __call__(self, features: np.ndarray) -> np.ndarray:
        """[N, ...] -> [N, F]."""
        return (_flat(features) - self.mean) / self.deviation


@dataclass(frozen=True)
class Decoder(ABC):
    """A map from features to images, fitted to a view."""

    scale: Scale  #: of the features it was fitted on
    shape: tuple[int, ...]  #: (C, H, W)
    held_out_mse: float
    chosen: dict[str, Any]  #: settings that the held-out images chose, and on what ground
    search_seconds: float  #: that the choosing took

    @abstractmethod
    def pixels(self, standardised: np.ndarray) -> np.ndarray:
        """[N, F] -> [N, P], of any size."""

    def __call__(self, features: np.ndarray) -> np.ndarray:
        """Images, float32 [N, C, H, W] in the pixels' range, for features [N, ...]."""
        images = self.pixels(self.scale(features))
        return np.clip(images, 0, 1).astype(np.float32).reshape(-1, *self.shape)

    def reconstruct(self, view: FeatureView) -> Reconstruction:
        """The images behind the features of a view, with what was chosen."""
        prior = view.learning().mean(0, dtype=np.float64)
        skill = 1 - self.held_out_mse / float(((prior - view.held_out()) ** 2).mean())
        chosen = self.chosen | {"held_out_skill": skill}
        return Reconstruction(self(view.features), chosen=chosen, search_seconds=self.search_seconds)


@dataclass(frozen=True)
class Ridge(Decoder):
    """An affine map."""

    weights: np.ndarray  #: [F, P]
    offset: np.ndarray  #: [P], the mean image

    def pixels(self, standardised: np.ndarray) -> np.ndarray:
        return standardised @ self.weights + self.offset


@once_a_view
def fitted_ridge(view: FeatureView, *, seed: int, shuffled: bool = False) -> Ridge:
    """Fit a ridge regression from features to pixels; its penalty is the best on the held-out images::

        W = argmin |Z W - (X - mean X)|^2 + M penalty |W|^2,    Z: standardised features, M images

    Args:
        view: its features of private images are not looked at.
        seed: draws noise like that on the private features, if there is any, and the order of the next.
        shuffled: pair images and features wrongly, so that nothing but the mean image can be learned.
    """
    started = time.perf_counter()
    images, held_out = view.learning(), view.held_out()
    noise = generator(seed, "attacker's noise")
    features = _flat(view.as_seen(images, noise)).astype(np.float64)
    pixels = _flat(images).astype(np.float64)
    if shuffled:
        pixels = pixels[generator(seed, "shuffled features").permutation(len(pixels))]
    scale, offset = Scale.of(features), pixels.mean(0)
    centred = scale(features)  # [M, F]
    few = 2 * len(centred) < centred.shape[1]  # then W = Z' (Z Z' + M penalty)^-1 (X - mean X) is much the sooner there
    whole = centred.T if few else centred
    gram = whole.T @ whole  # [F, F], or [M, M]
    cross = pixels - offset if few else centred.T @ (pixels - offset)  # [F, P], or [M, P]
    tried = scale(view.as_seen(held_out, noise))
    weights: dict[Point, np.ndarray] = {}

    def errors_of(points: list[Point]) -> list[float]:
        return [error_of(point) for point in points]

    def error_of(point: Point) -> float:
        try:
            factor = cho_factor(gram + len(images) * point[0] * np.eye(len(gram)), overwrite_a=True)
        except LinAlgError:
            return np.inf  # too small a penalty for these features' rounding
        solved = cho_solve(factor, cross)
        weights[point] = whole @ solved if few else solved
        decoded = np.clip(tried @ weights[point] + offset, 0, 1)
        return float(((decoded - _flat(held_out)) ** 2).mean())

    # Below the least penalty what it adds is lost in the rounding of the sums it is added to.
    least = float(np.finfo(np.float64).eps * len(gram) * np.trace(gram) / len(images))
    limits = {"penalty": (least, MOST_PENALTY)}
    found = searched({"penalty": PENALTIES}, errors_of, factors={"penalty": 10}, limits=limits)
    chosen = {"penalty": found.best[0], **found.as_data()}
    error, seconds = found.errors[found.best], time.perf_counter() - started
    return Ridge(scale, images.shape[1:], error, chosen, seconds, weights[found.best], offset)


@attack("ridge", sees="features")
def ridge(view: FeatureView, *, seed: Seed, shuffled: bool) -> Reconstruction:
    """Ridge regression.

    Args:
        view: what the attacker has.
        seed: draws the order of the shuffled control, and noise where the features have any.
        shuffled: True pairs images and features wrongly, a control that must not do better than the
            mean image.

    Examples:
        >>> found = ridge(view, seed=0, shuffled=False)
        >>> found.images.shape
        (4, 1, 32, 32)
        >>> sorted(found.chosen)
        ['at_edge', 'held_out_mse', 'held_out_skill', 'penalty']
    """
    return fitted_ridge(view, seed=seed, shuffled=shuffled).reconstruct(view)


def _flat(values: np.ndarray) -> np.ndarray:
    return values.reshape(len(values), -1)
