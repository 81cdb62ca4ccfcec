"""Differential tests against MindArmour itself: schedules, masks and moved weights."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import nn

from suppress_privacy import MaskLayerDes, SuppressPrivacyFactory
from suppress_privacy.defences.masks import LARGE_LAYER
from suppress_privacy.defences.suppress import Schedule


class OneLayer(nn.Cell):
    """A network whose masked layer is its second parameter, or its first."""

    def __init__(self, weights, first):
        super().__init__()
        if not first:
            self.before = ms.Parameter(ms.Tensor(np.ones(1, np.float32)))
        self.weight = ms.Parameter(ms.Tensor(weights))


def their_control(original, network, layer, **options):
    options = {
        "end_epoch": 10,
        "batch_num": 20,
        "start_epoch": 1,
        "mask_times": 10,
        "lr": 0.5,
        "sparse_end": 0.9,
    } | options
    return original.SuppressPrivacyFactory().create(network, [original.MaskLayerDes(*layer)], **options)


@pytest.mark.parametrize("case", range(30))
def test_schedules_are_equal(original, case):
    rng = np.random.default_rng(case)
    start, end = sorted(rng.integers(1, 9, 2).tolist())
    low, high = sorted(rng.uniform(0, 0.99, 2).tolist())
    settings = {
        "batch_num": int(rng.integers(3, 80)),
        "start_epoch": start,
        "end_epoch": end,
        "mask_times": int(rng.integers(1, 100)),
        "sparse_start": low,
        "sparse_end": high,
    }
    network = OneLayer(np.ones(4, np.float32), first=True)
    theirs = their_control(original, network, ("weight", 0, False, False, -1), **settings)
    last = (end + 1) * settings["batch_num"]
    expected = {}
    for step in range(1, last + 1):
        epoch, in_epoch = (step - 1) // settings["batch_num"] + 1, (step - 1) % settings["batch_num"] + 1
        theirs.update_status(epoch, step, in_epoch)
        if theirs.to_do_mask:
            theirs.update_mask(network, step)
            expected[step] = theirs.cur_sparse
    found = Schedule(**settings).updates(last)
    assert list(found) == list(expected)
    assert found == pytest.approx(expected, rel=1e-12, abs=1e-15)


def random_state(rng):
    """Weights, an earlier mask, and every flag; sizes on both sides of 10,000, ties and zeros among the weights."""
    large = rng.random() < 0.3
    count = int(rng.integers(10_001, 12_000) if large else rng.choice([rng.integers(2, 400), 10_000], p=[0.95, 0.05]))
    weights = (rng.standard_normal(count) * rng.choice([0.003, 0.03, 0.3, 1.0])).astype(np.float32)
    pick = rng.random(count)
    specials = np.float32([0, 0.005, -0.005, 0.0025, 0.5, -0.5, 1.2, -1.3])
    weights[pick < 0.05] = rng.choice(specials, (pick < 0.05).sum())
    weights[(pick > 0.1) & (pick < 0.2)] = rng.choice(weights, 3)[
        rng.integers(0, 3, ((pick > 0.1) & (pick < 0.2)).sum())
    ]
    flags = rng.random(2) < 0.5
    min_num = int(rng.choice([-1, 0, 3, count // 2, count]))
    bound = float(rng.choice([0.05, 0.3, 1.2]))
    return weights, bool(flags[0]), bool(flags[1]), min_num, bound


@pytest.mark.parametrize("case", range(320))
def test_masks_and_moved_weights_are_equal(original, case):
    """Two updates in a row, the second from the state the first left."""
    rng = np.random.default_rng(case)
    weights, noise, clip, min_num, bound = random_state(rng)
    first = bool(rng.random() < 0.3)
    lr = 0.5
    layer = ("weight", 0 if first else 1, noise, clip, min_num, bound)
    their_network, our_network = OneLayer(weights, first), OneLayer(weights, first)
    theirs = their_control(original, their_network, layer, lr=lr)
    ours = SuppressPrivacyFactory().create(our_network, [MaskLayerDes(*layer)], lr=lr, batch_num=20)
    for sparsity in sorted(rng.uniform(0.02, 0.89, 2)):
        before = their_network.weight.asnumpy().copy()
        theirs.reset_zeros()
        theirs.update_mask(their_network, 1, target_sparse=float(sparsity))
        ours.update_masks(float(sparsity))
        index = layer[1]
        mask = theirs.grads_mask_list[index].mul_mask_tensor.asnumpy().astype(bool)
        moving = theirs.de_weight_mask_list[index]
        added = moving.add_mask_tensor.asnumpy() if moving.just_update > 0 else np.zeros_like(before)
        target = before - lr * added  # w - lr * (w - target) / lr
        np.testing.assert_array_equal(ours.masks[0].asnumpy().astype(bool), mask)
        ours.after_step(0)  # no update is due at step 0; the weights go where the last one wanted them
        moved = our_network.weight.asnumpy()
        assert np.all(moved[~mask] == 0) or moving.just_update <= 0
        noisy = np.zeros_like(mask)
        if noise and len(weights) <= LARGE_LAYER and moving.just_update > 0:
            threshold = max(0.5, ours.report()["weight"]["threshold"])
            # Short of the bound: a weight that sits on it is moved to where it is.
            noisy = mask & (np.abs(before) > threshold) & (np.abs(before) < max(0.1, bound) - 1e-6)
        np.testing.assert_allclose(moved[~noisy], (target * mask)[~noisy], rtol=1e-5, atol=1e-6)
        for shifts in (moved[noisy] - before[noisy], target[noisy] - before[noisy]):
            assert np.all(shifts != 0) and np.all(np.abs(shifts) <= 0.1 + 1e-6)
        # Both networks go on from the same weights.
        for network in (their_network, our_network):
            network.weight.set_data(ms.Tensor((moved * mask).astype(np.float32)))
