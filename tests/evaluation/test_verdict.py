"""The rule that turns paired measurements into a verdict: right as often as it says, in both directions."""

import numpy as np
import pytest
from scipy import stats

from suppress_privacy.evaluation import verdict
from suppress_privacy.evaluation.intervals import Estimate
from suppress_privacy.evaluation.membership import auc, roc
from suppress_privacy.evaluation.verdict import Comparison, Evidence


def simulated(rng, effect, seeds=5, images=200):
    """An arm and its control on the same images: seeds, images and their interaction all vary."""
    image = 0.2 * rng.standard_normal((1, images))

    def arm(shift):
        return shift + image + 0.01 * rng.standard_normal((seeds, 1)) + 0.1 * rng.standard_normal((seeds, images))

    return arm(effect), arm(0.0)


def rate(effect, trials=150):
    """How often an effect is taken for a lower arm, by interval and p."""
    rng = np.random.default_rng(0)
    found = [verdict.lower("x", *simulated(rng, effect)) for _ in range(trials)]
    return np.mean([one.supports and one.p < 0.05 for one in found])


def test_no_effect_is_seldom_and_a_clear_one_nearly_always_called_lower():
    assert rate(0.0) <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / 150)
    assert rate(-0.04) >= 0.9
    assert rate(+0.04) == 0


def test_seeds_that_disagree_leave_nothing_shown():
    rng = np.random.default_rng(1)
    arm, control = simulated(rng, 0.0)
    apart = np.array([-0.3, 0.3, -0.28, 0.29, -0.31])[:, None]
    found = verdict.lower("x", arm + apart, control)
    assert found.low < -0.1 and found.high > 0.1 and not found.supports and found.p > 0.2
    steady = verdict.lower("x", arm - 0.3, control)
    assert steady.supports and steady.effect == pytest.approx(-0.3, abs=0.03) and steady.p < 0.001


def test_the_smaller_certainty_of_the_two_counts():
    """Student's t over the seeds, where the bootstrap of so few is too sure."""
    difference = np.array([-0.03, -0.01, -0.02])[:, None] + np.zeros((3, 50))
    found = verdict.lower("x", difference, np.zeros_like(difference))
    by_t = stats.ttest_1samp([-0.03, -0.01, -0.02], 0, alternative="less").pvalue
    assert found.p == pytest.approx(by_t) and by_t > 0.03
    expected = stats.t.interval(0.95, 2, loc=-0.02, scale=0.01 / np.sqrt(3))
    assert (found.low, found.high) == pytest.approx(expected) and not found.supports


def test_training_images_that_leak_more_are_found():
    rng = np.random.default_rng(0)
    members, others = 0.5 + 0.1 * rng.standard_normal((5, 200)), 0.4 + 0.1 * rng.standard_normal((5, 250))
    found = verdict.higher_in_one_group("x", members, others)
    assert found.supports and found.p < 0.01 and found.low < 0.1 < found.high and found.effect > 0
    turned = verdict.higher_in_one_group("x", others, members)
    assert not turned.supports and turned.p > 0.9 and turned.high < 0 and turned.opposes() and not found.opposes()


def test_what_sets_models_apart_is_no_difference_between_groups_of_images():
    """Models that differ much from each other move both groups alike: the interval stays as narrow as the images."""
    rng = np.random.default_rng(0)
    model = 0.5 * rng.standard_normal((5, 1))
    members, others = (0.1 * rng.standard_normal((5, 200)) + model for _ in range(2))
    found = verdict.higher_in_one_group("x", members, others)
    assert found.high - found.low < 0.06 and found.low < 0 < found.high


def test_areas_are_compared_as_what_they_are():
    rng = np.random.default_rng(0)
    member = np.arange(600) < 300
    control = rng.standard_normal((4, 600)) + member
    arm = 0.9 * control + rng.standard_normal((4, 600)) - 0.5 * member
    found = verdict.lower_auc("x", arm, control, member)
    areas = [auc(roc(row, member)) - auc(roc(other, member)) for row, other in zip(arm, control, strict=True)]
    assert found.effect == pytest.approx(np.mean(areas), abs=1e-6)
    assert found.supports and found.low < found.effect < found.high
    same = verdict.lower_auc("x", control, control, member)
    assert (same.effect, same.supports) == (0, False) and same.p == 1


def test_the_interval_of_areas_covers_as_often_as_it_says():
    """Resampled candidates and seeds against the truth, known here: no difference."""
    rng = np.random.default_rng(0)
    covered = 0
    member = np.arange(200) < 100
    for _ in range(150):
        shared = rng.standard_normal(200) + member
        arm, control = (shared + 0.5 * rng.standard_normal((20, 200)) for _ in range(2))
        found = verdict.lower_auc("x", arm, control, member)
        covered += found.low <= 0 <= found.high
    assert covered / 150 >= 0.9


def test_a_documented_figure_is_met_only_within_its_band():
    inside = verdict.inside("x", Estimate(0.991, 0.989, 0.993, 5), 0.99, 0.005)
    assert inside.supports and inside.effect == pytest.approx(0.001) and inside.p is None
    assert not verdict.inside("x", Estimate(0.991, 0.980, 1.0, 5), 0.99, 0.005).supports  # too uncertain to say
    assert not verdict.inside("x", Estimate(0.97, 0.969, 0.971, 5), 0.99, 0.005).supports


def test_holms_correction_is_the_written_out_one():
    found = verdict.holm({"a": 0.01, "b": 0.04, "c": 0.03, "d": 0.005})
    assert found == pytest.approx({"d": 0.02, "a": 0.03, "c": 0.06, "b": 0.06})
    assert verdict.holm({"a": 0.7, "b": 0.9}) == {"a": 1.0, "b": 1.0}
    assert verdict.holm({}) == {}


def comparison(supports, p=0.001, effect=-0.1, distance=0.0):
    return Comparison("x", effect, effect - 0.05, effect + 0.05, p, supports, distance=distance)


def verdict_on(evidence, weakness=""):
    return verdict.verdicts({"mine": evidence}, weakness)["mine"]


def test_every_comparison_must_support_a_claim():
    assert verdict_on(Evidence([[comparison(True), comparison(True)]])).verdict == "holds"
    failed = verdict_on(Evidence([[comparison(True), comparison(False, 0.3, 0.02)]]))
    assert (failed.verdict, failed.effect, failed.p, failed.reason) == ("fails", 0.02, 0.3, "not shown: x")


def test_the_opposite_is_told_from_what_was_not_shown():
    opposite = verdict_on(Evidence([[comparison(False, 0.999, 0.2), comparison(False, 0.9995, 0.02)]]))
    assert (opposite.verdict, opposite.effect, opposite.reason) == ("fails", 0.2, "the opposite: x")


def test_p_counts_all_claims():
    assert verdict_on(Evidence([[comparison(True, 0.02)]])).verdict == "holds"
    several = verdict.verdicts({name: Evidence([[comparison(True, 0.02)]]) for name in "abcd"}, "")
    assert {answer.verdict for answer in several.values()} == {"fails"} and several["a"].p == pytest.approx(0.08)
    assert several["a"].reason == "not shown after Holm's correction: x"


def test_one_alternative_is_enough():
    bad, good = [comparison(False, None, distance=3.0)], [comparison(True, None, distance=0.5)]
    assert verdict_on(Evidence([bad, good], needs_strong_attack=False)).verdict == "holds"
    nearer = [comparison(True, None), comparison(False, None, 0.5, distance=1.5)]
    missed = verdict_on(Evidence([bad, nearer], needs_strong_attack=False))
    assert (missed.verdict, missed.effect) == ("fails", 0.5)  # of the nearest alternative, its farthest figure


def test_a_weak_attack_protects_nothing_and_missing_data_decide_nothing():
    protected = Evidence([[comparison(True)]])
    weak = verdict_on(protected, "attack too weak: conv1")
    assert weak.verdict == "not tested" and weak.reason == "attack too weak: conv1"
    assert verdict_on(Evidence([[comparison(False, 0.5, 0.01)]]), "attack too weak: conv1").verdict == "not tested"
    # That even a weak attack gets more from the protected model needs no strength.
    assert verdict_on(Evidence([[comparison(False, 0.999, 0.2)]]), "attack too weak: conv1").verdict == "fails"
    reproduced = Evidence([[comparison(True, None)]], needs_strong_attack=False)
    assert verdict_on(reproduced, "attack too weak: conv1").verdict == "holds"
    missing = verdict_on(Evidence([], "no seeds"))
    assert (missing.verdict, missing.reason, missing.effect) == ("not tested", "no seeds", None)
