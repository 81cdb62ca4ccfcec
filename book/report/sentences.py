"""Sentences whose words follow from the figures: what came out, how sure it is, what it was made with."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from report.context import Report
from report.language import _, told
from report.tables import SYMBOLS
from suppress_privacy.evaluation.gates import REQUIRED
from suppress_privacy.evaluation.intervals import Estimate
from suppress_privacy.evaluation.verdict import HOLDS


def beside(found: Estimate, low: float, high: float, *, below: str, above: str) -> str:
    """Where an interval lies beside another."""
    return below if found.high < low else above if found.low > high else "not distinguishable from"


def verdict_counts(report: Report) -> str:
    """How many claims hold, are refuted, not shown or were not tested, and which: one sentence."""
    answers, counts = report.summary.verdicts, []
    for word in SYMBOLS:
        if names := [name for name, answer in answers.items() if answer.verdict == word]:
            named = {"count": len(names), "word": told(word), "names": _(", ").join(names)}
            if word == HOLDS:
                counts.append(_("{count} holds ({names})", "{count} hold ({names})", **named))
            else:
                counts.append(_("{count} is {word} ({names})", "{count} are {word} ({names})", **named))
    listed, *more = counts
    for said in more:
        listed = _("{those}, and {one}" if said == counts[-1] else "{those}, {one}", those=listed, one=said)
    return _("Of {count} claims, {listed}.", count=len(answers), listed=listed)


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
    for commit, count in sorted(Counter(run.carried for run in report.results.runs.values() if run.carried).items()):
        said += f" {count:,} of its runs were made at `{commit}` and taken over: this code would make them the same."
    return f"{said} {{doc}}`runs` has each with its commit.{_retrained(report)}"


def _retrained(report: Report) -> str:
    """What was made again of a run, and whether it came out the same; "" if nothing was."""
    if (found := report.retrained) is None:
        return ""
    names, count = _(", ").join(f"`{name}`" for name in found.drawn), len(found.runs)
    said = _("Drawn by the hash of tag {tag}, {names} were made again in a fresh clone.", tag=found.tag, names=names)
    if other := len(found.other()):
        return f" {said} " + _("**{other} of {count} runs came out different.**", other=other, count=count)
    return f" {said} " + _("With those that they start from, {count} runs came out the same, bit for bit.", count=count)


def coverage(report: Report) -> str:
    """What the intervals speak of."""
    seeds = len(report.summary.seeds)
    one = "images of the one model trained for each row; how much another training would differ they do not cover."
    more = f"up to {seeds} trainings and their images; where a table says one seed, over the images of that one model."
    return f"Intervals are 95 % over {one if seeds == 1 else more}"


def banner(report: Report) -> str:
    """One line for the top of every page: which run it shows, and what is wrong with it if anything is."""
    summary, seeds = report.summary, len(report.summary.seeds)
    counted = _("one training" if seeds == 1 else "up to {count} trainings", count=seeds)
    said = _("Published run: {data}, {trainings} of each network.", data=summary.data.name, trainings=counted)
    return f"{said} {warnings(report)}".strip()


def warnings(report: Report) -> str:
    """What a reader must know before he believes a run's figures."""
    summary = report.summary
    parts = [
        told(report.study.profile(report.profile).note),
        _("This run is not complete: {count} of its runs are still to be made.", count=summary.missing)
        if summary.missing
        else "",
        told(summary.notice),
    ]
    return " ".join(part for part in parts if part)
