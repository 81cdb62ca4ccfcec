"""What each figure shows of these results, in one sentence; empty where there is nothing to say."""

from collections.abc import Sequence

from report import front
from report.context import Report
from report.findings import JUDGED_BY, RELATED, correlation
from suppress_privacy.defences.suppress import Rise
from suppress_privacy.evaluation.metrics import FALSE_POSITIVE_RATE
from suppress_study.jobs import Variant
from suppress_study.summary import Arm
from suppress_study.targets import GALLERY

SHOWN = 3  # attacks on gradients that are shown


def trade_off(report: Report) -> str:
    """Which networks leak less than the ordinary one, and how many more."""
    leaks = {arm.title: found for arm in report.summary.arms if (found := report.strongest(front.IDENTIFIED, arm))}
    ordinary = leaks.pop(report.pair[0].title, None) if report.pair else None
    if ordinary is None or not leaks:
        return ""
    less = [f"{title} ({front.percent(found)})" for title, found in leaks.items() if found.high < ordinary.low]
    more = sum(found.low > ordinary.high for found in leaks.values())
    fewer = "; ".join(less) if less else "none"
    return (
        f"The ordinary network gives away {front.percent(ordinary)}. Clearly less: {fewer}. Clearly more: {more} of "
        f"{len(leaks)} other networks."
    )


def ladder(report: Report) -> str:
    """What the tutorial's attack and the strongest one identify from both models."""
    weak = [(report.reference[0], arm) for arm in report.pair if report.reference]
    strong = [(each, arm) for arm in report.pair if (each := report.strongest_attack(front.IDENTIFIED, arm))]
    return _identified(report, [*weak, *strong])


def documented(report: Report) -> str:
    """The confidence that the tutorial's attack gets, beside the documented one."""
    said = []
    for arm in report.pair:
        known = report.documented(arm, front.CONFIDENCE)
        found = report.estimate(front.CONFIDENCE, arm.factors, report.reference[0]) if report.reference else None
        if found and known is not None:
            said.append(f"{arm.title} {front.percent(found)} (documented: {100 * known:.0f} %)")
    return f"Confidence under the tutorial's attack: {', '.join(said)}." if said else ""


def ladder_by_model(report: Report) -> str:
    """Which attack is the strongest on how many networks."""
    strongest = [each.title for arm in report.summary.arms if (each := report.strongest_attack("skill", arm))]
    counts = [
        f"{title} on {strongest.count(title)}" for title in sorted({*strongest}, key=strongest.count, reverse=True)
    ]
    return f"Strongest by skill: {', '.join(counts)} of {len(strongest)} networks." if strongest else ""


def convergence(report: Report) -> str:
    """Where the medians end."""
    shown = [(title.replace(":\n", ", "), run) for title, run in report.shown(report.ladder, report.pair)]
    curves = report.results.pictures.curves
    ends = [f"{title} at {curves[run][1][-1]:.3g}" for title, run in shown if run in curves]
    return f"Medians end: {'; '.join(ends)}." if ends else ""


def depth(report: Report) -> str:
    """At how many depths the suppressed network leaks more than the ordinary one."""
    if len(report.pair) < 2:
        return ""
    attacks = [*report.depths, *report.learned]
    found = [each for attack in attacks if (each := report.difference("skill", report.pair[1].factors, attack))]
    more, less = sum(each.low > 0 for each in found), sum(each.high < 0 for each in found)
    compared = f"{len(found)} comparisons of attack and layer"
    return f"The suppressed network leaks more in {more} and less in {less} of {compared}." if found else ""


def smoothness(report: Report) -> str:
    """At how many weights the suppressed network comes out as more private, by each metric."""
    if len(report.pair) < 2:
        return ""
    attacks = [each for each in report.attacks if each.factors.get("smoothness") == "cpu"]
    said = []
    for metric in ("confidence", "skill"):
        found = [one for each in attacks if (one := report.difference(metric, report.pair[1].factors, each))]
        said.append(f"{metric} at {sum(one.mean < 0 for one in found)} of {len(found)} weights")
    return f"The suppressed network has the lower {' and the lower '.join(said)}."


def sweep(report: Report) -> str:
    """What is identified with fewer and fewer weights."""
    control = report.arm(report.study.roles.control)
    swept = [(1 - share, arm) for share, arm in sorted(report.sweep.items())]
    cells = [(1.0, control), *swept] if control else swept
    found = [(share, leak) for share, arm in cells if (leak := report.strongest(front.IDENTIFIED, arm))]
    kept = ", ".join(f"{100 * share:.3g}" for share, _ in found)
    identified = ", ".join(front.percent(leak) for _, leak in found)
    return f"Of all weights {kept} % kept: {identified} of private images identified." if found else ""


def rank(report: Report) -> str:
    """Whether what the features can hold goes with what leaks."""
    found = correlation(report)
    if found is None:
        return ""
    related, count = found
    word = "the more leaks" if related > RELATED else "the less leaks" if related < -RELATED else ""
    said = f"The more directions features keep, {word or 'not clearly more or less leaks'}"
    return f"{said}: rank correlation {related:+.2f} over {count} networks."


def roc(report: Report) -> str:
    """The most that any attack finds at the rate where it is judged."""
    found = [
        (each.mean, attack.title, arm.title)
        for attack in report.seeing("outputs")
        for arm in report.summary.arms
        if (each := report.estimate(JUDGED_BY, arm.factors, attack))
    ]
    if not found:
        return ""
    most, attack, arm = max(found)
    rate = f"At {100 * FALSE_POSITIVE_RATE:g} % false positives"
    return f"{rate} the most that is found is {100 * most:.1f} % of members, by {attack} ({arm})."


def on_gradients(report: Report) -> list[tuple[Variant, Arm]]:
    """Attacks on gradients that are shown, the first of each kind, with an ordinary and the suppressed network."""
    attacks: dict[str, Variant] = {}
    for each in report.seeing("gradients"):
        if not each.alone and (
            each.attack in report.claims.strongest.gradients or not report.claims.strongest.gradients
        ):
            attacks.setdefault(each.attack, each)
    ordinary = [arm for arm in (report.arm(report.study.roles.control), *report.pair[:1]) if arm]
    cells = []
    for attack in [*attacks.values()][:SHOWN]:
        made = [arm for arm in ordinary if report.made([attack], [arm])][:1]
        cells += [(attack, arm) for arm in (*made, *report.pair[1:]) if report.made([attack], [arm])]
    return cells


def gradients(report: Report) -> str:
    """What each attack on gradients identifies."""
    return _identified(report, on_gradients(report))


def grid(report: Report) -> str:
    """What the strongest attack identifies on both models."""
    strongest = [(each, arm) for arm in report.pair if (each := report.strongest_attack(front.IDENTIFIED, arm))]
    return _identified(report, strongest)


def _identified(report: Report, cells: Sequence[tuple[Variant, Arm]]) -> str:
    said: dict[str, list[str]] = {}
    for attack, arm in cells:
        if found := report.estimate(front.IDENTIFIED, arm.factors, attack):
            said.setdefault(attack.title, []).append(f"{arm.title} {front.percent(found)}")
    parts = [f"by {title}: {', '.join(each)}" for title, each in said.items()]
    return f"Identified {'; '.join(parts)}." if parts else ""


def grid_all(report: Report) -> str:
    """The network that leaks least."""
    leaks = [
        (found.mean, arm.title, found)
        for arm in report.summary.arms
        if (found := report.strongest(front.IDENTIFIED, arm))
    ]
    if not leaks:
        return ""
    _, title, found = min(leaks, key=lambda one: one[0])
    return f"{title[0].upper()}{title[1:]}: least leaks, {front.percent(found)} of private images are identified."


def reading(report: Report) -> str:
    """What identified means."""
    return (
        "An image is identified if it is nearer to its reconstruction than any of up to "
        f"{GALLERY:,} other images of its class: by chance {100 / (GALLERY + 1):.1f} %."
    )


def rise_of(report: Report) -> Rise | None:
    """The suppressed network's schedule."""
    made = report.study.arm(report.profile, report.study.roles.suppressed).made_by()
    return made if isinstance(made, Rise) else None


def schedule(report: Report) -> str:
    """When half of all zeros are there."""
    rise = rise_of(report)
    if rise is None:
        return ""
    # The cubic schedule has half its way behind it where the rest's third power is a half.
    length = rise.end_epoch - rise.start_epoch + 1
    half = rise.start_epoch - 1 + length * (1 - 0.5 ** (1 / 3))
    return f"Half of the zeros are there after {half:.1f} of {rise.end_epoch} epochs."
