"""The register of figures. Each enters itself: its docstring is its caption, then its alternative text."""

import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from IPython.display import HTML
from matplotlib.figure import Figure

from report.context import Report
from report.language import told
from report.looks import NARROW, WIDE, styled
from report.svg import inline
from suppress_privacy.files import atomically

VARIANTS = {"wide": WIDE, "narrow": NARROW}  # of which a page shows the one that it has room for
DPI = 192
FONTS = "'Noto Sans SC', 'Noto Sans CJK SC', 'PingFang SC', 'Microsoft YaHei', sans-serif"
ON_WHITE = 'style="background: #ffffff; color: #000000"'


class Draw(Protocol):
    """Draws a figure, so many inches wide; gives None where the profile has nothing to show in it."""

    def __call__(self, report: Report, width: float = WIDE) -> Figure | None: ...


@dataclass(frozen=True)
class Entry:
    """A figure of the book."""

    caption: str
    alt: str  # what there is to see, for who does not see it
    draw: Draw
    finding: Callable[[Report], str]  # what it shows of these results, in words; empty where there is nothing to say

    def said(self, report: Report) -> str:
        """The whole caption, the finding first."""
        finding, caption = self.finding(report), told(self.caption)
        return f"**{finding}** {caption}" if finding else caption


FIGURES: dict[str, Entry] = {}


def figure(finding: Callable[[Report], str] = lambda report: "") -> Callable[[Draw], Draw]:
    """Enter a figure into `FIGURES` by its function's name."""

    def entered(draw: Draw) -> Draw:
        name = draw.__name__  # type: ignore[attr-defined]
        caption, alt = (" ".join(part.split()) for part in inspect.cleandoc(draw.__doc__ or "").split("\n\n"))
        FIGURES[name] = Entry(caption, alt, styled(draw), finding)
        return FIGURES[name].draw

    return entered


def show(report: Report, name: str, folder: Path) -> HTML | None:
    """Draw a figure for wide and narrow pages, keep both as NAME.html, and give them to a notebook."""
    entry, drawn = FIGURES[name], []
    for kind, width in VARIANTS.items():
        figure = entry.draw(report, width)
        if figure is None:
            return None
        drawn.append(inline(figure, f"{name}-{kind}", told(entry.alt), kind))
    text = f'<div class="drawn" id="figure-{name}">\n{"".join(drawn)}</div>\n'
    with atomically(folder / f"{name}.html") as part:
        part.write_text(text, "utf-8")
    return HTML(text)


def keep(report: Report, name: str, path: Path) -> None:
    """Draw a figure as a picture of its own, on white; as SVG for letters that only a reader's fonts may have."""
    figure = FIGURES[name].draw(report)
    if figure is None:
        return
    with atomically(path) as part:
        if path.suffix == ".svg":
            drawn = inline(figure, name, told(FIGURES[name].alt), "wide").replace("<svg", f"<svg {ON_WHITE}", 1)
            part.write_text(re.sub(r"var\(--pst-font-family-base, .*?\)", FONTS, drawn), "utf-8")
        else:
            figure.savefig(part, dpi=DPI, format="png", facecolor="white")
