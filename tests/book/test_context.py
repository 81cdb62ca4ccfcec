"""Attacks and arms are found by what they are, and new ones appear everywhere without a change to the report."""

import html
import re
from dataclasses import dataclass, replace

import matplotlib.pyplot as plt
import pytest
import yaml
from planted import planted

from report import sentences, tables, yours
from report.context import Report
from report.figures import FIGURES
from report.runs import runs_table
from suppress_privacy import attacks
from suppress_privacy.attacks.registry import ATTACKS, Attack
from suppress_privacy.attacks.views import FeatureView, Reconstruction
from suppress_privacy.checks import Share
from suppress_privacy.defences import DEFENCES
from suppress_privacy.defences.settings import DefenceSettings
from suppress_privacy.training import Defence
from suppress_study.jobs import NONE
from suppress_study.plan import Study
from suppress_study.results import write_job
from suppress_study.settings import FOLDER


def titles(variants):
    return [each.title for each in variants]


@pytest.fixture(scope="module")
def full():
    return planted("full", value=lambda factors, attack, metric, judge: len(factors["arm"]) / 100)


def test_attacks_are_grouped_by_what_they_see(full):
    ladder = ["black image", "mean image", "class mean", "nearest neighbour"]
    reference = ["reference attack (cpu)", "reference attack (ascend)"]
    learned = ["tuned inversion", "ridge decoder", "decoder network"]
    assert titles(full.ladder) == [*ladder, *reference, *learned, "ridge decoder (shuffled)"]
    assert titles(full.reference) == reference
    assert titles(full.reported) == [*ladder[:2], *reference]
    assert titles(full.learned) == learned
    assert titles(full.depths) == [
        f"{title} at {at}" for at in ("conv1", "conv2", "fc2", "logits") for title in learned
    ]
    on_gradients = titles(full.seeing("gradients"))
    assert on_gradients[:2] == [f"analytic, {moment} of training" for moment in ("end", "middle")]
    assert {f"analytic ({how}), end of training" for how in ("batch size 8", "unmasked", "batch size 8, unmasked")} <= {
        *on_gradients
    }
    assert "DLG, start of training" in on_gradients
    assert titles(full.seeing("outputs")) == ["loss threshold", "LiRA"]


def test_what_looks_at_no_model_is_the_same_for_all(full):
    black = full.ladder[0]
    ordinary, suppressed = full.pair
    assert full.made([black], full.summary.arms) == [(black, "any", {"arm": NONE})]
    assert full.estimate("skill", ordinary.factors, black) == full.estimate("skill", suppressed.factors, black)
    assert full.estimate("skill", ordinary.factors, black).mean == 0.04  # of "none"
    assert full.difference("skill", suppressed.factors, black) is None


def test_arms_are_found_by_name_and_swept_ones_by_value(full):
    assert [arm.title for arm in full.pair] == ["ordinary", "suppressed (example)"]
    assert full.arm("dense-sgd").title == "ordinary, the suppressed one's optimiser"
    assert full.arm("evaluator-lenet") is None
    assert {value: arm.title for value, arm in full.sweep.items()} == {
        0.5: "suppressed to 50 %",
        0.8: "suppressed to 80 %",
        0.9: "suppressed to 90 %",
        0.95: "suppressed (example)",
        0.98: "suppressed to 98 %",
    }
    assert full.documented(full.pair[1], "confidence") == pytest.approx(0.5576, abs=1e-4)
    assert full.documented(full.sweep[0.9], "confidence") is None


def test_the_first_evaluators_verdict_is_the_main_one():
    report = planted(value=lambda factors, attack, metric, judge: {"lenet": 0.1, "convnet": 0.3}.get(judge, 0.7))
    attack, arm = report.reference[0], report.pair[0].factors
    assert report.estimate("confidence", arm, attack).mean == 0.1
    assert report.estimate("confidence", arm, attack, "convnet").mean == 0.3
    assert report.estimate("skill", arm, attack).mean == 0.7


def test_pictures_are_of_the_first_seed_and_attacks_that_see_nothing_have_one_row(full):
    rows = full.shown(full.ladder[:3], full.pair)
    assert [title for title, _ in rows] == [
        "black image",
        "mean image",
        "class mean:\nordinary",
        "class mean:\nsuppressed (example)",
    ]
    assert [full.results.runs[run].seed for _, run in rows] == [0, 0, 0, 0]
    assert full.results.runs[rows[3][1]].factors["arm"] == "suppressed-example"
    assert list(full.runs(full.pair[0].factors, full.ladder[2])) == [0, 1, 2, 3, 4]


def test_results_without_a_summary_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"holds no summary.json: run the study of that profile first\.$"):
        Report.load(tmp_path)


HOSTILE = "<script>x</script> {{ 7 * 7 }} | `b` [x](y)\n# head"


def test_texts_of_results_from_elsewhere_are_shown_as_text(tmp_path):
    report = planted()
    hostile = [arm.model_copy(update={"title": f"{arm.title} {HOSTILE}"}) for arm in report.summary.arms]
    changes = {"arms": hostile, "notice": HOSTILE, "commits": [HOSTILE]}
    report.summary.model_copy(update=changes).save(tmp_path / "summary.json")
    name = report.first_run(report.pair[0].factors, None).name
    run = replace(
        report.results.runs[name], commit=HOSTILE, environment={"machine": {"processor": HOSTILE, "cores": 1}}
    )
    write_job(tmp_path / "runs" / "job.npz", [(run, {})])
    found = Report.load(tmp_path)
    pages = [
        tables.arms_table(found),
        tables.accuracy_table(found),
        sentences.banner(found),
        sentences.provenance(found),
    ]
    pages += [yours.conditions_table(yours.comparison(found, report)), runs_table(found.results, {})]
    for page in pages:
        assert not re.search(r"<script|\{\{|`b`|\[x\]|\n# head", page)
    shown = html.unescape(pages[0])
    assert HOSTILE in shown and len(pages[0].splitlines()) == 2 + len(report.summary.arms)


def dummy(view: FeatureView, *, seed: int, strength: Share) -> Reconstruction: ...


@dataclass(frozen=True, kw_only=True)
class Dummy(DefenceSettings, kind="dummy"):
    strength: Share

    def make(self, network, plan):
        return Defence()


DEFENCES.pop("dummy")  # until the fixture below enters it


@pytest.fixture
def extended(monkeypatch):
    """The smoke profile with one attack, one defence and one sparsity more, each entered in one place of study.yaml."""
    assert attacks.ATTACKS is ATTACKS
    monkeypatch.setitem(ATTACKS, "dummy", Attack("dummy", "features", dummy))
    monkeypatch.setitem(DEFENCES, "dummy", Dummy)
    content = yaml.safe_load((FOLDER / "study.yaml").read_text())
    content["attacks"]["dummy"] = {
        "title": "dummy attack",
        "sees": {"features": ["fc1", "conv1"]},
        "settings": {"strength": 0.5},
        "sweep": {"strength": [0.25, 0.5]},
    }
    content["arms"]["dummy"] = {
        **{"title": "dummy defence", "epochs": 1, "defence": {"kind": "dummy", "strength": 0.5}},
        "optimizer": {"name": "sgd", "lr": 0.1},
    }
    content["arms"]["suppressed-example"]["sweep"]["bands"][0.7] = {}
    smoke = content["profiles"]["smoke"]
    smoke["arms"]["dummy"], smoke["sweeps"] = [0], {"suppressed-example": [0]}
    smoke["attacks"] = [*smoke["attacks"], "dummy"]
    return planted(study=Study.model_validate(content))


def words(figure):
    """All text of a figure, in one line."""
    figure.canvas.draw()
    return " ".join(" ".join(text.get_text() for text in figure.findobj(plt.Text)).split())


def test_a_new_attack_appears_in_tables_and_figures(extended):
    assert extended.study.title(extended.attacks[-1]) in titles(extended.attacks)
    for title in ("dummy attack (strength 0.25)", "dummy attack (strength 0.5)"):
        for table in (tables.ladder_table, tables.judges_table):
            assert title in table(extended)
        for name in ("ladder", "ladder_by_model", "depth"):
            assert title in words(FIGURES[name].draw(extended))
        assert f"{title} at conv1" in tables.depth_table(extended)


def test_a_new_defence_and_a_new_sparsity_appear_in_tables_and_figures(extended):
    for title in ("dummy defence", "suppressed to 70 %"):
        assert title in tables.arms_table(extended)
        for name in ("ladder_by_model", "trade_off"):
            assert title in words(FIGURES[name].draw(extended))
    assert "dummy defence" in words(FIGURES["grid_all"].draw(extended))  # the only network of its kind
    swept = FIGURES["sweep"].draw(extended).axes[1].containers[0][0].get_xdata()
    assert [*swept] == pytest.approx([2, 5, 10, 20, 30, 50])
