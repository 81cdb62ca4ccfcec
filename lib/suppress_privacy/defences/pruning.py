"""What suppression is compared with: the same numbers of zeros, by other choices of which weights go.

Magnitude pruning sets the smallest weights of a trained network to zero at once (Han et al. 2015); random masks
follow suppression's own schedule with weights drawn by lot.
"""

import mindspore as ms
import numpy as np
from mindspore import nn, ops

from suppress_privacy.checks import checked
from suppress_privacy.defences import suppress
from suppress_privacy.defences.layers import named
from suppress_privacy.training import Defence


class Magnitude(Defence):
    """Prunes a trained network when it is made; what is zero stays zero in any training that follows.

    Args:
        network (nn.Cell): changed in place.
        min_num (dict): name of a layer's weight, or a part of it that no other has -> weights that must stay
            (-1: no minimum).
        sparsity (float): share of each layer's weights to set to zero, in (0, 1).

    Raises:
        TypeError, ValueError: an argument of the wrong type or out of its range, an unknown layer.
    """

    def __init__(self, network, min_num, sparsity):
        super().__init__(auto_prefix=False)
        checked("network", network, nn.Cell, "the trained nn.Cell")
        checked("sparsity", sparsity, float, "a number above 0, below 1", lambda v: 0 < v < 1)
        parameters = network.parameters_dict()
        weights, masks, self._report = [], [], {}
        for layer, least in min_num.items():
            weight = parameters[named(network, layer)]
            count = suppress.weights_to_suppress(weight.size, sparsity, least)
            magnitude = np.abs(weight.asnumpy().ravel())
            smallest = np.argsort(magnitude, kind="stable")[:count]
            mask = np.ones(weight.size, np.float32)
            mask[smallest] = 0
            mask = mask.reshape(weight.shape)
            weight.set_data(ms.Tensor(weight.asnumpy() * mask))
            weights.append(weight)
            masks.append(ms.Parameter(ms.Tensor(mask), name=f"mask.{weight.name}", requires_grad=False))
            threshold = float(magnitude[smallest[-1]]) if count else 0.0
            self._report[weight.name] = suppress.layer_entry(weight.size, count, count, threshold)
        self.weights, self.masks = ms.ParameterTuple(weights), ms.ParameterTuple(masks)

    def after_update(self):
        for index in range(len(self.weights)):
            ops.assign(self.weights[index], self.weights[index] * self.masks[index])

    def report(self):
        """By layer, as `SuppressCtrl.report`."""
        return {name: dict(entry) for name, entry in self._report.items()}


class RandomMasks(suppress.SuppressCtrl):
    """Suppression's schedule and counts; which weights go is drawn by lot, and none that stays is moved."""

    def _updated(self, index, weights, mask, suppress_count):
        wanted = suppress_count - (mask.size - np.count_nonzero(mask))
        if wanted < 1:
            return None
        mask = mask.copy()
        mask[self._rng.choice(np.flatnonzero(mask), wanted, replace=False)] = False
        return suppress.LayerUpdate(mask, weights * mask, threshold=0.0)


def magnitude_from_settings(network, plan, *, sparsity, min_num):
    """`Magnitude` as study.yaml describes it; the plan is not used."""
    return Magnitude(network, min_num, sparsity)


def random_from_settings(network, plan, **settings):
    """`RandomMasks` as study.yaml describes it, with the arguments of `suppress.from_settings`."""
    like = suppress.from_settings(network, plan, **settings)
    layers = list(dict.fromkeys(layer for _, layer in like.layers))  # a pattern's is that of several
    return RandomMasks(network, layers, like.schedule, lr=plan.lr, seed=plan.seed, compat=False)
