"""A figure's data are what is drawn: the same points stand in its SVG, and each picture's run made that picture."""

import io
import xml.etree.ElementTree as ET

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from planted import planted

from report import data
from report.drawing import reconstruction_grid
from report.figures import FIGURES
from suppress_study.pictures import Pictures

SVG = "{http://www.w3.org/2000/svg}"
HREF = "{http://www.w3.org/1999/xlink}href"
POINTS, CLOSE = 72, 0.02  # an inch of SVG; and how far rounding moves a point there
OF_PICTURES = ("overview", "grid", "grid_all", "gradients", "extremes", "reading")
SIDE = 35  # of a picture with the gap beside it


@pytest.fixture(scope="module")
def report():
    return planted("full", value=lambda factors, attack, metric, judge: len(factors["arm"]) / 100 + len(attack) / 1000)


def in_svg(figure):
    """Where the SVG of a figure has markers and corners of lines, panel by panel: arrays [K, 2] in points."""
    with plt.rc_context({"path.simplify": False}), io.BytesIO() as file:
        figure.savefig(file, format="svg")
        root = ET.fromstring(file.getvalue())
    found = []
    for panel in root.iter(f"{SVG}g"):
        if not (panel.get("id") or "").startswith("axes_"):
            continue
        groups = [each for each in panel.iter(f"{SVG}g") if each.get("id")]
        beside = ("matplotlib.axis", "text_", "legend_")
        ticks = {id(part) for each in groups if each.get("id").startswith(beside) for part in each.iter()}
        uses = [each for each in panel.iter(f"{SVG}use") if id(each) not in ticks]
        paths = [each for each in panel.iter(f"{SVG}path") if id(each) not in ticks and each.get("d")]
        places = [(use.get("x"), use.get("y")) for use in uses] + [at for path in paths for at in corners(path)]
        for band in (
            each for each in groups if "PolyCollection" in each.get("id")
        ):  # moved up from where it is written
            (height,) = {float(use.get("y")) for use in band.iter(f"{SVG}use")}
            places += [(x, height + float(y)) for path in band.iter(f"{SVG}path") for x, y in corners(path)]
        found.append(np.array(places, float).reshape(-1, 2))
    return found


def corners(path):
    words = path.get("d").split()
    return [words[at + 1 : at + 3] for at, word in enumerate(words) if word in ("M", "L")]


def as_read(frame):
    """A table as who takes its CSV has it."""
    return pd.read_csv(io.StringIO(frame.to_csv(index=False)))


def in_points(axis, x, y):
    """Data as the SVG has them: from above, in points."""
    at = axis.transData.transform(np.column_stack([x, y])) / axis.figure.dpi * POINTS
    height = axis.figure.get_figheight() * POINTS
    return np.column_stack([at[:, 0], height - at[:, 1]])


def distances(points, others):
    """From each point to the nearest of the others."""
    return np.array([np.hypot(*(others - point).T).min() for point in points])


def inside(axis, rows):
    """Rows with both coordinates that lie within a panel."""
    (left, right), (low, high) = sorted(axis.get_xlim()), sorted(axis.get_ylim())
    return rows[rows.x.between(left, right) & rows.y.between(low, high)]


@pytest.mark.parametrize("name", [name for name in FIGURES if name not in (*OF_PICTURES, "threat_model")])
def test_a_figures_data_are_the_points_of_its_svg(report, name):
    with plt.rc_context({"path.simplify": False}):
        figure = FIGURES[name].draw(report)
    shown = as_read(data.of_figure(figure, report.results.pictures))
    drawn = in_svg(figure)  # which also lays it out
    for number, axis in enumerate(figure.axes, 1):
        rows = shown[shown.panel == number]
        if not len(rows):
            continue
        points = inside(axis, rows.reindex(columns=["x", "y"]).dropna())
        assert distances(in_points(axis, points.x, points.y), drawn[number - 1]).max() < CLOSE
        for which, other in (("x", "y"), ("y", "x")):  # the ends of its intervals
            for end in (f"{which}_low", f"{which}_high"):
                if end in rows and other in rows:
                    ends = rows[[end, other]].dropna().rename(columns={end: which})
                    ends = inside(axis, ends)
                    assert distances(in_points(axis, ends.x, ends.y), drawn[number - 1]).max(initial=0) < CLOSE


def test_every_marker_of_a_svg_is_in_the_data(report):
    """The other way round, of panels with markers alone."""
    figure = FIGURES["ladder"].draw(report)
    shown, drawn = data.of_figure(figure, report.results.pictures), in_svg(figure)
    for number, axis in enumerate(figure.axes, 1):
        rows = shown[(shown.panel == number) & shown.x.notna() & shown.y.notna()]
        known = [(rows.x, rows.y), (rows.x_low, rows.y), (rows.x_high, rows.y)]
        places = np.concatenate([in_points(axis, x, y) for x, y in known])
        box = axis.get_window_extent().transformed(axis.figure.dpi_scale_trans.inverted())
        height = axis.figure.get_figheight()
        within = [
            (x, y)
            for x, y in drawn[number - 1]
            if box.x0 < x / POINTS < box.x1 and box.y0 < height - y / POINTS < box.y1
        ]
        line = in_points(axis, [0], [0])[0, 0]  # the line at the mean image
        marked = np.array([(x, y) for x, y in within if abs(x - line) > 1])
        assert len(marked) > 50 and distances(marked, places).max() < CLOSE


def test_rows_have_the_words_of_their_axes(report):
    shown = data.of_figure(FIGURES["ladder"].draw(report), report.results.pictures)
    skill = report.estimate("skill", report.pair[1].factors, report.ladder[3])
    (row,) = shown[
        (shown.panel == 1) & (shown.series == report.pair[1].title) & (shown.y_name == report.ladder[3].title)
    ].itertuples()
    assert (row.x, row.x_low, row.x_high, row.x_axis) == (
        skill.mean,
        skill.low,
        skill.high,
        "skill against the mean image",
    )


def test_bars_bands_clouds_and_lines_are_read_as_what_they_cover():
    figure, (first, second) = plt.subplots(1, 2)
    first.barh([0, 1], [3, 5], height=0.5, label="share", tick_label=["one", "two"])
    first.axvline(4, label="limit")
    second.fill_between([1, 2], [0, 1], [2, 5], label="middle half")
    second.scatter([1, 2], [7, 8], label="cloud")
    second.hlines([3], 1, 2, label="reach")
    second.axhspan(5, 6, label="ordinary")
    shown = data.of_figure(figure, Pictures())
    plt.close(figure)
    by_series = {name: rows.dropna(axis=1).to_dict("records") for name, rows in shown.groupby("series")}
    assert [(row["x_low"], row["x_high"], row["y_low"]) for row in by_series["share"]] == [(0, 3, -0.25), (0, 5, 0.75)]
    assert by_series["limit"] == [{"panel": 1, "series": "limit", "x": 4}]
    assert [(row["x"], row["y_low"], row["y_high"]) for row in by_series["middle half"]] == [(1, 0, 2), (2, 1, 5)]
    assert [(row["x"], row["y"]) for row in by_series["cloud"]] == [(1, 7), (2, 8)]
    (reach,), (ordinary,) = by_series["reach"], by_series["ordinary"]
    assert (reach["x_low"], reach["x_high"], reach["y_low"]) == (1, 2, 3)
    assert (ordinary["y_low"], ordinary["y_high"]) == (5, 6) and "x_low" not in ordinary


def test_a_long_line_keeps_a_point_for_each_pixel():
    figure, axis = plt.subplots(figsize=(4, 3), dpi=100)
    at = np.linspace(0, 1, 100_000)
    axis.plot(at, at**2)
    shown = data.of_figure(figure, Pictures())
    plt.close(figure)
    assert 300 < len(shown) < 1000 and np.array_equal(shown.y, shown.x**2)
    assert np.interp(0.5, shown.x, shown.y) == pytest.approx(0.25, abs=1 / 200)


@pytest.mark.parametrize("name", [name for name in OF_PICTURES if name in FIGURES])
def test_each_picture_is_the_one_that_its_run_made(published, name):
    """Every picture that is drawn has its row, and what the row names is that picture, pixel by pixel."""
    pictures = published.results.pictures
    figure = FIGURES[name].draw(published)
    shown = data.of_figure(figure, pictures)
    strips = [image for axis in figure.axes for image in axis.images]
    strips.sort(key=lambda strip: min(strip.get_extent()[2:]))  # from above
    wanted = [np.asarray(strip.get_array()) for strip in strips]
    assert len(shown) == sum(strip.shape[1] // SIDE for strip in wanted)
    for row in shown.itertuples():
        made = (
            [pictures.images[run] for run in row.run.split(" or ")]
            if row.run != data.ORIGINAL
            else [pictures.originals]
        )
        for picture in (each[row.target][0] for each in made):
            left = (row.column - 1) * SIDE
            assert np.array_equal(wanted[row.row - 1][:32, left : left + 32, 0], picture)


def test_a_picture_that_two_runs_made_is_given_to_the_one_of_its_row():
    pictures = Pictures(
        {"a": {0: np.full((1, 4, 4), 7, np.uint8), 1: np.full((1, 4, 4), 8, np.uint8)}}
        | {"b": {0: np.full((1, 4, 4), 7, np.uint8), 1: np.full((1, 4, 4), 9, np.uint8)}},
        {0: np.full((1, 4, 4), 1, np.uint8), 1: np.full((1, 4, 4), 8, np.uint8)},  # which one run finds exactly
    )
    shown = data.of_figure(reconstruction_grid(pictures, [("of a", "a"), ("of b", "b")], [0, 1]), pictures)
    assert shown.run.tolist() == [data.ORIGINAL] * 2 + ["a"] * 2 + ["b"] * 2
    assert shown.target.tolist() == [0, 1] * 3


def test_a_tables_data_are_its_cells_as_a_reader_sees_them():
    table = "| | found |\n| --- | --- |\n| a&#124;b | **8** of `10` |\n| | 0.5 [0.4, 0.6] |\n| c | <a href='#x'>1</a> |"
    folded = f"{table}\n\n<details><summary>More</summary>\n\n{table}\n\n</details>"
    rows = [["a|b", "8 of 10"], ["a|b", "0.5 [0.4, 0.6]"], ["c", "1"]]
    for text, wanted in ((table, rows), (folded, rows + rows)):
        pd.testing.assert_frame_equal(
            data.of_table(text), pd.DataFrame(wanted, columns=["", "found"]), check_dtype=False
        )
