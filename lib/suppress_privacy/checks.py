"""Arguments are checked once, where they enter, by what their annotation says; each refusal is one sentence.

    @checked
    def step(batch: Annotated[int, Bounds(at_least=1), "the images a step"], mode: Literal["graph", "pynative"]): ...

    step(0, "graph")    ValueError: batch is 0; it must be an integer from 1, the images a step: correct its value.

The sentence is made from the annotation, so that a bound stands in one place. `keywords` asks the same of settings
that come as a dictionary.
"""

import inspect
import numbers
import types
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, wraps
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import numpy as np

NUMBERS = {int: numbers.Integral, float: numbers.Real}
WORDS = {int: "an integer", float: "a number", bool: "True or False", str: "text", dict: "a dictionary"}


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """Where a number, or of a list the length, may lie; NaN lies nowhere."""

    at_least: float | None = None
    above: float | None = None
    at_most: float | None = None
    below: float | None = None
    multiple_of: int = 1
    named: str = ""  # in words where the upper end comes from, if that is another argument

    def hold(self, value: float) -> bool:
        return (
            (self.at_least is None or value >= self.at_least)
            and (self.above is None or value > self.above)
            and (self.at_most is None or value <= self.at_most)
            and (self.below is None or value < self.below)
            and (self.multiple_of == 1 or value % self.multiple_of == 0)
        )

    def __str__(self) -> str:
        from_, to = self.at_least, self.at_most
        named = f"{self.named} " if self.named else ""
        upper = f"({to if self.below is None else self.below:g})" if named else f"{to if to is not None else self.below}"
        parts = [] if from_ is None else [f"from {from_:g}"]
        parts += [] if self.above is None else [f"above {self.above:g}"]
        if to is not None:
            parts += [f"to {named}{upper}"] if from_ is not None else [f"at most {named}{upper}"]
        if self.below is not None:
            parts += [f"below {named}{upper}"]
        joined = " ".join(parts) if from_ is not None and to is not None else ", ".join(parts)
        return joined + ("" if self.multiple_of == 1 else f", a multiple of {self.multiple_of}")


Whole = Annotated[int, Bounds(at_least=1)]
Seed = Annotated[int, Bounds(at_least=0)]
Positive = Annotated[float, Bounds(above=0)]
NotNegative = Annotated[float, Bounds(at_least=0)]
Share = Annotated[float, Bounds(above=0, below=1)]


def words(annotation: Any) -> str:
    """What an annotation allows, in words. A text in an `Annotated` says what a number is, or what else is meant."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        kind, *notes = arguments
        bounds = [str(note) for note in notes if isinstance(note, Bounds)]
        said = [note for note in notes if isinstance(note, str)]
        if said and kind not in NUMBERS:
            return said[0]
        return ", ".join([" ".join([words(kind), *bounds]), *said])
    if origin is Literal:
        return " or ".join(map(repr, arguments))
    if origin in (Union, types.UnionType):
        return ", or ".join(words(argument) for argument in arguments)
    if annotation is type(None):
        return "None"
    if origin in (list, tuple):
        return f"a {origin.__name__}"
    return WORDS.get(annotation) or f"a {_name(annotation)}"


def _name(annotation: Any) -> str:
    module = {"numpy": "numpy.", "mindspore": "nn."}.get(annotation.__module__.partition(".")[0], "")
    return f"{module}{annotation.__qualname__}"


def check(name: str, value: Any, annotation: Any) -> None:
    """Raise unless a value is what an annotation allows.

    Args:
        name: the parameter's, for the sentence.
        value: what was given; a bool does not pass as a number, NumPy's numbers pass as Python's.
        annotation: a type, `Literal`, `Annotated` with `Bounds` and a text, a union or a list of such; what has
            another form (a `Callable`, say) is not looked at.

    Raises:
        TypeError, ValueError: it is not of the type; it is, and lies outside what is allowed.
    """
    fault = _fault(value, annotation)
    if fault is TypeError:
        raise TypeError(f"{name} is {described(value)}; it must be {words(annotation)}: correct its type.")
    if fault is ValueError:
        raise ValueError(f"{name} is {described(value)}; it must be {words(annotation)}: correct its value.")


def _fault(value: Any, annotation: Any) -> type[Exception] | None:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        fault = _fault(value, arguments[0])
        size = len(value) if isinstance(value, list | tuple) else value
        outside = any(isinstance(note, Bounds) and not note.hold(size) for note in arguments[1:] if fault is None)
        return ValueError if outside else fault
    if origin is Literal:
        if not isinstance(value, tuple({type(argument) for argument in arguments})):
            return TypeError
        return None if value in arguments else ValueError
    if origin in (Union, types.UnionType):
        faults = [_fault(value, argument) for argument in arguments]
        return None if None in faults else ValueError if ValueError in faults else TypeError
    if origin in (list, Sequence):
        if not isinstance(value, list | tuple):
            return TypeError
        faults = [fault for each in value if (fault := _fault(each, arguments[0]))]
        return faults[0] if faults else None
    kind = type(None) if annotation is None else NUMBERS.get(annotation, annotation)
    if annotation is Any or not isinstance(kind, type):
        return None
    if isinstance(value, bool | np.bool_) and kind is not bool:
        return TypeError if kind in NUMBERS.values() else None if isinstance(value, kind) else TypeError
    return None if isinstance(value, kind) else TypeError


F = TypeVar("F", bound=Callable[..., Any])


def checked(function: F) -> F:
    """Check every argument by its annotation before the function runs."""
    signature = inspect.signature(function)

    @wraps(function)
    def checking(*args: Any, **kwargs: Any) -> Any:
        hints = annotations_of(function)
        for name, value in signature.bind(*args, **kwargs).arguments.items():
            if name in hints and signature.parameters[name].kind not in (
                inspect.Parameter.VAR_POSITIONAL,
                inspect.Parameter.VAR_KEYWORD,
            ):
                check(name, value, hints[name])
        return function(*args, **kwargs)

    return checking  # type: ignore[return-value]


@cache
def annotations_of(function: Callable[..., Any]) -> Mapping[str, Any]:
    """A function's annotations by parameter, with what `Annotated` adds."""
    return get_type_hints(inspect.unwrap(function), include_extras=True)


def keywords(function: Callable[..., Any], given: Mapping[str, Any], *, apart: Collection[str] = ()) -> dict[str, Any]:
    """The settings that a function will be called with: what is given, over its own defaults.

    Args:
        function: whose keyword-only parameters are the settings; a dataclass with keyword-only fields will do.
        given: name -> value.
        apart: parameters that are no settings.

    Raises:
        TypeError, ValueError: a setting that the function has not, one that is missing, or one that its annotation
            does not allow.
    """
    parameters = inspect.signature(function).parameters
    kinds = annotations_of(function)
    known = {
        name: parameter
        for name, parameter in parameters.items()
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY and name not in apart
    }
    settings = {}
    for name in given:
        if name not in known:
            has = f"there are {', '.join(known)}" if known else "there are none"
            raise ValueError(f"{name} is not a setting; {has}: remove it or correct its name.")
    for name, parameter in known.items():
        if name not in given and parameter.default is inspect.Parameter.empty:
            raise ValueError(f"{name} is missing; it must be {words(kinds[name])}: add it.")
        settings[name] = given.get(name, parameter.default)
        check(name, settings[name], kinds[name])
    return settings


def described(value: Any) -> str:
    """A value in a sentence: itself if it is short, else its type and shape."""
    if isinstance(value, np.ndarray) or hasattr(value, "asnumpy"):
        return f"an array of shape {tuple(value.shape)} and type {value.dtype}"
    text = repr(value)
    return text if len(text) <= 60 and "\n" not in text else f"a {type(value).__name__}"
