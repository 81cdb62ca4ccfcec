"""What is planted in a published edition is named, whether or not whoever planted it made the hashes fit again."""

import json
import shutil
from argparse import Namespace
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import small_edition
from conftest import ROOT
from suppress_privacy.files import sha256_of
from suppress_study import recomputed, run, verify
from suppress_study.keys import recorded
from suppress_study.results import Run
from suppress_study.summary import summary_of

FIRST, OTHER = "train-dense-sgd-seed0", "train-suppressed-example-seed0"
ATTACK = "attack-ridge-fc1-dense-sgd-seed0"
TABLE = f"images.parquet/campaign={small_edition.NAME}/seed=0/part-0.parquet"


@pytest.fixture(scope="module")
def edition(tmp_path_factory):
    return small_edition.make(tmp_path_factory.mktemp("edition"))


@pytest.fixture
def folder(edition, tmp_path, digits, monkeypatch):
    monkeypatch.setattr(verify, "load_data", lambda wanted: digits)  # which are read in a second
    return shutil.copytree(edition, tmp_path / "copy", ignore=shutil.ignore_patterns("runs", "checkpoints"))


def lines_of(folder):
    return [json.loads(line) for line in (folder / "runs.jsonl").read_text().splitlines()]


def write(folder, lines):
    (folder / "runs.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def edit(folder, change):
    """Change each line of runs.jsonl that is not of a file."""
    lines = lines_of(folder)
    for line in lines:
        if line["kind"] != "table":
            change(line)
    write(folder, lines)


def edit_rows(folder, change, name=TABLE):
    path = folder / name
    table = change(pq.read_table(path, partitioning=None).to_pandas())
    pq.write_table(pa.Table.from_pandas(table, preserve_index=False), path)


def hashed(folder):
    """Have runs.jsonl name the files that there are, and the summary that runs.jsonl."""
    lines = lines_of(folder)
    for line in lines:
        if line["kind"] == "table":
            line["sha256"] = sha256_of(folder / line["name"])
    write(folder, lines)
    summary = json.loads((folder / "summary.json").read_text())
    (folder / "summary.json").write_text(json.dumps(summary | {"runs": sha256_of(folder / "runs.jsonl")}))


def summarised(folder):
    """Have the summary say what the files now do."""
    hashed(folder)
    summary_of(folder, small_edition.NAME, allow_missing=True).save(folder / "summary.json")


def wrong(folder):
    return {check.name: check.wrong for check in verify.verify(folder, seed=0) if check.wrong}


# What is planted


def flipped(name):
    def plant(folder):
        content = bytearray((folder / name).read_bytes())
        content[len(content) // 2] ^= 1
        (folder / name).write_bytes(content)

    return plant


def truncated(folder):
    path = folder / TABLE
    path.write_bytes(path.read_bytes()[:-100])


def exchanged(folder):
    one, other = (folder / "weights" / f"{name}.ckpt.xz" for name in (FIRST, OTHER))
    content = one.read_bytes()
    shutil.copyfile(other, one)
    other.write_bytes(content)


def exchanged_with_their_hashes(folder):
    """In the runs, too, and of the noisy model, whose weights are those of the first."""
    trained = {line["name"]: line["checkpoint"]["sha256"] for line in lines_of(folder) if line["kind"] == "train"}
    contents = {each: (folder / "weights" / f"{name}.ckpt.xz").read_bytes() for name, each in trained.items()}
    instead = {trained[FIRST]: trained[OTHER], trained[OTHER]: trained[FIRST]}
    for name, sha256 in trained.items():
        (folder / "weights" / f"{name}.ckpt.xz").write_bytes(contents[instead.get(sha256, sha256)])

    def change(line):
        if line["kind"] == "train":
            line["checkpoint"]["sha256"] = instead.get(line["checkpoint"]["sha256"], line["checkpoint"]["sha256"])
        if "networks" in line:
            line["networks"] = {name: instead.get(each, each) for name, each in line["networks"].items()}

    edit(folder, change)


def better(rows):
    row = rows.index[(rows.run == ATTACK) & (rows.evaluator == "")][3]
    rows.loc[row, "skill"] += np.float32(0.2)
    return rows


def set_in(name, **values):
    """Values of one line, by its name."""

    def plant(folder):
        edit(folder, lambda line: line.update(values) if line["name"] == name else None)

    return plant


def more_accurate(folder):
    def change(line):
        if line["name"] == FIRST:
            line["results"]["test_accuracy"] += 0.02

    edit(folder, change)


def without(rows):
    return rows[rows.run != ATTACK]


def dropped(folder):
    write(folder, [line for line in lines_of(folder) if line["name"] != ATTACK])


def dropped_with_its_rows(folder):
    dropped(folder)
    edit_rows(folder, without)


def duplicated(folder):
    lines = lines_of(folder)
    write(folder, [*lines, next(line for line in lines if line["name"] == ATTACK)])


def other_data(folder):
    def change(line):
        if line["kind"] == "environment":
            line["data"]["sha256"] = dict.fromkeys(line["data"]["sha256"], "0" * 64)

    edit(folder, change)


def no_commit(folder):
    edit(folder, lambda line: line.update(commit="") if "commit" in line else None)


def other_setting(folder):
    def change(line):
        if line["name"] == ATTACK:
            line["settings"]["settings"]["seen_by_nobody"] = 1

    edit(folder, change)


def other_key(folder):
    """Of a training, with all that its own record says of it."""

    def change(line):
        if line["name"] == FIRST:
            line["depends"]["needs"]["train-none-seed0"] = "0"
            basis = next(each["of"] for each in lines_of(folder) if each["name"] == line["depends"]["basis"])
            own = {name: line["depends"][name] for name in line["depends"] if name != "key"} | {"basis": basis}
            known = ("name", "kind", "campaign", "profile", "factors", "seed", "settings")
            line["depends"]["key"] = recorded(Run(**{name: line[name] for name in known}, depends=own))

    edit(folder, change)


@dataclass
class Fault:
    plant: Callable
    check: str  # that names it, where hashes fit; of a flipped byte it may be any
    said: str
    naively: str = "is not the one that summary.json names"  # where they do not


OF_FILE = "is not the file that runs.jsonl names: restore both"
FAULTS = {
    "flipped byte of a table": Fault(flipped(TABLE), "", "", OF_FILE),
    "flipped byte of weights": Fault(flipped(f"weights/{FIRST}.ckpt.xz"), "weights", "", OF_FILE),
    "flipped byte of pictures": Fault(flipped("pictures.npz"), "tables", "pictures.npz cannot be read", OF_FILE),
    "truncated table": Fault(truncated, "files", f"{TABLE} is no table", OF_FILE),
    "exchanged weights": Fault(exchanged, "weights", "holds other weights than its run recorded", OF_FILE),
    "edited row": Fault(lambda folder: edit_rows(folder, better), "summary", ", and the tables give ", OF_FILE),
    "row twice": Fault(
        lambda folder: edit_rows(folder, lambda rows: pd.concat([rows, rows[rows.run == ATTACK][:1]])),
        "rows",
        f"run {ATTACK} has rows twice in images.parquet",
        OF_FILE,
    ),
    "dropped rows": Fault(
        lambda folder: edit_rows(folder, without), "rows", f"run {ATTACK} has no rows: restore the tables", OF_FILE
    ),
    "edited line": Fault(more_accurate, "summary", ", and the tables give "),
    "dropped run": Fault(dropped, "plan", f"run {ATTACK} is planned by study.yaml and is not there: make it"),
    "dropped run with rows": Fault(dropped_with_its_rows, "plan", f"run {ATTACK} is planned", OF_FILE),
    "duplicated run": Fault(duplicated, "plan", f"run {ATTACK} is there 2 times: leave one"),
    "set apart": Fault(set_in(ATTACK, superseded=FIRST), "plan", f"run {ATTACK} is planned, and marked as superseded"),
    "no commit": Fault(no_commit, "tag", "commit '' is none: make its runs again"),
    "edited setting": Fault(other_setting, "keys", f"run {ATTACK} does not depend on what its key says: make it again"),
    "key of another training": Fault(other_key, "keys", f"started from another {FIRST} than is there: make it again"),
    "key removed": Fault(set_in(ATTACK, depends={}), "keys", f"run {ATTACK} does not say what it depends on"),
    "foreign commit": Fault(
        set_in(ATTACK, commit="ba9876543210"), "tag", f"runs are of 2 commits, such as {ATTACK} of ba9876543210"
    ),
    "foreign tag": Fault(set_in(ATTACK, tag="edition-1"), "tag", "runs are of the tags edition-0, edition-1"),
    "dirty flag": Fault(
        set_in(ATTACK, commit=f"{small_edition.COMMIT}-dirty"),
        "tag",
        f"1 runs were made while code had uncommitted changes, such as {ATTACK}",
    ),
    "wrong data hash": Fault(other_data, "data", "runs are on data of another SHA-256 than MNIST-5000 has"),
}


def test_an_edition_belongs_together(folder):
    found = {check.name: check for check in verify.verify(folder, seed=0)}
    assert {name: check.wrong for name, check in found.items() if check.wrong} == {}
    assert [name for name, check in found.items() if check.left] == ["retrained"]  # nothing of it was made again
    assert found["networks"].looked_at.startswith("6 published networks")
    again = found["attacks"].looked_at
    assert all(f"attack-{kind}" in again for kind in ("mean", "class-mean", "ridge"))
    assert "at tag edition-0, which this repository does not have, of committed code" in found["tag"].told()


def test_what_a_later_edition_takes_over_belongs_together_and_says_who_made_it(folder, monkeypatch):
    """Of it all but the runs whose key is another, and what starts from these."""
    edit(folder, lambda line: line["depends"].update(key="0") if line["name"] == OTHER else None)
    hashed(folder)
    monkeypatch.setattr(run, "commit", lambda: "abcdef012345")
    monkeypatch.setattr(run, "tag", lambda: "edition-1")
    assert run.carry(Namespace(results=folder, profile=small_edition.NAME, device="CPU")) == 0
    kept = verify.published_runs(folder)
    assert {(each.commit, each.tag, each.carried) for each in kept.values()} == {
        ("abcdef012345", "edition-1", small_edition.COMMIT)
    }
    assert FIRST in kept and ATTACK in kept and not [name for name in kept if "suppressed-example" in name]
    found = wrong(folder)
    assert found["plan"] and all(each.endswith("is not there: make it") for each in found["plan"])
    assert found.keys() <= {"files", "plan", "weights", "summary"}, found


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_named_by_its_hash(folder, name):
    fault = FAULTS[name]
    fault.plant(folder)
    assert any(fault.naively in each for each in wrong(folder)["files"])


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_named_where_hashes_fit(folder, name, monkeypatch):
    monkeypatch.setattr(recomputed, "trainings", lambda *_: [])
    monkeypatch.setattr(recomputed, "attacks", lambda *_: ([], []))
    fault = FAULTS[name]
    fault.plant(folder)
    hashed(folder)
    found = wrong(folder)
    assert any(fault.said in each for name in found for each in found[name] if fault.check in ("", name)), found


@pytest.mark.parametrize(
    ("plant", "check", "said"),
    [
        (exchanged_with_their_hashes, "networks", f"{OTHER} says that it has other shares of zeros than its weights"),
        (more_accurate, "networks", f"{FIRST} says that it gets "),
        (lambda folder: edit_rows(folder, better), "attacks", f"{ATTACK} says another skill than it gives when it is"),
    ],
)
def test_what_fits_in_every_figure_is_named_by_making_it_again(folder, monkeypatch, plant, check, said):
    drawn = recomputed._drawn

    def all_of_it(*arguments):
        yield from (each for each in drawn(*arguments) if each[2] == ATTACK)

    monkeypatch.setattr(recomputed, "_drawn", all_of_it)
    plant(folder)
    summarised(folder)
    found = wrong(folder)
    assert any(each.startswith(said) for each in found[check]), found
    assert found.keys() <= {"networks", "attacks"}


@pytest.mark.parametrize(
    ("found", "place"),
    [
        ({"a": [1.0, "x"], "b": 1 + 1e-9}, None),
        ({"a": [1.0, "x"], "b": 1 + 1e-7}, "summary.json.b is 1, and"),
        ({"a": [1.0, "y"], "b": 1.0}, "summary.json.a[1] is x, and the tables give y"),
        ({"a": [1.0], "b": 1.0}, "summary.json.a is [1.0, 'x'], and the tables give [1.0]"),
        ({"a": [1.0, "x"]}, "summary.json is {"),
    ],
)
def test_where_two_summaries_differ_is_said_beyond_what_processors_do(found, place):
    said = [*verify.unlike({"a": [1.0, "x"], "b": 1.0}, found)]
    assert [each.startswith(place) for each in said] == [True] if place else said == []


def test_an_attack_made_again_may_differ_by_what_another_processor_rounds():
    rows = pd.DataFrame({"evaluator": [""] * 100, "image": range(100), "skill": np.linspace(0, 1, 100), "rank1": 1.0})
    other = rows.sample(frac=1, random_state=0).assign(skill=lambda each: each.skill + 0.005)
    other.loc[other.image < 2, "rank1"] = 0.0
    assert recomputed.differ(rows, other) == []
    other.loc[other.image < 3, "rank1"] = 0.0
    assert recomputed.differ(rows, other.assign(skill=other.skill + 0.02)) == ["skill", "rank1"]
    assert recomputed.differ(rows, rows[:-1]) == ["number of rows"]


def test_weights_of_another_network_are_passed_over_by_what_needs_them(folder):
    exchanged(folder)
    hashed(folder)
    found = wrong(folder)
    assert found.keys() == {"weights", "attacks"} and len(found["weights"]) == 2


def test_a_tag_must_be_of_the_runs_commit(folder, monkeypatch):
    monkeypatch.setattr(verify, "tagged", lambda name: f"{small_edition.COMMIT}00" if name == "edition-0" else "")
    asked = {f"study/{name}": (folder / name).read_text("utf-8").strip() for name in ("study.yaml", "claims.yaml")}
    monkeypatch.setattr(verify, "at_commit", lambda commit, path: asked[path])
    runs = verify.published_runs(folder)
    assert "where that points" in verify._tag(folder, runs).told()
    for each in runs.values():
        each.commit = "ba9876543210"
    assert verify._tag(folder, runs).wrong == ["tag edition-0 is of commit 0123456789ab, and its runs of ba9876543210"]
    for each in runs.values():
        each.commit = small_edition.COMMIT
    (folder / "claims.yaml").write_text(asked["study/claims.yaml"].replace("0.05", "0.5", 1), "utf-8")
    assert verify._tag(folder, runs).wrong == [
        "claims.yaml is not what tag edition-0 has: restore it, or publish again"
    ]


def test_the_first_edition_has_the_shortcomings_that_are_known_and_no_others():
    found = wrong(ROOT / "results" / "full")
    assert found.keys() == {"weights", "tag"}
    assert found["weights"][0].startswith("68 of 68 trainings have no weights there") and len(found["weights"]) == 1
    said = [each.partition(",")[0] for each in found["tag"]]
    assert said == [
        "runs are of 21 commits",
        "36 runs were made while code had uncommitted changes",
        "785 runs name no tag: make them in a checkout of one",
    ]
