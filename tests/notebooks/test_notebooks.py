"""Notebooks start with parameters that were checked; what fails says why and leaves what was there."""

import itertools
import json
import os
import re
import socket
import subprocess
import sys
from inspect import getsource

import nbformat
import papermill
import pytest

from suppress_study import notebook, session, session_attack, session_play, session_train
from suppress_study.jobs import Model
from suppress_study.notebook import TYPES, checked_parameters, parameters_of
from suppress_study.plan import Study
from suppress_study.results import read_job
from suppress_study.settings import ROOT

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
SWEPT = "suppressed-example"
SESSIONS = (session, session_attack, session_play, session_train)


def run(*arguments):
    command = [sys.executable, "-m", "suppress_study.run", "notebook", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, env=dict(os.environ), capture_output=True, text=True)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_sources_carry_no_outputs_and_one_documented_parameters_cell(path):
    cells = [cell for cell in json.loads(path.read_text())["cells"] if cell["cell_type"] == "code"]
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in cells)
    assert sum("parameters" in cell["metadata"].get("tags", []) for cell in cells) == 1
    for parameter in papermill.inspect_notebook(notebook.literal(path)).values():
        assert parameter["help"] and parameter["inferred_type_name"] in TYPES, parameter["name"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_with_its_own_defaults(path):
    declared = papermill.inspect_notebook(notebook.literal(path))
    assert checked_parameters(path.stem, {}).keys() == declared.keys()


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_defines_nothing_and_uses_every_parameter(path):
    """What another could need stands in a module; a parameter that is not handed on would be without effect."""
    cells = [cell for cell in json.loads(path.read_text())["cells"] if cell["cell_type"] == "code"]
    code = ["".join(cell["source"]) for cell in cells if "parameters" not in cell["metadata"].get("tags", [])]
    assert not any(line.startswith(("def ", "class ")) for source in code for line in source.splitlines())
    taken = re.findall(r'parameters(?:\[|\.get\()"(\w+)"', "".join(map(getsource, [*SESSIONS, notebook.chosen])))
    for name in papermill.inspect_notebook(notebook.literal(path)):
        handed_on = any(f"{name})" in source or f"/ {name}" in source for source in code)
        assert handed_on or ("(globals())" in "".join(code) and name in taken), name


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_headings_nest_and_pictures_have_words(path):
    cells = json.loads(path.read_text())["cells"]
    prose = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown"]
    text = re.sub(r"^```.*?^```$", "", "\n".join(prose), flags=re.M | re.S)
    levels = [len(marks) for marks in re.findall(r"^(#+) ", text, flags=re.M)]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(later <= level + 1 for level, later in itertools.pairwise(levels))
    for cell in cells:
        if "drawing." in "".join(cell["source"]):
            assert len(cell["metadata"]["mystnb"]["image"]["alt"].split()) > 5


@pytest.mark.parametrize("path", [path for path in NOTEBOOKS if path.stem != "compare"], ids=lambda path: path.stem)
def test_every_line_that_a_notebook_offers_is_one_it_takes(path):
    text = "".join(json.loads(path.read_text())["cells"][-1]["source"])
    offered = re.findall(r"^```python\n(.*?)^```$", text, flags=re.M | re.S)
    defaults = checked_parameters(path.stem, {})
    assert len(offered) >= 4
    for lines in offered:
        values = {}
        exec(lines, values)
        given = {name: value for name, value in values.items() if not name.startswith("__")}
        assert checked_parameters(path.stem, given) == defaults | given != defaults


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("trian", {}, "notebook is 'trian'; there are attack, compare, membership, train: name one of these"),
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
        ("compare", {"profile": "quick"}, "profile is no parameter of compare; it has results"),
        ("train", {"device": "TPU"}, "device is 'TPU'; it must be 'auto' or 'Ascend' or 'GPU' or 'CPU'"),
        ("train", {"mode": "eager"}, "mode is 'eager'; it must be 'graph' or 'pynative'"),
        ("attack", {"group": "nope"}, "group is 'nope'; allowed are decoders"),
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
        ("attack", {"attacks": ["tuned"], "at": ["conv9"]}, "depth is 'conv9'; allowed are conv1, conv2"),
        ("attack", {"attacks": ["loss"], "at": ["fc1"]}, "at is ['fc1'], but what loss sees, outputs, has no depth"),
        # whom to attack
        (
            "attack",
            {"arm": "feature-noise", "attacks": ["ridge", "loss"]},
            "attacks has loss, but features at fc1 alone leave the device of arm feature-noise: leave it out",
        ),
        ("attack", {"arm": "feature-noise", "attacks": ["ridge"], "at": ["conv1"]}, "attacks has ridge-conv1, but"),
        (
            "attack",
            {"attacks": ["black"]},
            "attacks has none that fits arm 'baseline': name attacks that see something",
        ),
        ("attack", {"attacks": ["tuned"], "arm": "none"}, "attacks has none that fits arm 'none'"),
        ("attack", {"seed": 1000}, "arm baseline with seed 1000 is an evaluator, which would judge itself"),
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
        ({"group": "decoders"}, ["decoder-fc1"]),
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


# In the notebook itself


def variables(name, *cells, **changed):
    """The globals() of a notebook whose cells, besides that of parameters, were these."""
    return checked_parameters(name, {}) | {"In": ["", *cells], "Markdown": print} | changed


def test_a_running_notebook_has_the_values_of_its_variables_whatever_others_there_are():
    found = parameters_of("train", variables("train", "x = 3", seed=3, x=3, training=None))
    assert found == checked_parameters("train", {"seed": 3})
    again = parameters_of("train", variables("train", "# Parameters\nseed = 4\n", "sead = 5", seed=4, sead=5))
    assert again == checked_parameters("train", {"seed": 4})


@pytest.mark.parametrize(
    ("cells", "changed", "message"),
    [
        (["# Parameters\nsead = 3\n"], {"sead": 3}, "sead is no parameter of train; it has profile, arm, swept, seed"),
        (["# Parameters\narm = 'x'\nsead = [1, -2]\n"], {}, "sead is no parameter of train"),
        ([], {"seed": "one"}, "seed is 'one'; it must be of type int"),
        ([], {"arm": "nope"}, "arm is 'nope'; allowed are baseline"),
    ],
)
def test_what_a_running_notebook_was_given_is_checked(cells, changed, message):
    with pytest.raises((TypeError, ValueError)) as caught:
        parameters_of("train", variables("train", *cells, **changed))
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_of_several_cells_of_given_parameters_the_last_counts():
    """As for variables: who has corrected a name need not start anew."""
    corrected = variables("train", "# Parameters\nsead = 3\n", "# Parameters\nseed = 3\n", sead=3, seed=3)
    assert parameters_of("train", corrected)["seed"] == 3


def test_a_notebook_whose_parameters_were_not_run_says_so():
    there = variables("train")
    del there["swept"]
    with pytest.raises(ValueError, match="swept has no value yet: run the cell of parameters first"):
        parameters_of("train", there)


def test_papermill_itself_refuses_a_wrong_name_before_the_work(tmp_path):
    output = tmp_path / "out.ipynb"
    command = [sys.executable, "-m", "papermill", "notebooks/train.ipynb", output, "-p", "sead", "3"]
    found = subprocess.run([*map(str, command), "-p", "results", tmp_path], cwd=ROOT, capture_output=True, text=True)
    assert found.returncode == 1
    assert "SettingsError: sead is no parameter of train; it has profile, arm, swept, seed, overrides" in found.stderr
    assert list(tmp_path.iterdir()) == [output]


def test_papermill_itself_trains_with_right_names_and_shows_its_pictures(tmp_path, monkeypatch):
    monkeypatch.setenv("MPLBACKEND", "TkAgg")  # of a window; the study's own tests have Agg
    values = {"profile": "smoke", "seed": 3, "models": "nowhere", "results": str(tmp_path), "overrides": {"epochs": 1}}
    path = notebook.notebook_path("train")
    papermill.execute_notebook(*map(notebook.literal, (path, tmp_path / "out.ipynb")), values, progress_bar=False)
    ((run, _),) = read_job(tmp_path / "runs" / "train-baseline-seed3.npz")
    assert (run.seed, run.profile) == (3, "smoke")
    assert '"image/png"' in (tmp_path / "out.ipynb").read_text("utf-8")


def test_no_kernel_starts_for_a_bad_parameter(tmp_path, monkeypatch):
    monkeypatch.setattr(papermill, "execute_notebook", lambda *_, **__: pytest.fail("a kernel was started"))
    with pytest.raises(ValueError, match="seed is -1"):
        notebook.execute("train", tmp_path / "folder" / "x.ipynb", {"seed": -1})
    assert list(tmp_path.iterdir()) == []


OLD = json.dumps({"metadata": {"papermill": {}}, "cells": []})  # an executed notebook, which may be replaced


@pytest.mark.parametrize("content", ["notes", "{}", '{"metadata": {}}', "[]", "\udcff"])
def test_a_file_that_is_no_executed_notebook_is_not_replaced(tmp_path, monkeypatch, content):
    monkeypatch.setattr(papermill, "execute_notebook", lambda *_, **__: pytest.fail("a kernel was started"))
    output = tmp_path / "mine.ipynb"
    output.write_bytes(content.encode(errors="surrogateescape"))
    with pytest.raises(
        ValueError, match=r"mine\.ipynb', which is there and is no executed notebook: name another file"
    ):
        notebook.execute("train", output, {})
    assert output.read_bytes() == content.encode(errors="surrogateescape")


# Through the shell


def test_a_bad_parameter_ends_in_one_line_and_writes_nothing(tmp_path):
    found = run("train", tmp_path / "x.ipynb", "seed=one")
    assert (found.returncode, found.stdout) == (2, "")
    (line,) = found.stderr.splitlines()
    assert line.startswith("train: seed is 'one'; it must be of type int")
    assert list(tmp_path.iterdir()) == []


def test_a_failed_notebook_says_why_and_keeps_the_old_one(tmp_path):
    output = tmp_path / "attack.ipynb"
    output.write_text(OLD)
    found = run("attack", output, "profile=smoke", f"results={tmp_path}", "models=nowhere")
    assert found.returncode == 1
    assert found.stderr.splitlines()[-1].startswith("attack: cell ")
    assert f"no run train-baseline-seed0 of profile smoke is in {tmp_path} or nowhere: make run TARGET" in found.stderr
    assert output.read_text() == OLD
    assert sorted(path.name for path in tmp_path.iterdir()) == ["attack.failed.ipynb", "attack.ipynb"]


@pytest.fixture
def one_cell(tmp_path):
    path = tmp_path / "one.ipynb"
    content = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("print(6 * 7)")])
    content.metadata = {"kernelspec": {"name": "python3", "display_name": "Python", "language": "python"}}
    nbformat.write(content, path)
    return path


@pytest.mark.parametrize("taken", [1, notebook.STARTS])
def test_a_kernel_whose_port_was_taken_meanwhile_is_started_again_a_few_times(one_cell, monkeypatch, taken):
    others, command = [], notebook.Kernel.format_kernel_cmd

    def after_another(self, extra_arguments=None):
        if len(others) < taken:  # which has the port by now
            others.append(socket.create_server(("127.0.0.1", self.shell_port)))
        return command(self, extra_arguments)

    monkeypatch.setattr(notebook.Kernel, "format_kernel_cmd", after_another)
    target = one_cell.with_name("executed.ipynb")
    try:
        if taken == notebook.STARTS:
            with pytest.raises(RuntimeError, match=notebook.UNANSWERED):
                notebook.run(str(one_cell), str(target), {})
        else:
            notebook.run(str(one_cell), str(target), {})
            assert nbformat.read(target, 4).cells[0].outputs[0].text == "42\n"
    finally:
        for other in others:
            other.close()
    assert len(others) == taken
