"""What holds of metrics, intervals, gates and verdicts for all data, not for chosen ones alone."""

import itertools
import math
import statistics
from dataclasses import FrozenInstanceError, fields, replace
from functools import partial

import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from mindspore import nn
from scipy.stats import rankdata, t

from suppress_privacy.evaluation import gates, intervals, mechanism, membership, metrics, verdict
from suppress_privacy.evaluation.intervals import Estimate
from suppress_privacy.runtime import generator

close = partial(pytest.approx, rel=1e-9, abs=1e-9)
few = settings(max_examples=25)  # where ten thousand resamples are drawn for each
# Grey levels and quarters, so that sums of them are exact, and equal ones turn up.
LEVELS = st.integers(0, 8).map(lambda level: level / 8)
VALUES = st.integers(-40, 40).map(lambda value: value / 4)
POWERS = st.sampled_from([0.25, 0.5, 2.0, 8.0])


def pictures():
    """Originals and their reconstructions, [N, 1, 8, 8] each, of nine grey levels."""
    drawn = st.integers(1, 4).flatmap(lambda count: st.binary(min_size=128 * count, max_size=128 * count))
    return drawn.map(lambda levels: tuple(np.frombuffer(levels, np.uint8).reshape(2, -1, 1, 8, 8) % 9 / 8))


def tables(least_seeds=1, most_seeds=4, images=6):
    """[S, N]: a row a seed."""
    return array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=images).flatmap(
        lambda shape: arrays(np.float64, (max(least_seeds, min(shape[0], most_seeds)), shape[1]), elements=VALUES)
    )


@st.composite
def candidates(draw, seeds=None):
    """Scores with ties, and who is a member: one of each kind at least, in any order."""
    members = draw(st.permutations([True, False, *draw(st.lists(st.booleans(), max_size=10))]))
    shape = len(members) if seeds is None else (seeds, len(members))
    return draw(arrays(np.float64, shape, elements=VALUES)), np.array(members)


# Metrics


@given(pictures(), POWERS)
def test_relative_distance_is_none_of_units_and_nothing_only_of_equals(pair, scale):
    originals, images = pair
    assume((originals > 0).any((1, 2, 3)).all())
    found = metrics.relative_l2(originals, images)
    assert np.array_equal((found == 0), (originals == images).all((1, 2, 3)))
    assert metrics.relative_l2(scale * originals, scale * images) == close(found)
    assert metrics.relative_l2(-originals, -images) == close(found)


@given(pictures(), st.integers(0, 3))
def test_errors_are_the_same_seen_from_either_image_and_each_images_own(pair, place):
    originals, images = pair
    for metric in (metrics.mse, metrics.psnr, partial(metrics.ssim, data_range=1)):
        found = metric(originals, images)
        assert metric(images, originals) == close(found)
        alone = slice(place % len(images), place % len(images) + 1)
        assert metric(originals[alone], images[alone]) == close(found[alone])
        assert metric(originals[::-1], images[::-1]) == close(found[::-1])


@given(pictures())
def test_similarity_is_one_only_of_equals_and_never_more(pair):
    originals, images = pair
    found, itself = (metrics.ssim(originals, other, data_range=1) for other in (images, originals))
    assert itself == close(np.ones(len(originals)))
    assert np.all(np.abs(found) <= 1 + 1e-12)
    assert np.all((found < 1 - 1e-12) | (originals == images).all((1, 2, 3)))


@given(pictures())
def test_psnr_falls_as_the_error_grows(pair):
    error, found = (metric(*pair) for metric in (metrics.mse, metrics.psnr))
    assert np.all(found <= metrics.MOST_PSNR) and np.all((found == metrics.MOST_PSNR) == (error <= 1e-10))
    order = np.argsort(error)
    assert np.all(np.diff(found[order]) <= 0)


@given(pictures(), POWERS, VALUES)
def test_skill_is_none_of_units_and_its_mean_one_minus_the_ratio_of_errors(pair, scale, shift):
    (originals, images), prior = pair, np.full((1, 8, 8), 0.375)
    assume((originals != prior).any())
    found = metrics.skill(originals, images, prior)
    ratio = ((images - originals) ** 2).sum() / ((prior - originals) ** 2).sum()
    assert found.mean() == close(1 - ratio) and np.all(found <= 1)
    assert metrics.skill(*(scale * each + shift for each in (originals, images, prior))) == close(found)


@given(pictures(), st.data())
def test_others_to_be_taken_for_make_it_no_easier_to_be_identified(pair, data):
    originals, images = pair
    labels = data.draw(arrays(np.int64, len(images), elements=st.integers(0, 1)))
    others = data.draw(arrays(np.float64, (4, 1, 8, 8), elements=LEVELS))
    found = metrics.identified(originals, images, labels, dict.fromkeys((0, 1), others))
    assert set(found) <= {0.0, 1.0}
    fewer = metrics.identified(originals, images, labels, dict.fromkeys((0, 1), others[1:3]))
    assert np.all(found <= fewer)
    turned = metrics.identified(originals, images, labels, dict.fromkeys((0, 1), others[::-1]))
    assert np.array_equal(turned, found)
    among_itself = dict.fromkeys((0, 1), np.concatenate([others, originals]))
    assert not metrics.identified(originals, images, labels, among_itself).any()


@given(arrays(np.float64, st.tuples(st.integers(1, 5), st.integers(2, 5)), elements=VALUES), VALUES)
def test_confidences_in_all_labels_are_shares_of_one(logits, shift):
    count, labels = logits.shape
    every = np.stack([metrics.confidence(logits, np.full(count, label)) for label in range(labels)])
    assert np.all(every >= 0) and every.sum(0) == close(np.ones(count))
    assert metrics.confidence(logits + shift, np.zeros(count, int)) == close(every[0])
    recovered = np.stack([metrics.label_recovered(logits, np.full(count, label)) for label in range(labels)])
    assert np.array_equal(recovered.sum(0), np.ones(count))  # one label is given, and it is one of the surest
    assert np.all((recovered * every).sum(0) >= every.max(0) - 1e-12)


@given(st.data())
def test_what_are_no_images_is_refused_in_one_sentence(data):
    shape = array_shapes(min_dims=0, max_dims=5, min_side=0, max_side=8)
    wild = st.floats(width=32, allow_nan=True, allow_infinity=True)
    originals = data.draw(arrays(np.float32, shape, elements=wild))
    images = data.draw(arrays(np.float32, st.just(originals.shape) | shape, elements=wild))
    for metric in (metrics.relative_l2, metrics.mse, metrics.psnr, partial(metrics.ssim, data_range=1)):
        try:
            found = metric(originals, images)
        except ValueError as refused:
            assert "\n" not in str(refused) and str(refused).endswith(".")
        else:
            assert found.shape == (len(originals),) and np.isfinite(found).all()


@given(st.integers(6, 9), st.integers(7, 9))
def test_similarity_needs_one_window_and_has_one_of_an_image_as_large_as_it(height, width):
    ramp = np.linspace(0, 1, height * width).reshape(1, 1, height, width)
    if height < 7:
        with pytest.raises(ValueError, match="window needs 7 a side"):
            metrics.ssim(ramp, ramp[..., ::-1], data_range=1)
        return
    found = metrics.ssim(ramp, ramp[..., ::-1], data_range=1)
    places = [(slice(y, y + 7), slice(x, x + 7)) for y in range(height - 6) for x in range(width - 6)]
    windows = [metrics.ssim(ramp[(..., *at)], ramp[..., ::-1][(..., *at)], data_range=1) for at in places]
    assert found == close(np.mean(windows, axis=0))


@given(st.lists(st.booleans(), min_size=1, max_size=5).filter(any))
def test_the_first_black_original_is_named(black):
    originals = np.ones((len(black), 1, 8, 8)) * ~np.array(black)[:, None, None, None]
    with pytest.raises(ValueError, match=rf"\Aoriginal image {black.index(True)} is black, .*\.\Z"):
        metrics.relative_l2(originals, originals)


def test_the_ends_of_a_range_are_what_the_best_and_the_worst_come_to():
    """Checkerboards and their negatives; members that all come before the others, or all after them."""
    board = np.indices((8, 8)).sum(0)[None, None] % 2 * 1.0
    zero, prior = np.zeros(1, int), np.zeros((1, 8, 8))
    best = metrics.reconstruction_metrics(board, board, zero, prior, {0: 1 - board})
    worst = metrics.reconstruction_metrics(board, 1 - board, zero, prior, {0: 1 - board})
    sure = np.array([[1000.0, 0.0]])
    best |= metrics.judged(sure, zero) | {"label_found": metrics.label_recovered(sure, zero)}
    worst |= metrics.judged(sure, 1 - zero) | {"label_found": metrics.label_recovered(sure, 1 - zero)}
    members = np.array([True, False])
    for found, scores in ((best, [1, 0]), (worst, [0, 1])):
        curve = membership.roc(np.array(scores), members)
        found["auc"], found["tpr_at_1pct_fpr"] = membership.auc(curve), membership.tpr_at(curve, 0.01)
        found["tpr_at_01pct_fpr"] = membership.tpr_at(curve, 0.001)
    best["relative_l2"], worst["relative_l2"] = worst["relative_l2"], best["relative_l2"]  # the less the better
    counted = {"rank1_of_sent", "rank1_all", "failed"}  # by those who know which image was sent, or what failed
    assert found.keys() == metrics.METRICS.keys() - counted
    for name, metric in ((name, metric) for name, metric in metrics.METRICS.items() if name not in counted):
        assert metric.high in (pytest.approx(float(np.squeeze(best[name])), abs=1e-3), np.inf), name
        assert metric.low in (pytest.approx(float(np.squeeze(worst[name])), abs=0.02), -np.inf), name
    bounded = {name for name, metric in metrics.METRICS.items() if np.isfinite([metric.low, metric.high]).all()}
    assert metrics.METRICS.keys() - bounded == {"skill", "psnr", "relative_l2"}
    assert metrics.METRICS["tpr_at_1pct_fpr"].label == "true positives at 1% false positives"
    assert metrics.METRICS["tpr_at_01pct_fpr"].label == "true positives at 0.1% false positives"
    assert metrics.label("test_accuracy") == "test accuracy" and metrics.label("psnr") == "PSNR (dB)"


# Membership


@given(candidates())
def test_a_curve_leads_up_from_corner_to_corner_whatever_order_candidates_come_in(drawn):
    scores, members = drawn
    curve = membership.roc(scores, members)
    for rates in (curve.false_positive_rate, curve.true_positive_rate):
        assert (rates[0], rates[-1]) == (0, 1) and np.all(np.diff(rates) >= 0)
    assert len(curve.true_positive_rate) == len(set(scores)) + 1
    turned = membership.roc(scores[::-1], members[::-1])
    assert np.array_equal(turned.true_positive_rate, curve.true_positive_rate)
    assert np.array_equal(turned.false_positive_rate, curve.false_positive_rate)


@given(candidates())
def test_only_the_order_of_scores_counts_and_turned_round_it_is_the_rest(drawn):
    scores, members = drawn
    area = membership.auc(membership.roc(scores, members))
    for order in (np.exp(scores / 10), 3 * scores - 7, rankdata(scores)):
        assert membership.auc(membership.roc(order, members)) == close(area)
    assert membership.auc(membership.roc(-scores, members)) == close(1 - area)
    assert membership.auc(membership.roc(scores, ~members)) == close(1 - area)


@given(candidates())
def test_placements_have_the_area_as_their_mean_on_both_sides(drawn):
    scores, members = drawn
    above = [[(one > other) + (one == other) / 2 for other in scores[~members]] for one in scores[members]]
    of_members, of_others = membership.placements(scores, members)
    assert of_members == close(np.mean(above, axis=1)) and of_others == close(np.mean(above, axis=0))
    area = membership.auc(membership.roc(scores, members))
    assert of_members.mean() == close(area) and of_others.mean() == close(area)


@given(candidates())
def test_a_curve_is_what_random_orders_of_tied_candidates_come_to_on_average(drawn):
    """Of all orders of a group of equals, the first so many in each."""
    scores, members = drawn
    curve = membership.roc(scores, members)
    for level in set(scores):
        above, tied = scores > level, members[scores == level]
        if tied.all():
            continue  # the rate of others does not move
        orders = [*itertools.combinations(range(len(tied)), int(tied.sum()))]  # where members may stand
        for first in range(len(tied)):
            found = np.mean([sum(place < first for place in order) for order in orders])
            true = (members[above].sum() + found) / members.sum()
            false = ((~members[above]).sum() + first - found) / (~members).sum()
            assert membership.tpr_at(curve, false) == close(true)


def rate_by_counting(scores, members, rate, weights=None):
    """The true positive rate at a false one, threshold by threshold; of equals, the share that keeps it."""
    weights = np.ones(len(scores)) if weights is None else weights
    true = false = 0.0
    for level in sorted(set(scores), reverse=True):
        more_true, more_false = (
            weights[kind & (scores == level)].sum() / weights[kind].sum() for kind in (members, ~members)
        )
        if false + more_false > rate:
            return true + (rate - false) / more_false * more_true
        true, false = true + more_true, false + more_false
    return 1.0


@given(candidates(), st.floats(0.001, 0.999) | st.sampled_from([0.01, 0.1]))
def test_the_rate_at_a_rate_is_what_counting_gives(drawn, rate):
    scores, members = drawn
    found = membership.tpr_at(membership.roc(scores, members), rate)
    assume(np.abs(rate * (~members).sum() - np.arange(20)).min() > 1e-6)  # where the last digit decides
    assert found == close(rate_by_counting(scores, members, rate))


@few
@given(st.integers(1, 3).flatmap(lambda seeds: candidates(seeds)), st.sampled_from([0.011, 0.13]), st.booleans())
def test_resampled_rates_are_what_counting_gives(drawn, rate, turned):
    """Of the same members in each row, copies of candidates; of members that differ, candidates with weights."""
    scores, members = drawn
    rows = np.tile(members, (len(scores), 1))
    rows[0] ^= turned
    rng = generator(0, "membership bootstrap")
    for found in membership._resampled_rates(scores, rows, rate)[:5]:
        if turned and len(scores) > 1:
            seeds = rng.multinomial(len(scores), np.full(len(scores), 1 / len(scores)))
            weights = rng.standard_exponential(len(members))
            rates = [rate_by_counting(*row, rate, weights) for row in zip(scores, rows, strict=True)]
            assert found == close(np.dot(seeds, rates) / len(scores))
            continue
        kinds = [np.flatnonzero(rows[0] == kind) for kind in (False, True)]
        drawn = np.concatenate([kind[rng.integers(0, len(kind), len(kind))] for kind in kinds])
        assert found == close(np.mean([rate_by_counting(row[drawn], rows[0][drawn], rate) for row in scores]))


@few
@given(candidates(), st.data())
def test_parts_have_the_area_as_their_mean_and_delongs_deviation_whoever_is_a_member(drawn, data):
    scores, members = drawn
    parts = membership.standings(scores, members)
    assert parts.mean() == close(membership.auc(membership.roc(scores, members)))
    of_each = [np.var(parts[kind] - parts.mean()) * kind.sum() for kind in (members, ~members)]
    wanted = [placed.var() / len(placed) for placed in membership.placements(scores, members)]
    assert np.array(of_each) / len(parts) ** 2 == close(wanted)
    others = np.array(data.draw(st.permutations(members)))
    assume((others != members).any())
    rows, both = np.stack([scores, scores]), np.stack([members, others])
    found = membership.auc_estimate(rows, both)
    areas = [membership.auc(membership.roc(*row)) for row in zip(rows, both, strict=True)]
    assert found.mean == close(np.mean(areas)) and found.n == both.size
    assert found == intervals.widest(
        intervals.bootstrap_mean(np.stack([membership.standings(*row) for row in zip(rows, both, strict=True)]))
    )
    assert 0 <= found.low <= found.mean <= found.high <= 1


@given(candidates(), st.floats(0, 1), st.floats(0, 1))
def test_more_false_positives_allow_no_fewer_true_ones(drawn, one, other):
    curve = membership.roc(*drawn)
    low, high = sorted((one, other))
    assert 0 <= membership.tpr_at(curve, low) <= membership.tpr_at(curve, high) <= membership.tpr_at(curve, 1) == 1


@given(
    arrays(np.float64, st.integers(0, 5), elements=st.floats()),
    arrays(bool, st.integers(0, 5) | st.tuples(st.integers(0, 3), st.integers(0, 3))),
)
def test_scores_that_are_none_are_refused_in_one_sentence(scores, members):
    try:
        assert 0 <= membership.auc(membership.roc(scores, members)) <= 1
    except ValueError as refused:
        assert "\n" not in str(refused) and str(refused).endswith(".")


@few
@given(st.integers(1, 3).flatmap(lambda seeds: candidates(seeds)), st.sampled_from([0.01, 0.1, 0.5]), st.booleans())
def test_intervals_of_membership_hold_their_means_within_their_range(drawn, rate, turned):
    scores, members = drawn
    assume(2 <= members.sum() <= len(members) - 2)
    rows = np.tile(members, (len(scores), 1))
    rows[-1] ^= turned
    for found in (membership.tpr_estimate(scores, rows, rate), membership.auc_estimate(scores, rows)):
        assert 0 <= found.low <= found.mean <= found.high <= 1 and found.n == rows.size


@given(candidates())
def test_delongs_deviation_is_that_of_its_components(drawn):
    scores, members = drawn
    assume(2 <= members.sum() <= len(members) - 2)
    wins = np.array([[(one > other) + (one == other) / 2 for other in scores[~members]] for one in scores[members]])
    of_each = [statistics.variance(wins.mean(axis)) / wins.shape[1 - axis] for axis in (0, 1)]
    found = membership.delong_deviation(scores, members)
    assert found == close(math.sqrt(sum(of_each)))
    area = membership.auc_estimate(scores[None], members[None])
    reach = 1.959963984540054 * found
    assert (area.mean, area.low, area.high) == close(
        (wins.mean(), max(0, wins.mean() - reach), min(1, wins.mean() + reach))
    )


# Intervals


@given(
    tables(most_seeds=1), st.sampled_from([intervals.bootstrap_mean, intervals.bootstrap_means, intervals.proportion])
)
@settings(max_examples=6)
def test_resamples_are_the_same_for_whoever_names_no_seed(values, function):
    values = (values > 0) * 1.0
    assert np.array_equal(function(values), function(values, seed=0))
    drawn = intervals.bootstrap_means(values, seed=0)
    if function is not intervals.bootstrap_means:
        assert function(values, resampled=drawn) == function(values)
        assert function(values, resampled=np.full(9, 0.25)).low <= 0.25


@few
@given(tables(), POWERS, VALUES)
def test_an_interval_holds_its_mean_and_moves_with_the_values(values, scale, shift):
    found = intervals.bootstrap_mean(values)
    assert found.low - 1e-12 <= found.mean <= found.high + 1e-12
    assert (found.mean, found.n) == (close(values.mean()), values.size)
    moved = intervals.bootstrap_mean(scale * values + shift)
    assert (moved.mean, moved.low, moved.high) == close(
        tuple(scale * each + shift for each in (found.mean, found.low, found.high))
    )
    turned = intervals.bootstrap_mean(-values)
    assert (turned.low, turned.high) == close((-found.high, -found.low))


@settings(max_examples=8)
@given(st.integers(1, 3), tables(), st.integers(0, 3))
def test_many_resampled_in_one_call_are_what_each_is_alone(several, values, seed):
    many = np.stack([values * (1 + number) - number for number in range(several)])
    together = intervals.bootstrap_means(many, seed=seed)
    assert together.shape == (several, intervals.RESAMPLES)
    for row, alone in zip(together, many, strict=True):
        assert row == close(intervals.bootstrap_means(alone, seed=seed))
        assert row.min() >= alone.min() - 1e-12 and row.max() <= alone.max() + 1e-12


@few
@given(arrays(np.float64, st.tuples(st.integers(1, 3), st.integers(1, 8)), elements=st.sampled_from([0.0, 1.0])))
def test_a_share_and_what_it_leaves_have_the_same_interval_from_either_end(successes):
    found, left = intervals.proportion(successes), intervals.proportion(1 - successes)
    assert 0 <= found.low <= found.mean <= found.high <= 1
    assume(successes.mean() * successes.shape[1] % 1 != 0.5)  # half an image is rounded to the even number
    assert (left.mean, left.low, left.high) == close((1 - found.mean, 1 - found.high, 1 - found.low))


SHARES = st.floats(0, 1)


@given(SHARES, SHARES, st.lists(st.tuples(VALUES, VALUES), max_size=3))
def test_the_widest_interval_holds_all_others_as_far_as_the_range_goes(mean, reach, others):
    others = [(min(pair), max(pair)) for pair in others]
    share = Estimate(mean, mean - reach, mean + reach, 5)
    found = intervals.widest(share, *others)
    assert (found.mean, found.n) == (mean, 5) and 0 <= found.low <= found.mean <= found.high <= 1
    for low, high in ((share.low, share.high), *others):
        assert found.low <= max(low, 0) and found.high >= min(high, 1)
    assert intervals.widest(found, *others) == found


@given(st.lists(VALUES, min_size=2, max_size=6), st.integers(1, 20), POWERS, VALUES)
def test_where_further_seeds_are_expected_narrows_with_their_number_and_moves_with_the_seeds(
    means, further, scale, shift
):
    low, high = intervals.prediction(means, further)
    assert (low + high) / 2 == close(np.mean(means))
    assert intervals.prediction(means) == intervals.prediction(means, 1)
    closer = intervals.prediction(means, further + 1)
    assert low - 1e-9 <= closer[0] <= closer[1] <= high + 1e-9
    moved = intervals.prediction([scale * mean + shift for mean in means], further)
    assert moved == close((scale * low + shift, scale * high + shift))
    # Of infinitely many seeds it is the interval of the mean itself.
    of_mean = intervals.seed_mean(means)
    assert intervals.prediction(means, 10**12) == pytest.approx((of_mean.low, of_mean.high), rel=1e-5, abs=1e-5)


# What is left in the features


@given(
    arrays(np.float64, st.tuples(st.integers(1, 3), st.integers(1, 5), st.integers(1, 5)), elements=st.integers(-3, 3)),
    POWERS,
)
def test_the_rank_is_none_of_units_and_at_most_the_matrixs_own(matrices, scale):
    found = mechanism.effective_rank(matrices)
    rank = np.array([np.linalg.matrix_rank(matrix) for matrix in matrices])
    assert np.all(found <= rank * (1 + 1e-6)) and np.all((found >= 1 - 1e-9) | (rank == 0)) and np.all(found >= 0)
    assert np.array_equal(found == 0, rank == 0)
    for same in (scale * matrices, -matrices, matrices[:, ::-1], matrices[:, :, ::-1], matrices.transpose(0, 2, 1)):
        assert mechanism.effective_rank(same) == pytest.approx(found, rel=1e-6)


@given(arrays(np.float32, st.tuples(st.integers(1, 4), st.integers(1, 5)), elements=st.integers(0, 2)), POWERS)
def test_dead_units_and_norms_are_counted_unit_by_unit(features, scale):
    dead = sum(all(value == 0 for value in unit) for unit in features.T) / features.shape[1]
    assert mechanism.dead_units(features) == dead == mechanism.dead_units(scale * features)
    assert mechanism.dead_units(np.concatenate([features, features[:1]])) == dead  # an image again tells nothing new
    norms = [math.hypot(*map(float, row)) for row in features]
    assert mechanism.feature_norm(features) == pytest.approx(norms)
    assert mechanism.feature_norm(features[..., None]) == pytest.approx(norms)


class Halved(nn.Cell):
    """Features of an image that only a network in training drops."""

    def __init__(self):
        super().__init__()
        self.dense = nn.Dense(4, 3, has_bias=False)
        self.dropout = nn.Dropout(p=0.5)

    def construct(self, images):
        return self.dropout(self.dense(images.reshape(images.shape[0], -1)))


def test_the_jacobian_is_of_the_network_as_it_is_used_and_leaves_its_names():
    network = Halved().set_train()
    names = [parameter.name for parameter in network.get_parameters()]
    found = mechanism.jacobians(network, np.ones((2, 1, 2, 2), np.float32))
    assert found == pytest.approx(np.stack([network.dense.weight.asnumpy()] * 2))
    assert [parameter.name for parameter in network.get_parameters()] == names


# Gates


def test_what_was_measured_or_decided_cannot_be_changed_afterwards():
    estimate = Estimate(0.0, -1.0, 1.0, 5)
    compared = verdict.inside("x", estimate, 0.0, 1.0)
    decided = verdict.verdicts({"a": verdict.Evidence([[compared]])}, {})["a"]
    curve = membership.roc(np.array([1, 0]), np.array([True, False]))
    kept = (estimate, compared, decided, curve, verdict.Evidence([]), metrics.METRICS["skill"], BOUNDS[0][0](estimate))
    for each in kept:
        with pytest.raises(FrozenInstanceError):
            setattr(each, fields(each)[0].name, None)


@given(st.text(min_size=1), st.text(), st.text())
def test_a_gate_is_called_by_its_model_where_it_is_of_one(name, about, title):
    gate = gates.Gate(name, "above 0", 1.0, True, about, title)
    assert str(gate) == (f"{name} of {title or about}" if about else name)
    assert not gate.of_strength() and replace(gate, name=gates.REQUIRED["features"][0]).of_strength()


BOUNDS = [
    (gates.beats_the_mean_image, 0.0, 1, False),
    (gates.beats_its_start, 0.0, 1, False),
    (gates.near_perfect_at_conv1, 30.0, 1, False),
    (gates.shuffled_learns_nothing, 0.0, -1, True),
]


@given(st.sampled_from(BOUNDS), st.floats(-100, 100), st.floats(0, 10))
def test_a_gate_passes_on_its_side_of_the_bound_and_by_the_lower_end(case, low, width):
    gate, bound, side, at_it = case
    for lower, wanted in ((low, side * (low - bound) > 0 or (low == bound and at_it)), (bound, at_it)):
        found = gate(Estimate(lower + width / 2, lower, lower + width, 9))
        assert (found.passed, found.found) == (wanted, lower)


@given(
    arrays(np.float64, st.tuples(st.integers(2, 5), st.integers(1, 4)), elements=st.sampled_from([0, 0.5, 1, np.nan]))
)
def test_a_descent_fell_where_it_ends_lower_and_never_rose(curve):
    for place, fell in enumerate(gates.objective_fell(curve)):
        looks = curve[:, place].tolist()
        never_rose = looks == sorted(looks, reverse=True) and not np.isnan(looks).any()
        assert fell == (never_rose and (looks[-1] < looks[0] or looks[0] == 0))


@given(st.integers(0, 400))
@example(4)
@example(5)
def test_nearly_every_descent_must_fall(failed):
    fell = np.arange(400).reshape(2, 200) >= failed
    gate = gates.objective_falls("m", fell)
    assert gate.passed == (failed <= 4) and gate.found == close(1 - failed / 400)


THOUSANDTHS = st.integers(0, 8).map(lambda thousandths: thousandths / 1000)


@given(st.lists(st.tuples(THOUSANDTHS, THOUSANDTHS), min_size=1, max_size=4))
def test_every_seed_must_match_its_own(pairs):
    own, wanted = zip(*pairs, strict=True)
    gate = gates.matches("m", own, wanted)
    assert gate.passed == all(abs(one - other) <= 0.003 for one, other in pairs)
    assert gate.found == max(abs(one - other) for one, other in pairs)
    with pytest.raises(ValueError, match="shorter"):
        gates.matches("m", own, wanted[1:])


@given(st.lists(VALUES, min_size=1, max_size=5), VALUES, VALUES, st.sampled_from(["accuracy", "sparsity"]))
def test_every_seed_must_lie_in_its_band_and_the_farthest_is_told(values, one, other, kind):
    low, high = sorted((one, other))
    gate = getattr(gates, f"{kind}_inside")("m", values, (low, high))
    assert gate.passed == all(low <= value <= high for value in values) and gate.found in values
    beyond = [max(low - value, value - high) for value in values]
    assert max(low - gate.found, gate.found - high) == max(beyond)


# Verdicts


@st.composite
def paired(draw):
    """An arm and its control, [S, N] each."""
    shape = draw(st.integers(1, 4)), draw(st.integers(1, 6))
    return tuple(draw(arrays(np.float64, shape, elements=VALUES)) for _ in range(2))


@few
@given(paired(), POWERS, VALUES)
def test_a_difference_is_the_same_in_any_unit_and_from_any_level(pair, scale, shift):
    arm, control = pair
    found = verdict.lower("x", "y", arm, control)
    assert found.effect == close((arm - control).mean()) and found.low <= found.effect + 1e-12 <= found.high + 2e-12
    other = verdict.lower("x", "y", *(scale * each + shift for each in pair))
    assert (other.effect, other.low, other.high) == close(
        tuple(scale * each for each in (found.effect, found.low, found.high))
    )
    assert (other.p, other.p_opposite, other.supports) == (close(found.p), close(found.p_opposite), found.supports)


@few
@given(paired())
def test_what_is_lower_one_way_is_higher_the_other(pair):
    there, back = verdict.lower("x", "y", *pair), verdict.lower("x", "y", *pair[::-1])
    assert (back.effect, back.low, back.high) == close((-there.effect, -there.high, -there.low))
    assert (back.p, back.p_opposite) == close((there.p_opposite, there.p))
    assert (back.supports, back.opposes()) == (there.opposes(), there.supports)
    assert 0 < there.p <= 1 and not (there.supports and there.opposes())
    grouped = verdict.higher_in_one_group("x", "y", *pair)
    assert grouped.effect == close(there.effect) and (grouped.wanted, grouped.supports) == (-1, grouped.low > 0)


@few
@given(paired())
def test_p_is_the_larger_of_the_bootstraps_and_students(pair):
    difference = pair[0] - pair[1]
    means, by_seed = intervals.bootstrap_means(difference), difference.mean(1)
    found = verdict.lower("x", "y", *pair)
    for p, sign in ((found.p, 1), (found.p_opposite, -1)):
        by_resamples = (1 + sum(sign * mean >= 0 for mean in means.tolist())) / 10_001
        by_t = 0.0
        if len(by_seed) > 1:
            spread = by_seed.std(ddof=1) / math.sqrt(len(by_seed))
            sure = float(sign * by_seed[0] >= 0)  # of seeds that all say the same
            by_t = t.cdf(sign * by_seed.mean() / spread, len(by_seed) - 1) if np.ptp(by_seed) > 0 else sure
        assert p == close(max(by_resamples, by_t))


@few
@given(paired(), VALUES)
def test_a_group_that_does_not_vary_adds_nothing_to_an_interval(pair, level):
    values, still = pair[0], np.full((len(pair[0]), 3), level)
    found, alone = verdict.higher_in_one_group("x", "y", values, still), intervals.bootstrap_mean(values - level)
    assert (found.effect, found.low, found.high) == close((alone.mean, alone.low, alone.high))
    found = verdict.higher_in_one_group("x", "y", still[:1], values[:1])
    alone = intervals.bootstrap_mean(level - values[:1], seed=1)
    assert (found.effect, found.low, found.high) == close((alone.mean, alone.low, alone.high))


@few
@given(st.lists(VALUES, min_size=1, max_size=6), st.integers(1, 4), VALUES)
def test_an_areas_interval_is_that_of_the_candidates_that_vary(scores, others, level):
    for seed, own in ((0, 1), (1, -1)):  # members that vary among non-members that are alike, and the other way round
        row = np.array([*scores, *[level] * others])
        members = np.repeat([seed == 0, seed == 1], [len(scores), others])
        found = verdict.lower_auc("x", "y", row[None], np.zeros((1, len(row))), members)
        wins = np.array([[own * np.sign(score - level) / 2 for score in scores]])
        alone = intervals.bootstrap_mean(wins, seed=seed)
        assert (found.effect, found.low, found.high) == close((alone.mean, alone.low, alone.high))
    with pytest.raises(ValueError, match=r"shorter|longer"):
        verdict.lower_auc("x", "y", row[None], np.zeros((2, len(row))), members)


@few
@given(paired())
def test_equal_values_of_other_images_do_not_cancel(pair):
    """What two groups of images come to varies apart, whatever they have in common."""
    values = pair[0][:1]
    found, alone = verdict.higher_in_one_group("x", "y", values, values), intervals.bootstrap_mean(values)
    assert found.effect == 0 and found.high - found.low >= alone.high - alone.low - 1e-12
    assert found.low == pytest.approx(-found.high, abs=0.1 * (found.high - found.low))


@given(st.dictionaries(st.sampled_from("abcdefg"), st.integers(0, 100).map(lambda p: p / 100)))
def test_holms_p_are_those_of_closed_testing(values):
    """Each claim's p is the largest of Bonferroni's over all sets of claims that it is in: the closure principle."""
    found = verdict.holm(values)
    assert found.keys() == values.keys()
    names = sorted(values)
    sets = [[name for place, name in enumerate(names) if number >> place & 1] for number in range(1, 2 ** len(names))]
    for name in names:
        worst = max(min(1.0, len(each) * min(values[other] for other in each)) for each in sets if name in each)
        assert found[name] == close(worst)


QUARTERS = st.integers(0, 12).map(lambda quarters: quarters / 4)


@given(VALUES, QUARTERS, QUARTERS, VALUES, st.integers(1, 20).map(lambda band: band / 4))
def test_a_figure_supports_opposes_or_reaches_beyond_by_its_interval(mean, below, above, documented, band):
    found = verdict.inside("x", Estimate(mean, mean - below, mean + above, 5), documented, band)
    low, high = mean - below - documented, mean + above - documented
    assert found.opposes() == (low > band or high < -band)
    assert found.supports == (max(-low, high) / band <= 1) and not (found.supports and found.opposes())
    assert found.effect == mean - documented and found.distance == close(max(-low, high) / band)
    wider = verdict.inside("x", Estimate(mean, mean - below, mean + above, 5), documented, 2 * band)
    assert wider.supports >= found.supports and wider.opposes() <= found.opposes()


@given(VALUES, QUARTERS, QUARTERS, st.sampled_from([1, -1]))
def test_an_interval_opposes_where_all_of_it_lies_beyond_zero(effect, below, above, wanted):
    found = verdict.Comparison("x", effect, effect - below, effect + above, 0.5, False, wanted=wanted)
    assert found.opposes() == ((effect - below > 0) if wanted == 1 else (effect + above < 0))
    default = verdict.Comparison("x", effect, effect - below, effect + above, 0.5, False)
    assert (default.wanted, default.distance) == (1, 0) and found.asked() == "x"


NOTABLE = 1 - intervals.LEVEL  # that of which a p must lie below


@st.composite
def differences(draw):
    """Comparisons that have a p in both directions, as those of one claim have."""
    effect, reach = draw(st.sampled_from([-0.2, -0.1, 0.0, 0.1, 0.2])), draw(st.sampled_from([0.05, 0.15]))
    p, p_opposite = (draw(st.sampled_from([0.001, 0.02, 0.04, NOTABLE, 0.3, 0.96])) for _ in range(2))
    bounds = effect - reach, effect + reach
    return verdict.Comparison("x", effect, *bounds, p, bounds[1] < 0, "y", p_opposite=p_opposite)


EVIDENCE = st.lists(differences(), min_size=1, max_size=4).map(lambda found: verdict.Evidence([found], sees="features"))


@given(
    st.dictionaries(st.sampled_from("abcd"), EVIDENCE, min_size=1),
    st.sampled_from([{}, {"features": "too weak"}, {"gradients": "x"}]),
)
def test_each_claim_has_the_verdict_that_its_comparisons_and_holm_allow(evidence, weaknesses):
    largest = {name: max(one.p for one in entry.alternatives[0]) for name, entry in evidence.items()}
    opposite = {name: max(one.p_opposite for one in entry.alternatives[0]) for name, entry in evidence.items()}
    adjusted, turned = verdict.holm(largest), verdict.holm(opposite)
    weakness = "features" in weaknesses
    for name, answer in verdict.verdicts(evidence, weaknesses).items():
        found = evidence[name].alternatives[0]
        assert answer.comparisons == found and answer.effect in [one.effect for one in found]
        if all(one.supports for one in found) and adjusted[name] < NOTABLE:
            wanted = verdict.NOT_TESTED if weakness else verdict.HOLDS
        elif all(one.opposes() for one in found) and turned[name] < NOTABLE:
            wanted = verdict.REFUTED
        else:
            wanted = verdict.NOT_TESTED if weakness else verdict.NOT_SHOWN
        assert answer.verdict == wanted and bool(answer.reason) == (wanted != verdict.HOLDS)
        assert answer.p == (turned if wanted == verdict.REFUTED else adjusted)[name]


@given(st.dictionaries(st.sampled_from("abcd"), EVIDENCE, min_size=1), st.randoms(use_true_random=False))
def test_verdicts_do_not_depend_on_the_order_of_claims_or_comparisons(evidence, random):
    shuffled = {}
    for name in random.sample(sorted(evidence), len(evidence)):
        (found,) = evidence[name].alternatives
        shuffled[name] = replace(evidence[name], alternatives=[random.sample(found, len(found))])
    before, after = verdict.verdicts(evidence, {}), verdict.verdicts(shuffled, {})
    assert {name: (answer.verdict, answer.p) for name, answer in before.items()} == {
        name: (answer.verdict, answer.p) for name, answer in after.items()
    }
