"""One mask update of one layer, in NumPy: which weights go, and where those that stay are moved.

The rules are those of MindArmour 2.0.0, which treats layers of more than 10,000 weights in another way.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from suppress_privacy.defences.layers import MaskLayerDes

# All from the reference implementation.
LARGE_LAYER = 10_000  #: weights; beyond it a layer is masked by threshold alone
LEAST_UPPER_BOUND = 0.10
LOWER_BOUND = 0.005  #: least magnitude of a weight that stays, where it is moved at all
NOISY_MAGNITUDE = 0.5  #: weights beyond it may receive noise
NOISE = 0.1  #: half-width of the uniform noise


@dataclass(frozen=True)
class LayerUpdate:
    """One layer after one update; arrays are flat. `weights` holds where kept weights are moved to."""

    mask: np.ndarray  #: bool [n], True where the weight stays
    weights: np.ndarray  #: float32 [n], zero where masked
    threshold: float
    raised: int = 0  #: moved away from zero, to the lower bound
    lowered: int = 0  #: moved to the upper bound
    noised: int = 0

    def entry(self, target: int) -> dict[str, Any]:
        """Its part of `SuppressCtrl.report`, if `target` weights were to be suppressed."""
        weights, alive = self.mask.size, int(np.count_nonzero(self.mask))
        entry = {"weights": weights, "suppressed": weights - alive, "alive": alive, "target": target}
        return entry | {name: getattr(self, name) for name in ("threshold", "raised", "lowered", "noised")}


def weights_to_suppress(count: int, sparsity: float, min_num: int) -> int:
    """How many of `count` weights a target sparsity asks for, when `min_num` must stay.

    Examples:
        >>> weights_to_suppress(150, sparsity=0.95, min_num=10)  # 140 may go, and 142 are asked for
        140
    """
    return int(count * min(1 - min(min_num, count) / count, sparsity))


def update_small_layer(
    weights: np.ndarray, mask: np.ndarray, suppress: int, layer: MaskLayerDes, rng: np.random.Generator
) -> LayerUpdate:
    """Masks, bounds and noise for a layer of up to 10,000 weights; of a larger one mask and upper bound.

    Args:
        weights: float32 [n], flat in row-major order.
        mask: bool [n], True where the weight has stayed so far.
        suppress: weights to be zero after this update, 1 to n.
        layer: how many must stay, and what happens to those.
        rng: draws the noise.

    Examples:
        >>> from suppress_privacy import MaskLayerDes
        >>> layer = MaskLayerDes("fc1.weight", None, is_add_noise=False, is_lower_clip=False, min_num=-1)
        >>> weights = np.array([0.3, -0.1, 0.2, -2.0], np.float32)
        >>> update = update_small_layer(weights, np.ones(4, bool), 2, layer, np.random.default_rng(0))
        >>> isinstance(update, LayerUpdate), update.mask.tolist()
        (True, [True, False, False, True])
        >>> update.weights.round(3).tolist()  # the largest has been lowered to its bound
        [0.30000001192092896, 0.0, 0.0, -1.2000000476837158]
    """
    small_layer, upper_bound = len(weights) <= LARGE_LAYER, max(LEAST_UPPER_BOUND, layer.upper_bound)
    clip, noise = layer.is_lower_clip and small_layer, layer.is_add_noise and small_layer
    magnitude = np.abs(weights.astype(np.float64))
    threshold = float(np.partition(magnitude, suppress - 1)[suppress - 1])
    sign = np.where(weights > 0, 1.0, -1.0)  # zero counts as negative, as in the reference

    small = mask & (magnitude <= threshold)
    # Row-major order decides ties: a weight is masked while fewer than `limit` before it are.
    masked_before: np.ndarray = np.cumsum(~mask | small) - (~mask | small)
    dropped = small & (masked_before < min(suppress, len(weights) - layer.min_num))
    spared = small & ~dropped
    above = mask & ~small
    raised = above & clip & (magnitude <= LOWER_BOUND) & (threshold > LOWER_BOUND / 2)
    lowered = above & ~raised & (magnitude > upper_bound)
    noised = above & ~raised & ~lowered & noise & (magnitude > NOISY_MAGNITUDE)

    target = weights.astype(np.float64)
    target[spared] = sign[spared] * min(LOWER_BOUND, threshold)
    target[raised] = sign[raised] * LOWER_BOUND
    target[lowered] = sign[lowered] * upper_bound
    target[noised] -= rng.uniform(-NOISE, NOISE, int(noised.sum()))
    new_mask = mask & ~dropped
    target[~new_mask] = 0
    counts = {"raised": int((spared | raised).sum()), "lowered": int(lowered.sum()), "noised": int(noised.sum())}
    return LayerUpdate(new_mask, target.astype(np.float32), threshold, **counts)


def update_large_layer(weights: np.ndarray, mask: np.ndarray, suppress: int) -> LayerUpdate | None:
    """The mask of a layer of more than 10,000 weights: by threshold alone.

    Args:
        weights: float32 [n], flat.
        mask: bool [n], True where the weight has stayed so far.
        suppress: weights to be zero after this update.

    Returns:
        The update, or None where there is nothing to do.
    """
    masked = mask.size - np.count_nonzero(mask)
    wanted = suppress - masked
    if wanted < 1:
        return None
    magnitude = np.abs(weights)
    if masked == 0:
        threshold = np.partition(magnitude, wanted - 1)[wanted - 1]
    else:
        threshold = smallest_distinct(magnitude.compress(mask), wanted)  # a quarter of the time of [mask]
    if threshold is None or (threshold == 0 and masked > 0):
        return None
    new_mask = magnitude > threshold
    return LayerUpdate(new_mask, weights * new_mask, float(threshold))


def smallest_distinct(values: np.ndarray, position: int) -> Any:
    """The `position`-th smallest of the distinct values, or the last but one; None where there is only one.

    Sorting all of them would take most of an update's time; few are needed as long as few are equal.
    """
    few = 2 * position + 100
    if few < len(values):
        smallest = np.unique(np.partition(values, few)[:few])
        if len(smallest) > position:
            return smallest[position - 1]
    distinct = np.unique(values)
    return distinct[min(position, len(distinct) - 1) - 1] if len(distinct) > 1 else None
