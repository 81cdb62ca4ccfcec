"""95 % intervals for means over seeds and images."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.stats import binomtest, t

from suppress_privacy.runtime import generator

LEVEL = 0.95
RESAMPLES = 10_000
BLOCK = 1_000  # resamples held at a time at full precision


@dataclass(frozen=True)
class Estimate:
    """A mean with its 95 % interval; `n` is the number of values averaged."""

    mean: float
    low: float
    high: float
    n: int


def bootstrap_mean(values: np.ndarray, *, seed: int = 0) -> Estimate:
    """Percentile bootstrap of a mean, over seeds and then images (Efron & Tibshirani 1993, ch. 13).

    Seeds and images are crossed, every image being attacked in every seed's model. So both are
    resampled, independently, and all seeds of a resample share its images. With few seeds that is too
    narrow where they differ: the interval is widened to Student's over the seeds' means.

    Args:
        values: [S, N], one row a seed.
        seed: seeds the resampling.
    """
    values = np.asarray(values, np.float64)
    low, high = np.quantile(bootstrap_means(values, seed=seed), [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    reach = seed_reach(values.mean(1))
    mean = float(values.mean())
    return Estimate(mean, float(min(low, mean - reach)), float(max(high, mean + reach)), values.size)


def seed_reach(means: np.ndarray) -> float:
    """Half of Student's interval over the seeds' means; 0 of one seed, which says nothing of others."""
    if len(means) < 2:
        return 0.0
    return float(t.ppf((1 + LEVEL) / 2, len(means) - 1) * np.std(means, ddof=1) / np.sqrt(len(means)))


def seed_mean(values: np.ndarray | Sequence[float]) -> Estimate:
    """The mean over seeds, one value each and two at least, with Student's interval."""
    values = np.asarray(values, np.float64)
    mean, reach = float(values.mean()), seed_reach(values)
    return Estimate(mean, mean - reach, mean + reach, len(values))


def bootstrap_means(values: np.ndarray, *, seed: int = 0) -> np.ndarray:
    """The means of all resamples behind `bootstrap_mean`: float64 [10000]."""
    values = np.asarray(values, np.float64)
    seed_counts, image_counts = _resamples(*values.shape, seed)
    sums = [
        np.einsum("rn,rn->r", seed_counts[first : first + BLOCK] @ values, image_counts[first : first + BLOCK])
        for first in range(0, RESAMPLES, BLOCK)
    ]
    return np.concatenate(sums) / values.size


@lru_cache(maxsize=4)
def _resamples(seeds: int, images: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """How often each seed and each image is drawn: [R, S] and [R, N]; kept, for many metrics share them."""
    rng = generator(seed, "bootstrap")

    def counts(drawn: int) -> np.ndarray:
        blocks = [rng.multinomial(drawn, np.full(drawn, 1 / drawn), BLOCK) for _ in range(RESAMPLES // BLOCK)]
        return np.concatenate(blocks).astype(np.uint16)

    return counts(seeds), counts(images)


def proportion(successes: np.ndarray, *, seed: int = 0) -> Estimate:
    """A proportion: Wilson's interval at the number of images, widened to the bootstrap's where seeds differ more.

    Repeating an image with another seed adds no independent image, so Wilson's n counts images once.

    Args:
        successes: [S, N] of 0 and 1, one row a seed.
        seed: seeds the bootstrap.
    """
    bootstrap = bootstrap_mean(successes, seed=seed)
    images = np.shape(successes)[1]
    wilson = binomtest(round(bootstrap.mean * images), images).proportion_ci(LEVEL, method="wilson")
    low, high = max(0.0, min(wilson.low, bootstrap.low)), min(1.0, max(wilson.high, bootstrap.high))
    return Estimate(bootstrap.mean, float(low), float(high), bootstrap.n)
