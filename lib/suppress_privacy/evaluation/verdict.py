"""From paired measurements to a verdict: holds, fails, or not tested.

A claim that something is lower holds only if every comparison it rests on says so: the 95 % interval of the paired
difference lies below zero, and so does the claim's p, the largest of its comparisons' (an intersection-union test,
Berger 1982), after Holm's correction over all claims (Holm 1979). Anything less fails. A gate that failed makes the
attack too weak to say; data that are missing leave the claim untested.
"""

from dataclasses import dataclass, field

import numpy as np
from scipy import stats

from suppress_privacy.evaluation.intervals import LEVEL, bootstrap_means
from suppress_privacy.evaluation.membership import placements

HOLDS, FAILS, NOT_TESTED = "holds", "fails", "not tested"
LEAST_SEEDS = 3  # below them nothing can be said of other trainings


@dataclass(frozen=True)
class Comparison:
    """One measurement that a claim rests on: what is compared, the effect with its 95 % interval, and p."""

    what: str
    effect: float
    low: float
    high: float
    p: float | None  # one-sided; None where a band decides
    supports: bool  # by its interval alone
    records: tuple = ()  # names of those it was measured by


@dataclass(frozen=True)
class Verdict:
    """The answer to one claim; effect, low and high are those of its weakest comparison, p is Holm's."""

    verdict: str
    effect: float | None
    low: float | None
    high: float | None
    p: float | None
    reason: str
    comparisons: list = field(default_factory=list)


def lower(what, values, control):
    """Whether values lie below a control's, seed by seed and image by image.

    Its p is the larger of two, since with few seeds the bootstrap alone is too sure: the share of resamples
    whose mean is not below zero, and Student's paired t over the means of the seeds.

    Args:
        what (str): what is compared, for the reader.
        values, control (numpy.ndarray): [S, N], the same seeds and images in both.

    Returns:
        Comparison; the effect is values minus control.
    """
    difference = np.asarray(values, np.float64) - np.asarray(control, np.float64)
    return _below_zero(what, difference.mean(1), bootstrap_means(difference), float(difference.mean()))


def lower_auc(what, scores, control, members):
    """Whether an area under the ROC lies below a control's, seed by seed and candidate by candidate.

    The bootstrap resamples seeds and candidates of the areas' linear part (DeLong et al. 1988).

    Args:
        what (str): what is compared, for the reader.
        scores, control (numpy.ndarray): [S, Q], the same seeds and candidates in both.
        members (numpy.ndarray): bool [Q].

    Returns:
        Comparison; the effect is the area minus the control's.
    """
    own, other = (
        [np.stack(kind) for kind in zip(*(placements(row, members) for row in rows), strict=True)]
        for rows in (scores, control)
    )
    of_members, of_others = own[0] - other[0], own[1] - other[1]  # [S, members], [S, others]; same mean in each row
    around = of_others - of_others.mean(1, keepdims=True)  # the seeds' part is in the members' already
    resampled = bootstrap_means(of_members) + bootstrap_means(around, seed=1)
    return _below_zero(what, of_members.mean(1), resampled, float(of_members.mean()))


def unpaired_higher(what, values, control):
    """Whether values of some images lie above those of other images, the same seeds in both: [S, N] and [S, M].

    Returns:
        Comparison; the effect is values minus control, and lower than zero speaks against the claim.
    """
    means = bootstrap_means(control, seed=1) - bootstrap_means(values, seed=2)
    by_seed = control.mean(1) - values.mean(1)
    found = _below_zero(what, by_seed, means, float(by_seed.mean()))
    return Comparison(what, -found.effect, -found.high, -found.low, found.p, found.supports)


def _below_zero(what, by_seed, resampled, effect):
    low, high = np.quantile(resampled, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    p = (1 + np.sum(resampled >= 0)) / (1 + len(resampled))
    if len(by_seed) > 1:
        spread = by_seed.std(ddof=1)
        by_t = stats.ttest_1samp(by_seed, 0, alternative="less").pvalue if spread > 0 else float(effect >= 0)
        p = max(p, by_t)
    return Comparison(what, effect, float(low), float(high), float(p), bool(high < 0))


def inside(what, found, documented, band):
    """Whether an interval lies within `band` of a documented figure.

    Args:
        what (str): what is compared, for the reader.
        found (Estimate or Interval): with mean, low and high.
        documented, band (float): the figure, and how far from it still counts as the same.

    Returns:
        Comparison; the effect is the mean minus the documented figure.
    """
    effect, low, high = (value - documented for value in (found.mean, found.low, found.high))
    return Comparison(what, effect, low, high, None, bool(low >= -band and high <= band))


def seed_mean(values):
    """The mean over seeds with Student's 95 % interval: (mean, low, high); at least two values."""
    values = np.asarray(values, np.float64)
    half = stats.t.ppf((1 + LEVEL) / 2, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values))
    return float(values.mean()), float(values.mean() - half), float(values.mean() + half)


@dataclass(frozen=True)
class Evidence:
    """What there is to decide one claim by.

    `alternatives`: lists of Comparison; the claim holds if all comparisons of any one list support it. `missing`
    says what was not measured, and so leaves the claim untested.
    """

    alternatives: list
    missing: str = ""
    needs_strong_attack: bool = True


def verdicts(evidence, failed_gates):
    """The verdict on every claim.

    Args:
        evidence (dict): claim -> Evidence.
        failed_gates (list of str): validity gates that failed or were not decided.

    Returns:
        dict: claim -> Verdict.
    """
    best = {
        claim: min(entry.alternatives, key=lambda found: (not all(one.supports for one in found), _largest_p(found)))
        for claim, entry in evidence.items()
        if not entry.missing
    }
    adjusted = holm({claim: _largest_p(found) for claim, found in best.items() if found[0].p is not None})
    answers = {}
    for claim, entry in evidence.items():
        if entry.missing:
            answers[claim] = Verdict(NOT_TESTED, None, None, None, None, entry.missing)
            continue
        found = best[claim]
        weakest = max(found, key=lambda one: (not one.supports, one.p if one.p is not None else abs(one.effect)))
        p = adjusted.get(claim)
        supported = all(one.supports for one in found) and (p is None or p < 1 - LEVEL)
        verdict, reason = (HOLDS, "") if supported else (FAILS, f"not so: {weakest.what}")
        if supported and entry.needs_strong_attack and failed_gates:
            verdict, reason = NOT_TESTED, f"attack too weak: {', '.join(failed_gates)}"
        listed = [one for alternative in entry.alternatives for one in alternative]
        answers[claim] = Verdict(verdict, weakest.effect, weakest.low, weakest.high, p, reason, listed)
    return answers


def holm(values):
    """Holm's adjusted p values, by name: the smallest times their number, the next times one less, never falling."""
    adjusted, largest = {}, 0.0
    for rank, name in enumerate(sorted(values, key=values.get)):
        largest = max(largest, min(1.0, (len(values) - rank) * values[name]))
        adjusted[name] = largest
    return adjusted


def _largest_p(comparisons):
    return max((one.p for one in comparisons if one.p is not None), default=0.0)
