"""Membership inference finds members of an overfitted model, and none of a model trained on other data."""

import numpy as np
import pytest
from scipy.special import expit, softmax
from scipy.stats import norm

from suppress_privacy.attacks import membership
from suppress_privacy.attacks.views import BlindView, CoinView, MembershipView, Shadows, scaled_confidence
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


ATTACKS = [(membership.loss_threshold, {}), (membership.lira, {"shadows": 8}), (membership.rmia, {"shadows": 8})]


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


# Against loops, one image at a time


def table(shadows, images, seed=0):
    """Log-odds of a victim and its shadows, higher by 1 where an image was in training; and who was."""
    rng = np.random.default_rng(seed)
    member = rng.random((shadows + 1, images)) < 0.5
    phi = rng.normal(2, 3, images) + rng.normal(1.0 * member, rng.uniform(0.5, 2, images))
    return CoinView(phi[0], np.arange(images), Shadows(phi[1:], member[1:])), member[0]


@pytest.mark.parametrize("shadows", [12, membership.FEW])
def test_the_likelihood_ratio_is_what_a_loop_over_images_gives(shadows):
    view, _ = table(shadows, 60)
    phi, member = view.others.phi, view.others.member
    assert member.any(0).all() and not member.all(0).any()
    sides = {}
    for side in (True, False):
        means = [np.mean(phi[member[:, image] == side, image]) for image in range(60)]
        away = [phi[member[:, image] == side, image] - means[image] for image in range(60)]
        own = [np.sqrt(np.mean(each**2)) for each in away]
        pooled = [np.sqrt(np.mean(np.concatenate(away) ** 2))] * 60
        sides[side] = norm.logpdf(view.phi, means, pooled if shadows < membership.FEW else own)
    assert membership.lira(view, seed=0) == pytest.approx(sides[True] - sides[False])


def test_an_image_that_no_shadow_has_on_one_side_is_as_far_from_there_as_others_are():
    view, _ = table(6, 200)
    phi, member = view.others.phi, view.others.member.copy()
    member[:, 0], member[:, 1] = False, True
    found = membership.likelihood_ratio(view.phi, phi, member)
    assert np.isfinite(found).all()
    gap = np.mean([phi[m, i].mean() - phi[~m, i].mean() for i, m in enumerate(member.T) if m.any() and not m.all()])
    # Half-way to where members are expected, both are as likely but for the spreads.
    middle = phi[:, 0].mean() + gap / 2
    up, down = (membership.likelihood_ratio(np.full(200, middle + step), phi, member)[0] for step in (1, -1))
    assert up > 0 > down if gap > 0 else up < 0 < down


@pytest.mark.parametrize("gamma", [1.0, 1.5])
def test_rmia_is_what_a_loop_over_pairs_gives(gamma):
    view, _ = table(12, 40)
    p, others, member = expit(view.phi), expit(view.others.phi), view.others.member
    ratio = []
    for image in range(40):
        inside, outside = (others[member[:, image] == side, image].mean() for side in (True, False))
        ratio.append(p[image] / ((inside + outside) / 2))
    beaten = [np.mean([x / z >= gamma * (1 - 1e-12) for z in ratio]) for x in ratio]
    assert membership.rmia(view, seed=0, gamma=gamma) == pytest.approx(beaten)


@pytest.mark.parametrize("sure", [50.0, -50.0])
def test_nothing_is_lost_where_networks_are_sure(sure):
    """A probability that is 0 or 1 to rounding ties with others; its log-odds do not."""
    rng = np.random.default_rng(0)
    member = np.arange(200) < 100
    inside = rng.random((20, 200)) < 0.5
    shift = np.where(np.vstack([member, inside]), 1.0, 0.0)
    phi = sure + shift + rng.normal(0, 0.1, (21, 200))
    view = CoinView(phi[0], np.arange(200), Shadows(phi[1:], inside))
    for attack in (membership.loss_threshold, membership.lira, membership.rmia):
        scores = attack(view, seed=0)
        assert len(np.unique(scores)) == 200 and auc(roc(scores, member)) == 1


@pytest.mark.parametrize("attack", [membership.lira, membership.rmia])
def test_members_are_found_with_shadows_that_are_there(attack):
    view, member = table(16, 3000)
    by_loss = auc(roc(membership.loss_threshold(view, seed=0), member))
    assert auc(roc(attack(view, seed=0), member)) > by_loss + 0.03 > 0.55


def test_from_the_wrong_members_nothing_is_learnt():
    view, member = table(16, 3000)
    assert abs(auc(roc(membership.lira(view, seed=0, shuffled=True), member)) - 0.5) < 0.03


def test_shadows_are_trained_or_there_and_not_both(world):
    view, _ = table(6, 20)
    with pytest.raises(ValueError, match=r"shadows is 8, but this game has its own \(6\): make it 0"):
        membership.lira(view, seed=0, shadows=8)
    points, labels, member, own = world
    with pytest.raises(ValueError, match="shadows is 0, and no other networks of this recipe are there: give how many"):
        membership.rmia(own((points, labels, np.flatnonzero(member))), seed=0)


# Without a network


def candidates(brighter):
    rng = np.random.default_rng(0)
    member = rng.random(1200) < 0.5
    images = np.float32(rng.random((1200, 1, 6, 6)) + brighter * member[:, None, None, None] * np.eye(6))
    labels = rng.integers(0, 10, 1200)
    return BlindView(images[:600], labels[:600], member[:600], images[600:], labels[600:]), member[600:]


def test_the_blind_classifier_finds_what_differs_in_the_pixels_and_nothing_where_nothing_does():
    view, member = candidates(brighter=0.3)
    assert auc(roc(membership.blind(view, seed=0), member)) > 0.8
    view, member = candidates(brighter=0)
    assert abs(auc(roc(membership.blind(view, seed=0), member)) - 0.5) < 0.05


def test_the_blind_classifier_is_least_squares_with_a_penalty():
    view, _ = candidates(brighter=0.1)
    known, asked = (
        np.hstack([images.reshape(600, -1).astype(float), np.eye(10)[labels]])
        for images, labels in ((view.known, view.known_labels), (view.images, view.labels))
    )
    centred = known - known.mean(0)
    penalty = 0.01 * (centred**2).sum() / known.shape[1]
    rows = np.vstack([centred, np.sqrt(penalty) * np.eye(known.shape[1])])
    wanted = np.append(view.known_member - view.known_member.mean(), np.zeros(known.shape[1]))
    weights = np.linalg.lstsq(rows, wanted, rcond=None)[0]
    assert membership.blind(view, seed=0) == pytest.approx((asked - known.mean(0)) @ weights, abs=1e-4)
