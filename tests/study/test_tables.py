from types import SimpleNamespace

import matplotlib.figure
import numpy as np
import pytest

from conftest import ROOT
from suppress_privacy.evaluation.gates import REQUIRED
from suppress_privacy.study import figures, records, runs, tables
from suppress_privacy.study.claims import Claims
from suppress_privacy.study.settings import Study

METRICS = records.IMAGE_METRICS
ARMS = ("baseline", "suppressed-example")


def estimate(mean, width=0.01):
    return {"mean": mean, "low": mean - width, "high": mean + width, "n": 10}


@pytest.fixture
def summary():
    def attack(ordinary, suppressed):
        return {
            "baseline": dict.fromkeys(METRICS, estimate(ordinary)),
            ARMS[1]: dict.fromkeys(METRICS, estimate(suppressed)),
        }

    attacks = {"floor-mean": attack(0.76, 0.76), "reference-cpu": attack(0.81, 0.83)}
    return {
        "seeds": [0],
        "arms": {
            "baseline": {"title": "ordinary", "test_accuracy": [0.99], "sparsity": {"fc1.weight": [0.0]}},
            ARMS[1]: {"title": "suppressed", "test_accuracy": [0.98], "sparsity": {"fc1.weight": [0.95]}},
        },
        "attacks": attacks,
        "seeds_of": {name: {arm: [0] for arm in ARMS} for name in attacks},
        "gates": [{"name": name, "asked": "above 0", "found": 0.5, "passed": True} for name in REQUIRED],
        "mechanism": {
            arm: {"effective_rank": estimate(30), "feature_norm": estimate(5), "dead_units": [0.1]} for arm in ARMS
        },
        "differences": {name: {ARMS[1]: dict.fromkeys(METRICS, estimate(0.02))} for name in attacks},
        "documented": {
            "models": {
                "ordinary": {"test_accuracy": 0.99, "confidence": 0.9547},
                "suppressed": {"test_accuracy": 0.9745, "confidence": 0.5576},
            },
            "arms": {"baseline": "ordinary", ARMS[1]: "suppressed"},
        },
    }


def test_tables_have_a_cell_for_every_figure(summary):
    lines = tables.attack_table(summary, {"floor-mean": "mean image", "reference-cpu": "attack"}).splitlines()
    assert len(lines) == 2 + 2 * len(tables.METRICS)
    assert len({line.count("|") for line in lines}) == 1
    assert "| confidence in the true label | ordinary | 0.9547 | 0.760 [0.750, 0.770] | 0.810 [0.800, 0.820] |" in lines
    assert "n/a" in tables.attack_table(summary, {"floor-mean": "mean image"})  # no documented SSIM at range 1
    assert "| suppressed | 0.9745 | 0.9800 | 95.0 % |" in tables.accuracy_table(summary)
    assert "| `fc1.weight` | 95.0 % |" in tables.layer_table(summary, ARMS[1])


def report():
    entry = {"weights": 2000, "alive": 100, "suppressed": 1900, "target": 1900, "threshold": 0.02345}
    return {name: entry | {"raised": 3, "lowered": 1, "noised": 7} for name in ("features.0.weight", "head.weight")}


def test_the_layer_report_takes_any_names():
    lines = tables.layer_report(report()).splitlines()
    assert lines[3] == "| `head.weight` | 2,000 | 100 | 1,900 | 1,900 | 3 | 1 | 7 | 0.02345 |"
    figure = figures.layer_report(report())
    axis = figure.axes[0]
    assert [label.get_text() for label in axis.get_yticklabels()] == list(report())
    assert [patch.get_width() for patch in axis.patches] == [95, 95]


def test_several_seeds_show_their_range(summary):
    summary["arms"]["baseline"]["test_accuracy"] = [0.98, 0.99]
    summary["seeds"] = [0, 1]
    assert "0.9850 (0.9800 to 0.9900)" in tables.accuracy_table(summary)
    assert "over up to 2 trainings" in tables.coverage(summary)


def test_one_seed_is_not_said_to_cover_training(summary):
    assert "they do not cover" in tables.coverage(summary)


@pytest.mark.parametrize(
    ("distance", "words"), [(0.70, "better than"), (0.765, "not distinguishable"), (0.81, "worse than")]
)
def test_the_reading_follows_the_figures(summary, distance, words):
    summary["attacks"]["reference-cpu"]["baseline"] = dict.fromkeys(METRICS, estimate(distance))
    reading = tables.attack_reading(summary, {"reference-cpu": "attack"})
    assert f"{words} the mean image" in reading.replace("from", "").replace("  ", " ")
    assert "confidence 0.020 [0.010, 0.030]" in reading


def test_the_answer_states_both_models_and_the_tutorial(summary):
    text = tables.answer(summary, {"reference-cpu": "CPU scale"})
    for part in ("95.0 %", "0.9800", "0.9745", "0.810 [0.800, 0.820]", "0.830 [0.820, 0.840]", "0.955", "0.558"):
        assert part in text
    assert "a change of 0.020 [0.010, 0.030], a smaller fall than the tutorial's -0.397" in text


def test_the_ladder_has_a_row_for_every_attack_and_arm(summary):
    titles = {"floor-mean": "mean image", "reference-cpu": "attack"}
    lines = tables.ladder_table(summary, titles).splitlines()
    assert len(lines) == 2 + 1 + 2  # the floor is alike for both models and stands once
    assert lines[2].startswith("| mean image | any | 0.760 [0.750, 0.770] |") and lines[2].endswith("| 10 | 1 |")
    assert lines[4].startswith("|  | suppressed | 0.830 [0.820, 0.840] |")
    assert len({line.count("|") for line in tables.judges_table(summary, titles).splitlines()}) == 1
    assert "30.000 [29.990, 30.010] | 10.0 % |" in tables.mechanism_table(summary)


def test_a_failed_gate_turns_the_verdict(summary):
    assert tables.gate_verdict(summary) == f"All {len(REQUIRED)} validity gates of this run passed."
    undecided = summary | {"gates": summary["gates"][1:]}
    assert tables.gate_verdict(undecided).startswith("**Not tested.**")
    summary["gates"].append({"name": "weak", "asked": "above 0", "found": -0.25, "passed": False})
    verdict = tables.gate_verdict(summary)
    assert verdict.startswith("**Attack too weak.**") and "`weak`: -0.25" in verdict
    summary["gates"][-1] = {"name": "accuracy-baseline", "asked": "above 0", "found": -0.25, "passed": False}
    assert tables.gate_verdict(summary).startswith("**A model is not what it should be.**")
    assert "**failed**" in tables.gate_table(summary) and "passed" in tables.gate_table(summary)


def test_images_are_counted_once_whatever_the_seeds(summary):
    summary["seeds_of"]["reference-cpu"]["baseline"] = [0, 1]
    line = tables.ladder_table(summary, {"reference-cpu": "attack"}).splitlines()[2]
    assert line.endswith("| 5 | 2 |")  # ten values


def test_what_is_left_of_the_gap_needs_the_control(summary):
    assert tables.gap_left(summary, {"reference-cpu": "attack"}) == tables.NO_CONTROL
    summary["attacks"]["reference-cpu"]["dense-sgd"] = dict.fromkeys(METRICS, estimate(0.9))
    said = tables.gap_left(summary, {"reference-cpu": "attack"})
    assert "confidence 0.830 [0.820, 0.840] against 0.900 [0.890, 0.910]" in said and "-0.397 apart" in said


def test_the_page_says_what_the_records_were_made_with():
    said = tables.provenance({"commits": ["one"], "uncommitted": 0})
    assert said == "Its records were made at commit `one`; each record names its own."
    said = tables.provenance({"commits": ["one", "two"], "uncommitted": 3})
    assert "commits `one`, `two`, 3 of them while the code had changes" in said


def test_attacks_are_grouped_by_what_they_are_compared_with(summary):
    study = Study.load(ROOT / "study.yaml")
    summary["attacks"] |= dict.fromkeys(("tuned-conv1", "gradient-dlg", "membership-lira", "decoder-ridge"))
    groups = tables.groups(summary, study)
    assert list(groups.ladder) == ["floor-mean", "reference-cpu", "decoder-ridge"]
    assert list(groups.reported) == ["floor-mean", "reference-cpu"]
    assert (list(groups.learned), list(groups.depths)) == (["decoder-ridge"], ["tuned-conv1"])
    assert (list(groups.gradients), list(groups.membership)) == (["gradient-dlg"], ["membership-lira"])
    names = {name for family in tables.DEPTH_FAMILIES.values() for name in family.values()}
    assert names <= set(study.attacks)


@pytest.fixture
def many(summary):
    """A summary of more models than there are colours."""
    arms = [f"arm{number}" for number in range(18)]

    def metrics(number):
        return {metric: estimate(0.1 + 0.04 * number) for metric in METRICS}

    attacks = {
        name: {arm: metrics(number) for number, arm in enumerate(arms)} for name in ("tuned-inversion", "decoder-ridge")
    }
    return summary | {
        "arms": {
            arm: {
                "title": f"model {number}",
                "seeds": [0, 1],
                "test_accuracy": [0.9 + number / 200, 0.9 + number / 190],
                "sparsity": {"fc1.weight": [0.5, 0.5]},
            }
            for number, arm in enumerate(arms)
        },
        "attacks": attacks,
        "seeds_of": {name: {arm: [0, 1] for arm in arms} for name in attacks},
        "mechanism": {
            arm: {"effective_rank": estimate(30), "feature_norm": estimate(5), "dead_units": [0.1]} for arm in arms
        },
        "strongest": {arm: {"skill": "tuned-inversion", "rank1": "decoder-ridge"} for arm in arms},
        "differences": {},
    }


def test_figures_of_all_models_tell_them_apart(many):
    figure = figures.trade_off(many)
    points = [(container[0].get_color(), container[0].get_marker()) for container in figure.axes[0].containers]
    assert len(points) == 18 == len(set(points))
    assert {text.get_text() for text in figure.legends[0].get_texts()} == {f"model {number}" for number in range(18)}
    at = figure.axes[0].containers[3][0].get_xydata()[0]
    errors = [100 * (1 - accuracy) for accuracy in many["arms"]["arm3"]["test_accuracy"]]
    assert at == pytest.approx([np.mean(errors), 0.22])
    assert len(figures.rank_against_skill(many).axes[0].containers) == 18
    names = [
        tick.get_text() for tick in figures.ladder_by_model(many, {"tuned-inversion": "t"}).axes[0].get_yticklabels()
    ]
    assert names == [f"model {number}" for number in range(18)]


def test_errors_can_be_read_off_whether_models_are_alike_or_not(many):
    def labels(figure):
        figure.canvas.draw()
        axis = figure.axes[0].xaxis
        return [label.get_text() for label in (*axis.get_majorticklabels(), *axis.get_minorticklabels())]

    assert {"1.5", "3.0", "5.0"} <= set(labels(figures.trade_off(many)))
    alike = tables.of_arms(many, ["arm16", "arm17"])
    assert sum(bool(label) for label in labels(figures.trade_off(alike))) > 1


def test_the_sweep_is_in_the_order_of_sparsity_and_needs_two_points(many):
    figure = figures.sparsity_sweep(many, {"arm5": 0.9, "arm2": 0.5, "gone": 0.8})
    assert figure.axes[1].containers[0][0].get_xydata() == pytest.approx(np.array([[50, 0.18], [90, 0.30]]))
    assert figures.sparsity_sweep(many, {"arm5": 0.9, "gone": 0.8}) is None
    study = Study.load(ROOT / "study.yaml")
    swept = tables.sparsities(study, "full")
    assert swept == {
        "suppressed-example": 0.95,
        "sparsity-50": 0.5,
        "sparsity-80": 0.8,
        "sparsity-90": 0.9,
        "sparsity-95": 0.95,
        "sparsity-98": 0.98,
    }  # and neither the tutorial's configuration nor random masks


def test_smoothness_is_shown_on_one_scale_with_both_devices_marked(summary):
    study = Study.load(ROOT / "study.yaml")
    weights, scales = tables.smoothness_weights(study, "full")
    assert (weights["reference-cpu"], weights["smooth-0.3"]) == (0.1, 0.3)
    assert scales == {"CPU": 0.1, "Ascend": pytest.approx(0.1 / 32)}
    assert figures.smoothness_sensitivity(summary, weights, scales) is None  # only the reference was made
    summary["attacks"]["smooth-1"] = summary["attacks"]["reference-cpu"]
    figure = figures.smoothness_sensitivity(summary, weights, scales)
    assert {text.get_text() for text in figure.axes[0].texts} == {"CPU", "Ascend"}


def test_a_part_of_a_summary_has_nothing_of_the_other_models(many):
    part = tables.of_arms(many, ["arm4", "arm1", "unknown"])
    assert list(part["arms"]) == ["arm4", "arm1"] == list(part["strongest"])
    assert all(list(by_arm) == ["arm4", "arm1"] for by_arm in part["attacks"].values())
    assert len(many["arms"]) == 18


def test_every_model_and_every_verdict_has_a_line(many):
    lines = tables.arms_table(many).splitlines()
    assert len(lines) == 2 + 18
    assert lines[3 + 2].count("0.220 [0.210, 0.230]") == 2
    claims = Claims.load(ROOT / "results" / "claims.yaml")
    compared = {"what": "skill of a on b", "effect": -0.1, "low": -0.2, "high": -0.05, "p": 0.01, "supports": True}
    answered = {"verdict": "holds", "effect": -0.1, "low": -0.2, "high": -0.05, "p": 0.04, "reason": ""}
    open_question = dict.fromkeys(answered) | {"verdict": "not tested", "reason": "no seeds", "comparisons": []}
    verdicts = dict.fromkeys(claims.claims, open_question)
    verdicts["H2"] = answered | {"comparisons": [compared | {"records": ["attack-a-b-seed0", "attack-a-c-seed0"]}]}
    verdicts["H3"] = verdicts["H2"] | {"verdict": "fails", "reason": "not so: x"}
    many["verdicts"] = verdicts
    assert tables.verdict_counts(many) == "Of 9 claims 1 hold, 1 fail, and 7 were not tested by this run."
    table = tables.verdict_table(many, claims)
    assert "**holds** | -0.1000 | [-0.2000, -0.0500] | 0.04 |" in table and "no seeds" in table
    linked = tables.comparisons_table(many, lambda name, text: f"<{text}:{name}>")
    assert "<1:attack-a-b-seed0> <2:attack-a-c-seed0>" in linked and "<" not in tables.comparisons_table(many)


def test_figures_are_drawn_from_records_alone(summary, tmp_path):
    titles = {"floor-mean": "mean", "reference-cpu": "attack"}
    assert isinstance(figures.documented_against_reproduced(summary, titles), matplotlib.figure.Figure)
    assert len(figures.ladder(summary, titles).axes) == 2
    summary["attacks"]["tuned-conv1"] = summary["attacks"]["tuned-inversion"] = summary["attacks"]["reference-cpu"]
    assert len(figures.depth_curve(summary, {"tuned": tables.DEPTH_FAMILIES["tuned inversion"]}).axes) == 1
    history = {"loss": [1, 0.5], "test_accuracy": [0.5, 0.9], "sparsity": {"fc1.weight": [0, 0.9]}}
    assert len(figures.training_curves({"results": {"history": history}}).axes) == 3
    store = records.Records(tmp_path)
    images = np.zeros((3, 1, 32, 32), np.uint8)
    rng = np.random.default_rng(0)
    for arm, grey in zip(ARMS, (100, 200), strict=True):
        for attack, value in (("floor-mean", 50), ("reference-cpu", grey)):
            store.write(
                records.attack_name(attack, arm, 0),
                {"settings": {"settings": {"iters": 4}}},
                label=np.arange(3),
                reconstruction=images + np.uint8(value),
                pictured=np.arange(3),
                skill=np.array([0.1, 0.9, 0.5]),
                **({"curve": rng.random((3, 5))} if attack == "reference-cpu" else {}),
            )
        scores = {"score": rng.random(40), "member": np.arange(40) < 20}
        store.write(records.attack_name("membership-loss", arm, 0), {}, **scores)
    arms = dict.fromkeys(ARMS, "model")
    targets = SimpleNamespace(images=images / 255, labels=np.arange(3))
    figure = figures.reconstruction_grid(store, arms, titles, 0, targets, 3)
    assert len(figure.axes) == (1 + 1 + 2) * 3  # the floor is alike for both models and stands once
    figure = figures.extremes(store, arms, {"reference-cpu": "attack"}, 0, targets, runs.EXTREMES)
    assert len(figure.axes) == 2 * 2 * 9
    assert len(figures.convergence(store, arms, titles, 0).axes[0].lines) == 2
    assert figures.convergence(store, arms, {"floor-mean": "mean"}, 0) is None
    summary["seeds_of"]["membership-loss"] = {arm: [0] for arm in ARMS}
    axis = figures.membership_roc(store, summary, {"membership-loss": "loss"}).axes[0]
    assert axis.get_xscale() == axis.get_yscale() == "log"


def test_the_pictures_shown_are_the_best_the_middle_and_the_worst(tmp_path):
    store = records.Records(tmp_path)
    rng = np.random.default_rng(0)
    skill = rng.permutation(np.linspace(-1, 1, 25))
    labels = np.arange(25) % 5
    images = (np.arange(25, dtype=np.uint8)[:, None, None, None] * 10) * np.ones((25, 1, 32, 32), np.uint8)
    pictured = runs.pictured_targets(skill, labels)
    assert set(range(5)) <= set(pictured) and len(pictured) <= 5 + 9  # the first of each class are always there
    record = {"label": labels, "reconstruction": images[pictured], "pictured": pictured, "skill": skill}
    store.write(records.attack_name("a", "baseline", 0), {}, **record)
    targets = SimpleNamespace(images=images / 255, labels=labels)
    figure = figures.extremes(store, {"baseline": "model"}, {"a": "attack"}, 0, targets, runs.EXTREMES)
    order = np.argsort(-skill).tolist()
    for row in (figure.axes[:9], figure.axes[9:]):  # originals, reconstructions
        shown = [round(float(axis.images[0].get_array()[0, 0] * 255)) // 10 for axis in row]
        assert shown == order[:3] + order[11:14] + order[-3:]
    # A record's metrics are rounded, here until all are alike: the pictures it kept are those there are.
    store.write(records.attack_name("a", "baseline", 0), {}, **record | {"skill": np.ones(25)})
    assert len(figures.extremes(store, {"baseline": "model"}, {"a": "attack"}, 0, targets, runs.EXTREMES).axes) == 18
