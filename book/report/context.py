"""What tables and figures are made from, looked up by factors: an attack, an arm, a metric, who judges."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from suppress_privacy.evaluation.intervals import Estimate
from suppress_privacy.evaluation.metrics import METRICS
from suppress_privacy.lenet import DEPTHS
from suppress_study.claims import Claims
from suppress_study.plan import NONE, Model, Study, Variant
from suppress_study.results import Results, key
from suppress_study.settings import Value
from suppress_study.summary import Arm, Summary

Factors = Mapping[str, Value]
Cell = tuple[frozenset[tuple[str, Value]], str, str]  # factors of arm and attack, metric, evaluator
NOBODY: Factors = {"arm": NONE}
ANY = "any"  # title of the model that an attack did not look at


@dataclass(frozen=True)
class Averaged(Estimate):
    """An estimate, with the seeds it is averaged over."""

    seeds: tuple[int, ...]


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

    @classmethod
    def load(cls, folder: Path, profile: str = "") -> "Report":
        """A folder's summary and results.

        Args:
            folder: with summary.json, and the tables or the runs it was made from.
            profile: of which it must be, if one is named.

        Raises:
            ValueError: the summary is of another profile, or the results are damaged.
        """
        summary = Summary.load(folder / "summary.json")
        if profile not in ("", summary.profile):
            raise ValueError(f"{folder} has results of profile {summary.profile}, not {profile}: name that one.")
        return cls(Study.load(), Claims.load(), summary, Results.load(folder), summary.profile)

    # Arms

    @property
    def arms(self) -> list[Arm]:
        return self.summary.arms

    def arm(self, name: str) -> Arm | None:
        """An arm of study.yaml at its own settings."""
        own = self.study.factors(self.profile, Model(name, 0))
        return next((arm for arm in self.arms if arm.factors == own), None)

    @cached_property
    def pair(self) -> list[Arm]:
        """The tutorial's two models, ordinary and suppressed."""
        both = (self.arm(name) for name in (self.study.roles.ordinary, self.study.roles.suppressed))
        return [arm for arm in both if arm]

    @cached_property
    def sweep(self) -> dict[float, Arm]:
        """The suppressed arm by the value of what it is swept over, rising."""
        role = self.study.roles.suppressed
        swept = self.study.arms[role].sweep
        found = {float(arm.factors[swept.setting]): arm for arm in self.arms if swept and arm.factors["arm"] == role}
        return {value: found[value] for value in sorted(found)}

    def documented(self, arm: Arm, metric: str) -> float | None:
        """The documented figure of the model that an arm stands for."""
        return self.summary.documented.models.get(arm.documented or "", {}).get(metric)

    # Attacks

    @cached_property
    def attacks(self) -> list[Variant]:
        order = list(self.study.attacks)
        planned = {str(each): each for job in self.study.jobs(self.profile) for each in job.variants}
        there = [each for each in planned.values() if any(key(each.columns()) <= cell for cell in self._made)]
        return [
            replace(each, title=self.title(each)) for each in sorted(there, key=lambda one: order.index(one.attack))
        ]

    def title(self, variant: Variant, *, place: bool = True) -> str:
        """An attack's title with those of its factors that are not the same for all attacks beside it."""
        own, factors = self.study.attacks[variant.attack], dict(variant.factors)
        depth, moment = factors.pop("depth", None), factors.pop("moment", None)
        told = [
            value if isinstance(value, str) else f"{name.replace('_', ' ')} {value:g}"
            for name, value in factors.items()
            if name in own.sweep or value != own.settings.get(name, value)
        ]
        title = own.title + (f" ({', '.join(told)})" if told else "")
        if place and depth not in (None, self.study.roles.depth):
            return f"{title} at {depth}"
        return f"{title}, {moment} of training" if place and moment else title

    @cached_property
    def ladder(self) -> list[Variant]:
        """From no attack to the strongest: what sees nothing, or features at the depth where all are compared.

        Those that study.yaml has by themselves, not at settings that a group of the profile tries.
        """
        own = {str(each) for name in self.study.attacks for each in self.study.variants(self.profile, name)}
        depth = self.study.roles.depth
        of_depth = [str(each) for each in self.attacks if each.factors.get("depth") == depth]
        return [each for each in self.attacks if each.sees == "nothing" or str(each) in own.intersection(of_depth)]

    @cached_property
    def reference(self) -> list[Variant]:
        """The tutorial's attack."""
        return [each for each in self.ladder if each.kind == "reference"]

    @cached_property
    def reported(self) -> list[Variant]:
        """What to read beside the tutorial's figures: its attack, and what sees nothing."""
        return [each for each in self.ladder if each.sees == "nothing"] + self.reference

    @cached_property
    def learned(self) -> list[Variant]:
        """Attacks that use what the attacker owns: those of which the claims take the strongest."""
        return [each for each in self.ladder if each.attack in self.claims.strongest.reconstruction]

    @cached_property
    def climbed(self) -> list[Variant]:
        """Of the ladder what looks at a model and can learn something from it."""
        shuffled = self.claims.checks.shuffled["attack"]
        return [each for each in self.ladder if each.sees != "nothing" and each.attack != shuffled]

    @cached_property
    def depths(self) -> list[Variant]:
        """Attacks on features of other depths, the first layer first."""
        elsewhere = [each for each in self.attacks if each.factors.get("depth") not in (None, self.study.roles.depth)]
        return sorted(elsewhere, key=lambda each: DEPTHS.index(str(each.factors["depth"])))

    @cached_property
    def families(self) -> dict[str, list[Variant]]:
        """Attacks on features that were made at more than one depth, by title without it."""
        families: dict[str, list[Variant]] = {}
        for each in self.attacks:
            if each.sees == "features":
                families.setdefault(self.title(each, place=False), []).append(each)
        return {title: variants for title, variants in families.items() if len(variants) > 1}

    @cached_property
    def smoothness(self) -> dict[float, Variant]:
        """The tutorial's attack by its weight of smoothness on the CPU's scale, rising."""
        weighed = [each for each in self.attacks if each.factors.get("smoothness") == "cpu"]
        found = {float(each.factors.get("smoothness_weight", 0)): each for each in weighed}
        return {weight: found[weight] for weight in sorted(found)}

    @cached_property
    def gradients(self) -> list[Variant]:
        return [each for each in self.attacks if each.sees == "gradients"]

    @cached_property
    def membership(self) -> list[Variant]:
        return [each for each in self.attacks if each.sees == "outputs"]

    # Figures

    @cached_property
    def _estimates(self) -> dict[Cell, Averaged]:
        return _by_cell(self.summary.estimates)

    @cached_property
    def _made(self) -> set[frozenset[tuple[str, Value]]]:
        """Factors of arm and attack, of those attacks that were made."""
        return {factors for factors, _, _ in self._estimates}

    @cached_property
    def _differences(self) -> dict[Cell, Averaged]:
        return _by_cell(self.summary.differences)

    def _cell(self, metric: str, arm: Factors, attack: Variant, evaluator: str) -> Cell:
        if METRICS[metric].judged and not evaluator:  # the first one's verdict is the main one
            evaluator = next(iter(self.summary.evaluators))
        return key({**(NOBODY if attack.sees == "nothing" else arm), **attack.columns()}), metric, evaluator

    def estimate(self, metric: str, arm: Factors, attack: Variant, evaluator: str = "") -> Averaged | None:
        """A metric of an attack on an arm; of one that looks at no model the same for all."""
        return self._estimates.get(self._cell(metric, arm, attack, evaluator))

    def difference(self, metric: str, arm: Factors, attack: Variant) -> Averaged | None:
        """That arm's metric minus the ordinary one's, image by image."""
        return self._differences.get(self._cell(metric, arm, attack, ""))

    def strongest(self, metric: str) -> list[tuple[Arm, Averaged]]:
        """Arms, each with what the attack gets that gets most from it."""
        of_metric = [row for row in self.summary.strongest if row["metric"] == metric]
        factors = [{name: value for name, value in row.items() if name != "metric"} for row in of_metric]
        found = [(arm, one) for arm in self.arms for one in factors if arm.factors.items() <= one.items()]
        return [(arm, self._estimates[key(one), metric, ""]) for arm, one in found]

    def made_on(self, attack: Variant, arms: Iterable[Arm]) -> list[tuple[str, Factors]]:
        """Titles and factors of those arms that an attack was made on; of one that looks at none, as of any model."""
        found = [(arm.title, arm.factors) for arm in arms]
        among = [(ANY, NOBODY)] if attack.sees == "nothing" else found
        return [(title, arm) for title, arm in among if key({**arm, **attack.columns()}) in self._made]

    # Runs

    @cached_property
    def _runs(self) -> dict[frozenset[tuple[str, Value]], dict[int, str]]:
        runs: dict[frozenset[tuple[str, Value]], dict[int, str]] = {}
        planned = (run for job in self.study.jobs(self.profile) for run in job.runs if run.kind == "attack")
        for run in planned:
            if run.name in self.results.runs:
                runs.setdefault(key(run.factors), {})[run.seed] = run.name
        return runs

    def runs(self, arm: Factors, attack: Variant) -> dict[int, str]:
        """Names of the runs of an attack on an arm, by seed."""
        return self._runs.get(key({**arm, **attack.columns()}), {})

    def shown(self, attacks: Iterable[Variant], arms: Iterable[Arm]) -> list[tuple[str, str]]:
        """Titles and names of runs whose pictures a figure shows: those of the first seed, which keeps the most."""
        arms, seeds = list(arms), (0, *self.study.profile(self.profile).seeds()[:1])
        rows = []
        for attack in attacks:
            for title, arm in self.made_on(attack, arms):
                run = self.runs(arm, attack).get(seeds[0] if arm == NOBODY else seeds[-1])
                if run:
                    rows.append((attack.title if arm == NOBODY else f"{attack.title}:\n{title}", run))
        return rows

    @cached_property
    def first_of_each_class(self) -> list[int]:
        """Positions of the targets whose reconstructions every run keeps."""
        images = self.results.images
        return [int(image) for image in images[images.campaign == self.study.campaign].groupby("label").image.min()]


def _by_cell(rows: Iterable[Mapping[str, Any]]) -> dict[Cell, Averaged]:
    """Rows of a summary's table by what they are of."""
    apart = {"metric", "evaluator", "mean", "low", "high", "n", "seeds"}
    found = {}
    for row in rows:
        factors = key({name: value for name, value in row.items() if name not in apart})
        averaged = Averaged(row["mean"], row["low"], row["high"], row["n"], tuple(row["seeds"]))
        found[factors, row["metric"], row.get("evaluator", "")] = averaged
    return found
