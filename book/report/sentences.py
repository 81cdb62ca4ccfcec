"""Sentences whose words follow from the figures: what came out, how sure it is, what it was made with."""

from collections.abc import Mapping
from typing import Any

from report.context import Report
from report.tables import SYMBOLS, interval, zeros
from suppress_privacy.evaluation.gates import REQUIRED
from suppress_privacy.evaluation.intervals import Estimate
from suppress_privacy.evaluation.verdict import HOLDS
from suppress_study.jobs import Variant


def repeated(report: Report) -> str:
    """What came out of the tutorial: the cost in accuracy, what the tutorial's attack gets, the tutorial's word."""
    if len(report.pair) < 2:
        return ""
    accuracy = [sum(arm.test_accuracy) / len(arm.test_accuracy) for arm in report.pair]
    said = [report.documented(arm, "test_accuracy") for arm in report.pair]
    text = (
        f"With {zeros(report.pair[1])} of each weight matrix at zero, test accuracy is {accuracy[1]:.4f}, "
        f"against {accuracy[0]:.4f} for the ordinary model (the tutorial: {said[1]:.4f} against {said[0]:.4f}). An "
        "independent classifier's confidence in the true digit, given what the tutorial's attack reconstructs, is\n"
    )
    said = [report.documented(arm, "confidence") for arm in report.pair]
    for attack in report.reference:
        values = [interval(report.estimate("confidence", arm.factors, attack)) for arm in report.pair]
        text += (
            f"\n- {values[0]} for the ordinary and {values[1]} for the suppressed model ({attack.title}), where the "
            f"tutorial reports {said[0]:.3f} and {said[1]:.3f}: {_fall(report, attack)}."
        )
    return text


def _documented_fall(report: Report) -> float:
    """What the tutorial reports of the suppressed model's confidence minus the ordinary one's."""
    ordinary, suppressed = (report.documented(arm, "confidence") or 0.0 for arm in report.pair)
    return suppressed - ordinary


def _fall(report: Report, attack: Variant) -> str:
    """How the change in confidence, paired image by image, compares with the tutorial's."""
    change, documented = report.difference("confidence", report.pair[1].factors, attack), _documented_fall(report)
    if change is None:
        return "not both were made"
    fell = beside(change, documented, documented, below="a larger fall than", above="a smaller fall than")
    return f"a change of {interval(change)}, {fell} the tutorial's {documented:.3f}"


def beside(found: Estimate, low: float, high: float, *, below: str, above: str) -> str:
    """Where an interval lies beside another."""
    return below if found.high < low else above if found.low > high else "not distinguishable from"


def attack_reading(report: Report) -> str:
    """A list: how the models differ under the tutorial's attack, and whether it beats the mean image."""
    ordinary, suppressed = report.pair
    mean = next(each for each in report.ladder if each.kind == "mean")
    lines = []
    for attack in report.reference:
        distance, idle = (report.estimate("relative_l2", ordinary.factors, each) for each in (attack, mean))
        if idle is None or distance is None:
            continue
        confidence, labels, apart = (
            interval(report.difference(metric, suppressed.factors, attack))
            for metric in ("confidence", "label_accuracy", "relative_l2")
        )
        said = beside(distance, idle.low, idle.high, below="better than", above="worse than")
        lines.append(
            f"- **{attack.title}.** Suppressed minus ordinary, image by image: confidence {confidence}, labels "
            f"recovered {labels}, relative L2 distance {apart}. In that distance the reconstructions are, even on the "
            f"ordinary model, {said} the mean image, which needs no attack "
            f"({interval(distance)}; {interval(idle)})."
        )
    return "\n".join(lines)


def gap_left(report: Report) -> str:
    """A list: what is left of the tutorial's gap in confidence between networks of one optimiser, and in skill."""
    control = report.arm(report.study.roles.control)
    if control is None or len(report.pair) < 2:
        return ""
    pair, last = (report.pair[1], control), list(report.summary.evaluators)[-1]
    lines = []
    for attack in report.reference:
        confidence, by_last, skill = (
            " against ".join(interval(report.estimate(metric, arm.factors, attack, evaluator)) for arm in pair)
            for metric, evaluator in (("confidence", ""), ("confidence", last), ("skill", ""))
        )
        lines.append(
            f"- **{attack.title}**, suppressed against ordinary network of the same optimiser: confidence "
            f"{confidence}, where the tutorial's own two models differ by {_documented_fall(report):.3f}; by the "
            f"evaluator of another architecture {by_last}; skill {skill}, where the mean image has 0."
        )
    return "\n".join(lines)


def verdict_counts(report: Report) -> str:
    """How many claims hold, are refuted, not shown or were not tested, and which: one sentence."""
    answers, counts = report.summary.verdicts, []
    for word in SYMBOLS:
        if names := [name for name, answer in answers.items() if answer.verdict == word]:
            one, more = ("holds", "hold") if word == HOLDS else (f"is {word}", f"are {word}")
            counts.append(f"{len(names)} {one if len(names) == 1 else more} ({', '.join(names)})")
    return f"Of {len(answers)} claims, {', '.join(counts[:-1])}{', and ' if counts[1:] else ''}{counts[-1]}."


def gate_verdict(report: Report) -> str:
    """Whether the attacks are strong enough for their failure to mean anything."""
    gates, seen = report.summary.gates, {variant.sees for variant in report.attacks}
    required = [name for sees, names in REQUIRED.items() if sees in seen for name in names]
    missing = [name for name in required if name not in {gate.name for gate in gates}]
    failed = [gate for gate in gates if not gate.passed]
    passed = [gate.of_strength() for gate in gates if gate.passed]
    text = (
        f"{sum(passed)} of {len(required)} checks of attack strength and {len(passed) - sum(passed)} of "
        f"{sum(not gate.of_strength() for gate in gates)} sanity checks passed."
    )
    if failed:
        of_models = all(gate.of_model for gate in failed)
        said = "A model is not what it should be" if of_models else "Attack too weak"
        listed = "; ".join(f"{gate}: {gate.found:.4g}, asked was {gate.asked}" for gate in failed)
        text = f"**{said}.** {text} Failed: {listed}."
    if missing:
        text += f" **Not tested** by this run: {', '.join(missing)}."
    return text


def mechanism_results(results: Mapping[str, Any]) -> str:
    """How much of an image one model's features hold: of a look at them, values by image."""
    rank, norm = (sum(values) / len(values) for values in (results["effective_rank"], results["feature_norm"]))
    return (
        f"At the first dense layer: effective rank of the Jacobian {rank:.1f}, "
        f"{100 * results['dead_units']:.1f} % of the units dead, norm of the features {norm:.2f}."
    )


def provenance(report: Report) -> str:
    """Which versions of the code the runs were made with."""
    summary = report.summary
    commits = ", ".join(f"`{commit}`" for commit in summary.commits)
    said = f"Its runs were made at {'commit' if len(summary.commits) == 1 else 'the commits'} {commits}."
    if summary.uncommitted:
        planned = {run.name for job in report.study.jobs(report.profile) for run in job.runs}
        were = "was" if summary.uncommitted == 1 else "were"
        of = f"{summary.uncommitted} of its {len(planned & report.results.runs.keys()):,} runs"
        said += f" {of} {were} made while the code had uncommitted changes."
    return f"{said} {{doc}}`runs` has each with its commit."


def coverage(report: Report) -> str:
    """What the intervals speak of."""
    seeds = len(report.summary.seeds)
    one = "images of the one model trained for each row; how much another training would differ they do not cover."
    more = f"up to {seeds} trainings and their images; where a table says one seed, over the images of that one model."
    return f"Intervals are 95 % over {one if seeds == 1 else more}"


def banner(report: Report) -> str:
    """One line for the top of every page: which run it shows, and what is wrong with it if anything is."""
    summary, seeds = report.summary, len(report.summary.seeds)
    counted = "one training" if seeds == 1 else f"up to {seeds} trainings"
    return f"Published run: {summary.data.name}, {counted} of each network. {warnings(report)}".strip()


def warnings(report: Report) -> str:
    """What a reader must know before he believes a run's figures."""
    summary = report.summary
    parts = [
        report.study.profile(report.profile).note,
        f"This run is not complete: {summary.missing} of its runs are still to be made." if summary.missing else "",
        summary.notice,
    ]
    return " ".join(part for part in parts if part)
