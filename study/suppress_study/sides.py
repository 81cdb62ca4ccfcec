"""What a run has that can be held beside another's: its figures, each with what decides it, and its conditions.

Figures are a network's accuracy, its shares of zeros and what its defence reports, and every row of the summary's
estimates and games, by the first evaluator; of metrics that say the same, one.
"""

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self

from suppress_privacy.evaluation.intervals import prediction
from suppress_privacy.evaluation.metrics import METRICS
from suppress_study.claims import Claims
from suppress_study.jobs import NONE
from suppress_study.measured import kept
from suppress_study.plan import Study
from suppress_study.results import ResultError, Results, Run, key, published_runs, runs_made_in
from suppress_study.settings import Value
from suppress_study.summary import Arm, Row, Summary, summarise

ACCURACY = "test_accuracy"
SET = ZEROS, KEPT = "zeros", "kept"  # figures of a network that are set and not drawn
REPEATING = ("ssim", "ssim_range2", "relative_l2", "label_accuracy")  # say what skill, PSNR and confidence say
NO_FACTORS = {"metric", "evaluator", "mean", "low", "high", "n", "seeds", "by_seed"}  # of a summary's row
CLOSEST = 1e-3  # of figures that are no shares: closer ones differ by how processors round
OF_ZEROS = 0.01
Range = tuple[float, float]
Factors = Mapping[str, Value]
Key = frozenset[tuple[str, Value]]
Which = tuple[Key, str]  # factors and metric


@dataclass(frozen=True)
class Figure:
    """One figure of a run: the mean over its seeds."""

    factors: Factors
    name: str  # of its metric
    model: str
    attack: str
    metric: str  # how it is called
    by_seed: Sequence[float]
    step: float  # seeds that agree more closely are taken to differ by this
    made_by: Sequence[tuple[str, Key]]  # kind and factors of runs, whose settings decide it
    ends: Range = (0, 1)

    @property
    def mean(self) -> float:
        return math.fsum(self.by_seed) / len(self.by_seed)

    def expected(self, known: "Figure", level: float) -> Range:
        """Where it is to be expected by the published one."""
        if self.name in SET:
            low, high = min(known.by_seed) - self.step, max(known.by_seed) + self.step
        else:
            low, high = prediction(known.by_seed, len(self.by_seed), level=level, least=self.step)
        return max(low, self.ends[0]), min(high, self.ends[1])


@dataclass(frozen=True)
class Side:
    """One of two runs: its summary, the plan and claims that it was made by, and the runs as far as they are there."""

    summary: Summary
    study: Study
    claims: Claims
    runs: Mapping[str, Run]

    @classmethod
    def load(cls, folder: Path) -> Self:
        """A folder's, whose summary is made where it has none, of the runs that are there.

        Raises:
            ValueError: it has no runs, or what it has is damaged or does not belong together.
        """
        if not folder.is_dir():
            raise ResultError(f"{folder} is no folder: name one of results, such as results/quick.")
        path, runs = folder / "summary.json", published_runs(folder) | runs_made_in(folder)
        if not runs and not path.is_file():
            raise ResultError(f"{folder} holds no runs: name a folder of results, such as results/quick.")
        study, claims = Study.of(folder), Claims.of(folder)
        if not path.is_file():
            profile, _ = Counter(run.profile for run in runs.values()).most_common(1)[0]
            summary = summarise(Results.load(folder), study, profile, claims, allow_missing=True)
            return cls(summary, study, claims, runs)
        try:
            found = cls(Summary.load(path), study, claims, runs)
            found.figures  # noqa: B018  rows of its tables are plain data, looked at here
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise ResultError(f"{path} is damaged: restore it, or delete it where the folder has runs.") from error
        return found

    @cached_property
    def figures(self) -> dict[Which, Figure]:
        """All that are compared, model by model."""
        arms, tables = self.summary.arms, (self.summary.estimates, self.summary.games)
        found = [one for arm in arms for one in self._of_arm(arm)]
        first = next(iter(self.summary.evaluators), "")
        for row in (row for table in tables for row in table):
            if row["metric"] not in REPEATING and row.get("evaluator", first) == first:
                found += self._of_row(row)
        order = [arm.title for arm in arms]
        found.sort(key=lambda one: order.index(one.model) if one.model in order else len(order))
        return {(key(one.factors), one.name): one for one in found}

    def _of_arm(self, arm: Arm) -> Iterator[Figure]:
        training = ("train", key(arm.factors))
        of_all = (arm.factors, ACCURACY, arm.title, "", "test accuracy", arm.test_accuracy)
        yield Figure(*of_all, 1 / self.summary.data.test, [training])
        for layer, shares in arm.sparsity.items():
            said = {**arm.factors, "layer": layer}
            yield Figure(said, ZEROS, arm.title, "", f"zeros of {layer}", shares, OF_ZEROS, [training])
        trained = [run for run in self._counting if run.kind == "train" and run.factors == arm.factors]
        if left := kept(run for run in trained if run.seed in arm.seeds):
            label = "weights left where the defence acts"
            yield Figure(arm.factors, KEPT, arm.title, "", label, left, OF_ZEROS, [training])

    def _of_row(self, row: Row) -> Iterator[Figure]:
        """The figure of a row of the summary, unless it has none: descents that all failed leave no mean."""
        metric, factors = METRICS[row["metric"]], {name: row[name] for name in row if name not in NO_FACTORS}
        values = [float(value) for value in row["by_seed"] if value is not None and math.isfinite(value)]
        among, game = factors.get("among"), factors.get("game")
        own = {name: value for name, value in factors.items() if name != "among"}
        arms = [arm for arm in self.summary.arms if arm.factors.items() <= own.items()]
        of_arm = arms[0].factors if arms else {"arm": own["arm"]}
        model = arms[0].title if arms else self._title(str(own["arm"]))
        attack = self._titles.get(key({name: own[name] for name in own if name not in of_arm}), str(own["attack"]))
        attack += f", game {game}" if game else ""
        label = metric.label + (f", among {among}" if among else "")
        trained = ("coin", key({**of_arm, "game": game})) if game else ("train", key(of_arm))
        made_by = [("attack", key(own)), trained]
        if metric.judged:
            judge = next(iter(self.study.judges().values()))
            made_by.append(("train", key(self.study.factors(self.summary.profile, judge))))
        step = len(row["seeds"]) / row["n"] if metric.proportion else CLOSEST
        if values:
            ends = (metric.low, metric.high)
            yield Figure(factors, metric.name, model, attack, label, values, step, made_by, ends)

    def _title(self, arm: str) -> str:
        """Of an arm that has no figures of its own."""
        return "any" if arm == NONE else self.study.arms[arm].title if arm in self.study.arms else arm

    @cached_property
    def _titles(self) -> dict[Key, str]:
        """Those of the plan's attacks, by what tells them apart."""
        jobs = self.study.jobs(self.summary.profile)
        return {key(each.columns()): self.study.title(each) for job in jobs for each in job.variants}

    @cached_property
    def _counting(self) -> list[Run]:
        return [run for run in self.runs.values() if not run.superseded]

    @cached_property
    def settings(self) -> dict[tuple[str, Key], dict[str, Any]]:
        """Those of one run of each kind and factors, of an evaluator only where there is no other."""
        runs = sorted(self._counting, key=lambda run: run.seed in self.summary.seeds)
        return {(run.kind, key(run.factors)): run.settings for run in runs}

    def data_sha256(self) -> dict[str, str]:
        """Of the data's files by name, where that is recorded."""
        found = (run.environment["data"]["sha256"] for run in self._counting if "data" in (run.environment or {}))
        return next(found, {})

    def conditions(self) -> dict[str, list[str]]:
        """What it was made of, where, when and how: by name, all that was found."""
        runs, summary = self._counting, self.summary
        environments = [run.environment for run in runs if run.environment]
        found: dict[str, dict[str, None]] = {}
        for environment in environments:
            for part in ("machine", "device", "versions"):
                for name, value in environment.get(part, {}).items():
                    said = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
                    found.setdefault(name.replace("_", " "), {})[said] = None
            for name, sha256 in environment.get("data", {}).get("sha256", {}).items():
                found.setdefault(f"SHA-256 of {name}", {})[sha256[:12]] = None
        seconds = sum(sum(run.times["seconds"].values()) for run in runs if run.times)
        started = sorted(run.times["started"][:10] for run in runs if "started" in run.times)
        dirty = [f"{summary.uncommitted} runs from changes that were not committed"] * bool(summary.uncommitted)
        return {
            "profile": [summary.profile],
            "trainings of a network": [f"up to {len(summary.seeds)}"],
            "data": [f"{summary.data.name}, {summary.data.train:,} training images"],
            "made": [" to ".join(dict.fromkeys((started[0], started[-1])))] if started else [],
            "core-hours": [f"{seconds / 3600:.1f}"],
            "commit": [*dirty, *summary.commits],
            **{name: sorted(values) for name, values in sorted(found.items())},
        }
