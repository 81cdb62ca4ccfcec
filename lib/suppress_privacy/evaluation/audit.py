"""A lower bound on epsilon from one training (Steinke, Nasr & Jagielski 2023, Theorem 5.2)::

    P[V >= v] <= P[B >= v] + 2 m delta max_i P[v > B >= v - i] / i,   B ~ Binomial(r, 1 / (1 + e^-epsilon)), 1 <= i <= v

Each of m canaries is in the training or out of it by a fair coin of its own; an attacker guesses r of the coins and
abstains from the rest, and V of the guesses are right. What the right side falls below 1 - level for, no training does
that is (epsilon, delta)-differentially private for adding or removing one canary, at that level of confidence.
"""

from dataclasses import dataclass
from typing import Annotated

import numpy as np
from scipy.optimize import brentq
from scipy.special import bdtrc, expit

from suppress_privacy.checks import Bounds, Seed, Share, Whole, check, checked
from suppress_privacy.evaluation.intervals import LEVEL
from suppress_privacy.runtime import generator

# Of canaries guessed: few where little leaks, all where everything does. Fixed before anything is seen, and each tried
# at its part of what may go wrong (Bonferroni), so that the best may be taken.
SHARES = (0.125, 0.5, 1.0)

Delta = Annotated[float, Bounds(at_least=0, below=1)]


@dataclass(frozen=True)
class Audit:
    """What guesses of canaries' coins refute: every epsilon up to this one; 0 where none is refuted."""

    epsilon: float
    canaries: int
    guesses: int  #: those that refute most
    correct: int


@checked
def audit(scores: np.ndarray, coins: np.ndarray, *, delta: Delta, level: Share = LEVEL, seed: Seed = 0) -> Audit:
    """The bound from scores: the highest are guessed to be in, as many of the lowest out.

    How many are guessed does not depend on the outcome: all of `SHARES` are tried, and corrected for. Trainings that
    each had coins of their own may stand in one row: a coin sways one of them.

    Args:
        scores: [M], finite, higher where a canary seems in; made without knowledge of any of these coins.
        coins: bool [M], who was in.
        delta: at which a bound on epsilon is asked for.
        level: of confidence.
        seed: orders equal scores, about which the coins may not decide.

    Raises:
        ValueError: shapes differ, there is no canary, or scores are not finite.

    Examples:
        >>> coins = np.random.default_rng(0).random(200) < 0.5
        >>> found = audit(coins.astype(float), coins, delta=1e-5)  # an attacker who knows every coin
        >>> found.guesses == found.correct, found.epsilon > 3
        (True, True)
    """
    scores, coins = np.asarray(scores, np.float64), np.asarray(coins, bool)
    if scores.shape != coins.shape or scores.ndim != 1 or not len(scores):
        raise ValueError(f"scores have shape {scores.shape}, coins {coins.shape}; both must be [M]: give each canary.")
    if not np.isfinite(scores).all():
        raise ValueError("scores hold values that are not finite: an order of them would mean nothing.")
    count = len(scores)
    ranked = coins[np.lexsort((generator(seed, "audit ties").permutation(count), -scores))]

    def found(guesses: int) -> Audit:
        correct = int(ranked[: guesses - guesses // 2].sum() + (~ranked[count - guesses // 2 :]).sum())
        bound = epsilon_lower_bound(count, guesses, correct, delta=delta, level=_corrected(level))
        return Audit(bound, count, guesses, correct)

    return max(map(found, _numbers(count)), key=lambda each: each.epsilon)


@checked
def largest_epsilon(canaries: Whole, delta: Delta, level: Share = LEVEL) -> float:
    """The largest bound that `audit` could ever give with so many canaries: all guesses are right.

    Examples:
        >>> largest_epsilon(200, delta=1e-5) >= found.epsilon
        True
    """
    return max(
        epsilon_lower_bound(canaries, guesses, guesses, delta=delta, level=_corrected(level))
        for guesses in _numbers(canaries)
    )


@checked
def epsilon_lower_bound(canaries: Whole, guesses: int, correct: int, *, delta: Delta, level: Share = LEVEL) -> float:
    """The largest epsilon that so many correct guesses refute; 0 where none is refuted.

    Args:
        canaries: with a coin each; what is not guessed counts too.
        guesses: from 0 to `canaries`; their number was chosen without looking at which are correct.
        correct: of the guesses.
        delta, level: as `audit` takes them.

    Raises:
        ValueError: more guesses than canaries, or more correct than guesses.

    Examples:
        >>> epsilon_lower_bound(200, guesses=100, correct=50, delta=1e-5)  # no better than chance
        0.0
    """
    check("guesses", guesses, Annotated[int, Bounds(at_least=0, at_most=canaries, named="canaries")])
    check("correct", correct, Annotated[int, Bounds(at_least=0, at_most=guesses, named="guesses")])

    def excess(epsilon: float) -> float:
        return p_value(canaries, guesses, correct, epsilon, delta) - (1 - level)

    low, high = 0.0, 1.0
    if excess(low) >= 0:
        return 0.0
    while excess(high) < 0:
        low, high = high, 2 * high
    return float(brentq(excess, low, high))


def p_value(canaries: int, guesses: int, correct: int, epsilon: float, delta: float) -> float:
    """The right side above: how likely so many correct guesses are at most; arguments as `epsilon_lower_bound`."""
    at_least = bdtrc(np.arange(correct + 1) - 1, guesses, expit(epsilon))  # P[B >= 0], ..., P[B >= v]
    below = at_least[:-1][::-1] - at_least[-1]  # P[v > B >= v - i]
    steepest = np.max(below / np.arange(1, correct + 1), initial=0.0)
    return float(min(1.0, at_least[-1] + 2 * canaries * delta * steepest))


def _numbers(canaries: int) -> list[int]:
    return [round(share * canaries) for share in SHARES]


def _corrected(level: float) -> float:
    return 1 - (1 - level) / len(SHARES)
