"""How all figures look: their sizes, and what colour, marker and line tell of a network.

A figure is drawn at the size that it is shown at, an inch being 96 CSS pixels, once for a page's whole width and once
for a phone's.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import wraps
from typing import Any, ParamSpec

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from report.context import Report
from suppress_study.summary import Arm

WIDE, NARROW = 6.6, 3.7  # inches: of a page's column, of a phone
PIXELS = 96  # an inch has in CSS
TEXT, SMALL = 9.0, 8.5  # points: 12 and 11.3 CSS pixels
INK, MUTED, BAND, PAPER = "#000000", "#666666", "#e4e4e4", "#ffffff"


@dataclass(frozen=True)
class Family:
    """Networks of one kind: the same colour and marker in every figure."""

    name: str
    colour: str  # as text on white it has a contrast of 4.5 at least
    dark: str  # the same on a dark page
    marker: str


ORDINARY = Family("ordinary", "#4d4d4d", "#c4c4c4", "o")
SUPPRESSED = Family("suppressed", "#c04d00", "#ff8a3d", "s")
PRUNED = Family("pruned", "#0072b2", "#56a8ea", "^")
NOISE = Family("noise", "#00795c", "#2fd0a0", "D")
PRIVATE = Family("differential privacy", "#5b1a78", "#f3c6ff", "v")
UNTRAINED = Family("untrained", "#7d6608", "#d6bc4c", "P")
OTHER = Family("other", "#a61e4d", "#ff8fb0", "X")
FAMILIES = (ORDINARY, SUPPRESSED, PRUNED, NOISE, PRIVATE, UNTRAINED, OTHER)
BY_DEFENCE = {
    "suppress": SUPPRESSED,
    **dict.fromkeys(("magnitude", "gradual-magnitude", "random-mask"), PRUNED),
    "feature-noise": NOISE,
    "dpsgd": PRIVATE,
}
LINES = ("-", "--", ":", "-.")  # of one family's networks
ATTACKS = ("o", "s", "^", "D", "v", "P", "X")  # markers, where the networks are rows
STYLE = {
    "font.size": TEXT,
    "axes.titlesize": TEXT,
    "axes.labelsize": TEXT,
    "xtick.labelsize": SMALL,
    "ytick.labelsize": TEXT,
    "legend.fontsize": TEXT,
    "legend.frameon": False,
    "legend.handlelength": 1.5,
    "legend.borderaxespad": 0.2,
    "legend.columnspacing": 1.2,
    "figure.dpi": 120,
    "figure.constrained_layout.use": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#b0b0b0",
    "grid.alpha": 0.35,
    "lines.linewidth": 1.6,
    "lines.markersize": 5,
    "errorbar.capsize": 0,
}
P = ParamSpec("P")


def styled(draw: Callable[P, Figure | None]) -> Callable[P, Figure | None]:
    """Draw in the one style, and close: a figure is shown by naming it."""

    @wraps(draw)
    def drawn(*args: P.args, **kwargs: P.kwargs) -> Figure | None:
        with plt.rc_context(STYLE):
            figure = draw(*args, **kwargs)
        plt.close(figure)
        return figure

    return drawn


def family_of(report: Report, arm: Arm) -> Family:
    """The kind of network that an arm is, by what study.yaml makes it of."""
    made = report.study.arms[str(arm.factors["arm"])]
    if made.defence:
        return BY_DEFENCE.get(str(made.defence["kind"]), OTHER)
    return ORDINARY if made.epochs or made.earlier() else UNTRAINED


def looks(report: Report, arms: Iterable[Arm], *, line: bool = False) -> list[dict[str, Any]]:
    """How to draw each of several networks; of one family's lines the first is filled and solid, the next differs."""
    found: list[dict[str, Any]] = []
    seen: dict[Family, int] = {}
    for arm in arms:
        family = family_of(report, arm)
        number = seen[family] = seen.get(family, -1) + 1
        look = {"color": family.colour, "marker": family.marker, "linestyle": "", "label": arm.title}
        face = PAPER if number % 2 else family.colour
        found.append(look | ({"linestyle": LINES[number % len(LINES)], "markerfacecolor": face} if line else {}))
    return found


def panels(count: int, width: float, height: float, *, sharey: bool = False) -> tuple[Figure, list[Axes]]:
    """Panels of so many inches: side by side, on a phone below each other."""
    rows, columns = (1, count) if width > NARROW else (count, 1)
    drawn, axes = plt.subplots(
        rows, columns, figsize=(width, height * rows), sharey=sharey and rows == 1, squeeze=False
    )
    return drawn, [*axes.flat]
