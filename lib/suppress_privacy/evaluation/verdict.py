"""From paired measurements to a verdict: holds, fails, or not tested.

A claim that something is lower holds only if every comparison it rests on says so: the 95 % interval of the paired
difference lies below zero, and the claim's p is below 5 %: the largest of its comparisons' (an
intersection-union test, Berger 1982), after Holm's correction over all claims that have one (Holm 1979). Anything less
fails. A gate that failed makes the attack too weak to say; data that are missing leave the claim untested.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from scipy import stats

from suppress_privacy.evaluation.intervals import LEVEL, LIMITS, Estimate, bootstrap_means, seed_reach
from suppress_privacy.evaluation.membership import placements

HOLDS, FAILS, NOT_TESTED = "holds", "fails", "not tested"
REFUTED = "refuted"
LEAST_SEEDS = 3  # below them nothing can be said of other trainings


@dataclass(frozen=True)
class Comparison:
    """One measurement that a claim rests on: what is compared, and the effect with its 95 % interval.

    A difference has a p; a documented figure has a band instead, and a distance from it.
    """

    what: str
    effect: float
    low: float
    high: float
    p: float | None  # one-sided
    supports: bool  # by its interval alone
    wanted: int = 1  # 1 where a difference below zero supports, -1 where one above does
    distance: float = 0.0  # how far off, in bands
    band: float | None = None  # how far off still counts as the same
    metric: str = ""  # of a difference between models: by which metric,
    control: str = ""  # and against which
    runs: tuple[str, ...] = ()  # names of those it was measured by

    def opposes(self) -> bool:
        """Whether the interval lies on the other side of zero."""
        return self.p is not None and (self.low > 0 if self.wanted == 1 else self.high < 0)


@dataclass(frozen=True)
class Verdict:
    """The answer to one claim; effect, low and high are those of its weakest comparison, p is Holm's."""

    verdict: str
    effect: float | None
    low: float | None
    high: float | None
    p: float | None
    reason: str
    comparisons: list[Comparison] = field(default_factory=list)


def lower(what: str, values: np.ndarray, control: np.ndarray) -> Comparison:
    """Whether values lie below a control's, seed by seed and image by image.

    Its p is the larger of two, since with few seeds the bootstrap alone is too sure: the share of resamples
    whose mean is not below zero, and Student's paired t over the means of the seeds.

    Args:
        what: what is compared, for the reader.
        values, control: [S, N], the same seeds and images in both.

    Returns:
        the comparison; its effect is values minus control.
    """
    difference = np.asarray(values, np.float64) - np.asarray(control, np.float64)
    return _below_zero(what, difference.mean(1), bootstrap_means(difference), float(difference.mean()))


def lower_auc(what: str, scores: np.ndarray, control: np.ndarray, members: np.ndarray) -> Comparison:
    """Whether an area under the ROC lies below a control's, seed by seed and candidate by candidate.

    The bootstrap resamples seeds and candidates of the areas' linear part (DeLong et al. 1988).

    Args:
        what: what is compared, for the reader.
        scores, control: [S, Q], the same seeds and candidates in both.
        members: bool [Q].

    Returns:
        the comparison; its effect is the area minus the control's.
    """
    pairs = [
        [of - by for of, by in zip(placements(row, members), placements(other, members), strict=True)]
        for row, other in zip(scores, control, strict=True)
    ]
    of_members, of_others = map(np.stack, zip(*pairs, strict=True))  # [S, members], [S, others]; same mean in each row
    around = of_others - of_others.mean(1, keepdims=True)  # the seeds' part is in the members' already
    resampled = bootstrap_means(of_members) + bootstrap_means(around, seed=1)
    return _below_zero(what, of_members.mean(1), resampled, float(of_members.mean()))


def higher_in_one_group(what: str, values: np.ndarray, control: np.ndarray) -> Comparison:
    """Whether values of some images lie above those of other images, the same models in both.

    Args:
        what: what is compared, for the reader.
        values, control: [S, N] and [S, M], one row a model.

    Returns:
        the comparison; its effect is values minus control.
    """
    by_seed = control.mean(1) - values.mean(1)
    # The models' part is resampled once, with the first group's images.
    around = control - control.mean(1, keepdims=True)
    resampled = bootstrap_means(control.mean(1, keepdims=True) - values) + bootstrap_means(around, seed=1)
    found = _below_zero(what, by_seed, resampled, float(by_seed.mean()))
    return replace(found, effect=-found.effect, low=-found.high, high=-found.low, wanted=-1)


def _below_zero(what: str, by_seed: np.ndarray, resampled: np.ndarray, effect: float) -> Comparison:
    low, high = np.quantile(resampled, LIMITS)
    reach = seed_reach(by_seed)
    low, high = min(low, effect - reach), max(high, effect + reach)
    p = float((1 + np.sum(resampled >= 0)) / (1 + len(resampled)))
    if len(by_seed) > 1:
        spread = by_seed.std(ddof=1)
        by_t = stats.ttest_1samp(by_seed, 0, alternative="less").pvalue if spread > 0 else float(effect >= 0)
        p = max(p, float(by_t))
    return Comparison(what, effect, float(low), float(high), p, bool(high < 0))


def inside(what: str, found: Estimate, documented: float, band: float) -> Comparison:
    """Whether an interval lies within `band` of a documented figure.

    Args:
        what: what is compared, for the reader.
        found: the mean and its interval.
        documented, band: the figure, and how far from it still counts as the same.

    Returns:
        the comparison; its effect is the mean minus the documented figure.
    """
    effect, low, high = (value - documented for value in (found.mean, found.low, found.high))
    distance = max(-low, high) / band
    return Comparison(what, effect, low, high, None, bool(distance <= 1), distance=float(distance), band=band)


@dataclass(frozen=True)
class Evidence:
    """What there is to decide one claim by.

    The claim holds if all comparisons of any one alternative support it.
    """

    alternatives: list[list[Comparison]]
    missing: str = ""  # what was not measured, or is not what it should be, and so leaves the claim untested
    models: tuple[str, ...] = ()  # it is about these: if one is not what it should be, nothing can be said
    needs_strong_attack: bool = True


def verdicts(evidence: Mapping[str, Evidence], weakness: str) -> dict[str, Verdict]:
    """The verdict on every claim, by its name.

    Args:
        evidence: by claim.
        weakness: why no attack's failure can count as protection, or nothing.
    """
    tested = {claim: entry.alternatives for claim, entry in evidence.items() if not entry.missing}
    best = {claim: min(found, key=lambda one: _weakness(max(one, key=_weakness))) for claim, found in tested.items()}
    p_values = {claim: [one.p for one in found if one.p is not None] for claim, found in best.items()}
    adjusted = holm({claim: max(values) for claim, values in p_values.items() if values})
    answers = {}
    for claim, entry in evidence.items():
        listed = [one for alternative in entry.alternatives for one in alternative]
        if entry.missing:
            answers[claim] = Verdict(NOT_TESTED, None, None, None, None, entry.missing, listed)
            continue
        weakest = max(best[claim], key=_weakness)
        p = adjusted.get(claim)
        opposed = [one for one in best[claim] if one.opposes()]
        if not weakest.supports:
            verdict = FAILS
            reason = f"the opposite: {opposed[0].what}" if opposed else f"not shown: {weakest.what}"
        elif p is not None and p >= 1 - LEVEL:
            verdict, reason = FAILS, f"not shown after Holm's correction: {weakest.what}"
        else:
            verdict, reason = HOLDS, ""
        if weakness and entry.needs_strong_attack and not opposed:
            verdict, reason = NOT_TESTED, weakness
        shown = opposed[0] if verdict == FAILS and opposed else weakest
        answers[claim] = Verdict(verdict, shown.effect, shown.low, shown.high, p, reason, listed)
    return answers


def _weakness(comparison: Comparison) -> tuple[bool, float]:
    """What to order comparisons by: those that do not support a claim last, then by p or by distance."""
    return not comparison.supports, comparison.distance if comparison.p is None else comparison.p


def holm(values: Mapping[str, float]) -> dict[str, float]:
    """Holm's adjusted p values, by name: the smallest times their number, the next times one less, never falling."""
    adjusted, largest = {}, 0.0
    for rank, name in enumerate(sorted(values, key=lambda name: values[name])):
        largest = max(largest, min(1.0, (len(values) - rank) * values[name]))
        adjusted[name] = largest
    return adjusted
