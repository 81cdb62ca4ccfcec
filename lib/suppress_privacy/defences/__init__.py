"""Defences by the name that study.yaml gives as their `kind`."""

from suppress_privacy.defences import suppress

DEFENCES = {"suppress": suppress.from_settings}
