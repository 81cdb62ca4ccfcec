"""Membership inference: was this image among those the network was trained on? Higher scores say yes.

loss    -cross-entropy(f(x), y)                                       (Yeom et al. 2018)
LiRA    log N(phi; mu_in, s_in) - log N(phi; mu_out, s_out),
        phi = log(p_y / (1 - p_y)), mu and s over shadow networks trained with x and without it
                                                                      (Carlini et al. 2022, online)
"""

from typing import Annotated

import numpy as np
from scipy.special import log_softmax, logsumexp
from scipy.stats import norm
from tqdm import tqdm

from suppress_privacy.attacks.registry import attack
from suppress_privacy.attacks.views import MembershipView
from suppress_privacy.checks import Bounds, Seed
from suppress_privacy.runtime import generator

LEAST_SPREAD = 1e-3  # of phi, where shadows agree to rounding


@attack("loss", sees="outputs")
def loss_threshold(view: MembershipView, *, seed: Seed) -> np.ndarray:
    """Scores by the victim's loss alone, float64 [Q]; the seed is not used."""
    losses = -log_softmax(view.logits.astype(np.float64), axis=1)[np.arange(len(view.labels)), view.labels]
    return -losses[view.candidates]


@attack("lira", sees="outputs")
def lira(view: MembershipView, *, seed: Seed, shadows: Annotated[int, Bounds(at_least=4, multiple_of=2)]) -> np.ndarray:
    """Scores by the likelihood ratio, float64 [Q].

    Every image is in the training of exactly half the shadows. With few of them the spread of phi cannot be
    told image by image: it is pooled over images, once for members and once for the others, as the paper
    advises.

    Args:
        view: what the attacker has.
        seed: draws who is in which shadow's training, and seeds the shadows.
        shadows: networks to train.
    """
    count = len(view.labels)
    rng = generator(seed, "shadow membership")
    # In pairs: an image is in one of the two, so in half of all.
    first_of_pair = np.stack([rng.permutation(count) < count // 2 for _ in range(shadows // 2)])
    member = np.concatenate([first_of_pair, ~first_of_pair])  # [S, N]
    seeds = rng.integers(0, 2**31, shadows)
    shadow = tqdm(list(zip(member, seeds, strict=True)), unit="shadow", disable=None)
    logits = (view.train(np.flatnonzero(inside), int(own)) for inside, own in shadow)
    confidence = np.stack([scaled_confidence(each, view.labels) for each in logits])  # [S, N]
    likelihood = []
    observed = scaled_confidence(view.logits, view.labels)
    for inside in (member, ~member):
        values = np.where(inside, confidence, np.nan)
        means = np.nanmean(values, axis=0)
        spread = max(float(np.sqrt(np.nanmean((values - means) ** 2))), LEAST_SPREAD)
        likelihood.append(norm.logpdf(observed, means, spread))
    return (likelihood[0] - likelihood[1])[view.candidates]


def scaled_confidence(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """phi = log(p / (1 - p)) of the true class, from logits without overflow: float64 [N]."""
    logits = logits.astype(np.float64)
    rows = np.arange(len(labels))
    others = logits.copy()
    others[rows, labels] = -np.inf
    return logits[rows, labels] - logsumexp(others, axis=1)
