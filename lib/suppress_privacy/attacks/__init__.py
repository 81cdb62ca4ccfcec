"""Attacks, each told apart from the rest by what it sees; importing a module here enters its attacks."""

from suppress_privacy.attacks import (  # noqa: F401  they enter themselves
    analytic,
    decoder,
    gradients,
    inversion,
    matching,
    membership,
    perceptron,
    trivial,
    tuned,
)
from suppress_privacy.attacks.registry import ATTACKS, Attack, attack

__all__ = ["ATTACKS", "Attack", "attack"]
