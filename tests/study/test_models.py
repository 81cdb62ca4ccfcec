"""How arms become networks: drawn, trained, cut from another's training, pruned, or left alone behind noise."""

import shutil
from dataclasses import replace

import mindspore as ms
import numpy as np
import pytest

from suppress_privacy.files import sha256_of
from suppress_privacy.lenet import LeNet5
from suppress_privacy.training import History, accuracy, checkpoints_in, load_checkpoint
from suppress_study import models
from suppress_study.jobs import Model
from suppress_study.models import Models, Trained, checkpoints_of, make
from suppress_study.plan import Study
from suppress_study.results import read_job, write_job
from suppress_study.settings import Optimizer

STUDY = Study.load()
SHORT = {"epochs": 2, "batch_size": 8}


def arm(name, overrides=None):
    return STUDY.arm("full", name, overrides)


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """The folder that the ordinary network's checkpoints are kept in."""
    return tmp_path_factory.mktemp("checkpoints")


@pytest.fixture(scope="module")
def dense(few, kept):
    return make(arm("dense-sgd", SHORT), 0, few, kept)


def earlier(dense, wanted):
    """What arms build on: the ordinary network, and another of the accuracy that is wanted."""
    other = Trained(None, arm("suppressed-example"), 0, History([], [0.1, wanted], {}))
    return {"dense-sgd": dense, "suppressed-example": other}


def weights(network):
    return {parameter.name: parameter.asnumpy().copy() for parameter in network.get_parameters()}


def same(one, other):
    one, other = weights(one), weights(other)
    return one.keys() == other.keys() and all(np.array_equal(one[name], other[name]) for name in one)


def test_a_narrow_network_is_narrow_in_its_first_dense_layer_alone(few, tmp_path):
    made = make(arm("untrained", {"units": 7}), 3, few, tmp_path)
    shapes = {name: each.shape for name, each in weights(made.network).items()}
    assert shapes["fc1.weight"] == (7, 400) and shapes["fc2.weight"] == (84, 7) and shapes["fc3.weight"] == (10, 84)
    features, rest = made.halves("fc1")
    seen = features(ms.Tensor(few.test_images[:3]))
    assert seen.shape == (3, 7)
    assert np.array_equal(rest(seen).asnumpy(), made.network(ms.Tensor(few.test_images[:3])).asnumpy())


def test_an_untrained_arm_is_its_seeds_draw_with_a_checkpoint(few, tmp_path):
    (tmp_path / "checkpoint_lenet-9_1.ckpt").write_bytes(b"of an earlier run")
    made = make(arm("untrained"), 3, few, tmp_path)
    assert same(made.network, LeNet5(seed=3)) and not same(made.network, LeNet5(seed=4))
    assert [path.name for path in checkpoints_in(tmp_path)] == ["checkpoint_lenet-0_0.ckpt"]
    assert made.history.loss == []
    assert made.history.test_accuracy == [accuracy(made.network, few.test_images, few.test_labels)]
    assert made.defence.report() == {} == made.defence.facts()


def test_a_model_of_equal_accuracy_is_the_other_as_it_was_after_that_epoch(few, dense, kept, tmp_path):
    matched = arm("accuracy-matched", SHORT)
    (tmp_path / "checkpoint_lenet-9_1.ckpt").write_bytes(b"of an earlier run")
    for epoch in (1, 2):
        wanted = dense.history.test_accuracy[epoch - 1]
        made = make(matched, 0, few, tmp_path, earlier=earlier(dense, wanted))
        assert made.defence.facts() == {"epochs": epoch, "wanted_accuracy": wanted}
        assert made.history.test_accuracy == dense.history.test_accuracy[:epoch]
        assert {len(shares) for shares in made.history.sparsity.values()} == {epoch}
        assert accuracy(made.network, few.test_images, few.test_labels) == wanted
        left = checkpoints_in(tmp_path)
        assert [path.read_bytes() for path in left] == [path.read_bytes() for path in checkpoints_in(kept)[:epoch]]
        assert made.sha256 == sha256_of(left[-1])
    assert same(made.network, dense.network) and made.sha256 == dense.sha256
    with pytest.raises(ValueError, match=r"has no checkpoint of epoch 2: train dense-sgd again"):
        make(matched, 0, few, earlier=earlier(replace(dense, checkpoints=tmp_path / "none"), wanted))


def test_where_to_cut_is_chosen_on_the_images_set_apart(few, dense, kept):
    """The epoch whose accuracy is nearest there, though on all test images another one is."""
    first, last = dense.history.test_accuracy
    divided = History(
        **dense.history.as_dict() | {"validation_accuracy": [last, first], "reported_accuracy": [0.1, 0.2]}
    )
    wanted = Trained(None, arm("suppressed-example"), 0, History(test_accuracy=[last], validation_accuracy=[last]))
    built_on = {"dense-sgd": replace(dense, history=divided), "suppressed-example": wanted}
    made = make(arm("accuracy-matched", SHORT), 0, few, earlier=built_on)
    assert made.defence.facts() == {"epochs": 1, "wanted_accuracy": last}
    assert made.outcome({})["results"]["reported_accuracy"] == 0.1


def test_noise_is_as_strong_as_it_may_be_on_the_images_set_apart(few, dense):
    aside = np.flatnonzero(few.test_labels < 4)
    chosen_on = few.test_images[aside], few.test_labels[aside]
    wanted = accuracy(dense.network, *chosen_on) - 0.1
    built_on = earlier(dense, wanted)
    noisy = make(arm("feature-noise"), 0, replace(few, validation=aside), earlier=built_on)
    assert noisy.history.validation_accuracy[-1] == pytest.approx(wanted, abs=1 / len(aside))
    assert (
        noisy.defence.facts()["sigma"] != make(arm("feature-noise"), 0, few, earlier=built_on).defence.facts()["sigma"]
    )


def test_the_epoch_to_cut_at_is_the_nearest_and_of_several_the_first():
    assert models.nearest_epoch([0.5, 0.9, 0.95, 0.9], 0.9) == 2
    assert models.nearest_epoch([0.5, 0.9, 0.95], 0.99) == 3
    assert models.nearest_epoch([0.5, 0.9, 0.95], 0.1) == 1


def test_pruning_starts_from_the_trained_weights_and_leaves_them_as_they_are(few, dense):
    before = weights(dense.network)
    pruned = make(arm("magnitude-oneshot"), 0, few, earlier=earlier(dense, 0.9))
    tuned = make(arm("magnitude-finetuned", SHORT), 0, few, earlier=earlier(dense, 0.9))
    assert pruned.base == tuned.base == dense.arm
    after = weights(dense.network)
    assert all(np.array_equal(values, after[name]) for name, values in before.items())
    zeros = {}
    for name, values in weights(pruned.network).items():
        zeros[name] = values == 0
        assert np.array_equal(values[values != 0], before[name][values != 0])
    counts = [entry["suppressed"] for entry in pruned.defence.report().values()]
    assert counts == [entry["suppressed"] for entry in tuned.defence.report().values()] and min(counts) > 0
    assert all(np.array_equal(values == 0, zeros[name]) for name, values in weights(tuned.network).items())
    assert not same(tuned.network, pruned.network)
    assert tuned.history.test_accuracy[-1] > pruned.history.test_accuracy[-1]


def test_noise_on_features_costs_what_it_should_and_changes_no_weight(few, dense):
    wanted = dense.history.test_accuracy[-1] - 0.03
    noisy = make(arm("feature-noise"), 0, few, earlier=earlier(dense, wanted))
    facts = noisy.defence.facts()
    assert facts["sigma"] > 0 and facts["wanted_accuracy"] == wanted
    assert noisy.history.test_accuracy[-1] == pytest.approx(wanted, abs=0.002)
    assert noisy.defence.releases == "fc1" and same(noisy.network, dense.network)
    with pytest.raises(ValueError, match="protection is noise on its features, not its training: leave shadows out"):
        noisy.shadow(0, few)


def test_a_shadow_follows_the_whole_recipe(few, dense):
    """A pruned and fine-tuned network's shadow is trained, pruned and fine-tuned on its own data."""
    tuned, base = arm("magnitude-finetuned", SHORT), arm("dense-sgd", SHORT)
    other = replace(few, train_images=few.train_images[:240], train_labels=few.train_labels[:240])
    shadow = Trained(dense.network, tuned, 0, base=base).shadow(5, other)
    by_hand = make(tuned, 5, other, earlier={"dense-sgd": make(base, 5, other)})
    assert same(shadow, by_hand.network)
    assert np.mean(weights(shadow)["fc1.weight"] == 0) == 0.95


def test_a_cut_arms_shadow_is_trained_as_long_as_it_was(few, dense):
    other = replace(few, train_images=few.train_images[:240], train_labels=few.train_labels[:240])
    cut = make(arm("accuracy-matched", SHORT), 0, few, earlier=earlier(dense, dense.history.test_accuracy[0]))
    assert len(cut.history.loss) == 1
    shadow = cut.shadow(5, other)
    assert same(shadow, make(arm("dense-sgd", SHORT | {"epochs": 1}), 5, other).network)


def test_private_training_reports_its_guarantee(few):
    made = make(arm("dpsgd-eps7", {"epochs": 1, "batch_size": 100}), 0, few)
    assert 6.9 < made.defence.facts()["epsilon"] <= 7 and made.defence.facts()["steps"] == 13


def test_a_rate_that_decays_falls_in_a_line_to_its_last_step():
    network = LeNet5(seed=0)
    constant = models.optimizer(Optimizer(name="sgd", lr=0.4), network, 4)
    falling = models.optimizer(Optimizer(name="sgd", lr=0.4, decay="linear"), network, 4)
    assert not constant.dynamic_lr and constant.get_lr().asnumpy() == pytest.approx(0.4)
    assert falling.learning_rate.learning_rate.asnumpy() == pytest.approx([0.4, 0.3, 0.2, 0.1])
    momentum = models.optimizer(Optimizer(name="momentum", lr=0.1, momentum=0.9), network, 4)
    assert momentum.momentum.asnumpy() == pytest.approx(0.9)


def test_a_network_is_known_at_each_moment_of_its_own_training(dense, kept):
    assert dense.at("end") is dense.network
    assert same(dense.at("start"), LeNet5(seed=0))
    middle = LeNet5(seed=1)
    load_checkpoint(middle, checkpoints_in(kept)[0])  # of two
    assert same(dense.at("middle"), middle) and not same(middle, dense.network)
    with pytest.raises(
        ValueError, match="moment is 'start'; this model started from a trained one: attack that at its end"
    ):
        replace(dense, base=dense.arm).at("start")
    with pytest.raises(ValueError, match="moment is 'middle'; of a network from elsewhere only the end"):
        replace(dense, checkpoints=None).at("middle")


# From a run and its checkpoint, the network again


def keep(folder, job, trained, earlier):
    write_job(folder / "runs" / f"{job}.npz", [(replace(job.runs[0], **trained.outcome(earlier)), {})])


@pytest.fixture(scope="module")
def found_again(few, tmp_path_factory):
    """Runs of a pruned network and of the one it started from, as a rerunner made them."""
    folder, found = tmp_path_factory.mktemp("results"), {}
    kept = Models([folder], STUDY, "full")
    for name in ("dense-sgd", "magnitude-finetuned"):
        model, recipe = Model(name, 2), arm(name, SHORT)
        trained = make(recipe, 2, few, checkpoints_of(folder, model), earlier=found)
        keep(folder, STUDY.training("full", model, SHORT), trained, found)
        found = {name: trained}
    return kept


def test_a_model_comes_back_from_its_run_with_the_recipe_it_was_made_by(found_again, few):
    model = Model("magnitude-finetuned", 2)
    found, (made, _) = found_again.load(model), found_again.found(model)
    assert found.sha256 == made.checkpoint["sha256"] and made.results["history"] == found.history.as_dict()
    assert found.arm.epochs == 2 and arm("magnitude-finetuned").epochs == 10  # a rerunner's override is kept
    assert found.base.recipe() == arm("dense-sgd", SHORT).recipe()
    assert accuracy(found.network, few.test_images, few.test_labels) == made.results["test_accuracy"]
    assert made.networks == {"dense-sgd": found_again.found(Model("dense-sgd", 2))[0].checkpoint["sha256"]}
    assert list(found_again.earlier(found.arm, 2)) == ["dense-sgd"]


def test_noisy_features_come_back_with_their_noise(found_again, few):
    dense, model = found_again.load(Model("dense-sgd", 2)), Model("feature-noise", 2)
    wanted = dense.history.test_accuracy[-1] - 0.02
    (folder,) = found_again.folders
    noisy = make(arm("feature-noise"), 2, few, checkpoints_of(folder, model), earlier=earlier(dense, wanted))
    keep(folder, STUDY.training("full", model), noisy, {"dense-sgd": dense})
    found = found_again.load(model)
    assert found.defence.releases == "fc1" and found.defence.facts() == noisy.defence.facts()


def test_the_first_folder_with_the_profiles_own_model_counts(found_again, tmp_path):
    """What one made oneself comes before what there was; what another profile made is passed over."""
    model, (there,) = Model("dense-sgd", 2), found_again.folders
    own, other = tmp_path / "own", tmp_path / "other"
    for folder in (own, other):
        shutil.copytree(there, folder)
    path = other / "runs" / f"train-{model}.npz"
    write_job(path, [(replace(run, profile="smoke"), arrays) for run, arrays in read_job(path)])
    for folders, found in (([own, there], own), ([there, own], there), ([other, there], there)):
        models = replace(found_again, folders=folders)
        assert models.found(model)[1] == found and models.load(model).checkpoints.parents[1] == found
    with pytest.raises(ValueError) as caught:
        replace(found_again, folders=[tmp_path / "runs", other]).load(model)
    assert str(caught.value) == (
        f"no run train-dense-sgd-seed2 of profile full is in {tmp_path / 'runs'} or {other}: make run TARGET="
        "train-dense-sgd-seed2 PROFILE=full puts it into results/full, make study PROFILE=full all of the profile; "
        "name that folder as models."
    )


def test_a_checkpoint_that_is_not_the_one_it_was_is_refused(found_again):
    model = Model("dense-sgd", 2)
    last = checkpoints_in(checkpoints_of(*found_again.folders, model))[-1]
    content = last.read_bytes()
    try:
        last.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        with pytest.raises(ValueError, match="is not what run train-dense-sgd-seed2 was made with: train the model"):
            found_again.load(model)
    finally:
        last.write_bytes(content)


# Networks from elsewhere


def test_a_network_of_ones_own_is_a_checkpoint_or_what_a_function_makes(kept, dense, tmp_path):
    last = checkpoints_in(kept)[-1]
    own = models.own_network(str(last), arm("dense-sgd"), 0)
    assert same(own.network, dense.network) and own.sha256 == dense.sha256
    assert models.own_name(str(last)) == f"own-{last.stem}-{dense.sha256[:8]}"
    entries = [{"name": name, "data": each} for name, each in dense.network.parameters_dict().items()]
    entries += [{"name": f"moment1.{each['name']}", "data": each["data"]} for each in entries]
    ms.save_checkpoint([*entries, {"name": "global_step", "data": ms.Tensor([3])}], str(tmp_path / "adam.ckpt"))
    assert same(models.own_network(str(tmp_path / "adam.ckpt"), arm("dense-sgd"), 0).network, dense.network)
    made = models.own_network("suppress_privacy:LeNet5", arm("dense-sgd"), 0)
    assert isinstance(made.network, LeNet5) and made.sha256 == ""
    assert models.own_name("suppress_privacy:LeNet5") == "own-suppress_privacy.LeNet5"


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("nowhere:LeNet5", r"victim is 'nowhere:LeNet5', which cannot be made \(No module named 'nowhere'\)"),
        ("sys:exit", r"victim is 'sys:exit', which cannot be made \(it ends Python with None\): correct it"),
        ("suppress_privacy:LeNet6", "victim is 'suppress_privacy:LeNet6', which cannot be made"),
        ("builtins:dict", "victim is 'builtins:dict', which makes a dict and no nn.Cell"),
    ],
)
def test_a_network_of_ones_own_that_cannot_be_attacked_is_named(source, message):
    with pytest.raises(ValueError, match=message):
        models.own_network(source, arm("dense-sgd"), 0)
