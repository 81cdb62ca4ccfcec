"""What came out: whole or absent while running, the same after publishing, and open to anybody with pandas."""

import html
import json
import re
import shutil
import tracemalloc

import numpy as np
import pandas as pd
import pytest

import planted_study as planted
from checkout import git
from suppress_privacy import files
from suppress_privacy.evaluation.metrics import METRICS
from suppress_study import results
from suppress_study.results import (
    WAITING,
    Pictures,
    ResultError,
    Results,
    Run,
    as_text,
    finish_publishing,
    published_runs,
    read_job,
    write_job,
    write_json,
)
from suppress_study.settings import ROOT

FULL = ROOT / "results" / "full"
MEGABYTE = 10**6
TEXT = ["attack", "arm", "depth", "moment", "smoothness", "evaluator", "run", "campaign"]


def run(name="attack-x-baseline-seed0", **changes):
    fields = {
        "name": name,
        "kind": "attack",
        "campaign": "mnist-lenet5",
        "profile": "tiny",
        "factors": {"arm": "baseline", "attack": "x"},
        "seed": 0,
        "settings": {"settings": {"iters": 3, "lr": 0.1}},
        "commit": "abc",
        "environment": {"data": {"name": "d"}},
        "times": {"seconds": {"attack": 1.5}},
        "peak_memory_bytes": 5,
    }
    return Run(**fields | changes)


def flipped(content, position):
    return content[:position] + bytes([content[position] ^ 1]) + content[position + 1 :]


def attack_arrays(rng, count=4, **more):
    return {
        "image": np.arange(count),
        "index": np.arange(count),
        "label": np.arange(count),
        "in_training": np.arange(count) % 2 == 0,
        "skill": rng.random(count, np.float32),
        **more,
    }


def courses(rng, looks, watched):
    frames = rng.integers(0, 256, (looks, watched, 1, 2, 2)).astype(np.uint8)
    kept = {"watched": np.arange(watched), "frame": frames, "frame_objective": rng.random((looks, watched))}
    return kept | {"curve": rng.random((3, looks))}


# One job, while the study runs


def test_a_job_comes_back_as_it_was_written(tmp_path):
    rng = np.random.default_rng(0)
    arrays = attack_arrays(rng) | {"judged/lenet/confidence": rng.random(4), "curve": rng.random((3, 2))}
    pairs = [(run("one", results={"list": [1.5, None], "text": "ü"}), arrays), (run("two", superseded="one"), {})]
    write_job(tmp_path / "runs" / "job.npz", pairs)
    (first, found), (second, nothing) = read_job(tmp_path / "runs" / "job.npz")
    assert (first, second, nothing) == (pairs[0][0], pairs[1][0], {})
    assert found.keys() == arrays.keys()
    for name, array in arrays.items():
        assert found[name].dtype == array.dtype and np.array_equal(found[name], array)


def test_a_job_is_whole_or_absent_and_the_old_one_stays_until_then(tmp_path):
    path = tmp_path / "job.npz"
    for wrong in (float("nan"), object()):
        with pytest.raises((TypeError, ValueError)):
            write_job(path, [(run(results={"value": wrong}), {})])
        assert list(tmp_path.iterdir()) == []
    write_job(path, [(run(commit="first"), {})])
    with pytest.raises(TypeError):
        write_job(path, [(run(results={"value": object()}), {})])
    assert read_job(path)[0][0].commit == "first" and list(tmp_path.iterdir()) == [path]


def test_a_damaged_job_is_refused_by_name(tmp_path):
    path = tmp_path / "job.npz"
    write_job(path, [(run(), attack_arrays(np.random.default_rng(0), 400))])
    whole = path.read_bytes()
    for content in (b"", b"not an archive", whole[:-1], whole[: len(whole) // 2], flipped(whole, len(whole) // 3)):
        path.write_bytes(content)
        with pytest.raises(ResultError, match=r"job\.npz is damaged or holds no runs: delete it, and run again"):
            read_job(path)
        with pytest.raises(ResultError, match=r"job\.npz is damaged"):
            (tmp_path / "runs").mkdir(exist_ok=True)
            shutil.copyfile(path, tmp_path / "runs" / "job.npz")
            Results.load(tmp_path)
    path.write_bytes(whole)
    assert read_job(path)[0][0] == run()


def test_a_job_that_has_not_got_its_name_is_no_job(tmp_path):
    """Though it be whole: who wrote it was killed, or still writes."""
    write_job(tmp_path / "runs" / "job.npz", [(run(), {})])
    shutil.copy(tmp_path / "runs" / "job.npz", tmp_path / "runs" / ".part-1-job.npz")
    (tmp_path / "runs" / ".part-2-other.npz").write_bytes(b"half")
    assert Results.load(tmp_path).runs == {"attack-x-baseline-seed0": run()}


class Explosive:
    """Whoever unpickles it runs it."""

    def __reduce__(self):
        return (pytest.fail, ("a pickle was run",))


def test_what_is_no_job_is_refused_and_no_pickle_is_run(tmp_path):
    path = tmp_path / "job.npz"
    lines = json.dumps([{"name": "no run"}])
    for content in (
        {"other": np.arange(3)},
        {"runs": np.array("[")},
        {"runs": np.array(lines)},
        {"runs": np.array("[]"), "0/skill": np.arange(3)},
        {"runs": np.array("[]"), "skill": np.arange(3)},
        {"runs": np.array(json.dumps([vars(run())])), "0/skill": np.array([Explosive()], object)},
    ):
        np.savez_compressed(path, **content)
        with pytest.raises(ResultError, match=r"job\.npz is damaged or holds no runs"):
            read_job(path)


OUTSIDE = ["../other", "/etc/passwd", "a/b", "runs/../../other", "..", "nul\0byte"]


@pytest.mark.parametrize("name", OUTSIDE)
def test_names_that_lead_out_of_their_folder_are_refused(tmp_path, name):
    for made in (run(name), run(checkpoint={"name": name, "sha256": "0"})):
        write_job(tmp_path / "job.npz", [(made, {})])
        with pytest.raises(ResultError, match=r"job\.npz is damaged or holds no runs"):
            read_job(tmp_path / "job.npz")
        Results({made.name: made}, pd.DataFrame(), pd.DataFrame(), Pictures()).publish(tmp_path)
        with pytest.raises(ResultError, match=r"runs\.jsonl is damaged: restore it"):
            published_runs(tmp_path)
    line = {"kind": "table", "name": name, "sha256": "0"}
    (tmp_path / "runs.jsonl").write_text(json.dumps(line) + "\n")
    with pytest.raises(
        ResultError, match=r"runs\.jsonl is (damaged: restore it|missing or is not the one)|names: restore"
    ):
        Results.load(tmp_path)


def test_a_job_that_would_fill_the_memory_is_refused_before_it_is_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "LARGEST", 1 << 20)
    monkeypatch.setattr(files.read_arrays, "__defaults__", (1 << 20,))
    write_job(tmp_path / "job.npz", [(run(), {"skill": np.zeros(1 << 22)})])
    assert (tmp_path / "job.npz").stat().st_size < 1 << 17
    tracemalloc.start()
    with pytest.raises(ResultError, match=r"job\.npz is damaged or holds no runs"):
        read_job(tmp_path / "job.npz")
    assert tracemalloc.get_traced_memory()[1] < 1 << 22
    tracemalloc.stop()


def test_lines_nested_without_end_are_refused(tmp_path):
    deep = "[" * 100_000
    np.savez(tmp_path / "job.npz", runs=np.array(deep))
    with pytest.raises(ResultError, match=r"job\.npz is damaged"):
        read_job(tmp_path / "job.npz")
    (tmp_path / "runs.jsonl").write_text(deep)
    with pytest.raises(ResultError, match=r"runs\.jsonl is damaged"):
        published_runs(tmp_path)


def test_of_a_published_table_only_the_files_that_are_named_are_read(folder, tmp_path, monkeypatch):
    Results.load(folder).publish(tmp_path)
    expected = Results.load(tmp_path)
    planted_file = tmp_path / "images.parquet" / "campaign=mnist-lenet5" / "seed=7" / "part-0.parquet"
    planted_file.parent.mkdir()
    shutil.copy(next(tmp_path.glob("images.parquet/*/seed=0/*")), planted_file)
    assert_same(Results.load(tmp_path), expected)
    monkeypatch.setattr(results, "ROWS", 10)
    with pytest.raises(ResultError, match=r"images\.parquet cannot be read \([\d,]+ rows, more than 10\): restore it"):
        Results.load(tmp_path)


@pytest.mark.parametrize(
    "text",
    [
        "<script>alert(1)</script>",
        "a | b",
        "{{ 7 * 7 }}",
        "{doc}`runs`",
        "[x](javascript:alert(1))",
        "![](http://x/y.png)",
        "$x$",
        "**b**",
        "two\nlines",
        ":::{raw} html\n<b>\n:::",
        "&lt;b&gt;",
        "a \\| b",
    ],
)
def test_text_for_pages_shows_as_it_is_and_acts_as_nothing(text):
    found = as_text({text: [text, 1, None, {"a": text}]})
    ((name, values),) = found.items()
    assert values == [name, 1, None, {"a": name}] and html.unescape(name) == text
    assert not set(re.sub(r"&#\d+;", "", name)) & set("<>{}[]|`*$&\\\r\n")


def test_ordinary_text_stays_as_it_is():
    plain = 'train_x-seed0@0.9: the suppressed one\'s, 10 % (a "title"), #3, ± ü'
    assert as_text(plain) == plain


def test_json_is_written_whole_a_row_a_line(tmp_path):
    path = tmp_path / "folder" / "summary.json"
    content = {"name": "x", "rows": [{"a": 1, "b": [1, 2]}, {"a": None}], "deep": {"c": [1.5]}, "empty": [], "none": {}}
    write_json(path, content)
    assert json.loads(path.read_text()) == content
    assert '  {"a": 1, "b": [1, 2]},\n  {"a": null}\n' in path.read_text()
    before = path.read_text()
    for wrong in ({"a": float("nan")}, {"rows": [{"a": float("inf")}]}, {"a": object()}):
        with pytest.raises((TypeError, ValueError)):
            write_json(path, wrong)
    assert path.read_text() == before and list(path.parent.iterdir()) == [path]


# Tables, published


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The jobs of a planted study."""
    return planted.write(tmp_path_factory.mktemp("tiny"), planted.jobs(planted.study()))


def comparable(table, order):
    """A table whatever the order of its rows and columns, text as text."""
    table = table.astype({name: str for name in TEXT if name in table}).astype({"seed": int})
    return table[sorted(table)].sort_values(order, ignore_index=True)


def assert_same(one, other):
    """All of it, and of the pictures and curves those of the first seed that has some."""
    assert one.runs == other.runs
    first = min((one.runs[name].seed for name in one.pictures.images), default=0)
    pictures = one.pictures.of([name for name, each in one.runs.items() if each.seed == first])
    for name, order in (("images", ["run", "evaluator", "image"]), ("membership", ["run", "candidate"])):
        tables = [comparable(getattr(results, name), order) for results in (one, other)]
        pd.testing.assert_frame_equal(*tables, check_exact=True, check_dtype=False)
        floats = [column for column, kind in tables[0].dtypes.items() if kind.kind == "f"]
        assert tables[0][floats].dtypes.tolist() == tables[1][floats].dtypes.tolist()
    assert pictures.images.keys() == other.pictures.images.keys()
    for run_name, by_target in pictures.images.items():
        assert by_target.keys() == other.pictures.images[run_name].keys()
        assert all(np.array_equal(image, other.pictures.images[run_name][place]) for place, image in by_target.items())
    for kind in ("originals", "curves"):
        mine, theirs = getattr(pictures, kind), getattr(other.pictures, kind)
        assert mine.keys() == theirs.keys() and all(np.array_equal(mine[place], theirs[place]) for place in mine)
    assert pictures.courses.keys() == other.pictures.courses.keys()
    for run_name, course in pictures.courses.items():
        for part, values in vars(course).items():
            assert np.array_equal(values, getattr(other.pictures.courses[run_name], part))


def test_what_is_published_is_what_was_there(folder, tmp_path):
    results = Results.load(folder)
    results.publish(tmp_path)
    assert not list(tmp_path.rglob(".part-*"))
    again = Results.load(tmp_path)
    assert_same(results, again)
    assert len(again.pictures.originals) == 4 and len(again.runs) > 50


@pytest.mark.parametrize("seed", range(6))
def test_random_tables_come_back_to_the_last_bit(tmp_path, seed):
    rng = np.random.default_rng(seed)
    pairs = []
    for number in range(rng.integers(1, 9)):
        factors = {"arm": f"arm {number % 3}", "attack": "ü@-1"}
        if rng.random() < 0.5:
            factors["depth"] = str(rng.choice(["conv1", "fc1"]))
        if rng.random() < 0.5:
            factors["sparse_end"] = float(rng.random())
        one = run(f"run {number}", factors=factors, seed=int(rng.integers(0, 3)), networks={"victim": str(number)})
        count = int(rng.integers(1, 30))
        if rng.random() < 0.4:
            arrays = {"candidate": np.arange(count), "member": rng.random(count) < 0.5} | {
                "score": rng.standard_normal(count).astype(np.float32)
            }
        else:
            arrays = attack_arrays(rng, count) | {"psnr": (rng.standard_normal(count) * 1e30).astype(np.float32)}
            for evaluator in rng.choice(["a", "b", "c"], rng.integers(0, 4), replace=False):
                arrays[f"judged/{evaluator}/confidence"] = rng.random(count, np.float32)
            if rng.random() < 0.5:
                arrays["objective"] = rng.random(count, np.float32)
            if rng.random() < 0.5:  # of descents of any length
                arrays |= courses(rng, int(rng.integers(2, 7)), count)
        pairs.append((one, arrays))
    write_job(tmp_path / "own" / "runs" / "all.npz", pairs)
    results = Results.load(tmp_path / "own")
    results.publish(tmp_path / "published")
    published = Results.load(tmp_path / "published")
    assert_same(results, published)
    for one, arrays in pairs:
        rows = published.arrays(one.name)
        assert set(rows.seed.astype(int)) == {one.seed}
        for name in ("depth", "sparse_end"):
            held = set(rows[name]) if name in rows else {one.factors.get(name)}
            absent = held == {""} if name == "depth" else all(pd.isna(value) for value in held)
            assert held == {one.factors[name]} if name in one.factors else absent or name not in rows
        if "skill" in arrays:
            own = rows[rows.evaluator == ""].sort_values("image")
            assert np.array_equal(own.skill.to_numpy(np.float32), arrays["skill"])
            assert rows[rows.evaluator != ""].skill.isna().all()
        else:
            score = rows.sort_values("candidate").score.to_numpy(np.float32)
            assert np.array_equal(score, arrays["score"])


def test_tables_lie_in_folders_by_campaign_and_seed(folder, tmp_path):
    Results.load(folder).publish(tmp_path)
    for table in ("images", "membership"):
        places = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.glob(f"{table}.parquet/*/*/*"))
        assert places == [f"{table}.parquet/campaign=mnist-lenet5/seed={seed}/part-0.parquet" for seed in (0, 1, 2)]
        found = pd.read_parquet(tmp_path / f"{table}.parquet", filters=[("seed", "=", 1)])
        assert set(found.seed.astype(int)) == {1} and set(found.campaign) == {"mnist-lenet5"}


def test_a_table_that_has_lost_seeds_leaves_no_file_of_them(folder, tmp_path):
    results = Results.load(folder)
    results.publish(tmp_path)
    results.images = results.images[results.images.seed != 2]
    results.publish(tmp_path)
    assert not list(tmp_path.glob("images.parquet/*/seed=2"))
    assert set(Results.load(tmp_path).images.seed.astype(int)) == {0, 1}


def test_publishing_twice_gives_the_same_bytes(folder, tmp_path):
    for name in ("one", "two"):
        Results.load(folder).publish(tmp_path / name)
    Results.load(tmp_path / "one").publish(tmp_path / "three")  # from the tables, no longer from the jobs
    contents = [
        {str(path.relative_to(tmp_path / name)): path.read_bytes() for path in (tmp_path / name).rglob("*.*[!t]")}
        | {str(path.relative_to(tmp_path / name)): path.read_bytes() for path in (tmp_path / name).rglob("part-*")}
        for name in ("one", "two")
    ]
    assert contents[0] == contents[1] and len(contents[0]) == 2 * 3 + 4
    assert_same(Results.load(tmp_path / "one"), Results.load(tmp_path / "three"))


def test_tables_that_wait_for_their_place_are_not_passed_over(folder, tmp_path):
    Results.load(folder).publish(tmp_path)
    (tmp_path / WAITING).mkdir()
    for read in (Results.load, published_runs):
        with pytest.raises(ResultError, match="was being published when that stopped: publish it again, which ends it"):
            read(tmp_path)
    finish_publishing(tmp_path)
    assert Results.load(tmp_path).runs == Results.load(folder).runs


def test_a_changed_byte_in_any_published_file_is_refused_by_name(folder, tmp_path):
    Results.load(folder).publish(tmp_path)
    files = sorted(path for path in tmp_path.rglob("*") if path.is_file() and path.name != "runs.jsonl")
    assert len(files) == 2 * 3 + 3
    for path in files:
        content = path.read_bytes()
        for damage in (flipped(content, len(content) // 2), content[:-1], None):
            path.unlink() if damage is None else path.write_bytes(damage)
            with pytest.raises(ResultError) as caught:
                Results.load(tmp_path)
            assert str(path) in str(caught.value)
            assert "is missing or is not the one that runs.jsonl names: restore it" in str(caught.value)
        path.write_bytes(content)
    lines = tmp_path / "runs.jsonl"
    content = lines.read_text()
    for damage in (content[:-20], content.replace('"environment"', '"envirnment"', 1), "[]\n"):
        lines.write_text(damage)
        with pytest.raises(ResultError, match=r"runs\.jsonl is damaged: restore it, or publish again"):
            Results.load(tmp_path)
    lines.write_text(content)
    assert Results.load(tmp_path).runs


def test_a_run_made_since_lies_over_the_published_one_of_its_name(folder, tmp_path):
    Results.load(folder).publish(tmp_path)
    name = "attack-ridge-fc1-baseline-seed1"
    published = Results.load(tmp_path)
    newer = run(name, commit="later", seed=1, factors=published.runs[name].factors)
    arrays = attack_arrays(np.random.default_rng(0)) | {
        "pictured": np.array([0]),
        "reconstruction": np.full((1, 1, 4, 4), 9, np.uint8),
        "original": np.zeros((1, 1, 4, 4), np.uint8),
    }
    extra = run("attack-new", seed=0)
    write_job(tmp_path / "runs" / "job.npz", [(newer, arrays), (extra, attack_arrays(np.random.default_rng(1)))])
    overlaid = Results.load(tmp_path)
    assert overlaid.runs.keys() == {*published.runs, "attack-new"}
    assert overlaid.runs[name].commit == "later"
    assert overlaid.arrays(name).skill.to_numpy(np.float32).tolist() == arrays["skill"].tolist()
    assert [image.max() for image in overlaid.pictures.images[name].values()] == [9]
    others = published.images[published.images.run != name]
    kept = overlaid.images[~overlaid.images.run.isin([name, "attack-new"])]
    assert len(others) == len(kept) and np.array_equal(others.skill, kept.skill, equal_nan=True)
    overlaid.publish(tmp_path)  # and published, it is that one
    shutil.rmtree(tmp_path / "runs")
    assert_same(overlaid, Results.load(tmp_path))


def test_an_empty_folder_holds_no_results(tmp_path):
    empty = Results.load(tmp_path)
    assert (empty.runs, len(empty.images), len(empty.membership)) == ({}, 0, 0)
    assert empty.pictures == Pictures() and empty.rows() == {} and len(empty.arrays("x")) == 0
    assert published_runs(tmp_path) == {}


def test_runs_share_the_line_of_their_environment(folder, tmp_path):
    Results.load(folder).publish(tmp_path)
    lines = [json.loads(line) for line in (tmp_path / "runs.jsonl").read_text().splitlines()]
    kinds = [line["kind"] for line in lines]
    assert kinds.count("environment") == 1 and kinds.count("table") == 9
    assert {line["environment"] for line in lines if line["kind"] == "attack"} == {"environment-1"}
    assert published_runs(tmp_path) == Results.load(folder).runs
    assert not any("superseded" in line for line in lines)  # what is empty is left out


def test_what_newer_runs_say_of_their_machine_stands_beside_what_older_ones_do(tmp_path):
    """An older one says nothing of instruction sets, and gains nothing by being published with others."""
    older = {"machine": {"processor": "One 3000", "cores": 2}}
    newer = {"machine": {"processor": "One 3000", "instruction_sets": ["avx2", "fma"], "cores": 2}}
    environments = {f"attack-x-baseline-seed{seed}": said for seed, said in enumerate((older, newer))}
    for name, environment in environments.items():
        made = run(name, environment=environment)
        write_job(tmp_path / "runs" / f"{name}.npz", [(made, attack_arrays(np.random.default_rng(0)))])
    Results.load(tmp_path).publish(tmp_path)
    assert {each.name: each.environment for each in published_runs(tmp_path).values()} == environments


# The published run


@pytest.fixture(scope="module")
def published():
    return Results.load(FULL)


@pytest.fixture(scope="module")
def summary():
    return json.loads((FULL / "summary.json").read_text())


def test_two_lines_of_pandas_give_the_summarys_means(summary):
    images = pd.read_parquet(FULL / "images.parquet")
    by = ["arm", "attack", "depth", "moment", "smoothness", "smoothness_weight", "sparse_end", "evaluator"]
    means = images.groupby(by, dropna=False, observed=True).mean(numeric_only=True).reset_index()
    found = means.melt(by, [*METRICS.keys() & {*means}], "metric")
    rows = pd.DataFrame(summary["estimates"])
    said = rows[rows.metric.isin(found.metric)]
    assert set(rows.metric) - set(said.metric) == {"auc", "tpr_at_1pct_fpr"}  # of all candidates at once
    tables = []
    for table in (found, said):
        text = table.select_dtypes(exclude="number").astype(object).fillna("").astype(str)  # empty or missing: the same
        numbers = table[["smoothness_weight", "sparse_end"]].fillna(-1)
        tables.append(table.assign(**text, **numbers).set_index([*by, "metric"]))
    assert tables[0].index.is_unique and tables[1].index.is_unique
    values = tables[0].value.reindex(tables[1].index)
    assert values.to_numpy() == pytest.approx(tables[1]["mean"].to_numpy(), rel=1e-6, abs=1e-6)
    assert tables[0].value.drop(tables[1].index).isna().all()  # and there is no other
    compared = {*zip(said.metric, said.evaluator.fillna(""), strict=True)}
    judged = {(metric, name) for metric in ("confidence", "label_accuracy") for name in ("lenet", "lenet2", "convnet")}
    assert compared > judged and len(compared) == len(judged) + 7


def test_nothing_is_counted_that_is_superseded(published):
    superseded = {name for name, one in published.runs.items() if one.superseded}
    assert superseded and {published.runs[name].superseded for name in superseded} <= published.runs.keys()
    assert not superseded & {published.runs[name].superseded for name in superseded}
    for table in (published.images, published.membership):
        assert not superseded & set(table.run)
    assert not superseded & {*published.pictures.images, *published.pictures.curves}
    assert published_runs(FULL) == published.runs


def test_what_sees_nothing_is_there_once(published):
    for name in ("black", "mean"):
        runs = [one for one in published.runs.values() if one.factors.get("attack") == name and not one.superseded]
        assert [one.name for one in runs] == [f"attack-{name}-none-seed0"]
        rows = published.arrays(f"attack-{name}-none-seed0")
        assert set(rows.run) == {f"attack-{name}-none-seed0"} and set(rows.arm) == {"none"}
        assert len(rows) == 4 * rows.image.nunique()  # without evaluators, and by each of three


def test_every_published_row_belongs_to_a_run_and_says_so_of_it(published):
    for table in (published.images, published.membership):
        assert set(table.run) <= published.runs.keys()
        firsts = table.drop_duplicates("run")
        for row in firsts.to_dict("records"):
            one = published.runs[row["run"]]
            assert (one.campaign, one.seed) == (row["campaign"], int(row["seed"]))
            assert {name: row[name] for name in one.factors} == one.factors
    attacks = {name for name, one in published.runs.items() if one.kind == "attack" and not one.superseded}
    assert attacks == {*published.images.run, *published.membership.run}


def test_pictures_lie_beside_their_originals(published):
    shown = {place for by_target in published.pictures.images.values() for place in by_target}
    assert shown == published.pictures.originals.keys()
    assert {image.shape for image in published.pictures.originals.values()} == {(1, 32, 32)}


def test_what_is_published_is_small():
    """No file of a repository is to be larger; nor all weights together, which are its largest part."""
    tracked = git(ROOT, "ls-files", "-z").split("\0")[:-1]
    sizes = {name: (ROOT / name).stat().st_size for name in tracked if (ROOT / name).is_file()}
    assert max(sizes.values()) <= 4 * MEGABYTE, max(sizes, key=sizes.get)
    assert sum(size for name, size in sizes.items() if name.endswith(".ckpt.xz")) <= 25 * MEGABYTE
    of_full = {name: size for name, size in sizes.items() if name.startswith("results/full/")}
    assert len(of_full) >= 2 * 5 + 5
    assert sum(size for name, size in of_full.items() if not name.endswith(".ckpt.xz")) < 12 * MEGABYTE
