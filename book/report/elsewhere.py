"""The same question on other data and another network: what each campaign answers, side by side."""

from collections.abc import Mapping

from report import front
from report.context import Report
from report.tables import SYMBOLS, table
from suppress_privacy.evaluation.verdict import HOLDS, NOT_SHOWN, NOT_TESTED, REFUTED, Verdict, same
from suppress_study.claims import Across

ANSWERS = {
    HOLDS: "The answer is the same elsewhere",
    REFUTED: "Elsewhere the answer is another",
    NOT_SHOWN: "Whether the answer is the same elsewhere is not clear",
    NOT_TESTED: "Whether the answer is the same elsewhere is not known yet",
}
NONE = "Of no other campaign are results published: `make study CAMPAIGN=...` runs one."


def elsewhere(published: Report, others: Mapping[str, Report], across: Mapping[str, Across]) -> dict[str, str]:
    """What the page on campaigns shows, by name.

    Args:
        published: of the study's own campaign.
        others: of the campaigns that have results, by name.
        across: the claims that are asked of all of them.
    """
    reports = {published.summary.campaign: published, **others}
    return {
        "campaigns_found": _found(reports, across),
        "campaigns_answer": _answer(reports, across),
        "campaigns_said": "\n".join(f"- `{name}`: {front.answer(report)}" for name, report in reports.items()),
        "campaigns_table": _campaigns(reports),
    }


def _found(reports: Mapping[str, Report], across: Mapping[str, Across]) -> str:
    """In one sentence each, whether a claim has the same answer everywhere."""
    said = []
    for asked in across.values():
        there = sum(each in reports for each in asked.campaigns)
        answer = ANSWERS[_same(reports, asked).verdict]
        said.append(f"**{answer}**: {there} of {len(asked.campaigns)} campaigns are published.")
    return " ".join(said)


def _same(reports: Mapping[str, Report], asked: Across) -> Verdict:
    return same({each: _verdicts(reports, each).get(asked.claim) for each in asked.campaigns})


def _answer(reports: Mapping[str, Report], across: Mapping[str, Across]) -> str:
    """Each claim across campaigns, with its verdict."""
    rows = []
    for name, asked in across.items():
        found = _same(reports, asked)
        said = f"{SYMBOLS[found.verdict]} **{found.verdict}**"
        rows.append([name, said, asked.text, f"{asked.claim} {found.reason}"])
    return table(["claim", "verdict", "what is claimed", "why"], rows)


def _verdicts(reports: Mapping[str, Report], campaign: str) -> dict:
    return reports[campaign].summary.verdicts if campaign in reports else {}


def _campaigns(reports: Mapping[str, Report]) -> str:
    """Campaigns as rows, claims as columns: a cell is empty where a campaign cannot answer."""
    if len(reports) < 2:
        return NONE
    asked = {name for report in [*reports.values()][1:] for name in report.summary.verdicts}
    claims = [*dict.fromkeys(name for report in reports.values() for name in report.claims.claims if name in asked)]
    rows = []
    for name, report in reports.items():
        found, seeds = report.summary.verdicts, max(len(arm.seeds) for arm in report.summary.arms)
        cells = [SYMBOLS[found[claim].verdict] if claim in found else "" for claim in claims]
        rows.append([f"`{name}`", report.summary.data.name, f"{seeds}", *cells])
    legend = ", ".join(f"{symbol} {verdict}" for verdict, symbol in SYMBOLS.items())
    return table(["campaign", "data", "seeds", *claims], rows) + f"\n\n{legend}; empty: not asked there.\n"
