"""A search finds the best of a grid, and goes on where that lies at an edge."""

import numpy as np
import pytest

from suppress_privacy.attacks.search import searched

TEN = {"x": 10}


def parabola(best):
    """Errors in the logarithm of the value, least at `best`."""
    return lambda points: [(np.log10(x) - np.log10(best)) ** 2 for (x,) in points]


@pytest.mark.parametrize("best", [0.1, 10, 100, 1e-5, 1e6])
def test_the_best_is_found_wherever_it_lies(best):
    found = searched({"x": [0.1, 1, 10]}, parabola(best), factors=TEN, limits={})
    assert found.best == (pytest.approx(best),) and found.edges == ()
    tried = sorted(x for (x,) in found.errors)
    assert tried[0] < found.best[0] < tried[-1]


def test_what_lies_inside_is_not_searched_beyond():
    asked = []

    def errors_of(points):
        asked.extend(points)
        return parabola(1)(points)

    searched({"x": [0.1, 1, 10]}, errors_of, factors=TEN, limits={})
    assert asked == [(0.1,), (1,), (10,)]


def test_an_edge_of_nature_is_said():
    found = searched({"x": [0.1, 1, 10]}, parabola(1e-9), factors=TEN, limits={"x": (5e-4, 1e3)})
    assert found.best == (pytest.approx(1e-3),) and found.edges == ("x",)
    assert found.as_data()["at_edge"] == ["x"]


def test_nothing_lies_beyond_zero_and_one_value_alone_is_fixed():
    found = searched(
        {"x": [0, 1], "y": [2]}, lambda points: [x - y for x, y in points], factors=TEN | {"y": 10}, limits={}
    )
    assert found.best == (0, 2) and found.edges == () and len(found.errors) == 2


def test_two_axes_grow_each_where_it_must():
    def errors_of(points):
        return [abs(np.log10(x) - 3) + abs(np.log10(y) + 1) for x, y in points]

    found = searched({"x": [1, 10], "y": [0.01, 0.1, 1]}, errors_of, factors={"x": 10, "y": 10}, limits={})
    assert found.best == (1000, 0.1) and found.edges == ()
    beside = {y for x, y in found.errors if x == 1000}, {x for x, y in found.errors if y == 0.1}
    assert min(beside[0]) < 0.1 < max(beside[0]) and min(beside[1]) < 1000 < max(beside[1])
    assert len(found.errors) < 6 + 8  # along lines, not whole rows


def test_of_equals_the_greatest_counts_and_what_cannot_be_had_does_not():
    equal = searched({"x": [0.1, 1]}, lambda points: [1.0] * len(points), factors=TEN, limits={})
    assert equal.best == (1,) and equal.edges == ()
    nearly = searched({"x": [0.1, 1]}, lambda points: [1 + 1e-6 * x for (x,) in points], factors=TEN, limits={})
    assert nearly.best == (1,) and nearly.edges == () and min(nearly.errors) == (0.1,)
    rounding = searched(
        {"x": [0.1, 1]}, lambda points: [x if x > 1e-3 else np.inf for (x,) in points], factors=TEN, limits={}
    )
    assert rounding.best == (pytest.approx(1e-2),) and rounding.edges == ()
    assert len(rounding.as_data()["held_out_mse"]) == len(rounding.errors) - 1
