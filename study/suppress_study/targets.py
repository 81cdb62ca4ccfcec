"""The private images under attack, and the images an attacker may own or is given to choose from."""

from dataclasses import dataclass

import numpy as np

from suppress_privacy.fetch import DATASETS
from suppress_privacy.mnist import DataError, Mnist, load_images, load_mnist
from suppress_privacy.own import load_own
from suppress_privacy.runtime import generator
from suppress_study.settings import OwnData
from suppress_study.settings import Targets as Counts

SEED = 0  # the same targets in every arm, attack and seed
CHOICE = 0.2  # of the test images, which are set apart for choices: 2,000 of MNIST's
GALLERY = 999  # others of its class among which an image is to be identified
EXTREMES = 3  # best, median and worst reconstructions that are kept, each


def load_data(wanted: str | OwnData) -> Mnist:
    """The data that a profile asks for.

    Raises:
        DataError: see `load_mnist`, `load_images` and `load_own`; or own images are not what the settings say.
    """
    if isinstance(wanted, str):
        return load_images(wanted) if wanted in DATASETS else load_mnist(wanted)  # type: ignore[arg-type]
    data = load_own(wanted.train, wanted.test)
    found, said = (data.classes, [*data.train_images.shape[1:]]), (wanted.classes, wanted.shape)
    if found != said:
        raise DataError(
            f"{wanted.train} has {found[0]} classes and images of the shape {found[1]}, and data says {said[0]} and "
            f"{said[1]}: correct one."
        )
    return data


@dataclass(frozen=True)
class Targets:
    """The private images, what the attacker may own, and what defenders choose on.

    Targets come half from the training set, half from the test set. Every other test image is either one that
    defenders choose on (when to stop, how much noise) or one of the attacker's auxiliary images, in an order drawn
    once: nothing is chosen on images that it is reported on, nor learned from them. The gallery holds training images
    that are no targets.
    """

    images: np.ndarray  # float32 [N, C, H, W]
    labels: np.ndarray  # int32 [N]
    in_training: np.ndarray  # bool [N]
    index: np.ndarray  # int64 [N], position in the training or test set
    choice: np.ndarray  # int64 [C], positions in the test set
    auxiliary: np.ndarray  # float32 [M, C, H, W]
    auxiliary_labels: np.ndarray  # int32 [M]
    gallery: dict[int, np.ndarray]  # label -> float32 [G, C, H, W]
    gallery_index: dict[int, np.ndarray]  # label -> int64 [G], position in the training set

    def first_of_each_class(self, count: int) -> np.ndarray:
        """Positions of the first `count` targets of each class, training and test images by turns."""
        found = []
        for label in self.gallery:
            own = np.flatnonzero(self.labels == label)
            turn = [np.count_nonzero(self.in_training[own[:i]] == self.in_training[each]) for i, each in enumerate(own)]
            found.append(np.sort(own[np.argsort(turn, kind="stable")][:count]))
        return np.concatenate(found)


def choose_targets(data: Mnist, counts: Counts) -> Targets:
    """Draw the targets, so many of each class from the training set, so many from the test set; then divide the rest.

    Every draw is within a class, never by position: the halves of MNIST's test set come from different writers.

    Returns:
        Targets, class by class, training images first within each class.

    Raises:
        ValueError: more are asked for than there are.
    """
    sets = (
        ("train_per_class", True, counts.train_per_class, data.train_labels),
        ("test_per_class", False, counts.test_per_class, data.test_labels),
    )
    for name, of_training, count, labels in sets:
        smallest = np.bincount(labels, minlength=data.classes).min()
        available = smallest if of_training else smallest - round(CHOICE * smallest)
        if count >= available:
            reserve = "" if of_training else f" beside the {CHOICE:.0%} that choices are made on"
            left = f"{data.name} has {available} of the rarest class{reserve}, and some must be left to compare with"
            raise ValueError(f"targets.{name} is {count}; {left}: ask for fewer.")
    rng = generator(SEED, "targets")
    chosen = [
        (in_training, index)
        for label in range(data.classes)
        for _, in_training, count, labels in sets
        for index in rng.choice(np.flatnonzero(labels == label), count, replace=False)
    ]
    in_training, index = (np.array(each) for each in zip(*chosen, strict=True))
    of_train, of_test = np.where(in_training, index, 0), np.where(in_training, 0, index)
    images = np.where(in_training[:, None, None, None], data.train_images[of_train], data.test_images[of_test])
    labels = np.where(in_training, data.train_labels[of_train], data.test_labels[of_test])
    choice = _choice(data.test_labels, index[~in_training], data.classes)
    taken = np.concatenate([index[~in_training], choice])
    rng = generator(SEED, "auxiliary and gallery")
    owned = rng.permutation(np.setdiff1d(np.arange(len(data.test_labels)), taken))
    rest = rng.permutation(np.setdiff1d(np.arange(len(data.train_labels)), index[in_training]))
    others = {label: rest[data.train_labels[rest] == label][:GALLERY] for label in range(data.classes)}
    gallery = {label: data.train_images[positions] for label, positions in others.items()}
    return Targets(
        *(images, labels, in_training, index, choice),
        *(data.test_images[owned], data.test_labels[owned], gallery, others),
    )


def _choice(labels: np.ndarray, targets: np.ndarray, classes: int) -> np.ndarray:
    """The test images that defenders choose on, a share of each class and no targets: positions, in their order."""
    rng, left = generator(SEED, "choice"), np.setdiff1d(np.arange(len(labels)), targets)
    counts = np.rint(CHOICE * np.bincount(labels, minlength=classes)).astype(int)
    drawn = [rng.choice(left[labels[left] == label], count, replace=False) for label, count in enumerate(counts)]
    return np.sort(np.concatenate(drawn))


def pictured(skill: np.ndarray | None, labels: np.ndarray) -> np.ndarray:
    """Positions of the targets whose reconstructions a run keeps, all of them being large.

    The first of each class; then the best, the middle and the worst by skill, where it is given.
    """
    first = [int(np.flatnonzero(labels == label)[0]) for label in np.unique(labels)]
    return np.array(sorted({*first, *(extremes(skill) if skill is not None else ())}))


def extremes(skill: np.ndarray, each: int = EXTREMES) -> list[int]:
    """Positions of the best, the middle and the worst values, so many of each: by the values alone."""
    order = np.argsort(-np.asarray(skill), kind="stable")
    middle = (len(order) - each) // 2
    return [int(position) for position in (*order[:each], *order[middle : middle + each], *order[len(order) - each :])]
