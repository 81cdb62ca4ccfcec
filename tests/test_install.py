"""The package by itself: built, unpacked, imported where nothing of the study is installed."""

import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from importlib import metadata

import pytest

from conftest import ROOT

NOT_NEEDED = {"pandas", "matplotlib", "pydantic", "papermill", "mlxtend", "snakemake", "pyarrow"}
BLOCKED = f"""
import importlib, pkgutil, sys
for name in {sorted(NOT_NEEDED)!r}:
    sys.modules[name] = None  # importing it is an ImportError
import suppress_privacy
for module in pkgutil.walk_packages(suppress_privacy.__path__, "suppress_privacy."):
    importlib.import_module(module.name)
assert suppress_privacy.__file__.startswith(sys.argv[1]), suppress_privacy.__file__
try:
    suppress_privacy.load_mnist("embedded")
except suppress_privacy.mnist.DataError as error:
    print(error)
"""


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory):
    """What a wheel of the package holds, in a folder."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"  # building leaves folders behind
    shutil.copytree(ROOT / "lib", source / "lib", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "-q", "-w", folder, source]
    subprocess.run(command, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as file:
        file.extractall(folder / "site")
    return folder / "site"


def test_the_wheel_holds_the_library_alone(unpacked):
    assert {path.name for path in unpacked.iterdir() if path.suffix != ".dist-info"} == {"suppress_privacy"}
    assert (unpacked / "suppress_privacy" / "defences" / "suppress.py").is_file()


def test_it_imports_without_the_studys_packages_and_says_how_to_get_the_digits(unpacked):
    # -S: not even the project's own folders are on the path, but for the installed packages.
    site = subprocess.run(
        [sys.executable, "-c", "import numpy; print(numpy.__path__[0])"], capture_output=True, text=True, check=True
    ).stdout.rpartition("/numpy")[0]
    code = f"import sys; sys.path[:0] = [sys.argv[1], {site!r}]\n{BLOCKED}"
    run = subprocess.run(
        [sys.executable, "-S", "-c", code, str(unpacked)], capture_output=True, text=True, cwd=unpacked
    )
    assert run.returncode == 0, run.stderr
    assert "pip install 'suppress-privacy[digits]'" in run.stdout


def test_what_it_depends_on_brings_none_of_the_studys_packages():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    found, left = set(), [re.match(r"[\w.-]+", name).group() for name in project["dependencies"]]
    while left:
        name = left.pop().lower().replace("_", "-")
        if name not in found:
            found.add(name)
            required = [each for each in metadata.requires(name) or [] if "extra ==" not in each]
            left += [re.match(r"[\w.-]+", each).group() for each in required if _applies(each)]
    assert {"mindspore", "dp-accounting", "scipy"} <= found and not found & NOT_NEEDED
    assert project["optional-dependencies"]["digits"] == ["mlxtend"]


def _applies(requirement):
    from packaging.requirements import Requirement

    marker = Requirement(requirement).marker
    return marker is None or marker.evaluate()
