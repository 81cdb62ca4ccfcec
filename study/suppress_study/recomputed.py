"""Published results made again from published weights: what each network gets right, and the attacks that cost little.

Another processor rounds differently, so a few images may change sides, and a figure its last digits.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from mindspore import nn

from suppress_privacy.defences.noise import FeatureNoise
from suppress_privacy.evaluation.metrics import METRICS
from suppress_privacy.mnist import Mnist
from suppress_privacy.runtime import generator
from suppress_privacy.training import Defence, load_checkpoint, sparsity
from suppress_study import attacking, weights
from suppress_study.jobs import NONE, Model, Variant
from suppress_study.models import Models, untrained
from suppress_study.plan import Study
from suppress_study.reading import validated
from suppress_study.results import Results, Run, rows_of
from suppress_study.settings import Arm
from suppress_study.targets import choose_targets

CHEAP = ("black", "mean", "class-mean", "nearest", "ridge", "loss")  # seconds on a model: no descent, no training
FEW = 0.0005  # of the test images, that may change sides: 5 of 10,000
NEAR = 0.01  # of a metric's size, and beyond that by itself, that an image's may differ by
SIDES = 0.02  # of the images, whose metric of yes or no may differ


def trainings(folder: Path, runs: dict[str, Run], data: Mnist) -> Iterator[str]:
    """What is wrong with the networks whose weights a folder has: what each gets right, and its zeros by layer."""
    networks: dict[str, nn.Cell] = {}  # by kind, for each is compiled once
    for run in (run for run in runs.values() if weights.is_whole(weights.packed(folder, run.name), run.checkpoint)):
        arm = validated(Arm, run.settings | {"title": ""}, run.name)
        kind = f"{arm.network}-{arm.units}-{arm.activation}"
        network = networks[kind] = networks.get(kind) or untrained(arm)
        load_checkpoint(network, weights.restored(folder, run.name, run.checkpoint))
        defence = arm.made_by().released(run.results["facts"]) if arm.defence else Defence()
        if isinstance(defence, FeatureNoise):  # whose draws are the run's own
            defence = FeatureNoise(defence.depth, defence.sigma, run.seed)
        right = int(np.sum(defence.correct(network, data.test_images, data.test_labels)))
        said, count = run.results["test_accuracy"], len(data.test_labels)
        if abs(right - said * count) > max(1, FEW * count):
            found = f"of the test images right, and its weights get {right / count:.4f}"
            yield f"{run.name} says that it gets {said:.4f} {found}"
        if sparsity(network) != run.results["sparsity"]:
            yield f"{run.name} says that it has other shares of zeros than its weights have"


def attacks(
    folder: Path, study: Study, profile: str, results: Results, data: Mnist, seed: int
) -> tuple[list[str], list[str]]:
    """Of each cheap attack one run made again, drawn by lot from the seed: its name; and what is wrong, by image."""
    models, wanted = Models([folder], study, profile), study.profile(profile)
    targets, made, wrong = choose_targets(data, wanted.targets), [], []
    judges = {name: models.load(judge).network for name, judge in study.judges().items()}
    for model, variant, run in _drawn(folder, study, profile, results, seed):
        victim = None if model.arm == NONE else models.load(model)
        scene = attacking.Scene(victim, targets, judges, data, model.seed)
        found = rows_of(results.runs[run], attacking.attack(variant, scene).arrays)
        made.append(run)
        wrong += [
            f"{run} says another {name} than it gives when it is run again"
            for name in differ(found, results.arrays(run))
        ]
    return made, wrong


def _drawn(
    folder: Path, study: Study, profile: str, results: Results, seed: int
) -> Iterator[tuple[Model, Variant, str]]:
    there: dict[str, list[tuple[Model, Variant, str]]] = {}
    for job in (job for job in study.jobs(profile) if job.kind == "attack"):
        known = job.model.arm == NONE or weights.packed(folder, f"train-{job.model}").is_file()
        for variant, run in zip(job.variants, job.runs, strict=False):
            plain = not {"known", "auxiliary", "auxiliary_kind"} & {*variant.factors} and not variant.network
            if known and plain and variant.kind in CHEAP and run.name in results.runs:
                there.setdefault(variant.kind, []).append((job.model, variant, run.name))
    rng = generator(seed, "verify")
    for found in there.values():
        yield found[int(rng.integers(len(found)))]


def differ(found: pd.DataFrame, kept: pd.DataFrame) -> list[str]:
    """The columns in which two tables of a run's rows differ, beyond what another processor rounds otherwise."""
    order = [name for name in ("evaluator", "image", "candidate") if name in found and name in kept]
    one, other = (
        rows.astype(dict.fromkeys(order[:1], str)).sort_values(order, kind="stable") for rows in (found, kept)
    )
    if len(one) != len(other):
        return ["number of rows"]
    wrong = []
    for name in ("image", "candidate", "index", "label", "in_training", "member", "score", *METRICS):
        if name not in one or name not in other or one[name].isna().all():
            continue
        a, b = (rows[name].to_numpy(float) for rows in (one, other))
        close = np.isclose(a, b, rtol=NEAR, atol=NEAR, equal_nan=True)
        exact = name != "score" and name not in METRICS
        allowed = SIDES if name in METRICS and METRICS[name].proportion else 0.0
        if (exact and not np.array_equal(a, b)) or np.mean(~close) > allowed:
            wrong.append(name)
    return wrong
