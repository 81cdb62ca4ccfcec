"""What is behind a figure or a table is what it looks up, and a line says so."""

from dataclasses import replace

import pandas as pd
import pytest
from planted import planted

from report import tables
from report.provenance import Source, line, sources, used_in, with_data, with_line


@pytest.fixture(scope="module")
def report():
    return planted()


def kinds_and_arms(report, runs):
    found = [report.results.runs[run] for run in runs]
    return {run.kind for run in found}, {run.factors["arm"] for run in found}


def test_the_runs_behind_a_table_are_those_it_looks_up():
    report = planted("full")
    written = {"ladder_table": tables.ladder_table, "accuracy_table": tables.accuracy_table}
    behind = sources(report, written | {"nothing": lambda report: ""}, ["ladder", "grid"])
    assert list(behind) == [*written, "ladder", "grid"]
    pair = {arm.factors["arm"] for arm in report.pair}
    assert kinds_and_arms(report, behind["accuracy_table"].runs) == ({"train", "mechanism"}, pair)
    attacks = {
        run for arm in [*report.pair] for each in report.ladder for run in report.runs(arm.factors, each).values()
    }
    attacks |= {run for each in report.ladder for run in report.runs({"arm": "none"}, each).values()}
    for name in ("ladder_table", "ladder"):
        assert {run for run in behind[name].runs if run.startswith("attack")} == attacks
        assert set(behind["accuracy_table"].runs) < set(behind[name].runs)
    shown = set(behind["grid"].shows.run.str.split(" or ").sum()) - {"private image"}
    assert shown and shown <= {run for run in behind["grid"].runs if run.startswith("attack")}
    assert behind["accuracy_table"].title.startswith("Test accuracy and sparsity of the tutorial's two models")


def test_the_runs_behind_verdicts_are_those_of_their_comparisons(report):
    first, second, *_ = report.results.runs
    name, verdict = next(iter(report.summary.verdicts.items()))

    class Compared:
        runs = (second, first)

    verdicts = {name: replace(verdict, comparisons=[Compared()])}
    decided = replace(report, summary=report.summary.model_copy(update={"verdicts": verdicts}))
    found = sources(decided, {"verdict_table": lambda report: "| a |\n| --- |\n| 1 |"}, [])
    assert found["verdict_table"].runs == [first, second]


def test_a_line_says_where_the_data_are_and_how_to_make_them_again(report):
    first, second, *_ = report.results.runs
    shows = pd.DataFrame({"a": [1]})
    told = line("ladder", Source("", shows, [first]), report)
    assert 'href="_static/data/ladder.csv"' in told and '<a href="runs.html?for=ladder">1 run</a>' in told
    assert "at commit <code>one</code> ·" in told and "<code>make study PROFILE=smoke</code>" in told
    runs = report.results.runs | {second: replace(report.results.runs[second], commit="two", tag="edition-2")}
    other = replace(report, results=replace(report.results, runs=runs))
    assert "2 runs</a> at 2 commits" in line("ladder", Source("", shows, [first, second]), other)
    assert "at commit <code>two</code> (edition-2)" in line("ladder", Source("", shows, [second]), other)
    of_all = line("gate_table", Source("", shows, []), report)
    assert f'<a href="runs.html">{len(runs):,} runs</a>' in of_all


def test_what_is_empty_has_no_line(report):
    source = Source("", pd.DataFrame(), [])
    assert with_line("", "x", source, report) == "" and with_line("text", "x", None, report) == "text"
    assert with_line("text", "x", source, report).startswith('text\n\n<p class="provenance">')


def test_a_run_is_used_in_what_it_is_behind():
    shows = pd.DataFrame()
    behind = {"a": Source("", shows, ["one", "two"]), "b": Source("", shows, ["two"])}
    assert used_in(behind) == {"one": ["a"], "two": ["a", "b"]}


def test_tables_without_a_line_have_their_data_too():
    table = "| a | b |\n|:---|---:|\n| x | 1 |"
    before = {
        "told": f'{table}\n\n<p class="provenance"></p>',
        "table": f"{table}\n\nlegend",
        "words": "a | b",
        "count": 3,
    }
    after, found = with_data(before)
    assert list(found) == ["table"] and found["table"].to_dict("records") == [{"a": "x", "b": "1"}]
    assert after.pop("table").startswith(before.pop("table")) and after == before
