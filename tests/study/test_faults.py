"""One training, one attack, a summary and a publication, each with a fault wherever it writes.

Of many writes in a row to one file the first, the middle and the last one meet it. Afterwards nothing half-written is
believed, and the same command ends as if nothing had happened.
"""

import shutil
from argparse import Namespace
from contextlib import contextmanager
from dataclasses import replace
from itertools import groupby

import numpy as np
import pytest
from mindspore import nn

import planted_study as planted
from faulty import KINDS, Faults, Killed
from suppress_privacy import load_checkpoint, training
from suppress_privacy.lenet import LeNet5
from suppress_privacy.training import checkpoints_in
from suppress_study import attacking, models, results, run, session, session_attack, session_train
from suppress_study.notebook import checked_parameters
from suppress_study.results import ResultError, Results, read_job
from suppress_study.summary import Summary

# NumPy leaves an archive open that it could not write, whose end then complains.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
PROFILE = {
    "arms": {"baseline": [0], "suppressed-example": [0]},
    "sweeps": {},
    "attacks": ["black", "ridge"],
    "further": {"membership": {"attacks": ["loss"], "arms": ["baseline"], "seeds": [0]}},
}


class Step(nn.Cell):
    """A training step that trains nothing, and so need not be compiled."""

    def __init__(self, forward, optimizer, defence):
        super().__init__(auto_prefix=False)
        self.of_forward = list(forward.get_parameters())

    def get_parameters(self):
        return self.of_forward

    def set_train(self, mode):
        pass

    def __call__(self, images, labels):
        return 0.5


@contextmanager
def made(stage, environment):
    yield {"commit": "0123456789ab", "environment": environment, "times": {"seconds": {stage: 1.0}}}


@pytest.fixture(scope="module", autouse=True)
def stubs(digits):
    """No compiled step, no test, no data to read, no other process; and every byte goes through Python's own files."""
    few = replace(digits, train_images=digits.train_images[::4], train_labels=digits.train_labels[::4])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "TrainStep", Step)
        patch.setattr(training, "correct", lambda _, images, labels: np.arange(len(labels)) % 10 > 0)
        patch.setattr(session, "load_data", lambda *_: few)
        for each in (session_attack, session_train):
            patch.setattr(each, "made", made)
        patch.setattr("mindspore.train.serialization._ckpt_fs.create", lambda *given: open(*given))  # noqa: SIM115  it is theirs to close
        write_table = results.pq.write_table

        def through_python(table, where, **form):
            with where.open("wb") as file:
                write_table(table, file, **form)

        patch.setattr(results.pq, "write_table", through_python)
        patch.setattr(run, "lock", lambda: None)
        yield


def contents(folder):
    """All that a folder holds, by path, but for what a killed process may leave."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file() and ".part-" not in str(path))
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def strike_everywhere(folder, begin, command, believed):
    """Let a command meet a fault at its points, from the same beginning; returns how many it has.

    Args:
        folder: what it writes to.
        begin: a folder that is copied there before.
        command: what is run, and run again.
        believed: raises where the folder holds what is not whole but passes for it.
    """

    def afresh():
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(begin, folder)

    afresh()
    with Faults(folder) as counted:
        command()
    whole = contents(folder)
    rows = [[at for at, _ in row] for _, row in groupby(enumerate(counted.passed, 1), lambda point: point[1])]
    for number, at in enumerate(sorted({at for row in rows for at in (row[0], row[len(row) // 2], row[-1])})):
        for kind in (KINDS[number % 2], "killed"):
            afresh()
            faults = Faults(folder, at, kind)
            try:
                with faults:
                    command()
            except (Killed, OSError, RuntimeError, ValueError):
                pass
            else:  # not told of: then it was overcome, as by a library that opens a file again
                assert faults.struck and contents(folder) == whole, (kind, faults.struck)
            believed()
            command()
            assert contents(folder) == whole, (kind, faults.struck)
    return counted.count


def checked_jobs(folder):
    for path in (folder / "runs").glob("[!.]*.npz"):
        read_job(path)


def session_parameters(name, folder, **more):
    place = {"profile": "smoke", "results": str(folder), "models": str(folder)}
    return checked_parameters(name, place | more)


def test_a_training(tmp_path, monkeypatch):
    """Again over an earlier one with other weights, whose run must not pass for that of the new ones."""
    begin, folder = tmp_path / "begin", tmp_path / "results"
    with monkeypatch.context() as patch:
        patch.setattr(models, "untrained", lambda arm, seed=None: LeNet5(seed=7))
        session_train.Training(session_parameters("train", begin, overrides={"epochs": 1})).train()
    made = session_train.Training(session_parameters("train", folder, overrides={"epochs": 1}))

    def believed():
        checked_jobs(folder)
        for path in checkpoints_in(folder / "checkpoints" / "train-baseline-seed0"):
            load_checkpoint(LeNet5(), path)
        try:
            found = made.models.load(made.model)
        except ValueError as error:
            assert "train" in str(error)
        else:
            weights = [LeNet5(seed=seed).fc1.weight.asnumpy() for seed in (7, 0)]
            assert any(np.array_equal(found.network.fc1.weight.asnumpy(), each) for each in weights)

    assert strike_everywhere(folder, begin, made.train, believed) > 15


def test_an_attack(tmp_path, monkeypatch):
    begin, folder = tmp_path / "begin", tmp_path / "results"
    rng = np.random.default_rng(0)
    arrays = {"image": np.arange(30), "skill": rng.random(30), "reconstruction": rng.integers(0, 255, (30, 1, 32, 32))}
    monkeypatch.setattr(attacking, "attack", lambda variant, scene: attacking.Found(arrays))
    judges = (("baseline", 1000), ("evaluator-lenet", 1001), ("evaluator-convnet", 1000), ("baseline", 0))
    for arm, seed in judges:
        session_train.Training(session_parameters("train", begin, arm=arm, seed=seed)).train()
    shutil.copytree(begin, folder)
    made = session_attack.Attacking(session_parameters("attack", folder, attacks=["ridge"]))

    def command():
        made.attack("ridge-fc1")
        made.save()

    assert strike_everywhere(folder, begin, command, lambda: checked_jobs(folder)) > 5


@pytest.fixture(scope="module")
def study(stubs):
    """A small study whose runs are made up, in place of study.yaml."""
    small = planted.study(**PROFILE)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run.Study, "today", lambda _: small)
        yield small


def options(folder):
    return Namespace(results=folder, profile="tiny", allow_missing=False, into=None)


def test_a_summary(study, tmp_path):
    begin, folder = planted.write(tmp_path / "begin", planted.jobs(study)), tmp_path / "results"
    run.summarised(options(begin))
    older = (begin / "summary.json").read_text("utf-8").replace("planted", "planted before")
    (begin / "summary.json").write_text(older, "utf-8")

    def believed():
        checked_jobs(folder)
        Summary.load(folder / "summary.json")

    assert strike_everywhere(folder, begin, lambda: run.summarised(options(folder)), believed) > 4


def test_a_publication(study, tmp_path, capsys):
    """Over an earlier one, of which the folder has no runs of its own any more."""
    begin, folder, jobs = tmp_path / "begin", tmp_path / "results", planted.jobs(study)
    last = jobs.popitem()
    planted.write(begin, jobs)
    run.publish(options(begin))
    shutil.rmtree(begin / "runs")
    planted.write(begin, dict([last]))
    every = {one.name for pairs in (*jobs.values(), last[1]) for one, _ in pairs}

    def believed():
        try:
            found = Results.load(folder)
        except ResultError as error:
            assert "publish it again, which ends it" in str(error)
        else:
            assert found.runs.keys() == every and set(found.images.run) | set(found.membership.run) <= every

    assert strike_everywhere(folder, begin, lambda: run.publish(options(folder)), believed) > 20
