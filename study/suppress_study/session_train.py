"""What the notebook of a training does: make one model, and keep its run with its checkpoints."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from suppress_study import models
from suppress_study.jobs import Model
from suppress_study.provenance import made
from suppress_study.results import as_text, write_job
from suppress_study.session import Session
from suppress_study.settings import ROOT


class Training(Session):
    """One model of the study, made as its arm says; `arm` has the settings."""

    def __init__(self, variables: Mapping[str, Any]) -> None:
        super().__init__("train", variables)
        overrides = self.parameters["overrides"]
        self.arm = self.study.arm(self.profile, self.model.arm, overrides, self.model.value)
        self.job = self.study.training(self.profile, self.model, overrides)
        self.earlier = self.models.earlier(self.arm, self.model.seed)
        found = [self.models.found(Model(name, self.model.seed))[0] for name in self.earlier]
        self._depends = self.depends(*found)[self.job.runs[0].name]

    def __str__(self) -> str:
        images = f"{len(self.data.train_labels):,} training images of {self.data.name}"
        arm = f"Arm **{self.model.arm}** ({as_text(self.arm.title)})"
        return f"{self.data.notice} {arm}, seed {self.model.seed}, on {images}."

    def train(self) -> models.Trained:
        """Make the model and keep its run with its checkpoints."""
        checkpoints = models.checkpoints_of(self.results, self.model)
        with made("training", self.environment) as making:
            trained = models.make(self.arm, self.model.seed, self.data, checkpoints, earlier=self.earlier)
        making |= {"depends": self._depends, "asked": self.asked}
        run = replace(self.job.runs[0], **making, **trained.outcome(self.earlier))
        write_job(ROOT / self.path, [(run, {})])
        return trained
