"""The published edition beside the one before: verdicts, figures that were set alike, and the strongest attacks."""

from dataclasses import replace

import pytest
from planted import planted
from test_tables import cells

from report import previous, yours
from suppress_study.compare import Answer, Comparison


@pytest.fixture(scope="module")
def report():
    return planted("full")


@pytest.fixture(scope="module")
def found(report):
    """The report beside a quick run, as if that had been published before."""
    made = yours.comparison(report, planted("quick", value=lambda factors, attack, metric, judge: 0.25))
    changed = Answer(
        "refuted", "holds", "+0.1 (+0.0 to +0.2); the opposite", "-0.1 (-0.2 to -0.0)", ["lr 1 instead of 2"]
    )
    claims = {"R1": Answer("holds", "holds", otherwise=["unsaid"]), "H1": changed, "H9": Answer("holds", "")}
    return replace(made, claims=claims)


def test_without_an_edition_before_there_is_no_page(report):
    assert previous.substitutions(None, report) == {}


def test_the_first_sentence_counts_claims_and_figures(report, found):
    said = previous.substitutions(found, report)["before_found"]
    assert said.startswith("**1 of the 2 claims of both editions have the same verdict**; 1 claim is new. 0 of the 0 ")


def test_a_claim_that_came_out_otherwise_is_marked_and_a_new_one_is_not(found):
    assert cells(previous.claims_table(found))[1:] == [
        ["R1", "holds", "holds", ""],
        ["H1", "refuted", "holds", "**other**"],
        ["H9", "holds", "not asked", ""],
    ]


def test_of_a_claim_that_came_out_otherwise_it_is_said_what_decides_it_and_what_was_otherwise(found):
    assert previous.why_list(found) == (
        "- **H1**, now: +0.1 (+0.0 to +0.2); the opposite. Before: -0.1 (-0.2 to -0.0). "
        "Asked or set otherwise: lr 1 instead of 2."
    )
    alike = replace(found, claims={"H1": replace(found.claims["H1"], otherwise=[])})
    assert previous.why_list(alike).endswith("Asked or set otherwise: nothing.")


def test_the_strongest_attack_on_each_network_of_both_has_its_change(report, found):
    rows = {row[0]: row[1:] for row in cells(previous.strongest_table(found, report))[1:]}
    both = {one.model for one in found.figures if one.yours is not None and one.published is not None and one.attack}
    assert rows.keys() == both - {"any"} and rows
    assert all(
        row[0].startswith("0.500 (") and row[1].startswith("0.250 (") and row[2] == "+0.250" for row in rows.values()
    )


def test_attacks_nearer_to_the_image_are_no_strongest_of_a_network(report, found):
    nearer = [
        replace(one, factors={**one.factors, "depth": "conv1"}, yours=0.99)
        for one in found.figures
        if one.name == "skill"
    ]
    both = replace(found, figures=[*found.figures, *nearer])
    assert previous.strongest_table(both, report) == previous.strongest_table(found, report)


def test_figures_that_only_one_edition_has_are_not_compared(report):
    nothing = Comparison("full", "mnist-lenet5", [], {}, [])
    shown = previous.substitutions(nothing, report)
    assert shown["before_strongest"] == "" and shown["before_outside"] == "No figure lies there."
