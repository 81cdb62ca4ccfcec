"""The membership game over many victims: one value of each, their mean, and what so many could tell apart.

Each of M networks of one recipe is the victim in turn; a victim is a seed. Two recipes are compared on the same draws
of who is in: victim by victim, the difference d_k. What n victims tell from nothing, with the given power, is::

    delta  =  (t(0.975; n - 1) + t(power; n - 1)) s_d / sqrt(n)                       (Cohen 1988, ch. 2)

and s_d is at least what the sampling of m members alone gives two rates near p::

    s_d^2  >=  2 p (1 - p) / m

Of an image that is in the training of some victims and not of others, what an attack gets is compared with itself: with
the image's own mean over all other victims taken off, which are in or out by coins of their own,::

    d_k  =  mean over images in k of (v_ki - v_-ki)  -  mean over images not in k of (v_ki - v_-ki)

has the mean that being in adds, whatever the images and the victims are like    (cf. Feldman & Zhang 2020)
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated

import numpy as np
from scipy.stats import t

from suppress_privacy.checks import Bounds, NotNegative, Share, Whole, checked
from suppress_privacy.evaluation.intervals import LEVEL, Estimate, seed_mean
from suppress_privacy.evaluation.membership import auc, roc, tpr_at
from suppress_privacy.evaluation.metrics import FALSE_POSITIVE_RATE, LOW_RATE

RATES = {"tpr_at_1pct_fpr": FALSE_POSITIVE_RATE, "tpr_at_01pct_fpr": LOW_RATE}
OF_VICTIMS = ("auc", *RATES)  #: the metrics of each victim


def of_victim(scores: np.ndarray, members: np.ndarray) -> dict[str, float]:
    """Metrics of one victim by name; arguments and errors as `membership.roc`.

    Examples:
        >>> members = np.repeat([True, False], 100)
        >>> sorted(of_victim(members + np.random.default_rng(0).normal(size=200), members))
        ['auc', 'tpr_at_01pct_fpr', 'tpr_at_1pct_fpr']
    """
    curve = roc(scores, members)
    return {"auc": auc(curve)} | {name: tpr_at(curve, rate) for name, rate in RATES.items()}


def over_victims(values: Sequence[float]) -> Estimate:
    """The mean of a metric in [0, 1] over victims, two at least, with Student's interval.

    Candidates are the same for all victims: the interval is about other trainings and draws, not other candidates.

    Examples:
        >>> over_victims([0.50, 0.52, 0.51]).mean
        0.51
    """
    found = seed_mean(values)
    return replace(found, low=max(0.0, found.low), high=min(1.0, found.high))


def gained(values: np.ndarray, member: np.ndarray) -> np.ndarray:
    """What each victim's images gain by being in its training.

    Args:
        values: [M, N], of M victims, two at least, and the same N images in all.
        member: bool [M, N].

    Returns:
        d_k, float64 [M]; NaN of a victim that has all images in its training, or none.

    Examples:
        >>> member = np.random.default_rng(0).random((8, 40)) < 0.5
        >>> gained(0.25 * member, member).shape  # of eight victims
        (8,)
        >>> round(float(gained(0.25 * member, member).mean()), 1)
        0.3
    """
    values, member = np.asarray(values, np.float64), np.asarray(member, bool)
    beyond = values - (values.sum(0) - values) / (len(values) - 1)
    told = member.any(1) & ~member.all(1)
    return np.array(
        [
            row[inside].mean() - row[~inside].mean() if both else np.nan
            for row, inside, both in zip(beyond, member, told, strict=True)
        ]
    )


@checked
def detectable(victims: Annotated[int, Bounds(at_least=2)], spread: NotNegative, power: Share = 0.8) -> float:
    """The least true difference that so many victims would find, in so many of 100 repetitions.

    Args:
        victims: n, of each of two recipes, in pairs.
        spread: s_d, the standard deviation of the difference between the two of a pair.
        power: the share of repetitions whose 95 % interval would leave out zero.

    Examples:
        >>> round(detectable(victims=8, spread=0.01), 3)  # eight victims of each kind tell such a difference from none
        0.012
    """
    quantiles = t.ppf([(1 + LEVEL) / 2, power], victims - 1)
    return float(quantiles.sum() * spread / np.sqrt(victims))


@checked
def least_spread(rate: Share, members: Whole) -> float:
    """The standard deviation that sampling alone gives the difference of two true positive rates.

    Args:
        rate: p, near which both are.
        members: m, from whom each is counted.

    Examples:
        >>> round(least_spread(rate=0.01, members=1000), 4)
        0.0044
    """
    return float(np.sqrt(2 * rate * (1 - rate) / members))
