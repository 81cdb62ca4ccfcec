"""What holds of schedules, mask updates and the matching of layers for all settings and weights."""

from dataclasses import replace
from functools import partial
from itertools import pairwise

import mindspore as ms
import numpy as np
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from mindspore import nn

from suppress_privacy.defences import DEFENCES, layers, masks
from suppress_privacy.defences.layers import MaskLayerDes, mask_layers, maskable_layers, matched, propose_mask_layers
from suppress_privacy.defences.suppress import Schedule

close = partial(pytest.approx, rel=1e-9, abs=1e-12)
SCALARS = st.none() | st.booleans() | st.integers(-2, 200) | st.floats() | st.text(max_size=3)
ANYTHING = (
    SCALARS | st.lists(SCALARS, max_size=2) | st.dictionaries(st.text(max_size=3) | st.just(1), SCALARS, max_size=2)
)


def one_sentence(error):
    assert "\n" not in str(error) and str(error).endswith("."), error


# The schedule


@st.composite
def schedules(draw):
    start = draw(st.integers(1, 6))
    low, high = sorted(draw(st.lists(st.integers(0, 99), min_size=2, max_size=2, unique=True)))
    return Schedule(
        batch_num=draw(st.integers(1, 40)),
        start_epoch=start,
        end_epoch=draw(st.integers(start, 8)),
        mask_times=draw(st.integers(1, 60)),
        sparse_start=low / 100,
        sparse_end=high / 100,
    )


@given(schedules())
def test_sparsity_rises_from_start_to_end_and_never_falls(schedule):
    first, end = schedule.first_step, schedule.first_step + schedule.length
    asked = [schedule.sparsity(step) for step in range(first - 3, end + 4)]
    assert asked == sorted(asked) and asked[0] == schedule.sparse_start and asked[-1] == schedule.sparse_end
    assert schedule.sparsity(first) == close(schedule.sparse_start)


@given(schedules(), st.integers(0, 300), st.integers(0, 300))
def test_updates_come_in_order_and_what_is_planned_farther_begins_alike(schedule, one, other):
    near, far = sorted((one, other))
    updates, farther = schedule.updates(near), schedule.updates(far)
    assert updates == {step: target for step, target in farther.items() if step <= near}
    steps = list(farther)
    assert all(schedule.first_step <= step <= far for step in steps)
    assert list(farther.values()) == sorted(farther.values())
    for before, after in pairwise(steps):
        assert after >= before + schedule.interval or after == schedule.final_update
        assert after < before + schedule.interval + 1  # none is late


@given(schedules(), st.integers(1, 5))
def test_a_schedule_that_begins_later_is_the_same_later(schedule, epochs):
    later = replace(schedule, start_epoch=schedule.start_epoch + epochs, end_epoch=schedule.end_epoch + epochs)
    shift = epochs * schedule.batch_num
    assert (later.first_step, later.length) == (schedule.first_step + shift, schedule.length)
    for step in range(schedule.first_step, schedule.first_step + schedule.length):
        assert later.sparsity(step + shift) == schedule.sparsity(step)


@given(st.sampled_from(sorted(DEFENCES)), st.data())
def test_a_defence_takes_its_settings_or_refuses_them_in_one_sentence(kind, data):
    made = DEFENCES[kind]
    sound = {"start_epoch": 1, "end_epoch": 2, "mask_times": 3, "sparse_start": 0.0, "sparse_end": 0.5}
    sound |= {"layers": "mindarmour-example", "sparsity": 0.5, "epsilon": 1.0, "delta": 0.1, "clip_norm": 1.0}
    own = {name: value for name, value in (sound | {"depth": "fc1"}).items() if name in made.__dataclass_fields__}
    made(**own)
    name = data.draw(st.sampled_from(sorted(own)))
    try:
        settings = made(**own | {name: data.draw(ANYTHING)})
    except (TypeError, ValueError) as refused:
        one_sentence(refused)
        assert name in str(refused) or "end_epoch" in str(refused) or "sparse_start" in str(refused)
    else:
        assert replace(settings) == settings


# Mask updates


def weights_of(count, unique=False):
    """Hundredths, with ties, zeros and all bounds among them; or such that no two are alike, and none is zero."""
    drawn = arrays(np.int16, count, elements=st.integers(-130, 130))
    apart = arrays(np.int16, count, elements=st.integers(1, 130), unique=True)
    return (apart if unique else drawn).map(lambda hundredths: np.float32(hundredths / 100))


@st.composite
def small_layers(draw, *, noisy=False, unique=False):
    """A layer that has been updated before, or not: weights, mask, how many to suppress, description."""
    weights = draw(weights_of(st.integers(2, 24), unique))
    count = len(weights)
    mask = np.ones(count, bool) if unique else draw(arrays(bool, count) | st.just(np.ones(count, bool)))
    least = draw(st.integers(-1, min(mask.sum(), count - 1)))
    noise, clip, upper = noisy and draw(st.booleans()), draw(st.booleans()), draw(st.floats(0.01, 2))
    suppress = draw(st.integers(1, count - max(least, 0)))  # no more than `weights_to_suppress` asks for
    return np.where(mask, weights, 0), mask, suppress, MaskLayerDes("w", None, noise, clip, least, upper)


def small(weights, mask, suppress, layer):
    return masks.update_small_layer(weights, mask, suppress, layer, np.random.default_rng(0))


@given(small_layers())
def test_masks_only_ever_close_and_leave_what_must_stay(drawn):
    weights, mask, suppress, layer = drawn
    found = small(*drawn)
    assert not (found.mask & ~mask).any() and np.all(found.weights[~found.mask] == 0)
    closed, kept = mask & ~found.mask, np.abs(weights[mask])
    # What goes is at most the threshold, and what is above it stays.
    assert np.all(np.abs(weights[closed]) <= found.threshold)
    assert found.mask[mask & (np.abs(weights) > found.threshold)].all()
    # In a layer that has been updated before, equal weights go together, as in MindArmour.
    if mask.all() or (len(set(kept)) == len(kept) and kept.all()):
        assert (~found.mask).sum() <= max(suppress, (~mask).sum()) and found.mask.sum() >= layer.min_num


@given(small_layers(unique=True))
def test_of_weights_that_differ_as_many_go_as_are_asked_for(drawn):
    weights, _, suppress, _ = drawn
    found = small(*drawn)
    assert np.array_equal(np.flatnonzero(~found.mask), np.sort(np.argsort(weights)[:suppress]))
    assert (found.entry(suppress)["suppressed"], found.entry(suppress)["alive"]) == (suppress, len(weights) - suppress)


@given(small_layers())
def test_a_second_update_to_the_same_target_closes_nothing(drawn):
    *_, suppress, layer = drawn
    first = small(*drawn)
    assume(np.all(first.weights[first.mask] != 0))
    again = small(first.weights, first.mask, suppress, layer)
    assert np.array_equal(again.mask, first.mask)


@given(small_layers())
def test_the_sign_of_weights_is_kept_and_decides_nothing(drawn):
    weights, mask, suppress, layer = drawn
    assume(np.all(weights[mask] != 0))
    found, turned = small(*drawn), small(-weights, mask, suppress, layer)
    assert np.array_equal(turned.mask, found.mask) and np.array_equal(turned.weights, -found.weights)
    assert turned.entry(suppress) == found.entry(suppress)
    assert np.all(np.sign(found.weights[found.mask]) == np.sign(weights[found.mask]))


@given(small_layers(noisy=True))
def test_what_stays_lies_within_its_bounds_and_what_was_moved_is_counted(drawn):
    weights, *_, layer = drawn
    found, upper = small(*drawn), max(0.10, layer.upper_bound)
    kept = np.abs(found.weights[found.mask])
    beyond = masks.NOISE if layer.is_add_noise else 0
    assert np.all(kept <= np.float32(upper) + beyond)
    counted = found.raised + found.lowered + found.noised
    moved = (found.weights != weights) & found.mask
    assert moved.sum() <= counted <= found.mask.sum() and (layer.is_add_noise or found.noised == 0)


LARGE = (
    st.integers(2, 40)
    .flatmap(
        lambda n: st.tuples(
            weights_of(n),
            arrays(bool, n) | st.just(np.ones(n, bool)),
            st.integers(1, n),
        )
    )
    .map(lambda drawn: (np.where(drawn[1], drawn[0], 0), *drawn[1:]))
)


@given(LARGE, st.sampled_from([0.5, 2.0, 1024.0, -1.0]), st.randoms(use_true_random=False))
def test_a_large_layer_is_cut_at_a_threshold_in_any_unit_and_order(drawn, scale, random):
    weights, mask, suppress = drawn
    found = masks.update_large_layer(weights, mask, suppress)
    order = np.array(random.sample(range(len(weights)), len(weights)))
    scaled = masks.update_large_layer(np.float32(scale) * weights, mask, suppress)
    mixed = masks.update_large_layer(weights[order], mask[order], suppress)
    if found is None:
        assert scaled is mixed is None
        return
    assert np.array_equal(found.mask, np.abs(weights) > found.threshold)
    assert np.array_equal(found.weights, np.where(found.mask, weights, 0))
    assert np.array_equal(scaled.mask, found.mask) and scaled.threshold == abs(scale) * found.threshold
    assert np.array_equal(mixed.mask, found.mask[order]) and mixed.threshold == found.threshold


@given(st.lists(st.integers(0, 30), min_size=1, max_size=400), st.integers(1, 60))
def test_the_smallest_distinct_is_found_as_by_sorting_all(values, position):
    distinct = sorted(set(values))
    wanted = distinct[min(position, len(distinct) - 1) - 1] if len(distinct) > 1 else None
    assert masks.smallest_distinct(np.array(values, np.float32), position) == wanted


@given(st.integers(1, 5000), st.floats(0, 1), st.floats(0, 1), st.integers(-1, 6000), st.integers(-1, 6000))
def test_more_is_suppressed_the_sparser_and_less_the_more_must_stay(count, one, other, least, more):
    (low, high), (few, many) = sorted((one, other)), sorted((least, more))
    asked = masks.weights_to_suppress(count, high, few)
    assert 0 <= masks.weights_to_suppress(count, low, few) <= asked <= high * count
    assert asked <= count - max(min(few, count), 0)
    assert masks.weights_to_suppress(count, high, many) <= asked


# The matching of layers


class Named(nn.Cell):
    """A network of parameters of these names and numbers of dimensions."""

    def __init__(self, shapes):
        super().__init__()
        for number, (name, dimensions) in enumerate(shapes.items()):
            parameter = ms.Parameter(ms.Tensor(np.ones([1] * dimensions, np.float32)), name=name)
            self.insert_param_to_cell(f"p{number}", parameter)
            parameter.name = name


PARTS = st.sampled_from(["conv1", "conv11", "fc", "fc2", "block", "0", "1"])
NAMES = st.lists(PARTS, min_size=1, max_size=2).map(lambda parts: ".".join([*parts, "weight"]))
NETWORKS = st.dictionaries(NAMES, st.integers(1, 3), min_size=1, max_size=5).map(Named)


def described(name):
    return MaskLayerDes(name, None, False, False, -1)


def names_of(pairs):
    return [parameter.name for parameter, _ in pairs]


@given(NETWORKS, st.randoms(use_true_random=False))
def test_layers_are_found_by_their_whole_names_in_the_networks_order(network, random):
    found = maskable_layers(network)
    assume(found)
    names = [layer.layer_name for layer in found]
    shuffled = random.sample(names, len(names))
    pairs = matched(network, [described(name) for name in shuffled])
    assert names_of(pairs) == names and [layer.layer_name for _, layer in pairs] == names
    for layer in found:
        assert network.trainable_params()[layer.grad_idx].name == layer.layer_name
        assert matched(network, [replace(described(layer.layer_name), grad_idx=layer.grad_idx)])
    with pytest.raises(ValueError, match="a second time") as refused:
        matched(network, [described(name) for name in [*names, names[0]]])
    one_sentence(refused.value)


@given(NETWORKS, st.text("conv1fc2blck.weight0*?[]!-", min_size=1, max_size=8) | NAMES)
def test_any_name_is_matched_or_refused_in_one_sentence(network, name):
    names = [parameter.name for parameter in network.get_parameters()]
    try:
        found = names_of(matched(network, [described(name)]))
    except ValueError as refused:
        one_sentence(refused)
        assert repr(name) in str(refused)
    else:
        assert found and set(found) <= set(names)
        if not set(name) & set("*?["):
            assert len(found) == 1 and (found == [name] or [each for each in names if name in each] == found)
        assert names_of(matched(network, [described(each) for each in found])) == found  # each by its own name


@given(NETWORKS, NAMES)
def test_of_parameters_that_a_part_fits_the_first_wins_where_that_is_asked_for(network, name):
    part = name.partition(".")[0]
    fitting = [each.name for each in network.get_parameters() if part in each.name]
    assume(fitting)
    assert layers.named(network, part, first_wins=True) == fitting[0]


@given(NETWORKS)
def test_what_is_proposed_fits_its_network_and_leaves_a_sixteenth(network):
    found = maskable_layers(network)
    assume(found)
    proposed = propose_mask_layers(network)
    pairs = matched(network, proposed)
    assert [layer for _, layer in pairs] == proposed
    assert names_of(pairs) == names_of(matched(network, [described("*")]))
    for layer, one in zip(found, proposed, strict=True):
        assert one.min_num == -1 or one.min_num == np.ceil(layer.weights / 16)
        assert one.is_lower_clip != one.is_add_noise


@given(ANYTHING | st.lists(st.dictionaries(st.sampled_from(["layer_name", "min_num", "x", 1]), SCALARS)))
@example([{"layer_name": "fc1.weight", "is_add_noise": True, "is_lower_clip": False, "min_num": -1, 1: 2}])
def test_layers_in_settings_are_descriptions_or_refused_in_one_sentence(drawn):
    try:
        found = mask_layers(drawn)
    except (TypeError, ValueError) as refused:
        one_sentence(refused)
    else:
        # Those that are named alone are described once there is a network.
        named = [drawn] if isinstance(drawn, str) else [layer for layer in drawn if isinstance(layer, str)]
        assert (found or named) and all(isinstance(layer, MaskLayerDes) for layer in found)
