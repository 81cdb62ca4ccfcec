"""Differential tests against MindArmour itself: objective, gradient, attack and metrics."""

import mindspore as ms
import numpy as np
import pytest

from suppress_privacy import Features, ImageInversionAttack, LeNet5
from suppress_privacy.attacks.inversion import InversionObjective
from suppress_privacy.lenet import predict

WEIGHTS = (1, 0.1, 5)


@pytest.fixture(scope="module")
def network():
    return Features(LeNet5(seed=0), "fc1")


@pytest.fixture(scope="module")
def images(digits):
    return digits.test_images[::250]


def gradient_of(objective):
    def total(image, feature):
        return objective(image, feature).sum()

    return ms.grad(total)


def test_objective_and_gradient_are_equal_at_the_cpu_scale(original, network, images):
    theirs, ours = original.InversionLoss(network, list(WEIGHTS)), InversionObjective(network, WEIGHTS, "cpu")
    features = predict(network, images)
    their_gradient, our_gradient = gradient_of(theirs), gradient_of(ours)
    for number, feature in enumerate(features[:2]):
        x = ms.Tensor(np.random.default_rng(number).random((1, 1, 32, 32)).astype(np.float32))
        alone = ms.Tensor(feature)  # the original takes one image's features without a batch axis
        batch = ms.Tensor(feature[None])
        assert float(ours(x, batch)[0]) == pytest.approx(float(theirs(x, alone)), rel=1e-5)
        expected, found = their_gradient(x, alone).asnumpy(), our_gradient(x, batch).asnumpy()
        assert np.abs(found - expected).max() <= 1e-5 * np.abs(expected).max()


def test_the_metrics_are_equal(original, network, images):
    rng = np.random.default_rng(0)
    inverted = np.clip(images + 0.3 * rng.standard_normal(images.shape), 0, 1).astype(np.float32)
    labels = rng.integers(0, 10, len(images))
    judge = LeNet5(seed=7)
    theirs = original.ImageInversionAttack(network, (1, 32, 32), (0, 1), list(WEIGHTS))
    ours = ImageInversionAttack(network, (1, 32, 32), (0, 1), WEIGHTS)
    expected = theirs.evaluate(images, inverted, labels, judge)
    assert ours.evaluate(images, inverted, labels, judge) == pytest.approx(expected, rel=1e-6)
    colour = np.repeat(images, 3, axis=1)
    assert ours.evaluate(colour, 0.9 * colour)[:2] == pytest.approx(theirs.evaluate(colour, 0.9 * colour)[:2], rel=1e-6)
    assert ours.evaluate(images, inverted)[2] is None


def test_attacks_end_alike(original, network, images):
    """The original draws its start from NumPy's global state; from the same start both end at the same images."""
    features = predict(network, images[:2])
    ours = ImageInversionAttack(network, (1, 32, 32), (0, 1), WEIGHTS, smoothness="cpu", seed=3)
    start = ours.start(2)
    draws = iter([np.zeros((2, 1, 32, 32)), *(image[None] / 0.05 for image in start)])
    theirs = original.ImageInversionAttack(network, (1, 32, 32), (0, 1), list(WEIGHTS))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(np.random, "random", lambda shape: next(draws))
        expected = theirs.generate(features, iters=30)
    # Steps are of 0.01; where a gradient is all rounding its sign may differ.
    assert np.mean(np.abs(ours.generate(features, iters=30) - expected) > 0.005) < 0.005
