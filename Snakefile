# The study's workflow: notebooks -> records -> summary -> figures -> book. Started by `make study`.

import shlex
import sys
from pathlib import Path

from suppress_privacy.study.claims import Claims
from suppress_privacy.study.records import (
    Records,
    attack_name,
    mechanism_name,
    summarise,
    training_name,
    write_json,
)
from suppress_privacy.study.settings import Study

study = Study.load("study.yaml")
PROFILE = config["profile"]
RESULTS = config["results"]
DEVICE = config["device"]
KEEP = config.get("keep", False)  # attacks that are there stay, also where a model is trained again for others
REDRAW = config.get("redraw", False)  # figures and book from the records that are there, and nothing else
profile = study.profile(PROFILE)

EVALUATORS = [(judge.arm, judge.seed) for judge in study.evaluators.values()]
MODELS = [(arm, seed) for seed in profile.seeds for arm, seeds in profile.trained().items() if seed in seeds]


def modules(*patterns):
    """The package's files that a run depends on: when one changes, the run is made again."""
    package = Path("lib/suppress_privacy")
    return [str(path) for pattern in patterns for path in sorted(package.glob(pattern))]


COMMON = ["requirements.lock", *modules("runtime.py", "mnist.py", "lenet.py", "study/runs.py")]
LEARNING = [*COMMON, *modules("convnet.py", "training.py", "defences/*.py")]
ATTACKING = [*COMMON, *modules("attacks/*.py", "evaluation/me*.py", "evaluation/gates.py")]

# One thread a run, as many runs as cores: MindSpore's threads spin, and two runs on one core starve.
EXECUTE = f"OMP_NUM_THREADS=1 TQDM_DISABLE=1 {shlex.quote(sys.executable)} notebooks/execute.py"
SETTINGS = " ".join(shlex.quote(f'{key}="{value}"') for key, value in (("profile", PROFILE), ("results", RESULTS)))


def records(names, ending="json"):
    return [f"{RESULTS}/records/{name}.{ending}" for name in names]


def attack_jobs(arm, seed):
    """How one model is attacked: a notebook's name -> its attacks; what is dear has notebooks of its own."""
    name = f"attack-{arm}-seed{seed}"
    further = {f"{name}-{number}": attacks for number, attacks in enumerate(profile.further_on(arm, seed), 1)}
    return {name: profile.attacks, **further}


def job_records(notebook, arm, seed):
    """The records that one of these notebooks gives."""
    names = [attack_name(attack, arm, seed) for attack in attack_jobs(arm, seed)[notebook]]
    return [*names, mechanism_name(arm, seed)] if notebook == f"attack-{arm}-seed{seed}" else names


def trainings(models):
    """The records and checkpoints of trainings, as what another run needs."""
    names = [training_name(*model) for model in models]
    return [*records(names), *(f"{RESULTS}/checkpoints/{name}" for name in names)]


def built_on(arm, seed):
    """What a training needs of earlier ones."""
    return trainings([(earlier, seed) for earlier in study.arm(PROFILE, arm).earlier()])


WRITTEN = {"notebooks", "generated", "__pycache__"}  # folders of book/ that runs write
PAGES = [str(path) for path in sorted(Path("book").rglob("*")) if path.is_file() and not WRITTEN & {*path.parts}]


TRAINED = sorted({training_name(*model) for model in [*MODELS, *EVALUATORS]})
ATTACKED = [name for model in MODELS for notebook in attack_jobs(*model) for name in job_records(notebook, *model)]


# Every record is asked for by name: one that was deleted is made again, though the book is there.
rule all:
    input:
        "_build/html/index.html",
        f"{RESULTS}/summary.json",
        [] if REDRAW else records([*TRAINED, *ATTACKED]),
        [] if REDRAW else records(ATTACKED, "npz"),


# Judges first, then seed by seed, so that a run that is cut short has all arms of the first seeds.
for seed in sorted({seed for _, seed in [*MODELS, *EVALUATORS]}):

    rule:
        name:
            f"train_seed{seed}"
        priority: -seed if seed in profile.seeds else 1
        input:
            "notebooks/train.ipynb",
            f"{RESULTS}/data.json",
            LEARNING,
            lambda wildcards, seed=seed: built_on(wildcards.arm, seed),
        output:
            record=f"{RESULTS}/records/train-{{arm}}-seed{seed}.json",
            checkpoints=directory(f"{RESULTS}/checkpoints/train-{{arm}}-seed{seed}"),
            notebook=f"{RESULTS}/notebooks/train-{{arm}}-seed{seed}.ipynb",
        params:
            seed=seed,
            settings=lambda wildcards: study.arm(PROFILE, wildcards.arm).settings_of_a_run(),
            device=DEVICE,
        shell:
            "{EXECUTE} train {output.notebook:q} {SETTINGS} device={params.device}"
            " arm={wildcards.arm} seed={params.seed}"


def to_do(arm, seed, notebook):
    """Whether an attack notebook is part of the workflow at all: not where its records are to be kept."""
    return not (KEEP and all(Path(record).is_file() for record in records(job_records(notebook, arm, seed))))


JOBS = [(*model, notebook) for model in MODELS for notebook in attack_jobs(*model)]

# Whatever can be attacked is, before more is trained.
for arm, seed, notebook in (job for job in JOBS if to_do(*job)):

    rule:
        name:
            notebook.replace("-", "_")
        priority: 2
        input:
            "notebooks/attack.ipynb",
            ATTACKING,
            trainings([(arm, seed), *EVALUATORS]),
        output:
            records(job_records(notebook, arm, seed)),
            records(job_records(notebook, arm, seed), "npz"),
            notebook=f"{RESULTS}/notebooks/{notebook}.ipynb",
        params:
            arm=arm,
            seed=seed,
            # Those of the profile are the notebook's default.
            attacks="" if notebook == f"attack-{arm}-seed{seed}" else ",".join(attack_jobs(arm, seed)[notebook]),
            settings=[
                study.attack(PROFILE, name).settings_of_a_run() for name in attack_jobs(arm, seed)[notebook]
            ],
            recipe=study.arm(PROFILE, arm).settings_of_a_run(),
            targets=profile.targets.model_dump(),
            device=DEVICE,
        shell:
            "{EXECUTE} attack {output.notebook:q} {SETTINGS} device={params.device}"
            " arm={params.arm} seed={params.seed} attacks=[{params.attacks}]"


rule summary:
    input:
        "study.yaml",
        "results/claims.yaml",
        modules("study/records.py", "study/claims.py", "study/settings.py", "evaluation/*.py"),
        [] if REDRAW else records([*TRAINED, *ATTACKED]),
        [] if REDRAW else records(ATTACKED, "npz"),
    output:
        f"{RESULTS}/summary.json",
    run:
        found = summarise(study, PROFILE, Records(RESULTS), Claims.load(), allow_missing=REDRAW)
        write_json(output[0], found.model_dump(mode="json"))


rule compare:
    input:
        "notebooks/compare.ipynb",
        f"{RESULTS}/summary.json",
        "results/claims.yaml",
        modules("study/figures.py", "study/tables.py", "study/claims.py", "study/runs.py", "mnist.py"),
    output:
        notebook=f"{RESULTS}/notebooks/compare.ipynb",
        figures=directory(f"{RESULTS}/figures"),
    shell:
        "{EXECUTE} compare {output.notebook:q} {SETTINGS}"


rule book:
    input:
        "_config.yml",
        PAGES,
        modules("study/tables.py"),
        "results/claims.yaml",
        "results/bench.json",
        f"{RESULTS}/summary.json",
        f"{RESULTS}/figures",
        f"{RESULTS}/notebooks/compare.ipynb",
    output:
        "_build/html/index.html",
    params:
        results=RESULTS,
    shell:
        "{sys.executable:q} book/build.py {params.results:q}"
