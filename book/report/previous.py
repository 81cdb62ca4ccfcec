"""The published edition beside the one before it: verdicts, figures, and why they differ."""

from report import yours
from report.context import Report
from report.tables import table
from suppress_study.compare import Comparison

UNASKED = "not asked"
MOST = "skill"  # of the strongest attack


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
        "before_first_page": yours.figures_table(yours.of_first_page(found, report), HEADS),
        "before_strongest": strongest_table(found, report),
        "before_settings": "\n".join(f"- {each}" for each in found.settings),
        "before_outside": yours.outside_list(found),
        "before_conditions": yours.conditions_table(found, ("condition", "now", "before")),
    }


HEADS = ("network", "attack", "figure", "now", "before", "95 % of single trainings before", "agrees")


def said(found: Comparison) -> str:
    """How far the two agree: of claims, then of figures, in one sentence each."""
    both = [each for each in found.claims.values() if all(each)]
    same = sum(now == before for now, before in both)
    new = sum(not before for _, before in found.claims.values())
    counts, otherwise = found.counts(), sum(one.note.startswith("other settings") for one in found.figures)
    return (
        f"**{same} of the {len(both)} claims of both editions have the same verdict**; {new} claims are new. "
        f"{counts['inside']} of the {counts['compared']} figures that were set alike lie where the trainings before "
        f"lead one to expect further ones; about {counts['outside_by_chance']:.0f} would lie outside by chance, and "
        f"{counts['differ'] or 'none'} differ beyond chance. {otherwise} figures were set otherwise."
    )


def claims_table(found: Comparison) -> str:
    """A row for each claim: its verdicts now and before."""
    rows = [
        [name, *(each or UNASKED for each in both), "" if len({*both, ""}) < 3 else "**other**"]
        for name, both in found.claims.items()
    ]
    return table(["claim", "now", "before", ""], rows)


def strongest_table(found: Comparison, report: Report) -> str:
    """A row for each network: the skill of the strongest attack on it, now and before, and why these may differ."""
    names, rows = [each.attack for each in report.learned], []
    for arm in report.summary.arms:
        made = [
            one
            for one in found.figures
            if one.name == MOST and one.factors.get("attack") in names and arm.factors.items() <= one.factors.items()
        ]
        made = [one for one in made if {*one.factors} - {*arm.factors} <= {"attack", "depth"}]
        now = max((one for one in made if one.yours is not None), key=lambda one: one.yours or 0, default=None)
        before = max(
            (one for one in made if one.published is not None), key=lambda one: one.published or 0, default=None
        )
        if now and before:
            cells = f"{now.yours:.3f} ({now.attack})", f"{before.published:.3f} ({before.attack})"
            rows.append([arm.title, *cells, f"{(now.yours or 0) - (before.published or 0):+.3f}", now.note])
    return table(["network", "now", "before", "change", "set otherwise"], rows)
