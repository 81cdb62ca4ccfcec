"""As a Sphinx extension, what hands pages the numbers that build.py has written down for them.

An unknown name warns, and warnings fail the build. Apart from what makes the numbers, which takes seconds to load.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx_thebe import init_thebe_core

from report.language import CHINESE, COMMENT, catalogue

NUMBERS = Path("generated") / "numbers.json"  # what `fill` reads, written before the build


def without_empty_sections(page: str, names: Mapping[str, Any]) -> str:
    """A page without the sections that show something and of that nothing is there.

    Args:
        page: in Markdown, its title in the first line, which stays.
        names: what it may write between double braces.
    """
    title, newline, rest = page.partition("\n")
    sections = re.split(r"^(?=##+ )", rest, flags=re.M)
    shown = [re.findall(r"^\{\{ (\w+) \}\}$", section, flags=re.M) for section in sections]
    left = "".join(
        section
        for section, parts in zip(sections, shown, strict=True)
        if not parts or any(names.get(part, True) for part in parts)
    )
    if left != rest and not left.strip():
        left = "\nNothing of this has been run.\n"  # pages that there are in Chinese have words besides
    return title + newline + left


def leave_out(app: Sphinx, page: str, source: list[str]) -> None:
    """Hand Sphinx a page without its empty sections; a Chinese one with comments in Chinese, which it passes over."""
    source[0] = without_empty_sections(source[0], app.config.myst_substitutions)
    if app.config.language == CHINESE:
        source[0] = with_comments(source[0], catalogue(page))


def with_comments(page: str, known: Mapping[str, str]) -> str:
    """A page with the comments in its code translated."""

    def translated(block: re.Match[str]) -> str:
        return COMMENT.sub(lambda comment: f"# {known[comment[1]]}", block[0])

    return re.sub(r"^```\w+$.*?^```$", translated, page, flags=re.M | re.S)


def fill(app: Sphinx, config: Config) -> None:
    """Give the pages what was written down for them."""
    written = json.loads((Path(app.srcdir) / NUMBERS).read_text("utf-8"))[config.language]
    config.myst_substitutions = written["substitutions"]
    config.html_theme_options["announcement"] = written["banner"]
    config.mathjax_path = "mathjax/tex-chtml-full.js"


def without_thebe(app: Sphinx, config: Config) -> None:
    """Keep sphinx-thebe from declaring its script (a CDN's) twice on each page: none has live cells."""
    for listeners in app.events.listeners.values():
        listeners[:] = [entry for entry in listeners if entry.handler is not init_thebe_core]


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("config-inited", fill)
    app.connect("source-read", leave_out)
    app.connect("config-inited", without_thebe)
    return {"parallel_read_safe": True}
