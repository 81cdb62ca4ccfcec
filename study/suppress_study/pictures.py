"""Reconstructions that are shown, with their originals, and the curves of objectives."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from suppress_privacy.files import read_arrays


@dataclass
class Pictures:
    """Reconstructions by run and target, the originals of these targets, and curves of objectives by run."""

    images: dict[str, dict[int, np.ndarray]] = field(default_factory=dict)  # uint8 [C, H, W]
    originals: dict[int, np.ndarray] = field(default_factory=dict)  # uint8 [C, H, W]
    curves: dict[str, np.ndarray] = field(default_factory=dict)  # [3, K]: quartiles over the targets

    def of(self, runs: Collection[str]) -> "Pictures":
        """Those of some runs alone, with the originals of what these show."""
        images = {run: by_target for run, by_target in self.images.items() if run in runs}
        targets = {target for by_target in images.values() for target in by_target}
        originals = {target: image for target, image in self.originals.items() if target in targets}
        return Pictures(images, originals, {run: curve for run, curve in self.curves.items() if run in runs})


def show(pictures: Pictures, run: str, arrays: Mapping[str, np.ndarray]) -> None:
    """Add what a run's arrays have to show."""
    if "reconstruction" in arrays:
        pictures.images[run] = dict(zip(map(int, arrays["pictured"]), arrays["reconstruction"], strict=True))
        pictures.originals |= dict(zip(map(int, arrays["pictured"]), arrays["original"], strict=True))
    if "curve" in arrays:
        pictures.curves[run] = arrays["curve"]


def write(path: Path, pictures: Pictures) -> None:
    names = list(dict.fromkeys([*pictures.images, *pictures.curves]))
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
        arrays["curve"] = np.stack(list(pictures.curves.values()))
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
    pictures.curves = {names[run]: curve for run, curve in rows("curve_run", "curve")}
    return pictures
