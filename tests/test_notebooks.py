import json
import os
import subprocess
import sys

import papermill
import pytest

from conftest import ROOT

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


def execute(*arguments, **environ):
    command = [sys.executable, "notebooks/execute.py", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, env=os.environ | environ, capture_output=True, text=True)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_sources_carry_no_outputs_and_one_documented_parameters_cell(path):
    cells = [cell for cell in json.loads(path.read_text())["cells"] if cell["cell_type"] == "code"]
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in cells)
    assert sum("parameters" in cell["metadata"].get("tags", []) for cell in cells) == 1
    for parameter in papermill.inspect_notebook(str(path)).values():
        assert parameter["help"] and parameter["inferred_type_name"] != "None", parameter["name"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "x.ipynb", "sed=1"], "sed is no parameter of train; it has profile, arm, seed"),
        (["train", "x.ipynb", "seed=one"], "seed is 'one'; it must be of type int"),
        (["train", "x.ipynb", "seed=true"], "seed is True; it must be of type int"),
        (["train", "x.ipynb", "seed=-1"], "seed is -1; it must be 0 or more"),
        (["train", "x.ipynb", "arm=5"], "arm is 5; it must be of type str"),
        (["train", "x.ipynb", "arm=nope"], "arm is 'nope'; allowed are baseline, suppressed-example"),
        (["train", "x.ipynb", "profile=nope"], "profile is 'nope'; allowed are smoke, quick, full"),
        (["train", "x.ipynb", "device=TPU"], "device is 'TPU'; allowed are auto, Ascend, GPU, CPU"),
        (["train", "x.ipynb", "mode=eager"], "mode is 'eager'; allowed are graph, pynative"),
        (["train", "x.ipynb", "arm=suppressed-example", "overrides={defence: {end_epoch: 2}}"], "end_epoch is 2"),
        (
            ["train", "x.ipynb", "arm=suppressed-example", "overrides={epochs: 2}"],
            "schedule must end within the training",
        ),
        (["attack", "x.ipynb", "attacks=[reference-cpu]", "attack_overrides={itres: 5}"], "itres is not a setting"),
        (["attack", "x.ipynb", "attacks=[reference-cpu]", "attack_overrides={iters: x}"], "iters is 'x'"),
        (["attack", "x.ipynb", "attacks=[nope]"], "attack is 'nope'; allowed are floor-black"),
        (["attack", "x.ipynb", "attacks=reference-cpu"], "attacks is 'reference-cpu'; it must be of type list[str]"),
        (["attack", "x.ipynb", "seed=1000"], "arm baseline with seed 1000 is an evaluator"),
        (
            [
                "attack",
                "x.ipynb",
                "victim=suppress_privacy:LeNet5",
                "arm=magnitude-finetuned",
                "attacks=[membership-lira]",
            ],
            "arm is 'magnitude-finetuned', which builds on dense-sgd; shadow networks are trained by its recipe",
        ),
        (["attack", "x.ipynb", "arm=evaluator-convnet"], "arm is 'evaluator-convnet', whose features"),
        (["attack", "x.ipynb", "victim=nowhere.ckpt"], "victim is 'nowhere.ckpt'; it must be a checkpoint file"),
        (["trian", "x.ipynb"], "notebook is 'trian'; there are attack, compare, train"),
        (["train", "/proc/nowhere/x.ipynb"], "cannot be written"),
        (["train"], "usage:"),
    ],
)
def test_bad_parameters_are_one_sentence_before_a_kernel_starts(arguments, message):
    run = execute(*arguments)
    assert run.returncode == 2
    assert message in run.stderr
    assert len(run.stderr.strip().splitlines()) == 1
    assert not (ROOT / "x.ipynb").exists()


def test_a_failed_notebook_says_why_and_keeps_the_old_one(tmp_path):
    output = tmp_path / "attack.ipynb"
    output.write_text("the old one")
    run = execute("attack", output, "profile=smoke", f"results={tmp_path}")
    assert run.returncode == 1
    assert "has no record train-baseline-seed0: run the notebook train with arm=baseline seed=0 first" in run.stderr
    assert output.read_text() == "the old one"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["attack.failed.ipynb", "attack.ipynb"]
