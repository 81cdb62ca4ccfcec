"""The summary of a profile's runs: every figure of the book, as typed data."""

from collections.abc import Iterable, Iterator
from dataclasses import asdict, replace
from functools import partial
from itertools import product
from math import isclose
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pydantic import Field

from suppress_privacy.evaluation import gates
from suppress_privacy.evaluation.audit import audit, largest_epsilon
from suppress_privacy.evaluation.game import OF_VICTIMS, over_victims
from suppress_privacy.evaluation.gates import Gate
from suppress_privacy.evaluation.intervals import Estimate, bootstrap_mean, bootstrap_means, seed_mean
from suppress_privacy.evaluation.membership import auc, auc_estimate, roc, tpr_at, tpr_estimate
from suppress_privacy.evaluation.metrics import FALSE_POSITIVE_RATE, METRICS
from suppress_privacy.evaluation.verdict import Verdict
from suppress_privacy.files import sha256_of
from suppress_study.claims import Claims, verdicts
from suppress_study.measured import Cell, Columns, Factors, Measured, Trainings
from suppress_study.plan import Study
from suppress_study.provenance import DIRTY
from suppress_study.results import Results, published_runs, write_json
from suppress_study.settings import Checked, Documented, Value
from suppress_study.targets import GALLERY

Row = dict[str, Any]
AMONG = ("canaries", "others")  # of a game's candidates
AUDITED = 1e-5  # the delta at which epsilon is bounded from below


class Data(Checked):
    name: str
    train: int
    test: int


class Mechanism(Checked):
    """What is left of an image in the first dense layer: per image; dead units one value a seed."""

    effective_rank: Estimate
    feature_norm: Estimate
    dead_units: list[float]


class Arm(Checked):
    """An arm's models: one value a seed, in the order of `seeds`; sparsity by layer."""

    factors: dict[str, Value]
    title: str
    documented: str | None  # the documented model it stands for
    seeds: list[int]
    test_accuracy: list[float]
    reported_accuracy: list[float]  # on test images that nothing was chosen on
    sparsity: dict[str, list[float]]
    mechanism: Mechanism


class Summary(Checked):
    """What `summary.json` holds.

    `estimates` has a row for each attack, arm, metric and evaluator: the factors that apply, mean, 95 % interval (low,
    high), n values averaged, the seeds they come from, and the mean of each (by_seed). `differences` has that arm's
    metrics minus the ordinary arm's, paired by image and seed; `strongest` the attack, of those that claims.yaml calls
    so, that gets most from an arm, `bounds` what these would get together if the best were picked image by image.
    `seeds` are the ordinary arm's; `missing` counts runs that the profile asks for and that were not there,
    `uncommitted` those made with changes beyond the commit they name; `tags` are those of these commits.
    `gates` lists those that the profile's attacks can decide, `verdicts` the answer to every claim of claims.yaml.
    `games` is `estimates` of games of membership, by the candidates a metric is among (canaries, or all others):
    over models, each a seed; among targets it is what these gain by being in the training. `game_differences` has
    that minus the game's first arm, paired by seed; `audits` what the canaries of all models of an arm together say
    of epsilon: the largest that their guessed coins refute, and the largest that so many canaries could ever
    refute. `runs` is the SHA-256 of the runs.jsonl that has all the runs, empty where they are not all published.
    """

    campaign: str
    profile: str
    data: Data
    notice: str
    seeds: list[int]
    missing: int
    images: int
    commits: list[str]
    uncommitted: int
    evaluators: dict[str, float]  # test accuracy by name, the first one's verdict being the main one
    arms: list[Arm]
    estimates: list[Row]
    differences: list[Row]
    strongest: list[Row]
    bounds: list[Row]
    gates: list[Gate]
    verdicts: dict[str, Verdict]
    documented: Documented | None = None
    games: list[Row] = Field(default_factory=list)
    audits: list[Row] = Field(default_factory=list)
    game_differences: list[Row] = Field(default_factory=list)
    tags: list[str] = Field(default_factory=list)
    runs: str = ""

    @classmethod
    def load(cls, path: Path) -> "Summary":
        return cls.model_validate_json(path.read_text("utf-8"))

    def save(self, path: Path) -> None:
        """Write it, figures to ten digits: the last ones differ between processors, and mean nothing."""
        write_json(path, self.written())

    def written(self) -> dict[str, Any]:
        """As `save` writes it."""
        return dict(_rounded(self.model_dump(mode="json")))

    def frame(self, table: str) -> pd.DataFrame:
        """`estimates`, `differences` or `strongest` with factors as columns, empty where one does not apply."""
        return pd.DataFrame(getattr(self, table))


def _rounded(content: Any) -> Any:
    if isinstance(content, float):
        return float(f"{content:.10g}")
    if isinstance(content, dict):
        return {key: _rounded(value) for key, value in content.items()}
    return [_rounded(value) for value in content] if isinstance(content, list) else content


def summarise(results: Results, study: Study, profile: str, claims: Claims, *, allow_missing: bool = False) -> Summary:
    """The summary of a profile's runs; arguments and errors as `Measured.collect`."""
    measured = Measured.collect(results, study, profile, allow_missing=allow_missing)
    first = next(iter(measured.judges.values()))
    data = first.environment["data"]
    found = [results.runs[name] for name in measured.wanted if name in results.runs]
    ordinary = measured.arm(study.roles.ordinary)
    cells = [cell for cell in measured.cells.values() if "game" not in cell.attack]
    decided = list(_gates(measured, claims))
    return Summary(
        campaign=study.campaign,
        profile=profile,
        data=Data(**{name: data[name] for name in ("name", "train", "test")}),
        notice=data["notice"],
        seeds=list(ordinary.runs) if ordinary else study.profile(profile).seeds(),
        missing=measured.missing,
        images=max((cell.column("skill").shape[1] for cell in cells if ("skill", "") in cell.values), default=0),
        commits=sorted({run.commit.removesuffix(DIRTY) for run in found}),
        tags=sorted({run.tag for run in found if run.tag}),
        uncommitted=sum(run.commit.endswith(DIRTY) for run in found),
        evaluators={name: run.results["test_accuracy"] for name, run in measured.judges.items()},
        arms=[_arm(arm) for arm in measured.arms.values()],
        estimates=[row for cell in cells for row in _estimates(cell)],
        differences=[row for cell in cells for row in _differences(cell, measured)],
        strongest=list(_strongest(measured, claims)),
        bounds=list(_bounds(measured, claims)),
        gates=decided,
        verdicts=verdicts(claims, measured, decided),
        documented=study.documented,
        games=list(_games(measured)),
        audits=list(_audits(measured)),
        game_differences=list(_game_differences(measured)),
    )


def summary_of(folder: Path, profile: str, *, allow_missing: bool = False) -> Summary:
    """The summary of a folder of results; arguments and errors as `Measured.collect`, and those of damaged files."""
    results, published = Results.load(folder), published_runs(folder)
    found = summarise(results, Study.of(folder), profile, Claims.of(folder), allow_missing=allow_missing)
    return found.model_copy(update={"runs": sha256_of(folder / "runs.jsonl") if published == results.runs else ""})


def _arm(trainings: Trainings) -> Arm:
    looks = [run.results for run in trainings.mechanisms.values()]
    layers = trainings.results("sparsity")
    per_image = {
        name: bootstrap_mean(np.array([look[name] for look in looks])) for name in ("effective_rank", "feature_norm")
    }
    return Arm(
        factors=dict(trainings.factors),
        title=trainings.settings.title,
        documented=trainings.settings.documented,
        seeds=list(trainings.runs),
        test_accuracy=trainings.results("test_accuracy"),
        reported_accuracy=[*trainings.reported().values()],
        sparsity={layer: [shares[layer] for shares in layers] for layer in layers[0]},
        mechanism=Mechanism(dead_units=[look["dead_units"] for look in looks], **per_image),
    )


def _row(
    factors: Factors, metric: str, evaluator: str, estimate: Estimate, seeds: list[int], by_seed: Iterable[float]
) -> Row:
    judged = {"evaluator": evaluator} if evaluator else {}
    of_seeds = {"seeds": seeds, "by_seed": [*map(float, by_seed)]}
    return {**factors, "metric": metric, **judged, **asdict(estimate), **of_seeds}


def _estimates(cell: Cell) -> Iterator[Row]:
    if ("score", "") in cell.values:
        scores, members = cell.column("score"), cell.column("member")
        curves, seeds = [roc(*row) for row in zip(scores, members.astype(bool), strict=True)], cell.seeds()
        yield _row(cell.factors, "auc", "", auc_estimate(scores, members), seeds, map(auc, curves))
        by_seed = (tpr_at(curve, FALSE_POSITIVE_RATE) for curve in curves)
        rates = tpr_estimate(scores, members, FALSE_POSITIVE_RATE)
        yield _row(cell.factors, "tpr_at_1pct_fpr", "", rates, seeds, by_seed)
    for name, evaluator, values, means in _resampled(cell.values):
        found, by_seed = METRICS[name].estimate(values, means), np.nanmean(values, axis=1)
        yield _row(cell.factors, name, evaluator, found, cell.seeds(), by_seed)


def _differences(cell: Cell, measured: Measured) -> Iterator[Row]:
    """Image by image and seed by seed; none for membership, whose metrics belong to no single image."""
    other = measured.cell(cell.attack, measured.study.roles.ordinary)
    shared = [seed for seed in cell.runs if other and other is not cell and seed in other.runs]
    if other is None or not shared:
        return
    differences = {
        (name, evaluator): cell.rows(name, shared, evaluator) - other.rows(name, shared, evaluator)
        for name, evaluator in cell.values
        if name in METRICS and (name, evaluator) in other.values
    }
    for name, evaluator, values, means in _resampled(differences):
        found = bootstrap_mean(values, resampled=means)
        yield _row(cell.factors, name, evaluator, found, shared, np.nanmean(values, axis=1))


def _games(measured: Measured) -> Iterator[Row]:
    for cell in measured.cells.values():
        for among, name in product(AMONG, OF_VICTIMS) if "game" in cell.attack else ():
            if len(found := measured.of_victims(cell, among, name)) > 1:
                values = [*found.values()]
                yield _row({**cell.factors, "among": among}, name, "", over_victims(values), [*found], values)
        if "game" in cell.attack and len(found := measured.gained(cell, "skill")) > 1:
            values = [*found.values()]
            yield _row({**cell.factors, "among": "targets"}, "skill", "", seed_mean(values), [*found], values)


def _audits(measured: Measured) -> Iterator[Row]:
    """From the canaries of all models of an arm together: each has coins of its own."""
    for cell in measured.cells.values():
        if "game" in cell.attack and ("score", "") in cell.values and measured.of_victims(cell, "canaries", "auc"):
            scores, coins = (cell.column(name).ravel() for name in ("score", "member"))
            found = asdict(audit(scores, coins.astype(bool), delta=AUDITED))
            largest = largest_epsilon(len(scores), AUDITED)
            yield {**cell.factors, "delta": AUDITED, **found, "largest": largest, "seeds": cell.seeds()}


def _game_differences(measured: Measured) -> Iterator[Row]:
    for game, arms in measured.study.profile(measured.profile).games.items():
        for cell in measured.cells.values():
            other = measured.cell(cell.attack, next(iter(arms))) if cell.attack.get("game") == game else None
            if other is None or other is cell:
                continue
            for among, name in product(AMONG, OF_VICTIMS):
                own, its = (measured.of_victims(each, among, name) for each in (cell, other))
                if len(seeds := [seed for seed in own if seed in its]) > 1:
                    values = [own[seed] - its[seed] for seed in seeds]
                    yield _row({**cell.factors, "among": among}, name, "", seed_mean(values), seeds, values)


def _resampled(values: Columns) -> Iterator[tuple[str, str, np.ndarray, np.ndarray]]:
    """Metrics of images with evaluator, values and bootstrap means: drawn in one call, for its matrices are narrow."""
    judged = {which: rows for which, rows in values.items() if which[0] in METRICS}
    means = bootstrap_means(np.stack([*judged.values()])) if judged else ()
    for ((name, evaluator), rows), resampled in zip(judged.items(), means, strict=True):
        yield name, evaluator, rows, resampled


def _strongest(measured: Measured, claims: Claims) -> Iterator[Row]:
    for arm, name in product(measured.arms.values(), (name for name, metric in METRICS.items() if metric.primary)):
        if cell := measured.strongest(claims.strongest.reconstruction, arm.factors, name):
            yield {**cell.factors, "metric": name}


def _bounds(measured: Measured, claims: Claims) -> Iterator[Row]:
    """What the strongest attacks would get together, the best picked image by image by one who has the originals.

    No attacker can pick so: a row bounds what these attacks get, and is none of them.
    """
    for arm, name in product(measured.arms.values(), (name for name, metric in METRICS.items() if metric.primary)):
        made = [cell for each in claims.strongest.reconstruction if (cell := measured.cell(each, arm.factors))]
        seeds = sorted(set.intersection(*(set(cell.seeds()) for cell in made))) if made else []
        if seeds:
            values = np.max([cell.rows(name, seeds) for cell in made], axis=0)
            factors = {**arm.factors, "attacks": [str(cell.attack["attack"]) for cell in made]}
            yield _row(factors, name, "", METRICS[name].estimate(values), seeds, values.mean(1))


def _gates(measured: Measured, claims: Claims) -> Iterator[Gate]:
    """The gates that the profile's attacks can decide."""
    ordinary = measured.study.roles.ordinary
    cells = {name: measured.cell(attack, ordinary) if attack else None for name, attack in claims.checks}
    near = str((claims.checks.positive or {}).get("depth", "conv1"))
    for name, metric, gate in (
        ("tuned", "skill", gates.beats_the_mean_image),
        ("positive", "psnr", partial(gates.near_perfect_at_conv1, layer=near)),
        ("shuffled", "skill", gates.shuffled_learns_nothing),
    ):
        if cell := cells[name]:
            yield gate(METRICS[metric].estimate(cell.column(metric)))
    yield from _gates_on_gradients(cells["planted"], cells["sigmoids"], cells["another"])
    own, start = cells["tuned"], cells["start"]
    if own and start and own.seeds() == start.seeds():
        yield gates.beats_its_start(bootstrap_mean(own.column("skill") - start.column("skill")))
    played = measured.study.profile(measured.profile).games
    for asked in claims.game_checks:
        if asked.game in played and (cell := measured.cell({"attack": asked.attack, "game": asked.game}, asked.arm)):
            areas = measured.of_victims(cell, asked.among, "auc").values()
            yield gates.OF_GAMES[asked.gate](over_victims([*areas]))
    for arm in measured.arms.values():
        for one in _gates_of_decoder(arm, measured, claims):
            yield replace(one, title=arm.settings.title)
        if cell := measured.cell(claims.checks.tuned, arm.factors):
            yield replace(gates.objective_falls(arm.name, cell.column("fell")), title=arm.settings.title)
        for one in (*_gates_of_match(arm, measured), *_gates_of(arm)):
            yield replace(one, title=arm.settings.title)


def _gates_of_decoder(arm: Trainings, measured: Measured, claims: Claims) -> Iterator[Gate]:
    """Those on the decoder network of a model."""
    if claims.checks.learned is None:
        return
    own, ridge = (measured.cell(attack, arm.factors) for attack in (claims.checks.learned, claims.checks.start))
    if own and ridge and own.seeds() == ridge.seeds():
        yield gates.decoder_beats_ridge(arm.name, bootstrap_mean(own.column("skill") - ridge.column("skill")))
    chosen = [measured.results.runs[run].chosen for run in own.runs.values()] if own else []
    held_out = [float(each["held_out_skill"]) for each in chosen if "held_out_skill" in each]
    if own and len(held_out) == len(chosen):
        of_test = ~own.column("in_training")[0].astype(bool)
        yield gates.held_out_agrees(arm.name, held_out, own.column("skill")[:, of_test].mean(1))


def _gates_on_gradients(planted: Cell | None, sigmoids: Cell | None, another: Cell | None) -> Iterator[Gate]:
    """Those on attacks on gradients: both positive controls, and both sides of the negative one."""
    if planted:
        yield gates.analytic_is_exact(planted.column("relative_l2"))
    if sigmoids:
        yield gates.sigmoids_give_in(bootstrap_mean(sigmoids.column("psnr")) if sigmoids.has("psnr") else None)
    if another:
        rank1, of_sent = (METRICS[name].estimate(another.column(name)) for name in ("rank1", "rank1_of_sent"))
        yield from (gates.another_gradient_hides(rank1, GALLERY), gates.another_gradient_shows(of_sent))


def _gates_of_match(arm: Trainings, measured: Measured) -> Iterator[Gate]:
    """Controls of equal accuracy are equal: seed by seed, or on average where all seeds have the same settings."""
    asked, own = measured.study.profile(measured.profile).matched, arm.settings
    for aim, gate in ((own.accuracy_of, gates.matches), (own.as_accurate_as, gates.matches_on_average)):
        other = measured.arm(aim) if aim and asked else None
        wanted = other.reported() if other else {}  # an incomplete run has some seeds
        if pairs := [(accuracy, wanted[seed]) for seed, accuracy in arm.reported().items() if seed in wanted]:
            found = gate(arm.name, *zip(*pairs, strict=True))
            # What is off by just as much as is allowed is within, to whichever side the difference is rounded.
            yield replace(found, passed=found.passed or isclose(found.found, gates.MATCHED))


def _gates_of(arm: Trainings) -> Iterator[Gate]:
    """What a sound training gives was given."""
    accuracies, band = arm.results("test_accuracy"), arm.settings.band
    if band is not None:
        yield gates.accuracy_inside(arm.name, accuracies, (band.test_accuracy[0], band.test_accuracy[1]))
        shares = [share for layers in arm.results("sparsity") for share in layers.values()]
        yield gates.sparsity_inside(arm.name, shares, (band.sparsity[0], band.sparsity[1]))
