"""Start what there is to start: python -m suppress_study.run study | run | notebook | summarise | publish | cost.

    python -m suppress_study.run notebook train runs/mine.ipynb arm=suppressed-example seed=7 \\
        overrides='{defence: {sparse_end: 0.9}}'

What can be checked is checked at once; then Snakemake takes over, or a notebook is executed.
"""

import argparse
import fcntl
import io
import json
import logging
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from nbclient.exceptions import DeadKernelError
from papermill.exceptions import PapermillExecutionError

from suppress_privacy.checks import Whole, check
from suppress_privacy.evaluation.verdict import HOLDS, NOT_SHOWN, NOT_TESTED, REFUTED
from suppress_privacy.fetch import DATASETS
from suppress_privacy.mnist import DataError
from suppress_privacy.runtime import choose_device, configure
from suppress_study import campaigns, packaged, status, weights
from suppress_study import edition as editions
from suppress_study.claims import Claims
from suppress_study.cost import costs, graph, told, told_of_nodes
from suppress_study.edition import Edition, EditionError
from suppress_study.jobs import WILDCARDS, Job
from suppress_study.keys import Keys
from suppress_study.machines import EXECUTORS, end_with_leader, lead, require_executor, sending
from suppress_study.models import require_fits
from suppress_study.notebook import execute
from suppress_study.plan import Study
from suppress_study.provenance import DIRTY, commit, describe, tag
from suppress_study.reading import from_yaml
from suppress_study.results import (
    PUBLISHED,
    Results,
    finish_publishing,
    published_campaigns,
    published_runs,
    runs_made_in,
)
from suppress_study.settings import ROOT, Campaign
from suppress_study.starter import Starter
from suppress_study.status import Standing
from suppress_study.summary import Summary, summarise
from suppress_study.surroundings import surroundings
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
    for folder in (options.results, PUBLISHED):
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
    published, found = standing(options, study, jobs, describe(data), device)
    if data.notice:
        print(f"Notice: {data.notice}", file=sys.stderr)
    return device, status.write(options.results / "standing.json", found, published)


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
    options: argparse.Namespace, study: Study, jobs: list[Job], data: dict[str, Any], device: str
) -> tuple[dict[str, bool], list[Standing]]:
    """The runs of a folder of which it has the published ones alone, and how jobs stand there; without jobs, all.

    Returns:
        by name of such a run, whether the last weights of a training are there; and how jobs stand.
    """
    keys = Keys(study, options.profile, data, device, campaigns.modules(options.results))
    published, own = published_runs(options.results), runs_made_in(options.results)
    alone = {name: weights.packed(options.results, name).is_file() for name in published if name not in own}
    return alone, status.standings(keys, jobs or study.jobs(options.profile), published | own, alone)


def clear(folder: Path) -> None:
    """Delete what runs that were killed have left half-written in a folder of results."""
    for place in ("", "runs/", "notebooks/", "checkpoints/*/", "shadows/", "coins/", "restored/*/"):
        for left in folder.glob(f"{place}.part-[0-9]*-*"):
            shutil.rmtree(left) if left.is_dir() else left.unlink()


def snakemake(options: argparse.Namespace, device: str) -> list[str]:
    """Snakemake's command, up to its targets."""
    # Snakemake's own lock outlives a killed process; ours does not.
    command = [sys.executable, "-m", "snakemake", "-s", "study/Snakefile", "--nolock", "--rerun-incomplete"]
    command += ["--rerun-triggers", "mtime", "params"]  # code, data and settings are in a run's key
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
    stages, here = [options.targets], options.executor == "local"
    end_with_leader()  # an edition's
    if here:
        lead()
    if here and not (options.targets or options.redraw or options.snakemake):
        # One that is cut short has all arms of the first seeds.
        jobs, seeds = plan.jobs(options.profile), plan.profile(options.profile).seeds()
        of_seeds = [job for job in jobs if job.kind != "coins"]
        stages = [[str(job) for job in of_seeds if job.model.seed == seed] for seed in seeds[:-1]] + stages
    sys.stdout.flush()
    paths = [
        [f"{options.results}/runs/{name}.npz" for name in stage if name not in enough] for stage in stages if stage
    ]
    paths += [] if options.targets else [[f"{options.results}/summary.json" if options.without_book else "all"]]
    signal.signal(signal.SIGINT, lambda *_: None)  # from the keyboard Snakemake has it too, and ends its jobs
    # A fork is of this machine; and an accelerator's library may not be loaded before one.
    with Starter() if here and device == "CPU" else nullcontext():
        for chosen in filter(None, paths):
            if ended := subprocess.run([*command, *chosen], pass_fds=[held]).returncode:
                return ended
    if not (options.targets or options.snakemake or options.without_book):
        print(f"\n{ANSWER.read_text('utf-8')}Read on: {ROOT / '_build/html/index.html'}")
    return EXIT_CODES[answered(options.results)] if options.exit_code else 0


def answered(results: Path) -> str:
    """The verdict on the study's question, of a summary that is there."""
    return Summary.load(results / "summary.json").verdicts[Claims.of(results).question].verdict


def notebook(options: argparse.Namespace) -> int:
    """One notebook, with parameters that are checked before it starts."""
    end_with_leader()
    execute(options.name, options.output, parameters(options.values))
    return 0


def package(options: argparse.Namespace) -> int:
    """One network that MindArmour's own package trains, by the name of its checkpoint."""
    end_with_leader()
    plan = Study.load()
    if (data := load_data(plan.profile(options.profile).data)).name != DATASETS["mnist"].name:
        raise SetupError(f"MindArmour's networks are of the whole MNIST, and this profile has {data.name}: have that.")
    for arm in (plan.arm(options.profile, name) for name, own in plan.arms.items() if own.package):
        if packaged.path_of(arm, options.seed).name == options.checkpoint.name:
            packaged.train(arm, options.seed)
            return 0
    raise SetupError(f"no arm has MindArmour train {options.checkpoint.name}: see study.yaml.")


def parameters(pairs: list[str]) -> dict[str, Any]:
    """The parameters that a command line gives as name=value, their values in YAML."""
    values = {}
    for name, equals, value in (pair.partition("=") for pair in pairs):
        if not equals:
            raise ValueError(f"{name!r} is not name=value: correct it.")
        values[name] = from_yaml(value, repr(f"{name}={value}"))
    return values


def summarised(options: argparse.Namespace) -> int:
    """The summary of the results that are there."""
    results, missing = Results.load(options.results), options.allow_missing
    plan, claims = Study.of(options.results), Claims.of(options.results)
    found = summarise(results, plan, options.profile, claims, allow_missing=missing)
    found.save(options.results / "summary.json")
    return 0


def publish(options: argparse.Namespace) -> int:
    """Pack all runs of a folder into the tables that are published."""
    if not options.running:
        lock()
        clear(options.results)
    finish_publishing(options.results)
    results = Results.load(options.results)
    if not results.runs:
        raise SetupError(f"{options.results} has no runs to publish: run the study of that profile first.")
    results.publish(options.results)
    trainings = [run.name for run in results.runs.values() if run.kind == "train"]
    lacking = sum(not weights.packed(options.results, name).is_file() for name in trainings)
    told = f"runs.jsonl, tables, pictures and the weights of {len(trainings) - lacking} trainings"
    left = f"; those of {lacking} more are not here, or too large" if lacking else ""
    print(f"{len(results.runs)} runs published in {options.results}: {told}{left}.")
    return 0


def standing_of(options: argparse.Namespace) -> int:
    """Which runs of a profile are current, stale and why, or missing, and what these will take."""
    known, places = published_runs(ROOT / PUBLISHED), [options.results]
    if not options.results:
        places = [ROOT / home(options.profile, redraw=redraw) for redraw in (True, False)]
    for options.results in dict.fromkeys(places):
        study = Study.today(options.results)
        data = load_data(study.profile(options.profile).data)
        _, found = standing(options, study, [], describe(data), choose_device(options.device))
        known |= runs_made_in(options.results)
        print(f"{options.results}, profile {options.profile}:\n{status.told(found, known.values())}")
    return 0


def carry(options: argparse.Namespace) -> int:
    """Of the runs of an earlier edition, keep those that this code would make the same, as runs of this one."""
    study = Study.today(options.results)
    data = load_data(study.profile(options.profile).data)
    _, found = standing(options, study, [], describe(data), choose_device("auto"))
    current = [run.name for each in found if each.state == status.CURRENT for run in each.job.runs]
    Results.load(options.results).of(current, commit=commit(), tag=tag()).publish(options.results)
    print(f"{len(current)} runs are as this edition would make them.")
    return 0


def edition(options: argparse.Namespace) -> int:
    """Make the runs of an edition by the code of its tag: the whole, or those of one profile or campaign."""
    made, plan = Edition.of(options.tag), Study.load()
    lock(ROOT / ".snakemake" / "edition.lock")
    asked = {options.profile: ["--profile", options.profile]} if options.profile else {}
    asked |= {options.campaign: ["--campaign", options.campaign]} if options.campaign else {}
    whole = {"full": ["--profile", "full"]} | {name: ["--campaign", name] for name in plan.campaigns}
    for profile, chosen in (asked or whole).items():
        if options.earlier:
            editions.carry(made, profile, options.earlier)
        if ended := editions.make(made, profile, [*chosen, "--device", options.device]):
            return ended
    return 0


def cost(options: argparse.Namespace) -> int:
    """What a profile's runs will take, by what runs like them took: core-hours, and hours on a number of nodes."""
    measured = Results.load(options.results).runs.values()
    if not measured:
        raise SetupError(f"{options.results} has no runs to judge by: name a folder that has.")
    check("node_cores", options.node_cores, Whole)
    plan = Study.load()
    print(told(costs((run for job in plan.jobs(options.profile) for run in job.runs), measured)))
    print(f"\n{told_of_nodes(graph(plan, options.profile, measured), options.node_cores)}")
    return 0


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog="python -m suppress_study.run", description="Run the study, or a part of it.")
    commands = top.add_subparsers(required=True)

    def command(name: str, function: Callable[[argparse.Namespace], int]) -> Callable[..., Any]:
        part = commands.add_parser(name, help=(function.__doc__ or "").split(".")[0])
        part.set_defaults(function=function, name=name)
        if name != "notebook":
            part.add_argument(
                "--profile", default="", help="a profile of study.yaml (default: quick, or the campaign's)"
            )
            part.add_argument(
                "--results",
                type=lambda given: Path(given).expanduser(),
                help="folder of runs (default: results/PROFILE)",
            )
        return part.add_argument

    for name, count in (("study", "*"), ("run", "+")):
        add = command(name, study)
        add("targets", nargs=count, help="runs, such as train-baseline-seed7")
        add("--campaign", default="", help="a campaign of study.yaml, or a YAML file of your own")
        add("--device", default="auto", help="auto, Ascend, GPU or CPU (default: auto)")
        add("--executor", default="local", help=f"{' or '.join(EXECUTORS)}: where runs are made (default: local)")
        add("--cores", type=int, help="runs at a time (default: one a core, one on an accelerator, many on a cluster)")
        add("--redraw", action="store_true", help="figures and book again, from the results alone")
        add("--without-book", action="store_true", help="runs and summary alone")
        add("--exit-code", action="store_true", help="other than 0 unless the question's claim holds")
        add("--snakemake", default="", help="further options for Snakemake, such as --dag")
    add = command("notebook", notebook)
    add("name", help="train, attack, membership or compare")
    add("output", type=Path, help="where the executed notebook goes")
    add("values", nargs="*", help="parameters, name=value; values are YAML")
    command("summarise", summarised)("--allow-missing", action="store_true")
    add = command("package", package)
    add("checkpoint", type=Path, help="as the study calls it")
    add("seed", type=int)
    command("status", standing_of)("--device", default="auto", help="auto, Ascend, GPU or CPU (default: auto)")
    add = command("publish", publish)
    add("--running", action="store_true", help="while a study makes more of them: what is half-written stays")
    command("carry", carry)
    add = command("edition", edition)
    add("tag", help="of this repository")
    add("--campaign", default="", help="a campaign of study.yaml")
    add("--device", default="auto", help="auto, Ascend, GPU or CPU (default: auto)")
    add("--earlier", default="", help="an edition whose runs count, where this tag's code would make the same")
    own = len(os.sched_getaffinity(0))
    command("cost", cost)("--node-cores", type=int, default=own, help="cores of a node (default: as many as here)")
    return top


def main(arguments: list[str] | None = None) -> int:
    options = parser().parse_args(arguments)
    logging.basicConfig(format="%(message)s")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # its encoding is the shell's, which may lack a letter
            stream.reconfigure(errors="backslashreplace")
    own = surroundings(os.environ)
    os.environ.clear()
    os.environ.update(own)
    if options.name == "cost":
        options.results = options.results or ROOT / PUBLISHED
    try:
        if options.name in ("summarise", "status", "publish", "package", "cost"):
            options.profile = options.profile or campaigns.profile_of(options.results)
        if options.name in ("summarise", "publish"):
            options.results = options.results or ROOT / home(options.profile, redraw=False)
        return options.function(options)
    except PapermillExecutionError as error:
        code, said = 1, f"cell {error.exec_count} failed: {error.ename}: {error.evalue}"
    except (SetupError, EditionError, DataError, TypeError, ValueError) as error:
        code, said = 2, str(error)
    except (DeadKernelError, RuntimeError) as error:
        died = str(error) or "its kernel died, perhaps for want of memory"
        code, said = 1, f"{died}: free memory, or see that this machine can reach itself, and run again."
    except OSError as error:
        place = error.filename or getattr(options, "output", options.name)
        code, said = 2, f"{place} cannot be written ({error.strerror}): choose another place."
    print(f"{options.name}: {' '.join(said.split())}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
