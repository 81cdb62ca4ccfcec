"""What the runs of a profile hold, cell by cell: one attack on one arm, over seeds and images."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from suppress_privacy.evaluation.game import gained
from suppress_privacy.evaluation.intervals import Estimate, bootstrap_mean, proportion, seed_mean
from suppress_privacy.evaluation.membership import auc, roc
from suppress_privacy.evaluation.metrics import METRICS, averaged
from suppress_study.jobs import NONE, Job, Model
from suppress_study.plan import Study
from suppress_study.reading import validated
from suppress_study.results import ResultError, Results, Run, key
from suppress_study.settings import Arm, Value

Factors = Mapping[str, Value]
Columns = dict[tuple[str, str], np.ndarray]  # (metric or other column, evaluator or "") -> [S, N]
Reference = str | Factors  # to an attack of study.yaml


@dataclass
class Cell:
    """One attack on one arm: a row a seed, a column an image or candidate."""

    arm: Factors
    attack: Factors
    runs: dict[int, str] = field(default_factory=dict)  # by seed
    values: Columns = field(default_factory=dict)

    @property
    def factors(self) -> dict[str, Value]:
        return {**self.arm, **self.attack}

    def seeds(self) -> list[int]:
        return list(self.runs)

    def has(self, metric: str) -> bool:
        """Whether there is a mean of it: none where most descents failed."""
        return any(name == ("score" if metric == "auc" else metric) for name, _ in self.values)

    def column(self, metric: str) -> np.ndarray:
        """All values, [S, N]; of a judged metric by the first evaluator, whose verdict counts."""
        return next(values for (name, _), values in self.values.items() if name == metric)

    def rows(self, metric: str, seeds: Iterable[int], evaluator: str | None = None) -> np.ndarray:
        """Those seeds' values, [S, N]; without an evaluator as `column`."""
        values = self.column(metric) if evaluator is None else self.values[metric, evaluator]
        return values[[self.seeds().index(seed) for seed in seeds]]

    def reproduced(self, metric: str) -> Estimate:
        """What to hold beside a documented figure: the estimate over training images."""
        values = self.column(metric)[:, self.column("in_training")[0].astype(bool)]
        return proportion(values) if np.isin(values, (0, 1)).all() else bootstrap_mean(values)

    def mean(self, metric: str, seeds: Iterable[int]) -> float:
        """Of a metric of images, or of the area under the ROC, over those seeds."""
        if metric == "auc":
            rows = zip(self.rows("score", seeds), self.rows("member", seeds), strict=True)
            return float(np.mean([auc(roc(*row)) for row in rows]))
        return float(np.nanmean(self.rows(metric, seeds)))


@dataclass
class Trainings:
    """An arm's models: what their runs say, by seed."""

    name: str  # the arm's, with the value of its sweep if not its own
    factors: Factors
    settings: Arm
    runs: dict[int, Run] = field(default_factory=dict)
    mechanisms: dict[int, Run] = field(default_factory=dict)

    def results(self, name: str) -> list[Any]:
        return [run.results[name] for run in self.runs.values()]

    def accuracy(self) -> dict[int, float]:
        return {seed: run.results["test_accuracy"] for seed, run in self.runs.items()}

    def reported(self) -> dict[int, float]:
        """The accuracy on test images that nothing was chosen on; on all of them in runs that set none apart."""
        return {seed: run.results.get("reported_accuracy", self.accuracy()[seed]) for seed, run in self.runs.items()}

    def reproduced(self, metric: str) -> Estimate:
        """What to hold beside a documented figure: the estimate over seeds."""
        return seed_mean(kept(self.runs.values()) if metric == "kept" else self.results(metric))


def kept(trainings: Iterable[Run]) -> list[float]:
    """Of the weights that a defence acts on the share that is left, by its reports; empty without reports."""
    reports = [report.values() for run in trainings if (report := run.results.get("defence"))]
    return [sum(layer["alive"] for layer in each) / sum(layer["weights"] for layer in each) for each in reports]


@dataclass
class Measured:
    """A profile's runs that are there and belong together."""

    study: Study
    profile: str
    results: Results
    wanted: dict[str, Run]  # as they are planned
    missing: int
    judges: dict[str, Run]
    arms: dict[frozenset, Trainings] = field(default_factory=dict)
    cells: dict[frozenset, Cell] = field(default_factory=dict)

    @classmethod
    def collect(cls, results: Results, study: Study, profile: str, *, allow_missing: bool = False) -> "Measured":
        """Gather a profile's runs.

        Args:
            results: where they are.
            study, profile: which runs there are to be, with which settings.
            allow_missing: whether to make do with the runs that are there; the others are counted.

        Raises:
            ResultError: a run is missing, was made with other settings than the study's, on other data than the
                rest, or of other networks.
        """
        jobs = study.jobs(profile)
        wanted = {run.name: run for job in jobs for run in job.runs}
        judges = {name: f"train-{model}" for name, model in study.judges().items()}
        found = {name: results.runs[name] for name in wanted if name in results.runs}
        lacking = sorted({*(judges.values() if allow_missing else wanted)} - {*found})
        if lacking:
            raise ResultError(f"run {lacking[0]} is missing: run what makes it, or the whole study.")
        for job in jobs:
            for run in job.runs:
                if run.name in found:
                    _require_one_study(run, f"train-{job.model}", found, judges, published=study.published)
        missing = len(wanted) - len(found)
        measured = cls(study, profile, results, wanted, missing, {name: found[run] for name, run in judges.items()})
        measured._gather(jobs, found)
        return measured

    def _gather(self, jobs: list[Job], found: dict[str, Run]) -> None:
        tables = self.results.rows()
        for job in jobs:
            model, look = job.model, found.get(f"mechanism-{job.model}")
            if job.kind == "coins":
                self._gather_game(job, found)
            if job.kind == "coins" or (look is None and model.arm != NONE):
                continue  # a model counts once its features have been looked at, which is the last thing done to it
            if job.kind == "train" and look and job.runs[0].name in found:
                factors, settings = job.runs[0].factors, self.study.arm_of(self.profile, model)
                arm = self.arms.setdefault(key(factors), Trainings(model.kind, factors, settings))
                arm.runs[model.seed], arm.mechanisms[model.seed] = found[job.runs[0].name], look
            of_arm = self.study.factors(self.profile, model)
            for variant, run in zip(job.variants, job.runs, strict=False):
                if run.name in found:
                    cell = self.cells.setdefault(key(run.factors), Cell(of_arm, variant.columns()))
                    cell.runs[run.seed] = run.name
        for cell in self.cells.values():
            cell.runs = dict(sorted(cell.runs.items()))
            rows = [tables[name] for name in cell.runs.values() if name in tables]
            cell.values = _stacked(rows, list(self.study.evaluators)) if rows else {}

    def _gather_game(self, job: Job, found: dict[str, Run]) -> None:
        of_arm = self.study.factors(self.profile, job.model)
        for run in (run for run in job.runs if run.kind == "attack" and run.name in found):
            own = {name: value for name, value in run.factors.items() if name not in of_arm}
            self.cells.setdefault(key(run.factors), Cell(of_arm, own)).runs[run.seed] = run.name

    def of_victims(self, cell: Cell, among: str, metric: str) -> dict[int, float]:
        """A metric of each model that plays a game, by seed; among "canaries" or "others"."""
        found = {seed: self.results.runs[name].results.get(among) for seed, name in cell.runs.items()}
        return {seed: metrics[metric] for seed, metrics in found.items() if metrics}

    def gained(self, cell: Cell, metric: str) -> dict[int, float]:
        """What the targets of each model that plays a game gain by being in its training, by seed."""
        if not {(metric, ""), ("member", "")} <= cell.values.keys() or len(cell.runs) < 2:
            return {}
        targets = cell.column("in_training")[0].astype(bool)
        found = gained(*(cell.column(name)[:, targets] for name in (metric, "member")))
        return {seed: value for seed, value in zip(cell.seeds(), found, strict=True) if np.isfinite(value)}

    def arm(self, name: str) -> Trainings | None:
        """An arm of study.yaml, at its own settings."""
        return self.arms.get(key(self.study.factors(self.profile, Model(name, 0))))

    def cell(self, attack: Reference, arm: Factors | str) -> Cell | None:
        """The cell of an attack on an arm, both by their factors; of either the name will do for its own ones."""
        variant = self.study.variant(self.profile, attack)
        arm = NONE if variant.alone else arm
        of_arm = self.study.factors(self.profile, Model(arm, 0)) if isinstance(arm, str) else arm
        return self.cells.get(key({**of_arm, **variant.columns()}))

    def strongest(self, names: Iterable[str], arm: Factors | str, metric: str) -> Cell | None:
        """Of these attacks, the one that gets most from an arm by a metric; None where none was made.

        They are compared on the seeds that all of them were made on.
        """
        made = [cell for name in names if (cell := self.cell(name, arm)) and cell.has(metric)]
        seeds = sorted(set.intersection(*(set(cell.seeds()) for cell in made))) if made else []
        return max(made, key=lambda cell: cell.mean(metric, seeds)) if seeds else None


def _require_one_study(
    planned: Run, own: str, found: dict[str, Run], judges: dict[str, str], *, published: bool = False
) -> None:
    """Raise unless a run has the study's settings and data, and is of the networks whose trainings are there.

    Args:
        planned: the run as the study has it.
        own: name of the training of the model that it is of.
        found: all runs that there are.
        judges: names of the evaluators' trainings.
        published: whether the study is as it was published: what an attack had by default then, it does not say.
    """
    name, run, first = planned.name, found[planned.name], next(iter(judges.values()))
    made_with = run.settings
    if run.kind in (
        "train",
        "mechanism",
    ):  # settings that the study has gained since have their defaults in an older run
        made_with = validated(Arm, made_with | {"title": ""}, f"run {name}").recipe()
    elif published and run.kind == "attack":
        asked = planned.settings["settings"]
        own_settings = {key: value for key, value in made_with["settings"].items() if key in asked}
        made_with = made_with | {"settings": own_settings}
    if _plain(made_with) != _plain(planned.settings):
        raise ResultError(f"run {name} was made with other settings than study.yaml has: delete it and run again.")
    if run.environment["data"] != found[first].environment["data"]:
        raise ResultError(f"run {name} was made on other data than {first}: delete it and run again.")
    for role, sha256 in run.networks.items():
        training = {"victim": own, **judges}.get(role, f"train-{Model(role, run.seed)}")
        if training in found and found[training].checkpoint["sha256"] != sha256:
            raise ResultError(f"run {name} is of other weights than {training} left: run the study again.")


def _plain(settings: Any) -> Any:
    """Settings as JSON gives them back."""
    return json.loads(json.dumps(settings))


def _stacked(frames: list[pd.DataFrame], evaluators: list[str]) -> Columns:
    """The columns that are judged of several seeds' rows, each [S, N]; by evaluators in their order."""
    if "score" in frames[0]:
        return {(name, ""): np.stack([frame[name] for frame in frames]) for name in ("score", "member")}
    found = {}
    for evaluator in ("", *evaluators):
        rows = [frame[frame.evaluator == evaluator] for frame in frames]
        names = [name for name, metric in METRICS.items() if metric.of == "image" and metric.judged == bool(evaluator)]
        for name in names + ([] if evaluator else ["fell", "in_training", "member"]):
            if any(name in each and each[name].notna().any() for each in rows):
                values = np.stack([each[name] for each in rows])
                if not np.isfinite(values.astype(float)).all():
                    raise ResultError(
                        f"run {rows[0].run.iloc[0]}, or another seed's, lacks {name}: delete and run again."
                    )
                found[name, evaluator] = values
    return averaged(found)
