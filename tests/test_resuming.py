"""Training that stopped anywhere and goes on ends with the weights of one that never stopped, bit for bit."""

from dataclasses import replace

import numpy as np
import pytest
from mindspore import nn

from suppress_privacy import LeNet5, MaskLayerDes, SuppressPrivacyFactory, train

LAYERS = [("conv1.weight", True, True), ("fc1.weight", True, False), ("fc3.weight", True, True)]


class PowerCut(RuntimeError):
    pass


@pytest.fixture(scope="module")
def few(digits):
    chosen = np.arange(0, 4000, 20)
    return replace(digits, train_images=digits.train_images[chosen], train_labels=digits.train_labels[chosen])


def run(data, folder, *, stop_after=None, seed=0, **options):
    """A suppressed training with momentum and noise; cut off after a step if asked."""
    network = LeNet5(seed=seed)
    network.fc3.weight.set_data(network.fc3.weight * 10)  # beyond 0.5, where noise is added
    layers = [MaskLayerDes(name, None, noise, clip, -1) for name, noise, clip in LAYERS]
    defence = SuppressPrivacyFactory().create(
        network, layers, end_epoch=3, batch_num=10, start_epoch=1, mask_times=7, lr=0.05, sparse_end=0.9, seed=seed
    )
    after_step = defence.after_step

    def after_step_or_cut(step):
        after_step(step)
        if step == stop_after:
            raise PowerCut

    object.__setattr__(defence, "after_step", after_step_or_cut)
    optimizer = nn.Momentum(network.trainable_params(), 0.05, 0.9)
    options = {"epochs": 3, "batch_size": 20, "seed": seed, "defence": defence, "checkpoints": folder} | options
    history = train(network, optimizer, data, **options)
    return {parameter.name: parameter.asnumpy() for parameter in network.get_parameters()}, history, defence.report()


@pytest.fixture(scope="module")
def whole(few, tmp_path_factory):
    return run(few, tmp_path_factory.mktemp("whole"))


@pytest.mark.parametrize("stop_after", [1, 5, 9, 10, 14, 27])
def test_it_ends_with_the_same_weights(few, whole, tmp_path, stop_after):
    with pytest.raises(PowerCut):
        run(few, tmp_path, stop_after=stop_after, save_every=4)
    weights, history, report = run(few, tmp_path, save_every=4, resume=True)
    assert all(np.array_equal(weights[name], value) for name, value in whole[0].items())
    assert history == whole[1]
    assert report == whole[2] and report["fc3.weight"]["noised"] > 0


def test_a_damaged_state_is_refused_and_the_one_before_used_only_when_asked(few, whole, tmp_path):
    with pytest.raises(PowerCut):
        run(few, tmp_path, stop_after=18, save_every=4)
    newest = sorted(tmp_path.glob("training_state-*.npz"))[-1]
    content = bytearray(newest.read_bytes())
    content[len(content) // 2] ^= 1
    newest.write_bytes(content)
    with pytest.raises(ValueError, match=rf"{newest.name} is damaged: delete it, or resume with 'last-good'"):
        run(few, tmp_path, save_every=4, resume=True)
    weights, _, _ = run(few, tmp_path, save_every=4, resume="last-good")
    assert all(np.array_equal(weights[name], value) for name, value in whole[0].items())


def test_a_state_of_another_training_is_refused(few, tmp_path):
    with pytest.raises(PowerCut):
        run(few, tmp_path, stop_after=9, save_every=4)
    with pytest.raises(ValueError, match=r"training_state-00000008\.npz is of another training \(seed differ\)"):
        run(few, tmp_path, seed=1, resume=True)
    with pytest.raises(ValueError, match=r"\(batch_size differ\)"):
        run(few, tmp_path, batch_size=10, resume=True)


def test_without_resume_an_earlier_training_leaves_no_trace(few, whole, tmp_path):
    with pytest.raises(PowerCut):
        run(few, tmp_path, stop_after=25)
    run(few, tmp_path, epochs=1)
    assert [path.name for path in sorted(tmp_path.iterdir())] == [
        "checkpoint_lenet-1_10.ckpt",
        "training_state-00000010.npz",
    ]
