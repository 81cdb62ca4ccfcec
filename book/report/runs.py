"""The table of all runs, as HTML with an anchor each: what a page that cites a run links to."""

import re
from html import escape

from suppress_study.results import Results, Run

SHOWN = 12  # first digits of a hash; runs.jsonl has them all
HEADS = ("run", "commit", "processor", "seconds", "SHA-256 of networks", "")


def anchor(run: str) -> str:
    """A run's name as scripts in a page can look for it: without points and at signs."""
    return re.sub(r"[^\w-]", "_", run)


def link(run: str, text: str) -> str:
    """A link to a run from a page beside `runs`."""
    return f'<a href="runs.html#{anchor(run)}">{text}</a>'


def runs_table(results: Results) -> str:
    """One row a run; without an empty line, at which Markdown would end it."""
    head = "".join(f"<th>{name}</th>" for name in HEADS)
    rows = "\n".join(_row(run) for run in results.runs.values())
    style = "font-size: 0.75em; white-space: nowrap; border-collapse: separate; border-spacing: 1em 0"
    return f'<div style="overflow-x: auto"><table style="{style}">\n<tr>{head}</tr>\n{rows}\n</table></div>'


def _row(run: Run) -> str:
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
    return f'<tr id="{anchor(run.name)}">{said}</tr>'
