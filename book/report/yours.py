"""A run beside the published one: which figures lie where another training's are to be expected."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from report import front
from report.context import Factors, Report
from report.tables import PRIMARY, table
from suppress_privacy.evaluation.intervals import LEVEL, prediction
from suppress_privacy.evaluation.metrics import METRICS
from suppress_privacy.evaluation.verdict import LEAST_SEEDS
from suppress_study.jobs import Variant
from suppress_study.summary import Arm

ACCURACY = "test accuracy"
NAMED = 3  # commits or machines that are named before the others are counted
Range = tuple[float, float]


@dataclass(frozen=True)
class Compared:
    """One figure of a run, with the 95 % interval in which the published run leads one to expect it."""

    model: str
    attack: str
    metric: str  # its label
    yours: float
    published: float | None = None
    expected: Range | None = None  # None where nothing can be expected, see `note`
    note: str = ""

    @property
    def agrees(self) -> bool | None:
        """Whether it lies there; None where that cannot be said."""
        if self.expected is None or self.note:
            return None
        low, high = self.expected
        return low <= self.yours <= high


def compared(own: Report, published: Report) -> list[Compared]:
    """Test accuracy of every network, and what every attack on its features or outputs gets."""
    return [one for arm in own.summary.arms for one in _of_arm(own, published, arm)]


def of_first_page(own: Report, published: Report) -> list[Compared]:
    """The first page's own figures, as far as a run has them."""
    found = []
    for by, row, metric in front.figures_said(published):
        arm = next((arm for arm in own.summary.arms if arm.factors == row.arm), None)
        if arm and (one := _of_attack(own, published, arm, row.attack, metric)):
            found.append(replace(one, attack=f"{' '.join(by.split())}: {one.attack}"))
    return found


def _of_arm(own: Report, published: Report, arm: Arm) -> Iterator[Compared]:
    other = next((each for each in published.summary.arms if each.factors == arm.factors), None)
    accuracy = Compared(arm.title, "", ACCURACY, sum(arm.test_accuracy) / len(arm.test_accuracy))
    known = other.test_accuracy if other else []
    yield _beside(
        accuracy, known, len(arm.seeds), (0, 1), 1 / own.summary.data.test, _changed(own, published, arm.factors)
    )
    for attack in [*own.ladder, *own.seeing("outputs")]:
        if attack.sees != "nothing":
            for metric in (*PRIMARY, front.CONFIDENCE, "auc"):
                if one := _of_attack(own, published, arm, attack, metric):
                    yield one


def _of_attack(own: Report, published: Report, arm: Arm, attack: Variant, metric: str) -> Compared | None:
    found, other = (each.estimate(metric, arm.factors, attack) for each in (own, published))
    if found is None:
        return None
    entry = METRICS[metric]
    one = Compared(arm.title, own.title(attack), entry.label, found.mean)
    note, seeds = _changed(own, published, arm.factors, attack), len(found.seeds)
    step = seeds / found.n if entry.proportion else 0.0
    return _beside(one, other.by_seed if other else [], seeds, (entry.low, entry.high), step, note)


def _beside(one: Compared, known: Sequence[float], seeds: int, ends: Range, step: float, note: str) -> Compared:
    """A figure with what is to be expected, from the published run's figures of single seeds.

    Args:
        one: the figure.
        known: the published run's, one a seed.
        seeds: that the figure is over.
        ends: of what it can be.
        step: what one image adds to a share, by which the interval reaches farther; 0 of what is no share.
        note: why the two are not to be compared.
    """
    if not known:
        return replace(one, note="not part of the published run")
    mean = sum(known) / len(known)
    if len(known) < LEAST_SEEDS:
        return replace(one, published=mean, note="not comparable: too few published trainings")
    low, high = prediction(known, seeds)
    return replace(one, published=mean, expected=(max(low - step, ends[0]), min(high + step, ends[1])), note=note)


def _changed(own: Report, published: Report, arm: Factors, attack: Variant | None = None) -> str:
    """What was set otherwise than in the published run, and so is a reason to differ."""
    said = _other_data(own, published)
    pairs = [
        (own.first_run(arm, kind), published.first_run(arm, kind)) for kind in ([None, attack] if attack else [None])
    ]
    found = [one for run, other in pairs if run and other for one in _differences(run.settings, other.settings)]
    return said or (f"other settings: {', '.join(found)}" if found else "")


def _other_data(own: Report, published: Report) -> str:
    """Why nothing is comparable, if that is so."""
    data, theirs = own.summary.data, published.summary.data
    if data != theirs:
        return f"not comparable: {data.name} with {data.train:,} training images"
    if own.summary.images != published.summary.images:
        return f"not comparable: {own.summary.images} private images"
    return ""


def _differences(own: dict[str, Any], other: dict[str, Any], place: str = "") -> Iterator[str]:
    """Settings that both have with different values; one that only a newer run has is at its default."""
    for name in own.keys() & other.keys() - {"title", "band"}:
        one, two = own[name], other[name]
        if isinstance(one, dict) and isinstance(two, dict):
            yield from _differences(one, two, f"{place}{name}.")
        elif one != two:
            yield f"{place}{name} {one} instead of {two}"


def agreement(own: Report, published: Report) -> str:
    """How many figures of a run agree with the published one: one sentence."""
    found = compared(own, published)
    decided = [one.agrees for one in found if one.agrees is not None]
    if not decided:
        notes = sorted({one.note for one in found})
        return f"No figure of it can be held beside the published run ({'; '.join(notes[:NAMED])})."
    expected = (1 - LEVEL) * len(decided)
    outside = "none" if expected < 0.5 else f"about {expected:.0f}"
    return (
        f"{sum(decided)} of {len(decided)} figures agree with the published run; {outside} of them would lie outside "
        "by chance."
    )


def your_run(own: Report | None, published: Report) -> str:
    """A line for the first page; nothing without a run beside the published one."""
    if own is None:
        return ""
    return f"**Your run** (profile {own.profile}): {agreement(own, published)} {{doc}}`Figure by figure <your_run>`."


def conditions_table(own: Report, published: Report) -> str:
    """Of both runs: profile, seeds, data, when, how long, where and from what code."""
    rows = [[_conditions(each).get(name, "") for each in (own, published)] for name in _conditions(own)]
    return table(["", "yours", "published"], [[name, *row] for name, row in zip(_conditions(own), rows, strict=True)])


def _conditions(report: Report) -> dict[str, str]:
    runs, summary = report.results.runs.values(), report.summary
    seconds = sum(sum(run.times["seconds"].values()) for run in runs)
    started = sorted(run.times["started"][:10] for run in runs if "started" in run.times)
    machines = sorted({run.environment["machine"]["processor"] for run in runs})
    uncommitted = f"; {summary.uncommitted} runs from changes that were not committed" if summary.uncommitted else ""
    return {
        "profile": summary.profile,
        "trainings of a network": f"up to {len(summary.seeds)}",
        "data": f"{summary.data.name}, {summary.data.train:,} training images",
        "made": " to ".join(dict.fromkeys((started[0], started[-1]))) if started else "",
        "core-hours": f"{seconds / 3600:.1f}",
        "processor": _few(machines),
        "commit": _few([f"`{commit}`" for commit in summary.commits]) + uncommitted,
    }


def _few(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more


def figures_table(found: Sequence[Compared]) -> str:
    """A row for each figure: yours, what the published run leads one to expect, and whether it lies there."""
    rows = [[one.model, one.attack, one.metric, f"{one.yours:.3f}", *_expected(one), _said(one)] for one in found]
    heads = ["network", "attack", "figure", "yours", "published", "95 % of single trainings", "agrees"]
    return table(heads, rows)


def _expected(one: Compared) -> list[str]:
    mean = "" if one.published is None else f"{one.published:.3f}"
    return [mean, f"{one.expected[0]:.3f} to {one.expected[1]:.3f}" if one.expected else ""]


def _said(one: Compared) -> str:
    return one.note or ("yes" if one.agrees else "**no**")
