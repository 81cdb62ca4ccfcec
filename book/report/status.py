"""The page on how the published run stands: machines, versions, commits, times, data."""

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from report.cite import dated
from report.context import Report
from report.tables import table
from suppress_study.provenance import DIRTY
from suppress_study.results import Run

KINDS = {"train": "training", "coin": "training for a game", "mechanism": "look at features"}  # not named by an attack


def substitutions(report: Report) -> dict[str, str]:
    """What the page shows, by name."""
    planned = {run.name for job in report.study.jobs(report.profile) for run in job.runs}
    runs = [run for run in report.results.runs.values() if run.name in planned]
    return {
        "status_answer": _answer(report, runs),
        "times_table": _times(report, runs),
        "machines_table": _machines(runs),
        "commits_table": _commits(runs),
        "data_table": _data(runs),
    }


def _answer(report: Report, runs: list[Run]) -> str:
    """Whether all runs are there, when they were made, how long they took."""
    summary, (first, last) = report.summary, dated(runs)
    left = f"{summary.missing:,} runs are still to be made" if summary.missing else ""
    there = left or "All runs that were asked for are there"
    hours = sum(_seconds(run) for run in runs) / 3600
    made = f"{summary.uncommitted:,} of them by code with uncommitted changes"
    made = made if summary.uncommitted else "all by committed code"
    tags = f" Tags: {', '.join(summary.tags)}." if summary.tags else ""
    return (
        f"**{there}**: {len(runs):,} runs of {hours:.1f} hours, {made}, started from {first} to {last}.{tags} "
        "Each published file is the one that `runs.jsonl` names by its hash."
    )


def _times(report: Report, runs: list[Run]) -> str:
    """Hours and memory by kind of run, the longest first."""
    groups = _grouped(runs, lambda run: KINDS.get(run.kind) or report.study.attacks[str(run.factors["attack"])].title)
    rows = {}
    for kind, found in groups.items():
        seconds, memory = [_seconds(run) for run in found], max(run.peak_memory_bytes for run in found) / 1e9
        hours = sum(seconds) / 3600
        cells = [f"{hours:.2f}", f"{np.median(seconds):.0f}", f"{max(seconds):.0f}", f"{memory:.1f}"]
        rows[kind] = hours, [kind, f"{len(found):,}", *cells]
    heads = ("kind", "runs", "hours", "median (s)", "longest (s)", "peak memory (GB)")
    return table(heads, [row for _, row in sorted(rows.values(), key=lambda each: -each[0])])


def _machines(runs: list[Run]) -> str:
    """Which machines and versions made how many runs."""
    rows = []
    for content, found in _grouped(runs, lambda run: json.dumps(run.environment, sort_keys=True)).items():
        environment = json.loads(content)
        machine, device = environment.get("machine", {}), environment.get("device", {})
        sets = ", ".join(machine.get("instruction_sets", ())) or "not recorded"
        versions = ", ".join(f"{name} {said}" for name, said in environment.get("versions", {}).items())
        ran = f"{device.get('device', '')}, {device.get('mode', '')} mode, {device.get('threads', '')} thread"
        rows.append([machine["processor"], f"{machine['cores']}", sets, ran, versions, f"{len(found):,}"])
    return table(("processor", "cores", "instruction sets", "ran on", "versions", "runs"), rows)


def _commits(runs: list[Run]) -> str:
    """How many runs each commit made, or would have made the same, and when."""
    rows = []
    groups = _grouped(runs, lambda run: (run.commit.removesuffix(DIRTY), run.tag, run.carried))
    for (commit, tag, carried), found in groups.items():
        uncommitted = sum(run.commit.endswith(DIRTY) for run in found)
        of = f"`{commit}`, taken over from `{carried}`" if carried else f"`{commit}`"
        rows.append([of, tag, *dated(found), f"{len(found):,}", f"{uncommitted:,}"])
    heads = ("commit", "tag", "first run", "last run", "runs", "with uncommitted changes")
    return table(heads, sorted(rows, key=lambda row: row[2]))


def _data(runs: list[Run]) -> str:
    """The files of images that runs were made on, by their hashes."""
    found: dict[tuple[str, str, str], None] = {}
    for run in runs:
        described: Mapping[str, Any] = run.environment.get("data", {})
        found |= {(described["name"], name, sha256): None for name, sha256 in described.get("sha256", {}).items()}
    return table(("data", "file", "SHA-256"), [[data, f"`{name}`", f"`{sha256}`"] for data, name, sha256 in found])


def _seconds(run: Run) -> float:
    return float(sum(run.times["seconds"].values()))


def _grouped(runs: Iterable[Run], by: Callable[[Run], Any]) -> dict[Any, list[Run]]:
    found = defaultdict(list)
    for run in runs:
        found[by(run)].append(run)
    return found
