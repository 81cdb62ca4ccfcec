"""A small edition made for real, over two interrupted attempts and in two clones: python tests/edition.py

The smoke study of three seeds, by the code of a tag that the checkout has left behind. The first attempt is interrupted
as from the keyboard; the second goes on in a clone, which has no more than what was committed, and is killed; the third
ends it. It must have one tag and one commit, nothing uncommitted, nothing missing, be the same where its tag's draw is
made again, and be verified.
"""

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

from checkout import environment, git, take
from suppress_study.results import published_runs
from suppress_study.summary import Summary

ROOT = Path(__file__).parent.parent
TAG, PROFILE, SEEDS = "small-edition", "smoke", (0, 1, 2)
PLACE = f"results/editions/{TAG}/{PROFILE}"
RUNS = f"_build/editions/{TAG}/runs/{PROFILE}/runs"  # while they are made
LINGER = 20  # seconds within which all that a killed edition had started must have ended


def begin(folder: Path) -> Path:
    """A repository with a tag whose smoke profile has three seeds, and a head that has gone on from there."""
    project = folder / "first"
    take(ROOT, project)
    settings = project / "study" / "study.yaml"
    text, seeds = settings.read_text("utf-8"), ", ".join(map(str, SEEDS))
    arms = "arms: {baseline: [0], suppressed-example: [0], dense-sgd: [0], accuracy-matched: [0]}"
    assert text.count(arms) == 1
    settings.write_text(text.replace(arms, arms.replace("[0]", f"[{seeds}]")), "utf-8")
    git(project, "init", "-q", "-b", "main")
    configured(project)
    for arguments in (["add", "--all"], ["commit", "-q", "-m", "The code of the edition"], ["tag", TAG]):
        git(project, *arguments)
    (project / "study" / "suppress_study" / "models.py").write_text("raise SystemExit('not of the tag')\n", "utf-8")
    git(project, "commit", "-q", "-a", "-m", "Later code")
    git(project, "checkout", "-q", TAG, "--", "study/suppress_study/models.py")  # or nothing here would start
    return project


def configured(project: Path) -> None:
    for name, value in (("user.name", "A Stranger"), ("user.email", "stranger@example.com")):
        git(project, "config", name, value)


def start(project: Path) -> subprocess.Popen[bytes]:
    command = [".venv/bin/python", "-m", "suppress_study.run", "edition", TAG, "--profile", PROFILE, "--device", "CPU"]
    log = project.with_suffix(".log").open("ab")
    return subprocess.Popen(
        command, cwd=project, env=environment(), stdout=log, stderr=subprocess.STDOUT, start_new_session=True
    )


def made(project: Path) -> int:
    return len([*(project / RUNS).glob("[!.]*.npz")])


def until(project: Path, count: int, edition: subprocess.Popen[bytes]) -> None:
    """Wait until there are so many files of runs."""
    while made(project) < count:
        assert edition.poll() is None, project.with_suffix(".log").read_text("utf-8")[-2000:]
        time.sleep(0.5)


def settle(project: Path) -> None:
    """Wait until nothing of an edition runs any more."""
    deadline, places = time.monotonic() + LINGER, {str(project), str(project / "_build" / "editions" / TAG)}
    while left := [each for each in psutil.process_iter(["cwd", "status"]) if each.info["cwd"] in places]:
        if all(each.info["status"] == psutil.STATUS_ZOMBIE for each in left):
            return
        assert time.monotonic() < deadline, f"{[each.cmdline() for each in left]} outlive their edition"
        time.sleep(0.5)


def main() -> int:
    with tempfile.TemporaryDirectory() as name:
        first = begin(Path(name))
        started, edition = time.monotonic(), start(first)
        until(first, 6, edition)
        os.killpg(edition.pid, signal.SIGINT)
        print(f"interrupted after {made(first)} jobs, {time.monotonic() - started:.0f} s: {edition.wait()}", flush=True)
        settle(first)
        packed = {*published_runs(first / PLACE)}
        print(f"committed: {len(packed)} runs, {git(first, 'log', '-1', '--format=%s').strip()!r}", flush=True)

        second = Path(name) / "second"
        git(first, "clone", "-q", str(first), str(second))
        configured(second)
        (second / ".venv").symlink_to(sys.prefix)
        git(second, "checkout", "-q", TAG, "--", "study/suppress_study/models.py")
        edition = start(second)
        until(second, 6, edition)
        os.kill(edition.pid, signal.SIGKILL)
        edition.wait()
        settle(second)
        print(f"in a clone killed after {made(second)} more jobs", flush=True)
        assert start(second).wait() == 0, second.with_suffix(".log").read_text("utf-8")[-3000:]

        summary, runs = Summary.load(second / PLACE / "summary.json"), published_runs(second / PLACE)
        again = [path.stem for path in (second / RUNS).glob("*.npz") if path.stem in packed]
        code = git(second, "rev-parse", "--short=12", TAG).strip()
        print(f"ended with {len(runs)} runs in {time.monotonic() - started:.0f} s; trained again in the clone: {again}")
        found = {"tags": summary.tags, "commits": summary.commits, "uncommitted": summary.uncommitted}
        found |= {"missing": summary.missing, "seeds": summary.seeds}
        wanted = {"tags": [TAG], "commits": [code], "uncommitted": 0, "missing": 0, "seeds": [*SEEDS]}
        print(found if found == wanted else f"WRONG: {found}, and not {wanted}", flush=True)
        left = git(second, "status", "--porcelain", "--", "results")
        print(left or "nothing is left uncommitted", flush=True)
        checks = [["-m", "suppress_study.run", "edition", TAG, "--retrain", "--profile", PROFILE, "--device", "CPU"]]
        checks.append(["book/verify.py", "--results", PLACE])
        calls = [[".venv/bin/python", *each] for each in checks]
        ended = [subprocess.run(call, cwd=second, env=environment()).returncode for call in calls]
        print(f"retrain, verify: {ended}", flush=True)
        return int(found != wanted or any(ended) or bool(left))


if __name__ == "__main__":
    sys.exit(main())
