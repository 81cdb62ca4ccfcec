"""Small tables have few rows, and the summary's figures."""

import pytest
from planted import estimate, planted, with_summary
from test_tables import cells

from conftest import ROOT
from report import small
from report.context import Report
from suppress_privacy.evaluation.gates import Gate
from suppress_privacy.evaluation.intervals import Estimate

TABLES = [each for name, each in vars(small).items() if name.endswith("_small")]


@pytest.fixture(scope="module")
def full():
    return planted("full")


@pytest.mark.parametrize(
    ("metric", "found", "said"),
    [
        ("rank1", estimate(0.5, 100), "50 % [49 to 51]"),
        ("rank1", estimate(0.5, 10), "5 of 10"),
        ("skill", estimate(-0.001), "0.00 [-0.01 to 0.01]"),
        ("tpr_at_1pct_fpr", Estimate(0.0123, 0.01, 0.014, 9999), "1.2 % [1.0 to 1.4]"),
        ("auc", estimate(0.5), "0.50 [0.49 to 0.51]"),
        ("skill", None, "n/a"),
    ],
)
def test_a_cell_has_few_digits(metric, found, said):
    assert small.cell(metric, found) == said


@pytest.mark.parametrize("table", TABLES)
def test_a_small_table_is_small_of_any_run(full, table):
    for report in (full, Report.load(ROOT / "results" / "full"), planted("smoke")):
        rows = cells(table(report)) if table(report) else []
        assert len(rows) - 1 <= 8 and len(rows) != 1


def test_what_is_left_of_the_gap_is_told_by_two_evaluators(full):
    head, *rows = cells(small.gap_small(full))
    assert [row[:2] for row in rows[:2]] == [["reference attack (cpu)", judge] for judge in ("lenet", "convnet")]
    assert len(rows) == 4 and head[2:] == ["ordinary, the suppressed one's optimiser", "suppressed (example)"]


def test_layers_come_in_the_order_of_the_network_and_the_strongest_last(full):
    assert [row[0] for row in cells(small.depth_small(full))[1:]] == [
        "`conv1`",
        "`conv2`",
        "`fc1`",
        "`fc2`",
        "`logits`",
    ]
    assert cells(small.attacks_small(full))[1][0] == "class mean"


def test_the_suppressed_network_stands_among_those_it_is_compared_with(full):
    titles = [row[0] for row in cells(small.controls_small(full))[1:]]
    assert titles[1] == full.pair[1].title and len({*titles}) == 6
    assert {"noise on the features", "pruned and fine-tuned"} < {*titles}


def test_attackers_who_have_less_stand_below_the_one_who_has_all(full):
    titles = [row[0] for row in cells(small.weaker_small(full))[1:]]
    assert titles[0] == "decoder network" and len(titles) == 5


def test_checks_are_counted_by_what_attacks_see(full):
    weak, missing = full.summary.gates[0], full.summary.gates[1]
    gates = [Gate(weak.name, "", 0, False), *full.summary.gates[2:], Gate("sparsity", "", 0, False, "a", "b", True)]
    rows = cells(small.checks_small(with_summary(full, gates=gates)))
    assert rows[1] == ["attacks on features", "2 of 4", weak.name, missing.name]
    assert rows[2][1:] == ["4 of 4", "", ""] and rows[-1][1:] == ["0 of 1", "sparsity of b", ""]


def test_games_have_a_row_for_each_network(full):
    row = {"game": "canaries", "arm": "dense-sgd", "attack": "lira", "metric": small.JUDGED_BY}
    games = [row | {"among": among, "mean": 0.25, "low": 0.2, "high": 0.3, "n": 32} for among in ("canaries", "others")]
    played = with_summary(full, games=games, audits=[row | {"epsilon": 1.25}])
    shown = cells(small.games_small(played))
    game = "all training images, some with a wrong label"
    assert shown[1] == [game, "ordinary, the suppressed one's optimiser", *["25.0 % [20.0 to 30.0]"] * 2, "1.2"]
    assert small.games_small(full) == ""
