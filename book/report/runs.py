"""The table of all runs, as HTML with an anchor each: what a page that cites a run links to."""

import re
from collections.abc import Mapping, Sequence
from html import escape

from suppress_study.results import Results, Run

SHOWN = 12  # first digits of a hash; runs.jsonl has them all
HEADS = ("run", "commit", "processor", "seconds", "SHA-256 of networks", "note")


def anchor(run: str) -> str:
    """A run's name as scripts in a page can look for it: without points and at signs."""
    return re.sub(r"[^\w-]", "_", run)


def link(run: str, text: str) -> str:
    """A link to a run from a page beside `runs`."""
    return f'<a href="runs.html#{anchor(run)}">{text}</a>'


def runs_table(results: Results, used_in: Mapping[str, Sequence[str]]) -> str:
    """One row a run; without an empty line, at which Markdown would end it.

    Args:
        results: with the runs.
        used_in: names of the figures and tables that a run is behind, which say which rows a page asks for.
    """
    head = "".join(f"<th>{name}</th>" for name in HEADS)
    rows = "\n".join(_row(run, used_in.get(run.name, ())) for run in results.runs.values())
    table = f'<table class="sortable">\n<thead><tr>{head}</tr></thead>\n<tbody>{rows}</tbody>\n</table>'
    return f'<div class="wide" role="region" aria-label="Every run" tabindex="0">{table}</div>'


def _row(run: Run, used: Sequence[str]) -> str:
    networks = run.networks | ({"trained": run.checkpoint["sha256"]} if run.checkpoint else {})
    cells = (
        run.name,
        run.commit,
        run.environment["machine"]["processor"],
        f"{sum(run.times['seconds'].values()):.0f}",
        ", ".join(f"{role} {sha256[:SHOWN]}" for role, sha256 in networks.items()),
        f"superseded by {run.superseded}" if run.superseded else "",
    )
    said = "".join(f"<td>{escape(cell)}</td>" for cell in cells)
    return f'<tr id="{anchor(run.name)}" data-for="{" ".join(used)}">{said}</tr>'
