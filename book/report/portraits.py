"""Figures of pictures: private images, and what attacks make of them."""

from collections.abc import Collection, Iterable, Sequence

import numpy as np
from matplotlib.figure import Figure

from report import captions, front
from report.context import NOBODY, Factors, Report
from report.drawing import Strip, kept, strips
from report.entries import figure
from report.labels import wrapped
from report.language import _
from report.looks import FAMILIES, INK, NARROW, WIDE, family_of
from suppress_study.jobs import Variant
from suppress_study.summary import Arm
from suppress_study.targets import EXTREMES

FEW = (2, 5, 8)  # classes whose images a phone has room for beside words
SKILLS = (0.0, 0.5, 1.0)  # that pictures are shown of, as nearly as there are any
Cells = Iterable[tuple[Variant, Arm | None]]  # attacks with the networks that they were made on


@figure()
def overview(report: Report, width: float = WIDE) -> Figure | None:
    """From three networks of about one accuracy. *Identified*: private images that are nearer to their reconstruction
    than many others of their digit. *Confidence*: what the tutorial measures.

    Rows of digits: the private images; the average of the predicted digit, blurred and the same for every image; what
    the tutorial's attack makes of an ordinary and a suppressed network and of noisy features, hard to read; and
    what the strongest attack does, which looks like the originals. Beside each row the share of images identified and
    a classifier's confidence.
    """
    narrow, firsts = width <= NARROW, report.firsts
    targets = [target for digit, target in firsts.items() if not narrow or digit in FEW]
    arms = [arm for _, arm in front.networks(report)]
    rows, pictures = [_originals(report, targets, _("private image"))], report.results.pictures
    for by, group in front.rows(report).items():
        found = [(row, run) for row in group if (run := report.picture(row.attack, row.arm)) in pictures.images]
        if not found:
            return None
        for row, run in found:
            arm = next((one for one in arms if one.factors == row.arm and len(group) > 1), None)
            words = _scores(report, row.attack, row.arm, (front.IDENTIFIED, front.CONFIDENCE))
            colour = family_of(report, arm).colour if arm else INK
            rows.append(Strip(row.title, kept(pictures, str(run), targets), words, colour, by))
    left = 1.3 if narrow else 2.3
    return strips(rows, width, left=left, heads=(_("identified"), _("confidence")), room=0.68 if narrow else 0.75)


def _originals(report: Report, targets: Iterable[int], title: str = "private image", group: str = "") -> Strip:
    return Strip(title, [report.results.pictures.originals[target] for target in targets], group=group)


def _scores(report: Report, attack: Variant, arm: Factors, metrics: Iterable[str]) -> list[str]:
    found = [report.estimate(metric, arm, attack) for metric in metrics]
    return [front.percent(each) if each else "" for each in found]


@figure(captions.grid)
def grid(report: Report, width: float = WIDE) -> Figure | None:
    """The first private image of each class, and what attacks make of the features of the tutorial's two networks.
    Beside each row is the share of all private images identified.

    Rows of ten digits, one of each class: the originals, and the reconstructions from the ordinary and the suppressed
    model by the tutorial's attack and by two stronger ones.
    """
    learned = [*dict.fromkeys(str(each) for each in (*report.learned[:1], *report.learned[-1:]))]
    attacks = [*report.reference[:1], *(each for each in report.learned if str(each) in learned)]
    return _grid(report, [(attack, arm) for attack in attacks for arm in report.pair], width)


@figure(captions.grid_all)
def grid_all(report: Report, width: float = WIDE) -> Figure | None:
    """Of each kind of network the one that leaks least: what the strongest attack on it makes of the first private
    image of each class, with the share of all private images identified, and test accuracy.

    Rows of ten digits, one of each class: the originals, and what the strongest attack makes of the features of a
    network of each kind, with the share identified and the test accuracy.
    """
    cells = [(attack, arm) for arm in least_of_each_family(report) if (attack := _strongest(report, arm))]
    return _grid(report, cells, width, accuracy=True)


def least_of_each_family(report: Report) -> list[Arm]:
    """Of each family the network from which the strongest attack identifies least."""
    leaks = [
        (family_of(report, arm), found.mean, arm)
        for arm in report.summary.arms
        if (found := report.strongest(front.IDENTIFIED, arm))
    ]
    groups = [[(mean, arm) for of, mean, arm in leaks if of == family] for family in FAMILIES]
    return [min(group, key=lambda one: one[0])[1] for group in groups if group]


def _strongest(report: Report, arm: Arm) -> Variant | None:
    return report.strongest_attack(front.IDENTIFIED, arm)


@figure(captions.gradients)
def gradients(report: Report, width: float = WIDE) -> Figure | None:
    """The first private image of each class, from the gradient of one step on it. Beside each row is the share of the
    private images under attack that are identified.

    Rows of ten digits, one of each class: the originals, and what each attack on gradients makes of them, on an
    ordinary and the suppressed network.
    """
    return _grid(report, captions.on_gradients(report), width)


def _grid(report: Report, cells: Cells, width: float, *, accuracy: bool = False) -> Figure | None:
    """Those attacks' pictures of the first image of each class; None where there are none."""
    pictures, targets, rows = report.results.pictures, [*report.firsts.values()], []
    for attack, arm in cells:
        run = report.picture(attack, arm.factors if arm else NOBODY)
        if arm is None or run not in pictures.images:
            continue
        words = _scores(report, attack, arm.factors, (front.IDENTIFIED,))
        words += [f"{100 * np.mean(arm.test_accuracy):.1f} %"] if accuracy else []
        rows.append(
            Strip(arm.title, kept(pictures, str(run), targets), words, family_of(report, arm).colour, attack.title)
        )
    if not rows:
        return None
    heads = ("identified", *(("accuracy",) if accuracy else ()))
    shown = [target for target in targets if target in pictures.originals]
    return strips(_placed([_originals(report, shown), *rows], width), width, heads=heads, left=_left(width))


def _left(width: float) -> float:
    return 0.0 if width <= NARROW else 2.3


def _placed(rows: Sequence[Strip], width: float) -> list[Strip]:
    """Rows with titles and groups as the width has room for them: on a phone a title says both."""
    if width > NARROW:
        return [
            Strip(wrapped(one.title, 20), one.images, one.words, one.colour, wrapped(one.group, 14)) for one in rows
        ]
    titles = [f"{one.group}:\n{one.title}" if one.group and one.title else one.title or one.group for one in rows]
    return [Strip(title, one.images, one.words, one.colour) for title, one in zip(titles, rows, strict=True)]


@figure()
def extremes(report: Report, width: float = WIDE) -> Figure | None:
    """The same private images under each attack on both networks: of those whose reconstructions are kept of both, the
    best, the middle and the worst by skill on the two together.

    Groups of rows of nine digits, one group for every learned attack: originals, and under them their reconstructions
    from the ordinary and from the suppressed model, from the best to the worst.
    """
    rows, pictures = [], report.results.pictures
    for attack in report.learned:
        runs = {arm.title: (report.picture(attack, arm.factors), arm) for arm in report.pair}
        if not runs or any(run not in pictures.images for run, _ in runs.values()):
            continue
        targets = _extremes(report, [str(run) for run, _ in runs.values()])
        rows.append(_originals(report, targets, group=attack.title))
        for run, arm in runs.values():
            rows.append(
                Strip(arm.title, kept(pictures, str(run), targets), (), family_of(report, arm).colour, attack.title)
            )
    marks = [
        word if number == EXTREMES // 2 else "" for word in ("best", "middle", "worst") for number in range(EXTREMES)
    ]
    return strips(_placed(rows, width), width, marks=marks, left=_left(width)) if rows else None


def _extremes(report: Report, runs: Collection[str]) -> list[int]:
    """The best, the middle and the worst of what all these runs keep, by their mean skill."""
    skills = [skill_of(report, run) for run in runs]
    both = set.intersection(*({*report.results.pictures.images[run]} for run in runs))
    order = sorted(both, key=lambda target: -float(np.mean([skill[target] for skill in skills])))
    start = max((len(order) - EXTREMES) // 2, 0)
    return [*order[:EXTREMES], *order[start : start + EXTREMES], *order[-EXTREMES:]]


def skill_of(report: Report, run: str) -> dict[int, float]:
    """The skill of each private image in a run."""
    found = report.results.arrays(run)
    return found[found.evaluator == ""].set_index("image").skill.to_dict()


@figure(captions.reading)
def reading(report: Report, width: float = WIDE) -> Figure | None:
    """How to read skill and *identified*. Skill is 0 for the mean image, which anyone can offer, and 1 for the private
    image itself.

    Three private digits, each above what an attack made of it: one that looks nothing like it, one that is half right,
    and one that is almost the same; over each its skill and whether it is identified.
    """
    pictures, found = report.results.pictures, []
    for _title, run in report.shown([*report.reference[:1], *report.learned], report.pair):
        rows = report.results.arrays(run)
        rows = rows[(rows.evaluator == "") & rows.image.isin([*pictures.images[run]])]
        found += [(row.skill, row.rank1 > 0, run, row.image) for row in rows.itertuples()]
    if not found:
        return None
    chosen = [min(found, key=lambda one: abs(one[0] - wanted)) for wanted in SKILLS]
    marks = [f"skill {skill:.2f}\n{'identified' if known else 'not identified'}" for skill, known, *_ in chosen]
    rows = [
        Strip("private\nimage", [pictures.originals[target] for *_, target in chosen]),
        Strip("recon-\nstruction", [pictures.images[run][target] for *_, run, target in chosen]),
    ]
    return strips(rows, min(width, NARROW), marks=marks, left=0.75, largest=0.95)
