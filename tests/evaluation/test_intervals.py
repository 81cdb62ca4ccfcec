import numpy as np
import pytest
from scipy import stats

from suppress_privacy.evaluation.intervals import (
    apart,
    bootstrap_mean,
    bootstrap_means,
    prediction,
    proportion,
    seed_mean,
    seed_reach,
)


def test_one_seed_equals_scipys_bootstrap():
    values = np.random.default_rng(0).gamma(2, size=80)
    found = bootstrap_mean(values[None])
    expected = stats.bootstrap(
        (values,), np.mean, n_resamples=10_000, method="percentile", random_state=np.random.default_rng(1)
    ).confidence_interval
    assert found.mean == pytest.approx(values.mean()) and found.n == 80
    assert found.low == pytest.approx(expected.low, abs=0.01)
    assert found.high == pytest.approx(expected.high, abs=0.01)


def test_the_interval_covers_the_truth_as_often_as_it_says():
    """Seeds and images both vary; with 20 of each, 95 % is reached within what 400 trials can tell."""
    rng = np.random.default_rng(0)
    covered = 0
    for trial in range(400):
        values = rng.standard_normal((20, 1)) + rng.standard_normal((1, 20)) + 0.5 * rng.standard_normal((20, 20))
        found = bootstrap_mean(values, seed=trial)
        covered += found.low <= 0 <= found.high
    assert 0.90 <= covered / 400 <= 0.985


def test_seeds_that_differ_widen_the_interval():
    images = np.random.default_rng(0).standard_normal((1, 200))
    same = bootstrap_mean(np.repeat(images, 5, axis=0))
    apart = bootstrap_mean(images + np.array([-2, -1, 0, 1, 2])[:, None])
    assert apart.mean == pytest.approx(same.mean)
    assert apart.high - apart.low > 3 * (same.high - same.low)


def test_a_constant_has_no_width_and_draws_repeat():
    found = bootstrap_mean(np.full((3, 10), 0.25))
    assert (found.low, found.mean, found.high, found.n) == pytest.approx((0.25, 0.25, 0.25, 30))
    values = np.random.default_rng(0).random((2, 30))
    assert bootstrap_mean(values) == bootstrap_mean(values)


def test_a_mean_over_seeds_has_students_interval():
    found = seed_mean([0.98, 0.99, 1.0])
    expected = stats.t.interval(0.95, 2, loc=0.99, scale=0.01 / np.sqrt(3))
    assert (found.mean, found.low, found.high, found.n) == pytest.approx((0.99, *expected, 3))


def test_one_seed_says_nothing_of_others():
    assert seed_reach(np.array([0.98])) == 0.0 < seed_reach(np.array([0.98, 0.99]))


@pytest.mark.parametrize("further", [1, 2, 3])
def test_further_seeds_are_expected_where_students_interval_of_a_difference_puts_them(further):
    reach = stats.t.ppf(0.975, 2) * 0.01 * np.sqrt(1 / 3 + 1 / further)
    assert prediction([0.98, 0.99, 1.0], further) == pytest.approx((0.99 - reach, 0.99 + reach))


@pytest.mark.parametrize("level", [0.95, 0.99, 0.9999])
def test_another_training_lies_outside_as_often_as_the_level_says(level):
    """Drawn by hand: four trainings, and a fifth. The least deviation is that of seeds which agree more closely."""
    draws = np.random.default_rng(0).normal(size=(20_000, 5))
    outside = [not low <= last <= high for *first, last in draws for low, high in [prediction(first, level=level)]]
    assert np.mean(outside) == pytest.approx(1 - level, abs=4 * np.sqrt((1 - level) / len(draws)))
    assert prediction([0.4, 0.6], level=level, least=0.1) == prediction([0.4, 0.6], level=level)
    reach = stats.t.ppf((1 + level) / 2, 2) * 0.1 * np.sqrt(1 + 1 / 3)
    assert prediction([0.5, 0.5, 0.5], level=level, least=0.1) == pytest.approx((0.5 - reach, 0.5 + reach))


def test_the_first_draws_are_taken_where_none_are_named():
    hard = np.random.default_rng(12).random((1, 5))  # images on which seeds differ, so that the draws decide an end
    values = (np.random.default_rng(3).random((20, 5)) < hard).astype(float)
    assert proportion(values) == proportion(values, seed=0) != proportion(values, seed=1)


def test_a_proportion_has_wilsons_interval():
    found = proportion(np.array([[1] * 26 + [0] * 4]))
    assert found.mean == pytest.approx(26 / 30)
    assert found.low <= 0.7032 + 1e-4 and found.low > 0.69  # Wilson 1927: [0.7032, 0.9469]
    assert found.high >= 0.9469 - 1e-4
    certain = proportion(np.ones((1, 30)))
    assert certain.high == 1 and certain.low == pytest.approx(0.8865, abs=1e-3)


def test_repeating_the_images_in_another_seed_does_not_narrow_a_proportion():
    once = np.random.default_rng(0).integers(0, 2, (1, 50)).astype(float)
    one, five = proportion(once), proportion(np.repeat(once, 5, axis=0))
    assert five.high - five.low >= 0.99 * (one.high - one.low)


def test_values_that_are_not_there_are_left_out_of_mean_and_interval():
    rng = np.random.default_rng(0)
    values = rng.random((3, 40))
    values[0, :10] = values[2, 5:9] = np.nan
    found = bootstrap_mean(values)
    assert (found.mean, found.n) == (np.nanmean(values), 106)
    counts = [rng.multinomial(drawn, np.full(drawn, 1 / drawn), 4000) for drawn in values.shape]
    weights = np.einsum("rs,rn->rsn", *counts) * np.isfinite(values)
    naive = (weights * np.nan_to_num(values)).sum((1, 2)) / weights.sum((1, 2))
    means = bootstrap_means(values)
    assert np.quantile(means, [0.025, 0.5, 0.975]) == pytest.approx(np.quantile(naive, [0.025, 0.5, 0.975]), abs=0.005)
    # Where the same images lack in all seeds, it is as if they had never been.
    lacking = rng.random((3, 40))
    lacking[:, 30:] = np.nan
    assert bootstrap_mean(lacking).low == pytest.approx(bootstrap_mean(lacking[:, :30]).low, abs=0.01)
    found = proportion(np.where(np.isnan(lacking), np.nan, lacking > 0.5))
    assert found.mean == np.mean(lacking[:, :30] > 0.5) and found.high - found.low > 0.2


def test_what_is_not_there_is_left_out_of_each_of_many_as_of_one_alone():
    values = np.full((2, 3, 4), np.nan)
    values[0, 1, 2], values[1, :, :2] = 2.0, np.arange(6).reshape(3, 2)
    together = bootstrap_means(values)
    assert np.array_equal(together, np.stack([bootstrap_means(each) for each in values]))
    assert together[0] == pytest.approx(np.full(10_000, 2.0))  # of one value alone, however often it is drawn


def test_an_image_counts_for_a_proportion_where_any_seed_has_it():
    values = np.array([[1.0] * 10 + [np.nan] * 5, [1.0] * 5 + [np.nan] * 5 + [1.0] * 5])
    assert proportion(values).low == pytest.approx(proportion(np.ones((1, 15))).low)


def two_arms(rng, effect, seeds=(3, 5), images=60):
    """Two arms whose seeds have nothing in common; images are alike in both, and seeds differ more than images do."""
    image = 0.2 * rng.standard_normal((1, images))
    first, second = (
        image + 0.05 * rng.standard_normal((count, 1)) + 0.1 * rng.standard_normal((count, images)) for count in seeds
    )
    return first + effect, second


def test_arms_of_unrelated_seeds_differ_by_what_the_interval_holds():
    rng = np.random.default_rng(0)
    found = [apart(*two_arms(rng, 0.1)) for _ in range(200)]
    assert np.mean([one.low <= 0.1 <= one.high for one in found]) >= 0.93
    assert abs(np.mean([one.mean for one in found]) - 0.1) < 0.01


def test_no_order_of_the_seeds_counts_where_they_are_unrelated_and_more_of_them_say_more():
    rng = np.random.default_rng(1)
    pairs = [two_arms(rng, 0.1, (5, 5)) for _ in range(40)]
    found, again = apart(*pairs[0]), apart(pairs[0][0][::-1], pairs[0][1][[2, 0, 4, 1, 3]])
    np.testing.assert_allclose([again.low, again.high], [found.low, found.high])
    all_of_them, some = ([apart(*(arm[:count] for arm in pair)) for pair in pairs] for count in (5, 3))
    assert np.median([one.high - one.low for one in all_of_them]) < np.median([one.high - one.low for one in some])


def test_of_seeds_alone_the_interval_is_welchs():
    """Where all images differ by as much, nothing is theirs; of numbers of seeds and variances that are not equal."""
    images = np.random.default_rng(0).normal(0, 1, 30)
    first, second = np.array([0.31, 0.35, 0.28, 0.4]), np.array([0.05, 0.3, -0.1])
    found = apart(images + first[:, None], images + second[:, None])
    welch = stats.ttest_ind(first, second, equal_var=False).confidence_interval(0.95)
    assert found.mean == pytest.approx(first.mean() - second.mean())
    assert (found.low, found.high, found.n) == (pytest.approx(welch.low), pytest.approx(welch.high), 7 * 30)


def test_two_constants_are_apart_by_their_difference():
    found = apart(np.full((3, 1), 0.98), np.full((4, 1), 0.97))
    np.testing.assert_allclose([found.mean, found.low, found.high], 0.01)
