"""A report whose every figure is planted: of a profile's plan, with values that a test chooses."""

from collections.abc import Callable
from dataclasses import asdict, replace
from functools import cache

import numpy as np
import pandas as pd

from report.context import Report
from suppress_privacy.evaluation.gates import REQUIRED, Gate
from suppress_privacy.evaluation.intervals import Estimate
from suppress_privacy.evaluation.metrics import METRICS
from suppress_privacy.evaluation.verdict import Verdict
from suppress_study.claims import Claims
from suppress_study.pictures import Pictures
from suppress_study.plan import Study
from suppress_study.results import Results, Run
from suppress_study.summary import Arm, Data, Mechanism, Summary
from suppress_study.targets import pictured

CLASSES, EACH = 10, 3  # targets are class by class
WIDTH = 0.01  # how far every interval reaches
ENVIRONMENT = {"machine": {"processor": "a processor", "cores": 2}}
Value = Callable[[dict, str, str, str], float]  # of factors, attack's name, metric, evaluator


def estimate(mean: float, n: int = 10) -> Estimate:
    return Estimate(mean, mean - WIDTH, mean + WIDTH, n)


def with_summary(report: Report, **changes) -> Report:
    return replace(report, summary=report.summary.model_copy(update=changes))


def by_default(factors: dict, attack: str, metric: str, evaluator: str) -> float:
    return 0.5


def planted(profile: str = "smoke", study: Study | None = None, value: Value = by_default) -> Report:
    """A report of a profile that has all its runs; of the study itself made once, for it takes seconds."""
    return _planted(profile, study, value) if study else _kept(profile, value)


@cache
def _kept(profile: str, value: Value) -> Report:
    return _planted(profile, Study.load(), value)


def _planted(profile: str, study: Study, value: Value) -> Report:
    claims = Claims.load()
    jobs = study.jobs(profile)
    cells: dict[str, tuple] = {}
    for job in (job for job in jobs if job.kind != "coins"):  # whose figures a summary has apart
        arm = study.factors(profile, job.model)
        for run, variant in zip(job.runs, job.variants, strict=False):
            cells.setdefault(str(run.factors), (arm, variant, []))[2].append(run.seed)
    arms = _arms(study, profile)
    rows = [
        {**arm, **variant.columns(), "metric": metric, **({"evaluator": judge} if judge else {})}
        | asdict(estimate(value({**arm, **variant.factors}, variant.attack, metric, judge), 10 * len(seeds)))
        | {"seeds": seeds, "by_seed": [value({**arm, **variant.factors}, variant.attack, metric, judge)] * len(seeds)}
        for arm, variant, seeds in cells.values()
        for metric, judge in _measured(study, variant)
    ]
    summary = Summary(
        campaign=study.campaign,
        profile=profile,
        data=Data(name="MNIST", train=60000, test=10000),
        notice="",
        seeds=study.profile(profile).arms[study.roles.ordinary],
        missing=0,
        images=CLASSES * EACH,
        commits=["one"],
        uncommitted=0,
        evaluators=dict.fromkeys(study.evaluators, 0.98),
        arms=arms,
        estimates=rows,
        differences=list(_differences(rows, study)),
        strongest=[
            {**arm.factors, **study.variant(profile, claims.strongest.reconstruction[-1]).columns(), "metric": name}
            for arm in arms
            for name, metric in METRICS.items()
            if metric.primary
        ],
        bounds=[
            {
                **arm.factors,
                "attacks": ["tuned"],
                "metric": name,
                "seeds": [0],
                "by_seed": [0.9],
                **asdict(estimate(0.9)),
            }
            for arm in arms
            for name, metric in METRICS.items()
            if metric.primary
        ],
        gates=[Gate(name, "above 0", 0.5, True, sees=sees) for sees, names in REQUIRED.items() for name in names],
        verdicts={name: Verdict("not tested", None, None, None, None, "no seeds") for name in claims.claims},
        documented=study.documented,
    )
    return Report(study, claims, summary, _results(study, profile), profile)


def of_gradients(profile: str) -> list[Run]:
    """The plan's attacks on gradients."""
    jobs = Study.load().jobs(profile)
    pairs = [pair for job in jobs if job.kind != "coins" for pair in zip(job.runs, job.variants, strict=False)]
    return [run for run, variant in pairs if variant.sees == "gradients"]


def _measured(study: Study, variant) -> list[tuple[str, str]]:
    """Metrics that an attack has, with each evaluator that judges by them."""
    if variant.sees == "outputs":
        return [(name, "") for name, metric in METRICS.items() if metric.of == "scores"]
    if variant.sees == "gallery":
        return [("rank1", ""), ("rank1_all", "")]
    found = [name for name, metric in METRICS.items() if metric.of == "image"]
    of_gradients = ("label_found", "rank1_of_sent", "failed")
    found = [name for name in found if name not in of_gradients or variant.sees == "gradients"]
    return [(name, judge) for name in found for judge in (study.evaluators if METRICS[name].judged else [""])]


def _arms(study: Study, profile: str) -> list[Arm]:
    models = {}
    for model in study.models(profile):
        models.setdefault(str(study.factors(profile, model)), []).append(model)
    return [
        Arm(
            factors=study.factors(profile, seeds[0]),
            title=study.arm_of(profile, seeds[0]).title,
            documented=study.arm_of(profile, seeds[0]).documented,
            seeds=[model.seed for model in seeds],
            test_accuracy=[min(0.9 + number / 200, 0.99) + model.seed / 1000 for model in seeds],
            reported_accuracy=[min(0.9 + number / 200, 0.99) + model.seed / 1000 for model in seeds],
            sparsity={"fc1.weight": [0.95 for _ in seeds]},
            mechanism=Mechanism(effective_rank=estimate(30 + number), feature_norm=estimate(5), dead_units=[0.1]),
        )
        for number, seeds in enumerate(models.values())
    ]


def _differences(rows: list[dict], study: Study):
    apart = {"mean", "low", "high", "n", "seeds", "by_seed"}
    known = {str({key: row[key] for key in row if key not in apart}): row for row in rows}
    for row in rows:
        of_arm = {"arm", *(arm.sweep.setting for arm in study.arms.values() if arm.sweep)}
        other = {key: row[key] for key in row if key not in apart | of_arm}
        ordinary = known.get(str({"arm": study.roles.ordinary} | other))
        if ordinary and row["arm"] != study.roles.ordinary:
            yield row | asdict(estimate(row["mean"] - ordinary["mean"]))


def _results(study: Study, profile: str) -> Results:
    rng = np.random.default_rng(0)
    runs, skills, scores, pictures = {}, {}, [], Pictures()
    labels = np.arange(CLASSES).repeat(EACH)
    for job in study.jobs(profile):
        for number, run in enumerate(job.runs):
            making = {"environment": ENVIRONMENT, "times": {"seconds": {"attack": 1.4, "data": 1.2}}}
            runs[run.name] = replace(run, commit="one", **making)
            keys = {"run": run.name, "campaign": study.campaign, "seed": run.seed}
            if run.kind != "attack" or "game" in run.factors:
                continue
            if job.variants[number].sees == "gallery":
                continue
            if job.variants[number].sees == "outputs":
                member = np.arange(40) < 20
                scores.append(pd.DataFrame({**keys, "score": rng.random(40) + 0.3 * member, "member": member}))
                continue
            skill = rng.permutation(np.linspace(-1, 1, len(labels)))
            skills[run.name] = skill
            shown = pictured(skill, labels).tolist()
            pictures.images[run.name] = {target: _picture(5 * target + 1) for target in shown}
            pictures.originals |= {target: _picture(5 * target) for target in shown}
            if job.variants[number].kind == "tuned":
                pictures.curves[run.name] = np.array([[3, 2, 1], [4, 3, 2], [5, 4, 3]], float)
    membership = pd.concat(scores, ignore_index=True) if scores else pd.DataFrame({"run": []})
    return Results(runs, _images(study, runs, skills, labels), membership, pictures)


def _images(study: Study, runs: dict[str, Run], skills: dict[str, np.ndarray], labels: np.ndarray) -> pd.DataFrame:
    """The rows of each run: what needs no evaluator, then each evaluator's; all at once, for there are many."""
    skill, judges = np.stack([*skills.values()]), [*study.evaluators]
    parts, empty = 1 + len(judges), np.full(skill.shape, np.nan)
    each = parts * len(labels)

    def rows(*by_part: np.ndarray) -> np.ndarray:
        return np.stack(by_part, 1).ravel()  # [R, N] of each part -> [R, parts, N]

    return pd.DataFrame(
        {
            "run": np.repeat([*skills], each),
            "campaign": study.campaign,
            "seed": np.repeat([runs[name].seed for name in skills], each),
            "image": np.tile(np.arange(len(labels)), parts * len(skills)),
            "label": np.tile(labels, parts * len(skills)),
            "evaluator": np.tile(np.repeat(["", *judges], len(labels)), len(skills)),
            "skill": rows(skill, *[empty] * len(judges)),
            "rank1": rows(skill > 0.5, *[empty] * len(judges)),
            "confidence": rows(empty, *((1 + skill) / (2 + less) for less in range(len(judges)))),
        }
    )


def _picture(grey: int) -> np.ndarray:
    return np.full((1, 32, 32), grey, np.uint8)
