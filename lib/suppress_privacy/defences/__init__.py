"""Defences by name. A new one is a module here, with its settings, which enter themselves, and its import."""

from suppress_privacy.defences import dpsgd, noise, pruning, suppress  # noqa: F401  they register themselves
from suppress_privacy.defences.settings import DEFENCES, DefenceSettings

__all__ = ["DEFENCES", "DefenceSettings"]
