"""Figures of what is at hand: one training, one mask update, some runs' pictures. Each is returned closed.

Below them what all figures share: one style, and colours and markers that tell models apart.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from suppress_privacy.evaluation.intervals import Estimate
from suppress_study.results import Pictures

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
}
Row = tuple[str, Sequence[np.ndarray]]  # a title, and images [C, H, W] of 0 to 255
P = ParamSpec("P")
F = TypeVar("F", Figure, Figure | None)


def styled(draw: Callable[P, F]) -> Callable[P, F]:
    """Draw in the one style, and close: a figure is shown by naming it."""

    @wraps(draw)
    def drawn(*args: P.args, **kwargs: P.kwargs) -> F:
        with plt.rc_context(STYLE):
            figure = draw(*args, **kwargs)
        if figure is not None:
            plt.close(figure)
        return figure

    return drawn


@styled
def training_curves(history: Mapping[str, Any]) -> Figure | None:
    """Loss, test accuracy and sparsity of one training, epoch by epoch; None where there was none.

    Args:
        history: loss and test_accuracy, one value an epoch; sparsity the same by layer.
    """
    if not history["loss"]:
        return None
    epochs = np.arange(1, len(history["loss"]) + 1)
    figure, (loss, accuracy, zeros) = plt.subplots(1, 3, figsize=(10, 3))
    loss.plot(epochs, history["loss"], color=COLOURS[0], marker="o")
    loss.set(xlabel="epoch", ylabel="training loss (nats)", yscale="log")
    accuracy.plot(epochs, 100 * np.array(history["test_accuracy"]), color=COLOURS[0], marker="o")
    accuracy.set(xlabel="epoch", ylabel="test accuracy (%)")
    for number, (layer, shares) in enumerate(history["sparsity"].items()):
        look = look_of(number) | {"linestyle": "-", "marker": "."}
        zeros.plot(epochs, 100 * np.array(shares), label=layer.removesuffix(".weight"), **look)
    zeros.set(xlabel="epoch", ylabel="weights at zero (%)", ylim=(-3, 103))
    zeros.legend(fontsize=8)
    return figure


@styled
def layer_report(report: Mapping[str, Mapping[str, float]]) -> Figure:
    """Share of each layer's weights that a defence suppressed, against the share it aimed at.

    Args:
        report: of `SuppressCtrl.report()`, for layers of any names.
    """
    positions = np.arange(len(report))
    suppressed, target = (
        [100 * layer[share] / layer["weights"] for layer in report.values()] for share in ("suppressed", "target")
    )
    figure, axis = plt.subplots(figsize=(7, 0.4 * len(report) + 1.2))
    axis.barh(positions, suppressed, color=COLOURS[0], height=0.6, label="suppressed")
    axis.plot(target, positions, color=COLOURS[1], marker="|", markersize=16, linestyle="", label="target")
    axis.set(xlabel="share of the layer's weights (%)", yticks=positions, yticklabels=list(report), xlim=(0, 100))
    axis.invert_yaxis()
    figure.legend(loc="outside upper right", ncols=2, fontsize=8)
    return figure


def reconstruction_grid(pictures: Pictures, rows: Iterable[tuple[str, str]], targets: Sequence[int]) -> Figure | None:
    """The same targets in every run: rows under their originals; None without rows.

    Args:
        pictures: which hold these targets of each run.
        rows: title and name of each run.
        targets: positions, in the order of the columns.
    """
    found = [(title, [pictures.images[run][target] for target in targets]) for title, run in rows]
    return image_rows([("original", [pictures.originals[target] for target in targets]), *found]) if found else None


@styled
def image_rows(rows: Sequence[Row], heads: Iterable[str] = ()) -> Figure:
    """Rows of images, each with a title at its left."""
    count = len(rows[0][1])
    figure, axes = plt.subplots(len(rows), count, figsize=(0.62 * count + 2.2, 0.66 * len(rows)), squeeze=False)
    for (title, images), line in zip(rows, axes, strict=True):
        for image, axis in zip(images, line, strict=True):
            axis.imshow(np.asarray(image)[0], cmap="gray", vmin=0, vmax=255)
            axis.set(xticks=[], yticks=[])
        line[0].set_ylabel(title, rotation=0, ha="right", va="center", fontsize=8)
    for axis, head in zip(axes[0], heads, strict=False):
        axis.set_title(head, fontsize=7)
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
        steps, look = np.linspace(0, count, len(middle)), look_of(number) | {"linestyle": "-"}
        axis.plot(steps, middle, label=title.replace(":\n", ", "), markersize=4, **look)
        axis.fill_between(steps, low, high, color=look["color"], alpha=0.2, linewidth=0)
    axis.set(xlabel="step", ylabel="best objective so far", yscale="log")
    figure.legend(loc="outside upper center", ncols=2, fontsize=8)
    return figure


def look_of(number: int) -> dict[str, Any]:
    """A colour and a marker that no other of up to 49 models or attacks has."""
    marker = MARKERS[(number + number // len(COLOURS)) % len(MARKERS)]
    return {"color": COLOURS[number % len(COLOURS)], "marker": marker, "linestyle": ""}


def means_and_ends(estimates: Sequence[Estimate]) -> tuple[np.ndarray, np.ndarray]:
    """Means of several estimates, and how far their intervals reach below and above: [K] and [2, K]."""
    means = np.array([each.mean for each in estimates])
    return means, np.abs([[each.low for each in estimates], [each.high for each in estimates]] - means)


def legend_above(figure: Figure, columns: int = 4) -> None:
    """One legend for all panels: what any of them shows, once."""
    known = {
        name: handle for axis in figure.axes for handle, name in zip(*axis.get_legend_handles_labels(), strict=True)
    }
    figure.legend(known.values(), known.keys(), loc="outside upper center", ncols=columns, fontsize=8)
