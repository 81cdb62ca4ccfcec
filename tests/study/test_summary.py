"""The summary of a study: every figure that pages show, computed from runs whose content is known."""

import json
from dataclasses import replace

import numpy as np
import pytest

import planted_study as planted
from suppress_privacy.evaluation import gates
from suppress_privacy.evaluation.audit import audit, largest_epsilon
from suppress_privacy.evaluation.intervals import bootstrap_mean, proportion
from suppress_study.claims import Claims
from suppress_study.results import Results
from suppress_study.summary import Summary, summarise

STUDY = planted.study()
CLAIMS = Claims.load()


@pytest.fixture(scope="module")
def summary(results):
    return summarise(results, STUDY, "tiny", CLAIMS)


def rows(table, **factors):
    return [row for row in table if factors.items() <= row.items()]


def row(table, **factors):
    (found,) = rows(table, **factors)
    return found


OF_TUNED = {"attack": "tuned", "depth": "fc1"}


def test_an_estimate_is_the_mean_over_seeds_and_images_with_its_interval(summary, measured):
    cell = measured.cell("tuned", "baseline")
    found = row(summary.estimates, arm="baseline", metric="skill", **OF_TUNED)
    expected = bootstrap_mean(cell.values["skill", ""])
    assert found["mean"] == pytest.approx(cell.values["skill", ""].mean()) and found["low"] <= found["mean"]
    for name in ("mean", "low", "high", "n"):
        assert found[name] == pytest.approx(getattr(expected, name))
    assert (found["n"], found["seeds"]) == (3 * planted.IMAGES, [0, 1, 2])
    rank = row(summary.estimates, arm="baseline", metric="rank1", **OF_TUNED)
    assert rank["low"] == pytest.approx(proportion(cell.values["rank1", ""]).low) and rank["high"] <= 1


def test_each_evaluators_verdict_has_a_row_of_its_own(summary, measured):
    found = rows(summary.estimates, arm="baseline", metric="confidence", **OF_TUNED)
    assert [each["evaluator"] for each in found] == list(STUDY.evaluators)
    cell = measured.cell("tuned", "baseline")
    for each in found:
        assert each["mean"] == pytest.approx(cell.values["confidence", each["evaluator"]].mean())
    assert len({each["mean"] for each in found}) == 3
    assert "evaluator" not in row(summary.estimates, arm="baseline", metric="skill", **OF_TUNED)


def test_estimates_hold_every_cell_and_every_metric_once(summary, measured):
    by_cell = {}
    for each in summary.estimates:
        place = {name: each[name] for name in each if name in ("arm", "attack", "depth", "moment", "sparse_end")}
        place |= {name: each[name] for name in each if name.startswith("smoothness")}
        by_cell.setdefault(frozenset(place.items()), []).append((each["metric"], each.get("evaluator", "")))
    assert by_cell.keys() == measured.cells.keys()
    for place, found in by_cell.items():
        values = measured.cells[place].values
        known = {"auc", "tpr_at_1pct_fpr"} if ("score", "") in values else {metric for metric, _ in values}
        assert len(set(found)) == len(found) and {metric for metric, _ in found} == known - {"fell", "in_training"}
    assert rows(summary.estimates, attack="dlg", metric="label_found", moment="end")


def test_membership_has_its_own_two_metrics(summary, measured):
    auc, rate = rows(summary.estimates, arm="baseline", attack="loss")
    assert (auc["metric"], rate["metric"]) == ("auc", "tpr_at_1pct_fpr")
    assert auc["mean"] == pytest.approx(measured.cell("loss", "baseline").mean("auc", [0, 1, 2]))
    assert 0.5 < auc["low"] <= auc["mean"] <= auc["high"] <= 1


def test_differences_are_paired_with_the_ordinary_arm_on_the_seeds_of_both(summary, measured):
    found = row(summary.differences, arm="suppressed-example", sparse_end=0.95, metric="skill", **OF_TUNED)
    own, other = (measured.cell("tuned", arm).values["skill", ""] for arm in ("suppressed-example", "baseline"))
    assert found["mean"] == pytest.approx((own - other).mean()) and found["high"] < 0
    assert found["low"] == pytest.approx(bootstrap_mean(own - other).low)
    swept = row(summary.differences, arm="suppressed-example", sparse_end=0.5, metric="skill", **OF_TUNED)
    assert (swept["seeds"], swept["n"]) == ([0], planted.IMAGES)
    assert swept["mean"] == pytest.approx(
        (
            measured.cell("tuned", {"arm": "suppressed-example", "sparse_end": 0.5}).values["skill", ""] - other[:1]
        ).mean()
    )
    assert not rows(summary.differences, arm="baseline") and not rows(summary.differences, arm="none")
    assert not rows(summary.differences, attack="loss")


def test_the_strongest_is_told_for_each_model_and_primary_metric(summary):
    assert {each["metric"] for each in summary.strongest} == {"skill", "rank1"}
    assert len(summary.strongest) == 2 * len(summary.arms)
    assert row(summary.strongest, arm="baseline", metric="skill") == {"arm": "baseline", "metric": "skill", **OF_TUNED}
    assert row(summary.strongest, arm="suppressed-example", sparse_end=0.98, metric="skill")["attack"] == "tuned"


def test_the_best_image_by_image_is_a_bound_beside_the_strongest(summary, measured):
    assert len(summary.bounds) == 2 * len(summary.arms)
    cells = [measured.cell(name, "baseline").values for name in ("tuned", "ridge")]
    found = row(summary.bounds, arm="baseline", metric="skill")
    assert found["mean"] == pytest.approx(np.maximum(*(values["skill", ""] for values in cells)).mean())
    assert found["attacks"] == ["tuned", "ridge"]  # of the strongest, those that were made
    strongest = row(summary.estimates, arm="baseline", metric="skill", **OF_TUNED)
    assert found["mean"] >= strongest["mean"]


def test_gates_of_decoders_are_each_models_own(tmp_path):
    study = planted.study(attacks=[*planted.PROFILE["attacks"], "decoder"])

    def decided(better, held_out):
        jobs = planted.jobs(study)
        for run, arrays in (pair for pairs in jobs.values() for pair in pairs):
            if run.factors.get("attack") == "decoder":
                of_this = better if run.factors["arm"] == "dense-sgd" else 0.2
                arrays["skill"] = np.float32(planted.SKILL["ridge"] + of_this + 0 * arrays["skill"])
                run.chosen["held_out_skill"] = planted.SKILL["ridge"] + held_out
        folder = tmp_path / f"{better}{held_out}"
        found = summarise(Results.load(planted.write(folder, jobs)), study, "tiny", CLAIMS).gates
        return {gate.name for gate in found if gate.about == "dense-sgd" and not gate.passed}

    assert decided(0.2, 0.2) == set()
    assert decided(-0.2, -0.2) == {"decoder-beats-ridge"}
    assert decided(0.2, 0.1) == decided(0.2, 0.3) == {"held-out-agrees"}


def test_gates_are_decided_by_the_attacks_that_claims_name(summary, measured):
    found = {(gate.name, gate.about): gate for gate in summary.gates}
    skill = bootstrap_mean(measured.cell("tuned", "baseline").values["skill", ""])
    assert found["tuned-beats-mean", ""] == gates.beats_the_mean_image(skill)
    conv1 = measured.cell({"attack": "tuned", "depth": "conv1"}, "baseline").values["psnr", ""]
    assert found["conv1-near-perfect", ""] == gates.near_perfect_at_conv1(bootstrap_mean(conv1))
    assert found["shuffled-no-better", ""].passed and found["shuffled-no-better", ""].found < 0
    assert found["tuned-beats-its-start", ""].passed
    assert {about for name, about in found if name == "objective"} == {arm.name for arm in measured.arms.values()}
    assert found["matched", "accuracy-matched"].passed and found["matched", "accuracy-matched"].of_model
    assert {about for name, about in found if name == "matched"} == {"accuracy-matched"}
    half = found["sparsity", "suppressed-example@0.5"]
    assert half.passed and half.found == 0.5 and "from 0.49 to 0.51" in half.asked
    assert all(gate.passed for gate in summary.gates)


@pytest.mark.parametrize(("off", "passed"), [((-0.004, 0.0, 0.004), True), ((0.004, 0.004, 0.004), False)])
def test_an_arm_whose_settings_were_chosen_once_is_asked_for_the_mean_over_its_seeds(tmp_path, off, passed):
    arms = {name: [0, 1, 2] for name in ("baseline", "suppressed-example", "dense-sgd", "width-matched")}
    study = planted.study(arms=arms, sweeps={})
    jobs = planted.jobs(study)
    for seed in range(3):
        (run, _), (aim, _) = (jobs[f"train-{arm}-seed{seed}"][0] for arm in ("width-matched", "suppressed-example"))
        run.results["test_accuracy"] = aim.results["test_accuracy"] + off[seed]
    found = summarise(Results.load(planted.write(tmp_path, jobs)), study, "tiny", CLAIMS).gates
    (gate,) = [gate for gate in found if gate.name == "matched-on-average"]
    assert gate.passed == passed and gate.about == "width-matched" and gate.title == study.arms["width-matched"].title


@pytest.mark.parametrize(("accuracy", "passed"), [(0.985, True), (0.991, True), (0.984875, False), (0.991125, False)])
def test_who_is_off_by_as_much_as_is_allowed_is_within_and_by_an_image_more_is_not(tmp_path, accuracy, passed):
    arms = {name: [0] for name in ("baseline", "suppressed-example", "dense-sgd", "accuracy-matched")}
    study = planted.study(arms=arms, sweeps={}, further={})
    jobs = planted.jobs(study)
    for arm, reached in (("accuracy-matched", accuracy), ("suppressed-example", 0.988)):
        jobs[f"train-{arm}-seed0"][0][0].results["test_accuracy"] = reached
    found = summarise(Results.load(planted.write(tmp_path, jobs)), study, "tiny", CLAIMS).gates
    assert [gate.passed for gate in found if gate.name == "matched"] == [passed]


def test_in_an_incomplete_run_models_are_matched_on_the_seeds_that_both_have(tmp_path):
    arms = {name: [0, 1, 2] for name in ("baseline", "suppressed-example", "dense-sgd", "accuracy-matched")}
    study = planted.study(arms=arms | {"width-matched": [0, 1, 2]}, sweeps={}, further={})
    jobs = planted.jobs(study)
    jobs.pop("attack-suppressed-example-seed2")  # trained, and not looked at
    results = Results.load(planted.write(tmp_path, jobs))
    found = summarise(results, study, "tiny", CLAIMS, allow_missing=True).gates
    assert {"matched", "matched-on-average"} <= {gate.name for gate in found}


def test_gates_fail_where_there_is_cause(tmp_path):
    jobs = planted.jobs(STUDY)
    for name, pairs in jobs.items():
        for run, arrays in pairs:
            if run.factors.get("attack") == "ridge-shuffled":
                arrays["skill"] = arrays["skill"] + np.float32(0.3)
            if run.name == "attack-tuned-fc1-dense-sgd-seed1":
                arrays["fell"] = np.arange(planted.IMAGES) < planted.IMAGES // 2
            if name == "train-accuracy-matched-seed1":
                run.results["test_accuracy"] = 0.96
            if name == "train-suppressed-example@0.5-seed0":
                run.results["sparsity"] = {"fc1.weight": 0.5, "fc2.weight": 0.0}
    planted.write(tmp_path, jobs)
    found = summarise(Results.load(tmp_path), STUDY, "tiny", CLAIMS)
    failed = {(gate.name, gate.about) for gate in found.gates if not gate.passed}
    assert failed == {
        ("shuffled-no-better", ""),
        ("objective", "dense-sgd"),
        ("matched", "accuracy-matched"),
        ("accuracy", "accuracy-matched"),
        ("sparsity", "suppressed-example@0.5"),
    }
    assert found.verdicts["H2"].verdict == "not tested" and "attack too weak" in found.verdicts["H2"].reason


def with_attacks_on_gradients(tmp_path, change):
    """A study with the controls of attacks on gradients, once `change` has been made to the arrays of each."""
    attacks, further = [*planted.PROFILE["attacks"], "analytic-planted", "dlg-sigmoids"], planted.PROFILE["further"]
    another = {"attacks": ["analytic-another"], "arms": ["baseline"], "seeds": [0, 1, 2]}
    study = planted.study(attacks=attacks, further=further | {"another": another})
    jobs = planted.jobs(study)
    for run, arrays in (pair for pairs in jobs.values() for pair in pairs):
        change(run.factors.get("attack"), arrays)
    planted.write(tmp_path, jobs)
    return summarise(Results.load(tmp_path), study, "tiny", CLAIMS)


CONTROLS = {"analytic-exact", "dlg-on-sigmoids", "another-gradient-no-better", "another-gradient-found"}


def test_controls_of_attacks_on_gradients_pass_where_they_work(tmp_path):
    found = {gate.name: gate.passed for gate in with_attacks_on_gradients(tmp_path, lambda attack, arrays: None).gates}
    assert found.keys() >= CONTROLS and all(found.values())


@pytest.mark.parametrize(
    ("gate", "attack", "broken"),
    [
        ("analytic-exact", "analytic-planted", {"relative_l2": 2e-4}),  # of one image
        ("dlg-on-sigmoids", "dlg-sigmoids", {"psnr": 20 * np.ones(10)}),
        ("dlg-on-sigmoids", "dlg-sigmoids", {"failed": np.arange(10) < 6}),
        ("another-gradient-no-better", "analytic-another", {"rank1": np.arange(10) < 8}),
        ("another-gradient-found", "analytic-another", {"rank1_of_sent": np.arange(10) < 3}),
    ],
)
def test_a_broken_attack_on_gradients_or_control_fails_its_gate(tmp_path, gate, attack, broken):
    def broke(name, arrays):
        if name == attack:
            for metric, value in broken.items():
                arrays[metric] = np.array([*arrays[metric][:-1], value] if np.isscalar(value) else value, np.float32)

    found = with_attacks_on_gradients(tmp_path, broke).gates
    assert {one.name for one in found if not one.passed} == {gate}


@pytest.mark.parametrize(("lost", "there"), [(0, 10), (3, 7), (5, 5), (6, 0)])
def test_failed_images_are_counted_and_where_most_are_there_is_no_mean(tmp_path, lost, there):
    jobs = planted.jobs(STUDY)
    ((_, arrays),) = jobs["attack-baseline-seed0-gradients"]
    arrays["failed"] = np.float32(np.arange(10) < lost)
    arrays["skill"] = np.where(arrays["failed"], np.float32(-99), arrays["skill"])
    planted.write(tmp_path, jobs)
    found = summarise(Results.load(tmp_path), STUDY, "tiny", CLAIMS)
    of = {"attack": "dlg", "moment": "end", "arm": "baseline"}
    assert row(found.estimates, **of, metric="failed")["mean"] == pytest.approx(lost / 10)
    if not there:
        assert {row["metric"] for row in rows(found.estimates, **of)} == {"failed"}
        return
    skill = row(found.estimates, **of, metric="skill")
    assert skill["n"] == there and skill["low"] > 0.8
    assert skill["by_seed"] == [pytest.approx(arrays["skill"][lost:].mean())]


def test_equal_accuracy_is_not_asked_where_all_is_cut_short(results):
    study = planted.study(matched=False)
    found = summarise(results, study, "tiny", CLAIMS)
    assert not [gate for gate in found.gates if gate.name == "matched"]
    assert [gate for gate in found.gates if gate.name == "accuracy"]


def test_models_stand_with_what_their_trainings_and_features_say(summary, measured):
    by_title = {arm.title: arm for arm in summary.arms}
    ordinary, half = by_title["ordinary"], by_title["suppressed to 50 %"]
    assert (ordinary.seeds, ordinary.test_accuracy) == ([0, 1, 2], [0.99, 0.9901, 0.9902])
    assert (ordinary.documented, half.documented) == ("ordinary", None)
    assert half.factors == {"arm": "suppressed-example", "sparse_end": 0.5}
    assert half.sparsity == {"fc1.weight": [0.5], "fc2.weight": [0.5]}
    looks = [run.results["effective_rank"] for run in measured.arm("baseline").mechanisms.values()]
    assert ordinary.mechanism.effective_rank.mean == pytest.approx(np.mean(looks))
    assert ordinary.mechanism.dead_units == [0.1] * 3


def test_the_whole_is_described(summary, results):
    assert (summary.campaign, summary.profile, summary.notice) == ("mnist-lenet5", "tiny", "Made up.")
    assert (summary.data.name, summary.data.train) == ("planted", 100)
    assert (summary.seeds, summary.images, summary.missing) == ([0, 1, 2], planted.IMAGES, 0)
    assert (summary.commits, summary.uncommitted) == (["0123456789ab"], 0)
    judges = [results.runs[f"train-{model}"] for model in STUDY.judges().values()]
    assert list(summary.evaluators.values()) == [run.results["test_accuracy"] for run in judges]
    assert list(summary.evaluators) == list(STUDY.evaluators)
    assert summary.verdicts.keys() == CLAIMS.claims.keys()
    assert summary.verdicts["H2"].verdict == "holds" and summary.verdicts["H6a"].verdict == "not tested"


def test_runs_with_uncommitted_changes_and_missing_ones_are_counted(tmp_path):
    jobs = planted.jobs(STUDY)
    jobs["attack-baseline-seed0"][0][0].commit = "0123456789ab-dirty"
    jobs["attack-baseline-seed1"][0][0].commit = "ba9876543210"
    lost = jobs.pop("attack-baseline-seed0-gradients")
    planted.write(tmp_path, jobs)
    found = summarise(Results.load(tmp_path), STUDY, "tiny", CLAIMS, allow_missing=True)
    assert (found.commits, found.uncommitted) == (["0123456789ab", "ba9876543210"], 1)
    assert found.missing == len(lost) == 1 and not rows(found.estimates, attack="dlg")


# The file


def test_a_summary_comes_back_as_it_was_saved_to_ten_digits(summary, tmp_path):
    path = tmp_path / "summary.json"
    summary.save(path)
    found = Summary.load(path)
    assert [arm.factors for arm in found.arms] == [arm.factors for arm in summary.arms]
    assert found.gates == [gate for gate in found.gates] and found.verdicts.keys() == summary.verdicts.keys()
    for saved, own in zip(found.estimates, summary.estimates, strict=True):
        assert saved["mean"] == float(f"{own['mean']:.10g}") and saved["seeds"] == own["seeds"]
    again = tmp_path / "again.json"
    found.save(again)
    assert again.read_bytes() == path.read_bytes()


def test_rows_stand_one_a_line(summary, tmp_path):
    path = tmp_path / "summary.json"
    summary.save(path)
    lines = path.read_text().splitlines()
    for table in ("estimates", "differences", "strongest", "gates", "arms"):
        start = lines.index(f' "{table}": [')
        count = len(getattr(summary, table))
        read = [json.loads(line.rstrip(",")) for line in lines[start + 1 : start + 1 + count]]
        assert len(read) == count and lines[start + 1 + count] in (" ],", " ]")


def test_a_table_of_it_opens_as_a_frame(summary):
    frame = summary.frame("estimates")
    assert len(frame) == len(summary.estimates)
    mean = frame[(frame.arm == "baseline") & (frame.attack == "tuned") & (frame.depth == "fc1")]
    found = row(summary.estimates, arm="baseline", metric="skill", **OF_TUNED)["mean"]
    assert mean[mean.metric == "skill"]["mean"].item() == found


# Games of membership


@pytest.fixture(scope="module")
def games(tmp_path_factory):
    study = planted.study(games={"canaries": {"dense-sgd": 5, "suppressed-example": 5}})
    results = planted.results(tmp_path_factory.mktemp("games"), study)
    return results, summarise(results, study, "tiny", CLAIMS)


def test_a_game_is_summed_up_over_its_models_and_compared_pair_by_pair(games):
    results, summary = games
    found = row(summary.games, arm="dense-sgd", attack="lira", game="canaries", among="canaries", metric="auc")
    areas = [results.runs[f"attack-lira-canaries-dense-sgd-seed{seed}"].results["canaries"]["auc"] for seed in range(5)]
    assert (
        found["by_seed"] == areas and found["mean"] == pytest.approx(np.mean(areas)) and found["seeds"] == [*range(5)]
    )
    assert found["high"] - found["low"] > 0.05
    arm, what = {"arm": "suppressed-example", "sparse_end": 0.95}, {"attack": "lira", "metric": "auc"}
    less = row(summary.game_differences, **arm, **what, among="others")
    # Paired: what a draw gives to both arms alike is no uncertainty.
    assert less["mean"] == pytest.approx(-0.1, abs=0.002) and less["high"] - less["low"] < 0.005
    assert not rows(summary.game_differences, arm="dense-sgd") and not rows(summary.game_differences, arm="none")
    assert len(rows(summary.games, arm="none")) == 3 and not rows(summary.games, arm="none", among="canaries")


def test_epsilon_is_bounded_from_all_canaries_of_an_arm_together(games):
    results, summary = games
    found = row(summary.audits, arm="dense-sgd", attack="lira", game="canaries")
    table = results.membership
    own = table[(table.attack == "lira") & (table.arm == "dense-sgd") & (table.game == "canaries")]
    assert found["canaries"] == len(own) and found["seeds"] == [*range(5)]
    assert (
        found["epsilon"]
        == audit(own.score.to_numpy(), own.member.to_numpy(), delta=found["delta"]).epsilon
        <= found["largest"]
    )
    assert found["largest"] == largest_epsilon(len(own), found["delta"]) > 0
    assert not rows(summary.audits, arm="none")  # whose draws nobody was trained on


def test_games_change_nothing_else_of_a_summary(games, summary):
    _, with_games = games
    assert summary.games == summary.game_differences == []
    assert with_games.estimates == summary.estimates and with_games.differences == summary.differences
    assert {gate.name for gate in with_games.gates} - {gate.name for gate in summary.gates} == {
        *("canaries-found", "coins-shuffled", "blind-at-chance")
    }
    assert all(gate.passed for gate in with_games.gates if gate.name in gates.OF_GAMES)


@pytest.mark.parametrize(
    ("name", "attack", "area"),
    [
        ("canaries-found", "lira-canaries-dense-sgd", 0.65),
        ("coins-shuffled", "lira-shuffled-canaries-suppressed-example", 0.55),
        ("blind-at-chance", "blind-canaries-none", 0.45),
    ],
)
def test_a_games_gate_fails_where_its_control_is_broken(games, name, attack, area):
    results, _ = games
    runs = dict(results.runs)
    for seed in range(5):
        run = runs[f"attack-{attack}-seed{seed}"]
        among = {each: {"auc": area + 0.001 * seed} for each in run.results}
        changed = {each: run.results[each] | among[each] for each in among}
        runs[run.name] = replace(run, results=changed)
    study = planted.study(games={"canaries": {"dense-sgd": 5, "suppressed-example": 5}})
    broken = summarise(replace(results, runs=runs), study, "tiny", CLAIMS)
    assert [gate.passed for gate in broken.gates if gate.name == name] == [False]
