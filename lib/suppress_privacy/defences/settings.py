"""What describes a defence: its settings, checked when they are given, and the name they are found by."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from mindspore import nn

from suppress_privacy.checks import CheckedFields
from suppress_privacy.training import Defence, Facts, Plan


@dataclass(frozen=True, kw_only=True)
class DefenceSettings(CheckedFields, ABC):
    """One kind of defence, as far as it can be described before there is a network::

        @dataclass(frozen=True, kw_only=True)
        class Suppression(DefenceSettings, kind="suppress"): ...

    enters it into `DEFENCES` under that name.

    Examples:
        >>> import suppress_privacy.defences.noise
        >>> DEFENCES["feature-noise"](depth="conv1").releases
        'conv1'
    """

    kind: ClassVar[str]  #: the name it is found by in `DEFENCES`
    starts_trained: ClassVar[bool] = False  #: it acts on a network that has been trained
    trains: ClassVar[bool] = True  #: there can be training under it

    def __init_subclass__(cls, *, kind: str) -> None:
        if kind in DEFENCES:
            raise ValueError(f"kind is {kind!r}, a defence of {DEFENCES[kind].__module__} already: take another.")
        cls.kind = kind
        DEFENCES[kind] = cls

    @property
    def releases(self) -> str | None:
        """The one depth whose features leave the user's device under it; any, and all else, if None."""
        return None

    def fits(self, epochs: int, lr: float) -> None:
        """Check that the defence can act in a training of so many epochs at that learning rate.

        Raises:
            ValueError: it cannot.
        """
        if epochs and not self.trains:
            raise ValueError(f"epochs is {epochs}; {self.kind} needs no training: make it 0.")

    @abstractmethod
    def make(self, network: nn.Cell, plan: Plan) -> Defence:
        """The defence of one network in one training; what acts at once has then acted on the network."""

    def sender(self, network: nn.Cell) -> Defence:
        """What acts on a network's gradients before they leave the device; the network as at a moment of training.

        Raises:
            ValueError: what it does cannot be told from the network.
        """
        return Defence()

    def released(self, facts: Facts) -> Defence:
        """The defence on a finished network, from the `facts` that it gave when it was made for it."""
        return Defence()


DEFENCES: dict[str, type[DefenceSettings]] = {}
