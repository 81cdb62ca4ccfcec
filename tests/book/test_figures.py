"""What is drawn is what the summary and the results hold, and can be read."""

import itertools
import re
from dataclasses import replace

import numpy as np
import pytest
from bs4 import BeautifulSoup
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text
from planted import of_gradients, planted
from skimage.color import deltaE_ciede2000, rgb2lab

from conftest import ROOT
from report import captions, charts, drawing, figures, findings, looks
from report.entries import VARIANTS
from report.figures import FIGURES
from suppress_privacy.evaluation.membership import roc
from suppress_study.pictures import Pictures
from suppress_study.plan import Study

CSS = (ROOT / "book" / "static" / "book.css").read_text()
PHONE = 358  # pixels that a column has on a screen of 390
LEAST = 11  # pixels of text
WHITE, DARK = (1, 1, 1), (18 / 255, 18 / 255, 18 / 255)  # of the theme's pages


def of_arm_and_metric(factors, attack, metric, judge):
    return len(factors["arm"]) / 100 + (0.3 if metric == "rank1" else 0) + len(attack) / 1000


@pytest.fixture(scope="module")
def report():
    return planted(value=of_arm_and_metric)


@pytest.fixture(scope="module")
def full():
    return planted("full", value=of_arm_and_metric)


@pytest.fixture(scope="module")
def shown(published, tmp_path_factory):
    """The published figures as pages have them, by name."""
    folder = tmp_path_factory.mktemp("figures")
    found = {name: figures.show(published, name, folder) for name in FIGURES}
    assert {path.stem: path.read_text() for path in folder.iterdir()} == {
        name: html.data for name, html in found.items() if html
    }
    return {name: html.data for name, html in found.items() if html}


def draw(name, report, width=looks.WIDE):
    return FIGURES[name].draw(report, width)


def drawn(axis):
    """Points of an axis by label: [K, 2]."""
    return {container.get_label(): container[0].get_xydata() for container in axis.containers}


def rows_of(axis):
    """Heights of an axis' rows by their names, which it does not show as labels of ticks."""
    heights = axis.yaxis.get_major_locator().locs
    return dict(zip(axis.yaxis.get_major_formatter().format_ticks(heights), heights, strict=True))


def strips(figure):
    """The grey of every picture of a figure, row by row; they are of one grey each."""
    side = 32 + drawing.GAP
    return [image.get_array()[0, ::side, 0].astype(int).tolist() for image in figure.axes[0].images]


def written(figure, monkeypatch):
    """What a figure writes, as it is drawn: text, points, place in pixels."""
    found, whole = [], Text.draw

    def draw(text, renderer):
        if text.get_visible() and text.get_text().strip():
            found.append((text.get_text(), text.get_fontsize(), text.get_window_extent(renderer)))
        whole(text, renderer)

    with monkeypatch.context() as patch:
        patch.setattr(Text, "draw", draw)
        FigureCanvasAgg(figure).draw()
    return found


def test_every_figure_is_drawn_and_told_in_words(full):
    for name, entry in FIGURES.items():
        assert draw(name, full) is not None
        said = entry.said(full)
        assert entry.alt.endswith(".") and said.endswith(f"{entry.caption}") and entry.caption.endswith(".")
        assert len(entry.alt) > 40 and re.match(r"(\*\*[^*]+\.\*\* )?[A-Z]", said), said


def test_a_figure_of_nothing_is_none(tmp_path):
    report = planted("quick")
    for name in ("smoothness", "gradients", "sweep"):
        assert figures.show(report, name, tmp_path) is None
    assert list(tmp_path.iterdir()) == []


# What can be read


def width_shown(kind):
    """The smallest width in pixels that a page shows a variant in, on a screen of 390 or a wider one."""
    narrowest = int(re.search(r"@container \(max-width: (\d+)px\)", CSS)[1])
    return PHONE if kind == "narrow" else narrowest


@pytest.mark.parametrize("name", FIGURES)
def test_text_is_large_enough_and_covers_no_other(published, monkeypatch, name):
    for kind, width in VARIANTS.items():
        figure = draw(name, published, width)
        if figure is None:  # the published run has nothing to show in it
            continue
        figure.set_dpi(looks.PIXELS)
        texts, (across, up) = written(figure, monkeypatch), figure.get_size_inches() * looks.PIXELS
        assert texts
        scale = min(1, width_shown(kind) / across)
        for text, points, box in texts:
            assert points * looks.PIXELS / 72 * scale >= LEAST, (kind, text)
            assert "$" not in text, f"{text}: its exponents are smaller"
            inside = box.x0 >= -1 and box.x1 <= across + 1 and box.y0 >= -1 and box.y1 <= up + 1
            assert inside, f"{kind}: {text!r} leaves the figure"
        for (one, _, box), (other, _, beside) in itertools.combinations(texts, 2):
            apart = box.shrunk(0.98, 0.6)  # between the lines of one text there is no room by design
            assert not apart.overlaps(beside.shrunk(0.98, 0.6)), f"{kind}: {one!r} and {other!r}"


def test_a_phone_has_no_wider_figure_than_it_shows():
    assert looks.NARROW * looks.PIXELS <= PHONE
    assert VARIANTS == {"wide": looks.WIDE, "narrow": looks.NARROW}


def contrast(one, other):
    """Of two colours as WCAG 2 has it."""

    def luminance(colour):
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in colour]
        return np.dot(linear, (0.2126, 0.7152, 0.0722))

    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def rgb(text):
    return tuple(int(text[at : at + 2], 16) / 255 for at in (1, 3, 5))


def test_families_can_be_read_on_light_and_on_dark_pages_in_the_colours_of_the_style_sheet():
    said = dict(re.findall(r"--figure-([\w-]+): (#\w+);", CSS))
    for family in looks.FAMILIES:
        assert contrast(rgb(family.colour), WHITE) >= 4.5 and contrast(rgb(family.dark), DARK) >= 4.5, family
        assert said.pop(family.name.replace(" ", "-")) == family.dark
    assert said.keys() == {"muted", "band"}
    assert contrast(rgb(looks.MUTED), WHITE) >= 4.5 and contrast(rgb(said["muted"]), DARK) >= 4.5


# Machado, Oliveira & Fernandes 2009, severity 1, on linear light.
BLINDNESS = {
    "none": np.eye(3),
    "protan": np.array(
        [(0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998)]
    ),
    "deutan": np.array(
        [(0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.011820, 0.042940, 0.968881)]
    ),
}


@pytest.mark.parametrize("page", ["colour", "dark"])
@pytest.mark.parametrize("kind", BLINDNESS)
def test_families_are_told_apart_by_colour_in_the_usual_blindnesses_and_by_marker(kind, page):
    def seen(family):
        linear = BLINDNESS[kind] @ np.array(rgb(getattr(family, page))) ** 2.2
        return rgb2lab(np.clip(linear, 0, 1) ** (1 / 2.2))

    main = looks.FAMILIES[:5]  # the others have one row each
    for one, other in itertools.combinations(main, 2):
        assert deltaE_ciede2000(seen(one), seen(other)) > 8, (one.name, other.name)
    assert len({family.marker for family in looks.FAMILIES}) == len(looks.FAMILIES)


def test_networks_have_the_colour_and_marker_of_their_family_everywhere(full):
    families = {arm.title: looks.family_of(full, arm) for arm in full.summary.arms}
    assert families["ordinary"] == looks.ORDINARY and families["untrained"] == looks.UNTRAINED
    assert families["suppressed to 50 %"] == families["MindArmour itself (example)"] == looks.SUPPRESSED
    assert families["masked at random"] == families["pruned and fine-tuned"] == looks.PRUNED
    assert families["noise on the features"] == looks.NOISE and families["DP-SGD, epsilon 3"] == looks.PRIVATE
    assert families["ordinary, stopped at the suppressed one's accuracy"] == looks.ORDINARY
    for name in ("trade_off", "rank", "ladder", "depth", "smoothness", "documented"):
        for axis in draw(name, full).axes:
            for line, family in ((each[0], families.get(each.get_label())) for each in axis.containers):
                assert family is None or (line.get_color(), line.get_marker()) == (family.colour, family.marker), name


# What a page has of them


def test_a_page_has_text_as_text_in_its_own_font_and_in_colours_of_its_theme(shown):
    palette = {looks.INK, looks.PAPER, looks.MUTED, looks.BAND, *(family.colour for family in looks.FAMILIES)}
    assert sum(map(len, shown.values())) < 3_000_000
    for name, html in shown.items():
        soup = BeautifulSoup(html, "html.parser")
        assert [each["class"] for each in soup.select("svg")] == [["wide"], ["narrow"]], name
        assert {each["aria-label"] for each in soup.select("svg[role=img]")} == {FIGURES[name].alt}
        assert len(soup.select("svg text")) >= 4
        assert set(re.findall(r"font-family: ([^;\"]*)", html)) == {"var(--pst-font-family-base, sans-serif)"}
        alone = re.sub(r"var\([^()]*\)", "", html)
        assert not palette & set(re.findall(r"#[0-9a-f]{6}", alone)), name
        assert "\n\n" not in html  # which would end the element, in Markdown


def test_identifiers_are_unique_on_a_page_of_all_figures_and_referred_to(shown):
    soup = BeautifulSoup("".join(shown.values()), "html.parser")
    ids = [each["id"] for each in soup.select("[id]")]
    assert len(ids) == len(set(ids)) > 100
    text = "".join(shown.values())
    referred = set(re.findall(r"(?:url\(|href=\")#([^\")]+)", text))
    assert referred <= set(ids) and set(ids) - referred == {f"figure-{name}" for name in shown}
    assert not re.search(r"href=\"(?!#|data:)", text)


def test_the_same_results_give_the_same_page(published, shown, tmp_path):
    for name in ("sweep", "reading"):
        assert figures.show(published, name, tmp_path).data == shown[name]


# Values


def test_the_ladder_has_a_row_an_attack_and_a_marker_a_model(report):
    skill, rank1 = draw("ladder", report).axes
    points = drawn(skill)
    assert list(points) == ["ordinary", "suppressed (example)", "no model looked at"]
    # baseline, 8 letters; black and mean come first and look at none; the ordinary model stands a little above its row
    assert points["ordinary"][-1] == pytest.approx([0.08 + len("ridge-shuffled") / 1000, 8.88])
    assert points["no model looked at"] == pytest.approx(np.array([[0.045, 0], [0.044, 1]]))
    assert drawn(rank1)["suppressed (example)"][0] == pytest.approx([0.18 + 0.3 + 0.01, 2.12])
    assert rows_of(skill) == {attack.title: row for row, attack in enumerate(report.ladder)}
    low, high = skill.containers[0].lines[2][0].get_segments()[0][:, 0]
    assert high - low == pytest.approx(0.02)


def test_a_very_bad_attack_is_cut_off():
    report = planted(value=lambda *_: -50)
    assert draw("ladder", report).axes[0].get_xlim()[0] == draw("ladder_by_model", report).axes[0].get_xlim()[0] == -1


@pytest.mark.parametrize("width", VARIANTS.values())
def test_documented_figures_are_broken_lines(report, width):
    figure = draw("documented", report, width)
    confidence = figure.axes[3]
    broken = {line.get_label(): line.get_xdata()[0] for line in confidence.lines if line.get_linestyle() in ("--", ":")}
    assert broken == {
        "ordinary, documented": pytest.approx(0.9547, abs=1e-4),
        "suppressed (example), documented": pytest.approx(0.5576, abs=1e-4),
    }
    assert not [line for line in figure.axes[2].lines if line.get_linestyle() == "--"]  # SSIM at range 1
    assert {text.get_text() for text in figure.legends[0].get_texts()} >= broken.keys()


@pytest.mark.parametrize("width", VARIANTS.values())
def test_networks_stand_in_their_families_by_what_leaks_with_their_figures_beside(full, monkeypatch, width):
    figure = draw("trade_off", full, width)
    (axis,), arms = figure.axes, {arm.title: arm for arm in full.summary.arms}
    found = drawn(axis)
    assert found.keys() == arms.keys()
    for title, ((leak, _),) in found.items():
        assert leak == pytest.approx(100 * full.strongest("rank1", arms[title]).mean)
    assert rows_of(axis) == {title: height for title, ((_, height),) in found.items()}
    titles = [*rows_of(axis)]
    order = [(looks.FAMILIES.index(looks.family_of(full, arms[one])), found[one][0, 0]) for one in titles]
    assert order == sorted(order)
    texts = [text for text, *_ in written(figure, monkeypatch)]
    for arm in arms.values():
        assert f"{100 * np.mean(arm.test_accuracy):.1f}" in texts and f"{found[arm.title][0, 0]:.0f}" in texts
    band = full.strongest("rank1", full.pair[0])
    assert axis.patches[0].get_x() == pytest.approx(100 * band.low)
    assert axis.patches[0].get_width() == pytest.approx(100 * (band.high - band.low))


def test_attacks_on_all_networks_have_a_marker_each(full):
    axis = draw("ladder_by_model", full).axes[0]
    arm = next(arm for arm in full.summary.arms if arm.title == "untrained")
    ((skill, at),) = drawn(axis)["decoder network, untrained"]
    assert skill == pytest.approx(full.strongest("skill", arm).mean) and at == pytest.approx(
        rows_of(axis)["untrained"], abs=0.06
    )
    markers = {each.get_label().partition(",")[0]: each[0].get_marker() for each in axis.containers}
    assert len(set(markers.values())) == len(markers) == len(full.ladder) - 3
    # without what looks at no model, and without what can learn nothing from one
    assert [text.get_text() for text in axis.figure.legends[0].get_texts()] == [*markers]


def test_rank_is_drawn_against_skill_and_names_cover_nothing(full):
    axis = draw("rank", full).axes[0]
    arm = full.summary.arms[3]
    assert drawn(axis)[arm.title][0] == pytest.approx([33, full.strongest("skill", arm).mean])
    named = {text.get_text() for text in axis.texts}
    assert "noise on the features" in named or "ordinary" in named


def test_names_are_written_where_there_is_room_for_them():
    _, (axis,) = looks.panels(1, looks.WIDE, 2)
    axis.set(xlim=(0, 1), ylim=(0, 1))
    at = [charts.Estimate(x, x, x, 1) for x in (0.5, 0.5, 0.1)]
    many = [(at[0], at[0], "first", looks.INK), *[(at[1], at[1], f"another {one}", looks.INK) for one in range(30)]]
    charts.name_points(axis, [*many, (at[2], at[2], "far away", looks.INK)])
    named = [text.get_text() for text in axis.texts]
    assert named[0] == "first" and named[-1] == "far away" and len(named) < 30


def test_the_sweep_begins_with_all_weights_and_goes_down(full):
    identified, accuracy = draw("sweep", full).axes
    points = drawn(identified)
    assert points["suppressed"][:, 0] == pytest.approx([2, 5, 10, 20, 50])
    control = full.arm("dense-sgd")
    assert points[control.title] == pytest.approx(np.array([[100, 100 * full.strongest("rank1", control).mean]]))
    broken = [
        line.get_ydata()[0] for line in accuracy.lines if line.get_linestyle() == "--" and len(line.get_xdata()) == 2
    ]
    assert broken == pytest.approx([100 * np.mean(control.test_accuracy)])
    swept = [np.mean(full.sweep[share].test_accuracy) for share in sorted(full.sweep, reverse=True)]
    assert drawn(accuracy)["suppressed"][:, 1] == pytest.approx(100 * np.array(swept))
    low, high = accuracy.containers[0].lines[2][0].get_segments()[1][:, 1]  # the example's own, over five seeds
    found = full.sweep[0.95].test_accuracy
    assert (low, high) == pytest.approx((100 * min(found), 100 * max(found)))


def test_smoothness_is_shown_on_one_scale_with_both_devices_marked(full):
    axis = draw("smoothness", full).axes[0]
    assert drawn(axis)["ordinary"][:, 0].tolist() == [0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1]
    assert {text.get_text(): text.xy[0] for text in axis.texts} == {"CPU": 0.1, "Ascend": pytest.approx(0.1 / 32)}


def test_depths_are_differences_in_the_order_of_the_network(full):
    figure = draw("depth", full)
    assert [axis.get_title() for axis in figure.axes] == ["tuned inversion", "ridge decoder", "decoder network"]
    apart = (len("suppressed-example") - len("baseline")) / 100
    points = drawn(figure.axes[1])
    assert points["suppressed (example)"] == pytest.approx(np.array([[at, apart] for at in range(5)]))
    assert len(points) == 3 and "ordinary" not in points
    assert [tick.get_text() for tick in figure.axes[0].get_xticklabels()] == ["conv1", "conv2", "fc1", "fc2", "logits"]


def test_a_roc_is_of_the_runs_own_scores_over_their_seeds(full):
    axis = draw("roc", full).axes[1]
    assert axis.get_title() == "LiRA" and axis.get_xscale() == axis.get_yscale() == "log"
    line = next(line for line in axis.lines if line.get_label() == "suppressed (example)")
    at = line.get_xdata()
    rates = []
    for name in full.runs(full.pair[1].factors, full.seeing("outputs")[1]).values():
        run = full.results.arrays(name)
        curve = roc(run.score.to_numpy(), run.member.to_numpy())
        steps = zip(curve.false_positive_rate, curve.true_positive_rate, strict=True)
        steps = [*steps]
        rates.append([max(found for rate, found in steps if rate <= one * (1 + 1e-12)) for one in at])
    assert len(rates) > 1 and line.get_ydata() == pytest.approx(np.mean(rates, axis=0))


def test_digits_stand_under_their_originals(report):
    rows, firsts = strips(draw("grid", report)), range(0, 30, 3)
    assert rows[0] == [5 * target for target in firsts]
    assert rows[1:] == [[5 * target + 1 for target in firsts]] * (2 * 3)
    assert strips(draw("grid", report, looks.NARROW)) == rows
    # three attacks on gradients, of those that are strong; this profile makes them on one network
    assert {run.factors["attack"] for run in of_gradients("smoke")} > {"analytic", "dlg", "idlg"}
    assert len(strips(draw("gradients", report))) == 1 + 3


def test_of_each_kind_the_network_that_leaks_least_is_shown_with_its_figures(full, monkeypatch):
    figure = draw("grid_all", full)
    leaks = {}
    for arm in full.summary.arms:
        leaks.setdefault(looks.family_of(full, arm), []).append((full.strongest("rank1", arm).mean, arm))
    least = [min(found, key=lambda one: one[0])[1] for found in leaks.values()]
    assert len(strips(figure)) == 1 + len(least)
    texts = [text for text, *_ in written(figure, monkeypatch)]
    for arm in least:
        assert {f"{100 * np.mean(arm.test_accuracy):.1f} %", f"{100 * full.strongest('rank1', arm).mean:.0f} %"} <= {
            *texts
        }


def test_the_extremes_are_the_same_images_on_both_networks_from_best_to_worst(report):
    rows = strips(draw("extremes", report))
    assert len(rows) == 3 * 3
    runs = [report.picture(report.learned[0], arm.factors) for arm in report.pair]
    kept = set.intersection(*(set(report.results.pictures.images[run]) for run in runs))
    found = (report.results.arrays(run) for run in runs)
    skill = sum(rows[rows.evaluator == ""].set_index("image").skill for rows in found)
    order = sorted(kept, key=lambda target: -skill[target])
    assert rows[0][:3] + rows[0][6:] == [5 * target for target in order[:3] + order[-3:]]
    assert rows[1] == rows[2] == [grey + 1 for grey in rows[0]]
    assert 5 * order[len(order) // 2] in rows[0][3:6]


def test_extremes_of_rounded_skill_are_among_those_kept(report):
    """Here rounded until all are alike: the pictures that were kept are those there are."""
    images = report.results.images.assign(skill=1.0)
    alike = replace(report, results=replace(report.results, images=images))
    assert {len(row) for row in strips(draw("extremes", alike))} == {9}


def test_how_to_read_shows_pictures_of_the_skill_and_the_verdict_that_it_says(report, monkeypatch):
    figure = draw("reading", report)
    texts = [text for text, *_ in written(figure, monkeypatch)]
    skills = [float(text.removeprefix("skill ")) for text in texts if text.startswith("skill")]
    assert skills == pytest.approx([0, 0.5, 1], abs=0.1)
    verdicts = [text for text in texts if text.endswith("identified")]
    assert verdicts == ["identified" if skill > 0.5 else "not identified" for skill in skills]
    above, below = strips(figure)
    assert below == [grey + 1 for grey in above]


def test_objectives_fall_over_the_steps_there_were(report):
    axis = draw("convergence", report).axes[0]
    line = axis.lines[0]
    assert line.get_label() == "tuned inversion, ordinary" and len(axis.lines) == 2
    steps, medians = line.get_xdata().tolist(), line.get_ydata().tolist()
    assert (steps, medians) == ([0, 10, 20], [4, 3, 2])  # 20 steps in this profile
    assert Study.load().variant("smoke", "tuned").settings["iters"] == 20


def test_the_schedule_is_the_settings(full):
    axis = draw("schedule", full).axes[0]
    line = next(line for line in axis.lines if line.get_label() == "target")
    at, zeros = line.get_xdata(), line.get_ydata()
    inside = at > 2.01  # from the third epoch on; cubic, to 95 %
    assert zeros[at < 1.99] == pytest.approx(0) and zeros[inside] == pytest.approx(
        95 * (1 - (1 - (at[inside] - 2) / 8) ** 3), abs=0.1
    )
    half = float(re.search(r"after ([\d.]+) of 10 epochs", captions.schedule(full))[1])
    assert np.interp(half, at, zeros) == pytest.approx(95 / 2, abs=1.5)  # an epoch is rounded to a tenth


@pytest.mark.parametrize("width", VARIANTS.values())
def test_the_diagram_says_who_sees_what_and_by_which_attacks(full, monkeypatch, width):
    text = " ".join(text for text, *_ in written(draw("threat_model", full, width), monkeypatch))
    for said in (
        "private image",
        "conv1 … fc1",
        "fc2 … logits",
        "sees features",
        "sees gradients",
        "sees outputs",
        "LiRA",
    ):
        assert said in text


def test_findings_turn_with_the_results():
    def leak(low):
        return lambda factors, attack, metric, judge: low if factors["arm"] == "feature-noise" else 0.5

    private, alike = (planted("quick", value=leak(share)) for share in (0.1, 0.5))
    assert "Clearly less: noise on the features (10 %). Clearly more: 0 of" in captions.trade_off(private)
    assert "Clearly less: none." in captions.trade_off(alike)
    assert captions.rank(alike) == ""
    rising = planted("quick", value=lambda factors, *_: len(factors["arm"]) / 100)
    words = captions.rank(rising)
    assert ("the more leaks" in words) == (float(re.search(r"[+-][\d.]+", words)[0]) > findings.RELATED)


def test_what_is_at_hand_is_drawn_without_a_report():
    pictures = Pictures({"a": {3: np.full((1, 4, 4), 7, np.uint8)}}, {3: np.full((1, 4, 4), 9, np.uint8)})
    figure = drawing.reconstruction_grid(pictures, [("an attack", "a"), ("on membership", "b")], [3])
    assert [text.get_text() for text in figure.axes[0].texts] == ["original", "an attack"]
    assert [image.get_array()[0, 0, 0] for image in figure.axes[0].images] == [9, 7]
    assert drawing.reconstruction_grid(pictures, [], [3]) is None
    # What a run has no picture of is blank, what none has is left out.
    (seven,), (nine,) = pictures.images["a"].values(), pictures.originals.values()
    others = Pictures({"a": {3: seven, 5: seven}, "b": {5: seven}}, {3: nine, 5: nine})
    rows = drawing.reconstruction_grid(others, [("a", "a"), ("b", "b")], [3, 4, 5]).axes[0].images
    first = [image.get_array()[0, :: 4 + drawing.GAP, 0].tolist() for image in rows]
    assert first == [[9, 9], [7, 7], [255, 7]]
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


def test_lines_of_one_panel_are_told_apart():
    seen = [tuple(drawing.look_of(number).values()) for number in range(28)]
    assert len(set(seen)) == 28


def test_a_legend_says_each_line_once_in_its_colour():
    figure = drawing.layer_report({"fc1.weight": {"weights": 10, "suppressed": 9, "target": 9}})
    colours = {text.get_text(): text.get_color() for text in figure.legends[0].get_texts()}
    assert colours == {"suppressed": looks.SUPPRESSED.colour, "target": looks.INK}


def test_images_of_three_channels_are_drawn_in_their_colours():
    rng = np.random.default_rng(0)
    first, second = rng.integers(0, 256, (2, 3, 5, 4), np.uint8)
    figure = drawing.strips([drawing.Strip("above", [first]), drawing.Strip("below", [second, second])][:1])
    shown = figure.axes[0].images[0].get_array()
    np.testing.assert_array_equal(shown[:5, :4, :3], first.transpose(1, 2, 0))
    assert (shown[:5, :4, 3] == 255).all() and (shown[5:, :, 3] == 0).all() and (shown[:, 4:, 3] == 0).all()
