"""Small tables for the pages that say a finding: few rows, each figure with its interval, shares in per cent."""

from collections.abc import Iterable, Mapping
from itertools import product

from report.context import Report
from report.findings import JUDGED_BY, of_one_image, played, sending
from report.front import CONFIDENCE, IDENTIFIED, networks_beside
from report.tables import FEW, TUTORIAL, measured, table
from suppress_privacy.evaluation.gates import REQUIRED
from suppress_privacy.evaluation.intervals import Estimate
from suppress_privacy.evaluation.metrics import METRICS, label
from suppress_study.jobs import Variant
from suppress_study.summary import Arm

SKILL, AREA = "skill", "auc"
SHORT = {IDENTIFIED: "identified", SKILL: "skill"}  # as the pages explain them


def cell(metric: str, found: Estimate | None) -> str:
    """A mean with its 95 % interval in as few digits as say it: shares in per cent, few images as their number."""
    if found is None:
        return "n/a"
    if METRICS[metric].proportion and found.n <= FEW:
        return measured(metric, found)
    share = _is_share(metric)
    digits = 2 - share if METRICS[metric].of == "scores" else 0 if share else 2
    mean, low, high = ((100 if share else 1) * each for each in (found.mean, found.low, found.high))
    return f"{mean:z.{digits}f}{' %' if share else ''} [{low:z.{digits}f} to {high:z.{digits}f}]"


def _is_share(metric: str) -> bool:
    """Whether it is said in per cent; an area is a share of nothing."""
    return (METRICS[metric].low, METRICS[metric].high) == (0, 1) and metric != AREA


def _rows(report: Report, attacks: Mapping[str, Variant], arms: list[Arm], metrics: list[str], head: str) -> str:
    """A row for each attack by its title, a column for each metric and arm; one metric is the caption's to name."""
    named = [SHORT.get(name, METRICS[name].label) for name in metrics]
    heads = [f"{name}, {arm.title}" if metrics[1:] else arm.title for name in named for arm in arms]
    rows = [
        [title, *(cell(name, report.estimate(name, arm.factors, attack)) for name in metrics for arm in arms)]
        for title, attack in attacks.items()
        if report.made([attack], arms)
    ]
    return table([head, *heads], rows)


def _titled(attacks: Iterable[Variant]) -> dict[str, Variant]:
    return {each.title: each for each in attacks}


def tutorial_small(report: Report) -> str:
    """The documented figures beside ours, of the tutorial's attack; and what an average of the digit gets."""
    if len(report.pair) < 2 or not report.reference:
        return ""
    attack, idle = report.reference[0], [each for each in report.ladder if each.attack == "class-mean"]
    heads = ["figure"] + [f"{arm.title}, {which}" for arm in report.pair for which in ("documented", "here")]
    rows = []
    for metric in TUTORIAL:
        row = [label(metric)]
        for arm in report.pair:
            said = report.documented(arm, metric)
            documented = "n/a" if said is None else _as(metric, said)
            row += [documented, cell(metric, report.estimate(metric, arm.factors, attack))]
        rows.append(row + [cell(metric, report.estimate(metric, report.pair[1].factors, each)) for each in idle])
    return table(heads + ["average of the predicted digit"] * len(idle), rows)


def _as(metric: str, value: float) -> str:
    return f"{100 * value:.0f} %" if _is_share(metric) else f"{value:.2f}"


def gap_small(report: Report) -> str:
    """Confidence under the tutorial's attack, of two networks of one optimiser, by evaluators of two architectures."""
    arms = [arm for arm in (report.arm(report.study.roles.control), *report.pair[1:]) if arm]
    judges = [*report.summary.evaluators]
    rows = []
    for attack, judge in product(report.reference, (judges[0], judges[-1])):
        found = [report.estimate(CONFIDENCE, arm.factors, attack, judge) for arm in arms]
        rows.append([attack.title, judge, *(cell(CONFIDENCE, each) for each in found)])
    return table(["attack", "judged by", *(arm.title for arm in arms)], rows, repeat=True) if len(arms) > 1 else ""


def attacks_small(report: Report) -> str:
    """From a trivial guess to the strongest attack, on the tutorial's two models."""
    shuffled = report.claims.checks.shuffled["attack"]
    attacks = [each for each in report.ladder if each.sees != "nothing" and each.attack != shuffled]
    return _rows(report, _titled(attacks), report.pair, [IDENTIFIED, SKILL], "attack")


def limits_small(report: Report) -> str:
    """Of both models: the strongest attack, the best of all image by image, and who has candidates to compare."""
    named = {"the strongest attack": report.strongest, "the best of all attacks, image by image": report.bound}
    found = {title: [get(IDENTIFIED, arm) for arm in report.pair] for title, get in named.items()}
    for each in report.seeing("gallery"):
        among = [report.estimate(IDENTIFIED, arm.factors, each) for arm in report.pair]
        found[f"{each.title}, among candidates"] = among
    rows = [[title, *(cell(IDENTIFIED, one) for one in row)] for title, row in found.items() if any(row)]
    return table(["identified by", *(arm.title for arm in report.pair)], rows) if len(rows) > 1 else ""


def weaker_small(report: Report) -> str:
    """The learned attack by attackers who have less, below the one who has all."""
    kinds = [each.attack for each in report.learned if each in report.weaker]
    chosen = [each for each in report.weaker if each.attack == kinds[-1]] if kinds else []
    return _rows(report, _titled(chosen), report.pair, [IDENTIFIED], "attacker")


def depth_small(report: Report) -> str:
    """The tuned attack by the layer whose features it sees, the first one first."""
    tuned = report.claims.checks.tuned["attack"]
    seen = [each for each in report.seeing("features") if each.attack == tuned and {*each.factors} == {"depth"}]
    layers = {f"`{each.factors['depth']}`": each for each in seen}
    ordered = {name: layers[name] for name in (f"`{layer}`" for layer in report.layers) if name in layers}
    return _rows(report, ordered, report.pair, [IDENTIFIED], "layer") if len(ordered) > 1 else ""


def checks_small(report: Report) -> str:
    """How many checks passed, by what attacks see, and how many of the models."""
    rows = []
    for sees, names in REQUIRED.items():
        gates = {gate.name: gate for gate in report.summary.gates if gate.sees == sees and gate.of_strength()}
        failed = [name for name in names if name in gates and not gates[name].passed]
        passed, missing = len(gates) - len(failed), [name for name in names if name not in gates]
        rows.append([f"attacks on {sees}", f"{passed} of {len(names)}", ", ".join(failed), ", ".join(missing)])
    others = [gate for gate in report.summary.gates if not gate.of_strength()]
    wrong = [str(gate) for gate in others if not gate.passed]
    rows.append(["sanity of attacks and models", f"{len(others) - len(wrong)} of {len(others)}", ", ".join(wrong), ""])
    return table(["checks", "passed", "failed", "not run"], rows)


def gradients_small(report: Report) -> str:
    """Attacks on one image's gradient at the end of training, on an ordinary and the suppressed network."""
    return _rows(report, _titled(of_one_image(report)), sending(report), [IDENTIFIED], "attack")


def membership_small(report: Report) -> str:
    """Membership inference on the tutorial's two models."""
    return _rows(report, _titled(report.seeing("outputs")), report.pair, [JUDGED_BY, AREA], "attack")


def games_small(report: Report) -> str:
    """Membership by coin: of each arm what the last of the attacks finds, and the epsilon that it refutes."""
    asked, study, rows = report.claims.strongest.membership[-1], report.study, []
    refuted = {(row["game"], row["arm"]): row["epsilon"] for row in report.summary.audits if row["attack"] == asked}
    for (game, arm), each in played(report).items():
        shares = [cell(JUDGED_BY, each.get(among)) for among in ("canaries", "others")]
        epsilon = f"{refuted[game, arm]:.1f}" if (game, arm) in refuted else "n/a"
        rows.append([study.games[game].title, study.arms[arm].title, *shares, epsilon])
    return table(["game", "network", "canaries found", "others found", "epsilon is at least"], rows)


def controls_small(report: Report) -> str:
    """The suppressed network among those that it is compared with: accuracy, and what the strongest attack gets."""
    rows = [
        [arm.title, f"{100 * sum(arm.test_accuracy) / len(arm.test_accuracy):.1f} %"]
        + [cell(name, report.strongest(name, arm)) for name in (IDENTIFIED, SKILL)]
        + [str(len(arm.seeds))]
        for arm in networks_beside(report)
    ]
    return table(["network", "test accuracy", SHORT[IDENTIFIED], SHORT[SKILL], "trainings"], rows)
