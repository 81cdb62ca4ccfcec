"""The first page answers as the verdict does, and says what the figures say."""

from dataclasses import replace

import pytest
from planted import estimate, planted, with_summary

from report import front, language
from suppress_privacy.evaluation import gates
from suppress_privacy.evaluation.verdict import Comparison, Verdict
from suppress_study.plan import Study

SHARES = {"suppressed-example": 0.95, "accuracy-matched": 0.89, "feature-noise": 0.5}
CONFIDENT = {"class-mean": 0.98, "reference": 0.94}


def value(factors, attack, metric, judge):
    if metric == "confidence":
        return CONFIDENT.get(attack, 0.9) - 0.08 * (factors["arm"] == "suppressed-example" and attack == "reference")
    return SHARES.get(factors["arm"], 0.86) if attack == "decoder" else 0.002


def with_verdict(word, reason="", **changes):
    """The full profile with that verdict on the question, by a comparison with the network of equal accuracy."""
    apart = Comparison("any", 0.06, 0.0378, 0.0966, 1.0, False, metric="rank1", control="accuracy-matched", **changes)
    other = replace(apart, control="magnitude-finetuned", low=-0.5, high=0.5)
    report = planted("full", Study.load(), value)  # anew: what the value is may change
    found = Verdict(word, 0.06, 0.04, 0.1, 1.0, reason, [other, apart])
    return with_summary(report, verdicts=report.summary.verdicts | {report.claims.question: found})


SHOWN = (
    "The strongest attack identifies **95 %** of private images from the suppressed network and **89 %** from an "
    "equally accurate ordinary one (+4 to +10 points, 95 % interval)."
)


@pytest.mark.parametrize(
    ("word", "opening"),
    [
        ("holds", "**Yes, as far as these attacks go.** "),
        ("refuted", "**No: more is exposed, to these attacks.** "),
        ("not shown", "**No protection was found.** "),
    ],
)
def test_the_answer_is_the_verdicts(word, opening):
    assert front.answer(with_verdict(word)) == opening + SHOWN


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [(-0.004, 0.028, "(-0.4 to +2.8 points"), (0.004, 0.028, "(+0.4 to"), (-0.03, -0.0012, "(-3.0 to -0.1 points")],
)
def test_an_interval_shows_on_which_side_of_zero_its_ends_are(low, high, said):
    report = with_verdict("not shown")
    found = report.summary.verdicts[report.claims.question]
    apart = [replace(one, low=low, high=high) for one in found.comparisons]
    verdicts = {report.claims.question: replace(found, comparisons=apart)}
    assert said in front.answer(with_summary(report, verdicts=verdicts))


def test_what_was_not_tested_is_not_answered():
    said = front.answer(with_verdict("not tested", "attack too weak: beats-the-mean-image"))
    assert said == "**This run cannot tell.** Why: attack too weak: beats-the-mean-image."
    assert front.answer(planted("quick")) == "**This run cannot tell.** Why: no seeds."


def test_what_a_network_left_untested_is_told_beside_what_was_measured():
    report, why = with_verdict("not tested"), "a model is not what it should be: matched of its control"
    asked = report.claims.question
    found = replace(report.summary.verdicts[asked], effect=None, reason=why)
    assert front.answer(with_summary(report, verdicts={**report.summary.verdicts, asked: found})) == (
        "**Undecided, by its own rules.** The strongest attack identifies **95 %** of private images from "
        "the suppressed network and **89 %** from an ordinary one matched to it (+4 to +10 points, 95 % "
        f"interval). Why it cannot tell: {why}."
    )


def test_by_how_much_the_network_is_off_is_said_in_points():
    report, asked = with_verdict("not tested"), planted().claims.question
    off = gates.matches("accuracy-matched", [0.988], [0.984875])
    found = replace(report.summary.verdicts[asked], effect=None, reason=f"a model is not what it should be: {off}")
    gated = with_summary(report, verdicts={**report.summary.verdicts, asked: found}, gates=[off])
    shares = {each.title: [0.98 + 0.0004 * (each in report.pair)] for each in report.summary.arms}
    arms = [each.model_copy(update={"reported_accuracy": shares[each.title]}) for each in report.summary.arms]
    gated = with_summary(gated, arms=arms)
    said = "0.3125 points of accuracy lie between the two in a training (0.04 on average), 0.3 are allowed."
    assert front.why(gated) == f"Why it cannot tell: {said}" and front.why(with_verdict("holds")) == ""
    assert front.answer(gated) == f"{front.short_answer(gated)} {front.why(gated)}"
    with language.in_chinese():
        assert front.answer(gated) == f"{front.short_answer(gated)}{front.why(gated)}"
    other = gates.matches("feature-noise", [0.988], [0.984875])
    assert "points of accuracy lie" not in front.answer(with_summary(gated, gates=[other]))
    more = {asked: replace(found, reason=f"a model is not what it should be: sparsity of a, {off}")}
    assert front.answer(with_summary(gated, verdicts={**gated.summary.verdicts, **more})).endswith(f"a, {off}.")


@pytest.mark.parametrize(("share", "said"), [(0.04, "4 % [3 to 5]"), (0.945, None)])
def test_the_network_from_which_least_is_got_is_named_if_it_is_clearly_less(monkeypatch, share, said):
    report = with_verdict("refuted")
    arm = next(arm for arm, _ in front.as_accurate(report) if arm not in report.pair)
    strongest = type(report).strongest

    def planted_share(self, metric, asked, *more):
        found = strongest(self, metric, asked, *more)
        return replace(found, mean=share, low=share - 0.01, high=share + 0.01) if asked == arm else found

    monkeypatch.setattr(type(report), "strongest", planted_share)
    _, others, _ = front.facts(report).splitlines()
    noise = "**Less is identified at about the same accuracy**: 50 % [49 to 51] with noise on the features"
    assert others == f"- {noise}" + (f", {said} from *{arm.title}*." if said else ".")


def test_a_verdict_without_the_networks_it_speaks_of_is_no_answer():
    report = with_verdict("holds")
    arms = [arm for arm in report.summary.arms if arm.factors["arm"] != "accuracy-matched"]
    assert front.answer(with_summary(report, arms=arms)).startswith("**This run cannot tell.** Why: it has not all")


def test_three_facts_follow_from_the_figures():
    report = with_verdict("refuted")
    first, second, third = front.facts(report).splitlines()
    assert first == (
        "- **The tutorial's own attack gets less**: a classifier's confidence goes from 94 % to 86 % (documented: "
        "95 % to 56 %). The predicted digit's average, which reconstructs nothing, has 98 %, more than either."
    )
    noise = "50 % [49 to 51] with noise on the features"
    assert second == f"- **Less is identified at about the same accuracy**: {noise}."
    private = [arm for arm in report.summary.arms if arm.title.startswith("DP-SGD")]
    aim = report.pair[1].test_accuracy[0]
    nearest = min(private, key=lambda arm: abs(arm.test_accuracy[0] - aim))
    assert len(private) == 4
    accuracy = f"{100 * sum(nearest.test_accuracy) / len(nearest.test_accuracy):.1f} %"
    assert third == f"- **Differential privacy hides images better**: 86 % at {accuracy} accuracy."


def test_facts_that_are_otherwise_are_told_otherwise(monkeypatch):
    monkeypatch.setitem(SHARES, "feature-noise", 0.89)
    monkeypatch.setitem(CONFIDENT, "class-mean", 0.5)
    first, second, _ = front.facts(with_verdict("refuted")).splitlines()
    assert "has 50 %." in first
    noise = "89 % [88 to 90] with noise on the features"
    assert second == f"- **Noise does not do better**: {noise} are identified, at about the same accuracy."


def test_the_picture_has_the_same_three_networks_under_two_attacks_and_what_reconstructs_nothing():
    rows = front.rows(planted("full", value=value))
    assert [*rows] == ["no attack", "the tutorial's\nattack", "the strongest\nattack"]
    assert [row.title for row in rows["the strongest\nattack"]] == ["ordinary", "suppressed", "noisy features"]
    assert [row.arm["arm"] for row in rows["the tutorial's\nattack"]] == [
        *("accuracy-matched", "suppressed-example", "feature-noise"),
    ]
    assert [row.attack.attack for row in rows["no attack"]] == ["class-mean"]
    assert {row.attack.attack for row in rows["the strongest\nattack"]} == {"decoder"}


@pytest.mark.parametrize(
    ("share", "said"), [(0.0, "0 %"), (0.002, "<1 %"), (0.004, "<1 %"), (0.946, "95 %"), (1, "100 %")]
)
def test_a_share_is_said_in_per_cent(share, said):
    assert front.percent(estimate(share)) == said
