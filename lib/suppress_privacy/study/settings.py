"""study.yaml as typed models: unknown keys, wrong types and unknown names are refused in one sentence."""

from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictFloat, StrictInt, ValidationError, model_validator

from suppress_privacy.attacks import ATTACKS, ON_FEATURES
from suppress_privacy.attacks.inversion import SMOOTHNESS_SCALES
from suppress_privacy.lenet import DEPTHS

FILE = "study.yaml"
Number = StrictFloat | StrictInt
PositiveInt = Annotated[StrictInt, Field(ge=1)]
Seed = Annotated[StrictInt, Field(ge=0)]
Share = Annotated[Number, Field(ge=0, le=1)]
Positive = Annotated[Number, Field(gt=0)]


# What pydantic puts into a setting's path for the branch of a union: not part of study.yaml.
BRANCHES = {"suppress", "random-mask", "magnitude", "feature-noise", "dpsgd", "float", "int"}


class SettingsError(ValueError):
    """A setting that is wrong; the message names it, the value, and what is allowed."""


class Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Optimizer(Model):
    name: Literal["sgd", "momentum"]
    lr: Annotated[Number, Field(gt=0)]
    momentum: Annotated[Number, Field(ge=0, lt=1)] = 0.0
    decay: Literal["none", "linear"] = "none"  # of the rate, to zero at the end of training

    @model_validator(mode="after")
    def _momentum_is_used(self):
        if self.name == "sgd" and self.momentum != 0:
            raise ValueError(f"momentum is {self.momentum}, but sgd has none: use the optimizer momentum, or remove it")
        return self


class SuppressLayer(Model):
    name: str
    noise: StrictBool
    lower_clip: StrictBool
    min_num: Annotated[StrictInt, Field(ge=-1)]
    upper_bound: Annotated[Number, Field(gt=0)] = 1.20


class Suppress(Model):
    """Suppress-Privacy; as `random-mask` with its schedule and counts, but weights drawn by lot."""

    kind: Literal["suppress", "random-mask"]
    start_epoch: PositiveInt
    end_epoch: Annotated[StrictInt, Field(ge=1, le=100)]
    mask_times: PositiveInt
    sparse_start: Annotated[Number, Field(ge=0, lt=1)]
    sparse_end: Annotated[StrictFloat, Field(gt=0, lt=1)]
    layers: Annotated[list[SuppressLayer], Field(min_length=1)]

    @model_validator(mode="after")
    def _ordered(self):
        if self.end_epoch < self.start_epoch:
            raise ValueError(
                f"end_epoch is {self.end_epoch}, start_epoch is {self.start_epoch}; "
                "end_epoch must not be smaller: correct one of them"
            )
        if self.sparse_end <= self.sparse_start:
            raise ValueError(
                f"sparse_end is {self.sparse_end}, sparse_start is {self.sparse_start}; "
                "sparse_end must be larger: correct one of them"
            )
        return self


class Magnitude(Model):
    """The smallest weights of a trained network set to zero, once; they stay zero in what training follows."""

    kind: Literal["magnitude"]
    sparsity: Annotated[StrictFloat, Field(gt=0, lt=1)]
    min_num: Annotated[dict[str, Annotated[StrictInt, Field(ge=-1)]], Field(min_length=1)]  # by layer


class FeatureNoise(Model):
    """Gaussian noise on the features that leave the user's device, as much as brings the accuracy down to another's."""

    kind: Literal["feature-noise"]
    depth: Literal[DEPTHS] = "fc1"  # of the features
    accuracy_of: str  # an arm


class DpSgd(Model):
    """Differentially private training."""

    kind: Literal["dpsgd"]
    epsilon: Positive
    delta: Annotated[Number, Field(gt=0, lt=1)]
    clip_norm: Positive


class Band(Model):
    """Where a sound training ends, for every seed: test accuracy, and zeros of each weight matrix."""

    test_accuracy: Annotated[list[Share], Field(min_length=2, max_length=2)]
    sparsity: Annotated[list[Share], Field(min_length=2, max_length=2)]


class Stop(Model):
    """Stop after the epoch whose test accuracy is nearest to another arm's, seed by seed; `like` is trained alike."""

    like: str
    accuracy_of: str


class Arm(Model):
    title: str
    documented: str | None = None
    band: Band | None = None
    network: Literal["lenet5", "convnet"] = "lenet5"
    start: str | None = None  # an arm whose trained weights this one starts from; None starts from its seed's draw
    stop: Stop | None = None
    epochs: Annotated[StrictInt, Field(ge=0)]  # 0: not trained (any further); with `stop` at most
    batch_size: PositiveInt
    optimizer: Optimizer | None = None
    defence: Annotated[Suppress | Magnitude | FeatureNoise | DpSgd, Field(discriminator="kind")] | None = None

    @model_validator(mode="after")
    def _fits_together(self):
        if (self.epochs > 0) != (self.optimizer is not None):
            raise ValueError(
                f"epochs is {self.epochs}, the optimizer {'missing' if self.optimizer is None else 'given'}; "
                "training needs both, an arm without training neither: add or remove one"
            )
        if isinstance(self.defence, Suppress):
            if self.defence.end_epoch > self.epochs:
                raise ValueError(
                    f"epochs is {self.epochs}, the defence's end_epoch is {self.defence.end_epoch}; "
                    "its schedule must end within the training: change one of them"
                )
            if self.optimizer.lr > 0.5:
                raise ValueError(f"optimizer.lr is {self.optimizer.lr}; with suppression it is at most 0.5: lower it")
        if isinstance(self.defence, Magnitude | FeatureNoise) and self.start is None:
            raise ValueError(f"start is missing; {self.defence.kind} acts on a trained network: name its arm")
        if isinstance(self.defence, FeatureNoise) and self.epochs > 0:
            raise ValueError(f"epochs is {self.epochs}; feature-noise needs no training: make it 0")
        if self.stop is not None and (self.epochs == 0 or self.optimizer.decay != "none"):
            raise ValueError("stop cuts a training short: give the most epochs to train, at a rate that does not decay")
        return self

    def settings_of_a_run(self):
        """What decides the outcome of training this arm: all but how it is called."""
        return self.model_dump(exclude={"title", "documented", "band"})

    def earlier(self):
        """The arms that must have been trained, from the same seed, before this one can be."""
        named = [self.start]
        if self.stop is not None:
            named += [self.stop.like, self.stop.accuracy_of]
        if isinstance(self.defence, FeatureNoise):
            named.append(self.defence.accuracy_of)
        return [arm for arm in named if arm is not None]


class Evaluator(Model):
    arm: str
    seed: Seed


class NoSettings(Model):
    """Of an attack that has nothing to set."""


class InversionSettings(Model):
    loss_weights: Annotated[list[Positive], Field(min_length=3, max_length=3)]
    iters: PositiveInt
    smoothness: Literal[SMOOTHNESS_SCALES]


class TunedSettings(Model):
    iters: PositiveInt
    search_iters: PositiveInt
    lr: Positive
    smoothness_weights: Annotated[list[Annotated[Number, Field(ge=0)]], Field(min_length=1)]
    anchor_weights: Annotated[list[Annotated[Number, Field(ge=0)]], Field(min_length=1)]
    restarts: PositiveInt
    batch_size: PositiveInt


class RidgeSettings(Model):
    shuffled: StrictBool


class DecoderSettings(Model):
    epochs: PositiveInt
    batch_size: PositiveInt
    lr: Positive


class MatchingSettings(Model):
    moment: Literal["start", "middle", "end"]
    images_per_class: PositiveInt
    restarts: PositiveInt
    iters: PositiveInt


class CosineSettings(MatchingSettings):
    lr: Positive
    tv_weight: Annotated[Number, Field(ge=0)]


class MembershipSettings(Model):
    candidates: PositiveInt  # of the training set, and as many of the test set


class LiraSettings(MembershipSettings):
    shadows: Annotated[StrictInt, Field(ge=4, multiple_of=2)]


ATTACK_SETTINGS = {
    "inversion": InversionSettings,
    "tuned-inversion": TunedSettings,
    "decoder-ridge": RidgeSettings,
    "decoder-network": DecoderSettings,
    "gradient-dlg": MatchingSettings,
    "gradient-idlg": MatchingSettings,
    "gradient-cosine": CosineSettings,
    "membership-loss": MembershipSettings,
    "membership-lira": LiraSettings,
}


class Attack(Model):
    title: str
    kind: Literal[tuple(ATTACKS)]
    depth: Literal[DEPTHS] = "fc1"  # of attacks on features
    settings: dict[str, Any] = {}

    @model_validator(mode="after")
    def _settings_fit(self):
        if self.depth != "fc1" and self.kind not in ON_FEATURES:
            raise ValueError(f"depth is {self.depth}, but {self.kind} does not look at features: remove it")
        validated(ATTACK_SETTINGS.get(self.kind, NoSettings), self.settings, f"settings of {self.title}")
        return self

    def settings_of_a_run(self):
        """What decides the outcome of this attack: all but how it is called."""
        return self.model_dump(exclude={"title"})


class Targets(Model):
    train_per_class: PositiveInt
    test_per_class: PositiveInt


class Further(Model):
    """Attacks that are too dear for every arm and seed of a profile."""

    attacks: Annotated[list[str], Field(min_length=1)]
    arms: Annotated[list[str], Field(min_length=1)]
    seeds: Annotated[list[Seed], Field(min_length=1)]


class Profile(Model):
    note: str = ""  # what a reader must know before believing a figure; on every page
    data: str
    seeds: Annotated[list[Seed], Field(min_length=1)]
    seeds_of: dict[str, Annotated[list[Seed], Field(min_length=1)]] = {}  # of arms that have fewer
    arms: Annotated[list[str], Field(min_length=1)]
    attacks: Annotated[list[str], Field(min_length=1)]
    further: list[Further] = []
    targets: Targets
    matched: StrictBool = True  # whether controls of equal accuracy must be equal: not where all is cut short
    overrides: dict[str, dict[str, Any]] = {}  # of arms
    attack_overrides: dict[str, dict[str, Any]] = {}  # of attacks' settings

    @model_validator(mode="after")
    def _no_attack_twice(self):
        entries = [(attack, arm, seed) for attack in self.attacks for arm in self.arms for seed in self.seeds]
        for entry in self.further:
            entries += [(attack, arm, seed) for attack in entry.attacks for arm in entry.arms for seed in entry.seeds]
        twice = next((entry for entry in entries if entries.count(entry) > 1), None)
        if twice:
            raise ValueError(f"{twice[0]} on {twice[1]} with seed {twice[2]} stands there twice: remove one")
        return self

    def trained(self):
        """The models of the profile: arm -> seeds."""
        return {arm: list(self.seeds_of.get(arm, self.seeds)) for arm in self.arms}

    def plan(self):
        """Every attack of the profile: attack -> arm -> seeds, in the order of the tables."""
        plan = {attack: self.trained() for attack in self.attacks}
        for entry in self.further:
            for attack in entry.attacks:
                arms = plan.setdefault(attack, {})
                for arm in entry.arms:
                    arms[arm] = sorted({*arms.get(arm, ()), *entry.seeds})
        return plan

    def further_on(self, arm, seed):
        """The further attacks on one model, entry by entry: lists of names."""
        return [entry.attacks for entry in self.further if arm in entry.arms and seed in entry.seeds]


class Documented(Model):
    source: str
    images: PositiveInt
    seeds: PositiveInt
    models: dict[str, dict[str, float]]


class Study(Model):
    documented: Documented
    arms: dict[str, Arm]
    evaluators: Annotated[dict[str, Evaluator], Field(min_length=1)]
    attacks: dict[str, Attack]
    profiles: dict[str, Profile]

    @model_validator(mode="after")
    def _names_exist(self):
        used = [(f"evaluators.{name}.arm", judge.arm, self.arms) for name, judge in self.evaluators.items()]
        for name, arm in self.arms.items():
            if arm.documented is not None:
                used.append((f"arms.{name}.documented", arm.documented, self.documented.models))
        for name, profile in self.profiles.items():
            used += [(f"profiles.{name}.arms", arm, self.arms) for arm in profile.arms]
            used += [(f"profiles.{name}.overrides", arm, self.arms) for arm in profile.overrides]
            used += [(f"profiles.{name}.attacks", attack, self.attacks) for attack in profile.attacks]
            used += [(f"profiles.{name}.attack_overrides", attack, self.attacks) for attack in profile.attack_overrides]
            for entry in profile.further:
                used += [(f"profiles.{name}.further.attacks", attack, self.attacks) for attack in entry.attacks]
                # Only models that the profile trains can be attacked.
                used += [(f"profiles.{name}.further.arms", arm, profile.arms) for arm in entry.arms]
                for arm in entry.arms:
                    seeds = profile.trained().get(arm, ())
                    used += [(f"profiles.{name}.further.seeds", seed, seeds) for seed in entry.seeds]
            for arm, seeds in profile.seeds_of.items():
                used.append((f"profiles.{name}.seeds_of", arm, profile.arms))
                used += [(f"profiles.{name}.seeds_of.{arm}", seed, profile.seeds) for seed in seeds]
        for name, profile in self.profiles.items():
            judges = sorted({judge.seed for judge in self.evaluators.values()})
            if len(set(profile.seeds)) < len(profile.seeds) or set(judges) & set(profile.seeds):
                raise ValueError(
                    f"profiles.{name}.seeds is {profile.seeds}; seeds must differ from each other and from the "
                    f"evaluators' ({', '.join(map(str, judges))}), which would judge themselves: choose others"
                )
        for place, name, known in used:
            if name not in known:
                raise ValueError(
                    f"{place} names {name!r}; allowed are {', '.join(map(str, known))}: correct the name or define it"
                )
        for name, profile in self.profiles.items():
            for arm in self.arms:
                self.arm(name, arm)
            for arm in profile.arms:
                self._require_earlier(name, arm)
            for attack in self.attacks:
                self.attack(name, attack)
        return self

    def _require_earlier(self, profile, arm):
        for earlier in self.arm(profile, arm).earlier():
            if earlier not in self.arms or self.arm(profile, earlier).earlier():
                raise ValueError(
                    f"arms.{arm} builds on {earlier!r}; it must be an arm that builds on no other: correct the name"
                )
            stop = self.arm(profile, arm).stop
            if stop is not None:
                own, alike = (self.arm(profile, name).model_dump() for name in (arm, stop.like))
                shared = ("network", "start", "epochs", "batch_size", "optimizer", "defence")
                different = [key for key in shared if own[key] != alike[key]]
                if different:
                    raise ValueError(
                        f"arms.{arm} stops like {stop.like}, but their {different[0]} differ: make them equal"
                    )
            seeds = self.profiles[profile].trained()
            if not set(seeds[arm]) <= set(seeds.get(earlier, ())):
                raise ValueError(
                    f"profiles.{profile} does not train {earlier} from every seed of {arm}, which builds on it: add it"
                )

    @classmethod
    def load(cls, path=FILE):
        """Read and check a study.

        Raises:
            SettingsError: the file is missing, is not YAML, or a setting in it is wrong.
        """
        path = Path(path)
        try:
            content = yaml.safe_load(path.read_text())
        except OSError as error:
            raise SettingsError(f"{path} cannot be read ({error.strerror}): run from the project's folder.") from error
        except yaml.YAMLError as error:
            raise SettingsError(f"{path} is not YAML ({' '.join(str(error).split())}): correct it there.") from error
        return validated(cls, content, path.name)

    def profile(self, name):
        return _named(self.profiles, name, "profile")

    def attack(self, profile, name, overrides=None):
        """An attack as a profile runs it, with a rerunner's `overrides` of its settings on top."""
        attack = _named(self.attacks, name, "attack")
        settings = attack.settings | self.profile(profile).attack_overrides.get(name, {}) | (overrides or {})
        return validated(Attack, attack.model_dump() | {"settings": settings}, f"attack {name} in profile {profile}")

    def arm(self, profile, name, overrides=None):
        """An arm as a profile trains it, with a rerunner's `overrides` (nested as in study.yaml) on top."""
        settings = _named(self.arms, name, "arm").model_dump()
        for change in (self.profile(profile).overrides.get(name, {}), overrides or {}):
            settings = _merged(settings, change)
        return validated(Arm, settings, f"arm {name} in profile {profile}")


def project_folder():
    """The folder that holds study.yaml: the working directory or the nearest one above it."""
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / FILE).is_file():
            return folder
    raise SettingsError(f"{FILE} is neither in {here} nor above it: start from the project's folder.")


def validated(model, content, place):
    """`content` as a `model`; the first thing wrong with it as a SettingsError in one sentence."""
    try:
        return model.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"] if part not in BRANCHES)
        message = first["msg"].removeprefix("Value error, ")
        if first["type"] == "value_error":
            nested = message.removesuffix(".")
            raise SettingsError(f"{place}: {where}{': ' if where else ''}{nested}.") from error
        if first["type"] == "extra_forbidden":
            raise SettingsError(f"{place}: {where} is not a setting; remove it or correct its name.") from error
        if first["type"] == "union_tag_invalid":
            kinds = first["ctx"]["expected_tags"]
            raise SettingsError(f"{place}: {where}.kind is {first['ctx']['tag']!r}; allowed are {kinds}.") from error
        raise SettingsError(f"{place}: {where} is {first['input']!r}; {message[0].lower()}{message[1:]}.") from error


def _named(known, name, what):
    if name not in known:
        raise SettingsError(
            f"{what} is {name!r}; allowed are {', '.join(known)}: use one of these or add it to {FILE}."
        )
    return known[name]


def _merged(settings, changes):
    """`settings` with `changes` laid over them, dictionaries merged key by key."""
    merged = dict(settings)
    for key, value in changes.items():
        nested = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = _merged(merged[key], value) if nested else value
    return merged
