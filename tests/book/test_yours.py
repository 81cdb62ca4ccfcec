"""A run beside the published one: inside what its trainings lead one to expect, outside, or not comparable."""

from dataclasses import replace

import numpy as np
import pytest
from planted import planted, with_summary
from scipy import stats

from report import yours
from suppress_privacy.evaluation.intervals import prediction


def spread(published, width=0.01):
    """The report, its seeds apart by so much in every figure."""
    rows = [
        row | {"by_seed": (row["mean"] + width * (np.arange(len(row["seeds"])) - (len(row["seeds"]) - 1) / 2)).tolist()}
        for row in published.summary.estimates
    ]
    return with_summary(published, estimates=rows)


@pytest.fixture(scope="module")
def published():
    return spread(planted("full"))


def own(value=0.5, **changes):
    """A quick run in which the decoder gets so much; all else is as published."""
    report = planted("quick", value=lambda factors, attack, metric, judge: value if attack == "decoder" else 0.5)
    arms = {arm.title: arm for arm in planted("full").summary.arms}
    same = [
        each.model_copy(update={"test_accuracy": arms[each.title].test_accuracy[:1]}) for each in report.summary.arms
    ]
    return with_summary(report, arms=same, **changes)


def test_the_interval_is_students_for_one_more_seed():
    known = np.array([0.2, 0.25, 0.31, 0.27])
    low, high = prediction(known)
    reach = stats.t.ppf(0.975, 3) * known.std(ddof=1) * np.sqrt(1 + 1 / 4)
    assert (low, high) == pytest.approx((known.mean() - reach, known.mean() + reach))
    assert np.ptp(prediction(known, further=4)) < np.ptp(prediction(known))


def test_one_in_twenty_lies_outside():
    """Drawn by hand: five trainings, and a sixth."""
    rng = np.random.default_rng(0)
    draws = rng.normal(size=(4000, 6))
    outside = [not low <= sixth <= high for *five, sixth in draws for low, high in [prediction(five)]]
    assert np.mean(outside) == pytest.approx(0.05, abs=0.01)


def test_a_run_like_the_published_one_agrees(published):
    found = yours.compared(own(), published)
    assert {one.agrees for one in found if one.expected and not one.note} == {True}
    assert {one.model for one in found} == {arm.title for arm in own().summary.arms}
    said = yours.agreement(own(), published)
    decided = sum(one.agrees is not None for one in found)
    assert said.startswith(f"{decided} of {decided} figures agree with the published run; about {decided / 20:.0f}")


def test_a_share_may_lie_one_image_farther_and_no_more(published):
    """Trainings that all identify the same number of images say nothing of one more."""
    still = spread(published, width=0.0)
    for images, agrees in ((0, True), (1, True), (2, False)):  # of ten
        found = yours.compared(own(0.5 + images / 10), still)
        (one,) = [each for each in found if each.attack == "decoder network" and "identified" in each.metric][:1]
        assert one.agrees is agrees
    (skill,) = [
        each for each in yours.compared(own(0.51), still) if each.attack == "decoder network" and "skill" in each.metric
    ][:1]
    assert skill.agrees is False


def test_what_lies_outside_is_named(published):
    found = yours.compared(own(0.9), published)
    outside = [one for one in found if one.agrees is False]
    assert {one.attack for one in outside} == {"decoder network"}
    table = yours.figures_table(found)
    assert table.count("**no**") == len(outside) and "0.900" in table
    assert f"{len([one for one in found if one.agrees])} of " in yours.agreement(own(0.9), published)


def test_a_figure_of_fewer_than_three_trainings_is_not_comparable(published):
    rows = [row | {"by_seed": row["by_seed"][:2], "seeds": row["seeds"][:2]} for row in published.summary.estimates]
    found = yours.compared(own(), with_summary(published, estimates=rows))
    attacked = [one for one in found if one.attack]
    assert {one.agrees for one in attacked} == {None}
    assert {one.note for one in attacked} <= {
        *("not comparable: too few published trainings", "not part of the published run"),
    }


def test_another_setting_is_said_and_not_counted(published):
    report = own(0.9)
    runs = {
        name: replace(run, settings=run.settings | {"epochs": 7}) if run.name == "train-baseline-seed0" else run
        for name, run in report.results.runs.items()
    }
    found = yours.compared(replace(report, results=replace(report.results, runs=runs)), published)
    changed = [one for one in found if "epochs 7 instead of 10" in one.note]
    assert {one.model for one in changed} == {"ordinary"} and {one.agrees for one in changed} == {None}
    assert len(changed) == sum(one.model == "ordinary" for one in found)


def test_other_data_are_not_held_beside_it(published):
    report = own()
    other = with_summary(report, data=report.summary.data.model_copy(update={"name": "digits", "train": 4000}))
    assert yours.agreement(other, published) == (
        "No figure of it can be held beside the published run (not comparable: digits with 4,000 training images)."
    )


def test_the_first_pages_figures_are_among_those_of_a_quick_run(published):
    found = yours.of_first_page(own(), published)
    assert {one.attack for one in found} == {
        *("no attack: class mean", "the tutorial's attack: reference attack (cpu)"),
        "the strongest attack: decoder network",
    }
    assert {one.model for one in found} >= {"suppressed (example)", "noise on the features"}


def test_both_runs_say_where_and_when_they_were_made(published):
    table = yours.conditions_table(own(), published)
    for part in ("quick", "full", "a processor", "`one`", "MNIST, 60,000 training images"):
        assert part in table
    many = with_summary(published, commits=["a", "b", "c", "d", "e"], uncommitted=2)
    assert "`a`, `b`, `c` and 2 more; 2 runs from changes" in yours.conditions_table(own(), many)


def test_the_first_page_has_a_line_only_where_there_is_a_run(published):
    assert yours.your_run(None, published) == ""
    assert yours.your_run(own(), published).startswith("**Your run** (profile quick): ")
