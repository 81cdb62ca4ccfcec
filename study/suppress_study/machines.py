"""On which machines a study's jobs run: this one, or those of a cluster, to which Snakemake's own plugin sends them."""

import os
import shutil
import signal
import socket
import subprocess
import threading
import time

EXECUTORS = ("local", "slurm")
LEADER = "STUDY_LEADER"  # in the environment of a study's jobs: host and number of the process that leads it
SENT = 100  # jobs that wait or run on a cluster at a time
# Of a job, in MB and minutes. The largest run of the published took 3.0 GB, beside Snakemake and Papermill; the longest
# job, a game, takes hours, and would go on with its next model.
RESOURCES = ("mem_mb=6000", "runtime=720")
ASKED = ("sacct", "--allocations", "--clusters", "all")  # as Snakemake's plugin does
LATENCY = 60  # seconds in which a file that another machine has written must be seen here


def require_executor(executor: str, device: str) -> None:
    """Raise a ValueError unless jobs can be sent to where they are to run."""
    if executor not in EXECUTORS:
        raise ValueError(f"executor is {executor!r}; allowed are {', '.join(EXECUTORS)}: name one of these.")
    if executor == "local":
        return
    if device != "CPU":
        raise ValueError(f"executor is slurm, of which no accelerator is asked, and device is {device}: say CPU.")
    for name in ("sbatch", "sacct"):
        if not shutil.which(name):
            raise ValueError(
                f"executor is slurm, and there is no {name} on the path: start the study on a machine of the cluster."
            )
    asked = subprocess.run([*ASKED, "--noheader"], capture_output=True, encoding="utf-8", check=False)
    if asked.returncode:
        raise ValueError(
            f"executor is slurm, and sacct, which tells how jobs ended, does not ({asked.stderr.strip()}): have the "
            "cluster keep accounts of its jobs."
        )


def sending(executor: str, device: str, at_once: int | None) -> list[str]:
    """Snakemake's options for where jobs run, and for how many do at a time."""
    if executor == "slurm":
        latency = ["--latency-wait", str(LATENCY)]
        return ["--executor", "slurm", "--jobs", str(at_once or SENT), *latency, "--default-resources", *RESOURCES]
    # An accelerator takes one run at a time; on a CPU each run has a core of its own.
    cores = at_once or (len(os.sched_getaffinity(0)) if device == "CPU" else 1)
    return ["--cores", str(cores)]


def lead() -> None:
    """Have the jobs that this process starts end with it, see `end_with_leader`."""
    os.environ[LEADER] = f"{socket.gethostname()}:{os.getpid()}"


def end_with_leader() -> None:
    """End this process, and so its kernel, soon after the process that leads the study, if that is of this machine.

    Snakemake that is killed leaves its jobs running; one started anew would run them a second time. Of a process of
    another machine nothing is known here: what runs on a cluster is ended by the cluster, as by `scancel`.
    """
    host, _, number = os.environ.get(LEADER, "").rpartition(":")
    if host != socket.gethostname():
        return

    def watch() -> None:
        while True:
            time.sleep(1)
            try:
                os.kill(int(number), 0)
            except ProcessLookupError:
                os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=watch, daemon=True).start()
