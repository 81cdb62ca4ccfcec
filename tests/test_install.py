"""The package by itself: built, unpacked, imported where nothing of the study is installed; the locks; and make."""

import ast
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
import yaml
from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from conftest import ROOT

PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PYTHONS = re.search(r"^PYTHONS := (.*)", (ROOT / "Makefile").read_text(), re.M)[1].replace("python", "").split()
NOT_NEEDED = {"pandas", "matplotlib", "pydantic", "papermill", "mlxtend", "snakemake", "pyarrow"}
BLOCKED = f"""
import importlib, pkgutil, sys
for name in {sorted(NOT_NEEDED)!r}:
    sys.modules[name] = None  # importing it is an ImportError
import suppress_privacy
for module in pkgutil.walk_packages(suppress_privacy.__path__, "suppress_privacy."):
    importlib.import_module(module.name)
assert suppress_privacy.__file__.startswith(sys.argv[1]), suppress_privacy.__file__
assert 0 < suppress_privacy.defences.dpsgd.spent_epsilon(1.0, 0.01, 1, 1e-5) < 2  # which loads the accountant
try:
    suppress_privacy.load_mnist("embedded")
except suppress_privacy.mnist.DataError as error:
    print(error)
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """A wheel of the package, as pip makes it."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"  # building leaves folders behind
    shutil.copytree(ROOT / "lib", source / "lib", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "-q", "-w", folder, source]
    subprocess.run(command, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def unpacked(wheel):
    """What the wheel holds, in a folder."""
    with zipfile.ZipFile(wheel) as file:
        file.extractall(wheel.parent / "site")
    return wheel.parent / "site"


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


def imported(path):
    """The packages that a module imports from elsewhere, each with whether it does so as soon as it is imported."""
    tree = ast.parse(path.read_text())
    inner = {id(node) for each in ast.walk(tree) if isinstance(each, ast.FunctionDef) for node in ast.walk(each)}
    for node in ast.walk(tree):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module] if isinstance(node, ast.ImportFrom) and not node.level else []
        for name in {name.partition(".")[0] for name in names} - sys.stdlib_module_names - {"suppress_privacy"}:
            yield name, id(node) not in inner


def plain(name):
    """A distribution's name as it is compared: of a requirement, its name."""
    return re.sub(r"[-_.]+", "-", re.match(r"[\w.-]+", name).group()).lower()


def test_what_it_imports_is_what_it_declares():
    offered, found = metadata.packages_distributions(), {True: set(), False: set()}
    for path in (ROOT / "lib").rglob("*.py"):
        for name, at_once in imported(path):
            found[at_once].add(plain(offered[name][0]))
    project = PYPROJECT["project"]
    needed = {plain(each) for each in project["dependencies"]}
    assert found[True] <= needed <= found[True] | found[False]
    assert found[False] - needed == {plain(each) for each in project["optional-dependencies"]["digits"]}


def test_installed_in_an_environment_of_its_own_it_is_imported_from_there_wherever_one_stands(wheel, tmp_path):
    python = tmp_path / "environment" / "bin" / "python"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", python.parent.parent], check=True)
    own = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}  # and no PYTHONPATH
    install = [sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", "--no-index", "-q", wheel]
    subprocess.run(install, check=True, capture_output=True, env=own)
    (site,) = python.parent.parent.glob("lib/python3*/site-packages")
    others = Path(np.__path__[0]).parent  # where its dependencies are, and no project's own folders
    (site / "others.pth").write_text(f"{others}\n")
    code = "import importlib, pkgutil, suppress_privacy as it; print(it.__file__)\n"
    code += "for each in pkgutil.walk_packages(it.__path__, 'suppress_privacy.'): importlib.import_module(each.name)\n"
    code += (
        "from importlib.metadata import version; print(version('suppress-privacy'), it.LeNet5(seed=0).fc1.weight.shape)"
    )
    run = subprocess.run([python, "-c", code], capture_output=True, text=True, cwd=tmp_path, env=own)
    assert run.returncode == 0, run.stderr
    place, said = run.stdout.splitlines()
    assert Path(place).is_relative_to(site) and said == f"{PYPROJECT['project']['version']} (120, 400)"


def test_what_it_depends_on_brings_none_of_the_studys_packages():
    project = PYPROJECT["project"]
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
    marker = Requirement(requirement).marker
    return marker is None or marker.evaluate()


def test_the_version_is_the_same_wherever_it_stands():
    version = PYPROJECT["project"]["version"]
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text())["version"] == version
    versions = re.findall(r"^## (\d\S+),", (ROOT / "CHANGELOG.md").read_text(), re.M)
    assert versions[0] == version


def test_make_takes_the_pythons_that_the_package_and_its_locks_are_for():
    (environment,) = PYPROJECT["tool"]["uv"]["environments"]
    minors = [f"3.{minor}" for minor in range(30)]
    assert list(SpecifierSet(PYPROJECT["project"]["requires-python"]).filter(minors)) == PYTHONS
    assert [version for version in minors if Marker(environment).evaluate({"python_version": version})] == PYTHONS


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize(
    ("asked", "options"),
    [(["requirements", "requirements-lab"], []), (["requirements-dev"], ["--no-deps"])],
    ids=["study", "dev"],
)
def test_the_locks_hold_for_each_python_together_and_bring_what_was_asked_for(python, asked, options, tmp_path):
    # Resolved, not installed: whatever is pinned must have a wheel, but for two packages that have none anywhere.
    command = [Path(sys.executable).with_name("uv"), "pip", "install", "--dry-run", "--target", tmp_path]
    command += ["--python-version", python, "--require-hashes", *options]
    command += ["--only-binary", ":all:", "--no-binary", "connection-pool", "--no-binary", "jieba"]
    for name in asked:
        command += ["-r", ROOT / f"{name}.lock"]
    run = subprocess.run(command, capture_output=True, text=True)
    if "error sending request" in run.stderr and not os.environ.get("CI"):
        pytest.skip("no package index can be reached: set UV_DEFAULT_INDEX to one that can, or connect this machine")
    assert run.returncode == 0, run.stderr
    lines = [line.split("#")[0] for name in asked for line in (ROOT / f"{name}.txt").read_text().splitlines()]
    assert {f" + {line.strip().lower()}" for line in lines if line.strip()} <= set(run.stderr.splitlines())


def test_another_python_is_refused_in_one_sentence_before_anything_is_made(tmp_path):
    for name in ("requirements.lock", "pyproject.toml"):
        (tmp_path / name).touch()
    own = {"PATH": os.environ["PATH"]}  # what a `make` that runs the tests was given is not for this one
    # `true` runs whatever it is asked to, and is no Python; nor is there a Python 3.0.
    for given, shown in (("PYTHON=true", "true"), ("PYTHONS=python3.0", "")):
        command = ["make", "--no-print-directory", "-f", ROOT / "Makefile", given, "study"]
        run = subprocess.run(command, cwd=tmp_path, env=own, capture_output=True, text=True)
        sentence, made = run.stderr.splitlines()
        assert sentence.startswith(f"PYTHON is '{shown}'; it must be one of python3.") and "make: ***" in made
        assert run.returncode == 2 and not (tmp_path / ".venv").exists()


TOLD = """#!/bin/sh
for word in "$@"; do echo "<$word>"; done
echo "PYTHONPATH=$PYTHONPATH PYTHONWARNINGS=$PYTHONWARNINGS GIT_DIR=$GIT_DIR PYTHONUTF8=$PYTHONUTF8"
"""
STRANGE = ["my results", "it's", 'the "best"', "Prüfung", "a$HOME", "`id`", "#1; id", "-x", "back\\slash", "a=b: c"]


@pytest.fixture
def told(tmp_path):
    """What make gives the project's Python, which is set up already: its words, and what is in its environment."""
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    for name in ("requirements.lock", "pyproject.toml", ".venv/ready", ".venv/bin/python"):
        (tmp_path / name).write_text(TOLD, "utf-8")
        os.utime(tmp_path / name, (name == ".venv/ready",) * 2)
    (tmp_path / ".venv" / "bin" / "python").chmod(0o755)

    def make(*arguments, **environ):
        own = {"PATH": os.environ["PATH"]} | environ
        command = ["make", "-s", "-f", ROOT / "Makefile", *arguments]
        run = subprocess.run(command, cwd=tmp_path, env=own, capture_output=True, encoding="utf-8")
        assert (run.returncode, run.stderr) == (0, "")
        *words, last = run.stdout.splitlines()
        return [word[1:-1] for word in words], last

    return make


@pytest.mark.parametrize("given", STRANGE)
def test_make_hands_on_a_name_whole_whatever_is_in_it(told, given):
    given_to_make = given.replace("$", "$$")
    for goal in ("study", "publish", "book"):
        assert f"--results={given}" in told(goal, f"RESULTS={given_to_make}")[0]
    assert told("run", f"TARGET={given_to_make}")[0][-1] == given
    assert f"--snakemake={given}" in told("study", f"SNAKEMAKE={given_to_make}")[0]


def test_make_keeps_from_python_and_git_what_a_shell_or_a_hook_would_decide(told):
    shell = {"PYTHONPATH": "/other", "PYTHONWARNINGS": "error", "GIT_DIR": "/other/.git", "PYTHONUTF8": "0"}
    assert told("study", **shell)[1] == "PYTHONPATH= PYTHONWARNINGS= GIT_DIR= PYTHONUTF8=1"


@pytest.mark.parametrize("name", ["copy", "renamed", 'it\'s a "copy" of Prüfung'])
def test_a_copied_or_renamed_checkout_runs_its_own_code(tmp_path, name):
    """By the path that make writes into its environment; console scripts name the original, so none is used."""
    recipe = (ROOT / "Makefile").read_text("utf-8")
    written = re.search(r"printf '%s\\n' (.*) \\\n", recipe)[1].split()
    original = tmp_path / "original"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", original / ".venv"], check=True)
    for folder, package in (("lib", "suppress_privacy"), ("study", "suppress_study"), ("book", "report")):
        (original / folder / package).mkdir(parents=True)
        (original / folder / package / "__init__.py").touch()
    where = "import sysconfig; print(sysconfig.get_path('purelib'))"
    ask = [original / ".venv" / "bin" / "python", "-c", where]
    site = Path(subprocess.run(ask, capture_output=True, text=True, check=True).stdout.strip())
    (site / "here.pth").write_text("".join(f"{line}\n" for line in written), "utf-8")
    moved = tmp_path / name
    original.rename(moved) if name == "renamed" else shutil.copytree(original, moved, symlinks=True)
    code = "import report, suppress_privacy, suppress_study\n"
    code += "print(report.__file__, suppress_privacy.__file__, suppress_study.__file__)"
    ask = [moved / ".venv" / "bin" / "python", "-c", code]
    run = subprocess.run(ask, cwd=tmp_path, env={"PYTHONUTF8": "1"}, capture_output=True, encoding="utf-8")
    assert run.stdout.count(f"{moved}{os.sep}") == 3, run.stderr
    assert {*re.findall(r"(?:\$\(BIN\)|/bin)/(\w+)", recipe)} == {"python", "ruff", "uv"}  # the last two are no scripts


def test_every_text_file_is_opened_as_utf_8():
    """Or its encoding would be the shell's."""
    for path in [each for folder in ("lib", "study", "book", "benchmarks") for each in (ROOT / folder).rglob("*.py")]:
        for call in [node for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.Call)]:
            name = getattr(call.func, "attr", getattr(call.func, "id", ""))
            said = ast.unparse(call)
            if name in ("read_text", "write_text"):
                assert "utf-8" in said, (path, said)
            if name == "open" and not said.startswith(("os.open", "tarfile.open", "archive.open")):
                assert "utf-8" in said or re.search(r"'\w?b\w?'", said), (path, said)
            assert not any(given.arg in ("text", "universal_newlines") for given in call.keywords), (path, said)
