"""Figures of what is at hand: one training, one mask update, some runs' pictures. Each is returned closed.

With what all figures share: one style, and colours and markers that tell models apart.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import wraps
from operator import itemgetter
from typing import Any, ParamSpec

import matplotlib.pyplot as plt
import numpy as np
from IPython import get_ipython
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from suppress_privacy.evaluation.intervals import Estimate
from suppress_study.pictures import Pictures

# Okabe & Ito's colours, told apart in the usual colour blindnesses.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
STYLE = {
    "figure.dpi": 110,
    "figure.constrained_layout.use": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.3,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "errorbar.capsize": 2,
}
GAP = 3  # pixels between pictures
if hasattr(get_ipython(), "kernel"):  # a notebook, which shows its figures whatever MPLBACKEND says
    get_ipython().run_line_magic("matplotlib", "inline")
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
    figure, axes = plt.subplots(1, len(shown), figsize=(9, 3), squeeze=False)
    for axis, (name, rows) in zip(axes[0], shown.items(), strict=True):
        values, inside = phi[:, rows], member[:, rows]
        low, high = np.quantile(values, (0.001, 0.999))
        bins = np.linspace(low, high, 60).tolist()
        axis.hist(values[inside], bins, density=True, color=COLOURS[0], alpha=0.6, label="in training")
        axis.hist(
            values[~inside], bins, density=True, color=COLOURS[1], histtype="step", linewidth=1.5, label="not in it"
        )
        axis.set(title=name, xlabel="log-odds of the label", ylabel="share per unit")
    axes[0, 0].legend()
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
    figure, (loss, accuracy, zeros) = plt.subplots(1, 3, figsize=(10, 3))
    loss.plot(epochs, history["loss"], **look_of(0, line=True))
    loss.set(xlabel="epoch", ylabel="training loss (nats)", yscale="log")
    tested = epochs[-len(history["test_accuracy"]) :]
    accuracy.plot(tested, 100 * np.array(history["test_accuracy"]), **look_of(0, line=True))
    accuracy.set(xlabel="epoch", ylabel="test accuracy (%)")
    for number, (layer, shares) in enumerate(history["sparsity"].items()):
        zeros.plot(epochs, 100 * np.array(shares), label=layer.removesuffix(".weight"), **look_of(number, line=True))
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
    figure, axis = plt.subplots(figsize=(7, 0.4 * len(report) + 1.2))
    axis.barh(range(len(report)), suppressed, color=COLOURS[0], height=0.6, label="suppressed")
    axis.scatter(target, range(len(report)), color=COLOURS[1], marker="|", s=256, zorder=2, label="target")
    axis.set(xlabel="share of the layer's weights (%)", xlim=(0, 100), yticks=range(len(report)), yticklabels=report)
    axis.invert_yaxis()
    figure.legend(loc="outside upper right", ncols=2)
    return figure


def reconstruction_grid(pictures: Pictures, rows: Iterable[tuple[str, str]], targets: Sequence[int]) -> Figure | None:
    """The same targets in every run: rows under their originals; None where no run has pictures.

    Args:
        pictures: which hold these targets; one that a run has no picture of is left blank, of batches some are.
        rows: title and name of each run; those without pictures are passed over.
        targets: positions, in the order of the columns; those that no run has are left out.
    """
    originals = {target: pictures.originals[target] for target in targets if target in pictures.originals}

    def shown(run: str) -> list[np.ndarray]:
        own = pictures.images[run]
        return [own.get(target, np.full_like(original, 255)) for target, original in originals.items()]

    found = [(title, shown(run)) for title, run in rows if run in pictures.images]
    return image_rows([("original", [*originals.values()]), *found]) if found else None


def plane(image: np.ndarray) -> np.ndarray:
    """An image [C, H, W] of 0 to 255 as it is drawn: [H, W] of one channel, [H, W, 3] of three."""
    return image[0] if len(image) == 1 else image.transpose(1, 2, 0)


def framed(image: np.ndarray) -> np.ndarray:
    """The same with a gap at two of its sides."""
    shown = plane(image)
    gap = ((0, GAP), (0, GAP), (0, 0))[: shown.ndim]
    return (
        np.pad(shown, gap, constant_values=255)
        if shown.ndim == 3
        else np.pad(shown.astype(float), gap, constant_values=np.nan)
    )


@styled
def image_rows(rows: Sequence[tuple[str, Sequence[np.ndarray]]], heads: Sequence[str] = ()) -> Figure | None:
    """Rows of images, each with a title at its left: [C, H, W] of 0 to 255, of one channel or of three."""
    count, side = len(rows[0][1]), rows[0][1][0].shape[1] + GAP
    # One picture: a panel for each image takes seconds to lay out.
    lines = [np.hstack([framed(image) for image in line]) for _, line in rows]
    figure, axis = plt.subplots(figsize=(0.62 * count + 2.2, 0.62 * len(rows) + 0.3))
    axis.imshow(np.vstack(lines), cmap="gray", vmin=0, vmax=255)
    middles = np.arange(max(count, len(rows))) * side + (side - GAP) / 2
    axis.set_xticks(middles[: len(heads)], heads, fontsize=7)
    axis.set_yticks(middles[: len(rows)], [title for title, _ in rows], fontsize=8)
    axis.tick_params(length=0, labeltop=True, labelbottom=False)
    axis.grid(False)
    axis.spines[:].set_visible(False)
    return figure


Rows = Sequence[tuple[str, Sequence[np.ndarray], Sequence[str]]]  # title, images, and what to write beside them


@styled
def grouped_rows(
    originals: Sequence[np.ndarray], groups: Iterable[tuple[str, Rows]], heads: Sequence[str], width: float
) -> Figure:
    """Rows of images in groups, the originals above all, with words beside each row.

    Args:
        originals: images [C, H, W] of 0 to 255, of one channel or of three.
        groups: name and rows, each with its title, as many images, and a word for each of `heads`.
        heads: what the words are.
        width: of the figure, in inches.
    """
    side, words, gap = 0.34, 0.62, 0.08  # inches: of an image, of a column of words, between groups
    left = width - side * len(originals) - words * len(heads)
    lines: list[tuple[float, str, Sequence[np.ndarray], Sequence[str]]] = [(0.0, "private image", originals, heads)]
    names, below = [], side
    for name, rows in groups:
        below += gap
        names.append((name, below + side * len(rows) / 2))
        for row in rows:
            lines.append((below, *row))
            below += side
    figure = plt.figure(figsize=(width, below), layout="none")
    grey = {"style": "italic", "color": "0.35"}
    for name, at in names:
        figure.text(0, 1 - at / below, name, ha="left", va="center", fontsize=8, **grey)
    for top, title, images, said in lines:
        middle = 1 - (top + side / 2) / below
        figure.text((left - 0.08) / width, middle, title, ha="right", va="center", fontsize=9, weight="bold")
        for number, image in enumerate(images):
            place = ((left + side * number) / width, 1 - (top + side) / below, 0.95 * side / width, 0.95 * side / below)
            axis = figure.add_axes(place)
            axis.imshow(plane(image), cmap="gray", vmin=0, vmax=255)
            axis.axis("off")
        for number, word in enumerate(said):
            at = (width - words * (len(heads) - number - 0.5)) / width
            look = {"fontsize": 7.5, **grey} if said is heads else {"fontsize": 10}
            figure.text(at, middle, word, ha="center", va="center", **look)
    return figure


@styled
def convergence(pictures: Pictures, rows: Iterable[tuple[str, str, int]]) -> Figure | None:
    """The objective against the steps: median and middle half of the targets; None where no run keeps a curve.

    Args:
        pictures: with the runs' curves.
        rows: title, name, and number of steps of each run; those without a curve are passed over.
    """
    curves = [(title, pictures.curves[run], steps) for title, run, steps in rows if run in pictures.curves]
    if not curves:
        return None
    figure, axis = plt.subplots(figsize=(7, 3.5))
    for number, (title, (low, middle, high), count) in enumerate(curves):
        steps, look = np.linspace(0, count, len(middle)), look_of(number, line=True)
        axis.plot(steps, middle, label=title.replace(":\n", ", "), markersize=4, **look)
        axis.fill_between(steps, low, high, color=look["color"], alpha=0.2, linewidth=0)
    axis.set(xlabel="step", ylabel="best objective so far", yscale="log")
    return legend(figure, ncols=2)


def look_of(number: int, *, line: bool = False) -> dict[str, Any]:
    """A colour and a marker that no other of up to 49 models or attacks has."""
    marker = MARKERS[(number + number // len(COLOURS)) % len(MARKERS)]
    return {"color": COLOURS[number % len(COLOURS)], "marker": marker, "linestyle": "-" if line else ""}


def points(axis: Axes, found: Iterable[tuple[float, Estimate | None]], *, across: bool = False, **look: Any) -> None:
    """Means with their intervals at places along x, or at heights, with the intervals across; those that there are."""
    there = [(at, each) for at, each in sorted(found, key=itemgetter(0)) if each]
    if there:
        places, estimates = zip(*there, strict=True)
        means = [each.mean for each in estimates]
        look["xerr" if across else "yerr"] = reach(estimates)
        x, y = (means, places) if across else (places, means)
        axis.errorbar(x, y, **look)


def reach(found: Collection[Estimate]) -> np.ndarray:
    """How far intervals reach below and above their means, [2, K]."""
    return np.abs([[each.low - each.mean for each in found], [each.high - each.mean for each in found]])


def legend(figure: Figure, place: str = "outside upper center", ncols: int = 4) -> Figure:
    """The figure, with one legend for all panels: what any of them shows, once."""
    pairs = [pair for axis in figure.axes for pair in zip(*axis.get_legend_handles_labels(), strict=True)]
    known = {name: handle for handle, name in pairs}
    figure.legend(known.values(), known.keys(), loc=place, ncols=ncols)
    return figure
