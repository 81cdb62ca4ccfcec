import importlib.util
import json
import os
import subprocess
import sys

import numpy as np
import pytest
from scipy import stats

from conftest import ROOT

SCRIPT = ROOT / "benchmarks" / "bench.py"

# A contender that answers at once, with the same cost whatever it is asked.
CONTENDER = """
import json, sys
print("onednn_verbose,primitive,exec,cpu,convolution,x,forward_training,,,,,46.4", file=sys.stderr)
number = int(sys.argv[-1])
print(json.dumps({"seconds": number, "suppressed": number, "dense": number, "steps": number, "images": number,
                  "ratio": 2.0, "weights": 7, "test_accuracy": 1.0, "version": "0", "peak_memory_bytes": 10**9}))
"""


@pytest.fixture
def bench(monkeypatch):
    monkeypatch.syspath_prepend(SCRIPT.parent)
    spec = importlib.util.spec_from_file_location("bench", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "bench", module)  # where its dataclasses look for their types
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def contenders(bench, tmp_path, monkeypatch):
    """A folder of contenders that answer at once, which the benchmark takes for its own."""
    for name in ("ours.py", "torch_peer.py", "mindarmour_peer.py"):
        (tmp_path / name).write_text(CONTENDER)
    monkeypatch.setattr(bench, "FOLDER", tmp_path)
    monkeypatch.setenv("TORCH_PYTHON", sys.executable)
    return tmp_path


def test_a_missed_aim_is_no_error_and_stands_beside_what_was_measured(bench, contenders, tmp_path, capsys):
    out = tmp_path / "made" / "bench.json"
    assert bench.main(["--quick", "--out", str(out)]) == 0
    written = json.loads(out.read_text())
    ratio = written["ratios"]["epoch_suppressed_over_dense"]
    assert (ratio["rounds"], ratio["median"], ratio["interval"], ratio["aim"]) == ([2.0], 2.0, None, ["at most", 1.1])
    assert written["ratios"]["epoch_mindarmour_over_ours"]["rounds"] == [1.0]  # a step's cost, not the stretch's
    assert (
        "epoch: suppressed / ordinary, this package: 2 (over 1 round, too few for an interval; aim: at most 1.1)"
        in capsys.readouterr().out
    )
    steps = 2 + bench.WARM
    assert written["profile_ms"] == {"convolution forward_training": pytest.approx(46.4 / steps)}


def test_every_ratio_of_the_whole_run_has_an_interval(bench, contenders, tmp_path, monkeypatch, capsys):
    answer = json.loads(subprocess.run([sys.executable, "-c", CONTENDER, "3"], capture_output=True, text=True).stdout)
    taken = []
    monkeypatch.setattr(bench, "measured", lambda command, number, threads=2: taken.append((command, number)) or answer)
    assert bench.main(["--out", str(tmp_path / "bench.json")]) == 0
    written = json.loads((tmp_path / "bench.json").read_text())
    for ratio in written["ratios"].values():
        assert len(ratio["rounds"]) >= bench.FEWEST
        assert ratio["interval"] == pytest.approx([ratio["median"]] * 2)  # all rounds alike
    steps = [command for command, _ in taken if command.endswith(" step")]
    ours, torch, mindarmour, bare = steps[:4]
    assert ours.startswith("ours") and torch.startswith("torch") and "cured" in mindarmour and "bare" in bare
    assert steps[4:7] == steps[7:10] == [ours, torch, mindarmour]  # in turns, the slow one once
    assert "2 to 2 over 9 rounds" in capsys.readouterr().out


def test_a_contender_that_fails_ends_the_run_with_one_sentence(tmp_path):
    failing = tmp_path / "python"
    failing.write_text(
        "#!/bin/sh\necho 'Traceback' >&2\necho \"ModuleNotFoundError: No module named 'torch'\" >&2\nexit 3\n"
    )
    failing.chmod(0o755)
    out = tmp_path / "bench.json"
    run = subprocess.run(
        [sys.executable, SCRIPT, "--quick", "--out", out],
        env=os.environ | {"TORCH_PYTHON": str(failing)},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 1
    assert run.stderr == "torch_peer.py version 0 ended with 3: ModuleNotFoundError: No module named 'torch'\n"
    assert not out.exists()


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("raise SystemExit(2)", "ours.py step 2 ended with 2: it said nothing"),
        ("print('slow')", r"ours.py step 2 printed no JSON object but 'slow\n'."),
    ],
)
def test_a_contender_of_ours_is_held_to_the_same(bench, contenders, tmp_path, capsys, script, said):
    (contenders / "ours.py").write_text(script)
    assert bench.main(["--quick", "--out", str(tmp_path / "bench.json")]) == 1
    assert capsys.readouterr().err.strip() == said


def test_an_interpreter_that_is_not_there_is_named(bench, contenders, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("TORCH_PYTHON", str(tmp_path / "nowhere"))
    assert bench.main(["--quick", "--out", str(tmp_path / "bench.json")]) == 1
    assert "torch_peer.py version 0 cannot be started" in capsys.readouterr().err


def test_mindarmour_gets_the_layers_and_every_contender_the_same_threads(bench, contenders):
    (contenders / "mindarmour_peer.py").write_text(
        "import json, os; print(json.dumps([json.loads(os.environ['MASK_LAYERS']), os.environ['OMP_NUM_THREADS']]))"
    )
    layers, threads = bench.measured("mindarmour_peer.py cured epoch", 1)
    assert layers == bench.PUBLISHED_LAYERS["mindarmour-example"] and threads == str(bench.THREADS)


def test_the_interval_is_students_on_the_logarithms(bench):
    rounds = np.exp(np.random.default_rng(0).normal(0.7, 0.2, 9))
    expected = np.exp(stats.ttest_1samp(np.log(rounds), 0).confidence_interval(0.95))
    assert bench.interval(rounds) == pytest.approx(tuple(expected))
    low, high = bench.interval(1 / rounds)
    assert (1 / high, 1 / low) == pytest.approx(tuple(expected))  # the ratio upside down says the same
    assert bench.interval(rounds[: bench.FEWEST - 1]) is None
    assert bench.interval(rounds[: bench.FEWEST]) is not None


def test_the_interval_holds_the_true_ratio_in_95_runs_of_100(bench):
    rng = np.random.default_rng(0)
    inside = [
        low <= 2.0 <= high for low, high in (bench.interval(2.0 * np.exp(rng.normal(0, 0.1, 5))) for _ in range(4000))
    ]
    assert 0.94 < np.mean(inside) < 0.96  # three standard errors are 0.0103


def test_the_published_ratios_are_those_of_the_published_measurements(bench):
    written = json.loads((ROOT / "results" / "bench.json").read_text())
    for name, ratio in written["ratios"].items():
        assert ratio["median"] == pytest.approx(np.median(ratio["rounds"]))
        expected = bench.interval(ratio["rounds"])
        assert ratio["interval"] == (expected and pytest.approx(expected))
        if name != "epoch_suppressed_over_dense":  # of which one run took several processes a round
            assert ratio["rounds"] == pytest.approx(bench.round_by_round(written["measurements"])[name])
