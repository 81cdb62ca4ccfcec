from dataclasses import replace

import mindspore as ms
import numpy as np
import pytest
from mindspore import nn
from scipy.special import log_softmax, softmax

from suppress_privacy import Defence, LeNet5, load_checkpoint, train, training
from suppress_privacy.defences import dpsgd


def weights(network):
    return {parameter.name: parameter.asnumpy().copy() for parameter in network.get_parameters()}


@pytest.fixture(scope="module")
def few(digits):
    chosen = np.arange(0, 4000, 20)
    return replace(digits, train_images=digits.train_images[chosen], train_labels=digits.train_labels[chosen])


def trained(data, seed=0, epochs=1, **options):
    network = LeNet5(seed=seed)
    optimizer = nn.Momentum(network.trainable_params(), 0.05, 0.9)
    history = train(network, optimizer, data, epochs=epochs, batch_size=20, seed=seed, **options)
    return network, history


def test_one_step_is_that_of_softmax_regression():
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((16, 5)).astype(np.float32), rng.integers(0, 3, 16).astype(np.int32)
    network = nn.Dense(5, 3)
    before = weights(network)
    step = training.TrainStep(training.with_cross_entropy(network), nn.SGD(network.trainable_params(), 0.5), Defence())
    loss = float(step(ms.Tensor(x), ms.Tensor(y)))
    logits = x @ before["weight"].T + before["bias"]
    error = (softmax(logits, 1) - np.eye(3)[y]) / 16
    assert loss == pytest.approx(-log_softmax(logits, 1)[np.arange(16), y].mean(), rel=1e-5)
    np.testing.assert_allclose(network.weight.asnumpy(), before["weight"] - 0.5 * error.T @ x, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(network.bias.asnumpy(), before["bias"] - 0.5 * error.sum(0), rtol=1e-4, atol=1e-6)


def test_the_same_seed_gives_the_same_weights_bit_for_bit(few):
    first, again, other = (weights(trained(few, seed)[0]) for seed in (0, 0, 1))
    assert all(np.array_equal(first[name], again[name]) for name in first)
    assert not any(np.array_equal(first[name], other[name]) for name in first)


def test_history_has_one_entry_an_epoch_and_learns(digits):
    network, history = trained(digits, epochs=3)
    assert len(history.loss) == len(history.test_accuracy) == 3
    assert history.loss[-1] < 0.5 * history.loss[0]
    assert history.test_accuracy[-1] > 0.85
    assert history.test_accuracy[-1] == training.accuracy(network, digits.test_images, digits.test_labels)
    assert history.sparsity.keys() == {"conv1.weight", "conv2.weight", "fc1.weight", "fc2.weight", "fc3.weight"}
    assert all(share == 0 for shares in history.sparsity.values() for share in shares)


def test_a_defence_is_asked_at_its_three_points(few):
    class Halving(Defence):
        """Stops all learning by its gradients, then sets every bias of the last layer to 7."""

        def __init__(self, bias):
            super().__init__(auto_prefix=False)
            self.bias = bias
            self.steps = []

        def on_gradients(self, gradients):
            return ms.ops.HyperMap()(ms.ops.zeros_like, gradients)

        def after_update(self):
            ms.ops.assign(self.bias, ms.ops.full_like(self.bias, 7))

        def after_step(self, step):
            self.steps.append(step)

    network = LeNet5(seed=0)
    before = weights(network)
    defence = Halving(network.fc3.bias)
    optimizer = nn.SGD(network.trainable_params(), 0.1)
    train(network, optimizer, few, epochs=2, batch_size=20, seed=0, defence=defence)
    after = weights(network)
    assert defence.steps == list(range(1, 21))
    assert np.all(after["fc3.bias"] == 7)
    assert all(np.array_equal(before[name], after[name]) for name in before if name != "fc3.bias")


def test_the_history_has_the_accuracy_that_the_defence_leaves(few):
    class Coarse(Defence):
        def test_accuracy(self, network, images, labels):
            return round(super().test_accuracy(network, images[:10], labels[:10]), 1) / 7

    network, history = trained(few, epochs=2, defence=Coarse())
    last = training.accuracy(network, few.test_images[:10], few.test_labels[:10])
    assert history.test_accuracy[-1] == pytest.approx(last / 7)


def test_a_plain_defence_releases_any_features_as_they_are():
    features = np.ones((2, 3), np.float32)
    assert Defence().release(features, np.random.default_rng(0)) is features and Defence().releases is None


def test_a_plan_counts_whole_batches(few):
    plan = training.Plan(few, epochs=2, batch_size=30, lr=0.1, seed=0)
    assert plan.steps == 6


def test_checkpoints_are_named_and_kept_as_in_the_tutorial(few, tmp_path):
    network, _ = trained(few, epochs=12, checkpoints=tmp_path)
    found = training.checkpoints_in(tmp_path)
    assert [path.name for path in found] == [f"checkpoint_lenet-{epoch}_10.ckpt" for epoch in range(3, 13)]
    states = [tmp_path / f"training_state-{step:08d}.npz" for step in (110, 120)]
    assert sorted(tmp_path.iterdir()) == sorted([*found, *states])  # nothing half-written beside them
    fresh = LeNet5(seed=9)
    load_checkpoint(fresh, found[-1])
    assert all(np.array_equal(value, weights(network)[name]) for name, value in weights(fresh).items())


def test_a_bad_checkpoint_is_refused_and_changes_nothing(tmp_path):
    network = LeNet5(seed=0)
    before = weights(network)
    foreign, damaged = tmp_path / "foreign.ckpt", tmp_path / "damaged.ckpt"
    ms.save_checkpoint(nn.Dense(3, 3), str(foreign))
    ms.save_checkpoint(network, str(damaged))
    damaged.write_bytes(damaged.read_bytes()[:-1000])
    for path, reason in ((foreign, "of another network"), (damaged, "damaged"), (tmp_path / "none.ckpt", "not a ch")):
        with pytest.raises(ValueError, match=reason):
            load_checkpoint(network, path)
    assert all(np.array_equal(before[name], value) for name, value in weights(network).items())


@pytest.mark.parametrize(("lr", "found"), [(100.0, "its mean loss is inf"), (1e10, "are not finite")])
def test_a_training_that_diverges_stops_at_that_epoch_with_the_remedy(few, tmp_path, lr, found):
    network = LeNet5(seed=0)
    optimizer = nn.SGD(network.trainable_params(), lr)
    with pytest.raises(ValueError, match=rf"\Aepoch 1 diverged, .*{found}: train with a lower learning rate\.\Z"):
        train(network, optimizer, few, epochs=3, batch_size=20, seed=0, checkpoints=tmp_path)
    assert list(tmp_path.iterdir()) == []  # nothing of it passes for a trained network


def test_an_epoch_that_diverges_after_good_ones_leaves_those(few, tmp_path):
    rates = [0.05] * 20 + [1e10] * 10
    network = LeNet5(seed=0)
    optimizer = nn.SGD(network.trainable_params(), rates)
    with pytest.raises(ValueError, match=r"\Aepoch 3 diverged"):
        train(network, optimizer, few, epochs=3, batch_size=20, seed=0, checkpoints=tmp_path)
    kept = training.checkpoints_in(tmp_path)
    assert [path.name for path in kept] == ["checkpoint_lenet-1_10.ckpt", "checkpoint_lenet-2_10.ckpt"]
    load_checkpoint(network, kept[-1])
    assert all(np.isfinite(value).all() for value in weights(network).values())


def test_an_infinite_loss_of_a_private_training_is_an_underflow_and_not_a_divergence(few):
    """An example that is wrong beyond all doubt: its probability underflows, its gradient is as bounded as any."""
    network = LeNet5(seed=0)
    network.fc3.bias.set_data(ms.Tensor(np.float32([0, 0, 0, 1000, 0, 0, 0, 0, 0, 0])))
    assert not np.isfinite(trained_loss(network, few))
    defence = dpsgd.DpSgd(20, 1.0, 0.5, 0)
    optimizer = nn.SGD(network.trainable_params(), 0.01)
    history = train(network, optimizer, few, epochs=1, batch_size=20, seed=0, defence=defence)
    assert 0.5 * dpsgd.LARGEST_LOSS < history.loss[0] <= dpsgd.LARGEST_LOSS
    assert all(np.isfinite(value).all() for value in weights(network).values())


def test_a_private_training_that_does_diverge_says_so(few):
    network = LeNet5(seed=0)
    optimizer = nn.SGD(network.trainable_params(), 1e30)
    with pytest.raises(ValueError, match=r"\Aepoch 1 diverged"):
        train(network, optimizer, few, epochs=1, batch_size=20, seed=0, defence=dpsgd.DpSgd(20, 1.0, 0.5, 0))


def trained_loss(network, data):
    forward = training.with_cross_entropy(network)
    return float(forward(ms.Tensor(data.train_images), ms.Tensor(data.train_labels)))
