"""Records: what a run was, where it ran and what came out; and the summary over all of them."""

import json
import os
import platform
import resource
import subprocess
import time
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict

from suppress_privacy.evaluation.intervals import bootstrap_mean, proportion

LIBRARIES = ("mindspore", "numpy", "scipy", "scikit-image")
PROPORTIONS = ("label_accuracy",)  # metrics of 0 and 1; all others are means of real numbers


class Interval(BaseModel):
    """A mean over `n` values with its 95 % interval."""

    model_config = ConfigDict(extra="forbid")
    mean: float
    low: float
    high: float
    n: int


class Data(BaseModel):
    model_config = ConfigDict(extra="forbid")
    name: str
    train: int
    test: int


class ArmSummary(BaseModel):
    """One value a seed, in the order of `seeds`; sparsity by layer."""

    model_config = ConfigDict(extra="forbid")
    title: str
    test_accuracy: list[float]
    sparsity: dict[str, list[float]]


class AttackMetrics(BaseModel):
    model_config = ConfigDict(extra="forbid")
    relative_l2: Interval
    ssim: Interval
    ssim_range2: Interval
    confidence: Interval
    label_accuracy: Interval


class Documented(BaseModel):
    model_config = ConfigDict(extra="forbid")
    source: str
    images: int
    seeds: int
    models: dict[str, dict[str, float]]
    arms: dict[str, str]


class Summary(BaseModel):
    """What `summary.json` holds; its JSON Schema is `summary.schema.json` beside this module."""

    model_config = ConfigDict(extra="forbid")
    profile: str
    data: Data
    notice: str
    seeds: list[int]
    images: int
    commits: list[str]
    evaluator: dict[str, float]
    arms: dict[str, ArmSummary]
    attacks: dict[str, dict[str, AttackMetrics]]
    documented: Documented


class Clock:
    """Wall-clock seconds by stage: `with clock("training"): ...`; in order, in `seconds`."""

    def __init__(self):
        self.started = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        self.seconds = {}

    def __call__(self, stage):
        self._stage = stage
        return self

    def __enter__(self):
        self._from = time.perf_counter()

    def __exit__(self, *_):
        self.seconds[self._stage] = round(time.perf_counter() - self._from, 3)


def provenance(runtime, data, clock):
    """Where and from what a run was made: the part of a record that does not depend on the run's kind."""
    return {
        "commit": commit(),
        "device": asdict(runtime),
        "versions": {"python": platform.python_version()} | {name: version(name) for name in LIBRARIES},
        "machine": {"processor": _processor(), "cores": os.cpu_count()},
        "data": describe(data),
        "times": {"started": clock.started, "seconds": clock.seconds},
        "peak_memory_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }


def describe(data):
    """A data set as records name it: name, sizes, SHA-256 of its bytes, and its notice."""
    return {
        "name": data.name,
        "train": len(data.train_labels),
        "test": len(data.test_labels),
        "sha256": data.sha256,
        "notice": data.notice,
    }


def commit():
    """The commit that is checked out, marked where tracked files differ from it; "unknown" outside git."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def write_json(path, content):
    """Write JSON so that whoever reads `path` finds the old file or the whole new one."""
    _replace(path, lambda part: part.write_text(json.dumps(content, indent=1) + "\n"))


def write_arrays(path, **arrays):
    """Write compressed arrays, as whole as `write_json` does."""

    def write(part):
        with part.open("wb") as file:
            np.savez_compressed(file, **arrays)

    _replace(path, write)


def training_name(arm, seed):
    return f"train-{arm}-seed{seed}"


def attack_name(attack, arm, seed):
    return f"attack-{attack}-{arm}-seed{seed}"


class Records:
    """The records of one results folder, read by name."""

    def __init__(self, results):
        self.folder = Path(results) / "records"

    def read(self, name):
        return json.loads((self.folder / f"{name}.json").read_text())

    def arrays(self, name):
        """The record's arrays, by name."""
        with np.load(self.folder / f"{name}.npz") as arrays:
            return dict(arrays)

    def write(self, name, record, **arrays):
        """Arrays first: a record that can be read is complete."""
        if arrays:
            write_arrays(self.folder / f"{name}.npz", **arrays)
        write_json(self.folder / f"{name}.json", {"name": name, **record})


def summarise(study, profile_name, records):
    """The summary of a profile's records.

    Args:
        study (Study): which arms, attacks and seeds there are.
        profile_name (str): the profile the records were made with.
        records (Records): the folder that holds them.

    Returns:
        Summary.
    """
    profile = study.profile(profile_name)
    training = {arm: [records.read(training_name(arm, seed)) for seed in profile.seeds] for arm in profile.arms}
    evaluator = records.read(training_name(study.evaluator.arm, study.evaluator.seed))
    first = training[profile.arms[0]][0]
    attacks = {
        attack: {
            arm: _intervals([records.arrays(attack_name(attack, arm, seed)) for seed in profile.seeds])
            for arm in profile.arms
        }
        for attack in profile.attacks
    }
    everything = [evaluator, *(run for runs in training.values() for run in runs)]
    return Summary(
        profile=profile_name,
        data={key: first["data"][key] for key in ("name", "train", "test")},
        notice=first["data"]["notice"],
        seeds=profile.seeds,
        images=10 * (profile.targets.train_per_class + profile.targets.test_per_class),
        commits=sorted({run["commit"] for run in everything}),
        evaluator={"test_accuracy": evaluator["results"]["test_accuracy"]},
        arms={
            arm: ArmSummary(
                title=study.arms[arm].title,
                test_accuracy=[run["results"]["test_accuracy"] for run in runs],
                sparsity={
                    layer: [run["results"]["sparsity"][layer] for run in runs]
                    for layer in runs[0]["results"]["sparsity"]
                },
            )
            for arm, runs in training.items()
        },
        attacks=attacks,
        documented={
            **study.documented.model_dump(),
            "arms": {arm: study.arms[arm].documented for arm in profile.arms if study.arms[arm].documented},
        },
    )


def _intervals(runs):
    metrics = {name: np.stack([run[name] for run in runs]) for name in AttackMetrics.model_fields}  # each [S, N]
    return {
        name: asdict(proportion(values) if name in PROPORTIONS else bootstrap_mean(values))
        for name, values in metrics.items()
    }


def _processor():
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor()


def _replace(path, write):
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".part-{path.name}")
    write(part)
    os.replace(part, path)
