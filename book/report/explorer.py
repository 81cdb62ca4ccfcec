"""What the explorer shows: one picture of all its images, what the tables say of each, and what to see first."""

import json
from collections.abc import Iterable
from html import unescape
from io import BytesIO
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from report.context import NOBODY, Averaged, Report
from report.front import CONFIDENCE, IDENTIFIED, percent
from suppress_privacy.evaluation.metrics import relative_l2
from suppress_study.jobs import Variant
from suppress_study.pictures import Pictures
from suppress_study.summary import Arm

PICTURE, DATA = "explorer.png", "explorer_data.js"
LARGEST = 1_900_000  # bytes of both: with the page's script and style less than 2 MB
LEVELS = (256, 64, 32, 16)  # of brightness: the first with which both are small enough
COLUMNS = 40  # images side by side
CHANNELS = {1: "grey", 3: "colour"}
SKILL = "skill"
SHOWN = (SKILL, IDENTIFIED, CONFIDENCE)


class Sprite:
    """Images [C, H, W] in one picture, each of them once, row by row."""

    def __init__(self) -> None:
        self._places: dict[bytes, int] = {}
        self._images: list[np.ndarray] = []

    def place(self, image: np.ndarray | None) -> int | None:
        """Where an image stands in the picture; None where there is none.

        Raises:
            ValueError: it is neither grey nor of three colours, or not as large as the others.
        """
        if image is None:
            return None
        if len(image) not in CHANNELS or image.shape != (self._images or [image])[0].shape:
            raise ValueError(
                f"an image has shape {image.shape}; the explorer shows [C, H, W] of one size, with "
                f"{' or '.join(f'{count} channel(s) ({name})' for count, name in CHANNELS.items())}."
            )
        if image.tobytes() not in self._places:
            self._places[image.tobytes()] = len(self._images)
            self._images.append(image)
        return self._places[image.tobytes()]

    @property
    def side(self) -> tuple[int, ...]:
        """Height and width of an image."""
        return self._images[0].shape[1:]

    def png(self, levels: int) -> bytes:
        """The picture with so many levels of brightness in each channel; of 256 it has every pixel as it is."""
        images = np.stack(self._images)
        step = 255 / (levels - 1)
        images = np.rint(np.rint(images / step) * step).astype(np.uint8)
        count, channels, height, width = images.shape
        rows = -(-count // COLUMNS)
        images = np.pad(images, ((0, rows * COLUMNS - count), (0, 0), (0, 0), (0, 0)))
        # [rows * COLUMNS, C, H, W] -> [rows * H, COLUMNS * W, C]
        tiled = images.reshape(rows, COLUMNS, channels, height, width).transpose(0, 3, 1, 4, 2)
        picture = tiled.reshape(rows * height, COLUMNS * width, channels)
        file = BytesIO()
        Image.fromarray(picture[..., 0] if channels == 1 else picture).save(file, "png", optimize=True)
        return file.getvalue()


def write(report: Report, folder: Path) -> None:
    """Write the picture and the data, as a script: a page that is opened as a file may read nothing else."""
    data, sprite = explored(report)
    for levels in LEVELS:
        data["picture"]["levels"] = levels
        script = f"const DATA = {json.dumps(data, allow_nan=False, separators=(',', ':'))};\n"
        picture = sprite.png(levels)
        if len(picture) + len(script) <= LARGEST:
            (folder / PICTURE).write_bytes(picture)
            (folder / DATA).write_text(script, "utf-8")
            return
    raise ValueError(f"the explorer is larger than {LARGEST:,} bytes: publish pictures of fewer attacks.")


def explored(report: Report) -> tuple[dict[str, Any], Sprite]:
    """All that the page's script is given, and the images, which it names by their places.

    Networks and attacks stand by their titles; lists of images and values are in the order of the classes.
    """
    sprite, originals = Sprite(), report.results.pictures.originals
    values = _values(report)
    arms = {unescape(arm.title): arm for arm in report.summary.arms}
    cells = {title: _cells(report, arm, values, sprite) for title, arm in arms.items()}
    there = {attack for made in cells.values() for attack in made}
    networks: dict[str, dict[str, Any]] = {}
    for title, arm in ((title, arm) for title, arm in arms.items() if cells[title]):
        attack, accuracy = report.strongest_attack(IDENTIFIED, arm), float(np.mean(arm.test_accuracy))
        strongest = attack.title if attack else ""
        networks[title] = {"accuracy": accuracy, "strongest": strongest, "attacks": cells[title]}
    swept = {100 * share: unescape(arm.title) for share, arm in _swept(report).items()}
    data = {
        "classes": [str(label) for label in report.firsts],
        "originals": [sprite.place(originals.get(target)) for target in report.firsts.values()],
        "attacks": {attack.title: attack.sees for attack in report.attacks if attack.title in there},
        "networks": networks,
        "start": [title for title in networks if arms[title] in report.pair],
        "sweep": [{"zeros": zeros, "network": title} for zeros, title in swept.items() if title in networks],
        "courses": [
            {"network": unescape(arm.title), "attack": attack.title, **_course(report, run, sprite)}
            for arm, attack, run in _courses(report)
        ],
    }
    height, width = sprite.side
    return data | {"picture": {"name": PICTURE, "columns": COLUMNS, "height": height, "width": width}}, sprite


def _cells(report: Report, arm: Arm, values: pd.DataFrame, sprite: Sprite) -> dict[str, dict[str, Any]]:
    """What each attack makes of a network: the images, what the tables say of them, and the means of all images.

    Without attacks on a network of their own, of which nobody can choose another.
    """
    targets, cells = [*report.firsts.values()], {}
    for attack in (each for each in report.attacks if not each.network):
        run = report.picture(attack, NOBODY if attack.alone else arm.factors)
        if shown := report.results.pictures.images.get(run or ""):
            own = values.loc[run].reindex(targets)
            means = {metric: report.estimate(metric, arm.factors, attack) for metric in SHOWN}
            cells[attack.title] = {
                "images": [sprite.place(shown.get(target)) for target in targets],
                **{metric: _rounded(own[metric]) for metric in SHOWN},
                "means": {metric: round(found.mean, 4) for metric, found in means.items() if found},
            }
    return cells


def _values(report: Report) -> pd.DataFrame:
    """What the tables say of the images that are shown, by run and image; by the main one of the evaluators."""
    images, pictures = report.results.images, report.results.pictures.images
    rows = images[images.image.isin(report.firsts.values()) & images.run.isin(pictures)].set_index(["run", "image"])
    judged = rows[rows.evaluator == next(iter(report.summary.evaluators))]
    return rows[rows.evaluator == ""][[SKILL, IDENTIFIED]].join(judged[[CONFIDENCE]]).sort_index()


def _rounded(values: Iterable[float]) -> list[float | None]:
    """Numbers as the script gets them, those that are none as null."""
    return [round(float(value), 4) if np.isfinite(value) else None for value in values]


def _swept(report: Report) -> dict[float, Arm]:
    """The suppressed network by its share of zeros, the ordinary one of its optimiser as none; empty without others."""
    control = report.arm(report.study.roles.control)
    found = report.sweep | ({0.0: control} if control else {})
    return dict(sorted(found.items())) if len(report.sweep) > 1 else {}


def _courses(report: Report) -> list[tuple[Arm, Variant, str]]:
    """The descents whose way is kept: of each kind of attack the first, on the tutorial's two models."""
    kept = report.results.pictures.courses
    found = [
        (arm, attack, run)
        for attack in report.ladder
        for arm in report.pair
        if (run := report.picture(attack, arm.factors)) in kept
    ]
    first = {attack.kind: attack for _, attack, _ in reversed(found)}
    return [(arm, attack, run) for arm, attack, run in found if run and attack == first[attack.kind]]


def _course(report: Report, run: str, sprite: Sprite) -> dict[str, Any]:
    """A descent's images, objectives and distances to the private image, by the looks at them and the classes."""
    course, pictures = report.results.pictures.courses[run], report.results.pictures
    column = {int(target): number for number, target in enumerate(course.targets)}
    at = [column[target] for target in report.firsts.values()]
    frames = course.frames[:, at]
    return {
        "steps": report.results.runs[run].settings["settings"]["iters"],
        "images": [[sprite.place(image) for image in look] for look in frames],
        "objective": [_rounded(look) for look in course.objective[:, at]],
        "distance": [_rounded(look) for look in _distances(pictures, [*report.firsts.values()], frames)],
    }


def _distances(pictures: Pictures, targets: Iterable[int], frames: np.ndarray) -> np.ndarray:
    """How far images [K, P, C, H, W] of targets are from the private ones, relative to these: [K, P]."""
    originals = np.stack([pictures.originals[target] for target in targets]) / 255
    return np.stack([relative_l2(originals, look / 255) for look in frames])


def explorer_view(report: Report) -> str:
    """How many of the images that are shown are identified: by the strongest attack, and by the tutorial's."""
    strongest = [report.strongest_attack(IDENTIFIED, arm) for arm in report.pair]
    values, counts = _values(report)[IDENTIFIED], []
    for attack, arm in [*zip(strongest, report.pair, strict=True), *product(report.reference[:1], report.pair)]:
        run = report.picture(attack, arm.factors) if attack else None
        counts.append("none" if run is None else f"{values.loc[run].sum():.0f}")
    if len(counts) < 4:
        return "Choose two networks, and an attack on each."
    return (
        f"**Of these {len(report.firsts)} private images the strongest attack identifies {counts[0]} from the ordinary "
        f"and {counts[1]} from the suppressed network; the tutorial's attack identifies {counts[2]} and {counts[3]}.**"
    )


def explorer_sparsity(report: Report) -> str:
    """What more zeros do to what the strongest attack identifies; nothing without a sweep."""
    found = [(share, report.strongest(IDENTIFIED, arm)) for share, arm in _swept(report).items()]
    there: list[tuple[float, Averaged]] = [(share, each) for share, each in found if each]
    if len(there) < 2:
        return ""
    (fewest, first), (most, last) = there[0], there[-1]
    word = "more" if last.low > first.high else "less" if last.high < first.low else "about as much"
    return (
        f"**More zeros leak {word}**: of private images the strongest attack identifies {percent(first)} with "
        f"{100 * fewest:g} % of the weights at zero, and {percent(last)} with {100 * most:g} %."
    )


def explorer_descent(report: Report) -> str:
    """By how much objectives fall on their way, and distances; nothing without the descents."""
    said, farther, pictures = [], True, report.results.pictures
    for arm, attack, run in _courses(report):
        course = pictures.courses[run]
        distances = _distances(pictures, course.targets, course.frames)
        objective, distance = (each[-1].mean() / each[0].mean() - 1 for each in (course.objective, distances))
        farther &= objective < min(distance, 0)
        fall, nearer = (f"{100 * change:+.0f}\N{NO-BREAK SPACE}%" for change in (objective, distance))
        said.append(f"- {attack.title}, {arm.title}: objective {fall}, distance {nearer}")
    found = "**Each objective falls farther than the distance to the private image does.** " if farther else ""
    return "\n".join([f"{found}From the first image of an attack to its last, on average:\n", *said]) if said else ""
