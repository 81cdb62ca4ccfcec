"""Validity gates (Carlini et al. 2019): what must hold before a failed attack may count as protection.

Each is a function from what was measured to a Gate. One that fails turns every word about protection into
"attack too weak".
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from suppress_privacy.evaluation.intervals import Estimate

CONV1_PSNR = 30.0  # dB
FALLING = 0.99  # share of images
MATCHED = 0.003  # of accuracy
AGREES = 0.05  # of skill
# What must have been decided before a word about protection; what is asked of single models comes on top.
REQUIRED = ("tuned-beats-mean", "tuned-beats-its-start", "conv1-near-perfect", "shuffled-no-better")


@dataclass(frozen=True)
class Gate:
    """One condition: what was asked, what was found, and whether it passed."""

    name: str
    asked: str
    found: float
    passed: bool
    about: str = ""  # the model it was decided on, if on one alone
    title: str = ""  # of that model, for the reader
    of_model: bool = False  # whether it asks that model to be what it should be; if not, the attacks

    def __str__(self) -> str:
        return f"{self.name} of {self.title or self.about}" if self.about else self.name

    def of_strength(self) -> bool:
        """Whether it asks if the attacks are strong; what else is asked are sanity checks, which sound code passes."""
        return self.name in REQUIRED


def beats_the_mean_image(skill: Estimate) -> Gate:
    """The tuned attack on the undefended model: its interval of skill lies above 0."""
    return Gate("tuned-beats-mean", "lower end of skill on the ordinary model above 0", skill.low, skill.low > 0)


def near_perfect_at_conv1(psnr: Estimate) -> Gate:
    """The positive control: the first layer's features give the image back."""
    asked = f"lower end of PSNR at conv1 above {CONV1_PSNR:g} dB"
    return Gate("conv1-near-perfect", asked, psnr.low, psnr.low > CONV1_PSNR)


def shuffled_learns_nothing(skill: Estimate) -> Gate:
    """The negative control: features of other images do no better than the mean image."""
    return Gate("shuffled-no-better", "lower end of skill from shuffled features at most 0", skill.low, skill.low <= 0)


def objective_fell(curve: np.ndarray) -> np.ndarray:
    """Whether more steps lowered the objective and never raised it: bool [N]; curve [K, N], a look a row.

    What is kept is the best so far, so that only a descent that goes nowhere, or to what is no number, fails; one
    that starts at zero has nowhere to go.
    """
    return np.all(curve[1:] <= curve[:-1], axis=0) & ((curve[-1] < curve[0]) | (curve[0] == 0))


def objective_falls(about: str, fell: np.ndarray) -> Gate:
    """Nearly every descent on a model got somewhere; fell of `objective_fell`, [S, N]."""
    share = float(np.mean(fell))
    asked = f"share of images whose objective falls at least {FALLING:g}"
    return Gate("objective", asked, share, share >= FALLING, about)


def beats_its_start(difference: Estimate) -> Gate:
    """The descent adds to the decoder it starts from: its interval of the paired difference in skill lies above 0."""
    asked = "lower end of skill minus the ridge decoder's above 0"
    return Gate("tuned-beats-its-start", asked, difference.low, difference.low > 0)


def decoder_beats_ridge(about: str, difference: Estimate) -> Gate:
    """A model's decoder network has learned more than a line can: its paired difference in skill lies above 0."""
    asked = "lower end of the decoder network's skill minus ridge regression's above 0"
    return Gate("decoder-beats-ridge", asked, difference.low, difference.low > 0, about)


def held_out_agrees(about: str, held_out: Sequence[float], targets: Sequence[float]) -> Gate:
    """A decoder is as good on private test images as on those that its settings were chosen on, over the seeds."""
    apart = float(np.mean(targets) - np.mean(held_out))
    asked = f"skill on private test images within {AGREES:g} of that on held-out ones"
    return Gate("held-out-agrees", asked, apart, abs(apart) <= AGREES, about)


def matches(about: str, accuracies: Sequence[float], wanted: Sequence[float]) -> Gate:
    """A control that is to be as accurate as another model is so, seed by seed."""
    worst = max((abs(one - other) for one, other in zip(accuracies, wanted, strict=True)))
    asked = f"test accuracy within {MATCHED:g} of the one to match"
    return Gate("matched", asked, float(worst), worst <= MATCHED, about, of_model=True)


def accuracy_inside(about: str, accuracies: Sequence[float], band: tuple[float, float]) -> Gate:
    """Every seed's test accuracy lies in a stated band, ends included."""
    return _inside("accuracy", about, "test accuracy", accuracies, band)


def sparsity_inside(about: str, shares: Sequence[float], band: tuple[float, float]) -> Gate:
    """Every seed's share of zeros, weight matrix by weight matrix, lies in a stated band, ends included."""
    return _inside("sparsity", about, "zeros in each weight matrix", shares, band)


def _inside(name: str, about: str, what: str, values: Sequence[float], band: tuple[float, float]) -> Gate:
    low, high = band
    worst = float(max(values, key=lambda value: max(low - value, value - high)))
    return Gate(name, f"{what} from {low:g} to {high:g}", worst, low <= worst <= high, about, of_model=True)
