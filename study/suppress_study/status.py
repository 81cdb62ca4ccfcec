"""How the runs of a plan stand: current, stale and why, or missing.

A run is current while its key is the one that it would have today, all that it starts from is current, and the networks
that it is of are those that are there. Runs are made job by job: one that is not current has its job made again.
"""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from suppress_study.compare import few
from suppress_study.cost import costs, total
from suppress_study.jobs import Job
from suppress_study.keys import Depends, Keys
from suppress_study.results import Run, write_json

CURRENT, STALE, MISSING = "current", "stale", "missing"


@dataclass(frozen=True)
class Standing:
    """How a job's runs stand: current, stale or missing, and why they are stale."""

    job: Job
    state: str
    why: str = ""


def standings(
    keys: Keys, jobs: Iterable[Job], runs: Mapping[str, Run], published: Mapping[str, bool] | None = None
) -> list[Standing]:
    """How jobs stand, with all that they need, each after what it needs.

    Args:
        keys: what their runs depend on now.
        jobs: of the plan.
        runs: those that are there, by name.
        published: of which there is no more than was published: by name, whether a training's last weights are there.
    """
    found: dict[str, Standing] = {}

    def look(job: Job) -> None:
        if str(job) in found:
            return
        needs = keys.study.needs(keys.profile, job)
        for each in needs:
            look(each)
        found[str(job)] = _standing(job, keys, runs, [found[str(each)] for each in needs])

    for job in jobs:
        look(job)
    for waiting in [each.job for each in found.values() if each.state != CURRENT]:
        for need in keys.study.needs(keys.profile, waiting):
            lacking = _lacking(keys, waiting, need, (published or {}).get(str(need)))
            if lacking and found[str(need)].state == CURRENT:
                # What was made of it stays: the weights are the same again, or else the next look finds it out.
                found[str(need)] = Standing(need, STALE, f"{lacking} not published, and {waiting} needs them")
    return list(found.values())


def _lacking(keys: Keys, job: Job, training: Job, weights: bool | None) -> str:
    """What a job needs of a training and is not here, if that is as it was published: with its last weights or not."""
    if weights is None or training.kind != "train":
        return ""
    arm = keys.arm_of(job)
    is_cut = job.kind == "train" and arm is not None and arm.cut == training.model.arm
    looks_back = training.model == job.model and any(each.factors.get("moment") == "middle" for each in job.variants)
    if is_cut or looks_back:
        return "its earlier epochs are"
    return "" if weights else "its weights are"


def _standing(job: Job, keys: Keys, runs: Mapping[str, Run], needs: list[Standing]) -> Standing:
    if any(run.name not in runs for run in job.runs):
        return Standing(job, MISSING)
    planned = keys.depends(job)
    for run in job.runs:
        if why := _why(runs[run.name], run, planned[run.name]):
            return Standing(job, STALE, why)
    if anew := next((each for each in needs if each.state != CURRENT), None):
        return Standing(job, STALE, f"{anew.job}, which it starts from, is {anew.state}")
    there = {runs[each.job.runs[0].name].checkpoint.get("sha256") for each in needs if each.job.kind == "train"}
    of = {role: sha for run in job.runs if run.kind != "coin" for role, sha in runs[run.name].networks.items()}
    if job.kind != "coins" and (other := next((role for role, sha in of.items() if sha not in there), None)):
        return Standing(job, STALE, f"its {other} has other weights than the training that is there")
    return Standing(job, CURRENT)


def _why(run: Run, planned: Run, depends: Depends) -> str:
    """Why a run is not what would be made now; empty if it is."""
    made = run.depends
    if not made:
        return "made before runs said what they depend on"
    if made["key"] == depends["key"]:
        return ""
    settings = _differing(run.settings, json.loads(json.dumps(planned.settings)))
    parts = [f"settings ({few(settings)})"] if settings else []
    pairs = {name: (made["basis"][name], now) for name, now in depends["basis"].items()}
    pairs |= {name: (made.get(name), depends.get(name)) for name in ("package", "needs")}
    for name, (before, now) in pairs.items():
        if before != now:
            both = isinstance(before, dict) and isinstance(now, dict)
            parts.append(f"{name} ({few(_differing(before, now)) if both else f'{before}, now {now}'})")
    return f"other {', '.join(parts)}" if parts else "its record of what it depends on is not what its key says"


def _differing(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    return [name for name in dict.fromkeys([*one, *other]) if one.get(name) != other.get(name)]


def write(path: Path, found: list[Standing], published: Mapping[str, bool]) -> list[str]:
    """Tell the workflow which jobs are to be made again, and of which the published runs are enough.

    Returns:
        the names of the latter: there is no file of them to be made.
    """
    current = [each.job for each in found if each.state == CURRENT]
    enough = [str(job) for job in current if published.keys() >= {run.name for run in job.runs}]
    write_json(path, {"anew": [str(each.job) for each in found if each.state != CURRENT], "published": enough})
    return enough


def told(found: list[Standing], measured: Iterable[Run]) -> str:
    """How many jobs and runs stand how, what those that are not current will take, and why they are stale.

    Args:
        found: how jobs stand.
        measured: runs that say what runs like them take.
    """
    measured = list(measured)
    lines = [f"{'':8}  {'jobs':>6}  {'runs':>6}  core-hours"]
    for state in (CURRENT, STALE, MISSING):
        jobs = [each.job for each in found if each.state == state]
        runs = [run for job in jobs for run in job.runs]
        taken = total(costs([] if state == CURRENT else runs, measured))
        unlike = f"  and {taken.unlike} runs whose like was never measured" if taken.unlike else ""
        lines.append(f"{state:8}  {len(jobs):6,}  {len(runs):6,}  {taken.seconds / 3600:10.1f}{unlike}")
    stale = [each for each in found if each.state == STALE]
    firsts = {each.why: str(each.job) for each in reversed(stale)}
    for why, count in Counter(each.why for each in stale).most_common():
        lines.append(f"{firsts[why]}{f' and {count - 1:,} more' if count > 1 else ''}: {why}")
    return "\n".join(lines)
