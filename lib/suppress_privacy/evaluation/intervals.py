"""95 % intervals for means over seeds and images."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from scipy.special import stdtrit
from scipy.stats import binomtest, t

from suppress_privacy.runtime import generator

LEVEL = 0.95
LIMITS = ((1 - LEVEL) / 2, (1 + LEVEL) / 2)  #: quantiles
RESAMPLES = 10_000
BLOCK = 1_000  #: resamples held at a time at full precision
FEW = 1_000  #: images whose counts are kept at full precision, ready to be multiplied


@dataclass(frozen=True)
class Estimate:
    """A mean with its 95 % interval; `n` is the number of values averaged."""

    mean: float
    low: float
    high: float
    n: int


def bootstrap_mean(values: np.ndarray, *, seed: int = 0, resampled: np.ndarray | None = None) -> Estimate:
    """Percentile bootstrap of a mean, over seeds and then images (Efron & Tibshirani 1993, ch. 13).

    Seeds and images are crossed, every image being attacked in every seed's model. So both are
    resampled, independently, and all seeds of a resample share its images. With few seeds that is too
    narrow where they differ: the interval is widened to Student's over the seeds' means.

    Args:
        values: [S, N], one row a seed; NaN where there is none, and the mean is over the rest.
        seed: seeds the resampling.
        resampled: what `bootstrap_means` gives for these values, where many were resampled in one call.

    Examples:
        >>> values = np.random.default_rng(0).normal(0.5, 0.1, (3, 100))  # three seeds, a hundred images
        >>> found = bootstrap_mean(values)
        >>> isinstance(found, Estimate), found.low < found.mean < found.high
        (True, True)
    """
    values = np.asarray(values, np.float64)
    resampled = bootstrap_means(values, seed=seed) if resampled is None else resampled
    low, high = np.quantile(resampled, LIMITS)
    reach = seed_reach(np.nanmean(values, axis=1))
    mean, count = float(np.nanmean(values)), int(np.isfinite(values).sum())
    return Estimate(mean, float(min(low, mean - reach)), float(max(high, mean + reach)), count)


def seed_reach(means: np.ndarray) -> float:
    """Half of Student's interval over the seeds' means; 0 of one seed, which says nothing of others."""
    if len(means) < 2:
        return 0.0
    return float(t.ppf((1 + LEVEL) / 2, len(means) - 1) * np.std(means, ddof=1) / np.sqrt(len(means)))


def apart(values: np.ndarray, others: np.ndarray) -> Estimate:
    """By how much two means differ whose seeds have nothing in common, though the images are the same.

    The seeds' part is Welch's, of unequal variances; that of images is bootstrapped over the differences of the images'
    means; the variances of both add up.

    Args:
        values, others: [S, N] and [R, N], one row a seed, two rows at least, finite.

    Examples:
        >>> apart(values + 0.1, values).low > 0
        True
    """
    values, others = np.asarray(values, np.float64), np.asarray(others, np.float64)
    of_images = bootstrap_mean((values.mean(0) - others.mean(0))[None])
    variances = [np.var(each.mean(1), ddof=1) / len(each) for each in (values, others)]
    total, parts = (
        sum(variances),
        [part**2 / (len(each) - 1) for part, each in zip(variances, (values, others), strict=True)],
    )
    reach = t.ppf((1 + LEVEL) / 2, total**2 / sum(parts)) * np.sqrt(total) if total else 0.0
    low, high = (float(np.hypot(of_images.mean - end, reach)) for end in (of_images.low, of_images.high))
    return Estimate(of_images.mean, of_images.mean - low, of_images.mean + high, values.size + others.size)


def seed_mean(values: np.ndarray | Sequence[float]) -> Estimate:
    """The mean over seeds, one value each and two at least, with Student's interval.

    Examples:
        >>> seed_mean([0.5, 0.6, 0.7]).mean.__round__(2)
        0.6
    """
    values = np.asarray(values, np.float64)
    mean, reach = float(values.mean()), seed_reach(values)
    return Estimate(mean, mean - reach, mean + reach, len(values))


def prediction(
    means: Sequence[float], further: int = 1, *, level: float = LEVEL, least: float = 0.0
) -> tuple[float, float]:
    """Where the mean over further seeds lies in 95 of 100 cases, from what seeds before them gave (Student's).

    Args:
        means: one value a seed, two at least.
        further: how many seeds the other mean is over.
        level: in which share of the cases.
        least: the standard deviation of seeds that agree more closely than that.

    Examples:
        >>> low, high = prediction([0.50, 0.51, 0.52])  # where one more training lies
        >>> round(low, 2), round(high, 2)
        (0.46, 0.56)
    """
    count, middle = len(means), float(np.mean(means))
    deviation = max(np.std(means, ddof=1), least)
    reach = stdtrit(count - 1, (1 + level) / 2) * deviation * np.sqrt(1 / count + 1 / further)
    return middle - float(reach), middle + float(reach)


def bootstrap_means(values: np.ndarray, *, seed: int = 0) -> np.ndarray:
    """The means of all resamples behind `bootstrap_mean`: float64 [10000], or [M, 10000] for values [M, S, N].

    Examples:
        >>> bootstrap_means(values).shape
        (10000,)
    """
    values = np.asarray(values, np.float64)
    *many, seeds, images = values.shape
    seed_counts, image_counts = _resamples(seeds, images, seed)

    def sums(values: np.ndarray) -> np.ndarray:
        flat = np.ascontiguousarray(values.reshape(-1, images).T)  # [N, M * S]
        found = []
        for first in range(0, RESAMPLES, BLOCK):
            over_images = image_counts[first : first + BLOCK] @ flat  # [B, N] @ [N, M * S]
            over_images = over_images.reshape(len(over_images), -1, seeds)
            found.append(np.einsum("rms,rs->mr", over_images, seed_counts[first : first + BLOCK]))
        return np.concatenate(found, axis=1)

    there = np.isfinite(values)
    if there.all():
        means = sums(values) / (seeds * images)
    else:
        counts = sums(there.astype(np.float64))
        plain = np.nanmean(values, axis=(-2, -1)).reshape(-1, 1)  # for a resample of nothing but what is not there
        means = np.where(counts, sums(np.where(there, values, 0)) / np.maximum(counts, 1), plain)
    return means if many else means[0]


@lru_cache(maxsize=8)
def _resamples(seeds: int, images: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """How often each seed and each image is drawn: [R, S] and [R, N]; kept, for many metrics share them."""
    rng = generator(seed, "bootstrap")

    def counts(drawn: int) -> np.ndarray:
        blocks = [rng.multinomial(drawn, np.full(drawn, 1 / drawn), BLOCK) for _ in range(RESAMPLES // BLOCK)]
        return np.concatenate(blocks).astype(np.float64 if drawn <= FEW else np.uint16)

    return counts(seeds), counts(images)


def proportion(successes: np.ndarray, *, seed: int = 0, resampled: np.ndarray | None = None) -> Estimate:
    """A proportion: Wilson's interval at the number of images, widened to the bootstrap's where seeds differ more.

    Repeating an image with another seed adds no independent image, so Wilson's n counts images once.

    Args:
        successes: [S, N] of 0 and 1, one row a seed.
        seed, resampled: as `bootstrap_mean` takes them.

    Examples:
        >>> found = proportion(np.array([[1, 1, 1, 0, 1, 1, 1, 1, 1, 1]]))
        >>> found.mean, round(found.low, 2), round(found.high, 2)
        (0.9, 0.6, 1.0)
    """
    bootstrap = bootstrap_mean(successes, seed=seed, resampled=resampled)
    images = int(np.isfinite(successes).any(0).sum())
    wilson = binomtest(round(bootstrap.mean * images), images).proportion_ci(LEVEL, method="wilson")
    return widest(bootstrap, wilson)


def widest(share: Estimate, *others: tuple[float, float]) -> Estimate:
    """The estimate of a share, its interval widened to hold these as well, within [0, 1]."""
    lows, highs = zip((share.low, share.high), *others, strict=True)
    return replace(share, low=float(max(0.0, min(lows))), high=float(min(1.0, max(highs))))
