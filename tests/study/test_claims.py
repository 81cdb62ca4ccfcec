"""From what was measured to verdicts, by the claims as they stand in claims.yaml."""

import copy
import re
from dataclasses import FrozenInstanceError, replace
from itertools import chain
from types import SimpleNamespace

import numpy as np
import pytest
import yaml

from suppress_privacy.evaluation.gates import REQUIRED, Gate
from suppress_study.claims import ON_GRADIENTS, STRONGEST, Claims, Sources, Untested, verdicts
from suppress_study.jobs import Model
from suppress_study.measured import Cell, Measured, Trainings
from suppress_study.pictures import Pictures
from suppress_study.plan import Study
from suppress_study.reading import SettingsError, read_yaml
from suppress_study.results import Results, Run, key
from suppress_study.settings import FOLDER

TODAY = Claims.load()
# With claims of the first edition: on memory and membership, of other images each, and on the nearest in accuracy.
FIRST = Claims.of(FOLDER.parent / "results" / "full")
CLAIMS = TODAY.model_copy(update={"claims": TODAY.claims | {name: FIRST.claims[name] for name in ("H4", "H5", "H6")}})
STUDY = Study.load()
GATES = [Gate(name, "above 0", 1.0, True, sees=sees) for sees, names in REQUIRED.items() for name in names]
PROTECTED = "suppressed-example"
SUPPRESSED = ("suppressed", "package")  # how the names of arms begin that are documented as that
ATTACKS = (
    *CLAIMS.strongest.reconstruction,
    "loss",
    {"attack": "reference", "smoothness": "cpu"},
    {"attack": "reference", "smoothness": "ascend"},
)
RECONSTRUCTION = ("skill", "rank1", "relative_l2", "ssim_range2", "confidence", "label_accuracy")
JUDGED = ("confidence", "label_accuracy")


def trainings(arm, accuracies):
    """Models of an arm of these test accuracies; of a suppressed one, 6 % of the weights are left."""
    report = {"fc1.weight": {"weights": 1000, "alive": 60}} if arm.startswith("suppressed") else {}
    factors = STUDY.factors("full", Model(arm, 0))
    same = {"kind": "train", "campaign": "", "profile": "full", "factors": factors, "settings": {}, "commit": ""}
    same |= {"environment": {}, "times": {}, "peak_memory_bytes": 0}
    made = {
        seed: Run(
            name=f"train-{arm}-seed{seed}",
            seed=seed,
            results={"test_accuracy": float(accuracy), "defence": report},
            **same,
        )
        for seed, accuracy in enumerate(accuracies)
    }
    return Trainings(arm, factors, STUDY.arm("full", arm), made)


def study_of(
    effect=0.0, membership=0.0, members=0.0, accuracy=0.0, seeds=4, images=60, seed=0, without=(), private=False
):
    """What is measured where the suppressed arm differs from all others by so much, and in nothing else."""
    rng = np.random.default_rng(seed)
    documented = STUDY.documented.models
    candidate = rng.standard_normal(200)
    image = 0.1 * rng.standard_normal((1, images))
    in_training = np.arange(images) % 2 == 0

    def values(arm, metric):
        shift = effect if arm == PROTECTED else 0.0
        if metric in documented["ordinary"] and metric != "label_accuracy":
            model = "suppressed" if arm.startswith(SUPPRESSED) else "ordinary"
            return np.full((seeds, images), documented[model][metric]) + 0.001 * rng.standard_normal((seeds, images))
        noise = 0.003 * rng.standard_normal((seeds, 1)) + 0.01 * rng.standard_normal((seeds, images))
        remembered = members * in_training * (arm == "baseline")
        return 0.7 + shift + remembered + image + noise

    def attacked(attack, arm):
        if attack == "loss":
            member = np.tile(np.arange(200) < 100, (seeds, 1))
            signal = (1.0 + (membership if arm == PROTECTED else 0)) * member
            score = signal + candidate + 0.05 * rng.standard_normal((seeds, 200))
            return {("score", ""): score, ("member", ""): member}
        found = {(metric, "lenet" if metric in JUDGED else ""): values(arm, metric) for metric in RECONSTRUCTION}
        return found | {("in_training", ""): np.tile(in_training, (seeds, 1))}

    def add(attack, arm, own):
        variant = STUDY.variant("full", attack)
        runs = {seed: f"attack-{variant}-{arm}-seed{seed}" for seed in range(seeds)}
        cell = Cell(own.factors, variant.columns(), runs, attacked(variant.attack, arm))
        measured.cells[key(cell.factors)] = cell

    measured = Measured(STUDY, "full", Results({}, None, None, Pictures()), {}, 0, {}, {})
    for arm in STUDY.profile("full").arms:
        if arm in without:
            continue
        of = documented["suppressed" if arm.startswith(SUPPRESSED) else "ordinary"]["test_accuracy"]
        less = 0.05 if private and arm.startswith("dpsgd") else 0
        own = trainings(arm, of - less + accuracy + 0.0005 * rng.standard_normal(seeds))
        measured.arms[key(own.factors)] = own
        for attack in ATTACKS:
            add(attack, arm, own)
    for own in measured.arms.values():
        add("analytic", own.name, own)
    return measured


def cells(measured, attack):
    return {cell.arm["arm"]: cell for cell in measured.cells.values() if cell.attack["attack"] == attack}


def answers(gates=GATES, **settings):
    """The verdicts on a simulated study."""
    found = verdicts(CLAIMS, study_of(**settings), gates)
    return {name: answer.verdict for name, answer in found.items()}


def test_an_effect_that_is_there_is_found_and_none_is_not():
    """At the stated rates: each of 12 simulated studies is answered rightly, but for one in twenty."""
    effect = {"effect": -0.1, "membership": -0.4, "members": 0.15}
    right = {name: 0 for name in ("H2", "H3", "H4", "H5", "H6a", "H8")}
    wrong = dict(right)
    for seed in range(12):
        there, not_there = answers(seed=seed, **effect), answers(seed=seed)
        for name in right:
            right[name] += there[name] == "holds"
            wrong[name] += not_there[name] == "holds"
    assert min(right.values()) >= 11, right
    assert max(wrong.values()) <= 2, wrong


@pytest.mark.parametrize(
    ("effect", "verdict"), [(0.0, "holds"), (0.03, "holds"), (-0.03, "holds"), (0.05, "not shown"), (-0.15, "refuted")]
)
def test_our_networks_equal_the_packages_within_the_margins_alone(effect, verdict):
    found = verdicts(CLAIMS, study_of(effect=effect), GATES)["E1"]
    assert found.verdict == verdict
    margins = [round(one.band, 3) for one in found.comparisons]
    assert margins == [0.01, 0.1, 0.05] * 2  # accuracy, confidence and skill, of both configurations
    skills = [one for one in found.comparisons if one.metric == "skill"]
    assert skills[0].effect == pytest.approx(effect, abs=0.01) and skills[1].effect == pytest.approx(0, abs=0.01)
    assert {name.rpartition("-seed")[0] for one in found.comparisons for name in one.runs} >= {
        f"train-{arm}" for arm in ("suppressed-example", "suppressed-tutorial", "package-example", "package-tutorial")
    }


def test_networks_are_not_equal_because_attacks_fail_or_one_is_not_what_it_should_be():
    weak = [replace(gate, passed=gate.sees != "features") for gate in GATES]
    assert verdicts(CLAIMS, study_of(), weak)["E1"].verdict == "not tested"
    off = Gate("accuracy", "above 0", -0.1, False, "package-example", "MindArmour itself (example)", True)
    found = verdicts(CLAIMS, study_of(), [*GATES, off])["E1"]
    assert found.verdict == "not tested" and found.reason.startswith("a model is not what it should be: ")


def test_other_accuracies_than_the_packages_are_not_equal():
    measured = study_of()
    own = measured.arm(PROTECTED)
    for run in own.runs.values():
        run.results["test_accuracy"] -= 0.02
    found = verdicts(CLAIMS, measured, GATES)["E1"]
    assert found.verdict == "refuted" and found.effect == pytest.approx(-0.02, abs=0.002)
    assert found.reason.startswith("suppressed (example): test accuracy, less that of MindArmour itself (example) lies")


def test_the_package_itself_is_asked_for_the_documented_figures():
    found = verdicts(CLAIMS, study_of(seeds=5, private=True), GATES)
    assert found["R1m"].verdict == "holds"
    asked = {name.rpartition("-seed")[0] for one in found["R2m"].comparisons for name in one.runs}
    scales = ("0.1-cpu", "0.1-ascend")
    assert asked == {f"attack-reference-fc1-{scale}-package-{of}" for scale in scales for of in ("example", "tutorial")}
    assert answers(seeds=5, accuracy=-0.02)["R1m"] == "refuted"
    assert answers(seeds=5, without=("package-example",))["R1m"] == "not tested"
    assert answers(seeds=2)["E1"] == answers(without=("package-tutorial",))["E1"] == "not tested"


def test_what_is_measured_of_a_claim_is_shown_though_the_rest_is_missing():
    found = verdicts(CLAIMS, study_of(without=("package-tutorial",)), GATES)
    for claim, count in {"E1": 3, "R1m": 1, "R2m": 8}.items():
        assert found[claim].verdict == "not tested" and "MindArmour itself (tutorial)" in found[claim].reason
        runs = {run for one in found[claim].comparisons for run in one.runs}
        assert len(found[claim].comparisons) == count and not [run for run in runs if "package-tutorial" in run]
    assert verdicts(CLAIMS, study_of(without=("package-example", "package-tutorial")), GATES)["R1m"].comparisons == []


def test_more_leakage_than_the_controls_is_the_opposite_of_protection():
    found = verdicts(CLAIMS, study_of(private=True, effect=0.1, membership=0.4, members=-0.05), GATES)
    assert {found[name].verdict for name in ("H2", "H3", "H4", "H5", "H6a", "H8")} == {"refuted"}
    assert found["H8"].reason.startswith("the opposite: analytic on suppressed (example): ")
    assert found["H2"].reason.startswith("the opposite: tuned inversion on suppressed (example): ")
    assert found["H2"].reason.endswith(" lies above ordinary, the suppressed one's optimiser (4 seeds)")
    assert " on ordinary beyond untrained: " in found["H4"].reason
    assert found["H4"].reason.endswith(", training images lies below test images (4 seeds)")
    worse = verdicts(CLAIMS, study_of(private=True, effect=0.1), GATES)["H6"]
    assert worse.verdict == "not shown"  # it is the more accurate, as was claimed too
    assert worse.reason.startswith("the opposite, in 2 of 3 comparisons: ")


def test_a_reproduced_study_is_called_so_and_another_is_not():
    assert answers()["R1"] == "holds"
    assert answers()["R3"] == "holds"
    lower = verdicts(CLAIMS, study_of(accuracy=-0.02), GATES)["R1"]
    assert lower.verdict == "refuted" and lower.reason.endswith("lies below its band; 0 of 2 figures reproduced")
    found = verdicts(CLAIMS, study_of(), GATES)["R2"]
    assert found.verdict == "refuted"  # labels are not as documented here
    assert len(found.comparisons) == 4 * 2 * 4
    which = r"reference attack \((cpu|ascend)\) on training images, ordinary: labels recovered lies below"
    assert re.match(which, found.reason)
    assert found.reason.endswith("; 6 of 8 figures reproduced")
    assert all(len(one.runs) == 4 and one.runs[0].startswith("attack-reference-fc1-0.1-") for one in found.comparisons)


def test_a_documented_figure_is_compared_with_training_images_alone():
    measured = study_of()
    for cell in measured.cells.values():
        if cell.attack["attack"] == "reference":
            member = cell.values["in_training", ""]
            cell.values["label_accuracy", "lenet"] = np.where(member, 1.0, 0.0)
    found = verdicts(CLAIMS, measured, GATES)["R2"].comparisons
    ordinary = [one for one in found if one.what.endswith(", ordinary: labels recovered")]
    assert ordinary and all(one.effect == 0 for one in ordinary)  # documented as all, and so found


def test_what_was_not_measured_is_not_tested():
    few = answers(seeds=2)
    assert set(few.values()) == {"not tested"}
    enough = answers(seeds=3)
    assert all(enough[claim] != "not tested" for claim in ("R1", "R2", "H1", "H2", "H3", "H4"))
    assert answers(without=("accuracy-matched",), effect=-0.1)["H3"] == "not tested"
    assert answers(without=("accuracy-matched",), effect=-0.1)["H2"] == "holds"


@pytest.mark.parametrize("side", ["dense-sgd", PROTECTED])
def test_an_attack_that_was_not_made_or_has_no_mean_is_not_tested(side):
    measured = study_of(effect=-0.1)
    own = cells(measured, "tuned")[side]
    del own.values["skill", ""]  # as where most descents failed
    reason = verdicts(CLAIMS, measured, GATES)["H2"].reason
    assert "has fewer than 3 seeds" in reason
    del measured.cells[key(own.factors)]
    assert verdicts(CLAIMS, measured, GATES)["H2"].reason == reason


def test_what_leaks_from_an_untrained_network_too_was_not_remembered():
    """A difference between training and test images that every network shows is no memory."""
    measured = study_of(members=0.15)
    assert verdicts(CLAIMS, measured, GATES)["H4"].verdict == "holds"
    for attack in CLAIMS.strongest.reconstruction:
        found = cells(measured, attack)
        found["untrained"].values["skill", ""] = found["baseline"].values["skill", ""] + 0.0
    assert verdicts(CLAIMS, measured, GATES)["H4"].verdict == "not shown"


def test_membership_that_cannot_be_found_cannot_be_lowered():
    measured = study_of(membership=-0.4)
    rng = np.random.default_rng(0)
    for cell in cells(measured, "loss").values():
        cell.values["score", ""] = rng.standard_normal(cell.values["score", ""].shape)
    answer = verdicts(CLAIMS, measured, GATES)["H5"]
    assert answer.verdict == "not tested"
    assert answer.reason == "nothing to lower: loss threshold on ordinary finds no members"
    for cell in cells(measured, "loss").values():  # exactly as good as guessing
        cell.values["score", ""] = np.zeros_like(cell.values["score", ""])
    assert verdicts(CLAIMS, measured, GATES)["H5"].reason == answer.reason


def with_lira(measured, seeds):
    """LiRA, half as far from the truth as the loss threshold, made on these seeds alone."""
    rng = np.random.default_rng(0)
    for arm, loss in cells(measured, "loss").items():
        rows = {name: values[: len(seeds)] * (0.5 if name[0] == "score" else 1) for name, values in loss.values.items()}
        runs = {seed: f"attack-lira-{arm}-seed{seed}" for seed in seeds}
        lira = Cell(loss.arm, {"attack": "lira"}, runs, rows)
        measured.cells[key(lira.factors)] = lira
        loss.values["score", ""] = loss.values["score", ""] + rng.standard_normal(loss.values["score", ""].shape)
    return measured


def played(rates, among="canaries", attack="lira", metric="tpr_at_1pct_fpr"):
    """A study in which each arm's networks play a game: by arm what is found of each."""
    measured = study_of()
    for arm, found in rates.items():
        cell = Cell(STUDY.factors("full", Model(arm, 0)), {"attack": attack, "game": "canaries"})
        for seed, rate in enumerate(found):
            cell.runs[seed] = name = f"attack-{attack}-canaries-{arm}-seed{seed}"
            results = {among: {metric: rate}}
            measured.results.runs[name] = Run(name, "attack", "", "full", cell.factors, seed, {}, results=results)
        measured.cells[key(cell.factors)] = cell
    return measured


CONTROLS = ("dense-sgd", "accuracy-matched")
VICTIMS = 0.2 + 0.02 * np.random.default_rng(0).standard_normal((3, 12))


@pytest.mark.parametrize(("shift", "wanted"), [(-0.1, "holds"), (0.1, "refuted"), (0.0, "not shown")])
@pytest.mark.parametrize(("claim", "among"), [("H5", "others"), ("H5c", "canaries")])
def test_members_that_are_found_less_are_so_victim_by_victim(claim, among, shift, wanted):
    rates = dict(zip((PROTECTED, *CONTROLS), VICTIMS + np.array([[shift], [0], [0]]), strict=True))
    answer = verdicts(TODAY, played(rates, among), GATES)[claim]
    assert answer.verdict == wanted
    assert [one.control for one in answer.comparisons] == list(CONTROLS)
    assert all(
        one.effect == pytest.approx((rates[PROTECTED] - rates[one.control]).mean()) for one in answer.comparisons
    )
    assert all(len(one.runs) == 24 and one.than.endswith("(12 seeds)") for one in answer.comparisons)
    assert answer.comparisons[0].runs[::12] == tuple(
        f"attack-lira-canaries-{arm}-seed0" for arm in (PROTECTED, CONTROLS[0])
    )
    three = {arm: found[:3] for arm, found in rates.items()}
    assert verdicts(TODAY, played(three, among), GATES)[claim].verdict != "not tested"
    other = "canaries" if claim == "H5" else "others"
    assert verdicts(TODAY, played(rates, other), GATES)[claim].verdict == "not tested"


def test_members_that_nobody_finds_cannot_be_found_less():
    rates = {PROTECTED: VICTIMS[0], "dense-sgd": VICTIMS[1], "accuracy-matched": np.tile([0.009, 0.011], 6)}
    answer = verdicts(TODAY, played(rates), GATES)["H5c"]
    assert answer.verdict == "not tested"
    assert answer.reason.startswith("nothing to lower: LiRA among canaries of ordinary, stopped at")
    rates["accuracy-matched"] = np.full(12, 0.01)  # at chance itself
    assert verdicts(TODAY, played(rates), GATES)["H5c"].reason == answer.reason
    few = {arm: found[:2] for arm, found in zip((PROTECTED, *CONTROLS), VICTIMS, strict=True)}
    assert "has fewer than 3 seeds" in verdicts(TODAY, played(few), GATES)["H5c"].reason
    weak = [gate for gate in GATES if gate.name != "canaries-found"]
    rates = dict(zip((PROTECTED, *CONTROLS), VICTIMS - np.array([[0.1], [0], [0]]), strict=True))
    assert verdicts(TODAY, played(rates), weak)["H5c"].reason == "attack too weak: canaries-found"


@pytest.mark.parametrize(("area", "wanted"), [(0.5, "not tested"), (0.6, "holds")])
def test_of_areas_chance_is_one_half(area, wanted):
    claim = TODAY.claims["H5c"].model_copy(update={"metrics": ["auc"]})
    claims = TODAY.model_copy(update={"claims": {"H5c": claim}})
    noise = 0.001 * np.random.default_rng(0).standard_normal((3, 12))
    noise -= noise.mean(1, keepdims=True)
    areas = dict(zip((PROTECTED, *CONTROLS), area + noise - np.array([[0.05], [0], [0]]), strict=True))
    assert verdicts(claims, played(areas, metric="auc"), GATES)["H5c"].verdict == wanted
    guessing = areas | {control: np.full(12, 0.5) for control in CONTROLS}  # chance itself
    assert verdicts(claims, played(guessing, metric="auc"), GATES)["H5c"].verdict == "not tested"


def remembering(more, victims=12, images=40):
    """A study in which what is had of each target is more where a network had it in its training."""
    rng, measured = np.random.default_rng(1), study_of()
    member = rng.random((victims, images)) < 0.5
    skill = 0.8 + 0.2 * rng.standard_normal(images) + 0.1 * rng.standard_normal((victims, 1)) + more * member
    skill += 0.002 * rng.standard_normal(member.shape)
    variant = STUDY.variant("full", {"attack": "ridge", "game": "canaries"})
    cell = Cell(STUDY.factors("full", Model("dense-sgd", 0)), variant.columns())
    cell.runs = {seed: f"attack-{variant}-dense-sgd-seed{seed}" for seed in range(victims)}
    # Test images, which are in no training, have no part in it.
    of_test = np.zeros((victims, 5))
    cell.values = {
        ("skill", ""): np.hstack([skill, of_test + 9]),
        ("member", ""): np.hstack([member, of_test]),
        ("in_training", ""): np.hstack([np.ones_like(skill), of_test]),
    }
    measured.cells[key(cell.factors)] = cell
    return measured


@pytest.mark.parametrize(("more", "wanted"), [(0.02, "holds"), (-0.02, "refuted"), (0.0, "not shown")])
def test_an_image_is_compared_with_itself_in_and_out_of_training(more, wanted):
    answer = verdicts(TODAY, remembering(more), GATES)["H4"]
    assert answer.verdict == wanted and answer.effect == pytest.approx(more, abs=0.001)
    (one,) = answer.comparisons
    assert one.asked().endswith("images in the training above the same images out of it (12 seeds)")
    assert len(one.runs) == 12 and one.low < more < one.high
    assert verdicts(TODAY, remembering(more, victims=2), GATES)["H4"].verdict == "not tested"
    assert verdicts(TODAY, remembering(more, victims=3), GATES)["H4"].verdict != "not tested"


def test_an_attack_made_on_fewer_seeds_counts_where_all_have_them():
    """LiRA, dearer than the loss threshold, is made on three of the seeds; there the strongest is looked for."""
    answer = verdicts(CLAIMS, with_lira(study_of(membership=-0.4, seeds=5), [0, 1, 2]), GATES)["H5"]
    assert answer.verdict == "holds"
    assert {one.what for one in answer.comparisons} == {"LiRA on suppressed (example): area under the ROC"}
    assert all(one.than.endswith(" (3 seeds)") for one in answer.comparisons)


def test_the_strongest_is_the_same_by_every_door():
    """On two seeds LiRA is the strongest, and then too few seeds are left to say anything."""
    measured = with_lira(study_of(membership=-0.4, seeds=5), [0, 1])
    assert measured.strongest(CLAIMS.strongest.membership, PROTECTED, "auc").attack == {"attack": "lira"}
    answer = verdicts(CLAIMS, measured, GATES)["H5"]
    assert answer.verdict == "not tested"
    assert answer.reason.startswith("the strongest attack of suppressed (example) and ordinary has fewer than 3 seeds")


def test_a_model_that_is_not_what_it_should_be_decides_only_claims_about_it():
    gates = [*GATES, Gate("accuracy", "accuracy from 0 to 1", 1.1, False, "random-mask", of_model=True)]
    assert answers(gates, effect=-0.1) == answers(effect=-0.1)
    gates = [*GATES, Gate("matched", "within 0", 0.1, False, "accuracy-matched", of_model=True)]
    for effect in (-0.1, 0.1):  # neither protection nor its opposite is shown by a control that is none
        found = verdicts(CLAIMS, study_of(effect=effect), gates)
        assert (found["H3"].verdict, found["H2"].verdict) == (*("not tested", "holds" if effect < 0 else "refuted"),)
        assert found["H3"].reason == "a model is not what it should be: matched of accuracy-matched"
        assert found["H3"].effect is None and found["H3"].comparisons  # by which the book tells it from a weak attack


def test_a_descent_that_fails_on_one_model_makes_the_attack_too_weak_for_all():
    gates = [*GATES, Gate("objective", "share at least 1", 0.5, False, "random-mask")]
    found = verdicts(CLAIMS, study_of(effect=-0.1), gates)["H2"]
    assert (found.verdict, found.reason) == ("not tested", "attack too weak: objective of random-mask")


def test_the_strongest_attack_is_each_models_own():
    measured = study_of(effect=-0.1)
    for arm, attack in ((PROTECTED, "ridge"), ("accuracy-matched", "decoder")):
        cell = cells(measured, attack)[arm]
        cell.values["skill", ""] = cell.values["skill", ""] + 0.05
    compared = [one for one in verdicts(CLAIMS, measured, GATES)["H3"].comparisons if ": skill" in one.what]
    assert compared[0].asked() == (
        "ridge decoder and decoder network on suppressed (example): skill against the mean image below "
        "ordinary, stopped at the suppressed one's accuracy (4 seeds)"
    )
    assert compared[0].runs[0] == f"attack-ridge-fc1-{PROTECTED}-seed0"
    assert compared[0].runs[4] == "attack-decoder-fc1-accuracy-matched-seed0" and len(compared[0].runs) == 8


def test_of_arms_nearest_in_accuracy_the_nearest_is_the_control():
    measured = study_of(effect=-0.1, private=True)
    near = measured.arm("dpsgd-eps7")
    for run in near.runs.values():
        run.results["test_accuracy"] += 0.03
    compared = verdicts(CLAIMS, measured, GATES)["H6"].comparisons
    assert {one.than for one in compared} == {"DP-SGD, epsilon 7 (4 seeds)"}
    assert [one.what.split(": ")[1] for one in compared][-1] == "test error"


def test_balance_needs_accuracy_too():
    """As private and less accurate than differential privacy is no better balance."""
    measured = study_of(effect=-0.1)
    assert verdicts(CLAIMS, measured, GATES)["H6"].verdict == "not shown"
    for arm in ("dpsgd-eps1", "dpsgd-eps3", "dpsgd-eps7"):
        for run in measured.arm(arm).runs.values():
            run.results["test_accuracy"] -= 0.03
    assert verdicts(CLAIMS, measured, GATES)["H6"].verdict == "holds"


@pytest.mark.parametrize("gates", [GATES[1:], [Gate(GATES[0].name, "above 0", -1.0, False), *GATES[1:]]])
def test_without_all_gates_nothing_protects(gates):
    found = verdicts(CLAIMS, study_of(private=True, effect=-0.1, membership=-0.4, members=0.05), gates)
    assert {found[name].verdict for name in ("H2", "H3", "H6a")} == {"not tested"}
    assert found["H2"].reason == f"attack too weak: {GATES[0].name}"
    assert (found["R1"].verdict, found["H4"].verdict) == ("holds", "holds")


def test_claims_name_arms_attacks_and_figures_that_there_are():
    for claim in CLAIMS.claims.values():
        for part in (part for parts in getattr(claim, "alternatives", []) for part in parts):
            assert part.arm in STUDY.arms
            assert part.bands.keys() <= STUDY.documented.models[part.documented].keys()
            if part.attack:
                STUDY.variant("full", part.attack)
        for name in ("arm", "control", "controls", "nearest_in_accuracy"):
            arms = getattr(claim, name, ())
            assert {arms} <= STUDY.arms.keys() if isinstance(arms, str) else {*arms} <= STUDY.arms.keys()
        for attack in getattr(claim, "attacks", []):
            if attack not in (STRONGEST, ON_GRADIENTS):
                STUDY.variant("full", attack)
    for attack in (*chain(*dict(CLAIMS.strongest).values()), *dict(CLAIMS.checks).values()):
        STUDY.variant("full", attack)


def test_an_attack_is_called_by_its_title_and_its_scale():
    sources = Sources(study_of(), CLAIMS.strongest)
    assert sources.called("tuned") == sources.called({"attack": "tuned", "depth": "fc1"}) == "tuned inversion"
    assert sources.called({"attack": "reference", "smoothness": "cpu", "depth": "fc1"}) == "reference attack (cpu)"


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (
            ("claims", "E1", "margins", 0, "metric"),
            "kept",
            r"claims\.E1\.equal\.margins\.0: metric is 'kept'; allowed are test_accuracy: correct it",
        ),
        (("claims", "E1", "margins", 2, "metric"), "skil", r"metric is 'skil'; allowed are .*skill, .*: correct it"),
        (("claims", "E1", "margins", 0, "margin"), 0, "margins.0.margin is 0; input should be greater than 0"),
        (("claims", "E1", "margins"), [], r"margins is \[\]; list should have at least 1 item"),
        (("claims", "E1", "pairs"), [], r"pairs is \[\]; list should have at least 1 item"),
        (
            ("claims", "H1", "kind"),
            "higher",
            r"claims\.H1\.kind is 'higher'; allowed are 'reproduces', 'equal', 'lower'",
        ),
        (("claims", "H1", "arms"), [], r"claims\.H1\.lower\.arms is not a setting"),
        (("claims", "H1", "metrics"), [], r"metrics is \[\]; list should have at least 1 item"),
        (("claims", "H2", "attacks"), [], r"attacks is \[\]; list should have at least 1 item"),
        (("claims", "R3", "alternatives"), [], r"alternatives is \[\]; list should have at least 1 item"),
        (("claims", "R1", "alternatives", 1), [], r"alternatives\.1 is \[\]; list should have at least 1 item"),
        (("claims", "R3", "alternatives", 0, 0, "bands"), {}, r"bands is {}; dictionary should have at least 1 item"),
        (("claims", "R3", "alternatives", 0, 0, "bands", "kept"), 0, "bands.kept is 0; input should be greater than 0"),
        (("strongest", "membership"), [], r"strongest\.membership is \[\]; list should have at least 1 item"),
        (("checks", "tuned"), "tuned", r"checks\.tuned is 'tuned'; input should be a valid dictionary"),
    ],
)
def test_a_wrong_claim_is_named(tmp_path, path, value, message):
    content = copy.deepcopy(read_yaml(FOLDER / "claims.yaml"))
    *folders, last = path
    place = content
    for step in folders:
        place = place[step]
    place[last] = value
    (tmp_path / "claims.yaml").write_text(yaml.safe_dump(content))
    with pytest.raises(SettingsError, match=message):
        Claims.load(tmp_path / "claims.yaml")


def test_a_claim_may_have_one_alternative():
    content = read_yaml(FOLDER / "claims.yaml")
    del content["claims"]["R3"]["alternatives"][1:]
    assert len(Claims.model_validate(content).claims["R3"].alternatives) == 1


def test_equality_may_be_asked_of_one_pair_within_one_margin():
    content = read_yaml(FOLDER / "claims.yaml")
    for name in ("pairs", "margins"):
        del content["claims"]["E1"][name][1:]
    claim = Claims.model_validate(content).claims["E1"]
    assert (len(claim.pairs), len(claim.margins)) == (1, 1)


def test_a_campaign_is_asked_what_its_arms_can_answer_and_the_question():
    claims = {
        "Q": {"kind": "found-less", "arm": "a"},
        "lower": {"kind": "lower", "arm": "a", "controls": ["b"]},
        "members": {"kind": "members", "arm": "a", "control": "c"},
        "nearest": {"kind": "lower", "arm": "a", "nearest_in_accuracy": ["b", "d"]},
        "documented": {"kind": "reproduces"},
    }
    content = {"question": "Q", "checks": {"tuned": {"attack": "t"}, "positive": {"attack": "t", "depth": "first"}}}
    content |= {"game_checks": ["one"], "across": {"H9": {}}, "claims": claims}

    def of(near, *arms):
        return Claims.laid_over(content, {"campaign": {"near": near, "arms": arms}})

    for arms, asked in (("ab", {"Q", "lower"}), ("ac", {"Q", "members"}), ("abd", {"Q", "lower", "nearest"})):
        assert of("", *arms)["claims"].keys() == asked
    assert of("", "a", "b")["checks"] == {"tuned": {"attack": "t"}}
    assert of("stem", "a", "b")["checks"] == {
        "tuned": {"attack": "t"},
        "positive": {"attack": "t", "depth": "stem"},
    }
    whole = of("", "a", "b")
    assert (whole["question"], whole["game_checks"], whole["across"]) == ("Q", [], {})


def test_of_a_campaign_nothing_is_documented():
    measured = SimpleNamespace(study=SimpleNamespace(documented=None))
    with pytest.raises(Untested, match="nothing is documented of this campaign"):
        Sources(measured, CLAIMS.strongest).documented("ordinary")


def test_where_what_was_measured_comes_from_cannot_be_changed():
    with pytest.raises(FrozenInstanceError):
        Sources(study_of(), CLAIMS.strongest).measured = None


def test_claims_that_are_not_there_are_named(tmp_path):
    with pytest.raises(SettingsError, match=r"none\.yaml cannot be read"):
        Claims.load(tmp_path / "none.yaml")
