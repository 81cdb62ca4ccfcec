"""Gaussian noise on the features that leave the user's device: the plainest defence against inversion::

    released = f(x) + sigma n,    n ~ N(0, 1) for every feature

Its strength is set by what it costs: sigma is the largest at which the accuracy is still a wanted one.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
from mindspore import nn

from suppress_privacy.checks import Bounds, NotNegative, Seed, checked
from suppress_privacy.cut import Layer
from suppress_privacy.defences.settings import DefenceSettings
from suppress_privacy.lenet import Features, Rest, predict
from suppress_privacy.runtime import generator
from suppress_privacy.training import Defence, Facts, Plan

Outcomes = Callable[[float], np.ndarray]  # bool [N], under noise of a standard deviation: who gets the right label
HALVINGS = 30
LARGEST = 1e6  #: noise beyond any feature's size


def outcomes_under(network: nn.Cell, images: np.ndarray, labels: np.ndarray, *, depth: str, seed: int) -> Outcomes:
    """What a network gets right whose features at `depth` are released with noise.

    Args:
        network: any that can be cut there, see `Features`.
        images, labels: float32 [N, C, H, W] and int [N].
        depth: where the network is split.
        seed: draws the noise, the same for every sigma but for its scale.

    Returns:
        From sigma, in units of the features, to whether each image gets its label, bool [N].
    """
    rest = Rest(network, depth)
    features = predict(Features(network, depth), images)
    noise = generator(seed, "feature noise").standard_normal(features.shape, np.float32)

    def outcomes(sigma: float) -> np.ndarray:
        return predict(rest, features + np.float32(sigma) * noise).argmax(1) == labels

    return outcomes


@checked
def sigma_at(wanted: Annotated[float, Bounds(at_least=0, at_most=1)], outcomes: Outcomes) -> float:
    """The standard deviation at which the accuracy has come down to a wanted one, by bisection.

    Args:
        wanted: the accuracy.
        outcomes: of `outcomes_under`.

    Returns:
        Sigma; 0 where the network is no better than that without noise.

    Raises:
        ValueError: no noise brings the network down to that.
    """
    if outcomes(0.0).mean() <= wanted:
        return 0.0
    low, high = 0.0, 1.0
    while outcomes(high).mean() > wanted:
        low, high = high, 2 * high
        if high > LARGEST:
            raise ValueError(f"wanted is {wanted}, which noise does not bring the network down to: ask for more.")
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if outcomes(middle).mean() > wanted else (low, middle)
    return high


class FeatureNoise(Defence):
    """Releases a network's features at one depth with noise, and no others.

    The noise is added by `release` alone: the network stays as it is, and who calls it by itself gets plain features.

    Args:
        depth: of the features, a layer's name.
        sigma: standard deviation, in units of the features.
        seed: draws the noise under which accuracy is measured.
        wanted_accuracy: what sigma was set by, if it was.

    Raises:
        TypeError, ValueError: an argument of the wrong type or out of its range.

    Examples:
        >>> noisy = FeatureNoise("fc1", sigma=0.5)
        >>> noisy.release(view.features, np.random.default_rng(0)).shape, noisy.releases
        ((4, 120), 'fc1')
    """

    @checked
    def __init__(self, depth: Layer, sigma: NotNegative, seed: Seed = 0, wanted_accuracy: float | None = None) -> None:
        super().__init__(auto_prefix=False)
        self.depth = self.releases = depth
        self.sigma = sigma
        self.wanted_accuracy = wanted_accuracy
        self._seed = seed

    def release(self, features: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        return features + np.float32(self.sigma) * rng.standard_normal(features.shape, np.float32)

    def correct(self, network: nn.Cell, images: np.ndarray, labels: np.ndarray) -> np.ndarray:
        return outcomes_under(network, images, labels, depth=self.depth, seed=self._seed)(self.sigma)

    def facts(self) -> Facts:
        return {"sigma": self.sigma, "wanted_accuracy": self.wanted_accuracy}


@dataclass(frozen=True, kw_only=True)
class NoisyFeatures(DefenceSettings, kind="feature-noise"):
    """Settings of `FeatureNoise`, as strong as brings the network down to the plan's `wanted_accuracy`.

    Examples:
        >>> from suppress_privacy import train
        >>> from suppress_privacy.training import Plan
        >>> model = nn.SequentialCell(nn.Flatten(), nn.Dense(1024, 16), nn.Dense(16, 10))
        >>> optimizer = nn.SGD(model.trainable_params(), 0.1)
        >>> history = train(model, optimizer, data, epochs=1, batch_size=100, seed=0)
        >>> plan = Plan(data, epochs=1, batch_size=100, lr=0.1, seed=0, wanted_accuracy=0.5)
        >>> NoisyFeatures(depth="1").make(model, plan).facts()["sigma"] > 0.1  # at which accuracy has come down to 0.5
        True
    """

    depth: Layer = "fc1"

    starts_trained: ClassVar[bool] = True
    trains: ClassVar[bool] = False

    @property
    def releases(self) -> str:
        return self.depth

    def make(self, network: nn.Cell, plan: Plan) -> FeatureNoise:
        wanted = plan.wanted_accuracy
        if wanted is None:
            raise ValueError("wanted_accuracy is None; the noise is as strong as brings it down to that: give one.")
        under = outcomes_under(network, *plan.data.to_choose_on(), depth=self.depth, seed=plan.seed)
        return FeatureNoise(self.depth, sigma_at(wanted, under), plan.seed, wanted)

    def released(self, facts: Facts) -> FeatureNoise:
        return FeatureNoise(self.depth, facts["sigma"], wanted_accuracy=facts["wanted_accuracy"])
