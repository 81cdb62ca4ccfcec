"""Noise on released features: as much as brings the accuracy down to a wanted one."""

import numpy as np
import pytest
from mindspore import nn
from scipy.stats import kstest

from suppress_privacy import LeNet5, train
from suppress_privacy.attacks import decoder
from suppress_privacy.attacks.views import FeatureView
from suppress_privacy.defences import noise
from suppress_privacy.lenet import Features, Rest, predict
from suppress_privacy.training import Plan, accuracy


@pytest.fixture(scope="module")
def trained(digits):
    network = LeNet5(seed=0)
    optimizer = nn.Momentum(network.trainable_params(), 0.01, 0.9)
    train(network, optimizer, digits, epochs=2, batch_size=16, seed=0)
    return network


@pytest.fixture(scope="module")
def judged(trained, digits):
    return noise.outcomes_under(trained, digits.test_images, digits.test_labels, depth="fc1", seed=0)


def test_no_noise_is_the_network_and_much_of_it_is_guessing(trained, judged, digits):
    assert judged(0.0).mean() == accuracy(trained, digits.test_images, digits.test_labels)
    assert judged(1000.0).mean() < 0.3


def test_the_accuracy_found_is_the_one_wanted(judged):
    wanted = judged(0.0).mean() - 0.05
    sigma = noise.sigma_at(wanted, judged)
    assert sigma > 0.05
    assert judged(sigma).mean() == pytest.approx(wanted, abs=0.003)


def test_a_network_no_better_than_wanted_needs_no_noise(judged):
    assert noise.sigma_at(judged(0.0).mean(), judged) == 0.0
    with pytest.raises(ValueError, match=r"wanted is 0\.01, which noise does not bring"):
        noise.sigma_at(0.01, judged)


def test_the_defence_releases_features_with_noise_of_its_size_from_the_given_generator():
    features = np.random.default_rng(0).random((500, 120)).astype(np.float32)
    defence = noise.FeatureNoise("fc1", 0.7)
    released, again = (defence.release(features, np.random.default_rng(1)) for _ in range(2))
    other = defence.release(features, np.random.default_rng(2))
    assert released.dtype == np.float32 and np.array_equal(released, again) and not np.array_equal(released, other)
    added = (released - features) / 0.7
    assert kstest(added.ravel(), "norm").pvalue > 0.01
    assert abs(np.corrcoef(added.ravel(), features.ravel())[0, 1]) < 0.02


@pytest.mark.parametrize("depth", ["conv2", "fc1"])
def test_without_noise_it_is_no_defence(trained, digits, depth):
    defence, features = noise.FeatureNoise(depth, 0.0), predict(Features(trained, depth), digits.test_images[:20])
    assert defence.releases == depth
    assert np.array_equal(defence.release(features, np.random.default_rng(0)), features)
    plain = accuracy(trained, digits.test_images, digits.test_labels)
    assert defence.correct(trained, digits.test_images, digits.test_labels).mean() == plain


def test_its_settings_make_it_as_strong_as_the_plan_wants_and_its_facts_make_it_again(trained, judged, digits):
    wanted = judged(0.0).mean() - 0.05
    settings = noise.NoisyFeatures()
    made = settings.make(trained, Plan(digits, 0, 32, 0.0, seed=0, wanted_accuracy=wanted))
    assert made.facts() == {"sigma": noise.sigma_at(wanted, judged), "wanted_accuracy": wanted}
    left = made.correct(trained, digits.test_images, digits.test_labels)
    assert np.array_equal(left, judged(made.sigma)) and left.mean() == pytest.approx(wanted, abs=0.003)
    again = settings.released(made.facts())
    assert again.releases == "fc1" and again.facts() == made.facts()
    features = np.ones((3, 120), np.float32)
    drawn = [each.release(features, np.random.default_rng(0)) for each in (made, again)]
    assert np.array_equal(*drawn) and not np.array_equal(drawn[0], features)
    with pytest.raises(ValueError, match="wanted_accuracy is None; the noise is as strong as"):
        settings.make(trained, Plan(digits, 0, 32, 0.0, seed=0))


def test_an_attacker_who_knows_of_the_noise_still_loses_by_it(trained, digits):
    """The ridge decoder is fitted to noisy features; more noise, worse images."""
    features = Features(trained, "fc1")
    originals, auxiliary = digits.test_images[:100], digits.test_images[100:]
    clean = predict(features, originals)
    errors = []
    for sigma in (0.0, 1.0, 4.0):
        release = noise.FeatureNoise("fc1", sigma).release
        released = release(clean, np.random.default_rng(1))
        view = FeatureView(released, features, Rest(trained, "fc1"), auxiliary, digits.test_labels[100:], release)
        errors.append(float(((decoder.ridge(view, seed=0, shuffled=False).images - originals) ** 2).mean()))
    assert errors[0] < 0.97 * errors[1] < 0.97 * errors[2]
    # It does not help to pretend that there is no noise.
    naive = FeatureView(released, features, Rest(trained, "fc1"), auxiliary, digits.test_labels[100:])
    assert float(((decoder.ridge(naive, seed=0, shuffled=False).images - originals) ** 2).mean()) > errors[2]
