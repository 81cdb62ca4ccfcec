"""Protection that silently is not there: what could leave a network unprotected is refused, or said.

The last tests are of whole trainings: whichever way they are set up, they end with zeros or with a sentence.
"""

import copy
import logging
import re
from dataclasses import replace

import mindspore as ms
import numpy as np
import pytest
from mindspore import nn
from mindspore.dataset import NumpySlicesDataset
from mindspore.train import Callback

import suppress_privacy as sp
from conftest import ROOT
from small import Small
from suppress_privacy import MaskLayerDes, SuppressMasker, SuppressModel, SuppressPrivacyFactory, train
from suppress_privacy.defences import dpsgd, pruning, suppress
from suppress_privacy.training import Plan, TrainStep, sparsity, with_cross_entropy

DENSE = [MaskLayerDes("fc*.weight", None, False, False, -1)]
STEPS = 10  # an epoch of `few`


@pytest.fixture(scope="module")
def few(digits):
    chosen = np.arange(0, 4000, 20)
    few = replace(digits, train_images=digits.train_images[chosen], train_labels=digits.train_labels[chosen])
    return replace(few, test_images=digits.test_images[::5], test_labels=digits.test_labels[::5])


def control(network, layers=DENSE, **changes):
    schedule = {"end_epoch": 2, "batch_num": STEPS, "start_epoch": 1, "mask_times": 5, "lr": 0.1, "sparse_end": 0.9}
    return SuppressPrivacyFactory().create(network, layers, **(schedule | changes))


def sgd(network, lr=0.1):
    return nn.SGD(network.trainable_params(), lr)


def trained(network, data, defence, optimizer=None, **changes):
    options = {"epochs": 2, "batch_size": 20, "seed": 0, "defence": defence} | changes
    return train(network, optimizer or sgd(network), data, **options)


def values(network):
    return {parameter.name: parameter.asnumpy().copy() for parameter in network.get_parameters()}


def zeros(network):
    return {name: share for name, share in sparsity(network).items() if name.startswith("fc")}


# --- the schedule and the training


@pytest.mark.parametrize(
    ("schedule", "epochs", "message"),
    [
        (
            {"end_epoch": 10, "start_epoch": 3, "batch_num": 1875},
            10,
            "training has 100 steps, after which no weight would be zero, for the defence's schedule is of steps 3751 "
            "to 18750 and ends at a sparsity of 0.9: create it with this training's batch_num and end_epoch",
        ),
        ({"end_epoch": 10, "start_epoch": 3}, 2, "training has 20 steps, after which .* is of steps 21 to 100 and"),
        ({"end_epoch": 4, "batch_num": 5}, 2, "batch_num is 5, but the dataset has 10 batches: create the control"),
        ({"end_epoch": 1, "sparse_end": 1e-5}, 2, "training has 20 steps, .* and ends at a sparsity of 1e-05: create"),
    ],
    ids=["the data are fewer", "it would begin later", "other epochs", "too sparse to take one weight"],
)
def test_a_training_that_would_end_without_zeros_is_refused_before_it_begins(few, tmp_path, schedule, epochs, message):
    network = Small(0)
    (tmp_path / "training_state-00000001.npz").write_bytes(b"of an earlier training")
    before = values(network)
    with pytest.raises(ValueError, match=rf"\A{message}") as refused:
        trained(network, few, control(network, **schedule), epochs=epochs, checkpoints=tmp_path)
    assert "\n" not in str(refused.value)
    assert all(np.array_equal(before[name], value) for name, value in values(network).items())
    assert [path.name for path in tmp_path.iterdir()] == ["training_state-00000001.npz"]


def test_one_that_ends_before_its_schedule_may_go_on_and_so_is_only_told_of(few, tmp_path, caplog):
    network = Small(0)
    with caplog.at_level(logging.WARNING):
        trained(network, few, control(network), epochs=1, checkpoints=tmp_path)
    [told] = caplog.messages
    reached = re.search(r"ends at step 10 of a schedule of steps 1 to 20, at a sparsity of (.*) instead of 0.9", told)
    assert zeros(network)["fc1.weight"] == pytest.approx(float(reached[1]), abs=2e-3)
    caplog.clear()
    trained(network, few, control(network), checkpoints=tmp_path, resume=True)
    assert caplog.messages == [] and all(0.89 < share < 0.901 for share in zeros(network).values())


@pytest.mark.parametrize("case", range(40))
def test_what_a_training_reaches_is_what_its_last_acting_update_asked_for(case):
    """By a walk over steps: an update after a step acts in the next one, if there is a next one."""
    rng = np.random.default_rng(case)
    start, end = sorted(rng.integers(1, 5, 2).tolist())
    low, high = sorted(rng.uniform(0.01, 0.99, 2).tolist())
    schedule = suppress.Schedule(
        batch_num=int(rng.integers(1, 30)),
        start_epoch=start,
        end_epoch=end,
        mask_times=int(rng.integers(1, 40)),
        sparse_start=low,
        sparse_end=high,
    )
    updates, acting, asked = schedule.updates(schedule.last_step + 5), 0.0, 0.0
    for step in range(1, schedule.last_step + 5):
        acting = max(acting, asked)
        assert schedule.reached(step) == acting
        asked = updates.get(step, asked)


def test_the_readmes_own_lines_suppress_on_whatever_data_they_get(digits, monkeypatch):
    [lines] = [
        block
        for block in re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.S)
        if "train(" in block
    ]
    half = replace(digits, train_images=digits.train_images[::2], train_labels=digits.train_labels[::2])
    monkeypatch.setattr(sp, "load_mnist", lambda: half)
    ran = {}
    exec(compile(lines, "README.md", "exec"), ran)
    assert all(0.93 < share < 0.951 for share in zeros(ran["network"]).values())
    assert sp.training.accuracy(ran["network"], digits.test_images, digits.test_labels) > 0.9


# --- the network and the defence


def test_a_defence_or_an_optimizer_of_another_network_is_refused(few):
    network, other = Small(0), Small(1)
    copied = copy.deepcopy(network)  # after the defence was made for the first
    pruned = pruning.Magnitude(other, DENSE, 0.9)
    before = values(network)
    cases = [
        (network, sgd(network), control(other), "defence acts on fc1.weight, fc2.weight, fc3.weight of another net"),
        (copied, sgd(copied), control(network), "defence acts on fc1.weight, fc2.weight, fc3.weight of another net"),
        (network, sgd(other), control(other), "optimizer acts on conv1.weight, .* of another network than the one"),
        (network, sgd(other), None, "optimizer acts on conv1.weight, .* of another network than the one to train"),
        (network, sgd(network), pruned, "defence acts on fc1.weight, fc2.weight, fc3.weight of another network"),
    ]
    for which, optimizer, defence, message in cases:
        with pytest.raises(ValueError, match=rf"\A{message}"):
            trained(which, few, defence, optimizer)
    assert all(np.array_equal(before[name], value) for name, value in values(network).items())


def test_an_optimizer_that_misses_a_masked_layer_is_refused_by_every_way_in():
    network = Small(0)
    part = nn.SGD(network.fc3.trainable_params(), 0.1)
    message = r"optimizer does not train fc1.weight, fc2.weight of the defence's network: make it over all"
    with pytest.raises(ValueError, match=message):
        TrainStep(with_cross_entropy(network), part, control(network))
    model = SuppressModel(network, nn.SoftmaxCrossEntropyWithLogits(sparse=True, reduction="mean"), part)
    with pytest.raises(ValueError, match=message):
        model.link_suppress_ctrl(control(network))
    other = Small(0)
    with pytest.raises(ValueError, match=r"optimizer does not train fc1.weight, fc2.weight, fc3.weight of the def"):
        TrainStep(with_cross_entropy(other), sgd(other), control(network))


def test_a_checkpoint_loaded_after_the_defence_was_made_is_suppressed_all_the_same(few, tmp_path):
    network = Small(0)
    defence = control(network)
    sp.save_checkpoint(Small(5), tmp_path / "other.ckpt")
    sp.load_checkpoint(network, tmp_path / "other.ckpt")
    trained(network, few, defence)
    assert all(0.89 < share < 0.901 for share in zeros(network).values())


def test_a_defence_is_for_one_training(few):
    network = Small(0)
    defence = control(network)
    trained(network, few, defence)
    with pytest.raises(ValueError, match=r"\Adefence has acted in a training of 20 steps: create one for each"):
        trained(network, few, defence)


def test_an_interrupted_training_goes_on_with_the_same_objects(few, tmp_path):
    network = Small(0)
    defence, optimizer = control(network), sgd(network)
    act = defence.after_step

    def interrupted(step):
        act(step)
        if step == 13:
            raise KeyboardInterrupt

    object.__setattr__(defence, "after_step", interrupted)
    with pytest.raises(KeyboardInterrupt):
        trained(network, few, defence, optimizer, checkpoints=tmp_path, save_every=4)
    object.__setattr__(defence, "after_step", act)
    trained(network, few, defence, optimizer, checkpoints=tmp_path, save_every=4, resume=True)
    whole = Small(0)
    trained(whole, few, control(whole))
    assert all(np.array_equal(values(whole)[name], value) for name, value in values(network).items())


def test_no_training_ends_suppressed_without_a_zero(few):
    """Each update is given up while the first layer is dead, as in MindArmour; here all of them are."""
    network = Small(0)
    network.conv1.weight.set_data(network.conv1.weight * 1e-3)
    defence = control(network, [MaskLayerDes("conv1.weight", None, False, False, -1), *DENSE])
    with pytest.raises(ValueError, match=r"\Aconv1.weight, fc1.weight, .* have no zero after 20 steps of training"):
        trained(network, few, defence, nn.SGD(network.trainable_params(), 1e-6))


# --- through mindspore.train.Model


class Steps(Callback):
    def __init__(self, defence):
        self.defence, self.seen = defence, []

    def on_train_step_end(self, run_context):
        self.seen.append(self.defence.done)


def model_of(network, defence, lr=0.1):
    loss = nn.SoftmaxCrossEntropyWithLogits(sparse=True, reduction="mean")
    model = SuppressModel(network, loss, sgd(network, lr))
    model.link_suppress_ctrl(defence)
    return model, SuppressMasker(model, defence)


def dataset(few):
    return NumpySlicesDataset((few.train_images, few.train_labels), ["image", "label"], shuffle=False).batch(20)


def called(few, calls):
    """A network that a model trained for four epochs, call by call."""
    network = Small(0)
    defence = control(network, end_epoch=4, start_epoch=2, mask_times=15)
    model, masker = model_of(network, defence)
    steps = Steps(defence)
    for epoch in range(4):
        if calls == "one":
            model.train(4, dataset(few), callbacks=[masker, steps], dataset_sink_mode=False)
            break
        if calls == "with a new masker each":
            masker = SuppressMasker(model, defence)
        if calls == "with initial_epoch":
            model.train(epoch + 1, dataset(few), [masker, steps], False, initial_epoch=epoch)
        elif calls == "fit":
            model.fit(1, dataset(few), callbacks=[masker, steps], dataset_sink_mode=False)
        else:
            model.train(1, dataset(few), callbacks=[masker, steps], dataset_sink_mode=False)
    assert steps.seen == list(range(1, 41))
    return network


@pytest.fixture(scope="module")
def whole(few):
    return values(called(few, "one"))


@pytest.mark.parametrize("calls", ["one", "one an epoch", "with initial_epoch", "with a new masker each", "fit"])
def test_a_model_trained_call_by_call_ends_as_if_by_one(few, whole, calls, caplog):
    with caplog.at_level(logging.WARNING):
        network = called(few, calls)
    told = ["ends at step 10 of a schedule of steps 11 to 40, at a sparsity of 0 " in text for text in caplog.messages]
    assert told == ([] if calls == "one" else [True])  # once, at the first call
    assert all(0.89 < share < 0.901 for share in zeros(network).values())
    assert all(np.array_equal(whole[name], value) for name, value in values(network).items())


def test_a_training_resumed_in_another_process_is_where_its_initial_epoch_says(few):
    network = Small(0)
    defence = control(network, end_epoch=4)
    model, masker = model_of(network, defence)
    steps = Steps(defence)
    model.train(4, dataset(few), callbacks=[masker, steps], initial_epoch=2)
    assert steps.seen == list(range(21, 41)) and all(0.89 < share < 0.901 for share in zeros(network).values())


def test_a_linked_model_needs_the_one_masker_of_its_control(few):
    network, other = Small(0), Small(1)
    model, masker = model_of(network, control(network))
    _, stranger = model_of(other, control(other))
    plain = SuppressModel(other, nn.SoftmaxCrossEntropyWithLogits(sparse=True, reduction="mean"), sgd(other))
    data, before = dataset(few), values(network)
    for which, callbacks, own, others in (
        (model, None, 0, 0),
        (model, [], 0, 0),
        (model, Steps(masker.suppress_ctrl), 0, 0),
        (model, [masker, masker], 2, 0),
        (model, [stranger], 0, 1),
        (plain, [stranger], 0, 1),
    ):
        for call in (which.train, which.fit):
            message = rf"\Acallbacks hold {own} SuppressMasker of the control that is linked .*, and {others} of others"
            with pytest.raises(ValueError, match=message):
                call(1, data, callbacks=callbacks)
    assert all(np.array_equal(before[name], value) for name, value in values(network).items())


def test_a_model_whose_schedule_takes_no_weight_is_refused_before_it_is_trained(few):
    for layers, sparse_end in (([replace(DENSE[0], min_num=10**6)], 0.9), (DENSE, 1e-5)):
        network = Small(0)
        model, masker = model_of(network, control(network, layers, sparse_end=sparse_end))
        before = values(network)
        with pytest.raises(ValueError, match=r"after which no weight would be zero, .* another sparse_end or min_num"):
            model.train(2, dataset(few), callbacks=[masker])
        assert all(np.array_equal(before[name], value) for name, value in values(network).items())


def test_pruning_that_takes_no_weight_is_refused():
    with pytest.raises(ValueError, match=r"\Asparsity is 1e-05, at which no weight goes: raise it"):
        pruning.Magnitude(Small(0), DENSE[:1], 1e-5)


def test_a_model_that_diverges_says_so_at_that_epoch(few):
    network = Small(0)
    model, masker = model_of(network, control(network, start_epoch=2), lr=1e10)
    with pytest.raises(ValueError, match=r"\Aepoch 1 diverged, .* are not finite: train with a lower"):
        model.train(2, dataset(few), callbacks=[masker])


def test_masks_are_made_of_no_weights_that_are_not_finite():
    network = Small(0)
    network.fc2.weight.set_data(network.fc2.weight * np.nan)
    with pytest.raises(ValueError, match=r"\Avalues of fc2.weight are not finite: train with a lower learning rate"):
        control(network).update_masks(0.5)


@pytest.mark.parametrize("mode", ["graph", "pynative"])
def test_either_mode_is_told_and_refused_alike(few, mode):
    network, other = Small(0), Small(1)
    sp.configure("CPU", mode)
    try:
        with pytest.raises(ValueError, match="of another network"):
            trained(network, few, control(other))
        with pytest.raises(ValueError, match="after which no weight would be zero"):
            trained(network, few, control(network, batch_num=1875))
        trained(network, few, control(network))
    finally:
        sp.configure("CPU", "graph")
    assert all(0.89 < share < 0.901 for share in zeros(network).values())


# --- differential privacy: what was accounted is what is done


def small():
    """A network whose private step is compiled in a fraction of LeNet5's time."""
    network = nn.SequentialCell(nn.Flatten(), nn.Dense(1024, 10, bias_init="zeros"))
    rng = np.random.default_rng(0)
    network[1].weight.set_data(ms.Tensor(rng.uniform(-0.03, 0.03, (10, 1024)).astype(np.float32)))
    return network


def private(**facts):
    return dpsgd.DpSgd(20, 1.0, 1.0, 0, {"steps": 20, "sampling_rate": 0.1} | facts)


@pytest.mark.parametrize(
    ("facts", "changes", "message"),
    [
        ({}, {"epochs": 3}, "epochs is 3, a training of 30 steps; the defence's guarantee is for 20: make it for as"),
        ({}, {"batch_size": 10}, "batch_size is 10; the defence was made for 20: train with it"),
        ({"sampling_rate": 0.05}, {}, "data has 200 images; the defence was made for 400: make it for these data"),
    ],
)
def test_a_training_that_was_not_accounted_for_is_refused(few, facts, changes, message):
    network = Small(0)
    before = values(network)
    with pytest.raises(ValueError, match=rf"\A{message}"):
        trained(network, few, private(**facts), **changes)
    assert all(np.array_equal(before[name], value) for name, value in values(network).items())


def test_a_guarantee_is_spent_once(few):
    network = small()
    defence = private()
    trained(network, few, defence)
    with pytest.raises(ValueError, match="defence has acted in a training of 20 steps: make one for each training"):
        trained(network, few, defence)
    with pytest.raises(ValueError, match="step 21 is beyond those of the defence's guarantee: train no longer"):
        defence.noised([np.zeros(3, np.float32)])


def test_a_private_training_that_is_interrupted_spends_what_it_would_have(few, tmp_path):
    network = small()
    defence, optimizer = private(), sgd(network)
    trained(network, few, defence, optimizer, epochs=1, checkpoints=tmp_path)
    trained(network, few, defence, optimizer, checkpoints=tmp_path, resume=True)
    whole = small()
    trained(whole, few, private())
    assert all(np.array_equal(values(whole)[name], value) for name, value in values(network).items())


@pytest.mark.parametrize(("delta", "told"), [(1e-5, 0), (0.005, 1), (0.1, 1)])
def test_a_delta_that_gives_an_image_away_is_told_of(few, delta, told, caplog):
    plan = Plan(few, epochs=1, batch_size=20, lr=0.1, seed=0)
    dpsgd.PrivateTraining(epsilon=3.0, delta=delta, clip_norm=1.0).make(Small(0), plan)
    own = [record.getMessage() for record in caplog.records if record.name.startswith("suppress_privacy")]
    assert [text.startswith(f"delta is {delta:g}, by which one of 200 images") for text in own] == [True] * told
