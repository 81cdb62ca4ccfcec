"""Training that stopped anywhere and goes on ends with the weights of one that never stopped, bit for bit."""

import subprocess
import sys
import time

import numpy as np
import pytest

import suppressed_training
from conftest import ROOT
from suppress_privacy.training import forget
from suppressed_training import PowerCut, run


@pytest.fixture(scope="module")
def few(digits):
    return suppressed_training.few(digits)


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


def test_a_training_killed_twice_by_kill_9_ends_with_the_same_weights(whole, tmp_path):
    out = tmp_path / "weights.npz"
    command = [sys.executable, ROOT / "tests" / "suppressed_training.py", tmp_path / "states", out]
    for step in (4, 17):
        process = subprocess.Popen(command, stderr=subprocess.PIPE)
        deadline = time.monotonic() + 120
        while not (tmp_path / "states" / f"training_state-{step:08d}.npz").exists():
            assert process.poll() is None and time.monotonic() < deadline, process.stderr.read()
            time.sleep(0.01)
        process.kill()
        process.wait()
        process.stderr.close()
    subprocess.run(command, check=True, capture_output=True)
    with np.load(out) as weights:
        assert all(np.array_equal(weights[name], value) for name, value in whole[0].items())


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
    with pytest.raises(ValueError, match="batch_num is 10, but the dataset has 20 batches"):
        run(few, tmp_path, batch_size=10, resume=True)


def test_without_resume_an_earlier_training_is_not_replaced_until_it_is_forgotten(few, whole, tmp_path):
    with pytest.raises(PowerCut):
        run(few, tmp_path, stop_after=25)
    before = sorted(tmp_path.iterdir())
    with pytest.raises(ValueError, match=r"which has checkpoint_lenet-1_10\.ckpt of another training"):
        run(few, tmp_path, epochs=1)
    assert sorted(tmp_path.iterdir()) == before
    forget(tmp_path)
    run(few, tmp_path, epochs=1)
    assert [path.name for path in sorted(tmp_path.iterdir())] == [
        "checkpoint_lenet-1_10.ckpt",
        "training_state-00000010.npz",
    ]
