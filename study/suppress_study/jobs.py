"""What there is to do: models, attacks where they look and with their settings, and the jobs that make runs of them."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from suppress_study.results import Run
from suppress_study.settings import Value

AT = r"(@-?[0-9]+(\.[0-9]+)?(e[+-][0-9]+)?)?"  # a number as Python writes it
# What a job's name is made of, for Snakemake, which finds jobs by the names of their files.
WILDCARDS = {"arm": "[a-z][a-z0-9-]*", "value": AT, "seed": "[0-9]+", "group": "(-[a-z][a-z0-9]*)?", "game": "[a-z]+"}
NONE = "none"  # the arm of an attack that looks at no model
PLACES = {"features": "depth", "gallery": "depth", "gradients": "moment"}  # where it looks, by what it sees
WEAKER = ("auxiliary", "auxiliary_kind", "known")  # what an attacker may have less of, where it is said
OF_GRADIENTS = ("sent", "batch_size", "another", "network")  # what else says how: parts of `Sees`, and of `Variant`


@dataclass(frozen=True, order=True)
class Model:
    """One network of the plan: an arm, at a value of its sweep if not its own, from one seed."""

    arm: str
    seed: int
    value: float | None = None

    @property
    def kind(self) -> str:
        """What it is whatever its seed."""
        # The shortest text that is this number and no other.
        return self.arm if self.value is None else f"{self.arm}@{str(float(self.value)).removesuffix('.0')}"

    def __str__(self) -> str:
        return f"{self.kind}-seed{self.seed}"


@dataclass(frozen=True)
class Variant:
    """An attack where it looks and with the settings it has: one cell of the plan."""

    attack: str
    kind: str
    title: str
    sees: str
    factors: dict[str, Value]  # depth or moment, and the settings that are swept
    settings: dict[str, Any]  # all of them, as the attack's function takes them
    images_per_class: int = 1
    candidates: int = 0
    sent: str = "masked"
    batch_size: int = 1
    another: bool = False
    network: str = ""

    def __str__(self) -> str:
        return "-".join([self.attack, *map(str, self.factors.values())])

    @property
    def alone(self) -> bool:
        """Whether it looks at none of the study's models, and so runs once."""
        return self.sees == "nothing" or self.network != ""

    def seen(self) -> str:
        """What the attacker has, in words: "features at fc1"."""
        places = dict.fromkeys(PLACES.values())
        return " at ".join([self.sees, *(str(self.factors[name]) for name in places if name in self.factors)])

    def columns(self) -> dict[str, Value]:
        """What tells this attack from others."""
        return {"attack": self.attack, **self.factors}

    def recipe(self) -> dict[str, Any]:
        """What decides the outcome of this attack on a model."""
        own = {"kind": self.kind, "sees": self.sees, **self.factors, "settings": self.settings}
        of_view = {"gradients": ("images_per_class",), "outputs": ("candidates",)}.get(self.sees, ())
        # What is as ever is left out, for runs made before it could be otherwise.
        changed = [name for name in OF_GRADIENTS if getattr(self, name) != getattr(Variant, name)]
        return own | {name: getattr(self, name) for name in (*of_view, *changed)}


def in_game(variant: Variant, game: str) -> Variant:
    """An attack as it is run in a game, whose models are each other's shadows: it trains none."""
    settings = variant.settings | ({"shadows": 0} if "shadows" in variant.settings else {})
    return replace(variant, factors=variant.factors | {"game": game}, candidates=0, settings=settings)


def parted(values: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Values that an attack is swept over, those of what it sees apart from those of its settings."""
    seen = {name: value for name, value in values.items() if name in OF_GRADIENTS}
    return {"sees": seen, "settings": {name: value for name, value in values.items() if name not in seen}}


@dataclass(frozen=True)
class Job:
    """Runs that are made together: the training of a model, or a group of attacks on it."""

    kind: str  # train, attack or coins
    model: Model
    group: str  # of attacks; or the game
    runs: tuple[Run, ...]  # still to be made; of attacks in the order of their variants, and the mechanism last
    variants: tuple[Variant, ...] = ()

    def __str__(self) -> str:
        if self.kind == "coins":
            return f"coins-{self.group}-{self.model.kind}"
        return f"{self.kind}-{self.model}{self.group and f'-{self.group}'}"
