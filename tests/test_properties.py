"""What holds of checks and of MNIST's files whatever is given."""

import gzip
import math
import struct
from typing import Annotated, Any, Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from suppress_privacy import fetch, load_mnist
from suppress_privacy.checks import Bounds, Positive, Seed, Share, Whole, check, described, keywords, words
from suppress_privacy.mnist import DataError
from suppress_privacy.runtime import generator

SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.complex_numbers() | st.text() | st.binary()
ARRAYS = st.sampled_from([np.float32(1), np.bool_(True), np.zeros(3), np.int64(-1), np.array("a")])
VALUES = st.recursive(
    SCALARS | ARRAYS,
    lambda part: st.lists(part, max_size=3) | st.tuples(part) | st.dictionaries(st.text(), part),
    max_leaves=4,
)
PLAIN = st.sampled_from(
    [int, float, bool, str, dict, Whole, Seed, Positive, Share, Any, np.ndarray, Literal["a", 1, True]]
)
ANNOTATIONS = st.recursive(
    PLAIN,
    lambda part: (
        part.map(lambda kind: list[kind])
        | st.tuples(part, part).map(lambda kinds: kinds[0] | kinds[1])
        | part.map(lambda kind: Annotated[kind, "so it is called"])
    ),
    max_leaves=3,
)


def one_sentence(error):
    assert "\n" not in str(error) and str(error).endswith("."), error


@given(VALUES, ANNOTATIONS)
def test_any_value_is_allowed_or_refused_in_one_sentence(value, annotation):
    try:
        check("given", value, annotation)
    except (TypeError, ValueError) as refused:
        one_sentence(refused)
        assert str(refused).startswith(f"given is {described(value)}; it must be {words(annotation)}: ")
    else:
        check("given", value, annotation | None)  # what is allowed is so beside other things,
        check("given", [value], list[annotation])  # and in a list


ENDS = st.none() | st.integers(-5, 5) | st.floats(-5, 5)


@given(ENDS, ENDS, ENDS, ENDS, st.integers(1, 3), st.integers(-20, 20) | st.floats())
def test_bounds_hold_where_each_of_them_does(at_least, above, at_most, below, multiple_of, value):
    ends = {"at_least": at_least, "above": above, "at_most": at_most, "below": below, "multiple_of": multiple_of}
    alone = [Bounds(**{name: end}).hold(value) for name, end in ends.items()]
    assert Bounds(**ends).hold(value) == all(alone)
    if at_least is not None and value >= at_least and not math.isinf(value):
        assert Bounds(at_least=at_least).hold(value + 1)
    # Turned round, what lay above lies below.
    assert Bounds(at_least=at_least, below=below).hold(value) == Bounds(
        at_most=None if at_least is None else -at_least, above=None if below is None else -below
    ).hold(-value)


@given(VALUES)
def test_any_value_is_described_in_one_short_line(value):
    assert len(described(value)) <= 100 and "\n" not in described(value)


def attack(view, *, iters: Whole, lr: Positive = 0.01, kind: Literal["a", "b"] = "a", seed: Seed = 0):
    return view


@given(st.dictionaries(st.sampled_from(["iters", "lr", "kind", "seed", "view", "x"]), SCALARS | st.integers(1, 9)))
def test_settings_are_completed_once_or_refused_in_one_sentence(drawn):
    try:
        found = keywords(attack, drawn, apart=("seed",))
    except (TypeError, ValueError) as refused:
        one_sentence(refused)
    else:
        assert found == {"lr": 0.01, "kind": "a"} | drawn and keywords(attack, found, apart=("seed",)) == found


@given(st.integers(0, 2**40), st.sampled_from(["a", "b"]), st.integers(0, 2**40), st.sampled_from(["a", "b"]))
def test_draws_are_told_by_seed_and_purpose(seed, purpose, other, another):
    first, second = (generator(*drawn).random(4).tolist() for drawn in ((seed, purpose), (other, another)))
    assert (first == second) == ((seed, purpose) == (other, another))


# MNIST's files

NAMES = sorted(fetch.NAMES)


def idx(kind, *sizes):
    return struct.pack(f">HBB{len(sizes)}I", 0, kind, len(sizes), *sizes)


HEADERS = st.tuples(st.integers(0, 14), st.lists(st.integers(0, 40) | st.just(2**32 - 1), max_size=4)).map(
    lambda drawn: idx(drawn[0], *drawn[1])
)
BYTES = (
    st.binary(max_size=60) | st.builds(bytes.__add__, HEADERS, st.binary(max_size=60)) | st.just(b"<!DOCTYPE html>\n")
)
CONTENTS = BYTES | BYTES.map(gzip.compress) | BYTES.map(lambda content: gzip.compress(content)[:-5])


@given(st.lists(CONTENTS, min_size=4, max_size=4), st.sampled_from(["", ".gz"]))
def test_no_files_but_mnists_are_taken_for_it(tmp_path_factory, contents, ending):
    folder = tmp_path_factory.mktemp("idx")
    for name, content in zip(NAMES, contents, strict=True):
        (folder / (name + ending)).write_bytes(content)
    with pytest.raises(DataError) as refused:
        load_mnist(folder)
    one_sentence(refused.value)
    assert str(folder) in str(refused.value)
