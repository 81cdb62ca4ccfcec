"""The code a run depends on: what it imports, and that alone; what it says, and not how it is commented."""

import ast
import shutil
import subprocess
import sys

import pytest

from suppress_study import code
from suppress_study.settings import ROOT

NOTEBOOKS = {name: ROOT / "notebooks" / f"{name}.ipynb" for name in ("train", "attack", "membership")}


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A copy of the project's code, which may be changed."""
    for folder in ("lib", "study"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "notebooks", tmp_path / "notebooks")
    monkeypatch.setattr(code, "ROOT", tmp_path)
    monkeypatch.setattr(code, "PACKAGES", {"suppress_privacy": tmp_path / "lib", "suppress_study": tmp_path / "study"})
    return tmp_path


def changed(project, module, before, after):
    path = project / module
    text = path.read_text("utf-8")
    assert before in text
    path.write_text(text.replace(before, after, 1), "utf-8")


def of(project, notebook="train", *modules):
    return code.hashes([project / "notebooks" / f"{notebook}.ipynb", *(project / each for each in modules)])


def test_what_a_training_imports_is_found_and_attacks_and_defences_only_where_they_are_used(project):
    trained, attacked = of(project), of(project, "attack", "lib/suppress_privacy/attacks/perceptron.py")
    assert {"lib/suppress_privacy/training.py", "lib/suppress_privacy/lenet.py", "study/suppress_study/models.py"} <= {
        *trained
    }
    assert not [
        each for each in trained if "/attacks/" in each or each.endswith(("dpsgd.py", "noise.py", "pruning.py"))
    ]
    assert "lib/suppress_privacy/attacks/perceptron.py" in attacked
    assert "lib/suppress_privacy/attacks/decoder.py" in attacked  # which perceptron imports
    assert "lib/suppress_privacy/attacks/membership.py" not in attacked
    assert trained.keys() - {"study/suppress_study/session_train.py"} <= attacked.keys()


def test_python_itself_loads_all_that_is_found():
    sessions = ", ".join(f"suppress_study.session_{name}" for name in ("train", "attack", "play"))
    own = "(each.__file__ for name, each in sys.modules.items() if name.startswith('suppress_') and each.__file__)"
    listed = f"import sys, {sessions}; print(*{own}, sep='\\n')"
    loaded = subprocess.run([sys.executable, "-c", listed], cwd=ROOT, capture_output=True, text=True, check=True)
    assert {str(ROOT / each) for each in code.hashes(NOTEBOOKS.values())} <= {*loaded.stdout.splitlines()}


@pytest.mark.parametrize(
    ("module", "before", "after", "same"),
    [
        ("lib/suppress_privacy/training.py", '"""', '"""Said otherwise. ', True),
        ("lib/suppress_privacy/training.py", "\n\n\n", "\n\n\n# a comment, and blank lines\n\n\n\n", True),
        ("lib/suppress_privacy/training.py", "import ", "import os as unused  # \nimport ", False),
        ("lib/suppress_privacy/defences/masks.py", "\n\n\n", "\n\n\nCHANGED = 1\n\n\n", False),
        ("lib/suppress_privacy/attacks/tuned.py", "\n\n\n", "\n\n\nCHANGED = 1\n\n\n", True),
        ("lib/suppress_privacy/evaluation/verdict.py", "\n\n\n", "\n\n\nCHANGED = 1\n\n\n", True),
        ("study/suppress_study/summary.py", "\n\n\n", "\n\n\nCHANGED = 1\n\n\n", True),
        ("study/suppress_study/plan.py", "\n\n\n", "\n\n\nCHANGED = 1\n\n\n", True),
        ("study/suppress_study/models.py", "\n\n\n", "\n\n\nCHANGED = 1\n\n\n", False),
        ("study/suppress_study/targets.py", "\n\n\n", "\n\n\nCHANGED = 1\n\n\n", False),
    ],
)
def test_a_related_change_changes_the_hash_and_an_unrelated_one_does_not(project, module, before, after, same):
    first = of(project)
    changed(project, module, before, after)
    second = of(project)
    assert (first == second) is same
    if not same:
        assert [name for name in first if first[name] != second.get(name)] == [module]


def test_a_hash_sign_in_a_text_is_no_comment_and_a_text_that_is_used_no_docstring(project):
    path = project / "lib/suppress_privacy/own_texts.py"
    path.write_text('COLOUR = "#1"\n\n\ndef said():\n    """Doc."""\n    return """used # here"""\n', "utf-8")
    assert [*code._lines(path)] == ['COLOUR = "#1"', "def said():", '    return """used # here"""']
    assert ast.parse("\n".join(code._lines(path)))


def test_a_module_that_is_not_there_is_named(project):
    with pytest.raises(ValueError, match="nothing is no module"):
        code.module("suppress_privacy.nothing")
