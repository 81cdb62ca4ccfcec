"""What a notebook works with, from its parameters: the study, the models that are there, the data and the machine."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from suppress_privacy import configure
from suppress_study import campaigns, models
from suppress_study.jobs import Job
from suppress_study.keys import Keys
from suppress_study.notebook import parameters_of
from suppress_study.plan import Study
from suppress_study.provenance import environment
from suppress_study.results import Run
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
        self.model = self.study.model(parameters["arm"], parameters.get("seed", 0), parameters["swept"])
        places = self.results, Path(parameters.get("models", self.results))
        self.models = models.Models(places, self.study, self.profile)
        runtime = configure(parameters["device"], parameters["mode"])
        chosen = self.study.profile(self.profile)
        data = load_data(chosen.data)
        self.targets = choose_targets(data, chosen.targets)
        self.data = replace(data, validation=self.targets.choice)
        self.environment = environment(runtime, self.data)
        modules = campaigns.modules(ROOT / self.results)
        self.keys = Keys(self.study, self.profile, self.environment["data"], runtime.device, runtime.mode, modules)
        kept = ("mode", "overrides", "attack_overrides", "victim")
        self.asked = {name: parameters[name] for name in kept if parameters.get(name)}

    def depends(self, *trainings: Run) -> dict[str, dict[str, Any]]:
        """What each run of the job depends on, by name, when it starts from these."""
        return self.keys.made_from(self.job, {run.name: run.depends.get("key", "") for run in trainings})

    @property
    def path(self) -> Path:
        """Where the runs are kept, as one file, from the project's folder."""
        asked = [*self.parameters.get("attacks", ()), *self.parameters.get("at", ())]
        return self.results / "runs" / f"{'-'.join([str(self.job), *asked])}.npz"
