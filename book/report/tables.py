"""Tables in Markdown, each written by one function from the summary alone."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from report.context import Report
from suppress_privacy.evaluation.intervals import Estimate
from suppress_privacy.evaluation.metrics import METRICS
from suppress_study.plan import Variant
from suppress_study.summary import Arm

# What the tutorial reports, or is often read to report; all other metrics of images stand beside the attacks' ladder.
TUTORIAL = ("relative_l2", "ssim_range2", "ssim", "confidence", "label_accuracy")
OF_IMAGES = [*(name for name, metric in METRICS.items() if metric.of == "image" and name not in TUTORIAL), TUTORIAL[-1]]
OF_SCORES = [name for name, metric in METRICS.items() if metric.of == "scores"]
DIGITS = {"psnr": 1}  # behind the point; others have three
Cells = Mapping[str, str]


def accuracy_table(report: Report) -> str:
    """Test accuracy and sparsity of the tutorial's two models, next to the documented accuracy."""
    return _table(
        {
            "model": arm.title,
            "test accuracy, documented": _number(report.documented(arm, "test_accuracy")),
            "test accuracy, reproduced": _mean_and_range(arm.test_accuracy),
            "zeros in each weight matrix": zeros(arm),
        }
        for arm in report.pair
    )


def attack_table(report: Report) -> str:
    """The tutorial's metrics on its two models: documented figure, then mean [95 % interval] for each attack."""
    return _table(
        (
            {
                "metric": METRICS[metric].label,
                "model": arm.title,
                "documented": _number(report.documented(arm, metric)),
                **{attack.title: _cell(report, metric, arm.factors, attack) for attack in report.reported},
            }
            for metric in TUTORIAL
            for arm in report.pair
        ),
        once="metric",
    )


def by_attack(report: Report, attacks: Sequence[Variant], arms: Sequence[Arm], metrics: Sequence[str]) -> str:
    """Some metrics of every attack on every arm, each with its interval, and what it is averaged over.

    Metrics that none of the attacks has are left out.
    """
    rows = []
    counted = "candidates" if METRICS[metrics[0]].of == "scores" else "images"
    for attack in attacks:
        for title, arm in report.made_on(attack, arms):
            found = {name: each for name in metrics if (each := report.estimate(name, arm, attack))}
            first = next(iter(found.values()))
            cells = {METRICS[name].label: interval(each, DIGITS.get(name, 3)) for name, each in found.items()}
            averaged = {counted: f"{first.each():,}", "seeds": str(len(first.seeds))}
            rows.append({"attack": attack.title, "model": title, **cells, **averaged})
    heads = [METRICS[name].label for name in metrics]
    return _table(rows, once="attack", order=["attack", "model", *heads, counted, "seeds"])


def judges_table(report: Report) -> str:
    """What each evaluator says of every attack on the tutorial's two models."""
    judged = [name for name, metric in METRICS.items() if metric.judged]
    return _table(
        (
            {
                "attack": attack.title,
                "model": title,
                **{
                    f"{METRICS[metric].label}, {evaluator}": _cell(report, metric, arm, attack, evaluator)
                    for metric in judged
                    for evaluator in report.summary.evaluators
                },
            }
            for attack in report.ladder
            for title, arm in report.made_on(attack, report.pair)
        ),
        once="attack",
    )


def mechanism_table(report: Report) -> str:
    """How much of an image the first dense layer's features hold, of the tutorial's two models."""
    return _table(
        {
            "model": arm.title,
            "effective rank of the Jacobian": interval(arm.mechanism.effective_rank),
            "dead units": _percent_range(arm.mechanism.dead_units),
            "norm of the features": interval(arm.mechanism.feature_norm),
        }
        for arm in report.pair
    )


def arms_table(report: Report) -> str:
    """Every model of the study: its accuracy, zeros, and what the strongest attack gets from it."""
    primary = [metric for metric in METRICS.values() if metric.primary]
    return _table(
        {
            "model": arm.title,
            "test accuracy": _mean_and_range(arm.test_accuracy),
            "zeros in each weight matrix": zeros(arm),
            **{f"{each.label}, strongest attack": interval(report.strongest(each.name, arm)) for each in primary},
            "effective rank": interval(arm.mechanism.effective_rank, 1),
            "seeds": str(len(arm.seeds)),
        }
        for arm in report.arms
    )


def layer_table(report: Report) -> str:
    """Share of zeros in each layer of the suppressed model."""
    layers = report.pair[-1].sparsity
    return _table({"weights": f"`{layer}`", "zeros": _percent_range(shares)} for layer, shares in layers.items())


def verdict_table(report: Report) -> str:
    """Every claim, its verdict, and the figures of the comparison that decides it."""
    rows = []
    for name, claim in report.claims.claims.items():
        answer = report.summary.verdicts[name]
        rows.append(
            {
                "": name,
                "claim": claim.text,
                "source": claim.source,
                "verdict": f"**{answer.verdict}**",
                "effect": "" if answer.effect is None else f"{answer.effect:+.4f}",
                "95 % interval": "" if answer.effect is None else f"[{answer.low:+.4f}, {answer.high:+.4f}]",
                "p (Holm)": "" if answer.p is None else f"{answer.p:.2g}",
                "why": answer.reason,
            }
        )
    return _table(rows)


def comparisons_table(report: Report, link: Callable[[str, str], str] | None = None) -> str:
    """Every comparison behind the verdicts.

    Args:
        report: with the verdicts.
        link: from a run's name and a short text to a link to it; None leaves runs out.
    """
    rows = []
    for name, answer in report.summary.verdicts.items():
        for one in answer.comparisons:
            row = {
                "": name,
                "compared": one.what,
                "effect": f"{one.effect:+.4f}",
                "95 % interval": f"[{one.low:+.4f}, {one.high:+.4f}]",
                "decided by": f"within ±{one.band:g}" if one.p is None else f"p = {one.p:.2g}",
                "supports": "yes" if one.supports else "no",
            }
            if link:
                row["runs"] = " ".join(link(run, str(number)) for number, run in enumerate(one.runs, 1))
            rows.append(row)
    return _table(rows, once="")


def gate_table(report: Report) -> str:
    """Every validity gate: what was asked, what was found."""
    return _table(
        {
            "gate": f"`{gate.name}`",
            "of": gate.about,
            "asked": gate.asked,
            "found": f"{gate.found:.4g}",
            "": "passed" if gate.passed else "**failed**",
        }
        for gate in report.summary.gates
    )


def means_table(found: Mapping[str, Mapping[str, float]]) -> str:
    """Every metric of every attack on one model.

    Args:
        found: title -> metric -> mean; what an evaluator says is called "METRIC by EVALUATOR".
    """

    def head(name: str) -> str:
        metric, by, evaluator = name.partition(" by ")
        return METRICS[metric].label + by + evaluator

    return _table(
        {"attack": title, **{head(name): f"{value:.3f}" for name, value in values.items()}}
        for title, values in found.items()
    )


def layer_report(report: Mapping[str, Mapping[str, float]]) -> str:
    """What a `SuppressCtrl.report()` says of each layer at its last mask update, whatever the layers are called."""
    columns = ("weights", "alive", "suppressed", "target", "raised", "lowered", "noised")
    return _table(
        {
            "layer": f"`{name}`",
            **{column: f"{entry[column]:,}" for column in columns},
            "threshold": f"{entry['threshold']:.4g}",
        }
        for name, entry in report.items()
    )


def training_facts(facts: Mapping[str, float], report: Mapping[str, Mapping[str, float]] | None) -> str:
    """What there is to say of how a model was made, beyond its curves: the defence's facts, then its layers."""
    found = _table(
        {"setting found or fixed": name.replace("_", " "), "value": f"{value:.4g}"} for name, value in facts.items()
    )
    parts = [part for part in (found, layer_report(report or {})) if part]
    return "\n\n".join(parts) or "This arm has no defence."


def interval(estimate: Estimate | None, digits: int = 3) -> str:
    """A mean with its 95 % interval, as text."""
    if estimate is None:
        return "n/a"
    return f"{estimate.mean:.{digits}f} [{estimate.low:.{digits}f}, {estimate.high:.{digits}f}]"


def _cell(report: Report, metric: str, arm: Mapping[str, Any], attack: Variant, evaluator: str = "") -> str:
    return interval(report.estimate(metric, arm, attack, evaluator))


def _number(value: float | None) -> str:
    return "n/a" if value is None else f"{value:.4f}"


def _mean_and_range(values: Sequence[float]) -> str:
    spread = f" ({min(values):.4f} to {max(values):.4f})" if len(values) > 1 else ""
    return f"{np.mean(values):.4f}{spread}"


def zeros(arm: Arm) -> str:
    """The range of the shares of zeros in an arm's weight matrices."""
    return _percent_range([share for shares in arm.sparsity.values() for share in shares])


def _percent_range(shares: Sequence[float]) -> str:
    low, high = 100 * min(shares), 100 * max(shares)
    return f"{low:.1f} %" if f"{low:.1f}" == f"{high:.1f}" else f"{low:.1f} to {high:.1f} %"


def _table(rows: Iterable[Cells], *, once: str | None = None, order: Sequence[str] | None = None) -> str:
    """Rows as a Markdown table, or nothing without rows.

    Args:
        rows: head -> cell; a cell that one row lacks is empty there.
        once: a head whose cell stands only in the first of the rows that share it.
        order: of the heads, those that no row has left out.
    """
    frame = pd.DataFrame(rows).fillna("")
    if frame.empty:
        return ""
    if order:
        frame = frame[[head for head in order if head in frame]]
    if once is not None:
        frame[once] = frame[once].where(frame[once] != frame[once].shift(), "")
    return str(frame.to_markdown(index=False, disable_numparse=True))
