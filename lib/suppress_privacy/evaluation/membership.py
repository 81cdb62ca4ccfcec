"""How well scores tell members from non-members."""

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
    """A receiver operating characteristic: one point for every threshold, from (0, 0) to (1, 1)."""

    false_positive_rate: np.ndarray  # float64 [T], not decreasing
    true_positive_rate: np.ndarray  # float64 [T], not decreasing


def roc(scores: np.ndarray, members: np.ndarray) -> Roc:
    """The ROC of scores that say "member" from a threshold upwards; equal scores move together.

    Args:
        scores: [Q], finite.
        members: bool [Q], both kinds present.

    Raises:
        ValueError: scores are not finite, or all candidates are of one kind.
    """
    scores, members = np.asarray(scores, np.float64), np.asarray(members, bool)
    if not np.isfinite(scores).all():
        raise ValueError("scores hold values that are not finite: an order of them would mean nothing.")
    if scores.shape != members.shape or members.all() or not members.any():
        raise ValueError(
            f"members has shape {members.shape} with {int(members.sum())} True, scores {scores.shape}; "
            "both must be [Q], with members and others among them: give both kinds."
        )
    order = np.argsort(-scores, kind="stable")
    last_of_equal = np.append(np.diff(scores[order]) != 0, True)
    true = np.cumsum(members[order])[last_of_equal] / members.sum()
    false = np.cumsum(~members[order])[last_of_equal] / (~members).sum()
    return Roc(np.append(0.0, false), np.append(0.0, true))


def auc(curve: Roc) -> float:
    """Area under an ROC, in [0, 1]: the chance that a member scores above a non-member."""
    return float(trapezoid(curve.true_positive_rate, curve.false_positive_rate))


def tpr_at(curve: Roc, false_positive_rate: float) -> float:
    """The largest true positive rate whose false positive rate is at most the given one."""
    return float(curve.true_positive_rate[curve.false_positive_rate <= false_positive_rate].max())


@checked
def tpr_estimate(scores: np.ndarray, members: np.ndarray, false_positive_rate: Share) -> Estimate:
    """True positive rate at a false positive rate, over seeds.

    Args:
        scores: [S, Q], one row a seed.
        members: bool [S, Q].
        false_positive_rate: at which, of non-members.

    Returns:
        the mean over seeds; Clopper and Pearson's interval at the number of members of one seed,
        widened to the bootstrap's over members and non-members, for the threshold comes from the latter, and to
        that over seeds, where they reach farther. Every row has the same candidates.
    """
    scores, members = np.asarray(scores, np.float64), np.asarray(members, bool)
    rates = np.array([tpr_at(roc(*row), false_positive_rate) for row in zip(scores, members, strict=True)])
    count = int(np.sum(members[0]))
    exact = binomtest(round(rates.mean() * count), count).proportion_ci(LEVEL, method="exact")
    low, high = np.quantile(_resampled_rates(scores, members[0], false_positive_rate), LIMITS)
    return replace(widest(bootstrap_mean(rates[:, None]), exact, (low, high)), n=members.size)


def _resampled_rates(scores: np.ndarray, members: np.ndarray, false_positive_rate: float) -> np.ndarray:
    """The mean rate over seeds in so many resamples of members and non-members, float64 [R]."""
    rng = generator(0, "membership bootstrap")
    inside, outside = scores[:, members], scores[:, ~members]
    allowed = int(false_positive_rate * outside.shape[1])  # non-members above the threshold
    rates = np.empty(RESAMPLES)
    for number in range(RESAMPLES):
        drawn = outside[:, rng.integers(0, outside.shape[1], outside.shape[1])]
        threshold = -np.partition(-drawn, allowed, axis=1)[:, allowed]
        drawn = inside[:, rng.integers(0, inside.shape[1], inside.shape[1])]
        rates[number] = (drawn > threshold[:, None]).mean()
    return rates


def auc_estimate(scores: np.ndarray, members: np.ndarray) -> Estimate:
    """Area under the ROC, over seeds: its mean, with DeLong's interval (1988) at one seed's candidates, widened
    to the bootstrap's over seeds where those differ more. Arguments and return value as `tpr_estimate`."""
    areas = np.array([auc(roc(*row)) for row in zip(scores, members, strict=True)])
    spread = float(np.mean([delong_deviation(*row) for row in zip(scores, members, strict=True)]))
    mean, reach = float(areas.mean()), norm.ppf((1 + LEVEL) / 2) * spread
    return replace(widest(bootstrap_mean(areas[:, None]), (mean - reach, mean + reach)), n=np.size(members))


def placements(scores: np.ndarray, members: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where each candidate stands among those of the other kind (DeLong et al. 1988); both have the AUC as mean.

    Returns:
        float64: for each member the share of non-members below it, for each non-member
        the share of members above it; ties count half.
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
