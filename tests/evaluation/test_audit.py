"""The bound on epsilon from one training: against the paper, jax-privacy, and mechanisms whose epsilon is known."""

import json
from dataclasses import FrozenInstanceError
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from dp_accounting import get_sigma_gaussian
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from suppress_privacy.evaluation import audit as module
from suppress_privacy.evaluation.audit import audit, epsilon_lower_bound, largest_epsilon

STORED = json.loads(Path(__file__).with_name("audit_reference.json").read_text())
CANARIES, DELTA = 500, 1e-5
OF_A_THOUSAND = binom.ppf(0.999, 1000, 0.05)  # what five of a hundred come to, by chance


def p_by_the_paper(canaries, guesses, correct, epsilon, delta):
    """The code of the paper's appendix D, in our words."""
    right = 1 / (1 + np.exp(-epsilon))
    tail = sum(binom.pmf(hits, guesses, right) for hits in range(correct, guesses + 1))
    steepest, within = 0.0, 0.0
    for fewer in range(1, correct + 1):
        within += binom.pmf(correct - fewer, guesses, right)
        steepest = max(steepest, within / fewer)
    return min(1.0, tail + 2 * canaries * delta * steepest)


@pytest.fixture
def quick(monkeypatch):
    """Bounds of equal counts are computed once: a thousand audits have few."""
    monkeypatch.setattr(module, "epsilon_lower_bound", cache(epsilon_lower_bound))


@pytest.mark.parametrize(("canaries", "guesses", "correct", "delta", "level", "epsilon"), STORED["cases"])
def test_twenty_outcomes_are_judged_as_by_jax_privacy(canaries, guesses, correct, delta, level, epsilon):
    found = epsilon_lower_bound(canaries, guesses, correct, delta=delta, level=level)
    assert found == pytest.approx(epsilon, abs=1e-6)


def test_what_jax_privacy_judged_is_twenty_outcomes_of_the_pinned_version():
    required = Path(__file__).parents[2] / "requirements-audit.txt"
    assert f"jax-privacy=={STORED['jax-privacy']}" in required.read_text().splitlines()
    assert len(STORED["cases"]) == 20


@st.composite
def outcomes(draw):
    canaries = draw(st.integers(1, 60))
    guesses = draw(st.integers(0, canaries))
    return canaries, guesses, draw(st.integers(0, guesses))


@given(outcomes(), st.floats(0, 6), st.sampled_from([0.0, 1e-5, 1e-3, 0.1]))
def test_the_chance_of_an_outcome_is_the_papers(counts, epsilon, delta):
    assert module.p_value(*counts, epsilon, delta) == pytest.approx(p_by_the_paper(*counts, epsilon, delta), rel=1e-9)


@given(outcomes(), st.sampled_from([0.0, 1e-5, 1e-3]), st.sampled_from([0.5, 0.9, 0.95]))
def test_the_bound_is_the_largest_epsilon_that_an_outcome_refutes(counts, delta, level):
    found = epsilon_lower_bound(*counts, delta=delta, level=level)
    refuted = [p_by_the_paper(*counts, epsilon, delta) < 1 - level for epsilon in (0, 0.999 * found, found + 1e-6)]
    assert refuted == ([False] * 3 if found == 0 else [True, True, False])


@pytest.mark.parametrize("epsilon", [0.5, 1, 3])
def test_randomised_response_is_wronged_in_hardly_less_than_five_of_a_hundred(epsilon):
    """Nothing fits the theorem better, and all outcomes can be counted."""
    chances = binom.pmf(np.arange(301), 300, 1 / (1 + np.exp(-epsilon)))
    bounds = [epsilon_lower_bound(300, 300, correct, delta=0.0) for correct in range(301)]
    assert 0.02 < chances[np.array(bounds) > epsilon].sum() <= 0.05
    assert np.all(np.diff(bounds) >= 0)


@pytest.mark.parametrize(("epsilon", "found"), [(1, 0.1), (3, 0.75), (7, 1.8)])
def test_gaussian_mechanisms_are_wronged_in_no_more_than_five_of_a_hundred(quick, epsilon, found):
    """With the least noise that is private enough (Balle & Wang 2018); some is always found."""
    deviation = get_sigma_gaussian(epsilon, DELTA)
    rng = np.random.default_rng(epsilon)
    coins = rng.random((1000, CANARIES)) < 0.5
    scores = coins + deviation * rng.normal(size=coins.shape)
    bounds = np.array([audit(*row, delta=DELTA).epsilon for row in zip(scores, coins, strict=True)])
    assert np.sum(bounds > epsilon) <= OF_A_THOUSAND
    assert found < np.median(bounds) < epsilon


def test_a_claimed_epsilon_of_one_is_refuted_where_the_noise_was_left_out():
    coins = np.random.default_rng(0).random(CANARIES) < 0.5
    found = audit(coins * 1.0, coins, delta=DELTA)
    assert found.epsilon > 1
    noisy = coins + get_sigma_gaussian(1, DELTA) * np.random.default_rng(1).normal(size=CANARIES)
    assert audit(noisy, coins, delta=DELTA).epsilon < 1


def test_scores_that_say_nothing_refute_nothing_whatever_order_canaries_come_in(quick):
    """All equal, and those that were in before those that were not: their order must not be what is guessed by."""
    coins = np.arange(CANARIES) < CANARIES // 2
    rng = np.random.default_rng(2)
    for scores in (np.zeros(CANARIES), rng.normal(size=CANARIES)):
        bounds = [audit(scores, rng.permutation(coins), delta=DELTA).epsilon for _ in range(1000)]
        assert np.count_nonzero(bounds) <= OF_A_THOUSAND
    bounds = [audit(np.zeros(CANARIES), coins, delta=DELTA, seed=seed).epsilon for seed in range(1000)]
    assert 0 < np.count_nonzero(bounds) <= OF_A_THOUSAND
    assert audit(np.zeros(CANARIES), coins, delta=DELTA) == audit(np.zeros(CANARIES), coins, delta=DELTA, seed=0)


@given(st.integers(1, 60).flatmap(lambda count: st.permutations(range(count))), st.data())
def test_an_eighth_a_half_and_all_are_guessed_and_the_best_is_paid_for(order, data):
    scores, count = np.array(order), len(order)
    coins = np.array(data.draw(st.lists(st.booleans(), min_size=count, max_size=count)))
    scores[coins & data.draw(st.booleans())] += count  # as of one that is memorised
    best = 0.0
    for guesses in (round(count / 8), round(count / 2), count):
        ranked = [inside for _, inside in sorted(zip(scores, coins, strict=True), key=lambda pair: -pair[0])]
        high = (guesses + 1) // 2
        correct = sum(ranked[:high]) + sum(not inside for inside in ranked[count - (guesses - high) :])
        best = max(best, epsilon_lower_bound(count, guesses, correct, delta=DELTA, level=1 - 0.1 / 3))
    found = audit(scores, coins, delta=DELTA, level=0.9)
    assert found.epsilon == pytest.approx(best, rel=1e-9)
    assert found.epsilon <= largest_epsilon(count, DELTA, 0.9) and found.canaries == count
    corrected = {"delta": DELTA, "level": 1 - 0.1 / 3}
    assert found.epsilon == pytest.approx(epsilon_lower_bound(count, found.guesses, found.correct, **corrected))


@pytest.mark.parametrize("canaries", [2, 33, 500])
def test_the_largest_bound_is_that_of_guesses_that_are_all_right(canaries):
    coins = np.arange(canaries) % 2 == 0
    assert audit(coins * 1.0, coins, delta=DELTA).epsilon == largest_epsilon(canaries, DELTA)
    assert audit(coins * -1.0, coins, delta=DELTA).epsilon == 0


@settings(max_examples=30)
@given(st.integers(1, 2000), st.integers(1, 2000), st.floats(0, 1e-3), st.floats(0, 1e-3), st.sampled_from([0.9, 0.95]))
def test_more_canaries_could_show_more_and_a_larger_delta_or_level_less(one, other, delta, larger, level):
    few, many = sorted((one, other))
    delta, larger = sorted((delta, larger))
    assert largest_epsilon(few, 0.0, level) <= largest_epsilon(many, 0.0, level) + 1e-9
    found = largest_epsilon(many, delta, level)
    assert largest_epsilon(many, larger, level) <= found + 1e-9
    assert largest_epsilon(many, delta, 0.99) <= found + 1e-9
    if delta == 0:  # (e^epsilon / (1 + e^epsilon))^m is what may go wrong, of which each of three tries has its part
        right = ((1 - level) / 3) ** (1 / many)
        assert found == pytest.approx(max(0.0, np.log(right / (1 - right))), abs=1e-9)


@pytest.mark.parametrize(
    ("scores", "coins", "message"),
    [
        ([1.0, np.nan], [True, False], r"not finite"),
        ([1.0], [True, False], r"scores have shape \(1,\), coins \(2,\); both must be \[M\]"),
        ([], [], r"both must be \[M\]"),
        ([[1.0]], [[True]], r"both must be \[M\]"),
    ],
)
def test_scores_that_are_none_are_refused(scores, coins, message):
    with pytest.raises(ValueError, match=message + r".*\.\Z"):
        audit(np.array(scores), np.array(coins), delta=DELTA)


@pytest.mark.parametrize(
    ("counts", "settings_", "message"),
    [
        ((10, 11, 5), {}, r"guesses is 11; it must be an integer from 0 to canaries \(10\)"),
        ((10, -1, 0), {}, "guesses is -1"),
        ((10, 5, 6), {}, r"correct is 6; it must be an integer from 0 to guesses \(5\)"),
        ((10, 5, -1), {}, "correct is -1"),
        ((0, 0, 0), {}, "canaries is 0"),
        ((10, 5, 5), {"delta": 1.0}, "delta is 1"),
        ((10, 5, 5), {"delta": -0.1}, "delta is -0.1"),
        ((10, 5, 5), {"level": 1.0}, "level is 1"),
    ],
)
def test_counts_that_cannot_be_are_refused(counts, settings_, message):
    with pytest.raises(ValueError, match=message):
        epsilon_lower_bound(*counts, **{"delta": DELTA, **settings_})


def test_what_an_audit_found_cannot_be_changed_afterwards():
    with pytest.raises(FrozenInstanceError):
        audit(np.array([1.0]), np.array([True]), delta=DELTA).epsilon = 0.0
