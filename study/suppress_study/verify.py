"""Whether the published results of a folder belong together: each check by its name, and what is wrong in sentences.

It looks at what a clone has, and not at runs that the folder has beside its published tables.
"""

import json
import os
import re
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from suppress_privacy import configure
from suppress_privacy.fetch import DATASETS, cache_directory
from suppress_privacy.files import sha256_of
from suppress_privacy.mnist import Mnist
from suppress_study import campaigns, recomputed, weights
from suppress_study.keys import recorded
from suppress_study.plan import Study
from suppress_study.provenance import DIRTY, at_commit, describe, tagged
from suppress_study.results import ASKED, FILES, HEADS, RETRAINED, UNITS, ResultError, Results, Run, key, published_runs
from suppress_study.retrained import Retrained, drawn, with_needs
from suppress_study.settings import OwnData, Profile
from suppress_study.summary import Summary, summary_of
from suppress_study.targets import load_data

SHORT = 12  # digits of a commit that a run names
COMMIT = re.compile(f"[0-9a-f]{{{SHORT}}}")
TOLD = 5  # of many faults of one kind
CLOSE = 1e-8  # of a figure's size, by which processors differ; what is smaller than NOUGHT is nothing
NOUGHT = 1e-12


@dataclass
class Check:
    """One thing that is looked at."""

    name: str
    looked_at: str  # what is as it should be, where nothing is wrong
    wrong: list[str] = field(default_factory=list)  # in sentences
    left: str = ""  # why it was not looked at

    def told(self) -> str:
        """As a terminal has it."""
        if self.left:
            return f"left   {self.name}: {self.left}"
        more = [f"       and {len(self.wrong) - TOLD:,} more"] if len(self.wrong) > TOLD else []
        faults = [f"wrong  {self.name}: {each}" for each in self.wrong[:TOLD]]
        return "\n".join([*faults, *more] or [f"ok     {self.name}: {self.looked_at}"])


@contextmanager
def as_cloned(folder: Path) -> Iterator[Path]:
    """A folder of results without what is not published, while the block lasts."""
    with tempfile.TemporaryDirectory() as name:
        for place in FILES:
            if (folder / place).exists():
                os.symlink((folder / place).resolve(), Path(name, place))
        yield Path(name)


def verify(folder: Path, seed: int) -> list[Check]:
    """All checks of what a folder of results has published, by the profile that its runs name.

    Args:
        folder: of results.
        seed: of the lot that says which attacks are run again.

    Raises:
        ResultError: it has published nothing, or runs.jsonl cannot be read.
        SettingsError: its study.yaml is wrong.
    """
    with as_cloned(folder) as view:
        try:
            lines = [json.loads(line) for line in (view / "runs.jsonl").read_text("utf-8").splitlines()]
            runs = published_runs(view)
        except (OSError, ValueError) as error:
            raise ResultError(f"{folder / 'runs.jsonl'} is missing or damaged: restore it, or publish.") from error
        study, profile = Study.of(view), Counter(run.profile for run in runs.values()).most_common(1)[0][0]
        data = data_here(study.profile(profile), runs)
        found = [
            _files(view, lines),
            _weights(view, runs),
            _plan(lines, runs, study, profile),
            _keys(runs),
            _tag(view, runs),
            _retrained(view, study, profile, runs),
        ]
        found.append(_data(runs, data))
        if found[0].wrong:
            left = "the files above must be right before"
            found += [Check(name, "", left=left) for name in ("summary", "rows", "networks", "attacks")]
        else:
            found += _from_tables(view, study, profile, data, seed)
        for check in found:
            check.wrong = [each.replace(str(view), str(folder)) for each in check.wrong]
        return found


def _from_tables(view: Path, study: Study, profile: str, data: Mnist | None, seed: int) -> list[Check]:
    try:
        results = Results.load(view)
    except ValueError as error:
        return [Check("tables", "", [str(error)])]
    found = [_rows(results), _summary(view, profile)]
    packed = [run for run in results.runs.values() if weights.packed(view, run.name).is_file()]
    if data is None or not packed:
        left = "no weights are published" if data else "the data are not on this machine"
        return found + [Check(name, "", left=left) for name in ("networks", "attacks")]
    configure("CPU", "graph")
    campaigns.modules(view)
    said = f"{len(packed)} published networks get as much right as their runs say, within a few images"
    found.append(Check("networks", said, list(recomputed.trainings(view, results.runs, data))))
    try:
        made, wrong = recomputed.attacks(view, study, profile, results, data, seed)
        return [*found, Check("attacks", f"run again and the same, image by image: {', '.join(made)}", wrong)]
    except ValueError as error:
        return [*found, Check("attacks", "", [str(error)])]


def _files(view: Path, lines: list[dict[str, Any]]) -> Check:
    """Each file is the one that runs.jsonl names, and this the one that the summary names."""
    named = [(line["name"], line["sha256"]) for line in lines if line["kind"] == "table"]
    wrong = [
        f"{name} is named twice by runs.jsonl"
        for name, count in Counter(name for name, _ in named).items()
        if count > 1
    ]
    for name, sha256 in named:
        path = view / name
        if not path.is_file():
            wrong.append(f"{name} is missing: restore it")
        elif sha256_of(path) != sha256:
            wrong.append(f"{name} is not the file that runs.jsonl names: restore both")
        elif path.suffix == ".parquet" and (fault := _unreadable(path)):
            wrong.append(f"{name} is no table ({fault}): restore it")
    folders = [place for place in view.iterdir() if place.is_dir()]
    inside = [(place.name, place.resolve(), path) for place in folders for path in place.resolve().rglob("*")]
    there = {str(Path(name) / path.relative_to(place)) for name, place, path in inside if path.is_file()}
    wrong += [f"{name} is not named by runs.jsonl: delete it" for name in sorted(there - {name for name, _ in named})]
    summary = view / "summary.json"
    if not summary.is_file():
        wrong.append("summary.json is missing: restore it")
    elif Summary.load(summary).runs != sha256_of(view / "runs.jsonl"):
        wrong.append("runs.jsonl is not the one that summary.json names: restore both, or publish again")
    return Check(
        "files", f"{len(named)} files are those that runs.jsonl names, and it is the one of summary.json", wrong
    )


def _unreadable(path: Path) -> str:
    try:
        pq.read_table(path)
    except (OSError, ValueError) as error:  # as pyarrow's are
        return str(error).partition("\n")[0]
    return ""


def _weights(view: Path, runs: Mapping[str, Run]) -> Check:
    """Each training's weights are there, and are what its run left."""
    trained = [run for run in runs.values() if run.kind == "train" and not run.superseded]
    wrong, lacking = [], [run.name for run in trained if not weights.packed(view, run.name).is_file()]
    if lacking:
        wrong.append(
            f"{len(lacking)} of {len(trained)} trainings have no weights there, such as {lacking[0]}: publish them"
        )
    for run in trained:
        try:
            if run.name not in lacking:
                weights.unpack(weights.packed(view, run.name), run.checkpoint)
        except ValueError as error:
            wrong.append(str(error))
    return Check("weights", f"those of {len(trained)} trainings are what their runs left", wrong)


def _plan(lines: list[dict[str, Any]], runs: Mapping[str, Run], study: Study, profile: str) -> Check:
    """Each planned run is there once, none besides, and each is of the networks that are there."""
    planned = {run.name: run for job in study.jobs(profile) for run in job.runs}
    names = Counter(line["name"] for line in lines if line["kind"] not in HEADS)
    wrong = [f"run {name} is there {count} times: leave one" for name, count in names.items() if count > 1]
    wrong += [f"run {name} is planned by study.yaml and is not there: make it" for name in planned if name not in names]
    wrong += [
        f"run {name} is not planned by study.yaml: remove it"
        for name in names
        if name not in planned and not runs[name].superseded
    ]
    apart = [name for name in planned if name in runs and runs[name].superseded]
    wrong += [f"run {name} is planned, and marked as superseded: make it again" for name in apart]
    coins = {(key(run.factors), run.seed): run.checkpoint["sha256"] for run in runs.values() if run.kind == "coin"}
    for run in (run for run in runs.values() if "coin" in run.networks):
        own = {"arm", "game", *study.arms[str(run.factors["arm"])].factors()}
        of_model = key({name: value for name, value in run.factors.items() if name in own})
        if coins.get((of_model, run.seed)) != run.networks["coin"]:
            wrong.append(f"run {run.name} is of another network than its game has: make it again")
    return Check("plan", f"{len(planned):,} runs that study.yaml plans are there, each once", wrong)


def _keys(runs: Mapping[str, Run]) -> Check:
    """What each run says that it depends on is what its key says, and the keys that it started from are there."""
    said = [run for run in runs.values() if run.depends and not run.superseded]
    if not said:
        return Check("keys", "", left="runs do not say what they depend on")
    there, silent = {run.name: run.depends["key"] for run in said}, {*runs} - {run.name for run in said}
    wrong = [f"run {name} does not say what it depends on: make it again" for name in runs if name in silent]
    for run in said:
        if recorded(run) != run.depends["key"]:
            wrong.append(f"run {run.name} does not depend on what its key says: make it again")
        for name, started in run.depends["needs"].items():
            if name in runs and there.get(name) != started:
                wrong.append(f"run {run.name} started from another {name} than is there: make it again")
    return Check("keys", f"{len(said):,} runs depend on what their keys say", wrong)


def _tag(view: Path, runs: Mapping[str, Run]) -> Check:
    """All runs are of one commit, which has a tag, and of committed code; what was asked for is what that has."""
    counted = [run for run in runs.values() if not run.superseded]
    commits = Counter(run.commit.removesuffix(DIRTY) for run in counted)
    dirty = [run.name for run in counted if run.commit.endswith(DIRTY)]
    tags = Counter(run.tag for run in counted)
    wrong = [f"commit {each!r} is none: make its runs again" for each in commits if not COMMIT.fullmatch(each)]
    if len(commits) > 1:
        most = commits.most_common(1)[0][0]
        other = next(run for run in counted if run.commit.removesuffix(DIRTY) != most)
        odd = f"such as {other.name} of {other.commit}, most of {most}"
        wrong.append(f"runs are of {len(commits)} commits, {odd}: make them at one")
    if dirty:
        count = f"{len(dirty)} runs were made while code had uncommitted changes"
        wrong.append(f"{count}, such as {dirty[0]}: commit, and make them again")
    if untagged := tags.pop("", 0):
        wrong.append(f"{untagged:,} runs name no tag: make them in a checkout of one")
    if len(tags) > 1:
        wrong.append(f"runs are of the tags {', '.join(sorted(tags))}: make them at one")
    for name in tags:
        if (points := tagged(name)) and not all(points.startswith(commit) for commit in commits):
            wrong.append(f"tag {name} is of commit {points[:12]}, and its runs of {', '.join(sorted(commits))}")
        for asked in ASKED if points else ():
            if at_commit(points, f"study/{asked}") != (view / asked).read_text("utf-8").strip():
                wrong.append(f"{asked} is not what tag {name} has: restore it, or publish again")
    there = "where that points" if all(map(tagged, tags)) else "which this repository does not have"
    return Check("tag", f"{len(counted):,} runs were made at tag {', '.join(tags)}, {there}, of committed code", wrong)


def _retrained(view: Path, study: Study, profile: str, runs: Mapping[str, Run]) -> Check:
    """What was made again is what the tag of these runs draws, all of it, and came out the same."""
    try:
        found = Retrained.load(view)
    except ResultError as error:
        return Check("retrained", "", [str(error)])
    if found is None:
        return Check("retrained", "", left="none of these runs was made again, see make retrain")
    if not (commit := tagged(found.tag)):
        return Check("retrained", "", left=f"this repository does not have tag {found.tag}")
    if found.commit != commit or any(run.tag != found.tag or run.commit != commit[:SHORT] for run in runs.values()):
        return Check("retrained", "", [f"{RETRAINED} is of other code than these runs, or than its tag: make it again"])
    jobs = drawn(study, profile, commit)
    lacking = {run.name for job in with_needs(study, profile, jobs) for run in job.runs} - found.runs.keys()
    wrong = [
        f"run {name}, which is drawn or started from, was not made again: make retrain" for name in sorted(lacking)
    ]
    wrong += [f"run {name}, made again, has other {parts}" for name, parts in found.other().items()]
    names = ", ".join(map(str, jobs))
    return Check("retrained", f"{names}, which the tag draws, were made again and are the same, bit for bit", wrong)


def data_here(profile: Profile, runs: Mapping[str, Run]) -> Mnist | None:
    """The data that the runs name, if this machine has them: nothing is downloaded."""
    names = Counter(run.environment["data"]["name"] for run in runs.values())
    name = names.most_common(1)[0][0]
    known = next((each for each in DATASETS.values() if each.name == name), None)
    if known is None:
        return load_data(profile.data if isinstance(profile.data, OwnData) else "embedded")
    files = [cache_directory(known.key) / each for each in known.sha256]
    return load_data(known.key) if os.environ.get(known.variable) or all(map(Path.is_file, files)) else None


def _data(runs: Mapping[str, Run], data: Mnist | None) -> Check:
    """All runs are on one data set, which is the one that this machine has, or that is published by that name."""
    found = {json.dumps(run.environment["data"], sort_keys=True): run for run in runs.values()}
    wrong = [f"run {run.name} is on other data than the others: make it again" for run in list(found.values())[1:]]
    for run in list(found.values())[:1]:
        said = run.environment["data"]
        known = next((each.sha256 for each in DATASETS.values() if each.name == said["name"]), None)
        here = describe(data)["sha256"] if data else known
        if here is not None and said["sha256"] != here:
            wrong.append(f"runs are on data of another SHA-256 than {said['name']} has: make them again")
    where = "this machine has" if data else "is published (they are not on this machine)"
    return Check("data", f"all runs are on the data that {where}", wrong)


def _summary(view: Path, profile: str) -> Check:
    """The summary is what the tables say, to the digits that do not differ between processors."""
    try:
        again = summary_of(view, profile, allow_missing=True)
    except Exception as error:  # of whatever kind: the tables may be anything
        return Check("summary", "", [f"it cannot be made again: {' '.join(str(error).split())}"])
    said, found = Summary.load(view / "summary.json").written(), again.written()
    return Check("summary", "every figure of summary.json is what the tables give", list(unlike(said, found)))


def unlike(said: Any, found: Any, place: str = "summary.json") -> Iterator[str]:
    """Where two contents differ, figures by more than a part in a hundred million."""
    if isinstance(said, dict) and isinstance(found, dict) and said.keys() == found.keys():
        for name in said:
            yield from unlike(said[name], found[name], f"{place}.{name}")
    elif isinstance(said, list) and isinstance(found, list) and len(said) == len(found):
        for number, pair in enumerate(zip(said, found, strict=True)):
            yield from unlike(*pair, f"{place}[{number}]")
    elif isinstance(said, float) and isinstance(found, float):
        if not np.isclose(said, found, rtol=CLOSE, atol=NOUGHT):
            yield f"{place} is {said:.6g}, and the tables give {found:.6g}"
    elif said != found:
        yield f"{place} is {str(said)[:60]}, and the tables give {str(found)[:60]}"


def _rows(results: Results) -> Check:
    """Each attack that has rows has them once, and none are of a run that is not there."""
    wrong, tables = [], {"image": results.images, "candidate": results.membership}
    for unit, table in tables.items():
        keys = [name for name in ("run", "evaluator", unit) if name in table]
        twice = table[table.duplicated(keys)].run.unique() if len(table) else []
        wrong += [f"run {name} has rows twice in {UNITS[unit]}.parquet: restore it" for name in twice]
        strange = sorted({*table.run.astype(str)} - results.runs.keys())
        wrong += [
            f"{UNITS[unit]}.parquet has rows of {name}, which runs.jsonl has not: restore both" for name in strange
        ]
    there = {str(name) for table in tables.values() for name in table.run.unique()}
    lacking = [
        run.name for run in results.runs.values() if run.kind == "attack" and not run.results and run.name not in there
    ]
    wrong += [f"run {name} has no rows: restore the tables" for name in lacking if not results.runs[name].superseded]
    return Check("rows", "each attack has its rows once", wrong)
