"""Records: what a run was, where it ran and what came out; and the summary over all of them."""

import hashlib
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
REFERENCE_ARM = "baseline"  # the arm that differences are taken against
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
    """What `summary.json` holds; its JSON Schema is `summary.schema.json` beside this module.

    `differences.<attack>.<arm>` are that arm's metrics minus the baseline's, paired by image and seed.
    """

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
    differences: dict[str, dict[str, AttackMetrics]]
    documented: Documented


class RecordError(ValueError):
    """Records that do not belong together; the message says which, and what to do."""


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
        "machine": {"processor": processor(), "cores": os.cpu_count()},
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
    """Write JSON so that whoever reads `path` finds the old file or the whole new one; NaN is refused."""
    _replace(path, lambda part: part.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n"))


def file_sha256(path):
    """SHA-256 of a file's bytes."""
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


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
        """The record's arrays, by name.

        Raises:
            RecordError: they are not those the record was written with.
        """
        path = self.folder / f"{name}.npz"
        if file_sha256(path) != self.read(name)["arrays_sha256"]:
            raise RecordError(f"{path} does not belong to its record: delete both, and run the study again.")
        with np.load(path) as arrays:
            return dict(arrays)

    def write(self, name, record, **arrays):
        """Arrays first, their hash in the record: arrays of another run are not taken for this one's."""
        if arrays:
            write_arrays(self.folder / f"{name}.npz", **arrays)
            record = record | {"arrays_sha256": file_sha256(self.folder / f"{name}.npz")}
        write_json(self.folder / f"{name}.json", {"name": name, **record})


def summarise(study, profile_name, records):
    """The summary of a profile's records.

    Args:
        study (Study): which arms, attacks and seeds there are, and with which settings.
        profile_name (str): the profile the records were made with.
        records (Records): the folder that holds them.

    Returns:
        Summary.

    Raises:
        RecordError: a record was made with other settings than the study's, or on other data than the rest.
    """
    profile = study.profile(profile_name)
    evaluator_name = training_name(study.evaluator.arm, study.evaluator.seed)
    training = {arm: [training_name(arm, seed) for seed in profile.seeds] for arm in profile.arms}
    attacks = {
        attack: {arm: [attack_name(attack, arm, seed) for seed in profile.seeds] for arm in profile.arms}
        for attack in profile.attacks
    }
    wanted = {evaluator_name: study.arm(profile_name, study.evaluator.arm)}
    wanted |= {name: study.arm(profile_name, arm) for arm, names in training.items() for name in names}
    wanted |= {
        name: study.attack(attack) for attack, arms in attacks.items() for names in arms.values() for name in names
    }
    found = {name: records.read(name) for name in wanted}
    data = found[evaluator_name]["data"]
    for name, record in found.items():
        if record["settings"] != wanted[name].settings_of_a_run():
            raise RecordError(
                f"record {name} was made with other settings than study.yaml has: delete it and run again."
            )
        if record["data"] != data:
            raise RecordError(f"record {name} was made on other data than {evaluator_name}: delete it and run again.")
    values = {
        attack: {arm: _stacked(records, names) for arm, names in arms.items()} for attack, arms in attacks.items()
    }
    return Summary(
        profile=profile_name,
        data={key: data[key] for key in ("name", "train", "test")},
        notice=data["notice"],
        seeds=profile.seeds,
        images=next(iter(next(iter(values.values())).values()))["relative_l2"].shape[1],
        commits=sorted({record["commit"] for record in found.values()}),
        evaluator={"test_accuracy": found[evaluator_name]["results"]["test_accuracy"]},
        arms={
            arm: ArmSummary(
                title=study.arms[arm].title,
                test_accuracy=[found[name]["results"]["test_accuracy"] for name in names],
                sparsity={
                    layer: [found[name]["results"]["sparsity"][layer] for name in names]
                    for layer in found[names[0]]["results"]["sparsity"]
                },
            )
            for arm, names in training.items()
        },
        attacks={
            attack: {
                arm: {metric: _estimate(metric, array) for metric, array in metrics.items()}
                for arm, metrics in arms.items()
            }
            for attack, arms in values.items()
        },
        differences={
            attack: {
                arm: {
                    metric: asdict(bootstrap_mean(array - arms[REFERENCE_ARM][metric]))
                    for metric, array in metrics.items()
                }
                for arm, metrics in arms.items()
                if arm != REFERENCE_ARM
            }
            for attack, arms in values.items()
        },
        documented={
            **study.documented.model_dump(),
            "arms": {arm: study.arms[arm].documented for arm in profile.arms if study.arms[arm].documented},
        },
    )


def _stacked(records, names):
    """The per-image metrics of several seeds: metric -> [S, N]."""
    runs = [records.arrays(name) for name in names]
    return {metric: np.stack([run[metric] for run in runs]) for metric in AttackMetrics.model_fields}


def _estimate(metric, values):
    return asdict(proportion(values) if metric in PROPORTIONS else bootstrap_mean(values))


def processor():
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor()


def _replace(path, write):
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".part-{os.getpid()}-{path.name}")
    write(part)
    os.replace(part, path)
