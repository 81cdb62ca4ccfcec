"""results/claims.yaml as typed models, and the verdict on each claim from the records of a profile."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import yaml
from pydantic import Field

from suppress_privacy.evaluation import verdict
from suppress_privacy.evaluation.gates import REQUIRED
from suppress_privacy.evaluation.intervals import Estimate, bootstrap_mean, proportion
from suppress_privacy.evaluation.membership import auc, auc_estimate, roc
from suppress_privacy.evaluation.verdict import LEAST_SEEDS, Evidence
from suppress_privacy.study.names import attack_name, training_name
from suppress_privacy.study.settings import Model, Positive, SettingsError, validated

FILE = "results/claims.yaml"
STRONGEST = "strongest"
OF_MODELS = ("accuracy", "sparsity", "matched")  # begin, before the arm, the names of gates on models, not on attacks


class Part(Model):
    """Some documented figures of one model: by metric, how far from them is still the same."""

    arm: str
    attack: str | None = None  # None: of the model itself
    documented: str = "ordinary"  # a model of study.yaml's documented figures
    bands: Annotated[dict[str, Positive], Field(min_length=1)]


class Reproduces(Model):
    """All figures of one of the alternatives are as documented."""

    text: str
    source: str
    kind: Literal["reproduces"]
    alternatives: Annotated[list[Annotated[list[Part], Field(min_length=1)]], Field(min_length=1)]


class Lower(Model):
    """An arm's metrics lie below those of every control, or of the one nearest to it in accuracy."""

    text: str
    source: str
    kind: Literal["lower"]
    arm: str
    controls: tuple[str, ...] = ()
    nearest_in_accuracy: tuple[str, ...] = ()
    attacks: Annotated[list[str], Field(min_length=1)]
    metrics: Annotated[list[str], Field(min_length=1)]

    def arms(self):
        return [self.arm, *self.controls, *self.nearest_in_accuracy]


class Members(Model):
    """An attack gets more from an arm's training images than from test images, beyond what it does on a control."""

    text: str
    source: str
    kind: Literal["members"]
    arm: str
    control: str
    attacks: Annotated[list[str], Field(min_length=1)]
    metrics: Annotated[list[str], Field(min_length=1)]

    def arms(self):
        return [self.arm, self.control]


class Strongest(Model):
    reconstruction: Annotated[list[str], Field(min_length=1)]
    membership: Annotated[list[str], Field(min_length=1)]


class Claims(Model):
    strongest: Strongest
    claims: dict[str, Annotated[Reproduces | Lower | Members, Field(discriminator="kind")]]

    @classmethod
    def load(cls, path=FILE):
        """Read and check the claims.

        Raises:
            SettingsError: the file is missing, is not YAML, or something in it is wrong.
        """
        try:
            content = yaml.safe_load(Path(path).read_text())
        except (OSError, yaml.YAMLError) as error:
            raise SettingsError(f"{path} cannot be read ({' '.join(str(error).split())}): correct it.") from error
        return validated(cls, content, str(path))


class Measured:
    """What the records of a profile hold of every attack and arm.

    Args:
        plan (dict): attack -> arm -> seeds.
        trained (dict): arm -> seeds.
        values (dict): attack -> arm -> metric -> numpy.ndarray, [S, N].
        models (dict): test_accuracy and, of those with a defence on their weights, kept (share of these that is
            left) -> arm -> list, one value a seed.
        documented (dict): model -> metric -> figure.
    """

    def __init__(self, plan, trained, values, models, documented):
        self.plan = plan
        self.trained = trained
        self.values = values
        self.models = models
        self.documented = documented

    def rows(self, attack, arm, metric, seeds):
        """Those seeds' values, [S, N]."""
        have = self.plan[attack][arm]
        return self.values[attack][arm][metric][[have.index(seed) for seed in seeds]]

    def seeds(self, attack, arms):
        """The seeds on which the attack was made on all of the arms."""
        have = [set(self.plan.get(attack, {}).get(arm, ())) for arm in arms]
        return sorted(set.intersection(*have))


def verdicts(claims, measured, gates):
    """The verdict on every claim.

    Args:
        claims (Claims): what is claimed.
        measured (Measured): what was found.
        gates (list of Gate): the validity gates of the run.

    Returns:
        dict: claim -> evaluation.verdict.Verdict.
    """
    decided = {gate.name for gate in gates}
    failed = [gate.name for gate in gates if not gate.passed]
    weak = [name for name in failed if not arm_of(name)] + [name for name in REQUIRED if name not in decided]
    gather = {"reproduces": _reproduced, "lower": _lower, "members": _members}
    evidence = {}
    for name, claim in claims.claims.items():
        found = gather[claim.kind](claim, claims.strongest, measured)
        outside = [gate for gate in failed if arm_of(gate) in found.arms]
        if outside and not found.missing:
            found = replace(found, missing=f"a model is not what it should be: {', '.join(outside)}")
        evidence[name] = found
    return verdict.verdicts(evidence, f"attack too weak: {', '.join(weak)}" if weak else "")


def arm_of(gate):
    """The arm that a gate on a model is about, by the gate's name; nothing of a gate on an attack."""
    kind, _, arm = gate.partition("-")
    return arm if kind in OF_MODELS else ""


def _reproduced(claim, strongest, measured):
    alternatives = []
    for parts in claim.alternatives:
        found = []
        for part in parts:
            seeds = measured.trained if part.attack is None else measured.plan.get(part.attack, {})
            if len(seeds.get(part.arm, ())) < LEAST_SEEDS:
                return _untested(part.attack or "a training", [part.arm])
            for metric, band in part.bands.items():
                if part.attack is None:
                    values = measured.models[metric][part.arm]
                    estimate, what = Estimate(*verdict.seed_mean(values), len(values)), f"{metric} of {part.arm}"
                else:
                    member = measured.rows(part.attack, part.arm, "in_training", seeds[part.arm])[0].astype(bool)
                    values = measured.rows(part.attack, part.arm, metric, seeds[part.arm])[:, member]
                    estimate = proportion(values) if np.isin(values, (0, 1)).all() else bootstrap_mean(values)
                    what = f"{metric} of {part.attack} on training images, {part.arm}"
                one = verdict.inside(what, estimate, measured.documented[part.documented][metric], band)
                found.append(replace(one, records=_records(part.attack, part.arm, seeds[part.arm])))
        alternatives.append(found)
    return Evidence(alternatives, needs_strong_attack=False)


def _lower(claim, strongest, measured):
    missing = [arm for arm in claim.arms() if len(measured.trained.get(arm, ())) < LEAST_SEEDS]
    if missing:
        return _untested("a training", missing)
    controls = list(claim.controls)
    if claim.nearest_in_accuracy:
        own = np.mean(measured.models["test_accuracy"][claim.arm])
        controls.append(
            min(claim.nearest_in_accuracy, key=lambda arm: abs(np.mean(measured.models["test_accuracy"][arm]) - own))
        )
    found = []
    for control in controls:
        for metric in claim.metrics:
            for attack in claim.attacks:
                pair = [claim.arm, control]
                used = _attacks(attack, metric, strongest, measured, pair)
                if used is None:
                    return _untested(attack, pair)
                if metric == "auc" and not _works(used[1], control, measured):
                    return Evidence([], f"nothing to lower: {used[1]} finds no members of {control}'s training")
                found.append(_compared(used, pair, metric, measured))
        if claim.nearest_in_accuracy:
            found.append(_less_wrong(claim.arm, control, measured))
    return Evidence([found], arms=(claim.arm, *controls))


def _works(attack, arm, measured):
    """Whether membership inference is better than guessing: the interval of its area lies above one half."""
    arrays = measured.values[attack][arm]
    return auc_estimate(arrays["score"], arrays["member"].astype(bool)).low > 0.5


def _less_wrong(arm, control, measured):
    """Whether an arm's test error lies below a control's, seed by seed."""
    seeds = [seed for seed in measured.trained[arm] if seed in measured.trained[control]]
    errors = [
        np.array([[1 - measured.models["test_accuracy"][name][measured.trained[name].index(seed)]] for seed in seeds])
        for name in (arm, control)
    ]
    found = verdict.lower(f"test error of {arm} below {control}, {len(seeds)} seeds", *errors)
    return replace(found, records=_records(None, arm, seeds) + _records(None, control, seeds))


def _compared(used, pair, metric, measured):
    arm, control = pair
    seeds = sorted(set(measured.seeds(used[0], pair)) & set(measured.seeds(used[1], pair)))
    by = used[0] if used[0] == used[1] else f"{used[0]} and {used[1]}"
    what = f"{metric} of {by} on {arm} below {control}, {len(seeds)} seeds"
    if metric == "auc":
        members = measured.rows(used[0], arm, "member", seeds)[0]
        scores = [measured.rows(attack, model, "score", seeds) for attack, model in zip(used, pair, strict=True)]
        found = verdict.lower_auc(what, *scores, members)
    else:
        values = [measured.rows(attack, model, metric, seeds) for attack, model in zip(used, pair, strict=True)]
        found = verdict.lower(what, *values)
    records = [_records(attack, model, seeds) for attack, model in zip(used, pair, strict=True)]
    return replace(found, records=records[0] + records[1])


def _members(claim, strongest, measured):
    found = []
    pair = [claim.arm, claim.control]
    for metric in claim.metrics:
        for attack in claim.attacks:
            used = _attacks(attack, metric, strongest, measured, pair)
            if used is None:
                return _untested(attack, pair)
            attack = used[0]
            seeds = measured.seeds(attack, pair)
            values = measured.rows(attack, claim.arm, metric, seeds) - measured.rows(
                attack, claim.control, metric, seeds
            )
            member = measured.rows(attack, claim.arm, "in_training", seeds)[0].astype(bool)
            what = (
                f"{metric} of {attack} on {claim.arm} beyond {claim.control}: training images above test images, "
                f"{len(seeds)} seeds"
            )
            one = verdict.higher_in_one_group(what, values[:, member], values[:, ~member])
            records = _records(attack, claim.arm, seeds) + _records(attack, claim.control, seeds)
            found.append(replace(one, records=records))
    return Evidence([found], arms=tuple(pair), needs_strong_attack=False)


def _attacks(attack, metric, strongest, measured, arms):
    """The attack on each arm: the one named, or of those that learn the one that gets most; None: not measured."""
    names = [attack]
    if attack == STRONGEST:
        names = strongest.membership if metric == "auc" else strongest.reconstruction
    names = [name for name in names if len(measured.seeds(name, arms)) >= LEAST_SEEDS]
    if not names:
        return None
    # On seeds that all of them were made on, so that the best of one arm can be compared with the best of another.
    seeds = sorted(set.intersection(*(set(measured.seeds(name, arms)) for name in names)))
    if len(seeds) < LEAST_SEEDS:
        return None
    return [max(names, key=lambda name: _mean(name, arm, metric, seeds, measured)) for arm in arms]


def _mean(attack, arm, metric, seeds, measured):
    if metric == "auc":
        rows = (measured.rows(attack, arm, name, seeds) for name in ("score", "member"))
        return np.mean([auc(roc(*row)) for row in zip(*rows, strict=True)])
    return measured.rows(attack, arm, metric, seeds).mean()


def _records(attack, arm, seeds):
    """The names of the records of an attack on an arm, or of its trainings."""
    return tuple(training_name(arm, seed) if attack is None else attack_name(attack, arm, seed) for seed in seeds)


def _untested(what, arms):
    return Evidence([], f"{what} on {' and '.join(arms)} has fewer than {LEAST_SEEDS} seeds in this run")
