"""A real smoke study, met by ten faults where it writes and by ten `kill -9`: python tests/faults.py [SEED]

Each time it is started again by the same command; in the end its summary must be that of a study that nothing happened
to. One line for each: what happened, what the study said, and how it ended.
"""

import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

from checkout import environment, git, take
from faulty import FAULTS, KINDS
from suppress_study.results import Results, published_runs
from suppress_study.summary import Summary

ROOT = Path(__file__).parent.parent
EACH = 10  # faults where it writes, and kills at a moment
SHARE = 12  # of an undisturbed study: within so much of it each of them happens
LINGER = 15  # seconds within which all that a killed study had started must have ended
HOOK = f"""import sys
sys.path.insert(0, {str(ROOT / "tests")!r})
import faulty
faulty.from_environment()
sys.path.pop(0)
"""


class Disturbed:
    """A checkout whose smoke study is started again and again."""

    def __init__(self, folder: Path) -> None:
        self.project, self.count = folder / "project", folder / "count"
        self.hooks, self.log = folder / "hooks", folder / "log"
        self.results = self.project / "results" / "smoke"
        take(ROOT, self.project)
        for arguments in (["init", "-q"], ["add", "--all"], ["commit", "-q", "-m", "As it is"]):
            git(self.project, *arguments)
        self.hooks.mkdir()
        (self.hooks / "sitecustomize.py").write_text(HOOK, "utf-8")  # which every Python runs first

    def start(self, at: int = 0, kind: str = "killed") -> subprocess.Popen:
        """The study, with a fault at one of the points where it writes; 0 only counts them."""
        self.count.write_bytes(b"")
        self.struck.unlink(missing_ok=True)
        fault = os.pathsep.join(map(str, (self.project, at, kind, self.count)))
        more = {FAULTS: fault, "PYTHONPATH": str(self.hooks), "PYTHONDONTWRITEBYTECODE": "1"}
        command = [".venv/bin/python", "-m", "suppress_study.run", "study", "--profile", "smoke", "--device", "CPU"]
        with self.log.open("wb") as log:
            where = {"cwd": self.project, "env": environment(**more), "start_new_session": True}
            return subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, **where)

    @property
    def struck(self) -> Path:
        return Path(f"{self.count}.struck")

    def running(self) -> list[psutil.Process]:
        there = (each for each in psutil.process_iter(["cwd"]) if each.info["cwd"] == str(self.project))
        return [each for each in there if each.status() != psutil.STATUS_ZOMBIE]

    def settle(self) -> None:
        """Wait until nothing of a study runs any more."""
        deadline = time.monotonic() + LINGER
        while self.running():
            assert time.monotonic() < deadline, f"{[each.cmdline() for each in self.running()]} outlive their study"
            time.sleep(0.2)

    def believed(self) -> int:
        """How many runs there are; raises where one that is not whole passes for it."""
        if (self.results / "summary.json").exists():
            Summary.load(self.results / "summary.json")
        published_runs(self.results)
        return len(Results.load(self.results).runs)

    def said(self) -> str:
        """The last line that says what went wrong, or the last line."""
        lines = [line for line in self.log.read_text("utf-8", "replace").splitlines() if line.strip()]
        telling = [line for line in lines if re.search(r"cannot be written|failed:|Error|rror:", line)]
        return ([*lines[-1:], *telling[-1:]] or [""])[-1].strip()[:160]

    def anew(self) -> None:
        for name in ("results/smoke", ".snakemake", "_build", "book/generated", "book/notebooks"):
            shutil.rmtree(self.project / name, ignore_errors=True)


def kill(study: Disturbed, process: subprocess.Popen, after: float, rng: random.Random) -> str:
    """Kill one of the study's processes, whichever: its leader, Snakemake, a job, a kernel."""
    time.sleep(after)
    processes = study.running()
    if process.poll() is not None or not processes:
        return "had ended before"
    victim = rng.choice(sorted(processes, key=lambda each: each.pid))
    name = " ".join(victim.cmdline()[1:6])
    victim.send_signal(signal.SIGKILL)
    return f"kill -9 after {after:.0f} s of {name[-60:]}"


def main(seed: int) -> int:
    rng = random.Random(seed)
    with tempfile.TemporaryDirectory() as folder:
        study = Disturbed(Path(folder))
        started = time.monotonic()
        assert study.start().wait() == 0, study.log.read_text("utf-8")
        lasted, points = time.monotonic() - started, study.count.stat().st_size
        wanted = (study.results / "summary.json").read_bytes()
        print(f"undisturbed: {lasted:.0f} s, {points:,} points, {study.believed()} runs", flush=True)
        study.anew()
        kinds = [*(KINDS * EACH)[:EACH], *["moment"] * EACH]
        rng.shuffle(kinds)
        for number, kind in enumerate(kinds, 1):
            started = time.monotonic()
            at = rng.randint(1, points // SHARE)
            process = study.start(*(() if kind == "moment" else (at, kind)))
            if kind == "moment":
                what = kill(study, process, rng.uniform(1, lasted / SHARE), rng)
            code = process.wait()
            study.settle()
            if kind != "moment":
                where = study.struck.read_text("utf-8") if study.struck.exists() else "not reached"
                what = f"{kind} at point {at}: {where}"
            what = what.replace(str(study.project), ".")
            spent = f"{time.monotonic() - started:.0f} s, {study.believed()} runs"
            print(f"{number:2} {what}\n   ended {code} after {spent}: {study.said()}", flush=True)
        code = study.start().wait()
        same = code == 0 and (study.results / "summary.json").read_bytes() == wanted
        print(f"left to end: {code}, the summary {'is the same' if same else 'DIFFERS'}", flush=True)
        return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if sys.argv[1:] else 0))
