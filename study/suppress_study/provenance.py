"""Where and from what a run was made."""

import os
import platform
import resource
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from suppress_privacy.mnist import Mnist
from suppress_privacy.runtime import Runtime, instruction_sets, processor
from suppress_study import starter
from suppress_study.settings import ROOT

DIRTY = "-dirty"  # ends the name of a commit that tracked files differ from
CHANGES = ("status", "--porcelain", "--untracked-files=no", "--")  # to tracked files
LIBRARIES = ("mindspore", "numpy", "scipy", "scikit-image", "dp-accounting")


@contextmanager
def made(stage: str, environment: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """What a run says of its making, once that has ended: commit, tag, environment, times and memory, as fields of
    `Run`.

    with made("training", environment) as making:
        ...
    """
    times: dict[str, Any] = {"started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}
    making: dict[str, Any] = {"commit": commit(), "tag": tag(), "environment": environment, "times": times}
    started = time.perf_counter()
    yield making
    times["seconds"] = {stage: round(time.perf_counter() - started, 3)}
    making["peak_memory_bytes"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024  # of this process so far


def environment(runtime: Runtime, data: Mnist) -> dict[str, Any]:
    """What the runs of one machine and data set have in common."""
    machine = {"processor": processor(), "instruction_sets": instruction_sets(), "cores": os.cpu_count()}
    machine["usable_cores"] = starter.usable_cores()
    return {
        "device": asdict(runtime),
        "versions": {"python": platform.python_version()} | numerical(),
        "machine": machine,
        "data": describe(data),
    }


@cache
def numerical() -> dict[str, str]:
    """The versions of the packages that compute what comes out."""
    return {name: version(name) for name in LIBRARIES}


def describe(data: Mnist) -> dict[str, Any]:
    """A data set as runs name it: name, sizes, SHA-256 of its bytes, and its notice."""
    sizes = {"train": len(data.train_labels), "test": len(data.test_labels)}
    return {"name": data.name, **sizes, "sha256": data.sha256, "notice": data.notice}


def commit() -> str:
    """The project's commit that is checked out, marked where tracked files other than results differ.

    It is "unknown" where the project's folder has no repository of its own, or one that does not have its files.
    """
    try:
        git("cat-file", "-e", f"HEAD:{Path(__file__).relative_to(ROOT)}")
        head = git("rev-parse", "--short=12", "HEAD")
        return head + DIRTY if git(*CHANGES, ":!results") else head
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def tag() -> str:
    """The tag of the commit that is checked out, of several the one of the highest version; "" where it has none."""
    if commit() == "unknown":
        return ""
    return next(iter(git("tag", "--points-at", "HEAD", "--sort=-version:refname").splitlines()), "")


def tagged(name: str) -> str:
    """The whole name of the commit that a tag points to; "" where the project's repository does not have the tag."""
    return _asked("rev-parse", "--verify", "--quiet", f"refs/tags/{name}^{{commit}}")


def at_commit(commit: str, path: str) -> str:
    """A file as a commit has it, without white space at its ends; "" where it has none."""
    return _asked("show", f"{commit}:{path}")


def _asked(*arguments: str) -> str:
    try:
        return git(*arguments)
    except (OSError, subprocess.CalledProcessError):
        return ""


def git(*arguments: str, root: Path | None = None) -> str:
    """What Git says of the project's repository, or of another worktree of it.

    Raises:
        OSError, subprocess.CalledProcessError: there is no Git, or it refuses.
    """
    # The project's own repository, whatever lies around it, whoever owns it and from whichever hook this is called.
    root = root or ROOT
    own = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    command = ["git", f"--git-dir={root / '.git'}", f"--work-tree={root}", "--no-optional-locks", *arguments]
    run = subprocess.run(command, cwd=root, env=own, capture_output=True, encoding="utf-8", check=True)
    return run.stdout.strip()
