"""What a notebook does, from its parameters to the runs it keeps: train one model, attack one, or play with many."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from suppress_privacy import configure
from suppress_privacy.evaluation.game import gained, over_victims
from suppress_privacy.evaluation.intervals import Estimate, seed_mean
from suppress_privacy.lenet import require_whole
from suppress_study import attacking, campaigns, coins, models
from suppress_study.jobs import NONE, Job, Model, Variant
from suppress_study.notebook import chosen, parameters_of
from suppress_study.plan import Study
from suppress_study.provenance import environment, made
from suppress_study.reading import named
from suppress_study.results import Arrays, Pictures, Run, as_text, show, write_job
from suppress_study.settings import ROOT
from suppress_study.targets import choose_targets, load_data


class Session:
    """The study, its data, and the machine, as a notebook's parameters ask for them.

    Args:
        notebook: its name.
        variables: its globals(), with its parameters.

    Raises:
        TypeError, ValueError: a parameter that is wrong, or names what is not there.
    """

    job: Job

    def __init__(self, notebook: str, variables: Mapping[str, Any]) -> None:
        self.parameters = parameters = parameters_of(notebook, variables)
        self.profile: str = parameters["profile"]
        self.results = Path(parameters["results"])
        self.study = Study.today(ROOT / self.results)
        campaigns.modules(ROOT / self.results)
        self.model = self.study.model(parameters["arm"], parameters.get("seed", 0), parameters["swept"])
        places = self.results, Path(parameters.get("models", self.results))
        self.models = models.Models(places, self.study, self.profile)
        runtime = configure(parameters["device"], parameters["mode"])
        chosen = self.study.profile(self.profile)
        data = load_data(chosen.data)
        self.targets = choose_targets(data, chosen.targets)
        self.data = replace(data, validation=self.targets.choice)
        self.environment = environment(runtime, self.data)
        kept = ("mode", "overrides", "attack_overrides", "victim")
        self.asked = {name: parameters[name] for name in kept if parameters.get(name)}

    @property
    def path(self) -> Path:
        """Where the runs are kept, as one file, from the project's folder."""
        asked = [*self.parameters.get("attacks", ()), *self.parameters.get("at", ())]
        return self.results / "runs" / f"{'-'.join([str(self.job), *asked])}.npz"


class Training(Session):
    """One model of the study, made as its arm says; `arm` has the settings."""

    def __init__(self, variables: Mapping[str, Any]) -> None:
        super().__init__("train", variables)
        overrides = self.parameters["overrides"]
        self.arm = self.study.arm(self.profile, self.model.arm, overrides, self.model.value)
        self.job = self.study.training(self.profile, self.model, overrides)
        self.earlier = self.models.earlier(self.arm, self.model.seed)

    def __str__(self) -> str:
        images = f"{len(self.data.train_labels):,} training images of {self.data.name}"
        arm = f"Arm **{self.model.arm}** ({as_text(self.arm.title)})"
        return f"{self.data.notice} {arm}, seed {self.model.seed}, on {images}."

    def train(self) -> models.Trained:
        """Make the model and keep its run with its checkpoints."""
        checkpoints = models.checkpoints_of(self.results, self.model)
        with made("training", self.environment) as making:
            trained = models.make(self.arm, self.model.seed, self.data, checkpoints, earlier=self.earlier)
        run = replace(self.job.runs[0], asked=self.asked, **making, **trained.outcome(self.earlier))
        write_job(ROOT / self.path, [(run, {})])
        return trained


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
        self.scene = attacking.Scene(attacked, self.targets, evaluators, self.data, seed, shadows, shown, another)
        floors = self.study.attacking(self.profile, Model(NONE, seed)).variants
        self.found = {str(each): attacking.attack(each, self.scene) for each in floors if each.sees == "nothing"}
        self._made: dict[str, tuple[Run, Arrays]] = {}  # by name of the run

    def __str__(self) -> str:
        targets = self.scene.targets
        counted = f"{len(targets.labels)} private images, {int(targets.in_training.sum())} of them from training"
        others = f"each to be told from up to {max(map(len, targets.gallery.values()))} others of its class"
        origin = f" of `{as_text(self.origin)}`" if self.origin else ""
        return f"{self.data.notice} Model **{as_text(str(self.model))}**{origin}: {counted}, {others}."

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
        self._made[run.name] = replace(run, networks=self.networks, asked=self.asked, **more), arrays

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


class Playing(Session):
    """All models of one arm that play a game of membership, and the attacks on each; `board` has the game's images."""

    def __init__(self, variables: Mapping[str, Any]) -> None:
        super().__init__("membership", variables)
        name = self.parameters["game"]
        self.game = self.study.game(self.profile, name)
        self.job = self.study.playing(self.profile, name, self.model)
        self.seeds = list(dict.fromkeys(run.seed for run in self.job.runs))
        self.board = coins.board(self.data, self.game, self.targets.index[self.targets.in_training])
        folder = ROOT / self.results / "coins"
        self._mint = coins.Mint(self.study, self.profile, self.data, self.board, folder)
        self._planned = {run.name: run for run in self.job.runs}
        self._made: dict[str, tuple[Run, Arrays]] = {}

    def __str__(self) -> str:
        board, count = self.board, len(self.seeds)
        wrong = f"{len(board.canaries):,} of them canaries" if len(board.canaries) else f"{self.game.labels} labels"
        images = f"{len(board.labels):,} images of {self.data.name}, {wrong}"
        who = f"{count} models of arm **{self.model.kind}**" if self.model.arm != NONE else f"{count} draws, no model"
        return f"{self.data.notice} Game **{self.job.group}** ({as_text(self.game.title)}): {images}; {who}."

    def train(self) -> coins.Table:
        """The models, those that are kept from before and those that are made now; and what they say of the images."""
        found = []
        for seed in tqdm(self.seeds if self.model.arm != NONE else [], unit="model", disable=None):
            with made("training", self.environment) as making:
                model = replace(self.model, seed=seed)
                coin = self._mint.coin(model)
            making["times"]["seconds"] = {"training": coin.seconds}  # whenever it was made
            sparsity = {layer: shares[-1] for layer, shares in coin.history.sparsity.items()}
            results = {"test_accuracy": coin.test_accuracy, "loss": coin.history.loss[-1:], "sparsity": sparsity}
            run = self._planned[f"coin-{self.job.group}-{model}"]
            checkpoint = {"name": coin.name, "sha256": coin.sha256}
            self._made[run.name] = replace(run, asked=self.asked, checkpoint=checkpoint, results=results, **making), {}
            found.append(coin.phi)
        return coins.Table(self.board, self.seeds, np.array(found, np.float64))

    def attack(self, table: coins.Table) -> dict[str, dict[tuple[str, str], Estimate]]:
        """All attacks of the game on each model: by attack, each metric over the models.

        Of candidates that is among canaries and others; of reconstructions among targets, what they gain by being in.
        """
        found = {}
        for variant in self.job.variants:
            of_seeds = [self._attacked(variant, table, seed) for seed in self.seeds]
            if variant.sees == "features":
                skill, member = (np.stack([arrays[name] for _, arrays in of_seeds]) for name in ("skill", "member"))
                found[variant.attack] = {("targets", "skill"): seed_mean(gained(skill, member))}
                continue
            found[variant.attack] = {
                (among, metric): over_victims([each[among][metric] for each, _ in of_seeds])
                for among, metrics in of_seeds[0][0].items()
                for metric in metrics
            }
        return found

    def _attacked(self, variant: Variant, table: coins.Table, seed: int) -> tuple[dict[str, Any], Arrays]:
        model = replace(self.model, seed=seed)
        with made("attack", self.environment) as making:
            if variant.sees == "features":
                arrays, own = self._seen(variant, model)
                results: dict[str, Any] = {}
            else:
                (results, arrays), own = table.attacked(variant, seed), {}
        coin = self._made.get(f"coin-{self.job.group}-{model}")
        networks = {"coin": coin[0].checkpoint["sha256"]} if coin else {}
        run = self._planned[f"attack-{variant}-{model}"]
        self._made[run.name] = (
            replace(run, asked=self.asked, networks=networks, results=results, chosen=own, **making),
            arrays,
        )
        return results, arrays

    def _seen(self, variant: Variant, model: Model) -> tuple[Arrays, dict[str, Any]]:
        """What is reconstructed of the study's targets from a model that had some of them in its training.

        Returns:
            arrays of a run, and what the attack chose.
        """
        with self._mint.victim(model) as victim:
            found = attacking.attack(variant, attacking.Scene(victim, self.targets, {}, self.data, model.seed))
        member = self.board.has(model.seed, self.targets.index, self.targets.in_training)
        shown = ("image", "index", "in_training", "label", "skill", "rank1")
        return {name: found.arrays[name] for name in shown} | {"member": member}, found.chosen

    def save(self) -> Path:
        """Keep all runs of the game as one file, in the order of the plan; returns its path."""
        write_job(ROOT / self.path, [self._made[name] for name in self._planned if name in self._made])
        return self.path
