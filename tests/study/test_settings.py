import copy

import pytest
import yaml

from conftest import ROOT
from suppress_privacy.study.settings import SettingsError, Study, project_folder

CONTENT = yaml.safe_load((ROOT / "study.yaml").read_text())


def changed(path, value):
    content = copy.deepcopy(CONTENT)
    *folders, last = path
    place = content
    for key in folders:
        place = place[key]
    place[last] = value
    return content


def load(tmp_path, content):
    (tmp_path / "study.yaml").write_text(content if isinstance(content, str) else yaml.safe_dump(content))
    return Study.load(tmp_path / "study.yaml")


SUPPRESS = ("arms", "suppressed-example", "defence")


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (
            ("profiles", "quick", "arms"),
            ["supressed"],
            "profiles.quick.arms names 'supressed'; allowed are accuracy-matched",
        ),
        (
            ("profiles", "quick", "attacks"),
            ["magic"],
            "profiles.quick.attacks names 'magic'; allowed are decoder-network",
        ),
        (("profiles", "smoke", "overrides"), {"base": {}}, "profiles.smoke.overrides names 'base'"),
        (("evaluators", "lenet", "arm"), "judge", "evaluators.lenet.arm names 'judge'"),
        (("profiles", "smoke", "seeds"), [1000], "profiles.smoke.seeds is [1000]; seeds must differ"),
        (
            ("profiles", "quick", "further"),
            [{"attacks": ["floor-mean"], "arms": ["evaluator-convnet"], "seeds": [0]}],
            "profiles.quick.further.arms names 'evaluator-convnet'; allowed are baseline",
        ),
        (
            ("profiles", "quick", "further"),
            [{"attacks": ["floor-mean"], "arms": ["baseline"], "seeds": [7]}],
            "profiles.quick.further.seeds names 7; allowed are 0",
        ),
        (("profiles", "quick", "attack_overrides"), {"tuned-inversion": {"iters": 0}}, "iters is 0"),
        (("attacks", "membership-lira", "settings"), {"candidates": 10, "shadows": 2}, "shadows is 2"),
        (("attacks", "membership-lira", "depth"), "fc2", "membership-lira does not look at features"),
        (("profiles", "quick", "seeds"), [-1], "profiles.quick.seeds.0 is -1; input should be greater than or equal"),
        (("profiles", "quick", "seeds"), [], "profiles.quick.seeds is"),
        (("profiles", "quick", "seed"), [0], "profiles.quick.seed is not a setting"),
        (("arms", "baseline", "epochs"), "ten", "arms.baseline.epochs is 'ten'; input should be a valid integer"),
        (("arms", "baseline", "epochs"), 0, "arms.baseline: epochs is 0, the optimizer given; training needs both"),
        (("arms", "untrained", "epochs"), 3, "arms.untrained: epochs is 3, the optimizer missing"),
        (("arms", "magnitude-oneshot", "start"), None, "start is missing; magnitude acts on a trained network"),
        (("arms", "magnitude-oneshot", "start"), "dense", "arms.magnitude-oneshot builds on 'dense'"),
        (("arms", "magnitude-oneshot", "start"), "feature-noise", "must be an arm that builds on no other"),
        (("arms", "accuracy-matched", "batch_size"), 16, "stops like dense-sgd, but their batch_size differ"),
        (("arms", "accuracy-matched", "stop", "accuracy_of"), "s", "arms.accuracy-matched builds on 's'"),
        (("arms", "dpsgd-eps3", "defence", "delta"), 1, "arms.dpsgd-eps3.defence.delta is 1"),
        (("profiles", "full", "seeds_of"), {"dense-sgd": [0]}, "does not train dense-sgd from every seed of"),
        (("profiles", "full", "seeds_of"), {"base": [0]}, "profiles.full.seeds_of names 'base'"),
        (("profiles", "quick", "seeds_of"), {"suppressed-example": [9]}, "seeds_of.suppressed-example names 9"),
        (("arms", "baseline", "documented"), "normal", "arms.baseline.documented names 'normal'"),
        (("arms", "baseline", "optimizer", "name"), "adamw", "optimizer.name is 'adamw'; input should be 'sgd' or"),
        ((*SUPPRESS, "end_epoch"), 2, "end_epoch is 2, start_epoch is 3; end_epoch must not be smaller"),
        ((*SUPPRESS, "end_epoch"), 101, "defence.end_epoch is 101"),
        ((*SUPPRESS, "sparse_start"), 0.96, "sparse_end is 0.95, sparse_start is 0.96"),
        ((*SUPPRESS, "sparse_end"), 1.0, "defence.sparse_end is 1.0"),
        ((*SUPPRESS, "kind"), "prune", "defence.kind is 'prune'"),
        (("attacks", "reference-cpu", "depth"), "fc7", "attacks.reference-cpu.depth is 'fc7'; input should be 'conv1'"),
        (("attacks", "reference-cpu", "kind"), "guess", "attacks.reference-cpu.kind is 'guess'"),
    ],
)
def test_a_wrong_setting_is_named_with_its_value(tmp_path, path, value, message):
    with pytest.raises(SettingsError) as caught:
        load(tmp_path, changed(path, value))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_or_unreadable_file_is_named(tmp_path):
    with pytest.raises(SettingsError, match=r"study\.yaml cannot be read"):
        Study.load(tmp_path / "study.yaml")
    with pytest.raises(SettingsError, match=r"study\.yaml is not YAML"):
        load(tmp_path, "arms: [")


def test_overrides_are_laid_over_the_arm_key_by_key():
    study = Study.load(ROOT / "study.yaml")
    plain = study.arm("quick", "suppressed-example")
    assert (plain.epochs, plain.defence.mask_times, plain.defence.sparse_end) == (10, 1000, 0.95)
    smoke = study.arm("smoke", "suppressed-example")
    assert (smoke.epochs, smoke.defence.end_epoch, smoke.defence.sparse_end) == (2, 2, 0.95)
    mine = study.arm("smoke", "suppressed-example", {"defence": {"sparse_end": 0.5}})
    assert (mine.epochs, mine.defence.end_epoch, mine.defence.sparse_end) == (2, 2, 0.5)
    with pytest.raises(SettingsError, match="sparse_ends is not a setting"):
        study.arm("smoke", "suppressed-example", {"defence": {"sparse_ends": 0.5}})


def test_a_profile_plans_what_is_too_dear_for_all_on_some():
    study = Study.load(ROOT / "study.yaml")
    quick = study.profile("quick")
    assert quick.plan()["tuned-conv1"] == {"baseline": [0]}
    assert quick.plan()["decoder-ridge"] == {"baseline": [0], "suppressed-example": [0]}
    assert quick.further_on("baseline", 0) == [["tuned-conv1"]] and quick.further_on("suppressed-example", 0) == []
    assert quick.further_on("baseline", 5) == []  # a model of the rerunner's
    full = study.profile("full")
    assert full.trained()["baseline"] == [0, 1, 2, 3, 4] and full.trained()["dpsgd-eps3"] == [0, 1, 2]
    assert full.plan()["decoder-ridge"]["dpsgd-eps3"] == [0, 1, 2]


def test_a_profile_changes_the_settings_of_its_attacks():
    study = Study.load(ROOT / "study.yaml")
    assert study.attack("quick", "tuned-inversion").settings["iters"] == 500
    assert study.attack("smoke", "tuned-inversion").settings["iters"] < 100
    assert study.attack("smoke", "tuned-inversion", {"iters": 7}).settings["iters"] == 7


def test_an_unknown_name_is_answered_with_the_known_ones():
    study = Study.load(ROOT / "study.yaml")
    with pytest.raises(SettingsError, match="profile is 'nope'; allowed are "):
        study.profile("nope")
    with pytest.raises(SettingsError, match="attack is 'nope'; allowed are "):
        study.attack("quick", "nope")
    with pytest.raises(SettingsError, match="arm is 'nope'; allowed are baseline, suppressed-example"):
        study.arm("quick", "nope")


def test_the_published_configurations_are_the_references():
    study = Study.load(ROOT / "study.yaml")
    arm = study.arm("quick", "suppressed-example")
    assert (arm.optimizer.name, arm.optimizer.lr, arm.batch_size) == ("sgd", 0.1, 32)
    layers = [(layer.name, layer.noise, layer.lower_clip, layer.min_num) for layer in arm.defence.layers]
    assert layers == [
        ("conv1.weight", False, True, 10),
        ("conv2.weight", False, True, 150),
        ("fc1.weight", True, False, -1),
        ("fc2.weight", True, False, -1),
        ("fc3.weight", True, False, 50),
    ]
    for name in ("reference-cpu", "reference-ascend"):
        attack = study.attack("quick", name)
        assert attack.settings["loss_weights"] == [1, 0.1, 5] and attack.settings["iters"] == 100


def test_the_project_is_found_from_below(monkeypatch, tmp_path):
    monkeypatch.chdir(ROOT / "notebooks")
    assert project_folder() == ROOT
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SettingsError, match=r"study\.yaml is neither in"):
        project_folder()
