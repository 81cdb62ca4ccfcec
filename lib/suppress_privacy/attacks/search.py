"""Settings chosen on images whose originals the attacker knows, from grids that grow where the best is at an edge."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

Point = tuple[float, ...]
ROUNDS = 20  #: of going beyond, at most
EQUAL = 1e-4  #: of an error, what is no difference


@dataclass(frozen=True)
class Searched:
    """What a search found."""

    best: Point
    errors: dict[Point, float]  #: of all that was tried, infinite where nothing can be had
    edges: tuple[str, ...]  #: names of the axes at whose end the best lies, for there is nothing beyond

    def as_data(self) -> dict[str, Any]:
        """For `chosen`: errors by point, those that there are, and the edges."""
        finite = {point: error for point, error in self.errors.items() if np.isfinite(error)}
        named = {", ".join(f"{value:g}" for value in point): error for point, error in finite.items()}
        return {"held_out_mse": named, "at_edge": list(self.edges)}


def searched(
    axes: Mapping[str, Sequence[float]],
    errors_of: Callable[[list[Point]], Sequence[float]],
    *,
    factors: Mapping[str, float],
    limits: Mapping[str, tuple[float, float]],
) -> Searched:
    """The point of least error: of a grid first, then of what lies beyond the best as long as the best is at an end.

    Args:
        axes: the grid's values, by name; of one value alone it is fixed. Nothing lies beyond 0.
        errors_of: of some points, infinite where nothing can be had; each point is asked for once.
        factors: from a value at an end to the next one, by name.
        limits: the least and the greatest value that makes sense, by name; none given: any.

    Returns:
        Searched; of points that are as good as equal the one of the greatest values. On each axis a smaller and a
        larger value than the best was tried beside it, but on the axes named as `edges`.
    """
    errors: dict[Point, float] = {}
    best: Point = ()
    new = list(product(*axes.values()))
    for _ in range(ROUNDS):
        errors |= dict(zip(new, map(float, errors_of(new)), strict=True))
        least = min(errors[point] for point in new)
        as_good = least + EQUAL * abs(least)
        if not best or as_good < errors[best]:
            best = max(point for point in new if errors[point] <= as_good)
        ends = list(_ends(best, errors, axes, factors))
        bounds = [limits.get(name, (0, np.inf)) for name, _, _ in ends]
        new = [point for (_, value, point), (least, most) in zip(ends, bounds, strict=True) if least <= value <= most]
        if not new:
            break
    return Searched(best, errors, tuple(dict.fromkeys(name for name, _, _ in ends)))


def _ends(
    best: Point, tried: Mapping[Point, float], axes: Mapping[str, Sequence[float]], factors: Mapping[str, float]
) -> Iterator[tuple[str, float, Point]]:
    """Where the best lies at an end of what was tried beside it: the axis, the next value, and the point of that."""
    for place, name in enumerate(axes):
        own, before, after = best[place], best[:place], best[place + 1 :]
        beside = [point[place] for point in tried if (point[:place], point[place + 1 :]) == (before, after)]
        for end, value in ((max(beside), own * factors[name]), (min(beside), own / factors[name])):
            if own == end != 0 and len(axes[name]) > 1:
                yield name, value, (*before, value, *after)
