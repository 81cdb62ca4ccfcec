"""A decoder network: features to images by a perceptron, its size and rate chosen for each network under attack::

    x^ = sigmoid(W3 relu(W2 relu(W1 z + b1) + b2) + b3)    z: standardised features

Several of these, each from a draw of its own, are trained by Adam (Kingma & Ba 2015) on squared error until the
held-out images gain no more; their mean is the decoder. What they learn from are the attacker's images and moved
copies of them, for the network can be run on whatever the attacker likes.

Every candidate gets the same time, a wide network so many steps fewer: what is chosen is what learns most in the time
there is. It is written in NumPy, where nothing is compiled: so many widths can be tried in the time of one.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, Any

import numpy as np
from scipy.ndimage import map_coordinates
from scipy.special import expit
from tqdm import tqdm

from suppress_privacy.attacks.adam import BETA1, BETA2, EPSILON
from suppress_privacy.attacks.decoder import Decoder, Scale, fitted_ridge
from suppress_privacy.attacks.registry import ATTACKS, attack
from suppress_privacy.attacks.search import Point, searched
from suppress_privacy.attacks.views import FeatureView, Reconstruction, once_a_view
from suppress_privacy.checks import Bounds, Positive, Seed, Whole
from suppress_privacy.lenet import predict
from suppress_privacy.runtime import generator

Arrays = list[np.ndarray]
LOOKS = 40  #: at the held-out images, in the longest training
CUT, CUTS = 3, 3  # the rate is divided by this where a look finds no gain, so often; then training ends
GAIN = 0.998  #: of the held-out error, what counts as no gain
# Successive halving (Jamieson & Talwalkar 2016): looks, and how many of those tried get them, the better ones first.
RUNGS = ((2, None), (4, 3))
WIDEST = 4096  #: units of a layer
TURN, SHIFT = 0.15, 0.05  # how far images are moved: change of each coordinate by each, and share of a side


class Perceptron:
    """The network above and the state of its training; initial weights as He et al. 2015 draw them.

    Args:
        sizes: of its layers, features first and pixels last.
        rng: draws the initial weights.
    """

    def __init__(self, sizes: Sequence[int], rng: np.random.Generator) -> None:
        pairs = list(pairwise(sizes))
        drawn = [rng.standard_normal(pair).astype(np.float32) * np.float32(np.sqrt(2 / pair[0])) for pair in pairs]
        self.parameters = [*drawn, *(np.zeros(count, np.float32) for _, count in pairs)]
        self._moments = [[np.zeros_like(each) for each in self.parameters] for _ in range(2)]
        self._steps = 0

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """[N, F] -> [N, P]."""
        return self._activations(x)[-1]

    def _activations(self, x: np.ndarray) -> Arrays:
        layers = len(self.parameters) // 2
        found = [x]
        for weights, bias in zip(self.parameters[:layers], self.parameters[layers:], strict=True):
            x = x @ weights + bias
            x = expit(x) if len(found) == layers else np.maximum(x, 0)
            found.append(x)
        return found

    def gradients(self, x: np.ndarray, pixels: np.ndarray) -> Arrays:
        """Of the mean squared error, for weights and biases in the order of `parameters`."""
        *inputs, found = self._activations(x)
        back = (found - pixels) * found * (1 - found) * np.float32(2 / pixels.size)
        weights: Arrays = []
        biases: Arrays = []
        for number in reversed(range(len(inputs))):
            weights.insert(0, inputs[number].T @ back)
            biases.insert(0, back.sum(0))
            if number:
                back = (back @ self.parameters[number].T) * (inputs[number] > 0)
        return weights + biases

    def step(self, x: np.ndarray, pixels: np.ndarray, rate: float) -> None:
        """One step of Adam."""
        self._steps += 1
        unbiased = np.sqrt(1 - BETA2**self._steps)
        length, least = np.float32(rate * unbiased / (1 - BETA1**self._steps)), np.float32(EPSILON * unbiased)
        for parameter, gradient, first, second in zip(
            self.parameters, self.gradients(x, pixels), *self._moments, strict=True
        ):
            first += (1 - BETA1) * (gradient - first)
            second += (1 - BETA2) * (gradient * gradient - second)
            parameter -= length * first / (np.sqrt(second) + least)


class Lesson:
    """What perceptrons learn from and are tried on: features and images of a view.

    Args:
        view: its features of private images are not looked at.
        seed: draws how images are moved, and noise where the features have any.
        copies: moved copies of each image.
    """

    def __init__(self, view: FeatureView, seed: int, copies: int) -> None:
        rng, self._noise = generator(seed, "moved images"), generator(seed, "attacker's noise")
        images, held_out = view.learning(), view.held_out()
        learned = [images, *(moved(images, rng) for _ in range(copies))]
        features = [predict(view.network, each) for each in learned]  # of one size: the network is compiled once
        self.scale = Scale.of(view.released(features[0], self._noise))
        self._features = np.concatenate(features)
        self._pixels = np.concatenate(learned).reshape(len(self._features), -1)
        self._view, self._held_out = view, held_out.reshape(len(held_out), -1)
        self._tried = self._standardised(view.as_seen(held_out, self._noise))
        self.count, self.sizes = len(images), (self._tried.shape[1], self._pixels.shape[1])

    def _standardised(self, features: np.ndarray) -> np.ndarray:
        return self.scale(features).astype(np.float32)

    def batch(self, size: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Features and pixels of images drawn at random; what is released of them is another draw each time."""
        chosen = rng.integers(0, len(self._pixels), size)
        return self._standardised(self._view.released(self._features[chosen], self._noise)), self._pixels[chosen]

    def error(self, decode: Callable[[np.ndarray], np.ndarray]) -> float:
        """Mean squared error on the held-out images."""
        return float(((decode(self._tried) - self._held_out) ** 2).mean())


def sizes(lesson: Lesson, width: int) -> tuple[int, ...]:
    """Of a perceptron's layers for what is to be learned."""
    features, pixels = lesson.sizes
    return features, width, width, pixels


def multiplications(lesson: Lesson, width: int) -> int:
    """Of one image on its way through such a perceptron, in proportion to which its training takes time."""
    return sum(before * after for before, after in pairwise(sizes(lesson, width)))


class Training:
    """One perceptron on its way: trained by and by, to be dropped or carried on."""

    def __init__(
        self, lesson: Lesson, width: int, rate: float, batch_size: int, stretch: int, rng: np.random.Generator
    ) -> None:
        self.network = Perceptron(sizes(lesson, width), rng)
        self.looks, self.stretch, self.error = 0, stretch, np.inf
        self._lesson, self._rate, self._size, self._rng = lesson, rate, batch_size, rng
        self._cuts, self._best = 0, [each.copy() for each in self.network.parameters]

    def advance(self) -> "Training":
        """Train for a stretch of steps, then look at the held-out images; where they gain nothing the rate is cut."""
        for _ in range(self.stretch):
            self.network.step(*self._lesson.batch(self._size, self._rng), self._rate)
        self.looks += 1
        error = self._lesson.error(self.network)
        if not error < GAIN * self.error:
            self._cuts += 1
            self._rate /= CUT
        if error < self.error:
            self.error, self._best = error, [each.copy() for each in self.network.parameters]
        return self

    def ended(self) -> bool:
        """Whether the held-out images gain no more, at any of the rates."""
        return self._cuts > CUTS

    def finish(self) -> "Training":
        """Train to the end, or until there is no time left."""
        while not self.ended() and self.looks < LOOKS:
            self.advance()
        return self

    def best(self) -> Perceptron:
        """The network as it was when the held-out images had most of it."""
        self.network.parameters = self._best
        return self.network


@dataclass(frozen=True)
class Ensemble(Decoder):
    """The mean of some perceptrons' images."""

    members: list[Perceptron]

    def pixels(self, standardised: np.ndarray) -> np.ndarray:
        found = [member(standardised.astype(np.float32)) for member in self.members]
        return np.mean(found, axis=0)


@once_a_view
def fitted_ensemble(
    view: FeatureView,
    *,
    seed: int,
    batch_size: int,
    lr: float,
    steps: int,
    width: int,
    copies: int,
    members: int,
) -> Ensemble:
    """Fit the decoder network to a view, once for all attacks that want the same; arguments as `decoder` has them."""
    started = time.perf_counter()
    lesson, begun = Lesson(view, seed, copies), dict[Point, Training]()
    time_of_look = steps / LOOKS * multiplications(lesson, width)

    def beginning(point: Point, number: int) -> Training:
        size, rate = round(point[0]), point[1]
        stretch = max(1, round(time_of_look / multiplications(lesson, size)))
        return Training(lesson, size, rate, batch_size, stretch, generator(seed, "decoder", str(number)))

    def errors_of(points: list[Point]) -> list[float]:
        begun.update({point: beginning(point, 0) for point in points})
        for looks, among in RUNGS:
            for point in sorted(points, key=lambda point: begun[point].error)[:among]:
                for _ in range(looks):
                    begun[point].advance()
        return [begun[point].error for point in points]

    axes = {"width": (width / 2, width, width * 2), "rate": (lr / 3, lr, lr * 3)}
    search = searched(axes, errors_of, factors={"width": 2, "rate": 3}, limits={"width": (1, WIDEST)})
    seconds = time.perf_counter() - started
    trained = [begun[search.best], *(beginning(search.best, number) for number in range(1, members))]
    networks = [one.finish().best() for one in tqdm(trained, unit="network", disable=None)]
    error = lesson.error(lambda features: np.mean([network(features) for network in networks], axis=0))
    chosen = {
        **dict(zip(axes, (round(search.best[0]), search.best[1]), strict=True)),
        **search.as_data(),
        "steps": [one.looks * one.stretch for one in trained],
        "plateau": [one.ended() for one in trained],
    }
    return Ensemble(lesson.scale, view.auxiliary.shape[1:], error, chosen, seconds, networks)


@attack("decoder", sees="features")
def decoder(
    view: FeatureView,
    *,
    seed: Seed,
    batch_size: Whole,
    lr: Positive,
    steps: Whole,
    width: Whole,
    copies: Annotated[int, Bounds(at_least=0)],
    members: Whole,
) -> Reconstruction:
    """The decoder network.

    Args:
        view: what the attacker has.
        seed: draws initial weights, the images of each step, and how copies are moved.
        batch_size: images a step.
        lr: the first rate that is tried, with a third of it and three times as much.
        steps: after which the training of a network of `width` ends in any case; others get as much time.
        width: of both hidden layers, the first that is tried, with half of it and twice as much.
        copies: moved copies of each image to learn from besides.
        members: networks, of whose images the mean is taken.

    Examples:
        >>> found = decoder(view, seed=0, batch_size=32, lr=1e-3, steps=40, width=16, copies=0, members=1)
        >>> found.images.shape, len(found.chosen["steps"])
        ((4, 1, 32, 32), 1)
    """
    size = {"steps": steps, "width": width, "copies": copies, "members": members}
    return fitted_ensemble(view, seed=seed, batch_size=batch_size, lr=lr, **size).reconstruct(view)


def moved(images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Each image turned, stretched, sheared and shifted a little, by linear interpolation: float32 [N, C, H, W]."""
    count, channels, *sides = images.shape
    middle = (np.array(sides) - 1).reshape(2, 1, 1) / 2
    maps = np.eye(2) + rng.uniform(-TURN, TURN, (count, 2, 2))
    shifts = rng.uniform(-SHIFT, SHIFT, (count, 2, 1, 1)) * np.array(sides).reshape(2, 1, 1)
    places = np.einsum("nij,jhw->nihw", maps, np.indices(sides) - middle) + middle + shifts
    which = np.broadcast_to(np.arange(count)[:, None, None], (count, *sides))
    where = np.stack([which, places[:, 0], places[:, 1]])
    planes = [map_coordinates(images[:, channel], where, order=1, mode="nearest") for channel in range(channels)]
    return np.stack(planes, axis=1)


def decoders(view: FeatureView, *, seed: int, settings: Mapping[str, Any] | None) -> list[Decoder]:
    """The decoders that can be fitted to a view, the better ones on the held-out images first.

    Args:
        view: what the attacker has.
        seed: of all.
        settings: of the attack "decoder"; None leaves the network out.
    """
    fitted: list[Decoder] = [fitted_ridge(view, seed=seed)]
    if settings is not None:
        fitted.append(fitted_ensemble(view, seed=seed, **ATTACKS["decoder"].settings(settings)))
    return sorted(fitted, key=lambda decoder: decoder.held_out_mse)
