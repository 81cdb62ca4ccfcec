"""Tables in Markdown, each written by one function from the summary alone."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import fields
from itertools import chain
from typing import Any

import numpy as np
import pandas as pd

from report.context import Report
from suppress_privacy.evaluation.intervals import Estimate
from suppress_privacy.evaluation.metrics import METRICS
from suppress_privacy.evaluation.verdict import HOLDS, NOT_SHOWN, NOT_TESTED, REFUTED
from suppress_privacy.lenet import Features, Rest
from suppress_study.jobs import Variant
from suppress_study.summary import Arm

PRIMARY = [name for name, metric in METRICS.items() if metric.primary]
JUDGED = [name for name, metric in METRICS.items() if metric.judged]
OF_SCORES = [name for name, metric in METRICS.items() if metric.of == "scores"]
# What the tutorial reports, or is often read to report; the other metrics of images stand beside attacks by strength.
TUTORIAL = ("relative_l2", "ssim_range2", "ssim", "confidence", "label_accuracy")
OF_IMAGES = [name for name, metric in METRICS.items() if metric.of == "image" and name not in TUTORIAL[:-1]]
DIGITS = {"psnr": 1}  # behind the point; others have three
FEW = 20  # values up to which a share is told by counting
SYMBOLS = {HOLDS: "✔", REFUTED: "✘", NOT_SHOWN: "○", NOT_TESTED: "\N{EN DASH}"}


def accuracy_table(report: Report) -> str:
    """Test accuracy and sparsity of the tutorial's two models, next to the documented accuracy."""
    heads = ("model", "test accuracy, documented", "test accuracy, reproduced", "zeros in each weight matrix")
    documented = [_number(report.documented(arm, "test_accuracy")) for arm in report.pair]
    rows = zip(report.pair, documented, strict=True)
    return table(heads, [[arm.title, said, _mean_and_range(arm.test_accuracy), zeros(arm)] for arm, said in rows])


def attack_table(report: Report) -> str:
    """The tutorial's metrics on its two models: documented figure, then mean [95 % interval] for each attack."""
    rows = []
    for metric in TUTORIAL:
        for arm in report.pair:
            cells = [measured(metric, report.estimate(metric, arm.factors, attack)) for attack in report.reported]
            rows.append([METRICS[metric].label, arm.title, _number(report.documented(arm, metric)), *cells])
    return table(["metric", "model", "documented", *(attack.title for attack in report.reported)], rows)


def by_attack(report: Report, attacks: Sequence[Variant], arms: Sequence[Arm], metrics: Sequence[str]) -> str:
    """Some metrics of every attack on every arm, each with its interval, and what it is averaged over.

    Metrics that none of the attacks has are left out.
    """
    made = report.made(attacks, arms)
    metrics = [name for name in metrics if any(report.estimate(name, arm, attack) for attack, _, arm in made)]
    rows = []
    for attack, title, arm in made:
        found = {name: report.estimate(name, arm, attack) for name in metrics}
        cells = [measured(name, each) for name, each in found.items()]
        first = next(each for each in found.values() if each)
        rows.append([attack.title, title, *cells, f"{first.n // len(first.seeds):,}", str(len(first.seeds))])
    of = "candidates" if set(metrics) <= set(OF_SCORES) else "images"
    return table(["attack", "model", *(METRICS[name].label for name in metrics), of, "seeds"], rows)


def ladder_table(report: Report) -> str:
    """Every attack on features where all are compared, on the tutorial's two models."""
    return by_attack(report, report.ladder, report.pair, OF_IMAGES)


def depth_table(report: Report) -> str:
    """Attacks on features of other depths."""
    return by_attack(report, report.depths, report.summary.arms, OF_IMAGES)


def candidates_table(report: Report) -> str:
    """Who knows candidates: how often features tell the private image from the others."""
    return by_attack(report, report.seeing("gallery"), report.summary.arms, OF_IMAGES)


def weaker_table(report: Report) -> str:
    """Attackers who have less, below those who have all."""
    less = [each for each in report.weaker if each not in report.ladder]
    return by_attack(report, report.weaker, [arm for arm in report.summary.arms if report.made(less, [arm])], OF_IMAGES)


def bounds_table(report: Report) -> str:
    """What the strongest attack gets, and what all of them would if the best were picked image by image."""
    which = {"strongest attack": report.strongest, "image by image": report.bound}
    rows = [
        [arm.title, *(interval(get(name, arm)) for name in PRIMARY for get in which.values())]
        for arm in report.summary.arms
        if report.bound(PRIMARY[0], arm)
    ]
    return table(["model", *(f"{METRICS[name].label}, {each}" for name in PRIMARY for each in which)], rows)


def gradient_table(report: Report) -> str:
    """Attacks on gradients, and how often they found the label itself."""
    return by_attack(report, report.seeing("gradients"), report.summary.arms, OF_IMAGES)


def membership_table(report: Report) -> str:
    """Membership inference: area under the ROC and true positives at few false positives."""
    return by_attack(report, report.seeing("outputs"), report.summary.arms, OF_SCORES)


def judges_table(report: Report) -> str:
    """What each evaluator says of every attack on the tutorial's two models."""
    columns = [(metric, evaluator) for metric in JUDGED for evaluator in report.summary.evaluators]
    rows = [
        [attack.title, title, *(measured(metric, report.estimate(metric, arm, attack, by)) for metric, by in columns)]
        for attack, title, arm in report.made(report.ladder, report.pair)
    ]
    return table(["attack", "model", *(f"{METRICS[metric].label}, {by}" for metric, by in columns)], rows)


def mechanism_table(report: Report) -> str:
    """How much of an image the first dense layer's features hold, of the tutorial's two models."""
    heads = ("model", "effective rank of the Jacobian", "dead units", "norm of the features")
    rows = []
    for arm in report.pair:
        rank, norm = interval(arm.mechanism.effective_rank), interval(arm.mechanism.feature_norm)
        rows.append([arm.title, rank, _percent(arm.mechanism.dead_units), norm])
    return table(heads, rows)


def arms_table(report: Report) -> str:
    """Every model of the study: its accuracy, zeros, and what the strongest attack gets from it."""
    rows = []
    for arm in report.summary.arms:
        gets = [measured(name, report.strongest(name, arm)) for name in PRIMARY]
        rank, seeds = interval(arm.mechanism.effective_rank, 1), str(len(arm.seeds))
        rows.append([arm.title, _mean_and_range(arm.test_accuracy), zeros(arm), *gets, rank, seeds])
    gets = [f"{METRICS[name].label}, strongest attack" for name in PRIMARY]
    return table(["model", "test accuracy", "zeros in each weight matrix", *gets, "effective rank", "seeds"], rows)


def layer_table(report: Report) -> str:
    """Share of zeros in each layer of the suppressed model."""
    layers = report.pair[-1].sparsity
    return table(["weights", "zeros"], [[f"`{layer}`", _percent(shares)] for layer, shares in layers.items()])


def verdict_table(report: Report) -> str:
    """Every claim, its verdict, and the figures of the comparison that decides it."""
    rows = []
    for name, claim in report.claims.claims.items():
        found = report.summary.verdicts[name]
        figures = ["", ""] if found.effect is None else _effect(found.effect, found.low, found.high)
        p = "" if found.p is None else f"{found.p:.2g}"
        said = f"{SYMBOLS[found.verdict]} **{found.verdict}**"
        rows.append([name, said, claim.text, found.reason, *figures, p, claim.source])
    return table(["claim", "verdict", "what is claimed", "why", "effect", "95 % interval", "p (Holm)", "source"], rows)


def comparisons_table(report: Report, link: Callable[[str, str], str] | None = None) -> str:
    """Every comparison behind the verdicts.

    Args:
        report: with the verdicts.
        link: from a run's name and a short text to a link to it; None leaves runs out.
    """
    rows = []
    for name, found in report.summary.verdicts.items():
        for one in found.comparisons:
            decided_by = f"within ±{one.band:g}" if one.p is None else f"p = {one.p:.2g}"
            figures = _effect(one.effect, one.low, one.high)
            runs = [" ".join(link(run, str(number)) for number, run in enumerate(one.runs, 1))] if link else []
            rows.append([name, one.asked(), *figures, decided_by, "yes" if one.supports else "no", *runs])
    heads = ["claim", "compared", "effect", "95 % interval", "decided by", "supports"]
    return table(heads + ["runs"] * bool(link), rows)


def gate_table(report: Report) -> str:
    """Every validity check: what was asked, what was found; sanity checks are folded."""
    rows: dict[bool, list[list[str]]] = {True: [], False: []}
    for gate in report.summary.gates:
        result = "passed" if gate.passed else "**failed**"
        rows[gate.of_strength()].append([f"`{gate.name}`", gate.title, gate.asked, f"{gate.found:.4g}", result])
    strength, sanity = (table(["check", "model", "asked", "found", "result"], rows[of]) for of in (True, False))
    folded = f"<details><summary>Sanity checks ({len(rows[False])})</summary>\n\n{sanity}\n\n</details>"
    return f"{strength}\n\n{folded}" if sanity else strength


def means_table(found: Mapping[str, Mapping[tuple[str, str], float]], metrics: Collection[str]) -> str:
    """Some metrics of every attack on one model that has any of them.

    Args:
        found: title -> metric and evaluator, if it needs one -> mean.
        metrics: which to show.
    """
    columns = [name for name in dict.fromkeys(chain(*found.values())) if name[0] in metrics]
    heads = [METRICS[metric].label + (f" by {evaluator}" if evaluator else "") for metric, evaluator in columns]
    rows = [
        [title, *(f"{means[name]:.3f}" if name in means else "" for name in columns)]
        for title, means in found.items()
        if {*means} & {*columns}
    ]
    return table(["attack", *heads], rows)


def game_table(found: Mapping[str, Mapping[tuple[str, str], Estimate]]) -> str:
    """What each attack of a game finds, among canaries and among all other candidates, or gains of its targets.

    Args:
        found: attack -> candidates, metric -> estimate over the game's models.
    """
    metrics = list(dict.fromkeys(metric for estimates in found.values() for _, metric in estimates))
    rows = [
        [f"`{attack}`", among, *(measured(metric, estimates.get((among, metric))) for metric in metrics)]
        for attack, estimates in found.items()
        for among in dict.fromkeys(among for among, _ in estimates)
    ]
    return table(["attack", "among", *(METRICS[metric].label for metric in metrics)], rows)


def view_table(view: Any) -> str:
    """What an attacker has: every part of a view, with the shape of what is in it.

    Args:
        view: of `suppress_privacy.attacks.views`, or several alike, of which the first is shown.
    """
    one = view[0] if isinstance(view, list) else view
    parts = {part.name: getattr(one, part.name) for part in fields(one) if part.repr}
    there = {name: value for name, value in parts.items() if not isinstance(value, tuple) or value}
    return table(["name", "what it holds"], [[f"`{name}`", _held(value)] for name, value in there.items()])


def _held(value: Any) -> str:
    if isinstance(value, tuple):
        return ", ".join(map(_held, value))
    if isinstance(value, np.ndarray):
        return f"{value.dtype} {list(value.shape)}"
    if isinstance(value, Features | Rest):
        return f"{type(value).__name__} of {type(value.network).__name__} at {value.depth}"
    return "nothing" if value is None else str(value) if isinstance(value, int) else type(value).__name__


def settings_table(settings: Mapping[str, Any]) -> str:
    """Settings that are set, one a row; what is nested has its place before a dot."""
    flat = pd.json_normalize(dict(settings)).iloc[0].dropna()
    return table(["setting", "value"], [[f"`{name}`", str(value)] for name, value in flat.items()])


def layer_report(report: Mapping[str, Mapping[str, float]]) -> str:
    """What a `SuppressCtrl.report()` says of each layer at its last mask update, whatever the layers are called."""
    columns = ("weights", "alive", "suppressed", "target", "raised", "lowered", "noised")
    rows = [
        [f"`{name}`", *(f"{layer[column]:,}" for column in columns), f"{layer['threshold']:.4g}"]
        for name, layer in report.items()
    ]
    return table(["layer", *columns, "threshold"], rows)


def training_facts(facts: Mapping[str, float], report: Mapping[str, Mapping[str, float]] | None) -> str:
    """What there is to say of how a model was made, beyond its curves: the defence's facts, then its layers."""
    rows = [[name.replace("_", " "), f"{value:.4g}"] for name, value in facts.items()]
    parts = [table(["setting found or fixed", "value"], rows), layer_report(report or {})]
    return "\n\n".join(part for part in parts if part) or "This arm has no defence."


def table(heads: Sequence[str], rows: Sequence[Sequence[str]], *, repeat: bool = False) -> str:
    """A table in Markdown, or nothing without rows; a first cell like the one above it is left empty or repeated."""
    found = pd.DataFrame(rows, columns=heads)
    first = found.iloc[:, 0]
    found.isetitem(0, first if repeat else first.where(first != first.shift(), ""))
    return str(found.to_markdown(index=False, disable_numparse=True)) if len(rows) else ""


def measured(metric: str, estimate: Estimate | None) -> str:
    """A metric's mean with its 95 % interval, or a share of few values as their number."""
    if estimate and METRICS[metric].proportion and (estimate.n <= FEW or metric == "failed"):
        return f"{round(estimate.mean * estimate.n)} of {estimate.n}"
    return interval(estimate, DIGITS.get(metric, 3))


def interval(estimate: Estimate | None, digits: int = 3) -> str:
    """A mean with its 95 % interval, as text."""
    if estimate is None:
        return "n/a"
    mean, low, high = (f"{value:z.{digits}f}" for value in (estimate.mean, estimate.low, estimate.high))
    return f"{mean} [{low}, {high}]"


def zeros(arm: Arm) -> str:
    """The range of the shares of zeros in an arm's weight matrices."""
    return _percent([share for shares in arm.sparsity.values() for share in shares])


def _effect(effect: float, low: float | None, high: float | None) -> list[str]:
    return [f"{effect:+z.4f}", f"[{low:+z.4f}, {high:+z.4f}]"]


def _number(value: float | None) -> str:
    return "n/a" if value is None else f"{value:.4f}"


def _mean_and_range(values: Sequence[float]) -> str:
    spread = f" ({min(values):.4f} to {max(values):.4f})" if len(values) > 1 else ""
    return f"{np.mean(values):.4f}{spread}"


def _percent(shares: Sequence[float]) -> str:
    low, high = f"{100 * min(shares):.1f}", f"{100 * max(shares):.1f}"
    return f"{low} %" if low == high else f"{low} to {high} %"
