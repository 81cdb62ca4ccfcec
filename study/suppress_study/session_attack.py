"""What the notebook of attacks does: run them on one model, and keep what comes out."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from suppress_privacy.lenet import require_whole
from suppress_study import attacking, models
from suppress_study.jobs import NONE, Model
from suppress_study.notebook import chosen
from suppress_study.pictures import Pictures, show
from suppress_study.provenance import made
from suppress_study.reading import named
from suppress_study.results import Arrays, Run, as_text, write_job
from suppress_study.session import Session
from suppress_study.settings import ROOT


class Attacking(Session):
    """The attacks of a notebook on one model; `variants` are the attacks by name, `scene` is what they share.

    `found` is what came out so far, by name; at first that of what needs no attack.
    """

    def __init__(self, variables: Mapping[str, Any]) -> None:
        super().__init__("attack", variables)
        profile, victim, seed = self.study.profile(self.profile), self.parameters["victim"], self.model.seed
        attacked, factors, self.origin = None, self.study.factors(self.profile, self.model), victim
        if victim:
            attacked = models.own_network(victim, self.study.arm(self.profile, self.model.arm), seed)
            self.model = Model(models.own_name(victim), seed)
            factors = {"arm": self.model.arm}
        elif self.model.arm != NONE:
            attacked, self.origin = self.models.load(self.model), str(self.models.found(self.model)[1])
            factors |= attacked.arm.factors()  # as it was made, which a rerunner may have changed
        self.job = chosen(self.study, self.parameters, self.model, factors)
        self.variants = {str(variant): variant for variant in self.job.variants}
        shared = replace(self.models, folders=self.models.folders[1:])  # the same judges for all
        judges = {name: shared.load(judge) for name, judge in self.study.judges().items()}
        evaluators = {name: judge.network for name, judge in judges.items()}
        self.networks = {name: each.sha256 for name, each in {"victim": attacked, **judges}.items() if each}
        other = None if victim else self.study.another(self.profile, self.model, self.job.variants)
        another = self.models.load(other) if other else None
        self.networks |= {"another": another.sha256} if another else {}
        shadows = ROOT / self.results / "shadows"
        shown = seed == profile.seeds()[0]  # the book shows the pictures of one seed
        if victim and attacked:
            for depth in {str(each.factors["depth"]) for each in self.job.variants if "depth" in each.factors}:
                require_whole(attacked.network, depth, self.data.train_images[:3])
        watched = self._watched() if shown else ()
        scene = attacked, self.targets, evaluators, self.data, seed, shadows, shown, another, watched
        self.scene = attacking.Scene(*scene)
        floors = self.study.attacking(self.profile, Model(NONE, seed)).variants
        self.found = {str(each): attacking.attack(each, self.scene) for each in floors if each.sees == "nothing"}
        own = [] if victim or self.model.arm == NONE else [self.model]
        found = [self.models.found(each)[0] for each in (*own, *([other] if other else []))]
        self._depends = self.depends(*found, *(shared.found(judge)[0] for judge in self.study.judges().values()))
        self._made: dict[str, tuple[Run, Arrays]] = {}  # by name of the run

    def __str__(self) -> str:
        targets = self.scene.targets
        counted = f"{len(targets.labels)} private images, {int(targets.in_training.sum())} of them from training"
        others = f"each to be told from up to {max(map(len, targets.gallery.values()))} others of its class"
        origin = f" of `{as_text(self.origin)}`" if self.origin else ""
        return f"{self.data.notice} Model **{as_text(str(self.model))}**{origin}: {counted}, {others}."

    def _watched(self) -> tuple[int, ...]:
        """The first target of each class, where the tutorial's two models are attacked as all models are."""
        roles = self.study.roles
        own = self.model.value is None and self.model.arm in (roles.ordinary, roles.suppressed)
        if self.parameters["group"] or not own:
            return ()
        return tuple(map(int, self.targets.first_of_each_class(1)))

    def attack(self, name: str) -> None:
        """Run one of the attacks, and add what comes out to `found`."""
        variant = named(self.variants, name, "attack")
        with made("attack", self.environment) as making:
            found = self.found[name] = attacking.attack(variant, self.scene)
        if found.search_seconds:  # told apart
            seconds, search = making["times"]["seconds"], round(found.search_seconds, 3)
            seconds |= {"search": search, "attack": round(seconds["attack"] - search, 3)}
        self._keep(self.job.runs[self.job.variants.index(variant)], found.arrays, chosen=found.chosen, **making)

    def look(self) -> dict[str, Any]:
        """Measure what the model's features hold, with the profile's own attacks; on its own it says little."""
        victim = self.scene.victim
        if victim is None or self.parameters["group"] or self.parameters["attacks"]:
            return {}
        with made("mechanism", self.environment) as making:
            measured = attacking.measure_mechanism(victim, self.scene.targets, self.study.roles.depth)
        for run in self.job.runs[len(self.variants) :]:  # none of a network from elsewhere
            self._keep(run, {}, results=measured, settings=victim.arm.recipe(), **making)
        return measured

    def _keep(self, run: Run, arrays: Arrays, **more: Any) -> None:
        made_of: dict[str, Any] = {"depends": self._depends[run.name], "networks": self.networks, "asked": self.asked}
        self._made[run.name] = replace(run, **made_of, **more), arrays

    def save(self) -> Path:
        """Keep all runs of the session as one file, in the order of the plan; returns its path."""
        names = dict.fromkeys(run.name for run in self.job.runs)
        write_job(ROOT / self.path, [self._made[name] for name in names if name in self._made])
        return self.path

    def pictures(self) -> Pictures:
        """Reconstructions, their originals and curves, by attack."""
        pictures = Pictures()
        for name, found in self.found.items():
            show(pictures, name, found.arrays)
        return pictures
