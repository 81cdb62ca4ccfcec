"""From paired measurements to a verdict: holds, refuted, not shown, or not tested.

A claim that something is lower holds only if every comparison it rests on says so: the 95 % interval of the paired
difference lies below zero, and the claim's p is below 5 %: the largest of its comparisons' (an
intersection-union test, Berger 1982), after Holm's correction over all claims that have one (Holm 1979). It is refuted
if every comparison says the opposite by the same rule. A claim that documented figures are met holds if every interval
lies within its band, and is refuted if one lies wholly outside. What neither holds nor is refuted is not shown. A gate
that failed makes the attack too weak to say; data that are missing leave the claim untested.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from scipy import stats

from suppress_privacy.evaluation.intervals import LEVEL, LIMITS, Estimate, bootstrap_means, seed_reach
from suppress_privacy.evaluation.membership import placements

HOLDS, REFUTED, NOT_SHOWN, NOT_TESTED = "holds", "refuted", "not shown", "not tested"
LEAST_SEEDS = 3  #: below them nothing can be said of other trainings


@dataclass(frozen=True)
class Comparison:
    """One measurement that a claim rests on: what is compared, and the effect with its 95 % interval.

    A difference has a p in either direction; a documented figure has a band instead, and a distance from it.
    """

    what: str
    effect: float
    low: float
    high: float
    p: float | None  #: one-sided
    supports: bool  #: by its interval alone
    than: str = ""  #: what the compared is to lie below, or above
    p_opposite: float | None = None  #: one-sided, of the other direction
    wanted: int = 1  #: 1 where a difference below zero supports, -1 where one above does
    distance: float = 0.0  #: how far off, in bands
    band: float | None = None  #: how far off still counts as the same
    metric: str = ""  #: of a difference between models, by which metric,
    control: str = ""  #: and against which
    runs: tuple[str, ...] = ()  #: names of those it was measured by

    def opposes(self) -> bool:
        """Whether the interval lies on the other side of zero, or wholly outside the band."""
        if self.band is not None:
            return self.low > self.band or self.high < -self.band
        return self.low > 0 if self.wanted == 1 else self.high < 0

    def asked(self) -> str:
        """What is asked, in words."""
        return self.what + (f" {'below' if self.wanted == 1 else 'above'} {self.than}" if self.than else "")

    def opposite(self) -> str:
        """What was found by one that opposes, in words."""
        return f"{self.what} lies {'above' if self.effect > 0 else 'below'} {self.than or 'its band'}"


@dataclass(frozen=True)
class Verdict:
    """The answer to one claim.

    Effect, low and high are those of the comparison that decides it, the weakest of those it rests on; p is Holm's, of
    the opposite where that refutes the claim.
    """

    verdict: str
    effect: float | None
    low: float | None
    high: float | None
    p: float | None
    reason: str
    comparisons: list[Comparison] = field(default_factory=list)


def lower(what: str, than: str, values: np.ndarray, control: np.ndarray) -> Comparison:
    """Whether values lie below a control's, seed by seed and image by image.

    Its p is the larger of two, since with few seeds the bootstrap alone is too sure: the share of resamples
    whose mean is not below zero, and Student's paired t over the means of the seeds.

    Args:
        what, than: what is compared with what, for the reader.
        values, control: [S, N], the same seeds and images in both; NaN leaves an image of a seed out.

    Returns:
        the comparison; its effect is values minus control.

    Examples:
        >>> rng = np.random.default_rng(0)
        >>> control = rng.random((3, 100))  # of three seeds and a hundred images
        >>> found = lower("suppressed", "ordinary", control - 0.1 - 0.01 * rng.random((3, 100)), control)
        >>> isinstance(found, Comparison), found.supports, round(found.effect, 1)
        (True, True, -0.1)
    """
    difference = np.asarray(values, np.float64) - np.asarray(control, np.float64)
    by_seed, effect = np.nanmean(difference, axis=1), float(np.nanmean(difference))
    return _below_zero(what, than, by_seed, bootstrap_means(difference), effect)


def lower_auc(what: str, than: str, scores: np.ndarray, control: np.ndarray, members: np.ndarray) -> Comparison:
    """Whether an area under the ROC lies below a control's, seed by seed and candidate by candidate.

    The bootstrap resamples seeds and candidates of the areas' linear part (DeLong et al. 1988).

    Args:
        what, than: what is compared with what, for the reader.
        scores, control: [S, Q], the same seeds and candidates in both.
        members: bool [Q].

    Returns:
        the comparison; its effect is the area minus the control's.

    Examples:
        >>> members = np.arange(100) < 50
        >>> scores = rng.normal(size=(3, 100))
        >>> lower_auc("suppressed", "ordinary", scores, scores + 2 * members, members).supports
        True
    """
    pairs = [
        [of - by for of, by in zip(placements(row, members), placements(other, members), strict=True)]
        for row, other in zip(scores, control, strict=True)
    ]
    of_members, of_others = map(np.stack, zip(*pairs, strict=True))  # [S, members], [S, others]; same mean in each row
    around = of_others - of_others.mean(1, keepdims=True)  # the seeds' part is in the members' already
    resampled = bootstrap_means(of_members) + bootstrap_means(around, seed=1)
    return _below_zero(what, than, of_members.mean(1), resampled, float(of_members.mean()))


def higher_in_one_group(what: str, than: str, values: np.ndarray, control: np.ndarray) -> Comparison:
    """Whether values of some images lie above those of other images, the same models in both.

    Args:
        what, than: what is compared with what, for the reader.
        values, control: [S, N] and [S, M], one row a model.

    Returns:
        the comparison; its effect is values minus control.

    Examples:
        >>> higher_in_one_group("members", "others", 1 + rng.random((3, 50)), rng.random((3, 50))).supports
        True
    """
    by_seed = control.mean(1) - values.mean(1)
    # The models' part is resampled once, with the first group's images.
    around = control - control.mean(1, keepdims=True)
    resampled = bootstrap_means(control.mean(1, keepdims=True) - values) + bootstrap_means(around, seed=1)
    return _mirrored(_below_zero(what, than, by_seed, resampled, float(by_seed.mean())))


def higher(what: str, than: str, values: Sequence[float], control: float = 0.0) -> Comparison:
    """Whether one value of each seed lies above a figure.

    Args:
        what, than: what is compared with what, for the reader.
        values: [S].
        control: the figure.

    Returns:
        the comparison; its effect is the mean of the values minus the figure.

    Examples:
        >>> higher("accuracy", "0.9", [0.97, 0.98, 0.98], 0.9).supports
        True
    """
    column = np.asarray(values, np.float64)[:, None]
    return _mirrored(lower(what, than, np.full_like(column, control), column))


def _mirrored(found: Comparison) -> Comparison:
    """A comparison whose effect was taken the other way round."""
    return replace(found, effect=-found.effect, low=-found.high, high=-found.low, wanted=-1)


def _below_zero(what: str, than: str, by_seed: np.ndarray, resampled: np.ndarray, effect: float) -> Comparison:
    low, high = np.quantile(resampled, LIMITS)
    reach = seed_reach(by_seed)
    low, high = min(low, effect - reach), max(high, effect + reach)
    p, p_opposite = _p(by_seed, resampled), _p(-by_seed, -resampled)
    than = f"{than} ({len(by_seed)} seeds)"
    return Comparison(what, effect, float(low), float(high), p, bool(high < 0), than, p_opposite)


def _p(by_seed: np.ndarray, resampled: np.ndarray) -> float:
    """One-sided, for a mean below zero."""
    p = float((1 + np.sum(resampled >= 0)) / (1 + len(resampled)))
    if len(by_seed) == 1:
        return p
    by_t = stats.ttest_1samp(by_seed, 0, alternative="less").pvalue if np.ptp(by_seed) > 0 else by_seed[0] >= 0
    return max(p, float(by_t))


def inside(what: str, found: Estimate, documented: float, band: float) -> Comparison:
    """Whether an interval lies within `band` of a documented figure.

    Args:
        what: what is compared, for the reader.
        found: the mean and its interval.
        documented, band: the figure, and how far from it still counts as the same.

    Returns:
        the comparison; its effect is the mean minus the documented figure.

    Examples:
        >>> from suppress_privacy.evaluation.intervals import Estimate
        >>> inside("accuracy", Estimate(0.981, 0.980, 0.982, 3), documented=0.980, band=0.005).supports
        True
    """
    effect, low, high = (value - documented for value in (found.mean, found.low, found.high))
    distance = max(-low, high) / band
    return Comparison(what, effect, low, high, None, bool(distance <= 1), distance=float(distance), band=band)


@dataclass(frozen=True)
class Evidence:
    """What there is to decide one claim by.

    The claim holds if all comparisons of any one alternative support it; it is judged by the one that has most.
    """

    alternatives: list[list[Comparison]]
    missing: str = ""  #: what was not measured, or is not what it should be, and so leaves the claim untested
    models: tuple[str, ...] = ()  #: it is about these; if one is not what it should be, nothing can be said
    sees: str = ""  #: what the attacks see whose failure would support it


def verdicts(evidence: Mapping[str, Evidence], weaknesses: Mapping[str, str]) -> dict[str, Verdict]:
    """The verdict on every claim, by its name.

    Args:
        evidence: by claim.
        weaknesses: by what attacks see, why their failure cannot count as protection.

    Examples:
        >>> answer = verdicts({"protects": Evidence([[found]], sees="features")}, weaknesses={})["protects"]
        >>> isinstance(answer, Verdict), answer.verdict
        (True, 'holds')
        >>> weak = {"features": "attack too weak: tuned-beats-mean"}
        >>> verdicts({"protects": Evidence([[found]], sees="features")}, weak)["protects"].verdict
        'not tested'
    """
    best = {claim: min(entry.alternatives, key=_misses) for claim, entry in evidence.items() if not entry.missing}
    with_p = {claim: found for claim, found in best.items() if all(one.p is not None for one in found)}
    adjusted, opposite = (
        holm({claim: max(getattr(one, name) for one in found) for claim, found in with_p.items()})
        for name in ("p", "p_opposite")
    )
    answers = {}
    for claim, entry in evidence.items():
        if entry.missing:
            answer = Verdict(NOT_TESTED, None, None, None, None, entry.missing)
        else:
            answer = _answer(best[claim], adjusted.get(claim), opposite.get(claim, 1.0))
            if entry.sees in weaknesses and answer.verdict != REFUTED:
                answer = replace(answer, verdict=NOT_TESTED, reason=weaknesses[entry.sees])
        answers[claim] = replace(answer, comparisons=[one for found in entry.alternatives for one in found])
    return answers


def same(outcomes: Mapping[str, Verdict | None]) -> Verdict:
    """Whether one claim has the same answer wherever it was asked.

    It holds if the claim holds everywhere, or is refuted everywhere; it is refuted if the claim holds in one place and
    is refuted in another. What is not shown somewhere is no answer, and so neither the same nor another.

    Args:
        outcomes: by place; None where it was not asked.

    Examples:
        >>> same({"MNIST": answer, "Fashion-MNIST": None}).verdict
        'not tested'
    """
    where: dict[str, list[str]] = {}
    for place, found in outcomes.items():
        where.setdefault(found.verdict if found else NOT_TESTED, []).append(place)
    said = "; ".join(f"{verdict}: {', '.join(places)}" for verdict, places in where.items())
    answer = HOLDS if {*where} in ({HOLDS}, {REFUTED}) else REFUTED if {HOLDS, REFUTED} <= {*where} else NOT_SHOWN
    if NOT_TESTED in where and answer != REFUTED:
        answer = NOT_TESTED
    return Verdict(answer, None, None, None, None, said)


def _answer(found: Sequence[Comparison], p: float | None, p_opposite: float) -> Verdict:
    """What comparisons say of their claim, whatever the attacks' strength."""
    opposed = [one for one in found if one.opposes()]
    shown = max(opposed or found, key=_weakness)
    if all(one.supports for one in found) and (p is None or p < 1 - LEVEL):
        verdict, reason = HOLDS, ""
    elif p is None:
        verdict = REFUTED if opposed else NOT_SHOWN
        where = shown.opposite() if opposed else f"{shown.what} reaches beyond its band"
        reason = f"{where}; {sum(one.supports for one in found)} of {len(found)} figures reproduced"
    elif len(opposed) == len(found) and p_opposite < 1 - LEVEL:
        shown, p = max(found, key=lambda one: one.p_opposite or 0.0), p_opposite
        verdict, reason = REFUTED, f"the opposite: {shown.opposite()}"
    elif opposed:
        partly = f"in {len(opposed)} of {len(found)} comparisons"
        partly = partly if len(opposed) < len(found) else "but not after Holm's correction"
        verdict, reason = NOT_SHOWN, f"the opposite, {partly}: {shown.opposite()}"
    elif not shown.supports:
        verdict, reason = NOT_SHOWN, f"the interval includes zero: {shown.asked()}"
    else:
        verdict, reason = NOT_SHOWN, f"not shown after Holm's correction (p {p:.2g}): {shown.asked()}"
    return Verdict(verdict, shown.effect, shown.low, shown.high, p, reason)


def _misses(found: Sequence[Comparison]) -> tuple[bool, int, tuple[bool, float]]:
    """What to order alternatives by: one that all comparisons support, then most of them, then the nearest."""
    supporting = sum(one.supports for one in found)
    return supporting < len(found), -supporting, _weakness(max(found, key=_weakness))


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
