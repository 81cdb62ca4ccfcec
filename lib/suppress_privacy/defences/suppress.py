"""Suppress-Privacy: while training, ever more of the smallest weights are set to zero for good.

The behaviour is that of MindArmour 2.0.0 (`mindarmour.privacy.sup_privacy`), under its names. One
difference by design: masks act on the weights after the optimiser has, not on the gradient before
it, so that any optimiser works and suppressed weights are exactly zero.

    s(t) = s_end + (s_start - s_end) (1 - (t - t0) / T)^3           target sparsity  (Zhu & Gupta 2017)
    w   <- (w - lr g) m + d                                         m: mask, d: move of a kept weight
"""

import logging
from dataclasses import dataclass

import mindspore as ms
import numpy as np
from mindspore import nn, ops

from suppress_privacy.runtime import generator
from suppress_privacy.training import Defence

log = logging.getLogger(__name__)

# All from the reference implementation.
LARGE_LAYER = 10_000  # weights; beyond it a layer is masked by threshold alone
LOWER_BOUND = 0.005  # least magnitude of a weight that stays, where it is moved at all
LEAST_UPPER_BOUND = 0.10
NOISY_MAGNITUDE = 0.5  # weights beyond it may receive noise
NOISE = 0.1  # half-width of the uniform noise
DEAD_FIRST_LAYER = 0.02  # an update is given up while the first layer's largest weight is below it
RECOMMENDED_INTERVAL = (10, 20)  # steps between updates


class MaskLayerDes:
    """One layer to suppress.

    Args:
        layer_name (str): the parameter's name, or a part of it that no other parameter has.
        grad_idx (int or None): position of the parameter among the trainable ones; found from the name,
            so None will do, and a position that contradicts the name is refused.
        is_add_noise (bool): add uniform noise to kept weights beyond 0.5 at each update.
        is_lower_clip (bool): move kept weights of at most 0.005 to 0.005.
        min_num (int): weights that always stay; -1 for no minimum.
        upper_bound (float): kept weights beyond it are moved to it; never below 0.10.

    Noise and both bounds are without effect in layers of more than 10,000 weights (the upper bound
    still holds if it is the network's first layer).

    Raises:
        TypeError, ValueError: an argument of the wrong type or out of its range.
    """

    def __init__(self, layer_name, grad_idx, is_add_noise, is_lower_clip, min_num, upper_bound=1.20):
        self.layer_name = _checked("layer_name", layer_name, str, "a parameter's name")
        self.grad_idx = grad_idx
        if grad_idx is not None:
            _checked("grad_idx", grad_idx, int, "an integer from 0, or None", lambda v: v >= 0)
        self.is_add_noise = _checked("is_add_noise", is_add_noise, bool, "True or False")
        self.is_lower_clip = _checked("is_lower_clip", is_lower_clip, bool, "True or False")
        self.min_num = _checked("min_num", min_num, int, "an integer from -1 (no minimum)", lambda v: v >= -1)
        self.upper_bound = _checked("upper_bound", upper_bound, (int, float), "a number above 0", lambda v: v > 0)


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """When masks are updated, and to which sparsity (steps and epochs are counted from 1)."""

    batch_num: int  # steps an epoch
    start_epoch: int
    end_epoch: int
    mask_times: int
    sparse_start: float
    sparse_end: float

    @property
    def length(self):
        """T, the steps the schedule covers."""
        return (self.end_epoch - self.start_epoch + 1) * self.batch_num

    @property
    def interval(self):
        """Steps between two updates, not necessarily whole."""
        return self.length / self.mask_times

    @property
    def first_step(self):
        """t0, the first step of `start_epoch`."""
        return (self.start_epoch - 1) * self.batch_num + 1

    @property
    def final_update(self):
        """The step of `end_epoch` that updates whatever the interval says."""
        return self.end_epoch * self.batch_num - 2 if self.batch_num > 2 else None

    def sparsity(self, step):
        """s(t) of the cubic schedule, in [sparse_start, sparse_end]."""
        remaining = 1 - (step - self.first_step) / self.length
        cubic = self.sparse_end + (self.sparse_start - self.sparse_end) * remaining**3
        return max(self.sparse_start, min(cubic, self.sparse_end))

    def updates(self, last_step):
        """The updates up to `last_step`: a dict from step to target sparsity, in order."""
        steps = []
        previous = 0
        for step in range(self.first_step, last_step + 1):
            if step >= previous + self.interval or step == self.final_update:
                steps.append(step)
                previous = step
        return {step: self.sparsity(step) for step in steps}


@dataclass(frozen=True)
class LayerUpdate:
    """One layer after one update; arrays are flat. `weights` holds where kept weights are moved to."""

    mask: np.ndarray  # bool [n], True where the weight stays
    weights: np.ndarray  # float32 [n], zero where masked
    threshold: float
    raised: int = 0  # moved away from zero, to the lower bound
    lowered: int = 0  # moved to the upper bound
    noised: int = 0

    @property
    def suppressed(self):
        return int(self.mask.size - self.mask.sum())


def weights_to_suppress(count, sparsity, min_num):
    """How many of `count` weights a target sparsity asks for, when `min_num` must stay."""
    return int(count * min(1 - min(min_num, count) / count, sparsity))


def update_small_layer(weights, mask, suppress, *, min_num, noise, lower_clip, upper_bound, rng):
    """Masks, bounds and noise for a layer of up to 10,000 weights.

    Args:
        weights (numpy.ndarray): float32 [n], flat in row-major order.
        mask (numpy.ndarray): bool [n], True where the weight has stayed so far.
        suppress (int): weights to be zero after this update, 1 to n.
        min_num (int): weights that must stay; -1 for no minimum.
        noise (bool): whether kept weights beyond 0.5 receive noise.
        lower_clip (bool): whether kept weights of at most 0.005 are moved to 0.005.
        upper_bound (float): kept weights beyond it are moved to it.
        rng (numpy.random.Generator): draws the noise.

    Returns:
        LayerUpdate.
    """
    magnitude = np.abs(weights.astype(np.float64))
    threshold = float(np.partition(magnitude, suppress - 1)[suppress - 1])
    sign = np.where(weights > 0, 1.0, -1.0)  # zero counts as negative, as in the reference

    small = mask & (magnitude <= threshold)
    # Row-major order decides ties: a weight is masked while fewer than `limit` before it are.
    masked_before = np.cumsum(~mask | small) - (~mask | small)
    dropped = small & (masked_before < min(suppress, len(weights) - min_num))
    spared = small & ~dropped
    above = mask & ~small
    raised = above & lower_clip & (magnitude <= LOWER_BOUND) & (threshold > LOWER_BOUND / 2)
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


def update_large_layer(weights, mask, suppress):
    """The mask of a layer of more than 10,000 weights: by threshold alone.

    Args:
        weights (numpy.ndarray): float32 [n], flat.
        mask (numpy.ndarray): bool [n], True where the weight has stayed so far.
        suppress (int): weights to be zero after this update.

    Returns:
        LayerUpdate, or None where there is nothing to do.
    """
    masked = int(mask.size - mask.sum())
    wanted = suppress - masked
    if wanted < 1:
        return None
    magnitude = np.abs(weights)
    candidates = magnitude if masked == 0 else np.unique(magnitude[mask])  # distinct values, from the second update on
    position = min(wanted, len(candidates) - 1)
    if position < 1:
        return None
    threshold = np.partition(candidates, position - 1)[position - 1]
    if threshold == 0 and masked > 0:
        return None
    new_mask = magnitude > threshold
    return LayerUpdate(new_mask, weights * new_mask, float(threshold))


class SuppressCtrl(Defence):
    """The running defence: holds the masks, updates them on schedule, applies them in every step.

    Made by `SuppressPrivacyFactory.create`, which documents the arguments and what they raise.
    """

    def __init__(self, networks, mask_layers, schedule, *, seed):
        super().__init__(auto_prefix=False)
        object.__setattr__(self, "networks", networks)  # not a child: this cell owns masks alone
        self.schedule = schedule
        self.layers = _matched(networks, mask_layers)
        self.weights = ms.ParameterTuple([parameter for parameter, _ in self.layers])
        self.masks = ms.ParameterTuple([_state("mask", weight, 1) for weight in self.weights])
        self._first_parameter = next(iter(networks.get_parameters()))
        movable = [weight.size <= LARGE_LAYER or weight is self._first_parameter for weight in self.weights]
        # Larger layers never move a kept weight, so the step adds nothing to theirs: -1.
        self.move_of = tuple(sum(movable[:index]) if movable[index] else -1 for index in range(len(movable)))
        self.moves = ms.ParameterTuple(
            [_state("move", weight, 0) for weight, moves in zip(self.weights, movable, strict=True) if moves]
        )
        self._rng = generator(seed, "suppression noise")
        self._moving = False
        self._planned_to = 0
        self._updates = {}
        self._report = {}

    def after_update(self):
        for index in range(len(self.weights)):
            kept = self.weights[index] * self.masks[index]
            if self.move_of[index] >= 0:
                kept = kept + self.moves[self.move_of[index]]
            ops.assign(self.weights[index], kept)

    def after_step(self, step):
        if self._moving:
            for move in self.moves:
                move.set_data(ops.zeros_like(move))
            self._moving = False
        if step > self._planned_to:
            self._planned_to = max(2 * step, self.schedule.end_epoch * self.schedule.batch_num)
            self._updates = self.schedule.updates(self._planned_to)
        if step in self._updates:
            self.update_masks(self._updates[step])

    def update_masks(self, target_sparsity):
        """Set the masks to a target sparsity; they and the moves act in the next training step."""
        for index, (parameter, layer) in enumerate(self.layers):
            suppress = weights_to_suppress(parameter.size, target_sparsity, layer.min_num)
            if suppress < 1:
                continue
            old = parameter.asnumpy().ravel()
            if parameter is self._first_parameter and np.abs(old).max() < DEAD_FIRST_LAYER:
                log.info("%s is all below %g: this mask update is left out.", parameter.name, DEAD_FIRST_LAYER)
                return
            mask = self.masks[index].asnumpy().ravel() > 0
            update = self._updated(index, old, mask, suppress)
            if update is None:
                continue
            shape = parameter.shape
            self.masks[index].set_data(ms.Tensor(update.mask.reshape(shape).astype(np.float32)))
            if self.move_of[index] >= 0:
                move = np.where(update.mask, update.weights - old, 0).astype(np.float32)
                self.moves[self.move_of[index]].set_data(ms.Tensor(move.reshape(shape)))
                self._moving = True
            self._report[parameter.name] = {
                "weights": parameter.size,
                "suppressed": update.suppressed,
                "target": suppress,
                "threshold": update.threshold,
                "raised": update.raised,
                "lowered": update.lowered,
                "noised": update.noised,
            }

    def report(self):
        """By layer, at its last update: weights, suppressed and the number aimed at, the threshold, and how
        many kept weights were raised to the lower bound, lowered to the upper, and given noise."""
        return {name: dict(entry) for name, entry in self._report.items()}

    def state(self):
        return {"rng": self._rng.bit_generator.state, "moving": self._moving, "report": self._report}

    def restore(self, state):
        self._rng.bit_generator.state = state["rng"]
        self._moving, self._report = state["moving"], state["report"]

    def calc_actual_sparse_for_layer(self, networks, layer_name):
        """The share of zeros in one parameter, in [0, 1].

        Args:
            networks (nn.Cell): the network to look at.
            layer_name (str): the parameter's name, or a part of it that no other parameter has.

        Raises:
            TypeError, ValueError: no nn.Cell; no parameter, or more than one, of that name.
        """
        _checked("networks", networks, nn.Cell, "a nn.Cell")
        _checked("layer_name", layer_name, str, "a parameter's name")
        values = networks.parameters_dict()[_named(networks, layer_name)].asnumpy()
        return float(np.mean(values == 0))

    def print_paras(self):
        """Print the schedule."""
        print(self.schedule)

    def _updated(self, index, weights, mask, suppress):
        if self.move_of[index] < 0:
            return update_large_layer(weights, mask, suppress)
        layer = self.layers[index][1]
        small = len(weights) <= LARGE_LAYER
        return update_small_layer(
            weights,
            mask,
            suppress,
            min_num=layer.min_num,
            noise=layer.is_add_noise and small,
            lower_clip=layer.is_lower_clip and small,
            upper_bound=max(LEAST_UPPER_BOUND, layer.upper_bound),
            rng=self._rng,
        )


class SuppressPrivacyFactory:
    """Makes the defence, as MindArmour's factory of this name does."""

    @staticmethod
    def create(
        networks,
        mask_layers,
        policy="local_train",
        end_epoch=10,
        batch_num=20,
        start_epoch=3,
        mask_times=1000,
        lr=0.05,
        sparse_end=0.90,
        sparse_start=0.0,
        *,
        seed=0,
    ):
        """Prepare a network's suppression.

        Args:
            networks (nn.Cell): the network that will be trained.
            mask_layers (list of MaskLayerDes): its layers to suppress.
            policy (str): "local_train", the only one there is.
            end_epoch (int): last epoch of the schedule, start_epoch to 100.
            batch_num (int): training steps in one epoch.
            start_epoch (int): first epoch of the schedule, from 1.
            mask_times (int): mask updates over the schedule, from 1.
            lr (float): in (0, 0.5]. Checked, then unused: masks act after the optimiser, which knows its rate.
            sparse_end (float): sparsity to reach, in (sparse_start, 1).
            sparse_start (float): sparsity of the first update, in [0, sparse_end).
            seed (int): seeds the noise on kept weights.

        Returns:
            SuppressCtrl.

        Raises:
            TypeError, ValueError: an argument of the wrong type or out of its range, a layer that is
                unknown, ambiguous or named twice, a grad_idx that contradicts the layer's name.
        """
        _checked("networks", networks, nn.Cell, "the nn.Cell to train")
        _checked("mask_layers", mask_layers, list, "a list of MaskLayerDes")
        for layer in mask_layers:
            _checked("mask_layers", layer, MaskLayerDes, "a list of MaskLayerDes")
        _checked("policy", policy, str, "'local_train'", lambda v: v == "local_train")
        _checked("end_epoch", end_epoch, int, "an integer from 1 to 100", lambda v: 1 <= v <= 100)
        _checked("batch_num", batch_num, int, "an integer from 1, the steps in one epoch", lambda v: v >= 1)
        _checked(
            "start_epoch",
            start_epoch,
            int,
            f"an integer from 1 to end_epoch ({end_epoch})",
            lambda v: 1 <= v <= end_epoch,
        )
        _checked("mask_times", mask_times, int, "an integer from 1", lambda v: v >= 1)
        _checked("lr", lr, (int, float), "a number above 0, at most 0.5", lambda v: 0 < v <= 0.5)
        _checked("sparse_end", sparse_end, float, "a number above 0, below 1", lambda v: 0 < v < 1)
        _checked(
            "sparse_start",
            sparse_start,
            (int, float),
            f"a number from 0, below sparse_end ({sparse_end})",
            lambda v: 0 <= v < sparse_end,
        )
        _checked("seed", seed, int, "an integer from 0", lambda v: v >= 0)
        schedule = Schedule(
            batch_num=batch_num,
            start_epoch=start_epoch,
            end_epoch=end_epoch,
            mask_times=mask_times,
            sparse_start=sparse_start,
            sparse_end=sparse_end,
        )
        low, high = RECOMMENDED_INTERVAL
        if not low < schedule.interval < high:
            log.info(
                "Masks are updated every %.4g steps; between %d and %d is recommended.", schedule.interval, low, high
            )
        return SuppressCtrl(networks, mask_layers, schedule, seed=seed)


def from_settings(network, *, batch_num, lr, seed, layers, **schedule):
    """The defence as study.yaml describes it.

    Args:
        network (nn.Cell): the network to train.
        batch_num (int): steps an epoch.
        lr (float): the optimiser's rate.
        seed (int): seeds the noise on kept weights.
        layers (list of dict): each with name, noise, lower_clip, min_num and upper_bound.
        schedule: start_epoch, end_epoch, mask_times, sparse_start, sparse_end.

    Returns:
        SuppressCtrl.
    """
    described = [
        MaskLayerDes(layer["name"], None, layer["noise"], layer["lower_clip"], layer["min_num"], layer["upper_bound"])
        for layer in layers
    ]
    return SuppressPrivacyFactory.create(network, described, batch_num=batch_num, lr=lr, seed=seed, **schedule)


def _matched(network, mask_layers):
    """The (parameter, description) pairs of the layers to suppress, in the network's order."""
    parameters = list(network.get_parameters())
    trainable = [parameter.name for parameter in network.trainable_params()]
    chosen = {}
    for layer in mask_layers:
        name = _named(network, layer.layer_name)
        if name in chosen:
            raise ValueError(f"layer_name {layer.layer_name!r} names {name} a second time: describe each layer once.")
        if name not in trainable:
            raise ValueError(
                f"layer_name {layer.layer_name!r} names {name}, which is not trained: choose a trainable parameter."
            )
        if layer.grad_idx is not None and layer.grad_idx != trainable.index(name):
            raise ValueError(
                f"grad_idx is {layer.grad_idx}, but {name} is trainable parameter {trainable.index(name)}: "
                "correct it or give None."
            )
        chosen[name] = layer
    return [(parameter, chosen[parameter.name]) for parameter in parameters if parameter.name in chosen]


def _named(network, layer_name):
    """The one parameter that a name, or a part of one, stands for."""
    names = [parameter.name for parameter in network.get_parameters()]
    exact = [name for name in names if name == layer_name]
    matches = exact or [name for name in names if layer_name in name]
    if len(matches) != 1:
        found = f"matches {', '.join(matches)}" if matches else f"is none of {', '.join(names)}"
        raise ValueError(f"layer_name is {layer_name!r}, which {found}: name one parameter of the network.")
    return matches[0]


def _state(kind, weight, value):
    filled = ms.Tensor(np.full(weight.shape, value, np.float32))
    return ms.Parameter(filled, name=f"{kind}.{weight.name}", requires_grad=False)


def _checked(name, value, types, allowed, in_range=lambda value: True):
    """The value, if it has the type and lies in the range; bool does not pass as a number."""
    wanted = types if isinstance(types, tuple) else (types,)
    if not isinstance(value, wanted) or (isinstance(value, bool) and bool not in wanted):
        raise TypeError(f"{name} is {value!r}; it must be {allowed}: correct its type.")
    if not in_range(value):
        raise ValueError(f"{name} is {value!r}; it must be {allowed}: correct its value.")
    return value
