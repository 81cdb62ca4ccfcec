"""Where a run differs from what its claims ask: fewer trainings, attacks, checks and images that are missing."""

from collections.abc import Iterator
from statistics import fmean

from report.context import Report
from report.tables import table
from suppress_privacy.evaluation.gates import MATCHED, REQUIRED
from suppress_study.claims import Claim, Equal, Found, Lower, Members, Remembered, Reproduces
from suppress_study.summary import Arm

Row = tuple[str, str, str, str]
CLASSES = 10


def deviations_table(report: Report) -> str:
    """What was asked and what there is, a row for each place where the two differ; nothing if they do not."""
    parts = (_trainings, _unequal, _attacks, _images, _missing, _unchecked)
    rows = [list(row) for part in parts for row in part(report)]
    return table(["what", "asked", "there", "matters to"], rows, repeat=True)


def asked_of(claim: Claim) -> list[str]:
    """The arms that a claim is about."""
    if isinstance(claim, Reproduces):
        return [part.arm for parts in claim.alternatives for part in parts]
    if isinstance(claim, Equal):
        return [arm for pair in claim.pairs for arm in pair]
    if isinstance(claim, Lower):
        return claim.arms()
    assert isinstance(claim, Found | Members | Remembered)
    controls = claim.controls if isinstance(claim, Found) else [claim.control] if isinstance(claim, Members) else []
    return [claim.arm, *controls]


def _claims_on(report: Report, arm: Arm) -> str:
    """The claims about an arm; at another value of its sweep it is asked of by none."""
    own = str(arm.factors["arm"])
    asked = report.claims.claims if arm == report.arm(own) else {}
    names = [name for name, claim in asked.items() if own in asked_of(claim)]
    return ", ".join(names) or "no claim"


def _trainings(report: Report) -> Iterator[Row]:
    """Networks with fewer trainings than the others, those alike in one row."""
    asked = len(report.study.profile(report.profile).seeds())
    fewer: dict[tuple[int, str], list[str]] = {}
    for arm in report.summary.arms:
        if len(arm.seeds) < asked:
            fewer.setdefault((len(arm.seeds), _claims_on(report, arm)), []).append(arm.title)
    for (count, claims), titles in fewer.items():
        yield f"trainings of {'; '.join(titles)}", str(asked), str(count), claims


def _unequal(report: Report) -> Iterator[Row]:
    """Networks that were to be as accurate as another, training by training, and of which some are not."""
    for arm in report.summary.arms:
        aim = report.study.arms[str(arm.factors["arm"])].accuracy_of
        other = report.arm(aim) if aim else None
        both = (arm, other) if other else ()
        own, wanted = [dict(zip(each.seeds, each.reported_accuracy, strict=True)) for each in both] or ({}, {})
        off = [own[seed] - wanted[seed] for seed in own if seed in wanted]
        if far := [each for each in off if round(abs(each), 9) > MATCHED]:
            most = max(map(abs, far))
            there = f"{len(far)} of {len(off)} farther off, at most {most:.4f}; {fmean(off):+.4f} on average"
            yield f"accuracy of {arm.title}", f"within {MATCHED:g}", there, _claims_on(report, arm)


def _attacks(report: Report) -> Iterator[Row]:
    """Of the strongest attacks that a claim chooses among, those not made on all trainings of its arms."""
    for arm in report.summary.arms:
        for name in report.claims.strongest.reconstruction:
            attack = next((each for each in report.learned if each.attack == name), None)
            found = report.estimate("skill", arm.factors, attack) if attack else None
            made = len(found.seeds) if found else 0
            if made < len(arm.seeds):
                title = report.study.attacks[name].title
                yield f"{title} on {arm.title}", f"{len(arm.seeds)} trainings", str(made), _claims_on(report, arm)


def _images(report: Report) -> Iterator[Row]:
    """Private images that are missing."""
    targets = report.study.profile(report.profile).targets
    asked = CLASSES * (targets.train_per_class + targets.test_per_class)
    if report.summary.images < asked:
        yield "private images", f"{asked:,}", f"{report.summary.images:,}", "all claims"


def _missing(report: Report) -> Iterator[Row]:
    if report.summary.missing:
        runs = sum(len(job.runs) for job in report.study.jobs(report.profile))
        yield "runs", f"{runs:,}", f"{runs - report.summary.missing:,}", "all claims"


def _unchecked(report: Report) -> Iterator[Row]:
    """Validity checks that no run decides, of what attacks see that were made."""
    decided, seen = {gate.name for gate in report.summary.gates}, {each.sees for each in report.attacks}
    for sees, names in REQUIRED.items():
        missing = [name for name in names if name not in decided]
        if missing and sees in seen:
            there = str(len(names) - len(missing))
            what = f"checks of attacks on {sees}, without {', '.join(missing)}"
            yield what, str(len(names)), there, f"protection from attacks on {sees}"
