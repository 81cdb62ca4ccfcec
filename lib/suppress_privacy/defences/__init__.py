"""Defences by the name that study.yaml gives as their `kind`; feature noise acts after training, see `noise`."""

from suppress_privacy.defences import dpsgd, pruning, suppress

DEFENCES = {
    "suppress": suppress.from_settings,
    "random-mask": pruning.random_from_settings,
    "magnitude": pruning.magnitude_from_settings,
    "dpsgd": dpsgd.from_settings,
}
