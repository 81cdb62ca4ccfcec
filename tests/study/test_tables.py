import matplotlib.figure
import numpy as np
import pytest

from suppress_privacy.study import figures, records, tables

METRICS = ("relative_l2", "ssim", "ssim_range2", "confidence", "label_accuracy")
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
    assert len(lines) == 2 + 2 * len(METRICS)
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
    assert "over 2 trainings" in tables.coverage(summary)


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


def test_figures_are_drawn_from_records_alone(summary, tmp_path):
    assert isinstance(figures.documented_against_reproduced(summary), matplotlib.figure.Figure)
    history = {"loss": [1, 0.5], "test_accuracy": [0.5, 0.9], "sparsity": {"fc1.weight": [0, 0.9]}}
    assert len(figures.training_curves({"results": {"history": history}}).axes) == 3
    store = records.Records(tmp_path)
    images = np.zeros((3, 1, 32, 32), np.uint8)
    for arm, grey in zip(ARMS, (100, 200), strict=True):
        for attack, value in (("floor-mean", 50), ("reference-cpu", grey)):
            store.write(
                records.attack_name(attack, arm, 0), {}, label=np.arange(3), reconstruction=images + np.uint8(value)
            )
    titles = dict.fromkeys(ARMS, "model")
    figure = figures.reconstruction_grid(
        store, titles, {"floor-mean": "mean", "reference-cpu": "attack"}, 0, images / 255, 3
    )
    assert len(figure.axes) == (1 + 1 + 2) * 3  # the floor is alike for both models and stands once
