import json
import statistics

import pytest

from conftest import ROOT
from report import speed


@pytest.fixture
def bench():
    """What the published run of the benchmark wrote."""
    return json.loads((ROOT / "results" / "bench.json").read_text())


def cells(table):
    """A Markdown table's rows below its header, each a list of its cells."""
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[2:]]


def test_each_ratio_shows_its_median_interval_rounds_and_aim(bench):
    bench["ratios"] = {
        "a": {"what": "A / B", "rounds": [2.0] * 6, "median": 2.0, "interval": [1.75, 2.5], "aim": ["at most", 1.1]},
        "b": {"what": "C / D", "rounds": [20.0, 30.0], "median": 25.0, "interval": None, "aim": ["at least", 12]},
    }
    assert cells(speed.ratios(bench)) == [
        ["A / B", "2", "1.75 to 2.5", "6", "at most 1.1"],
        ["C / D", "25", "too few rounds", "2", "at least 12"],
    ]


def test_short_stretches_are_scaled_to_the_whole(bench):
    found = bench["measurements"]
    found["epoch"] = {"mindarmour": [{"suppressed": 30.0, "steps": 300}, {"suppressed": 36.0, "steps": 300}]}
    found["attack"] = {"mindarmour": [{"seconds": 20.0, "images": 10}], "ours": [{"seconds": 0.9, "images": 30}]}
    rows = cells(speed.times(bench))
    assert ["suppressed epoch", "mindarmour", "206 s", "188 to 225"] in rows
    assert ["attack, 30 images, 100 steps", "mindarmour", "60 s", "60 to 60"] in rows
    assert ["attack, 30 images, 100 steps", "ours", "0.9 s", "0.9 to 0.9"] in rows


def test_steps_are_told_in_milliseconds(bench):
    seconds = [run["seconds"] for run in bench["measurements"]["step"]["torch"]]
    low, middle, high = (1000 * value for value in (min(seconds), statistics.median(seconds), max(seconds)))
    row = ["training step, batch 32", "torch", f"{middle:.3g} ms", f"{low:.3g} to {high:.3g}"]
    assert row in cells(speed.times(bench))


def test_memory_is_the_greatest_peak_in_gigabytes(bench):
    peaks = [{"peak_memory_bytes": 612_000_000}, {"peak_memory_bytes": 1_234_000_000}]
    bench["measurements"]["attack by images"]["1000"] = peaks
    assert cells(speed.memory(bench))[-1] == ["1,000 images attacked, ours", "1.23 GB"]


def test_the_pages_parts_all_come_from_the_file(bench):
    parts = speed.substitutions(bench)
    page = (ROOT / "book" / "speed.md").read_text()
    assert {name for name in parts if f"{{{{ {name} }}}}" in page} >= set(parts) - {"bench_interval"}
    assert bench["commit"] in parts["bench_machine"] and bench["machine"]["versions"]["torch"] in parts["bench_machine"]
    assert cells(parts["bench_profile"]) == [[kind, f"{spent:.2f} ms"] for kind, spent in bench["profile_ms"].items()]
    assert [row[0] for row in cells(parts["bench_ratios"])] == [ratio["what"] for ratio in bench["ratios"].values()]
