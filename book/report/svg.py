"""Figures as SVG inside a page: text that is text, and colours that follow the page's theme."""

import re
import warnings
from html import escape
from io import StringIO

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from report.looks import BAND, FAMILIES, INK, MUTED, PAPER, PIXELS

THEMED = {
    INK: "currentColor",
    PAPER: f"var(--pst-color-background, {PAPER})",
    **{colour: f"var(--figure-{name}, {colour})" for name, colour in (("muted", MUTED), ("band", BAND))},
    **{one.colour: f"var(--figure-{one.name.replace(' ', '-')}, {one.colour})" for one in FAMILIES},
}


def inline(figure: Figure, name: str, alt: str, kind: str) -> str:
    """A figure as an element of a page, with the page's font and colours.

    Args:
        figure: with all colours of `looks`.
        name: which no other figure of the page has, for identifiers.
        alt: what there is to see.
        kind: the element's class.
    """
    written = StringIO()
    with plt.rc_context({"svg.fonttype": "none", "svg.hashsalt": name}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # Chinese, which the page's font will have
        figure.savefig(written, format="svg", transparent=True, metadata={"Date": None})
    text = written.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>|<!--.*?-->", "", text, flags=re.S)
    text = re.sub(r' id="([^"]+)"', lambda found: _kept(found[1], text, name), text)
    text = re.sub(r'(url\(|href=")#', rf"\1#{name}-", text)
    text = re.sub("#[0-9a-f]{6}", lambda found: THEMED.get(found[0], found[0]), text)
    text = re.sub(r"font-family: [^;\"]*", "font-family: var(--pst-font-family-base, sans-serif)", text)
    width, height = (round(PIXELS * inches) for inches in figure.get_size_inches())
    text = re.sub(r' (?:width|height)="[\d.]+pt"', "", text)
    size = f'width="{width}" height="{height}"'
    hidden = ' style="display: none"' if kind == "narrow" else ""  # without the book's style sheet
    label = f'class="{kind}"{hidden} {size} fill="currentColor" role="img" aria-label="{escape(alt)}"'
    return re.sub(r"\n\s*\n", "\n", text.replace("<svg", f"<svg {label}", 1))


def _kept(identifier: str, text: str, name: str) -> str:
    """An identifier that something refers to, made the figure's own; any other is left out."""
    return f' id="{name}-{identifier}"' if f"#{identifier}" in text else ""
