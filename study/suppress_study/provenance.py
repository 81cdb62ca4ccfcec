"""Where and from what a run was made."""

import os
import platform
import resource
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from importlib.metadata import version
from typing import Any

from suppress_privacy.mnist import Mnist
from suppress_privacy.runtime import Runtime, processor
from suppress_study.plan import Study, Wanted
from suppress_study.results import Run
from suppress_study.settings import ROOT

DIRTY = "-dirty"  # ends the name of a commit that tracked files differ from
LIBRARIES = ("mindspore", "numpy", "scipy", "scikit-image", "dp-accounting")


class Clock:
    """Wall-clock seconds by stage, in order: `with clock("training"): ...`."""

    def __init__(self) -> None:
        self.started = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        self.seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        started = time.perf_counter()
        yield
        self.seconds[stage] = round(time.perf_counter() - started, 3)

    def times(self) -> dict[str, Any]:
        return {"started": self.started, "seconds": self.seconds}


def environment(runtime: Runtime, data: Mnist) -> dict[str, Any]:
    """What the runs of one machine and data set have in common."""
    return {
        "device": asdict(runtime),
        "versions": {"python": platform.python_version()} | {name: version(name) for name in LIBRARIES},
        "machine": {"processor": processor(), "cores": os.cpu_count()},
        "data": describe(data),
    }


def run_of(wanted: Wanted, study: Study, profile: str, surroundings: dict[str, Any], clock: Clock, **more: Any) -> Run:
    """A run that was just made: what was wanted, where it was made, and what came out (further fields of `Run`)."""
    return Run(
        name=wanted.name,
        kind=wanted.kind,
        campaign=study.campaign,
        profile=profile,
        factors=wanted.arm | wanted.attack,
        seed=wanted.model.seed,
        commit=commit(),
        environment=surroundings,
        times=clock.times(),
        peak_memory_bytes=peak_memory_bytes(),
        **{"settings": wanted.settings} | more,
    )


def describe(data: Mnist) -> dict[str, Any]:
    """A data set as runs name it: name, sizes, SHA-256 of its bytes, and its notice."""
    return {
        "name": data.name,
        "train": len(data.train_labels),
        "test": len(data.test_labels),
        "sha256": data.sha256,
        "notice": data.notice,
    }


def peak_memory_bytes() -> int:
    """Of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def commit() -> str:
    """The commit that is checked out, marked where tracked files other than results differ; "unknown" outside git."""
    try:
        head = _git("rev-parse", "--short=12", "HEAD")
        return head + DIRTY if _git("status", "--porcelain", "--untracked-files=no", "--", ":!results") else head
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()
