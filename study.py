"""Run the study: check what can be checked at once, find the data, then hand over to Snakemake.

python study.py [--profile quick] [--results DIR] [--device auto] [--cores N] [--redraw] [--keep-records]
"""

import argparse
import fcntl
import json
import logging
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

from suppress_privacy.mnist import DataError, load_mnist
from suppress_privacy.runtime import choose_device
from suppress_privacy.study.names import training_name
from suppress_privacy.study.records import Records, describe, write_json
from suppress_privacy.study.runs import choose_targets
from suppress_privacy.study.settings import Study

ROOT = Path(__file__).parent
LOCK = ROOT / ".snakemake" / "study.lock"


class SetupError(RuntimeError):
    """Why the study cannot start, in one sentence."""


def require_writable(folder):
    """Raise unless files can be made in a folder, which is created if need be."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise SetupError(f"results folder {folder} cannot be written ({error.strerror}): choose another.") from error


def lock():
    """Hold the project for this process and what it becomes; the system lets go when it ends, however it ends.

    Its jobs do not hold the lock: they watch STUDY_PID and end with it.
    """
    LOCK.parent.mkdir(exist_ok=True)
    descriptor = os.open(LOCK, os.O_RDWR | os.O_CREAT)
    os.set_inheritable(descriptor, True)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise SetupError("another study runs in this folder: wait for it, or stop it, and start again.") from error


def prepare(options):
    """Check settings, device, folder and data; returns the device.

    The data's description is an input of every training run: when it changes, they run again.
    """
    study = Study.load(ROOT / "study.yaml")
    profile = study.profile(options.profile)
    device = choose_device(options.device)
    require_writable(options.results)
    for left in options.results.rglob(".part-*"):  # half-written by a run that was killed
        shutil.rmtree(left) if left.is_dir() else left.unlink()
    data = load_mnist(profile.data)
    missing = [name for name in judges(study) if not Records(options.results).has(name)]
    if options.redraw and missing:
        raise SetupError(f"{options.results} has no record {missing[0]}: run the study of that profile first.")
    choose_targets(data, profile.targets)  # refuses more targets than there are images
    described = options.results / "data.json"
    description = describe(data)
    if not described.exists() or load_json(described) != description:
        if described.exists() and (options.redraw or options.keep_records):
            raise SetupError(
                f"{described} describes other data than {data.name} as found here: have the records' data (MNIST_DIR "
                "names a copy), or run the study anew."
            )
        write_json(described, description)
    if data.notice:
        print(f"Notice: {data.notice}", file=sys.stderr)
    return device


def judges(study):
    """The records without which nothing can be drawn: those of the evaluators."""
    return [training_name(judge.arm, judge.seed) for judge in study.evaluators.values()]


def touch(folder):
    """Make everything in a folder newer than what it was made from, and of one age."""
    now = time.time()
    for path in [folder, *folder.rglob("*")]:
        os.utime(path, (now, now))


def load_json(path):
    """The JSON in a file, or None where there is none that can be read."""
    try:
        return json.loads(path.read_text())
    except ValueError:
        return None


def main():
    parser = argparse.ArgumentParser(description="Run the study and build its book.")
    parser.add_argument("--profile", default="quick", help="a profile of study.yaml (default: quick)")
    parser.add_argument("--results", type=Path, help="folder for records (default: results/PROFILE)")
    parser.add_argument("--device", default="auto", help="auto, Ascend, GPU or CPU (default: auto)")
    parser.add_argument("--cores", type=int, help="runs at a time (default: one a core, one on an accelerator)")
    parser.add_argument("--redraw", action="store_true", help="make figures and book again, from the records alone")
    parser.add_argument(
        "--keep-records", action="store_true", help="what is there counts as done, whatever has changed since"
    )
    options = parser.parse_args()
    logging.basicConfig(format="%(message)s")
    # Paths are the user's, from where the user stands.
    options.results = options.results.absolute() if options.results else Path("results") / options.profile
    if os.environ.get("MNIST_DIR"):
        os.environ["MNIST_DIR"] = os.path.abspath(os.environ["MNIST_DIR"])
    os.chdir(ROOT)
    try:
        lock()
        device = prepare(options)
    except (ValueError, DataError, SetupError) as error:
        print(f"study: {error}", file=sys.stderr)
        return 2
    # Snakemake's own lock outlives a killed process; ours does not.
    command = [sys.executable, "-m", "snakemake", "--nolock", "--rerun-incomplete", "--quiet", "rules"]
    if options.redraw:
        command += ["--forcerun", "summary"]
    if options.keep_records:
        command += ["--rerun-triggers", "mtime"]
        touch(options.results)
    # An accelerator takes one run at a time; on a CPU each run has a core of its own.
    cores = options.cores or (len(os.sched_getaffinity(0)) if device == "CPU" else 1)
    command += ["--cores", str(cores)]
    command += ["--config", f"profile={options.profile}", f"results={options.results}", f"device={device}"]
    command += ["redraw=True"] if options.redraw else []
    command += ["keep=True"] if options.keep_records else []
    os.environ["STUDY_PID"] = str(os.getpid())
    sys.stdout.flush()
    os.execv(sys.executable, command)


if __name__ == "__main__":
    sys.exit(main())
