"""What is said of a game: each victim's metrics, their mean, and what so many victims can tell apart."""

import numpy as np
import pytest
from scipy.stats import mannwhitneyu, norm, t

from suppress_privacy.evaluation import game


def test_a_victims_metrics_are_those_of_counting():
    rng = np.random.default_rng(0)
    members = rng.random(6000) < 0.5
    scores = rng.normal(members * 1.0, 1)
    found = game.of_victim(scores, members)
    assert found.keys() == set(game.OF_VICTIMS)
    pairs = members.sum() * (~members).sum()
    assert found["auc"] == pytest.approx(mannwhitneyu(scores[members], scores[~members]).statistic / pairs)
    for name, rate in (("tpr_at_1pct_fpr", 0.01), ("tpr_at_01pct_fpr", 0.001)):
        others = np.sort(scores[~members])[::-1]
        assert found[name] == pytest.approx(np.mean(scores[members] > others[int(rate * len(others))]), abs=0.002)
        assert found[name] == pytest.approx(norm.sf(norm.isf(rate) - 1), abs=0.02)


def test_scores_that_know_nothing_of_the_coins_find_as_many_as_chance():
    rng = np.random.default_rng(1)
    drawn = [game.of_victim(rng.normal(size=2000), rng.random(2000) < 0.5) for _ in range(40)]
    for name, chance in (("auc", 0.5), ("tpr_at_1pct_fpr", 0.01)):
        found = game.over_victims([each[name] for each in drawn])
        assert found.low <= chance <= found.high and found.high - found.low < 0.02


def test_the_interval_over_victims_is_students_within_the_metrics_range():
    values = [0.4, 0.6, 0.7]
    found = game.over_victims(values)
    low, high = t.interval(0.95, 2, np.mean(values), np.std(values, ddof=1) / np.sqrt(3))
    assert (found.mean, found.low, found.high, found.n) == pytest.approx((np.mean(values), low, min(high, 1), 3))
    wide = game.over_victims([0.0, 1.0])
    assert (wide.low, wide.high) == (0, 1)


def gained_by_a_loop(values, member):
    found = []
    for k, row in enumerate(values):
        beyond = [value - np.mean([values[j][i] for j in range(len(values)) if j != k]) for i, value in enumerate(row)]
        sides = [
            [each for each, is_in in zip(beyond, member[k], strict=True) if is_in == side] for side in (True, False)
        ]
        found.append(np.mean(sides[0]) - np.mean(sides[1]))
    return found


def test_what_being_in_gains_is_that_and_nothing_of_images_or_victims():
    rng = np.random.default_rng(5)
    member = rng.random((40, 60)) < 0.5
    alike = rng.normal(0, 3, 60) + rng.normal(0, 3, (40, 1))
    assert game.gained(alike, member) == pytest.approx(np.zeros(40), abs=1e-12)
    noisy = alike + rng.normal(0, 0.1, member.shape)
    assert game.gained(noisy, member) == pytest.approx(gained_by_a_loop(noisy, member))
    found = np.array([game.gained(noisy + 0.02 * drawn, drawn).mean() for drawn in rng.random((50, 40, 60)) < 0.5])
    assert found.mean() == pytest.approx(0.02, abs=0.003)  # on average over draws; by chance some are off


def test_victims_and_their_draws_must_be_as_many():
    with pytest.raises(ValueError):
        game.gained(np.ones((2, 3)), np.eye(3, dtype=bool))


def test_a_victim_that_had_all_images_or_none_tells_nothing():
    member = np.array([[True, True], [False, False], [True, False]])
    assert np.isnan(game.gained(np.ones((3, 2)), member)).tolist() == [True, True, False]


@pytest.mark.parametrize(("victims", "power"), [(8, 0.8), (32, 0.8), (32, 0.5)])
def test_a_difference_that_is_said_to_be_found_so_often_is(victims, power):
    rng = np.random.default_rng(2)
    difference = game.detectable(victims, 0.05, power)
    drawn = rng.normal(difference, 0.05, (20_000, victims))
    reach = t.ppf(0.975, victims - 1) * drawn.std(1, ddof=1) / np.sqrt(victims)
    assert np.mean(drawn.mean(1) - reach > 0) == pytest.approx(power, abs=0.03)


def test_what_five_victims_tell_is_by_tables_of_students_t():
    assert game.detectable(5, 1.0) == pytest.approx((2.7764 + 0.9410) / np.sqrt(5), abs=1e-3)


def test_sampling_alone_spreads_the_difference_of_two_rates_so_far():
    rng = np.random.default_rng(3)
    rates = rng.binomial(250, 0.2, (2, 20_000)) / 250
    assert game.least_spread(0.2, 250) == pytest.approx(np.std(rates[0] - rates[1]), rel=0.03)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((1, 0.1), "victims is 1; it must be an integer from 2"),
        ((2, -0.1), "spread is -0.1; it must be a number from 0"),
        ((2, 0.1, 1.0), "power is 1.0; it must be a number above 0, below 1"),
    ],
)
def test_what_no_study_has_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        game.detectable(*arguments)
