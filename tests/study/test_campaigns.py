"""Campaigns: the study's arms, attacks and claims on other data and another network, its own or a user's."""

import argparse
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import yaml

from own_campaign import CLASSES, MINE, SIDE, write
from suppress_privacy.idx import DataError
from suppress_privacy.lenet import predict
from suppress_privacy.training import sparsity
from suppress_study import campaigns, models
from suppress_study.attacking import Scene, attack
from suppress_study.claims import Claims
from suppress_study.jobs import Model
from suppress_study.launch import EXIT_CODES, SetupError, answered, chosen_campaign
from suppress_study.plan import Study
from suppress_study.reading import SettingsError, read_yaml
from suppress_study.settings import FOLDER
from suppress_study.summary import Summary
from suppress_study.targets import choose_targets, load_data


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write(tmp_path_factory.mktemp("mine"))


def laid(folder, results, **changes):
    """The study and claims of a folder of results, of the campaign with these changes."""
    path = folder / "changed.yaml"
    content = {name: value for name, value in (MINE | changes).items() if value is not None}
    path.write_text(yaml.safe_dump(content), "utf-8")
    campaigns.keep(results, *campaigns.find(str(path), Study.load().campaigns))
    campaigns.modules(results)
    return Study.today(results)


@pytest.fixture(scope="module")
def study(folder, tmp_path_factory):
    return laid(folder, tmp_path_factory.mktemp("results"))


def test_the_example_of_the_page_has_at_most_twenty_lines_and_is_a_campaign(folder, tmp_path):
    from conftest import ROOT

    page = (ROOT / "book" / "rerun.md").read_text("utf-8")
    (text,) = [part.split("```")[0] for part in page.split("```yaml\n")[1:]]
    assert len(text.splitlines()) <= 20
    path = folder / "of_the_page.yaml"
    path.write_text(text, "utf-8")
    campaigns.keep(tmp_path, *campaigns.find(str(path), {}))
    plan = Study.today(tmp_path)
    assert plan.arm("of-the-page", "suppressed-example").network == "my_network:Residual"
    assert len(plan.jobs("of-the-page")) > 30


def test_an_own_network_is_suppressed_attacked_and_judged(study):
    """From the file to the attack: the layers that are named have zeros, and the attack sees what it names."""
    name = study.campaign
    profile = study.profile(name)
    data = load_data(profile.data)
    targets = choose_targets(data, profile.targets)
    models.require_fits(study, name, data)
    made = models.make(study.arm(name, "suppressed-example"), 0, data)
    zeros = sparsity(made.network)
    named = [layer for layer in zeros if layer.startswith("blocks") or layer == "dense.weight"]
    assert len(named) == 3 and all(zeros[layer] > 0.8 for layer in named)
    assert all(share == 0 for layer, share in zeros.items() if layer not in named)
    judge = models.make(study.arm(name, "evaluator-convnet"), 1000, data)
    assert predict(judge.network, data.test_images[:2]).shape == (2, CLASSES)
    scene = Scene(made, targets, {"convnet": judge.network}, data, 0)
    found = {}
    for variant in study.attacking(name, Model("suppressed-example", 0)).variants:
        assert variant.factors["depth"] == "dense"
        found[variant.attack] = attack(variant, scene)
    assert found["ridge"].arrays["original"].shape[1:] == (3, SIDE, SIDE)
    assert np.nanmean(found["ridge"].arrays["skill"]) > 0.2  # stripes are easy


def test_the_same_seed_makes_the_same_network_of_ones_own(study):
    arm = study.arm(study.campaign, "baseline")
    first, again, other = (models.untrained(arm, seed).dense.weight.asnumpy() for seed in (3, 3, 4))
    assert np.array_equal(first, again) and not np.array_equal(first, other)


def test_arms_attacks_and_checks_look_where_the_campaign_says(study, folder, tmp_path):
    assert study.roles.depth == "dense" and study.variant(study.campaign, "tuned").factors == {"depth": "dense"}
    assert study.arms["feature-noise"].made_by().releases == "dense"
    assert all(arm.band is arm.documented is arm.as_accurate_as is None for arm in study.arms.values())
    assert study.arms["magnitude-finetuned"].optimizer == study.arms["suppressed-example"].optimizer
    assert {study.arms[arm].network for arm in study.profile(study.campaign).arms} == {MINE["network"]}
    convnet = study.arms["evaluator-convnet"]
    assert (convnet.network, convnet.channels, convnet.classes) == ("convnet", 3, CLASSES)
    laid(folder, tmp_path)
    claims = Claims.of(tmp_path)
    assert claims.checks.positive == {"attack": "tuned", "depth": "stem"}
    assert claims.question in claims.claims and "R1" not in claims.claims and not claims.game_checks
    laid(folder, tmp_path, near=None)
    assert Claims.of(tmp_path).checks.positive is None


def test_the_studys_own_campaign_is_what_it_is_without_one(tmp_path):
    assert Study.today(tmp_path) is Study.load() and Claims.of(tmp_path) is Claims.load()


@pytest.mark.parametrize("name", [*Study.load().campaigns])
def test_the_studys_other_campaigns_ask_the_question_of_three_seeds(name, tmp_path):
    campaigns.keep(tmp_path, *campaigns.find(name, Study.load().campaigns))
    plan, claims = Study.today(tmp_path), Claims.of(tmp_path)
    question = claims.claims[claims.question]
    for arm in (question.arm, *question.controls):
        assert len(plan.profile(name).arms[arm]) >= 3
    assert {"H1", "H2", "H3", "H7"} <= {*claims.claims} and name in Claims.load().across["H9"].campaigns


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"titel": "x"}, "changed.yaml: titel is not a setting; remove it"),
        ({"title": None}, "changed.yaml: title is missing; add it"),
        ({"arms": ["baseline", "supressed"]}, "campaign changed: arms has 'supressed'; allowed are baseline, "),
        ({"arms": ["baseline", "package-example"]}, "arms has 'package-example'; allowed are "),
        ({"attacks": ["rigde"]}, "campaign changed: attacks has 'rigde'; allowed are black, "),
        ({"network": "resnet"}, "network: 'resnet' is none of lenet5, convnet, nor of your own, as module:callable"),
        ({"network": "lenet5", "depth": "fc1"}, "the images have 3 channels and 3 classes: name another"),
        ({"training": {"epochs": 1, "batch_size": 10}}, "arms.suppressed-example: epochs is 1, the defence's end_ep"),
        ({"training": {"batchsize": 10}}, "batchsize is not a setting"),
        (
            {"data": {"train": "a", "test": "b", "classes": 1, "shape": [3, 2, 2]}},
            "changed.yaml: data.classes is 1; input should be greater",
        ),
    ],
)
def test_a_wrong_setting_of_a_campaign_is_named(folder, tmp_path, changes, message):
    with pytest.raises(SettingsError) as caught:
        laid(folder, tmp_path, **changes)
    assert message in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"depth": "nowhere"}, "network is Residual, which has no layer 'nowhere'; it has stem, "),
        ({"near": "blocks.0.conv"}, "beside which Block looks at x"),
        ({"layers": ["dense.weigth"]}, "layer_name is 'dense.weigth', which is none of stem.weight, "),
        ({"network": "residual_of_mine:Nothing"}, "which cannot be made (module 'residual_of_mine' has no attribute"),
        ({"network": "no_such_module:Nothing"}, "which cannot be made (No module named 'no_such_module')"),
        ({"network": "residual_of_mine:text"}, "which makes a str and no nn.Cell"),
        (
            {"network": "suppress_privacy.convnet:ConvNet", "depth": "fc1"},
            "two rows of 3 logits, and it gives the shap",
        ),
        ({"network": "suppress_privacy:LeNet5", "depth": "fc1"}, "does not take images of the shape (3, 32, 32)"),
    ],
)
def test_a_network_that_does_not_fit_is_refused_before_it_is_trained(folder, tmp_path, changes, message):
    plan = laid(folder, tmp_path, **changes)
    with pytest.raises(ValueError) as caught:
        models.require_fits(plan, "changed", load_data(plan.profile("changed").data))
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_data_that_are_not_what_the_file_says_are_refused(folder, tmp_path):
    plan = laid(folder, tmp_path, data=MINE["data"] | {"classes": 7})
    with pytest.raises(DataError, match=r"has 3 classes and images of the shape \[3, 32, 32\], and data says 7 and"):
        load_data(plan.profile("changed").data)


def test_what_is_no_campaign_is_refused(folder):
    known = Study.load().campaigns
    for name, message in (("fashion", "it must be a YAML file, or one of fashion-lenet5, mnist-convnet"),):
        with pytest.raises(SettingsError, match=message):
            campaigns.find(name, known)
    for name, content in (("list.yaml", "[1]"), ("fashion-lenet5.yaml", "title: x\ndata: auto"), ("1.yaml", "{}")):
        (folder / name).write_text(content, "utf-8")
        with pytest.raises(SettingsError):
            campaigns.find(str(folder / name), known)


def test_a_folder_of_results_is_of_one_campaign(folder, tmp_path):
    campaigns.require_free(tmp_path, "changed", folder)
    laid(folder, tmp_path)
    campaigns.require_free(tmp_path, "changed", folder)
    for other in (("other", folder), ("changed", tmp_path)):
        with pytest.raises(SettingsError, match=r"has runs of campaign changed of .*: name another folder"):
            campaigns.require_free(tmp_path, *other)
    assert campaigns.profile_of(tmp_path) == "changed"
    own = tmp_path / "own"
    (own / "runs").mkdir(parents=True)
    (own / "runs" / "train-baseline-seed0.npz").touch()
    with pytest.raises(SettingsError, match="has runs of the study's own campaign"):
        campaigns.require_free(own, "other", None)
    assert campaigns.profile_of(own) == "quick"


def test_a_damaged_note_of_a_campaign_is_refused(tmp_path):
    (tmp_path / campaigns.FILE).write_text("[]", "utf-8")
    with pytest.raises(SettingsError, match=r"campaign.json is not what the study writes"):
        Study.today(tmp_path)


@pytest.mark.parametrize("verdict", EXIT_CODES)
def test_a_server_is_told_the_answer_by_the_exit_code(tmp_path, verdict, monkeypatch):
    found = SimpleNamespace(verdicts={Claims.load().question: SimpleNamespace(verdict=verdict)})
    monkeypatch.setattr(Summary, "load", lambda path: found if path == tmp_path / "summary.json" else None)
    assert answered(tmp_path) == verdict
    assert (EXIT_CODES[verdict] == 0) == (verdict == "holds") and len({*EXIT_CODES.values()}) == len(EXIT_CODES)


def test_modules_are_imported_where_networks_are_made_and_not_where_results_are_shown(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", [each for each in sys.path if each != str(folder)])
    campaigns.keep(tmp_path, *campaigns.find(str(folder / "mine.yaml"), {}))
    Study.of(tmp_path)
    Claims.of(tmp_path)
    assert str(folder) not in sys.path
    assert campaigns.modules(tmp_path) == [folder / "residual_of_mine.py"] and sys.path[-1] == str(folder)
    assert campaigns.modules(tmp_path / "nowhere") == []


def test_what_a_network_imports_from_beside_it_is_an_input_of_its_runs_too(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", [*sys.path])
    (folder / "parts").mkdir()
    (folder / "parts" / "__init__.py").write_text("from parts import blocks\n")
    (folder / "parts" / "blocks.py").write_text("import mindspore\nfrom . import more\nimport helper_of_mine\n")
    (folder / "parts" / "more.py").write_text("from nested.deep import thing\nfrom ..outside import no\n")
    (folder / "nested").mkdir()  # with no __init__.py, as Python lets it be
    (folder / "nested" / "deep.py").write_text("import mindspore.nn, parts.blocks\nthing = (\n")
    (folder / "mindspore").mkdir()  # nothing of it is imported: MindSpore comes first
    (folder / "helper_of_mine.py").write_text("raise SystemExit('only read')\n")
    (folder / "not_asked.py").write_text("")
    network = folder / "residual_of_mine.py"
    network.write_text("import parts\n" + network.read_text())
    (folder / "judge_of_mine.py").write_text("")
    mine = yaml.safe_load((folder / "mine.yaml").read_text())
    mine["overrides"]["evaluator-convnet"]["network"] = "judge_of_mine:Judge"
    (folder / "mine.yaml").write_text(yaml.safe_dump(mine))
    campaigns.keep(tmp_path, *campaigns.find(str(folder / "mine.yaml"), {}))
    beside = [
        *("helper_of_mine.py", "judge_of_mine.py", "nested/deep.py"),
        *("parts/__init__.py", "parts/blocks.py", "parts/more.py", "residual_of_mine.py"),
    ]
    assert campaigns.modules(tmp_path) == [folder / name for name in beside]


def test_a_module_that_another_of_its_name_comes_before_is_refused(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", [*sys.path])
    (folder / "numpy.py").write_text("def made():\n    return None\n")
    (folder / "other.yaml").write_text((folder / "mine.yaml").read_text().replace("residual_of_mine:", "numpy:"))
    campaigns.keep(tmp_path, *campaigns.find(str(folder / "other.yaml"), {}))
    with pytest.raises(SettingsError, match=r"numpy\.py, but Python's own path has .*numpy.* before: rename yours"):
        campaigns.modules(tmp_path)


def test_of_a_network_without_units_none_can_be_narrower(folder):
    mine = yaml.safe_load((folder / "mine.yaml").read_text())
    (folder / "mine.yaml").write_text(yaml.safe_dump(mine | {"arms": ["baseline", "width-matched"]}))
    with pytest.raises(SettingsError, match=r"arms names width-matched, which has fewer units of LeNet5: leave it out"):
        campaigns.laid_over(read_yaml(FOLDER / "study.yaml"), *campaigns.find(str(folder / "mine.yaml"), {})[:2])


def test_what_a_campaign_may_not_be_asked_with_is_refused(folder):
    asked = {"campaign": str(folder / "mine.yaml"), "profile": "", "targets": [], "snakemake": "", "exit_code": False}
    for changes, message in (
        ({"profile": "full"}, "a campaign has one of its own"),
        ({"exit_code": True, "targets": ["train-baseline-seed0"]}, "leave out targets and --snakemake"),
        ({"exit_code": True, "snakemake": "--dry-run"}, "leave out targets and --snakemake"),
    ):
        with pytest.raises(SetupError, match=message):
            chosen_campaign(argparse.Namespace(**asked | changes))
    assert chosen_campaign(argparse.Namespace(**asked | {"campaign": ""})) is None
    (folder / "smoke.yaml").write_text((folder / "mine.yaml").read_text("utf-8"), "utf-8")
    with pytest.raises(SettingsError, match="would be called 'smoke'"):  # the study's own profile
        chosen_campaign(argparse.Namespace(**asked | {"campaign": str(folder / "smoke.yaml")}))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"overrides": {"suppressed-tutorial": {"epochs": 9}}}, "overrides has suppressed-tutorial, which it does not"),
        (
            {"attack_overrides": {"tuned": {"settings": {"iters": 9}}}},
            "attack_overrides has tuned, which it does not r",
        ),
        ({"layers": []}, "layers is []"),
    ],
)
def test_what_a_campaign_would_pass_over_is_refused(folder, tmp_path, changes, message):
    with pytest.raises(SettingsError) as caught:
        laid(folder, tmp_path, **changes)
    assert message in str(caught.value)


@pytest.mark.parametrize("content", ["[1]", '{"name": "a"}', '{"name": "$(touch x)", "folder": null, "campaign": {}}'])
def test_a_note_of_a_campaign_from_elsewhere_is_read_with_no_trust(tmp_path, content):
    (tmp_path / campaigns.FILE).write_text(content, "utf-8")
    for read in (campaigns.kept, campaigns.modules, campaigns.profile_of, Study.today):
        with pytest.raises(SettingsError, match=r"campaign.json is not what the study writes"):
            read(tmp_path)
