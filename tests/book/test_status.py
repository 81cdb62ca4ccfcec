"""The page on how the published run stands counts its runs, and names what made them."""

from dataclasses import replace

import pytest
from planted import planted

from conftest import ROOT
from report import data, status
from report.context import Report

MADE = {
    "device": {"device": "CPU", "mode": "graph", "threads": 1},
    "machine": {"processor": "a processor", "cores": 2, "instruction_sets": ["avx2", "avx512f"]},
    "versions": {"python": "3.11.7", "mindspore": "2.10.0"},
    "data": {"name": "MNIST", "sha256": {"train": "ab" * 32}},
}


def with_runs(report, **changes):
    """The first run changed, the others with a whole environment."""
    runs = {
        name: replace(run, environment=MADE, times={**run.times, "started": "2026-01-02T03:04:05Z"})
        for name, run in report.results.runs.items()
    }
    first = next(iter(runs))
    return replace(report, results=replace(report.results, runs=runs | {first: replace(runs[first], **changes)}))


def test_runs_are_counted_once_by_kind_by_machine_and_by_commit():
    report = with_runs(planted(), commit="two-dirty", tag="edition-2", carried="zero")
    shown, count = status.substitutions(report), len(report.results.runs)
    for name in ("times_table", "machines_table", "commits_table"):
        assert data.of_table(shown[name]).runs.astype(int).sum() == count
    times = data.of_table(shown["times_table"]).set_index("kind")
    trainings = [run for run in report.results.runs.values() if run.kind == "train"]
    assert times.loc["training", ["runs", "median (s)", "longest (s)"]].tolist() == [f"{len(trainings)}", "3", "3"]
    assert times.loc["training", "hours"] == f"{2.6 * len(trainings) / 3600:.2f}"
    (machine,) = data.of_table(shown["machines_table"]).itertuples(index=False)
    said = (
        "a processor",
        "2",
        "avx2, avx512f",
        "CPU, graph mode, 1 thread",
        "mindspore 2.10.0, python 3.11.7",
        f"{count}",
    )
    assert tuple(machine) == said
    commits = data.of_table(shown["commits_table"]).set_index("commit")
    assert commits.loc["two , taken over from zero"].tolist() == ["edition-2", "2026-01-02", "2026-01-02", "1", "1"]
    assert commits.loc["one", ["runs", "with uncommitted changes"]].tolist() == [f"{count - 1}", "0"]
    assert "ab" * 32 in shown["data_table"]


@pytest.mark.parametrize(("missing", "uncommitted"), [(0, 0), (3, 2)])
def test_what_is_missing_or_uncommitted_is_said_first(missing, uncommitted):
    report = with_runs(planted())
    changes = {"missing": missing, "uncommitted": uncommitted, "tags": ["edition-2"] * bool(missing)}
    said = status.substitutions(replace(report, summary=report.summary.model_copy(update=changes)))["status_answer"]
    assert ("All runs that were asked for are there" in said) == (not missing) == ("all by committed code" in said)
    assert ("3 runs are still to be made" in said and "2 of them" in said and "Tags: edition-2." in said) == bool(
        missing
    )


def test_the_published_run_says_all_of_it():
    shown = status.substitutions(Report.load(ROOT / "results" / "full"))
    assert all(shown.values()) and "train-images-idx3-ubyte" in shown["data_table"]
