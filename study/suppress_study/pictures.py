"""Reconstructions that are shown, with their originals, the courses of some, and the curves of objectives."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np

from suppress_privacy.files import read_arrays


@dataclass
class Course:
    """What a descent had on its way to some targets' images, at equal distances of steps."""

    targets: np.ndarray  # [P]
    frames: np.ndarray  # uint8 [K, P, C, H, W]
    objective: np.ndarray  # [K, P], at these


@dataclass
class Pictures:
    """Reconstructions by run and target, the originals of these targets, courses and curves of objectives by run."""

    images: dict[str, dict[int, np.ndarray]] = field(default_factory=dict)  # uint8 [C, H, W]
    originals: dict[int, np.ndarray] = field(default_factory=dict)  # uint8 [C, H, W]
    curves: dict[str, np.ndarray] = field(default_factory=dict)  # [3, K]: quartiles over the targets
    courses: dict[str, Course] = field(default_factory=dict)

    def of(self, runs: Collection[str]) -> "Pictures":
        """Those of some runs alone, with the originals of what these show."""
        images = {run: by_target for run, by_target in self.images.items() if run in runs}
        targets = {target for by_target in images.values() for target in by_target}
        originals = {target: image for target, image in self.originals.items() if target in targets}
        curves = {run: curve for run, curve in self.curves.items() if run in runs}
        courses = {run: course for run, course in self.courses.items() if run in runs}
        return Pictures(images, originals, curves, courses)


def show(pictures: Pictures, run: str, arrays: Mapping[str, np.ndarray]) -> None:
    """Add what a run's arrays have to show."""
    if "reconstruction" in arrays:
        pictures.images[run] = dict(zip(map(int, arrays["pictured"]), arrays["reconstruction"], strict=True))
        pictures.originals |= dict(zip(map(int, arrays["pictured"]), arrays["original"], strict=True))
    if "curve" in arrays:
        pictures.curves[run] = arrays["curve"]
    if "frame" in arrays:
        pictures.courses[run] = Course(arrays["watched"], arrays["frame"], arrays["frame_objective"])


def write(path: Path, pictures: Pictures) -> None:
    names = list(dict.fromkeys([*pictures.images, *pictures.curves, *pictures.courses]))
    number = {name: position for position, name in enumerate(names)}
    shown = [(number[run], *each) for run, by_target in pictures.images.items() for each in by_target.items()]
    arrays = {"run": np.array(names, np.str_)}
    if shown:
        runs, targets, images = zip(*shown, strict=True)
        arrays |= {"picture_run": np.array(runs, np.uint16), "picture_target": np.array(targets, np.uint16)}
        arrays |= {"picture": np.stack(images), "original_target": np.array([*pictures.originals], np.uint16)}
        arrays["original"] = np.stack([*pictures.originals.values()])
    if pictures.curves:
        arrays["curve_run"] = np.array([number[run] for run in pictures.curves], np.uint16)
        longest = max(curve.shape[1] for curve in pictures.curves.values())
        filled = [
            np.pad(curve, ((0, 0), (0, longest - curve.shape[1])), constant_values=np.nan)
            for curve in pictures.curves.values()
        ]
        arrays["curve"] = np.stack(filled)
    for run, course in pictures.courses.items():  # each of its own length
        arrays |= {f"{number[run]}/{part}": values for part, values in vars(course).items()}
    with path.open("wb") as file:
        np.savez_compressed(file, **arrays)


def read(path: Path) -> Pictures:
    arrays = read_arrays(path)

    def rows(*columns: str) -> Iterable[tuple[Any, ...]]:
        return zip(*(arrays.get(column, ()) for column in columns), strict=True)

    names, pictures = arrays["run"].tolist(), Pictures()
    for run, target, image in rows("picture_run", "picture_target", "picture"):
        pictures.images.setdefault(names[run], {})[int(target)] = image
    pictures.originals = {int(target): image for target, image in rows("original_target", "original")}
    for run, curve in rows("curve_run", "curve"):
        looks = np.flatnonzero(~np.isnan(curve).all(axis=0)).max(initial=-1) + 1
        pictures.curves[names[run]] = curve[:, :looks]
    for number, name in enumerate(names):
        if f"{number}/frames" in arrays:
            parts = (arrays[f"{number}/{part.name}"] for part in fields(Course))
            pictures.courses[name] = Course(*parts)
    return pictures
