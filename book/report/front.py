"""The first page: the answer to the book's question, as the verdict has it, and the facts beside it."""

from dataclasses import dataclass
from math import inf
from statistics import fmean

from report.cards import measured_nonetheless
from report.context import Averaged, Factors, Report
from report.language import _, told
from suppress_privacy.evaluation.gates import MATCHED
from suppress_privacy.evaluation.intervals import Estimate
from suppress_privacy.evaluation.verdict import HOLDS, NOT_TESTED, REFUTED
from suppress_study.claims import Lower
from suppress_study.jobs import Variant
from suppress_study.summary import Arm

IDENTIFIED, CONFIDENCE = "rank1", "confidence"  # what counts here, and what the tutorial measures
PRIVATE = "dpsgd"  # a kind of defence
AS_ACCURATE = 0.01  # how far from the suppressed network's test accuracy still counts as about as accurate
CLASS_MEAN = "class-mean"  # reconstructs nothing: the average image of the digit that the network predicts


@dataclass(frozen=True)
class Row:
    """One row of the first page's picture: what an attack makes of some private digits."""

    title: str
    attack: Variant
    arm: Factors


def answer(report: Report) -> str:
    """The answer to the book's question, and why there is none if that is so."""
    return short_answer(report) + (_(" {why}", why=said) if (said := why(report)) else "")


def short_answer(report: Report) -> str:
    """The answer to the book's question: one sentence, by the verdict on it."""
    found = report.summary.verdicts[report.claims.question]
    untested = found.verdict == NOT_TESTED
    suppressed, matched = (_identified(report, name) for name in ("suppressed", "matched"))
    if suppressed is None or matched is None or (untested and not measured_nonetheless(found)):
        lacking = told(found.reason) if found.reason else _("it has not all networks that the answer needs")
        return _("**This run cannot tell.** Why: {why}.", why=lacking)
    against = (IDENTIFIED, report.study.roles.matched)
    apart = next((one for one in found.comparisons if (one.metric, one.control) == against), None)
    # As many digits as it takes to see on which side of zero both ends are.
    digits = 0 if apart and min(abs(apart.low), abs(apart.high)) >= 0.005 else 1
    ends = {"low": f"{100 * apart.low:+.{digits}f}", "high": f"{100 * apart.high:+.{digits}f}"} if apart else {}
    openings = {HOLDS: _("Yes, as far as these attacks go"), REFUTED: _("No: more is exposed, to these attacks")}
    none = _("Undecided, by its own rules" if untested else "No protection was found")
    return _(
        "**{opening}.** The strongest attack identifies **{suppressed}** of private images from the suppressed network "
        "and **{matched}** from {other}{apart}.",
        opening=openings.get(found.verdict, none),
        suppressed=percent(suppressed),
        matched=percent(matched),
        other=_("an ordinary one matched to it" if untested else "an equally accurate ordinary one"),
        apart=_(" ({low} to {high} points, 95 % interval)", **ends) if apart else "",
    )


def why(report: Report) -> str:
    """Why what was measured is no answer, if that is so."""
    found = report.summary.verdicts[report.claims.question]
    if found.verdict != NOT_TESTED or not measured_nonetheless(found):
        return ""
    return _("Why it cannot tell: {why}.", why=_off(report, found.reason) or told(found.reason))


def _off(report: Report, reason: str) -> str:
    """By how much an ordinary network misses the accuracy that it was to have, if that is all of the reason."""
    off = [gate.found for gate in report.summary.gates if gate.name == "matched" and reason.endswith(f": {gate}")]
    both = map(report.arm, (report.study.roles.matched, report.study.roles.suppressed))
    means = [fmean(arm.reported_accuracy) for arm in both if arm]
    if not off or len(means) < 2:
        return ""
    shares = {"off": off[0], "mean": abs(means[0] - means[1]), "most": MATCHED}
    of = {name: f"{100 * share:.4g}" for name, share in shares.items()}
    return _("{off} points of accuracy lie between the two in a training ({mean} on average), {most} are allowed", **of)


def facts(report: Report) -> str:
    """A list: what the tutorial's attack shows, and what other defences do."""
    found = [_tutorials_fact(report), _others_fact(report), _privates_fact(report)]
    return "\n".join(f"- {fact}" for fact in found if fact)


def _tutorials_fact(report: Report) -> str:
    """The fall in confidence, beside what an image gets that reconstructs nothing."""
    if len(report.pair) < 2 or not report.reference:
        return ""
    attack, suppressed = report.reference[0], report.pair[1]
    got = [found for arm in report.pair if (found := report.estimate(CONFIDENCE, arm.factors, attack))]
    change = report.difference(CONFIDENCE, suppressed.factors, attack)
    if change is None or len(got) < 2:
        return ""
    documented = [f"{100 * (report.documented(arm, CONFIDENCE) or 0.0):.0f}" for arm in report.pair]
    said = _(
        "**The tutorial's own attack {gets}**: a classifier's confidence goes from {before} to {after} (documented: "
        "{first} % to {second} %).",
        gets=_("gets less" if change.high < 0 else "gets more" if change.low > 0 else "gets about as much"),
        before=percent(got[0]),
        after=percent(got[1]),
        **dict(zip(("first", "second"), documented, strict=True)),
    )
    idle = next((each for each in report.ladder if each.attack == CLASS_MEAN), None)
    nothing = report.estimate(CONFIDENCE, suppressed.factors, idle) if idle else None
    if nothing is None:
        return said
    more = _(", more than either") if nothing.mean > max(each.mean for each in got) else ""
    return said + _(
        " The predicted digit's average, which reconstructs nothing, has {share}{more}.",
        share=percent(nothing),
        more=more,
    )


def _others_fact(report: Report) -> str:
    """At about the suppressed network's accuracy: what noise does, and from which network clearly least is got."""
    noise, matched, suppressed = (_identified(report, name) for name in ("noise", "matched", "suppressed"))
    if noise is None or matched is None or suppressed is None or not (near := as_accurate(report)):
        return ""
    of_noise = _("{share} [{low} to {high}] with noise on the features", **_interval(noise))
    least, found = min(near, key=lambda one: one[1].mean)
    less = [of_noise] if noise.high < matched.low else []
    if least not in (*report.pair, report.arm(report.study.roles.noise)) and found.high < suppressed.low:
        less.append(_("{share} [{low} to {high}] from *{network}*", network=told(least.title), **_interval(found)))
    if not less:
        return _("**Noise does not do better**: {share} are identified, at about the same accuracy.", share=of_noise)
    return _("**Less is identified at about the same accuracy**: {shares}.", shares=_(", ").join(less))


def _privates_fact(report: Report) -> str:
    """What a network trained with differential privacy gives, of the accuracy nearest to the suppressed one's."""
    arm = private(report)
    found = report.strongest(IDENTIFIED, arm) if arm else None
    suppressed = _identified(report, "suppressed")
    if arm is None or found is None or suppressed is None:
        return ""
    better = found.high < suppressed.low
    return _(
        "**Differential privacy {helps}**: {share} at {accuracy} % accuracy.",
        helps=_("hides images better" if better else "does not help here, nor promise to"),
        accuracy=f"{100 * fmean(arm.test_accuracy):.1f}",
        share=percent(found),
    )


def private(report: Report) -> Arm | None:
    """Of the networks trained with differential privacy the one that is nearest to the suppressed one in accuracy."""
    suppressed = report.arm(report.study.roles.suppressed)
    defences = {name: arm.defence for name, arm in report.study.arms.items()}
    there = [arm for arm in report.summary.arms if (defences.get(str(arm.factors["arm"])) or {}).get("kind") == PRIVATE]
    if suppressed is None or not there:
        return None
    aim = fmean(suppressed.test_accuracy)
    return min(there, key=lambda arm: abs(fmean(arm.test_accuracy) - aim))


def as_accurate(report: Report) -> list[tuple[Arm, Averaged]]:
    """Networks of about the suppressed one's accuracy, itself among them, each with what is identified from it."""
    aim = fmean(report.pair[1].test_accuracy) if len(report.pair) > 1 else inf
    near = [arm for arm in report.summary.arms if abs(fmean(arm.test_accuracy) - aim) <= AS_ACCURATE]
    return [(arm, found) for arm in near if (found := report.strongest(IDENTIFIED, arm))]


def scope(report: Report) -> str:
    """What the answer is about, and where to read on: the first page's one line on limits."""
    seeds = len(report.summary.seeds)
    return _(
        "**One network, LeNet5 on {data}, {trainings}; a better attack may get more.** {{doc}}`How far to trust it "
        "<trust>`, {{doc}}`how to read it <how_to_read>`, {{doc}}`run it yourself <rerun>`.",
        data=report.summary.data.name,
        trainings=_("one training" if seeds == 1 else "{count} trainings", count=seeds),
    )


def _identified(report: Report, role: str) -> Averaged | None:
    """The share of private images that the strongest attack identifies, from the network of a role of study.yaml."""
    arm = report.arm(getattr(report.study.roles, role))
    return report.strongest(IDENTIFIED, arm) if arm else None


def networks(report: Report) -> list[tuple[str, Arm]]:
    """The networks of one accuracy that the first page compares, with words for them."""
    roles = report.study.roles
    named = ((_("ordinary"), roles.matched), (_("suppressed"), roles.suppressed), (_("noisy features"), roles.noise))
    return [(title, arm) for title, name in named if (arm := report.arm(name))]


def networks_beside(report: Report) -> list[Arm]:
    """The suppressed network among those that it is compared with most: its controls, and two other defences."""
    roles, asked = report.study.roles, report.claims.claims[report.claims.question]
    named = [roles.control, roles.suppressed, *(asked.controls if isinstance(asked, Lower) else ()), roles.noise]
    there = [arm for name in dict.fromkeys(named) if (arm := report.arm(name))]
    return [*there, *filter(None, [private(report)])]


def rows(report: Report) -> dict[str, list[Row]]:
    """The first page's picture, by what reconstructs: no attack, the tutorial's, the strongest one."""
    there = networks(report)
    idle = [each for each in report.ladder if each.attack == CLASS_MEAN]
    strongest = [(title, report.strongest_attack(IDENTIFIED, arm), arm.factors) for title, arm in there]
    return {
        _("no attack"): [
            Row(_("average of the\npredicted digit"), each, arm.factors) for each in idle for arm in report.pair[1:]
        ],
        _("the tutorial's\nattack"): [
            Row(title, each, arm.factors) for each in report.reference[:1] for title, arm in there
        ],
        _("the strongest\nattack"): [Row(title, each, factors) for title, each, factors in strongest if each],
    }


def figures_said(report: Report) -> list[tuple[str, Row, str]]:
    """What the first page says in figures: by what reconstructs, of which network, by which metric."""
    return [
        (by, row, metric) for by, found in rows(report).items() for row in found for metric in (IDENTIFIED, CONFIDENCE)
    ]


def _interval(share: Estimate) -> dict[str, str]:
    """A share with its 95 % interval, as a page says them."""
    return {"share": percent(share), "low": f"{100 * share.low:.0f}", "high": f"{100 * share.high:.0f}"}


def percent(share: Estimate) -> str:
    """A share as a page says it."""
    return _("{share} %", share="<1" if 0 < share.mean < 0.005 else f"{100 * share.mean:.0f}")
