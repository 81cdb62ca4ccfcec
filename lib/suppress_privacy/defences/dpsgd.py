"""DP-SGD (Abadi et al. 2016): what a network learns from any one image is bounded, and the bound is proved::

    g  =  ( sum_i  g_i min(1, C / |g_i|)  +  z C n ) / B,      n ~ N(0, 1) for every weight

The sum runs over a batch to which every image belongs with probability B / N by itself (Poisson sampling), which
is what the accountant assumes. Adding or removing one image is what epsilon and delta are about.
"""

import logging
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from mindspore import Tensor, nn

from suppress_privacy.checks import NotNegative, Positive, Seed, Share, Whole, checked
from suppress_privacy.defences.examplewise import ClippedSum
from suppress_privacy.defences.settings import DefenceSettings
from suppress_privacy.runtime import generator
from suppress_privacy.training import Defence, Facts, Plan

log = logging.getLogger(__name__)

CHUNK = 128  #: images whose gradients are held at a time
MIXING = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)
# MindSpore cannot differentiate these example by example.
NOT_ALONE = (nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d, nn.RNN, nn.GRU, nn.LSTM, nn.Dropout)


def spent_epsilon(noise_multiplier: float, sampling_rate: float, steps: int, delta: float) -> float:
    """Epsilon of `steps` subsampled Gaussian steps, by Renyi accounting (Mironov et al. 2019).

    Args:
        noise_multiplier: z, the noise's standard deviation in units of the clipping norm.
        sampling_rate: probability with which an image is in a batch, in (0, 1].
        steps: batches.
        delta: in (0, 1).
    """
    from dp_accounting import rdp  # here, as below: a second of loading that only private training has use for

    return rdp.RdpAccountant().compose(_event(noise_multiplier, sampling_rate, steps)).get_epsilon(delta)


def noise_multiplier_for(wanted: float, sampling_rate: float, steps: int, delta: float) -> float:
    """The least noise multiplier whose `spent_epsilon` is at most `wanted`, to 1e-4.

    Examples:
        >>> multiplier = noise_multiplier_for(wanted=8, sampling_rate=0.01, steps=1000, delta=1e-5)
        >>> 7.9 < spent_epsilon(multiplier, sampling_rate=0.01, steps=1000, delta=1e-5) <= 8
        True
    """
    import dp_accounting

    event = partial(_event, sampling_rate=sampling_rate, steps=steps)
    start = dp_accounting.LowerEndpointAndGuess(0.1, 1.0)
    return dp_accounting.calibrate_dp_mechanism(dp_accounting.rdp.RdpAccountant, event, wanted, delta, start, tol=1e-4)


def _event(noise_multiplier: float, sampling_rate: float, steps: int) -> Any:  # a DpEvent
    import dp_accounting

    step = dp_accounting.PoissonSampledDpEvent(sampling_rate, dp_accounting.GaussianDpEvent(noise_multiplier))
    return dp_accounting.SelfComposedDpEvent(step, steps)


def must_be_separable(network: nn.Cell) -> None:
    """Raise ValueError, by its name, at a layer under which an example has no gradient of its own."""
    for name, layer in network.cells_and_names():
        if isinstance(layer, MIXING) and layer.use_batch_statistics is not False:
            fault = "mixes the examples of a batch and keeps averages of them without noise"
        elif isinstance(layer, NOT_ALONE) and getattr(layer, "p", None) != 0:
            fault = "has no gradients example by example in MindSpore"
        else:
            continue
        layer_name = f"{name.removeprefix('_backbone.')}, a {type(layer).__name__},"
        raise ValueError(
            f"network has the layer {layer_name} which {fault}: put another in its place (for a norm nn.GroupNorm), "
            "or train without differential privacy."
        )


class PrivateStep(nn.Cell):
    """A training step of DP-SGD, with the arguments and the result of `TrainStep`; batches of any size."""

    def __init__(self, forward: nn.Cell, optimizer: nn.Optimizer, defence: "DpSgd") -> None:
        super().__init__(auto_prefix=False)
        self.forward = forward  # a child, so that train and eval modes reach the network
        self.optimizer, self.defence = optimizer, defence
        must_be_separable(forward)
        self.clipped_sum = ClippedSum(forward, optimizer.parameters, defence.clip_norm)

    def __call__(self, images: Tensor, labels: Tensor) -> Tensor:
        count = len(labels)
        given = (images.asnumpy(), labels.asnumpy(), np.ones(count, np.float32))
        filled = [np.pad(values, [(0, -count % CHUNK)] + [(0, 0)] * (values.ndim - 1)) for values in given]
        total, sums = 0.0, [np.zeros(parameter.shape, np.float32) for parameter in self.optimizer.parameters]
        for first in range(0, count, CHUNK):
            loss, *parts = self._sums(*(Tensor(values[first : first + CHUNK]) for values in filled))
            total += float(loss)
            for collected, part in zip(sums, parts, strict=True):
                collected += part.asnumpy()
        self.optimizer(tuple(Tensor(gradient) for gradient in self.defence.noised(sums)))
        return Tensor(np.float32(total / max(count, 1)))

    def _sums(self, *chunk: Tensor) -> tuple[Tensor, ...]:
        try:
            return self.clipped_sum(*chunk)
        except (RuntimeError, TypeError, ValueError) as error:  # of MindSpore, with its stack
            first, *_ = str(error).splitlines() or [type(error).__name__]
            raise ValueError(
                f"network, loss and data give no gradients example by example ({first.strip()}): put another operator "
                "in the place of the one named, or train without differential privacy."
            ) from error


class DpSgd(Defence):
    """What makes a training differentially private: sampling, clipping and noise.

    Args:
        batch_size: B, the expected size of a batch.
        clip_norm: C; infinity clips nothing, and then there can be no noise.
        noise_multiplier: z; 0 adds none.
        seed: draws the noise.
        facts: what `facts` says of the guarantee; its "steps" and "sampling_rate" are held to, if it has them.

    Raises:
        TypeError, ValueError: an argument of the wrong type or out of its range.

    Examples:
        >>> from dataclasses import replace
        >>> from suppress_privacy import train
        >>> few = replace(data, train_images=known, train_labels=known_labels)
        >>> model = nn.SequentialCell(nn.Flatten(), nn.Dense(1024, 10))
        >>> private = DpSgd(batch_size=100, clip_norm=1.0, noise_multiplier=1.1, seed=0)
        >>> optimizer = nn.SGD(model.trainable_params(), 0.1)
        >>> len(train(model, optimizer, few, epochs=1, batch_size=100, seed=0, defence=private).loss)
        1
    """

    @checked
    def __init__(
        self,
        batch_size: Whole,
        clip_norm: Positive,
        noise_multiplier: NotNegative,
        seed: Seed,
        facts: Facts | None = None,
    ) -> None:
        super().__init__(auto_prefix=False)
        if noise_multiplier and not np.isfinite(clip_norm):
            raise ValueError(f"clip_norm is {clip_norm}, which no noise can cover: make it finite.")
        self.batch_size, self.clip_norm, self.noise_multiplier = batch_size, clip_norm, noise_multiplier
        self._rng = generator(seed, "privacy noise")
        self._facts = facts or {}
        self._steps = 0  # whose noise has been drawn

    def begin(self, network: nn.Cell, *, count: int, batch_size: int, epochs: int, anew: bool) -> None:
        self._must_be_accounted(count, batch_size)
        steps = epochs * (count // batch_size)
        if anew and self._steps:
            raise ValueError(f"defence has acted in a training of {self._steps} steps: make one for each training.")
        if steps > self._facts.get("steps", steps):
            accounted = f"the defence's guarantee is for {self._facts['steps']}"
            raise ValueError(f"epochs is {epochs}, a training of {steps} steps; {accounted}: make it for as many.")

    def _must_be_accounted(self, count: int, batch_size: int) -> None:
        if batch_size != self.batch_size:
            raise ValueError(f"batch_size is {batch_size}; the defence was made for {self.batch_size}: train with it.")
        rate = batch_size / count
        if not np.isclose(rate, self._facts.get("sampling_rate", rate), rtol=1e-9):
            images = round(batch_size / self._facts["sampling_rate"])
            raise ValueError(f"data has {count} images; the defence was made for {images}: make it for these data.")

    def batches(self, rng: np.random.Generator, count: int, batch_size: int) -> list[np.ndarray]:
        """An epoch's batches by Poisson sampling: as many as ordinary training has, each of random size."""
        self._must_be_accounted(count, batch_size)
        return [np.flatnonzero(rng.random(count) < batch_size / count) for _ in range(count // batch_size)]

    def step(self, forward: nn.Cell, optimizer: nn.Optimizer) -> nn.Cell:
        return PrivateStep(forward, optimizer, self)

    def noised(self, sums: list[np.ndarray]) -> list[np.ndarray]:
        """The gradient the optimiser sees, from the sums of clipped ones; one a parameter.

        Raises:
            ValueError: the guarantee is for no more steps.
        """
        if self._steps >= self._facts.get("steps", np.inf):
            raise ValueError(f"step {self._steps + 1} is beyond those of the defence's guarantee: train no longer.")
        self._steps += 1
        if self.noise_multiplier == 0:
            return [total / np.float32(self.batch_size) for total in sums]
        scale = np.float32(self.noise_multiplier * self.clip_norm)
        draws = [self._rng.standard_normal(total.shape, np.float32) for total in sums]
        return [(total + scale * draw) / np.float32(self.batch_size) for total, draw in zip(sums, draws, strict=True)]

    def facts(self) -> Facts:
        return self._facts

    def state(self) -> Facts:
        return {"rng": self._rng.bit_generator.state, "steps": self._steps}

    def restore(self, state: Facts) -> None:
        self._rng.bit_generator.state = state["rng"]
        self._steps = state.get("steps", 0)  # states of version 0.2.0 do not say


@dataclass(frozen=True, kw_only=True)
class PrivateTraining(DefenceSettings, kind="dpsgd"):
    """Settings of `DpSgd`: the guarantee of the whole training, for which the noise is found, and the clipping norm.

    Examples:
        >>> from suppress_privacy.training import Plan
        >>> wanted = PrivateTraining(epsilon=8, delta=1e-4, clip_norm=1.0)
        >>> private = wanted.make(model, Plan(data, epochs=10, batch_size=100, lr=0.1, seed=0))
        >>> private.facts()["steps"], round(private.facts()["epsilon"], 1)
        (400, 8.0)
    """

    epsilon: Positive
    delta: Share
    clip_norm: Positive

    def sender(self, network: nn.Cell) -> Defence:
        raise ValueError(
            "what DP-SGD sends is clipped and noisy, by a noise this network does not tell: omit the attack."
        )

    def make(self, network: nn.Cell, plan: Plan) -> DpSgd:
        count, steps = len(plan.data.train_labels), plan.epochs * plan.steps
        sampling_rate = plan.batch_size / count
        if self.delta * count >= 1:
            log.warning("delta is %g, by which one of %d images may be given away whole: lower it.", self.delta, count)
        noise_multiplier = noise_multiplier_for(self.epsilon, sampling_rate, steps, self.delta)
        epsilon = spent_epsilon(noise_multiplier, sampling_rate, steps, self.delta)
        facts = {"epsilon": epsilon, "delta": self.delta, "noise_multiplier": noise_multiplier}
        facts |= {"sampling_rate": sampling_rate, "steps": steps, "clip_norm": self.clip_norm}
        return DpSgd(plan.batch_size, float(self.clip_norm), float(noise_multiplier), plan.seed, facts)
