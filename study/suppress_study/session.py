"""What a notebook does, from its parameters to the runs it keeps: train one model, or attack one."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from suppress_privacy import configure, load_mnist
from suppress_study import attacking, models
from suppress_study.notebook import chosen
from suppress_study.plan import NONE, Model, Study, Variant
from suppress_study.provenance import environment, made
from suppress_study.results import Arrays, Pictures, Run, show, write_job
from suppress_study.settings import ROOT
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
        self.models = models.Models(self.folder, self.study, self.profile)
        runtime = configure(parameters["device"], parameters["mode"])
        self.data = load_mnist(self.study.profile(self.profile).data)
        self.environment = environment(runtime, self.data)
        kept = ("mode", "overrides", "attack_overrides", "victim")
        self.asked = {name: parameters[name] for name in kept if parameters.get(name)}


class Training(Session):
    """One model of the study, made as its arm says; `arm` has the settings."""

    def __init__(self, parameters: dict[str, Any]) -> None:
        super().__init__(parameters)
        self.arm = self.study.arm(self.profile, self.model.arm, parameters["overrides"], self.model.value)

    def __str__(self) -> str:
        images = f"{len(self.data.train_labels):,} training images of {self.data.name}"
        return f"{self.data.notice} Arm **{self.model.arm}** ({self.arm.title}), seed {self.model.seed}, on {images}."

    def train(self) -> models.Trained:
        """Make the model and keep its run with its checkpoints."""
        job = self.study.training(self.profile, self.model, self.parameters["overrides"])
        earlier = self.models.earlier(self.arm, self.model.seed)
        checkpoints = self.models.checkpoints(self.model)
        with made("training", self.environment) as making:
            trained = models.make(self.arm, self.model.seed, self.data, checkpoints, earlier=earlier)
        run = replace(job.runs[0], asked=self.asked, **making, **trained.outcome(earlier))
        write_job(self.folder / "runs" / f"{job}.npz", [(run, {})])
        return trained


class Attacking(Session):
    """The attacks of a notebook on one model; `variants` are the attacks, `scene` is what they share."""

    def __init__(self, parameters: dict[str, Any]) -> None:
        super().__init__(parameters)
        profile, victim, seed = self.study.profile(self.profile), parameters["victim"], self.model.seed
        attacked, factors = None, self.study.factors(self.profile, self.model)
        if victim:
            attacked = models.own_network(victim, self.study.arm(self.profile, self.model.arm), seed)
            self.model = Model(models.own_name(victim), seed)
            factors = {"arm": self.model.arm}
        elif self.model.arm != NONE:
            attacked = self.models.load(self.model)
            factors |= attacked.arm.factors()  # as it was made, which a rerunner may have changed
        self.job = chosen(self.study, parameters, self.model, factors)
        self.variants = self.job.variants
        judges = {name: self.models.load(judge) for name, judge in self.study.judges().items()}
        evaluators = {name: judge.network for name, judge in judges.items()}
        self.networks = {name: each.sha256 for name, each in {"victim": attacked, **judges}.items() if each}
        targets, shadows = choose_targets(self.data, profile.targets), self.folder / "shadows"
        shown = seed == profile.seeds()[0]  # the book shows the pictures of one seed
        self.scene = attacking.Scene(attacked, targets, evaluators, self.data, seed, shadows, shown)
        self.made: dict[str, tuple[Run, Arrays]] = {}  # by name of the attack

    def __str__(self) -> str:
        targets = self.scene.targets
        counted = f"{len(targets.labels)} private images, {int(targets.in_training.sum())} of them from training"
        return f"{self.data.notice} Model **{self.model}**: {counted}."

    def attack(self, variant: Variant) -> attacking.Found:
        """Run one attack."""
        with made("attack", self.environment) as making:
            found = attacking.attack(variant, self.scene)
        run = self.job.runs[self.variants.index(variant)]
        self._keep(str(variant), run, found.arrays, chosen=found.chosen, **making)
        return found

    def look(self) -> dict[str, Any]:
        """Measure what the model's features hold, with the profile's own attacks; on its own it says little."""
        victim = self.scene.victim
        if victim is None or self.parameters["group"] or self.parameters["attacks"]:
            return {}
        with made("mechanism", self.environment) as making:
            measured = attacking.measure_mechanism(victim, self.scene.targets)
        for run in self.job.runs[len(self.variants) :]:  # none of a network from elsewhere
            self._keep("mechanism", run, {}, results=measured, settings=victim.arm.recipe(), **making)
        return measured

    def _keep(self, name: str, run: Run, arrays: Arrays, **more: Any) -> None:
        self.made[name] = replace(run, networks=self.networks, asked=self.asked, **more), arrays

    def save(self) -> Path:
        """Keep all runs of the session as one file; returns its path."""
        named = [*self.parameters["attacks"], *self.parameters["at"]]
        path = self.folder / "runs" / f"{'-'.join([str(self.job), *named])}.npz"
        write_job(path, self.made.values())
        return path

    def first_of_each_class(self) -> list[int]:
        """Positions of one target of each class."""
        return self.scene.targets.first_of_each_class(1).tolist()

    def pictures(self) -> Pictures:
        """Reconstructions, their originals and curves, by attack."""
        pictures = Pictures()
        for name, (_, arrays) in self.made.items():
            show(pictures, name, arrays)
        return pictures
