"""The private images: drawn once, the same for everybody, and none of them the attacker's."""

import numpy as np
import pytest

from suppress_privacy.mnist import Mnist
from suppress_study.settings import Targets as Counts
from suppress_study.targets import EXTREMES, choose_targets, extremes, pictured


def chosen(data, train, test):
    return choose_targets(data, Counts(train_per_class=train, test_per_class=test))


def held(images):
    return {image.tobytes() for image in images}


def test_targets_are_the_same_ones_every_time_half_of_them_from_training(digits):
    first, again = chosen(digits, 2, 1), chosen(digits, 2, 1)
    assert np.array_equal(first.index, again.index) and np.array_equal(first.images, again.images)
    assert np.bincount(first.labels).tolist() == [3] * 10
    assert first.in_training.tolist() == [True, True, False] * 10
    assert len(held(first.images)) == 3 * 10  # none twice
    for image, label, member, index in zip(first.images, first.labels, first.in_training, first.index, strict=True):
        images, labels = (
            (digits.train_images, digits.train_labels) if member else (digits.test_images, digits.test_labels)
        )
        assert np.array_equal(image, images[index]) and label == labels[index]


def test_what_the_attacker_owns_holds_no_target_and_all_else(digits):
    targets = chosen(digits, 2, 1)
    private = held(targets.images)
    assert not held(targets.auxiliary) & private
    assert held(targets.auxiliary) | held(digits.test_images[targets.choice]) | private >= held(digits.test_images)
    assert np.bincount(targets.auxiliary_labels).tolist() == [79] * 10
    assert len(set(targets.auxiliary_labels[:10])) > 2  # in an order of their own, not class by class
    for label, others in targets.gallery.items():
        assert len(others) == 398  # all of the embedded training digits of a class but two targets
        assert not held(others) & private
        assert held(others) <= held(digits.train_images[digits.train_labels == label])


def test_a_fifth_of_each_class_is_set_apart_for_choices_whatever_its_place(digits):
    targets, again = chosen(digits, 2, 5), chosen(digits, 2, 5)
    assert np.array_equal(targets.choice, again.choice)
    assert np.bincount(digits.test_labels[targets.choice]).tolist() == [20] * 10
    chosen_on = held(digits.test_images[targets.choice])
    assert not chosen_on & (held(targets.auxiliary) | held(targets.images))
    place = np.empty(len(digits.test_labels))
    for label in range(10):
        where = np.flatnonzero(digits.test_labels == label)
        place[where] = np.linspace(0, 1, len(where))
    assert abs(place[targets.choice].mean() - 0.5) < 4 * np.sqrt(1 / 12 / len(targets.choice))


def test_of_mnist_two_thousand_are_for_choices():
    counts = [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]  # of its test set, by class
    labels = np.random.default_rng(0).permutation(np.repeat(np.arange(10), counts).astype(np.int32))
    blank = np.zeros((len(labels), 1, 1, 1), np.float32)
    targets = chosen(Mnist(blank, labels, blank, labels, "planted", {}), 25, 25)
    assert (len(targets.choice), len(targets.auxiliary)) == (2000, 10_000 - 250 - 2000)


def test_the_first_targets_of_each_class_are_told(digits):
    targets = chosen(digits, 2, 1)
    for count, from_training in ((1, [True]), (2, [True, False]), (3, [True, True, False])):
        shown = targets.first_of_each_class(count)
        assert targets.labels[shown].tolist() == [label for label in range(10) for _ in range(count)]
        assert targets.in_training[shown].tolist() == from_training * 10
        assert len(set(shown)) == count * 10


def test_more_targets_than_there_are_images_are_refused(digits):
    with pytest.raises(ValueError, match=r"targets\.test_per_class is 80; MNIST-5000 has 80 of the rarest"):
        chosen(digits, 1, 80)
    with pytest.raises(ValueError, match=r"targets\.train_per_class is 400; MNIST-5000 has 400 of the rarest class"):
        chosen(digits, 400, 1)


def test_best_middle_and_worst_are_found_by_their_values_alone():
    values = np.random.default_rng(0).permutation(11) / 10
    assert EXTREMES == 3
    assert values[extremes(values)].tolist() == [1.0, 0.9, 0.8, 0.6, 0.5, 0.4, 0.2, 0.1, 0.0]
    assert values[extremes(values, 1)].tolist() == [1.0, 0.5, 0.0]
    assert extremes(np.zeros(9)) == list(range(9))  # what is alike stays in its order


def test_pictures_are_kept_of_the_first_of_each_class_and_of_the_extremes():
    labels = np.repeat([0, 1, 2], 10)
    assert pictured(None, labels).tolist() == [0, 10, 20]
    skill = np.arange(30) / 30
    assert pictured(skill, labels).tolist() == [0, 1, 2, 10, 14, 15, 16, 20, 27, 28, 29]
    assert pictured(np.zeros(9), labels[:9]).tolist() == list(range(9))
