"""Today's published summary beside the first edition's: what differs is of five kinds, and of no other."""

import copy
import importlib.util
import json
import subprocess

import pytest

from suppress_privacy.evaluation import verdict
from suppress_study.settings import ROOT

FOLDER = ROOT / "study" / "first_edition"
NEW = ROOT / "results" / "full" / "summary.json"
spec = importlib.util.spec_from_file_location("first_edition_compare", FOLDER / "compare.py")
compare = importlib.util.module_from_spec(spec)
spec.loader.exec_module(compare)


@pytest.fixture(scope="module")
def old(tmp_path_factory):
    """The first edition's summary, from the history."""
    command = ["git", "show", f"{compare.COMMIT}:results/full/summary.json"]
    found = subprocess.run(command, cwd=ROOT, capture_output=True)
    if found.returncode:
        pytest.skip(f"commit {compare.COMMIT} is not in this history: a clone of all of it has the first edition")
    path = tmp_path_factory.mktemp("first") / "summary.json"
    path.write_bytes(found.stdout)
    return path


@pytest.fixture
def after(tmp_path, old, capsys):
    """The comparison after a change to today's summary: its answer, and what it says differs otherwise."""
    content = json.loads(NEW.read_text())

    def changed(change):
        new = copy.deepcopy(content)
        change(new)
        (tmp_path / "summary.json").write_text(json.dumps(new))
        answer = compare.main(tmp_path / "summary.json", old)
        said = capsys.readouterr().out
        return answer, [line.strip() for line in said.split("differ otherwise:")[1].splitlines() if line.strip()]

    return changed


def estimate(summary, **factors):
    (row,) = [row for row in summary["estimates"] if factors.items() <= row.items()]
    return row


def test_the_published_summary_is_the_first_editions(old, capsys, monkeypatch):
    monkeypatch.chdir(ROOT)
    assert compare.main(NEW, old) == 0
    said = capsys.readouterr().out
    assert "0 differ otherwise:" in said
    assert f"0 differ because {compare.STRONGEST}:" in said  # the rules disagree nowhere that is published
    assert int(said.split()[0].replace(",", "")) > 35_000
    assert compare.main(NEW) == 0 and capsys.readouterr().out == said  # by default, out of the history


def test_the_kinds_of_difference_are_of_what_they_say(old, capsys):
    compare.main(NEW, old)
    said = capsys.readouterr().out
    once, superseded, failed, tied = (
        said.split(f"because {kind}:")[1].split("\n\n")[0]
        for kind in (compare.ONCE, compare.SUPERSEDED, compare.FAILED, compare.TIED)
    )
    for line in once.strip().splitlines():
        assert "floor-black" in line or "floor-mean" in line or "commit" in line
    for line in superseded.strip().splitlines():
        assert "sparsity-95" in line
    for line in tied.strip().splitlines():
        assert "membership-loss.dpsgd-eps" in line and ".tpr_at_1pct_fpr." in line
    first = json.loads(old.read_text())["verdicts"]
    told = {line.split(".")[1] for line in failed.strip().splitlines()}
    assert told == {claim for claim, answer in first.items() if answer["verdict"] == "fails"}


RATE = {"arm": "baseline", "attack": "loss", "metric": "tpr_at_1pct_fpr"}
OF_DP = {"arm": "dpsgd-eps1", "attack": "loss"}
TUNED = {"arm": "baseline", "attack": "tuned", "depth": "fc1", "metric": "skill"}


@pytest.mark.parametrize(
    ("change", "place"),
    [
        (lambda new: estimate(new, **TUNED).update(mean=estimate(new, **TUNED)["mean"] + 1e-4), "tuned-inversion"),
        (lambda new: estimate(new, **TUNED).update(low=estimate(new, **TUNED)["low"] - 1e-4), "baseline.skill.low"),
        (lambda new: estimate(new, **TUNED).update(seeds=[0, 1, 2, 3]), "attacks.tuned-inversion.baseline.skill"),
        (lambda new: new["estimates"].remove(estimate(new, **TUNED)), "attacks.tuned-inversion.baseline.skill"),
        (lambda new: new["estimates"].append({**TUNED, "arm": "new"}), "is new"),
        (
            lambda new: estimate(new, arm="none", attack="mean", metric="psnr").update(mean=0.0),
            "attacks.floor-mean.baseline.psnr.mean",
        ),
        (lambda new: estimate(new, **RATE).update(mean=0.5), "attacks.membership-loss.baseline.tpr_at_1pct_fpr.mean"),
        (
            lambda new: estimate(new, **(RATE | OF_DP)).update(n=1),
            "attacks.membership-loss.dpsgd-eps1.tpr_at_1pct_fpr.n",
        ),
        (
            lambda new: estimate(new, **(OF_DP | {"metric": "auc"})).update(low=0.0),
            "attacks.membership-loss.dpsgd-eps1.auc.low",
        ),
        (lambda new: new["differences"][7].update(high=new["differences"][7]["high"] + 1e-4), "differences."),
        (lambda new: new["arms"][0]["test_accuracy"].__setitem__(1, 0.5), "arms.baseline.test_accuracy[1]"),
        (lambda new: new["arms"][0]["mechanism"]["dead_units"].__setitem__(0, 0.9), "mechanism.baseline.dead_units[0]"),
        (lambda new: new["gates"][0].update(found=new["gates"][0]["found"] + 1e-4), "gates."),
        (lambda new: new["gates"][-1].update(passed=not new["gates"][-1]["passed"]), "gates."),
        (lambda new: new["gates"].pop(), "gates."),
        (lambda new: new["gates"].append(new["gates"][0] | {"about": "new"}), "is new"),
        (lambda new: new["verdicts"]["H2"].update(verdict="holds"), "verdicts.H2.verdict"),
        (lambda new: new["verdicts"]["H1"].update(verdict="not shown"), "verdicts.H1.verdict"),
        (lambda new: new["verdicts"]["R2"].update(effect=0.0), "verdicts.R2.effect"),
        (lambda new: new["verdicts"]["H3"].update(p=new["verdicts"]["H3"]["p"] + 1e-4), "verdicts.H3.p"),
        (lambda new: new["verdicts"]["H3"].update(effect=new["verdicts"]["H3"]["effect"] + 1e-4), "verdicts.H3.effect"),
        (lambda new: new["verdicts"]["H1"]["comparisons"][0].update(runs=[]), "verdicts.H1.comparisons[0].runs"),
        (lambda new: new["evaluators"].update(lenet=new["evaluators"]["lenet"] + 1e-4), "evaluator.lenet"),
        (lambda new: new.update(missing=1), "missing"),
        (lambda new: new["commits"].append("f00"), "commit f00 is new"),
        (lambda new: new["documented"]["models"]["ordinary"].update(test_accuracy=0.5), "documented.models.ordinary"),
    ],
)
def test_any_other_difference_is_an_error(after, change, place):
    answer, others = after(change)
    assert answer == 1 and any(place in line for line in others), others


def test_rates_whose_ties_are_split_are_told_apart(after):
    assert after(lambda new: estimate(new, **(RATE | OF_DP)).update(mean=0.0089, low=0.0058, high=0.012)) == (0, [])


def test_what_is_within_rounding_is_equal(after):
    assert after(lambda new: estimate(new, **TUNED).update(mean=estimate(new, **TUNED)["mean"] + 1e-8)) == (0, [])


def test_what_is_renamed_covers_all_the_first_edition_has(old):
    first, today = json.loads(old.read_text()), json.loads(NEW.read_text())
    renamed = compare.RENAMED
    assert renamed["attacks"].keys() == first["attacks"].keys()
    assert {*renamed["tied"]} < first["arms"].keys()
    assert {*renamed["once"]} < renamed["attacks"].keys() and renamed["superseded"].keys() < first["arms"].keys()
    in_order = {json.dumps(arm["factors"], sort_keys=True) for arm in today["arms"]}
    for arm in first["arms"].keys() - renamed["superseded"].keys():
        assert json.dumps(renamed["arms"].get(arm, {"arm": arm}), sort_keys=True) in in_order
    assert renamed["evaluators"].keys() == first["evaluator"].keys()
    assert renamed["verdicts"].keys() < {answer["verdict"] for answer in first["verdicts"].values()}
    assert {word for words in renamed["verdicts"].values() for word in words} == {verdict.REFUTED, verdict.NOT_SHOWN}
    metrics = {metric for by_arm in first["attacks"].values() for by in by_arm.values() for metric in by}
    new_metrics = {row["metric"] for row in today["estimates"]}
    assert {renamed["metrics"].get(metric, {"metric": metric})["metric"] for metric in metrics} == new_metrics
    assert renamed["metrics"].keys() <= metrics
    described = " ".join(renamed["keys"])
    assert {key for key in first if key not in today} <= {word.split(".")[0] for word in described.split()}
