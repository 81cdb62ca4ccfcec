"""A study is started: what can be checked is checked at once, then Snakemake takes over."""

import argparse
import fcntl
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

from suppress_privacy.evaluation.verdict import HOLDS, NOT_SHOWN, NOT_TESTED, REFUTED
from suppress_privacy.runtime import choose_device, configure
from suppress_study import campaigns, status, weights
from suppress_study.claims import Claims
from suppress_study.content import made_in
from suppress_study.edition import FOLDER as EDITIONS
from suppress_study.jobs import WILDCARDS, Job
from suppress_study.keys import Keys
from suppress_study.machines import end_with_leader, lead, require_executor, sending
from suppress_study.models import require_fits
from suppress_study.plan import Study
from suppress_study.provenance import DIRTY, commit, describe
from suppress_study.results import PUBLISHED, ResultError, Results, published_campaigns, published_runs, runs_made_in
from suppress_study.settings import ROOT, Campaign
from suppress_study.starter import Starter
from suppress_study.status import Standing
from suppress_study.summary import Summary
from suppress_study.targets import choose_targets, load_data

LOCK = ROOT / ".snakemake" / "study.lock"
ANSWER = ROOT / "_build" / "answer.txt"  # written with the book
EXIT_CODES = {HOLDS: 0, REFUTED: 3, NOT_SHOWN: 4, NOT_TESTED: 5}  # by the answer, where that is asked for


class SetupError(RuntimeError):
    """Why the study cannot start, in one sentence."""


def lock(place: Path = LOCK) -> int:
    """Hold the project for this process and those it hands the descriptor to; the system lets go when they have ended.

    Its jobs do not hold the lock: they watch its process and end with it, see `machines`.
    """
    place.parent.mkdir(exist_ok=True)
    descriptor = os.open(place, os.O_RDWR | os.O_CREAT)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise SetupError("another study runs in this folder: wait for it, or stop it, and start again.") from error
    return descriptor


def shared() -> list[Path]:
    """The folders, from the project's, that have what was published: the study's and its campaigns' results."""
    return [PUBLISHED, *published_campaigns(PUBLISHED, Study.load().campaigns).values()]


def home(profile: str, *, redraw: bool) -> Path:
    """Where a profile's runs go, or are told from: those of one's own never beside what was published."""
    folder = PUBLISHED.parent / profile
    return Path("runs") / profile if not redraw and folder in shared() else folder


def require_clean(profile: str) -> None:
    """Raise if the runs of a profile that is published would be made from code that no commit has."""
    if profile in [folder.name for folder in shared()] and commit().endswith(DIRTY):
        raise SetupError(
            f"profile {profile} is run from committed code alone, and files here differ from {commit()}: commit them, "
            "or take another profile."
        )


def standing(
    folder: Path, profile: str, study: Study, jobs: list[Job], data: dict[str, Any], device: str
) -> tuple[dict[str, bool], list[Standing]]:
    """The runs of a folder of which it has the published ones alone, and how jobs stand there; without jobs, all.

    Returns:
        by name of such a run, whether the last weights of a training are there; and how jobs stand.
    """
    keys = Keys(study, profile, data, device, own=campaigns.modules(folder))
    published, own = published_runs(folder), runs_made_in(folder)
    alone = {name: weights.packed(folder, name).is_file() for name in published if name not in own}
    return alone, status.standings(keys, jobs or study.jobs(profile), published | own, alone)


def take_judges(options: argparse.Namespace, study: Study, data: dict[str, Any], device: str) -> None:
    """Begin a folder with networks that judge as they were published, or are for an edition that is being made.

    They are no part of what is asked. Where this code would not make them the same, or a folder is damaged, they are
    left to be made.
    """
    own = options.results
    if study.profile(options.profile).judges == "made" or (own / "runs.jsonl").is_file() or any(made_in(own)):
        return
    jobs = [study.training(options.profile, model) for model in study.judges().values()]
    for folder in [PUBLISHED, *sorted(EDITIONS.glob(f"*/{PUBLISHED.name}"))]:
        try:
            whole, found = standing(folder, options.profile, study, jobs, data, device)
            if not all(each.state == status.CURRENT and whole[str(each.job)] for each in found):
                continue
            taken = Results.load(folder).of([str(each.job) for each in found])
        except ResultError:  # which whoever asks for that folder is told
            continue
        taken.runs = {name: replace(run, profile=options.profile) for name, run in taken.runs.items()}
        taken.publish(folder, own)
        print(f"Taken over from {folder}, as this code would make them: {', '.join(taken.runs)}.", file=sys.stderr)
        return


def clear(folder: Path) -> None:
    """Delete what runs that were killed have left half-written in a folder of results."""
    for place in ("", "runs/", "notebooks/", "checkpoints/*/", "shadows/", "coins/", "restored/*/"):
        for left in folder.glob(f"{place}.part-[0-9]*-*"):
            shutil.rmtree(left) if left.is_dir() else left.unlink()


def prepare(options: argparse.Namespace, study: Study) -> tuple[str, list[str]]:
    """Check settings, device, folder and data, and tell the workflow which runs are to be made.

    Returns:
        the device, and the jobs of which the folder's published runs are enough.
    """
    profile = study.profile(options.profile)
    device = choose_device(options.device)
    require_executor(options.executor, device)
    options.results.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=options.results):
        pass  # before hours of work are lost
    for folder in (options.results, *shared()):
        clear(folder)
    if options.redraw:
        judge = f"train-{next(iter(study.judges().values()))}"
        if judge not in published_runs(options.results) and not (options.results / "runs" / f"{judge}.npz").is_file():
            raise SetupError(f"{options.results} has no run {judge}: run the study of that profile first.")
        return device, []
    data = load_data(profile.data)
    choose_targets(data, profile.targets)  # refuses more targets than there are images
    if campaigns.kept(options.results):
        configure(options.device, "graph")
        campaigns.modules(options.results)
        require_fits(study, options.profile, data)
    jobs = [named_job(target, study, options.profile) for target in options.targets]
    take_judges(options, study, describe(data), device)
    published, found = standing(options.results, options.profile, study, jobs, describe(data), device)
    if data.notice:
        print(f"Notice: {data.notice}", file=sys.stderr)
    return device, status.write(options.results / "standing.json", found, published)


def snakemake(options: argparse.Namespace, device: str) -> list[str]:
    """Snakemake's command, up to its targets."""
    # Snakemake's own lock outlives a killed process; ours does not.
    command = [sys.executable, "-m", "snakemake", "-s", "study/Snakefile", "--nolock", "--rerun-incomplete"]
    # Code, data and settings are in a run's key; and what says which runs are stale may say the same of others.
    command += ["--rerun-triggers", "mtime", "params", "--max-checksum-file-size", "0"]
    command += ["--quiet", "rules", *sending(options.executor, device, options.cores)]
    command += shlex.split(options.snakemake)
    # As YAML, which Snakemake reads once it has stripped quotes from both ends: a folder may have any name.
    results = f"!!str {json.dumps(str(options.results), ensure_ascii=False)} #"
    config = {"profile": options.profile, "results": results, "device": device}
    config |= {"redraw": True} if options.redraw else {}
    return [*command, "--config", *(f"{name}={value}" for name, value in config.items())]


def named_job(target: str, plan: Study, profile: str) -> Job:
    """The job that is asked for by its name.

    Raises:
        SetupError, SettingsError: the study cannot make it.
    """
    arm = "(?P<arm>{arm})(?P<value>{value})"
    pattern = f"(train|attack)-{arm}-seed(?P<seed>{{seed}})(?P<group>{{group}})".format(**WILDCARDS)
    if match := re.fullmatch(pattern, target):
        model, group = plan.named_model(match["arm"], match["value"], match["seed"]), match["group"].removeprefix("-")
        job = plan.attacking(profile, model, group) if target.startswith("attack") else plan.training(profile, model)
    elif match := re.fullmatch(f"coins-(?P<game>{{game}})-{arm}".format(**WILDCARDS), target):
        job = plan.playing(profile, match["game"], plan.named_model(match["arm"], match["value"], "0"))
    else:
        raise SetupError(
            f"TARGET is {target!r}; it must be train-ARM-seed7, attack-ARM-seed7, or that and the name of a group of "
            "attacks, such as attack-ARM-seed7-conv1, or coins-GAME-ARM: correct it."
        )
    if str(job) != target or not job.runs:
        raise SetupError(f"TARGET is {target!r}, of which the study makes no run: name another.")
    return job


def chosen_campaign(options: argparse.Namespace) -> tuple[str, Campaign, Path | None] | None:
    """The campaign that is asked for, if one is; its name is the profile's."""
    if options.exit_code and (options.targets or options.snakemake):
        raise SetupError("--exit-code is of a study that is run whole: leave out targets and --snakemake.")
    if not options.campaign:
        return None
    plan, published = Study.load(), [path.parent.name for path in (ROOT / "results").glob("*/runs.jsonl")]
    found = campaigns.find(options.campaign, plan.campaigns, [*plan.profiles, *published, "mindarmour"])
    if options.profile not in ("", found[0]):
        raise SetupError(f"PROFILE is {options.profile!r}, and a campaign has one of its own: leave it out.")
    options.profile = found[0]
    return found


def stages(options: argparse.Namespace, plan: Study, enough: list[str]) -> list[list[str]]:
    """What Snakemake is asked for, one after the other; without the jobs of which the published runs are enough.

    One that is cut short has all arms of the first seeds. On a cluster nothing waits for anything else.
    """
    asked = [options.targets]
    if options.executor == "local" and not (options.targets or options.redraw or options.snakemake):
        jobs, seeds = plan.jobs(options.profile), plan.profile(options.profile).seeds()
        of_seeds = [job for job in jobs if job.kind != "coins"]
        asked = [[str(job) for job in of_seeds if job.model.seed == seed] for seed in seeds[:-1]]
    found = [[f"{options.results}/runs/{name}.npz" for name in stage if name not in enough] for stage in asked]
    if not options.targets:
        found.append([f"{options.results}/summary.json" if options.without_book else "all"])
    return found


def study(options: argparse.Namespace) -> int:
    """All of a profile, seed by seed; or the runs that are named, with what they need."""
    # Paths are the user's, from where the user stands.
    campaign = chosen_campaign(options)
    profile = options.profile = options.profile or campaigns.profile_of(options.results)
    options.results = options.results.absolute() if options.results else home(profile, redraw=options.redraw)
    if options.results.is_relative_to(ROOT):  # a checkout that is renamed finds its runs again
        options.results = options.results.relative_to(ROOT)
    if strange := set("{}\n") & {*str(options.results)}:
        raise SetupError(
            f"--results is {str(options.results)!r}; it must not have {min(strange)!r}: name another folder."
        )
    if os.environ.get("MNIST_DIR"):
        os.environ["MNIST_DIR"] = os.path.abspath(os.path.expanduser(os.environ["MNIST_DIR"]))
    os.chdir(ROOT)
    if not options.redraw:
        require_clean(profile)
    if options.results in shared() and not options.redraw:
        raise SetupError(f"{options.results} is what was published: name another folder as RESULTS.")
    held = lock()
    if campaign:
        campaigns.require_free(options.results, campaign[0], campaign[2])
        campaigns.keep(options.results, *campaign)
    elif (kept := campaigns.kept(options.results)) and kept["folder"] and not options.redraw:
        raise SetupError(f"{options.results} is of {kept['name']}, whose own code is run: say so by CAMPAIGN=its file.")
    plan = Study.today(options.results)
    for target in options.targets:
        named_job(target, plan, options.profile)
    device, enough = prepare(options, plan)
    command = [*snakemake(options, device), "--"]
    here = options.executor == "local"
    end_with_leader()  # an edition's
    if here:
        lead()
    asked = stages(options, plan, enough)
    if not any(asked):
        print(f"{options.results} has published {' and '.join(options.targets)}, and it is current: nothing is made.")
    sys.stdout.flush()
    signal.signal(signal.SIGINT, lambda *_: None)  # from the keyboard Snakemake has it too, and ends its jobs
    # A fork is of this machine; and an accelerator's library may not be loaded before one.
    with Starter() if here and device == "CPU" else nullcontext():
        for chosen in filter(None, asked):
            if ended := subprocess.run([*command, *chosen], pass_fds=[held]).returncode:
                return ended
    if not (options.targets or options.snakemake or options.without_book):
        print(f"\n{ANSWER.read_text('utf-8')}Read on: {ROOT / '_build/html/index.html'}")
    return EXIT_CODES[answered(options.results)] if options.exit_code else 0


def answered(results: Path) -> str:
    """The verdict on the study's question, of a summary that is there."""
    return Summary.load(results / "summary.json").verdicts[Claims.of(results).question].verdict
