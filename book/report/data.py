"""What figures and tables show, as tables of data: read back from what is drawn, or from what is written."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from itertools import groupby
from operator import itemgetter
from typing import Any

import numpy as np
import pandas as pd
from bs4 import BeautifulSoup
from markdown_it import MarkdownIt
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.collections import LineCollection, PathCollection
from matplotlib.container import ErrorbarContainer
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.ticker import FixedFormatter, FixedLocator, FuncFormatter

from report.drawing import framed
from suppress_study.pictures import Pictures

MARKDOWN = MarkdownIt("commonmark").enable("table")
Row = dict[str, Any]
ORDER = ["panel", "x_axis", "y_axis", "series", "x", "x_low", "x_high", "x_name", "y", "y_low", "y_high", "y_name"]
MANY = 2000  # points of a line, of which one is kept for each pixel that it passes
PICTURED = ["row", "column", "run", "target"]
ORIGINAL = "private image"  # in place of a run, of a picture that none has made


def of_figure(figure: Figure, pictures: Pictures) -> pd.DataFrame:
    """A row for each point, interval, line or bar that a figure's panels show; or for each picture, whose it is.

    Args:
        figure: drawn.
        pictures: those that it may show.
    """
    marks = [mark for number, axis in enumerate(figure.axes, 1) for mark in _panel(axis, number)]
    frame = pd.DataFrame(marks or _whose(figure, pictures))
    frame = frame.replace("", None).dropna(axis=1, how="all")
    return frame[[name for name in (*ORDER, *PICTURED) if name in frame]].drop_duplicates()


def _panel(axis: Axes, number: int) -> Iterator[Row]:
    """What one panel shows, with the words that it writes along its axes."""
    said = {"x_axis": axis.get_xlabel(), "y_axis": axis.get_ylabel()}
    shared = {"panel": number} | {name: " ".join(text.split()) for name, text in said.items()}
    words = {"x": _words(axis.xaxis), "y": _words(axis.yaxis)}
    for mark in _marks(axis):
        named = {f"{which}_name": _nearest(words[which], mark[which]) for which in words if which in mark}
        yield shared | mark | named


def _words(axis: Axis) -> dict[float, str]:
    """Words that stand at an axis in place of numbers."""
    formatter, places = axis.get_major_formatter(), axis.get_majorticklocs()
    fixed = isinstance(axis.get_major_locator(), FixedLocator) and isinstance(formatter, FixedFormatter | FuncFormatter)
    texts = formatter.format_ticks([*places]) if fixed else ()
    return {float(place): " ".join(text.split()) for place, text in zip(places, texts, strict=False)}


def _nearest(words: Mapping[float, str], value: float) -> str:
    """The word of a row or column: markers of one stand a little apart."""
    place = min(words, key=lambda each: abs(each - value), default=np.inf)
    return words[place] if abs(place - value) < 0.5 else ""


def _marks(axis: Axes) -> Iterator[Row]:
    """What a panel draws from data, artist by artist."""
    held: set[Artist] = set()
    for container in axis.containers:
        if isinstance(container, ErrorbarContainer) and container.lines[0] is not None:
            held |= {*container.get_children()}
            yield from _with_bars(container)
    titles = {id(each): bars.get_label() for bars in axis.containers for each in bars.get_children()}
    for artist in (*axis.lines, *axis.collections, *axis.patches):
        if artist not in held:
            title = str(artist.get_label())
            title = str(titles.get(id(artist), "")) if title.startswith("_") else title
            yield from ({"series": title} | mark for mark in _of_artist(artist, axis))


def _with_bars(container: ErrorbarContainer) -> Iterator[Row]:
    """Points with their intervals."""
    line, _, bars = container.lines
    reaches = dict(zip([each for each in "xy" if getattr(container, f"has_{each}err")], bars, strict=True))
    label = str(container.get_label())
    for number, (x, y) in enumerate(_array(line.get_xydata())):
        row: Row = {"series": "" if label.startswith("_") else label, "x": x, "y": y}
        for which, drawn in reaches.items():
            ends = _array(drawn.get_paths()[number].vertices)[:, "xy".index(which)]
            row |= {f"{which}_low": min(ends), f"{which}_high": max(ends)}
        yield row


def _of_artist(artist: Artist, axis: Axes) -> Iterator[Row]:
    """What one line, cloud of points, band or bar shows, of the coordinates that are data."""
    transform = artist.get_offset_transform() if isinstance(artist, PathCollection) else Artist.get_transform(artist)
    are_data = dict(zip("xy", transform.contains_branch_seperately(axis.transData), strict=True))
    for row in _coordinates(artist):
        if found := {name: value for name, value in row.items() if are_data[name[0]]}:
            yield found


def _coordinates(artist: Artist) -> Iterator[Row]:
    if isinstance(artist, Rectangle):
        (x_low, x_high), (y_low, y_high) = artist.get_bbox().intervalx, artist.get_bbox().intervaly
        yield {"x_low": x_low, "x_high": x_high, "y_low": y_low, "y_high": y_high}
    elif isinstance(artist, LineCollection):
        for path in artist.get_paths():
            (x_low, y_low), (x_high, y_high) = _array(path.vertices).min(0), _array(path.vertices).max(0)
            yield {"x_low": x_low, "x_high": x_high, "y_low": y_low, "y_high": y_high}
    elif isinstance(artist, PathCollection):
        yield from ({"x": x, "y": y} for x, y in _array(artist.get_offsets()))
    elif isinstance(artist, Line2D):
        points = _array(artist.get_xydata())
        if len(points) > MANY:
            pixels = np.nan_to_num(artist.get_transform().transform(points)).round()
            points = points[np.append(True, (np.diff(pixels, axis=0) != 0).any(1))]
        yield from ({"x": x, "y": y} for x, y in points)
    elif hasattr(artist, "get_paths"):  # a band: its lower and its upper edge at each x
        edges = defaultdict(list)
        for x, y in np.concatenate([_array(path.vertices) for path in artist.get_paths()]):
            edges[x].append(y)
        yield from ({"x": x, "y_low": min(found), "y_high": max(found)} for x, found in edges.items())


def _array(values: Any) -> np.ndarray:
    return np.asarray(values, float)


def _whose(figure: Figure, pictures: Pictures) -> list[Row]:
    """Which run made each picture of a grid, and of which target; several, where all made the very same row."""
    tiles = [tile for axis in figure.axes for image in axis.images for tile in _tiles(image, pictures)]
    rows, columns = ({place: at for at, place in enumerate(sorted({tile[n] for tile in tiles}), 1)} for n in (0, 1))
    originals = {_bytes(picture): target for target, picture in pictures.originals.items()}
    made = defaultdict(list)
    for run, images in pictures.images.items():
        for target, picture in images.items():
            made[target, _bytes(picture)].append(run)
    above: dict[float, int] = {}  # the target of each column
    found: list[Row] = []
    for top, left, shown in sorted(tiles, key=lambda tile: tile[:2]):
        content = _bytes(shown)
        runs = made.get((above.get(left, -1), content), [])
        if not runs and content in originals:
            above[left] = originals[content]
        elif not runs:
            continue  # left blank
        found.append({"row": rows[top], "column": columns[left], "run": runs or [ORIGINAL], "target": above[left]})
    for _, row in groupby(found, key=itemgetter("row")):
        cells = [*row]
        of_all = set.intersection(*({*cell["run"]} for cell in cells))
        for cell in cells:
            cell["run"] = " or ".join([run for run in cell["run"] if run in of_all] or cell["run"])
    return found


def _tiles(image: AxesImage, pictures: Pictures) -> Iterator[tuple[float, float, np.ndarray]]:
    """The single pictures of a strip, each with its place: from above, and from the left."""
    shown = np.asarray(image.get_array())
    height, width = framed(next(iter(pictures.originals.values()))).shape[:2]
    left, right, below, above = image.get_extent()
    for number in range(shown.shape[1] // width):
        at = round(min(below, above), 4), round(left + (right - left) * number * width / shown.shape[1], 4)
        yield *at, shown[:height, number * width : (number + 1) * width]


def _bytes(picture: np.ndarray) -> bytes:
    """An image [C, H, W], or as it is drawn, to be compared."""
    return (framed(picture) if len(picture) in (1, 3) else picture).tobytes()


def of_table(markdown: str) -> pd.DataFrame:
    """The cells of a table in Markdown, or of several with the same heads, as a reader sees them.

    A first cell that is left empty, being like the one above it, is filled in.
    """
    found = BeautifulSoup(MARKDOWN.render(markdown), "html.parser")
    rows = [[cell.get_text(" ", strip=True) for cell in row.select("td")] for row in found.select("tbody tr")]
    heads = [cell.get_text(" ", strip=True) for cell in found.select("table:first-of-type thead th")]
    frame = pd.DataFrame(rows, columns=heads[: len(rows[0])])
    frame.isetitem(0, frame.iloc[:, 0].replace("", None).ffill().fillna(""))
    return frame
