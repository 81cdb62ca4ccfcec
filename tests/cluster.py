"""The smoke study on this machine alone, and on a cluster of one node that it is made into: python tests/cluster.py

The summaries must be the same. On its way the study of the cluster is interrupted once, as from the keyboard: all that
it had sent must end, and the same command must go on. The cluster lives in a temporary folder, and as long
as the test: munged vouches for who asks, slurmctld schedules, slurmd runs jobs, and slurmdbd with MariaDB remembers
how they ended, which Snakemake's plugin for Slurm asks by sacct.
"""

import getpass
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import psutil

from checkout import environment, git, take

ROOT = Path(__file__).parent.parent
PROGRAMS = {  # and Debian's packages that have them
    "munged": "munge",
    "mariadbd": "mariadb-server-core",
    "mariadb-install-db": "mariadb-server-core",
    "my_print_defaults": "mariadb-client-core",  # mariadb-install-db's
    "slurmdbd": "slurmdbd",
    "slurmctld": "slurmctld",
    "slurmd": "slurmd",
    "sbatch": "slurm-client",
}
PATH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])  # where daemons are
PATIENCE = 60  # seconds for a daemon to answer, and for a queue to be empty
# No control groups, which a container may not have: jobs are told apart by their parents. Memory is not shared out, for
# this may be a small machine.
SLURM = """
ClusterName=study
SlurmctldHost={host}(127.0.0.1)
SlurmUser={user}
SlurmdUser={user}
SlurmctldPort={slurmctld}
SlurmdPort={slurmd}
CommunicationParameters=NoInAddrAny
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SlurmdParameters=config_overrides
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=localhost
AccountingStoragePass={folder}/munge.socket
AccountingStoragePort={slurmdbd}
NodeName={host} NodeAddr=127.0.0.1 CPUs={cores} RealMemory=64000
PartitionName=all Nodes=ALL Default=YES State=UP
"""
SLURMDBD = """
DbdHost=localhost
DbdPort={slurmdbd}
SlurmUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
PidFile={folder}/slurmdbd.pid
StorageType=accounting_storage/mysql
StorageHost=localhost
StorageUser={user}
StorageLoc=study
"""


class ClusterError(RuntimeError):
    """Why there is no cluster, in one sentence."""


def require_programs() -> None:
    missing = [name for name in PROGRAMS if not shutil.which(name, path=PATH)]
    if missing:
        packages = " ".join(dict.fromkeys(PROGRAMS[name] for name in missing))
        raise ClusterError(f"there is no {', '.join(missing)}: apt-get install --no-install-recommends {packages}")


class Cluster:
    """Slurm on this machine while the block lasts."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.daemons = folder, {}
        self.environ = {"PATH": PATH, "USER": getpass.getuser(), "SLURM_CONF": f"{folder}/slurm.conf"}
        with socket.socket() as first, socket.socket() as second, socket.socket() as third:
            for each in (first, second, third):
                each.bind(("127.0.0.1", 0))
            names = ("slurmdbd", "slurmctld", "slurmd")
            self.ports = {name: each.getsockname()[1] for name, each in zip(names, (first, second, third), strict=True)}

    def __enter__(self) -> "Cluster":
        try:
            self.configure()
            self.accounts()
            self.start("slurmctld", ["slurmctld", "-D"], lambda: self.ask("sinfo", "-h") != "")
            self.start("slurmd", ["slurmd", "-D"], lambda: self.ask("sinfo", "-h", "-o", "%T") == "idle")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        try:
            if "slurmd" in self.daemons:
                self.ask("scancel", f"--user={self.environ['USER']}")
                self.wait(lambda queue: not queue, PATIENCE)
        finally:
            for process in reversed(self.daemons.values()):
                process.terminate()
                try:
                    process.wait(PATIENCE)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()

    def configure(self) -> None:
        cores = len(os.sched_getaffinity(0))
        own = {"folder": self.folder, "user": self.environ["USER"], "host": socket.gethostname(), "cores": cores}
        texts = {"slurm.conf": SLURM, "slurmdbd.conf": SLURMDBD, "cgroup.conf": ""}
        contents = {name: text.format(**own, **self.ports).encode() for name, text in texts.items()}
        for name, content in (contents | {"munge.key": os.urandom(1024)}).items():
            path = self.folder / name
            path.touch(0o600)  # slurmdbd and munged insist
            path.write_bytes(content)
        (self.folder / "state").mkdir()

    def accounts(self) -> None:
        """Who asks is who he says, and how jobs ended is remembered."""
        here, user = self.folder, self.environ["USER"]
        files = {"key-file": "munge.key", "socket": "munge.socket", "pid-file": "munge.pid", "seed-file": "munge.seed"}
        names = [f"--{option}={here / name}" for option, name in files.items()]
        self.start("munged", ["munged", "--foreground", *names], (here / "munge.socket").exists)
        data = ["--no-defaults", f"--datadir={here}/data", f"--user={user}"]
        install = ["mariadb-install-db", *data, "--skip-test-db", f"--auth-root-socket-user={user}"]
        self.log("mariadb-install-db", subprocess.run, install, check=True)
        at = [f"--socket={here}/mysql.socket", f"--pid-file={here}/mysql.pid", "--skip-networking"]
        self.start("mariadbd", ["mariadbd", *data, *at], (here / "mysql.socket").exists)
        self.environ["MYSQL_UNIX_PORT"] = f"{here}/mysql.socket"  # where slurmdbd looks for it
        added = "sacctmgr", "-i", "add", "cluster", "study"
        self.start("slurmdbd", ["slurmdbd", "-D"], lambda: "study" in self.ask(*added))

    def log(self, name: str, call: Callable, command: list[str], **more: object) -> subprocess.Popen:
        with (self.folder / f"{name}.log").open("wb") as log:
            streams = {"stdin": subprocess.DEVNULL, "stdout": log, "stderr": subprocess.STDOUT}
            return call(command, env=environment(**self.environ), **streams, **more)

    def start(self, name: str, command: list[str], ready: Callable[[], bool]) -> None:
        """Start a daemon, and wait until it answers."""
        process = self.daemons[name] = self.log(name, subprocess.Popen, command)
        deadline = time.monotonic() + PATIENCE
        while not ready():
            if process.poll() is not None or time.monotonic() > deadline:
                said = (self.folder / f"{name}.log").read_text("utf-8", "replace").strip()
                raise ClusterError(f"{name} does not run here:\n{said}")
            time.sleep(0.5)
        print(f"{name} runs", flush=True)

    def ask(self, *command: str) -> str:
        """What one of Slurm's commands answers; nothing where it cannot."""
        asked = subprocess.run(command, env=environment(**self.environ), capture_output=True, text=True, check=False)
        return asked.stdout.strip()

    def wait(self, done: Callable[[str], bool], seconds: float) -> None:
        """Until the queue is so: a state a line."""
        deadline = time.monotonic() + seconds
        while not done(queue := self.ask("squeue", "-h", "-o", "%T")):
            assert time.monotonic() < deadline, f"the queue has: {queue.split() or 'nothing'}"
            time.sleep(0.5)


@contextmanager
def study(project: Path, results: str, *arguments: str, **environ: str) -> Iterator[subprocess.Popen]:
    """A smoke study, which ends with the block."""
    command = [".venv/bin/python", "-m", "suppress_study.run", "study", "--profile", "smoke", "--device", "CPU"]
    process = subprocess.Popen(
        [*command, "--results", results, *arguments],
        cwd=project,
        env=environment(**environ),
        start_new_session=True,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def running(project: Path) -> list[psutil.Process]:
    """What has been started there and has not ended."""
    return [each for each in psutil.process_iter(["cwd"]) if each.info["cwd"] == str(project)]


def ended(name: str, process: subprocess.Popen) -> int:
    started, code = time.monotonic(), process.wait()
    print(f"{name}: ended {code} after {time.monotonic() - started:.0f} s", flush=True)
    return code


def compared(project: Path, cluster: Cluster) -> bool:
    """Whether the study comes to the same on the cluster as here."""
    there = partial(study, project, "results/cluster", "--executor", "slurm", **cluster.environ)
    with study(project, "results/here") as process:
        if ended("here", process):
            return False
    with there() as process:
        cluster.wait(lambda queue: "RUNNING" in queue, 2 * PATIENCE)
        os.killpg(process.pid, signal.SIGINT)
        interrupted = ended("on the cluster, interrupted", process)
        cluster.wait(lambda queue: not queue and not running(project), PATIENCE)
    with there() as process:
        if ended("on the cluster", process):
            return False
    states = cluster.ask("sacct", "-a", "-X", "-n", "-P", "-o", "State").splitlines()
    print(f"jobs: {', '.join(f'{states.count(each)} {each}' for each in sorted({*states}))}", flush=True)
    jobs = len([*(project / "results" / "cluster" / "runs").glob("*.npz")])
    same = len({(project / "results" / name / "summary.json").read_bytes() for name in ("here", "cluster")}) == 1
    print(f"{jobs} files of runs; the summary {'is the same' if same else 'DIFFERS'}", flush=True)
    return same and interrupted != 0 and states.count("COMPLETED") > jobs


def main() -> int:
    try:
        require_programs()
        with tempfile.TemporaryDirectory() as folder:
            project, place = Path(folder, "project"), Path(folder, "cluster")
            take(ROOT, project)
            for arguments in (["init", "-q"], ["add", "--all"], ["commit", "-q", "-m", "As it is"]):
                git(project, *arguments)
            place.mkdir()
            Path(folder).chmod(0o711)  # munged wants a socket that all could reach
            with Cluster(place) as cluster:
                return 0 if compared(project, cluster) else 1
    except ClusterError as error:
        print(f"cluster: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # or daemons would outlive it
    sys.exit(main())
