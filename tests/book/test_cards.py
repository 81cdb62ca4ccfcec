"""A card says what the verdict says, and draws the interval where it lies."""

import re
from dataclasses import replace

import pytest
from bs4 import BeautifulSoup
from planted import planted, with_summary

from conftest import ROOT
from report import cards
from suppress_privacy.evaluation.verdict import Comparison, Verdict
from suppress_study.claims import Lower, Reproduces

MORE = Comparison("a: skill", 0.2, 0.1, 0.3, 0.9, False, "b (5 seeds)", metric="skill", runs=("one", "two"))
LESS = replace(MORE, effect=-0.2, low=-0.3, high=-0.1, p=0.01, supports=True)
NEITHER = replace(MORE, effect=0.0, low=-0.1, high=0.1, p=0.5)


def decided(word, *comparisons, claim="H3", reason="", p=0.04):
    """A report in which a claim has that verdict, by the first of the comparisons."""
    report = planted("full")
    first = comparisons[0] if comparisons else None
    figures = (first.effect, first.low, first.high, p) if first else (None,) * 4
    found = Verdict(word, *figures, reason, [*comparisons])
    return with_summary(report, verdicts=report.summary.verdicts | {claim: found}), report.claims.claims[claim], found


@pytest.mark.parametrize(
    ("word", "comparisons", "said"),
    [
        ("holds", [LESS], "The comparison shows it."),
        ("holds", [LESS, LESS], "Both comparisons show it."),
        ("refuted", [MORE] * 4, "All 4 comparisons show the opposite."),
        ("not shown", [NEITHER], "The comparison shows no difference."),
        ("not shown", [MORE, MORE, NEITHER], "Of 3 comparisons, 2 show the opposite and 1 shows no difference."),
        ("not shown", [LESS, MORE], "Of 2 comparisons, 1 shows the opposite and 1 shows it."),
        ("not shown", [LESS, LESS], "Each interval by itself shows it, but not clearly enough"),
        ("not shown", [MORE], "Each interval by itself shows the opposite, but not clearly enough"),
    ],
)
def test_the_sentence_follows_from_the_comparisons(word, comparisons, said):
    _, claim, found = decided(word, *comparisons)
    assert cards.sentence(claim, found).startswith(said)


def test_what_was_not_tested_says_why():
    _, claim, found = decided("not tested", reason="nothing to lower")
    assert cards.sentence(claim, found) == "Not tested: nothing to lower."


def test_what_a_network_left_untested_is_told_beside_what_was_measured():
    _, claim, found = decided("not tested", MORE, MORE, NEITHER, reason="a model is not what it should be: a of b")
    untold = replace(found, effect=None)  # for the network; of attacks that are too weak the effect is known
    said = "Not tested: a model is not what it should be: a of b."
    assert cards.sentence(claim, found) == said
    counted = "Of 3 comparisons, 2 show the opposite and 1 shows no difference."
    assert cards.sentence(claim, untold) == f"{said} Measured nonetheless: {counted}"
    assert not cards.measured_nonetheless(replace(untold, comparisons=[]))


def test_networks_that_are_to_be_equal_are_counted_by_their_margins():
    within = replace(MORE, band=0.5, supports=True, than="", what="a: skill, less that of b")
    report, claim, found = decided("holds", within, replace(within, low=-0.6), claim="E1", p=None)
    assert cards.sentence(claim, found) == "2 of 2 differences lie within their margins."
    lines = BeautifulSoup(cards.verdict_cards(report), "html.parser").select("#E1 ul.forest li")
    assert len(lines) == 2 and all(line.select_one("rect") for line in lines)
    assert lines[0].select_one(".what").text == "A: skill, less that of b (decides)"


def test_of_documented_figures_those_of_the_alternative_that_decides_are_counted(published):
    claims, verdicts = published.claims.claims, published.summary.verdicts
    for name, claim in claims.items():
        if isinstance(claim, Reproduces):
            judged, found = cards.judged(claim, verdicts[name]), verdicts[name]
            assert len(judged) in {sum(len(part.bands) for part in parts) for parts in claim.alternatives}
            said = re.match(r"(\d+) of (\d+) figures", cards.sentence(claim, found))
            assert (int(said[1]), int(said[2])) == (sum(one.supports for one in judged), len(judged))
            in_reason = re.search(r"(\d+) of (\d+) figures reproduced", found.reason)
            assert in_reason is None or in_reason.groups() == said.groups()


def test_a_line_is_drawn_where_the_interval_lies():
    report, _, _ = decided("refuted", MORE, LESS)
    drawn = BeautifulSoup(cards.verdict_cards(report), "html.parser").select_one("#H3 ul.forest")
    more, less = ([path["d"] for path in line.select("path")] for line in drawn.select("li"))
    at = [[float(each) for each in re.findall(r"M?([\d.]+) (?:8H([\d.]+))?", reach)[0]] for reach in (more[1], less[1])]
    zero = float(re.match(r"M([\d.]+)", more[0])[1])
    assert at[1][0] < at[1][1] < zero < at[0][0] < at[0][1]
    assert zero - at[1][0] == pytest.approx(at[0][1] - zero)  # as far on either side
    labels = [svg["aria-label"] for svg in drawn.select("svg")]
    assert labels == ["+0.200 skill [+0.100 to +0.300], zero marked", "-0.200 skill [-0.300 to -0.100], zero marked"]
    assert "(decides)" in drawn.select("li")[0].text and "(decides)" not in drawn.select("li")[1].text


def test_shares_are_in_points_and_other_metrics_are_not():
    assert cards.effect(replace(MORE, metric="rank1")) == "+20.0 points [+10.0 to +30.0]"
    small = replace(MORE, metric="rank1", effect=-0.0003, low=-0.0008, high=0.0002)
    assert cards.effect(small) == "-0.03 points [-0.08 to +0.02]"
    assert cards.effect(replace(MORE, metric="psnr")) == "+0.200 [+0.100 to +0.300]"
    documented = replace(MORE, metric="", what="ordinary: test accuracy", than="")
    assert cards.effect(documented).endswith("points [+10.0 to +30.0]")
    assert cards.what(documented) == "Ordinary: test accuracy, less what is documented"


def test_the_question_comes_first_and_what_repeats_the_tutorial_last(published):
    order = cards.ordered(published)
    assert order[0] == published.claims.question and sorted(order) == sorted(published.claims.claims)
    kinds = [isinstance(published.claims.claims[name], Lower) for name in order]
    assert order[-3:] == ["R1", "R2", "R3"] and kinds[0]


def test_each_card_has_word_symbol_runs_and_a_page(published):
    soup = BeautifulSoup(cards.verdict_cards(published), "html.parser")
    pages = {page.stem for page in (ROOT / "book").glob("*.md")} | {"runs"}
    for name, found in published.summary.verdicts.items():
        card = soup.select_one(f"section#{name}")
        outcome = card.select_one(".outcome").text
        assert outcome == f"{cards.SYMBOLS[found.verdict]} {found.verdict}"
        assert found.verdict.replace(" ", "-") in card["class"]
        assert {link["href"].partition(".html")[0] for link in card.select("a")} <= pages
        assert len(card.select("details a")) >= (3 if found.comparisons else 0)
    assert "\n\n" not in cards.verdict_cards(published)  # where Markdown would end the block


def test_the_first_page_counts_all_claims(published):
    soup = BeautifulSoup(cards.verdict_short(published), "html.parser")
    for line in soup.select("li"):
        assert f" {len(line.select('a'))}: " in line.text
    assert sorted(link.text for link in soup.select("a")) == sorted(published.claims.claims)
    assert all(link["href"] == f"verdict.html#{link.text}" for link in soup.select("a"))
