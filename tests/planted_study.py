"""A study whose runs are made up, so that what must be found in them is known: `study`, `jobs`, `results`."""

import copy
import hashlib
from dataclasses import replace

import numpy as np

from suppress_study.jobs import NONE, Model
from suppress_study.plan import Study
from suppress_study.reading import read_yaml
from suppress_study.results import Results, write_job
from suppress_study.settings import FOLDER

PROFILE = {
    "data": "embedded",
    "arms": {name: [0, 1, 2] for name in ("baseline", "suppressed-example", "dense-sgd", "accuracy-matched")},
    "sweeps": {"suppressed-example": [0]},
    "attacks": ["black", "reference", "tuned", "ridge", "ridge-shuffled"],
    "further": {
        "conv1": {"attacks": ["tuned"], "at": ["conv1"], "arms": ["baseline"], "seeds": [0, 1, 2]},
        "gradients": {"attacks": ["dlg"], "arms": ["baseline"], "seeds": [0]},
        "membership": {"attacks": ["loss"], "arms": ["baseline", "suppressed-example"], "seeds": [0, 1, 2]},
    },
    "targets": {"train_per_class": 1, "test_per_class": 1},
}
IMAGES, CANDIDATES = 20, 40
DATA = {"name": "planted", "train": 100, "test": 50, "sha256": {"file": "0"}, "notice": "Made up."}
ENVIRONMENT = {"device": {"device": "CPU"}, "versions": {"python": "3.11"}, "machine": {"cores": 2}, "data": DATA}
# How good each attack is; what is not named here is worth nothing.
SKILL = {
    "tuned": 0.6,
    "decoder": 0.7,
    "ridge": 0.5,
    "reference": 0.1,
    "nearest": 0.2,
    "ridge-shuffled": -0.1,
    "black": -1.0,
    "dlg": 0.9,
}
SKILL |= {"analytic-planted": 1.0, "dlg-sigmoids": 0.9, "analytic-another": -0.1}


def content(**changes):
    """What study.yaml has, with one profile, "tiny", whose parts may be given."""
    return copy.deepcopy(read_yaml(FOLDER / "study.yaml")) | {"profiles": {"tiny": PROFILE | changes}}


def study(**changes):
    return Study.model_validate(content(**changes))


def sha256(name):
    return hashlib.sha256(name.encode()).hexdigest()


def training(wanted, settings):
    """What a training leaves: as accurate as it is to be, a twentieth of the weights kept where that is the defence."""
    defended = bool(settings.get("defence"))
    share = settings["defence"].get("sparse_end", 0.95) if defended else 0.0
    accuracy = (0.98 if defended or settings["cut"] else 0.99) + 0.0001 * wanted.seed
    facts = {"wanted_accuracy": 0.98 + 0.0001 * wanted.seed, "epochs": 3} if settings["cut"] else {}
    return {
        "test_accuracy": accuracy,
        "sparsity": {"fc1.weight": share, "fc2.weight": share},
        "history": {"loss": [1.0], "test_accuracy": [accuracy], "sparsity": {"fc1.weight": [share]}},
        "defence": {"fc1.weight": {"weights": 1000, "alive": round(1000 * (1 - share))}} if defended else {},
        "facts": facts,
    }


def attacked(wanted, rng, evaluators):
    """What an attack leaves: image by image its skill, and the rest after it."""
    name = wanted.factors["attack"]
    shape = 10 if wanted.settings["sees"] == "gradients" else IMAGES
    image = np.arange(shape) * (IMAGES // shape)
    better = 0.35 if wanted.factors.get("depth") == "conv1" else -0.1 * (wanted.factors["arm"] == "suppressed-example")
    worthless = name in ("black", "ridge-shuffled", "analytic-another")
    skill = np.float32(SKILL[name] + (not worthless) * better + 0.01 * rng.random(shape))
    arrays = {
        "image": image,
        "index": image + 7,
        "label": image // 2,
        "in_training": image % 2 == 0,
        "skill": skill,
        "rank1": np.float32(skill > 0.55),
        "psnr": 20 + 20 * skill,
        "ssim": skill / 2,
        "ssim_range2": skill / 3,
        "relative_l2": 1 - skill,
    }
    for number, evaluator in enumerate(evaluators):
        arrays[f"judged/{evaluator}/confidence"] = np.clip(skill - 0.01 * number, 0, 1)
        arrays[f"judged/{evaluator}/label_accuracy"] = np.float32(skill > 0.3)
    if name in ("tuned", "reference"):
        arrays |= {"objective": 1 - skill, "fell": np.ones(shape, bool), "curve": np.cumsum(rng.random((3, 5)), 0)}
    if name.startswith("dlg"):
        arrays |= {"label_found": np.ones(shape, np.float32), "failed": np.zeros(shape, np.float32)}
    if name == "analytic-another":
        arrays["rank1_of_sent"] = np.ones(shape, np.float32)
    shown = image[::5]
    return arrays | {
        "pictured": shown,
        "reconstruction": rng.integers(0, 256, (len(shown), 1, 4, 4), np.uint8),
        "original": np.tile(shown.astype(np.uint8)[:, None, None, None], (1, 1, 4, 4)),
    }


def candidates(wanted, rng):
    member = np.arange(CANDIDATES) < CANDIDATES // 2
    signal = 0.2 if wanted.factors["arm"] == "suppressed-example" else 2.0
    score = np.float32(signal * member + rng.standard_normal(CANDIDATES))
    return {"candidate": np.arange(CANDIDATES), "index": np.arange(CANDIDATES), "label": np.zeros(CANDIDATES, int)} | {
        "member": member,
        "score": score,
    }


def played(run, rng):
    """What a model that plays a game leaves, and an attack on it: what seed and arm share is more than what differs."""
    if run.kind == "coin":
        return replace(
            run, results={"test_accuracy": 0.97}, checkpoint={"name": "x.ckpt", "sha256": sha256(run.name)}
        ), {}
    of_seed = np.random.default_rng(run.seed).normal(0, 0.05)
    less = 0.1 * (run.factors["arm"] == "suppressed-example") + 0.001 * rng.random()
    chance = {"lira-shuffled", "blind"} & {run.factors["attack"]}
    areas = {among: 0.5 + of_seed / 10 if chance else 0.8 + of_seed - less for among in ("canaries", "others")}
    run.results = {
        among: {"auc": area, "tpr_at_1pct_fpr": 0.1, "tpr_at_01pct_fpr": 0.01} for among, area in areas.items()
    }
    if run.factors["arm"] == NONE:
        run.results.pop("canaries")
        return run, {}
    if run.settings["sees"] == "features":
        run.results = {}
        arrays = attacked(run, rng, ())
        member = arrays["in_training"] & (np.random.default_rng(run.seed).random(IMAGES) < 0.5)
        shown = {name: arrays[name] for name in ("image", "index", "label", "in_training", "rank1")}
        return run, shown | {"skill": arrays["skill"] + np.float32(0.05 * member), "member": member}
    member = np.random.default_rng(run.seed).random(CANDIDATES) < 0.5
    return run, candidates(run, rng) | {"member": member}


def made(study, model, wanted):
    """One run of the plan with its arrays; the draws are its name's."""
    rng = np.random.default_rng(int(sha256(wanted.name)[:8], 16))
    run = replace(
        wanted,
        commit="0123456789ab",
        environment=copy.deepcopy(ENVIRONMENT),
        times={"started": "2026-01-01T00:00:00Z", "seconds": {"all": 1.0}},
        peak_memory_bytes=1,
    )
    if wanted.kind == "train":
        run.checkpoint = {"name": "checkpoint_lenet-1_1.ckpt", "sha256": sha256(wanted.name)}
        built_on = study.arm_of("tiny", model).earlier()
        run.networks = {arm: sha256(f"train-{Model(arm, run.seed)}") for arm in built_on}
        run.results = training(wanted, wanted.settings)
        return run, {}
    if "game" in wanted.factors:
        return played(run, rng)
    if model.arm != NONE:
        run.networks["victim"] = sha256(f"train-{model}")
    run.networks |= {name: sha256(f"train-{judge}") for name, judge in study.judges().items()}
    if wanted.kind == "mechanism":
        run.results = {"dead_units": 0.1} | {
            name: (value + rng.random(6)).tolist() for name, value in (("effective_rank", 30), ("feature_norm", 5))
        }
        return run, {}
    return run, (
        candidates(wanted, rng) if wanted.settings["sees"] == "outputs" else attacked(wanted, rng, study.evaluators)
    )


def jobs(study):
    """All jobs of the profile by their names, each a list of runs with their arrays."""
    return {str(job): [made(study, job.model, wanted) for wanted in job.runs] for job in study.jobs("tiny")}


def write(folder, planted):
    for name, runs in planted.items():
        write_job(folder / "runs" / f"{name}.npz", runs)
    return folder


def results(folder, study):
    """The results of a folder that a study has just left."""
    return Results.load(write(folder, jobs(study)))
