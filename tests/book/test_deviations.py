"""What differs from the protocol is listed; what does not is not."""

from planted import planted, with_summary
from test_tables import cells

from report.deviations import deviations_table


def rows(report):
    return cells(deviations_table(report))[1:] if deviations_table(report) else []


def complete(report):
    """The report with as many trainings of each network as the profile has seeds, and all attacks on each."""
    seeds = report.study.profile(report.profile).seeds()
    targets = report.study.profile(report.profile).targets
    arms = [arm.model_copy(update={"seeds": seeds}) for arm in report.summary.arms]
    estimates = [row | {"seeds": seeds} for row in report.summary.estimates]
    images = 10 * (targets.train_per_class + targets.test_per_class)
    return matched(with_summary(report, arms=arms, estimates=estimates, images=images))


def matched(report, off=0.0):
    """The report, controls of equal accuracy so far from it in the first training."""
    wanted = report.arm("suppressed-example").reported_accuracy
    arms = [
        arm.model_copy(update={"reported_accuracy": [wanted[0] + off, *wanted[1:]][: len(arm.seeds)]})
        if report.study.arms[str(arm.factors["arm"])].accuracy_of
        else arm
        for arm in report.summary.arms
    ]
    return with_summary(report, arms=arms)


def test_a_run_that_is_as_asked_has_no_deviation():
    assert deviations_table(complete(planted("full"))) == ""


def test_networks_with_fewer_trainings_are_listed_with_the_claims_about_them():
    found = rows(planted("full"))
    fewer = {row[0]: row[1:] for row in found if row[0].startswith("trainings of ")}
    of_package = next(row for title, row in fewer.items() if "MindArmour itself (tutorial)" in title)
    assert of_package == ["5", "3", "R1m, R2m, E1"]
    assert any("DP-SGD, epsilon 1" in title and row[2] == "no claim" for title, row in fewer.items())
    assert not any("ordinary, stopped" in title for title in fewer)


def test_an_attack_that_was_not_made_on_a_network_is_listed():
    report = complete(planted("full"))
    arm = report.arm("accuracy-matched")
    left = [row for row in report.summary.estimates if (row["attack"], row["arm"]) != ("tuned", "accuracy-matched")]
    assert rows(with_summary(report, estimates=left)) == [
        [f"tuned inversion on {arm.title}", "5 trainings", "0", "H3, H5, H5c"],
    ]


def test_missing_images_runs_and_checks_are_listed():
    report = complete(planted("full"))
    less = with_summary(report, images=30, missing=2, gates=report.summary.gates[1:])
    assert [row[0].split(",")[0] for row in rows(less)] == ["private images", "runs", "checks of attacks on features"]
    assert rows(less)[0][1:] == ["500", "30", "all claims"]


def test_a_control_that_is_not_as_accurate_in_a_training_is_listed_with_its_mean():
    report = complete(planted("full"))
    (asked, there, _), *others = [row[1:] for row in rows(matched(report, 0.01)) if "stopped" in row[0]]
    assert (asked, there) == ("within 0.003", "1 of 5 farther off, at most 0.0100; +0.0020 on average") and not others
    assert rows(matched(report, -0.002)) == rows(matched(report, 0.003)) == rows(matched(report, -0.003)) == []
