"""What the notebook of membership does: make all models of one arm that play a game, and attack each."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from suppress_privacy.evaluation.game import gained, over_victims
from suppress_privacy.evaluation.intervals import Estimate, seed_mean
from suppress_study import attacking, coins
from suppress_study.jobs import NONE, Model, Variant
from suppress_study.provenance import made
from suppress_study.results import Arrays, Run, as_text, write_job
from suppress_study.session import Session
from suppress_study.settings import ROOT


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
        depends = self.keys.depends(self.job)
        self._planned = {run.name: replace(run, depends=depends[run.name]) for run in self.job.runs}
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
