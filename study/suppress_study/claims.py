"""claims.yaml as typed models, and the verdict on each claim from what was measured."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Annotated, Any, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from suppress_privacy.evaluation import verdict
from suppress_privacy.evaluation.game import OF_VICTIMS, RATES, over_victims
from suppress_privacy.evaluation.gates import OF_GAMES, Gate, weaknesses
from suppress_privacy.evaluation.intervals import apart
from suppress_privacy.evaluation.membership import auc_estimate
from suppress_privacy.evaluation.metrics import METRICS, label
from suppress_privacy.evaluation.verdict import LEAST_SEEDS, Comparison, Evidence, Verdict
from suppress_study.content import File
from suppress_study.measured import Cell, Measured, Reference, Trainings
from suppress_study.settings import Checked, Names, Value

STRONGEST = "strongest"
ON_GRADIENTS = "strongest-on-gradients"
Attack = str | dict[str, Value]  # by its name, or by its factors


class Strongest(Checked):
    reconstruction: Names
    membership: Names
    gradients: tuple[str, ...] = ()


class Untested(Exception):
    """Why a claim cannot be decided by this run."""


@dataclass(frozen=True)
class Sources:
    """What was measured, where that is on seeds enough; an `Untested` where it is not."""

    measured: Measured
    among: Strongest

    def arm(self, name: str) -> Trainings:
        found = self.measured.arm(name)
        if found is None or len(found.runs) < LEAST_SEEDS:
            raise self.too_few("a training", name)
        return found

    def title(self, arm: str) -> str:
        return self.measured.study.arms[arm].title if arm in self.measured.study.arms else arm

    def documented(self, model: str) -> dict[str, float]:
        found = self.measured.study.documented
        if found is None:
            raise Untested("nothing is documented of this campaign")
        return found.models[model]

    def called(self, attack: Reference) -> str:
        """An attack's title, with its scale of smoothness if it has one."""
        factors = {"attack": attack} if isinstance(attack, str) else attack
        name, scale = str(factors["attack"]), factors.get("smoothness")
        strongest = {STRONGEST: "the strongest attack", ON_GRADIENTS: "the strongest attack on a gradient"}
        title = strongest.get(name) or self.measured.study.attacks[name].title
        return f"{title} ({scale})" if scale else title

    def cell(self, attack: Attack, arm: str) -> Cell:
        found = self.measured.cell(attack, arm)
        if found is None or len(found.runs) < LEAST_SEEDS:
            raise self.too_few(self.called(attack), arm)
        return found

    def pair(self, attack: Attack, metric: str, arms: tuple[str, str]) -> tuple[Cell, Cell, list[int]]:
        """The attack on each arm, or of those that learn each arm's strongest, and the seeds of both."""
        if attack in (STRONGEST, ON_GRADIENTS):
            first, second = (self.measured.strongest(self._strong(attack, metric), arm, metric) for arm in arms)
        else:
            first, second = (self.measured.cell(attack, arm) for arm in arms)
        both = first and second and first.has(metric) and second.has(metric)
        seeds = [seed for seed in first.runs if seed in second.runs] if first and second and both else []
        if first is None or second is None or len(seeds) < LEAST_SEEDS:
            raise self.too_few(self.called(attack), *arms)
        return first, second, seeds

    def victims(self, game: str, attack: str, arm: str, among: str, metric: str) -> dict[int, tuple[float, str]]:
        """A metric of each of an arm's networks that play a game, and the name of its run, by seed."""
        cell = self.measured.cell({"attack": attack, "game": game}, arm)
        found = self.measured.of_victims(cell, among, metric) if cell else {}
        return {seed: (value, cell.runs[seed]) for seed, value in found.items()} if cell else {}

    def seen(self, attack: Attack, metric: str) -> str:
        """What an attack sees; of the strongest by a metric, what they all do."""
        name = attack if isinstance(attack, str) else str(attack["attack"])
        if name in (STRONGEST, ON_GRADIENTS):
            name = self._strong(name, metric)[0]
        return self.measured.study.attacks[name].sees.what()

    def _strong(self, attack: Attack, metric: str) -> Sequence[str]:
        if attack == ON_GRADIENTS:
            return self.among.gradients
        return self.among.membership if metric == "auc" else self.among.reconstruction

    def too_few(self, what: str, *arms: str) -> Untested:
        return Untested(
            f"{what} of {' and '.join(map(self.title, arms))} has fewer than {LEAST_SEEDS} seeds in this run"
        )


class Part(Checked):
    """Some documented figures of one model: by metric, how far from them is still the same."""

    arm: str
    attack: Attack | None = None  # None: of the model itself
    documented: str = "ordinary"  # a model of study.yaml's documented figures
    bands: Annotated[dict[str, Annotated[float, Field(gt=0)]], Field(min_length=1)]

    def comparisons(self, sources: Sources) -> Iterator[Comparison]:
        source = sources.cell(self.attack, self.arm) if self.attack else sources.arm(self.arm)
        of = (f"{sources.called(self.attack)} on training images, " if self.attack else "") + sources.title(self.arm)
        documented = sources.documented(self.documented)
        for metric, band in self.bands.items():
            found = verdict.inside(f"{of}: {label(metric)}", source.reproduced(metric), documented[metric], band)
            yield replace(found, runs=_runs(source, source.runs))


def _of_each(make: Callable[[Any], Any], each: Iterable[Any]) -> tuple[list[Any], str]:
    """What is made of each that is measured on seeds enough; and of the first that is not, why."""
    found, missing = [], ""
    for one in each:
        try:
            found.append(make(one))
        except Untested as reason:
            missing = missing or str(reason)
    return found, missing


class Claim(Checked):
    text: str
    source: str


class Reproduces(Claim):
    """All figures of one of the alternatives are as documented."""

    kind: Literal["reproduces"]
    alternatives: Annotated[list[Annotated[list[Part], Field(min_length=1)]], Field(min_length=1)]

    def evidence(self, sources: Sources) -> Evidence:
        def of(parts: list[Part]) -> list[Comparison]:
            return [one for part in parts for one in part.comparisons(sources)]

        return Evidence(*_of_each(of, self.alternatives))


class Margin(Checked):
    """How far a metric of two models may be apart, of themselves or under an attack, and they still count as equal."""

    attack: Attack | None = None
    metric: str
    margin: Annotated[float, Field(gt=0)]

    @model_validator(mode="after")
    def _is_measured(self) -> Self:
        metrics = [name for name, one in METRICS.items() if one.of == "image"] if self.attack else ["test_accuracy"]
        if self.metric not in metrics:
            raise ValueError(f"metric is {self.metric!r}; allowed are {', '.join(metrics)}: correct it")
        return self


class Equal(Claim):
    """Each pair of arms is equal within every margin, by two one-sided tests at 2.5 % (Schuirmann 1987)."""

    kind: Literal["equal"]
    pairs: Annotated[list[tuple[str, str]], Field(min_length=1)]
    margins: Annotated[list[Margin], Field(min_length=1)]

    def evidence(self, sources: Sources) -> Evidence:
        found, missing = _of_each(lambda one: self._compared(sources, *one), product(self.pairs, self.margins))
        seen = [sources.seen(each.attack, each.metric) for each in self.margins if each.attack]
        arms = tuple(dict.fromkeys(arm for pair in self.pairs for arm in pair))
        return Evidence([found], missing, models=arms, sees=next(iter(seen), ""))

    def _compared(self, sources: Sources, pair: tuple[str, str], margin: Margin) -> Comparison:
        """Of all seeds that each has: the same seed draws other weights and orders in the two."""
        titles = [*map(sources.title, pair)]
        if margin.attack is None:
            both = [sources.arm(name) for name in pair]  # on seeds enough
            values = [np.array([[accuracy] for accuracy in each.accuracy().values()]) for each in both]
            runs, by = [_runs(each, each.runs) for each in both], ""
        else:
            *cells, _ = sources.pair(margin.attack, margin.metric, pair)
            values = [each.rows(margin.metric, each.seeds()) for each in cells]
            runs, by = [_runs(each, each.runs) for each in cells], f"{sources.called(margin.attack)} on "
        what = f"{by}{titles[0]}: {label(margin.metric)}, less that of {titles[1]}"
        found = verdict.inside(what, apart(*values), 0.0, margin.margin)
        return replace(found, metric=margin.metric, runs=runs[0] + runs[1])


class OfAttacks(Claim):
    """A claim on what attacks get from an arm."""

    arm: str
    attacks: Annotated[list[Attack], Field(min_length=1)]
    metrics: Names


class Lower(OfAttacks):
    """An arm's metrics lie below those of every control, or of the one nearest to it in accuracy."""

    kind: Literal["lower"]
    controls: tuple[str, ...] = ()
    nearest_in_accuracy: tuple[str, ...] = ()

    def arms(self) -> list[str]:
        return [self.arm, *self.controls, *self.nearest_in_accuracy]

    def evidence(self, sources: Sources) -> Evidence:
        accuracy = {arm: np.mean([*sources.arm(arm).reported().values()]) for arm in self.arms()}
        nearest = sorted(self.nearest_in_accuracy, key=lambda arm: abs(accuracy[arm] - accuracy[self.arm]))[:1]
        controls, found = [*self.controls, *nearest], []
        for control in controls:
            found += [self._compared(sources, control, *one) for one in product(self.metrics, self.attacks)]
            if self.nearest_in_accuracy:
                found.append(self._less_wrong(sources, control))
        return Evidence([found], models=(self.arm, *controls), sees=sources.seen(self.attacks[0], self.metrics[0]))

    def _compared(self, sources: Sources, control: str, metric: str, attack: Attack) -> Comparison:
        own, other, seeds = sources.pair(attack, metric, (self.arm, control))
        by = " and ".join(dict.fromkeys(sources.called(each.attack) for each in (own, other)))
        words = f"{by} on {sources.title(self.arm)}: {label(metric)}", sources.title(control)
        if metric == "auc":
            members = own.column("member")[0].astype(bool)
            # No better than guessing: there is nothing that a defence could lower.
            if auc_estimate(other.column("score"), other.column("member").astype(bool)).low <= 0.5:
                on = f"{sources.called(other.attack)} on {sources.title(control)}"
                raise Untested(f"nothing to lower: {on} finds no members")
            found = verdict.lower_auc(*words, own.rows("score", seeds), other.rows("score", seeds), members)
        else:
            found = verdict.lower(*words, own.rows(metric, seeds), other.rows(metric, seeds))
        return replace(found, metric=metric, control=control, runs=_runs(own, seeds) + _runs(other, seeds))

    def _less_wrong(self, sources: Sources, control: str) -> Comparison:
        """Whether the arm's test error lies below a control's, seed by seed."""
        own, other = sources.arm(self.arm), sources.arm(control)
        seeds = [seed for seed in own.runs if seed in other.runs]
        errors = [np.array([[1 - each.reported()[seed]] for seed in seeds]) for each in (own, other)]
        found = verdict.lower(f"{own.settings.title}: test error", other.settings.title, *errors)
        return replace(found, runs=_runs(own, seeds) + _runs(other, seeds))


class Found(Claim):
    """Of an arm's networks fewer members are found than of every control's, victim by victim of the same draws."""

    kind: Literal["found-less"]
    arm: str
    controls: Names
    game: str
    among: Literal["canaries", "others"]
    attacks: Names
    metrics: list[Literal[OF_VICTIMS]]  # type: ignore[valid-type]

    def evidence(self, sources: Sources) -> Evidence:
        found = [self._compared(sources, *one) for one in product(self.controls, self.metrics, self.attacks)]
        return Evidence([found], models=(self.arm, *self.controls), sees=sources.seen(self.attacks[0], ""))

    def _compared(self, sources: Sources, control: str, metric: str, attack: str) -> Comparison:
        own, other = (sources.victims(self.game, attack, arm, self.among, metric) for arm in (self.arm, control))
        seeds = [seed for seed in own if seed in other]
        if len(seeds) < LEAST_SEEDS:
            raise sources.too_few(sources.called(attack), self.arm, control)
        by = f"{sources.called(attack)} among {self.among}"
        # No better than guessing: there is nothing that a defence could lower.
        if over_victims([value for value, _ in other.values()]).low <= RATES.get(metric, 0.5):
            raise Untested(f"nothing to lower: {by} of {sources.title(control)} finds no members")
        values = [np.array([[each[seed][0]] for seed in seeds]) for each in (own, other)]
        what = f"{by} on {sources.title(self.arm)}: {label(metric)}"
        compared = verdict.lower(what, sources.title(control), *values)
        runs = tuple(each[seed][1] for each in (own, other) for seed in seeds)
        return replace(compared, metric=metric, control=control, runs=runs)


class Remembered(Claim):
    """An attack gets more from an image that was in the training than from the same image where it was not."""

    kind: Literal["remembered"]
    arm: str
    game: str
    attacks: Names
    metrics: Names

    def evidence(self, sources: Sources) -> Evidence:
        found = [self._gained(sources, *one) for one in product(self.metrics, self.attacks)]
        return Evidence([found], models=(self.arm,))

    def _gained(self, sources: Sources, metric: str, attack: str) -> Comparison:
        cell = sources.measured.cell({"attack": attack, "game": self.game}, self.arm)
        by_seed = sources.measured.gained(cell, metric) if cell else {}
        if cell is None or len(by_seed) < LEAST_SEEDS:
            raise sources.too_few(sources.called(attack), self.arm)
        what = f"{sources.called(attack)} on {sources.title(self.arm)}: {label(metric)}, images in the training"
        compared = verdict.higher(what, "the same images out of it", [*by_seed.values()])
        return replace(compared, metric=metric, runs=_runs(cell, by_seed))


class Members(OfAttacks):
    """An attack gets more from an arm's training images than from test images, beyond what it does on a control."""

    kind: Literal["members"]
    control: str

    def evidence(self, sources: Sources) -> Evidence:
        found = [self._compared(sources, *one) for one in product(self.metrics, self.attacks)]
        return Evidence([found], models=(self.arm, self.control))

    def _compared(self, sources: Sources, metric: str, attack: Attack) -> Comparison:
        pair = self.arm, self.control
        strongest, _, _ = sources.pair(attack, metric, pair)
        # The same attack on both, so that it is the networks that differ: the first one's.
        cell, control, seeds = sources.pair(dict(strongest.attack), metric, pair)
        more = cell.rows(metric, seeds) - control.rows(metric, seeds)
        member = cell.rows("in_training", seeds)[0].astype(bool)
        what = f"{sources.called(cell.attack)} on {' beyond '.join(map(sources.title, pair))}: {label(metric)}"
        one = verdict.higher_in_one_group(f"{what}, training images", "test images", more[:, member], more[:, ~member])
        return replace(one, runs=_runs(cell, seeds) + _runs(control, seeds))


class Checks(Checked):
    """The attacks on the ordinary network that validity gates ask of."""

    tuned: dict[str, Value]
    start: dict[str, Value]
    learned: dict[str, Value] | None = None  # the first edition asked nothing of it
    positive: dict[str, Value] | None = None  # a campaign may look at no layer so near to the image
    shuffled: dict[str, Value]
    planted: dict[str, Value] | None = None  # of attacks on gradients: exact on a control network,
    sigmoids: dict[str, Value] | None = None  # near perfect on another,
    another: dict[str, Value] | None = None  # and what comes of another image's gradient is that image


class GameCheck(Checked):
    """What a gate asks of: an attack on an arm's models in a game, among canaries or others."""

    gate: Literal[tuple(OF_GAMES)]  # type: ignore[valid-type]
    game: str
    attack: str
    arm: str
    among: Literal["canaries", "others"]


def _arms_of(claim: dict[str, Any]) -> set[str]:
    """The arms that a claim asks of, as claims.yaml has it; a game, which a campaign has none of, is no arm of it."""
    if claim["kind"] not in ("lower", "members"):
        return {claim["kind"]}
    more = [*claim.get("controls", ()), *claim.get("nearest_in_accuracy", ()), claim.get("control")]
    return {claim["arm"], *filter(None, more)}


class Across(Claim):
    """A claim has the same answer in several campaigns; what it is decided by are their summaries."""

    claim: str
    campaigns: Names


class Claims(File):
    FILE = "claims.yaml"

    @classmethod
    def laid_over(cls, content: dict[str, Any], campaign: Any) -> dict[str, Any]:
        """Of the claims those that a campaign's arms can answer, and the question; its checks look at its own layers.

        Documented figures are of the study's own campaign, and games are played in that alone.
        """
        own = campaign["campaign"]
        checks = {name: check for name, check in content["checks"].items() if name != "positive"}
        if own["near"]:
            checks["positive"] = content["checks"]["positive"] | {"depth": own["near"]}
        asked = {
            name: claim
            for name, claim in content["claims"].items()
            if name == content["question"] or _arms_of(claim) <= {*own["arms"]}
        }
        return content | {"checks": checks, "game_checks": [], "across": {}, "claims": asked}

    question: str
    strongest: Strongest
    checks: Checks
    game_checks: tuple[GameCheck, ...] = ()
    across: dict[str, Across] = Field(default_factory=dict)
    claims: dict[str, Annotated[Reproduces | Equal | Lower | Found | Remembered | Members, Field(discriminator="kind")]]


def verdicts(claims: Claims, measured: Measured, gates: list[Gate]) -> dict[str, Verdict]:
    """The verdict on every claim, from what was found and the validity gates of the run."""
    sources, evidence = Sources(measured, claims.strongest), {}
    for name, claim in claims.claims.items():
        try:
            found = claim.evidence(sources)
        except Untested as reason:
            found = Evidence([], str(reason))
        outside = [str(each) for each in gates if not each.passed and each.of_model and each.about in found.models]
        if outside:
            found = replace(found, missing=f"a model is not what it should be: {', '.join(outside)}")
        evidence[name] = found
    return verdict.verdicts(evidence, weaknesses(gates))


def _runs(source: Cell | Trainings, seeds: Iterable[int]) -> tuple[str, ...]:
    """The names of the runs behind a cell or an arm."""
    return tuple(str(source.runs[seed]) for seed in seeds)
