"""What is started here: the same code, settings and pictures from whichever shell."""

import os
import subprocess
import sys

import pytest

from conftest import ROOT
from suppress_study.surroundings import surroundings

HARMLESS = {
    "PATH": "/bin",
    "LANG": "C",
    "OMP_NUM_THREADS": "3",
    "MNIST_DIR": "/data",
    "COLUMNS": "20",
    "TZ": "Asia/Tokyo",
}


@pytest.fixture
def home(tmp_path):
    """An environment with a home of its own that can be written."""
    return HARMLESS | {"HOME": str(tmp_path)}


@pytest.mark.parametrize(
    "name",
    [
        *("MPLBACKEND", "MATPLOTLIBRC", "JUPYTER_PATH", "JUPYTER_PREFER_ENV_PATH", "PAPERMILL_PARAMS"),
        *("PYTHONSTARTUP", "PYTHONWARNINGS", "PYTHONOPTIMIZE", "PYTHONINSPECT", "PYTHONHOME", "PYTHONIOENCODING"),
        *("SNAKEMAKE_PROFILE", "SNAKEMAKE_OUTPUT_CACHE", "GLOG_log_dir", "GLOG_logtostderr", "VLOG_v"),
        *("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"),
    ],
)
def test_what_decides_results_or_pictures_is_left_out(home, name):
    assert surroundings(home | {name: "x"}) == surroundings(home)
    assert name not in surroundings(home)


def test_the_users_settings_stay_the_users_and_the_projects_are_its_own(home):
    given = home | {"IPYTHONDIR": "/mine", "JUPYTER_CONFIG_DIR": "/mine", "MPLCONFIGDIR": "/mine", "GLOG_v": "0"}
    found = surroundings(given)
    assert {name: found[name] for name in home} == home
    own = {found[name] for name in given if name not in home and name != "GLOG_v"}
    assert all(path.startswith(f"{ROOT}/.cache/") for path in own) and found["GLOG_v"] == "3"


def test_it_is_the_same_when_it_is_done_again(home):
    found = surroundings(home | {"PYTHONPATH": "/a:/b"})
    assert surroundings(found) == found


def test_the_code_is_this_checkouts_and_a_network_of_the_users_is_found_after_it(home, tmp_path):
    other = tmp_path / "other"
    (other / "suppress_study").mkdir(parents=True)
    (other / "suppress_study" / "__init__.py").touch()
    (other / "my_network.py").touch()
    code = "import suppress_study, my_network; print(suppress_study.__file__)"
    found = surroundings(os.environ | home | {"PYTHONPATH": str(other)})
    run = subprocess.run([sys.executable, "-c", code], env=found, cwd=tmp_path, capture_output=True, text=True)
    assert run.stdout.startswith(f"{ROOT}/study/"), run.stderr


@pytest.mark.parametrize("given", [{"HOME": "/proc/nowhere"}, {"HOME": ""}, {}])
def test_a_home_that_cannot_be_written_is_replaced(given, monkeypatch):
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)  # of a user whom the system does not know
    found = surroundings(HARMLESS | given)
    assert found["HOME"] == f"{ROOT}/.cache/home" and "XDG_CACHE_HOME" not in found


@pytest.mark.parametrize(
    ("given", "changed"),
    [
        ({"XDG_CACHE_HOME": "/proc/nowhere"}, {"XDG_CACHE_HOME": f"{ROOT}/.cache"}),
        ({"TMPDIR": "/proc/nowhere"}, {"TMPDIR": None}),
    ],
)
def test_other_folders_that_cannot_be_written_are_replaced(home, given, changed):
    found = surroundings(home | given)
    assert {name: found.get(name) for name in given} == changed


def test_folders_that_can_be_written_are_kept(home, tmp_path):
    given = {"XDG_CACHE_HOME": str(tmp_path / "new" / "cache"), "TMPDIR": str(tmp_path)}
    assert surroundings(home | given).items() >= given.items()
