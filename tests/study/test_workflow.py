"""The whole study in a checkout of its own: killed, resumed by the example workflow's steps; then its runs and book.

Its folder has a name that a shell would take apart, and the shell it is started from is one that decides all it can. A
stranger has added an attack, a defence, an arm and a sparsity there: the code that CONTRIBUTING.md shows.
"""

import ast
import functools
import json
import os
import re
import shutil
import signal
import subprocess
import threading
import time
from collections import Counter
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import nbformat
import numpy as np
import psutil
import pytest
import yaml
from leaves import filled, need, texts
from nbclient import NotebookClient
from sphinx.util.inventory import InventoryFile

import own_campaign
import pages
from browser import browser_page
from checkout import environment, git, launch, python, take
from conftest import ROOT
from report import front, language
from report.context import Report
from suppress_privacy.evaluation.metrics import METRICS
from suppress_privacy.runtime import processor
from suppress_study.claims import Claims
from suppress_study.launch import SetupError, named_job
from suppress_study.measured import Measured
from suppress_study.models import own_name
from suppress_study.plan import Study
from suppress_study.results import ResultError, Results, read_job, write_job
from suppress_study.summary import Summary
from verify import figures_in

SUPPRESSED = "suppressed-example"
DESCENTS = ("dlg", "idlg", "cosine", "dlg-sigmoids")
(JOB,) = yaml.safe_load((ROOT / ".github" / "workflows" / "study.yml").read_text())["jobs"].values()
HOOKS = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"][0]["hooks"]


def shown():
    """What CONTRIBUTING.md adds, in its order: heading, file, and a new file's text or a change of a file."""
    heading = name = None
    blocks = r"^### ([^\n]*)|`((?:lib|study|tests)/\S+)`|^```(python|diff)\n(.*?)^```"
    for match in re.finditer(blocks, (ROOT / "CONTRIBUTING.md").read_text(), re.M | re.S):
        heading, name = match[1] or heading, match[2] or name
        if match[3]:
            yield heading, name, match[3], match[4]


def add(folder, name, kind, block):
    """Do to a file what CONTRIBUTING.md shows."""
    path = folder / name
    if kind == "python":
        assert not path.exists()
        path.write_text(block)
        return
    lines = block.splitlines()
    old, new = ("".join(f"{line[1:]}\n" for line in lines if line[0] != sign) for sign in "+-")
    text = "\n" + path.read_text()
    assert text.count("\n" + old) == 1, old
    path.write_text(text.replace("\n" + old, "\n" + new)[1:])


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    folder = tmp_path_factory.mktemp("project") / 'it\'s a "copy" für {sie}'
    take(ROOT, folder)
    for _, *addition in shown():
        add(folder, *addition)
    # The new value in place of the sweep's own, whose models would take minutes.
    settings = folder / "study/study.yaml"
    swept, count = re.subn(r"^        0\.(?!7:)\d+: \{.*\n", "", settings.read_text(), flags=re.M)
    assert count == 4
    settings.write_text(swept)
    git(folder, "init", "--quiet")
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "What a stranger added")
    return folder


@pytest.fixture(scope="module")
def killed(copy):
    """The smoke study, its leader alone killed once a first run had finished; the runs it left.

    What it had started must end by itself, or it would write beside the study that is started next.
    """
    log = copy.with_name("killed.log")
    with log.open("w") as output:
        process = subprocess.Popen(
            [copy / ".venv/bin/python", "-m", "suppress_study.run", "study", "--profile", "smoke"],
            cwd=copy,
            env=environment(),
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        deadline = time.monotonic() + 300
        # A run, and not the page of the published ones, which Snakemake may choose as well.
        while not re.search(r"\(Rule: (train|attack|coins)\)\n\d+ of \d+ steps .* done", log.read_text()):
            assert process.poll() is None and time.monotonic() < deadline, log.read_text()
            time.sleep(0.2)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        deadline = time.monotonic() + 15
        while [entry for entry in psutil.process_iter(["cwd"]) if entry.info["cwd"] == str(copy)]:
            assert time.monotonic() < deadline, "jobs outlive the study that started them"
            time.sleep(0.2)
    return {path.name: path.read_bytes() for path in runs_of(copy).glob("*.npz")}


def runs_of(folder):
    return folder / "results" / "smoke" / "runs"


def hostile(folder):
    """An environment that would decide what comes out, or let nothing be started."""
    startup = folder / "ipython" / "profile_default" / "startup" / "first.py"
    startup.parent.mkdir(parents=True, exist_ok=True)
    for path in (startup, folder / "startup.py"):
        path.write_text("seed = 5\nraise SystemExit('what a user runs first')\n", "utf-8")
    (folder / "matplotlibrc").write_text("figure.facecolor: black\nfigure.dpi: 30\n", "utf-8")
    shell = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "COLUMNS": "10", "FORCE_COLOR": "1", "TZ": "Asia/Tokyo"}
    python = {"PYTHONWARNINGS": "error", "PYTHONOPTIMIZE": "1", "PYTHONSTARTUP": str(folder / "startup.py")}
    tools = {"MPLBACKEND": "Agg", "MPLCONFIGDIR": str(folder), "IPYTHONDIR": str(folder / "ipython")}
    tools |= {"SNAKEMAKE_PROFILE": "nowhere", "JUPYTER_PATH": "/proc/nowhere", "GLOG_v": "1", "GIT_DIR": "/nowhere"}
    return shell | python | tools | dict.fromkeys(("HOME", "TMPDIR", "XDG_CACHE_HOME"), "/proc/nowhere")


@pytest.fixture(scope="module")
def finished(copy, killed):
    """The same study, started again by the workflow's own steps and left to end."""
    of_job = environment(**{name: str(value) for name, value in JOB["env"].items()}, **hostile(copy.parent))
    for script in [step["run"] for step in JOB["steps"] if "run" in step]:
        shell = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script]
        run = subprocess.run(shell, cwd=copy, env=of_job, capture_output=True, text=True)
        assert run.returncode == 0, run.stdout + run.stderr
    return copy


@pytest.fixture(scope="module")
def plan(copy):
    """The jobs of the copy's own plan, which has what the stranger added: job -> names of its runs."""
    code = """import json
from suppress_study.plan import Study
print(json.dumps({str(job): [run.name for run in job.runs] for job in Study.load().jobs("smoke")}))"""
    return json.loads(python(copy, "-c", code).stdout)


def summary_of(folder):
    return Summary.load(folder / "results" / "smoke" / "summary.json")


def rows(summary, table="estimates", **factors):
    """Rows of a table of the summary that have these factors."""
    frame = summary.frame(table)
    for name, value in factors.items():
        frame = frame[frame[name] == value]
    return frame


def test_what_is_shown_to_be_added_is_short(copy):
    lines = Counter()
    for heading, _, kind, block in shown():
        lines[heading] += sum(kind == "python" or line[0] == "+" for line in block.splitlines())
    assert list(lines) == ["An attack", "A defence", "An arm", "A value of a sweep"] and max(lines.values()) < 30


@pytest.mark.parametrize("hook", HOOKS, ids=lambda hook: hook["id"])
def test_what_was_added_passes_the_hooks_of_a_commit(copy, hook):
    """As pre-commit calls it, on all files that it is for."""
    command = hook["entry"].split() + ["."] * hook.get("pass_filenames", True)
    run = subprocess.run(command, cwd=copy, env=environment(), capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr


def test_what_was_added_passes_the_tests_of_its_kind(copy):
    kinds = ("tests/attacks/test_registry.py", "tests/defences/test_settings.py", "-k", "grey or damping or are")
    run = python(copy, "-m", "pytest", "-q", "-p", "no:cacheprovider", *kinds)
    assert run.returncode == 0, run.stdout


def test_a_checkout_runs_its_own_code_wherever_its_environment_lies(copy):
    code = "import report, suppress_privacy, suppress_study\n"
    code += "print(*(each.__file__ for each in (report, suppress_privacy, suppress_study)), sep='\\n')"
    found = python(copy, "-c", code).stdout.splitlines()
    assert len(found) == 3 and all(path.startswith(f"{copy}{os.sep}") for path in found)


def test_a_killed_study_goes_on_where_it_was(killed, finished, plan):
    kept = [name for name, content in killed.items() if (runs_of(finished) / name).read_bytes() == content]
    assert killed and kept
    assert {path.stem for path in runs_of(finished).glob("*.npz")} == set(plan)
    for job, names in plan.items():
        assert [run.name for run, _ in read_job(runs_of(finished) / f"{job}.npz")] == names
    assert list((finished / "results").rglob(".part-*")) == []


def test_the_workflow_names_its_actions_by_commit_and_keeps_what_its_steps_leave(finished):
    used = [step for step in JOB["steps"] if "uses" in step]
    assert all(re.fullmatch(r"actions/[\w-]+@[0-9a-f]{40}", step["uses"]) for step in used)
    for path in used[-1]["with"]["path"].split():
        assert list(finished.glob(path)), path


def test_a_finished_study_has_nothing_left_to_do_and_says_its_answer_again(finished):
    before = {path: path.stat().st_mtime_ns for path in (finished / "results").rglob("*.npz")}
    started = time.monotonic()
    run = launch(finished, "study", "--profile", "smoke")
    assert run.returncode == 0 and "Nothing to be done" in run.stdout + run.stderr
    assert time.monotonic() - started < 20
    answer, mine, path = run.stdout.strip().splitlines()[-3:]
    assert "identifies" in answer and "**" not in answer and mine.startswith("Your run (profile smoke): No figure")
    assert path == f"Read on: {finished}/_build/html/index.html"
    assert before == {path: path.stat().st_mtime_ns for path in (finished / "results").rglob("*.npz")}


def planned(folder, *targets, results="results/smoke", options="--dry-run --quiet progress"):
    """The jobs that the study would run now, or those of targets, as Snakemake prints them."""
    own = ["--profile", "smoke", "--results", results, f"--snakemake={options}"]
    run = launch(folder, "run" if targets else "study", *own, "--", *targets)
    assert run.returncode == 0, run.stderr
    return run.stdout + run.stderr


def jobs(shown):
    """The jobs among what a dry run prints, as names of run files."""
    return set(re.findall(r"output: .*?/runs/([^ ,]+)\.npz", shown))


def test_the_pictures_are_those_of_any_other_shell(finished, tmp_path):
    def pictures(path):
        outputs = [output for cell in nbformat.read(path, 4).cells for output in cell.get("outputs", ())]
        return [output.data["text/html"] for output in outputs if "text/html" in output.get("data", ())]

    run = launch(finished, "notebook", "compare", tmp_path / "compare.ipynb", "results=results/smoke")
    assert run.returncode == 0, run.stderr
    found = pictures(tmp_path / "compare.ipynb")
    assert len(found) > 10 and pictures(finished / "results" / "smoke" / "notebooks" / "compare.ipynb") == found


def test_a_run_is_made_in_a_folder_of_any_name(finished, tmp_path):
    """Through make, Snakemake, papermill and MindSpore."""
    name = "my 'own' \"Läufe\": #1 $HOME `id` * \\"
    given = {"TARGET": "train-dense-sgd-seed3", "PROFILE": "smoke", "RESULTS": str(tmp_path / name).replace("$", "$$")}
    command = ["make", "run", *(f"{name}={value}" for name, value in given.items())]
    run = subprocess.run(command, cwd=finished, env=environment(), capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert [path.name for path in (tmp_path / name / "runs").iterdir()] == ["train-dense-sgd-seed3.npz"]


def test_a_network_and_images_of_ones_own_go_through_the_workflow(finished, tmp_path):
    """From a file beside them, through make, to an attack on the suppressed network, in a folder of its own."""
    mine = own_campaign.write(tmp_path) / "mine.yaml"
    results = tmp_path / "results"
    given = {"CAMPAIGN": str(mine), "RESULTS": str(results), "TARGET": "attack-suppressed-example-seed0"}
    command = ["make", "run", *(f"{name}={value}" for name, value in given.items())]
    run = subprocess.run(command, cwd=finished, env=environment(), capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
    (attacked,) = [pair for pair in read_job(results / "runs" / f"{given['TARGET']}.npz") if pair[0].kind == "attack"]
    assert attacked[0].campaign == "mine" and attacked[0].factors["depth"] == "dense"
    ((trained, _),) = read_job(results / "runs" / "train-suppressed-example-seed0.npz")
    assert trained.results["sparsity"]["blocks.0.conv.weight"] > 0.8
    run = launch(finished, "run", "--campaign", "fashion-lenet5", "--results", results, "train-baseline-seed0")
    assert run.returncode == 2 and "has runs of campaign mine of " in run.stderr


def test_changed_code_repeats_the_runs_that_import_it_as_often_as_it_changes(finished):
    """Snakemake does what the keys say, whatever the dates and contents of files are."""
    path = finished / "lib" / "suppress_privacy" / "attacks" / "trivial.py"
    made = finished / "results" / "smoke" / "runs" / "attack-none-seed0.npz"
    before, kept = path.read_text("utf-8"), made.read_bytes()
    path.write_text(f"{before}\n\nCHANGED = 1\n", "utf-8")
    deleted = runs_of(finished) / "train-dense-sgd-seed0.npz"  # is made again, though the book is there
    deleted.rename(finished / "deleted")
    found = jobs(planned(finished))
    (finished / "deleted").rename(deleted)
    told = json.loads((finished / "results" / "smoke" / "standing.json").read_text("utf-8"))
    assert found == {*told["anew"]} >= {"attack-none-seed0", "attack-baseline-seed0", deleted.stem}
    assert "train-baseline-seed0" not in found
    assert launch(finished, "run", "--profile", "smoke", "attack-none-seed0").returncode == 0
    path.write_text(f"{before}\n\nCHANGED = 2\n", "utf-8")
    assert jobs(planned(finished, "attack-none-seed0")) == {"attack-none-seed0"}
    path.write_text(before, "utf-8")
    made.write_bytes(kept)


def test_a_changed_setting_would_repeat_the_runs_that_depend_on_it_and_no_others(finished):
    settings = finished / "study" / "study.yaml"
    before = settings.read_text()

    def planned_with(changes):
        text = before
        for old, new in changes.items():
            assert old in text
            text = text.replace(old, new)
        settings.write_text(text)
        try:
            return planned(finished)
        finally:
            settings.write_text(before)

    rate = {"&sgd {name: sgd, lr: 0.1}": "&sgd {name: sgd, lr: 0.2}"}
    shown = planned_with(rate | {"title: ordinary\n": "title: plain\n"})
    # The other controls build on it: they are trained by the same rate, or to the same accuracy.
    of_rate = {
        f"train-{arm}-seed0" for arm in (SUPPRESSED, f"{SUPPRESSED}@0.7", "dense-sgd", "accuracy-matched", "damped")
    }
    found = jobs(shown)
    assert {job for job in found if job.startswith("train")} == of_rate
    # The ordinary model's title changes what is shown alone.
    assert f"attack-{SUPPRESSED}-seed0" in found and "attack-baseline-seed0" not in found and "rule summary" in shown
    found = jobs(planned_with({"norm_weight: 5, iters: 100": "norm_weight: 4, iters: 100"}))
    assert {f"attack-{SUPPRESSED}-seed0", "attack-baseline-seed0"} <= found
    assert not [job for job in found if job.startswith("train") or job.endswith("leaks") or "none" in job]


def test_any_arm_and_seed_of_the_study_is_a_target_and_brings_what_it_needs(finished):
    """Beyond every profile: a model's training, what it builds on, and the evaluators come first."""
    models = ("magnitude-finetuned-seed7", "suppressed-example@0.7-seed7")
    targets = {f"attack-{models[0]}", f"attack-{models[1]}-leaks"}
    assert jobs(planned(finished, *targets, results="results/other")) == {
        *targets,
        *(f"train-{model}" for model in (*models, "dense-sgd-seed7")),
        *("train-baseline-seed1000", "train-evaluator-lenet-seed1001", "train-evaluator-convnet-seed1000"),
    }


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("attack-nobody-seed7", "arm is 'nobody'; allowed are baseline"),
        ("attack-baseline-seed7-nope", "group is 'nope'; allowed are conv1"),
        ("train-suppressed-example@0.95-seed7", "of which the study makes no run"),  # its own value is the arm itself
        ("coins-nope-baseline", "game is 'nope'; allowed are canaries"),
        ("coins-canaries-suppressed-example@0.95", "of which the study makes no run"),
        ("baseline", "must be train-ARM-seed7, attack-ARM-seed7"),
    ],
)
def test_a_target_that_the_study_cannot_make_is_one_sentence(target, message):
    with pytest.raises(ValueError if "allowed" in message else SetupError, match=message) as caught:
        named_job(target, Study.load(), "smoke")
    assert "\n" not in str(caught.value)


def test_snakemakes_own_pictures_of_the_workflow_work(finished, tmp_path):
    graph = planned(finished, options="--dry-run --dag --forceall")
    assert "digraph" in graph and "train" in graph and "attack" in graph
    planned(finished, options=f"--report {tmp_path / 'report.html'}")
    assert (tmp_path / "report.html").stat().st_size > 10_000


def test_the_summary_has_every_attack_on_every_model(finished, plan):
    summary = summary_of(finished)
    assert summary.data.model_dump() == {"name": "MNIST-5000", "train": 4000, "test": 1000}
    assert summary.profile == "smoke" and "5,000 digits" in summary.notice and summary.missing == 0
    arms = [arm.factors for arm in summary.arms]
    of_suppressed = [{"arm": SUPPRESSED, "sparse_end": share} for share in (0.95, 0.7)]
    assert arms == [
        {"arm": "baseline"},
        of_suppressed[0],
        *({"arm": arm} for arm in ("dense-sgd", "accuracy-matched", "damped")),
        of_suppressed[1],
    ]
    more = {"analytic-another": {"rank1_of_sent"}} | {name: {"label_found", "failed"} for name in DESCENTS}
    image = {name for name, metric in METRICS.items() if metric.of == "image"} - set().union(*more.values())
    for (attack, arm), found in summary.frame("estimates").groupby(["attack", "arm"]):
        metrics = set(found.metric)
        if attack in ("loss", "lira"):
            assert metrics == {"auc", "tpr_at_1pct_fpr"} and set(found.n) == {400}
        else:
            if attack in DESCENTS and metrics == {"failed"}:  # most of ten images, in so few steps
                continue
            if attack == "matching":  # which makes no images
                assert metrics == {"rank1", "rank1_all"}
                continue
            assert metrics == image | more.get(attack, set()), (attack, arm)
            shown = {*range(5, 11)} if attack in DESCENTS else {8, 10} if attack.startswith("analytic") else {30}
            assert set(found.n) <= shown
            assert set(found[found.metric == "confidence"].evaluator) == {"lenet", "lenet2", "convnet"}
        assert (found.low <= found["mean"] + 1e-12).all() and (found["mean"] <= found.high + 1e-12).all()
    assert set(rows(summary, attack="black").arm) == set(rows(summary, attack="mean").arm) == {"none"}
    black = rows(summary, attack="black", metric="relative_l2").iloc[0]
    assert (black.low, black["mean"], black.high) == pytest.approx((1, 1, 1))
    assert set(summary.verdicts) == set(Claims.load().claims)
    for verdict in summary.verdicts.values():  # one seed says nothing
        assert verdict.verdict == "not tested" and "fewer than" in verdict.reason
    assert summary.documented.models["suppressed"]["test_accuracy"] == 0.9745


def test_what_was_added_by_a_stranger_is_in_the_summary(finished):
    summary = summary_of(finished)
    grey = rows(summary, attack="grey", metric="psnr")
    assert len(grey) == 6 and grey["mean"].nunique() == 1  # it does not care for the model
    assert len(rows(summary, arm="damped", metric="skill", attack="tuned")) == 1
    swept = summary.arms[-1]
    assert swept.title == "suppressed to 70 %" and 0.69 <= swept.sparsity["fc1.weight"][0] <= 0.71
    assert len(rows(summary, arm=SUPPRESSED, sparse_end=0.7, metric="skill", attack="tuned")) == 1
    assert {("sparsity", f"{SUPPRESSED}@0.7"), ("objective", "damped")} <= {(g.name, g.about) for g in summary.gates}


def test_the_suppressed_model_is_suppressed_and_the_ordinary_one_is_not(finished):
    arms = summary_of(finished).arms
    assert all(shares == [0] for shares in arms[0].sparsity.values())
    assert all(0.93 <= shares[0] <= 0.951 for shares in arms[1].sparsity.values())


def test_every_run_says_what_it_is_and_where_it_ran(finished):
    found = Results.load(finished / "results" / "smoke").runs
    head = git(finished, "rev-parse", "--short=12", "HEAD").strip()
    for name, run in found.items():
        assert run.name == name and run.campaign == "mnist-lenet5" and run.profile == "smoke"
        assert run.seed in (0, 1000, 1001) or "game" in run.factors
        there = run.environment
        assert there["versions"]["mindspore"] and run.commit == head and there["machine"]["cores"]
        assert there["device"]["device"] == "CPU" and there["device"]["threads"] == 1
        assert there["data"]["sha256"] and "5,000 digits" in there["data"]["notice"]
        assert run.times["seconds"] and 0 < run.peak_memory_bytes < 4e9 and run.settings
        judged = 0 if "game" in run.factors else 3  # by evaluators
        known = {"train": len(run.networks), "coin": 0, "attack": judged + 1, "mechanism": 4}[run.kind]
        assert len(run.networks) == known - (run.factors["arm"] == "none")


def test_every_attack_is_on_the_same_images_and_drops_none(finished):
    images = Results.load(finished / "results" / "smoke").images
    images = images[images.game == ""]
    on_all = images[(images.depth != "conv1") & (images.moment == "") & (images.evaluator == "")]
    targets = None
    for _, found in on_all.groupby("run", observed=True):
        shown = list(zip(found.image, found.in_training, found["index"], strict=True))
        targets = targets or shown
        assert shown == targets and len(set(shown)) == 30
        of_images = (
            ["rank1"] if (found.attack == "matching").all() else ["skill", "rank1", "psnr", "ssim", "relative_l2"]
        )
        assert np.isfinite(found[of_images]).all(axis=None)
    on_gradients = images[(images.moment != "") & (images.evaluator == "")]
    assert set(zip(on_gradients.image, on_gradients.in_training, on_gradients["index"], strict=True)) <= set(targets)


def test_an_attack_can_be_pointed_at_any_checkpoint(finished, tmp_path):
    """One parameter, and the same figures as by the name of the arm it is of, whichever arm is named."""
    folder = finished / "results" / "smoke" / "checkpoints" / "train-suppressed-example-seed0"
    (checkpoint,) = folder.glob("*-2_500.ckpt")
    mine = tmp_path / "mine.ckpt"
    shutil.copy(checkpoint, mine)
    parameters = ["profile=smoke", "models=results/smoke", "results=results/smoke", f"victim={mine}", "attacks=[ridge]"]
    run = launch(finished, "notebook", "attack", tmp_path / "out.ipynb", *parameters)
    assert run.returncode == 0, run.stderr
    (path,) = runs_of(finished).glob("*own-mine*")
    ((own, arrays),) = read_job(path)
    path.unlink()
    assert own.name == f"attack-ridge-fc1-{own_name(str(mine))}-seed0" and own.asked["victim"] == str(mine)
    named = read_job(runs_of(finished) / "attack-suppressed-example-seed0.npz")
    (skill,) = [found["skill"] for run, found in named if run.factors.get("attack") == "ridge"]
    assert np.array_equal(arrays["skill"], skill)


def test_the_notebooks_run_as_they_are_and_again_with_one_value_changed(finished):
    """In their folder, from top to bottom, and once more in the same session; of the study's own files none changes."""
    before = {path: path.stat().st_mtime_ns for path in (finished / "results").rglob("*")}
    for name, default, changed in (
        ("attack", "attacks: list[str] = []", 'attacks: list[str] = ["ridge"]'),
        ("train", "seed: int = 0", "seed: int = 1"),
    ):
        opened = nbformat.read(finished / "notebooks" / f"{name}.ipynb", as_version=4)
        (parameters,) = [cell for cell in opened.cells if "parameters" in cell.metadata.get("tags", ())]
        assert default in parameters.source
        parameters.source = parameters.source.replace('"quick"', '"smoke"').replace(
            '"results/quick"', '"results/smoke"'
        )
        client = NotebookClient(opened, resources={"metadata": {"path": str(finished / "notebooks")}})
        own = os.pathsep.join(str(finished / part) for part in ("lib", "study", "book"))  # as its own kernel has it
        with client.setup_kernel(env=environment(PYTHONPATH=own)):
            for line in (default, changed):
                parameters.source = parameters.source.replace(default, line)
                for number, cell in enumerate(opened.cells):
                    client.execute_cell(cell, number)
                assert not [
                    each for cell in opened.cells for each in cell.get("outputs", ()) if each.get("name") == "stderr"
                ]
    kept = {path.stem for path in (finished / "runs" / "runs").iterdir()}
    assert kept == {
        "attack-baseline-seed0",
        "attack-baseline-seed0-ridge",
        "train-baseline-seed0",
        "train-baseline-seed1",
    }
    mine, named = (
        [
            (run.name, found.get("skill", np.zeros(0)).tolist())
            for run, found in read_job(folder / "attack-baseline-seed0.npz")
        ]
        for folder in (finished / "runs" / "runs", runs_of(finished))
    )
    assert mine == named  # the models are the study's
    shutil.rmtree(finished / "runs")
    assert before == {path: path.stat().st_mtime_ns for path in (finished / "results").rglob("*")}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--profile", "nope"], "profile is 'nope'; allowed are smoke, quick, full"),
        (["--profile", "smoke", "--device", "TPU"], "device is 'TPU'; it must be 'auto' or 'Ascend' or 'GPU' or 'CPU'"),
        (["--profile", "smoke", "--executor", "pbs"], "executor is 'pbs'; allowed are local, slurm: name one of these"),
        (
            ["--profile", "smoke", "--results", "/proc/nowhere"],
            "/proc/nowhere cannot be written (No such file or directory): choose another place",
        ),
        (["--profile", "smoke", "--results", "Makefile"], "Makefile cannot be written"),
        (["--results", "a{b}"], "it must not have '{': name another folder"),
        (
            ["--profile", "smoke", "--results", "nothing", "--redraw"],
            "has no run train-baseline-seed1000: run the study",
        ),
    ],
)
def test_bad_input_is_one_sentence(copy, arguments, message):
    run = launch(copy, "study", *arguments)
    assert run.returncode == 2 and run.stdout == ""
    assert message in run.stderr and len(run.stderr.strip().splitlines()) == 1


def test_a_damaged_data_file_of_the_user_stops_the_study(copy, tmp_path):
    (tmp_path / "train-images-idx3-ubyte").write_bytes(b"cut")
    run = launch(copy, "study", MNIST_DIR=str(tmp_path))
    assert run.returncode == 2
    assert re.search(r"train-images-idx3-ubyte is damaged .*: replace it", run.stderr)
    assert len(run.stderr.strip().splitlines()) == 1


def test_an_unknown_arm_in_the_study_is_named(copy, finished):
    settings = copy / "study" / "study.yaml"
    before = settings.read_text()
    settings.write_text(before.replace("arms: {baseline: [0], suppressed", "arms: {basline: [0], suppressed", 1))
    run = launch(copy, "study", "--profile", "smoke")
    settings.write_text(before)
    assert run.returncode == 2 and "'basline'; allowed are baseline, suppressed-example" in run.stderr
    assert len(run.stderr.strip().splitlines()) == 1


def test_two_studies_do_not_run_in_one_folder(copy, finished):
    import fcntl

    with (copy / ".snakemake" / "study.lock").open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        run = launch(copy, "study", "--profile", "smoke")
    assert run.returncode == 2 and "another study runs in this folder" in run.stderr


def test_runs_of_other_weights_are_refused(finished, tmp_path):
    """In the study's own profile; the stranger's additions are no part of it, and are passed over."""
    folder = tmp_path / "results"
    shutil.copytree(runs_of(finished), folder / "runs")
    study = Study.load()
    for job, run_name in (
        ("attack-dense-sgd-seed0", "attack-ridge-fc1-dense-sgd-seed0"),
        ("train-accuracy-matched-seed0",) * 2,
    ):
        path = folder / "runs" / f"{job}.npz"
        before, pairs = path.read_bytes(), read_job(path)
        (run,) = [run for run, _ in pairs if run.name == run_name]
        role = "victim" if run.kind == "attack" else "dense-sgd"
        run.networks = run.networks | {role: "0"}
        write_job(path, pairs)
        with pytest.raises(ResultError, match=f"run {run_name} is of other weights than train-dense-sgd-seed0 left"):
            Measured.collect(Results.load(folder), study, "smoke")
        path.write_bytes(before)
    Measured.collect(Results.load(folder), study, "smoke")


def test_a_control_follows_the_model_it_is_matched_to(finished):
    found = Results.load(finished / "results" / "smoke").runs
    matched, like, wanted = (
        found[f"train-{arm}-seed0"].results for arm in ("accuracy-matched", "dense-sgd", "suppressed-example")
    )
    epochs = matched["facts"]["epochs"]
    accuracy = wanted["history"]["validation_accuracy"][-1]
    distance = [abs(value - accuracy) for value in like["history"]["validation_accuracy"]]
    assert epochs == 1 + int(np.argmin(distance))
    assert matched["history"]["test_accuracy"] == like["history"]["test_accuracy"][:epochs]  # the same training, cut


def test_an_edited_number_is_named_on_whichever_page_it_stands(finished):
    """In the built book, a page's source, and the README; and nothing else is: they show what the results give."""
    places = {
        "_build/html/verdict.html": r"(class=\"effect\">[+-])\d+\.\d+",
        "_build/html/all_figures.html": r"(<td>)\d\.\d\d",
        "_build/html/zh/verdict.html": r"(class=\"effect\">[+-])\d+\.\d+",
        "book/controls.md": r"(\n\n)(?=[A-Z])",
        "README.md": r"(identifies\s\*\*)\d\d",
        "README.zh.md": r"(识别出\s\*\*)\d\d",
    }
    before = {name: (finished / name).read_text() for name in places}
    code = """import json
from suppress_study.settings import ROOT
from verify import of_pages
print(json.dumps({check.name: check.wrong for check in of_pages(ROOT / "results" / "full")}))"""
    for name, pattern in places.items():
        text, count = re.subn(pattern, r"\g<1>98.76", before[name], count=1)
        assert count == 1, name
        (finished / name).write_text(text)
    found = json.loads(python(finished, "-c", code).stdout)
    for name, text in before.items():
        (finished / name).write_text(text)
    stale = "states other than the results give: python book/readme.py"
    assert found["readme"] == [f"README.md {stale}", f"README.zh.md {stale}"] and found["crate"] == []
    assert len(found["pages"]) == 1 and found["pages"][0].startswith("book/controls.md states a figure of its own in")
    edited = {each.partition(" shows 98.76")[0] for each in found["book"] if " shows 98.76" in each}
    assert edited == {"verdict.html", "all_figures.html", "zh/verdict.html"}
    assert {each.split()[0] for each in found["book"]} == {*edited, "controls.html"}  # whose source has one more


@pytest.fixture(scope="module")
def published(finished, tmp_path_factory):
    """A clone that has the tables of the finished study, one run of it not made yet, and nothing else of it.

    What was drawn of the published run and campaigns is there, for time.
    """
    folder = tmp_path_factory.mktemp("published") / "clone"
    take(finished, folder)
    for drawn in (path for name in ("figures", "notebooks") for path in (finished / "results").glob(f"*/{name}")):
        if drawn.parent.name != "smoke":
            shutil.copytree(drawn, folder / drawn.relative_to(finished), copy_function=shutil.copyfile)
    checkpoints = runs_of(folder).with_name("checkpoints")
    shutil.copytree(runs_of(finished), runs_of(folder))
    shutil.copytree(runs_of(finished).with_name("checkpoints"), checkpoints)
    path = runs_of(folder) / "attack-dense-sgd-seed0.npz"
    write_job(path, [pair for pair in read_job(path) if pair[0].factors.get("attack") != "decoder"])
    run = launch(folder, "publish", "--profile", "smoke")
    assert run.returncode == 0 and "runs published" in run.stdout, run.stderr
    shutil.rmtree(runs_of(folder))
    shutil.rmtree(checkpoints)
    return folder


def test_the_book_is_drawn_from_published_tables_alone_without_data(published, finished, tmp_path):
    """As a clone has them: no MNIST, no checkpoints, no notebooks; nothing is trained."""
    before = {path: path.read_bytes() for path in (published / "results" / "smoke").rglob("*") if path.is_file()}
    nowhere = {"MNIST_DIR": str(tmp_path / "none"), "SUPPRESS_PRIVACY_CACHE": str(tmp_path / "none")}
    run = launch(published, "study", "--profile", "smoke", "--redraw", **nowhere)
    assert run.returncode == 0, run.stdout + run.stderr
    assert before == {path: path.read_bytes() for path in before}
    assert not (published / "results" / "smoke" / "checkpoints").exists()
    pages = published / "_build" / "html"
    assert (pages / "notebooks" / "yours.html").exists() and not (pages / "notebooks" / "train-baseline.html").exists()
    mine, theirs = summary_of(published), summary_of(finished)
    assert (mine.missing, theirs.missing) == (1, 0)
    assert "still to be made" in (pages / "your_run.html").read_text()
    assert set(rows(mine, attack="decoder").arm) == {"baseline", SUPPRESSED, "accuracy-matched", "damped"}
    own, other = (rows(each, attack="tuned") for each in (mine, theirs))
    assert own.reset_index(drop=True).equals(other.reset_index(drop=True)[list(own)])


def test_published_runs_count_as_made_while_they_are_current(published):
    """One attack is to be made, of published weights; where these are not there, its models are trained again."""
    assert jobs(planned(published)) == {"attack-dense-sgd-seed0"}
    weights = published / "results" / "smoke" / "weights"
    weights.rename(weights.with_name("none"))
    found = jobs(planned(published))
    weights.with_name("none").rename(weights)
    evaluators = {"train-baseline-seed1000", "train-evaluator-lenet-seed1001", "train-evaluator-convnet-seed1000"}
    assert found == {"attack-dense-sgd-seed0", "train-dense-sgd-seed0", *evaluators}


def test_judges_of_an_edition_are_taken_by_a_profile_that_says_so(published):
    """With their weights: no judge is to be trained, what they judge is."""
    results = published / "results" / "editions" / "planted" / "full"
    shutil.copytree(published / "results" / "smoke", results)
    settings = published / "study" / "study.yaml"
    before = settings.read_text()
    settings.write_text(before.replace("    data: embedded\n", "    data: embedded\n    judges: published\n", 1))
    try:
        shown = planned(published, results="results/begun")
    finally:
        settings.write_text(before)
    judges = {f"train-{judge}" for judge in Study.load().judges().values()}
    assert "Taken over from results/editions/planted/full" in shown
    assert Results.load(published / "results" / "begun").runs.keys() == judges
    assert not judges & jobs(shown) and {"train-baseline-seed0", "attack-baseline-seed0"} <= jobs(shown)


def test_a_book_without_a_run_says_what_to_do(copy, tmp_path):
    run = python(copy, "book/build.py", tmp_path)
    assert run.returncode == 2 and "run the study of that profile first" in run.stderr


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def end_headers(self):
        if self.path.endswith(".html"):  # which a test may change: the browser is to ask for it each time
            self.send_header("Cache-Control", "no-cache")
        super().end_headers()


@pytest.fixture(scope="module")
def page(finished):
    """A browser page on the built book, which a server of this machine has."""
    handler = functools.partial(QuietHandler, directory=finished / "_build" / "html")
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with browser_page(f"http://127.0.0.1:{server.server_port}") as page:
            yield page
        server.shutdown()


PAGES = {
    "index": [".drawn svg", "ul.outcomes"],
    "explorer": ["#views canvas", "#views select"],
    "tutorial": ["table", ".drawn svg"],
    "trust": ["li"],
    "your_run": ["table"],
    "defence": ["mjx-container", "table"],
    "attack": ["mjx-container"],
    "strong_attacks": ["table", ".drawn svg"],
    "gradient_leakage": ["mjx-container", "table", ".drawn svg"],
    "membership": ["mjx-container", "table", ".drawn svg"],
    "controls": ["table", ".drawn svg"],
    "elsewhere": ["table"],
    "verdict": ["section.verdict .outcome", "ul.forest svg"],
    "how_to_read": [".drawn svg"],
    "glossary": ["dl.glossary"],
    "known_errors": ["p strong", "mjx-container"],
    "all_figures": [".filter input", "table.sortable .sorts", ".drawn svg"],
    "status": ["table"],
    "runs": [".filter input", "tr[data-for]"],
    "notebooks/yours": ["table", ".drawn svg"],
    "notebooks/train-baseline": [".cell_output img"],
    "notebooks/train-suppressed-example": [".cell_output img"],
    "notebooks/attack-baseline": ["table", ".cell_output img"],
    "notebooks/attack-suppressed-example": ["table", ".cell_output img"],
    "rerun": ["table", "pre"],
    "reference": ["pre"],
    "references": [".citation"],
}


@pytest.mark.parametrize("name", language.PAGES)
def test_a_chinese_page_has_its_pairs_figures_and_leads_to_it_and_back(page, finished, name):
    html = finished / "_build" / "html"
    page.complaints.clear()
    page.goto(f"{page.home}/zh/{name}.html")
    page.wait_for_load_state("networkidle")
    assert page.get_attribute("html", "lang") == "zh-CN"
    assert re.match("已发布的运行.MNIST.*最多训练 5 次", page.inner_text(".bd-header-announcement"))
    both = [(html / folder / f"{name}.html").read_text("utf-8") for folder in (".", "zh")]
    assert sorted(figures_in(both[0])) == sorted(figures_in(both[1]))
    text = page.evaluate("""() => {
      const article = document.querySelector("article").cloneNode(true);
      for (const part of article.querySelectorAll("code, pre, .bibliography, .citation")) part.remove();
      return article.textContent;
    }""")
    assert "{{" not in text and not re.search(r"[a-z]{2,}( [a-z]{2,}){3}", text)
    called = page.evaluate("""() => [...document.querySelectorAll("[title], [aria-label], [placeholder]")].flatMap(
      (part) => part.closest(".bibliography") || part.matches("a.reference.internal[title]") ? [] :
        ["title", "aria-label", "placeholder", "data-bs-title"].map((name) => part.getAttribute(name)))""")
    assert {each for each in called if each and not re.search(language.HAN, each)} <= {"English"}
    assert "not set" not in both[1]
    for width in (390, 1280):
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate("""() => [...document.querySelectorAll(".drawn svg")].every(svg => {
          const whole = svg.getBoundingClientRect();
          const boxes = [...svg.querySelectorAll("text")].map(text => text.getBoundingClientRect());
          return boxes.every(box => box.left > whole.left - 1 && box.right < whole.right + 1);
        })""")
    place = page.evaluate("[...document.querySelectorAll('article section[id]')].at(-1).id")
    page.goto(f"{page.home}/zh/{name}.html#{place}")
    for folder, code in (("", "en"), ("zh/", "zh-CN")):
        page.wait_for_load_state("networkidle")
        page.press(f"a.btn[hreflang={code}]", "Enter")  # the page may be moving to its place, from under a pointer
        page.wait_for_url(f"{page.home}/{folder}{name}.html#{place}", timeout=5000)
        assert page.locator(f"[id='{place}']").count() == 1
    assert page.complaints == []


def test_links_of_the_chinese_edition_lead_somewhere_and_it_keeps_little_of_its_own(finished):
    html = finished / "_build" / "html"
    for path in (html / "zh").glob("*.html"):
        for link in re.findall(r'(?:href|src)="([^":]+)"', path.read_text("utf-8")):
            target = (path.parent / link.partition("#")[0].partition("?")[0]).resolve()
            assert link.startswith(("#", "?")) or target.exists() or target.name == "book.pdf", (path.name, link)
    assert sum(path.stat().st_size for path in (html / "zh").rglob("*") if path.is_file()) < 1.5e6


def test_the_site_is_small(finished):
    """Of the published run and a stranger's, in both languages, without the document to print."""
    files = [path for path in (finished / "_build" / "html").rglob("*") if path.is_file() and path.suffix != ".pdf"]
    assert sum(path.stat().st_size for path in files) < 25e6
    assert not [path for path in files if path.suffix == ".map"]
    notebooks = [nbformat.read(path, 4) for path in files if path.suffix == ".ipynb"]
    assert len(notebooks) > 3 and not [cell for each in notebooks for cell in each.cells if cell.get("outputs")]


@pytest.mark.parametrize("asked", ["成员推断", "差分隐私", "MindArmour"])
def test_chinese_pages_are_found_by_words(page, asked):
    page.goto(f"{page.home}/zh/search.html?q={asked}")
    page.wait_for_selector("#search-results li a", timeout=5000)
    assert page.complaints == []


def test_a_page_in_english_alone_leads_to_the_chinese_edition(page):
    page.goto(f"{page.home}/notebooks/yours.html")
    assert page.locator("a.btn[hreflang=zh-CN]").get_attribute("href") == "../zh/index.html"


def test_every_public_name_of_the_library_is_on_its_modules_page(finished):
    with open(finished / "_build" / "html" / "objects.inv", "rb") as file:
        found = InventoryFile.load(file, "", lambda base, target: target)
    for path in sorted((finished / "lib").rglob("*.py")):
        module = ".".join(path.relative_to(finished / "lib").with_suffix("").parts)
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name[0] != "_" and ast.get_docstring(node):
                kind = "class" if isinstance(node, ast.ClassDef) else "function"
                kind = "exception" if node.name.endswith("Error") else kind
                _, _, place, _ = found[f"py:{kind}"][f"{module}.{node.name}"]
                assert place.startswith(f"reference/{module}.html#"), place


def test_the_whole_book_is_printed_as_one_document(finished, page, tmp_path):
    need("pdftotext", "pdftoppm")
    run = python(finished, "book/pdf.py")
    assert run.returncode == 0, run.stdout + run.stderr
    built = finished / "_build" / "html" / "book.pdf"
    leaves, content = texts(built), built.read_bytes()
    assert len(leaves) > 100 and len(content) < 25e6 and b"file:" not in content
    near_empty = [number for number, share in enumerate(filled(built, tmp_path)[:-1], 1) if share < 0.15]
    assert [leaves[number - 1] for number in near_empty] == []
    page.goto(f"{page.home}/notebooks/yours.html")
    assert page.locator("footer a", has_text="PDF").get_attribute("href") == "../book.pdf"


# What the first page may say instead, and takes more room.
LONGER = {
    "No protection was found": "Undecided, by its own rules",
    "an equally accurate ordinary one": "an ordinary one matched to it",
    "with noise on the features": "with noise on the features, 4 % [1 to 6] from *{}*",
}


@pytest.mark.parametrize("longer", [{}, LONGER], ids=["published", "longest"])
@pytest.mark.parametrize(("width", "height"), [(1280, 800), (390, 1200)])
def test_the_answer_is_on_the_first_screen(page, width, height, longer):
    """Sentence, picture and three facts, before anything has been scrolled."""
    before = page.viewport_size
    page.set_viewport_size({"width": width, "height": height})
    page.goto(f"{page.home}/index.html")
    page.wait_for_load_state("networkidle")
    longest = max((arm.title for arm in Study.load().arms.values()), key=len)
    for said, instead in longer.items():
        place = page.locator("main article :is(p, li)", has_text=said).first
        place.evaluate(
            "(part, pair) => part.innerHTML = part.innerHTML.replace(...pair)", [said, instead.format(longest)]
        )
    facts = page.query_selector_all("main article ul >> nth=0 >> li")
    picture = page.query_selector("main .drawn svg.narrow" if width < 600 else "main .drawn svg.wide")
    lowest = max(place["y"] + place["height"] for place in (each.bounding_box() for each in [picture, *facts]))
    text = page.inner_text("main article")
    page.set_viewport_size(before)
    assert len(facts) == 3 and lowest <= height
    assert "identifies" in text and len(re.findall(r"\d\.\d", text)) < 25


def test_the_first_page_has_the_published_answer_and_whether_this_run_agrees(page, finished):
    page.goto(f"{page.home}/index.html")
    text = page.inner_text("main")
    report = Report.load(finished / "results" / "full")
    assert front.short_answer(report).replace("**", "") in " ".join(text.split())
    assert "Your run (profile smoke): No figure of it can be held beside the published run" in text
    assert "MNIST-5000 with 4,000 training images" in text  # why not


def test_a_run_is_held_beside_the_published_one_figure_by_figure(page, finished):
    page.goto(f"{page.home}/your_run.html")
    text = page.inner_text("main")
    assert "5,000 digits" in text and "figures mean nothing" in text
    summary = summary_of(finished)
    shown = rows(summary, attack="reference", smoothness="cpu", arm=SUPPRESSED, metric="confidence").iloc[0]
    assert f"{shown['mean']:.3f}" in text and f"{summary.arms[0].test_accuracy[0]:.3f}" in text
    head = git(finished, "rev-parse", "--short=12", "HEAD").strip()
    assert head in text and processor() in text  # both machines, both commits
    assert "decoder network" in text and "noise" not in text  # of the first page's networks those that it has


def test_what_was_added_by_a_stranger_is_on_the_pages(page):
    """A new attack, a new defence and a new sparsity stand in tables and figures, by their titles alone."""
    page.goto(f"{page.home}/notebooks/yours.html")
    text = page.inner_text("main")
    for title in ("gradients damped", "suppressed to 70 %", "grey image"):
        assert title in text


def test_no_page_has_a_fault_and_each_shows_its_parts(page, finished):
    """At three widths, light and dark; results are the published ones. The last: it changes the browser's page."""
    assert [*pages.faults(page, finished / "_build" / "html", PAGES)] == []
    page.goto(f"{page.home}/index.html")
    assert page.inner_text(".bd-header-announcement").startswith("Published run: MNIST, up to 5 trainings")
