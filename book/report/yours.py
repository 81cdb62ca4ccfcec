"""A run beside the published one, as the pages show it; see `suppress_study.compare`."""

from collections.abc import Sequence
from dataclasses import replace

from report import front
from report.context import Report
from report.language import _, told
from report.tables import table
from suppress_study.compare import CELLS, Compared, Comparison, cells, compare, few
from suppress_study.sides import Side


def comparison(own: Report, published: Report) -> Comparison:
    """Every figure of a run beside the published ones."""
    return compare(*(Side(each.summary, each.study, each.claims, each.results.runs) for each in (own, published)))


def of_first_page(found: Comparison, published: Report) -> list[Compared]:
    """The first page's own figures, as far as a run has them."""
    there = {(str(sorted(one.factors.items())), one.name): one for one in found.figures if one.yours is not None}
    said = [
        (by, there.get((str(sorted({**row.arm, **row.attack.columns()}.items())), metric)))
        for by, row, metric in front.figures_said(published)
    ]
    return [replace(one, attack=f"{' '.join(by.split())}: {one.attack}") for by, one in said if one]


def your_run(own: Report | None, published: Report) -> str:
    """A line for the first page; nothing without a run beside the published one."""
    if own is None:
        return ""
    return _(
        "**Your run** (profile {profile}): {said} {{doc}}`Figure by figure <your_run>`.",
        profile=own.profile,
        said=told(comparison(own, published).said()),
    )


def conditions_table(found: Comparison, heads: Sequence[str] = ("condition", "yours", "published")) -> str:
    """Of both runs: profile, seeds, data, when, how long, where and from what code; and what was set otherwise."""
    rows = [[name, *map(few, both)] for name, both in found.conditions.items()]
    return table(heads, rows + [["set otherwise", each, ""] for each in found.settings])


def outside_list(found: Comparison) -> str:
    """The figures that lie outside, the most extreme first."""
    said = [f"- {one}" + (": **differs**" if one.differs else "") for one in found.outside]
    return "\n".join(said) or "No figure lies there."


def figures_table(found: Sequence[Compared], heads: Sequence[str] = CELLS) -> str:
    """A row for each figure that was made: yours, what the published run leads one to expect, whether it lies there."""
    rows = [cells(one) for one in found if one.yours is not None]
    return table(heads, [[*row[:-1], "**no**" if row[-1] == "no" else row[-1]] for row in rows])
