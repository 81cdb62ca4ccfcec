"""Validity gates (Carlini et al. 2019): what must hold before a failed attack may count as protection.

Each is a function from what was measured to a Gate. One that fails turns every word about protection into
"attack too weak".

Examples:
    >>> from suppress_privacy.evaluation.intervals import Estimate
    >>> above, below = Estimate(0.72, 0.70, 0.74, 500), Estimate(-0.1, -0.2, 0.0, 500)
    >>> beats_the_mean_image(above)
    Gate(name='tuned-beats-mean', asked='lower end of skill on the ordinary model above 0', found=0.7, passed=True, ...)
    >>> first_layer = near_perfect_at_conv1(Estimate(41.0, 40.0, 42.0, 500))
    >>> gates = [shuffled_learns_nothing(below), first_layer, beats_the_mean_image(below)]
    >>> [gate.passed for gate in gates]
    [True, True, False]
    >>> weaknesses(gates)["features"]  # what an attack that failed cannot be taken for, then
    'attack too weak: tuned-beats-mean, tuned-beats-its-start'
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np

from suppress_privacy.evaluation.intervals import Estimate

CONV1_PSNR = 30.0  # dB
FALLING = 0.99  #: share of images
MATCHED = 0.003  #: of accuracy
AGREES = 0.05  #: of skill
CANARIES_FOUND = 0.7  #: area under the ROC
MEMORISED = 0.9  #: the same, of a network that knows all its images by heart
EXACT = 1e-4  #: relative error
SIGMOID_PSNR = 25.0  #: dB
SENT = 0.5  #: share of images
# By what attacks see: what must have been decided before a word about protection from them; what is asked of single
# models comes on top.
REQUIRED = {
    "features": ("tuned-beats-mean", "tuned-beats-its-start", "conv1-near-perfect", "shuffled-no-better"),
    "gradients": ("analytic-exact", "dlg-on-sigmoids", "another-gradient-no-better", "another-gradient-found"),
    "outputs": ("canaries-found", "memorised-found", "coins-shuffled", "blind-at-chance"),
}


@dataclass(frozen=True)
class Gate:
    """One condition: what was asked, what was found, and whether it passed."""

    name: str
    asked: str
    found: float
    passed: bool
    about: str = ""  #: the model it was decided on, if on one alone
    title: str = ""  #: of that model, for the reader
    of_model: bool = False  #: whether it asks that model to be what it should be; if not, the attacks
    sees: str = "features"  #: by the attacks

    def __str__(self) -> str:
        return f"{self.name} of {self.title or self.about}" if self.about else self.name

    def of_strength(self) -> bool:
        """Whether it asks if the attacks are strong; what else is asked are sanity checks, which sound code passes."""
        return self.name in REQUIRED.get(self.sees, ())


def weaknesses(gates: Sequence[Gate]) -> dict[str, str]:
    """By what attacks see: why their failure cannot count as protection; nothing where it can."""
    found: dict[str, str] = {}
    for sees, names in REQUIRED.items():
        own = [gate for gate in gates if gate.sees == sees and not gate.of_model]
        weak = [str(gate) for gate in own if not gate.passed]
        weak += [name for name in names if name not in {gate.name for gate in own}]
        found |= {sees: f"attack too weak: {', '.join(weak)}"} if weak else {}
    return found


def beats_the_mean_image(skill: Estimate) -> Gate:
    """The tuned attack on the undefended model: its interval of skill lies above 0."""
    return Gate("tuned-beats-mean", "lower end of skill on the ordinary model above 0", skill.low, skill.low > 0)


def near_perfect_at_conv1(psnr: Estimate, layer: str = "conv1") -> Gate:
    """The positive control: features of the first layer, or of another so near to the image, give it back."""
    asked = f"lower end of PSNR at {layer} above {CONV1_PSNR:g} dB"
    return Gate("conv1-near-perfect", asked, psnr.low, psnr.low > CONV1_PSNR)


def shuffled_learns_nothing(skill: Estimate) -> Gate:
    """The negative control: features of other images do no better than the mean image."""
    return Gate("shuffled-no-better", "lower end of skill from shuffled features at most 0", skill.low, skill.low <= 0)


def canaries_are_found(area: Estimate) -> Gate:
    """The attack finds images with wrong labels in an undefended network; `area` is under the ROC, over victims.

    Examples:
        >>> canaries_are_found(Estimate(0.9, 0.85, 0.95, 100)).passed
        True
    """
    asked = f"lower end of the area under the ROC on canaries above {CANARIES_FOUND:g}"
    return Gate("canaries-found", asked, area.low, area.low > CANARIES_FOUND, sees="outputs")


def memorised_is_found(area: Estimate) -> Gate:
    """The positive control: members of a network that has learnt random labels by heart are found.

    Examples:
        >>> memorised_is_found(Estimate(0.95, 0.92, 0.98, 100)).passed
        True
    """
    asked = f"lower end of the area under the ROC on a network that memorises above {MEMORISED:g}"
    return Gate("memorised-found", asked, area.low, area.low > MEMORISED, sees="outputs")


def shuffled_coins_find_nothing(area: Estimate) -> Gate:
    """The negative control: an attack that learnt from the wrong members finds as many as chance.

    Examples:
        >>> shuffled_coins_find_nothing(Estimate(0.51, 0.48, 0.54, 100)).passed
        True
    """
    asked = "interval of the area under the ROC from shuffled coins holds 0.5"
    return Gate("coins-shuffled", asked, area.mean, area.low <= 0.5 <= area.high, sees="outputs")


def blind_finds_nothing(area: Estimate) -> Gate:
    """Members and others do not differ before anything is trained: who sees no network finds as many as chance.

    Examples:
        >>> blind_finds_nothing(Estimate(0.56, 0.53, 0.59, 100)).passed
        False
    """
    asked = "interval of the area under the ROC without a network holds 0.5"
    return Gate("blind-at-chance", asked, area.mean, area.low <= 0.5 <= area.high, sees="outputs")


OF_GAMES: dict[str, Callable[[Estimate], Gate]] = {
    "canaries-found": canaries_are_found,
    "memorised-found": memorised_is_found,
    "coins-shuffled": shuffled_coins_find_nothing,
    "blind-at-chance": blind_finds_nothing,
}


def objective_fell(curve: np.ndarray) -> np.ndarray:
    """Whether more steps lowered the objective and never raised it: bool [N]; curve [K, N], a look a row.

    What is kept is the best so far, so that only a descent that goes nowhere, or to what is no number, fails; one
    that starts at zero has nowhere to go.

    Examples:
        >>> objective_fell(np.array([[1.0, 1.0], [0.4, 1.0], [0.2, 1.0]])).tolist()  # two images, three looks
        [True, False]
    """
    return np.all(curve[1:] <= curve[:-1], axis=0) & ((curve[-1] < curve[0]) | (curve[0] == 0))


def objective_falls(about: str, fell: np.ndarray) -> Gate:
    """Nearly every descent on a model got somewhere; fell of `objective_fell`, [S, N].

    Examples:
        >>> objective_falls("ordinary", np.array([[True, True, False]])).passed
        False
    """
    share = float(np.mean(fell))
    asked = f"share of images whose objective falls at least {FALLING:g}"
    return Gate("objective", asked, share, share >= FALLING, about)


def beats_its_start(difference: Estimate) -> Gate:
    """The descent adds to the decoder it starts from: its interval of the paired difference in skill lies above 0.

    Examples:
        >>> beats_its_start(Estimate(0.02, 0.01, 0.03, 500)).passed
        True
    """
    asked = "lower end of skill minus the ridge decoder's above 0"
    return Gate("tuned-beats-its-start", asked, difference.low, difference.low > 0)


def decoder_beats_ridge(about: str, difference: Estimate) -> Gate:
    """A model's decoder network has learned more than a line can: its paired difference in skill lies above 0.

    Examples:
        >>> decoder_beats_ridge("ordinary", Estimate(0.02, -0.01, 0.05, 500)).passed
        False
    """
    asked = "lower end of the decoder network's skill minus ridge regression's above 0"
    return Gate("decoder-beats-ridge", asked, difference.low, difference.low > 0, about)


def held_out_agrees(about: str, held_out: Sequence[float], targets: Sequence[float]) -> Gate:
    """A decoder is as good on private test images as on those that its settings were chosen on, over the seeds.

    Examples:
        >>> held_out_agrees("ordinary", held_out=[0.71, 0.72], targets=[0.70, 0.71]).passed
        True
    """
    apart = float(np.mean(targets) - np.mean(held_out))
    asked = f"skill on private test images within {AGREES:g} of that on held-out ones"
    return Gate("held-out-agrees", asked, apart, abs(apart) <= AGREES, about)


def analytic_is_exact(errors: np.ndarray) -> Gate:
    """A positive control: a network whose first dense layer sees the image gives every one back.

    Args:
        errors: relative, of any shape.

    Examples:
        >>> analytic_is_exact(np.array([1e-6, 1e-5])).passed
        True
    """
    worst = float(np.max(errors))
    asked = f"largest relative error of planted inputs at most {EXACT:g}"
    return Gate("analytic-exact", asked, worst, worst <= EXACT, sees="gradients")


def sigmoids_give_in(psnr: Estimate | None) -> Gate:
    """A positive control: DLG finds what an untrained network of sigmoids was given; None: it failed for most.

    Examples:
        >>> sigmoids_give_in(Estimate(38.0, 35.0, 41.0, 10)).passed
        True
    """
    asked = f"lower end of PSNR on the network of sigmoids above {SIGMOID_PSNR:g} dB"
    low = psnr.low if psnr else 0.0
    return Gate("dlg-on-sigmoids", asked, low, low > SIGMOID_PSNR, sees="gradients")


def another_gradient_hides(rank1: Estimate, others: int) -> Gate:
    """A negative control: from another image's gradient no better than one in `others` and the target is identified.

    Examples:
        >>> another_gradient_hides(Estimate(0.0, 0.0, 0.1, 10), others=1000).passed
        True
    """
    chance = 1 / (1 + others)
    asked = f"lower end of identified targets, from another image's gradient, at most chance ({chance:.3g})"
    return Gate("another-gradient-no-better", asked, rank1.low, rank1.low <= chance, sees="gradients")


def another_gradient_shows(rank1: Estimate) -> Gate:
    """Of the same control the other side: the image whose gradient it is is identified.

    Examples:
        >>> another_gradient_shows(Estimate(1.0, 0.7, 1.0, 10)).passed
        True
    """
    asked = f"lower end of identified images, whose gradient was sent, above {SENT:g}"
    return Gate("another-gradient-found", asked, rank1.low, rank1.low > SENT, sees="gradients")


def matches(about: str, accuracies: Sequence[float], wanted: Sequence[float]) -> Gate:
    """A control that is to be as accurate as another model is so, seed by seed.

    Examples:
        >>> matches("control", accuracies=[0.980, 0.981], wanted=[0.981, 0.985]).passed  # seed by seed
        False
    """
    worst = max((abs(one - other) for one, other in zip(accuracies, wanted, strict=True)))
    asked = f"test accuracy within {MATCHED:g} of the one to match"
    return Gate("matched", asked, float(worst), worst <= MATCHED, about, of_model=True)


def matches_on_average(about: str, accuracies: Sequence[float], wanted: Sequence[float]) -> Gate:
    """A control whose settings were chosen for all seeds at once is as accurate as another model in their mean.

    Examples:
        >>> matches_on_average("control", accuracies=[0.980, 0.981], wanted=[0.981, 0.985]).passed
        True
    """
    off = abs(fmean(accuracies) - fmean(wanted))
    asked = f"mean test accuracy within {MATCHED:g} of the one to match"
    return Gate("matched-on-average", asked, off, off <= MATCHED, about, of_model=True)


def accuracy_inside(about: str, accuracies: Sequence[float], band: tuple[float, float]) -> Gate:
    """Every seed's test accuracy lies in a stated band, ends included.

    Examples:
        >>> accuracy_inside("ordinary", [0.985, 0.988], band=(0.98, 0.995)).passed
        True
    """
    return _inside("accuracy", about, "test accuracy", accuracies, band)


def sparsity_inside(about: str, shares: Sequence[float], band: tuple[float, float]) -> Gate:
    """Every seed's share of zeros, weight matrix by weight matrix, lies in a stated band, ends included.

    Examples:
        >>> sparsity_inside("suppressed", [0.90, 0.95], band=(0.93, 0.95)).passed
        False
    """
    return _inside("sparsity", about, "zeros in each weight matrix", shares, band)


def _inside(name: str, about: str, what: str, values: Sequence[float], band: tuple[float, float]) -> Gate:
    low, high = band
    worst = float(max(values, key=lambda value: max(low - value, value - high)))
    return Gate(name, f"{what} from {low:g} to {high:g}", worst, low <= worst <= high, about, of_model=True)
