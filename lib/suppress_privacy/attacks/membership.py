"""Membership inference: was this image among those the network was trained on? Higher scores say yes.

phi = log(p / (1 - p)), p the probability that a network gives an image's label, wrong as that may be. All scores are
functions of it; mu and s are over shadow networks, trained with the image and without it::

    loss    phi, which orders images as -loss = -log(1 + exp(-phi)) does     (Yeom et al. 2018)
    LiRA    log N(phi; mu_in, s_in) - log N(phi; mu_out, s_out)              (Carlini et al. 2022, online)
    RMIA    P_z( r(x) >= gamma r(z) ),  r(x) = p(x) / pr(x),
            pr(x) = (mean_in p(x) + mean_out p(x)) / 2                       (Zarifzadeh et al. 2024, online)
    blind   the best linear guess from pixels and label, without any network

"Blind baselines beat membership inference attacks" (Das et al. 2024): where blind finds members, they are not alike
in kind, and what others find there is no leak.
"""

from typing import Annotated, Literal

import numpy as np
from scipy.special import expit
from scipy.stats import norm

from suppress_privacy.attacks.registry import attack
from suppress_privacy.attacks.views import BlindView, CoinView, MembershipView
from suppress_privacy.checks import Bounds, Positive, Seed
from suppress_privacy.runtime import generator

LEAST_SPREAD = 1e-3  #: of phi, where shadows agree to rounding
TINY = 1e-300  #: below any probability that matters; keeps its logarithm finite
FEW = 64  #: shadows below which the spread is pooled over images, as Carlini et al. 2022 advise
Shadows = Literal[0] | Annotated[int, Bounds(at_least=4, multiple_of=2)]  # to train; 0: those that are there


@attack("loss", sees="outputs")
def loss_threshold(view: MembershipView | CoinView, *, seed: Seed) -> np.ndarray:
    """Scores by the victim alone, float64 [Q]; the seed is not used.

    Examples:
        >>> from suppress_privacy.attacks.views import BlindView, CoinView, Shadows
        >>> rng = np.random.default_rng(0)
        >>> member = rng.random((9, 50)) < 0.5  # who was in the training of the victim, and of eight shadows
        >>> phi = rng.normal(0, 1, (9, 50)) + 4 * member  # members are given their labels with more confidence
        >>> game = CoinView(phi[0], np.arange(50), Shadows(phi[1:], member[1:]))
        >>> scores = loss_threshold(game, seed=0)
        >>> bool(scores[member[0]].mean() > scores[~member[0]].mean())
        True
    """
    return view.phi[view.candidates]


@attack("lira", sees="outputs")
def lira(view: MembershipView | CoinView, *, seed: Seed, shadows: Shadows = 0, shuffled: bool = False) -> np.ndarray:
    """Scores by the likelihood ratio, float64 [Q].

    Args:
        view: what the attacker has.
        seed: draws who is in which shadow's training, and seeds the shadows.
        shadows: networks to train; 0 takes those that the view has.
        shuffled: a negative control: each shadow's members are others than it was trained on, so that there is
            nothing to learn from them.

    Examples:
        >>> scores = lira(game, seed=0)
        >>> bool(scores[member[0]].mean() > scores[~member[0]].mean())
        True
    """
    others = view.shadows(shadows, seed)
    member = others.member
    if shuffled:
        member = generator(seed, "shuffled coins").permuted(member, axis=1)
    return likelihood_ratio(view.phi, others.phi, member)[view.candidates]


def likelihood_ratio(observed: np.ndarray, phi: np.ndarray, member: np.ndarray) -> np.ndarray:
    """The log of how much likelier it is that an image was in training, float64 [N].

    Args:
        observed: float64 [N], the victim's phi.
        phi: float64 [S, N], the shadows'.
        member: bool [S, N], who was in the training of which.

    An image that no shadow has on one side is taken to be as far from there as images are on average.
    """
    inside, outside = (mean_where(phi, side) for side in (member, ~member))
    gap = np.nanmean(inside - outside)
    sides = (
        (np.where(np.isnan(inside), outside + gap, inside), member),
        (np.where(np.isnan(outside), inside - gap, outside), ~member),
    )
    of_in, of_out = (norm.logpdf(observed, means, _spread(phi - means, side)) for means, side in sides)
    return of_in - of_out


def mean_where(values: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """The mean of each column over chosen rows, float64 [N]; NaN where there is none."""
    with np.errstate(invalid="ignore"):
        return np.where(chosen, values, 0).sum(0) / chosen.sum(0)


def _spread(deviations: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """Of each image, or where shadows are few of all images together: float64 [N] or one number."""
    squares = np.where(chosen, deviations**2, 0)
    pooled = np.sqrt(squares.sum() / chosen.sum())
    if len(chosen) < FEW:
        return np.maximum(pooled, LEAST_SPREAD)
    with np.errstate(invalid="ignore"):
        own = np.sqrt(squares.sum(0) / chosen.sum(0))
    return np.maximum(np.where(chosen.any(0), own, pooled), LEAST_SPREAD)


@attack("rmia", sees="outputs")
def rmia(view: MembershipView | CoinView, *, seed: Seed, shadows: Shadows = 0, gamma: Positive = 1.0) -> np.ndarray:
    """Scores by the share of images z that an image beats, float64 [Q], in (0, 1].

    The online variant: shadows with the image and without it. z are all images that the attacker owns, the one in
    question too: were they others, all that beat every z would tie. At gamma 1 the order is that of r(x) itself.

    Args:
        view, seed, shadows: as `lira` takes them.
        gamma: by how much to beat z.

    Examples:
        >>> scores = rmia(game, seed=0)
        >>> bool(scores[member[0]].mean() > scores[~member[0]].mean())
        True
    """
    others = view.shadows(shadows, seed)
    ratio = log_relative_probability(view.phi, others.phi, others.member)
    beaten = np.searchsorted(np.sort(ratio), ratio - np.log(gamma), side="right") / len(ratio)
    return beaten[view.candidates]


def log_relative_probability(observed: np.ndarray, phi: np.ndarray, member: np.ndarray) -> np.ndarray:
    """log r(x) of RMIA, float64 [N]; arguments as `likelihood_ratio`.

    Where an image has shadows on one side alone, that side's mean stands for both.
    """
    # Near 1 by what is missing to it: its own logarithm would be lost to rounding there.
    of_label, of_others = (
        np.nanmean([mean_where(expit(sign * phi), side) for side in (member, ~member)], axis=0) for sign in (1, -1)
    )
    reference = np.where(of_label < 0.5, np.log(np.maximum(of_label, TINY)), np.log1p(-np.minimum(of_others, 0.5)))
    return -np.logaddexp(0, -observed) - reference


@attack("blind", sees="images")
def blind(view: BlindView, *, seed: Seed, penalty: Positive = 0.01) -> np.ndarray:
    """Scores by ridge regression of membership on pixels and label, float64 [Q]; the seed is not used.

    Args:
        view: what the attacker has.
        seed: unused.
        penalty: on squared weights, in units of the pixels' mean square times the number of images.

    Examples:
        >>> seen = BlindView(known, known_labels, known_labels > 4, images, labels)  # members look different here
        >>> scores = blind(seen, seed=0)
        >>> bool(scores[labels > 4].min() > scores[labels <= 4].max())
        True
    """
    classes = int(max(view.known_labels.max(), view.labels.max())) + 1
    known, asked = (
        np.hstack([images.reshape(len(images), -1), np.eye(classes, dtype=images.dtype)[labels]])
        for images, labels in ((view.known, view.known_labels), (view.images, view.labels))
    )
    middle = known.mean(0)
    centred = known - middle
    gram = centred.T @ centred
    weighted = centred.T @ (view.known_member - view.known_member.mean()).astype(known.dtype)
    weights = np.linalg.solve(gram + penalty * np.trace(gram) / len(gram) * np.eye(len(gram)), weighted)
    return ((asked - middle) @ weights).astype(np.float64)
