"""Figures of what was measured: points with their 95 % intervals, lines, and what is written beside them."""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import replace
from operator import itemgetter
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, NullFormatter

from report import captions, drawing, front
from report.context import NOBODY, Factors, Report
from report.entries import figure
from report.labels import legend, logarithmic, name_points, name_rows, wrapped, write
from report.looks import (
    ATTACKS,
    BAND,
    FAMILIES,
    INK,
    MUTED,
    NARROW,
    ORDINARY,
    PAPER,
    SMALL,
    WIDE,
    family_of,
    looks,
    panels,
)
from report.tables import PRIMARY, TUTORIAL
from suppress_privacy.evaluation.intervals import Estimate
from suppress_privacy.evaluation.membership import roc as roc_of
from suppress_privacy.evaluation.metrics import FALSE_POSITIVE_RATE, METRICS
from suppress_privacy.mnist import SIDE
from suppress_study.jobs import Variant
from suppress_study.summary import Arm

WORST = -1.0  # skill below which it does not matter how bad an attack is
RATES = 200  # places along a rate of false positives
Attacks = Iterable[tuple[float, Variant]]  # each with its place along an axis


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


def per_cent(found: Estimate | None) -> Estimate | None:
    """A share in per cent."""
    return found and Estimate(100 * found.mean, 100 * found.low, 100 * found.high, found.n)


def _range(shares: Sequence[float]) -> Estimate:
    """Their mean with their range for an interval, in per cent."""
    values = 100 * np.array(shares)
    return Estimate(values.mean(), values.min(), values.max(), len(values))


# Rows of attacks


@figure(captions.ladder)
def ladder(report: Report, width: float = WIDE) -> Figure | None:
    """Every attack on features of the first dense layer, from no attack at all to the strongest, with 95 % intervals.

    Panels with a row for every attack: skill against the mean image, and share of images identified, each with its
    95 % interval for every model.
    """
    drawn, axes = panels(len(PRIMARY), width, 0.32 * len(report.ladder) + 1, sharey=True)
    for axis, metric in zip(axes, PRIMARY, strict=True):
        _attack_rows(axis, report, report.ladder, metric)
        axis.axvline(0, color=INK, linewidth=1)
        axis.set_xlim(left=max(axis.get_xlim()[0], WORST))
    return legend(drawn, 3)


@figure(captions.documented)
def documented(report: Report, width: float = WIDE) -> Figure | None:
    """Each of the tutorial's metrics on both models, with 95 % intervals, and the tutorial's figures as broken lines.

    Panels, one for each metric, with mean and 95 % interval of every attack on both models, and broken lines at
    the figures of the tutorial.
    """
    drawn, axes = panels(len(TUTORIAL), width, 0.42 * len(report.reported) + 1, sharey=True)
    for axis, metric in zip(axes, TUTORIAL, strict=True):
        _attack_rows(axis, report, report.reported, metric)
        axis.set_xlabel(wrapped(METRICS[metric].label, 12 if width > NARROW else 40))
        axis.xaxis.set_major_locator(MaxNLocator(2 if width > NARROW else 4))
        axis.margins(x=0.12)
        for arm, style in zip(report.pair, ("--", ":"), strict=False):
            if (published := report.documented(arm, metric)) is not None:
                look: dict[str, Any] = {"color": family_of(report, arm).colour, "linestyle": style}
                axis.axvline(published, label=f"{arm.title}, documented", **look)
    return legend(drawn, 3)


def _attack_rows(axis: Axes, report: Report, attacks: Sequence[Variant], metric: str) -> None:
    """One row an attack, one marker a model; of attacks that look at no model one for all, in grey."""
    looking = [(row, attack) for row, attack in enumerate(attacks) if attack.sees != "nothing"]
    for number, (arm, look) in enumerate(zip(report.pair, looks(report, report.pair), strict=True)):
        shift = 0.24 * (number - (len(report.pair) - 1) / 2)
        _series(axis, report, metric, arm.factors, [(row + shift, each) for row, each in looking], across=True, **look)
    idle = {"color": MUTED, "marker": "*", "linestyle": "", "label": "no model looked at"}
    _series(axis, report, metric, NOBODY, enumerate(attacks), across=True, **idle)
    axis.set(xlabel=METRICS[metric].label, ylim=(len(attacks) - 0.5, -0.5))
    titles = [attack.title for attack in attacks]
    if axis.get_subplotspec().is_first_col():  # type: ignore[union-attr]
        name_rows(axis, titles, range(len(titles)), 18, [{}] * len(titles))


def _series(axis: Axes, report: Report, metric: str, arm: Factors, attacks: Attacks, **look: Any) -> None:
    """What attacks get from an arm, each at its place."""
    points(axis, [(at, report.estimate(metric, arm, attack)) for at, attack in attacks], **look)


# Rows of networks


@figure(captions.trade_off)
def trade_off(report: Report, width: float = WIDE) -> Figure | None:
    """What the strongest attack identifies from every network, with its 95 % interval, and the network's test accuracy.
    The grey band is the ordinary network's interval. Bold: the networks of the first page.

    A row for every network, by families, with a point at the share of private images identified, its interval, that
    share in figures, and the test accuracy; a band marks the ordinary network's interval.
    """
    leaks = {arm.title: per_cent(report.strongest(front.IDENTIFIED, arm)) for arm in report.summary.arms}
    drawn, axis, rows = _network_rows(report, lambda arm: leaks[arm.title], width)
    for (arm, at), look in zip(rows, looks(report, [arm for arm, _ in rows]), strict=True):
        found, accuracy = leaks[arm.title], _range(arm.test_accuracy)
        points(axis, [(at, found)], across=True, **look, clip_on=False)
        if found:
            _beside(axis, at, (f"{found.mean:.0f}", f"{accuracy.mean:.1f}"), look["color"])
    ordinary = leaks[report.pair[0].title] if report.pair else None
    if ordinary:
        axis.axvspan(ordinary.low, ordinary.high, color=BAND, linewidth=0, zorder=0)
        above = {"xycoords": axis.get_xaxis_transform(), "ha": "center", "va": "bottom", "size": SMALL}
        write(axis, (ordinary.mean, 1), "ordinary", off=(0, 3), color=MUTED, **above)
    _beside(axis, axis.get_ylim()[1], ("%", "accuracy"), MUTED, off=3, va="bottom", size=SMALL)
    axis.set(xlabel="identified, strongest attack (%)", xlim=(0, 100))
    for at, side, word in ((0, "left", "← hidden"), (1, "right", "exposed →")):
        write(axis, (at, 0), word, off=(0, -32), ha=side, va="top", size=SMALL, color=MUTED, xycoords="axes fraction")
    return drawn


def _beside(axis: Axes, at: float, words: Iterable[str], colour: str, *, off: float = 0, **look: Any) -> None:
    """Write words in columns at an axis' right."""
    for place, word in zip((36, 84), words, strict=False):
        write(
            axis, (1, at), word, off=(place, off), ha="right", color=colour, xycoords=axis.get_yaxis_transform(), **look
        )


@figure(captions.ladder_by_model)
def ladder_by_model(report: Report, width: float = WIDE) -> Figure | None:
    """Skill of every attack on features of the first dense layer, on every network, with 95 % intervals: a marker an
    attack.

    A row for every network, by families, with a marker for every attack at its skill against the mean image.
    """
    shuffled, metric = report.claims.checks.shuffled["attack"], PRIMARY[0]
    attacks = [each for each in report.ladder if each.sees != "nothing" and each.attack != shuffled]
    drawn, axis, rows = _network_rows(report, lambda arm: report.strongest(metric, arm), width)
    for number, attack in enumerate(attacks):
        shift, marker = 0.12 * ((number + 0.5) / len(attacks) - 0.5), ATTACKS[number % len(ATTACKS)]
        for arm, at in rows:
            colour = family_of(report, arm).colour
            look = {"color": colour, "marker": marker, "label": f"{attack.title}, {arm.title}"}
            found = report.estimate(metric, arm.factors, attack)
            points(axis, [(at + shift, found)], across=True, **look, markerfacecolor=PAPER if number % 2 else colour)
        named: dict[str, Any] = {"marker": marker, "linestyle": "", "color": MUTED, "label": attack.title}
        axis.plot([], [], **named, markerfacecolor=PAPER if number % 2 else MUTED)
    axis.axvline(0, color=INK, linewidth=1)
    axis.set(xlabel=METRICS[metric].label, xlim=(max(axis.get_xlim()[0], WORST), 1))
    keys = [handle for handle in axis.lines if handle.get_label() in [attack.title for attack in attacks]]
    columns = 2 if width <= NARROW else 4
    drawn.legend(handles=keys, loc="outside upper left", ncols=columns, labelcolor=MUTED)
    return drawn


def _network_rows(
    report: Report, by: Callable[[Arm], Estimate | None], width: float
) -> tuple[Figure, Axes, list[tuple[Arm, float]]]:
    """An axis with rows of networks: by families, in each by a mean that there is of all shown; names at the left.

    On a phone names stand above their rows.
    """
    families = {family: [arm for arm in report.summary.arms if family_of(report, arm) == family] for family in FAMILIES}
    groups = [sorted(filter(by, arms), key=lambda arm: by(arm).mean) for arms in families.values()]  # type: ignore[union-attr]
    narrow, rows, below = width <= NARROW, [], 0.0
    bold = [arm.title for _, arm in front.networks(report)]
    for group in filter(None, groups):
        for arm in group:
            lines = wrapped(arm.title, 46 if narrow else 32).count("\n") + 1
            height = 0.15 * lines + (0.2 if narrow else 0.05)
            rows.append((arm, below + (height - 0.1 if narrow else height / 2)))
            below += height
        below += 0.1
    drawn, (axis,) = panels(1, width, below + 0.9)
    axis.set_ylim(below, 0)
    names = [arm.title for arm, _ in rows]
    looked = [
        {"color": family_of(report, arm).colour, "weight": "bold" if arm.title in bold else "normal"} for arm, _ in rows
    ]
    name_rows(axis, names, [at for _, at in rows], 32, [{**look, "visible": not narrow} for look in looked])
    for (arm, at), look in zip(rows, looked, strict=True) if narrow else ():
        above = {"xycoords": axis.get_yaxis_transform(), "va": "bottom", "ha": "left"}
        write(axis, (0, at), wrapped(arm.title, 46), off=(0, 6), **above, **look)
    axis.grid(visible=False, axis="y")
    return drawn, axis, rows


# Lines


@figure(captions.convergence)
def convergence(report: Report, width: float = WIDE) -> Figure | None:
    """The tuned attack's best objective so far: median over the private images, and their middle half.

    Lines falling over the steps of the tuned attack, one a model, the middle half of the images shaded.
    """
    shown = report.shown(report.ladder, report.pair)
    rows = [(title, run, report.results.runs[run].settings["settings"].get("iters", 1)) for title, run in shown]
    return drawing.convergence(report.results.pictures, rows, width)


@figure(captions.depth)
def depth(report: Report, width: float = WIDE) -> Figure | None:
    """Skill minus the ordinary network's, by the layer whose features the attacker sees: above the line more leaks.

    A panel for each family of attacks: difference in skill to the ordinary model against the depth of the features it
    is given, one line a model, with a line at no difference.
    """
    families: dict[str, list[tuple[float, Variant]]] = {}  # by title without the depth
    for each in report.seeing("features"):
        compared = replace(each, factors={**each.factors, "depth": report.study.roles.depth})
        place = report.layers.index(str(each.factors["depth"]))
        families.setdefault(report.study.title(compared), []).append((place, each))
    families = {title: attacks for title, attacks in families.items() if len(attacks) > 1}
    arms = [arm for arm in report.summary.arms if report.made(report.depths, [arm]) and arm not in report.pair[:1]]
    if not families or not arms:
        return None
    drawn, axes = panels(len(families), width, 2.6 if width > NARROW else 1.9, sharey=True)
    for axis, (title, attacks) in zip(axes, families.items(), strict=True):
        for arm, look in zip(arms, looks(report, arms, line=True), strict=True):
            points(axis, [(at, report.difference("skill", arm.factors, each)) for at, each in attacks], **look)
        axis.axhline(0, color=INK, linewidth=1)
        axis.set(title=title, xlabel="features seen at", xticks=range(len(report.layers)), xticklabels=report.layers)
    axes[0].set(ylabel="difference in skill")
    return legend(drawn, 2)


@figure(captions.smoothness)
def smoothness(report: Report, width: float = WIDE) -> Figure | None:
    """The tutorial's attack at other weights of smoothness, on the scale that the reference has on a CPU; broken lines
    mark what its own weight comes to on each device.

    Two panels: confidence and skill of the tutorial's attack against its weight of smoothness, with the weight that
    each device gives it marked.
    """
    weighed = [each for each in report.attacks if each.factors.get("smoothness") == "cpu"]
    if len(weighed) < 2:
        return None
    attacks = [(float(each.factors.get("smoothness_weight", 0)), each) for each in weighed]
    own = report.study.variant(report.profile, weighed[0].attack).settings["smoothness_weight"]
    drawn, axes = panels(2, width, 2.6)
    for axis, metric in zip(axes, ("confidence", "skill"), strict=True):
        for arm, look in zip(report.pair, looks(report, report.pair, line=True), strict=True):
            _series(axis, report, metric, arm.factors, attacks, **look)
        # Of an image of side s that is black at its edges the CPU's sum is s times the mean that other devices take.
        for title, weight in (("CPU", own), ("Ascend", own / SIDE)):
            axis.axvline(weight, color=MUTED, linewidth=1, linestyle="--")
            above = {"xycoords": ("data", "axes fraction"), "ha": "center", "va": "bottom"}
            write(axis, (weight, 1), title, off=(0, 3), size=SMALL, color=MUTED, **above)
        axis.set(xlabel="weight of smoothness (CPU scale)", ylabel=METRICS[metric].label)
        logarithmic(axis.xaxis)
    return legend(drawn, 3)


@figure(captions.sweep)
def sweep(report: Report, width: float = WIDE) -> Figure | None:
    """The suppressed network with other shares of its weights kept, and the same network without suppression: what the
    strongest attack identifies, with 95 % intervals, and test accuracy, with its range over trainings.

    Two panels against the share of weights kept, on a logarithmic axis: share of images identified by the strongest
    attack, and test accuracy; a broken line marks the network without suppression.
    """
    control = report.arm(report.study.roles.control)
    swept = {100 * (1 - share): arm for share, arm in report.sweep.items()}
    if len(swept) < 2:
        return None
    shares = [*sorted(swept, reverse=True)]
    if control:
        swept, shares = {100.0: control, **swept}, [100.0, *shares]
    of = (lambda arm: per_cent(report.strongest(front.IDENTIFIED, arm)), lambda arm: _range(arm.test_accuracy))
    drawn, axes = panels(len(of), width, 2.6)
    for axis, what, named in zip(axes, of, ("identified, strongest attack (%)", "test accuracy (%)"), strict=True):
        found = [(share, what(arm)) for share, arm in swept.items()]
        (look,) = looks(report, report.pair[1:] or [*swept.values()][-1:], line=True)
        points(axis, [one for one in found if one[0] < 100], **look | {"label": "suppressed"})
        for share, one in found:
            if control and share == 100 and one:
                (look,) = looks(report, [control])
                points(axis, [(share, one)], **look)
                axis.axhline(one.mean, color=ORDINARY.colour, linewidth=1, linestyle="--")
            if one:
                said = f"{one.mean:.0f}" if axis is axes[0] else f"{one.mean:.1f}"
                above = {"va": "bottom", "ha": "center", "size": SMALL, "color": look["color"]}
                write(axis, (share, one.high), said, off=(0, 2), **above)
        axis.set(xlabel="weights kept (%)", ylabel=named, xscale="log", xlim=(130, 0.7 * min(shares)))
        axis.set_xticks(shares, [f"{share:.3g}" for share in shares])
        axis.xaxis.set_minor_formatter(NullFormatter())
        axis.minorticks_off()
        axis.margins(y=0.15)
    return legend(drawn, 2)


@figure(captions.rank)
def rank(report: Report, width: float = WIDE) -> Figure | None:
    """In how many directions an image can change before the features notice, and how much the strongest attack gets
    out of them, with 95 % intervals. Networks are named where there is room.

    A point for every network: effective rank of the first dense layer's Jacobian against the skill of the strongest
    attack.
    """
    drawn, (axis,) = panels(1, width, 4)
    there = [(arm, found) for arm in report.summary.arms if (found := report.strongest("skill", arm))]
    for (arm, found), look in zip(there, looks(report, [arm for arm, _ in there]), strict=True):
        at = arm.mechanism.effective_rank
        points(axis, [(at.mean, found)], xerr=reach([at]), **look)
    axis.set(xlabel=f"effective rank of the Jacobian at {report.study.roles.depth}", ylabel="skill, strongest attack")
    axis.margins(0.12)
    kinds = [family for family in FAMILIES if any(family_of(report, arm) == family for arm, _ in there)]
    marks = [Line2D([], [], color=one.colour, marker=one.marker, linestyle="", label=one.name) for one in kinds]
    columns = 3 if width <= NARROW else len(marks)
    drawn.legend(handles=marks, loc="outside upper left", ncols=columns, labelcolor="markerfacecolor")
    first = [arm.title for _, arm in front.networks(report)]
    there.sort(key=lambda one: (one[0].title not in first, -abs(one[1].mean - 0.5)))
    name_points(
        axis, [(arm.mechanism.effective_rank, found, arm.title, family_of(report, arm).colour) for arm, found in there]
    )
    return drawn


@figure(captions.roc)
def roc(report: Report, width: float = WIDE) -> Figure | None:
    """Membership inference: mean true positive rate over trainings, their range shaded; the vertical line is where it
    is judged, and the grey diagonal is guessing.

    Receiver operating characteristics on logarithmic axes, one panel an attack, with the diagonal of guessing.
    """
    attacks = report.seeing("outputs")
    if not attacks:
        return None
    drawn, axes = panels(len(attacks), width, 3)
    for axis, attack in zip(axes, attacks, strict=True):
        arms = [arm for arm in report.summary.arms if report.made([attack], [arm])]
        runs = [[report.results.arrays(run) for run in report.runs(arm.factors, attack).values()] for arm in arms]
        least = min((1 / (~run.member.to_numpy(bool)).sum() for found in runs for run in found), default=0.1)
        at = np.geomspace(least, 1, RATES)
        axis.plot([least, 1], [least, 1], color=BAND, linewidth=5, zorder=1, label="guessing")
        for found, look in zip(runs, looks(report, arms, line=True), strict=True):
            rates = [true_positives(run.score.to_numpy(), run.member.to_numpy(bool), at) for run in found]
            if rates:
                axis.plot(at, np.mean(rates, axis=0), **look | {"marker": ""})
                axis.fill_between(
                    at, *(end(rates, axis=0) for end in (np.min, np.max)), color=look["color"], alpha=0.12
                )
        axis.axvline(FALSE_POSITIVE_RATE, color=MUTED, linewidth=1)
        axis.set(title=attack.title, xlabel="false positive rate")
        for each in (axis.xaxis, axis.yaxis):
            logarithmic(each, unit="%")
        axis.set(xlim=(least, 1), ylim=(least, 1), ylabel="true positive rate" if axis is axes[0] else "")
    return legend(drawn, 2)


def true_positives(scores: np.ndarray, members: np.ndarray, at: np.ndarray) -> np.ndarray:
    """The true positive rate at given rates of false positives."""
    curve = roc_of(scores, members)
    last = np.searchsorted(curve.false_positive_rate, at, side="right") - 1
    return curve.true_positive_rate[np.maximum(last, 0)]
