from dataclasses import replace

import mindspore as ms
import numpy as np
import pytest
from mindspore import nn
from scipy.stats import kstest

from suppress_privacy import (
    LeNet5,
    MaskLayerDes,
    SuppressPrivacyFactory,
    maskable_layers,
    propose_mask_layers,
    train,
)
from suppress_privacy.convnet import ConvNet
from suppress_privacy.defences import masks, suppress
from suppress_privacy.defences.layers import mask_layers
from suppress_privacy.training import Defence, TrainStep, sparsity, with_cross_entropy

LAYERS = mask_layers("mindarmour-example")


def control(network, layers=LAYERS, **options):
    options = {
        "end_epoch": 2,
        "batch_num": 50,
        "start_epoch": 1,
        "mask_times": 8,
        "lr": 0.1,
        "sparse_end": 0.9,
    } | options
    return SuppressPrivacyFactory().create(network, layers, **options)


def random_schedule(case):
    rng = np.random.default_rng(case)
    start, end = sorted(rng.integers(1, 8, 2).tolist())
    low, high = sorted(rng.uniform(0, 0.99, 2).tolist())
    return suppress.Schedule(
        batch_num=int(rng.integers(1, 60)),
        start_epoch=start,
        end_epoch=end,
        mask_times=int(rng.integers(1, 80)),
        sparse_start=low,
        sparse_end=high,
    )


def naive_steps(schedule, last_step):
    """The updates' steps by a walk over epochs and steps, with the state the reference keeps."""
    found, previous, started = [], 0, False
    for step in range(1, last_step + 1):
        epoch, step_in_epoch = (step - 1) // schedule.batch_num + 1, (step - 1) % schedule.batch_num + 1
        started = started or epoch == schedule.start_epoch
        due = (step - previous) * schedule.mask_times >= schedule.length
        last = epoch == schedule.end_epoch and step_in_epoch == schedule.batch_num - 2
        if started and (due or last):
            previous = step
            found.append(step)
    return found


@pytest.mark.parametrize("case", range(30))
def test_updates_fall_on_the_steps_of_the_reference(case):
    schedule = random_schedule(case)
    last = (schedule.end_epoch + 2) * schedule.batch_num  # past the schedule's end
    assert list(schedule.updates(last)) == naive_steps(schedule, last)


@pytest.mark.parametrize("case", range(30))
def test_sparsity_rises_as_zhu_and_gupta_say(case):
    """A cubic from the first step's to the last's, whose distance from the end goes with the third power of time."""
    schedule = random_schedule(case)
    begin, end = schedule.first_step, schedule.first_step + schedule.length
    assert begin == (schedule.start_epoch - 1) * schedule.batch_num + 1
    assert end == schedule.end_epoch * schedule.batch_num + 1
    values = np.array([schedule.sparsity(step) for step in range(begin, end + 1)])
    assert values[0] == pytest.approx(schedule.sparse_start) and values[-1] == schedule.sparse_end
    assert np.all(np.diff(values) >= 0)
    assert np.diff(values, 3) == pytest.approx(6 * (values[-1] - values[0]) / schedule.length**3, abs=1e-12)
    left = values[-1] - values[::-1]  # by steps to go
    doubled = left[::2]
    assert doubled == pytest.approx(8 * left[: len(doubled)], abs=1e-12)
    assert schedule.sparsity(end + 100) == schedule.sparse_end


def test_the_published_schedule():
    schedule = suppress.Schedule(
        batch_num=1875, start_epoch=3, end_epoch=10, mask_times=1000, sparse_start=0.0, sparse_end=0.95
    )
    updates = schedule.updates(18750)
    steps, targets = list(updates), list(updates.values())
    assert schedule.interval == 15
    assert steps[0] == 3751 and steps[-1] == 18748 and len(steps) == 1001
    assert targets[0] == 0 and targets == sorted(targets)
    assert targets[-1] == pytest.approx(0.95, abs=1e-9)
    assert updates[3751 + 7500] == pytest.approx(0.95 * (1 - 0.5**3))


def naive_small(weights, alive, stop, min_num, noise, clip, bound):
    """One weight after the other: (kept, target or None where noise is drawn)."""
    n = len(weights)
    threshold = np.sort(np.abs(weights))[stop - 1]
    kept, target, masked = alive.copy(), weights.astype(float), 0
    for i, w in enumerate(weights.tolist()):
        sign = 1.0 if w > 0 else -1.0
        if not alive[i]:
            target[i], masked = 0, masked + 1
        elif abs(w) <= threshold:
            if masked < n - min_num and masked < stop:
                kept[i], target[i], masked = False, 0, masked + 1
            else:
                target[i] = sign * min(0.005, threshold)
        elif clip and abs(w) <= 0.005 and threshold > 0.0025:
            target[i] = sign * 0.005
        elif abs(w) > bound:
            target[i] = sign * bound
        elif noise and abs(w) > 0.5:
            target[i] = np.nan
    return kept, target


def random_layer(rng, count):
    """Weights with ties, zeros and values near every bound, and a mask that already has zeros."""
    scale = rng.choice([0.003, 0.05, 1.0])
    weights = (rng.standard_normal(count) * scale).astype(np.float32)
    pick = rng.random(count)
    weights[pick < 0.1] = rng.choice(np.float32([0, 0.005, -0.005, 0.0025, 0.5, -1.2, 1.3]), (pick < 0.1).sum())
    weights[(pick > 0.1) & (pick < 0.3)] = weights[0]
    alive = rng.random(count) > rng.choice([0, 0.3, 0.8])
    weights[~alive] = 0
    return weights, alive


@pytest.mark.parametrize("case", range(300))
def test_small_layers_equal_a_walk_over_their_weights(case):
    rng = np.random.default_rng(case)
    count = int(rng.integers(2, 200))
    weights, alive = random_layer(rng, count)
    min_num = int(rng.choice([-1, 0, 5, count]))
    stop = masks.weights_to_suppress(count, rng.uniform(0.01, 0.99), min_num)
    stop = max(1, stop)
    noise, clip = (rng.random(2) < 0.5).tolist()
    bound = float(rng.choice([0.1, 0.6, 1.2]))
    kept, target = naive_small(weights, alive, stop, min_num, noise, clip, bound)
    layer = MaskLayerDes("w", None, noise, clip, min_num, bound)
    update = masks.update_small_layer(weights, alive, stop, layer, rng)
    noisy = np.isnan(target)
    assert np.array_equal(update.mask, kept)
    np.testing.assert_array_equal(update.weights[~noisy], target[~noisy].astype(np.float32))
    assert update.noised == noisy.sum()
    assert (np.abs(update.weights[noisy] - weights[noisy]) <= 0.1 + 1e-6).all()


def test_noise_is_uniform_between_its_bounds():
    weights = np.full(10_000, 0.9, np.float32)
    weights[0] = 0
    layer = MaskLayerDes("w", None, is_add_noise=True, is_lower_clip=False, min_num=-1)
    update = masks.update_small_layer(weights, np.ones(10_000, bool), 1, layer, np.random.default_rng(0))
    draws = (weights - update.weights)[1:]
    assert update.noised == 9_999
    assert kstest(draws, "uniform", args=(-0.1, 0.2)).pvalue > 0.01


@pytest.mark.parametrize("case", range(60))
def test_large_layers_are_cut_at_the_smallest_distinct_magnitudes(case):
    rng = np.random.default_rng(case)
    weights, alive = random_layer(rng, 10_001)
    stop = int(rng.integers(1, 10_001))
    masked = int((~alive).sum())
    update = masks.update_large_layer(weights, alive, stop)
    magnitudes = np.abs(weights).tolist() if masked == 0 else sorted({abs(w) for w in weights[alive].tolist()})
    position = min(stop - masked, len(magnitudes) - 1)
    threshold = sorted(magnitudes)[position - 1] if position >= 1 else 0
    if stop <= masked or (threshold == 0 and masked):
        assert update is None
        return
    assert np.array_equal(update.mask, np.abs(weights) > threshold)
    assert np.array_equal(update.weights, np.where(update.mask, weights, 0))


@pytest.mark.parametrize("momentum", [0.0, 0.5])  # masks act on gradients, or on weights after the optimiser
def test_the_step_applies_masks_and_moves_as_the_equation_says(momentum):
    """w <- (w - lr g) m + d in the step after an update, w <- (w - lr g) m from then on."""
    rng = np.random.default_rng(0)
    images = ms.Tensor(rng.random((8, 1, 32, 32)).astype(np.float32))
    labels = ms.Tensor(rng.integers(0, 10, 8).astype(np.int32))
    networks = [LeNet5(seed=3), LeNet5(seed=3)]
    for network in networks:  # large enough weights to be bounded and to get noise
        network.fc3.weight.set_data(network.fc3.weight * 20)
    suppressed, plain = networks
    layers = [
        MaskLayerDes("conv1.weight", 0, True, True, 10, 0.1),
        MaskLayerDes("fc1.weight", 2, True, True, -1),
        MaskLayerDes("fc3.weight", 6, True, True, -1, 1.0),
    ]
    defence = control(suppressed, layers)
    optimizers = [nn.SGD(network.trainable_params(), 0.1, momentum) for network in networks]
    step = TrainStep(with_cross_entropy(suppressed), optimizers[0], defence)
    plain_step = TrainStep(with_cross_entropy(plain), optimizers[1], Defence())
    assert defence.masks_gradients == (momentum == 0)
    defence.update_masks(0.5)
    report = defence.report()
    assert report["fc3.weight"]["lowered"] > 0 and report["fc3.weight"]["noised"] > 0
    kept = {name: mask.asnumpy() for name, mask in zip(report, defence.masks, strict=True)}
    moves = dict.fromkeys(report, 0)  # fc1 is too large a layer to move weights
    moves |= {name: move.asnumpy() for name, move in zip(("conv1.weight", "fc3.weight"), defence.moves, strict=True)}
    assert np.abs(moves["fc3.weight"]).max() > 0 and not np.any(moves["fc3.weight"] * (kept["fc3.weight"] == 0))
    for number in (1, 2):
        step(images, labels)
        plain_step(images, labels)
        defence.after_step(1)  # no update is due; it ends the move
        for name, mask in kept.items():
            expected = plain.parameters_dict()[name].asnumpy() * mask + (moves[name] if number == 1 else 0)
            found = suppressed.parameters_dict()[name].asnumpy()
            np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
            assert np.all(found[mask == 0] == 0)
        for mine, other in zip(suppressed.get_parameters(), plain.get_parameters(), strict=True):
            other.set_data(mine.copy())


@pytest.mark.parametrize("compat", [False, True])
def test_masks_follow_the_order_in_which_an_optimiser_has_the_parameters(compat):
    rng = np.random.default_rng(0)
    images = ms.Tensor(rng.random((8, 1, 32, 32)).astype(np.float32))
    labels = ms.Tensor(rng.integers(0, 10, 8).astype(np.int32))

    def trained(turn):
        network = LeNet5(seed=3)
        layers = [
            MaskLayerDes("conv2.weight", 1, True, True, 10),
            MaskLayerDes("fc2.weight", 4, True, True, -1),
        ]
        defence = control(network, layers, lr=0.1, compat=compat)
        step = TrainStep(with_cross_entropy(network), nn.SGD(turn(network.trainable_params()), 0.1), defence)
        defence.update_masks(0.5)
        for _ in range(2):
            step(images, labels)
            defence.after_step(1)
        return {parameter.name: parameter.asnumpy() for parameter in network.trainable_params()}

    forwards, backwards = trained(lambda parameters: parameters), trained(lambda parameters: parameters[::-1])
    for name, values in forwards.items():
        np.testing.assert_allclose(backwards[name], values, rtol=1e-5, atol=1e-7, err_msg=name)
    assert 0.49 < np.mean(np.abs(forwards["fc2.weight"]) < 1e-7) < 0.51


@pytest.mark.parametrize("optimizer", ["sgd", "momentum", "adam"])
def test_suppressed_weights_are_exactly_zero_under_any_optimiser(digits, optimizer):
    network = LeNet5(seed=0)
    chosen = {
        "sgd": lambda: nn.SGD(network.trainable_params(), 0.1),
        "momentum": lambda: nn.Momentum(network.trainable_params(), 0.01, 0.9, weight_decay=1e-4),
        "adam": lambda: nn.Adam(network.trainable_params(), 1e-3),
    }[optimizer]()
    defence = control(network, batch_num=40, mask_times=6, sparse_end=0.95)
    train(network, chosen, digits, epochs=2, batch_size=100, seed=0, defence=defence)
    shares = sparsity(network)
    # Two-sided: neither a defence that does nothing nor one that removes more than asked passes.
    assert all(0.93 <= share <= 0.951 for share in shares.values()), shares
    report = defence.report()
    assert {name: entry["suppressed"] / entry["weights"] for name, entry in report.items()} == pytest.approx(shares)


def test_min_num_weights_stay():
    network = LeNet5(seed=0)
    defence = control(network, [MaskLayerDes("conv1.weight", None, False, False, 100)])
    defence.update_masks(0.95)
    assert defence.report()["conv1.weight"]["suppressed"] == 50


def test_an_update_is_left_out_while_the_first_layer_is_dead():
    network = LeNet5(seed=0)
    network.conv1.weight.set_data(network.conv1.weight * 0.1)
    defence = control(network)
    defence.update_masks(0.5)
    assert defence.report() == {}
    idle = control(network, [MaskLayerDes("conv1.weight", 0, False, True, 150), *LAYERS[1:]])
    idle.update_masks(0.5)  # the first layer keeps all its weights, so whether it is dead does not matter
    assert len(idle.report()) == 4
    without_first = control(network, LAYERS[1:])
    without_first.update_masks(0.5)
    assert len(without_first.report()) == 4


def test_a_large_first_layer_is_bounded_but_gets_no_noise():
    network = nn.SequentialCell(nn.Dense(200, 100, weight_init="normal"), nn.Dense(100, 10))
    weight = next(network.get_parameters())
    weight.set_data(ms.Tensor(np.random.default_rng(0).standard_normal((100, 200)).astype(np.float32)))
    defence = control(network, [MaskLayerDes(weight.name, 0, True, True, -1)])
    defence.update_masks(0.5)
    entry = defence.report()[weight.name]
    assert entry["suppressed"] == 10_000 and entry["lowered"] > 0 and entry["noised"] == 0


def test_maskable_layers_are_the_trainable_weights_without_norms_and_biases():
    network = ConvNet()
    found = maskable_layers(network)
    trainable = [parameter.name for parameter in network.trainable_params()]
    assert [trainable[layer.grad_idx] for layer in found] == [layer.layer_name for layer in found]
    assert [len(layer.shape) for layer in found] == [4] * 6 + [2, 2]
    assert all(layer.weights == np.prod(layer.shape) for layer in found)
    network.fc1.weight.requires_grad = False
    assert "fc1.weight" not in [layer.layer_name for layer in maskable_layers(network)]


def test_the_proposal_for_lenet_is_mindarmours_example():
    # A sixteenth of the last layer's weights stay; the example keeps 50.
    assert propose_mask_layers(LeNet5(seed=0)) == [*LAYERS[:-1], replace(LAYERS[-1], min_num=53)]
    network = ConvNet()
    defence = SuppressPrivacyFactory().create(network, propose_mask_layers(network))
    defence.update_masks(0.9)
    assert all(entry["alive"] == entry["weights"] - entry["suppressed"] for entry in defence.report().values())


def test_a_pattern_names_all_weights_it_matches():
    network = ConvNet()
    layers = [MaskLayerDes("features.*", None, False, False, -1), MaskLayerDes("fc2.weight", None, False, False, 5)]
    defence = SuppressPrivacyFactory().create(network, layers)
    names = [layer.layer_name for layer in maskable_layers(network)]
    assert [weight.name for weight in defence.weights] == [*names[:6], "fc2.weight"]


@pytest.mark.parametrize("position", [1, 3, 40, 60, 95, 96, 200])
@pytest.mark.parametrize("ties", [0, 150])
def test_the_distinct_threshold_is_that_of_a_full_sort(position, ties):
    rng = np.random.default_rng(position)
    values = rng.random(400).astype(np.float32)
    values[:ties] = values[-1]
    distinct = np.unique(values)
    assert masks.smallest_distinct(values, position) == distinct[min(position, len(distinct) - 1) - 1]
    assert masks.smallest_distinct(np.full(400, 0.5), position) is None
