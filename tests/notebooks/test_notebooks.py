"""Notebooks start with parameters that were checked; what fails says why and leaves what was there."""

import json
import os
import subprocess
import sys

import papermill
import pytest

from suppress_study import notebook
from suppress_study.notebook import TYPES, checked_parameters
from suppress_study.plan import Model, Study
from suppress_study.settings import ROOT

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
SWEPT = "suppressed-example"


def run(*arguments):
    command = [sys.executable, "-m", "suppress_study.run", "notebook", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, env=dict(os.environ), capture_output=True, text=True)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_sources_carry_no_outputs_and_one_documented_parameters_cell(path):
    cells = [cell for cell in json.loads(path.read_text())["cells"] if cell["cell_type"] == "code"]
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in cells)
    assert sum("parameters" in cell["metadata"].get("tags", []) for cell in cells) == 1
    for parameter in papermill.inspect_notebook(str(path)).values():
        assert parameter["help"] and parameter["inferred_type_name"] in TYPES, parameter["name"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_with_its_own_defaults(path):
    declared = papermill.inspect_notebook(str(path))
    assert checked_parameters(path.stem, {}).keys() == declared.keys()


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_defines_nothing_and_uses_every_parameter(path):
    """What another could need stands in a module; a parameter that is not handed on would be without effect."""
    cells = [cell for cell in json.loads(path.read_text())["cells"] if cell["cell_type"] == "code"]
    code = ["".join(cell["source"]) for cell in cells if "parameters" not in cell["metadata"].get("tags", [])]
    assert not any(line.startswith(("def ", "class ")) for source in code for line in source.splitlines())
    for name in papermill.inspect_notebook(str(path)):
        assert any(f'"{name}": {name}' in source or f"{name})" in source or f"/ {name}" in source for source in code), (
            name
        )


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("trian", {}, "notebook is 'trian'; there are attack, compare, train: name one of these"),
        # names and kinds
        ("train", {"sed": 1}, "sed is no parameter of train; it has profile, arm, swept, seed"),
        ("train", {"seed": "one"}, "seed is 'one'; it must be of type int (seeds initial weights"),
        ("train", {"seed": True}, "seed is True; it must be of type int"),
        ("train", {"seed": 1.0}, "seed is 1.0; it must be of type int"),
        ("train", {"arm": 5}, "arm is 5; it must be of type str"),
        ("train", {"overrides": "epochs"}, "overrides is 'epochs'; it must be of type dict"),
        ("attack", {"attacks": "reference"}, "attacks is 'reference'; it must be of type list[str]"),
        ("attack", {"attacks": ["tuned", 5]}, "attacks is ['tuned', 5]; it must be of type list[str]"),
        # what the study does not know
        ("train", {"seed": -1}, "seed is -1; it must be an integer from 0"),
        ("train", {"arm": "nope"}, "arm is 'nope'; allowed are baseline, suppressed-example"),
        ("train", {"profile": "nope"}, "profile is 'nope'; allowed are smoke, quick, full"),
        ("compare", {"profile": "nope"}, "profile is 'nope'; allowed are smoke, quick, full"),
        ("train", {"device": "TPU"}, "device is 'TPU'; it must be 'auto' or 'Ascend' or 'GPU' or 'CPU'"),
        ("train", {"mode": "eager"}, "mode is 'eager'; it must be 'graph' or 'pynative'"),
        ("attack", {"group": "nope"}, "group is 'nope'; allowed are conv1"),
        # a value of a sweep
        ("train", {"swept": {"sparse_end": 0.5}}, "with arm baseline it must be nothing, for this arm has no sweep"),
        ("train", {"arm": SWEPT, "swept": {"sparse": 0.5}}, "swept is {'sparse': 0.5}; with arm suppressed-example it"),
        ("train", {"arm": SWEPT, "swept": {"sparse_end": 1.5}}, "defence.sparse_end is 1.5; it must be a number above"),
        ("train", {"arm": SWEPT, "swept": {"sparse_end": "x"}}, "swept.sparse_end is 'x'; it must be a number"),
        ("attack", {"swept": {"sparse_end": 0.5}}, "with arm baseline it must be nothing, for this arm has no sweep"),
        # settings, by what uses them
        ("train", {"arm": SWEPT, "overrides": {"defence": {"end_epoch": 2}}}, "defence.start_epoch is 3; it must be"),
        ("train", {"arm": SWEPT, "overrides": {"epochs": 2}}, "epochs is 2, the defence's end_epoch is 10; its sched"),
        ("train", {"overrides": {"epoch": 2}}, "arm baseline in profile quick: epoch is not a setting; remove it"),
        ("attack", {"attacks": ["reference"], "attack_overrides": {"itres": 5}}, "itres is not a setting; there are"),
        (
            "attack",
            {"attacks": ["reference"], "attack_overrides": {"iters": "x"}},
            "iters is 'x'; it must be an integer",
        ),
        ("attack", {"attack_overrides": {"iters": 5}}, "iters is not a setting"),  # not of all the profile's attacks
        ("attack", {"attacks": ["nope"]}, "attack is 'nope'; allowed are black, mean"),
        ("attack", {"attacks": ["tuned"], "at": ["conv9"]}, "features.0 is 'conv9'; input should be 'conv1', 'conv2'"),
        ("attack", {"attacks": ["loss"], "at": ["fc1"]}, "at is ['fc1'], but what loss sees, outputs, has no depth"),
        # whom to attack
        (
            "attack",
            {"attacks": ["black"]},
            "attacks has none that fits arm 'baseline': name attacks that see something",
        ),
        ("attack", {"attacks": ["tuned"], "arm": "none"}, "attacks has none that fits arm 'none'"),
        ("attack", {"seed": 1000}, "arm baseline with seed 1000 is an evaluator, which would judge itself"),
        ("attack", {"arm": "evaluator-convnet"}, "arm is 'evaluator-convnet', whose features at a depth are not defin"),
        ("attack", {"victim": "nowhere.ckpt"}, "victim is 'nowhere.ckpt'; it must be a checkpoint file or module:call"),
        (
            "attack",
            {"victim": "suppress_privacy:LeNet5", "arm": "magnitude-finetuned", "attacks": ["lira"]},
            "arm is 'magnitude-finetuned', which builds on dense-sgd; shadow networks are trained by its recipe",
        ),
        (
            "attack",
            {"victim": "suppress_privacy:LeNet5", "attacks": ["dlg"], "at": ["start"]},
            "attacks has dlg-start; of a network from elsewhere only the end is known: leave it out",
        ),
    ],
)
def test_a_bad_parameter_is_one_sentence(name, values, message):
    with pytest.raises((TypeError, ValueError)) as caught:
        checked_parameters(name, values)
    assert message in str(caught.value) and "\n" not in str(caught.value)
    assert str(caught.value).endswith(".") and not str(caught.value).endswith("..")


def test_good_parameters_are_laid_over_the_defaults():
    found = checked_parameters("attack", {"arm": SWEPT, "swept": {"sparse_end": 0.5}, "attacks": ["tuned", "loss"]})
    assert (found["arm"], found["swept"], found["seed"], found["mode"]) == (SWEPT, {"sparse_end": 0.5}, 0, "graph")
    assert checked_parameters("train", {"seed": 12, "overrides": {"epochs": 1}})["overrides"] == {"epochs": 1}
    assert checked_parameters("attack", {"arm": "none"})["arm"] == "none"
    own = {"victim": "suppress_privacy:LeNet5", "arm": "dense-sgd", "attacks": ["lira", "dlg"]}
    assert checked_parameters("attack", own)["victim"] == "suppress_privacy:LeNet5"


@pytest.mark.parametrize(
    ("values", "chosen"),
    [
        ({"attacks": ["tuned", "ridge"]}, ["tuned-fc1", "ridge-fc1"]),
        ({"attacks": ["ridge"], "at": ["conv1", "logits"]}, ["ridge-conv1", "ridge-logits"]),
        ({"group": "conv1"}, ["tuned-conv1"]),
        ({"arm": "none"}, ["black", "mean"]),
        (
            {"attacks": ["reference"], "attack_overrides": {"iters": 3}},
            ["reference-fc1-0.1-cpu", "reference-fc1-0.1-ascend"],
        ),
    ],
)
def test_attacks_are_those_named_or_a_groups_or_the_profiles(values, chosen):
    parameters = checked_parameters("attack", values)
    variants = notebook.chosen(Study.load(), parameters, Model(parameters["arm"], parameters["seed"])).variants
    assert [str(variant) for variant in variants] == chosen
    for name, value in values.get("attack_overrides", {}).items():
        assert {variant.settings[name] for variant in variants} == {value}


def test_no_kernel_starts_for_a_bad_parameter(tmp_path, monkeypatch):
    monkeypatch.setattr(papermill, "execute_notebook", lambda *_, **__: pytest.fail("a kernel was started"))
    with pytest.raises(ValueError, match="seed is -1"):
        notebook.execute("train", tmp_path / "folder" / "x.ipynb", {"seed": -1})
    assert list(tmp_path.iterdir()) == []


# Through the shell


def test_a_bad_parameter_ends_in_one_line_and_writes_nothing(tmp_path):
    found = run("train", tmp_path / "x.ipynb", "seed=one")
    assert (found.returncode, found.stdout) == (2, "")
    (line,) = found.stderr.splitlines()
    assert line.startswith("train: seed is 'one'; it must be of type int")
    assert list(tmp_path.iterdir()) == []


def test_a_failed_notebook_says_why_and_keeps_the_old_one(tmp_path):
    output = tmp_path / "attack.ipynb"
    output.write_text("the old one")
    found = run("attack", output, "profile=smoke", f"results={tmp_path}")
    assert found.returncode == 1
    assert found.stderr.splitlines()[-1].startswith("attack: cell ")
    assert "has no run train-baseline-seed0: make run TARGET=train-baseline-seed0 makes it" in found.stderr
    assert output.read_text() == "the old one"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["attack.failed.ipynb", "attack.ipynb"]
