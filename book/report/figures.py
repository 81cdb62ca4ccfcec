"""The book's figures by name: each enters itself, with its alternative text and caption, where it is drawn."""

import io
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from IPython.display import Image
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter, ScalarFormatter

from report import drawing
from report.context import ANY, NOBODY, Factors, Report
from report.drawing import COLOURS, image_rows, legend_above, look_of, means_and_ends, styled
from report.tables import TUTORIAL
from suppress_privacy.evaluation.membership import roc as roc_of
from suppress_privacy.evaluation.metrics import FALSE_POSITIVE_RATE, METRICS
from suppress_privacy.files import atomically
from suppress_privacy.lenet import DEPTHS
from suppress_privacy.mnist import SIDE
from suppress_study.plan import Variant
from suppress_study.summary import Arm
from suppress_study.targets import EXTREMES

DPI = 150
ERROR_TICKS = (0.5, 1, 1.5, 2, 3, 5, 10, 20, 50, 90)  # per cent
PRIMARY = [name for name, metric in METRICS.items() if metric.primary]
Draw = Callable[[Report], Figure | None]


@dataclass(frozen=True)
class Entry:
    """A figure of the book; None from `draw` where the profile has nothing to show in it."""

    name: str
    alt: str  # what there is to see, for who does not see it
    caption: str
    draw: Draw


FIGURES: dict[str, Entry] = {}


def figure(name: str, *, alt: str, caption: str) -> Callable[[Draw], Draw]:
    """Enter a figure into `FIGURES`."""

    def entered(draw: Draw) -> Draw:
        FIGURES[name] = Entry(name, alt, caption, styled(draw))
        return FIGURES[name].draw

    return entered


def save(report: Report, folder: Path) -> None:
    """Draw every figure that the profile has something to show in."""
    for name in FIGURES:
        show(report, name, folder)


def show(report: Report, name: str, folder: Path) -> Image | None:
    """Draw a figure, keep it for the pages as NAME.png, and give it to a notebook with its alternative text."""
    drawn = FIGURES[name].draw(report)
    if drawn is None:
        return None
    content = io.BytesIO()
    drawn.savefig(content, dpi=DPI, format="png")
    with atomically(folder / f"{name}.png") as part:
        part.write_bytes(content.getvalue())
    return Image(content.getvalue(), alt=FIGURES[name].alt)


@figure(
    "ladder",
    alt="Panels with a row for every attack: skill against the mean image, and share of images identified, each with "
    "its 95 % interval for every model",
    caption="Every attack on features of the first dense layer, from no attack at all to the strongest.",
)
def ladder(report: Report) -> Figure | None:
    attacks = report.ladder
    drawn, axes = plt.subplots(
        1, len(PRIMARY), figsize=(4.5 * len(PRIMARY), 0.38 * len(attacks) + 1.4), sharey=True, squeeze=False
    )
    for axis, metric in zip(axes[0], PRIMARY, strict=True):
        _attack_rows(axis, report, attacks, metric)
        axis.axvline(0, color="black", linewidth=1)
    _cut(axes[0][PRIMARY.index("skill")])
    legend_above(drawn)
    return drawn


@figure(
    "documented",
    alt="Five panels, one for each metric, with mean and 95 % interval of every attack on both models, and dashed "
    "lines at the figures of the tutorial",
    caption="Every metric of every attack on both models with its 95 % interval, and the tutorial's figures.",
)
def documented(report: Report) -> Figure | None:
    attacks = report.reported
    drawn, axes = plt.subplots(2, 3, figsize=(8.5, 2 * (0.4 * len(attacks) + 1.2)), sharey=True)
    *panels, legend = axes.flat
    for axis, metric in zip(panels, TUTORIAL, strict=True):
        _attack_rows(axis, report, attacks, metric)
        for number, arm in enumerate(report.pair):
            published = report.documented(arm, metric)
            if published is not None:
                line = {"color": COLOURS[number], "linestyle": "--", "linewidth": 1}
                axis.axvline(published, label=f"{arm.title}, documented", **line)
    handles, names = panels[0].get_legend_handles_labels()
    legend.axis("off")
    legend.legend(handles, names, loc="center", fontsize=8)
    return drawn


def _attack_rows(axis: Axes, report: Report, attacks: Sequence[Variant], metric: str) -> None:
    """One row an attack, one marker a model; of attacks that look at no model one for all."""
    models: list[tuple[str, Factors]] = [(arm.title, arm.factors) for arm in report.pair]
    for title, arm in [*models, (ANY, NOBODY)]:
        rows = [
            (row, each)
            for row, attack in enumerate(attacks)
            if (arm == NOBODY) == (attack.sees == "nothing") and (each := report.estimate(metric, arm, attack))
        ]
        shift = 0.0 if arm == NOBODY else 0.2 * ([known for _, known in models].index(arm) - (len(models) - 1) / 2)
        label = "no model looked at" if arm == NOBODY else title
        _across(axis, [(row + shift, each) for row, each in rows], label, _look(report, arm))
    titles = [attack.title for attack in attacks]
    axis.set(xlabel=METRICS[metric].label, yticks=range(len(titles)), yticklabels=titles)
    axis.set(ylim=(len(titles) - 0.4, -0.6))


def _across(axis: Axes, places: Sequence[tuple[float, Any]], label: str, look: dict[str, Any]) -> None:
    """Means with their intervals along x, at heights."""
    if places:
        heights, estimates = zip(*places, strict=True)
        means, ends = means_and_ends(estimates)
        axis.errorbar(means, heights, xerr=ends, label=label, capsize=2, **look)


def _look(report: Report, arm: Factors) -> dict[str, Any]:
    """How an arm looks in all figures; grey is none of them."""
    if arm == NOBODY:
        return {"color": "grey", "marker": "*", "linestyle": ""}
    return look_of([known.factors for known in report.arms].index(dict(arm)))


def _cut(axis: Axes) -> None:
    """A bad attack is worse than the mean image without bound: what is left of the axis does not matter."""
    axis.set_xlim(left=max(axis.get_xlim()[0], -1.0))


@figure(
    "grid",
    alt="Rows of ten digits, one of each class: the originals, the floors, and the reconstructions from the ordinary "
    "and the suppressed model by every attack on features",
    caption="The first private image of each class, and what each attack makes of its features. The black and the "
    "mean image look at no features at all.",
)
def grid(report: Report) -> Figure | None:
    return _grid(report, report.ladder, report.pair)


@figure(
    "grid_all",
    alt="Rows of ten digits, one of each class: the originals, and what one learned attack makes of the features of "
    "every model",
    caption="The first private image of each class, as the last of the learned attacks reconstructs it from every "
    "model.",
)
def grid_all(report: Report) -> Figure | None:
    return _grid(report, report.learned[-1:], report.arms)


@figure(
    "gradients",
    alt="Rows of ten digits, one of each class: the originals, and what each attack on gradients makes of them",
    caption="The first private image of each class, from the gradients of one step on it.",
)
def gradients(report: Report) -> Figure | None:
    return _grid(report, report.gradients, report.pair)


def _grid(report: Report, attacks: Iterable[Variant], arms: Iterable[Arm]) -> Figure | None:
    rows = report.shown(attacks, arms)
    return drawing.reconstruction_grid(report.results.pictures, rows, report.first_of_each_class)


@figure(
    "extremes",
    alt="Pairs of rows of nine digits: originals, and under them the three best, three median and three worst "
    "reconstructions by every learned attack on both models",
    caption="The private images that each attack reconstructs best, in the middle and worst, by skill; each pair of "
    "rows has its own.",
)
def extremes(report: Report) -> Figure | None:
    rows = []
    pictures = report.results.pictures
    for title, run in report.shown(report.learned, report.pair):
        found = report.results.arrays(run)
        skill = found[found.evaluator == ""].set_index("image").skill
        targets = _kept_extremes(skill.rank(ascending=False, method="first").to_dict(), list(pictures.images[run]))
        rows.append(("original", [pictures.originals[target] for target in targets]))
        rows.append((title, [pictures.images[run][target] for target in targets]))
    heads = [f"{word} {number + 1}" for word in ("best", "median", "worst") for number in range(EXTREMES)]
    return image_rows(rows, heads) if rows else None


def _kept_extremes(ranks: dict[int, float], kept: Iterable[int]) -> list[int]:
    """The best, the middle and the worst of what was kept, by ranks of rounded skill: neighbours may be swapped."""
    by_rank = sorted(kept, key=ranks.__getitem__)
    middle = sorted(by_rank, key=lambda target: abs(ranks[target] - (len(ranks) + 1) / 2))[:EXTREMES]
    return [*by_rank[:EXTREMES], *sorted(middle, key=ranks.__getitem__), *by_rank[-EXTREMES:]]


@figure(
    "convergence",
    alt="Lines falling over the steps of the tuned attack, one a model, the middle half of the images shaded",
    caption="The tuned attack's best objective so far: median over the private images, and their middle half.",
)
def convergence(report: Report) -> Figure | None:
    rows = [
        (title, run, report.results.runs[run].settings["settings"].get("iters", 1))
        for title, run in report.shown(report.ladder, report.pair)
    ]
    return drawing.convergence(report.results.pictures, rows)


@figure(
    "depth",
    alt="A panel for each family of attacks: skill against the depth of the features it is given, one line a model",
    caption="Skill by the layer whose features the attacker sees.",
)
def depth(report: Report) -> Figure | None:
    families = report.families
    if not families:
        return None
    drawn, axes = plt.subplots(1, len(families), figsize=(3.2 * len(families), 3.2), sharey=True, squeeze=False)
    for axis, (title, attacks) in zip(axes[0], families.items(), strict=True):
        for arm in report.arms:
            found = {
                DEPTHS.index(str(attack.factors["depth"])): each
                for attack in attacks
                if (each := report.estimate("skill", arm.factors, attack))
            }
            if len(found) > 1:
                at = sorted(found)
                means, ends = means_and_ends([found[place] for place in at])
                look = _look(report, arm.factors) | {"linestyle": "-"}
                axis.errorbar(at, means, yerr=ends, label=arm.title, capsize=2, **look)
        axis.axhline(0, color="black", linewidth=1)
        axis.set(title=title, xlabel="features seen at", xticks=range(len(DEPTHS)), xticklabels=DEPTHS)
    axes[0][0].set(ylabel=METRICS["skill"].label)
    legend_above(drawn)
    return drawn


@figure(
    "smoothness",
    alt="Two panels: confidence and skill of the tutorial's attack against its weight of smoothness, with the weight "
    "that each device gives it marked",
    caption="The tutorial's attack at other weights of smoothness, on the scale that the reference has on a CPU; "
    "dashed lines mark what its own weight comes to on each device.",
)
def smoothness(report: Report) -> Figure | None:
    attacks = report.smoothness
    if len(attacks) < 2:
        return None
    name = next(iter(attacks.values())).attack
    own = float(report.study.variant(report.profile, name).settings["smoothness_weight"])
    # Of an image of side s that is black at its edges the CPU's sum is s times the mean that other devices take.
    scales = {"CPU": own, "Ascend": own / SIDE}
    drawn, axes = plt.subplots(1, 2, figsize=(9, 3.4))
    for axis, metric in zip(axes, ("confidence", "skill"), strict=True):
        for arm in report.pair:
            found = [(at, each) for at, one in attacks.items() if (each := report.estimate(metric, arm.factors, one))]
            means, ends = means_and_ends([each for _, each in found])
            look = _look(report, arm.factors) | {"linestyle": "-"}
            axis.errorbar([at for at, _ in found], means, yerr=ends, label=arm.title, capsize=2, **look)
        for title, weight in scales.items():
            axis.axvline(weight, color="grey", linewidth=1, linestyle="--")
            axis.annotate(title, (weight, 1), xycoords=("data", "axes fraction"), fontsize=7, ha="center")
        axis.set(xlabel="weight of smoothness (CPU scale)", ylabel=METRICS[metric].label, xscale="log")
    legend_above(drawn)
    return drawn


@figure(
    "ladder_by_model",
    alt="Panels with a row for every model: skill and share of images identified by every attack, each with its 95 % "
    "interval",
    caption="What every attack on features of the first dense layer gets from every model.",
)
def ladder_by_model(report: Report) -> Figure | None:
    arms = report.arms
    drawn, axes = plt.subplots(
        1, len(PRIMARY), figsize=(5 * len(PRIMARY), 0.38 * len(arms) + 1.6), sharey=True, squeeze=False
    )
    for axis, metric in zip(axes[0], PRIMARY, strict=True):
        for number, attack in enumerate(report.climbed):
            found = [report.estimate(metric, arm.factors, attack) for arm in arms]
            _across(axis, [(row, each) for row, each in enumerate(found) if each], attack.title, look_of(number))
        axis.axvline(0, color="black", linewidth=1)
        titles = [arm.title for arm in arms]
        axis.set(xlabel=METRICS[metric].label, yticks=range(len(arms)), yticklabels=titles)
        axis.set(ylim=(len(arms) - 0.4, -0.6))
    _cut(axes[0][PRIMARY.index("skill")])
    legend_above(drawn)
    return drawn


@figure(
    "trade_off",
    alt="Panels with a point for every model: what the strongest attack gets, as skill and as share of images "
    "identified, against the test error on a logarithmic axis",
    caption="What each defence costs, and what the strongest attack still gets: to the left is accurate, below is "
    "private.",
)
def trade_off(report: Report) -> Figure | None:
    drawn, axes = plt.subplots(1, len(PRIMARY), figsize=(5.25 * len(PRIMARY), 5), squeeze=False)
    for axis, metric in zip(axes[0], PRIMARY, strict=True):
        for arm in report.arms:
            if strongest := report.strongest(metric, arm):
                (middle, reach), (mean, ends) = _error(arm), means_and_ends([strongest])
                look = _look(report, arm.factors)
                axis.errorbar(middle, mean, xerr=reach, yerr=ends, label=arm.title, capsize=2, **look)
        axis.set(xlabel="test error (%)", ylabel=f"{METRICS[metric].label}, strongest attack", xscale="log")
        _error_ticks(axis)
    drawn.legend(*axes[0][0].get_legend_handles_labels(), loc="outside lower center", ncols=3, fontsize=8)
    return drawn


def _error(arm: Arm) -> tuple[float, list[list[float]]]:
    """Mean test error in per cent, and how far its range over seeds reaches below and above."""
    errors = [100 * (1 - accuracy) for accuracy in arm.test_accuracy]
    middle = float(np.mean(errors))
    return middle, [[middle - min(errors)], [max(errors) - middle]]


def _error_ticks(axis: Axes) -> None:
    axis.xaxis.set_major_formatter(ScalarFormatter())
    low, high = axis.get_xlim()
    ticks = [tick for tick in ERROR_TICKS if low <= tick <= high]
    if len(ticks) > 1:
        axis.set_xticks(ticks)
    # Of models that are much alike the logarithm's own ticks are all there is to read.
    axis.xaxis.set_minor_formatter(NullFormatter() if len(ticks) > 1 else ScalarFormatter())


@figure(
    "sweep",
    alt="Panels against the share of weights suppressed: test accuracy, and skill and identified share of the "
    "strongest attack, each with its interval",
    caption="The suppressed example at other sparsities.",
)
def sweep(report: Report) -> Figure | None:
    arms = {share: arm for share, arm in report.sweep.items() if all(report.strongest(name, arm) for name in PRIMARY)}
    if len(arms) < 2:
        return None
    at = [100 * share for share in arms]
    drawn, (accuracy, *panels) = plt.subplots(1, 1 + len(PRIMARY), figsize=(3.5 * (1 + len(PRIMARY)), 3.2))
    errors = [_error(arm) for arm in arms.values()]
    reach = np.array([[above[0], below[0]] for _, (below, above) in errors]).T  # of accuracy: error turned round
    accuracy.errorbar(at, [100 - middle for middle, _ in errors], yerr=reach, color=COLOURS[0], marker="o", capsize=2)
    accuracy.set(xlabel="weights suppressed (%)", ylabel="test accuracy (%)")
    for axis, metric in zip(panels, PRIMARY, strict=True):
        found = [each for arm in arms.values() if (each := report.strongest(metric, arm))]
        means, ends = means_and_ends(found)
        axis.errorbar(at, means, yerr=ends, color=COLOURS[0], marker="o", capsize=2)
        axis.set(xlabel="weights suppressed (%)", ylabel=f"{METRICS[metric].label}, strongest attack")
    return drawn


@figure(
    "rank",
    alt="A point for every model: effective rank of the first dense layer's Jacobian against the skill of the "
    "strongest attack",
    caption="How much of an image the features can hold, and how much the strongest attack gets out of them.",
)
def rank(report: Report) -> Figure | None:
    drawn, axis = plt.subplots(figsize=(8, 4.2))
    for arm in report.arms:
        if strongest := report.strongest("skill", arm):
            (x, x_ends), (y, y_ends) = means_and_ends([arm.mechanism.effective_rank]), means_and_ends([strongest])
            axis.errorbar(x, y, xerr=x_ends, yerr=y_ends, label=arm.title, capsize=2, **_look(report, arm.factors))
    axis.set(xlabel="effective rank of the Jacobian at fc1", ylabel="skill of the strongest attack")
    drawn.legend(loc="outside right upper", fontsize=8)
    return drawn


@figure(
    "roc",
    alt="Receiver operating characteristics on logarithmic axes, one panel an attack, with the diagonal of guessing",
    caption="Membership inference: true against false positive rate on log axes; the vertical line is where it is "
    "judged.",
)
def roc(report: Report) -> Figure | None:
    attacks = report.membership
    if not attacks:
        return None
    drawn, axes = plt.subplots(1, len(attacks), figsize=(4 * len(attacks), 3.6), sharey=True, squeeze=False)
    for axis, attack in zip(axes[0], attacks, strict=True):
        least = 1.0
        for number, (title, arm) in enumerate(report.made_on(attack, report.arms)):
            look = {"color": _look(report, arm)["color"], "linestyle": ("-", "--", ":", "-.")[number % 4]}
            for line, run in enumerate(report.runs(arm, attack).values()):
                found = report.results.arrays(run)
                member = found.member.to_numpy(bool)
                curve = roc_of(found.score.to_numpy(), member)
                least = min(least, 1 / np.sum(~member))
                label = None if line else title
                axis.plot(curve.false_positive_rate, curve.true_positive_rate, label=label, linewidth=1, **look)
        axis.plot([least, 1], [least, 1], color="lightgrey", linewidth=4, zorder=1, label="guessing")
        axis.axvline(FALSE_POSITIVE_RATE, color="grey", linewidth=1)
        axis.set(title=attack.title, xlabel="false positive rate", xscale="log", yscale="log")
        axis.set(xlim=(least, 1), ylim=(least, 1))
    axes[0][0].set(ylabel="true positive rate")
    legend_above(drawn, 3)
    return drawn
