"""Every gate passes on one side of its bound and fails on the other."""

import numpy as np
import pytest

from suppress_privacy.evaluation import gates
from suppress_privacy.evaluation.intervals import Estimate


def around(mean):
    return Estimate(mean, mean - 0.1, mean + 0.1, 500)


@pytest.mark.parametrize(
    ("gate", "passes", "fails"),
    [
        (gates.beats_the_mean_image, 0.11, 0.09),
        (gates.beats_its_start, 0.11, 0.09),
        (gates.near_perfect_at_conv1, 30.11, 30.09),
        (gates.shuffled_learns_nothing, 0.09, 0.11),
    ],
)
def test_gates_on_estimates(gate, passes, fails):
    assert gate(around(passes)).passed and not gate(around(fails)).passed


def test_an_objective_that_rises_or_stays_or_is_no_number_fails():
    curve = np.linspace(1, 0.1, 5)[:, None] * np.ones((5, 3))
    fell = gates.objective_fell(curve)
    assert fell.shape == (3,) and gates.objective_falls("x", np.stack([fell, fell])).passed
    rising = curve.copy()
    rising[3, 2] += 0.5
    assert gates.objective_fell(rising).tolist() == [True, True, False]
    for broken in (rising, np.ones_like(curve), np.full_like(curve, np.inf), np.full_like(curve, np.nan)):
        gate = gates.objective_falls("x", np.stack([fell, gates.objective_fell(broken)]))
        assert not gate.passed and np.isfinite(gate.found)


def test_one_seed_outside_its_band_fails():
    assert gates.inside_band("x", "accuracy", [0.97, 0.98], (0.97, 0.98)).passed
    low, high = (gates.inside_band("x", "accuracy", [0.975, value], (0.97, 0.98)) for value in (0.96, 0.99))
    assert (low.passed, low.found, high.passed, high.found) == (False, 0.96, False, 0.99)
