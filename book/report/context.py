"""What tables and figures are made from, looked up by factors: an attack, an arm, a metric, who judges."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from suppress_privacy.evaluation.intervals import Estimate
from suppress_privacy.lenet import DEPTHS
from suppress_study.claims import Claims
from suppress_study.jobs import NONE, WEAKER, Model, Variant
from suppress_study.plan import Study
from suppress_study.results import Results, Run, as_text, key
from suppress_study.retrained import Retrained
from suppress_study.settings import Value
from suppress_study.summary import Arm, Summary

Factors = Mapping[str, Value]
Cell = frozenset[tuple[str, Value]]  # factors of arm and attack
Estimates = dict[tuple[str, str], "Averaged"]  # by metric and evaluator
NOBODY: Factors = {"arm": NONE}
ANY = "any"  # title of the model that an attack did not look at


@dataclass(frozen=True)
class Averaged(Estimate):
    """An estimate, with the seeds it is averaged over and the mean of each."""

    seeds: list[int]
    by_seed: list[float]


@dataclass(frozen=True)
class Report:
    """All that the book is made from.

    Attacks are the plan's variants with titles that tell them apart, in the order of study.yaml; of the plan's, those
    that the summary has. Arms are the summary's, in its order.
    """

    study: Study
    claims: Claims
    summary: Summary
    results: Results
    profile: str
    retrained: Retrained | None = None  # of these runs, those that were made again

    @classmethod
    def load(cls, folder: Path) -> "Report":
        """The results of a folder, whoever made them: summary.json, and the tables or the runs that it was made from.

        Their texts are shown as text, see `as_text`.

        Raises:
            ValueError: there is no summary, or the results are damaged.
        """
        if not (folder / "summary.json").is_file():
            raise ValueError(f"{folder} holds no summary.json: run the study of that profile first.")
        summary = Summary.model_validate(as_text(Summary.load(folder / "summary.json").model_dump(mode="json")))
        results = Results.load(folder)
        runs = {as_text(name): Run(**as_text(vars(run))) for name, run in results.runs.items()}
        asked, again = (Study.of(folder), Claims.of(folder)), Retrained.load(folder)
        return cls(*asked, summary, replace(results, runs=runs), summary.profile, again)

    # Arms

    def arm(self, name: str) -> Arm | None:
        """An arm of study.yaml at its own settings."""
        own = self.study.factors(self.profile, Model(name, 0))
        return next((arm for arm in self.summary.arms if arm.factors == own), None)

    @cached_property
    def pair(self) -> list[Arm]:
        """The tutorial's two models, ordinary and suppressed."""
        both = (self.arm(name) for name in (self.study.roles.ordinary, self.study.roles.suppressed))
        return [arm for arm in both if arm]

    @cached_property
    def sweep(self) -> dict[float, Arm]:
        """The suppressed arm by the value of what it is swept over."""
        role = self.study.roles.suppressed
        swept = self.study.arms[role].sweep
        return {
            float(arm.factors[swept.setting]): arm for arm in self.summary.arms if swept and arm.factors["arm"] == role
        }

    def documented(self, arm: Arm, metric: str) -> float | None:
        """The documented figure of the model that an arm stands for."""
        found = self.summary.documented
        return found.models.get(arm.documented or "", {}).get(metric) if found else None

    # Attacks

    @cached_property
    def attacks(self) -> list[Variant]:
        planned = {str(each): each for job in self.study.jobs(self.profile) for each in job.variants}
        there = [each for each in planned.values() if any(key(each.columns()) <= cell for cell in self._estimates)]
        there.sort(key=lambda each: [*self.study.attacks].index(each.attack))
        return [replace(each, title=self.study.title(each)) for each in there]

    def seeing(self, *what: str) -> list[Variant]:
        """Attacks by what they see."""
        return [each for each in self.attacks if each.sees in what]

    @cached_property
    def ladder(self) -> list[Variant]:
        """From no attack to the strongest: what sees nothing, or features at the depth where all are compared.

        Those that study.yaml has by themselves, not at settings that a group of the profile tries.
        """
        own = {str(each) for name in self.study.attacks for each in self.study.variants(self.profile, name)}
        found = [each for each in self.seeing("nothing", "features") if str(each) in own]
        return [each for each in found if each.factors.get("depth") in (None, self.study.roles.depth)]

    @cached_property
    def reference(self) -> list[Variant]:
        """The tutorial's attack."""
        return [each for each in self.ladder if each.kind == "reference"]

    @cached_property
    def reported(self) -> list[Variant]:
        """What to read beside the tutorial's figures: its attack, and what sees nothing."""
        return [each for each in self.ladder if each.sees == "nothing" or each.kind == "reference"]

    @cached_property
    def learned(self) -> list[Variant]:
        """Attacks that use what the attacker owns: those of which the claims take the strongest."""
        return [each for each in self.ladder if each.attack in self.claims.strongest.reconstruction]

    @cached_property
    def depths(self) -> list[Variant]:
        """Attacks on features of other depths, the first layer first."""
        elsewhere = [each for each in self.seeing("features") if each.factors["depth"] != self.study.roles.depth]
        return sorted(elsewhere, key=lambda each: self.layers.index(str(each.factors["depth"])))

    @cached_property
    def layers(self) -> list[str]:
        """Whose features are looked at, the first layer first: LeNet5's all, another network's in the plan's order."""
        looked = [str(each.factors["depth"]) for each in self.seeing("features")]
        return [*DEPTHS] if {*looked} <= {*DEPTHS} else [*dict.fromkeys(reversed(looked))]

    @cached_property
    def weaker(self) -> list[Variant]:
        """Attacks by an attacker who has less, each after the same one by who has all."""
        less = [each for each in self.attacks if not each.factors.keys().isdisjoint(WEAKER)]
        there = {each.attack for each in less}
        return sorted([*(each for each in self.ladder if each.attack in there), *less], key=lambda each: each.attack)

    # Figures

    @cached_property
    def _estimates(self) -> dict[Cell, Estimates]:
        return _by_cell(self.summary.estimates)

    @cached_property
    def _differences(self) -> dict[Cell, Estimates]:
        return _by_cell(self.summary.differences)

    def estimate(self, metric: str, arm: Factors, attack: Variant, evaluator: str = "") -> Averaged | None:
        """A metric of an attack on an arm; of one that looks at no model the same for all."""
        return self._estimates.get(_cell(arm, attack), {}).get((metric, evaluator))

    def difference(self, metric: str, arm: Factors, attack: Variant) -> Averaged | None:
        """That arm's metric minus the ordinary one's, image by image."""
        return self._differences.get(_cell(arm, attack), {}).get((metric, ""))

    def strongest(self, metric: str, arm: Arm) -> Averaged | None:
        """What the attack gets that gets most from an arm."""
        attack = self.strongest_attack(metric, arm)
        return self.estimate(metric, arm.factors, attack) if attack else None

    def strongest_attack(self, metric: str, arm: Arm) -> Variant | None:
        """The attack that gets most from an arm."""
        most = [row for row in self.summary.strongest if {**arm.factors, "metric": metric}.items() <= row.items()]
        return next((each for each in self.attacks for row in most if each.columns().items() <= row.items()), None)

    def bound(self, metric: str, arm: Arm) -> Averaged | None:
        """What the strongest attacks get from an arm together, the best picked image by image."""
        found = [row for row in self.summary.bounds if {**arm.factors, "metric": metric}.items() <= row.items()]
        return Averaged(**{each.name: found[0][each.name] for each in fields(Averaged)}) if found else None

    def made(self, attacks: Iterable[Variant], arms: Sequence[Arm]) -> list[tuple[Variant, str, Factors]]:
        """Attacks with titles and factors of those arms that they were made on; who looks at none has any model's."""
        titled: list[tuple[str, Factors]] = [(arm.title, arm.factors) for arm in arms]
        return [
            (attack, title, arm)
            for attack in attacks
            for title, arm in ([(ANY, NOBODY)] if attack.alone else titled)
            if _cell(arm, attack) in self._estimates
        ]

    # Runs

    @cached_property
    def _attacked(self) -> dict[Cell, dict[int, str]]:
        """Names of the attacks of the plan of which there are runs, by what they are of and by seed."""
        found: dict[Cell, dict[int, str]] = {}
        for run in (run for job in self.study.jobs(self.profile) for run in job.runs if run.kind == "attack"):
            if run.name in self.results.runs:
                found.setdefault(key(run.factors), {})[run.seed] = run.name
        return found

    def runs(self, arm: Factors, attack: Variant) -> dict[int, str]:
        """Names of the runs of an attack on an arm, by seed."""
        return self._attacked.get(_cell(arm, attack), {})

    def first_run(self, arm: Factors, attack: Variant | None) -> Run | None:
        """The first run of an attack on an arm, or of the arm's training."""
        if attack:
            names = [*self.runs(arm, attack).values()]
            return self.results.runs[names[0]] if names else None
        trained = (run for run in self.results.runs.values() if run.kind == "train" and run.seed in self.summary.seeds)
        return next((run for run in trained if run.factors == arm and not run.superseded), None)

    def shown(self, attacks: Iterable[Variant], arms: Sequence[Arm]) -> list[tuple[str, str]]:
        """Titles and names of runs whose pictures a figure shows: those of the first seed, which keeps the most."""
        made = [(attack, title, arm, self.picture(attack, arm)) for attack, title, arm in self.made(attacks, arms)]
        return [
            (attack.title if arm == NOBODY else f"{attack.title}:\n{title}", run)
            for attack, title, arm, run in made
            if run
        ]

    def picture(self, attack: Variant, arm: Factors) -> str | None:
        """The name of the run that has the pictures of an attack on an arm."""
        seeds = [0] if arm == NOBODY else self.study.profile(self.profile).seeds()
        return self.runs(arm, attack).get(seeds[0])

    @cached_property
    def firsts(self) -> dict[int, int]:
        """The first private image of each class, of which every attack keeps its picture."""
        images = self.results.images
        return images[images.campaign == self.study.campaign].groupby("label").image.min().to_dict()


def _cell(arm: Factors, attack: Variant) -> Cell:
    return key({**(NOBODY if attack.alone else arm), **attack.columns()})


def _by_cell(rows: Iterable[Mapping[str, Any]]) -> dict[Cell, Estimates]:
    """Rows of a summary's table by what they are of, then by metric and evaluator.

    The first evaluator's verdict is the main one: it stands under no evaluator too.
    """
    values = [field.name for field in fields(Averaged)]
    found: dict[Cell, Estimates] = {}
    for row in rows:
        factors = key({name: row[name] for name in row if name not in (*values, "metric", "evaluator")})
        cell = found.setdefault(factors, {})
        averaged = Averaged(**{name: row[name] for name in values})
        cell[row["metric"], row.get("evaluator", "")] = averaged
        cell.setdefault((row["metric"], ""), averaged)
    return found
