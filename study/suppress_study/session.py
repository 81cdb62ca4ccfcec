"""What a notebook does, from its parameters to the runs it keeps: train one model, or attack one."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from suppress_privacy import configure, load_mnist
from suppress_study import attacking, models, provenance
from suppress_study.notebook import chosen_variants
from suppress_study.plan import NONE, Job, Model, Study, Variant
from suppress_study.provenance import Clock
from suppress_study.results import Pictures, Run, show, write_job
from suppress_study.settings import ROOT, Value
from suppress_study.targets import choose_targets


class Session:
    """The study, its data, and the machine, as a notebook's parameters ask for them.

    Args:
        parameters: of the notebook, by name.
    """

    def __init__(self, parameters: dict[str, Any]) -> None:
        self.parameters = parameters
        self.profile: str = parameters["profile"]
        self.study = Study.load()
        self.folder: Path = ROOT / parameters["results"]
        self.model = self.study.model(parameters["arm"], parameters["seed"], parameters["swept"])
        runtime = configure(parameters["device"], parameters["mode"])
        self.data = load_mnist(self.study.profile(self.profile).data)
        self.surroundings = provenance.environment(runtime, self.data)
        kept = ("mode", "overrides", "attack_overrides", "victim")
        self.asked = {name: parameters[name] for name in kept if parameters.get(name)}


class Training(Session):
    """One model of the study, made as its arm says; `settings` are the arm's."""

    def __init__(self, parameters: dict[str, Any]) -> None:
        super().__init__(parameters)
        self.settings = self.study.arm(self.profile, self.model.arm, parameters["overrides"], self.model.value)

    def __str__(self) -> str:
        images = f"{len(self.data.train_labels):,} training images of {self.data.name}"
        return (
            f"{self.data.notice} Arm **{self.model.arm}** ({self.settings.title}), seed {self.model.seed}, on {images}."
        )

    def train(self) -> models.Trained:
        """Make the model and keep its run with its checkpoints."""
        clock, seed = Clock(), self.model.seed
        earlier = models.earlier_of(self.settings, seed, self.folder, self.study, self.profile)
        with clock("training"):
            checkpoints = models.checkpoint_folder(self.folder, self.model)
            trained = models.make(self.settings, seed, self.data, checkpoints, earlier=earlier)
        wanted = self.study.training(self.profile, self.model).runs[0]
        more = models.outcome(trained, earlier) | {"settings": self.settings.recipe(), "asked": self.asked}
        run = provenance.run_of(wanted, self.study, self.profile, self.surroundings, clock, **more)
        run.factors = {"arm": self.model.arm, **self.settings.factors()}
        write_job(self.folder / "runs" / f"{wanted.name}.npz", [(run, {})])
        return trained


@dataclass
class Got:
    """What one attack of a session got, and how long it took."""

    found: attacking.Found
    clock: Clock = field(default_factory=Clock)


class Attacking(Session):
    """The attacks of a notebook on one model; `variants` are the attacks, `scene` is what they share."""

    def __init__(self, parameters: dict[str, Any]) -> None:
        super().__init__(parameters)
        profile = self.study.profile(self.profile)
        self.variants = chosen_variants(self.study, parameters)
        targets = choose_targets(self.data, profile.targets)
        victim, arm, seed = parameters["victim"], self.model.arm, self.model.seed
        self.factors: dict[str, Value]
        attacked = None
        if victim:
            attacked = models.own_network(victim, self.study.arm(self.profile, arm), seed)
            self.model = Model(models.own_name(victim), seed)
            self.factors = {"arm": self.model.arm}
        else:
            attacked = None if arm == NONE else models.load(self.folder, self.study, self.profile, self.model)
            self.factors = {"arm": arm}
            if attacked and (sweep := self.study.arms[arm].sweep):
                self.factors |= attacked.arm.model_copy(update={"sweep": sweep}).factors()
        self.judges = {
            name: models.load(self.folder, self.study, self.profile, judge)
            for name, judge in self.study.judges().items()
        }
        evaluators = {name: judge.network for name, judge in self.judges.items()}
        shown = seed == profile.seeds()[0]  # the book shows the pictures of one seed
        self.scene = attacking.Scene(attacked, targets, evaluators, self.data, seed, self.folder / "shadows", shown)
        self.got: dict[str, Got] = {}
        self.mechanism: Run | None = None

    def __str__(self) -> str:
        targets = self.scene.targets
        counted = f"{len(targets.labels)} private images, {int(targets.in_training.sum())} of them from training"
        return f"{self.data.notice} Model **{self.model}**: {counted}."

    def attack(self, variant: Variant) -> attacking.Found:
        """Run one attack."""
        clock = Clock()
        with clock("attack"):
            found = attacking.attack(variant, self.scene)
        self.got[str(variant)] = Got(found, clock)
        return found

    def look(self) -> dict[str, Any]:
        """Measure what the model's features hold, with the profile's own attacks; on its own it says little."""
        victim = self.scene.victim
        if victim is None or self.parameters["group"] or self.parameters["attacks"]:
            return {}
        clock = Clock()
        with clock("mechanism"):
            measured = attacking.measure_mechanism(victim, self.scene.targets)
        wanted = self._job().runs[-1] if not self.parameters["victim"] else None
        if wanted:
            self.mechanism = self._run(wanted, clock, results=measured, settings=victim.arm.recipe())
        return measured

    def save(self) -> Path:
        """Keep all runs of the session as one file; returns its path."""
        runs: list[tuple[Run, dict[str, np.ndarray]]] = []
        for variant in self.variants:
            got = self.got[str(variant)]
            run = self._run(variant.on(self.model, self.factors), got.clock, chosen=got.found.chosen)
            runs.append((run, got.found.arrays))
        runs += [(self.mechanism, {})] if self.mechanism else []
        named = [*self.parameters["attacks"], *self.parameters["at"]]
        path = self.folder / "runs" / f"{'-'.join([str(self._job()), *named])}.npz"
        write_job(path, runs)
        return path

    def first_of_each_class(self) -> list[int]:
        """Positions of one target of each class."""
        return self.scene.targets.first_of_each_class(1).tolist()

    def pictures(self) -> Pictures:
        """Reconstructions, their originals and curves, by attack."""
        pictures = Pictures()
        for name, got in self.got.items():
            show(pictures, name, got.found.arrays)
        return pictures

    def _job(self) -> Job:
        if self.parameters["victim"]:
            return Job("attack", self.model, self.parameters["group"])
        return self.study.attacking(self.profile, self.model, self.parameters["group"])

    def _run(self, wanted: Any, clock: Clock, **more: Any) -> Run:
        victim = self.scene.victim
        networks = {name: judge.sha256 for name, judge in self.judges.items()}
        networks = ({"victim": victim.sha256} if victim else {}) | networks
        return provenance.run_of(
            wanted, self.study, self.profile, self.surroundings, clock, networks=networks, asked=self.asked, **more
        )
