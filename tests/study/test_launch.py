"""Where runs go, and what is refused before a study starts."""

import os
import subprocess
from argparse import Namespace
from pathlib import Path

import pytest

from suppress_study import launch, run
from suppress_study.launch import SetupError, home, require_clean
from suppress_study.plan import Study
from suppress_study.results import ResultError, published_runs
from suppress_study.status import CURRENT, MISSING, STALE, Standing

PUBLISHED = ["full", "fashion-lenet5", "mnist-convnet"]


@pytest.mark.parametrize("profile", PUBLISHED)
def test_what_is_published_is_run_from_committed_code_alone(profile, monkeypatch):
    monkeypatch.setattr(launch, "commit", lambda: "0123456789ab-dirty")
    with pytest.raises(SetupError, match=f"profile {profile} is run from committed code alone, and files here differ"):
        require_clean(profile)
    require_clean("quick")
    monkeypatch.setattr(launch, "commit", lambda: "0123456789ab")
    require_clean(profile)


@pytest.mark.parametrize("profile", PUBLISHED)
def test_runs_of_one_s_own_never_go_beside_what_was_published(profile):
    assert home(profile, redraw=False) == Path("runs") / profile
    assert home(profile, redraw=True) == Path("results") / profile
    assert home("quick", redraw=False) == home("quick", redraw=True) == Path("results/quick")


def started(*arguments):
    return launch.study(run.parser().parse_args(["study", "--profile", "full", *arguments]))


def test_the_folder_of_what_was_published_is_refused_by_name(monkeypatch):
    monkeypatch.setattr(launch, "commit", lambda: "0123456789ab")
    monkeypatch.chdir(launch.ROOT)
    with pytest.raises(SetupError, match="results/full is what was published: name another folder as RESULTS"):
        started("--results", "results/full")


def test_changed_files_end_a_full_study_before_anything_is_touched(monkeypatch, tmp_path):
    monkeypatch.setattr(launch, "commit", lambda: "0123456789ab-dirty")
    monkeypatch.chdir(launch.ROOT)
    for target in ([], ["train-baseline-seed0"]):
        with pytest.raises(SetupError, match="from committed code alone"):
            started("--results", str(tmp_path / "mine"), *target)
    assert not (tmp_path / "mine").exists()


@pytest.mark.parametrize(
    ("state", "weights", "chosen", "taken"),
    [
        (CURRENT, True, "published", True),
        (STALE, True, "published", False),
        (MISSING, True, "published", False),
        (CURRENT, False, "published", False),
        (CURRENT, True, "made", False),
        ("damaged", True, "published", False),
    ],
)
def test_judges_are_taken_if_all_are_current_and_have_their_weights(
    state, weights, chosen, taken, monkeypatch, tmp_path, capsys
):
    study = Study.load()
    judges = {name: str(study.training("quick", model)) for name, model in study.judges().items()}
    states = dict.fromkeys(judges.values(), CURRENT) | {judges["lenet2"]: state}
    whole = dict.fromkeys(judges.values(), True) | {judges["convnet"]: weights}

    def standing(folder, profile, study, jobs, data, device):
        if state == "damaged":
            raise ResultError
        return whole, [Standing(job, states[str(job)]) for job in jobs]

    given = Namespace(results=tmp_path, profile="quick")
    profiles = study.profiles | {"quick": study.profiles["quick"].model_copy(update={"judges": chosen})}
    monkeypatch.setattr(launch, "standing", standing)
    monkeypatch.setattr(launch, "EDITIONS", tmp_path / "none")
    monkeypatch.chdir(launch.ROOT)
    launch.take_judges(given, study.model_copy(update={"profiles": profiles}), {}, "CPU")
    found = published_runs(tmp_path)
    assert {run.name: run.profile for run in found.values()} == (
        dict.fromkeys(judges.values(), "quick") if taken else {}
    )
    assert ("Taken over from results/full" in capsys.readouterr().err) == taken
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    launch.take_judges(given, study, {}, "CPU")  # a folder that has begun stays as it is
    assert not taken or before == {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}


def test_keep_is_refused_with_what_takes_its_place():
    said = subprocess.run(["make", "-n", "study", "KEEP=1"], cwd=launch.ROOT, capture_output=True, text=True)
    assert said.returncode and "runs that are current are kept, see make status" in said.stderr


def test_what_the_shell_says_of_python_ends_at_make():
    """Without bytecode each process would compile all that it imports, and take twice as long to start."""
    hostile = ("PYTHONDONTWRITEBYTECODE", "PYTHONPYCACHEPREFIX", "PYTHONOPTIMIZE", "PYTHONWARNINGS", "PYTHONPATH")
    command = ["make", "--no-print-directory", "--eval=shown: ; @env", "shown"]
    environment = os.environ | dict.fromkeys(hostile, "1")
    shown = subprocess.run(command, cwd=launch.ROOT, env=environment, capture_output=True, text=True, check=True).stdout
    assert "PATH=" in shown and not [name for name in hostile if f"{name}=" in shown]
