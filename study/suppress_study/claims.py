"""claims.yaml as typed models, and the verdict on each claim from what was measured."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from suppress_privacy.evaluation import verdict
from suppress_privacy.evaluation.gates import REQUIRED, Gate
from suppress_privacy.evaluation.intervals import Estimate, bootstrap_mean, proportion, seed_mean
from suppress_privacy.evaluation.membership import auc_estimate
from suppress_privacy.evaluation.verdict import LEAST_SEEDS, Comparison, Evidence, Verdict
from suppress_study.measured import Cell, Measured, Trainings
from suppress_study.settings import FOLDER, Checked, Names, Value, read_yaml, validated

STRONGEST = "strongest"
Attack = str | dict[str, Value]  # by its name, or by its factors
Attacks = Annotated[list[Attack], Field(min_length=1)]


class Part(Checked):
    """Some documented figures of one model: by metric, how far from them is still the same."""

    arm: str
    attack: Attack | None = None  # None: of the model itself
    documented: str = "ordinary"  # a model of study.yaml's documented figures
    bands: Annotated[dict[str, Annotated[float, Field(gt=0)]], Field(min_length=1)]


class Claim(Checked):
    text: str
    source: str


class Reproduces(Claim):
    """All figures of one of the alternatives are as documented."""

    kind: Literal["reproduces"]
    alternatives: Annotated[list[Annotated[list[Part], Field(min_length=1)]], Field(min_length=1)]


class Lower(Claim):
    """An arm's metrics lie below those of every control, or of the one nearest to it in accuracy."""

    kind: Literal["lower"]
    arm: str
    controls: tuple[str, ...] = ()
    nearest_in_accuracy: tuple[str, ...] = ()
    attacks: Attacks
    metrics: Names

    def arms(self) -> list[str]:
        return [self.arm, *self.controls, *self.nearest_in_accuracy]


class Members(Claim):
    """An attack gets more from an arm's training images than from test images, beyond what it does on a control."""

    kind: Literal["members"]
    arm: str
    control: str
    attacks: Attacks
    metrics: Names

    def arms(self) -> list[str]:
        return [self.arm, self.control]


class Strongest(Checked):
    reconstruction: Names
    membership: Names


class Checks(Checked):
    """The attacks on the ordinary network that validity gates ask of."""

    tuned: dict[str, Value]
    start: dict[str, Value]
    positive: dict[str, Value]
    shuffled: dict[str, Value]


class Claims(Checked):
    strongest: Strongest
    checks: Checks
    claims: dict[str, Annotated[Reproduces | Lower | Members, Field(discriminator="kind")]]

    @classmethod
    def load(cls, path: Path = FOLDER / "claims.yaml") -> "Claims":
        """Read and check the claims.

        Raises:
            SettingsError: the file is missing, is not YAML, or something in it is wrong.
        """
        return validated(cls, read_yaml(path), path.name)


def verdicts(claims: Claims, measured: Measured, gates: list[Gate]) -> dict[str, Verdict]:
    """The verdict on every claim, from what was found and the validity gates of the run."""
    decided = {gate.name for gate in gates}
    failed = [gate for gate in gates if not gate.passed]
    weak = [named_gate(gate) for gate in failed if not gate.of_model] + [
        name for name in REQUIRED if name not in decided
    ]
    gather = {"reproduces": _reproduced, "lower": _lower, "members": _members}
    evidence = {}
    for name, claim in claims.claims.items():
        found = gather[claim.kind](claim, claims.strongest, measured)  # type: ignore[operator]
        outside = [named_gate(gate) for gate in failed if gate.of_model and gate.about in found.models]
        if outside and not found.missing:
            found = replace(found, missing=f"a model is not what it should be: {', '.join(outside)}")
        evidence[name] = found
    return verdict.verdicts(evidence, f"attack too weak: {', '.join(weak)}" if weak else "")


def named_gate(gate: Gate) -> str:
    """A gate as a sentence calls it."""
    return f"{gate.name} of {gate.about}" if gate.about else gate.name


def said(attack: Attack) -> str:
    """An attack as a sentence calls it."""
    name, *factors = [attack] if isinstance(attack, str) else attack.values()
    return f"{name} ({', '.join(map(str, factors))})" if factors else str(name)


def _enough(trainings: Trainings | Cell | None) -> bool:
    return trainings is not None and len(trainings.runs) >= LEAST_SEEDS


def _reproduced(claim: Reproduces, strongest: Strongest, measured: Measured) -> Evidence:
    alternatives = []
    for parts in claim.alternatives:
        found: list[Comparison] = []
        for part in parts:
            trainings = measured.arm(part.arm)
            cell = measured.cell(part.attack, part.arm) if part.attack else None
            if not _enough(cell if part.attack else trainings):
                return _untested(said(part.attack or "a training"), [part.arm])
            for metric, band in part.bands.items():
                estimate = _of_attack(cell, metric) if cell else _of_model(trainings, metric)
                by = f" of {said(part.attack)} on training images, {part.arm}" if part.attack else f" of {part.arm}"
                documented = measured.study.documented.models[part.documented][metric]
                one = verdict.inside(metric + by, estimate, documented, band)
                found.append(replace(one, runs=_runs(cell or trainings)))
        alternatives.append(found)
    return Evidence(alternatives, needs_strong_attack=False)


def _of_attack(cell: Cell, metric: str) -> Estimate:
    """A metric's estimate over training images; of a judged one, by the first evaluator."""
    member = cell.values["in_training", ""][0].astype(bool)
    evaluator = next(name for known, name in cell.values if known == metric)
    values = cell.values[metric, evaluator][:, member]
    return proportion(values) if np.isin(values, (0, 1)).all() else bootstrap_mean(values)


def _of_model(trainings: Trainings | None, metric: str) -> Estimate:
    values = trainings.kept() if metric == "kept" else trainings.results(metric)  # type: ignore[union-attr]
    return seed_mean(values)


def _lower(claim: Lower, strongest: Strongest, measured: Measured) -> Evidence:
    missing = [arm for arm in claim.arms() if not _enough(measured.arm(arm))]
    if missing:
        return _untested("a training", missing)
    accuracy = {arm: measured.arm(arm).accuracy() for arm in claim.arms()}  # type: ignore[union-attr]
    own = np.mean([*accuracy[claim.arm].values()])
    nearest = sorted(claim.nearest_in_accuracy, key=lambda arm: abs(np.mean([*accuracy[arm].values()]) - own))[:1]
    controls = [*claim.controls, *nearest]
    found: list[Comparison] = []
    for control in controls:
        for metric in claim.metrics:
            for attack in claim.attacks:
                pair = (claim.arm, control)
                cells = _pair(attack, metric, strongest, measured, pair)
                if cells is None:
                    return _untested(said(attack), list(pair))
                if metric == "auc" and not _works(cells[1]):
                    finds = f"{_called(cells[1])} finds no members of {control}'s training"
                    return Evidence([], f"nothing to lower: {finds}")
                found.append(_compared(cells, pair, metric))
        if claim.nearest_in_accuracy:
            found.append(_less_wrong(claim.arm, control, measured))
    return Evidence([found], models=(claim.arm, *controls))


def _pair(
    attack: Attack, metric: str, strongest: Strongest, measured: Measured, arms: tuple[str, str]
) -> tuple[Cell, Cell] | None:
    """The attack on each arm, or of those that learn each arm's strongest; None: not measured on enough seeds."""
    if attack == STRONGEST:
        names = strongest.membership if metric == "auc" else strongest.reconstruction
        first, second = (measured.strongest(names, arm, metric) for arm in arms)
    else:
        first, second = (measured.cell(attack, arm) for arm in arms)
    if first is None or second is None or len(_shared(first, second)) < LEAST_SEEDS:
        return None
    return first, second


def _shared(first: Cell, second: Cell) -> list[int]:
    return [seed for seed in first.seeds() if seed in second.seeds()]


def _works(cell: Cell) -> bool:
    """Whether membership inference is better than guessing: the interval of its area lies above one half."""
    return auc_estimate(cell.values["score", ""], cell.values["member", ""].astype(bool)).low > 0.5


def _compared(cells: tuple[Cell, Cell], pair: tuple[str, str], metric: str) -> Comparison:
    seeds = _shared(*cells)
    by = " and ".join(dict.fromkeys(_called(cell) for cell in cells))
    what = f"{metric} of {by} on {pair[0]} below {pair[1]}, {len(seeds)} seeds"
    if metric == "auc":
        members = cells[0].rows("member", seeds)[0].astype(bool)
        own, other = (cell.rows("score", seeds) for cell in cells)
        found = verdict.lower_auc(what, own, other, members)
    else:
        own, other = (cell.rows(metric, seeds, _evaluator(cell, metric)) for cell in cells)
        found = verdict.lower(what, own, other)
    return replace(found, runs=_runs(cells[0], seeds) + _runs(cells[1], seeds))


def _called(cell: Cell) -> str:
    """An attack's name, with its scale of smoothness if it has one."""
    scale = cell.attack.get("smoothness")
    return said({"attack": cell.attack["attack"], **({"smoothness": scale} if scale else {})})


def _evaluator(cell: Cell, metric: str) -> str:
    """Whose verdict counts for a metric: the first evaluator's, or nobody's where it needs none."""
    return next(evaluator for name, evaluator in cell.values if name == metric)


def _less_wrong(arm: str, control: str, measured: Measured) -> Comparison:
    """Whether an arm's test error lies below a control's, seed by seed."""
    own, other = measured.arm(arm), measured.arm(control)
    seeds = [seed for seed in own.runs if seed in other.runs]  # type: ignore[union-attr]
    errors = [np.array([[1 - each.accuracy()[seed]] for seed in seeds]) for each in (own, other) if each]
    found = verdict.lower(f"test error of {arm} below {control}, {len(seeds)} seeds", *errors)
    return replace(found, runs=_runs(own, seeds) + _runs(other, seeds))


def _members(claim: Members, strongest: Strongest, measured: Measured) -> Evidence:
    found = []
    pair = (claim.arm, claim.control)
    for metric in claim.metrics:
        for attack in claim.attacks:
            cells = _pair(attack, metric, strongest, measured, pair)
            # The same attack on both, so that it is the networks that differ: the first one's.
            control = cells and measured.cell(cells[0].attack, claim.control)
            if cells is None or control is None:
                return _untested(said(attack), list(pair))
            cell, seeds = cells[0], _shared(cells[0], control)
            values = cell.rows(metric, seeds) - control.rows(metric, seeds)
            member = cell.rows("in_training", seeds)[0].astype(bool)
            what = (
                f"{metric} of {_called(cell)} on {claim.arm} beyond {claim.control}: training images above test "
                f"images, {len(seeds)} seeds"
            )
            one = verdict.higher_in_one_group(what, values[:, member], values[:, ~member])
            found.append(replace(one, runs=_runs(cell, seeds) + _runs(control, seeds)))
    return Evidence([found], models=pair, needs_strong_attack=False)


def _runs(source: Cell | Trainings | None, seeds: list[int] | None = None) -> tuple[str, ...]:
    """The names of the runs behind a cell or an arm."""
    if source is None:
        return ()
    runs = {seed: run if isinstance(run, str) else run.name for seed, run in source.runs.items()}
    return tuple(name for seed, name in runs.items() if seeds is None or seed in seeds)


def _untested(what: str, arms: list[str]) -> Evidence:
    return Evidence([], f"{what} on {' and '.join(arms)} has fewer than {LEAST_SEEDS} seeds in this run")
