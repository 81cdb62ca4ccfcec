"""The book's figures by name. Each enters itself: its docstring is its caption, then its alternative text."""

import inspect
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from IPython.display import Image
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter, ScalarFormatter

from report import drawing, front
from report.context import NOBODY, Factors, Report
from report.drawing import image_rows, legend, look_of, points, reach, styled
from report.tables import PRIMARY, TUTORIAL
from suppress_privacy.evaluation.intervals import Estimate
from suppress_privacy.evaluation.membership import roc as roc_of
from suppress_privacy.evaluation.metrics import FALSE_POSITIVE_RATE, METRICS
from suppress_privacy.files import atomically
from suppress_privacy.mnist import SIDE
from suppress_study.jobs import Variant
from suppress_study.summary import Arm
from suppress_study.targets import EXTREMES

DPI = 150
ERROR_TICKS = (0.5, 1, 1.5, 2, 3, 5, 10, 20, 50, 90)  # per cent
Attacks = Iterable[tuple[float, Variant]]  # each with its place along an axis
Draw = Callable[[Report], Figure | None]


@dataclass(frozen=True)
class Entry:
    """A figure of the book."""

    caption: str
    alt: str  # what there is to see, for who does not see it
    draw: Draw  # gives None where the profile has nothing to show in it


FIGURES: dict[str, Entry] = {}


def figure(draw: Draw) -> Draw:
    """Enter a figure into `FIGURES` by its function's name."""
    caption, alt = (" ".join(part.split()) for part in inspect.cleandoc(draw.__doc__ or "").split("\n\n"))
    FIGURES[draw.__name__] = Entry(caption, alt, styled(draw))
    return FIGURES[draw.__name__].draw


def show(report: Report, name: str, folder: Path) -> Image | None:
    """Draw a figure, keep it for the pages as NAME.png, and give it to a notebook with its alternative text."""
    drawn, path = FIGURES[name].draw(report), folder / f"{name}.png"
    if drawn is None:
        return None
    with atomically(path) as part:
        drawn.savefig(part, dpi=DPI, format="png", bbox_inches="tight")
    return Image(path.read_bytes(), alt=FIGURES[name].alt)


@figure
def overview(report: Report) -> Figure | None:
    """From three networks of one accuracy. *Identified*: private images that are nearer to their reconstruction than
    many others of their digit. *Confidence*: what the tutorial measures.

    Rows of digits: the private images; the average of the predicted digit, blurred and the same for every image; what
    the tutorial's attack makes of an ordinary and a suppressed network and of noisy features, hard to read; and
    what the strongest attack does, which looks like the originals. Beside each row the share of images identified and
    a classifier's confidence.
    """
    return _overview(report, range(10), 7.0)


@figure
def overview_narrow(report: Report) -> Figure | None:
    """The picture of the first page, for narrow screens.

    Rows of three digits: the private images, and what two attacks reconstruct of them from three networks; beside each
    row the share of images identified and a classifier's confidence.
    """
    return _overview(report, (2, 5, 8), 4.1)


def _overview(report: Report, digits: Collection[int], width: float) -> Figure | None:
    """Those classes' first private images, in so many inches."""
    pictures, firsts = report.results.pictures, _first_of_each_class(report)
    targets = [firsts[digit] for digit in digits if digit in firsts]
    groups = {
        by: [
            (row.title, [pictures.images[run][one] for one in targets], _scores(report, row))
            for row in rows
            if (run := report.picture(row.attack, row.arm)) in pictures.images
        ]
        for by, rows in front.rows(report).items()
    }
    if not all(groups.values()):
        return None
    originals = [pictures.originals[one] for one in targets]
    return drawing.grouped_rows(originals, groups.items(), ("identified", "confidence"), width)


def _scores(report: Report, row: front.Row) -> list[str]:
    found = [report.estimate(metric, row.arm, row.attack) for metric in (front.IDENTIFIED, front.CONFIDENCE)]
    return [front.percent(each) if each else "" for each in found]


def _first_of_each_class(report: Report) -> dict[int, int]:
    """The first private image of each class."""
    images = report.results.images
    return images[images.campaign == report.study.campaign].groupby("label").image.min().to_dict()


@figure
def ladder(report: Report) -> Figure | None:
    """Every attack on features of the first dense layer, from no attack at all to the strongest.

    Panels with a row for every attack: skill against the mean image, and share of images identified, each with its
    95 % interval for every model.
    """
    drawn, axes = _panels(len(PRIMARY), 4.5, 0.38 * len(report.ladder) + 1.4)
    for axis, metric in zip(axes, PRIMARY, strict=True):
        _attack_rows(axis, report, report.ladder, metric)
    return legend(drawn)


@figure
def documented(report: Report) -> Figure | None:
    """Every metric of every attack on both models with its 95 % interval, and the tutorial's figures.

    Five panels, one for each metric, with mean and 95 % interval of every attack on both models, and dashed lines at
    the figures of the tutorial.
    """
    drawn, axes = plt.subplots(2, 3, figsize=(8.5, 2 * (0.4 * len(report.reported) + 1.2)), sharey=True)
    for axis, metric in zip(axes.flat, TUTORIAL, strict=False):
        _attack_rows(axis, report, report.reported, metric)
        for number, arm in enumerate(report.pair):
            if (published := report.documented(arm, metric)) is not None:
                look = {"color": look_of(number)["color"], "linestyle": "--", "linewidth": 1}
                axis.axvline(published, label=f"{arm.title}, documented", **look)
    axes.flat[-1].axis("off")
    axes.flat[-1].legend(*axes.flat[0].get_legend_handles_labels(), loc="center")
    return drawn


def _panels(count: int, width: float, height: float, *, sharey: bool = True) -> tuple[Figure, Sequence[Axes]]:
    """Panels side by side."""
    drawn, axes = plt.subplots(1, count, figsize=(width * count, height), sharey=sharey, squeeze=False)
    return drawn, axes[0]


def _attack_rows(axis: Axes, report: Report, attacks: Sequence[Variant], metric: str) -> None:
    """One row an attack, one marker a model; of attacks that look at no model one for all, in grey."""
    looking = [(row, attack) for row, attack in enumerate(attacks) if attack.sees != "nothing"]
    for number, arm in enumerate(report.pair):
        shift = 0.2 * (number - (len(report.pair) - 1) / 2)
        shifted = [(row + shift, attack) for row, attack in looking]
        _series(axis, report, metric, arm.factors, shifted, across=True, label=arm.title, **look_of(number))
    grey = {"color": "grey", "marker": "*", "linestyle": "", "label": "no model looked at"}
    _series(axis, report, metric, NOBODY, enumerate(attacks), across=True, **grey)
    _name_rows(axis, [attack.title for attack in attacks], metric)


def _series(axis: Axes, report: Report, metric: str, arm: Factors, attacks: Attacks, **look: Any) -> None:
    """What attacks get from an arm, each at its place."""
    points(axis, [(at, report.estimate(metric, arm, attack)) for at, attack in attacks], **look)


def _name_rows(axis: Axes, titles: Sequence[str], metric: str) -> None:
    count = len(titles)
    axis.set(xlabel=METRICS[metric].label, yticks=range(count), yticklabels=titles, ylim=(count - 0.4, -0.6))
    if metric in PRIMARY:  # a bad attack is worse than the mean image without bound: how much so does not matter
        axis.axvline(0, color="black", linewidth=1)
        axis.set_xlim(left=max(axis.get_xlim()[0], -1.0))


def _attacked(report: Report, attacks: Sequence[Variant]) -> list[Arm]:
    """Arms that any of these attacks was made on."""
    return [arm for arm in report.summary.arms if report.made(attacks, [arm])]


@figure
def grid(report: Report) -> Figure | None:
    """The first private image of each class, and what each attack makes of its features. The black and the mean
    image look at no features at all.

    Rows of ten digits, one of each class: the originals, the floors, and the reconstructions from the ordinary and the
    suppressed model by every attack on features.
    """
    return _grid(report, report.ladder, report.pair)


@figure
def grid_all(report: Report) -> Figure | None:
    """The first private image of each class, and what the attack that each row names makes of it on every model.

    Rows of ten digits, one of each class: the originals, and what one learned attack makes of the features of every
    model.
    """
    return _grid(report, report.learned[-1:], report.summary.arms)


@figure
def gradients(report: Report) -> Figure | None:
    """The first private image of each class, from the gradients of one step on it.

    Rows of ten digits, one of each class: the originals, and what each attack on gradients makes of them.
    """
    return _grid(report, report.seeing("gradients"), report.pair)


def _grid(report: Report, attacks: Iterable[Variant], arms: Sequence[Arm]) -> Figure | None:
    targets = [*_first_of_each_class(report).values()]
    return drawing.reconstruction_grid(report.results.pictures, report.shown(attacks, arms), targets)


@figure
def extremes(report: Report) -> Figure | None:
    """The private images that each attack reconstructs best, in the middle and worst, by skill; each pair of rows has
    its own.

    Pairs of rows of nine digits: originals, and under them the three best, three median and three worst
    reconstructions by every learned attack on both models.
    """
    rows, pictures = [], report.results.pictures
    for title, run in report.shown(report.learned, report.pair):
        found = report.results.arrays(run)
        skill = found[found.evaluator == ""].set_index("image").skill
        targets = _kept_extremes(skill.rank(ascending=False, method="first").to_dict(), pictures.images[run])
        rows.append(("original", [pictures.originals[target] for target in targets]))
        rows.append((title, [pictures.images[run][target] for target in targets]))
    heads = [f"{word} {number + 1}" for word in ("best", "median", "worst") for number in range(EXTREMES)]
    return image_rows(rows, heads) if rows else None


def _kept_extremes(ranks: dict[int, float], kept: Iterable[int]) -> list[int]:
    """The best, the middle and the worst of what was kept, by ranks of rounded skill: neighbours may be swapped."""
    by_rank = sorted(kept, key=ranks.__getitem__)
    middle = sorted(by_rank, key=lambda target: abs(ranks[target] - (len(ranks) + 1) / 2))[:EXTREMES]
    return [*by_rank[:EXTREMES], *sorted(middle, key=ranks.__getitem__), *by_rank[-EXTREMES:]]


@figure
def convergence(report: Report) -> Figure | None:
    """The tuned attack's best objective so far: median over the private images, and their middle half.

    Lines falling over the steps of the tuned attack, one a model, the middle half of the images shaded.
    """
    shown = report.shown(report.ladder, report.pair)
    rows = [(title, run, report.results.runs[run].settings["settings"].get("iters", 1)) for title, run in shown]
    return drawing.convergence(report.results.pictures, rows)


@figure
def depth(report: Report) -> Figure | None:
    """Skill by the layer whose features the attacker sees.

    A panel for each family of attacks: skill against the depth of the features it is given, one line a model.
    """
    families: dict[str, list[tuple[float, Variant]]] = {}  # by title without the depth
    for each in report.seeing("features"):
        compared = replace(each, factors={**each.factors, "depth": report.study.roles.depth})
        families.setdefault(report.study.title(compared), []).append(
            (report.layers.index(str(each.factors["depth"])), each)
        )
    families = {title: attacks for title, attacks in families.items() if len(attacks) > 1}
    if not families:
        return None
    drawn, axes = _panels(len(families), 3.2, 3.2)
    for axis, (title, attacks) in zip(axes, families.items(), strict=True):
        for number, arm in enumerate(_attacked(report, report.depths)):
            _series(axis, report, "skill", arm.factors, attacks, label=arm.title, **look_of(number, line=True))
        axis.axhline(0, color="black", linewidth=1)
        axis.set(title=title, xlabel="features seen at", xticks=range(len(report.layers)), xticklabels=report.layers)
    axes[0].set(ylabel=METRICS["skill"].label)
    return legend(drawn)


@figure
def smoothness(report: Report) -> Figure | None:
    """The tutorial's attack at other weights of smoothness, on the scale that the reference has on a CPU; dashed lines
    mark what its own weight comes to on each device.

    Two panels: confidence and skill of the tutorial's attack against its weight of smoothness, with the weight that
    each device gives it marked.
    """
    weighed = [each for each in report.attacks if each.factors.get("smoothness") == "cpu"]
    if len(weighed) < 2:
        return None
    attacks = [(float(each.factors.get("smoothness_weight", 0)), each) for each in weighed]
    own = report.study.variant(report.profile, weighed[0].attack).settings["smoothness_weight"]
    drawn, axes = _panels(2, 4.5, 3.4, sharey=False)
    for axis, metric in zip(axes, ("confidence", "skill"), strict=True):
        for number, arm in enumerate(report.pair):
            _series(axis, report, metric, arm.factors, attacks, label=arm.title, **look_of(number, line=True))
        # Of an image of side s that is black at its edges the CPU's sum is s times the mean that other devices take.
        for title, weight in (("CPU", own), ("Ascend", own / SIDE)):
            axis.axvline(weight, color="grey", linewidth=1, linestyle="--")
            axis.annotate(title, (weight, 1), xycoords=("data", "axes fraction"), fontsize=7, ha="center")
        axis.set(xlabel="weight of smoothness (CPU scale)", ylabel=METRICS[metric].label, xscale="log")
    return legend(drawn)


@figure
def ladder_by_model(report: Report) -> Figure | None:
    """What every attack on features of the first dense layer gets from every model.

    Panels with a row for every model: skill and share of images identified by every attack, each with its 95 %
    interval.
    """
    shuffled = report.claims.checks.shuffled["attack"]
    attacks = [each for each in report.ladder if each.sees != "nothing" and each.attack != shuffled]
    drawn, axes = _panels(len(PRIMARY), 5, 0.38 * len(report.summary.arms) + 1.6)
    for axis, metric in zip(axes, PRIMARY, strict=True):
        for number, attack in enumerate(attacks):
            found = [report.estimate(metric, arm.factors, attack) for arm in report.summary.arms]
            points(axis, enumerate(found), across=True, label=attack.title, **look_of(number))
        _name_rows(axis, [arm.title for arm in report.summary.arms], metric)
    return legend(drawn)


@figure
def trade_off(report: Report) -> Figure | None:
    """What each defence costs, and what the strongest attack still gets: to the left is accurate, below is private.

    Panels with a point for every model: what the strongest attack gets, as skill and as share of images identified,
    against the test error on a logarithmic axis.
    """
    drawn, axes = _panels(len(PRIMARY), 5.25, 5, sharey=False)
    for axis, metric in zip(axes, PRIMARY, strict=True):
        _strongest(axis, report, metric, lambda arm: _per_cent([1 - share for share in arm.test_accuracy]))
        axis.set(xlabel="test error (%)", ylabel=f"{METRICS[metric].label},\nstrongest attack", xscale="log")
        axis.xaxis.set_major_formatter(ScalarFormatter())
        low, high = axis.get_xlim()
        ticks = [tick for tick in ERROR_TICKS if low <= tick <= high]
        if len(ticks) > 1:
            axis.set_xticks(ticks)
        # Of models that are much alike the logarithm's own ticks are all there is to read.
        axis.xaxis.set_minor_formatter(NullFormatter() if len(ticks) > 1 else ScalarFormatter())
    return legend(drawn, "outside lower center", 3)


def _strongest(axis: Axes, report: Report, metric: str, held: Callable[[Arm], Estimate]) -> None:
    """What the strongest attack gets from each model, against something else of it."""
    for number, arm in enumerate(report.summary.arms):
        at, found = held(arm), report.strongest(metric, arm)
        points(axis, [(at.mean, found)], xerr=reach([at]), label=arm.title, **look_of(number))


def _per_cent(shares: Sequence[float]) -> Estimate:
    """Their mean with their range for an interval."""
    values = 100 * np.array(shares)
    return Estimate(values.mean(), values.min(), values.max(), len(values))


@figure
def sweep(report: Report) -> Figure | None:
    """The suppressed example at other sparsities.

    Panels against the share of weights suppressed: test accuracy, and skill and identified share of the strongest
    attack, each with its interval.
    """
    if len(report.sweep) < 2:
        return None
    drawn, axes = _panels(1 + len(PRIMARY), 3.5, 3.2, sharey=False)
    arms, look = [(100 * share, arm) for share, arm in report.sweep.items()], look_of(0, line=True)
    points(axes[0], [(at, _per_cent(arm.test_accuracy)) for at, arm in arms], **look)
    axes[0].set(xlabel="weights suppressed (%)", ylabel="test accuracy (%)")
    for axis, metric in zip(axes[1:], PRIMARY, strict=True):
        points(axis, [(at, report.strongest(metric, arm)) for at, arm in arms], **look)
        axis.set(xlabel="weights suppressed (%)", ylabel=f"{METRICS[metric].label},\nstrongest attack")
    return drawn


@figure
def rank(report: Report) -> Figure | None:
    """How much of an image the features can hold, and how much the strongest attack gets out of them.

    A point for every model: effective rank of the first dense layer's Jacobian against the skill of the strongest
    attack.
    """
    drawn, axis = plt.subplots(figsize=(8, 4.2))
    _strongest(axis, report, "skill", lambda arm: arm.mechanism.effective_rank)
    axis.set(xlabel="effective rank of the Jacobian at fc1", ylabel="skill of the strongest attack")
    return legend(drawn, "outside right upper", 1)


@figure
def roc(report: Report) -> Figure | None:
    """Membership inference: true against false positive rate on log axes; the vertical line is where it is judged.

    Receiver operating characteristics on logarithmic axes, one panel an attack, with the diagonal of guessing.
    """
    attacks = report.seeing("outputs")
    if not attacks:
        return None
    drawn, axes = _panels(len(attacks), 4, 3.6)
    for axis, attack in zip(axes, attacks, strict=True):
        least = 1.0
        for number, arm in enumerate(_attacked(report, attacks)):
            look = {"color": look_of(number)["color"], "linestyle": ("-", "--", ":", "-.")[number % 4]}
            for run in report.runs(arm.factors, attack).values():
                found = report.results.arrays(run)
                curve = roc_of(found.score.to_numpy(), found.member.to_numpy(bool))
                least = min(least, 1 / (~found.member.to_numpy(bool)).sum())
                axis.plot(curve.false_positive_rate, curve.true_positive_rate, label=arm.title, linewidth=1, **look)
        axis.plot([least, 1], [least, 1], color="lightgrey", linewidth=4, zorder=1, label="guessing")
        axis.axvline(FALSE_POSITIVE_RATE, color="grey", linewidth=1)
        axis.set(title=attack.title, xlabel="false positive rate", xscale="log", yscale="log")
        axis.set(xlim=(least, 1), ylim=(least, 1))
    axes[0].set(ylabel="true positive rate")
    return legend(drawn, ncols=3)
