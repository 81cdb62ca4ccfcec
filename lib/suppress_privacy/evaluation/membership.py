"""How well scores tell members from non-members.

Tied candidates are split evenly. A curve leads straight from where they begin to where they end, so that a rate on it
is the one expected when they are ordered at random (Fawcett 2006, section 6).
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from scipy.integrate import trapezoid
from scipy.stats import binomtest, norm

from suppress_privacy.checks import Share, checked
from suppress_privacy.evaluation.intervals import LEVEL, LIMITS, Estimate, bootstrap_mean, widest
from suppress_privacy.runtime import generator

RESAMPLES = 1000


@dataclass(frozen=True)
class Roc:
    """A receiver operating characteristic: a point where each group of equal scores ends, from (0, 0) to (1, 1)."""

    false_positive_rate: np.ndarray  #: float64 [T], not decreasing
    true_positive_rate: np.ndarray  #: float64 [T], not decreasing


class _Ranking:
    """Candidates from the highest score down, as far as some share of non-members is reached in any resample."""

    def __init__(self, scores: np.ndarray, members: np.ndarray, share: float = 1.0) -> None:
        order = np.argsort(-scores, kind="stable")
        ranked, outside = scores[order], ~members[order]
        # Twice as many non-members and fifty more are hardly ever less in a resample: one chance in 10^18.
        enough = np.append(ranked[outside], ranked[-1])[: int(2 * share * outside.sum()) + 51][-1]
        self.order = order[ranked >= enough]
        self.ends = np.flatnonzero(np.append(np.diff(ranked) != 0, True)[ranked >= enough])  # of equal scores
        self.kinds = np.stack([members, ~members]).astype(np.float64)  # [2, Q]
        self.ranked_kinds = self.kinds[:, self.order]

    def curve(self, counts: np.ndarray) -> Roc:
        """The ROC so far, where each candidate counts so often, [Q]."""
        found = np.zeros((2, 1 + len(self.ends)))
        drawn = np.cumsum(self.ranked_kinds * counts[self.order], axis=1)
        found[:, 1:] = drawn[:, self.ends] / (self.kinds @ counts)[:, None]
        return Roc(found[1], found[0])


def roc(scores: np.ndarray, members: np.ndarray) -> Roc:
    """The ROC of scores that say "member" from a threshold upwards; equal scores move together.

    Args:
        scores: [Q], finite.
        members: bool [Q], both kinds present.

    Raises:
        ValueError: scores are not finite, or all candidates are of one kind.

    Examples:
        >>> scores, members = np.array([0.9, 0.8, 0.3, 0.1]), np.array([True, False, True, False])
        >>> curve = roc(scores, members)
        >>> isinstance(curve, Roc), curve.true_positive_rate.tolist()
        (True, [0.0, 0.5, 0.5, 1.0, 1.0])
    """
    scores, members = np.asarray(scores, np.float64), np.asarray(members, bool)
    if not np.isfinite(scores).all():
        raise ValueError("scores hold values that are not finite: an order of them would mean nothing.")
    if scores.shape != members.shape or members.all() or not members.any():
        raise ValueError(
            f"members has shape {members.shape} with {int(members.sum())} True, scores {scores.shape}; "
            "both must be [Q], with members and others among them: give both kinds."
        )
    return _Ranking(scores, members).curve(np.ones(len(scores)))


def auc(curve: Roc) -> float:
    """Area under an ROC, in [0, 1]: the chance that a member scores above a non-member.

    Examples:
        >>> auc(curve)
        0.75
    """
    return float(trapezoid(curve.true_positive_rate, curve.false_positive_rate))


def tpr_at(curve: Roc, false_positive_rate: float) -> float:
    """The true positive rate at a false positive rate: the largest there, ties split evenly.

    Examples:
        >>> tpr_at(curve, 0.25)
        0.5
    """
    return float(np.interp(false_positive_rate, curve.false_positive_rate, curve.true_positive_rate))


@checked
def tpr_estimate(scores: np.ndarray, members: np.ndarray, false_positive_rate: Share) -> Estimate:
    """True positive rate at a false positive rate, over seeds.

    Args:
        scores: [S, Q], one row a seed, the same candidates in each.
        members: bool [S, Q]; who is a member may differ by row.
        false_positive_rate: at which, of non-members.

    Returns:
        the mean over seeds; Clopper and Pearson's interval at the number of candidates that are a member in any
        row, for a candidate is one however many rows it is in; widened to the bootstrap's over candidates, for the
        threshold comes from non-members, and to that over seeds, where they reach farther.

    Examples:
        >>> many = np.repeat([[True, False]], 100, axis=1).repeat(2, axis=0)  # two seeds, a hundred of each kind
        >>> found = tpr_estimate(many + np.random.default_rng(0).normal(size=many.shape), many, 0.1)
        >>> found.low < found.mean < found.high
        True
    """
    scores, members = np.asarray(scores, np.float64), np.asarray(members, bool)
    rates = np.array([tpr_at(roc(*row), false_positive_rate) for row in zip(scores, members, strict=True)])
    count = int(np.sum(members.any(0)))
    exact = binomtest(round(rates.mean() * count), count).proportion_ci(LEVEL, method="exact")
    low, high = np.quantile(_resampled_rates(scores, members, false_positive_rate), LIMITS)
    return replace(widest(bootstrap_mean(rates[:, None]), exact, (low, high)), n=members.size)


def _resampled_rates(scores: np.ndarray, members: np.ndarray, false_positive_rate: float) -> np.ndarray:
    """The mean rate over seeds in so many resamples of candidates, the same ones in each row: float64 [R]."""
    rankings = [_Ranking(*row, false_positive_rate) for row in zip(scores, members, strict=True)]
    return np.array(
        [
            seeds @ [tpr_at(ranking.curve(counts), false_positive_rate) for ranking in rankings]
            for seeds, counts in _resamples(members)
        ]
    )


def _resamples(members: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The shares of seeds in each resample, [S], and how often each candidate counts, [Q].

    Where rows have the same members, as many members and others are drawn as there are, for all seeds. Where they
    differ, seeds and candidates are crossed; candidates get weights (the Bayesian bootstrap, Rubin 1981), for
    a row whose only members were not drawn would have no rate.
    """
    rng, (seeds, candidates) = generator(0, "membership bootstrap"), members.shape
    even, kinds = np.full(seeds, 1 / seeds), [np.flatnonzero(kind) for kind in (~members[0], members[0])]
    counts, differ = np.zeros(candidates), _differ(members)
    for _ in range(RESAMPLES):
        if differ:
            yield rng.multinomial(seeds, even) / seeds, rng.standard_exponential(candidates)
            continue
        for kind in kinds:
            counts[kind] = np.bincount(rng.integers(0, len(kind), len(kind)), minlength=len(kind))
        yield even, counts


def _differ(members: np.ndarray) -> bool:
    """Whether not all rows have the same members."""
    return bool((members != members[0]).any())


def auc_estimate(scores: np.ndarray, members: np.ndarray) -> Estimate:
    """Area under the ROC, over seeds: its mean, with DeLong's interval (1988) at one seed's candidates, widened
    to the bootstrap's over seeds where those differ more; where members differ by row, with the bootstrap's over
    seeds and candidates. Arguments and return value as `tpr_estimate`.

    Examples:
        >>> auc_estimate(many.astype(float), many).mean
        1.0
    """
    rows = list(zip(scores, np.asarray(members, bool), strict=True))
    areas = np.array([auc(roc(*row)) for row in rows])
    if _differ(np.asarray(members, bool)):
        return widest(bootstrap_mean(np.stack([standings(*row) for row in rows])))
    spread = float(np.mean([delong_deviation(*row) for row in rows]))
    mean, reach = float(areas.mean()), norm.ppf((1 + LEVEL) / 2) * spread
    return replace(widest(bootstrap_mean(areas[:, None]), (mean - reach, mean + reach)), n=np.size(members))


def standings(scores: np.ndarray, members: np.ndarray) -> np.ndarray:
    """Each candidate's part in the area under the ROC, float64 [Q], whose mean is the area.

    The area moves by a candidate's placement, and by how few there are of its kind; resampled together, parts give
    the deviation that DeLong's does, whoever is a member in which row.
    """
    members = np.asarray(members, bool)
    found = np.empty(len(members))
    for kind, placed in zip((members, ~members), placements(scores, members), strict=True):
        area = placed.mean()
        found[kind] = area + (placed - area) * len(members) / kind.sum()
    return found


def placements(scores: np.ndarray, members: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where each candidate stands among those of the other kind (DeLong et al. 1988); both have the AUC as mean.

    Returns:
        for each member the share of non-members below it, for each non-member the share of members above it, float64;
        ties count half.
    """
    scores, members = np.asarray(scores, np.float64), np.asarray(members, bool)
    inside, outside = scores[members], scores[~members]

    def share_below(values: np.ndarray, others: np.ndarray) -> np.ndarray:
        order = np.sort(others)
        return (np.searchsorted(order, values, "left") + np.searchsorted(order, values, "right")) / (2 * len(order))

    return share_below(inside, outside), 1 - share_below(outside, inside)


def delong_deviation(scores: np.ndarray, members: np.ndarray) -> float:
    """The standard error of the area under an ROC (DeLong et al. 1988)."""
    of_members, of_others = placements(scores, members)
    return float(np.sqrt(of_members.var(ddof=1) / len(of_members) + of_others.var(ddof=1) / len(of_others)))
