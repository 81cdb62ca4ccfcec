"""Campaigns side by side: each one's answers by its own summary, and whether they are the same."""

from planted import planted, with_summary

from report.elsewhere import NONE, elsewhere
from suppress_privacy.evaluation.verdict import HOLDS, NOT_SHOWN, NOT_TESTED, REFUTED, Verdict
from suppress_study.claims import Claims

ACROSS = Claims.load().across
CAMPAIGNS = ACROSS["H9"].campaigns


def reports(outcomes, claim="H3"):
    """The published report and others, in which a claim has these outcomes."""
    found = {}
    for campaign, outcome in zip(CAMPAIGNS, outcomes, strict=True):
        verdicts = {claim: Verdict(outcome, None, None, None, None, "")}
        found[campaign] = with_summary(planted(), campaign=campaign, verdicts=verdicts)
    return found.pop(CAMPAIGNS[0]), found


def test_each_campaign_is_a_row_with_its_own_answers():
    published, others = reports([REFUTED, HOLDS, NOT_SHOWN])
    shown = elsewhere(published, others, ACROSS)
    rows = [line for line in shown["campaigns_table"].splitlines() if line.startswith("| `")]
    assert [row.split("`")[1] for row in rows] == CAMPAIGNS
    assert ["✘" in rows[0], "✔" in rows[1], "○" in rows[2]] == [True] * 3
    said = dict(zip(CAMPAIGNS, shown["campaigns_said"].splitlines(), strict=True))
    assert all(line.startswith(f"- `{name}`: **") for name, line in said.items())
    assert ["**No: more is exposed" in line for line in said.values()] == [True, False, False]
    assert "**refuted**" in shown["campaigns_answer"] and "holds: fashion-lenet5" in shown["campaigns_answer"]


def test_a_campaign_without_results_leaves_the_claim_untested():
    published, others = reports([REFUTED, REFUTED, REFUTED])
    assert "**holds**" in elsewhere(published, others, ACROSS)["campaigns_answer"]
    others.pop(CAMPAIGNS[2])
    shown = elsewhere(published, others, ACROSS)["campaigns_answer"]
    assert f"**{NOT_TESTED}**" in shown and f"{NOT_TESTED}: {CAMPAIGNS[2]}" in shown
    assert elsewhere(published, {}, ACROSS)["campaigns_table"] == NONE
