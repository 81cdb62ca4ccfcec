"""The page of all figures: every estimate of the summary, and every table whole."""

from collections.abc import Mapping
from html import escape

import pandas as pd

from report.context import Report
from report.provenance import Source, line
from suppress_privacy.evaluation.metrics import METRICS
from suppress_study.jobs import NONE
from suppress_study.results import key

FIGURES_OF = ("metric", "evaluator", "mean", "low", "high", "n", "seeds", "by_seed")  # all else is a factor


def estimates(report: Report) -> Source:
    """Every estimate: what each attack gets from each network, with its 95 % interval over images and trainings."""
    rows, named = [], dict[frozenset, tuple[str, str]]()
    for row in report.summary.estimates:
        cell = key({name: value for name, value in row.items() if name not in FIGURES_OF})
        attack, network = named.get(cell) or named.setdefault(cell, _titles(report, cell))
        rows.append(
            {
                "attack": attack,
                "network": network,
                "metric": METRICS[row["metric"]].label,
                "judge": row.get("evaluator", ""),
                "mean": row["mean"],
                "low": row["low"],
                "high": row["high"],
                "values": row["n"] // len(row["seeds"]),
                "seeds": len(row["seeds"]),
            }
        )
    return Source("Every estimate of every attack", pd.DataFrame(rows), [])


def _titles(report: Report, cell: frozenset) -> tuple[str, str]:
    """What an attack and a network are called; by their factors, where the plan has no such any more."""
    fitting = [each for each in report.attacks if key(each.columns()) <= cell]
    attack = max(fitting, key=lambda each: len(each.columns()), default=None)  # with all that sets it apart
    arm = next((each for each in report.summary.arms if key(each.factors) <= cell), None)
    left = {name: str(value) for name, value in sorted(cell)}
    if arm is None:
        network = "any" if left["arm"] == NONE else left["arm"]
    return attack.title if attack else left["attack"], arm.title if arm else network


def page(behind: Mapping[str, Source], report: Report) -> str:
    """All that is a table, as HTML, each under its title and with a line on where it comes from."""
    tables = {name: source for name, source in behind.items() if source.title}
    listed = "".join(f'<li><a href="#{name}">{escape(source.title)}</a></li>' for name, source in tables.items())
    return f"<ul>{listed}</ul>\n" + "\n".join(_section(name, source, report) for name, source in tables.items())


def _section(name: str, source: Source, report: Report) -> str:
    with pd.option_context("display.max_colwidth", None):
        table = source.shows.to_html(
            index=False, classes="sortable", border=0, na_rep="", float_format="{:.4f}".format, justify="unset"
        )
    title = escape(source.title)
    shown = f'<div class="wide" role="region" aria-label="{title}" tabindex="0">{table}</div>'
    return f'<section id="{name}"><h2>{title}</h2>\n{shown}\n{line(name, source, report)}</section>'
