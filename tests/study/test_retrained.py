"""What an edition's tag draws is made again in a clone without results, and every bit that differs is told."""

import json
import shutil
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import yaml

import planted_study as planted
from checkout import git
from suppress_study import edition, provenance, results, retrained, run, verify
from suppress_study.edition import Edition, EditionError
from suppress_study.plan import Study
from suppress_study.results import RETRAINED, ResultError, Results
from suppress_study.settings import FOLDER

ARMS = planted.PROFILE["arms"] | {"dpsgd-eps3": [0, 1, 2]}
PROFILE, TAG, COMMIT = "tiny", "edition-0", "0123456789ab" + "0" * 28
# In place of the study's own commands: they say what they were asked, and publish what lies in the folder $AGAIN.
COMMANDS = """
import os, pathlib, shutil, subprocess, sys
AGAIN = os.environ["AGAIN"]
given = dict(zip(sys.argv[2::2], sys.argv[3::2]))
if sys.argv[1] == "run":
    names = sys.argv[sys.argv.index("--") + 1:]
    head = subprocess.run(["git", "describe", "--tags"], capture_output=True, text=True, check=True).stdout.strip()
    there = sorted(str(path) for path in pathlib.Path("results").rglob("runs.jsonl"))
    lent = sorted(path.name for path in pathlib.Path("results/mindarmour").glob("*"))
    pathlib.Path(AGAIN, "asked").write_text(repr((head, names, there, lent)))
else:
    shutil.copytree(pathlib.Path(AGAIN, "packed"), given["--into"])
"""


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    """A repository that has published, at a tag, a study whose runs are made up, and then got another network of
    MindArmour's; beside it the same runs once more, which are what is made again."""
    folder = tmp_path_factory.mktemp("original")
    asked, made, root = (folder / name for name in ("asked_for", "made", "project"))
    asked.mkdir()
    (asked / "study.yaml").write_text(yaml.safe_dump(planted.content(arms=ARMS), sort_keys=False), "utf-8")
    shutil.copyfile(FOLDER / "claims.yaml", asked / "claims.yaml")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(results, "FOLDER", asked)
        found = planted.results(made, planted.study(arms=ARMS))
        found.of([*found.runs], commit=COMMIT[:12], tag=TAG).publish(made)
    (root / "study" / "suppress_study").mkdir(parents=True)
    (root / "study" / "suppress_study" / "__init__.py").touch()
    (root / "study" / "suppress_study" / "run.py").write_text(COMMANDS, "utf-8")
    for name, text in (("requirements.lock", "one lock"), ("results/full/runs.jsonl", ""), (".gitignore", "_build/\n")):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, "utf-8")
    git(root, "init", "-q", "-b", "main")
    commit(root)
    git(root, "tag", TAG)
    (root / "results/mindarmour").mkdir()
    (root / "results/mindarmour/later.ckpt").write_text("a network", "utf-8")
    kept = shutil.ignore_patterns("runs", "checkpoints")
    shutil.copytree(made, root / "results/editions" / TAG / PROFILE, ignore=kept)
    shutil.copytree(made, folder / "packed", ignore=kept)
    commit(root)
    return folder


@pytest.fixture
def project(original, tmp_path, monkeypatch):
    """The repository, to be changed, with what is beside it."""
    return of(original, tmp_path, monkeypatch)


def of(original, folder, patch):
    for name in ("project", "packed"):
        shutil.copytree(original / name, folder / name)
    for module in (edition, provenance, retrained):
        patch.setattr(module, "ROOT", folder / "project")
    patch.setattr(results, "FOLDER", original / "asked_for")
    patch.setattr(run, "lock", lambda place: None)
    patch.setenv("AGAIN", str(folder))
    return folder / "project"


def commit(root):
    git(root, "add", "--all")
    git(root, "commit", "-q", "-m", "All there is")


def again(root):
    return retrained.retrain(Edition(TAG, root / "nowhere"), PROFILE, "CPU")


def come_out(project, change):
    """Have other results come out than were published."""
    folder = project.parent / "packed"
    found = Results.load(folder)
    change(found)
    found.publish(folder)


# What is drawn


def test_the_hash_of_a_commit_draws_a_suppressed_network_one_of_dpsgd_and_attacks_and_may_draw_any():
    study = planted.study(arms=ARMS | {"package-example": [0]})
    jobs = {str(job): job for job in study.jobs(PROFILE)}
    numbers = range(len([job for job in jobs.values() if job.kind == "attack"]))
    lots = [retrained.drawn(study, PROFILE, f"{number:040x}") for number in numbers]
    suppressed, private, attacks = ({*map(str, column)} for column in zip(*lots, strict=True))
    arms = {name: study.arm_of(PROFILE, job.model) for name, job in jobs.items() if job.kind == "train"}
    kinds = {name: (arm.defence or {}).get("kind") for name, arm in arms.items()}
    assert suppressed == {name for name in kinds if kinds[name] == "suppress" and not arms[name].package}
    assert private == {name for name in kinds if kinds[name] == "dpsgd"}
    assert attacks == {name for name, job in jobs.items() if job.kind == "attack"}


# What is made, and what comes out


def test_it_is_made_by_the_tag_s_code_in_a_clone_without_results_but_with_all_of_mindarmour_s_networks(project):
    found = again(project)
    head, names, there, lent = eval((project.parent / "asked").read_text("utf-8"))
    assert (head, there, lent) == (TAG, [], ["later.ckpt"]) and names == found.drawn
    assert found.commit == git(project, "rev-parse", TAG).strip()


def test_what_is_the_same_is_told_and_kept_and_its_clone_is_gone(project, capsys):
    code = run.main(["edition", TAG, "--retrain", "--profile", PROFILE, "--device", "CPU"])
    assert (code, "are the same, bit for bit" in capsys.readouterr().out) == (0, True)
    folder = project / "results/editions" / TAG / PROFILE
    found = retrained.Retrained.load(folder)
    assert found.runs == dict.fromkeys(Results.load(folder).runs, "") and found.tag == TAG
    assert [path.name for path in (project / "_build").iterdir()] == ["editions"]  # of Edition.of


def nudge(images):
    """Change one bit of one figure of one image; returns the run that it is of."""
    row = images.index[images.skill.notna()][0]
    images.loc[row, "skill"] = np.nextafter(images.skill[row], np.float32(9), dtype=np.float32)
    return images.run[row]


def test_one_bit_that_differs_is_told_with_its_run_and_its_clone_is_kept(project, capsys):
    named = []
    come_out(project, lambda found: named.append(nudge(found.images)))
    code = run.main(["edition", TAG, "--retrain", "--profile", PROFILE, "--device", "CPU"])
    told = capsys.readouterr().out
    assert code == 1 and f"{named[0]}: other rows" in told and "1 of " in told
    kept = [path for path in (project / "_build").iterdir() if path.name != "editions"]
    assert len(kept) == 1 and (kept[0] / "requirements.lock").is_file()


def test_whatever_part_of_a_run_differs_is_named(project):
    parts = {
        "checkpoint": ({"name": "a.ckpt", "sha256": "0" * 64}, "weights"),
        "networks": ({"victim": "0" * 64}, "networks"),
        "results": ({"test_accuracy": 0.5}, "figures"),
        "chosen": ({"penalty": 1.0}, "choices"),
    }
    words = {}

    def change(found):
        for name, (part, (value, word)) in zip(found.runs, parts.items(), strict=False):
            found.runs[name] = replace(found.runs[name], **{part: value})
            words[name] = word

    come_out(project, change)
    assert again(project).other() == words and len(words) == len(parts)


def test_when_and_where_a_run_was_made_makes_no_difference(project):
    name = "train-suppressed-example-seed0"
    other = {"times": {"started": "later"}, "peak_memory_bytes": 1, "commit": "f" * 12}
    come_out(project, lambda found: found.runs.update({name: replace(found.runs[name], **other)}))
    assert again(project).other() == {}


def test_of_which_type_a_column_is_makes_no_difference(project):
    """A job that is packed alone has whole numbers where, among others, some are missing."""
    folder = project.parent / "packed"
    found = Results.load(folder)
    some = [name for name in found.runs if found.images[found.images.run == name].index.size][:3]
    alone = Results(found.runs, found.images[found.images.run.isin(some)].copy(), found.membership, found.pictures)
    alone.images["sparse_end"] = 1
    among = Results(
        found.runs, alone.images.astype({"sparse_end": "float64", "image": "int64"}), found.membership, found.pictures
    )
    assert [retrained._parts(found.runs[name], alone, among) for name in some] == [""] * 3


def test_a_branch_of_the_tag_s_name_is_not_taken_for_it(project):
    git(project, "commit", "-q", "--allow-empty", "-m", "Something else")
    git(project, "branch", TAG, "HEAD")
    found = again(project)
    assert found.commit == git(project, "rev-parse", f"refs/tags/{TAG}").strip() and found.other() == {}


def test_of_a_campaign_nothing_is_made_again(project, capsys):
    assert run.main(["edition", TAG, "--retrain", "--campaign", "mnist-convnet"]) == 2
    assert "CAMPAIGN is 'mnist-convnet'" in capsys.readouterr().err and not (project.parent / "asked").exists()


def test_an_edition_without_what_is_drawn_or_without_results_is_refused_before_anything_is_made(project):
    folder = project / "results/editions" / TAG / PROFILE
    found = Results.load(folder)
    found.of([name for name in found.runs if not name.startswith("train-dpsgd")]).publish(folder)
    with pytest.raises(EditionError, match=f"has no run train-dpsgd-eps3-seed., which {TAG} draws"):
        again(project)
    shutil.rmtree(folder)
    with pytest.raises(EditionError, match=f"no results of {PROFILE} that edition {TAG} made"):
        again(project)
    assert not (project / "_build").exists() and not (project.parent / "asked").exists()


def test_a_clone_in_which_it_cannot_be_made_is_named(project, monkeypatch):
    ended = SimpleNamespace(wait=lambda: 3)
    monkeypatch.setattr(Edition, "start", lambda self, *arguments: ended)
    with pytest.raises(EditionError, match=rf"run ended with 3 in .*{TAG}-"):
        again(project)
    assert not (project / "results/editions" / TAG / PROFILE / RETRAINED).exists()


# What verification says of it


def checked(folder):
    """By verification, of an edition as if the runs' commit were that of its tag."""
    return verify._retrained(folder, Study.of(folder), PROFILE, results.published_runs(folder))


def drawn(folder):
    return [str(job) for job in retrained.drawn(Study.of(folder), PROFILE, COMMIT)]


@pytest.fixture(scope="module")
def verified(original, tmp_path_factory):
    """The edition, with what says that it was made again."""
    with pytest.MonkeyPatch.context() as patch:
        root = of(original, tmp_path_factory.mktemp("verified"), patch)
        again(root)
    folder = root / "results/editions" / TAG / PROFILE
    told(folder, commit=COMMIT)
    return folder


@pytest.fixture
def folder(original, verified, tmp_path, monkeypatch):
    """That, to be changed."""
    monkeypatch.setattr(results, "FOLDER", original / "asked_for")
    monkeypatch.setattr(verify, "tagged", lambda name: COMMIT if name == TAG else "")
    return shutil.copytree(verified, tmp_path / PROFILE)


def told(folder, **other):
    content = json.loads((folder / RETRAINED).read_text("utf-8"))
    (folder / RETRAINED).write_text(json.dumps(content | other), "utf-8")


def test_verification_says_what_was_made_again(folder):
    check = checked(folder)
    assert check.wrong == [] and ", ".join(drawn(folder)) in check.looked_at and len(drawn(folder)) == 3


def test_verification_names_what_differed_what_was_left_out_and_what_is_of_another_tag(folder):
    content = json.loads((folder / RETRAINED).read_text("utf-8"))
    first = drawn(folder)[0]
    told(folder, runs=content["runs"] | {first: "weights"})
    assert checked(folder).wrong == [f"run {first}, made again, has other weights"]
    told(folder, runs={name: "" for name in content["runs"] if name != first})
    assert f"run {first}, which is drawn or started from, was not made again" in checked(folder).wrong[0]
    judge = "train-evaluator-convnet-seed1000"
    told(folder, runs={name: "" for name in content["runs"] if name != judge})
    assert judge in checked(folder).wrong[0]
    for commit in ("f" * 40, COMMIT[:12] + "1" * 28, "no commit"):  # whose other digits draw something else
        told(folder, commit=commit)
        assert "is of other code than these runs" in checked(folder).wrong[0]
    told(folder, tag="unheard-of")
    assert "does not have tag unheard-of" in checked(folder).left


def test_of_runs_that_are_others_by_now_it_says_nothing(folder):
    found = Results.load(folder)
    found.of([*found.runs][:-1]).publish(folder)
    assert retrained.Retrained.load(folder) is None and "make retrain" in checked(folder).left


@pytest.mark.parametrize(
    "damage", [{"tag": 1}, {"commit": 5}, {"runs": []}, {"runs": {"a": 0}}, {"tag": "a\x1b[1A"}, {"drawn": [["a"]]}]
)
def test_a_file_that_is_damaged_is_refused(folder, damage):
    told(folder, **damage)
    assert RETRAINED in checked(folder).wrong[0]
    with pytest.raises(ResultError, match="is damaged"):
        retrained.Retrained.load(folder)


def test_a_file_that_is_no_json_is_refused_and_one_that_is_not_there_left(folder):
    for text in ("{", "[" * 100_000, "[]"):
        (folder / RETRAINED).write_text(text, "utf-8")
        assert RETRAINED in checked(folder).wrong[0]
    (folder / RETRAINED).unlink()
    assert "make retrain" in checked(folder).left


def test_its_texts_are_shown_as_text(folder):
    told(folder, drawn=["<script>"])
    assert retrained.Retrained.load(folder).drawn == ["&#60;script&#62;"]
