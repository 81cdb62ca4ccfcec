"""DP-SGD checked as differential privacy: a reference in NumPy, neighbouring batches, and what planted bugs do to both.

The network is softmax regression, whose gradients are written down: those of an example x of class y are
(softmax(W x + b) - onehot(y)) x^T for W and the first factor for b. Each property is a function of the class that
does the training; the real one has them all, and each class with a bug planted in it is found by the one named.
"""

import mindspore as ms
import numpy as np
import pytest
from mindspore import nn
from scipy.special import softmax
from scipy.stats import binom, kstest, norm

from suppress_privacy.defences.dpsgd import DpSgd, PrivateStep
from suppress_privacy.defences.examplewise import ClippedSum
from suppress_privacy.runtime import generator
from suppress_privacy.training import Defence, with_cross_entropy

INPUTS, CLASSES = 6, 4
BATCH, CLIP, NOISE, LR = 20, 0.7, 1.3, 0.5


def examples(count, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((count, INPUTS)) * rng.choice([0.02, 1.0, 20.0], (count, 1))  # short, middling, long
    return x.astype(np.float32), rng.integers(0, CLASSES, count).astype(np.int32)


class Trainer:
    """One class's training step of softmax regression that starts from the same weights every time."""

    def __init__(self, kind, noise_multiplier, seed=0):
        rng = np.random.default_rng(3)
        self.start = [rng.standard_normal(shape).astype(np.float32) for shape in ((CLASSES, INPUTS), (CLASSES,))]
        self.network = nn.Dense(INPUTS, CLASSES)
        self.defence = kind(BATCH, CLIP, noise_multiplier, seed)
        optimizer = nn.SGD(self.network.trainable_params(), LR)
        self.step = self.defence.step(with_cross_entropy(self.network), optimizer).set_train()

    def released(self, x, y):
        """B times the gradient that the step applied, by parameter: in the units of the clipped sum."""
        for parameter, value in zip(self.network.trainable_params(), self.start, strict=True):
            parameter.set_data(ms.Tensor(value))
        self.step(ms.Tensor(x), ms.Tensor(y))
        ended = [parameter.asnumpy() for parameter in self.network.trainable_params()]
        return [BATCH * (old.astype(np.float64) - new) / LR for old, new in zip(self.start, ended, strict=True)]


def clipped_sum(start, x, y):
    """The reference: every example's gradient from the formula, clipped, and added up; float64, by parameter."""
    weight, bias = (value.astype(np.float64) for value in start)
    sums = [np.zeros_like(weight), np.zeros_like(bias)]
    for inputs, label in zip(x.astype(np.float64), y, strict=True):
        error = softmax(weight @ inputs + bias) - np.eye(CLASSES)[label]
        gradients = [np.outer(error, inputs), error]
        length = np.sqrt(sum((gradient**2).sum() for gradient in gradients))
        for total, gradient in zip(sums, gradients, strict=True):
            total += gradient * min(1.0, CLIP / length)
    return sums


def flat(parts):
    return np.concatenate([np.ravel(part) for part in parts])


# --- properties


def equals_the_reference_with_its_noise_replayed(kind):
    """In batches smaller and larger than expected, and the noise of each step from the same stream of draws."""
    trainer, stream = Trainer(kind, NOISE, seed=8), generator(8, "privacy noise")
    for count in (BATCH, BATCH // 2, 3 * BATCH, 0, 1):
        x, y = examples(count, seed=count)
        noise = [stream.standard_normal(value.shape, np.float32) for value in trainer.start]
        wanted = flat(clipped_sum(trainer.start, x, y)) + CLIP * NOISE * flat(noise)
        assert flat(trainer.released(x, y)) == pytest.approx(wanted, abs=2e-4)


def moves_no_further_than_the_clipping_norm_between_neighbours(kind):
    """Two batches that differ in one example, however long its gradient is, and as far as that where it is long."""
    trainer = Trainer(kind, 0.0)
    moved = []
    for seed in range(30):
        x, y = examples(BATCH + 1, seed)
        both = [flat(trainer.released(x[:length], y[:length])) for length in (BATCH, BATCH + 1)]
        moved.append(np.linalg.norm(both[1] - both[0]))
    assert max(moved) <= CLIP + 1e-3
    assert max(moved) >= CLIP - 1e-3  # the bound is met: nothing is clipped more than it needs to be


def hides_one_example_in_noise_of_the_stated_size(kind):
    """What is released with and without an example, along its gradient: normal, a clipping norm apart, and no less."""
    trainer, draws = Trainer(kind, NOISE), 400
    x, y = examples(7)
    x[-1] = 50
    means = [flat(clipped_sum(trainer.start, x[:length], y[:length])) for length in (6, 7)]
    direction = (means[1] - means[0]) / np.linalg.norm(means[1] - means[0])
    for length, centre in ((6, means[0] @ direction), (7, means[0] @ direction + CLIP)):
        along = [flat(trainer.released(x[:length], y[:length])) @ direction for _ in range(draws)]
        assert kstest(along, norm(centre, NOISE * CLIP).cdf).pvalue > 1e-3
        assert abs(np.corrcoef(along[1:], along[:-1])[0, 1]) < 0.2  # each step draws anew


def draws_every_image_by_itself(kind):
    """Poisson sampling: sizes are binomial, and whether one image is in a batch says nothing of any other."""
    count, rate, defence = 200, BATCH / 200, kind(BATCH, CLIP, NOISE, 0)
    rng = np.random.default_rng(0)
    batches = [batch for _ in range(300) for batch in defence.batches(rng, count, BATCH)]
    assert len(batches) == 300 * (count // BATCH)
    inside = np.zeros((len(batches), count))
    for row, batch in zip(inside, batches, strict=True):
        assert len(set(np.asarray(batch).tolist())) == len(batch)
        row[batch] = 1
    sizes = inside.sum(1)
    expected = binom(count, rate)
    assert abs(sizes.mean() - expected.mean()) < 4 * expected.std() / np.sqrt(len(sizes))
    assert sizes.var() == pytest.approx(expected.var(), rel=0.15)
    several = inside.reshape(300, count // BATCH, count).sum(1)  # how often an image comes in an epoch
    assert several.var(0).mean() == pytest.approx(count / BATCH * rate * (1 - rate), rel=0.05)
    pairs = np.corrcoef(inside[:, :40].T)[np.triu_indices(40, 1)]
    assert np.abs(pairs).max() < 5 / np.sqrt(len(batches))


PROPERTIES = (
    equals_the_reference_with_its_noise_replayed,
    moves_no_further_than_the_clipping_norm_between_neighbours,
    hides_one_example_in_noise_of_the_stated_size,
    draws_every_image_by_itself,
)


@pytest.mark.parametrize("holds", PROPERTIES)
def test_the_defence_has_every_property(holds):
    holds(DpSgd)


# --- bugs


class WithoutNoise(DpSgd):
    def noised(self, sums):
        return [total / np.float32(BATCH) for total in sums]


class ClippedAfterTheMean(DpSgd):
    """The mean is clipped, and not what each example adds to it."""

    def step(self, forward, optimizer):
        made = super().step(forward, optimizer)
        made.clipped_sum = ClippedSum(forward, optimizer.parameters, float("inf"))
        return made

    def noised(self, sums):
        mean = [total / BATCH for total in sums]
        factor = min(1.0, CLIP / np.linalg.norm(flat(mean)))
        return super().noised([(total * factor * BATCH).astype(np.float32) for total in mean])


class NeverClipped(DpSgd):
    def step(self, forward, optimizer):
        made = super().step(forward, optimizer)
        made.clipped_sum = ClippedSum(forward, optimizer.parameters, float("inf"))
        return made


class ClippedByLayer(DpSgd):
    """Each parameter's gradient by itself is at most as long as the clipping norm: together they are longer."""

    def step(self, forward, optimizer):
        made = super().step(forward, optimizer)
        each = [ClippedSum(forward, ms.ParameterTuple([one]), self.clip_norm) for one in optimizer.parameters]

        def sums(*chunk):
            found = [cell(*chunk) for cell in each]
            return (found[0][0], *(part for _, part in found))

        object.__setattr__(made, "clipped_sum", sums)
        return made


class Shuffled(DpSgd):
    """Every image once an epoch, in batches of one size."""

    batches = Defence.batches


class OfFixedSize(DpSgd):
    """Each batch is drawn anew, but all have one size."""

    def batches(self, rng, count, batch_size):
        return [rng.choice(count, batch_size, replace=False) for _ in range(count // batch_size)]


class OncePerEpoch(DpSgd):
    """Sizes are binomial, but an image in one batch is in no other of the epoch."""

    def batches(self, rng, count, batch_size):
        places = rng.integers(0, count // batch_size, count)
        return [np.flatnonzero(places == number) for number in range(count // batch_size)]


class Counting(PrivateStep):
    """Tells the defence how many images are in the batch."""

    def __call__(self, images, labels):
        self.defence.present = max(len(labels), 1)
        return super().__call__(images, labels)


class NoiseOfTheBatch(DpSgd):
    """The noise is divided by the images that are in the batch, and not by those expected."""

    def step(self, forward, optimizer):
        return Counting(forward, optimizer, self)

    def noised(self, sums):
        alone = super().noised([np.zeros_like(total) for total in sums])
        return [total / BATCH + noise * BATCH / self.present for total, noise in zip(sums, alone, strict=True)]


class MeanOfTheBatch(NoiseOfTheBatch):
    """The sum is divided by the images that are in the batch."""

    def noised(self, sums):
        return DpSgd.noised(self, [total * BATCH / self.present for total in sums])


class SameNoise(DpSgd):
    """The noise is drawn from the seed in every step."""

    def noised(self, sums):
        self._rng = generator(0, "privacy noise")
        return super().noised(sums)


class NoiseOfUnitSize(DpSgd):
    """The noise does not grow with the clipping norm."""

    def noised(self, sums):
        scaled = super().noised([np.zeros_like(total) for total in sums])
        return [total / BATCH + noise / CLIP for total, noise in zip(sums, scaled, strict=True)]


@pytest.mark.parametrize(
    ("bug", "found_by"),
    [
        (WithoutNoise, equals_the_reference_with_its_noise_replayed),
        (WithoutNoise, hides_one_example_in_noise_of_the_stated_size),
        (ClippedAfterTheMean, equals_the_reference_with_its_noise_replayed),
        (ClippedAfterTheMean, moves_no_further_than_the_clipping_norm_between_neighbours),
        (NeverClipped, moves_no_further_than_the_clipping_norm_between_neighbours),
        (ClippedByLayer, moves_no_further_than_the_clipping_norm_between_neighbours),
        (Shuffled, draws_every_image_by_itself),
        (OfFixedSize, draws_every_image_by_itself),
        (OncePerEpoch, draws_every_image_by_itself),
        (NoiseOfTheBatch, equals_the_reference_with_its_noise_replayed),
        (NoiseOfTheBatch, hides_one_example_in_noise_of_the_stated_size),
        (MeanOfTheBatch, moves_no_further_than_the_clipping_norm_between_neighbours),
        (SameNoise, hides_one_example_in_noise_of_the_stated_size),
        (NoiseOfUnitSize, hides_one_example_in_noise_of_the_stated_size),
    ],
)
def test_a_planted_bug_is_found(bug, found_by):
    with pytest.raises(AssertionError):
        found_by(bug)
