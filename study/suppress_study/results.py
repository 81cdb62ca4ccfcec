"""What came out: one file a job while running; published, tables that a stranger opens with pandas.

    runs/JOB.npz                one job's runs: their lines, and the arrays behind them (git-ignored)
    runs.jsonl                  one line a run, after those of environments, of what runs depend on and of hashes
    images.parquet              a row for each run, image and evaluator; by campaign and seed
    membership.parquet          a row for each run and candidate; by campaign and seed
    pictures.npz                of the first seed: what is shown, see `pictures`
    weights/RUN.ckpt.xz         the last weights of a training, see `weights`
    study.yaml, claims.yaml     as they were: what the runs were asked for, and what was claimed
    retrained.json              which of them were made again, and what differed, see `retrained`

Factors are columns: arm, attack, depth or moment, evaluator, and each setting that is swept over; a column is empty
where the factor does not apply. Metrics that need no evaluator stand in the rows whose evaluator is empty.
"""

import json
import re
import shutil
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path, PurePath
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from suppress_privacy.files import atomically, read_arrays, sha256_of
from suppress_study import pictures, weights
from suppress_study.campaigns import FILE as CAMPAIGN
from suppress_study.content import made_in
from suppress_study.pictures import Pictures, show
from suppress_study.settings import FOLDER, Value

PUBLISHED = Path("results/full")  # the published run, from the project's folder
JUDGED = "judged"  # begins, before evaluator and metric, the arrays of what evaluators say
WAITING = ".publishing"  # folder of tables that are whole, until they have taken their place
ASKED = ("study.yaml", "claims.yaml")  # published with what came out
UNITS = {"image": "images", "candidate": "membership"}  # what a row of each table is about
TABLES = [f"{name}.parquet" for name in UNITS.values()]
RETRAINED = "retrained.json"
HEADS = ("environment", "basis", "table")  # kinds of the lines of runs.jsonl that are no runs
# What is published.
FILES = (CAMPAIGN, "runs.jsonl", "summary.json", "pictures.npz", weights.FOLDER, *ASKED, *TABLES, RETRAINED)
Arrays = dict[str, np.ndarray]
ROWS = 50_000_000  # of a table; the published ones have a hundredth
MARKUP = re.compile(r"[<>{}\[\]|`*$&\\\r\n]")
PAGE = 1 << 24  # bytes of a column that are compressed together: all of one file


def key(factors: Mapping[str, Value]) -> frozenset[tuple[str, Value]]:
    """Factors to look things up by."""
    return frozenset(factors.items())


class ResultError(ValueError):
    """Results that are missing, damaged or do not belong together; the message says which, and what to do."""


@dataclass
class Run:
    """One training, one attack on one model, or one look at what a model's features hold.

    As planned it ends with its settings; what follows is where it was made and what came out.
    """

    name: str
    kind: str  # train, attack or mechanism
    campaign: str
    profile: str
    factors: dict[str, Value]
    seed: int
    settings: dict[str, Any]  # all that decides the outcome, beyond the networks below
    commit: str = ""
    tag: str = ""  # of that commit, if it has one
    carried: str = ""  # by which commit it was made, where that of a later edition would make the same
    environment: Any = None  # device, versions, machine, data; in runs.jsonl the name of the line that has them
    times: dict[str, Any] = field(default_factory=dict)
    peak_memory_bytes: int = 0
    results: dict[str, Any] = field(default_factory=dict)  # by name: numbers, and a training's history and report
    asked: dict[str, Any] = field(default_factory=dict)  # by a rerunner: mode, overrides, victim
    checkpoint: dict[str, str] = field(default_factory=dict)  # a training's last: name and SHA-256
    networks: dict[str, str] = field(default_factory=dict)  # what it was made of: "victim", evaluator or arm -> SHA-256
    chosen: dict[str, Any] = field(default_factory=dict)  # by the attack itself, and on what ground
    superseded: str = ""  # by which run: it counts no longer
    depends: dict[str, Any] = field(default_factory=dict)  # see keys.py; the basis is in runs.jsonl by name

    def __str__(self) -> str:
        return self.name

    def line(self) -> dict[str, Any]:
        """As runs.jsonl has it: what is empty is left out."""
        return {name: value for name, value in asdict(self).items() if value not in ("", {}, None)}


@dataclass
class Results:
    """All runs of one folder with their tables."""

    runs: dict[str, Run]
    images: pd.DataFrame
    membership: pd.DataFrame
    pictures: Pictures

    @classmethod
    def load(cls, folder: Path) -> "Results":
        """The published tables of a folder, under what its own runs have made since.

        Raises:
            ResultError: a file is damaged, or is not the one that runs.jsonl names.
        """
        published, files = _published(folder)
        for name, sha256 in files.items():
            if not (folder / name).is_file() or sha256_of(folder / name) != sha256:
                raise ResultError(
                    f"{folder / name} is missing or is not the one that runs.jsonl names: restore it, or delete "
                    "runs.jsonl where the folder has all runs of its own, and publish again."
                )
        own = [pair for path in made_in(folder) for pair in read_job(path)]
        newer = {run.name: run for run, _ in own}
        if len(newer) < len(own):
            names = [run.name for run, _ in own]
            twice = next(name for name in names if names.count(name) > 1)
            raise ResultError(f"{folder / 'runs'} has run {twice} in two files: delete the one that is not to count.")
        runs = {name: run for name, run in published.items() if name not in newer} | newer
        shown = pictures.read(folder / "pictures.npz") if files else Pictures()
        before = {unit: _read_table(folder / f"{name}.parquet", files) for unit, name in UNITS.items()}
        tables = {unit: [table[~table.run.isin(newer)]] for unit, table in before.items()}
        for run, arrays in own:
            if unit := _unit(arrays):
                tables[unit].append(rows_of(run, arrays))
            show(shown, run.name, arrays)
        return cls(runs, joined(tables["image"]), joined(tables["candidate"]), shown)

    def of(self, names: Collection[str], *, commit: str = "", tag: str = "") -> "Results":
        """Some of the runs alone; as if a commit and its tag had made them, if given: what did make them is kept."""
        runs = {name: run for name, run in self.runs.items() if name in names}
        for name, run in runs.items() if commit else ():
            runs[name] = replace(run, commit=commit, tag=tag, carried=run.carried or run.commit)
        images, membership = (table[table.run.isin(names)] for table in (self.images, self.membership))
        return Results(runs, images, membership, self.pictures.of(names))

    def rows(self) -> dict[str, pd.DataFrame]:
        """Each run's rows of whichever table has them."""
        tables = (self.images, self.membership)
        return {str(run): rows for table in tables for run, rows in table.groupby("run", observed=True)}

    def arrays(self, name: str) -> pd.DataFrame:
        """One run's rows; none where it is not there."""
        return max((table[table.run == name] for table in (self.images, self.membership)), key=len)

    def publish(self, folder: Path, into: Path | None = None) -> None:
        """Write the tables, all of them before one takes its place; runs.jsonl names the others by their bytes.

        Args:
            folder: which has these results, with weights of their trainings.
            into: another folder to publish them in, while this one is as it was.
        """
        with atomically((into or folder) / WAITING) as part:
            part.mkdir()
            trained = {run.name: run.checkpoint for run in self.runs.values() if run.kind == "train" and run.checkpoint}
            files = weights.publish(trained, folder, part)
            if (folder / CAMPAIGN).is_file():
                shutil.copyfile(folder / CAMPAIGN, part / CAMPAIGN)
                files[CAMPAIGN] = sha256_of(part / CAMPAIGN)
            self._write(part, files)
        finish_publishing(into or folder)

    def _write(self, folder: Path, files: dict[str, str]) -> None:
        for name in UNITS.values():
            files |= _write_table(folder / f"{name}.parquet", getattr(self, name))
        first = min((self.runs[name].seed for name in self.pictures.images), default=0)  # which the book shows
        shown = self.pictures.of([name for name, run in self.runs.items() if run.seed == first])
        pictures.write(folder / "pictures.npz", shown)
        for name in ASKED:
            shutil.copyfile(FOLDER / name, folder / name)
        files |= {name: sha256_of(folder / name) for name in ("pictures.npz", *ASKED)}
        known: dict[str, str] = {}
        bases: dict[str, str] = {}
        lines = []
        for run in self.runs.values():
            content = json.dumps(run.environment, sort_keys=True)
            known.setdefault(content, f"environment-{len(known) + 1}")
            line = run.line() | {"environment": known[content]}
            if run.depends:
                basis = json.dumps(run.depends["basis"], sort_keys=True)
                line["depends"] = run.depends | {"basis": bases.setdefault(basis, f"basis-{len(bases) + 1}")}
            lines.append(line)
        head = [{"kind": "environment", "name": name, **json.loads(content)} for content, name in known.items()]
        head += [{"kind": "basis", "name": name, "of": json.loads(content)} for content, name in bases.items()]
        head += [{"kind": "table", "name": name, "sha256": sha256} for name, sha256 in sorted(files.items())]
        content = "".join(json.dumps(line, allow_nan=False) + "\n" for line in [*head, *lines])
        (folder / "runs.jsonl").write_text(content, "utf-8")


def finish_publishing(folder: Path) -> None:
    """Put tables that wait in a folder in the place of the older ones; so again where that was interrupted."""
    waiting = folder / WAITING
    if not waiting.is_dir():
        return
    for path in sorted(waiting.iterdir(), key=lambda each: each.name == "runs.jsonl"):
        if (older := folder / path.name).is_dir():
            shutil.rmtree(older)
        path.replace(older)
    waiting.rmdir()


def inside(name: str) -> str:
    """A file's name in results, which must not lead out of their folder.

    Raises:
        ValueError: it does.
    """
    if PurePath(name).is_absolute() or ".." in PurePath(name).parts or "\0" in name:
        raise ValueError(f"{name!r} leads out of the folder")
    return name


def require_inside(run: Run) -> None:
    """Raise unless the names of a run and of its checkpoint are those of files in one folder."""
    for name in (run.name, run.checkpoint.get("name", "")):
        if PurePath(inside(name)).name != name:
            raise ValueError(f"{name!r} is no name of a file")


def as_text(content: Any) -> Any:
    """Texts as pages may show them, in whatever they stand: what Markdown or HTML would act on becomes an entity."""
    if isinstance(content, str):
        return MARKUP.sub(lambda sign: f"&#{ord(sign[0])};", content)
    if isinstance(content, dict):
        return {as_text(name): as_text(value) for name, value in content.items()}
    return [as_text(value) for value in content] if isinstance(content, list) else content


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write JSON whole, a row of a table a line; NaN is refused."""
    parts = []
    for name, value in content.items():
        shown = json.dumps(value, indent=1, allow_nan=False).replace("\n", "\n ")
        if isinstance(value, list) and value and isinstance(value[0], dict):
            rows = ",\n".join(f"  {json.dumps(row)}" for row in value)
            shown = f"[\n{rows}\n ]"
        parts.append(f" {json.dumps(name)}: {shown}")
    with atomically(path) as part:
        part.write_text("{\n" + ",\n".join(parts) + "\n}\n", "utf-8")


def write_job(path: Path, runs: Iterable[tuple[Run, Arrays]]) -> None:
    """Write the runs of one job with their arrays as one file, whole or not at all."""
    pairs = list(runs)
    arrays = {f"{number}/{name}": array for number, (_, found) in enumerate(pairs) for name, array in found.items()}
    lines = json.dumps([asdict(run) for run, _ in pairs], allow_nan=False)
    with atomically(path) as part, part.open("wb") as file:
        np.savez_compressed(file, runs=np.array(lines), **arrays)


def read_job(path: Path, *, arrays: bool = True) -> list[tuple[Run, Arrays]]:
    """The runs of one job with their arrays, or without, which is quick.

    Raises:
        ResultError: the file is damaged, or is something else.
    """
    try:
        content = read_arrays(path, only="" if arrays else "runs")
        runs = [Run(**line) for line in json.loads(str(content.pop("runs")))]
        found: list[Arrays] = [{} for _ in runs]
        for key, array in content.items():
            number, _, name = key.partition("/")
            found[int(number)][name] = array
        for run in runs:
            require_inside(run)
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise ResultError(f"{path} is damaged or holds no runs: delete it, and run again.") from error
    return list(zip(runs, found, strict=True))


def rows_of(run: Run, arrays: Arrays) -> pd.DataFrame:
    """A run's rows: of images, one for each evaluator and one without; of candidates, one each."""
    unit = _unit(arrays)
    shared = {unit: arrays[unit]} | {name: arrays[name] for name in ("index", "label") if name in arrays}
    keys = {"run": run.name, "campaign": run.campaign, "seed": run.seed, **run.factors}
    if unit == "candidate":
        return pd.DataFrame({**keys, **shared, "member": arrays["member"], "score": arrays["score"]})
    shared["in_training"] = arrays["in_training"]
    by_evaluator: dict[str, Arrays] = {"": dict(shared)}
    for name, array in arrays.items():
        if name not in (*shared, "pictured", "watched") and array.shape == arrays[unit].shape:
            metric, evaluator = column_of(name)
            by_evaluator.setdefault(evaluator, dict(shared))[metric] = array.astype(np.float32)
    lacking = np.full(arrays[unit].shape, np.nan, np.float32)
    names = dict.fromkeys(name for found in by_evaluator.values() for name in found)
    columns = {each: np.concatenate([found.get(each, lacking) for found in by_evaluator.values()]) for each in names}
    return pd.DataFrame(keys | {"evaluator": np.repeat([*by_evaluator], len(lacking))} | columns)


def column_of(name: str) -> tuple[str, str]:
    """What an array of a job's file holds: a metric or another column, and the evaluator who says so, if one does."""
    kind, _, judged = name.partition("/")
    evaluator, _, metric = judged.partition("/")
    return (metric, evaluator) if kind == JUDGED else (name, "")


def _unit(arrays: Arrays) -> str:
    return next((unit for unit in UNITS if unit in arrays), "")


def joined(tables: list[pd.DataFrame]) -> pd.DataFrame:
    """Tables below each other: text that is missing is empty."""
    tables = [table for table in tables if len(table)]
    if not tables:
        return pd.DataFrame({"run": pd.Series(dtype="str")})
    table = pd.concat(tables, ignore_index=True)
    for name, column in table.items():
        if not pd.api.types.is_numeric_dtype(column):
            text = column.astype("category")
            if text.isna().any():
                text = (text if "" in text.cat.categories else text.cat.add_categories("")).fillna("")
            table[name] = text
    return table


def _write_table(folder: Path, table: pd.DataFrame) -> dict[str, str]:
    """A table by campaign and seed; the hash of each of its files.

    Rows are in the order in which what is equal lies together, and each float's bytes apart: a third smaller so.
    """
    if not len(table):
        return {}
    order = [name for name in ("evaluator", *UNITS, "run") if name in table]
    for (campaign, seed), rows in table.groupby(["campaign", "seed"], observed=True):
        rows = rows.sort_values(order, kind="stable").drop(columns=["campaign", "seed"])
        content = pa.Table.from_pandas(rows, preserve_index=False).replace_schema_metadata()
        floats = [field.name for field in content.schema if pa.types.is_floating(field.type)]
        others = [name for name in content.column_names if name not in floats]
        form = {"compression": "zstd", "compression_level": 19, "data_page_size": PAGE, "use_dictionary": others}
        form |= {"column_encoding": dict.fromkeys(floats, "BYTE_STREAM_SPLIT"), "row_group_size": len(content)}
        place = folder / f"campaign={campaign}" / f"seed={seed}"
        place.mkdir(parents=True)
        pq.write_table(content, place / "part-0.parquet", **form)
    return {str(path.relative_to(folder.parent)): sha256_of(path) for path in sorted(folder.rglob("*.parquet"))}


def published_campaigns(published: Path, names: Iterable[str]) -> dict[str, Path]:
    """The folders beside the published run that have published results of campaigns, by name."""
    folders = {name: published.parent / name for name in names}
    return {name: folder for name, folder in folders.items() if (folder / "runs.jsonl").is_file()}


def runs_made_in(folder: Path) -> dict[str, Run]:
    """The runs that a folder has beside its published tables, by name and without their arrays."""
    return {run.name: run for path in made_in(folder) for run, _ in read_job(path, arrays=False)}


def published_runs(folder: Path) -> dict[str, Run]:
    """The runs of a folder's runs.jsonl by name, superseded ones too; none where there is no such file."""
    return _published(folder)[0]


def _published(folder: Path) -> tuple[dict[str, Run], dict[str, str]]:
    """Its runs, and its files with their SHA-256."""
    if (folder / WAITING).is_dir():
        raise ResultError(f"{folder} was being published when that stopped: publish it again, which ends it.")
    path = folder / "runs.jsonl"
    if not path.is_file():
        return {}, {}
    known = {each.name for each in fields(Run)}
    runs, environments, bases, files = {}, {}, {}, {}
    try:
        for line in map(json.loads, path.read_text("utf-8").splitlines()):
            if line["kind"] == "environment":
                environments[line["name"]] = {key: line[key] for key in line if key not in ("kind", "name")}
            elif line["kind"] == "basis":
                bases[line["name"]] = line["of"]
            elif line["kind"] == "table":
                files[inside(line["name"])] = line["sha256"]
            else:
                line["environment"] = environments[line["environment"]]
                if depends := line.get("depends"):
                    depends["basis"] = bases[depends["basis"]]
                runs[line["name"]] = Run(**{key: line[key] for key in line if key in known})
                require_inside(runs[line["name"]])
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ResultError(f"{path} is damaged: restore it, or publish again.") from error
    return runs, files


def _read_table(path: Path, files: Iterable[str]) -> pd.DataFrame:
    """A table, if runs.jsonl names files of it: of these files alone.

    Raises:
        ResultError: they are no tables, or have more rows than any study.
    """
    named = sorted(str(path.parent / name) for name in files if PurePath(name).parts[0] == path.name)
    if not named:
        return joined([])
    try:
        rows = sum(pq.read_metadata(name).num_rows for name in named)
        if rows > ROWS:
            raise ValueError(f"{rows:,} rows, more than {ROWS:,}")
        by_folder = ds.HivePartitioning.discover(infer_dictionary=True)
        table = ds.dataset(named, partitioning=by_folder, partition_base_dir=str(path)).to_table()
        return joined([table.to_pandas(strings_to_categorical=True)])
    except (pa.ArrowException, ValueError, OSError) as error:
        raise ResultError(f"{path} cannot be read ({error}): restore it, or publish again.") from error
