"""Figures of how it works, from settings alone."""

from dataclasses import fields
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from report import captions
from report.context import Report
from report.entries import figure
from report.labels import wrapped, write
from report.looks import BAND, INK, MUTED, NARROW, SMALL, SUPPRESSED, WIDE, panels
from suppress_privacy.defences.suppress import Rise, Schedule

STEPS = 300  # places along the schedule
GOALS = {  # what an attacker sees: what it has besides, and what it wants
    "features": ("the first layers, images of its own", "the private image"),
    "gradients": ("the network of that moment", "the image trained on"),
    "outputs": ("the candidate image, networks of its own", "whether it was trained on"),
}


@figure()
def threat_model(report: Report, width: float = WIDE) -> Figure | None:
    """Who sees what. Suppress-Privacy is to protect the first: the private image from whoever sees its features.

    A diagram: on the user's device a private image goes through the network's first layers, and their features are
    sent to a server, whose layers make outputs of them; training sends gradients. Three attackers see features,
    gradients or outputs; each says what it has besides, what it wants and which attacks it makes.
    """
    depth, layers = report.study.roles.depth, report.layers
    first = layers[: layers.index(depth) + 1] if depth in layers else [depth]
    rest = layers[len(first) :]
    device = "user's device", f"private image\n\N{DOWNWARDS ARROW}\nfirst layers\n{_ends(first)}"
    server = "server", f"other layers\n{_ends(rest)}\n\N{DOWNWARDS ARROW}\noutputs"
    attackers = _attackers(report)
    return _below(device, server, attackers) if width <= NARROW else _across(device, server, attackers)


def _ends(layers: list[str]) -> str:
    return " \N{HORIZONTAL ELLIPSIS} ".join(dict.fromkeys((*layers[:1], *layers[-1:])))


def _attackers(report: Report) -> dict[str, str]:
    """By what they see: what to write of attackers."""
    strong = report.claims.strongest
    named = {"features": [*strong.reconstruction], "gradients": [*strong.gradients], "outputs": [*strong.membership]}
    found = {}
    for sees, (has, wants) in GOALS.items():
        seeing = {name: attack.title for name, attack in report.study.attacks.items() if attack.sees.what() == sees}
        own = [title for name, title in seeing.items() if name in (named[sees] or seeing)]
        attacks = f"\nattacks: {', '.join(own)}" if own else ""
        found[sees] = f"has: {has}\nwants: {wants}{attacks}"
    return found


def _page(width: float, height: float) -> tuple[Figure, Axes]:
    """An axis in inches from the upper left corner."""
    drawn = plt.figure(figsize=(width, height), layout="none")
    axis = drawn.add_axes((0, 0, 1, 1))
    axis.set(xlim=(0, width), ylim=(height, 0))
    axis.axis("off")
    return drawn, axis


def _box(
    axis: Axes, left: float, top: float, wide: float, high: float, text: tuple[str, str], *, attacker: bool = False
) -> None:
    """A box with a title and lines; an attacker's is broken."""
    look: dict[str, Any] = {
        "boxstyle": "round,pad=0,rounding_size=0.06",
        "facecolor": "none",
        "edgecolor": INK,
        "linewidth": 1.3,
    }
    axis.add_patch(FancyBboxPatch((left, top), wide, high, linestyle="--" if attacker else "-", **look))
    write(axis, (left + 0.09, top + 0.17), text[0], weight="bold")
    write(axis, (left + 0.09, top + 0.31), text[1], va="top", size=SMALL)


def _arrow(axis: Axes, start: tuple[float, float], end: tuple[float, float], *, attacker: bool = False) -> None:
    line = "--" if attacker else "-"
    look = {"arrowstyle": "-|>", "color": INK, "linewidth": 1.3, "linestyle": line, "shrinkA": 0, "shrinkB": 0}
    axis.annotate("", end, start, arrowprops=look)


def _height(text: str) -> float:
    """Inches that a box of so many lines takes."""
    return 0.4 + 1.25 * SMALL / 72 * (text.count("\n") + 1)


def _across(device: tuple[str, str], server: tuple[str, str], attackers: dict[str, str]) -> Figure:
    """Device and server side by side, attackers under what they see."""
    texts = {sees: wrapped(text, 32) for sees, text in attackers.items()}
    high = max(map(_height, texts.values()))
    drawn, axis = _page(WIDE, 1.85 + high)
    far = WIDE - 1.75
    _box(axis, 0.05, 0.05, 1.7, 1.2, device)
    _box(axis, far, 0.05, 1.7, 1.2, server)
    for height, at, sent in ((0.5, 2.3, "features"), (1.05, 3.9, "gradients, when it trains")):
        _arrow(axis, (1.75, height), (far, height))
        write(axis, (at, height - 0.04), sent, va="bottom", ha="center", weight="bold")
    places = {"gradients": (0.05, 1.95, 1.05), "features": (2.25, 2.85, 0.5), "outputs": (4.45, far + 0.85, 1.25)}
    for sees, (left, at, top) in places.items():
        _arrow(axis, (at, top), (at, 1.8), attacker=True)
        _box(axis, left, 1.8, 2.1, high, (f"attacker sees {sees}", texts[sees]), attacker=True)
    return drawn


def _below(device: tuple[str, str], server: tuple[str, str], attackers: dict[str, str]) -> Figure:
    """Device above server, and attackers below each other."""
    texts = {sees: wrapped(text, 50) for sees, text in attackers.items()}
    drawn, axis = _page(NARROW, 3.3 + sum(_height(text) + 0.1 for text in texts.values()))
    _box(axis, 0.05, 0.05, 1.7, 1.2, device)
    _box(axis, 0.05, 1.95, 1.7, 1.2, server)
    for at, sent in ((0.4, "features"), (1.4, "gradients, when it trains")):
        _arrow(axis, (at, 1.25), (at, 1.95))
        write(axis, (at + 0.08, 1.6), sent, weight="bold")
    top = 3.3
    for sees, text in texts.items():
        _box(axis, 0.05, top, NARROW - 0.1, _height(text), (f"attacker sees {sees}", text), attacker=True)
        top += _height(text) + 0.1
    return drawn


@figure(captions.schedule)
def schedule(report: Report, width: float = WIDE) -> Figure | None:
    """The share of weights that suppression sets to zero, as its settings have it, epoch by epoch.

    A line that stays at no zeros in the first epochs, rises steeply, and flattens out at its highest share in the last
    epoch.
    """
    rise, arm = captions.rise_of(report), report.study.arm(report.profile, report.study.roles.suppressed)
    if rise is None:
        return None
    steps = max(report.summary.data.train // arm.batch_size, 1)
    planned = Schedule(batch_num=steps, **{each.name: getattr(rise, each.name) for each in fields(Rise)})
    at = np.linspace(1, max(arm.epochs, rise.end_epoch) * steps, STEPS)
    zeros = [100 * planned.sparsity(step) if step >= planned.first_step else 0.0 for step in at.round().astype(int)]
    drawn, (axis,) = panels(1, width, 2.4)
    axis.plot(at / steps, zeros, color=SUPPRESSED.colour, label="target")
    axis.axvspan(rise.start_epoch - 1, rise.end_epoch, color=BAND, linewidth=0, zorder=0)
    axis.text(
        (rise.start_epoch - 1 + rise.end_epoch) / 2,
        2,
        f"masks are set anew {rise.mask_times:,} times",
        ha="center",
        color=MUTED,
        size=SMALL,
    )
    axis.annotate(
        f"{zeros[-1]:.3g} %",
        (at[-1] / steps, zeros[-1]),
        (0, 4),
        textcoords="offset points",
        ha="right",
        color=SUPPRESSED.colour,
    )
    axis.set(xlabel="epochs of training", ylabel="weights at zero (%)", ylim=(0, 108), xlim=(0, at[-1] / steps))
    return drawn
