"""Run keys: all that a run depends on, as one hash.

    key = SHA-256 of  settings, seed, targets, data, versions of numerical packages, device, mode,
                      code that it imports (see code.py), and the keys of the runs that it starts from

A run says what it depends on when it is made; what it would be made from today is told without making it.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from suppress_privacy.attacks import ATTACKS
from suppress_privacy.defences import DEFENCES
from suppress_study import packaged
from suppress_study.code import hashes, module
from suppress_study.jobs import Job
from suppress_study.plan import Study
from suppress_study.provenance import numerical
from suppress_study.results import Run
from suppress_study.settings import ROOT, Arm

NOTEBOOKS = {"train": "train", "attack": "attack", "coins": "membership"}
Depends = dict[str, Any]


@dataclass
class Keys:
    """What the runs of a profile depend on, if they are made here and now.

    Args:
        study, profile: whose runs.
        data: the data set, as `provenance.describe` says it.
        device: Ascend, GPU or CPU.
        mode: graph or pynative.
        own: modules of the user's own networks.
    """

    study: Study
    profile: str
    data: Mapping[str, Any]
    device: str
    mode: str = "graph"
    own: Iterable[Path] = ()
    _known: dict[str, dict[str, Depends]] = field(default_factory=dict)
    _code: dict[frozenset[Path], dict[str, str]] = field(default_factory=dict)

    def depends(self, job: Job) -> dict[str, Depends]:
        """What each run of a job depends on, by name of the run."""
        name = str(job)
        if name not in self._known:
            needs = {str(each): self.key(each) for each in self.study.needs(self.profile, job)}
            self._known[name] = self.made_from(job, needs)
        return self._known[name]

    def made_from(self, job: Job, needs: Mapping[str, str]) -> dict[str, Depends]:
        """As `depends`, with the keys of the runs that it really started from."""
        arm, found = self.arm_of(job), {}
        for run in job.runs:
            basis = {
                "targets": self.study.profile(self.profile).targets.model_dump(),
                "data": self.data["sha256"],
                "versions": numerical(),
                "device": self.device,
                "mode": self.mode,
                "code": self._code_of(job, arm, run.settings["kind"] if run.kind == "attack" else ""),
            }
            content: Depends = {"needs": dict(needs), "basis": basis}
            if arm and arm.package:
                content["package"] = packaged.path_of(arm, job.model.seed).name
            found[run.name] = content | {"key": recorded(replace(run, depends=content))}
        return found

    def key(self, job: Job) -> str:
        """One for all runs of a job."""
        return combined(each["key"] for each in self.depends(job).values())

    def arm_of(self, job: Job) -> Arm | None:
        """How the network of a job is made, if it is the study's."""
        return self.study.arm_of(self.profile, job.model) if job.model.arm in self.study.arms else None

    def _code_of(self, job: Job, arm: Arm | None, kind: str) -> dict[str, str]:
        roots = [ROOT / "notebooks" / f"{NOTEBOOKS[job.kind]}.ipynb", *self.own]
        used = [ATTACKS[kind].run.__module__] if kind in ATTACKS else []
        used += [DEFENCES[arm.defence["kind"]].__module__] if arm and arm.defence else []
        chosen = frozenset([*roots, *map(module, used)])
        if chosen not in self._code:
            self._code[chosen] = hashes(chosen)
        return self._code[chosen]


def recorded(run: Run) -> str:
    """The key of what a run says that it depends on."""
    content = {name: value for name, value in run.depends.items() if name != "key"}
    return _hash([run.kind, run.seed, run.settings, content])


def combined(keys: Iterable[str]) -> str:
    """One key for several: the same one for one."""
    found = sorted(keys)
    return found[0] if len(found) == 1 else _hash(found)


def _hash(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:32]
