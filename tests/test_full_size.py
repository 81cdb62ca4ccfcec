"""Full MNIST, seed 0, in both directions of every bound: the suppressed model whole, the ordinary one's start."""

import os
import subprocess
import sys

import numpy as np
import pytest

from conftest import ROOT
from suppress_privacy import load_mnist
from suppress_privacy.evaluation.metrics import METRICS
from suppress_privacy.training import checkpoints_in
from suppress_study.attacking import Scene, attack
from suppress_study.jobs import Model
from suppress_study.models import Models
from suppress_study.plan import Study
from suppress_study.results import Results
from suppress_study.targets import choose_targets

# The ordinary model is within its band after four of its ten epochs.
EPOCHS = {"baseline": 4, "suppressed-example": 10}


STUDY = Study.load()


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Both arms trained, one after the other: their runs, and the networks."""
    folder = tmp_path_factory.mktemp("full")
    found = {}
    for arm, epochs in EPOCHS.items():
        command = [sys.executable, "-m", "suppress_study.run", "notebook", "train", folder / f"{arm}.ipynb"]
        command += [f"arm={arm}", f"results={folder}", f"overrides={{epochs: {epochs}}}"]
        one_thread = os.environ | {"OMP_NUM_THREADS": "1", "TQDM_DISABLE": "1"}
        run = subprocess.run(command, cwd=ROOT, env=one_thread, capture_output=True, text=True)
        assert run.returncode == 0, run.stderr
        checkpoints = checkpoints_in(folder / "checkpoints" / f"train-{arm}-seed0")
        assert [path.name for path in checkpoints] == [
            f"checkpoint_lenet-{epoch}_1875.ckpt" for epoch in range(1, epochs + 1)
        ]
        model = Model(arm, 0)
        kept = Models([folder], STUDY, "quick")
        found[arm] = kept.found(model)[0], kept.load(model)
    data = found["baseline"][0].environment["data"]
    assert data["name"] == "MNIST", "the full MNIST could not be had: set MNIST_DIR"
    return found


def test_accuracies_lie_in_their_bands(trained):
    accuracies = {arm: run.results["test_accuracy"] for arm, (run, _) in trained.items()}
    assert 0.985 <= accuracies["baseline"] <= 0.995
    assert 0.975 <= accuracies["suppressed-example"] <= 0.995


def test_suppressed_weights_are_exactly_zero_and_as_many_as_promised(trained):
    for weight in trained["suppressed-example"][1].network.get_parameters():
        values = weight.asnumpy()
        zeros = np.mean(values == 0)
        assert 0.93 <= zeros <= 0.951 if weight.name.endswith("weight") else zeros == 0
        assert np.abs(values[values != 0]).min() > 1e-7  # no weight that only nearly went
    assert all(np.all(weight.asnumpy() != 0) for weight in trained["baseline"][1].network.get_parameters())


@pytest.fixture(scope="module")
def published():
    return Results.load(ROOT / "results" / "full")


def test_the_published_accuracy_comes_out_again(trained, published):
    accuracy = published.runs["train-suppressed-example-seed0"].results["test_accuracy"]
    assert abs(trained["suppressed-example"][0].results["test_accuracy"] - accuracy) <= 0.003


@pytest.fixture(scope="module")
def attacked(trained):
    """The ridge decoder on both networks: its metrics, image by image."""
    data = load_mnist("auto")
    targets = choose_targets(data, STUDY.profile("full").targets)
    ridge = STUDY.variant("full", "ridge")
    return {arm: attack(ridge, Scene(network, targets, {}, data, 0)).arrays for arm, (_, network) in trained.items()}


@pytest.mark.parametrize("metric", ["skill", "rank1"])
def test_the_published_leakage_comes_out_again_and_is_not_the_ordinary_models(attacked, published, metric):
    """Within the published interval; and the interval tells the suppressed model from the ordinary one."""
    images = published.images
    own = images[(images.run == "attack-ridge-fc1-suppressed-example-seed0") & (images.evaluator == "")]
    interval = METRICS[metric].estimate(own[metric].to_numpy()[None])
    assert interval.low <= attacked["suppressed-example"][metric].mean() <= interval.high
    assert not interval.low <= attacked["baseline"][metric].mean() <= interval.high
    assert np.array_equal(attacked["baseline"]["index"], own["index"])


def test_memory_stays_small(trained):
    for run, _ in trained.values():
        assert run.peak_memory_bytes < 2e9
