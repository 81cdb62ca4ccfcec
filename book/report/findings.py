"""The sentence that each page and section opens with: what was found, in words that follow from the figures."""

from collections.abc import Sequence

import numpy as np
from scipy.stats import spearmanr

from report.context import Averaged, Report
from report.front import CLASS_MEAN, CONFIDENCE, IDENTIFIED, as_accurate, percent, private
from report.sentences import beside
from report.tables import FEW, measured, zeros
from suppress_privacy.evaluation.intervals import Estimate
from suppress_privacy.evaluation.metrics import FALSE_POSITIVE_RATE
from suppress_study.jobs import Variant
from suppress_study.summary import Arm

RELATED = 0.5  # of a rank correlation
MANY = 0.5  # of all images
JUDGED_BY = "tpr_at_1pct_fpr"  # membership inference


def tutorial_found(report: Report) -> str:
    """Whether the tutorial's fall in confidence is there, and how large it is beside the documented one."""
    if len(report.pair) < 2 or not report.reference or report.summary.documented is None:
        return ""
    attack, suppressed = report.reference[0], report.pair[1]
    got = [report.estimate(CONFIDENCE, arm.factors, attack) for arm in report.pair]
    change = report.difference(CONFIDENCE, suppressed.factors, attack)
    said = [report.documented(arm, CONFIDENCE) or 0.0 for arm in report.pair]
    if change is None or got[0] is None or got[1] is None:
        return ""
    size = beside(change, said[1] - said[0], said[1] - said[0], below="larger than", above="smaller than")
    size = "as large as" if size.startswith("not") else size
    word = f"The fall in confidence is there, and {size} documented"
    word = word if change.high < 0 else "Confidence rises" if change.low > 0 else "Confidence hardly changes"
    return (
        f"**{word}**: under the tutorial's attack it goes from {percent(got[0])} to {percent(got[1])}. The tutorial "
        f"reports {100 * said[0]:.0f} to {100 * said[1]:.0f} %."
    )


def accuracy_found(report: Report) -> str:
    """What suppression sets to zero, and what that costs in accuracy."""
    control = report.arm(report.study.roles.control)
    if control is None or len(report.pair) < 2:
        return ""
    apart = 100 * (np.mean(report.pair[1].test_accuracy) - np.mean(control.test_accuracy))
    word = "costs little" if abs(apart) < 1 else "costs accuracy" if apart < 0 else "costs nothing"
    return (
        f"**Suppression {word}**: with {zeros(report.pair[1])} of each weight matrix at zero, test accuracy changes by "
        f"{apart:+.1f} points against an ordinary network of the same optimiser."
    )


def gap_found(report: Report) -> str:
    """How much of the tutorial's fall in confidence is left between networks of one optimiser."""
    control = report.arm(report.study.roles.control)
    if control is None or len(report.pair) < 2 or not report.reference or report.summary.documented is None:
        return ""
    both = [report.estimate(CONFIDENCE, arm.factors, report.reference[0]) for arm in (control, report.pair[1])]
    said = [report.documented(arm, CONFIDENCE) or 0.0 for arm in report.pair]
    if both[0] is None or both[1] is None:
        return ""
    left, wanted = (f"{100 * (first - second):.0f}" for first, second in ((both[0].mean, both[1].mean), said))
    return (
        f"**Of the tutorial's {wanted} points {left} are left**, where both networks have the same optimiser: "
        f"confidence goes from {percent(both[0])} to {percent(both[1])}."
    )


def attacks_found(report: Report) -> str:
    """What the strongest attack gets from the tutorial's two models, beside the tutorial's and a trivial guess."""
    strongest = [report.strongest(IDENTIFIED, arm) for arm in report.pair]
    if len(report.pair) < 2 or strongest[0] is None or strongest[1] is None:
        return ""
    said = (
        f"**Attacks that suit themselves to the network get {_than(strongest[1], strongest[0])} from the suppressed "
        f"one**: the strongest identifies {percent(strongest[1])} of private images, and {percent(strongest[0])} from "
        "the ordinary one."
    )
    weak = [
        ("the tutorial's attack", report.reference[:1]),
        ("a trivial guess, the predicted digit's average,", _idle(report)),
    ]
    told = [
        f"{name} identifies {percent(found)}"
        for name, attacks in weak
        for each in attacks
        if (found := report.estimate(IDENTIFIED, report.pair[1].factors, each))
    ]
    return f"{said} From the suppressed one {' and '.join(told)}." if told else said


def _idle(report: Report) -> list[Variant]:
    return [each for each in report.ladder if each.attack == CLASS_MEAN]


def _than(one: Estimate, other: Estimate) -> str:
    return "less" if one.high < other.low else "more" if one.low > other.high else "about as much"


def limits_found(report: Report) -> str:
    """What no choice among these attacks can exceed, from the suppressed model."""
    arm = report.arm(report.study.roles.suppressed)
    bound, strongest = (report.bound(IDENTIFIED, arm), report.strongest(IDENTIFIED, arm)) if arm else (None, None)
    if bound is None or strongest is None:
        return ""
    return (
        f"**Together these attacks identify {percent(bound)}** from the suppressed network, if the best is "
        f"picked image by image; the strongest alone identifies {percent(strongest)}."
    )


def weaker_found(report: Report) -> str:
    """What an attacker with less still gets from the suppressed model."""
    rows = [(each, _from_suppressed(report, each)) for each in report.weaker if each not in report.ladder]
    there = [(each, found) for each, found in rows if found]
    if not there:
        return ""
    least, most = (pick(there, key=lambda one: one[1].mean) for pick in (min, max))
    return (
        f"**With less, an attacker still identifies {percent(least[1])} to {percent(most[1])}** from the suppressed "
        f"network: least by {least[0].title}, most by {most[0].title}."
    )


def _from_suppressed(report: Report, attack: Variant) -> Averaged | None:
    arm = report.arm(report.study.roles.suppressed)
    return report.estimate(IDENTIFIED, arm.factors, attack) if arm else None


def depth_found(report: Report) -> str:
    """What the tuned attack gets at the first and at the last layer that it looks at."""
    looked = [each for each in report.depths if each.attack == report.claims.checks.tuned["attack"]]
    found = [(str(each.factors["depth"]), got) for each in looked if (got := _from_suppressed(report, each))]
    if len(found) < 2:
        return ""
    (first, near), (last, far) = found[0], found[-1]
    return (
        f"**The deeper the layer, the {'less' if far.mean < near.mean else 'more'} is left**: tuned inversion "
        "identifies "
        f"{_share(near)} at `{first}`, the layer next to the image, and "
        f"{_share(far)} at `{last}`, both of the suppressed network."
    )


def mechanism_found(report: Report) -> str:
    """In how many directions an image can change and the features notice."""
    if len(report.pair) < 2:
        return ""
    ranks = [arm.mechanism.effective_rank for arm in report.pair]
    return (
        f"**The suppressed network's features notice {_than(ranks[1], ranks[0])}**: an image can change "
        f"in about {ranks[1].mean:.0f} directions that they notice, and in about {ranks[0].mean:.0f} that the ordinary "
        "one's do."
    )


def gradients_found(report: Report) -> str:
    """What one gradient of a trained network gives away, of the best attack on it."""
    said, shares = [], []
    for arm in sending(report):
        got = [(each, report.estimate(IDENTIFIED, arm.factors, each)) for each in of_one_image(report)]
        there = [(each, found) for each, found in got if found]
        if there:
            attack, best = max(there, key=lambda one: one[1].mean)
            shares.append(best.mean)
            said.append(f"{_share(best)} from *{arm.title}* ({attack.title})")
    if not said:
        return ""
    many = (
        "gives most images away"
        if min(shares) > MANY
        else "gives few images away"
        if max(shares) < MANY
        else "can be enough"
    )
    return f"**One gradient {many}**: the best attack identifies {' and '.join(said)}."


def _share(found: Averaged) -> str:
    return measured(IDENTIFIED, found) if found.n <= FEW else percent(found)


def sending(report: Report) -> list[Arm]:
    """An ordinary network and the suppressed one, of those that attacks on gradients were made on."""
    roles, attacks = report.study.roles, of_one_image(report)
    arms = [
        arm for name in (roles.control, roles.ordinary) if (arm := report.arm(name)) and report.made(attacks, [arm])
    ]
    return [*arms[:1], *(arm for arm in report.pair[1:] if report.made(attacks, [arm]))]


def of_one_image(report: Report) -> list[Variant]:
    """Attacks on the gradient that one image gives at the end of training, as it is sent."""
    seen = [each for each in report.seeing("gradients") if each.factors.get("moment") == "end" and not each.another]
    return [each for each in seen if each.batch_size == 1 and each.sent != "unmasked"]


def membership_found(report: Report) -> str:
    """How many members the attacks find where few others are taken for one."""
    rows = [
        (arm, [found for each in report.seeing("outputs") if (found := report.estimate(JUDGED_BY, arm.factors, each))])
        for arm in report.pair
    ]
    best = [(arm, max(found, key=lambda one: one.mean)) for arm, found in rows if found]
    if not best:
        return ""
    most = max(found.mean for _, found in best)
    word = "Hardly any member is found" if most < 2 * FALSE_POSITIVE_RATE else "Some members are found"
    said = " and ".join(f"{100 * found.mean:.1f} % of those of *{arm.title}*" for arm, found in best)
    return (
        f"**{word}**: where {100 * FALSE_POSITIVE_RATE:.0f} % of the others are taken for members, the best attack "
        "finds "
        f"{said}. Guessing finds {100 * FALSE_POSITIVE_RATE:.0f} %."
    )


def controls_found(report: Report) -> str:
    """Which of the networks that are about as accurate as the suppressed one gives least."""
    if len(report.pair) < 2:
        return ""
    suppressed, near = report.pair[1], as_accurate(report)
    own = report.strongest(IDENTIFIED, suppressed)
    if len(near) < 2 or own is None:
        return ""
    least, found = min(near, key=lambda one: one[1].mean)
    others = [share.mean for arm, share in near if arm.factors not in (least.factors, suppressed.factors)]
    if least.factors == suppressed.factors:
        return (
            f"**The suppressed network gives least** of {len(near)} that are about as accurate: {percent(own)} of "
            "private images are identified."
        )
    return (
        f"**Least is got from *{least.title}***: {percent(found)} of private images are identified, and {percent(own)} "
        f"from the suppressed network. {_range(others)}"
    )


def _range(shares: Sequence[float]) -> str:
    if not shares:
        return ""
    low, high = (f"{100 * end:.0f}" for end in (min(shares), max(shares)))
    more = "another network that is" if len(shares) == 1 else f"{len(shares)} more networks that are"
    return f"From {more} about as accurate it is {low if low == high else f'{low} to {high}'} %."


def private_found(report: Report) -> str:
    """What the network trained with differential privacy gives that is nearest to the suppressed one in accuracy."""
    arm, suppressed = private(report), report.arm(report.study.roles.suppressed)
    found, own = (report.strongest(IDENTIFIED, each) if each else None for each in (arm, suppressed))
    if arm is None or found is None or own is None:
        return ""
    return (
        f"**DP-SGD gives {_than(found, own)}**: {percent(found)} of private images are identified from *{arm.title}*, "
        f"and {percent(own)} from the suppressed network. DP-SGD does not promise otherwise. It hides who was in the "
        "training, not what a network computes of an image."
    )


def sweep_found(report: Report) -> str:
    """Whether more zeros mean less leak."""
    points = [
        (share, found) for share, arm in sorted(report.sweep.items()) if (found := report.strongest(IDENTIFIED, arm))
    ]
    if len(points) < 2:
        return ""
    (few, first), (many, last) = points[0], points[-1]
    word = {"less": "More zeros, less leak", "more": "More zeros, more leak"}.get(
        _than(last, first), "Zeros change little"
    )
    return (
        f"**{word}**: with {100 * few:g} % of the weights at zero the strongest attack identifies {percent(first)} of "
        f"private images, with {100 * many:g} % it identifies {percent(last)}."
    )


def rank_found(report: Report) -> str:
    """Whether attacks get more where features can hold more."""
    found = correlation(report)
    if found is None:
        return ""
    related, count = found
    word = "get more where features can hold more" if related > RELATED else "do not simply get what features can hold"
    return f"**Attacks {word}**: over {count} networks the rank correlation of the two is {related:+.2f}."


def correlation(report: Report) -> tuple[float, int] | None:
    """Rank correlation of what features can hold with the strongest attack's skill, and over how many networks.

    None where there are fewer than three, or all are alike.
    """
    pairs = [
        (arm.mechanism.effective_rank.mean, found.mean)
        for arm in report.summary.arms
        if (found := report.strongest("skill", arm))
    ]
    if len(pairs) < 3 or len({rank for rank, _ in pairs}) < 2 or len({got for _, got in pairs}) < 2:
        return None
    return float(spearmanr(*zip(*pairs, strict=True)).statistic), len(pairs)


def games_found(report: Report) -> str:
    """Of membership by coin: how many canaries are found of an ordinary and of the suppressed network."""
    found = {arm: each["canaries"] for (_, arm), each in played(report).items() if "canaries" in each}
    own, other = map(found.get, (report.study.roles.suppressed, report.study.roles.control))
    if own is None or other is None:
        return ""
    word = {"less": "fewer", "about as much": "about as many"}.get(than := _than(own, other), than)
    return (
        f"**Of the suppressed network {word} canaries are found**: {percent(own)}, and "
        f"{percent(other)} of an ordinary one. At that {100 * FALSE_POSITIVE_RATE:.0f} % of the others are taken for "
        "members."
    )


def played(report: Report) -> dict[tuple[str, str], dict[str, Estimate]]:
    """By game and arm, how many the last of the attacks on membership finds, among canaries and among others."""
    found: dict[tuple[str, str], dict[str, Estimate]] = {}
    for row in report.summary.games:
        if (row["attack"], row["metric"]) == (report.claims.strongest.membership[-1], JUDGED_BY):
            one = Estimate(*(row[name] for name in ("mean", "low", "high", "n")))
            found.setdefault((row["game"], row["arm"]), {})[row["among"]] = one
    return found
