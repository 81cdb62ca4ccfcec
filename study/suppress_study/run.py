"""Start what there is to start: python -m suppress_study.run COMMAND, one of those at the end of this file.

    python -m suppress_study.run notebook train runs/mine.ipynb arm=suppressed-example seed=7 \\
        overrides='{defence: {sparse_end: 0.9}}'

What can be checked is checked at once; then Snakemake takes over, or a notebook is executed.
"""

import argparse
import io
import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from nbclient.exceptions import DeadKernelError
from papermill.exceptions import PapermillExecutionError

from suppress_privacy.checks import Whole, check
from suppress_privacy.fetch import DATASETS
from suppress_privacy.mnist import DataError
from suppress_privacy.runtime import choose_device
from suppress_study import campaigns, compare, packaged, retrained, status, weights
from suppress_study import edition as editions
from suppress_study.cost import costs, graph, told, told_of_nodes
from suppress_study.edition import Edition, EditionError
from suppress_study.launch import SetupError, clear, home, lock, standing, study
from suppress_study.machines import EXECUTORS, end_with_leader
from suppress_study.notebook import execute
from suppress_study.plan import Study
from suppress_study.provenance import commit, describe, tag
from suppress_study.reading import from_yaml
from suppress_study.results import PUBLISHED, ResultError, Results, finish_publishing, published_runs, runs_made_in
from suppress_study.settings import ROOT
from suppress_study.summary import summary_of
from suppress_study.surroundings import surroundings
from suppress_study.targets import load_data


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
    found = summary_of(options.results, options.profile, allow_missing=options.allow_missing)
    found.save(options.results / "summary.json")
    return 0


def publish(options: argparse.Namespace) -> int:
    """Pack all runs of a folder into the tables that are published."""
    into = options.into or options.results
    if not options.into:
        lock()
        clear(options.results)
    finish_publishing(into)
    results = Results.load(options.results)
    if not results.runs:
        raise SetupError(f"{options.results} has no runs to publish: run the study of that profile first.")
    results.publish(options.results, into)
    try:  # a summary names the runs.jsonl that it is of
        found = summary_of(into, next(iter(results.runs.values())).profile, allow_missing=True)
        found.save(into / "summary.json")
    except ResultError as error:
        print(f"No summary is written: {error}")
    trainings = [run.name for run in results.runs.values() if run.kind == "train"]
    lacking = sum(not weights.packed(into, name).is_file() for name in trainings)
    told = f"runs.jsonl, tables, pictures and the weights of {len(trainings) - lacking} trainings"
    left = f"; those of {lacking} more are not here, or too large" if lacking else ""
    print(f"{len(results.runs)} runs published in {into}: {told}{left}.")
    return 0


def standing_of(options: argparse.Namespace) -> int:
    """Which runs of a profile are current, stale and why, or missing, and what these will take."""
    known, places = published_runs(ROOT / PUBLISHED), [options.results]
    if not options.results:
        places = [ROOT / home(options.profile, redraw=redraw) for redraw in (True, False)]
    for options.results in dict.fromkeys(places):
        study = Study.today(options.results)
        data = load_data(study.profile(options.profile).data)
        _, found = standing(options.results, options.profile, study, [], describe(data), choose_device(options.device))
        known |= runs_made_in(options.results)
        print(f"{options.results}, profile {options.profile}:\n{status.told(found, known.values())}")
    return 0


def carry(options: argparse.Namespace) -> int:
    """Of the runs of an earlier edition, keep those that this code would make the same, as runs of this one."""
    study = Study.today(options.results)
    data = load_data(study.profile(options.profile).data)
    _, found = standing(options.results, options.profile, study, [], describe(data), choose_device(options.device))
    current = [run.name for each in found if each.state == status.CURRENT for run in each.job.runs]
    Results.load(options.results).of(current, commit=commit(), tag=tag()).publish(options.results)
    print(f"{len(current)} runs are as this edition would make them.")
    return 0


def edition(options: argparse.Namespace) -> int:
    """Make the runs of an edition by its tag's code, all, a profile's or a campaign's; publish it; make some again."""
    made = Edition.of(options.tag)
    lock(ROOT / ".snakemake" / "edition.lock")
    if options.publish:
        editions.replace(made)
        return 0
    if options.retrain:
        if options.campaign:
            raise SetupError(f"CAMPAIGN is {options.campaign!r}, and retrain is of a profile's runs: leave it out.")
        found = retrained.retrain(made, options.profile or PUBLISHED.name, options.device)
        print(retrained.told(found))
        return int(bool(found.other()))
    asked = {options.profile: ["--profile", options.profile]} if options.profile else {}
    asked |= {options.campaign: ["--campaign", options.campaign]} if options.campaign else {}
    for profile, chosen in (asked or made.whole()).items():
        if options.status:
            editions.stand(made, profile, options.device)
            continue
        if options.earlier:
            editions.carry(made, profile, options.earlier, options.device)
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


def compared(options: argparse.Namespace) -> int:
    """A run beside the published one, figure by figure."""
    found = compare.compare_folders(options.run, options.published)
    print(compare.told(found))
    return compare.EXIT_CODES[found.verdict]


def folder(given: str) -> Path:
    """A folder that a command line names."""
    return Path(given).expanduser()


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog="python -m suppress_study.run", description="Run the study, or a part of it.")
    commands = top.add_subparsers(required=True)

    def command(name: str, function: Callable[[argparse.Namespace], int]) -> Callable[..., Any]:
        part = commands.add_parser(name, help=(function.__doc__ or "").split(".")[0])
        part.set_defaults(function=function, name=name)
        if name not in ("notebook", "compare"):
            part.add_argument("--profile", default="", help="of study.yaml (default: quick, or the campaign's)")
            part.add_argument("--results", type=folder, help="folder of runs (default: results/PROFILE)")
        return part.add_argument

    device: dict[str, Any] = {"default": "auto", "help": "auto, Ascend, GPU or CPU (default: auto)"}
    for name, count in (("study", "*"), ("run", "+")):
        add = command(name, study)
        add("targets", nargs=count, help="runs, such as train-baseline-seed7")
        add("--campaign", default="", help="a campaign of study.yaml, or a YAML file of your own")
        add("--device", **device)
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
    command("status", standing_of)("--device", **device)
    add = command("publish", publish)
    add("--into", type=folder, help="another folder, while a study makes more of them in this one")
    command("carry", carry)("--device", **device)
    add = command("edition", edition)
    add("tag", help="of this repository")
    add("--campaign", default="", help="a campaign of study.yaml")
    add("--device", **device)
    add("--status", action="store_true", help="tell how its runs stand, and make none")
    add("--publish", action="store_true", help="put it in the place of the published runs, and make none")
    add("--retrain", action="store_true", help="make again what its tag draws, and tell what differs")
    add("--earlier", default="", help="an edition whose runs count, where this tag's code would make the same")
    cores = len(os.sched_getaffinity(0))
    command("cost", cost)("--node-cores", type=int, default=cores, help="of a node (default: as many as here)")
    add = command("compare", compared)
    add("run", type=folder, help="of the run's results")
    add("--published", type=folder, help="to compare with (default: results/full, or the campaign's)")
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
