"""Which commit a run names: the project's own, or none; never that of a repository it merely lies in. Which machine."""

import json
import os
import shutil
import subprocess

import pytest

from checkout import git
from suppress_privacy import configure
from suppress_study import provenance

CODE = "study/suppress_study/provenance.py"


def repository(folder, *names):
    """A repository with these files, in one commit; returns the commit."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("as committed\n", "utf-8")
    git(folder, "init", "-q")
    git(folder, "add", "--all")
    git(folder, "commit", "-q", "-m", "One")
    return git(folder, "rev-parse", "--short=12", "HEAD").strip()


@pytest.fixture
def at(monkeypatch):
    """What is said of a project in this folder."""

    def said(folder):
        monkeypatch.setattr(provenance, "ROOT", folder)
        monkeypatch.setattr(provenance, "__file__", str(folder / CODE))
        return provenance.commit()

    return said


def test_its_own_commit_and_whether_a_tracked_file_differs(at, tmp_path, monkeypatch):
    head = repository(tmp_path, CODE, "results/summary.json")
    assert at(tmp_path) == head
    (tmp_path / "untracked").touch()
    (tmp_path / "results" / "summary.json").write_text("another run", "utf-8")
    monkeypatch.chdir(tmp_path.parent)
    assert at(tmp_path) == head
    (tmp_path / CODE).write_text("changed", "utf-8")
    assert at(tmp_path) == f"{head}-dirty"


def test_the_tag_of_its_commit_and_of_several_the_highest_version(at, tmp_path):
    head = repository(tmp_path, CODE)
    assert at(tmp_path) == head and provenance.tag() == ""
    for name in ("edition-9", "edition-10", "a-draft"):
        git(tmp_path, "tag", "-a", "-m", name, name)
    assert provenance.tag() == "edition-10" and provenance.tagged("edition-9").startswith(head)
    assert provenance.tagged("edition-11") == ""
    git(tmp_path, "commit", "-q", "--allow-empty", "-m", "Two")
    assert provenance.tag() == ""


def test_an_archive_inside_another_repository_is_no_checkout(at, tmp_path):
    repository(tmp_path, "theirs.py")
    (tmp_path / "archive" / CODE).parent.mkdir(parents=True)
    (tmp_path / "archive" / CODE).touch()
    git(tmp_path, "tag", "theirs")
    assert at(tmp_path / "archive") == "unknown" and provenance.tag() == ""


@pytest.mark.parametrize("staged", [False, True])
def test_nor_is_one_that_lies_in_its_top_folder(at, tmp_path, staged):
    repository(tmp_path, "theirs.py")
    (tmp_path / CODE).parent.mkdir(parents=True)
    (tmp_path / CODE).touch()
    if staged:
        git(tmp_path, "add", "--all")
    assert at(tmp_path) == "unknown"


def test_nor_a_repository_without_a_commit_or_a_damaged_one(at, tmp_path, capfd):
    git(tmp_path, "init", "-q")
    assert at(tmp_path) == "unknown"
    shutil.rmtree(tmp_path / ".git")
    (tmp_path / ".git").write_text("gitdir: /nowhere", "utf-8")
    assert at(tmp_path) == "unknown"
    assert capfd.readouterr() == ("", "")


def test_a_hook_of_another_repository_does_not_lend_its_commit(at, tmp_path, monkeypatch):
    other, own = tmp_path / "other", tmp_path / "own"
    repository(other, "theirs.py")
    head = repository(own, CODE)
    for name, value in (
        ("GIT_DIR", other / ".git"),
        ("GIT_WORK_TREE", other),
        ("GIT_INDEX_FILE", other / ".git/index"),
    ):
        monkeypatch.setenv(name, str(value))
    assert at(own) == head


def test_worktrees_submodules_shallow_clones_links_and_renamed_folders_have_their_commit(at, tmp_path):
    own = tmp_path / "own"
    head = repository(own, CODE)
    git(own, "worktree", "add", "-q", "--detach", tmp_path / "a tree")
    git(tmp_path, "clone", "-q", "--depth", "1", f"file://{own}", "shallow")
    outer = tmp_path / "outer"
    repository(outer, "theirs.py")
    git(outer, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(own), "part")
    (tmp_path / "link").symlink_to(own)
    shutil.copytree(own, tmp_path / 'it\'s a "copy" ü')
    own.rename(tmp_path / "renamed")
    git(tmp_path / "renamed", "worktree", "repair", tmp_path / "a tree")
    for folder in ("renamed", "a tree", "shallow", "outer/part", 'it\'s a "copy" ü'):
        assert at(tmp_path / folder) == head, folder
    (tmp_path / "link").unlink()
    (tmp_path / "link").symlink_to(tmp_path / "renamed")
    assert at(tmp_path / "link") == head


def test_a_checkout_of_another_owner_has_its_commit_without_a_word(at, tmp_path, capfd):
    head = repository(tmp_path, CODE)
    owned = subprocess.run(["chown", "-R", "12345", str(tmp_path)], capture_output=True)
    if owned.returncode:
        pytest.skip("only root can give a folder away: run this test as root, as in a container.")
    assert at(tmp_path) == head and capfd.readouterr() == ("", "")


def test_no_lock_of_the_users_repository_is_taken(at, tmp_path):
    """A commit of his at that moment would fail."""
    head = repository(tmp_path, CODE)
    before = (tmp_path / ".git" / "index").stat()
    (tmp_path / CODE).touch()  # what is to be refreshed
    assert at(tmp_path) == head
    assert (tmp_path / ".git" / "index").stat().st_mtime_ns == before.st_mtime_ns


def test_a_run_says_on_which_processor_it_was_made(digits):
    machine = provenance.environment(configure("CPU"), digits)["machine"]
    sets = machine["instruction_sets"]
    assert set(machine) == {"processor", "instruction_sets", "cores", "usable_cores"} and machine["processor"]
    assert json.loads(json.dumps(sets)) == sorted(set(sets))


def test_a_run_says_how_many_cores_its_process_could_use(digits):
    allowed = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(allowed)})
        assert provenance.environment(configure("CPU"), digits)["machine"]["usable_cores"] == 1
    finally:
        os.sched_setaffinity(0, allowed)
    assert provenance.environment(configure("CPU"), digits)["machine"]["usable_cores"] == len(allowed)
