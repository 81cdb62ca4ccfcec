import numpy as np
import pytest
from scipy.stats import beta, mannwhitneyu, norm

from suppress_privacy.evaluation import membership
from suppress_privacy.evaluation.membership import auc, auc_estimate, delong_deviation, roc, tpr_at, tpr_estimate
from suppress_privacy.runtime import generator


@pytest.fixture
def scores():
    rng = np.random.default_rng(0)
    members = np.arange(300) < 120
    return np.round(rng.normal(members * 0.8, 1), 1), members  # rounded: with ties


def test_the_curve_is_what_counting_gives(scores):
    values, members = scores
    curve = roc(values, members)
    points = {(0.0, 0.0)} | {
        (np.mean(values[~members] >= threshold), np.mean(values[members] >= threshold)) for threshold in values
    }
    found = list(zip(curve.false_positive_rate, curve.true_positive_rate, strict=True))
    assert np.array(found) == pytest.approx(np.array(sorted(points)))
    assert (curve.false_positive_rate[-1], curve.true_positive_rate[-1]) == (1, 1)


def test_the_area_is_mann_whitneys(scores):
    values, members = scores
    statistic = mannwhitneyu(values[members], values[~members]).statistic
    assert auc(roc(values, members)) == pytest.approx(statistic / (120 * 180))
    assert auc(roc(-values, members)) == pytest.approx(1 - statistic / (120 * 180))


def test_scores_that_say_nothing_give_the_diagonal():
    curve = roc(np.zeros(10), np.arange(10) < 5)
    assert auc(curve) == 0.5 and tpr_at(curve, 0.01) == pytest.approx(0.01)


@pytest.mark.parametrize("rate", [0.01, 0.001])
def test_five_of_a_hundred_tied_at_the_top_and_random_members_are_found_as_often_as_others(rate):
    """Whoever moves all that are tied together finds none of them, as their share is larger than the rate."""
    rng = np.random.default_rng(0)
    scores = np.minimum(rng.normal(size=(3, 20_000)), norm.isf(0.05))
    members = np.tile(rng.permutation(20_000) < 10_000, (3, 1))
    for row, inside in zip(scores, members, strict=True):
        assert (row == row.max()).mean() == pytest.approx(0.05, abs=0.005)
        assert tpr_at(roc(row, inside), rate) == pytest.approx(rate, rel=0.25)
    found = tpr_estimate(scores, members, rate)
    assert found.low < rate < found.high and found.high < 3 * rate
    top = np.arange(20_000) < 1000  # as many of the tied are members as not
    evenly = np.arange(20_000) % 2 == 0
    assert tpr_estimate(top[None] * 1.0, evenly[None], rate).mean == pytest.approx(rate)


def test_the_rate_at_a_rate_is_the_best_that_keeps_it():
    members = np.array([True, True, False, True, False])
    curve = roc(np.array([5.0, 4.0, 3.0, 2.0, 1.0]), members)
    assert tpr_at(curve, 0.49) == pytest.approx(2 / 3) and tpr_at(curve, 0.5) == 1


def test_the_interval_of_one_seed_holds_clopper_and_pearsons():
    rng = np.random.default_rng(1)
    members = np.arange(1000) < 500
    values = rng.normal(members * 2.0, 1)
    found = tpr_estimate(values[None], members[None], 0.01)
    hits = round(tpr_at(roc(values, members), 0.01) * 500)
    assert found.low <= beta.ppf(0.025, hits, 500 - hits + 1) + 1e-12
    assert found.high >= beta.ppf(0.975, hits + 1, 500 - hits) - 1e-12
    assert found.n == 1000 and found.low < found.mean < found.high


def test_the_rates_interval_covers_though_its_threshold_is_estimated():
    rng = np.random.default_rng(4)
    members = np.arange(1200) < 600
    truth = float(norm.sf(norm.isf(0.05) - 1))  # of N(1, 1) against N(0, 1) at 5 %
    hits = 0
    for _ in range(100):
        found = tpr_estimate(rng.normal(members * 1.0, 1)[None], members[None], 0.05)
        hits += found.low <= truth <= found.high
    assert hits >= 90


ALIKE = [0.5] * 100


@pytest.mark.parametrize(
    ("inside", "outside", "rate", "low", "high"),
    [
        # Of two, the first alone is drawn twice in a quarter of the resamples: enough for the interval to reach there.
        (ALIKE, [0, 1], 0.1, 0.0, 1.0),
        ([1, 0, 0], ALIKE, 0.1, 0.0, 1.0),
        # Half of the eight may lie above the threshold: five of them never do, where one of eight is high.
        (ALIKE, [0] * 7 + [1], 0.5, beta.ppf(0.025, 100, 1), 1.0),
        # Of all that are tied a share is found that is the rate.
        (ALIKE, ALIKE, 0.1, beta.ppf(0.025, 10, 91), beta.ppf(0.975, 11, 90)),
    ],
)
def test_resamples_draw_every_candidate_alike(inside, outside, rate, low, high):
    scores, members = np.array([[*inside, *outside]]), np.array([[True] * len(inside) + [False] * len(outside)])
    found = tpr_estimate(scores, members, rate)
    assert (found.low, found.high) == pytest.approx((low, high))


def test_as_many_are_drawn_as_there_are():
    members = np.arange(800) < 400
    found = tpr_estimate(np.where(members, np.arange(800) % 2, 0.5)[None], members[None], 0.1)
    assert found.mean == 0.5 and found.high - found.low < 0.11
    for estimate in (auc_estimate, lambda *rows: tpr_estimate(*rows, 0.1)):
        with pytest.raises(ValueError, match="shorter"):
            estimate(np.zeros((2, 800)), members[None])


@pytest.mark.parametrize("rate", [0.01, 0.1, 0.5])
def test_a_resamples_rate_is_that_of_the_candidates_it_draws(rate):
    """Most of them are never looked at, being too far down; whoever looks at all gets the same."""
    rng = np.random.default_rng(5)
    members = np.arange(3000) < 1000
    scores = np.round(np.minimum(rng.normal(members * 0.5, 1, (2, 3000)), 1.7), 2)
    drawing = generator(0, "membership bootstrap")
    rates = membership._resampled_rates(scores, np.tile(members, (2, 1)), rate)
    assert len(rates) == 1000
    for found in rates[: 1000 if rate == 0.5 else 60]:  # where few are never looked at, one in a hundred may need them
        outside = 1000 + drawing.integers(0, 2000, 2000)
        drawn = np.append(outside, drawing.integers(0, 1000, 1000))
        assert found == pytest.approx(np.mean([tpr_at(roc(row[drawn], members[drawn]), rate) for row in scores]))


def victims(rng, seeds, candidates):
    """Scores of candidates of whom some always score higher, and who is in each victim's training by coin."""
    members = rng.random((seeds, candidates)) < 0.5
    shift = rng.normal(1, 0.2, (seeds, 1))
    return rng.normal(members * shift, 1) + rng.normal(0, 0.7, candidates), members


SPREAD = np.sqrt(1 + 0.7**2)
AREA = norm.cdf(1 / np.sqrt(2 * SPREAD**2 + 0.2**2))
RATE = norm.cdf((1 - SPREAD * norm.isf(0.1)) / np.sqrt(SPREAD**2 + 0.2**2))


@pytest.mark.parametrize(
    ("estimate", "truth", "draws"),
    [(auc_estimate, AREA, 200), (lambda *rows: tpr_estimate(*rows, 0.1), RATE, 40)],
    ids=["area", "rate"],
)
def test_intervals_cover_where_each_victim_has_members_of_its_own(estimate, truth, draws):
    """And are narrower than those of one victim alone."""
    rng = np.random.default_rng(6)
    found = [estimate(*victims(rng, 5, 120)) for _ in range(draws)]
    covered = np.mean([each.low <= truth <= each.high for each in found])
    assert covered >= 0.9 and abs(np.mean([each.mean for each in found]) - truth) < 0.02
    single = [estimate(*victims(rng, 1, 120)) for _ in range(20)]
    width, alone = (np.mean([each.high - each.low for each in some]) for some in (found, single))
    assert width < 0.9 * alone


def test_a_candidate_counts_once_however_many_rows_it_is_a_member_in():
    rng = np.random.default_rng(7)
    scores, members = victims(rng, 1, 400)
    alone, copies = (tpr_estimate(np.tile(scores, (n, 1)), np.tile(members, (n, 1)), 0.1) for n in (1, 5))
    assert (copies.low, copies.high) == pytest.approx((alone.low, alone.high)) and copies.n == 5 * alone.n
    swapped = np.stack([members[0], ~members[0]])
    found = tpr_estimate(~swapped, swapped, 0.1)  # members score lowest: none is found, of all that are one in any row
    assert (found.low, found.high) == (0, pytest.approx(beta.ppf(0.975, 1, 400)))


def test_delongs_deviation_is_that_of_repeated_draws():
    rng = np.random.default_rng(2)
    members = np.arange(300) < 120
    draws = [rng.normal(members * 0.8, 1) for _ in range(400)]
    areas = [auc(roc(values, members)) for values in draws]
    estimated = np.mean([delong_deviation(values, members) for values in draws[:50]])
    assert estimated == pytest.approx(np.std(areas), rel=0.12)


def test_the_areas_interval_covers():
    rng = np.random.default_rng(3)
    members = np.arange(300) < 120
    truth = 0.7141962  # of N(0.8, 1) against N(0, 1): Phi(0.8 / sqrt(2))
    hits = 0
    for _ in range(200):
        found = auc_estimate(rng.normal(members * 0.8, 1)[None], members[None])
        hits += found.low <= truth <= found.high
    assert 0.91 <= hits / 200 <= 0.99


def test_rates_and_areas_stay_within_their_range_where_two_seeds_disagree():
    """Student's interval over two seeds alone would leave [0, 1]."""
    members = np.tile(np.arange(200) < 100, (2, 1))
    perfect, useless = np.where(members[0], 1.0, 0.0), np.zeros(200)
    for found in (
        auc_estimate(np.stack([perfect, useless]), members),
        tpr_estimate(np.stack([perfect, useless]), members, 0.01),
    ):
        assert (found.low, found.high) == (0, 1)


def test_a_candidate_that_makes_the_area_larger_stands_above_it(scores):
    """A member the higher it scores, another the lower."""
    values, members = scores
    found, area = membership.standings(values, members), auc(roc(values, members))
    assert found.mean() == pytest.approx(area)
    for kind, sign in ((members, 1), (~members, -1)):
        best, worst = (pick(sign * values[kind]) for pick in (np.argmax, np.argmin))
        assert found[kind][best] > area > found[kind][worst]


@pytest.mark.parametrize(
    ("values", "members", "message"),
    [
        ([1.0, np.nan], [True, False], "not finite"),
        ([1.0, 2.0], [True, True], "2 True"),
        ([1.0], [True, False], "must"),
    ],
)
def test_nonsense_is_refused(values, members, message):
    with pytest.raises(ValueError, match=message):
        roc(values, members)
