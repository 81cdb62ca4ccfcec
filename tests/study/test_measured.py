"""The runs of a profile, cell by cell; what does not belong together is refused by name."""

import copy
from dataclasses import replace

import numpy as np
import pytest

import planted_study as planted
from suppress_privacy.evaluation.membership import auc, roc
from suppress_study.measured import Cell, Measured, kept
from suppress_study.results import ResultError, Results, key

STUDY = planted.study()
LEARNED = ["tuned", "ridge"]


def changed(results, name, **fields):
    """The same results with one run changed."""
    run = copy.deepcopy(results.runs[name])
    for field, value in fields.items():
        setattr(run, field, value)
    return Results(results.runs | {name: run}, results.images, results.membership, results.pictures)


def without(results, *names):
    """The same results without these runs."""
    runs = {name: run for name, run in results.runs.items() if name not in names}
    tables = (table[~table.run.isin(names)] for table in (results.images, results.membership))
    return Results(runs, *tables, results.pictures)


def test_a_cell_is_one_attack_on_one_arm_over_all_seeds(results, measured):
    cell = measured.cell("ridge", "baseline")
    assert cell.factors == {"arm": "baseline", "attack": "ridge", "depth": "fc1"}
    assert cell.runs == {seed: f"attack-ridge-fc1-baseline-seed{seed}" for seed in (0, 1, 2)}
    for (metric, evaluator), rows in cell.values.items():
        assert rows.shape == (3, planted.IMAGES)
        for seed in cell.seeds():
            table = results.arrays(cell.runs[seed])
            own = table[table.evaluator == evaluator].sort_values("image")[metric]
            assert np.array_equal(cell.rows(metric, [seed], evaluator)[0], own.to_numpy(rows.dtype))
    judged = {(metric, name) for metric in ("confidence", "label_accuracy") for name in STUDY.evaluators}
    assert (
        judged < cell.values.keys() and ("confidence", "") not in cell.values and ("skill", "lenet") not in cell.values
    )
    assert cell.rows("skill", [2, 0]).tolist() == cell.values["skill", ""][[2, 0]].tolist()


def test_every_attack_and_model_that_was_made_is_in_a_cell_of_its_own(measured):
    runs = [run for cell in measured.cells.values() for run in cell.runs.values()]
    wanted = [name for name, run in measured.wanted.items() if run.kind == "attack"]
    assert sorted(runs) == sorted(wanted) and measured.missing == 0
    assert {arm.name for arm in measured.arms.values()} == {
        *STUDY.profile("tiny").arms,
        *(f"suppressed-example@{value}" for value in (0.5, 0.8, 0.9, 0.98)),
    }


def test_a_cell_is_found_by_name_or_by_factors(measured):
    assert (
        measured.cell({"attack": "tuned", "depth": "conv1"}, "baseline").runs[0] == "attack-tuned-conv1-baseline-seed0"
    )
    assert measured.cell({"attack": "tuned", "depth": "conv1"}, "dense-sgd") is None
    swept = {"arm": "suppressed-example", "sparse_end": 0.5}
    assert measured.cell("tuned", swept).runs == {0: "attack-tuned-fc1-suppressed-example@0.5-seed0"}
    assert measured.cell("tuned", "suppressed-example").arm["sparse_end"] == 0.95
    assert measured.cell("black", {"arm": "none"}).seeds() == [0]
    assert measured.arm("suppressed-example").name == "suppressed-example"
    assert measured.arm("untrained") is None  # not in this profile


def test_membership_is_one_number_of_all_scores(measured):
    cell = measured.cell("loss", "baseline")
    assert cell.values.keys() == {("score", ""), ("member", "")}
    by_hand = [auc(roc(cell.values["score", ""][row], cell.values["member", ""][row])) for row in (0, 2)]
    assert cell.mean("auc", [0, 2]) == pytest.approx(np.mean(by_hand)) and min(by_hand) > 0.7
    assert measured.cell("loss", "suppressed-example").mean("auc", [0, 1, 2]) < 0.7


# The strongest


def test_the_strongest_gets_most_by_that_metric(measured):
    assert measured.strongest(LEARNED, "baseline", "skill").attack["attack"] == "tuned"
    assert measured.strongest(["ridge-shuffled", "ridge"], "baseline", "skill").attack["attack"] == "ridge"
    assert measured.strongest(["loss"], "dense-sgd", "auc") is None


def cell(attack, skill):
    """A cell of these seeds' skill, every image alike."""
    values = {("skill", ""): np.array([[value] * 4 for value in skill.values()])}
    return Cell({"arm": "baseline"}, {"attack": attack, "depth": "fc1"}, {seed: "run" for seed in skill}, values)


@pytest.mark.parametrize(
    ("tuned", "ridge", "strongest"),
    [
        ({0: 0.5, 1: 0.5}, {0: 0.4, 1: 0.4}, "tuned"),
        # On all seeds of each, ridge would be ahead; on those that both have, tuned is.
        ({0: 0.5, 1: 0.5}, {0: 0.4, 1: 0.4, 2: 0.9, 3: 0.9}, "tuned"),
        ({0: 0.5, 1: 0.1}, {1: 0.2}, "ridge"),
        ({0: 0.5}, {1: 0.2}, None),  # nothing to compare them on
    ],
)
def test_attacks_are_compared_on_the_seeds_that_all_have(tuned, ridge, strongest):
    cells = [cell("tuned", tuned), cell("ridge", ridge)]
    measured = Measured(STUDY, "tiny", None, {}, 0, {}, {}, {key(each.factors): each for each in cells})
    found = measured.strongest(LEARNED, "baseline", "skill")
    assert (found and found.attack["attack"]) == strongest


# What is missing, and what does not belong together


def test_a_run_that_is_missing_is_named_or_counted(results):
    name = "attack-ridge-fc1-baseline-seed1"
    with pytest.raises(ResultError, match=f"run {name} is missing: run what makes it, or the whole study"):
        Measured.collect(without(results, name), STUDY, "tiny")
    found = Measured.collect(without(results, name), STUDY, "tiny", allow_missing=True)
    assert found.missing == 1 and found.cell("ridge", "baseline").seeds() == [0, 2]
    judge = f"train-{STUDY.judges()['convnet']}"
    with pytest.raises(ResultError, match=f"run {judge} is missing"):
        Measured.collect(without(results, judge), STUDY, "tiny", allow_missing=True)


def test_a_model_counts_once_its_features_were_looked_at(results):
    found = Measured.collect(without(results, "mechanism-dense-sgd-seed1"), STUDY, "tiny", allow_missing=True)
    assert list(found.arm("dense-sgd").runs) == [0, 2] == found.cell("ridge", "dense-sgd").seeds()
    assert found.cell("black", {"arm": "none"}).seeds() == [0] and found.missing == 1


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("attack-ridge-fc1-baseline-seed0", lambda settings: settings["settings"].update(shuffled=True)),
        ("attack-tuned-conv1-baseline-seed2", lambda settings: settings.update(depth="conv2")),
        ("attack-loss-baseline-seed0", lambda settings: settings.update(candidates=7)),
        ("train-dense-sgd-seed1", lambda settings: settings.update(epochs=9)),
        ("mechanism-dense-sgd-seed1", lambda settings: settings["optimizer"].update(lr=0.2)),
        ("train-suppressed-example@0.5-seed0", lambda settings: settings["defence"].update(sparse_end=0.95)),
    ],
)
def test_a_run_made_with_other_settings_is_named(results, name, change):
    settings = copy.deepcopy(results.runs[name].settings)
    change(settings)
    with pytest.raises(ResultError, match=f"run {name} was made with other settings than study.yaml has: delete it"):
        Measured.collect(changed(results, name, settings=settings), STUDY, "tiny")


def test_a_setting_that_arms_have_gained_since_has_its_default_in_an_older_run(results):
    name = "train-dense-sgd-seed1"
    settings = {key: value for key, value in results.runs[name].settings.items() if key not in ("cut", "network")}
    assert Measured.collect(changed(results, name, settings=settings), STUDY, "tiny").missing == 0


@pytest.mark.parametrize("name", ["train-dense-sgd-seed0", "attack-loss-baseline-seed2", "attack-black-none-seed0"])
def test_a_run_on_other_data_is_named(results, name):
    environment = copy.deepcopy(results.runs[name].environment)
    environment["data"]["sha256"] = {"file": "1"}
    with pytest.raises(ResultError, match=f"run {name} was made on other data than train-baseline-seed1000: delete"):
        Measured.collect(changed(results, name, environment=environment), STUDY, "tiny")
    environment = copy.deepcopy(results.runs[name].environment) | {"machine": {"cores": 99}}
    assert Measured.collect(changed(results, name, environment=environment), STUDY, "tiny").missing == 0


@pytest.mark.parametrize(
    ("name", "role", "training"),
    [
        ("attack-ridge-fc1-baseline-seed0", "victim", "train-baseline-seed0"),
        ("attack-ridge-fc1-suppressed-example@0.8-seed0", "victim", "train-suppressed-example@0.8-seed0"),
        ("mechanism-dense-sgd-seed1", "victim", "train-dense-sgd-seed1"),
        ("attack-black-none-seed0", "convnet", "train-evaluator-convnet-seed1000"),
        ("train-accuracy-matched-seed2", "suppressed-example", "train-suppressed-example-seed2"),
    ],
)
def test_a_run_of_other_weights_is_named(results, name, role, training):
    networks = results.runs[name].networks | {role: "0" * 64}
    with pytest.raises(ResultError, match=f"run {name} is of other weights than {training} left: run the study"):
        Measured.collect(changed(results, name, networks=networks), STUDY, "tiny")


def test_a_training_made_again_is_told_from_the_one_its_attacks_saw(results):
    name = "train-baseline-seed1"
    again = changed(results, name, checkpoint={"name": "checkpoint_lenet-1_1.ckpt", "sha256": "1" * 64})
    with pytest.raises(ResultError, match=f"is of other weights than {name} left: run the study again"):
        Measured.collect(again, STUDY, "tiny")


# What trainings say


def test_the_kept_share_counts_weights_not_layers(measured):
    report = {"small": {"weights": 100, "alive": 50}, "large": {"weights": 900, "alive": 50}}
    run = copy.deepcopy(measured.arm("baseline").runs[0])
    run.results["defence"] = report
    plain = copy.deepcopy(measured.arm("baseline").runs[1])
    assert kept([run, plain]) == [0.1]  # of those that have a report
    assert kept(measured.arm("baseline").runs.values()) == []
    assert kept(measured.arm("suppressed-example").runs.values()) == pytest.approx([0.05] * 3)


def test_accuracies_are_by_seed(measured):
    assert measured.arm("baseline").accuracy() == {0: 0.99, 1: 0.9901, 2: 0.9902}
    assert measured.arm("baseline").results("test_accuracy") == [0.99, 0.9901, 0.9902]


# Games of membership


GAME = {"canaries": {"dense-sgd": 5, "suppressed-example": 5}}


@pytest.fixture(scope="module")
def games(tmp_path_factory):
    study = planted.study(games=GAME)
    return Measured.collect(planted.results(tmp_path_factory.mktemp("games"), study), study, "tiny")


def test_a_game_is_gathered_by_arm_and_attack_and_leaves_all_else_as_it_was(games, measured):
    cell = games.cell({"attack": "lira", "game": "canaries"}, "dense-sgd")
    assert cell.factors == {"arm": "dense-sgd", "attack": "lira", "game": "canaries"} and cell.seeds() == [
        0,
        1,
        2,
        3,
        4,
    ]
    assert cell.column("score").shape == (5, planted.CANDIDATES) == cell.column("member").shape
    assert len(np.unique(cell.column("member"), axis=0)) == 5  # who is a member differs from model to model
    assert games.of_victims(cell, "canaries", "auc").keys() == {0, 1, 2, 3, 4}
    blind = games.cell({"attack": "blind", "game": "canaries"}, "none")
    assert games.of_victims(blind, "canaries", "auc") == {} and len(games.of_victims(blind, "others", "auc")) == 5
    assert games.cell({"attack": "lira", "game": "canaries"}, "accuracy-matched") is None
    assert {name for name, cell in games.cells.items() if "game" not in cell.attack} == measured.cells.keys()
    assert games.arms.keys() == measured.arms.keys()


def test_a_game_of_other_models_than_the_study_has_is_refused(tmp_path):
    study = planted.study(games=GAME)
    jobs = planted.jobs(study)
    run, arrays = jobs["coins-canaries-dense-sgd"][1]
    jobs["coins-canaries-dense-sgd"][1] = replace(run, settings=run.settings | {"models": 9}), arrays
    with pytest.raises(ResultError, match=f"run {run.name} was made with other settings than study.yaml has"):
        Measured.collect(Results.load(planted.write(tmp_path, jobs)), study, "tiny")


def test_a_published_study_need_not_say_what_an_attack_had_by_default_and_must_not_say_otherwise(results):
    study = planted.study().model_copy(deep=True)
    study.attacks["ridge"].settings.clear()
    study._published = True
    assert Measured.collect(results, study, "tiny").missing == 0
    study.attacks["ridge"].settings["shuffled"] = True
    with pytest.raises(ResultError, match=r"run attack-ridge-\S* was made with other settings than study\.yaml has"):
        Measured.collect(results, study, "tiny")
