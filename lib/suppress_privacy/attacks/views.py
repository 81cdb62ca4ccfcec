"""What an attacker holds. An attack is given one of these and nothing else: the threat model, apart from the attack."""

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field, replace
from functools import wraps
from typing import Any, TypeVar

import numpy as np
from mindspore import nn
from scipy.special import logsumexp
from tqdm import tqdm

from suppress_privacy.lenet import predict
from suppress_privacy.runtime import generator
from suppress_privacy.training import Defence

HELD_OUT = 500  #: auxiliary images on which an attack may choose its settings
LOOKS = 20  #: at a descent, besides the one before it


@dataclass(frozen=True)
class NothingView:
    """The attacker saw nothing of the private images, and holds images of the same kind.

    What is got from this is no leakage: no network is in it.

    Examples:
        >>> NothingView(count=4, auxiliary=known, auxiliary_labels=known_labels).count
        4
    """

    count: int  #: N, private images
    auxiliary: np.ndarray  #: float32 [M, C, H, W], none of them private
    auxiliary_labels: np.ndarray  #: int32 [M]


@dataclass(frozen=True)
class FeatureView:
    """The attacker saw what the network computed for private images, up to one depth.

    This is split inference: the user's device computes the first layers, the attacker reads what is
    sent on and knows the network (a mask, if there is one, shows in its weights) and whatever else is
    done to features before they leave.

    Examples:
        >>> seen = FeatureView(predict(first, images), first, rest, known, known_labels)
        >>> seen.features.shape, len(seen.learning()), len(seen.held_out())
        ((4, 120), 300, 100)
    """

    features: np.ndarray  #: float32 [N, ...], of the private images
    network: nn.Cell  #: from images to such features
    rest: nn.Cell  #: from such features to logits, the network's other half
    auxiliary: np.ndarray  #: float32 [M, C, H, W], images of the same kind, none of them private
    auxiliary_labels: np.ndarray  #: int32 [M]
    #: What features go through before they leave the device, such as noise from the generator; nothing, if None.
    release: Callable[[np.ndarray, np.random.Generator], np.ndarray] | None = None
    watched: tuple[int, ...] = ()  #: positions of private images whose descent is kept, where an attack descends
    #: What attacks have learned from this so far, by what decides it; `once_a_view` keeps it.
    learned: dict[Hashable, Any] = field(default_factory=dict, init=False, repr=False, compare=False)

    def as_seen(self, images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """What the attacker would have seen for images of its own: their features, released by draws from `rng`."""
        return self.released(predict(self.network, images), rng)

    def released(self, features: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Features as they leave the device."""
        return features if self.release is None else self.release(features, rng)

    def learning(self) -> np.ndarray:
        """The auxiliary images to learn from: all but the held-out ones, float32 [M - H, C, H, W]."""
        return self.auxiliary[: -self._held_out()]

    def held_out(self) -> np.ndarray:
        """The last auxiliary images, to choose settings on: float32 [H, C, H, W]."""
        return self.auxiliary[-self._held_out() :]

    def _held_out(self) -> int:
        return min(HELD_OUT, len(self.auxiliary) // 4)


T = TypeVar("T")


def once_a_view(fit: Callable[..., T]) -> Callable[..., T]:
    """Keep what is learned from a view with it, so that attacks that ask for the same share it, as found at no cost."""

    @wraps(fit)
    def fitted(view: FeatureView, **settings: Hashable) -> T:
        key = fit.__name__, *sorted(settings.items())
        if key in view.learned:
            return replace(view.learned[key], search_seconds=0.0)
        return view.learned.setdefault(key, fit(view, **settings))

    return fitted


@dataclass(frozen=True)
class GalleryView:
    """The attacker saw features as in a FeatureView, and holds images among which the private ones are.

    Examples:
        >>> GalleryView(view.features, first, gallery=np.concatenate([images, known])).gallery.shape
        (404, 1, 32, 32)
    """

    features: np.ndarray  #: float32 [N, ...], of the private images, as they left the device
    network: nn.Cell  #: from images to such features
    gallery: np.ndarray  #: float32 [P, C, H, W], every private image once


@dataclass(frozen=True)
class GradientView:
    """The attacker saw the gradients of one training step on a batch of private images, as in federated learning.

    It knows the network, what is done to gradients before they leave the user's device (a mask, if there is one, shows
    in the weights), and how many images the batch has, but not which of them gave which part.

    Examples:
        >>> from suppress_privacy.attacks.gradients import Observer
        >>> from suppress_privacy.controls import Perceptron
        >>> victim = Perceptron(seed=0)
        >>> sent = Observer(victim, classes=10)(images[:1], labels[:1])  # of one image
        >>> GradientView(sent, victim, (1, 32, 32), known, known_labels).batch_size
        1
    """

    gradients: tuple[np.ndarray, ...]  #: as sent, one for each trainable parameter of `network`, in their order
    network: nn.Cell  #: the network at that step; where an attack descends it needs second derivatives
    image_shape: tuple[int, ...]  #: (C, H, W)
    auxiliary: np.ndarray  #: float32 [M, C, H, W], images of the same kind, none of them private
    auxiliary_labels: np.ndarray  #: int32 [M]
    batch_size: int = 1  #: images of whose mean loss these are the gradients
    sent: Defence = field(default_factory=Defence)  #: its `on_gradients` is what they went through before they left
    #: What attacks have learned so far, by what they learned it from; views of any networks may share one.
    learned: dict[Hashable, dict[Hashable, Any]] = field(default_factory=dict, repr=False, compare=False)


def scaled_confidence(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """phi = log(p / (1 - p)) of each image's label, from logits without overflow: float64 [N].

    It never saturates, and orders images as the loss does, which is log(1 + exp(-phi)).

    Examples:
        >>> logits = np.log([[0.9, 0.1], [0.5, 0.5]])
        >>> scaled_confidence(logits, np.array([0, 0])).round(2).tolist()  # log(0.9 / 0.1), log(1)
        [2.2, 0.0]
    """
    logits = logits.astype(np.float64)
    rows = np.arange(len(labels))
    others = logits.copy()
    others[rows, labels] = -np.inf
    return logits[rows, labels] - logsumexp(others, axis=1)


@dataclass(frozen=True)
class Shadows:
    """Networks made by the victim's recipe, and who was in the training of each.

    Examples:
        >>> rng = np.random.default_rng(0)
        >>> others = Shadows(phi=rng.normal(size=(8, 50)), member=rng.random((8, 50)) < 0.5)
    """

    phi: np.ndarray  #: float64 [S, N], their scaled confidence
    member: np.ndarray  #: bool [S, N]


@dataclass(frozen=True)
class MembershipView:
    """The attacker owns images and their labels, and asks which of them the network was trained on.

    `train` is the victim's own recipe, defence included: from positions among those images and a seed to the logits
    that a network trained on these alone gives for all of them, float32 [N, K].

    Examples:
        >>> def train_on(positions, seed):  # a network trained on these alone, in the place of this guess
        ...     return np.zeros((4, 10), np.float32)
        >>> asked = MembershipView(predict(network, images), labels, candidates=np.arange(4), train=train_on)
        >>> asked.shadows(2, seed=0).member.sum(0).tolist()  # each image is in one of two trainings
        [1, 1, 1, 1]
    """

    logits: np.ndarray  #: float32 [N, K], the victim's, for every image the attacker owns
    labels: np.ndarray  #: int32 [N]
    candidates: np.ndarray  #: int64 [Q], positions of the images in question
    train: Callable[[np.ndarray, int], np.ndarray]

    @property
    def phi(self) -> np.ndarray:
        """The victim's scaled confidence, float64 [N]."""
        return scaled_confidence(self.logits, self.labels)

    def shadows(self, count: int, seed: int) -> Shadows:
        """Train so many networks, an even number; every image is in the training of exactly half of them.

        Raises:
            ValueError: none are to be trained.
        """
        if count == 0:
            raise ValueError("shadows is 0, and no other networks of this recipe are there: give how many to train.")
        images = len(self.labels)
        rng = generator(seed, "shadow membership")
        # In pairs: an image is in one of the two, so in half of all.
        first_of_pair = np.stack([rng.permutation(images) < images // 2 for _ in range(count // 2)])
        member = np.concatenate([first_of_pair, ~first_of_pair])  # [S, N]
        seeds = rng.integers(0, 2**31, count)
        shadow = tqdm(list(zip(member, seeds, strict=True)), unit="shadow", disable=None)
        logits = (self.train(np.flatnonzero(inside), int(own)) for inside, own in shadow)
        return Shadows(np.stack([scaled_confidence(each, self.labels) for each in logits]), member)


@dataclass(frozen=True)
class CoinView:
    """As `MembershipView`, where shadows are there: victim and shadows were each trained on a half drawn by lot.

    Who is in the victim's half the attacker does not know; of the shadows he does, for he could have drawn and
    trained them himself.

    Examples:
        >>> CoinView(phi=rng.normal(size=50), candidates=np.arange(50), others=others).shadows(0, seed=0) is others
        True
    """

    phi: np.ndarray  #: float64 [N], the victim's scaled confidence in the label of every image the attacker owns
    candidates: np.ndarray  #: int64 [Q], positions of the images in question
    others: Shadows

    def shadows(self, count: int, seed: int) -> Shadows:
        """Those that are there; the seed is not used.

        Raises:
            ValueError: others are to be trained.
        """
        if count:
            raise ValueError(f"shadows is {count}, but this game has its own ({len(self.others.phi)}): make it 0.")
        return self.others


@dataclass(frozen=True)
class BlindView:
    """The attacker sees no network. Of some images he is told whether they were in a training; of others he says it.

    What he gets from this is no leak: it says how members differ from others before anything was trained.

    Examples:
        >>> BlindView(known, known_labels, known_labels > 4, images, labels).images.shape
        (4, 1, 32, 32)
    """

    known: np.ndarray  #: float32 [M, C, H, W]
    known_labels: np.ndarray  #: int32 [M]
    known_member: np.ndarray  #: bool [M], both kinds among them
    images: np.ndarray  #: float32 [Q, C, H, W], in question
    labels: np.ndarray  #: int32 [Q]


@dataclass(frozen=True)
class Course:
    """How some images came about: what a descent had at equal distances of steps, first before any of them."""

    targets: np.ndarray  #: int64 [P], positions of the private images
    images: np.ndarray  #: float32 [K, P, C, H, W]
    objective: np.ndarray  #: float64 [K, P], at these


def looks(steps: int) -> set[int]:
    """The steps before which a descent is looked at, and the end: 21, or fewer of a short one."""
    return {round(point) for point in np.linspace(0, steps, LOOKS + 1)}


@dataclass(frozen=True)
class Reconstruction:
    """What an attack returns: one image for each private one, and what it cost to get them.

    Examples:
        >>> Reconstruction(images=np.zeros_like(images)).search_seconds
        0.0
    """

    images: np.ndarray  #: float32 [N, C, H, W]
    objective: np.ndarray | None = None  #: float64 [N], the attack's own objective at `images`
    curve: np.ndarray | None = None  #: float64 [K, N], the best objective so far, at equal distances of steps
    labels: np.ndarray | None = None  #: int [N], the labels it found, where it seeks them
    failed: np.ndarray | None = None  #: bool [N], whose descent came to nothing, so that the image says nothing
    chosen: dict[str, Any] | None = None  #: settings the attack chose by itself, and on what ground; plain data
    search_seconds: float = 0.0  #: of its time, what the choosing took
    course: Course | None = None  #: of the images that are watched
