"""Words follow from figures."""

from dataclasses import replace

from planted import planted, with_summary

from report import sentences
from suppress_privacy.evaluation.gates import REQUIRED, Gate
from suppress_privacy.evaluation.verdict import Verdict
from suppress_study.retrained import Retrained


def test_a_failed_gate_turns_the_verdict():
    report = planted()
    passed, count = report.summary.gates, sum(map(len, REQUIRED.values()))
    said = sentences.gate_verdict(report)
    assert said == f"{count} of {count} checks of attack strength and 0 of 0 sanity checks passed."
    undecided = with_summary(report, gates=passed[1:])
    said = sentences.gate_verdict(undecided)
    assert said.startswith(f"{count - 1} of {count} checks of attack strength and ")
    assert said.endswith(f" **Not tested** by this run: {passed[0].name}.")
    weak = Gate("objective", "above 0", -0.25, False, "baseline", "ordinary")
    of_model = Gate("accuracy", "above 0", -0.25, False, "baseline", "ordinary", True)
    sound = replace(of_model, passed=True)
    said = sentences.gate_verdict(with_summary(report, gates=[*passed, weak, of_model, sound]))
    assert said.startswith(
        f"**Attack too weak.** {count} of {count} checks of attack strength and 1 of 3 sanity checks passed. "
    )
    assert "Failed: objective of ordinary: -0.25, asked was above 0; accuracy of ordinary: -0.25" in said
    said = sentences.gate_verdict(with_summary(report, gates=[*passed, of_model]))
    assert said.startswith("**A model is not what it should be.**")
    beaten = replace(passed[0], passed=False)
    said = sentences.gate_verdict(with_summary(report, gates=[beaten, *passed[1:]]))
    assert said.startswith(f"**Attack too weak.** {count - 1} of {count} checks of attack strength and 0 of 0 ")


def test_claims_are_counted():
    report = planted()
    all_of, count = ", ".join(report.claims.claims), len(report.claims.claims)
    assert sentences.verdict_counts(report) == f"Of {count} claims, {count} are not tested ({all_of})."
    for answers, said in (
        ({"a": "not tested", "b": "refuted"}, "Of 2 claims, 1 is refuted (b), and 1 is not tested (a)."),
        (
            {"a": "refuted", "b": "holds", "c": "not shown", "d": "refuted", "e": "holds", "f": "refuted"},
            "Of 6 claims, 2 hold (b, e), 3 are refuted (a, d, f), and 1 is not shown (c).",
        ),
        ({"a": "not shown", "b": "holds"}, "Of 2 claims, 1 holds (b), and 1 is not shown (a)."),
    ):
        verdicts = {name: Verdict(word, *[None] * 4, "") for name, word in answers.items()}
        assert sentences.verdict_counts(with_summary(report, verdicts=verdicts)) == said


def test_one_seed_is_not_said_to_cover_training():
    assert "they do not cover" in sentences.coverage(planted())
    assert "over up to 5 trainings" in sentences.coverage(planted("full"))


def test_the_page_says_what_the_runs_were_made_with():
    report = planted()
    own = "{doc}`runs` has each with its commit."
    assert sentences.provenance(report) == f"Its runs were made at commit `one`. {own}"
    said = sentences.provenance(with_summary(report, commits=["one", "two"], uncommitted=3))
    count = len(report.results.runs)
    assert said == (
        f"Its runs were made at the commits `one`, `two`. 3 of its {count} runs were made while the code had "
        f"uncommitted changes. {own}"
    )
    assert f" 1 of its {count} runs was made " in sentences.provenance(with_summary(report, uncommitted=1))
    fewer = replace(report.results, runs=dict([*report.results.runs.items()][2:]))
    said = sentences.provenance(replace(with_summary(report, uncommitted=3), results=fewer))
    assert f"3 of its {count - 2} runs were" in said
    taken = {name: replace(run, carried="zero") for name, run in [*report.results.runs.items()][2:]}
    runs = report.results.runs | taken
    assert sentences.provenance(replace(report, results=replace(report.results, runs=runs))) == (
        f"Its runs were made at commit `one`. {count - 2} of its runs were made at `zero` and taken over: this code "
        f"would make them the same. {own}"
    )


def test_the_banner_says_what_is_wrong():
    report = planted()
    assert sentences.warnings(report) == "Two short epochs, to see that every step works; the figures mean nothing."
    assert sentences.banner(planted("full")) == "Published run: MNIST, up to 5 trainings of each network."
    said = sentences.banner(with_summary(planted("full"), missing=2, notice="Notice!"))
    assert said == (
        "Published run: MNIST, up to 5 trainings of each network. This run is not complete: 2 of its runs are still to "
        "be made. Notice!"
    )


def test_a_look_at_features_is_one_sentence():
    look = {"effective_rank": [20.0, 30.0], "feature_norm": [1.0, 2.0], "dead_units": 0.125}
    said = sentences.mechanism_results(look)
    assert "Jacobian 25.0, 12.5 % of the units dead, norm of the features 1.50." in said


def test_the_page_says_what_was_made_again_and_whether_it_came_out_the_same():
    found = Retrained(
        "edition-9", "f" * 40, "2026-01-01", "a processor", "0" * 64, ["train-a", "attack-b"], {"train-a": "", "b": ""}
    )
    same = sentences.provenance(replace(planted(), retrained=found))
    assert "Drawn by the hash of tag edition-9, `train-a`, `attack-b` were made again in a fresh clone." in same
    assert same.endswith("With those that they start from, 2 runs came out the same, bit for bit.")
    other = replace(found, runs={"train-a": "weights", "b": ""})
    assert sentences.provenance(replace(planted(), retrained=other)).endswith("**1 of 2 runs came out different.**")
