"""Settings chosen on images whose originals the attacker knows, from grids that grow where the best is at an edge."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

Point = tuple[float, ...]
ROUNDS = 12  # of going beyond the edge, at most


@dataclass(frozen=True)
class Searched:
    """What a search found."""

    best: Point
    errors: dict[Point, float]  # of all that was tried, infinite where nothing can be had
    edges: tuple[str, ...]  # names of the axes at whose end the best lies, for there is nothing beyond

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
    """The point of least error on a grid; an axis is lengthened as long as the best lies at its end.

    Args:
        axes: the values to begin with, by name; of one value alone it is fixed. Nothing lies beyond 0.
        errors_of: of some points, infinite where nothing can be had; each point is asked for once.
        factors: from the value at an end to the next one, by name.
        limits: the least and the greatest value that makes sense, by name; none given: any.

    Returns:
        Searched; of equals the point of the greatest values.
    """
    grid = {name: sorted(values) for name, values in axes.items()}
    errors: dict[Point, float] = {}
    edges: tuple[str, ...] = ()
    for _ in range(ROUNDS):
        before = min(errors.values(), default=np.inf)
        new = [point for point in product(*grid.values()) if point not in errors]
        errors |= dict(zip(new, map(float, errors_of(new)), strict=True))
        best = min(errors, key=lambda point: (errors[point], [-value for value in point]))
        ends = dict(_ends(grid, best, factors)) if errors[best] < before else {}  # no better beyond: it lies inside
        edges = tuple(ends)
        bounds = {name: limits.get(name, (0, np.inf)) for name in ends}
        wider = [name for name in ends if bounds[name][0] <= ends[name] <= bounds[name][1]]
        if not wider:
            break
        for name in wider:
            grid[name] = sorted([*grid[name], ends[name]])
    return Searched(best, errors, edges)


def _ends(grid: Mapping[str, list[float]], best: Point, factors: Mapping[str, float]) -> Iterator[tuple[str, float]]:
    """The axes at whose end the best lies, and the value beyond it."""
    for (name, values), value in zip(grid.items(), best, strict=True):
        if len(values) > 1 and value == values[-1]:
            yield name, value * factors[name]
        elif len(values) > 1 and value == values[0] != 0:
            yield name, value / factors[name]
