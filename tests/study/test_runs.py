"""Arms that build on others, and attacks on what they leave, on a few digits."""

import numpy as np
import pytest

from conftest import ROOT
from suppress_privacy.lenet import LeNet5
from suppress_privacy.mnist import Mnist
from suppress_privacy.study import runs
from suppress_privacy.study.runs import Earlier, Victim, train_arm
from suppress_privacy.study.settings import Study, Targets
from suppress_privacy.training import History, checkpoints_in

STUDY = Study.load(ROOT / "study.yaml")
SHORT = {"epochs": 2, "batch_size": 8}


@pytest.fixture(scope="module")
def few(digits):
    return Mnist(digits.train_images[::3], digits.train_labels[::3], digits.test_images, digits.test_labels, "few", {})


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """The folder that the ordinary network's checkpoints are kept in."""
    return tmp_path_factory.mktemp("checkpoints")


@pytest.fixture(scope="module")
def dense(few, kept):
    return train_arm(STUDY.arm("full", "dense-sgd", SHORT), 0, few, kept)


def earlier(dense, wanted, checkpoints=None):
    return {
        "dense-sgd": Earlier(dense.network, dense.history, checkpoints),
        "suppressed-example": Earlier(None, History([], [0.1, wanted], {})),
    }


def weights(network):
    return {parameter.name: parameter.asnumpy().copy() for parameter in network.get_parameters()}


def test_an_untrained_arm_is_its_seeds_draw_with_a_checkpoint(few, tmp_path):
    (tmp_path / "checkpoint_lenet-9_1.ckpt").write_bytes(b"of an earlier run")
    made = train_arm(STUDY.arm("full", "untrained"), 3, few, tmp_path)
    drawn = weights(runs.LeNet5(seed=3))
    assert all(np.array_equal(values, drawn[name]) for name, values in weights(made.network).items())
    assert [path.name for path in checkpoints_in(tmp_path)] == ["checkpoint_lenet-0_0.ckpt"]
    assert made.history.loss == [] and made.history.test_accuracy[0] < 0.4


def test_a_model_of_equal_accuracy_is_the_other_as_it_was_after_that_epoch(few, dense, kept, tmp_path):
    arm = STUDY.arm("full", "accuracy-matched", SHORT)
    (tmp_path / "checkpoint_lenet-9_1.ckpt").write_bytes(b"of an earlier run")
    for epoch in (1, 2):
        wanted = dense.history.test_accuracy[epoch - 1]
        made = train_arm(arm, 0, few, tmp_path, earlier=earlier(dense, wanted, kept))
        assert made.facts == {"epochs": epoch, "wanted_accuracy": wanted}
        assert made.history.test_accuracy == dense.history.test_accuracy[:epoch]
        assert runs.accuracy(made.network, few.test_images, few.test_labels) == wanted
        left = checkpoints_in(tmp_path)
        assert [path.read_bytes() for path in left] == [path.read_bytes() for path in checkpoints_in(kept)[:epoch]]
    assert all(np.array_equal(values, weights(dense.network)[name]) for name, values in weights(made.network).items())
    trained = train_arm(arm.model_copy(update={"stop": None}), 0, few)  # as its shadow networks are
    assert all(
        np.array_equal(values, weights(dense.network)[name]) for name, values in weights(trained.network).items()
    )
    with pytest.raises(ValueError, match="has no checkpoint of epoch 2: train dense-sgd again"):
        train_arm(arm, 0, few, earlier=earlier(dense, wanted, tmp_path / "none"))
    assert runs.nearest_epoch([0.5, 0.9, 0.95, 0.9], 0.9) == 2  # the first of several


def test_pruning_starts_from_the_trained_weights_and_leaves_them_as_they_are(few, dense):
    before = weights(dense.network)
    pruned = train_arm(STUDY.arm("full", "magnitude-oneshot"), 0, few, earlier=earlier(dense, 0.9))
    tuned = train_arm(STUDY.arm("full", "magnitude-finetuned", SHORT), 0, few, earlier=earlier(dense, 0.9))
    for name, values in weights(pruned.network).items():
        assert np.array_equal(values[values != 0], before[name][values != 0])
        assert np.array_equal(before[name], weights(dense.network)[name])
    counts = [entry["suppressed"] for entry in pruned.report.values()]
    assert counts == [entry["suppressed"] for entry in tuned.report.values()] and min(counts) > 0
    zeros = {name: values == 0 for name, values in weights(pruned.network).items()}
    assert all(np.array_equal(values == 0, zeros[name]) for name, values in weights(tuned.network).items())
    assert tuned.history.test_accuracy[-1] > pruned.history.test_accuracy[-1]


def test_equal_sparsity_is_equal_in_every_layer():
    """The pruned arms have as many zeros in each layer as the suppressed example aims at."""
    suppressed = STUDY.arm("full", "suppressed-example").defence
    pruned = STUDY.arm("full", "magnitude-finetuned").defence
    assert pruned.sparsity == suppressed.sparse_end
    assert pruned.min_num == {layer.name: layer.min_num for layer in suppressed.layers}


@pytest.fixture(scope="module")
def noisy(few, dense):
    wanted = dense.history.test_accuracy[-1] - 0.03
    return train_arm(STUDY.arm("full", "feature-noise"), 0, few, earlier=earlier(dense, wanted))


def test_noise_on_features_costs_what_it_should(noisy):
    assert noisy.facts["sigma"] > 0
    assert noisy.history.test_accuracy[-1] == pytest.approx(noisy.facts["wanted_accuracy"], abs=0.002)


def test_an_attack_sees_noisy_features_and_only_those(few, dense, noisy):
    targets = runs.choose_targets(few, Targets(train_per_class=2, test_per_class=2))
    ridge = STUDY.attack("full", "decoder-ridge")

    def skill(sigma):
        victim = Victim(noisy.network, noise=sigma, noise_depth="fc1")
        return runs.attack(ridge, victim, targets, {}, few, 0)[0]["skill"].mean()

    assert skill(0.0) > skill(noisy.facts["sigma"]) > skill(20.0) - 0.02
    victim = Victim(noisy.network, noise=1.0, noise_depth="fc1")
    with pytest.raises(ValueError, match="depth is conv1; this model releases fc1 alone"):
        runs.attack(STUDY.attack("full", "ridge-conv1"), victim, targets, {}, few, 0)
    with pytest.raises(ValueError, match="membership-loss does not look at features"):
        runs.attack(STUDY.attack("full", "membership-loss"), victim, targets, {}, few, 0)
    with pytest.raises(ValueError, match="leave shadows out"):
        victim.shadow(0, few)


def test_networks_are_compiled_once_for_all_attacks_on_a_model(few, dense):
    targets = runs.choose_targets(few, Targets(train_per_class=2, test_per_class=2))
    victim, evaluator = Victim(dense.network), LeNet5(seed=1)
    for _ in range(3):
        runs.attack(STUDY.attack("full", "floor-mean"), victim, targets, {"lenet": evaluator}, few, 0)
    assert len(evaluator.compile_cache) == 1


def test_a_shadow_follows_the_whole_recipe(few, dense):
    """A pruned and fine-tuned network's shadow is trained, pruned and fine-tuned on its own data."""
    arm = STUDY.arm("full", "magnitude-finetuned", SHORT)
    base = STUDY.arm("full", "dense-sgd", SHORT)
    shadow = Victim(dense.network, arm=arm, base=base).shadow(5, few)
    alone = train_arm(base, 5, few)
    by_hand = train_arm(arm, 5, few, earlier={"dense-sgd": Earlier(alone.network, alone.history)}).network
    for name, values in weights(shadow).items():
        assert np.array_equal(values, weights(by_hand)[name])
    assert np.mean(weights(shadow)["fc1.weight"] == 0) == 0.95


def test_shadows_are_trained_once_for_all_victims_of_a_recipe(few, dense, tmp_path, monkeypatch):
    lira = STUDY.attack("full", "membership-lira", {"candidates": 100, "shadows": 4})
    trained = []

    def untrained(self, seed, data):
        trained.append(seed)
        return LeNet5(seed=seed)

    monkeypatch.setattr(Victim, "shadow", untrained)

    def scores(seed, batch_size, shadows):
        arm = STUDY.arm("full", "dense-sgd", SHORT | {"batch_size": batch_size})
        victim = Victim(dense.network, arm=arm, seed=seed)
        return runs.attack(lira, victim, None, {}, few, seed, shadows=shadows)[0]["score"]

    first = scores(0, 8, tmp_path)
    assert len(trained) == 4
    assert np.array_equal(scores(1, 8, tmp_path), first) and len(trained) == 4
    assert np.array_equal(scores(1, 8, None), first) and len(trained) == 8  # as if none had been kept
    scores(0, 20, tmp_path)
    assert len(trained) == 12  # another recipe


def test_private_training_reports_its_guarantee(few):
    made = train_arm(STUDY.arm("full", "dpsgd-eps7", {"epochs": 1, "batch_size": 100}), 0, few)
    assert 6.9 < made.facts["epsilon"] <= 7 and made.facts["steps"] == 13
    again = train_arm(STUDY.arm("full", "dpsgd-eps7", {"epochs": 1, "batch_size": 100}), 0, few)
    assert all(np.array_equal(values, weights(again.network)[name]) for name, values in weights(made.network).items())
