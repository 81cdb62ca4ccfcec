"""A part of an edition made again, in a clone of its tag that has no results, and held beside what was published.

    results/full/retrained.json     which, where, and what differs

Three jobs are drawn by the hash of the tag's commit, which nobody could choose: a suppressed network, one trained with
DP-SGD, and attacks on a network. All that they start from is made as well. The same code on the same kind of processor
gives the same bits, in processes that may use more than one core; else the last of them may differ, and then all that
follows from them.
"""

import json
import os
import shutil
import subprocess
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import pandas as pd

from suppress_privacy.runtime import processor
from suppress_study.edition import Edition, EditionError, lend
from suppress_study.jobs import Job
from suppress_study.plan import Study
from suppress_study.provenance import git
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
PARTS = {"checkpoint": "weights", "networks": "networks", "results": "figures", "chosen": "choices"}


@dataclass(frozen=True)
class Retrained:
    """What was made again, and what came out."""

    tag: str
    commit: str  # of the tag, its whole name
    date: str
    processor: str  # that it was made on
    drawn: list[str]  # names of jobs
    runs: dict[str, str]  # by name in what it differs from the published one, in words; "" if in nothing

    @classmethod
    def load(cls, folder: Path) -> "Retrained | None":
        """What a folder of results has of it, its texts as pages may show them.

        Raises:
            ResultError: the file is damaged.
        """
        path = folder / RETRAINED
        if not path.is_file():
            return None
        try:
            return cls(**as_text(json.loads(path.read_text("utf-8"))))
        except (ValueError, TypeError) as error:
            raise ResultError(f"{path} is damaged: restore it, or delete it and make retrain again.") from error

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


def retrain(edition: Edition, profile: str, device: str) -> Retrained:
    """Make again what an edition's tag draws, hold it beside the edition's results, and write what came out there.

    Raises:
        EditionError: there are no such results, or it cannot be made.
        ResultError: they are damaged.
    """
    folder, commit = _results(edition, profile), git("rev-parse", f"refs/tags/{edition.tag}^{{commit}}")
    published, jobs = Results.load(folder), drawn(Study.of(folder), profile, commit)
    if missing := [run.name for job in jobs for run in job.runs if run.name not in published.runs]:
        raise EditionError(f"{folder} has no run {missing[0]}, which {edition.tag} draws: make edition before this.")
    names = [str(job) for job in jobs]
    (ROOT / "_build").mkdir(exist_ok=True)
    place = Path(tempfile.mkdtemp(prefix=f"{edition.tag}-", dir=ROOT / "_build"))
    print(f"{edition.tag} draws {', '.join(names)}; they and what they start from are made in {place}.", flush=True)
    again = _made(Edition(edition.tag, place), profile, device, names)
    runs = {run.name: _parts(run, again, published) for run in again.runs.values()}
    found = Retrained(edition.tag, commit, time.strftime("%Y-%m-%d", time.gmtime()), processor(), names, runs)
    write_json(folder / RETRAINED, asdict(found))
    if not found.other():
        shutil.rmtree(place)
    return found


def told(found: Retrained) -> str:
    """What came out, as a terminal has it."""
    lines = [f"{name}: other {parts}" for name, parts in found.other().items()]
    if not lines:
        return f"{len(found.runs)} runs, of these and what they start from, are the same, bit for bit."
    why = "another kind of processor, or one core alone in place of more, may do that"
    return "\n".join([*lines, f"{len(lines)} of {len(found.runs)} runs differ; {why}. It was {found.processor}."])


def _results(edition: Edition, profile: str) -> Path:
    """The folder with the runs of an edition: its own, or the published one."""
    for folder in (edition.finished(profile), ROOT / PUBLISHED.parent / profile):
        if {run.tag for run in published_runs(folder).values()} == {edition.tag}:
            return folder
    raise EditionError(f"there are no results of {profile} that edition {edition.tag} made: make them before this.")


def _made(clone: Edition, profile: str, device: str, names: list[str]) -> Results:
    """These jobs' runs and those that they start from, by the tag's code, in a clone that is made of it."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    source = ["--depth=1", f"--branch={clone.tag}", ROOT.as_uri(), str(clone.tree)]
    cloned = subprocess.run(["git", "clone", "--quiet", *source], env=own, capture_output=True, encoding="utf-8")
    if cloned.returncode:
        raise EditionError(f"{clone.tree} cannot be made a clone: {' '.join(cloned.stderr.split())}.")
    for results in [*clone.tree.glob("results/**/runs.jsonl")]:
        shutil.rmtree(results.parent)
    lend(clone)
    chosen = "--profile", profile, "--results", str(clone.results(profile))
    packed = clone.tree / "runs" / "again"
    for command in (
        ["run", *chosen, "--device", device, "--without-book", "--", *names],
        ["publish", *chosen, "--into", str(packed)],
    ):
        if ended := clone.start(*command).wait():
            raise EditionError(f"{command[0]} ended with {ended} in {clone.tree}: see what it says above.")
    return Results.load(packed)


def _parts(run: Run, again: Results, published: Results) -> str:
    """In what a run differs from the published one of its name, in words."""
    if (there := published.runs.get(run.name)) is None:
        return "name: none of this was published"
    parts = [word for part, word in PARTS.items() if getattr(run, part) != getattr(there, part)]
    if not _rows(again, run).equals(_rows(published, run)):
        parts.append("rows")
    return ", ".join(parts)


def _rows(results: Results, run: Run) -> pd.DataFrame:
    """A run's rows in their own order, and of the columns those that have something of it."""
    rows = results.arrays(run.name)
    texts = rows.select_dtypes("category").astype(object)
    rows = rows.assign(**texts.where(texts != ""))
    rows = rows.sort_values([name for name in ("evaluator", *UNITS) if name in rows], kind="stable")
    return rows.dropna(axis="columns", how="all").sort_index(axis="columns").reset_index(drop=True)
