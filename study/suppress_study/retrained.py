"""A part of an edition made again, in a clone of its tag that has no results, and held beside what was published.

    results/full/retrained.json     which, where, and what differs

Three jobs are drawn by the hash of the tag's commit, which nobody could choose: a suppressed network, one trained with
DP-SGD, and attacks on a network. All that they start from is made as well. The same code on the same kind of processor
gives the same bits, in processes that may use more than one core; else the last of them may differ, and then all that
follows from them.
"""

import json
import re
import shutil
import subprocess
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from pydantic import TypeAdapter

from suppress_privacy.files import sha256_of
from suppress_privacy.runtime import processor
from suppress_study.edition import Edition, EditionError, lend
from suppress_study.jobs import Job
from suppress_study.machines import lead
from suppress_study.plan import Study
from suppress_study.provenance import git, tagged
from suppress_study.results import (
    PUBLISHED,
    RETRAINED,
    UNITS,
    ResultError,
    Results,
    Run,
    as_text,
    published_runs,
    write_json,
)
from suppress_study.settings import ROOT

DRAWN_FROM = ("suppress", "dpsgd")  # kinds of defence, a training of each; and one job of attacks
CONTROL = re.compile(r"\\u00([01][0-9a-f]|7f)")  # a sign that moves a terminal's cursor, as JSON has it
PARTS = {"checkpoint": "weights", "networks": "networks", "results": "figures", "chosen": "choices"}


@dataclass(frozen=True)
class Retrained:
    """What was made again, and what came out."""

    tag: str
    commit: str  # of the tag, its whole name
    date: str
    processor: str  # that it was made on
    beside: str  # SHA-256 of the runs.jsonl that it was held beside
    drawn: list[str]  # names of jobs
    runs: dict[str, str]  # by name in what it differs from the published one, in words; "" if in nothing

    @classmethod
    def load(cls, folder: Path) -> "Retrained | None":
        """What a folder of results has of it, its texts as pages may show them; None if its runs are others by now.

        Raises:
            ResultError: the file is damaged.
        """
        path = folder / RETRAINED
        if not path.is_file():
            return None
        try:
            content = as_text(json.loads(path.read_text("utf-8")))
            if CONTROL.search(json.dumps(content)):
                raise ValueError("it has signs that are no text")
            found = TypeAdapter(cls).validate_python(content)
        except (ValueError, TypeError, RecursionError) as error:
            raise ResultError(f"{path} is damaged: restore it, or delete it and make retrain again.") from error
        return found if found.beside == sha256_of(folder / "runs.jsonl") else None

    def other(self) -> dict[str, str]:
        """The runs that differ, and in what."""
        return {name: parts for name, parts in self.runs.items() if parts}


def drawn(study: Study, profile: str, commit: str) -> list[Job]:
    """What a commit draws: of each kind's jobs by name, that whose number is the commit's hash modulo their count."""
    jobs = {str(job): job for job in study.jobs(profile)}
    own = {name: study.arm_of(profile, job.model) for name, job in jobs.items() if job.kind == "train"}
    kinds = {name: arm.defence["kind"] for name, arm in own.items() if arm.defence and not arm.package}
    pools = [sorted(name for name in kinds if kinds[name] == kind) for kind in DRAWN_FROM]
    pools.append(sorted(name for name, job in jobs.items() if job.kind == "attack"))
    return [jobs[pool[int(commit, 16) % len(pool)]] for pool in pools if pool]


def with_needs(study: Study, profile: str, jobs: list[Job]) -> list[Job]:
    """Jobs and all that they start from, each once."""
    found, left = {}, [*jobs]
    while left:
        job = left.pop()
        if str(job) not in found:
            found[str(job)] = job
            left += study.needs(profile, job)
    return [*found.values()]


def retrain(edition: Edition, profile: str, device: str) -> Retrained:
    """Make again what an edition's tag draws, hold it beside the edition's results, and write what came out there.

    Raises:
        EditionError: there are no such results, or it cannot be made.
        ResultError: they are damaged.
    """
    folder, commit = _results(edition, profile), tagged(edition.tag)
    beside = sha256_of(folder / "runs.jsonl")
    published, jobs = Results.load(folder), drawn(Study.of(folder), profile, commit)
    if missing := [run.name for job in jobs for run in job.runs if run.name not in published.runs]:
        raise EditionError(f"{folder} has no run {missing[0]}, which {edition.tag} draws: make edition before this.")
    names = [str(job) for job in jobs]
    (ROOT / "_build").mkdir(exist_ok=True)
    place = Path(tempfile.mkdtemp(prefix=f"{edition.tag.replace('/', '-')}-", dir=ROOT / "_build"))
    print(f"{edition.tag} draws {', '.join(names)}; they and what they start from are made in {place}.", flush=True)
    lead()
    again = _made(Edition(edition.tag, place), commit, profile, device, names)
    runs = {run.name: _parts(run, again, published) for run in again.runs.values()}
    today = time.strftime("%Y-%m-%d", time.gmtime())
    found = Retrained(edition.tag, commit, today, processor(), beside, names, runs)
    write_json(folder / RETRAINED, asdict(found))
    if not found.other():
        shutil.rmtree(place)
    return found


def told(found: Retrained) -> str:
    """What came out, as a terminal has it."""
    lines = [f"{name}: other {parts}" for name, parts in found.other().items()]
    if not lines:
        same = f"{len(found.runs)} runs, of these and what they start from, are the same, bit for bit."
        return f"{same} {RETRAINED} beside the results says so: commit it."
    why = "another kind of processor, or one core alone in place of more, may do that"
    return "\n".join([*lines, f"{len(lines)} of {len(found.runs)} runs differ; {why}. It was {found.processor}."])


def _results(edition: Edition, profile: str) -> Path:
    """The folder with the runs of an edition: its own, or the published one."""
    for folder in (edition.finished(profile), ROOT / PUBLISHED.parent / profile):
        if {run.tag for run in published_runs(folder).values()} == {edition.tag}:
            return folder
    raise EditionError(f"there are no results of {profile} that edition {edition.tag} made: make them before this.")


def _made(clone: Edition, commit: str, profile: str, device: str, names: list[str]) -> Results:
    """These jobs' runs and those that they start from, by the tag's code, in a clone that is made of it."""
    fetch = ["fetch", "--quiet", "--depth=1", ROOT.as_uri(), f"+refs/tags/{clone.tag}:refs/tags/{clone.tag}"]
    try:
        for arguments in (["init", "--quiet"], fetch, ["checkout", "--quiet", commit]):
            git(*arguments, root=clone.tree)
    except subprocess.CalledProcessError as error:
        raise EditionError(f"{clone.tree} cannot be made a clone: {' '.join(error.stderr.split())}.") from None
    for results in [*clone.tree.glob("results/**/runs.jsonl")]:
        shutil.rmtree(results.parent)
    lend(clone)
    chosen = "--profile", profile, "--results", str(clone.results(profile))
    packed = clone.tree / "runs" / "again"
    for command in (
        ["run", *chosen, "--device", device, "--without-book", "--", *names],
        ["publish", *chosen, "--into", str(packed)],
    ):
        started = clone.start(*command)
        try:
            ended = started.wait()
        except KeyboardInterrupt:  # which it has had too, and ends its jobs
            ended = started.wait() or 130
        if ended:
            raise EditionError(f"{command[0]} ended with {ended} in {clone.tree}: see what it says above.")
    return Results.load(packed)


def _parts(run: Run, again: Results, published: Results) -> str:
    """In what a run differs from the published one of its name, in words."""
    if (there := published.runs.get(run.name)) is None:
        return "name: none of this was published"
    parts = [word for part, word in PARTS.items() if getattr(run, part) != getattr(there, part)]
    if not _rows(again, run).equals(_rows(published, run)):
        parts.append("rows")
    ours, theirs = (found.pictures.images.get(run.name, {}) for found in (again, published))
    if any(not np.array_equal(ours[target], theirs[target]) for target in ours.keys() & theirs.keys()):
        parts.append("pictures")
    return ", ".join(parts)


def _rows(results: Results, run: Run) -> pd.DataFrame:
    """A run's rows in their own order, of the columns those that have something of it, and each number as a float64: of
    which type a column is, other runs decide."""
    rows = results.arrays(run.name)
    texts = rows.select_dtypes("category").astype(object)
    numbers = rows.select_dtypes(["number", "bool"]).astype(np.float64)
    rows = rows.assign(**texts.where(texts != ""), **numbers)
    rows = rows.sort_values([name for name in ("evaluator", *UNITS) if name in rows], kind="stable")
    return rows.dropna(axis="columns", how="all").sort_index(axis="columns").reset_index(drop=True)
