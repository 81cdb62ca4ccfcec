"""An edition: runs made by the code of a tag, in a worktree of it, packed and committed as they come.

    _build/editions/TAG                the worktree, whatever this checkout is at
    results/editions/TAG/PROFILE       what came out so far: from a clone of it, another machine goes on

What this checkout has changed since the tag, and whether that is committed, makes no difference to an edition.
"""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from suppress_study.machines import lead
from suppress_study.packaged import PLACE
from suppress_study.provenance import CHANGES, git
from suppress_study.results import FILES, finish_publishing, published_runs
from suppress_study.settings import ROOT

FOLDER = Path("results/editions")
PACK_EVERY = 1200  # seconds


class EditionError(RuntimeError):
    """Why an edition cannot be made, in one sentence."""


@dataclass(frozen=True)
class Edition:
    """A tag of this repository, and the worktree that it is run in."""

    tag: str
    tree: Path

    @classmethod
    def of(cls, tag: str) -> "Edition":
        """The edition of a tag, with its worktree, which is made if need be.

        Raises:
            EditionError: there is no such tag, or the worktree is not what the tag names.
        """
        try:
            commit = git("rev-parse", "--verify", "--quiet", f"refs/tags/{tag}^{{commit}}")
        except (OSError, subprocess.CalledProcessError):
            known = ", ".join(git("tag").split()) or "none yet"
            raise EditionError(f"TAG is {tag!r}, which is no tag of this repository; there are {known}.") from None
        tree = ROOT / "_build" / "editions" / tag
        if not tree.is_dir():
            git("worktree", "prune")
            git("worktree", "add", "--quiet", "--detach", str(tree), commit)
        if git("rev-parse", "HEAD", root=tree) != commit or git(*CHANGES, ":!results", root=tree):
            raise EditionError(f"{tree} is no longer what {tag} names: git worktree remove --force {tree}, and again.")
        return cls(tag, tree)

    def python(self) -> str:
        """An interpreter with the packages that the tag's lock names: this one's, if it is the same lock."""
        lock = "requirements.lock"
        if (self.tree / lock).read_bytes() == (ROOT / lock).read_bytes():
            return sys.executable
        subprocess.run(["make", "-C", str(self.tree), ".venv/ready"], check=True)
        return str(self.tree / ".venv/bin/python")

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Start a command of the tag's own code."""
        own = os.pathsep.join(str(self.tree / folder) for folder in ("lib", "study", "book"))
        command = [self.python(), "-m", "suppress_study.run", *arguments]
        return subprocess.Popen(command, cwd=self.tree, env=os.environ | {"PYTHONPATH": own})

    def results(self, profile: str) -> Path:
        return ROOT / FOLDER / self.tag / profile


def make(edition: Edition, profile: str, chosen: list[str]) -> int:
    """Make the runs of a profile that are not there, packing and committing what is finished; returns an exit code.

    Args:
        edition: whose.
        profile: its name.
        chosen: how the command line names it, and its device.
    """
    results = edition.results(profile)
    finish_publishing(results)
    lead()
    _share(ROOT / PLACE, edition.tree / PLACE)
    study = edition.start("study", *chosen, "--results", str(results), "--without-book")
    ended, interrupted = None, False
    while ended is None:
        try:
            ended = study.wait(PACK_EVERY)
        except subprocess.TimeoutExpired:
            pack(edition, profile)
        except KeyboardInterrupt:  # which the study has had too, and ends its jobs
            interrupted = True
    pack(edition, profile)
    return 130 if interrupted else ended


def carry(edition: Edition, profile: str, earlier: str) -> None:
    """Begin with the runs of an earlier edition that the code of this one would make the same.

    Raises:
        EditionError: there are none.
    """
    results, before = edition.results(profile), ROOT / FOLDER / earlier / profile
    if results.is_dir():
        return
    if not (before / "runs.jsonl").is_file():
        raise EditionError(f"FROM is {earlier!r}, of which {FOLDER} has no {profile}: name an edition that is there.")
    shutil.copytree(before, results, ignore=lambda place, names: {*names} - {*FILES} if place == str(before) else [])
    if edition.start("carry", "--profile", profile, "--results", str(results)).wait():
        shutil.rmtree(results)
        raise EditionError(f"the runs of {earlier} cannot be taken over: see above.")
    _commit(edition, profile, f"Runs of {earlier} that are the same")


def pack(edition: Edition, profile: str) -> None:
    """Publish and commit the runs that are finished."""
    results = edition.results(profile)
    if not any((results / "runs").glob("[!.]*.npz")):
        return
    _share(edition.tree / PLACE, ROOT / PLACE)
    if edition.start("publish", "--profile", profile, "--results", str(results), "--running").wait() == 0:
        _commit(edition, profile, f"{len(published_runs(results)):,} runs")


def _share(here: Path, there: Path) -> None:
    """Copy networks that MindArmour trained, which names tell apart, where they are not yet."""
    there.mkdir(parents=True, exist_ok=True)
    for path in here.glob("[!.]*"):
        if not (there / path.name).exists():
            shutil.copyfile(path, there / path.name)


def _commit(edition: Edition, profile: str, what: str) -> None:
    """Commit what is published so far, and nothing else of this checkout."""
    places = [str(path.relative_to(ROOT)) for path in (edition.results(profile), ROOT / PLACE)]
    git("add", "--", *places)
    places = [place for place in places if git("ls-files", "--", place)]
    if places and git(*CHANGES, *places):
        try:
            git("commit", "--quiet", "--message", f"{what} of {profile}, edition {edition.tag}", "--", *places)
        except subprocess.CalledProcessError as error:
            said = " ".join((error.stderr or error.stdout or "").split())
            print(f"edition: what is finished is packed, but cannot be committed ({said}).", file=sys.stderr)
