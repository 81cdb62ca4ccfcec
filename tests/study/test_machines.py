"""Where jobs run: what Snakemake is told, what is refused, and who ends with whom."""

import os
import signal
import socket
import subprocess
import sys
import time
from types import SimpleNamespace

import psutil
import pytest
from snakemake.cli import parse_args

from suppress_study import launch, machines, run, starter

# A job that has begun, and would take a minute.
JOB = """import sys, time
from suppress_study import run
run.execute = lambda *_: (print("begun", flush=True), time.sleep(60))
sys.exit(run.main(["notebook", "train", "nowhere.ipynb"]))"""


@pytest.fixture
def cluster(tmp_path, monkeypatch):
    """A machine that can send jobs to a cluster, by its looks: the folder of Slurm's commands."""
    for name in ("sbatch", "sacct"):
        (tmp_path / name).touch(0o755)
        (tmp_path / name).write_text("#!/bin/sh\n")
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


# What Snakemake is told


def understood(*arguments):
    """What Snakemake makes of options."""
    return parse_args([*arguments, "--config", "device=CPU", "--", "all"])[1]


def test_snakemake_sends_jobs_to_slurm_with_memory_and_time():
    asked = understood(*machines.sending("slurm", "CPU", None))
    assert (asked.executor, asked.jobs, asked.targets) == ("slurm", 100, ["all"])
    given = asked.default_resources
    assert given["mem_mb"].value >= 4000 and given["runtime"].value >= 12 * 60
    assert understood(*machines.sending("slurm", "CPU", 7)).jobs == 7


def test_what_a_user_tells_snakemake_comes_after_and_counts():
    own = ["--jobs", "500", "--default-resources", "runtime=60", "slurm_account=mine"]
    asked = understood(*machines.sending("slurm", "CPU", None), *own)
    assert asked.jobs == 500 and asked.default_resources["runtime"].value == 60
    assert "slurm_account" in asked.default_resources


def test_here_a_run_has_a_core_and_an_accelerator_takes_one():
    assert understood(*machines.sending("local", "CPU", None)).cores == len(os.sched_getaffinity(0))
    assert understood(*machines.sending("local", "Ascend", None)).cores == 1
    asked = understood(*machines.sending("local", "CPU", 5))
    assert (asked.cores, asked.executor) == (5, None)


# What is refused


@pytest.mark.parametrize(
    ("executor", "device", "message"),
    [
        ("pbs", "CPU", "executor is 'pbs'; allowed are local, slurm: name one of these"),
        ("slurm", "Ascend", "executor is slurm, of which no accelerator is asked, and device is Ascend: say CPU"),
    ],
)
def test_where_jobs_cannot_run_is_one_sentence(executor, device, message, cluster):
    with pytest.raises(ValueError, match=message):
        machines.require_executor(executor, device)


@pytest.mark.parametrize("name", ["sbatch", "sacct"])
def test_a_machine_that_is_of_no_cluster_is_told_so_before_the_work(name, cluster):
    machines.require_executor("slurm", "CPU")
    (cluster / name).unlink()
    machines.require_executor("local", "Ascend")
    with pytest.raises(ValueError, match=f"there is no {name} on the path: start the study on a machine of the clust"):
        machines.require_executor("slurm", "CPU")


def test_a_cluster_that_could_not_say_how_jobs_ended_is_refused(cluster):
    (cluster / "sacct").write_text("#!/bin/sh\necho Slurm accounting storage is disabled >&2\nexit 1\n")
    with pytest.raises(ValueError, match=r"does not \(Slurm accounting storage is disabled\): have the cluster"):
        machines.require_executor("slurm", "CPU")


# Who starts jobs, and who ends with whom


@pytest.mark.parametrize("executor", machines.EXECUTORS)
def test_jobs_of_a_cluster_are_not_forked_here_do_not_watch_this_process_and_wait_for_no_seed(executor, monkeypatch):
    started = []

    def call(command, **_):
        started.append((command, dict(os.environ)))
        return SimpleNamespace(returncode=1)

    instead = {"lock": lambda: 0, "prepare": lambda *_: ("CPU", []), "require_clean": lambda _: None}
    for name, stub in instead.items():
        monkeypatch.setattr(launch, name, stub)
    for name in (machines.LEADER, starter.PLACE):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(launch.signal, "signal", lambda *_: None)
    monkeypatch.setattr(launch.subprocess, "run", call)
    options = run.parser().parse_args(["study", "--profile", "full", "--executor", executor])
    assert run.study(options) == 1
    ((command, environ),) = started
    here = executor == "local"
    assert environ.get(machines.LEADER) == (f"{socket.gethostname()}:{os.getpid()}" if here else None)
    assert (starter.PLACE in environ) == here
    first = command[command.index("--") + 1 :]
    assert (first == ["all"]) != here and ("--executor" in command) != here
    assert not here or all("-seed0" in path or "-seed1000" in path for path in first)


def test_a_job_ends_with_the_study_of_its_own_host_and_not_with_a_process_of_another():
    leader = subprocess.Popen(["sleep", "60"])
    hosts = [socket.gethostname(), f"not-{socket.gethostname()}"]
    jobs = [
        subprocess.Popen(
            [sys.executable, "-c", JOB],
            env=os.environ | {machines.LEADER: f"{host}:{leader.pid}"},
            stdout=subprocess.PIPE,
        )
        for host in hosts
    ]
    try:
        assert [job.stdout.readline() for job in jobs] == [b"begun\n"] * 2
        time.sleep(2)
        assert [job.poll() for job in jobs] == [None, None]
        leader.kill()
        leader.wait()
        own, foreign = jobs
        assert own.wait(10) == -signal.SIGKILL
        time.sleep(2)
        assert foreign.poll() is None and psutil.Process(foreign.pid).is_running()
    finally:
        for each in (leader, *jobs):
            each.kill()
            each.communicate()
