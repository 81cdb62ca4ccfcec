"""Arguments are checked once, where they enter, by what their annotation says; each refusal is one sentence::

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
from dataclasses import dataclass, fields
from functools import cache, wraps
from operator import ge, gt, le, lt
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import numpy as np

NUMBERS = {int: numbers.Integral, float: numbers.Real}
WORDS = {int: "an integer", float: "a number", bool: "True or False", str: "text", dict: "a dictionary"}


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """Where a number, or of a list or a text the length, may lie; NaN lies nowhere."""

    at_least: float | None = None
    above: float | None = None
    at_most: float | None = None
    below: float | None = None
    multiple_of: int = 1
    named: str = ""  #: in words where the upper end comes from, if that is another argument

    def hold(self, value: float) -> bool:
        ends = ((self.at_least, ge), (self.above, gt), (self.at_most, le), (self.below, lt))
        between = all(end is None or holds(value, end) for end, holds in ends)
        return between and (self.multiple_of == 1 or value % self.multiple_of == 0)

    def __str__(self) -> str:
        upper = f"{self.named} ({{:.15g}})" if self.named else "{:.15g}"  # 1.0 is said as 1, and a million in full
        to = "at most " if self.at_least is None else "to "
        said = [
            "" if self.at_least is None else f"from {self.at_least:.15g}",
            "" if self.above is None else f"above {self.above:.15g}",
            "" if self.at_most is None else to + upper.format(self.at_most),
            "" if self.below is None else "below " + upper.format(self.below),
            "" if self.multiple_of == 1 else f"a multiple of {self.multiple_of}",
        ]
        return ", ".join(filter(None, said)).replace(", to ", " to ")


Whole = Annotated[int, Bounds(at_least=1)]
Seed = Annotated[int, Bounds(at_least=0)]
Positive = Annotated[float, Bounds(above=0)]
NotNegative = Annotated[float, Bounds(at_least=0)]
Share = Annotated[float, Bounds(above=0, below=1)]
Tried = Annotated[list[NotNegative], Bounds(at_least=1), "a list of numbers from 0, one at least"]


def words(annotation: Any) -> str:
    """What an annotation allows, in words. A text in an `Annotated` says what a number is, or what else is meant.

    Examples:
        >>> words(Whole), words(Share)
        ('an integer from 1', 'a number above 0, below 1')
    """
    return _judged(None, annotation)[0]


def check(name: str, value: Any, annotation: Any) -> None:
    """Raise unless a value is what an annotation allows.

    Args:
        name: the parameter's, for the sentence.
        value: what was given; a bool does not pass as a number, NumPy's numbers pass as Python's.
        annotation: a type, `Literal`, `Annotated` with `Bounds` and a text, a union or a list of such; what has
            another form (a `Callable`, say) is not looked at.

    Raises:
        TypeError, ValueError: it is not of the type; it is, and lies outside what is allowed.

    Examples:
        >>> check("batch_size", 32, Whole)
        >>> check("batch_size", 0, Whole)
        Traceback (most recent call last):
        ValueError: batch_size is 0; it must be an integer from 1: correct its value.
    """
    allowed, fault = _judged(value, annotation)
    if fault:
        remedy = "type" if fault is TypeError else "value"
        raise fault(f"{name} is {described(value)}; it must be {allowed}: correct its {remedy}.")


def _judged(value: Any, annotation: Any) -> tuple[str, type[Exception] | None]:
    """What an annotation allows, in words, and of which kind the error is if a value is not that."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        allowed, fault = _judged(value, arguments[0])
        bounds = [note for note in arguments[1:] if isinstance(note, Bounds)]
        size = len(value) if isinstance(value, list | tuple | str) else value
        if fault is None and not all(each.hold(size) for each in bounds):
            fault = ValueError
        said = [note for note in arguments[1:] if isinstance(note, str)]
        if said and arguments[0] not in NUMBERS:
            return said[0], fault
        return ", ".join([" ".join([allowed, *map(str, bounds)]), *said]), fault
    if origin in (Union, types.UnionType):
        choices, refusals = zip(*(_judged(value, argument) for argument in arguments), strict=True)
        return ", or ".join(choices), min(refusals, key=(None, ValueError, TypeError).index)  # the nearest to right
    if origin is Literal:
        kinds = {type(argument) for argument in arguments}
        fits = isinstance(value, tuple(kinds)) and (not isinstance(value, bool) or bool in kinds)
        fault = (None if value in arguments else ValueError) if fits else TypeError
        return " or ".join(map(repr, arguments)), fault
    if origin in (list, Sequence):
        faults = [_judged(each, arguments[0])[1] for each in value] if isinstance(value, list | tuple) else [TypeError]
        return f"a {origin.__name__}", next(filter(None, faults), None)
    module = {"numpy": "numpy.", "mindspore": "nn."}.get(annotation.__module__.partition(".")[0], "")
    allowed = "None" if annotation is type(None) else WORDS.get(annotation, f"a {module}{annotation.__qualname__}")
    kind = NUMBERS.get(annotation, annotation)
    if annotation is Any or not isinstance(kind, type):
        return allowed, None
    passes_as_number = isinstance(value, bool | np.bool_) and kind in NUMBERS.values()
    return allowed, None if isinstance(value, kind) and not passes_as_number else TypeError


F = TypeVar("F", bound=Callable[..., Any])


def checked(function: F) -> F:
    """Check every argument by its annotation before the function runs.

    Examples:
        >>> from typing import Annotated
        >>> @checked
        ... def halved(share: Annotated[float, Bounds(at_least=0, at_most=1)]):
        ...     return share / 2
        >>> halved(1)
        0.5
        >>> halved("1")
        Traceback (most recent call last):
        TypeError: share is '1'; it must be a number from 0 to 1: correct its type.
    """
    signature = inspect.signature(function)
    parameters = signature.parameters.values()
    single = {each.name for each in parameters if each.kind not in (each.VAR_POSITIONAL, each.VAR_KEYWORD)}

    @wraps(function)
    def checking(*args: Any, **kwargs: Any) -> Any:
        hints = annotations_of(function)
        for name, value in signature.bind(*args, **kwargs).arguments.items():
            if name in single and name in hints:
                check(name, value, hints[name])
        return function(*args, **kwargs)

    return checking  # type: ignore[return-value]


@cache
def signature_of(function: Callable[..., Any]) -> inspect.Signature:
    """As `inspect.signature`, asked once."""
    return inspect.signature(function)


@cache
def annotations_of(function: Callable[..., Any]) -> Mapping[str, Any]:
    """A function's annotations by parameter, with what `Annotated` adds.

    Examples:
        >>> list(annotations_of(check))
        ['name', 'value', 'annotation', 'return']
    """
    return get_type_hints(function, include_extras=True)


class CheckedFields:
    """What a dataclass inherits whose fields are checked by their annotations when it is made.

    Raises:
        TypeError, ValueError: a field is not what its annotation allows.
    """

    def __post_init__(self) -> None:
        annotations = annotations_of(type(self))  # type: ignore[arg-type]
        for each in fields(self):  # type: ignore[arg-type]
            check(each.name, getattr(self, each.name), annotations[each.name])


def keywords(function: Callable[..., Any], given: Mapping[str, Any], *, apart: Collection[str] = ()) -> dict[str, Any]:
    """The settings that a function will be called with: what is given, over its own defaults.

    Args:
        function: whose keyword-only parameters are the settings; a dataclass with keyword-only fields will do.
        given: name -> value.
        apart: parameters that are no settings.

    Raises:
        TypeError, ValueError: a setting that the function has not, one that is missing, or one that its annotation
            does not allow.

    Examples:
        >>> def fit(images, *, steps: Whole, rate: Positive = 0.1): ...
        >>> keywords(fit, {"steps": 20})
        {'steps': 20, 'rate': 0.1}
    """
    kinds = annotations_of(function)
    parameters = signature_of(function).parameters.values()
    known = {one.name: one.default for one in parameters if one.kind is one.KEYWORD_ONLY and one.name not in apart}
    for name in given:
        if name not in known:
            has = f"there are {', '.join(known)}" if known else "there are none"
            raise ValueError(f"{name} is not a setting; {has}: remove it or correct its name.")
    settings = {**known, **given}
    for name, value in settings.items():
        if value is inspect.Parameter.empty:
            raise ValueError(f"{name} is missing; it must be {words(kinds[name])}: add it.")
        check(name, value, kinds[name])
    return settings


def described(value: Any) -> str:
    """A value in a sentence: itself if it is short, else its type and shape."""
    if isinstance(value, np.ndarray) or hasattr(value, "asnumpy"):
        return f"an array of shape {tuple(value.shape)} and type {value.dtype}"
    text = repr(value)
    return text if len(text) <= 60 and "\n" not in text else f"a {type(value).__name__}"
