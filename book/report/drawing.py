"""Figures of what is at hand: one training, one mask update, some runs' pictures. Each is returned closed.

As a notebook shows them: one column, as wide as a phone.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from IPython import get_ipython
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from report.labels import legend, logarithmic, write
from report.looks import FAMILIES, INK, LINES, MUTED, NARROW, ORDINARY, SMALL, SUPPRESSED, panels, styled
from suppress_study.pictures import Pictures

GAP = 3  # pixels between pictures
LINE = 0.18  # inches that a line of text takes
LARGEST = 0.42  # inches of a picture's side
ASIDE = 2.2  # inches left of pictures where groups have a column
if hasattr(get_ipython(), "kernel"):  # a notebook, which shows its figures whatever MPLBACKEND says
    get_ipython().run_line_magic("matplotlib", "inline")


def look_of(number: int) -> dict[str, Any]:
    """A colour, a marker and a line that no other of up to 28 lines of one panel has together."""
    family = FAMILIES[number % len(FAMILIES)]
    return {"color": family.colour, "marker": family.marker, "linestyle": LINES[number // len(FAMILIES) % len(LINES)]}


@styled
def confidences(phi: np.ndarray, member: np.ndarray, is_canary: np.ndarray) -> Figure | None:
    """How sure a game's models are of each image's label, members beside others; None without models.

    Args:
        phi: float [M, N], log-odds, a row a model.
        member: bool [M, N], who was in the training of which.
        is_canary: bool [N].
    """
    groups = {"canaries": is_canary, "other images": ~is_canary}
    shown = {name: rows for name, rows in groups.items() if rows.any() and len(phi)}
    if not shown:
        return None
    figure, axes = panels(len(shown), NARROW, 2)
    for axis, (name, rows) in zip(axes, shown.items(), strict=True):
        values, inside = phi[:, rows], member[:, rows]
        low, high = np.quantile(values, (0.001, 0.999))
        bins = np.linspace(low, high, 60).tolist()
        axis.hist(values[inside], bins, density=True, color=SUPPRESSED.colour, alpha=0.5, label="in training")
        line: dict[str, Any] = {"color": ORDINARY.colour, "histtype": "step", "linewidth": 1.5, "label": "not in it"}
        axis.hist(values[~inside], bins, density=True, **line)
        axis.set(title=name, xlabel="log-odds of the label", ylabel="share per unit")
    axes[0].legend()
    return figure


@styled
def training_curves(history: Mapping[str, Any]) -> Figure | None:
    """Loss, test accuracy and sparsity of one training, epoch by epoch; None where there was none.

    Args:
        history: loss, one value an epoch; sparsity the same by layer; test_accuracy of as many of the last.
    """
    if not history["loss"]:
        return None
    epochs = np.arange(1, len(history["loss"]) + 1)
    figure, (loss, accuracy, zeros) = panels(3, NARROW, 1.8)
    loss.plot(epochs, history["loss"], **look_of(0))
    loss.set(xlabel="epoch", ylabel="training loss (nats)")
    logarithmic(loss.yaxis, fine=True)
    tested = epochs[-len(history["test_accuracy"]) :]
    accuracy.plot(tested, 100 * np.array(history["test_accuracy"]), **look_of(0))
    accuracy.set(xlabel="epoch", ylabel="test accuracy (%)")
    for number, (layer, shares) in enumerate(history["sparsity"].items()):
        zeros.plot(epochs, 100 * np.array(shares), label=layer.removesuffix(".weight"), **look_of(number))
    zeros.set(xlabel="epoch", ylabel="weights at zero (%)", ylim=(-3, 103))
    zeros.legend()
    return figure


@styled
def layer_report(report: Mapping[str, Mapping[str, float]]) -> Figure | None:
    """Share of each layer's weights that a defence suppressed, against the share it aimed at; None without layers.

    Args:
        report: of `SuppressCtrl.report()`, for layers of any names.
    """
    if not report:
        return None
    suppressed, target = (
        [100 * layer[share] / layer["weights"] for layer in report.values()] for share in ("suppressed", "target")
    )
    figure, (axis,) = panels(1, NARROW, 0.3 * len(report) + 1.1)
    axis.barh(range(len(report)), suppressed, color=SUPPRESSED.colour, alpha=0.6, height=0.6, label="suppressed")
    look: dict[str, Any] = {"color": INK, "marker": "|", "s": 256, "zorder": 2}
    axis.scatter(target, range(len(report)), **look, label="target")
    axis.set(xlabel="share of the layer's weights (%)", xlim=(0, 100), yticks=range(len(report)), yticklabels=report)
    axis.invert_yaxis()
    return legend(figure, 2)


@styled
def convergence(pictures: Pictures, rows: Iterable[tuple[str, str, int]], width: float = NARROW) -> Figure | None:
    """The objective against the steps: median and middle half of the targets; None where no run keeps a curve.

    Args:
        pictures: with the runs' curves.
        rows: title, name, and number of steps of each run; those without a curve are passed over.
        width: of the figure, in inches.
    """
    curves = [(title, pictures.curves[run], steps) for title, run, steps in rows if run in pictures.curves]
    if not curves:
        return None
    figure, (axis,) = panels(1, width, 2.8)
    for number, (title, (low, middle, high), count) in enumerate(curves):
        steps, look = np.linspace(0, count, len(middle)), look_of(number)
        axis.plot(steps, middle, label=title.replace(":\n", ", "), markersize=3, **look)
        axis.fill_between(steps, low, high, color=look["color"], alpha=0.2, linewidth=0)
    axis.set(xlabel="step", ylabel="best objective so far")
    logarithmic(axis.yaxis, fine=True)
    return legend(figure, 2)


def reconstruction_grid(pictures: Pictures, rows: Iterable[tuple[str, str]], targets: Sequence[int]) -> Figure | None:
    """The same targets in every run: rows under their originals; None where no run has pictures.

    Args:
        pictures: which hold these targets; one that a run has no picture of is left blank, of batches some are.
        rows: title and name of each run; those without pictures are passed over.
        targets: positions, in the order of the columns; those that no run has are left out.
    """
    shown = [target for target in targets if target in pictures.originals]
    found = [Strip(title, kept(pictures, run, shown)) for title, run in rows if run in pictures.images]
    return strips([Strip("original", [pictures.originals[each] for each in shown]), *found]) if found else None


def kept(pictures: Pictures, run: str, targets: Iterable[int]) -> list[np.ndarray]:
    """What a run has of these targets, blank where it has none."""
    own = pictures.images[run]
    return [own.get(target, np.full_like(pictures.originals[target], 255)) for target in targets]


@dataclass(frozen=True)
class Strip:
    """A row of pictures [C, H, W] of 0 to 255, of one channel or of three, and what is written beside it."""

    title: str
    images: Sequence[np.ndarray]
    words: Sequence[str] = ()
    colour: str = INK
    group: str = ""  # with the rows before and after it that have the same


@styled
def strips(
    rows: Sequence[Strip],
    width: float = NARROW,
    *,
    left: float = 0,
    heads: Sequence[str] = (),
    marks: Sequence[str] = (),
    room: float = 0.66,
    largest: float = LARGEST,
) -> Figure:
    """Rows of pictures, with a title at the left of each or above it, and words at its right.

    Args:
        rows: with as many pictures each.
        width: of the figure, in inches.
        left: inches for titles and groups; 0: titles stand above the pictures.
        heads: what the words are.
        marks: what the columns of pictures are.
        room: inches for each of the words.
        largest: inches of a side of a picture.
    """
    count, said = len(rows[0].images), room * len(heads)
    side = min((width - left - (said if left else 0)) / count, largest)
    start = width - said - side * count if left else 0.0
    figure = plt.figure(layout="none")
    axis = figure.add_axes((0, 0, 1, 1))  # in inches from the upper left corner
    below = LINE * (1 + max(head.count("\n") for head in (*heads, *marks))) if heads or marks else 0.0
    columns = [(width - room * (len(heads) - number - 0.5), head) for number, head in enumerate(heads)]
    over = [(start + side * (number + 0.5), mark) for number, mark in enumerate(marks)]
    for at, word in (*columns, *over):
        write(axis, (at, below - 0.03), word, ha="center", va="bottom", size=SMALL, color=MUTED)
    for group, members in groupby(rows, lambda row: row.group):
        below = _group(axis, group, [*members], below, start, side, [at for at, _ in columns], beside=left > 0)
    figure.set_size_inches(width, below)
    axis.set(xlim=(0, width), ylim=(below, 0))
    axis.axis("off")
    return figure


def _group(
    axis: Axes,
    name: str,
    rows: Sequence[Strip],
    top: float,
    start: float,
    side: float,
    at: Sequence[float],
    *,
    beside: bool,
) -> float:
    """Draw some rows and their name, from so many inches below the figure's top; give where they end."""
    below = top + (0.06 if beside and name else 0)
    look: dict[str, Any] = {"style": "italic", "color": MUTED, "size": SMALL}
    aside = start >= ASIDE
    if name and not aside:
        write(axis, (0, below), name.replace("\n", " "), va="top", **look)
        below += LINE
    first = below
    for row in rows:
        text = LINE * (row.title.count("\n") + 1)
        upper = below if beside else below + text
        height = max(side, text) if beside else side
        middle = upper + height / 2 if beside else below + text / 2
        drawn = np.hstack([framed(image) for image in row.images])
        extent = (start, start + side * len(row.images), upper + (height + side) / 2, upper + (height - side) / 2)
        axis.imshow(drawn, extent=extent, aspect="auto", interpolation="none")
        place, across = (start - 0.1, "right") if beside else (0.0, "left")
        write(axis, (place, middle), row.title, ha=across, color=row.colour)
        for column, word in zip(at, row.words, strict=False):
            write(axis, (column, middle), word, ha="center", color=row.colour)
        below = upper + height + (0.02 if beside else 0.06)
    if name and aside:
        write(axis, (0, (first + below) / 2), name, **look)
    return below


def framed(image: np.ndarray) -> np.ndarray:
    """An image as it is drawn, [H, W, 4], with a gap at its right and below."""
    height, width = image.shape[1:]
    shown = np.zeros((height + GAP, width + GAP, 4), np.uint8)
    shown[:height, :width, :3] = image.transpose(1, 2, 0)  # one channel for all three
    shown[:height, :width, 3] = 255
    return shown
