"""Attacks by the name that study.yaml gives as their `kind`."""

from suppress_privacy.attacks import floors, inversion

ATTACKS = {
    "floor-black": floors.black,
    "floor-mean": floors.mean,
    "inversion": inversion.invert,
}
