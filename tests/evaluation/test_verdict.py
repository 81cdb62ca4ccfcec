"""The rule that turns paired measurements into a verdict: right as often as it says, in both directions."""

from dataclasses import replace

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
    found = [verdict.lower("x", "y", *simulated(rng, effect)) for _ in range(trials)]
    return np.mean([one.supports and one.p < 0.05 for one in found])


def test_one_value_of_each_seed_above_a_figure_is_the_other_side_of_one_below():
    values = np.array([0.3, 0.1, 0.2, 0.25])
    above, below = (
        verdict.higher("it", "0.1", values, 0.1),
        verdict.lower("it", "", np.full((4, 1), 0.1), values[:, None]),
    )
    assert (above.effect, above.low, above.high) == (-below.effect, -below.high, -below.low)
    assert (above.p, above.p_opposite, above.supports) == (below.p, below.p_opposite, below.supports)
    assert above.asked() == "it above 0.1 (4 seeds)" and above.effect == pytest.approx(values.mean() - 0.1)


def test_no_effect_is_seldom_and_a_clear_one_nearly_always_called_lower():
    assert rate(0.0) <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / 150)
    assert rate(-0.04) >= 0.9
    assert rate(+0.04) == 0


def test_seeds_that_agree_to_the_last_digit_are_certain():
    lower, higher = (verdict.lower("x", "y", np.full((3, 50), shift), np.zeros((3, 50))) for shift in (-0.1, 0.1))
    assert lower.supports and lower.p < 0.01 and lower.p_opposite == 1
    assert not higher.supports and higher.p == 1 and higher.p_opposite < 0.01


def test_seeds_that_disagree_leave_nothing_shown():
    rng = np.random.default_rng(1)
    arm, control = simulated(rng, 0.0)
    apart = np.array([-0.3, 0.3, -0.28, 0.29, -0.31])[:, None]
    found = verdict.lower("x", "y", arm + apart, control)
    assert found.low < -0.1 and found.high > 0.1 and not found.supports and found.p > 0.2
    steady = verdict.lower("x", "y", arm - 0.3, control)
    assert steady.supports and steady.effect == pytest.approx(-0.3, abs=0.03) and steady.p < 0.001


def test_the_smaller_certainty_of_the_two_counts():
    """Student's t over the seeds, where the bootstrap of so few is too sure."""
    difference = np.array([-0.03, -0.01, -0.02])[:, None] + np.zeros((3, 50))
    found = verdict.lower("x", "y", difference, np.zeros_like(difference))
    by_t = stats.ttest_1samp([-0.03, -0.01, -0.02], 0, alternative="less").pvalue
    assert found.p == pytest.approx(by_t) and by_t > 0.03
    expected = stats.t.interval(0.95, 2, loc=-0.02, scale=0.01 / np.sqrt(3))
    assert (found.low, found.high) == pytest.approx(expected) and not found.supports


def test_training_images_that_leak_more_are_found():
    rng = np.random.default_rng(0)
    members, others = 0.5 + 0.1 * rng.standard_normal((5, 200)), 0.4 + 0.1 * rng.standard_normal((5, 250))
    found = verdict.higher_in_one_group("x", "y", members, others)
    assert found.supports and found.p < 0.01 and found.low < 0.1 < found.high and found.effect > 0
    turned = verdict.higher_in_one_group("x", "y", others, members)
    assert not turned.supports and turned.p > 0.9 and turned.high < 0 and turned.opposes() and not found.opposes()


def test_what_sets_models_apart_is_no_difference_between_groups_of_images():
    """Models that differ much from each other move both groups alike: the interval stays as narrow as the images."""
    rng = np.random.default_rng(0)
    model = 0.5 * rng.standard_normal((5, 1))
    members, others = (0.1 * rng.standard_normal((5, 200)) + model for _ in range(2))
    found = verdict.higher_in_one_group("x", "y", members, others)
    assert found.high - found.low < 0.06 and found.low < 0 < found.high


def test_areas_are_compared_as_what_they_are():
    rng = np.random.default_rng(0)
    member = np.arange(600) < 300
    control = rng.standard_normal((4, 600)) + member
    arm = 0.9 * control + rng.standard_normal((4, 600)) - 0.5 * member
    found = verdict.lower_auc("x", "y", arm, control, member)
    areas = [auc(roc(row, member)) - auc(roc(other, member)) for row, other in zip(arm, control, strict=True)]
    assert found.effect == pytest.approx(np.mean(areas), abs=1e-6)
    assert found.supports and found.low < found.effect < found.high
    same = verdict.lower_auc("x", "y", control, control, member)
    assert (same.effect, same.supports) == (0, False) and same.p == 1


def test_the_interval_of_areas_covers_as_often_as_it_says():
    """Resampled candidates and seeds against the truth, known here: no difference."""
    rng = np.random.default_rng(0)
    covered = 0
    member = np.arange(200) < 100
    for _ in range(150):
        shared = rng.standard_normal(200) + member
        arm, control = (shared + 0.5 * rng.standard_normal((20, 200)) for _ in range(2))
        found = verdict.lower_auc("x", "y", arm, control, member)
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


def test_the_other_direction_has_the_p_of_what_is_turned_round():
    rng = np.random.default_rng(2)
    arm, control = simulated(rng, -0.01)
    there, back = verdict.lower("x", "y", arm, control), verdict.lower("x", "y", control, arm)
    assert (there.p, there.p_opposite) == pytest.approx((back.p_opposite, back.p), abs=1e-3) and there.p < back.p
    member = np.arange(200) < 100
    there, back = (verdict.lower_auc("x", "y", *pair, member) for pair in ((arm, control), (control, arm)))
    assert (there.p, there.p_opposite) == pytest.approx((back.p_opposite, back.p), abs=1e-3)
    up, down = verdict.higher_in_one_group("x", "y", arm, control), verdict.higher_in_one_group("x", "y", control, arm)
    assert (up.p, up.p_opposite) == pytest.approx((down.p_opposite, down.p), abs=0.02)  # other images are resampled


def test_what_is_asked_and_its_opposite_are_said():
    below = verdict.lower("leak of a", "b", np.full((3, 9), 0.2), np.full((3, 9), 0.1))
    assert below.asked() == "leak of a below b (3 seeds)" and below.opposes()
    assert below.opposite() == "leak of a lies above b (3 seeds)"
    above = verdict.higher_in_one_group("leak of a", "b", np.full((2, 9), 0.1), np.full((2, 9), 0.2))
    assert above.asked() == "leak of a above b (2 seeds)" and above.opposes()
    assert above.opposite() == "leak of a lies below b (2 seeds)"
    figure = verdict.inside("accuracy", Estimate(0.8, 0.79, 0.81, 5), 0.9, 0.05)
    assert (figure.asked(), figure.opposite()) == ("accuracy", "accuracy lies below its band")


@pytest.mark.parametrize(("mean", "outside"), [(0.849, False), (0.839, True), (0.951, False), (0.961, True)])
def test_a_figure_is_refuted_only_where_its_whole_interval_is_outside(mean, outside):
    found = verdict.inside("x", Estimate(mean, mean - 0.01, mean + 0.01, 5), 0.9, 0.05)
    assert found.opposes() == outside and not found.supports


def difference(effect, p, p_opposite=None, reach=0.05):
    return Comparison(
        *("x", effect, effect - reach, effect + reach, p, effect + reach < 0, "y"),
        p_opposite=1 - p if p_opposite is None else p_opposite,
    )


def figure(off, what="x"):
    """So many bands off, give or take a tenth of one."""
    return replace(verdict.inside(what, Estimate(off, off - 0.1, off + 0.1, 5), 0.0, 1.0), runs=(what,))


def verdict_on(evidence, weakness=""):
    """The verdict; the weakness is that of attacks on features."""
    return verdict.verdicts({"mine": evidence}, {"features": weakness} if weakness else {})["mine"]


LOWER, NEITHER, HIGHER = difference(-0.1, 0.001), difference(0.02, 0.3), difference(0.1, 0.999)


def test_every_comparison_must_support_a_claim():
    assert verdict_on(Evidence([[LOWER, LOWER]])).verdict == "holds"
    answer = verdict_on(Evidence([[LOWER, NEITHER]]))
    assert (answer.verdict, answer.effect, answer.p) == ("not shown", 0.02, 0.3)
    assert answer.reason == "the interval includes zero: x below y"


def test_every_comparison_must_oppose_a_claim_to_refute_it():
    nearer = difference(0.06, 0.99)
    refuted = verdict_on(Evidence([[HIGHER, nearer]]))
    assert (refuted.verdict, refuted.effect, refuted.p) == ("refuted", 0.06, pytest.approx(0.01))
    assert refuted.reason == "the opposite: x lies above y"
    for other in (LOWER, NEITHER):
        answer = verdict_on(Evidence([[HIGHER, nearer, other]]))
        assert (answer.verdict, answer.effect, answer.p) == ("not shown", 0.1, 0.999)
        assert answer.reason == "the opposite, in 2 of 3 comparisons: x lies above y"
    unsure = difference(0.05, 0.97, reach=0.06)  # its p would do, its interval does not
    assert verdict_on(Evidence([[unsure]])).verdict == verdict_on(Evidence([[HIGHER, unsure]])).verdict == "not shown"


def test_p_counts_all_claims_in_either_direction():
    for one, verdict_alone, reason in (
        (difference(-0.1, 0.02), "holds", "not shown after Holm's correction (p 0.08): x below y"),
        (
            difference(0.1, 0.98),
            "refuted",
            "the opposite, but not after Holm's correction: x lies above y",
        ),
    ):
        assert verdict_on(Evidence([[one]])).verdict == verdict_alone
        several = verdict.verdicts({name: Evidence([[one]]) for name in "abcd"}, {})
        assert {answer.verdict for answer in several.values()} == {"not shown"}
        assert several["a"].reason == reason
    # The directions are corrected apart: what holds takes nothing from what is refuted but its place.
    mixed = verdict.verdicts({"a": Evidence([[LOWER]]), "b": Evidence([[HIGHER]]), "c": Evidence([[NEITHER]])}, {})
    assert [(answer.verdict, answer.p) for answer in mixed.values()] == [
        *(("holds", pytest.approx(0.003)), ("refuted", pytest.approx(0.003)), ("not shown", pytest.approx(0.6))),
    ]


def test_one_alternative_is_enough():
    answer = verdict_on(Evidence([[figure(3.0)], [figure(0.5)]]))
    assert (answer.verdict, answer.reason) == ("holds", "") and len(answer.comparisons) == 2
    # One that holds is better than one with more figures met, of which one is not.
    answer = verdict_on(Evidence([[figure(0.0), figure(0.1), figure(2.0)], [figure(0.8)]]))
    assert (answer.verdict, answer.effect) == ("holds", 0.8)


def test_the_alternative_that_is_told_is_the_one_with_most_figures_met():
    most = [figure(0.1), figure(0.2), figure(3.0, "far")]
    fewer = [figure(0.1), figure(1.5), figure(1.6)]  # though none of it is as far off
    for alternatives in ([most, fewer], [fewer, most]):
        answer = verdict_on(Evidence(alternatives))
        assert (answer.verdict, answer.effect) == ("refuted", 3.0)
        assert answer.reason == "far lies above its band; 2 of 3 figures reproduced"
    wide = verdict.inside("wide", Estimate(0.5, -4.0, 5.0, 5), 0.0, 1.0)  # may be anywhere
    answer = verdict_on(Evidence([[figure(1.5), wide]]))
    assert (answer.verdict, answer.effect) == ("refuted", 1.5)
    nearest = verdict_on(Evidence([[figure(3.0)], [figure(-2.0)]]))
    assert (nearest.effect, nearest.reason) == (-2.0, "x lies below its band; 0 of 1 figures reproduced")


def test_of_alternatives_that_miss_one_figure_the_nearer_miss_is_told():
    far, near = [figure(3.0, "far"), figure(0.0)], [figure(1.5, "near"), figure(0.5)]
    for alternatives in ([far, near], [near, far]):
        assert "near" in verdict_on(Evidence(alternatives)).reason


def test_figures_that_may_be_met_are_not_shown():
    answer = verdict_on(Evidence([[figure(0.3), figure(0.95)]]))
    assert (answer.verdict, answer.effect) == ("not shown", 0.95)
    assert answer.reason == "x reaches beyond its band; 1 of 2 figures reproduced"
    assert verdict_on(Evidence([[figure(0.95), figure(1.2)]])).verdict == "refuted"


@pytest.mark.parametrize("one", [LOWER, NEITHER])
def test_a_weak_attack_protects_nothing(one):
    weak = verdict_on(Evidence([[one]], sees="features"), "attack too weak: conv1")
    assert (weak.verdict, weak.reason) == ("not tested", "attack too weak: conv1")
    # Attacks on something else are none the weaker for it.
    other = Evidence([[one]], sees="gradients")
    assert verdict_on(other, "attack too weak: conv1") == verdict_on(other)


def test_a_weak_attack_that_gets_more_from_the_protected_model_needs_no_strength():
    refuted, undecided = (Evidence([found], sees="features") for found in ([HIGHER], [HIGHER, NEITHER]))
    assert verdict_on(refuted, "attack too weak: conv1").verdict == "refuted"
    assert verdict_on(undecided, "attack too weak: conv1").verdict == "not tested"
    reproduced = Evidence([[figure(0.5)]])
    assert verdict_on(reproduced, "attack too weak: conv1").verdict == "holds"


def test_missing_data_decide_nothing():
    missing = verdict_on(Evidence([[LOWER]], "no seeds"))
    assert (missing.verdict, missing.reason, missing.effect) == ("not tested", "no seeds", None)
    assert missing.comparisons == [LOWER]


def test_figures_beside_differences_are_judged_by_their_intervals():
    answer = verdict_on(Evidence([[LOWER, figure(0.5)]]))
    assert (answer.verdict, answer.p) == ("holds", None)


def outcome(said):
    return said and verdict.Verdict(said, None, None, None, None, "")


@pytest.mark.parametrize(
    ("outcomes", "expected"),
    [
        ([verdict.HOLDS, verdict.HOLDS], verdict.HOLDS),
        ([verdict.REFUTED, verdict.REFUTED], verdict.HOLDS),
        ([verdict.REFUTED, verdict.HOLDS], verdict.REFUTED),
        ([verdict.REFUTED, verdict.HOLDS, None], verdict.REFUTED),
        ([verdict.NOT_SHOWN, verdict.NOT_SHOWN], verdict.NOT_SHOWN),
        ([verdict.HOLDS, verdict.NOT_SHOWN], verdict.NOT_SHOWN),
        ([verdict.HOLDS, None], verdict.NOT_TESTED),
        ([verdict.HOLDS, verdict.NOT_TESTED], verdict.NOT_TESTED),
    ],
)
def test_an_answer_is_the_same_everywhere_only_where_there_is_one(outcomes, expected):
    found = verdict.same({str(place): outcome(said) for place, said in enumerate(outcomes)})
    assert found.verdict == expected and found.reason
