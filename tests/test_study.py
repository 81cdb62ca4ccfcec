"""The whole study in a copy of the project: killed, resumed, repeated; then its records and its book."""

import functools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import jsonschema
import numpy as np
import psutil
import pytest

from conftest import ROOT
from suppress_privacy.study.claims import Claims
from suppress_privacy.study.records import RecordError, Records, attack_name, summarise
from suppress_privacy.study.runs import own_name
from suppress_privacy.study.settings import Study

LEFT_OUT = shutil.ignore_patterns(
    *(".git", ".venv", ".snakemake", "_build", "results", "generated"),
    *("__pycache__", ".pytest_cache", ".ruff_cache", "rank_0"),
)
CHROMIUM = "/usr/bin/chromium"
CHROMIUM_OPTIONS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


# The attacks of the profile smoke, by what judges them.
ON_IMAGES = [
    *("floor-black", "floor-mean", "floor-class-mean", "floor-nearest", "reference-cpu", "reference-ascend"),
    *("tuned-inversion", "decoder-ridge", "decoder-network", "ridge-shuffled"),
]
ON_GRADIENTS = ["gradient-dlg", "gradient-idlg", "gradient-cosine"]
ON_MEMBERSHIP = ["membership-loss", "membership-lira"]
FURTHER = ["tuned-conv1", *ON_GRADIENTS, *ON_MEMBERSHIP]  # on the tutorial's two models alone
ATTACKS = [*ON_IMAGES, *FURTHER]
ARMS = ["baseline", "suppressed-example", "dense-sgd", "accuracy-matched"]
METRICS = {
    *("skill", "rank1", "psnr", "ssim", "ssim_range2", "relative_l2", "confidence", "label_accuracy"),
    *("confidence_lenet2", "label_accuracy_lenet2", "confidence_convnet", "label_accuracy_convnet"),
}


def study(folder, *arguments, **environ):
    command = [sys.executable, "study.py", *map(str, arguments)]
    return subprocess.run(command, cwd=folder, env=os.environ | environ, capture_output=True, text=True)


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    folder = tmp_path_factory.mktemp("project") / "copy"
    shutil.copytree(ROOT, folder, ignore=LEFT_OUT)
    shutil.rmtree(folder / "book" / "notebooks", ignore_errors=True)
    (folder / "results").mkdir()
    for name in ("bench.json", "claims.yaml"):  # part of the repository, as the pages are
        shutil.copy(ROOT / "results" / name, folder / "results")
    return folder


@pytest.fixture(scope="module")
def killed(copy):
    """The smoke study, its leader alone killed once a first run had finished; the records it left.

    What it had started must end by itself, or it would write beside the study that is started next.
    """
    log = copy / "killed.log"
    with log.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, "study.py", "--profile", "smoke", "--cores", "1"],
            cwd=copy,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        deadline = time.monotonic() + 300
        while not re.search(r"\d+ of \d+ steps .* done", log.read_text()):
            assert process.poll() is None and time.monotonic() < deadline, log.read_text()
            time.sleep(0.2)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        deadline = time.monotonic() + 15
        while [entry for entry in psutil.process_iter(["cwd"]) if entry.info["cwd"] == str(copy)]:
            assert time.monotonic() < deadline, "jobs outlive the study that started them"
            time.sleep(0.2)
    records = copy / "results" / "smoke" / "records"
    return {path.name: path.read_text() for path in records.glob("*.json")}


@pytest.fixture(scope="module")
def finished(copy, killed):
    """The same study, started again and left to end."""
    run = study(copy, "--profile", "smoke", "--cores", "1")  # the other core has tests of its own
    assert run.returncode == 0, run.stdout + run.stderr
    return copy


def summary_of(folder):
    return json.loads((folder / "results" / "smoke" / "summary.json").read_text())


def test_a_killed_study_goes_on_where_it_was(killed, finished):
    records = finished / "results" / "smoke" / "records"
    kept = [name for name, content in killed.items() if (records / name).read_text() == content]
    assert killed and kept
    # Four models and three evaluators; attacks and the mechanism on the models, some attacks on two of them alone.
    assert len(list(records.glob("*.json"))) == 7 + 4 * (len(ON_IMAGES) + 1) + 2 * len(FURTHER)
    assert list((finished / "results").rglob(".part-*")) == []


def test_a_finished_study_has_nothing_left_to_do(finished):
    before = {path: path.stat().st_mtime_ns for path in (finished / "results").rglob("*.json")}
    started = time.monotonic()
    run = study(finished, "--profile", "smoke", PYTHONDONTWRITEBYTECODE="")
    assert run.returncode == 0 and "Nothing to be done" in run.stdout + run.stderr
    assert time.monotonic() - started < 20
    assert before == {path: path.stat().st_mtime_ns for path in (finished / "results").rglob("*.json")}


def planned(folder, *more, device="CPU"):
    """The jobs that the workflow would run now, with `more` configuration, as Snakemake's table."""
    command = [sys.executable, "-m", "snakemake", "--nolock", "--dry-run", "--quiet", "rules", "--cores", "1"]
    command += ["--config", "profile=smoke", "results=results/smoke", f"device={device}", *more]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout


def trainings(jobs):
    """How many trainings are among planned jobs; the table is printed twice."""
    return sum(int(count) for _, count in set(re.findall(r"^(train_seed\d+) +(\d+)$", jobs, re.M)))


def test_a_deleted_record_would_be_made_again_though_the_book_is_there(finished):
    records = finished / "results" / "smoke" / "records"
    for name, job in (("train-baseline-seed0", "train"), ("attack-floor-mean-baseline-seed0", "attack_baseline")):
        record = records / f"{name}.json"
        record.rename(finished / "aside.json")
        assert re.search(rf"^{job}", planned(finished), re.M)
        (finished / "aside.json").rename(record)
    assert "Nothing to be done" in planned(finished)


def test_another_device_would_repeat_all_runs(finished):
    assert trainings(planned(finished, device="Ascend")) == 7


def test_a_changed_setting_would_repeat_the_runs_that_depend_on_it_and_no_others(finished):
    settings = finished / "study.yaml"
    before = settings.read_text()

    def planned_with(changed):
        assert changed != before
        settings.write_text(changed)
        jobs = planned(finished)
        settings.write_text(before)
        return jobs

    jobs = planned_with(before.replace("lr: 0.1}", "lr: 0.2}"))
    # The other controls build on it: they are trained by the same rate, or to the same accuracy.
    assert trainings(jobs) == 3 and "attack_suppressed" in jobs and "attack_baseline" not in jobs
    jobs = planned_with(before.replace("iters: 100, smoothness: cpu", "iters: 90, smoothness: cpu"))
    assert "train" not in jobs and "attack_suppressed" in jobs and "attack_baseline" in jobs
    jobs = planned_with(before.replace("title: ordinary", "title: plain"))
    assert "train" not in jobs and "attack" not in jobs and "summary" in jobs


def test_the_summary_keeps_its_contract(finished):
    summary = summary_of(finished)
    schema = json.loads((ROOT / "lib" / "suppress_privacy" / "study" / "summary.schema.json").read_text())
    jsonschema.validate(summary, schema)
    assert summary["data"] == {"name": "MNIST-5000", "train": 4000, "test": 1000}
    assert summary["profile"] == "smoke"
    assert "5,000 digits" in summary["notice"]
    assert list(summary["arms"]) == ARMS
    assert list(summary["attacks"]) == ATTACKS
    for name, attack in summary["attacks"].items():
        for metrics in attack.values():
            found = {"label_found"} if name in ON_GRADIENTS else set()
            assert set(metrics) == ({"auc", "tpr_at_1pct_fpr"} if name in ON_MEMBERSHIP else METRICS | found)
            for value in metrics.values():
                assert set(value) == {"mean", "low", "high", "n"}
                assert value["low"] <= value["mean"] + 1e-12 and value["mean"] <= value["high"] + 1e-12
                assert value["n"] == (400 if name in ON_MEMBERSHIP else 10 if name in ON_GRADIENTS else 30)
    assert set(summary["evaluator"]) == {"test_accuracy", "test_accuracy_lenet2", "test_accuracy_convnet"}
    assert {gate["name"] for gate in summary["gates"]} >= {
        *("tuned-beats-mean", "conv1-near-perfect", "shuffled-no-better", "objective-baseline"),
        *("accuracy-baseline", "sparsity-suppressed-example"),
    }
    assert all(1 <= arm["effective_rank"]["mean"] <= 120 for arm in summary["mechanism"].values())
    black = summary["attacks"]["floor-black"]["baseline"]["relative_l2"]
    assert (black["low"], black["mean"], black["high"]) == pytest.approx((1, 1, 1))
    assert set(summary["verdicts"]) == {"R1", "R2", "R3", "H1", "H2", "H3", "H4", "H5", "H6"}
    for verdict in summary["verdicts"].values():
        assert {"verdict", "effect", "low", "high", "p"} <= set(verdict)
        assert verdict["verdict"] == "not tested" and "fewer than" in verdict["reason"]  # one seed says nothing
    differences = summary["differences"]["reference-cpu"]["suppressed-example"]["ssim"]
    arms = summary["attacks"]["reference-cpu"]
    expected = arms["suppressed-example"]["ssim"]["mean"] - arms["baseline"]["ssim"]["mean"]
    assert differences["mean"] == pytest.approx(expected)
    assert summary["documented"]["models"]["suppressed"]["test_accuracy"] == 0.9745


def test_the_suppressed_model_is_suppressed_and_the_ordinary_one_is_not(finished):
    arms = summary_of(finished)["arms"]
    assert all(shares == [0] for shares in arms["baseline"]["sparsity"].values())
    assert all(0.93 <= shares[0] <= 0.951 for shares in arms["suppressed-example"]["sparsity"].values())


def test_every_record_says_what_it_is_and_where_it_ran(finished):
    for path in (finished / "results" / "smoke" / "records").glob("*.json"):
        record = json.loads(path.read_text())
        assert record["name"] == path.stem
        assert record["parameters"]["seed"] in (0, 1000, 1001)
        assert record["versions"]["mindspore"] and record["commit"] and record["machine"]["cores"]
        assert record["device"]["device"] == "CPU" and record["device"]["threads"] == 1
        assert record["data"]["sha256"] and "5,000 digits" in record["data"]["notice"]
        assert record["times"]["seconds"] and 0 < record["peak_memory_bytes"] < 4e9
        assert record["results"] and (record["kind"] == "mechanism" or record["settings"])


def test_every_attack_is_on_the_same_images_and_drops_none(finished):
    store = Records(finished / "results" / "smoke")
    targets = None
    for attack in ON_IMAGES:
        for arm in ARMS:
            arrays = store.arrays(attack_name(attack, arm, 0))
            found = list(zip(arrays["in_training"].tolist(), arrays["index"].tolist(), strict=True))
            targets = targets or found
            assert found == targets and len(set(found)) == 30
            assert all(np.isfinite(arrays[metric]).all() and arrays[metric].shape == (30,) for metric in METRICS)
    for attack in ON_GRADIENTS:
        arrays = store.arrays(attack_name(attack, "baseline", 0))
        assert set(zip(arrays["in_training"].tolist(), arrays["index"].tolist(), strict=True)) <= set(targets)


def test_an_attack_can_be_pointed_at_any_checkpoint(finished, tmp_path):
    """One parameter, and the same figures as by the name of the arm it is of, whichever arm is named."""
    folder = finished / "results" / "smoke" / "checkpoints" / "train-suppressed-example-seed0"
    (checkpoint,) = folder.glob("*-2_500.ckpt")
    mine = tmp_path / "mine.ckpt"
    shutil.copy(checkpoint, mine)
    command = [sys.executable, "notebooks/execute.py", "attack", tmp_path / "out.ipynb", "profile=smoke"]
    command += ["results=results/smoke", f"victim={mine}", "attacks=[decoder-ridge]"]
    run = subprocess.run(command, cwd=finished, capture_output=True, text=True, env=os.environ | {"TQDM_DISABLE": "1"})
    assert run.returncode == 0, run.stderr
    store = Records(finished / "results" / "smoke")
    named = store.arrays(attack_name("decoder-ridge", "suppressed-example", 0))
    assert np.array_equal(store.arrays(attack_name("decoder-ridge", own_name(str(mine)), 0))["skill"], named["skill"])
    for path in store.folder.glob("*-own-mine-*"):
        path.unlink()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--profile", "nope"], "profile is 'nope'; allowed are smoke, quick, full"),
        (["--profile", "smoke", "--device", "TPU"], "device is 'TPU'; allowed are auto, Ascend, GPU, CPU"),
        (["--profile", "smoke", "--results", "/proc/nowhere"], "results folder /proc/nowhere cannot be written"),
        (["--profile", "smoke", "--results", "study.yaml"], "study.yaml cannot be written"),
    ],
)
def test_bad_input_is_one_sentence(copy, arguments, message):
    run = study(copy, *arguments)
    assert run.returncode == 2 and run.stdout == ""
    assert message in run.stderr and len(run.stderr.strip().splitlines()) == 1


def test_a_damaged_data_file_of_the_user_stops_the_study(copy, tmp_path):
    (tmp_path / "train-images-idx3-ubyte").write_bytes(b"cut")
    run = study(copy, MNIST_DIR=str(tmp_path))
    assert run.returncode == 2
    assert re.search(r"train-images-idx3-ubyte is damaged .*: replace it", run.stderr)
    assert len(run.stderr.strip().splitlines()) == 1


def test_an_unknown_arm_in_the_study_is_named(copy, tmp_path):
    folder = tmp_path / "other"
    shutil.copytree(copy, folder, ignore=LEFT_OUT)
    settings = folder / "study.yaml"
    settings.write_text(
        settings.read_text().replace("arms: [baseline, suppressed-example, dense", "arms: [basline, dense", 1)
    )
    run = study(folder, "--profile", "smoke")
    assert run.returncode == 2
    assert "profiles.smoke.arms names 'basline'; allowed are baseline, suppressed-example" in run.stderr
    assert len(run.stderr.strip().splitlines()) == 1


def test_two_studies_do_not_run_in_one_folder(copy, finished):
    import fcntl

    with (copy / ".snakemake" / "study.lock").open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        run = study(copy, "--profile", "smoke")
    assert run.returncode == 2 and "another study runs in this folder" in run.stderr


def test_records_of_other_weights_are_refused(finished):
    study, claims = Study.load(ROOT / "study.yaml"), Claims.load(ROOT / "results" / "claims.yaml")
    store = Records(finished / "results" / "smoke")
    for name in ("attack-decoder-ridge-dense-sgd-seed0", "train-accuracy-matched-seed0"):
        path = store.folder / f"{name}.json"
        before = path.read_text()
        record = json.loads(before)
        (record["networks"] if "networks" in record else record["built_on"]).update(victim="0", **{"dense-sgd": "0"})
        record.get("built_on", {}).pop("victim", None)
        path.write_text(json.dumps(record))
        with pytest.raises(RecordError, match=f"record {name} is of other weights than train-dense-sgd-seed0 left"):
            summarise(study, "smoke", store, claims)
        path.write_text(before)
    summarise(study, "smoke", store, claims)


def test_a_control_follows_the_model_it_is_matched_to(finished):
    store = Records(finished / "results" / "smoke")
    matched, like, wanted = (
        store.read(f"train-{arm}-seed0")["results"] for arm in ("accuracy-matched", "dense-sgd", "suppressed-example")
    )
    epochs = matched["facts"]["epochs"]
    distance = [abs(value - wanted["test_accuracy"]) for value in like["history"]["test_accuracy"]]
    assert epochs == 1 + int(np.argmin(distance))
    assert matched["history"]["test_accuracy"] == like["history"]["test_accuracy"][:epochs]  # the same training, cut


def test_the_book_is_drawn_again_from_records_alone(finished, tmp_path):
    """Without checkpoints and notebooks, as published records come: nothing is trained."""
    folder = tmp_path / "published"
    shutil.copytree(finished, folder, ignore=LEFT_OUT)
    shutil.rmtree(folder / "book" / "notebooks")
    for part in ("records", "data.json"):
        source = finished / "results" / "smoke" / part
        copied = folder / "results" / "smoke" / part
        shutil.copytree(source, copied) if source.is_dir() else shutil.copy(source, copied)
    for name in ("bench.json", "claims.yaml"):
        shutil.copy(ROOT / "results" / name, folder / "results")
    lost = attack_name("decoder-network", "dense-sgd", 0)
    for ending in ("json", "npz"):  # one was not made yet
        (folder / "results" / "smoke" / "records" / f"{lost}.{ending}").unlink()
    before = {path.name: path.read_bytes() for path in (folder / "results").rglob("records/*")}
    run = study(folder, "--profile", "smoke", "--redraw")
    assert run.returncode == 0, run.stdout + run.stderr
    assert before == {path.name: path.read_bytes() for path in (folder / "results").rglob("records/*")}
    assert not (folder / "results" / "smoke" / "checkpoints").exists()
    shown = (folder / "_build" / "html" / "notebooks" / "train-baseline.html").read_text()
    assert "is not kept with its records" in shown
    mine, theirs = (json.loads((at / "results" / "smoke" / "summary.json").read_text()) for at in (folder, finished))
    assert (mine["missing"], theirs["missing"]) == (1, 0)
    assert "1 of its records are still to be made" in (folder / "_build" / "html" / "index.html").read_text()
    assert mine["attacks"]["decoder-network"].keys() == {"baseline", "suppressed-example", "accuracy-matched"}
    assert mine["attacks"]["tuned-inversion"] == theirs["attacks"]["tuned-inversion"]


def test_records_of_other_data_are_not_drawn_with_these(finished, tmp_path):
    results = tmp_path / "results"
    shutil.copytree(finished / "results" / "smoke", results)
    described = results / "data.json"
    before = described.read_text().replace("4000", "4001")
    described.write_text(before)
    run = study(finished, "--profile", "smoke", "--results", results, "--redraw")
    assert run.returncode == 2 and "describes other data than MNIST-5000" in run.stderr
    assert described.read_text() == before


def test_nothing_to_draw_from_is_said(finished, tmp_path):
    run = study(finished, "--profile", "smoke", "--results", tmp_path / "empty", "--redraw")
    assert run.returncode == 2 and "has no record train-baseline-seed1000: run the study" in run.stderr


def test_what_is_there_counts_as_done_when_asked_to(finished):
    """A changed module would repeat every run; --keep-records leaves them."""
    module = finished / "lib" / "suppress_privacy" / "training.py"
    content = module.read_text()
    module.write_text(content + "\n")
    assert trainings(planned(finished)) == 7
    before = {path.name: path.read_bytes() for path in (finished / "results").rglob("records/*")}
    run = study(finished, "--profile", "smoke", "--keep-records")
    assert run.returncode == 0, run.stdout + run.stderr
    assert before == {path.name: path.read_bytes() for path in (finished / "results").rglob("records/*")}
    assert "Nothing to be done" in planned(finished)
    module.write_text(content)
    # As in a clone, where records are but no checkpoints: one attack to make, its models trained again for it alone.
    checkpoints, record = (finished / "results" / "smoke" / name for name in ("checkpoints", "records"))
    record /= f"{attack_name('floor-black', 'dense-sgd', 0)}.json"
    checkpoints.rename(finished / "aside")
    record.rename(finished / "aside.json")
    jobs = planned(finished, "keep=True")
    (finished / "aside").rename(checkpoints)
    (finished / "aside.json").rename(record)
    assert set(re.findall(r"^attack_\w+", jobs, re.M)) == {"attack_dense_sgd_seed0"}


def test_a_book_without_a_run_says_what_to_do(copy, tmp_path):
    run = subprocess.run([sys.executable, "book/build.py", tmp_path], cwd=copy, capture_output=True, text=True)
    assert run.returncode == 2 and "run the study of that profile first" in run.stderr


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def page(finished):
    """A browser page that notes every failure and every request that leaves this machine."""
    if not os.path.exists(CHROMIUM):
        if os.environ.get("CI"):
            pytest.fail(f"{CHROMIUM} is missing: .ci/run installs it.")
        pytest.skip(f"{CHROMIUM} is missing: install Debian's package chromium to have the pages looked at.")
    from playwright.sync_api import sync_playwright

    handler = functools.partial(QuietHandler, directory=finished / "_build" / "html")
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server, sync_playwright() as playwright:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_OPTIONS)
        page = browser.new_page()
        page.complaints = []
        page.on(
            "console", lambda message: message.type in ("error", "warning") and page.complaints.append(message.text)
        )
        page.on("pageerror", lambda error: page.complaints.append(str(error)))
        page.on("response", lambda answer: answer.status >= 400 and page.complaints.append(answer.url))
        home = f"http://127.0.0.1:{server.server_port}"
        page.on(
            "request", lambda request: request.url.startswith((home, "data:")) or page.complaints.append(request.url)
        )
        page.home = home
        yield page
        browser.close()
        server.shutdown()


PAGES = {
    "index": ["table", "figure img", "nav"],
    "defence": ["mjx-container", "table"],
    "attack": ["mjx-container"],
    "strong_attacks": ["mjx-container", "table", "figure img"],
    "gradient_leakage": ["mjx-container", "table", "figure img"],
    "membership": ["mjx-container", "table", "figure img"],
    "controls": ["table", "figure img"],
    "verdict": ["table"],
    "notebooks/compare": ["table", ".cell_output img"],
    "notebooks/train-baseline": [".cell_output img"],
    "notebooks/train-suppressed-example": [".cell_output img"],
    "notebooks/attack-baseline": ["table", ".cell_output img"],
    "notebooks/attack-suppressed-example": ["table", ".cell_output img"],
    "rerun": ["table", "pre"],
    "references": [".citation"],
}


@pytest.mark.parametrize("name", PAGES)
def test_pages_show_their_parts_need_no_network_and_say_what_they_show(page, name):
    page.complaints.clear()
    page.goto(f"{page.home}/{name}.html")
    page.wait_for_load_state("networkidle")
    for part in PAGES[name]:
        page.wait_for_selector(part, timeout=5000)
    assert page.complaints == []
    banner = page.inner_text(".bd-header-announcement")
    assert "smoke" in banner and "5,000 digits" in banner
    text = page.inner_text("main")
    assert "{{" not in text and "None" not in text and "nan" not in text.split()
    for image in page.query_selector_all("main img"):
        words = image.get_attribute("alt") or ""
        assert len(words) > 20 and " " in words, image.get_attribute("src")  # words, not the name of a file
        assert image.evaluate("image => image.naturalWidth") > 300


def test_the_headline_table_shows_the_summarys_figures(page, finished):
    page.goto(f"{page.home}/index.html")
    text = page.inner_text("main")
    summary = summary_of(finished)
    for arm in ("baseline", "suppressed-example"):
        assert f"{summary['arms'][arm]['test_accuracy'][0]:.4f}" in text
    shown = summary["attacks"]["reference-cpu"]["suppressed-example"]["confidence"]
    assert f"{shown['mean']:.3f} [{shown['low']:.3f}, {shown['high']:.3f}]" in text
    assert "0.9745" in text and "0.5576" in text
