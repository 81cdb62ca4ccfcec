"""Records: what a run was, where it ran and what came out; and the summary over all of them."""

import hashlib
import json
import os
import platform
import resource
import subprocess
import time
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict

from suppress_privacy.evaluation import gates
from suppress_privacy.evaluation.intervals import bootstrap_mean, proportion
from suppress_privacy.evaluation.membership import auc_estimate, tpr_estimate
from suppress_privacy.evaluation.verdict import FAILS, HOLDS, NOT_TESTED
from suppress_privacy.study.claims import Measured, verdicts
from suppress_privacy.study.names import attack_name, mechanism_name, training_name
from suppress_privacy.study.settings import validated

DIRTY = "-dirty"  # ends the name of a commit that tracked files differ from
LIBRARIES = ("mindspore", "numpy", "scipy", "scikit-image", "dp-accounting")
REFERENCE_ARM = "baseline"  # the arm that differences are taken against
FALSE_POSITIVE_RATE = 0.01  # at which membership inference is judged
# Metrics of one image each; those of 0 and 1 are proportions.
IMAGE_METRICS = (
    "skill",
    "rank1",
    "psnr",
    "ssim",
    "ssim_range2",
    "relative_l2",
    "confidence",
    "label_accuracy",
    "confidence_lenet2",
    "label_accuracy_lenet2",
    "confidence_convnet",
    "label_accuracy_convnet",
    "label_found",
)
PROPORTIONS = ("rank1", "label_accuracy", "label_accuracy_lenet2", "label_accuracy_convnet", "label_found")
PRIMARY_METRICS = ("skill", "rank1")
RANGES = {
    "skill": (-np.inf, 1),
    "ssim": (-1, 1),
    "ssim_range2": (-1, 1),
    "relative_l2": (0, np.inf),
    "confidence": (0, 1),
}
MEMBERSHIP_METRICS = ("auc", "tpr_at_1pct_fpr")
Metric = Literal[(*IMAGE_METRICS, *MEMBERSHIP_METRICS)]


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
    seeds: list[int]
    test_accuracy: list[float]
    sparsity: dict[str, list[float]]


class MechanismSummary(BaseModel):
    """What is left of an image in the first dense layer: per image; dead units one value a seed."""

    model_config = ConfigDict(extra="forbid")
    effective_rank: Interval
    feature_norm: Interval
    dead_units: list[float]


class GateSummary(BaseModel):
    """One validity gate: what was asked, what was found, whether it passed."""

    model_config = ConfigDict(extra="forbid")
    name: str
    asked: str
    found: float
    passed: bool


class ComparisonSummary(BaseModel):
    """One measurement that a verdict rests on; p is None where a band decides, and band elsewhere."""

    model_config = ConfigDict(extra="forbid")
    what: str
    effect: float
    low: float
    high: float
    p: float | None
    supports: bool
    wanted: int
    distance: float
    band: float | None
    records: list[str]


class VerdictSummary(BaseModel):
    """The answer to one claim; the figures are those of its weakest comparison, p is Holm's over all claims."""

    model_config = ConfigDict(extra="forbid")
    verdict: Literal[HOLDS, FAILS, NOT_TESTED]
    effect: float | None
    low: float | None
    high: float | None
    p: float | None
    reason: str
    comparisons: list[ComparisonSummary]


class Documented(BaseModel):
    model_config = ConfigDict(extra="forbid")
    source: str
    images: int
    seeds: int
    models: dict[str, dict[str, float]]
    arms: dict[str, str]


class Summary(BaseModel):
    """What `summary.json` holds; its JSON Schema is `summary.schema.json` beside this module.

    `attacks.<attack>.<arm>.<metric>` and `differences`, that arm's metrics minus the baseline's, paired by image
    and seed; `seeds_of.<attack>.<arm>` says which seeds they come from, `seeds` which ones the baseline has;
    `missing` counts records that the profile asks for and that were not there, `uncommitted` those made with changes
    beyond the commit they name; `strongest.<arm>.<metric>` is the
    attack, of those that learn, that gets most; `gates` lists those that the profile's attacks can decide,
    `verdicts` the answer to every claim of results/claims.yaml.
    """

    model_config = ConfigDict(extra="forbid")
    profile: str
    data: Data
    notice: str
    seeds: list[int]
    missing: int
    images: int
    commits: list[str]
    uncommitted: int
    evaluator: dict[str, float]
    arms: dict[str, ArmSummary]
    mechanism: dict[str, MechanismSummary]
    attacks: dict[str, dict[str, dict[Metric, Interval]]]
    seeds_of: dict[str, dict[str, list[int]]]
    differences: dict[str, dict[str, dict[Metric, Interval]]]
    strongest: dict[str, dict[Metric, str]]
    gates: list[GateSummary]
    verdicts: dict[str, VerdictSummary]
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
    """The commit that is checked out, marked where tracked files other than results differ; "unknown" outside git."""
    try:
        head = _git("rev-parse", "--short=12", "HEAD")
        return head + DIRTY if _git("status", "--porcelain", "--untracked-files=no", "--", ":!results") else head
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _git(*arguments):
    return subprocess.run(["git", *arguments], capture_output=True, text=True, check=True).stdout.strip()


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


class Records:
    """The records of one results folder, read by name."""

    def __init__(self, results):
        self.folder = Path(results) / "records"

    def has(self, name):
        """Whether a record is there."""
        return (self.folder / f"{name}.json").is_file()

    def read(self, name):
        """One record.

        Raises:
            RecordError: there is none of that name.
        """
        path = self.folder / f"{name}.json"
        if not self.has(name):
            raise RecordError(f"{path} is missing: run what makes it, or the whole study.")
        return json.loads(path.read_text())

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


def expected(study, profile_name):
    """The records that a profile asks for: name -> the settings.Arm or settings.Attack it is to be made with."""
    profile = study.profile(profile_name)
    models = [(arm, seed) for arm, seeds in profile.trained().items() for seed in seeds]
    judges = [(judge.arm, judge.seed) for judge in study.evaluators.values()]
    wanted = {training_name(arm, seed): study.arm(profile_name, arm) for arm, seed in [*judges, *models]}
    wanted |= {
        attack_name(attack, arm, seed): study.attack(profile_name, attack)
        for attack, arms in profile.plan().items()
        for arm, seeds in arms.items()
        for seed in seeds
    }
    return wanted | {mechanism_name(arm, seed): study.arm(profile_name, arm) for arm, seed in models}


def _made(by_arm, exists):
    """Of arms and their seeds those whose record exists; arms without any are left out."""
    made = {arm: [seed for seed in seeds if exists(arm, seed)] for arm, seeds in by_arm.items()}
    return {arm: seeds for arm, seeds in made.items() if seeds}


def summarise(study, profile_name, records, claims, *, allow_missing=False):
    """The summary of a profile's records.

    Args:
        study (Study): which arms, attacks and seeds there are, and with which settings.
        profile_name (str): the profile the records were made with.
        records (Records): the folder that holds them.
        claims (Claims): what is to be decided by them.
        allow_missing (bool): whether to make do with the records that are there; the summary counts the others.

    Returns:
        Summary.

    Raises:
        RecordError: a record is missing, was made with other settings than the study's, on other data than the
            rest, or of other networks.
    """
    profile = study.profile(profile_name)
    judges = {name: training_name(judge.arm, judge.seed) for name, judge in study.evaluators.items()}
    wanted = expected(study, profile_name)
    there = {name for name in wanted if records.has(name)} if allow_missing else set(wanted)
    there |= set(judges.values())  # without them there is nothing to judge by
    # A model counts once its features have been looked at, which is the last thing done to it.
    trained = _made(
        profile.trained(),
        lambda arm, seed: {training_name(arm, seed), mechanism_name(arm, seed)} <= there,
    )
    plan = {
        attack: _made(
            {arm: [seed for seed in seeds if seed in trained.get(arm, ())] for arm, seeds in arms.items()},
            lambda arm, seed, attack=attack: attack_name(attack, arm, seed) in there,
        )
        for attack, arms in profile.plan().items()
    }
    plan = {attack: arms for attack, arms in plan.items() if arms}
    training = {arm: [training_name(arm, seed) for seed in seeds] for arm, seeds in trained.items()}
    missing = len(set(wanted) - there)
    wanted = {name: settings for name, settings in wanted.items() if name in there}
    found = {name: records.read(name) for name in wanted}
    first = next(iter(judges.values()))
    data = found[first]["data"]
    for name, record in found.items():
        # Settings that the study has gained since have their defaults in an older record.
        made_with = validated(type(wanted[name]), record["settings"] | {"title": ""}, f"record {name}")
        if made_with.settings_of_a_run() != wanted[name].settings_of_a_run():
            raise RecordError(
                f"record {name} was made with other settings than study.yaml has: delete it and run again."
            )
        if record["data"] != data:
            raise RecordError(f"record {name} was made on other data than {first}: delete it and run again.")
    _require_networks(found, study)
    values = {
        attack: {
            arm: _stacked(records, [attack_name(attack, arm, seed) for seed in seeds]) for arm, seeds in arms.items()
        }
        for attack, arms in plan.items()
    }
    estimates = {attack: {arm: _estimates(arrays) for arm, arrays in arms.items()} for attack, arms in values.items()}
    summaries = {
        arm: ArmSummary(
            title=study.arms[arm].title,
            seeds=trained[arm],
            test_accuracy=[found[name]["results"]["test_accuracy"] for name in names],
            sparsity={
                layer: [found[name]["results"]["sparsity"][layer] for name in names]
                for layer in found[names[0]]["results"]["sparsity"]
            },
        )
        for arm, names in training.items()
    }
    facts = {arm: [found[name]["results"]["facts"] for name in names] for arm, names in training.items()}
    decided = list(_gates(study, profile_name, estimates, values, summaries, facts))
    measured = Measured(
        plan=plan,
        trained=trained,
        values=values,
        models={
            "test_accuracy": {arm: summary.test_accuracy for arm, summary in summaries.items()},
            "kept": {
                arm: [_kept(found[name]["results"]["defence"]) for name in names]
                for arm, names in training.items()
                if all(found[name]["results"]["defence"] for name in names)
            },
        },
        documented=study.documented.models,
    )
    return Summary(
        profile=profile_name,
        data={key: data[key] for key in ("name", "train", "test")},
        notice=data["notice"],
        seeds=trained.get(REFERENCE_ARM, profile.seeds),
        missing=missing,
        images=max(
            arrays["skill"].shape[1] for arms in values.values() for arrays in arms.values() if "skill" in arrays
        ),
        commits=sorted({record["commit"].removesuffix(DIRTY) for record in found.values()}),
        uncommitted=sum(record["commit"].endswith(DIRTY) for record in found.values()),
        evaluator={
            f"test_accuracy{f'_{name}' if number else ''}": found[record]["results"]["test_accuracy"]
            for number, (name, record) in enumerate(judges.items())
        },
        arms=summaries,
        mechanism={arm: _mechanism(records, arm, seeds) for arm, seeds in trained.items()},
        attacks=estimates,
        seeds_of=plan,
        differences={
            attack: {
                arm: _differences(arms, plan[attack], arm)
                for arm in arms
                if arm != REFERENCE_ARM and _shared(plan[attack], arm)
            }
            for attack, arms in values.items()
            if REFERENCE_ARM in arms
        },
        strongest={arm: _strongest(estimates, claims.strongest.reconstruction, arm) for arm in trained},
        gates=[asdict(gate) for gate in decided],
        verdicts={claim: asdict(answer) for claim, answer in verdicts(claims, measured, decided).items()},
        documented={
            **study.documented.model_dump(),
            "arms": {arm: study.arms[arm].documented for arm in trained if study.arms[arm].documented},
        },
    )


def _require_networks(found, study):
    """Raise unless every record is of the networks whose trainings are recorded; one that does not say so passes."""
    judges = {name: training_name(judge.arm, judge.seed) for name, judge in study.evaluators.items()}
    for name, record in found.items():
        seed = record["parameters"]["seed"]
        claimed = {training_name(arm, seed): sha256 for arm, sha256 in record.get("built_on", {}).items()}
        if "networks" in record:
            claimed[training_name(record["parameters"]["arm"], seed)] = record["networks"]["victim"]
            claimed |= {judges[judge]: sha256 for judge, sha256 in record["networks"]["evaluators"].items()}
        for training, sha256 in claimed.items():
            if found[training]["checkpoint"]["sha256"] != sha256:
                raise RecordError(f"record {name} is of other weights than {training} left: delete it and run again.")


def _kept(report):
    """Of the weights that a defence acts on the share that is left, by its report."""
    return sum(layer["alive"] for layer in report.values()) / sum(layer["weights"] for layer in report.values())


def _stacked(records, names):
    """The arrays of several seeds that are judged, each [S, ...]."""
    runs = [records.arrays(name) for name in names]
    kept = [name for name in (*IMAGE_METRICS, "in_training", "score", "member", "fell") if name in runs[0]]
    return {name: np.stack([run[name] for run in runs]) for name in kept}


def _estimates(arrays):
    if "score" in arrays:
        scores, members = arrays["score"], arrays["member"]
        return {
            "auc": asdict(auc_estimate(scores, members)),
            "tpr_at_1pct_fpr": asdict(tpr_estimate(scores, members, FALSE_POSITIVE_RATE)),
        }
    return {
        metric: asdict(proportion(array) if metric in PROPORTIONS else _within(metric, bootstrap_mean(array)))
        for metric, array in arrays.items()
        if metric in IMAGE_METRICS
    }


def _within(metric, estimate):
    """An estimate whose interval ends where the metric's range does."""
    least, most = RANGES.get(metric.removesuffix("_lenet2").removesuffix("_convnet"), (-np.inf, np.inf))
    return replace(estimate, low=max(least, estimate.low), high=min(most, estimate.high))


def _shared(seeds, arm):
    """The seeds that both an arm and the baseline have."""
    return [seed for seed in seeds[arm] if seed in seeds[REFERENCE_ARM]]


def _differences(arms, seeds, arm):
    """Image by image and seed by seed; empty for membership, whose metrics belong to no single image."""
    shared = _shared(seeds, arm)

    def rows(which, metric):
        return arms[which][metric][[seeds[which].index(seed) for seed in shared]]

    return {
        metric: asdict(bootstrap_mean(rows(arm, metric) - rows(REFERENCE_ARM, metric)))
        for metric in arms[arm]
        if metric in IMAGE_METRICS
    }


def _strongest(estimates, names, arm):
    """By primary metric, the attack of those named that gets most from an arm; empty where none was made."""
    made = [name for name in names if arm in estimates.get(name, {})]
    if not made:
        return {}
    return {metric: max(made, key=lambda name: estimates[name][arm][metric]["mean"]) for metric in PRIMARY_METRICS}


def _mechanism(records, arm, seeds):
    names = [mechanism_name(arm, seed) for seed in seeds]
    arrays = [records.arrays(name) for name in names]
    return MechanismSummary(
        **{
            metric: asdict(bootstrap_mean(np.stack([run[metric] for run in arrays])))
            for metric in ("effective_rank", "feature_norm")
        },
        dead_units=[records.read(name)["results"]["dead_units"] for name in names],
    )


def _gates(study, profile_name, estimates, values, summaries, facts):
    """The gates that the profile's attacks can decide."""

    def estimate(attack, metric):
        found = estimates.get(attack, {}).get(REFERENCE_ARM)
        return None if found is None else Interval(**found[metric])

    for attack, metric, gate in (
        ("tuned-inversion", "skill", gates.beats_the_mean_image),
        ("tuned-conv1", "psnr", gates.near_perfect_at_conv1),
        ("ridge-shuffled", "skill", gates.shuffled_learns_nothing),
    ):
        if estimate(attack, metric) is not None:
            yield gate(estimate(attack, metric))
    for arm, arrays in values.get("tuned-inversion", {}).items():
        yield gates.objective_falls(f"objective-{arm}", arrays["fell"])
    tuned, start = (values.get(name, {}).get(REFERENCE_ARM) for name in ("tuned-inversion", "decoder-ridge"))
    if tuned and start and tuned["skill"].shape == start["skill"].shape:
        yield gates.beats_its_start(bootstrap_mean(tuned["skill"] - start["skill"]))
    for arm, summary in summaries.items():
        wanted = [fact["wanted_accuracy"] for fact in facts[arm] if "wanted_accuracy" in fact]
        if wanted and study.profile(profile_name).matched:
            yield gates.matches(f"matched-{arm}", summary.test_accuracy, wanted)
        band = study.arm(profile_name, arm).band
        if band is not None:
            yield gates.inside_band(f"accuracy-{arm}", "test accuracy", summary.test_accuracy, band.test_accuracy)
            shares = [share for shares in summary.sparsity.values() for share in shares]
            yield gates.inside_band(f"sparsity-{arm}", "zeros in each weight matrix", shares, band.sparsity)


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
