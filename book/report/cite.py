"""How to cite the study, by CITATION.cff, and which editions it has had, by CHANGELOG.md."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

import yaml

from report.context import Report
from report.language import _
from suppress_study.results import Run
from suppress_study.settings import ROOT

CITATION = ROOT / "CITATION.cff"


def substitutions(report: Report) -> dict[str, str]:
    """What pages show, by name."""
    entry = bibtex(yaml.safe_load(CITATION.read_text("utf-8")), dated(report.results.runs.values())[1][:4])
    links = (("citation.bib", "BibTeX"), ("CITATION.cff", "CFF"))
    taken = ", ".join(f'<a href="_static/{file}" download>{name}</a>' for file, name in links)
    return {
        "cite": f"```bibtex\n{entry}```\n\n{_('As a file: {links}.', links=taken)}",
        "editions": editions((ROOT / "CHANGELOG.md").read_text("utf-8")),
    }


def dated(runs: Iterable[Run]) -> tuple[str, str]:
    """The days on which the first and the last of some runs were started."""
    days = sorted(run.times.get("started", "")[:10] for run in runs)
    return days[0], days[-1]


def bibtex(citation: Mapping[str, Any], year: str) -> str:
    """An entry for BibTeX.

    Args:
        citation: content of CITATION.cff.
        year: of the published run, where the file has no date of its own.
    """
    people = [
        f"{author['family-names']}, {author.get('given-names', '')}"
        if "family-names" in author
        else f"{{{author['name']}}}"
        for author in citation["authors"]
    ]
    parts = {
        "author": " and ".join(people),
        "title": f"{{{citation['title']}}}",
        "version": citation["version"],
        "year": str(citation.get("date-released", year))[:4],
        "doi": citation.get("doi"),
        "url": citation.get("repository-code") or citation.get("url"),
        "note": f"Licence: {citation['license']}",
    }
    lines = "".join(f'  {name} = "{value}",\n' for name, value in parts.items() if value)
    return f"@software{{suppress_privacy_study,\n{lines}}}\n"


def editions(changelog: str) -> str:
    """The parts of the changelog that an edition heads, as a page of the book shows them."""
    parts = re.split(r"^## ", changelog, flags=re.M)[1:]
    of_editions = [part for part in parts if "edition" in part.splitlines()[0]]
    text = "\n".join(f"### {part}" for part in of_editions)
    return re.sub(r"^####? (.*)$", r"**\1**", text.replace("\n### ", "\n#### "), flags=re.M).replace("](book/", "](")
