"""Networks that MindArmour itself trains: called by what they depend on, made by its classes, read as it means them."""

import json
import subprocess
import sys
from dataclasses import replace

import mindspore as ms
import numpy as np
import pytest

from checkout import git, launch, take
from report import drawing
from suppress_privacy.lenet import LeNet5
from suppress_privacy.training import History, checkpoints_in, load_checkpoint
from suppress_study import packaged
from suppress_study.models import make
from suppress_study.plan import Study
from suppress_study.reading import SettingsError
from suppress_study.settings import ROOT

STUDY = Study.load()


def arm(name="package-example", overrides=None):
    return STUDY.arm("full", name, overrides)


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.setattr(packaged, "PLACE", tmp_path)
    return tmp_path


def left(place, weights, given=None):
    """Files as the driver leaves them, of weights that the package has suppressed; returns the network."""
    network, path = LeNet5(seed=5), packaged.path_of(given or arm(), 0)
    for name, values in weights.items():
        dict(network.parameters_and_names())[name].set_data(ms.Tensor(values))
    ms.save_checkpoint(network, str(path))
    course = {"loss": [0.2, 0.1], "sparsity": {name: [0.5, 0.9] for name in weights}}
    made = {"settings": packaged.asked(given or arm(), 0), "checkpoint": packaged.sha256_of(path), **course}
    path.with_suffix(".json").write_text(json.dumps(made))
    return network


def nearly_zero(share=0.9):
    weights = np.random.default_rng(0).normal(0, 0.1, (84, 120)).astype(np.float32)
    suppressed = np.random.default_rng(1).random(weights.shape) < share
    weights[suppressed] = 3e-9  # what the package leaves
    return weights, suppressed


def test_a_name_changes_with_what_decides_the_network_and_with_nothing_else(monkeypatch, tmp_path):
    own = packaged.path_of(arm(), 0)
    others = [arm("package-tutorial"), *(arm(overrides={name: 9}) for name in ("batch_size",))]
    others += [arm(overrides={"optimizer": {"lr": 0.2}}), arm(overrides={"defence": {"sparse_end": 0.9}})]
    names = [own, packaged.path_of(arm(), 1), *(packaged.path_of(each, 0) for each in others)]
    assert len(set(names)) == len(names)
    assert packaged.path_of(arm(overrides={"title": "another"}), 0) == own
    for place, content in (
        ("DRIVER", b"# another driver\nVERSION = 2  # later\n"),
        ("REQUIREMENTS", b"mindarmour==1.9.0\nnumpy==1.26.4\n"),
    ):
        changed = tmp_path / place
        changed.write_bytes(content)
        with monkeypatch.context() as patched:
            patched.setattr(packaged, place, changed)
            assert packaged.path_of(arm(), 0) != own
    kept = tmp_path / "requirements"
    kept.write_text("mindarmour==2.0.0\nnumpy==9.9.9\n")  # the package's version counts, not what it runs with
    monkeypatch.setattr(packaged, "REQUIREMENTS", kept)
    assert packaged.path_of(arm(), 0) == own


def test_all_published_networks_are_those_of_the_driver_as_it_is():
    published = {path.name for path in (ROOT / packaged.PLACE).glob("*.ckpt")}
    planned = {
        packaged.path_of(arm(name), seed).name for name in ("package-example", "package-tutorial") for seed in range(9)
    }
    assert published <= planned
    for path in (ROOT / packaged.PLACE).glob("*.ckpt"):
        made = json.loads(path.with_suffix(".json").read_text())
        assert made["checkpoint"] == packaged.sha256_of(path)


def test_what_the_package_counts_as_zero_is_zero(place):
    weights, suppressed = nearly_zero()
    left(place, {"fc2.weight": weights})
    network, history, defence = packaged.load(arm(), 0)
    found = dict(network.parameters_and_names())["fc2.weight"].asnumpy()
    assert np.array_equal(found == 0, suppressed)
    assert np.array_equal(found[~suppressed], weights[~suppressed])
    report = defence.report()["fc2.weight"]
    assert report["alive"] == int((~suppressed).sum()) and report["weights"] == weights.size
    assert history == History(loss=[0.2, 0.1], sparsity={"fc2.weight": [0.5, 0.9]})


def test_files_that_do_not_belong_together_are_refused(place):
    weights, _ = nearly_zero()
    with pytest.raises(ValueError, match="is missing"):
        packaged.load(arm(), 0)
    left(place, {"fc2.weight": weights})
    path = packaged.path_of(arm(), 0)
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(ValueError, match="is not what"):
        packaged.load(arm(), 0)
    left(place, {"fc2.weight": weights})
    beside = path.with_suffix(".json")
    beside.write_text(beside.read_text().replace('"epochs": 10', '"epochs": 11'))
    with pytest.raises(ValueError, match="is not what"):
        packaged.load(arm(), 0)


def test_a_network_that_is_there_is_not_trained_again(place, monkeypatch):
    left(place, {"fc2.weight": nearly_zero()[0]})
    monkeypatch.setattr(packaged, "_set_up", lambda: pytest.fail("it was there"))
    packaged.train(arm(), 0)


def test_in_a_fresh_checkout_the_published_networks_are_there(tmp_path):
    """Snakemake has no record of them, and would train none."""
    published = sorted((ROOT / packaged.PLACE).glob("mindarmour-example-seed0-*.ckpt"))
    assert [path.name for path in published] == [packaged.path_of(arm(), 0).name]
    checkout = tmp_path / "checkout"
    take(ROOT, checkout)
    for arguments in (["init", "-q"], ["add", "--all"], ["commit", "-q", "-m", "As it is"]):
        git(checkout, *arguments)
    options = "--profile", "full", "--snakemake=-n --forceall"
    run = launch(checkout, "run", *options, "--", "train-package-example-seed0")
    assert run.returncode == 0, run.stderr
    assert "train" in run.stdout + run.stderr


def test_what_trained_it_can_be_drawn(place, few):
    weights, _ = nearly_zero()
    left(place, {"fc2.weight": weights})
    made = make(arm(), 0, replace(few, name="MNIST"))
    figure = drawing.training_curves(made.history.as_dict())
    loss, accuracy, _ = figure.axes
    assert loss.lines[0].get_xdata().tolist() == [1, 2] and accuracy.lines[0].get_xdata().tolist() == [2]


def test_an_arm_of_the_package_becomes_a_model_like_any_other(place, few, tmp_path, monkeypatch):
    weights, suppressed = nearly_zero()
    left(place, {"fc2.weight": weights})
    with pytest.raises(ValueError, match="the whole MNIST, and this run has"):
        make(arm(), 0, few)
    few = replace(few, name="MNIST")
    checkpoints = tmp_path / "checkpoints"
    checkpoints.mkdir()
    made = make(arm(), 0, few, checkpoints)
    (saved,) = checkpoints_in(checkpoints)
    again = LeNet5()
    load_checkpoint(again, saved)
    assert np.array_equal(again.fc2.weight.asnumpy() == 0, suppressed)
    assert len(made.history.test_accuracy) == 1 and made.outcome({})["results"]["sparsity"] == {"fc2.weight": 0.9}
    for moment in ("start", "middle"):
        with pytest.raises(ValueError, match="only the end is known"):
            made.at(moment)
    with pytest.raises(ValueError, match="makes no shadows"):
        made.shadow(1, few)


@pytest.mark.parametrize(
    ("name", "overrides"),
    [
        ("magnitude-finetuned", {"package": True}),
        ("package-example", {"optimizer": {"decay": "linear"}}),
        ("package-example", {"optimizer": {"name": "momentum"}}),
        ("package-example", {"units": 60}),
        ("package-example", {"activation": "tanh"}),
        ("package-example", {"network": "convnet"}),
        ("package-example", {"defence": {"compat": True}}),
        ("package-example", {"start": "dense-sgd"}),
    ],
)
def test_what_the_package_does_not_do_is_refused(name, overrides):
    with pytest.raises(SettingsError, match="which is for LeNet5 by plain sgd under suppress"):
        STUDY.arm("full", name, overrides)


def test_the_driver_has_the_package_suppress_a_network(place, tmp_path):
    """On 480 random images, with the package of the development environment."""
    rng, folder = np.random.default_rng(0), tmp_path / "idx"
    folder.mkdir()
    heads = (bytes([0, 0, 8, 3, 0, 0, 1, 224, 0, 0, 0, 28, 0, 0, 0, 28]), bytes([0, 0, 8, 1, 0, 0, 1, 224]))
    for name, head, shape in zip(packaged.PARTS, heads, ((480, 28, 28), (480,)), strict=True):
        (folder / name).write_bytes(head + rng.integers(0, 10, shape, np.uint8).tobytes())
    schedule = {"start_epoch": 1, "end_epoch": 2, "mask_times": 4}
    short = arm(overrides={"epochs": 2, "batch_size": 16, "defence": schedule})
    path = packaged.path_of(short, 0)
    told = [json.dumps(packaged.asked(short, 0)), str(path)]
    ended = subprocess.run(
        [sys.executable, packaged.DRIVER, folder, *told], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
    made = json.loads(path.with_suffix(".json").read_text())
    assert [*made["sparsity"]] == [layer["layer_name"] for layer in packaged.asked(short, 0)["layers"]]
    assert made["versions"]["mindarmour"] == "2.0.0" and len(made["loss"]) == 2
    _, history, defence = packaged.load(short, 0)
    for name, entry in defence.report().items():
        assert entry["suppressed"] == pytest.approx(entry["target"], rel=1e-3, abs=2), name
        assert history.sparsity[name][-1] == pytest.approx(entry["suppressed"] / entry["weights"])
