"""Controls of equal sparsity: the right weights go, as many as suppression takes, and they stay away."""

import numpy as np
import pytest
from mindspore import nn

from suppress_privacy import LeNet5, MaskLayerDes, train
from suppress_privacy.defences import DEFENCES, pruning
from suppress_privacy.defences.layers import mask_layers
from suppress_privacy.defences.masks import weights_to_suppress
from suppress_privacy.mnist import Mnist
from suppress_privacy.training import Plan

LAYERS = mask_layers("mindarmour-example")
MIN_NUM = {layer.layer_name: layer.min_num for layer in LAYERS}


def values(network):
    return {parameter.name: parameter.asnumpy().copy() for parameter in network.get_parameters()}


def counts(arrays):
    return {name: int((array == 0).sum()) for name, array in arrays.items() if name.endswith("weight")}


def test_the_smallest_weights_go_and_no_other_is_touched():
    network = LeNet5(seed=0)
    before = values(network)
    report = pruning.Magnitude(network, LAYERS, 0.95).report()
    after = values(network)
    for name, least in MIN_NUM.items():
        gone = after[name] == 0
        assert gone.sum() == weights_to_suppress(gone.size, 0.95, least) == report[name]["suppressed"]
        assert np.abs(before[name][gone]).max() <= np.abs(before[name][~gone]).min()
        assert np.array_equal(after[name][~gone], before[name][~gone])
    assert all(np.array_equal(before[name], after[name]) for name in before if name not in MIN_NUM)


@pytest.fixture(scope="module")
def few(digits):
    return Mnist(
        digits.train_images[:800], digits.train_labels[:800], digits.test_images[:50], digits.test_labels[:50], "x", {}
    )


@pytest.mark.parametrize("optimizer", ["sgd", "momentum"])
def test_what_is_pruned_stays_zero_in_fine_tuning(few, optimizer):
    network = LeNet5(seed=0)
    defence = pruning.Magnitude(network, LAYERS, 0.8)
    pruned = values(network)
    parameters = network.trainable_params()
    made = nn.SGD(parameters, 0.1) if optimizer == "sgd" else nn.Momentum(parameters, 0.05, 0.9, weight_decay=1e-3)
    train(network, made, few, epochs=1, batch_size=20, seed=0, defence=defence)
    after = values(network)
    assert counts(after) == counts(pruned)
    assert all(np.array_equal(after[name] == 0, pruned[name] == 0) for name in MIN_NUM)
    assert any(not np.array_equal(after[name], pruned[name]) for name in MIN_NUM)  # the others learned


UNMOVED = [
    {"layer_name": name, "is_add_noise": False, "is_lower_clip": False, "min_num": least}
    for name, least in MIN_NUM.items()
]


def made(kind, network, data, seed=0, layers=UNMOVED):
    schedule = {"start_epoch": 1, "end_epoch": 1, "mask_times": 4, "sparse_start": 0.0, "sparse_end": 0.9}
    return DEFENCES[kind](layers=layers, **schedule).make(network, Plan(data, 1, 20, 0.1, seed))


def test_random_masks_take_as_many_as_suppression_at_every_update_but_others(few):
    found = {}
    for kind in ("suppress", "random-mask"):
        network = LeNet5(seed=0)
        defence = made(kind, network, few)
        found[kind] = []
        for target in (0.3, 0.6, 0.9):
            defence.update_masks(target)
            found[kind].append({mask.name: mask.asnumpy() > 0 for mask in defence.masks})
    for suppressed, drawn in zip(found["suppress"], found["random-mask"], strict=True):
        for name, mask in drawn.items():
            # Equal weights go together in suppression's large layers, so that a few more or fewer may stay.
            assert mask.sum() == pytest.approx(suppressed[name].sum(), rel=5e-3)
            assert not np.array_equal(mask, suppressed[name])
    for earlier, later in zip(found["random-mask"], found["random-mask"][1:], strict=False):
        assert all(np.all(later[name] <= earlier[name]) for name in later)  # once gone, gone


def test_random_masks_ignore_magnitude_and_repeat_by_seed(few):
    def masks(seed):
        network = LeNet5(seed=0)
        defence = made("random-mask", network, few, seed)
        defence.update_masks(0.5)
        return {mask.name: mask.asnumpy() > 0 for mask in defence.masks}, values(network)

    drawn, weights = masks(0)
    again, other = masks(0)[0], masks(1)[0]
    assert all(np.array_equal(drawn[name], again[name]) for name in drawn)
    assert any(not np.array_equal(drawn[name], other[name]) for name in drawn)
    mask, magnitude = drawn["mask.fc1.weight"], np.abs(weights["fc1.weight"])
    assert magnitude[mask].mean() == pytest.approx(magnitude[~mask].mean(), rel=0.02)


def test_patterns_of_names_are_taken_by_both(few):
    pattern = [{"layer_name": "fc?.weight", "is_add_noise": False, "is_lower_clip": False, "min_num": -1}]
    defence = made("random-mask", LeNet5(seed=0), few, layers=pattern)
    assert [mask.name for mask in defence.masks] == [f"mask.fc{number}.weight" for number in (1, 2, 3)]
    pruned = pruning.Magnitude(LeNet5(seed=0), mask_layers(pattern), 0.5)
    assert list(pruned.report()) == [f"fc{number}.weight" for number in (1, 2, 3)]


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match=r"sparsity is 1\.5"):
        pruning.Magnitude(LeNet5(seed=0), LAYERS, 1.5)
    with pytest.raises(ValueError, match="layer_name is 'fc9"):
        pruning.Magnitude(LeNet5(seed=0), [MaskLayerDes("fc9.weight", None, False, False, -1)], 0.5)


def test_gradual_pruning_takes_the_smallest_at_every_update_and_moves_none(few):
    network = LeNet5(seed=0)
    moved = [layer | {"is_add_noise": True, "is_lower_clip": True} for layer in UNMOVED]
    defence, before = made("gradual-magnitude", network, few, layers=moved), values(network)
    earlier = None
    for target in (0.3, 0.6, 0.9):
        defence.update_masks(target)
        masks = {mask.name.removeprefix("mask."): mask.asnumpy() > 0 for mask in defence.masks}
        for name, mask in masks.items():
            size, least = mask.size, MIN_NUM[name]
            assert size - mask.sum() == int(size * min(1 - max(least, 0) / size, target)), name
            assert np.abs(before[name][~mask]).max() <= np.abs(before[name][mask]).min()
            assert earlier is None or np.all(mask <= earlier[name])
        earlier = masks
    defence()  # what the step after an update does
    for name, mask in earlier.items():
        assert np.array_equal(values(network)[name], before[name] * mask)
