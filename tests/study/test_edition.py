"""An edition is made by its tag's code, wherever this checkout is; what is finished is committed, and nothing else."""

import json
import shutil
import sys
from types import SimpleNamespace

import pytest

from checkout import git
from suppress_study import edition, provenance
from suppress_study.edition import Edition, EditionError

# In place of the study's own commands: it makes two runs each time it is started, of four.
COMMANDS = """
import json, pathlib, subprocess, sys
LABEL = "first"
given = dict(zip(sys.argv[2::2], sys.argv[3::2]))
results = pathlib.Path(given["--results"])
(results / "runs").mkdir(parents=True, exist_ok=True)
commit = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
published = results / "runs.jsonl"
lines = [json.loads(each) for each in published.read_text().splitlines()] if published.exists() else []
there = {line["name"]: line for line in lines if line["kind"] == "train"}
own = {path.stem: json.loads(path.read_text()) for path in (results / "runs").glob("*.npz")}
if sys.argv[1] == "study":
    made = [name for name in ("train-a", "train-b", "train-c", "train-d") if name not in {**there, **own}][:2]
    for name in made:
        run = {"name": name, "kind": "train", "campaign": "c", "profile": given["--profile"], "factors": {}, "seed": 0}
        run |= {"settings": {}, "commit": commit, "environment": "here", "chosen": {"label": LABEL}}
        (results / "runs" / (name + ".npz")).write_text(json.dumps(run))
    sys.exit(len({**there, **own}) + len(made) < 4)
if sys.argv[1] == "publish":
    published = pathlib.Path(given["--into"]) / "runs.jsonl"
    published.parent.mkdir(parents=True, exist_ok=True)
    head = [{"kind": "environment", "name": "here"}]
    published.write_text("".join(json.dumps(each) + "\\n" for each in [*head, *{**there, **own}.values()]))
if sys.argv[1] == "status":
    print(LABEL, len({**there, **own}))
if sys.argv[1] == "carry":
    kept = [each for each in there.values() if each["chosen"]["label"] == LABEL]
    published.write_text("".join(json.dumps(each) + "\\n" for each in [{"kind": "environment", "name": "here"}, *kept]))
"""


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A repository whose tag "one" has those commands, and whose head has gone on."""
    for module in (edition, provenance):
        monkeypatch.setattr(module, "ROOT", tmp_path)
    code = tmp_path / "study" / "suppress_study"
    code.mkdir(parents=True)
    (code / "__init__.py").touch()
    (code / "run.py").write_text(COMMANDS, "utf-8")
    (tmp_path / "requirements.lock").write_text("one lock", "utf-8")
    (tmp_path / ".gitignore").write_text("_build/\nruns/\n__pycache__/\n", "utf-8")
    git(tmp_path, "init", "-q", "-b", "main")
    for name, value in (("user.name", "A Stranger"), ("user.email", "stranger@example.com")):
        git(tmp_path, "config", name, value)
    git(tmp_path, "add", "--all")
    git(tmp_path, "commit", "-q", "-m", "The edition")
    git(tmp_path, "tag", "one")
    (code / "run.py").write_text("raise SystemExit('this is not the code of the tag')", "utf-8")
    git(tmp_path, "commit", "-q", "-a", "-m", "Later")
    return tmp_path


def made(project, tag="one"):
    lines = map(json.loads, (project / "results/editions" / tag / "full/runs.jsonl").read_text("utf-8").splitlines())
    return {line["name"]: line for line in lines if line["kind"] == "train"}


def start(tag="one"):
    return edition.make(Edition.of(tag), "full", ["--profile", "full"])


def test_interrupted_it_is_committed_and_goes_on_and_ends_with_the_tag_s_commit_alone(project):
    (project / "README").write_text("mine, not committed", "utf-8")
    git(project, "add", "README")
    assert start() != 0 and {*made(project)} == {"train-a", "train-b"}
    shutil.rmtree(Edition.of("one").results("full"))  # as a clone on another machine has it
    (project / "study" / "suppress_study" / "run.py").write_text("edited meanwhile", "utf-8")
    assert start() == 0 and {*made(project)} == {"train-a", "train-b", "train-c", "train-d"}
    assert {run["commit"] for run in made(project).values()} == {git(project, "rev-parse", "one").strip()}
    said = git(project, "log", "--format=%s", "-2").splitlines()
    assert said == ["4 runs of full, edition one", "2 runs of full, edition one"]
    changed = {*git(project, "diff", "--name-only", "HEAD~2", "HEAD").splitlines()}
    assert changed == {"results/editions/one/full/runs.jsonl"}
    assert git(project, "status", "--porcelain").splitlines() == ["A  README", " M study/suppress_study/run.py"]


def test_finished_runs_are_committed_while_others_are_being_made(project, monkeypatch):
    monkeypatch.setattr(edition, "PACK_EVERY", 0.01)
    start()
    assert len(git(project, "log", "--format=%s", "--grep=runs of full").splitlines()) >= 1


def test_what_is_no_tag_is_refused_with_those_that_are(project):
    with pytest.raises(EditionError, match="TAG is 'two', which is no tag of this repository; there are one"):
        Edition.of("two")
    with pytest.raises(EditionError, match="'main'"):
        Edition.of("main")


def test_a_worktree_that_was_changed_is_refused_and_one_that_was_deleted_made_again(project):
    tree = Edition.of("one").tree
    (tree / "study/suppress_study/run.py").write_text("edited", "utf-8")
    with pytest.raises(EditionError, match="is no longer what one names"):
        Edition.of("one")
    shutil.rmtree(tree)
    assert "this is not" not in (Edition.of("one").tree / "study/suppress_study/run.py").read_text("utf-8")


def test_what_cannot_be_committed_is_packed_and_said_and_the_end_is_no_success(project, capfd):
    hook = project / ".git/hooks/pre-commit"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\necho refused by a hook >&2\nexit 1\n", "utf-8")
    hook.chmod(0o755)
    start()
    assert start() == 1 and len(made(project)) == 4
    assert "cannot be committed (refused by a hook)" in capfd.readouterr().err
    hook.unlink()
    (project / ".git/index.lock").touch()  # as while the user writes a message
    assert start() == 1 and "cannot be committed (fatal: Unable to create" in capfd.readouterr().err
    (project / ".git/index.lock").unlink()
    assert start() == 0 and git(project, "status", "--porcelain") == ""


def test_on_whichever_branch_the_checkout_is_what_is_finished_is_whole(project):
    start()
    git(project, "checkout", "-q", "-b", "other", "main~1")
    assert not (project / "results/editions").exists()
    assert start() == 0 and len(made(project)) == 4


def test_how_an_edition_stands_is_told_by_the_code_of_its_tag(project, capfd):
    edition.stand(Edition.of("one"), "full", "CPU")
    assert "full of edition one has not been begun." in capfd.readouterr().out
    start()
    shutil.rmtree(Edition.of("one").results("full"))
    assert edition.stand(Edition.of("one"), "full", "CPU") == 0
    assert capfd.readouterr().out.endswith("first 2\n")


def test_two_machines_go_on_with_what_each_has_pulled(project):
    start()
    clone = project.parent / f"{project.name}-clone"
    git(project, "clone", "-q", str(project), str(clone))
    finished = project / "results/editions/one/full/runs.jsonl"
    assert start() == 0
    more = finished.read_bytes()
    results = Edition.of("one").results("full")
    edition._take(clone / "results/editions/one/full", results)  # of an older state: it takes nothing away
    (results / "runs.jsonl").write_bytes((clone / "results/editions/one/full/runs.jsonl").read_bytes())
    edition._take(finished.parent, results)
    assert (results / "runs.jsonl").read_bytes() == more


def test_a_later_edition_begins_with_what_its_code_would_make_the_same(project, capsys):
    start(), start()
    (project / "study/suppress_study/run.py").write_text(COMMANDS, "utf-8")
    git(project, "commit", "-q", "-a", "-m", "The same code again")
    git(project, "tag", "same")
    other = COMMANDS.replace('LABEL = "first"', 'LABEL = "other"')
    (project / "study/suppress_study/run.py").write_text(other, "utf-8")
    git(project, "commit", "-q", "-a", "-m", "Other code")
    git(project, "tag", "other")
    for tag, kept in (("same", 4), ("other", 0)):
        begun = Edition.of(tag)
        edition.carry(begun, "full", "one", "CPU")
        lines = (begun.results("full") / "runs.jsonl").read_text("utf-8").splitlines()
        assert len(lines) == 1 + kept and not [*begun.results("full").glob("runs/*")]
    assert start("same") == 0 and len(made(project, "same")) == 4
    edition.carry(Edition.of("same"), "full", "one", "CPU")
    assert "full of edition same has been begun; nothing more is taken over" in capsys.readouterr().err
    edition.carry(Edition.of("one"), "another", "one", "CPU")  # which the earlier one has not
    with pytest.raises(EditionError, match="FROM is 'none', and there is no results/editions/none"):
        edition.carry(Edition.of("one"), "another", "none", "CPU")


def test_networks_of_the_package_are_shared_committed_and_never_overwritten_and_those_of_the_user_left_alone(project):
    own, place = project / "results/mindarmour", Edition.of("one").tree / "results/mindarmour"
    own.mkdir(parents=True)
    (own / "mine.ckpt").write_text("mine", "utf-8")
    (own / "old.ckpt").write_text("old", "utf-8")
    place.mkdir(parents=True)
    (place / "old.ckpt").write_text("other", "utf-8")
    (place / "new.ckpt").write_text("new", "utf-8")
    start()
    assert {path.name: path.read_text("utf-8") for path in own.iterdir()} == {
        "mine.ckpt": "mine",
        "old.ckpt": "old",
        "new.ckpt": "new",
    }
    assert "mine.ckpt" not in git(project, "ls-files") and "new.ckpt" in git(project, "ls-files")
    assert not (place / "mine.ckpt").exists()


def test_another_lock_gets_an_environment_of_its_own(project, monkeypatch):
    made = Edition.of("one")
    assert made.python() == sys.executable
    asked = []
    monkeypatch.setattr(edition.subprocess, "run", lambda command, check: asked.append(command))
    (project / "requirements.lock").write_text("another lock", "utf-8")
    assert made.python() == str(made.tree / ".venv/bin/python")
    assert asked == [["make", "-C", str(made.tree), ".venv/ready"]]


@pytest.fixture
def finished(project, monkeypatch):
    """An edition that is packed and committed beside an earlier published run, and what is asked of its summary."""
    asked = SimpleNamespace(uncommitted=0, tags=["one"], save=lambda path: path.write_text("today's", "utf-8"))
    for folder, text in (("results/editions/one/full", "new"), ("results/full", "old")):
        (project / folder).mkdir(parents=True)
        (project / folder / "runs.jsonl").write_text(text, "utf-8")
    (Edition.of("one").tree / "study" / "study.yaml").write_text("campaigns: {}", "utf-8")
    git(project, "add", "--all")
    git(project, "commit", "-q", "-m", "Both")
    monkeypatch.setattr(edition.Results, "load", lambda folder: None)
    monkeypatch.setattr(edition.Study, "of", lambda folder: None)
    monkeypatch.setattr(edition.Claims, "of", lambda folder: None)
    monkeypatch.setattr(edition, "summarise", lambda results, study, profile, claims: {"full": asked}[profile])

    def beside(run, published, file):
        texts = [(folder / "runs.jsonl").read_text("utf-8") for folder in (run, published)]
        (run / file).write_text(" beside ".join(texts), "utf-8")

    monkeypatch.setattr(edition, "compare_folders", beside)
    return asked


def published(project):
    return {path.name: path.read_text("utf-8") for path in sorted((project / "results/full").iterdir())}


def test_a_whole_edition_takes_the_place_of_the_published_run_which_stands_beside_it(project, finished, capsys):
    edition.replace(Edition("one", project / "_build/editions/one"))
    assert published(project) == {"before.json": "new beside old", "runs.jsonl": "new", "summary.json": "today's"}
    assert not (project / "results/editions/one/full").exists()
    assert capsys.readouterr().out == "results/full is one now.\n"


@pytest.mark.parametrize("changes", [{"tags": ["one", "two"]}, {"tags": []}, {"uncommitted": 1}])
def test_an_edition_of_other_code_replaces_nothing(project, finished, changes):
    vars(finished).update(changes)
    with pytest.raises(EditionError, match="has runs of other code than one's"):
        edition.replace(Edition("one", project / "_build/editions/one"))
    assert published(project) == {"runs.jsonl": "old"} and not git(project, "status", "--porcelain")


def test_an_edition_that_lacks_runs_replaces_nothing(project, finished, monkeypatch):
    def lacking(folder):
        raise ValueError("run train-a-seed0 is missing")

    monkeypatch.setattr(edition, "summarised", lacking)
    with pytest.raises(EditionError, match=r"full is not whole \(run train-a-seed0 is missing\): make edition TAG=one"):
        edition.replace(Edition("one", project / "_build/editions/one"))
    assert published(project) == {"runs.jsonl": "old"} and not git(project, "status", "--porcelain")


@pytest.mark.parametrize("place", ["results/full/runs.jsonl", "results/full/mine.txt", "results/editions/one/full/x"])
def test_what_is_not_committed_is_not_replaced(project, finished, place):
    (project / place).write_text("mine", "utf-8")
    with pytest.raises(EditionError, match=f"{place} is not committed and would be lost"):
        edition.replace(Edition("one", project / "_build/editions/one"))
    assert (project / place).read_text("utf-8") == "mine"
