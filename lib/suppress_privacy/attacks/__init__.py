"""Attacks, each told apart from the rest by what it sees; importing a module here enters its attacks."""

from suppress_privacy.attacks import analytic, decoder, gradients, inversion, membership, trivial, tuned  # noqa: F401
from suppress_privacy.attacks.registry import ATTACKS, Attack, attack

__all__ = ["ATTACKS", "Attack", "attack"]
