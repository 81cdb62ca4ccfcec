"""What the runs of a profile hold, cell by cell: one attack on one arm, over seeds and images."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from suppress_privacy.evaluation.membership import auc, roc
from suppress_privacy.evaluation.metrics import METRICS
from suppress_study.plan import NONE, Model, Study, Wanted
from suppress_study.results import ResultError, Results, Run
from suppress_study.settings import Arm, Value, validated

Factors = Mapping[str, Value]
Reference = str | Factors  # to an attack of study.yaml


def key(factors: Factors) -> frozenset[tuple[str, Value]]:
    """Factors to look things up by."""
    return frozenset(factors.items())


@dataclass
class Cell:
    """One attack on one arm: a row a seed, a column an image or candidate."""

    arm: Factors
    attack: Factors
    runs: dict[int, str]  # by seed
    values: dict[tuple[str, str], np.ndarray]  # (metric or other column, evaluator or "") -> [S, N]

    @property
    def factors(self) -> dict[str, Value]:
        return {**self.arm, **self.attack}

    def seeds(self) -> list[int]:
        return list(self.runs)

    def rows(self, metric: str, seeds: Iterable[int], evaluator: str = "") -> np.ndarray:
        """Those seeds' values, [S, N]."""
        have = self.seeds()
        return self.values[metric, evaluator][[have.index(seed) for seed in seeds]]

    def mean(self, metric: str, seeds: Iterable[int]) -> float:
        """Of a metric of images, or of the area under the ROC, over those seeds."""
        if metric == "auc":
            rows = zip(self.rows("score", seeds), self.rows("member", seeds), strict=True)
            return float(np.mean([auc(roc(*row)) for row in rows]))
        return float(self.rows(metric, seeds).mean())


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

    def kept(self) -> list[float]:
        """Of the weights that its defence acts on the share that is left, by its reports; empty without reports."""
        reports = [report for report in self.results("defence") if report]
        return [
            sum(layer["alive"] for layer in report.values()) / sum(layer["weights"] for layer in report.values())
            for report in reports
        ]


@dataclass
class Measured:
    """A profile's runs that are there and belong together."""

    study: Study
    profile: str
    results: Results
    wanted: dict[str, Wanted]
    missing: int
    judges: dict[str, Run]
    arms: dict[frozenset, Trainings]
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
        wanted = {run.name: run for job in study.jobs(profile) for run in job.runs}
        judges = {name: f"train-{model}" for name, model in study.judges().items()}
        there = {name for name in wanted if name in results.runs}
        lacking = sorted(set(judges.values()) - there if allow_missing else set(wanted) - there)
        if lacking:
            raise ResultError(f"run {lacking[0]} is missing: run what makes it, or the whole study.")
        found = {name: results.runs[name] for name in wanted if name in there}
        _require_one_study(found, wanted, study, judges)
        measured = cls(
            study, profile, results, wanted, len(wanted) - len(there), {n: found[j] for n, j in judges.items()}, {}
        )
        measured._gather(found)
        return measured

    def _gather(self, found: dict[str, Run]) -> None:
        tables = {table: self.results.rows(table) for table in ("images", "membership")}
        by_cell: dict[frozenset, dict[int, Wanted]] = {}
        for run in self.wanted.values():
            look = found.get(f"mechanism-{run.model}")
            # A model counts once its features have been looked at, which is the last thing done to it.
            if run.kind == "train" and run.name in found and look:
                settings = self.study.arm_of(self.profile, run.model)
                arm = self.arms.setdefault(key(run.arm), Trainings(run.model.kind, run.arm, settings))
                arm.runs[run.model.seed], arm.mechanisms[run.model.seed] = found[run.name], look
            if run.kind == "attack" and run.name in found and (look or run.model.arm == NONE):
                by_cell.setdefault(key({**run.arm, **run.attack}), {})[run.model.seed] = run
        for cell, runs in by_cell.items():
            names = {seed: runs[seed].name for seed in sorted(runs)}
            frames = [tables["images"].get(name, tables["membership"].get(name)) for name in names.values()]
            first = next(iter(runs.values()))
            self.cells[cell] = Cell(first.arm, first.attack, names, _stacked(frames, list(self.study.evaluators)))

    def arm(self, name: str) -> Trainings | None:
        """An arm of study.yaml, at its own settings."""
        return self.arms.get(key(self.study.factors(self.profile, Model(name, 0))))

    def cell(self, attack: Reference, arm: Factors | str) -> Cell | None:
        """The cell of an attack on an arm, both by their factors; of either the name will do for its own ones."""
        variant = self.study.variant(self.profile, attack)
        of_arm = self.study.factors(self.profile, Model(arm, 0)) if isinstance(arm, str) else arm
        return self.cells.get(key({**of_arm, **variant.columns()}))

    def strongest(self, names: Iterable[str], arm: Factors | str, metric: str) -> Cell | None:
        """Of these attacks, the one that gets most from an arm by a metric; None where none was made.

        They are compared on the seeds that all of them were made on.
        """
        made = [cell for name in names if (cell := self.cell(name, arm))]
        seeds = sorted(set.intersection(*(set(cell.seeds()) for cell in made))) if made else []
        return max(made, key=lambda cell: cell.mean(metric, seeds)) if seeds else None


def _require_one_study(found: dict[str, Run], wanted: dict[str, Wanted], study: Study, judges: dict[str, str]) -> None:
    """Raise unless runs have the study's settings, one data set, and are of the networks whose trainings are there."""
    first = next(iter(judges.values()))
    for name, run in found.items():
        made_with = run.settings
        if run.kind != "attack":  # settings that the study has gained since have their defaults in an older run
            made_with = validated(Arm, run.settings | {"title": ""}, f"run {name}").recipe()
        if _plain(made_with) != _plain(wanted[name].settings):
            raise ResultError(f"run {name} was made with other settings than study.yaml has: delete it and run again.")
        if run.environment["data"] != found[first].environment["data"]:
            raise ResultError(f"run {name} was made on other data than {first}: delete it and run again.")
        own = f"train-{wanted[name].model}"
        for role, sha256 in run.networks.items():
            training = {"victim": own, **judges}.get(role, f"train-{Model(role, run.seed)}")
            if found[training].checkpoint["sha256"] != sha256:
                raise ResultError(f"run {name} is of other weights than {training} left: delete it and run again.")


def _plain(settings: Any) -> Any:
    """Settings as JSON gives them back."""
    return json.loads(json.dumps(settings))


def _stacked(frames: list[pd.DataFrame], evaluators: list[str]) -> dict[tuple[str, str], np.ndarray]:
    """The columns that are judged of several seeds' rows, each [S, N]; by evaluators in their order."""
    if "score" in frames[0]:
        return {(name, ""): np.stack([frame[name] for frame in frames]) for name in ("score", "member")}
    found = {}
    for evaluator in ("", *evaluators):
        rows = [frame[frame.evaluator == evaluator] for frame in frames]
        names = [name for name, metric in METRICS.items() if metric.of == "image" and metric.judged == bool(evaluator)]
        for name in names + ([] if evaluator else ["fell", "in_training"]):
            if len(rows[0]) and name in rows[0] and not rows[0][name].isna().any():
                found[name, evaluator] = np.stack([each[name] for each in rows])
    return found
