"""DP-SGD (Abadi et al. 2016): what a network learns from any one image is bounded, and the bound is proved.

    g  =  ( sum_i  g_i min(1, C / |g_i|)  +  z C n ) / B,      n ~ N(0, 1) for every weight

The sum runs over a batch to which every image belongs with probability B / N by itself (Poisson sampling), which
is what the accountant assumes. Adding or removing one image is what epsilon and delta are about.
"""

import dp_accounting
import mindspore as ms
import numpy as np
from dp_accounting import rdp
from mindspore import nn, ops

from suppress_privacy.checks import checked
from suppress_privacy.runtime import generator
from suppress_privacy.training import Defence

CHUNK = 128  # images whose gradients are held at a time
LARGEST_LOSS = 88.0  # of one example, in nats: MindSpore's cross-entropy is infinite where a probability underflows
TINY = 1e-12  # below any gradient's norm that matters; keeps the division defined


def spent_epsilon(noise_multiplier, sampling_rate, steps, delta):
    """Epsilon of `steps` subsampled Gaussian steps, by Renyi accounting (Mironov et al. 2019).

    Args:
        noise_multiplier (float): z, the noise's standard deviation in units of the clipping norm.
        sampling_rate (float): probability with which an image is in a batch, in (0, 1].
        steps (int): batches.
        delta (float): in (0, 1).
    """
    return rdp.RdpAccountant().compose(_event(noise_multiplier, sampling_rate, steps)).get_epsilon(delta)


def noise_multiplier_for(wanted, sampling_rate, steps, delta):
    """The least noise multiplier whose `spent_epsilon` is at most `wanted`, to 1e-4."""
    return dp_accounting.calibrate_dp_mechanism(
        rdp.RdpAccountant,
        lambda noise_multiplier: _event(noise_multiplier, sampling_rate, steps),
        wanted,
        delta,
        dp_accounting.LowerEndpointAndGuess(0.1, 1.0),
        tol=1e-4,
    )


def _event(noise_multiplier, sampling_rate, steps):
    step = dp_accounting.PoissonSampledDpEvent(sampling_rate, dp_accounting.GaussianDpEvent(noise_multiplier))
    return dp_accounting.SelfComposedDpEvent(step, steps)


class ClippedSum(nn.Cell):
    """The sum of every example's own gradient, each at most as long as the clipping norm.

    Args:
        forward (nn.Cell): from images and labels to their mean loss.
        parameters (ParameterTuple): to differentiate by.
        clip_norm (float): C, the largest Euclidean norm over all parameters together; infinity clips nothing.

    Inputs:
        images (Tensor), float32 [B, ...]; labels (Tensor), int32 [B]; present (Tensor), float32 [B], 0 for
        examples that only fill the batch up.

    Outputs:
        tuple of Tensor: the sum of losses, each counted as `LARGEST_LOSS` at most, then one sum a parameter, of its
        shape.
    """

    def __init__(self, forward, parameters, clip_norm):
        super().__init__(auto_prefix=False)
        self.forward = forward
        gradient = ops.grad(forward, None, parameters)

        def loss_of_one(image, label):
            return forward(image.expand_dims(0), label.expand_dims(0))

        def gradient_of_one(image, label):
            return gradient(image.expand_dims(0), label.expand_dims(0))

        self.losses = ops.vmap(loss_of_one, (0, 0))
        self.gradients = ops.vmap(gradient_of_one, (0, 0))
        self.clip_norm = clip_norm

    def construct(self, images, labels, present):
        gradients = self.gradients(images, labels)
        squares = ops.zeros_like(present)
        for gradient in gradients:
            squares += ops.square(gradient).reshape(gradient.shape[0], -1).sum(1)
        factors = present * ops.minimum(self.clip_norm / (ops.sqrt(squares) + TINY), ops.ones_like(present))
        losses = ops.minimum(self.losses(images, labels), LARGEST_LOSS * ops.ones_like(present))
        sums = ((losses * present).sum(),)
        for gradient in gradients:
            flat = gradient.reshape(gradient.shape[0], -1)
            sums += (ops.matmul(factors.expand_dims(0), flat).reshape(gradient.shape[1:]),)
        return sums


class PrivateStep(nn.Cell):
    """A training step of DP-SGD, with the arguments and the result of `TrainStep`; batches of any size."""

    def __init__(self, forward, optimizer, defence):
        super().__init__(auto_prefix=False)
        self.forward = forward  # a child, so that train and eval modes reach the network
        self.optimizer = optimizer
        self.defence = defence
        self.clipped_sum = ClippedSum(forward, optimizer.parameters, defence.clip_norm)

    def __call__(self, images, labels):
        images, labels = images.asnumpy(), labels.asnumpy()
        total, sums = 0.0, [np.zeros(parameter.shape, np.float32) for parameter in self.optimizer.parameters]
        for first in range(0, len(labels), CHUNK):
            chunk = slice(first, first + CHUNK)
            missing = CHUNK - len(labels[chunk])
            filled = [
                np.concatenate([values[chunk], np.zeros((missing, *values.shape[1:]), values.dtype)])
                for values in (images, labels, np.ones(len(labels), np.float32))
            ]
            loss, *parts = self.clipped_sum(*(ms.Tensor(values) for values in filled))
            total += float(loss)
            for collected, part in zip(sums, parts, strict=True):
                collected += part.asnumpy()
        noisy = self.defence.noised(sums)
        self.optimizer(tuple(ms.Tensor(gradient) for gradient in noisy))
        return ms.Tensor(np.float32(total / max(len(labels), 1)))


class DpSgd(Defence):
    """What makes a training differentially private: sampling, clipping and noise.

    Args:
        batch_size (int): B, the expected size of a batch.
        clip_norm (float): C; infinity clips nothing, and then there can be no noise.
        noise_multiplier (float): z; 0 adds none.
        seed (int): draws the noise.

    Raises:
        TypeError, ValueError: an argument of the wrong type or out of its range.
    """

    def __init__(self, batch_size, clip_norm, noise_multiplier, seed, facts=None):
        super().__init__(auto_prefix=False)
        checked("batch_size", batch_size, int, "an integer from 1, the expected size", lambda v: v >= 1)
        checked("clip_norm", clip_norm, float, "a number above 0", lambda v: v > 0)
        checked("noise_multiplier", noise_multiplier, float, "a number from 0", lambda v: v >= 0)
        if noise_multiplier and not np.isfinite(clip_norm):
            raise ValueError(f"clip_norm is {clip_norm}, which no noise can cover: make it finite.")
        self.batch_size = batch_size
        self.clip_norm = clip_norm
        self.noise_multiplier = noise_multiplier
        self._rng = generator(seed, "privacy noise")
        self._facts = facts or {}

    def batches(self, rng, count, batch_size):
        """An epoch's batches by Poisson sampling: as many as ordinary training has, each of random size."""
        if batch_size != self.batch_size:
            raise ValueError(
                f"batch_size is {batch_size}; the defence was made for {self.batch_size}: train with that."
            )
        return [np.flatnonzero(rng.random(count) < batch_size / count) for _ in range(count // batch_size)]

    def step(self, forward, optimizer):
        return PrivateStep(forward, optimizer, self)

    def noised(self, sums):
        """The gradient the optimiser sees, from the sums of clipped ones: numpy.ndarray, one a parameter."""
        if self.noise_multiplier == 0:
            return [total / np.float32(self.batch_size) for total in sums]
        scale = np.float32(self.noise_multiplier * self.clip_norm)
        draws = [self._rng.standard_normal(total.shape, np.float32) for total in sums]
        return [(total + scale * draw) / np.float32(self.batch_size) for total, draw in zip(sums, draws, strict=True)]

    def facts(self):
        return self._facts

    def state(self):
        return {"rng": self._rng.bit_generator.state}

    def restore(self, state):
        self._rng.bit_generator.state = state["rng"]


def from_settings(network, plan, *, epsilon, delta, clip_norm):
    """The defence as study.yaml describes it: the noise is what the wanted epsilon asks for.

    Args:
        network (nn.Cell): not used.
        plan (Plan): the training that the guarantee is about; the seed draws the noise.
        epsilon, delta (float): the guarantee of the whole training.
        clip_norm (float): see `DpSgd`.
    """
    sampling_rate = plan.batch_size / plan.count
    steps = plan.epochs * plan.steps
    noise_multiplier = noise_multiplier_for(epsilon, sampling_rate, steps, delta)
    facts = {
        "epsilon": spent_epsilon(noise_multiplier, sampling_rate, steps, delta),
        "delta": delta,
        "noise_multiplier": noise_multiplier,
        "sampling_rate": sampling_rate,
        "steps": steps,
        "clip_norm": clip_norm,
    }
    return DpSgd(plan.batch_size, float(clip_norm), float(noise_multiplier), plan.seed, facts)
