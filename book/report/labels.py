"""What is written in figures: legends, names of rows and points, numbers along an axis."""

from collections.abc import Sequence
from textwrap import wrap
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis, XAxis
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter
from matplotlib.transforms import Bbox

from report.looks import BAND, MUTED, NARROW, SMALL, TEXT
from suppress_privacy.evaluation.intervals import Estimate

PLACES: list[tuple[tuple[float, float], str, str]] = [  # of a name beside its point: points off it, and alignment
    *(((x, y), "left" if x > 0 else "right", "bottom" if y > 0 else "top") for x in (6, -6) for y in (4, -4)),
    *(((x, 0), "left" if x > 0 else "right", "center") for x in (10, -10, 24, -24)),
    *(((0, y), "center", "bottom" if y > 0 else "top") for y in (8, -8, 24, -24)),
]


def legend(figure: Figure, columns: int) -> Figure:
    """The figure, with one legend above all panels: what any of them shows, once, in its colour."""
    pairs = [pair for axis in figure.axes for pair in zip(*axis.get_legend_handles_labels(), strict=True)]
    known = {wrapped(name, 44): handle for handle, name in pairs}
    columns = 1 if figure.get_figwidth() <= NARROW else columns
    drawn = figure.legend([*known.values()], [*known], loc="outside upper left", ncols=columns)
    for text, handle in zip(drawn.get_texts(), known.values(), strict=True):
        text.set_color(_colour_of(handle))
    return figure


def _colour_of(handle: Any) -> str:
    """In which a legend writes the name of what is drawn so."""
    part = handle[0] if isinstance(handle, tuple) else handle
    colour = part.get_color() if hasattr(part, "get_color") else part.get_facecolor()
    said = to_hex(colour[0] if isinstance(colour, np.ndarray) else colour)
    return MUTED if said == BAND else said


def logarithmic(axis: Axis, *, fine: bool = False, unit: str = "") -> None:
    """Make an axis logarithmic, with numbers as one says them: exponents would be too small to read.

    Args:
        axis: of a panel, x or y.
        fine: with numbers between the powers of ten.
        unit: "%": numbers are shares, and are told in per cent.
    """
    axis.axes.set(**{"xscale" if isinstance(axis, XAxis) else "yscale": "log"})
    axis.set_major_locator(LogLocator(subs=(1, 2, 5) if fine else (1,)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:g} %" if unit else f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def write(
    axis: Axes, at: tuple[float, float], text: str, *, off: tuple[float, float] = (0, 0), **look: Any
) -> list[Text]:
    """Write lines at a place, so many points off it, each aligned by itself: a reader's font is not as wide as ours."""
    look = {"size": TEXT, "va": "center", "xycoords": "data", **look}
    lines = text.split("\n")
    first = {"top": 0.0, "center": (len(lines) - 1) / 2, "bottom": len(lines) - 1.0}[look["va"]]
    heights = [off[1] + 1.25 * look["size"] * (first - number) for number in range(len(lines))]
    placed = zip(lines, heights, strict=True)
    return [axis.annotate(line, at, (off[0], up), textcoords="offset points", **look) for line, up in placed]


def name_rows(
    axis: Axes, names: Sequence[str], at: Sequence[float], most: int, looks: Sequence[dict[str, Any]]
) -> None:
    """Name rows at an axis' left, in lines of so many letters; the ticks have the names too, and do not show them."""
    axis.set_yticks(at, names)
    axis.tick_params(axis="y", length=0, labelleft=False)
    for name, height, look in zip(names, at, looks, strict=True):
        write(
            axis, (0, height), wrapped(name, most), off=(-5, 0), ha="right", xycoords=axis.get_yaxis_transform(), **look
        )


def wrapped(text: str, most: int) -> str:
    """A text in lines of so many letters."""
    return "\n".join(line for part in text.split("\n") for line in wrap(part, most))


def name_points(axis: Axes, named: Sequence[tuple[Estimate, Estimate, str, str]]) -> None:
    """Write names beside points, the first ones first, each where it covers no point and no other name, or not at all.

    Args:
        axis: finished but for these.
        named: x, y, name and colour.
    """
    axis.figure.draw_without_rendering()  # type: ignore[union-attr]
    inside, taken = axis.get_window_extent(), []
    for x, y, *_ in named:
        left, lower = axis.transData.transform((x.low, y.low))
        right, upper = axis.transData.transform((x.high, y.high))
        across, up = axis.transData.transform((x.mean, y.mean))
        taken += [Bbox([[left, up - 4], [right, up + 4]]), Bbox([[across - 4, lower], [across + 4, upper]])]
    for x, y, name, colour in named:
        for off, ha, va in PLACES:
            look = {"ha": ha, "va": va, "size": SMALL, "color": colour, "in_layout": False}
            texts = write(axis, (x.mean, y.mean), wrapped(name, 24), off=off, **look)
            box = Bbox.union([text.get_window_extent() for text in texts])
            if (
                inside.containsx(box.x0)
                and inside.containsx(box.x1)
                and inside.y0 <= box.y0
                and not any(map(box.overlaps, taken))
            ):
                taken.append(box)
                break
            for text in texts:
                text.remove()
