"""Full MNIST, seed 0, in both directions of every bound: the suppressed model whole, the ordinary one's start."""

import json
import os
import subprocess
import sys

import mindspore as ms
import numpy as np
import pytest

from conftest import ROOT
from suppress_privacy import LeNet5, load_checkpoint, load_mnist
from suppress_privacy.evaluation.intervals import bootstrap_mean, proportion
from suppress_privacy.study import runs
from suppress_privacy.study.records import Records, attack_name
from suppress_privacy.study.settings import Study
from suppress_privacy.training import checkpoints_in

# The ordinary model is within its band after four of its ten epochs.
EPOCHS = {"baseline": 4, "suppressed-example": 10}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Both arms trained, one after the other: the records and the final weights."""
    folder = tmp_path_factory.mktemp("full")
    for arm, epochs in EPOCHS.items():
        run = subprocess.run(
            [
                sys.executable,
                "notebooks/execute.py",
                "train",
                folder / f"{arm}.ipynb",
                f"arm={arm}",
                f"results={folder}",
                f"overrides={{epochs: {epochs}}}",
            ],
            cwd=ROOT,
            env=os.environ | {"OMP_NUM_THREADS": "1", "TQDM_DISABLE": "1"},
            capture_output=True,
            text=True,
        )
        assert run.returncode == 0, run.stderr
    found = {}
    for arm, epochs in EPOCHS.items():
        record = json.loads((folder / "records" / f"train-{arm}-seed0.json").read_text())
        network = LeNet5()
        checkpoints = checkpoints_in(folder / "checkpoints" / f"train-{arm}-seed0")
        assert [path.name for path in checkpoints] == [
            f"checkpoint_lenet-{epoch}_1875.ckpt" for epoch in range(1, epochs + 1)
        ]
        load_checkpoint(network, checkpoints[-1])
        found[arm] = (record, {weight.name: weight.asnumpy() for weight in network.get_parameters()})
    assert found["baseline"][0]["data"]["name"] == "MNIST", "the full MNIST could not be had: set MNIST_DIR"
    return found


def test_accuracies_lie_in_their_bands(trained):
    accuracies = {arm: record["results"]["test_accuracy"] for arm, (record, _) in trained.items()}
    assert 0.985 <= accuracies["baseline"] <= 0.995
    assert 0.975 <= accuracies["suppressed-example"] <= 0.995


def test_suppressed_weights_are_exactly_zero_and_as_many_as_promised(trained):
    for name, weight in trained["suppressed-example"][1].items():
        zeros = np.mean(weight == 0)
        assert 0.93 <= zeros <= 0.951 if name.endswith("weight") else zeros == 0
        assert np.abs(weight[weight != 0]).min() > 1e-7  # no weight that only nearly went
    assert all(np.all(weight != 0) for weight in trained["baseline"][1].values())


PUBLISHED = Records(ROOT / "results" / "full")
RIDGE = attack_name("decoder-ridge", "suppressed-example", 0)


def test_the_published_accuracy_comes_out_again(trained):
    published = PUBLISHED.read("train-suppressed-example-seed0")["results"]["test_accuracy"]
    assert abs(trained["suppressed-example"][0]["results"]["test_accuracy"] - published) <= 0.003


@pytest.fixture(scope="module")
def attacked(trained):
    """The ridge decoder on both networks: its primary metrics, image by image."""
    study = Study.load(ROOT / "study.yaml")
    data = load_mnist("auto")
    targets = runs.choose_targets(data, study.profile("full").targets)
    found = {}
    for arm, (_, weights) in trained.items():
        network = LeNet5()
        for parameter in network.get_parameters():
            parameter.set_data(ms.Tensor(weights[parameter.name]))
        attack = study.attack("full", "decoder-ridge")
        found[arm], _ = runs.attack(attack, runs.Victim(network), targets, {}, data, 0)
    return found


@pytest.mark.parametrize("metric", ["skill", "rank1"])
def test_the_published_leakage_comes_out_again_and_is_not_the_ordinary_models(trained, attacked, metric):
    """Within the published interval; and the interval tells the suppressed model from the ordinary one."""
    estimate = {"skill": bootstrap_mean, "rank1": proportion}[metric]
    interval = estimate(PUBLISHED.arrays(RIDGE)[metric][None])
    assert interval.low <= attacked["suppressed-example"][metric].mean() <= interval.high
    assert not interval.low <= attacked["baseline"][metric].mean() <= interval.high
    assert np.array_equal(attacked["baseline"]["index"], PUBLISHED.arrays(RIDGE)["index"])


def test_memory_stays_small(trained):
    for record, _ in trained.values():
        assert record["peak_memory_bytes"] < 2e9
