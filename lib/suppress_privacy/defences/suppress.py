"""Suppress-Privacy: while training, ever more of the smallest weights are set to zero for good.

The behaviour is that of MindArmour 2.0.0 (`mindarmour.privacy.sup_privacy`), under its names. One
difference by design: suppressed weights become exactly zero after the optimiser's step, and stay so
under any optimiser. Where that is plain SGD, masking the gradient keeps them there; under others the
weights themselves are masked in every step.

    s(t) = s_end + (s_start - s_end) (1 - (t - t0) / T)^3           target sparsity  (Zhu & Gupta 2017)
    w   <- (w - lr g) m + d                                         m: mask, d: move of a kept weight

MindArmour's own way, through the gradient of plain SGD, is kept as `compat=True`:

    w   <- w - lr (g m + (w - target) / lr)
"""

import logging
from dataclasses import dataclass

import mindspore as ms
import numpy as np
from mindspore import nn, ops

from suppress_privacy.checks import checked
from suppress_privacy.defences.layers import NAME, MaskLayerDes, matched, named
from suppress_privacy.runtime import generator
from suppress_privacy.training import Defence

log = logging.getLogger(__name__)

# All from the reference implementation.
LARGE_LAYER = 10_000  # weights; beyond it a layer is masked by threshold alone
LOWER_BOUND = 0.005  # least magnitude of a weight that stays, where it is moved at all
LEAST_UPPER_BOUND = 0.10
NOISY_MAGNITUDE = 0.5  # weights beyond it may receive noise
NOISE = 0.1  # half-width of the uniform noise
NEARLY_ZERO = 1e-7  # what the reference counts as zero: acting through the gradient leaves a residue
DEAD_FIRST_LAYER = 0.02  # an update is given up while the first layer's largest weight is below it
RECOMMENDED_INTERVAL = (10, 20)  # steps between updates


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
        return self.mask.size - np.count_nonzero(self.mask)


def weights_to_suppress(count, sparsity, min_num):
    """How many of `count` weights a target sparsity asks for, when `min_num` must stay."""
    return int(count * min(1 - min(min_num, count) / count, sparsity))


def layer_entry(weights, suppressed, target, threshold, *, raised=0, lowered=0, noised=0):
    """One layer's part of a report; see `SuppressCtrl.report`."""
    return {
        "weights": weights,
        "suppressed": suppressed,
        "alive": weights - suppressed,
        "target": target,
        "threshold": threshold,
        "raised": raised,
        "lowered": lowered,
        "noised": noised,
    }


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
    masked = mask.size - np.count_nonzero(mask)
    wanted = suppress - masked
    if wanted < 1:
        return None
    magnitude = np.abs(weights)
    if masked == 0:
        threshold = np.partition(magnitude, wanted - 1)[wanted - 1]
    else:
        threshold = _smallest_distinct(magnitude.compress(mask), wanted)  # a quarter of the time of [mask]
    if threshold is None or (threshold == 0 and masked > 0):
        return None
    new_mask = magnitude > threshold
    return LayerUpdate(new_mask, weights * new_mask, float(threshold))


def _smallest_distinct(values, position):
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


class SuppressCtrl(Defence):
    """The running defence: holds the masks, updates them on schedule, applies them in every step.

    Made by `SuppressPrivacyFactory.create`, which documents the arguments and what they raise.
    """

    def __init__(self, networks, mask_layers, schedule, *, lr, seed, compat):
        super().__init__(auto_prefix=False)
        object.__setattr__(self, "networks", networks)  # not a child: this cell owns masks alone
        self.schedule = schedule
        self.compat = compat
        self.layers = matched(networks, mask_layers, first_wins=compat)
        self.weights = ms.ParameterTuple([parameter for parameter, _ in self.layers])
        self.masks = ms.ParameterTuple([_state("mask", weight, 1) for weight in self.weights])
        self.on_gradient, self.layer_of_gradient = False, ()  # as the optimiser says
        self._first_parameter = next(iter(networks.get_parameters()))
        # Larger layers never move a kept weight, so the step adds nothing to theirs: -1.
        movable = [compat or weight.size <= LARGE_LAYER or weight is self._first_parameter for weight in self.weights]
        self.move_of = tuple(sum(movable[:index]) if movable[index] else -1 for index in range(len(movable)))
        self.moves = ms.ParameterTuple(
            [_state("move", weight, 0) for weight, moves in zip(self.weights, movable, strict=True) if moves]
        )
        self._lr = lr
        self._rng = generator(seed, "suppression noise")
        self._kept = self._masks_as_arrays()
        self._moving = False
        self._planned_to = 0
        self._updates = {}
        self._report = {}

    def attach(self, optimizer):
        # Plain SGD leaves a weight of zero where it is when its gradient is zero; to mask that is the cheaper way.
        plain = isinstance(optimizer, nn.SGD) and float(optimizer.momentum.asnumpy()) == 0
        self.on_gradient = self.compat or plain
        masked = [weight.name for weight in self.weights]
        trained = [parameter.name for parameter in optimizer.parameters]  # the order its gradients come in
        self.layer_of_gradient = tuple(masked.index(name) if name in masked else -1 for name in trained)

    def on_gradients(self, gradients):
        if not self.on_gradient:
            return gradients
        acted = ()
        for index in range(len(gradients)):
            layer = self.layer_of_gradient[index]
            gradient = gradients[index]
            if layer >= 0:
                gradient = gradient * self.masks[layer]
                if self.compat:
                    gradient = gradient + self.moves[layer]
            acted += (gradient,)
        return acted

    def after_update(self):
        if not self.on_gradient:
            for index in range(len(self.weights)):
                ops.assign(self.weights[index], self.weights[index] * self.masks[index])

    def after_step(self, step):
        if step > self._planned_to:
            self._planned_to = max(2 * step, self.schedule.end_epoch * self.schedule.batch_num)
            self._updates = self.schedule.updates(self._planned_to)
        # The reference lets a move act again where an update follows at once and leaves the layer out.
        if self._moving and not (self.compat and step in self._updates):
            if not self.compat:
                self()
            for move in self.moves:
                move.set_data(ms.Tensor.from_numpy(np.zeros(move.shape, np.float32)))
            self._moving = False
        if step in self._updates:
            self.update_masks(self._updates[step])

    def construct(self):
        """w <- w m + d: what the step after an update does to the weights beyond what every step does.

        A graph of its own, for in that of every step it would be paid for in every step.
        """
        for index in range(len(self.weights)):
            weight, mask = self.weights[index], self.masks[index]
            if self.move_of[index] >= 0:
                ops.assign(weight, ops.addcmul(self.moves[self.move_of[index]], weight, mask))
            else:
                ops.assign(weight, weight * mask)

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
            update = self._updated(index, old, self._kept[index], suppress)
            if update is None:
                continue
            self._kept[index] = update.mask
            self._moving = True
            shape = parameter.shape
            self.masks[index].set_data(ms.Tensor.from_numpy(update.mask.reshape(shape).astype(np.float32)))
            if self.move_of[index] >= 0:
                move = (old - update.weights) / self._lr if self.compat else update.mask * (update.weights - old)
                self.moves[self.move_of[index]].set_data(ms.Tensor.from_numpy(move.reshape(shape).astype(np.float32)))
            self._report[parameter.name] = layer_entry(
                parameter.size,
                update.suppressed,
                suppress,
                update.threshold,
                raised=update.raised,
                lowered=update.lowered,
                noised=update.noised,
            )

    def _masks_as_arrays(self):
        """The masks by layer, bool [n], where NumPy has them at once."""
        return [mask.asnumpy().ravel() > 0 for mask in self.masks]

    def report(self):
        """By layer, at its last update: its weights, how many are suppressed, alive, and were to be suppressed
        (target), the threshold, and how many were raised to the lower bound, lowered to the upper, and given
        noise. `study.tables.layer_report` and `study.figures.layer_report` show it."""
        return {name: dict(entry) for name, entry in self._report.items()}

    def state(self):
        return {"rng": self._rng.bit_generator.state, "moving": self._moving, "report": self._report}

    def restore(self, state):
        self._kept = self._masks_as_arrays()
        self._rng.bit_generator.state = state["rng"]
        self._moving, self._report = state["moving"], state["report"]

    def calc_actual_sparse_for_layer(self, networks, layer_name):
        """The share of zeros in one parameter, in [0, 1].

        Args:
            networks (nn.Cell): the network to look at.
            layer_name (str): the parameter's name, or a part of it that no other parameter has.

        With `compat`, as the reference has it: of several parameters that fit the first is taken, an
        unknown one gives 0.0, and weights of at most 1e-7 count as zero.

        Raises:
            TypeError, ValueError: no nn.Cell; no parameter, or more than one, of that name.
        """
        checked("networks", networks, nn.Cell, "a nn.Cell")
        checked("layer_name", layer_name, str, NAME)
        parameters = networks.parameters_dict()
        if self.compat and not any(layer_name in name for name in parameters):
            return 0.0
        values = parameters[named(networks, layer_name, first_wins=self.compat)].asnumpy()
        return float(np.mean(np.abs(values) <= (NEARLY_ZERO if self.compat else 0)))

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
        compat=False,
    ):
        """Prepare a network's suppression.

        Args:
            networks (nn.Cell): the network that will be trained.
            mask_layers (list of MaskLayerDes): its layers to suppress, at least one.
            policy (str): "local_train", the only one there is.
            end_epoch (int): last epoch of the schedule, start_epoch to 100.
            batch_num (int): training steps in one epoch.
            start_epoch (int): first epoch of the schedule, from 1.
            mask_times (int): mask updates over the schedule, from 1.
            lr (float): in (0, 0.5]. Without `compat` it is checked, then unused: masks act after the
                optimiser, which knows its rate.
            sparse_end (float): sparsity to reach, in (sparse_start, 1).
            sparse_start (float): sparsity of the first update, in [0, sparse_end).
            seed (int): seeds the noise on kept weights.
            compat (bool): True does what MindArmour does also where it is wrong. Masks act through the
                gradient: the optimiser must be plain SGD at exactly `lr`, suppressed weights keep
                residues of about 1e-9, and where one update follows another at once, a layer that the
                second leaves out is moved twice, which brings suppressed weights back. A part of a
                name stands for the first parameter it fits.

        Returns:
            SuppressCtrl.

        Raises:
            TypeError, ValueError: an argument of the wrong type or out of its range, a layer that is
                unknown, ambiguous or named twice, a grad_idx that contradicts the layer's name.
        """
        checked("networks", networks, nn.Cell, "the nn.Cell to train")
        checked("mask_layers", mask_layers, list, "a list of at least one MaskLayerDes", lambda v: len(v) > 0)
        for layer in mask_layers:
            checked("mask_layers", layer, MaskLayerDes, "a list of MaskLayerDes")
        checked("policy", policy, str, "'local_train'", lambda v: v == "local_train")
        checked("end_epoch", end_epoch, int, "an integer from 1 to 100", lambda v: 1 <= v <= 100)
        checked("batch_num", batch_num, int, "an integer from 1, the steps in one epoch", lambda v: v >= 1)
        checked(
            "start_epoch",
            start_epoch,
            int,
            f"an integer from 1 to end_epoch ({end_epoch})",
            lambda v: 1 <= v <= end_epoch,
        )
        checked("mask_times", mask_times, int, "an integer from 1", lambda v: v >= 1)
        checked("lr", lr, float, "a number above 0, at most 0.5", lambda v: 0 < v <= 0.5)
        checked("sparse_end", sparse_end, float, "a number above 0, below 1", lambda v: 0 < v < 1)
        checked(
            "sparse_start",
            sparse_start,
            float,
            f"a number from 0, below sparse_end ({sparse_end})",
            lambda v: 0 <= v < sparse_end,
        )
        checked("seed", seed, int, "an integer from 0", lambda v: v >= 0)
        checked("compat", compat, bool, "True or False")
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
        return SuppressCtrl(networks, mask_layers, schedule, lr=lr, seed=seed, compat=compat)


def from_settings(network, plan, *, layers, **schedule):
    """The defence as study.yaml describes it.

    Args:
        network (nn.Cell): the network to train.
        plan (Plan): its training; the seed draws the noise on kept weights.
        layers (list of dict): each with name, noise, lower_clip, min_num and upper_bound.
        schedule: start_epoch, end_epoch, mask_times, sparse_start, sparse_end.

    Returns:
        SuppressCtrl.
    """
    described = [
        MaskLayerDes(layer["name"], None, layer["noise"], layer["lower_clip"], layer["min_num"], layer["upper_bound"])
        for layer in layers
    ]
    return SuppressPrivacyFactory.create(
        network, described, batch_num=plan.steps, lr=plan.lr, seed=plan.seed, **schedule
    )


def _state(kind, weight, value):
    filled = ms.Tensor(np.full(weight.shape, value, np.float32))
    return ms.Parameter(filled, name=f"{kind}.{weight.name}", requires_grad=False)
