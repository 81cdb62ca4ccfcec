"""Every cell is the summary's figure of that row and that column."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from planted import estimate, of_gradients, planted

from report import tables
from report.runs import link
from suppress_privacy.attacks.views import FeatureView, GradientView
from suppress_privacy.evaluation.gates import REQUIRED, Gate
from suppress_privacy.evaluation.intervals import Estimate
from suppress_privacy.evaluation.verdict import Comparison, Verdict
from suppress_privacy.lenet import Features, LeNet5, Rest

OF_ATTACK = {"mean": 0.76, "reference": 0.81, "decoder": 0.6}


def cells(table):
    """Rows of a table in Markdown as lists of cells, its head first."""
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]
    assert len({len(row) for row in rows}) == 1
    return [rows[0], *rows[2:]]


@pytest.fixture(scope="module")
def report():
    def value(factors, attack, metric, judge):
        suppressed = 0.02 if factors["arm"] == "suppressed-example" else 0
        return OF_ATTACK.get(attack, 0.5) + suppressed + {"lenet2": 0.1, "convnet": 0.2}.get(judge, 0)

    return planted(value=value)


def test_the_tutorials_metrics_stand_beside_its_figures(report):
    head, *rows = cells(tables.attack_table(report))
    assert head[:3] == ["metric", "model", "documented"]
    assert head[3:] == ["black image", "mean image", "reference attack (cpu)", "reference attack (ascend)"]
    assert len(rows) == 2 * 5
    both = rows[6:8]
    assert both[0][:3] == ["confidence in the true label", "ordinary", "0.9547"]
    assert both[1][:3] == ["", "suppressed (example)", "0.5576"]
    assert both[0][4:] == ["0.760 [0.750, 0.770]", *["0.810 [0.800, 0.820]"] * 2]
    assert both[1][4:] == ["0.760 [0.750, 0.770]", *["0.830 [0.820, 0.840]"] * 2]
    assert rows[4][2] == "n/a"  # no documented SSIM at range 1


def test_accuracies_have_their_range_over_seeds(report):
    one_seed = cells(tables.accuracy_table(report))
    assert one_seed[2] == ["suppressed (example)", "0.9745", "0.9050", "95.0 %"]
    arms = [arm.model_copy(update={"test_accuracy": [0.98, 0.99]}) for arm in report.summary.arms]
    several = replace(report, summary=report.summary.model_copy(update={"arms": arms}))
    assert cells(tables.accuracy_table(several))[1][2] == "0.9850 (0.9800 to 0.9900)"


def test_the_ladder_has_a_row_for_every_attack_and_model(report):
    head, *rows = cells(tables.ladder_table(report))
    assert head[2:] == [
        *("skill against the mean image", "identified among its class", "identified among all training images"),
        *("PSNR (dB)", "labels recovered", "images", "seeds"),
    ]
    assert len(rows) == 2 + 2 * 8  # what looks at no model stands once
    mean = "0.760 [0.750, 0.770]"
    assert rows[1] == ["mean image", "any", mean, "8 of 10", "8 of 10", "0.8 [0.8, 0.8]", "8 of 10", "10", "1"]
    assert [row[:3] for row in rows[-4:-2]] == [
        ["decoder network", "ordinary", "0.600 [0.590, 0.610]"],
        ["", "suppressed (example)", "0.620 [0.610, 0.630]"],
    ]


def test_images_are_counted_once_whatever_the_seeds():
    report = planted("full")
    rows = cells(tables.ladder_table(report))
    assert [row[-2:] for row in rows[2:4]] == [["10", "1"], ["10", "5"]]  # ten times five values


def test_groups_have_the_metrics_that_they_are_judged_by(report):
    head, *rows = cells(tables.membership_table(report))
    assert head == [
        "attack",
        "model",
        "area under the ROC",
        "true positives at 1% false positives",
        "candidates",
        "seeds",
    ]
    assert [row[0] for row in rows] == ["loss threshold"]
    head, *rows = cells(tables.gradient_table(report))
    assert "labels found from gradients" in head and len(rows) == len(of_gradients("smoke"))
    assert [row[1] for row in rows if row[0].startswith(("analytic, on", "DLG, on"))] == ["any", "any"]
    head, *rows = cells(tables.depth_table(report))
    assert "labels found from gradients" not in head and [row[0] for row in rows] == ["tuned inversion at conv1"]


def test_a_profile_without_a_group_has_no_table_of_it():
    report = planted("quick")
    assert tables.gradient_table(report) == "" != tables.membership_table(report)


def test_every_evaluator_has_a_column_for_each_of_its_words(report):
    head, *rows = cells(tables.judges_table(report))
    assert head[2:5] == [f"confidence in the true label, {judge}" for judge in ("lenet", "lenet2", "convnet")]
    assert rows[1][2:5] == ["0.760 [0.750, 0.770]", "0.860 [0.850, 0.870]", "0.960 [0.950, 0.970]"]


def test_models_are_shown_with_what_the_strongest_attack_gets(report):
    head, *rows = cells(tables.arms_table(report))
    assert head[3:5] == [
        "skill against the mean image, strongest attack",
        "identified among its class, strongest attack",
    ]
    assert rows[0] == ["ordinary", "0.9000", "95.0 %", "0.600 [0.590, 0.610]", "6 of 10", "30.0 [30.0, 30.0]", "1"]
    assert [row[3] for row in rows[1:]] == ["0.620 [0.610, 0.630]", "0.600 [0.590, 0.610]", "0.600 [0.590, 0.610]"]
    weak = replace(report, summary=report.summary.model_copy(update={"strongest": []}))
    assert cells(tables.arms_table(weak))[1][3:5] == ["n/a", "n/a"]


def test_what_features_hold_and_what_layers_keep(report):
    assert cells(tables.mechanism_table(report))[1:] == [
        ["ordinary", "30.000 [29.990, 30.010]", "10.0 %", "5.000 [4.990, 5.010]"],
        ["suppressed (example)", "31.000 [30.990, 31.010]", "10.0 %", "5.000 [4.990, 5.010]"],
    ]
    assert cells(tables.layer_table(report))[1:] == [["`fc1.weight`", "95.0 %"]]


def decided(report):
    """The report with two claims that were tested."""
    compared = Comparison(
        *("a on b: skill", -0.1, -0.2, -0.05, 0.01, True, "c (5 seeds)"), runs=("attack-a@0.5-seed0", "attack-b-seed0")
    )
    inside = Comparison("accuracy of a", 0.01, -0.02, 0.02, None, False, band=0.005)
    verdicts = report.summary.verdicts | {
        "H2": Verdict("holds", -0.1, -0.2, -0.05, 0.04, "", [compared, inside]),
        "H3": Verdict("refuted", -0.1, -0.2, -0.05, 0.4, "not so: x", [compared]),
    }
    return replace(report, summary=report.summary.model_copy(update={"verdicts": verdicts}))


def test_every_claim_has_its_verdict(report):
    head, *rows = cells(tables.verdict_table(decided(report)))
    by_name = {row[0]: dict(zip(head, row, strict=True)) for row in rows}
    assert list(by_name) == list(report.claims.claims)
    assert by_name["H2"]["what is claimed"] == report.claims.claims["H2"].text
    shown = [by_name["H2"][name] for name in ("verdict", "effect", "95 % interval", "p (Holm)", "why")]
    assert shown == ["✔ **holds**", "-0.1000", "[-0.2000, -0.0500]", "0.04", ""]
    assert by_name["H3"]["verdict"] == "✘ **refuted**" and head[:2] == ["claim", "verdict"]
    assert by_name["H3"]["why"] == "not so: x"
    assert [by_name["R1"][name] for name in ("verdict", "effect", "p (Holm)", "why")] == [
        *("\N{EN DASH} **not tested**", "", "", "no seeds"),
    ]


def test_every_comparison_leads_to_its_runs(report):
    _, *rows = cells(tables.comparisons_table(decided(report), link))
    assert [row[:6] for row in rows] == [
        ["H2", "a on b: skill below c (5 seeds)", "-0.1000", "[-0.2000, -0.0500]", "p = 0.01", "yes"],
        ["", "accuracy of a", "+0.0100", "[-0.0200, +0.0200]", "within ±0.005", "no"],
        ["H3", "a on b: skill below c (5 seeds)", "-0.1000", "[-0.2000, -0.0500]", "p = 0.01", "yes"],
    ]
    first = '<a href="runs.html#attack-a_0_5-seed0">1</a> <a href="runs.html#attack-b-seed0">2</a>'
    assert [row[6] for row in rows] == [first, "", first]
    assert len(cells(tables.comparisons_table(decided(report)))[0]) == 6


def test_gates_say_what_was_asked_and_found(report):
    weak = Gate(REQUIRED["features"][0], "above 0", -0.25, False)
    sane = Gate("accuracy", "from 0 to 1", 0.98765, True, "baseline", "ordinary", True)
    shown = replace(report, summary=report.summary.model_copy(update={"gates": [sane, weak]}))
    strength, fold, sanity, end = tables.gate_table(shown).split("\n\n")
    head = ["check", "model", "asked", "found", "result"]
    assert cells(strength) == [head, [f"`{weak.name}`", "", "above 0", "-0.25", "**failed**"]]
    assert cells(sanity) == [head, ["`accuracy`", "ordinary", "from 0 to 1", "0.9877", "passed"]]
    assert (fold, end) == ("<details><summary>Sanity checks (1)</summary>", "</details>")
    assert "details" not in tables.gate_table(report)  # which has checks of strength alone


LAYER = {"weights": 2000, "alive": 100, "suppressed": 1900, "target": 1900, "threshold": 0.02345}
LAYER |= {"raised": 3, "lowered": 1, "noised": 7}


def test_a_share_of_few_values_is_their_number():
    assert tables.measured("rank1", estimate(0.8, 10)) == "8 of 10"
    assert tables.measured("rank1", estimate(0.15, 20)) == "3 of 20"
    assert tables.measured("rank1", estimate(0.8, 21)) == "0.800 [0.790, 0.810]"
    assert tables.measured("skill", estimate(0.8, 10)) == "0.800 [0.790, 0.810]"  # no share
    assert tables.measured("psnr", estimate(0.8, 10)) == "0.8 [0.8, 0.8]"
    assert tables.measured("rank1", None) == "n/a"


def test_nothing_is_below_zero_that_is_shown_as_zero():
    assert tables.interval(Estimate(-0.0001, -0.0004, 0.0001, 5)) == "0.000 [0.000, 0.000]"
    assert tables.interval(Estimate(-0.0006, -0.04, -0.0001, 5)) == "-0.001 [-0.040, 0.000]"


def test_the_layer_report_takes_any_names():
    _, first, second = cells(tables.layer_report({"features.0.weight": LAYER, "head.weight": LAYER}))
    assert first[0] == "`features.0.weight`"
    assert second == ["`head.weight`", "2,000", "100", "1,900", "1,900", "3", "1", "7", "0.02345"]


def test_a_training_says_what_it_found():
    assert tables.training_facts({}, None) == "This arm has no defence."
    facts, layers = tables.training_facts({"wanted_accuracy": 0.98765}, {"fc1": LAYER}).split("\n\n")
    assert cells(facts)[1] == ["wanted accuracy", "0.9877"] and cells(layers)[1][0] == "`fc1`"
    assert tables.training_facts({"sigma": 2}, None).count("\n\n") == 0


def test_means_of_one_model_name_who_judged():
    found = {"a": {("skill", ""): 0.5, ("confidence", "lenet"): 0.25}, "b": {("auc", ""): 0.75}}
    head, *rows = cells(tables.means_table(found, ["skill", "confidence", "auc"]))
    assert head == [
        *("attack", "skill against the mean image", "confidence in the true label by lenet", "area under the ROC")
    ]
    assert rows == [["a", "0.500", "0.250", ""], ["b", "", "", "0.750"]]
    assert cells(tables.means_table(found, ["auc"])) == [["attack", "area under the ROC"], ["b", "0.750"]]
    assert tables.means_table(found, ["psnr"]) == ""


def test_a_view_shows_the_shapes_of_what_is_in_it():
    network, images, labels = LeNet5(seed=0), np.zeros((9, 1, 32, 32), np.float32), np.zeros(9, np.int32)
    halves = Features(network, "fc1"), Rest(network, "fc1")
    of_features = FeatureView(np.zeros((4, 120), np.float32), *halves, images, labels)
    assert cells(tables.view_table(of_features))[1:] == [
        ["`features`", "float32 [4, 120]"],
        ["`network`", "Features of LeNet5 at fc1"],
        ["`rest`", "Rest of LeNet5 at fc1"],
        ["`auxiliary`", "float32 [9, 1, 32, 32]"],
        ["`auxiliary_labels`", "int32 [9]"],
        ["`release`", "nothing"],
    ]
    own = np.zeros((9, 1, 32, 32), np.float32), np.zeros(9, np.int32)
    of_gradients = GradientView((np.zeros((6, 1, 5, 5)), np.zeros(10)), network, (1, 32, 32), *own)
    shown = ["float64 [6, 1, 5, 5], float64 [10]", "LeNet5", "1, 32, 32", "float32 [9, 1, 32, 32]", "int32 [9]"]
    shown += ["1", "Defence"]
    assert [what for _, what in cells(tables.view_table([of_gradients, None]))[1:]] == shown


def test_settings_stand_one_a_row_by_the_names_that_change_them():
    settings = {"epochs": 10, "start": None, "optimizer": {"name": "sgd", "lr": 0.1}, "layers": [1, 2]}
    rows = cells(tables.settings_table(settings))[1:]
    assert rows == [["`epochs`", "10"], ["`layers`", "[1, 2]"], ["`optimizer.name`", "sgd"], ["`optimizer.lr`", "0.1"]]


def test_a_share_is_a_range_only_where_it_differs():
    arm = SimpleNamespace(sparsity={"conv1": [0.9333, 0.9334], "fc1": [0.95]})
    assert tables.zeros(arm) == "93.3 to 95.0 %"
    assert tables.zeros(SimpleNamespace(sparsity={"fc1": [0.95001, 0.95]})) == "95.0 %"
    assert tables.interval(None) == "n/a" and tables.interval(estimate(10.26), 1) == "10.3 [10.2, 10.3]"
