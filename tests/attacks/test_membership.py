"""Membership inference finds members of an overfitted model, and none of a model trained on other data."""

import numpy as np
import pytest
from scipy.special import softmax

from suppress_privacy.attacks import membership
from suppress_privacy.attacks.views import MembershipView, scaled_confidence
from suppress_privacy.evaluation.membership import auc, roc

IMAGES, FEATURES = 400, 300


def fitted(points, labels, own):
    """A ridge classifier's logits for all points: with more features than members it learns them by heart."""
    x, y = points[own], 2.0 * np.eye(2)[labels[own]] - 1
    weights = np.linalg.solve(x.T @ x + np.eye(FEATURES), x.T @ y)
    return (3 * points @ weights).astype(np.float32)


@pytest.fixture
def world():
    rng = np.random.default_rng(0)
    points = rng.standard_normal((IMAGES, FEATURES))
    labels = (points[:, 0] + 0.5 * rng.standard_normal(IMAGES) > 0).astype(np.int32)
    member = rng.permutation(IMAGES) < IMAGES // 2

    def view(trained_on):
        return MembershipView(
            fitted(*trained_on) if trained_on[0] is points else np.zeros((IMAGES, 2), np.float32),
            labels,
            np.arange(IMAGES),
            lambda indices, seed: fitted(points, labels, indices),
        )

    return points, labels, member, view


ATTACKS = [(membership.loss_threshold, {}), (membership.lira, {"shadows": 8})]


@pytest.mark.parametrize(("attack", "settings"), ATTACKS)
def test_members_of_an_overfitted_model_are_found(world, attack, settings):
    points, labels, member, view = world
    scores = attack(view((points, labels, np.flatnonzero(member))), seed=0, **settings)
    assert auc(roc(scores, member)) > 0.75


@pytest.mark.parametrize(("attack", "settings"), ATTACKS)
def test_nothing_is_found_in_a_model_trained_on_other_data(world, attack, settings):
    points, labels, member, view = world
    rng = np.random.default_rng(1)
    others = rng.standard_normal((IMAGES, FEATURES))
    other_labels = (others[:, 0] > 0).astype(int)
    x, y = others, 2.0 * np.eye(2)[other_labels] - 1
    weights = np.linalg.solve(x.T @ x + np.eye(FEATURES), x.T @ y)
    honest = view((points, labels, np.flatnonzero(member)))
    stranger = MembershipView((3 * points @ weights).astype(np.float32), labels, honest.candidates, honest.train)
    assert abs(auc(roc(attack(stranger, seed=0, **settings), member)) - 0.5) < 0.08


def test_lira_beats_the_loss_threshold_where_images_differ_in_difficulty(world):
    points, labels, member, view = world
    seen = view((points, labels, np.flatnonzero(member)))
    by_loss = auc(roc(membership.loss_threshold(seen, seed=0), member))
    by_ratio = auc(roc(membership.lira(seen, seed=0, shadows=16), member))
    assert by_ratio > by_loss


def test_every_image_is_in_half_of_the_shadows(world):
    points, labels, member, _ = world
    trained_on = []

    def train(indices, seed):
        trained_on.append((np.isin(np.arange(IMAGES), indices), seed))
        return fitted(points, labels, indices)

    seen = MembershipView(fitted(points, labels, member), labels, np.arange(IMAGES), train)
    membership.lira(seen, seed=0, shadows=6)
    assert np.all(np.sum([inside for inside, _ in trained_on], axis=0) == 3)
    assert len({seed for _, seed in trained_on}) == 6


def test_the_scaled_confidence_is_the_log_odds():
    logits = np.random.default_rng(0).normal(0, 3, (50, 10))
    labels = np.arange(50) % 10
    probability = softmax(logits, axis=1)[np.arange(50), labels]
    assert scaled_confidence(logits, labels) == pytest.approx(np.log(probability / (1 - probability)))
    certain = np.array([[800.0, 0.0]])
    assert scaled_confidence(certain, np.array([0])) == pytest.approx([800])
