"""What is wrong in study.yaml is named with its value, in one sentence, before anything runs."""

import copy

import pytest
import yaml

from suppress_study.plan import Study
from suppress_study.reading import SettingsError, merged, read_yaml
from suppress_study.settings import FOLDER

CONTENT = read_yaml(FOLDER / "study.yaml")
PROFILE = {
    "data": "embedded",
    "arms": {"baseline": [0], "suppressed-example": [0]},
    "sweeps": {"suppressed-example": [0]},
    "attacks": ["tuned"],
    "targets": {"train_per_class": 1, "test_per_class": 1},
}
DEFENCE = ("arms", "suppressed-example", "defence")
SWEEP = ("arms", "suppressed-example", "sweep")


def changed(path, value):
    """study.yaml with one place changed; nothing is asked of the other profiles."""
    content = copy.deepcopy(CONTENT) | {"profiles": {"own": copy.deepcopy(PROFILE)}}
    *folders, last = path
    place = content
    for key in folders:
        place = place.setdefault(key, {}) if isinstance(place, dict) else place[key]
    place[last] = value
    return content


def load(folder, content):
    (folder / "study.yaml").write_text(
        content if isinstance(content, str) else yaml.safe_dump(content, sort_keys=False)
    )
    return Study.load(folder / "study.yaml")


def test_a_file_whose_aliases_multiply_is_refused_before_anything_is_made_of_it(tmp_path):
    lines = ["a: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    for content in ("\n".join(lines), "a: &a [*a]", "a: &a {b: *a}"):
        with pytest.raises(
            SettingsError, match=r"study\.yaml comes to more than 100,000 values with its aliases: short"
        ):
            load(tmp_path, content)


@pytest.mark.parametrize("content", ["[" * 2_000, "a: !!python/object/apply:os.system [exit]", "a: b: c", "\0"])
def test_what_is_no_plain_yaml_is_refused_and_nothing_is_run(tmp_path, content):
    with pytest.raises(SettingsError, match=r"study\.yaml is not YAML \(.*\): correct it there"):
        load(tmp_path, content)


def test_nothing_is_wrong_without_a_change(tmp_path):
    assert list(load(tmp_path, changed(("campaign",), "mine")).profiles) == ["own"]


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        # names
        (("profiles", "own", "arms", "supressed"), [0], "profiles.own.arms names 'supressed'; allowed are baseline"),
        (("profiles", "own", "attacks"), ["magic"], "profiles.own.attacks names 'magic'; allowed are black, mean"),
        (("profiles", "own", "overrides"), {"base": {}}, "profiles.own.overrides names 'base'; allowed are baseline"),
        (("profiles", "own", "attack_overrides"), {"tune": {}}, "profiles.own.attack_overrides names 'tune'"),
        (("profiles", "own", "sweeps"), {"baseline": [0]}, "profiles.own.sweeps names 'baseline'; allowed are supp"),
        (("roles", "control"), "dense", "roles names 'dense'; allowed are baseline"),
        (("roles", "depth"), "fc9", "roles.depth is 'fc9'; allowed are conv1"),
        (("evaluators", "lenet", "arm"), "judge", "evaluators names 'judge'; allowed are baseline"),
        (("arms", "baseline", "documented"), "normal", "documented names 'normal'; allowed are ordinary"),
        # what belongs together
        (
            ("profiles", "own", "further"),
            {"more": {"attacks": ["loss"], "arms": ["dense-sgd"], "seeds": [0]}},
            "profiles.own.further.more.arms names 'dense-sgd'; allowed are baseline, suppressed-example",
        ),
        (
            ("profiles", "own", "further"),
            {"more": {"attacks": ["loss"], "arms": ["baseline"], "seeds": [7]}},
            "profiles.own.further.more.seeds names 7; allowed are 0",
        ),
        (
            ("profiles", "own", "further"),
            {"more": {"attacks": ["tuned"], "arms": ["baseline"], "seeds": [0]}},
            "profiles.own asks for attack-tuned-fc1-baseline-seed0 twice: remove one",
        ),
        (
            ("profiles", "own", "further"),
            {"more": {"attacks": ["loss"], "at": ["conv1"], "arms": ["baseline"], "seeds": [0]}},
            "attack loss in profile own: at is ['conv1'], but what loss sees, outputs, has no depth or moment",
        ),
        (("profiles", "own", "arms", "baseline"), [1000], "profiles.own.arms has the seeds [1000]; seeds must differ"),
        (("profiles", "own", "arms", "baseline"), [0, 0], "profiles.own.arms has the seeds [0, 0]; seeds must differ"),
        (
            ("profiles", "own", "arms", "magnitude-oneshot"),
            [0],
            "profiles.own does not train dense-sgd from every seed of magnitude-oneshot, which names it: add it",
        ),
        (
            ("profiles", "own", "arms", "width-matched"),
            [1],
            "profiles.own does not train suppressed-example from every seed of width-matched, which names it: add",
        ),
        # kinds and bounds
        (("profiles", "own", "arms", "baseline"), [-1], "profiles.own.arms.baseline.0 is -1; input should be greater"),
        (("profiles", "own", "arms", "baseline"), [], "profiles.own.arms.baseline is []; list should have at least 1"),
        (("profiles", "own", "arms", "baseline"), [True], "profiles.own.arms.baseline.0 is True; input should be a va"),
        (("profiles", "own", "arms", "baseline"), 0, "profiles.own.arms.baseline is 0; input should be a valid list"),
        (("profiles", "own", "seeds"), [0], "profiles.own.seeds is not a setting; remove it or correct its name"),
        (("profiles", "own", "targets", "train_per_class"), 0, "profiles.own.targets.train_per_class is 0; input shou"),
        (("arms", "baseline", "epochs"), "ten", "arms.baseline.epochs is 'ten'; input should be a valid integer"),
        (("arms", "baseline", "batch_size"), 0, "arms.baseline.batch_size is 0; input should be greater than or eq"),
        (
            ("arms", "baseline", "network"),
            "resnet",
            "arms.baseline.network: 'resnet' is none of lenet5, convnet, nor of your own, as",
        ),
        (("arms", "baseline", "band", "sparsity"), [0, 2], "arms.baseline.band.sparsity.1 is 2; input should be less"),
        (
            ("arms", "baseline", "optimizer", "name"),
            "adamw",
            "arms.baseline.optimizer.name is 'adamw'; input should be",
        ),
        (("arms", "baseline", "optimizer", "lr"), 0, "arms.baseline.optimizer.lr is 0; input should be greater than 0"),
        (
            ("arms", "dense-sgd", "optimizer", "momentum"),
            0.9,
            "optimizer: momentum is 0.9, but sgd has none: use the op",
        ),
        # how an arm is made
        (("arms", "baseline", "epochs"), 0, "arms.baseline: epochs is 0, the optimizer given; training needs both"),
        (("arms", "untrained", "epochs"), 3, "arms.untrained: epochs is 3, the optimizer missing; training needs both"),
        (("arms", "magnitude-oneshot", "start"), None, "arms.magnitude-oneshot: start is missing; magnitude acts on"),
        (
            ("arms", "magnitude-oneshot", "start"),
            "dense",
            "arms.magnitude-oneshot names 'dense'; it must be an arm",
        ),
        (("arms", "magnitude-oneshot", "start"), "feature-noise", "names 'feature-noise'; it must be an arm that"),
        (("arms", "accuracy-matched", "cut"), "sgd", "arms.accuracy-matched.cut is 'sgd'; allowed are baseline"),
        (("arms", "accuracy-matched", "accuracy_of"), None, "arms.accuracy-matched: cut needs accuracy_of, and a tra"),
        (("arms", "width-matched", "as_accurate_as"), "s", "arms.width-matched names 's'; it must be an arm that"),
        (("arms", "accuracy-matched", "accuracy_of"), "s", "arms.accuracy-matched names 's'; it must be an arm"),
        (("arms", "dense-sgd", "optimizer", "decay"), "linear", "arm accuracy-matched in profile own: cut needs accu"),
        (("arms", "feature-noise", "epochs"), 2, "arms.feature-noise: epochs is 2, the optimizer missing"),
        # the defence, by its own definition
        ((*DEFENCE, "kind"), "prune", "arms.suppressed-example: defence.kind is 'prune'; allowed are dpsgd"),
        ((*DEFENCE, "sparse_ends"), 0.5, "arms.suppressed-example: defence.sparse_ends is not a setting; there are st"),
        ((*DEFENCE, "end_epoch"), 2, "defence.start_epoch is 3; it must be an integer from 1 to end_epoch (2)"),
        ((*DEFENCE, "end_epoch"), 101, "defence.end_epoch is 101; it must be an integer from 1 to 100"),
        ((*DEFENCE, "end_epoch"), 11, "arms.suppressed-example: epochs is 10, the defence's end_epoch is 11"),
        ((*DEFENCE, "sparse_start"), 0.96, "defence.sparse_start is 0.96; it must be a number"),
        ((*DEFENCE, "sparse_end"), 1.0, "defence.sparse_end is 1.0; it must be a number above 0, below 1"),
        ((*DEFENCE, "layers"), "all", "defence.layers is 'all'; there are mindarmour-example, mindarmour-tutorial"),
        (("arms", "suppressed-example", "optimizer", "lr"), 0.6, "optimizer.lr is 0.6; with suppression it is at most"),
        (("arms", "dpsgd-eps3", "defence", "delta"), 1, "arms.dpsgd-eps3: defence.delta is 1; it must be a number"),
        (
            ("arms", "feature-noise", "defence", "depth"),
            "fc9",
            "arms.feature-noise.defence.depth is 'fc9'; allowed are conv1",
        ),
        # its sweep
        ((*SWEEP, "setting"), "sparse", "arms.suppressed-example: sweep.setting is 'sparse', which the defence has no"),
        ((*SWEEP, "bands", 0.95), {}, "profiles.own asks for train-suppressed-example@0.95-seed0 twice: remove"),
        ((*SWEEP, "bands"), {}, "arms.suppressed-example.sweep.bands is {}; dictionary should have at least 1"),
        ((*SWEEP, "bands", 0.5), {"skill": [0, 1], "sparsity": [2, 3]}, "sweep.bands.0.5.sparsity.0 is 2; input shou"),
        # attacks, by their own definitions
        (("attacks", "tuned", "kind"), "guess", "attacks names 'guess'; allowed are "),
        (("attacks", "tuned", "sees", "features"), ["fc7"], "depth is 'fc7'; allowed are conv1"),
        (("attacks", "dlg", "sees", "gradients"), ["late"], "attacks.dlg.sees.gradients.0 is 'late'; input should be"),
        (
            ("attacks", "tuned", "sees", "candidates"),
            5,
            "attack tuned in profile own: sees has features and outputs; an",
        ),
        (("attacks", "tuned", "sees"), {"candidates": 5}, "attack tuned in profile own: sees is outputs, but tuned se"),
        (("attacks", "tuned", "sees"), {}, "attack tuned in profile own: sees is nothing, but tuned sees features"),
        (
            ("attacks", "tuned", "settings", "itres"),
            5,
            "attack tuned in profile own: itres is not a setting; there are",
        ),
        (
            ("attacks", "tuned", "settings", "iters"),
            0,
            "attack tuned in profile own: iters is 0; it must be an integer",
        ),
        (("attacks", "tuned", "settings", "lr"), "x", "attack tuned in profile own: lr is 'x'; it must be a number"),
        (("attacks", "tuned", "settings"), {}, "attack tuned in profile own: iters is missing; it must be an integer"),
        (("attacks", "tuned", "sweep"), {"lr": []}, "attacks.tuned.sweep.lr is []; list should have at least 1 item"),
        (("attacks", "tuned", "sweep"), {"lr": [0.1, -1]}, "attack tuned in profile own: lr is -1; it must be a numb"),
        (
            ("profiles", "own", "attack_overrides"),
            {"tuned": {"settings": {"iters": 0}}},
            "attack tuned in profile own: iters is 0; it must be an integer from 1",
        ),
        (
            ("profiles", "own", "attack_overrides"),
            {"tuned": {"setting": {"iters": 5}}},
            "attack tuned in profile own: setting is not a setting",
        ),
        (
            ("profiles", "own", "overrides"),
            {"suppressed-example": {"defence": {"end_epoch": 12}}},
            "arm suppressed-example in profile own: epochs is 10, the defence's end_epoch is 12",
        ),
    ],
)
def test_a_wrong_setting_is_named_with_its_value(tmp_path, path, value, message):
    with pytest.raises(SettingsError) as caught:
        load(tmp_path, changed(path, value))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value) and str(caught.value).startswith("study.yaml: ")
    assert str(caught.value).endswith(".") and not str(caught.value).endswith("..")


def test_a_missing_or_unreadable_file_is_named(tmp_path):
    with pytest.raises(SettingsError, match=r"study\.yaml cannot be read \(No such file or directory\): run from"):
        Study.load(tmp_path / "study.yaml")
    with pytest.raises(SettingsError, match=r"study\.yaml is not YAML \("):
        load(tmp_path, "arms: [")
    with pytest.raises(SettingsError, match=r"study\.yaml: .* is not a setting|study\.yaml: "):
        load(tmp_path, "just text")


def test_changes_are_laid_over_key_by_key_and_leave_what_they_lie_on_as_it_is():
    below = {"a": {"b": 1, "c": 2}, "d": [1, 2]}
    assert merged(below, {"a": {"c": 3}, "d": [4], "e": 5}) == {"a": {"b": 1, "c": 3}, "d": [4], "e": 5}
    assert merged(below, {"a": 7}) == {"a": 7, "d": [1, 2]}
    assert below == {"a": {"b": 1, "c": 2}, "d": [1, 2]}
