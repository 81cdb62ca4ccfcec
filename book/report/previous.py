"""The published edition beside the one before it: verdicts, figures, and why they differ."""

from operator import itemgetter
from pathlib import Path

from report import yours
from report.context import Report
from report.tables import table
from suppress_study.compare import Comparison, written
from suppress_study.edition import BEFORE

UNASKED, OTHERWISE = "not asked", "other settings"  # of a claim; how the note begins on a figure that was set so
HEADS = ("network", "attack", "figure", "now", "before", "95 % of single trainings before", "agrees")


def comparison(published: Path) -> Comparison | None:
    """The published edition beside the one before; None for the first.

    Raises:
        ValueError: what is written of it is damaged.
    """
    path = published / BEFORE
    return written(path) if path.is_file() else None


def substitutions(found: Comparison | None, report: Report) -> dict[str, str]:
    """What the page shows, by name; nothing without an edition before.

    Args:
        found: the published edition beside the one before.
        report: of the published edition.
    """
    if found is None:
        return {}
    return {
        "before_found": said(found),
        "before_claims": claims_table(found),
        "before_why": why_list(found),
        "before_first_page": yours.figures_table(yours.of_first_page(found, report), HEADS),
        "before_strongest": strongest_table(found, report),
        "before_settings": "\n".join(f"- {each}" for each in found.settings),
        "before_outside": yours.outside_list(found),
        "before_conditions": yours.conditions_table(found, ("condition", "now", "before")),
    }


def said(found: Comparison) -> str:
    """How far the two agree: of claims, then of figures, in one sentence each."""
    both = [each for each in found.claims.values() if each.yours and each.published]
    same = sum(each.yours == each.published for each in both)
    new = sum(not each.published for each in found.claims.values())
    counts, otherwise = found.counts(), sum(one.note.startswith(OTHERWISE) for one in found.figures)
    fresh = "1 claim is new" if new == 1 else f"{new} claims are new"
    return (
        f"**{same} of the {len(both)} claims of both editions have the same verdict**; {fresh}. "
        f"{counts['inside']} of the {counts['compared']} figures that were set alike lie where the trainings before "
        f"lead one to expect further ones; about {counts['outside_by_chance']:.0f} would lie outside by chance, and "
        f"{counts['differ'] or 'none'} differ beyond chance. {otherwise} figures were set otherwise."
    )


def claims_table(found: Comparison) -> str:
    """A row for each claim: its verdicts now and before."""
    rows = [
        [name, each.yours or UNASKED, each.published or UNASKED, "**other**" if each.differs else ""]
        for name, each in found.claims.items()
    ]
    return table(["claim", "now", "before", ""], rows)


def why_list(found: Comparison) -> str:
    """Of each claim with another verdict what decides it now and before, and what was asked or set otherwise."""
    return "\n".join(
        f"- **{name}**, now: {each.yours_by}. Before: {each.published_by}. Asked or set otherwise: "
        f"{'; '.join(each.otherwise) or 'nothing'}."
        for name, each in found.claims.items()
        if each.differs
    )


def strongest_table(found: Comparison, report: Report) -> str:
    """A row for each network: the skill of the strongest attack on it, now and before, and whether it was set so."""
    names, depth, rows = [each.attack for each in report.learned], report.study.roles.depth, []
    for arm in report.summary.arms:
        told_by = {*arm.factors, "attack", "depth"}
        made = [
            one
            for one in found.figures
            if one.name == "skill" and one.factors.get("attack") in names and one.factors.get("depth", depth) == depth
            if arm.factors.items() <= one.factors.items() and one.factors.keys() <= told_by
        ]
        now = max(((one.yours, one) for one in made if one.yours is not None), key=itemgetter(0), default=None)
        were = ((one.published, one) for one in made if one.published is not None)
        before = max(were, key=itemgetter(0), default=None)
        if now and before:
            cells = [f"{value:.3f} ({one.attack})" for value, one in (now, before)]
            otherwise = "yes" if now[1].note.startswith(OTHERWISE) else "no"
            rows.append([arm.title, *cells, f"{now[0] - before[0]:+.3f}", otherwise])
    return table(["network", "now", "before", "change", "set otherwise"], rows)
