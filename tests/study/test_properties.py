"""What holds of settings, plans and targets whatever is written, asked for or drawn."""

import copy
import json

import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from suppress_privacy.mnist import Mnist
from suppress_study import launch, notebook, run
from suppress_study.claims import Claims
from suppress_study.plan import Study
from suppress_study.reading import SettingsError, merged, read_yaml, validated
from suppress_study.settings import FOLDER
from suppress_study.settings import Targets as Counts
from suppress_study.targets import choose_targets, extremes, pictured

STUDY = Study.load()
CONTENT = read_yaml(FOLDER / "study.yaml")
SMALL = {
    "data": "embedded",
    "arms": {"baseline": [0], "suppressed-example": [0]},
    "sweeps": {"suppressed-example": [0]},
    "attacks": ["tuned"],
    "targets": {"train_per_class": 1, "test_per_class": 1},
}
CONTENT = CONTENT | {"profiles": {"own": SMALL}}
CLAIMS = read_yaml(FOLDER / "claims.yaml")
SCALARS = st.none() | st.booleans() | st.integers(-2, 2000) | st.floats() | st.sampled_from(["", "a", "{b}", "fc1"])
# What YAML may hold, and then some: keys of any type.
ANYTHING = st.recursive(
    SCALARS,
    lambda part: (
        st.lists(part, max_size=3) | st.dictionaries(st.sampled_from(["kind", "a", 1, None]), part, max_size=3)
    ),
    max_leaves=5,
)
NESTED = st.dictionaries(st.sampled_from("abc"), st.deferred(lambda: SCALARS | NESTED), max_size=3)
slow = settings(max_examples=60)


def places(content, path=()):
    """The paths of all that a file says."""
    yield path
    parts = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    for key, part in parts:
        yield from places(part, (*path, key))


def with_change(content, path, value):
    content = copy.deepcopy(content)
    *folders, last = path
    place = content
    for key in folders:
        place = place[key]
    place[last] = value
    return content


def one_sentence(error):
    assert "\n" not in str(error) and str(error).endswith(".") and not str(error).endswith(".."), error


@given(NESTED, NESTED, NESTED)
def test_changes_can_be_laid_over_twice_or_put_together_before(below, first, second):
    before = copy.deepcopy((below, first))
    once = merged(below, first)
    assert merged(once, first) == once and merged(below, {}) == below and merged({}, below) == below
    assert once.keys() == below.keys() | first.keys() and (below, first) == before
    # As long as neither puts a value where another has a part.
    kinds = [{path: isinstance(at(each, path), dict) for path in places(each)} for each in (below, first, second)]
    assume(all(one.get(path, kind) == kind for one in kinds for other in kinds for path, kind in other.items()))
    assert merged(once, second) == merged(below, merged(first, second))


def at(content, path):
    for key in path:
        content = content[key]
    return content


@slow
@given(st.sampled_from([path for path in places(CONTENT) if path]), ANYTHING)
@example(("arms", "suppressed-example", "defence", "kind"), [])
@example(("arms", "suppressed-example", "sweep", "title"), "{b}")
@example(("arms", "baseline", "optimizer", "lr"), float("inf"))
def test_a_setting_is_taken_or_refused_in_one_sentence(path, value):
    try:
        study = validated(Study, with_change(CONTENT, path, value), "study.yaml")
    except SettingsError as refused:
        one_sentence(refused)
    else:  # and what is taken can be planned, and kept as what it is
        assert json.dumps([job.runs[0].settings for job in study.jobs("own")], allow_nan=False)


@given(st.sampled_from([path for path in places(CLAIMS) if path]), ANYTHING)
def test_a_claim_is_taken_or_refused_in_one_sentence(path, value):
    try:
        validated(Claims, with_change(CLAIMS, path, value), "claims.yaml")
    except SettingsError as refused:
        one_sentence(refused)


@given(st.binary(max_size=30) | st.text("[]{}:-&*!#'\"\n 0123456789abc._", max_size=30).map(str.encode))
@example(b"a: 2001-99-99")  # a date that is none
@example(b"\xff")  # no text
@example(b"[" * 1200)
@example(b"9" * 5000)  # a number that Python does not read
def test_any_bytes_are_read_or_refused_by_the_files_name(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "any.yaml"
    path.write_bytes(content)
    try:
        read_yaml(path)
    except SettingsError as refused:
        one_sentence(refused)
        assert str(path) in str(refused)


# Parameters of notebooks, and names of runs

DECLARED = {name: notebook.checked_parameters(name, {}) for name in ("train", "attack")}
WORDS = st.sampled_from(
    [*STUDY.arms, *STUDY.attacks, *STUDY.profiles, "none", "fc1", "end", "x:y", "\0", "x" * 300, ""]
)
GIVEN = SCALARS | WORDS | st.lists(WORDS, max_size=2) | ANYTHING | st.just({"sparse_end": float("nan")})


@pytest.fixture(scope="module")
def read_once():
    """study.yaml is not read again for every example."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(notebook.Study, "load", lambda: STUDY)
        yield


@pytest.mark.usefixtures("read_once")
@given(st.sampled_from(sorted(DECLARED)), st.data())
def test_parameters_are_taken_or_refused_in_one_sentence(name, data):
    names = st.sampled_from([*DECLARED[name], "unknown"])
    values = data.draw(st.dictionaries(names, GIVEN, min_size=1, max_size=3))
    try:
        taken = notebook.checked_parameters(name, values)
    except (TypeError, ValueError) as refused:
        one_sentence(refused)
    else:
        assert taken == DECLARED[name] | values and notebook.checked_parameters(name, taken) == taken


@given(st.from_regex(r"[ -~]{0,12}(=[ -~]{0,12})?", fullmatch=True))
@example("seed=2001-99-99")
@example("seed=[1")
def test_a_parameter_on_the_command_line_is_refused_by_its_name(pair):
    try:
        assert isinstance(run.parameters([pair]), dict)
    except ValueError as refused:
        one_sentence(refused)
        assert repr(pair) in str(refused)


MODELS = [model for profile in STUDY.profiles for model in [*STUDY.models(profile), *STUDY.judges().values()]]


@given(st.sampled_from(MODELS), st.none() | st.floats(0.001, 0.999), st.integers(0, 10**6))
def test_a_model_is_found_by_its_name(model, value, seed):
    value = value if STUDY.arms[model.arm].sweep else None
    wanted = STUDY.model(model.arm, seed, {"sparse_end": value} if value is not None else {})
    arm, _, number = str(wanted).rpartition("-seed")
    arm, at, written = arm.partition("@")
    assert STUDY.named_model(arm, at + written, number) == wanted
    launch.named_job(f"train-{wanted}", STUDY, "full")
    assert STUDY.model(wanted.arm, wanted.seed, STUDY.swept_by(wanted)) == wanted


@given(
    st.text("abcdefghijklmnopqrstuvwxyz@-.0123456789e+", max_size=12), st.sampled_from([model.arm for model in MODELS])
)
@example("@..", "suppressed-example")
@example("@0.5", "baseline")
def test_a_run_that_there_is_none_of_is_refused_by_name(more, arm):
    for target in (more, f"train-{arm}{more}-seed0", f"attack-{arm}-seed0{more}"):
        try:
            launch.named_job(target, STUDY, "full")
        except (launch.SetupError, SettingsError) as refused:
            one_sentence(refused)


VARIANTS = [(profile, each) for profile in STUDY.profiles for job in STUDY.jobs(profile) for each in job.variants]


@given(st.sampled_from(VARIANTS))
def test_an_attack_is_found_by_what_tells_it_from_others(chosen):
    profile, variant = chosen
    columns = variant.columns()
    assert STUDY.variant(profile, columns).columns() == columns
    assert STUDY.variant(profile, dict(reversed(columns.items()))).columns() == columns


# Targets


@st.composite
def digit_sets(draw):
    """A few digits of each class, each image telling its own place."""
    counts = [draw(st.lists(st.integers(4, 6), min_size=10, max_size=10)) for _ in range(2)]
    order = draw(st.randoms(use_true_random=False))
    sets = []
    for first, count in zip((0, 1000), counts, strict=True):
        labels = [label for label, many in enumerate(count) for _ in range(many)]
        order.shuffle(labels)
        images = np.arange(first, first + len(labels), dtype=np.float32)[:, None, None, None]
        sets += [images, np.array(labels, np.int32)]
    return Mnist(*sets, "drawn", {})


@given(digit_sets(), st.integers(1, 2), st.integers(1, 2))
def test_every_image_has_one_part_and_none_two(data, train, test):
    targets = choose_targets(data, Counts(train_per_class=train, test_per_class=test))
    assert np.bincount(targets.labels).tolist() == [train + test] * 10
    gallery = np.concatenate([*targets.gallery.values()])
    every = np.concatenate([targets.images, targets.auxiliary, data.test_images[targets.choice], gallery])
    assert sorted(every.ravel()) == sorted(np.concatenate([data.train_images, data.test_images]).ravel())
    assert set(targets.images[targets.in_training].ravel()) <= set(data.train_images.ravel())
    for label, others in targets.gallery.items():
        assert set(others.ravel()) <= set(data.train_images[data.train_labels == label].ravel())
    counted = Counts(train_per_class=6, test_per_class=1)
    with pytest.raises(ValueError, match="must be left to compare with: ask for fewer") as refused:
        choose_targets(data, counted)
    one_sentence(refused.value)


@given(st.lists(st.integers(-5, 5), min_size=9, max_size=30).map(np.array), st.integers(1, 3))
def test_extremes_are_the_best_middle_and_worst_of_values_in_any_order(values, each):
    chosen = extremes(values, each)
    found, ordered = values[chosen].tolist(), sorted(values.tolist(), reverse=True)
    middle = (len(values) - each) // 2
    assert found == ordered[:each] + ordered[middle : middle + each] + ordered[-each:]
    assert len(set(chosen)) == 3 * each
    labels = np.arange(len(values)) % 3
    assert {0, 1, 2, *extremes(values)} == set(pictured(values, labels).tolist())
