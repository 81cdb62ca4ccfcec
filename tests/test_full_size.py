"""Full MNIST, seed 0, in both directions of every bound: the suppressed model, and as it was before its first mask."""

import os
import subprocess
import sys

import numpy as np
import pytest

from conftest import ROOT
from suppress_privacy import load_mnist
from suppress_privacy.evaluation.intervals import bootstrap_mean
from suppress_privacy.evaluation.metrics import METRICS
from suppress_privacy.training import checkpoints_in
from suppress_study.attacking import Scene, attack
from suppress_study.jobs import Model
from suppress_study.models import Models, own_network
from suppress_study.plan import Study
from suppress_study.results import Results
from suppress_study.targets import choose_targets

ARM, MODEL = "suppressed-example", Model("suppressed-example", 0)
STUDY = Study.load()


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The arm trained: its run, and its networks.

    Of these "ordinary" is the one after two epochs: masks begin with the third, so it was trained as arm
    dense-sgd is.
    """
    folder = tmp_path_factory.mktemp("full")
    command = [sys.executable, "-m", "suppress_study.run", "notebook", "train", folder / f"{ARM}.ipynb"]
    command += [f"arm={ARM}", f"results={folder}"]
    one_thread = os.environ | {"OMP_NUM_THREADS": "1", "TQDM_DISABLE": "1"}
    run = subprocess.run(command, cwd=ROOT, env=one_thread, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    checkpoints = checkpoints_in(folder / "checkpoints" / f"train-{MODEL}")
    assert [path.name for path in checkpoints] == [f"checkpoint_lenet-{epoch}_1875.ckpt" for epoch in range(1, 11)]
    kept = Models([folder], STUDY, "quick")
    run, suppressed = kept.found(MODEL)[0], kept.load(MODEL)
    assert run.environment["data"]["name"] == "MNIST", "the full MNIST could not be had: set MNIST_DIR"
    return run, {ARM: suppressed, "ordinary": own_network(str(checkpoints[1]), suppressed.arm, MODEL.seed)}


def test_accuracies_lie_in_their_bands(trained):
    """Of two epochs, and of all ten; of one the best published accuracy is .9786."""
    accuracies = trained[0].results["history"]["test_accuracy"]
    assert 0.979 <= accuracies[1] <= 0.989
    assert 0.975 <= accuracies[-1] <= 0.995


def test_suppressed_weights_are_exactly_zero_and_as_many_as_promised(trained):
    _, networks = trained
    for weight in networks[ARM].network.get_parameters():
        values = weight.asnumpy()
        zeros = np.mean(values == 0)
        assert 0.93 <= zeros <= 0.951 if weight.name.endswith("weight") else zeros == 0
        assert np.abs(values[values != 0]).min() > 1e-7  # no weight that only nearly went
    assert all(np.all(weight.asnumpy() != 0) for weight in networks["ordinary"].network.get_parameters())


@pytest.fixture(scope="module")
def published():
    return Results.load(ROOT / "results" / "full")


def test_the_published_accuracy_comes_out_again(trained, published):
    accuracy = published.runs[f"train-{MODEL}"].results["test_accuracy"]
    assert abs(trained[0].results["test_accuracy"] - accuracy) <= 0.003


@pytest.fixture(scope="module")
def attacked(trained):
    """The ridge decoder on both networks: its metrics, image by image."""
    data = load_mnist("auto")
    targets = choose_targets(data, STUDY.profile("full").targets)
    ridge = STUDY.variant("full", "ridge")
    return {name: attack(ridge, Scene(network, targets, {}, data, 0)).arrays for name, network in trained[1].items()}


@pytest.mark.parametrize("metric", ["skill", "rank1"])
def test_the_published_leakage_comes_out_again_and_is_not_an_ordinary_networks(attacked, published, metric):
    """Within the published interval, which tells it from what is published of that network trained without masks.

    And more than before the first mask, image by image: without masks it would have become less.
    """
    images = published.images
    own, unmasked = (
        images[(images.run == f"attack-ridge-fc1-{arm}-seed0") & (images.evaluator == "")] for arm in (ARM, "dense-sgd")
    )
    interval = METRICS[metric].estimate(own[metric].to_numpy()[None])
    assert interval.low <= attacked[ARM][metric].mean() <= interval.high
    assert not interval.low <= unmasked[metric].mean() <= interval.high
    more = bootstrap_mean((attacked[ARM][metric] - attacked["ordinary"][metric])[None])
    assert more.low > 0 and unmasked[metric].mean() < attacked["ordinary"][metric].mean()
    assert np.array_equal(attacked["ordinary"]["index"], own["index"])


def test_memory_stays_small(trained):
    assert trained[0].peak_memory_bytes < 2e9
