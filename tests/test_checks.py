"""What an annotation allows, in words and in deed; the words are read back here by a parser of their own."""

import itertools
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
import pytest

from suppress_privacy.checks import (
    Bounds,
    NotNegative,
    Positive,
    Seed,
    Share,
    Whole,
    check,
    checked,
    described,
    keywords,
    words,
)

ENDS = (None, -2, 0, 0.5, 1, 1_234_567)


def every_bounds():
    """All pairs of a lower and an upper end of every kind that leave something between them."""
    for (low, lower), (high, upper) in itertools.product(
        itertools.product(("at_least", "above"), ENDS), itertools.product(("at_most", "below"), ENDS)
    ):
        if (lower, upper) != (None, None) and (lower is None or upper is None or lower < upper):
            yield Bounds(**{low: lower, high: upper})


def allowed(sentence, value):
    """Whether a sentence allows a value: "from 0, below 1", "from 1 to 100", "above 0, at most 0.5"."""
    number = r"(-?[\d.]+)"
    rules = {
        f"from {number}": lambda end: value >= end,
        f"above {number}": lambda end: value > end,
        f"(?:at most|to) {number}": lambda end: value <= end,
        f"below {number}": lambda end: value < end,
        rf"a multiple of {number}": lambda end: value % end == 0,
    }
    found = [rule(float(match[1])) for pattern, rule in rules.items() for match in re.finditer(pattern, sentence)]
    assert len(found) == len(re.findall(number, sentence)), sentence  # no number in it goes unread
    return all(found)


@pytest.mark.parametrize("bounds", list(every_bounds()), ids=str)
def test_what_bounds_say_is_what_they_hold(bounds):
    for end in ENDS[1:]:
        for value in (end, math.nextafter(end, math.inf), math.nextafter(end, -math.inf), end - 1, end + 1):
            assert bounds.hold(value) == allowed(str(bounds), value), (str(bounds), value)
    assert not bounds.hold(math.nan)


@pytest.mark.parametrize(
    ("bounds", "sentence"),
    [
        (Bounds(at_least=1), "from 1"),
        (Bounds(at_least=1, at_most=100), "from 1 to 100"),
        (Bounds(at_least=1, at_most=7, named="end_epoch"), "from 1 to end_epoch (7)"),
        (Bounds(at_least=0, below=0.95, named="sparse_end"), "from 0, below sparse_end (0.95)"),
        (Bounds(above=0, at_most=0.5), "above 0, at most 0.5"),
        (Bounds(above=0, below=1.0), "above 0, below 1"),
        (Bounds(at_most=2_000_000), "at most 2000000"),
        (Bounds(at_least=2, at_most=10, multiple_of=2), "from 2 to 10, a multiple of 2"),
        (Bounds(multiple_of=4), "a multiple of 4"),
    ],
)
def test_bounds_in_words(bounds, sentence):
    assert str(bounds) == sentence


def test_a_multiple_is_asked_for():
    even = Bounds(at_least=2, multiple_of=2)
    assert [value for value in range(-4, 8) if even.hold(value)] == [2, 4, 6]
    assert all(even.hold(value) == allowed(str(even), value) for value in range(-4, 8))


class Cell:
    pass


YES, VALUE, TYPE = None, ValueError, TypeError


@pytest.mark.parametrize(
    ("annotation", "value", "error"),
    [
        (int, 3, YES),
        (int, np.int64(3), YES),
        (int, 3.0, TYPE),
        (int, True, TYPE),
        (int, np.bool_(True), TYPE),
        (int, "3", TYPE),
        (float, 3, YES),
        (float, np.float32(0.5), YES),
        (float, False, TYPE),
        (float, np.array([0.5]), TYPE),
        (float, 1j, TYPE),
        (bool, True, YES),
        (bool, 1, TYPE),
        (str, "a", YES),
        (str, b"a", TYPE),
        (Cell, Cell(), YES),
        (Cell, Cell, TYPE),
        (Any, object(), YES),
        (Callable[[int], int], "not looked at", YES),
        (Whole, 1, YES),
        (Whole, 0, VALUE),
        (Whole, 1.0, TYPE),
        (Seed, 0, YES),
        (Seed, -1, VALUE),
        (Positive, 5e-324, YES),
        (Positive, 0, VALUE),
        (Positive, math.nan, VALUE),
        (NotNegative, 0.0, YES),
        (NotNegative, math.inf, YES),
        (NotNegative, math.nan, VALUE),
        (Share, 0.5, YES),
        (Share, 1, VALUE),
        (Share, "0.5", TYPE),
        (Whole | None, None, YES),
        (Whole | None, 0, VALUE),  # of the union's faults the nearer: an integer, though not this one
        (Whole | None, "1", TYPE),
        (int | str, "a", YES),
        (int | str, 1.5, TYPE),
        (int | str, True, TYPE),
        (Literal["graph", "pynative"], "graph", YES),
        (Literal["graph", "pynative"], "eager", VALUE),
        (Literal["graph", "pynative"], None, TYPE),
        (Literal[False, True, "last-good"], True, YES),
        (Literal[False, True, "last-good"], 1, TYPE),
        (Literal[1, 2], True, TYPE),
        (list[Whole], [1, 2], YES),
        (list[Whole], (1, 2), YES),
        (list[Whole], [1, 0], VALUE),
        (list[Whole], [1, "2"], TYPE),
        (list[Whole], [1, True], TYPE),
        (list[Whole], 1, TYPE),
        (list[Literal["a", "b"]], ["a", "c"], VALUE),
    ],
)
def test_a_value_is_allowed_or_refused_as_its_kind_or_as_itself(annotation, value, error):
    if error is None:
        check("given", value, annotation)
        return
    with pytest.raises(error) as refused:
        check("given", value, annotation)
    assert type(refused.value) is error
    remedy = {TypeError: "type", ValueError: "value"}[error]
    assert str(refused.value) == f"given is {described(value)}; it must be {words(annotation)}: correct its {remedy}."


@pytest.mark.parametrize(
    ("annotation", "sentence"),
    [
        (Annotated[int, Bounds(at_least=1), "the images a step"], "an integer from 1, the images a step"),
        (Whole | None, "an integer from 1, or None"),
        (Annotated[str | bytes, "a folder of IDX files"], "a folder of IDX files"),
        (Literal["graph", "pynative"], "'graph' or 'pynative'"),
        (bool, "True or False"),
        (list[int], "a list"),
        (np.ndarray, "a numpy.ndarray"),
        (Cell, "a Cell"),
    ],
)
def test_an_annotation_in_words(annotation, sentence):
    assert words(annotation) == sentence


def test_every_argument_is_checked_before_the_function_runs():
    ran = []

    @checked
    def step(batch: Whole, *rest: int, mode: Literal["graph", "pynative"] = "graph", **more: int) -> int:
        """Runs."""
        ran.append(batch)
        return batch

    assert step(3) == step(batch=3, mode="pynative") == step(3, "not looked at", also="not looked at") == 3
    assert (step.__name__, step.__doc__) == ("step", "Runs.")
    ran.clear()
    for arguments, settings, error in (
        ((0,), {}, ValueError),
        ((1.5,), {}, TypeError),
        ((1,), {"mode": "x"}, ValueError),
    ):
        with pytest.raises(error):
            step(*arguments, **settings)
    with pytest.raises(TypeError, match="missing a required argument: 'batch'"):
        step()
    assert ran == []


def test_a_default_is_the_functions_own_affair():
    @checked
    def train(epochs: Whole = None):  # not in its range: it stands for "not given"
        return epochs

    assert train() is None
    with pytest.raises(TypeError, match="epochs is None; it must be an integer from 1"):
        train(None)


@dataclass(frozen=True, kw_only=True)
class Schedule:
    end_epoch: Whole
    lr: Annotated[float, Bounds(above=0, at_most=0.5)] = 0.1


def invert(view, *, iters: Whole, lr: Positive = 0.01, seed: Seed = 0):
    return view


def test_settings_are_what_is_given_over_the_functions_defaults():
    assert keywords(invert, {"iters": 5, "lr": 0.5}, apart=("seed",)) == {"iters": 5, "lr": 0.5}
    assert keywords(invert, {"seed": 3, "iters": 5}) == {"iters": 5, "lr": 0.01, "seed": 3}
    assert Schedule(**keywords(Schedule, {"end_epoch": 2})) == Schedule(end_epoch=2, lr=0.1)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"iter": 5}, "iter is not a setting; there are iters, lr: remove it or correct its name."),
        ({"seed": 5, "iters": 5}, "seed is not a setting; there are iters, lr: remove it or correct its name."),
        ({"view": 1, "iters": 5}, "view is not a setting; there are iters, lr: remove it or correct its name."),
        ({"lr": 0.5}, "iters is missing; it must be an integer from 1: add it."),
        ({"iters": 0}, "iters is 0; it must be an integer from 1: correct its value."),
        ({"iters": True}, "iters is True; it must be an integer from 1: correct its type."),
    ],
)
def test_settings_that_do_not_fit_are_named(given, sentence):
    with pytest.raises((TypeError, ValueError), match=rf"\A{re.escape(sentence)}\Z"):
        keywords(invert, given, apart=("seed",))


def test_a_function_without_settings_says_so():
    with pytest.raises(ValueError, match="lr is not a setting; there are none: remove it or correct its name"):
        keywords(lambda view: view, {"lr": 1})


def test_a_long_value_is_described_by_its_type():
    assert described("a" * 10) == "'aaaaaaaaaa'"
    assert described("a" * 100) == "a str"
    assert described("a\n") == r"'a\n'"
    assert described(np.zeros((2, 3), np.float32)) == "an array of shape (2, 3) and type float32"
