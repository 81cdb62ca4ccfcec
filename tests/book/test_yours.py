"""A run beside the published one: inside what its trainings lead one to expect, outside, or not comparable."""

from dataclasses import replace

import numpy as np
import pytest
from planted import planted, with_summary

from report import yours
from suppress_study.compare import AGREES, NOT_COMPARABLE, NOT_MADE


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


def test_a_run_like_the_published_one_agrees(published):
    found = yours.comparison(own(), published)
    assert {one.agrees for one in found.figures if one.low is not None and not one.note} == {True}
    made = [one for one in found.figures if one.yours is not None]
    assert {one.model for one in made} == {"any", *(arm.title for arm in own().summary.arms)}
    decided = sum(one.agrees is not None for one in made)
    assert found.said().startswith(f"{decided} of {decided} figures agree with the published run; about ")
    assert found.verdict == AGREES and yours.outside_list(found) == "No figure lies there."


def test_what_lies_outside_is_named(published):
    found = yours.comparison(own(0.9), published)
    assert found.outside and {one.attack for one in found.outside} == {"decoder network"}
    table = yours.figures_table(found.figures)
    assert table.count("**no**") == len(found.outside) and "0.900" in table
    assert f"{found.counts()['inside']} of {found.counts()['compared']} figures" in found.said()
    listed = yours.outside_list(found).splitlines()
    assert len(listed) == len(found.outside) and all("decoder network of" in line for line in listed)
    assert sum(line.endswith("**differs**") for line in listed) == found.counts()["differ"] > 0


def test_another_setting_is_said_and_not_counted(published):
    report = own(0.9)
    runs = {
        name: replace(run, settings=run.settings | {"epochs": 7}) if run.name == "train-baseline-seed0" else run
        for name, run in report.results.runs.items()
    }
    found = yours.comparison(replace(report, results=replace(report.results, runs=runs)), published)
    assert found.settings == ["epochs 7 instead of 10 (ordinary)"]
    assert found.settings[0] in yours.conditions_table(found)
    changed = [one for one in found.figures if "epochs 7 instead of 10" in one.note]
    assert {one.agrees for one in changed} == {None}
    ordinary = [one for one in found.figures if one.model == "ordinary" and one.note != NOT_MADE]
    others = {"not comparable: too few published trainings", "not part of the published run"}
    assert {one.note for one in ordinary} - others == {"other settings: epochs 7 instead of 10"}


def test_other_data_are_not_held_beside_it(published):
    report = own()
    other = with_summary(report, data=report.summary.data.model_copy(update={"name": "digits", "train": 4000}))
    found = yours.comparison(other, published)
    assert found.verdict == NOT_COMPARABLE and found.said() == (
        "No figure of it can be held beside the published run (not comparable: digits with 4,000 training images)."
    )


def test_the_first_pages_figures_are_among_those_of_a_quick_run(published):
    found = yours.of_first_page(yours.comparison(own(), published), published)
    assert {one.attack for one in found} == {
        *("no attack: class mean", "the tutorial's attack: reference attack (cpu)"),
        "the strongest attack: decoder network",
    }
    assert {one.model for one in found} >= {"suppressed (example)", "noise on the features"}


def test_both_runs_say_where_and_when_they_were_made(published):
    table = yours.conditions_table(yours.comparison(own(), published))
    for part in ("quick", "full", "a processor", "one", "MNIST, 60,000 training images"):
        assert part in table
    many = with_summary(published, commits=["a", "b", "c", "d", "e"], uncommitted=2)
    table = yours.conditions_table(yours.comparison(own(), many))
    assert "2 runs from changes that were not committed, a, b and 3 more" in table


def test_the_first_page_has_a_line_only_where_there_is_a_run(published):
    assert yours.your_run(None, published) == ""
    assert yours.your_run(own(), published).startswith("**Your run** (profile quick): ")
