"""Validity gates (Carlini et al. 2019): what must hold before a failed attack may count as protection.

Each is a function from what was measured to a Gate. One that fails turns every word about protection into
"attack too weak".
"""

from dataclasses import dataclass

import numpy as np

CONV1_PSNR = 30.0  # dB


@dataclass(frozen=True)
class Gate:
    """One condition: what was asked, what was found, and whether it passed."""

    name: str
    asked: str
    found: float
    passed: bool


def beats_the_mean_image(skill):
    """The tuned attack on the undefended model: its interval of skill lies above 0."""
    return Gate("tuned-beats-mean", "lower end of skill on the ordinary model above 0", skill.low, skill.low > 0)


def near_perfect_at_conv1(psnr):
    """The positive control: the first layer's features give the image back."""
    return Gate("conv1-near-perfect", f"PSNR at conv1 above {CONV1_PSNR:g} dB", psnr.mean, psnr.mean > CONV1_PSNR)


def shuffled_learns_nothing(skill):
    """The negative control: features of other images do no better than the mean image."""
    return Gate("shuffled-no-better", "lower end of skill from shuffled features at most 0", skill.low, skill.low <= 0)


def objective_never_rises(name, curves):
    """More steps never raise the objective; curves [S, K, N], one row of N targets a look."""
    rise = float(np.diff(curves, axis=1).max())
    return Gate(name, "largest rise of the objective between two looks at most 0", rise, rise <= 0)


def inside_band(name, what, values, band):
    """Every seed's value lies in a stated band, ends included."""
    low, high = band
    worst = max(values, key=lambda value: max(low - value, value - high))
    return Gate(name, f"{what} from {low:g} to {high:g}", worst, low <= worst <= high)
