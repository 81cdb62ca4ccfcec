"""What describes a defence: its settings, checked when they are given, and the name they are found by."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, ClassVar, TypeVar, get_type_hints

from mindspore import nn

from suppress_privacy.checks import check
from suppress_privacy.training import Defence, Plan


@dataclass(frozen=True)
class CheckedFields:
    """A dataclass whose fields are checked by their annotations when it is made.

    Raises:
        TypeError, ValueError: a field is not what its annotation allows.
    """

    def __post_init__(self) -> None:
        annotations = get_type_hints(type(self), include_extras=True)
        for each in fields(self):
            check(each.name, getattr(self, each.name), annotations[each.name])


@dataclass(frozen=True, kw_only=True)
class DefenceSettings(CheckedFields, ABC):
    """One kind of defence, as far as it can be described before there is a network; see `defence`."""

    kind: ClassVar[str]  # the name it is registered under
    starts_trained: ClassVar[bool] = False  # it acts on a network that has been trained
    trains: ClassVar[bool] = True  # there can be training under it

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

    def released(self, facts: dict[str, Any]) -> Defence:
        """The defence on a finished network, from the `facts` that it gave when it was made for it."""
        return Defence()


S = TypeVar("S", bound=DefenceSettings)
DEFENCES: dict[str, type[DefenceSettings]] = {}


def defence(kind: str) -> Callable[[type[S]], type[S]]:
    """Register a kind of defence by its settings: `@defence("suppress")` above their `@dataclass`."""

    def register(settings: type[S]) -> type[S]:
        settings.kind = kind
        DEFENCES[kind] = settings
        return settings

    return register
