"""The words of a finding turn with the figures."""

from dataclasses import asdict

import pytest
from planted import estimate, planted, with_summary

from report import findings

LEVELS = {"suppressed-example": 0.9, "feature-noise": 0.4}


def measured(value):
    """The full profile with other figures, each a function of a row of factors; made from one plan, which is slow."""
    report, apart = planted("full"), {"mean", "low", "high"}
    rows = [
        row | {name: each for name, each in asdict(estimate(value(row))).items() if name in apart}
        for row in report.summary.estimates
    ]
    alike = [arm.model_copy(update={"test_accuracy": [0.98]}) for arm in report.summary.arms]
    return with_summary(report, estimates=rows, differences=[], arms=alike)


def of(levels, kind="rank1", **attacks):
    """A report in which the strongest attack gets so much from each arm, and others so much from all."""

    def value(row):
        if row["metric"] != kind or row["attack"] in attacks:
            return attacks.get(row["attack"], 0.5)
        return levels.get(row["arm"], 0.7)

    return measured(value)


@pytest.mark.parametrize(("level", "word"), [(0.9, "more"), (0.5, "less"), (0.7, "about as much")])
def test_attacks_get_more_less_or_as_much_from_the_suppressed_network(level, word):
    said = findings.attacks_found(of({"suppressed-example": level}, **{"class-mean": 0.001}))
    assert f" get {word} from the suppressed one**" in said and f"identifies {100 * level:.0f} %" in said
    assert "70 % from the ordinary one" in said and "average, identifies <1 %" in said


def confident(ordinary, suppressed):
    def value(factors, attack, metric, judge):
        return suppressed if factors["arm"] == "suppressed-example" else ordinary

    return planted(value=value)


@pytest.mark.parametrize(
    ("suppressed", "word"),
    [
        (0.8, "The fall in confidence is there, and smaller than documented"),
        (0.503, "The fall in confidence is there, and as large as documented"),
        (0.4, "The fall in confidence is there, and larger than documented"),
        (0.9, "Confidence hardly changes"),
        (0.95, "Confidence rises"),
    ],
)
def test_the_fall_in_confidence_is_held_beside_the_documented_one(suppressed, word):
    said = findings.tutorial_found(confident(0.9, suppressed))
    assert said.startswith(f"**{word}**") and f"from 90 % to {100 * suppressed:.0f} %" in said and "95 to 56 %" in said


def test_what_is_left_of_the_gap_is_between_networks_of_one_optimiser():
    report = of({"dense-sgd": 0.9, "suppressed-example": 0.8}, kind="confidence")
    said = findings.gap_found(report)
    assert said.startswith("**Of the tutorial's 40 points 10 are left**") and "from 90 % to 80 %" in said
    without = [arm for arm in report.summary.arms if arm.factors["arm"] != "dense-sgd"]
    assert findings.gap_found(with_summary(report, arms=without)) == ""


def test_of_networks_as_accurate_the_one_that_gives_least_is_named():
    said = findings.controls_found(of(LEVELS))
    assert said.startswith("**Least is got from *noise on the features***: 40 %") and "90 % from the suppressed" in said
    assert "more networks that are about as accurate it is 70 to 90 %." in said
    assert findings.controls_found(of({"suppressed-example": 0.1})).startswith("**The suppressed network gives least**")


def test_what_differential_privacy_gives_is_held_beside_the_suppressed_network():
    assert findings.private_found(of(LEVELS)).startswith("**DP-SGD gives less**: 70 %")
    assert findings.private_found(of({"suppressed-example": 0.5})).startswith("**DP-SGD gives more**")


@pytest.mark.parametrize(("slope", "word"), [(1, "more leak"), (-1, "less leak"), (0, "Zeros change little")])
def test_whether_more_zeros_leak_more(slope, word):
    report = measured(lambda row: 0.5 + slope * (row.get("sparse_end", 0.5) - 0.5))
    assert word in findings.sweep_found(report)


def test_attacks_are_held_against_what_features_can_hold():
    ranks = {str(arm.factors): arm.mechanism.effective_rank.mean for arm in planted("full").summary.arms}

    def by_rank(row):
        return ranks.get(str({name: row[name] for name in ("arm", "sparse_end") if name in row}), 30) / 100

    assert "get more where features can hold more" in findings.rank_found(measured(by_rank))
    assert "do not" in findings.rank_found(measured(lambda row: 1 - by_rank(row)))
    assert findings.rank_found(planted("full")) == ""  # all alike: nothing to rank


def test_gradients_that_give_much_or_little_away():
    assert findings.gradients_found(of({}, analytic=0.9)).startswith("**One gradient gives most images away**")
    few = of({}, **dict.fromkeys(("analytic", "dlg", "idlg", "cosine"), 0.1))
    assert findings.gradients_found(few).startswith(
        "**One gradient gives few images away**: the best attack identifies"
    )


@pytest.mark.parametrize(("rate", "word"), [(0.012, "Hardly any member is found"), (0.2, "Some members are found")])
def test_members_that_are_found(rate, word):
    said = findings.membership_found(of({}, kind="none", loss=rate, lira=rate))
    assert said.startswith(f"**{word}**") and f"{100 * rate:.1f} % of those of *ordinary*" in said


def test_canaries_are_told_of_two_networks():
    row = {"game": "canaries", "attack": "lira", "among": "canaries", "metric": findings.JUDGED_BY, "n": 32}
    games = [
        row | {"arm": arm, "mean": mean, "low": mean - 0.01, "high": mean + 0.01}
        for arm, mean in (("dense-sgd", 0.6), ("suppressed-example", 0.4))
    ]
    report = planted("full")
    said = findings.games_found(with_summary(report, games=games))
    assert said.startswith("**Of the suppressed network fewer canaries are found**: 40 %, and 60 %")
    assert findings.games_found(with_summary(report, games=games[:1])) == ""


def test_a_run_without_the_networks_has_no_finding():
    report = planted("full")
    bare = with_summary(report, arms=report.summary.arms[:1], strongest=[], bounds=[], games=[])
    for found in (findings.attacks_found, findings.tutorial_found, findings.controls_found, findings.private_found):
        assert found(bare) == ""
    assert findings.limits_found(with_summary(report, arms=report.summary.arms[:1])) == ""
    for found in (findings.sweep_found, findings.rank_found, findings.limits_found, findings.mechanism_found):
        assert found(bare) == ""
