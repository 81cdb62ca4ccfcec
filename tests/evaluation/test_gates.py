"""Every gate passes on one side of its bound and fails on the other."""

from functools import partial

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
        (gates.sigmoids_give_in, 25.11, 25.09),
        (gates.another_gradient_shows, 0.61, 0.59),
        (partial(gates.another_gradient_hides, others=999), 0.1, 0.102),
    ],
)
def test_gates_on_estimates(gate, passes, fails):
    assert gate(around(passes)).passed and not gate(around(fails)).passed


@pytest.mark.parametrize(
    ("gate", "passes", "fails"),
    [
        (gates.canaries_are_found, [0.81], [0.79]),
        (gates.memorised_is_found, [1.01], [0.99]),
        (gates.shuffled_coins_find_nothing, [0.41, 0.59], [0.39, 0.61]),
        (gates.blind_finds_nothing, [0.41, 0.59], [0.39, 0.61]),
    ],
)
def test_gates_on_games(gate, passes, fails):
    assert all(gate(around(area)).passed for area in passes) and not any(gate(around(area)).passed for area in fails)
    assert gates.OF_GAMES[gate(around(0.5)).name] is gate


@pytest.mark.parametrize(
    ("gate", "bound", "passes"),
    [
        (gates.canaries_are_found, gates.CANARIES_FOUND, False),
        (gates.memorised_is_found, gates.MEMORISED, False),
        (gates.sigmoids_give_in, gates.SIGMOID_PSNR, False),
        (gates.another_gradient_shows, gates.SENT, False),
        (lambda found: gates.decoder_beats_ridge("", found), 0.0, False),
        (lambda found: gates.another_gradient_hides(found, 4), 1 / 5, True),
        (lambda found: gates.held_out_agrees("", [found.low], [0.0]), gates.AGREES, True),
        (lambda found: gates.held_out_agrees("", [0.0], [found.low]), gates.AGREES, True),
        (lambda found: gates.analytic_is_exact(np.array([found.low])), gates.EXACT, True),
    ],
)
def test_at_the_bound_itself_a_gate_does_as_it_says(gate, bound, passes):
    """At its side it passes, at the other it does not, and at the bound as its words have it."""
    sides = [gate(Estimate(bound, bound + apart, 1.0, 9)).passed for apart in (-1e-9, 0, 1e-9)]
    assert sides == ([True, True, False] if passes else [False, False, True])


@pytest.mark.parametrize("gate", [gates.shuffled_coins_find_nothing, gates.blind_finds_nothing])
def test_an_interval_that_ends_at_chance_holds_it(gate):
    ends = [(0.5, 0.6), (0.4, 0.5), (0.5 + 1e-9, 0.6), (0.4, 0.5 - 1e-9)]
    assert [gate(Estimate(0.5, *each, 9)).passed for each in ends] == [True, True, False, False]


def test_the_worst_of_the_planted_inputs_decides_whether_an_attack_is_exact():
    errors = np.full((1, 10), 1e-6)
    assert gates.analytic_is_exact(errors).passed
    errors[0, 3] = 1.1e-4
    assert not gates.analytic_is_exact(errors).passed


def test_a_control_whose_descents_failed_has_failed():
    assert gates.sigmoids_give_in(None).found == 0
    assert not gates.sigmoids_give_in(None).passed


def test_an_objective_that_rises_or_stays_or_is_no_number_fails():
    curve = np.linspace(1, 0.1, 5)[:, None] * np.ones((5, 3))
    fell = gates.objective_fell(curve)
    assert fell.shape == (3,) and gates.objective_falls("m", np.stack([fell, fell])).passed
    rising = curve.copy()
    rising[3, 2] += 0.5
    assert gates.objective_fell(rising).tolist() == [True, True, False]
    for broken in (rising, np.ones_like(curve), np.full_like(curve, np.inf), np.full_like(curve, np.nan)):
        gate = gates.objective_falls("m", np.stack([fell, gates.objective_fell(broken)]))
        assert not gate.passed and np.isfinite(gate.found)


@pytest.mark.parametrize("inside", [gates.accuracy_inside, gates.sparsity_inside])
def test_one_seed_outside_its_band_fails(inside):
    assert inside("m", [0.97, 0.98], (0.97, 0.98)).passed
    low, high = (inside("m", [0.975, value], (0.97, 0.98)) for value in (0.96, 0.99))
    assert (low.passed, low.found, high.passed, high.found) == (False, 0.96, False, 0.99)


def test_a_control_matches_seed_by_seed():
    assert gates.matches("m", [0.97, 0.98], [0.972, 0.978]).passed
    # On average they are equal; seed by seed they are not.
    swapped = gates.matches("m", [0.97, 0.98], [0.98, 0.97])
    assert not swapped.passed and swapped.found == pytest.approx(0.01)


def test_a_control_chosen_for_all_seeds_matches_on_average_in_both_directions():
    assert gates.matches_on_average("m", [0.98, 0.99], [0.99, 0.985]).passed
    assert gates.matches_on_average("m", [gates.MATCHED], [0.0]).passed  # as near as is asked is near enough
    for off in (0.981, 0.989):
        gate = gates.matches_on_average("m", [off - 0.005, off + 0.005], [0.985, 0.985])
        assert not gate.passed and gate.found == pytest.approx(0.004) and gate.of_model and gate.about == "m"


def test_a_models_decoder_beats_ridge_and_is_as_good_on_private_images_as_on_held_out_ones():
    assert gates.decoder_beats_ridge("m", around(0.11)).passed
    assert not gates.decoder_beats_ridge("m", around(0.09)).passed
    assert gates.held_out_agrees("m", [0.8, 0.7], [0.82, 0.77]).passed
    for targets in ([0.86, 0.76], [0.74, 0.64]):
        gate = gates.held_out_agrees("m", [0.8, 0.7], targets)
        assert not gate.passed and abs(gate.found) == pytest.approx(0.06) and gate.about == "m"


def test_a_gate_says_what_it_is_about():
    """What is asked of a model leaves that model alone out; a descent that goes nowhere weakens the attacks."""
    asked = [
        gates.accuracy_inside("m", [0.9], (0, 1)),
        gates.sparsity_inside("m", [0.9], (0, 1)),
        gates.matches("m", [0.9], [0.9]),
        gates.objective_falls("m", np.ones((1, 3), bool)),
        gates.beats_the_mean_image(around(1)),
    ]
    assert [(gate.name, gate.about, gate.of_model) for gate in asked] == [
        ("accuracy", "m", True),
        ("sparsity", "m", True),
        ("matched", "m", True),
        ("objective", "m", False),
        ("tuned-beats-mean", "", False),
    ]


def test_what_is_required_are_gates_on_the_attacks():
    made = {
        gate(around(0)).name
        for gate in (
            gates.beats_the_mean_image,
            gates.beats_its_start,
            gates.near_perfect_at_conv1,
            gates.shuffled_learns_nothing,
        )
    }
    assert set(gates.REQUIRED["features"]) == made


def test_attacks_are_as_weak_as_what_was_asked_of_their_like():
    passed = [gates.Gate(name, "", 1.0, True) for name in gates.REQUIRED["features"]]
    assert "features" not in gates.weaknesses(passed)
    assert gates.weaknesses(passed[1:])["features"] == f"attack too weak: {passed[0].name}"  # it was not asked
    failed = gates.Gate("objective", "", 0.5, False, "m")
    assert gates.weaknesses([*passed, failed])["features"] == "attack too weak: objective of m"
    of_model = gates.Gate("accuracy", "", 0.5, False, "m", of_model=True)
    elsewhere = gates.Gate("objective", "", 0.5, False, "m", sees="gradients")
    assert "features" not in gates.weaknesses([*passed, of_model, elsewhere])


def test_the_positive_control_names_the_layer_it_looked_at():
    found = [gates.near_perfect_at_conv1(Estimate(40, 35, 45, 9), *layer).asked for layer in ((), ("stem",))]
    assert "PSNR at conv1 above" in found[0] and "PSNR at stem above" in found[1]
