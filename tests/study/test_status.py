"""How runs stand: current while all that they depend on is as it was, stale when any of it changed, and why."""

import json
from dataclasses import replace

import pytest

import planted_study as planted
from suppress_study import keys, status
from suppress_study.jobs import Model
from suppress_study.keys import Keys
from suppress_study.results import Results
from suppress_study.status import CURRENT, MISSING, STALE

DATA = {"name": "planted", "sha256": {"train": "0", "test": "1"}}
STUDY = planted.study()
JOBS = STUDY.jobs("tiny")


def keys_of(study=STUDY, **changes):
    return Keys(study, "tiny", **{"data": DATA, "device": "CPU"} | changes)


@pytest.fixture
def runs():
    """All runs of the study, made here and now, as a file gives them back."""
    own, made = keys_of(), planted.jobs(STUDY)
    return {
        run.name: replace(
            run, **json.loads(json.dumps({"settings": run.settings, "depends": own.depends(job)[run.name]}))
        )
        for job in JOBS
        for run, _ in made[str(job)]
    }


def stand(runs, study=STUDY, published=None, **changes):
    found = status.standings(keys_of(study, **changes), study.jobs("tiny"), runs, published)
    return {str(each.job): each for each in found}


def test_what_was_made_here_and_now_is_current_and_nothing_is_made_again(runs, tmp_path):
    found = stand(runs)
    assert {each.state for each in found.values()} == {CURRENT} and len(found) == len(JOBS)
    assert status.write(tmp_path / "standing.json", [*found.values()], {}) == []
    assert json.loads((tmp_path / "standing.json").read_text()) == {"anew": [], "published": []}


@pytest.mark.parametrize(
    ("what", "change"),
    [
        ("data", {"data": {"name": "planted", "sha256": {"train": "0", "test": "2"}}}),
        ("device", {"device": "Ascend"}),
        ("targets", {"study": planted.study(targets={"train_per_class": 2, "test_per_class": 1})}),
    ],
)
def test_other_data_device_or_targets_make_all_of_it_stale_and_say_so(runs, what, change):
    found = stand(runs, **change)
    assert {each.state for each in found.values()} == {STALE}
    assert all(f"other {what} (" in each.why for each in found.values())


def test_so_do_other_versions_of_a_numerical_package(runs, monkeypatch):
    monkeypatch.setattr(keys, "numerical", lambda: {"numpy": "0.1"})
    assert "versions (mindspore, numpy, scipy and" in stand(runs)["train-baseline-seed0"].why


def test_a_changed_setting_makes_one_arm_stale_with_what_starts_from_it_and_no_other(runs):
    study = planted.study(overrides={"suppressed-example": {"batch_size": 64}})
    found = stand(runs, study)
    stale = {name for name, each in found.items() if each.state == STALE}
    assert found["train-suppressed-example-seed0"].why == "other settings (batch_size)"
    assert "needs (train-suppressed-example-seed0)" in found["attack-suppressed-example-seed0"].why
    assert "train-accuracy-matched-seed0" in stale  # whose accuracy it is to have
    assert not [name for name in stale if "baseline" in name or name.startswith(("train-dense", "attack-dense"))]


def test_changed_code_of_an_attack_makes_stale_who_uses_it_alone(runs, monkeypatch):
    def changed(chosen):
        found = original(chosen)
        return {name: said + "changed" * name.endswith("attacks/membership.py") for name, said in found.items()}

    original = keys.hashes
    monkeypatch.setattr(keys, "hashes", changed)
    found = stand(runs)
    stale = {name for name, each in found.items() if each.state == STALE}
    assert stale == {name for name in found if name.endswith("-membership")} and stale
    assert {found[name].why for name in stale} == {"other code (lib/suppress_privacy/attacks/membership.py)"}


def test_what_is_not_there_is_missing_and_who_starts_from_it_stale(runs):
    del runs["train-baseline-seed0"]
    found = stand(runs)
    assert found["train-baseline-seed0"].state == MISSING
    assert found["attack-baseline-seed0"].why == "train-baseline-seed0, which it starts from, is missing"
    assert found["attack-baseline-seed1"].state == CURRENT


def test_a_job_that_lacks_one_of_its_runs_is_to_be_made(runs, tmp_path):
    del runs["attack-ridge-fc1-baseline-seed0"]
    found = stand(runs)
    assert found["attack-baseline-seed0"].state == MISSING
    status.write(tmp_path / "standing.json", [*found.values()], {})
    assert json.loads((tmp_path / "standing.json").read_text())["anew"] == ["attack-baseline-seed0"]


def test_a_run_from_before_there_were_keys_and_one_whose_record_was_changed_are_stale(runs):
    runs["train-baseline-seed0"].depends = {}
    runs["train-baseline-seed1"].depends |= {"key": "0" * 32}
    found = stand(runs)
    assert found["train-baseline-seed0"].why == "made before runs said what they depend on"
    assert found["train-baseline-seed1"].why == "its record of what it depends on is not what its key says"


def test_an_attack_on_other_weights_than_are_there_is_stale(runs):
    runs["train-baseline-seed0"].checkpoint = {"name": "x.ckpt", "sha256": "of another processor"}
    found = stand(runs)
    assert found["train-baseline-seed0"].state == CURRENT
    assert found["attack-baseline-seed0"].why == "its victim has other weights than the training that is there"


def test_published_runs_are_enough_until_more_is_needed_of_a_training_than_its_last_weights(runs, tmp_path):
    published = dict.fromkeys(runs, True)
    found = stand(runs, published=published)
    assert {*status.write(tmp_path / "s.json", [*found.values()], published)} == {*found}
    middle = {"attacks": ["dlg"], "at": ["middle"], "arms": ["baseline"], "seeds": [0]}
    study = planted.study(further=planted.PROFILE["further"] | {"gradients": middle})
    found = stand(runs, study, published=published)
    assert found["train-baseline-seed0"].why == (
        "its earlier epochs are not published, and attack-baseline-seed0-gradients needs them"
    )
    again = [name for name, each in found.items() if each.state != CURRENT]
    assert again == ["train-baseline-seed0", "attack-baseline-seed0-gradients"]
    # On another processor its weights are others: what was made of it is found out then.
    runs["train-baseline-seed0"].checkpoint = {"name": "x.ckpt", "sha256": "of another processor"}
    assert stand(runs)["attack-baseline-seed0"].state == STALE


def test_so_they_are_where_weights_are_lacking_that_nothing_needs_any_more(runs):
    published = {name: not name.startswith("train-dense-sgd") for name in runs}
    assert {each.state for each in stand(runs, published=published).values()} == {CURRENT}
    left = {name: run for name, run in runs.items() if name != "attack-ridge-fc1-dense-sgd-seed0"}
    found = stand(left, published={name: published[name] for name in left})
    assert found["train-dense-sgd-seed0"].why.startswith("its weights are not published, and attack-dense-sgd-seed0")
    assert found["train-dense-sgd-seed1"].state == CURRENT


def test_published_and_read_again_a_run_says_the_same_of_what_it_depends_on(runs, tmp_path):
    pairs = {str(job): [(runs[run.name], arrays) for run, arrays in planted.jobs(STUDY)[str(job)]] for job in JOBS[:9]}
    planted.write(tmp_path, pairs)
    Results.load(tmp_path).publish(tmp_path)
    for path in (tmp_path / "runs").glob("*.npz"):
        path.unlink()
    read = Results.load(tmp_path).runs
    assert read and all(run.depends == runs[name].depends for name, run in read.items())
    assert (tmp_path / "runs.jsonl").read_text().count('"kind": "basis"') < len(read)


def test_the_table_counts_jobs_and_runs_says_what_they_take_and_every_reason_once(runs):
    del runs["train-dense-sgd-seed2"]
    for name in ("train-baseline-seed0", "train-baseline-seed1"):
        runs[name].depends = {}
    found = [*stand(runs).values()]
    lines = status.told(found, [replace(run, times={"seconds": {"it": 3600.0}}) for run in runs.values()]).splitlines()
    counts = {line.split()[0]: [int(part.replace(",", "")) for part in line.split()[1:3]] for line in lines[1:4]}
    assert sum(jobs for jobs, _ in counts.values()) == len(JOBS)
    assert counts["missing"] == [1, 1] and lines[1].split()[-1] == "0.0" and float(lines[3].split()[3]) == 1.0
    assert sum("made before runs said" in line and "and 1 more" in line for line in lines) == 1


def test_keys_do_not_depend_on_the_profile_s_other_arms_nor_on_titles():
    other = planted.study(arms={"baseline": [0], "suppressed-example": [0], "dense-sgd": [0]}, further={})
    model = Model("baseline", 0)
    assert keys_of().key(STUDY.training("tiny", model)) == keys_of(other).key(other.training("tiny", model))
