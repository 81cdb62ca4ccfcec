"""What is drawn is what the summary and the results hold."""

from dataclasses import replace

import numpy as np
import pytest
from planted import of_gradients, planted

from report import drawing, figures
from report.figures import FIGURES
from suppress_privacy.evaluation.membership import roc
from suppress_study.pictures import Pictures
from suppress_study.plan import Study


def of_arm_and_metric(factors, attack, metric, judge):
    return len(factors["arm"]) / 100 + (0.3 if metric == "rank1" else 0) + len(attack) / 1000


@pytest.fixture(scope="module")
def report():
    return planted(value=of_arm_and_metric)


@pytest.fixture(scope="module")
def full():
    return planted("full", value=of_arm_and_metric)


def drawn(axis):
    """Points of an axis by label: [K, 2]."""
    return {container.get_label(): container[0].get_xydata() for container in axis.containers}


def strips(figure):
    """The grey of every picture of a grid, row by row; they are of one grey each."""
    picture = figure.axes[0].images[0].get_array().filled(np.nan)
    return picture[:: 32 + drawing.GAP, :: 32 + drawing.GAP].astype(int).tolist()


def test_every_figure_of_the_full_profile_is_drawn_and_told_in_words(full, tmp_path):
    for name, entry in FIGURES.items():
        image = figures.show(full, name, tmp_path)
        assert (tmp_path / f"{name}.png").read_bytes() == image.data and image.alt == entry.alt
        assert entry.alt.endswith(".") and entry.caption.endswith(".") and len(entry.alt) > 40


def test_a_figure_of_nothing_is_none(tmp_path):
    report = planted("quick")
    for name in ("smoothness", "gradients", "sweep"):
        assert figures.show(report, name, tmp_path) is None
    assert list(tmp_path.iterdir()) == []


def test_the_ladder_has_a_row_an_attack_and_a_marker_a_model(report):
    skill, rank1 = figures.ladder(report).axes
    points = drawn(skill)
    assert list(points) == ["ordinary", "suppressed (example)", "no model looked at"]
    # baseline, 8 letters; black and mean come first and look at none; the ordinary model stands a little above its row
    assert points["ordinary"][-1] == pytest.approx([0.08 + len("ridge-shuffled") / 1000, 8.9 + 0])
    assert points["no model looked at"] == pytest.approx(np.array([[0.045, 0], [0.044, 1]]))
    assert drawn(rank1)["suppressed (example)"][0] == pytest.approx([0.18 + 0.3 + 0.01, 2.1])
    assert [tick.get_text() for tick in skill.get_yticklabels()] == [attack.title for attack in report.ladder]
    low, high = skill.containers[0].lines[2][0].get_segments()[0][:, 0]
    assert high - low == pytest.approx(0.02)


def test_a_very_bad_attack_is_cut_off():
    report = planted(value=lambda *_: -50)
    assert figures.ladder(report).axes[0].get_xlim()[0] == -1


def test_documented_figures_are_dashed_lines(report):
    figure = figures.documented(report)
    confidence = figure.axes[3]
    dashed = {line.get_label(): line.get_xdata()[0] for line in confidence.lines if line.get_linestyle() == "--"}
    assert dashed == {
        "ordinary, documented": pytest.approx(0.9547, abs=1e-4),
        "suppressed (example), documented": pytest.approx(0.5576, abs=1e-4),
    }
    assert not [line for line in figure.axes[2].lines if line.get_linestyle() == "--"]  # SSIM at range 1
    assert {text.get_text() for text in figure.axes[5].get_legend().get_texts()} >= dashed.keys()


def test_figures_of_all_models_tell_them_apart(full):
    for figure in (figures.trade_off(full), figures.rank(full)):
        looks = [(each[0].get_color(), each[0].get_marker()) for each in figure.axes[0].containers]
        assert len(looks) == len(full.summary.arms) == len(set(looks)) > 17
        assert {text.get_text() for text in figure.legends[0].get_texts()} == {arm.title for arm in full.summary.arms}
    arm = full.summary.arms[3]
    strongest = len(arm.factors["arm"]) / 100 + len("decoder") / 1000
    at = drawn(figures.trade_off(full).axes[0])[arm.title][0]
    assert at == pytest.approx([np.mean([100 * (1 - accuracy) for accuracy in arm.test_accuracy]), strongest])
    assert drawn(figures.rank(full).axes[0])[arm.title][0] == pytest.approx([33, strongest])
    by_model = figures.ladder_by_model(full).axes[0]
    assert [tick.get_text() for tick in by_model.get_yticklabels()] == [arm.title for arm in full.summary.arms]
    assert drawn(by_model)["decoder network"][3] == pytest.approx([strongest, 3])
    # without what looks at no model, and without what can learn nothing from one
    assert list(drawn(by_model)) == [attack.title for attack in full.ladder[2:-1]]


def test_errors_can_be_read_off_whether_models_are_alike_or_not(full):
    def labels(figure):
        figure.canvas.draw()
        axis = figure.axes[0].xaxis
        shown = [label.get_text() for label in (*axis.get_majorticklabels(), *axis.get_minorticklabels())]
        return [float(label) for label in shown if label]

    assert {2, 3, 5} <= set(labels(figures.trade_off(full)))
    alike = replace(full, summary=full.summary.model_copy(update={"arms": full.summary.arms[-2:]}))
    assert len(labels(figures.trade_off(alike))) > 1


def test_the_sweep_is_in_the_order_of_sparsity(full):
    accuracy, skill, _ = figures.sweep(full).axes
    assert skill.containers[0][0].get_xydata()[:, 0].tolist() == [50, 80, 90, 95, 98]
    swept = [np.mean(full.sweep[share].test_accuracy) for share in sorted(full.sweep)]
    assert accuracy.containers[0][0].get_ydata() == pytest.approx(100 * np.array(swept))
    low, high = accuracy.containers[0].lines[2][0].get_segments()[3][:, 1]  # the example's own, over five seeds
    found = full.sweep[0.95].test_accuracy
    assert (low, high) == pytest.approx((100 * min(found), 100 * max(found)))


def test_smoothness_is_shown_on_one_scale_with_both_devices_marked(full):
    axis = figures.smoothness(full).axes[0]
    assert drawn(axis)["ordinary"][:, 0].tolist() == [0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1]
    assert {text.get_text(): text.xy[0] for text in axis.texts} == {"CPU": 0.1, "Ascend": pytest.approx(0.1 / 32)}


def test_depths_are_in_the_order_of_the_network(full):
    figure = figures.depth(full)
    assert [axis.get_title() for axis in figure.axes] == ["tuned inversion", "ridge decoder", "decoder network"]
    assert drawn(figure.axes[1])["ordinary"] == pytest.approx(np.array([[at, 0.085] for at in range(5)]))
    assert len(drawn(figure.axes[1])) == 4
    assert [tick.get_text() for tick in figure.axes[0].get_xticklabels()] == ["conv1", "conv2", "fc1", "fc2", "logits"]


def test_a_roc_is_of_the_runs_own_scores(full):
    axis = figures.roc(full).axes[1]
    assert axis.get_title() == "LiRA" and axis.get_xscale() == axis.get_yscale() == "log"
    run = full.results.arrays(full.runs(full.pair[1].factors, full.seeing("outputs")[1])[0])
    curve = roc(run.score.to_numpy(), run.member.to_numpy())
    line = next(line for line in axis.lines if line.get_label() == "suppressed (example)")
    assert np.array_equal(line.get_ydata(), curve.true_positive_rate)


def test_digits_stand_under_their_originals(report):
    figure = figures.grid(report)
    rows = strips(figure)
    firsts = range(0, 30, 3)
    assert rows[0] == [5 * target for target in firsts]
    assert rows[1:] == [[5 * target + 1 for target in firsts]] * (2 + 2 * 8)
    assert [tick.get_text() for tick in figure.axes[0].get_yticklabels()][:4] == [
        *("original", "black image", "mean image", "class mean:\nordinary")
    ]
    # a row a run: the profile has one seed
    assert len(strips(figures.gradients(report))) == 1 + len(of_gradients("smoke"))
    assert len(strips(figures.grid_all(report))) == 1 + 4


def test_the_extremes_shown_are_the_best_the_middle_and_the_worst(report):
    rows = strips(figures.extremes(report))
    assert len(rows) == 2 * 2 * 3
    run = report.shown(report.learned, report.pair)[0][1]
    found = report.results.arrays(run)
    order = found[found.evaluator == ""].sort_values("skill", ascending=False).image.tolist()
    shown = order[:3] + order[13:16] + order[-3:]
    assert sorted(rows[0][3:6]) == sorted(5 * target for target in shown[3:6])
    assert rows[0][:3] + rows[0][6:] == [5 * target for target in shown[:3] + shown[6:]]
    assert rows[1] == [grey + 1 for grey in rows[0]]


def test_extremes_of_rounded_skill_are_among_those_kept(report):
    """Here rounded until all are alike: the pictures that were kept are those there are."""
    images = report.results.images.assign(skill=1.0)
    alike = replace(report, results=replace(report.results, images=images))
    assert {len(row) for row in strips(figures.extremes(alike))} == {9}


def test_objectives_fall_over_the_steps_there_were(report):
    axis = figures.convergence(report).axes[0]
    line = axis.lines[0]
    assert line.get_label() == "tuned inversion, ordinary" and len(axis.lines) == 2
    assert (line.get_xdata().tolist(), line.get_ydata().tolist()) == (
        [0, 10, 20],
        [4, 3, 2],
    )  # 20 steps in this profile
    assert Study.load().variant("smoke", "tuned").settings["iters"] == 20


def test_what_is_at_hand_is_drawn_without_a_report():
    pictures = Pictures({"a": {3: np.full((1, 4, 4), 7, np.uint8)}}, {3: np.full((1, 4, 4), 9, np.uint8)})
    figure = drawing.reconstruction_grid(pictures, [("an attack", "a"), ("on membership", "b")], [3])
    assert [tick.get_text() for tick in figure.axes[0].get_yticklabels()] == ["original", "an attack"]
    assert set(np.unique(figure.axes[0].images[0].get_array().compressed())) == {7, 9}
    assert drawing.reconstruction_grid(pictures, [], [3]) is None
    # What a run has no picture of is blank, what none has is left out.
    (seven,), (nine,) = pictures.images["a"].values(), pictures.originals.values()
    others = Pictures({"a": {3: seven, 5: seven}, "b": {5: seven}}, {3: nine, 5: nine})
    (shown,) = drawing.reconstruction_grid(others, [("a", "a"), ("b", "b")], [3, 4, 5]).axes[0].images
    counts = [int((shown.get_array().compressed() == value).sum()) for value in (7, 9)]
    assert counts == [3 * seven.size, 2 * nine.size]
    assert drawing.convergence(pictures, [("an attack", "a", 10)]) is None


def test_a_training_is_drawn_epoch_by_epoch():
    history = {"loss": [1, 0.5], "test_accuracy": [0.5, 0.9], "sparsity": {"fc1.weight": [0, 0.9]}}
    loss, accuracy, zeros = drawing.training_curves(history).axes
    assert loss.lines[0].get_xydata().tolist() == [[1, 1], [2, 0.5]]
    assert accuracy.lines[0].get_ydata().tolist() == [50, 90]
    assert (zeros.lines[0].get_label(), zeros.lines[0].get_ydata().tolist()) == ("fc1", [0, 90])
    assert drawing.training_curves({"loss": []}) is None


def test_layers_are_drawn_against_their_targets():
    layer = {"weights": 2000, "suppressed": 1900, "target": 1800}
    axis = drawing.layer_report({"features.0.weight": layer, "head.weight": layer}).axes[0]
    assert [label.get_text() for label in axis.get_yticklabels()] == ["features.0.weight", "head.weight"]
    assert [patch.get_width() for patch in axis.patches] == [95, 95]
    assert axis.collections[0].get_offsets().tolist() == [[90, 0], [90, 1]]
    assert drawing.layer_report({}) is None


def test_looks_are_told_apart_up_to_49():
    looks = [tuple(drawing.look_of(number).values()) for number in range(49)]
    assert len(set(looks)) == 49


def test_images_of_three_channels_are_drawn_in_their_colours():
    rng = np.random.default_rng(0)
    first, second = rng.integers(0, 256, (2, 3, 5, 4), np.uint8)
    figure = drawing.image_rows([("above", [first]), ("below", [second])])
    shown = figure.axes[0].images[0].get_array()
    np.testing.assert_array_equal(shown[:5, :4], first.transpose(1, 2, 0))
    np.testing.assert_array_equal(shown[5 + drawing.GAP :][:5, :4], second.transpose(1, 2, 0))
