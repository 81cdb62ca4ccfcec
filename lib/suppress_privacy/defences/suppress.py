"""Suppress-Privacy: while training, ever more of the smallest weights are set to zero for good.

The behaviour is that of MindArmour 2.0.0 (`mindarmour.privacy.sup_privacy`), under its names. One
difference by design: suppressed weights become exactly zero after the optimiser's step, and stay so
under any optimiser. Where that is plain SGD, masking the gradient keeps them there; under others the
weights themselves are masked in every step::

    s(t) = s_end + (s_start - s_end) (1 - (t - t0) / T)^3           target sparsity  (Zhu & Gupta 2017)
    w   <- (w - lr g) m + d                                         m: mask, d: move of a kept weight

MindArmour's own way, through the gradient of plain SGD, is kept as `compat=True`::

    w   <- w - lr (g m + (w - target) / lr)
"""

import logging
from dataclasses import dataclass, fields
from typing import Annotated, ClassVar, Literal

import numpy as np
from mindspore import Parameter, ParameterTuple, Tensor, nn, ops

from suppress_privacy.checks import Bounds, CheckedFields, Seed, Share, Whole, check, checked
from suppress_privacy.defences import masks
from suppress_privacy.defences.layers import NAME, Layers, MaskLayerDes, mask_layers, matched, named
from suppress_privacy.defences.settings import DefenceSettings
from suppress_privacy.runtime import generator
from suppress_privacy.training import RESIDUE, Defence, Facts, Plan, ToTrain, must_belong

log = logging.getLogger(__name__)

# All from the reference implementation.
DEAD_FIRST_LAYER = 0.02  #: an update is given up while the first layer's largest weight is below it
RECOMMENDED_INTERVAL = (10, 20)  #: steps between updates
LARGEST_RATE = 0.5

Rate = Annotated[float, Bounds(above=0, at_most=LARGEST_RATE)]
Described = Annotated[list[MaskLayerDes], Bounds(at_least=1), "a list of at least one MaskLayerDes"]


@dataclass(frozen=True, kw_only=True)
class Rise(CheckedFields):
    """From when to when sparsity rises, from which to which, and in how many updates; epochs count from 1.

    Examples:
        >>> Rise(start_epoch=3, end_epoch=10, mask_times=1000, sparse_start=0.0, sparse_end=0.95).end_epoch
        10
    """

    start_epoch: Whole
    end_epoch: Annotated[int, Bounds(at_least=1, at_most=100)]
    mask_times: Whole
    sparse_start: Annotated[float, Bounds(at_least=0, below=1)]
    sparse_end: Share

    def __post_init__(self) -> None:
        super().__post_init__()
        end = Bounds(at_least=1, at_most=self.end_epoch, named="end_epoch")
        check("start_epoch", self.start_epoch, Annotated[int, end])
        below = Bounds(at_least=0, below=self.sparse_end, named="sparse_end")
        check("sparse_start", self.sparse_start, Annotated[float, below])


@dataclass(frozen=True, kw_only=True)
class Schedule(Rise):
    """When masks are updated, and to which sparsity; steps count from 1."""

    batch_num: Annotated[int, Bounds(at_least=1), "the steps in one epoch"]

    @property
    def length(self) -> int:
        """T, the steps the schedule covers."""
        return (self.end_epoch - self.start_epoch + 1) * self.batch_num

    @property
    def interval(self) -> float:
        """Steps between two updates, not necessarily whole."""
        return self.length / self.mask_times

    @property
    def first_step(self) -> int:
        """t0, the first step of `start_epoch`."""
        return (self.start_epoch - 1) * self.batch_num + 1

    @property
    def last_step(self) -> int:
        """The last step of `end_epoch`."""
        return self.end_epoch * self.batch_num

    @property
    def final_update(self) -> int | None:
        """The step of `end_epoch` that updates whatever the interval says."""
        return self.last_step - 2 if self.batch_num > 2 else None

    def sparsity(self, step: int) -> float:
        """s(t) of the cubic schedule, in [sparse_start, sparse_end]."""
        remaining = 1 - (step - self.first_step) / self.length
        cubic = self.sparse_end + (self.sparse_start - self.sparse_end) * remaining**3
        return max(self.sparse_start, min(cubic, self.sparse_end))

    def fits(self, batch_num: int) -> None:
        """Raise ValueError unless an epoch of the training has as many steps as one of the schedule."""
        if batch_num != self.batch_num:
            raise ValueError(
                f"batch_num is {self.batch_num}, but the dataset has {batch_num} batches: create the control with that "
                f"number, for its schedule is of steps {self.first_step} to {self.last_step}."
            )

    def reached(self, last_step: int) -> float:
        """The sparsity that weights have after a training of so many steps: an update acts in the step after it."""
        return max(self.updates(last_step - 1).values(), default=0.0)

    def updates(self, last_step: int) -> dict[int, float]:
        """The updates up to `last_step`: from step to target sparsity, in order."""
        found: dict[int, float] = {}
        previous = 0
        for step in range(self.first_step, last_step + 1):
            if step >= previous + self.interval or step == self.final_update:
                found[step], previous = self.sparsity(step), step
        return found


class SuppressCtrl(Defence):
    """The running defence: holds the masks, updates them on schedule, applies them in every step.

    Made by `SuppressPrivacyFactory.create`, which documents the arguments and what they raise. What acts when:

    | optimiser   | `on_gradients`, every step | `after_update`, every step | `construct`, called by `after_step` once |
    |             | before the optimiser       | after the optimiser        | after the first step under new masks     |
    | ----------- | -------------------------- | -------------------------- | ---------------------------------------- |
    | plain SGD   | g <- g m                   |                            | w <- w m + d                             |
    | any other   |                            | w <- w m                   | w <- w m + d                             |
    | `compat`    | g <- g m + (w - target)/lr |                            |                                          |

    Examples:
        >>> from suppress_privacy import propose_mask_layers, train
        >>> model = nn.SequentialCell(nn.Flatten(), nn.Dense(1024, 10))
        >>> steps = {"batch_num": 40, "start_epoch": 1, "end_epoch": 1, "mask_times": 4}
        >>> schedule = Schedule(**steps, sparse_start=0.0, sparse_end=0.9)
        >>> control = SuppressCtrl(model, propose_mask_layers(model), schedule, lr=0.1, seed=0, compat=False)
        >>> optimizer = nn.SGD(model.trainable_params(), 0.1)
        >>> history = train(model, optimizer, data, epochs=1, batch_size=100, seed=0, defence=control)
        >>> round(control.report()["1.weight"]["suppressed"] / 10_240, 2)
        0.9
    """

    @checked
    def __init__(
        self, networks: ToTrain, mask_layers: Described, schedule: Schedule, *, lr: Rate, seed: Seed, compat: bool
    ) -> None:
        steps, (low, high) = schedule.interval, RECOMMENDED_INTERVAL
        if not low < steps < high:
            log.info("Masks are updated every %.4g steps; between %d and %d is recommended.", steps, low, high)
        super().__init__(auto_prefix=False)
        object.__setattr__(self, "networks", networks)  # not a child: this cell owns masks alone
        self.schedule, self.compat, self.residue = schedule, compat, RESIDUE if compat else 0.0
        self.layers = matched(networks, mask_layers, first_wins=compat)
        self.weights = ParameterTuple([parameter for parameter, _ in self.layers])
        self.masks = ParameterTuple([beside(weight, "mask", 1) for weight in self.weights])
        self.masks_gradients = False  # this and the next as the optimiser says
        self.layer_of_gradient: tuple[int, ...] = ()
        first = self._first_parameter = next(iter(networks.get_parameters()))
        # Larger layers never move a kept weight, so the step adds nothing to theirs: -1.
        movable = [each for each in self.weights if compat or each.size <= masks.LARGE_LAYER or each is first]
        self.moves = ParameterTuple([beside(weight, "move", 0) for weight in movable])
        place = {weight.name: index for index, weight in enumerate(movable)}
        self.move_of = tuple(place.get(weight.name, -1) for weight in self.weights)
        self._lr = lr
        self._rng = generator(seed, "suppression noise")
        self.done = 0  # steps of training so far
        self._moving = False
        self._planned_to = 0
        self._updates: dict[int, float] = {}
        self._report: dict[str, Facts] = {}

    def begin(self, network: nn.Cell, *, count: int, batch_size: int, epochs: int, anew: bool) -> None:
        steps = count // batch_size
        if anew and self.done:
            raise ValueError(f"defence has acted in a training of {self.done} steps: create one for each training.")
        must_belong(network, self.weights, "defence")
        self.must_suppress(epochs * steps)
        self.schedule.fits(steps)
        self.warn_of_end(epochs * steps)

    def must_suppress(self, step: int) -> None:
        """Raise ValueError if after so many steps of training no weight would be zero."""
        first, last = self.schedule.first_step, self.schedule.last_step
        if not self.wanted(step):
            raise ValueError(
                f"training has {step} steps, after which no weight would be zero, for the defence's schedule is of "
                f"steps {first} to {last} and ends at a sparsity of {self.schedule.sparse_end}: create it with this "
                "training's batch_num and end_epoch (and, if no weight may go, with another sparse_end or min_num)."
            )

    def warn_of_end(self, step: int) -> None:
        """Log if a training ends, at a step, before the schedule does, as one that will go on may."""
        schedule = self.schedule
        if step < schedule.last_step:
            log.warning(
                "The training ends at step %d of a schedule of steps %d to %d, at a sparsity of %.3g instead of %.3g: "
                "let it go on, or create the control with a smaller end_epoch.",
                *(step, schedule.first_step, schedule.last_step, schedule.reached(step), schedule.sparse_end),
            )

    def wanted(self, step: int) -> dict[str, int]:
        """How many weights shall be zero after a step, by layer; layers that need have none are left out."""
        reached = self.schedule.reached(step)
        counts = {
            weight.name: masks.weights_to_suppress(weight.size, reached, layer.min_num) for weight, layer in self.layers
        }
        return {name: count for name, count in counts.items() if count > 0}

    def end(self, step: int) -> None:
        wanted = self.wanted(step)
        without = [weight.name for weight in self.weights if weight.name in wanted and not self._zeros(weight)]
        if without:
            raise ValueError(
                f"{', '.join(without)} have no zero after {step} steps of training, for at each update the first "
                f"layer's weights were all below {DEAD_FIRST_LAYER}, or another has changed them: train with another "
                "learning rate or from other weights."
            )

    def _zeros(self, weight: Parameter) -> float:
        """The share of a parameter that counts as zero, in [0, 1]."""
        return float(np.mean(np.abs(weight.asnumpy()) <= self.residue))

    def attach(self, optimizer: nn.Optimizer) -> None:
        trained = {id(parameter) for parameter in optimizer.parameters}
        left_out = [weight.name for weight in self.weights if id(weight) not in trained]
        if left_out:
            raise ValueError(
                f"optimizer does not train {', '.join(left_out)} of the defence's network: make it over all its "
                "trainable parameters, or the defence for the layers and the network that are trained."
            )
        # Plain SGD leaves a weight of zero where it is when its gradient is zero; to mask that is the cheaper way.
        plain = isinstance(optimizer, nn.SGD) and float(optimizer.momentum.asnumpy()) == 0
        self.masks_gradients = self.compat or plain
        masked = [weight.name for weight in self.weights]
        names = [parameter.name for parameter in optimizer.parameters]  # in the order its gradients come in
        self.layer_of_gradient = tuple(masked.index(name) if name in masked else -1 for name in names)

    def on_gradients(self, gradients: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        if not self.masks_gradients:
            return gradients
        acted: tuple[Tensor, ...] = ()
        for index, gradient in enumerate(gradients):
            layer = self.layer_of_gradient[index]
            if layer >= 0:
                gradient = gradient * self.masks[layer]
                if self.compat:
                    gradient = gradient + self.moves[layer]
            acted += (gradient,)
        return acted

    def after_update(self) -> None:
        if not self.masks_gradients:
            for index in range(len(self.weights)):
                ops.assign(self.weights[index], self.weights[index] * self.masks[index])

    def after_step(self, step: int) -> None:
        self.done = step
        if step > self._planned_to:
            self._planned_to = max(2 * step, self.schedule.last_step)
            self._updates = self.schedule.updates(self._planned_to)
        # The reference lets a move act again where an update follows at once and leaves the layer out.
        if self._moving and not (self.compat and step in self._updates):
            if not self.compat:
                self()
            for move in self.moves:
                move.set_data(Tensor.from_numpy(np.zeros(move.shape, np.float32)))
            self._moving = False
        if step in self._updates:
            self.update_masks(self._updates[step])

    def construct(self) -> None:
        """w <- w m + d: what the step after an update does to the weights beyond what every step does.

        A graph of its own, for in that of every step it would be paid for in every step.
        """
        for index in range(len(self.weights)):
            weight, mask = self.weights[index], self.masks[index]
            if self.move_of[index] >= 0:
                ops.assign(weight, ops.addcmul(self.moves[self.move_of[index]], weight, mask))
            else:
                ops.assign(weight, weight * mask)

    def update_masks(self, target_sparsity: float) -> None:
        """Set the masks to a target sparsity; they and the moves act in the next training step."""
        for index, (parameter, layer) in enumerate(self.layers):
            suppress = masks.weights_to_suppress(parameter.size, target_sparsity, layer.min_num)
            if suppress < 1:
                continue
            old = parameter.asnumpy().ravel()
            if not np.isfinite(old).all():
                raise ValueError(f"values of {parameter.name} are not finite: train with a lower learning rate.")
            if parameter is self._first_parameter and np.abs(old).max() < DEAD_FIRST_LAYER:
                log.info("%s is all below %g: this mask update is left out.", parameter.name, DEAD_FIRST_LAYER)
                return
            update = self.updated(index, old, self.masks[index].asnumpy().ravel() > 0, suppress)
            if update is None:
                continue
            self._moving = True
            shape = parameter.shape
            self.masks[index].set_data(Tensor.from_numpy(update.mask.reshape(shape).astype(np.float32)))
            if self.move_of[index] >= 0:
                move = (old - update.weights) / self._lr if self.compat else update.mask * (update.weights - old)
                self.moves[self.move_of[index]].set_data(Tensor.from_numpy(move.reshape(shape).astype(np.float32)))
            self._report[parameter.name] = update.entry(suppress)

    def report(self) -> dict[str, Facts]:
        """By layer, at its last update: its weights, how many are suppressed, alive, and were to be suppressed
        (target), the threshold, and how many were raised to the lower bound, lowered to the upper, and given
        noise."""
        return {name: dict(entry) for name, entry in self._report.items()}

    def state(self) -> Facts:
        moving = {"moving": self._moving, "report": self._report}
        return {"rng": self._rng.bit_generator.state, "done": self.done, **moving}

    def restore(self, state: Facts) -> None:
        self._rng.bit_generator.state = state["rng"]
        self._moving, self._report = state["moving"], state["report"]
        self.done = state.get("done", self.done)  # states of version 0.2.0 do not say

    @checked
    def calc_actual_sparse_for_layer(self, networks: nn.Cell, layer_name: Annotated[str, NAME]) -> float:
        """The share of zeros in one parameter, in [0, 1].

        Args:
            networks: the network to look at.
            layer_name: the parameter's name, or a part of it that no other parameter has.

        With `compat`, as the reference has it: of several parameters that fit the first is taken, an
        unknown one gives 0.0, and weights of at most 1e-7 count as zero.

        Raises:
            TypeError, ValueError: no nn.Cell; no parameter, or more than one, of that name.
        """
        parameters = networks.parameters_dict()
        if self.compat and not any(layer_name in name for name in parameters):
            return 0.0
        return self._zeros(parameters[named(networks, layer_name, first_wins=self.compat)])

    def print_paras(self) -> None:
        """Print the schedule."""
        print(self.schedule)

    def updated(self, index: int, weights: np.ndarray, mask: np.ndarray, suppress: int) -> masks.LayerUpdate | None:
        """One layer after an update that shall leave `suppress` of its weights at zero; None leaves it as it is.

        Args:
            index: of the layer, in `self.layers`.
            weights: float32 [n], flat.
            mask: bool [n], True where the weight has stayed so far.
            suppress: from 1.
        """
        if self.move_of[index] < 0:
            return masks.update_large_layer(weights, mask, suppress)
        return masks.update_small_layer(weights, mask, suppress, self.layers[index][1], self._rng)


class SuppressPrivacyFactory:
    """Makes the defence, as MindArmour's factory of this name does.

    Examples:
        >>> layers = propose_mask_layers(network)
        >>> control = SuppressPrivacyFactory().create(network, layers, batch_num=125, sparse_end=0.95)
        >>> control.schedule.first_step, control.schedule.last_step
        (251, 1250)
    """

    @staticmethod
    def create(
        networks: nn.Cell,
        mask_layers: list[MaskLayerDes],
        policy: str = "local_train",
        end_epoch: int = 10,
        batch_num: int = 20,
        start_epoch: int = 3,
        mask_times: int = 1000,
        lr: float = 0.05,
        sparse_end: float = 0.90,
        sparse_start: float = 0.0,
        *,
        seed: int = 0,
        compat: bool = False,
    ) -> SuppressCtrl:
        """Prepare a network's suppression.

        Args:
            networks: the network that will be trained.
            mask_layers: its layers to suppress, at least one.
            policy: "local_train", the only one there is.
            end_epoch: last epoch of the schedule, start_epoch to 100.
            batch_num: training steps in one epoch.
            start_epoch: first epoch of the schedule, from 1.
            mask_times: mask updates over the schedule, from 1.
            lr: in (0, 0.5]. Without `compat` it is checked, then unused: masks act after the optimiser, which
                knows its rate.
            sparse_end: sparsity to reach, in (sparse_start, 1).
            sparse_start: sparsity of the first update, in [0, sparse_end).
            seed: seeds the noise on kept weights.
            compat: True does what MindArmour does also where it is wrong. Masks act through the
                gradient: the optimiser must be plain SGD at exactly `lr`, suppressed weights keep
                residues of about 1e-9, and where one update follows another at once, a layer that the
                second leaves out is moved twice, which brings suppressed weights back. A part of a
                name stands for the first parameter it fits.

        Raises:
            TypeError, ValueError: an argument of the wrong type or out of its range, a layer that is
                unknown, ambiguous or named twice, a grad_idx that contradicts the layer's name.
        """
        check("policy", policy, Literal["local_train"])
        steps = {"batch_num": batch_num, "start_epoch": start_epoch, "end_epoch": end_epoch, "mask_times": mask_times}
        schedule = Schedule(**steps, sparse_start=sparse_start, sparse_end=sparse_end)
        return SuppressCtrl(networks, mask_layers, schedule, lr=lr, seed=seed, compat=compat)


class Masked(Defence):
    """Gradients as the client of a suppressed network sends them under plain SGD: of its zeros there are none.

    Args:
        network: as suppression has left it, at whatever moment.
        mask_layers: the layers that were suppressed.
        residue: what may be left of a weight that was suppressed.
    """

    def __init__(self, network: nn.Cell, mask_layers: list[MaskLayerDes], residue: float = 0.0) -> None:
        super().__init__(auto_prefix=False)
        suppressed = {weight.name for weight, _ in matched(network, mask_layers)}
        self.masks = ParameterTuple(
            [
                beside(weight, "sent", (np.abs(weight.asnumpy()) > residue) if weight.name in suppressed else 1)
                for weight in network.trainable_params()
            ]
        )

    def on_gradients(self, gradients: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        sent: tuple[Tensor, ...] = ()
        for index, gradient in enumerate(gradients):
            sent += (gradient * self.masks[index],)
        return sent


@dataclass(frozen=True, kw_only=True)
class Suppression(Rise, DefenceSettings, kind="suppress"):
    """Settings of `SuppressCtrl`; `layers` is what `mask_layers` takes.

    Examples:
        >>> from suppress_privacy.training import Plan
        >>> rise = {"start_epoch": 1, "end_epoch": 1, "mask_times": 4, "sparse_start": 0.0, "sparse_end": 0.9}
        >>> plan = Plan(data, epochs=1, batch_size=100, lr=0.1, seed=0)
        >>> Suppression(layers="mindarmour-example", **rise).make(LeNet5(seed=0), plan).schedule.batch_num
        40
    """

    layers: Layers
    compat: bool = False

    control: ClassVar[type[SuppressCtrl]] = SuppressCtrl

    def __post_init__(self) -> None:
        super().__post_init__()
        mask_layers(self.layers)

    def fits(self, epochs: int, lr: float) -> None:
        if self.end_epoch > epochs:
            ends = f"the defence's end_epoch is {self.end_epoch}; its schedule must end within the training"
            raise ValueError(f"epochs is {epochs}, {ends}: change one of them.")
        if lr > LARGEST_RATE:
            raise ValueError(f"optimizer.lr is {lr}; with suppression it is at most {LARGEST_RATE}: lower it.")

    def sender(self, network: nn.Cell) -> Masked:
        return Masked(network, mask_layers(self.layers, network), RESIDUE if self.compat else 0.0)

    def make(self, network: nn.Cell, plan: Plan) -> SuppressCtrl:
        rise = {each.name: getattr(self, each.name) for each in fields(Rise)}
        schedule = Schedule(batch_num=plan.steps, **rise)
        return self.control(
            network, mask_layers(self.layers, network), schedule, lr=plan.lr, seed=plan.seed, compat=self.compat
        )


def beside(weight: Parameter, kind: str, values: np.ndarray | int) -> Parameter:
    """A parameter of a weight's shape that is not trained, such as its mask."""
    filled = np.broadcast_to(values, weight.shape).astype(np.float32)
    return Parameter(Tensor(filled), name=f"{kind}.{weight.name}", requires_grad=False)
