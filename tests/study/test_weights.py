"""Published weights: to the byte those of the training, opened and built on like one's own, or refused."""

import json
import lzma
import shutil

import numpy as np
import pytest

from suppress_privacy.files import sha256_of
from suppress_privacy.lenet import LeNet5
from suppress_privacy.training import checkpoints_in
from suppress_study import weights
from suppress_study.jobs import Model
from suppress_study.models import Models, checkpoints_of, make, published
from suppress_study.plan import Study
from suppress_study.results import ResultError, Results, published_runs, write_job

STUDY = Study.load()
SHORT = {"epochs": 2, "batch_size": 8}
MODEL = Model("dense-sgd", 0)


@pytest.fixture(scope="module")
def folder(few, tmp_path_factory):
    """As someone has it who has cloned a study of two trainings: published, without what it was published from."""
    folder = tmp_path_factory.mktemp("results")
    masked = SHORT | {"defence": {"start_epoch": 1, "end_epoch": 2, "mask_times": 20}}
    for model, changes in ((MODEL, SHORT), (Model("suppressed-example", 0), masked)):
        trained = make(STUDY.arm("full", model.arm, changes), 0, few, checkpoints_of(folder, model))
        (run,) = STUDY.training("full", model, changes).runs
        for name, value in ({"environment": {"data": {}}} | trained.outcome({})).items():
            setattr(run, name, value)
        write_job(folder / "runs" / f"train-{model}.npz", [(run, {})])
    Results.load(folder).publish(folder)
    shutil.rmtree(folder / "runs")
    (folder / "checkpoints").rename(folder.with_name("checkpoints"))
    return folder


@pytest.fixture
def copy(folder, tmp_path):
    return shutil.copytree(folder, tmp_path / "copy")


def values(network):
    return [parameter.asnumpy() for parameter in network.get_parameters()]


def models(*folders):
    return Models(folders, STUDY, "full")


def test_a_published_network_is_the_one_that_was_trained_to_the_byte(copy, folder):
    (last,) = checkpoints_in(folder.with_name("checkpoints") / f"train-{MODEL}")[-1:]
    found, run = published(copy, "dense-sgd", 0), published_runs(copy)[f"train-{MODEL}"]
    assert run.checkpoint == {"name": last.name, "sha256": sha256_of(last)} == found.checkpoint
    assert lzma.decompress(weights.packed(copy, run.name).read_bytes()) == last.read_bytes(), "any tool unpacks it"
    whole = models(shutil.copytree(folder.with_name("checkpoints"), copy / "checkpoints").parent).load(MODEL)
    assert all(map(np.array_equal, values(found.network), values(whole.network)))
    assert found.history == whole.history and found.arm == whole.arm


def test_what_is_published_again_elsewhere_keeps_its_weights(copy):
    before = {path.name: path.read_bytes() for path in (copy / "weights").iterdir()}
    Results.load(copy).publish(copy)
    assert {path.name: path.read_bytes() for path in (copy / "weights").iterdir()} == before and len(before) == 2
    named = {line["name"]: line for line in map(json.loads, (copy / "runs.jsonl").read_text().splitlines())}
    for name in before:
        assert named[f"weights/{name}"]["sha256"] == sha256_of(copy / "weights" / name)


def test_weights_that_are_not_the_runs_own_or_too_large_are_not_published(copy, monkeypatch):
    one, other = sorted((copy / "weights").iterdir())
    shutil.copyfile(one, other)
    files = {run.name: run.checkpoint for run in published_runs(copy).values()}
    (copy / "place").mkdir()
    assert list(weights.publish(files, copy, copy / "place")) == [f"weights/{one.name}"]
    monkeypatch.setattr(weights, "AT_MOST", one.stat().st_size - 1)
    assert weights.publish(files, copy, copy / "place") == {} and not any((copy / "place" / "weights").iterdir())


@pytest.mark.parametrize("at", [0.0, 0.3, 0.999])
def test_damaged_weights_are_refused_and_so_is_the_folder(copy, at):
    path = weights.packed(copy, f"train-{MODEL}")
    whole = path.read_bytes()
    position = int(at * len(whole))
    for content in (whole[:position], whole[:position] + bytes([whole[position] ^ 1]) + whole[position + 1 :]):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"ckpt\.xz (is missing or damaged|holds other weights)"):
            published(copy, "dense-sgd", 0)
        with pytest.raises(ResultError, match="is not the one that runs"):
            Results.load(copy)


def test_exchanged_weights_are_refused(copy):
    one, other = sorted((copy / "weights").iterdir())
    content = one.read_bytes()
    shutil.copyfile(other, one)
    other.write_bytes(content)
    with pytest.raises(ValueError, match="holds other weights than its run recorded: restore it, or train"):
        published(copy, "dense-sgd", 0)


def test_what_needs_an_epoch_on_the_way_asks_for_the_training(copy, few):
    found = published(copy, "dense-sgd", 0)
    assert all(map(np.array_equal, values(found.at("start")), values(LeNet5(seed=0))))
    with pytest.raises(ValueError, match="'middle'; of this model only the last weights are here, as they are pub"):
        found.at("middle")
    earlier = models(copy).earlier(STUDY.arm("full", "accuracy-matched"), 0)
    earlier["suppressed-example"].history.test_accuracy[-1] = found.history.test_accuracy[0]
    with pytest.raises(ValueError, match=r"has no checkpoint of epoch 1: train dense-sgd again\."):
        make(STUDY.arm("full", "accuracy-matched"), 0, few, earlier=earlier)


def test_one_trained_oneself_comes_before_a_published_one(copy, folder, tmp_path):
    own = tmp_path / "own"
    assert models(own, copy).found(MODEL)[1] == models(copy, own).found(MODEL)[1] == copy
    with pytest.raises(ValueError, match="no run train-dense-sgd-seed1 of profile full is in"):
        models(copy).load(Model("dense-sgd", 1))
    with pytest.raises(ValueError, match="no run train-dense-sgd-seed0 of profile smoke"):
        Models([copy], STUDY, "smoke").load(MODEL)
    shutil.rmtree(copy / "weights")  # as the first edition is
    with pytest.raises(ValueError, match="no run train-dense-sgd-seed0 of profile full is in"):
        models(copy).load(MODEL)


def test_every_game_publishes_what_its_models_say_of_the_candidates():
    assert all("loss" in game.attacks for game in STUDY.games.values())
