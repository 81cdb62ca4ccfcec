"""An edition: runs made by the code of a tag, in a worktree of it, packed and committed as they come.

    _build/editions/TAG                     the worktree, whatever this checkout is at
    _build/editions/TAG/runs/PROFILE        where runs are made
    results/editions/TAG/PROFILE            what is finished, as it is published: from a clone, another machine goes on

What this checkout has changed since the tag, and whether that is committed, makes no difference to an edition: what is
finished is put into it whole each time, and committed on the branch that it is on.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from suppress_privacy.files import atomically
from suppress_study.claims import Claims
from suppress_study.compare import compare_folders
from suppress_study.machines import lead
from suppress_study.packaged import PLACE
from suppress_study.plan import Study
from suppress_study.provenance import CHANGES, git, tagged
from suppress_study.reading import read_yaml
from suppress_study.results import FILES, PUBLISHED, WAITING, Results, finish_publishing, published_runs
from suppress_study.settings import ROOT
from suppress_study.summary import Summary, summarise

FOLDER = Path("results/editions")
PACK_EVERY = 3600  # seconds: each commit keeps its pictures for good, so few of them
BEFORE = "before.json"  # of a published folder: beside what was published before it


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
        if not (commit := tagged(tag)):
            known = ", ".join(git("tag").split()) or "none yet"
            raise EditionError(f"TAG is {tag!r}, which is no tag of this repository; there are {known}.")
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
        """Where runs are made."""
        return self.tree / "runs" / profile

    def finished(self, profile: str) -> Path:
        """What is finished, as a clone has it."""
        return ROOT / FOLDER / self.tag / profile

    def whole(self) -> dict[str, list[str]]:
        """All that there is to an edition, as its own code has it: by profile, how a command line names it."""
        campaigns = read_yaml(self.tree / "study" / "study.yaml").get("campaigns") or {}
        return {"full": ["--profile", "full"]} | {name: ["--campaign", name] for name in campaigns}


def make(edition: Edition, profile: str, chosen: list[str]) -> int:
    """Make the runs of a profile that are not there, packing and committing what is finished; returns an exit code.

    Args:
        edition: whose.
        profile: its name.
        chosen: how the command line names it, and its device.
    """
    _take(edition.finished(profile), edition.results(profile))
    lend(edition)
    lead()
    study = edition.start("study", *chosen, "--results", str(edition.results(profile)), "--without-book")
    ended, interrupted = None, False
    while ended is None:
        try:
            ended = study.wait(PACK_EVERY)
        except subprocess.TimeoutExpired:
            pack(edition, profile)
        except KeyboardInterrupt:  # which the study has had too, and ends its jobs
            interrupted = True
    packed = pack(edition, profile)
    return 130 if interrupted else ended or int(not packed)


def lend(edition: Edition) -> None:
    """Let an edition's worktree have the networks that MindArmour trained for this checkout."""
    _share([ROOT / name for name in git("ls-files", "--", str(PLACE)).splitlines()], edition.tree / PLACE)


def stand(edition: Edition, profile: str, device: str) -> int:
    """Tell how the runs of a profile stand, by the code of the tag; returns an exit code."""
    results = edition.results(profile)
    _take(edition.finished(profile), results)
    if not results.is_dir():
        print(f"{profile} of edition {edition.tag} has not been begun.")
        return 0
    return edition.start("status", "--profile", profile, "--results", str(results), "--device", device).wait()


def carry(edition: Edition, profile: str, earlier: str, device: str) -> None:
    """Begin with the runs of an earlier edition that the code of this one would make the same.

    Raises:
        EditionError: there is no such edition.
    """
    results, before = edition.results(profile), ROOT / FOLDER / earlier
    if results.is_dir() or edition.finished(profile).is_dir():
        print(
            f"Notice: {profile} of edition {edition.tag} has been begun; nothing more is taken over.", file=sys.stderr
        )
        return
    if not before.is_dir():
        raise EditionError(f"FROM is {earlier!r}, and there is no {FOLDER / earlier}: name an edition that is there.")
    if not (before / profile / "runs.jsonl").is_file():
        return
    with atomically(results) as part:
        _copy(before / profile, part)
        if edition.start("carry", "--profile", profile, "--results", str(part), "--device", device).wait():
            raise EditionError(f"the runs of {earlier} cannot be taken over: see above.")


def replace(edition: Edition) -> None:
    """Put an edition in the place of the published runs, each beside a comparison with what was there before.

    What it replaces stays in the history; what it puts there is the caller's to look at and commit.

    Raises:
        EditionError: runs are missing or of other code than the tag's, or what is published would be lost.
    """
    folders = {edition.finished(profile): ROOT / PUBLISHED.parent / profile for profile in edition.whole()}
    if changed := git("status", "--porcelain", "--", *map(str, [*folders, *folders.values()])):
        raise EditionError(f"{changed.split()[-1]} is not committed and would be lost: commit or remove it first.")
    summaries = {}
    for finished in folders:
        try:
            summary = summaries[finished] = summarised(finished)
        except ValueError as error:
            go_on = f"make edition TAG={edition.tag}, until nothing is left"
            raise EditionError(f"{finished.relative_to(ROOT)} is not whole ({error}): {go_on}.") from None
        if summary.uncommitted or summary.tags != [edition.tag]:
            place = finished.relative_to(ROOT)
            raise EditionError(f"{place} has runs of other code than {edition.tag}'s: see its runs.")
    for finished, published in folders.items():
        summaries[finished].save(finished / "summary.json")
        if published.is_dir():
            compare_folders(finished, published, BEFORE)
    for finished, published in folders.items():
        shutil.rmtree(published, ignore_errors=True)
        os.replace(finished, published)
        print(f"{published.relative_to(ROOT)} is {edition.tag} now.")


def summarised(folder: Path) -> Summary:
    """The summary of all runs of a folder, which is called as their profile is, made by today's code.

    Raises:
        ValueError: runs are missing, damaged, or do not belong together.
    """
    return summarise(Results.load(folder), Study.of(folder), folder.name, Claims.of(folder))


def pack(edition: Edition, profile: str) -> bool:
    """Publish what is finished and commit it; returns whether that could be done."""
    results, finished = edition.results(profile), edition.finished(profile)
    made = any((results / "runs").glob("[!.]*.npz"))
    if not made and not (results / "runs.jsonl").is_file():
        return True
    networks = [path for path in (edition.tree / PLACE).glob("[!.]*") if path.is_file()]
    _share(networks, ROOT / PLACE)
    options = "--profile", profile, "--results", str(results), "--into", str(finished)
    if edition.start("publish", *options).wait():
        return False
    places = [finished, *(ROOT / PLACE / path.name for path in networks)]
    return _commit(places, f"{len(published_runs(finished)):,} runs of {profile}, edition {edition.tag}")


def _take(finished: Path, results: Path) -> None:
    """Have what a clone has of an edition where runs are made, unless there is more."""
    for folder in (finished, results):
        finish_publishing(folder)
    there, here = published_runs(finished), published_runs(results)
    if there != here and {*there} >= {*here}:
        with atomically(results / WAITING if results.is_dir() else results) as part:
            _copy(finished, part)
        finish_publishing(results)


def _copy(before: Path, folder: Path) -> None:
    """What a folder of results has published, and nothing else of it."""
    folder.mkdir(parents=True)
    for path in (before / name for name in FILES):
        if path.is_dir():
            shutil.copytree(path, folder / path.name)
        elif path.is_file():
            shutil.copyfile(path, folder / path.name)


def _share(networks: Iterable[Path], there: Path) -> None:
    """Copy networks that MindArmour trained, which names tell apart, where they are not yet."""
    for path in networks:
        if path.is_file() and not (there / path.name).exists():
            with atomically(there / path.name) as part:
                shutil.copyfile(path, part)


def _commit(places: list[Path], message: str) -> bool:
    """Commit these files and folders, and nothing else of this checkout; returns whether that could be done."""
    names = [str(path.relative_to(ROOT)) for path in places if path.exists()]
    try:
        git("add", "--", *names)
        if git(*CHANGES, *names):
            git("commit", "--quiet", "--message", message, "--", *names)
    except subprocess.CalledProcessError as error:
        said = " ".join((error.stderr or error.stdout or "").split())
        print(f"edition: what is finished is in {names[0]}, but cannot be committed ({said}).", file=sys.stderr)
        return False
    return True
