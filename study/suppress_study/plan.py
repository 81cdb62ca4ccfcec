"""The study: study.yaml as a whole, and the runs that a profile asks for."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, model_validator

from suppress_privacy.attacks import ATTACKS
from suppress_privacy.checks import check
from suppress_study.settings import (
    FOLDER,
    Arm,
    Attack,
    Checked,
    Documented,
    Evaluator,
    Profile,
    Roles,
    Sees,
    SettingsError,
    Value,
    merged,
    named,
    read_yaml,
    validated,
)

NONE = "none"  # the arm of an attack that looks at no model


@dataclass(frozen=True, order=True)
class Model:
    """One network of the plan: an arm, at a value of its sweep if not its own, from one seed."""

    arm: str
    seed: int
    value: float | None = None

    @property
    def kind(self) -> str:
        """What it is whatever its seed."""
        return self.arm if self.value is None else f"{self.arm}@{self.value:g}"

    def __str__(self) -> str:
        return f"{self.kind}-seed{self.seed}"


@dataclass(frozen=True)
class Wanted:
    """A run that the plan asks for: what it is called, its factors, and the settings that it is to be made with."""

    name: str
    kind: str  # train, attack or mechanism
    model: Model
    arm: dict[str, Value]  # factors that tell the model's arm from others
    attack: dict[str, Value]  # factors that tell the attack from others
    settings: dict[str, Any]

    def place(self) -> tuple[str, int, frozenset[tuple[str, Value]]]:
        """What tells it from other runs: its kind, seed and factors."""
        return self.kind, self.model.seed, frozenset({**self.arm, **self.attack}.items())


@dataclass(frozen=True)
class Variant:
    """An attack where it looks and with the settings it has: one cell of the plan."""

    attack: str
    kind: str
    title: str
    sees: str
    factors: dict[str, Value]  # depth or moment, and the settings that are swept
    settings: dict[str, Any]  # all of them, as the attack's function takes them
    images_per_class: int = 1
    candidates: int = 0

    def __str__(self) -> str:
        return "-".join([self.attack, *map(str, self.factors.values())])

    def columns(self) -> dict[str, Value]:
        """What tells this attack from others."""
        return {"attack": self.attack, **self.factors}

    def recipe(self) -> dict[str, Any]:
        """What decides the outcome of this attack on a model."""
        own = {"kind": self.kind, "sees": self.sees, **self.factors, "settings": self.settings}
        of_view = {"gradients": ("images_per_class",), "outputs": ("candidates",)}.get(self.sees, ())
        return own | {name: getattr(self, name) for name in of_view}

    def on(self, model: Model, arm: dict[str, Value]) -> Wanted:
        """The run of this attack on a model, whose arm has these factors."""
        return Wanted(f"attack-{self}-{model}", "attack", model, arm, self.columns(), self.recipe())


@dataclass(frozen=True)
class Job:
    """Runs that are made together: the training of a model, or a group of attacks on it."""

    kind: str  # train or attack
    model: Model
    group: str = ""
    runs: tuple[Wanted, ...] = field(default=(), compare=False)
    variants: tuple[Variant, ...] = field(default=(), compare=False)

    def __str__(self) -> str:
        return f"{self.kind}-{self.model}{self.group and f'-{self.group}'}"

    def recipes(self) -> list[dict[str, Any]]:
        """What decides the outcome of its runs."""
        return [run.settings for run in self.runs]


class Study(Checked):
    campaign: str
    documented: Documented
    roles: Roles
    arms: dict[str, Arm]
    evaluators: Annotated[dict[str, Evaluator], Field(min_length=1)]
    attacks: dict[str, Attack]
    profiles: dict[str, Profile]

    @classmethod
    def load(cls, path: Path = FOLDER / "study.yaml") -> "Study":
        """Read and check a study.

        Raises:
            SettingsError: the file is missing, is not YAML, or a setting in it is wrong.
        """
        return validated(cls, read_yaml(path), path.name)

    @model_validator(mode="after")
    def _names_exist(self) -> "Study":
        for place, names, known in self._uses():
            for name in names:
                if name not in known:
                    allowed = ", ".join(map(str, known))
                    raise ValueError(f"{place} names {name!r}; allowed are {allowed}: correct the name or define it")
        judges = {judge.seed for judge in self.evaluators.values()}
        for name, profile in self.profiles.items():
            for seeds in profile.arms.values():
                if len(set(seeds)) < len(seeds) or judges & {*seeds}:
                    raise ValueError(
                        f"profiles.{name}.arms has the seeds {seeds}; seeds must differ from each other and from "
                        f"the evaluators' ({', '.join(map(str, sorted(judges)))}): they would judge themselves"
                    )
            for arm in self.arms:
                self._require_earlier(name, arm)
            asked: dict[Any, Wanted] = {}  # by what tells runs apart, whatever they are called
            for run in (run for job in self.jobs(name) for run in job.runs):
                if asked.setdefault(run.place(), run) is not run:
                    raise ValueError(f"profiles.{name} asks for {run.name} twice: remove one")
        return self

    def _uses(self) -> Iterator[tuple[str, Iterable[Any], Collection[Any]]]:
        """Where names stand, which, and the names that there are."""
        yield "roles", (self.roles.ordinary, self.roles.suppressed, self.roles.control), self.arms
        yield "evaluators", (judge.arm for judge in self.evaluators.values()), self.arms
        yield "documented", (arm.documented for arm in self.arms.values() if arm.documented), self.documented.models
        yield "attacks", (attack.kind or name for name, attack in self.attacks.items()), ATTACKS
        for name, profile in self.profiles.items():
            place = f"profiles.{name}"
            for part, known in (("arms", self.arms), ("overrides", self.arms), ("attacks", self.attacks)):
                yield f"{place}.{part}", getattr(profile, part), known
            yield f"{place}.attack_overrides", profile.attack_overrides, self.attacks
            yield f"{place}.sweeps", profile.sweeps, [arm for arm in profile.arms if self.arms[arm].sweep]
            for group, entry in profile.further.items():
                yield f"{place}.further.{group}.attacks", entry.attacks, self.attacks
                yield f"{place}.further.{group}.arms", entry.arms, profile.arms  # only what is trained can be attacked
                for arm in entry.arms:
                    yield f"{place}.further.{group}.seeds", entry.seeds, profile.arms[arm]

    def _require_earlier(self, profile: str, name: str) -> None:
        arm = self.arm(profile, name)
        planned = self.profiles[profile].arms
        for earlier in arm.earlier():
            if earlier not in self.arms or self.arms[earlier].earlier():
                raise ValueError(
                    f"arms.{name} builds on {earlier!r}; it must be an arm that builds on no other: correct the name"
                )
            if name in planned and not set(planned[name]) <= set(planned.get(earlier, ())):
                raise ValueError(
                    f"profiles.{profile} does not train {earlier} from every seed of {name}, which builds on it: add it"
                )

    def profile(self, name: str) -> Profile:
        return named(self.profiles, name, "profile")

    def arm(
        self, profile: str, name: str, overrides: Mapping[str, Any] | None = None, value: float | None = None
    ) -> Arm:
        """An arm as a profile makes it, at a value of its sweep, with a rerunner's `overrides` on top."""
        own = named(self.arms, name, "arm")
        settings = own.model_dump(exclude_unset=True)
        changes = [self.profile(profile).overrides.get(name, {}), overrides or {}]
        if value is not None:
            if own.sweep is None:
                raise SettingsError(f"arm {name} has no sweep, so no value {value:g} of one: leave it out.")
            titled = own.sweep.title.format(value=value, percent=100 * value)
            defence, band = {own.sweep.setting: value}, own.sweep.bands.get(value, {})
            changes.insert(0, {"title": titled, "documented": None, "defence": defence, "band": band})
        for change in changes:
            settings = merged(settings, change)
        if own.cut:
            base = named(self.arms, own.cut, f"arms.{name}.cut")
            settings = merged(self.arm(profile, own.cut).recipe() if not base.cut else {}, settings)
        return validated(Arm, settings, f"arm {name} in profile {profile}")

    def arm_of(self, profile: str, model: Model) -> Arm:
        return self.arm(profile, model.arm, value=model.value)

    def model(self, arm: str, seed: int, swept: Mapping[str, Any]) -> Model:
        """A model by its arm, seed, and the value of the arm's sweep if not its own, as {setting: value}.

        Raises:
            SettingsError, TypeError: there is no such arm, or it is not swept over that; the value is no number.
        """
        own = named(self.arms, arm, "arm") if swept else None
        sweep = own.sweep if own else None
        if swept and (sweep is None or list(swept) != [sweep.setting]):
            known = f"a value of {sweep.setting}" if sweep else "nothing, for this arm has no sweep"
            raise SettingsError(f"swept is {dict(swept)}; with arm {arm} it must be {known}: correct it.")
        for setting, value in swept.items():
            check(f"swept.{setting}", value, float)
            if own and (own.defence or {})[setting] != value:
                return Model(arm, seed, value)
        return Model(arm, seed)

    def swept_by(self, model: Model) -> dict[str, Value]:
        """What `model` takes back."""
        sweep = self.arms[model.arm].sweep if model.value is not None else None
        return {sweep.setting: model.value} if sweep and model.value is not None else {}

    def swept(self, name: str) -> list[str]:
        """The settings that an attack is run at several values of, in any profile."""
        attack = self.attacks[name]
        groups = [group for profile in self.profiles.values() for group in profile.further.values()]
        sweeps = [attack.sweep, *(group.sweep for group in groups if name in group.attacks)]
        return [setting for setting in attack.settings if any(setting in sweep for sweep in sweeps)]

    def variants(
        self,
        profile: str,
        name: str,
        *,
        at: list[str] | None = None,
        sweep: Mapping[str, list[Value]] | None = None,
        overrides: Mapping[str, Any] | None = None,
    ) -> list[Variant]:
        """An attack at every place where it looks and every value it is swept over.

        Args:
            profile: which may change its settings.
            name: of study.yaml.
            at, sweep: in place of the attack's own.
            overrides: a rerunner's, of its settings.
        """
        attack = named(self.attacks, name, "attack")
        changed = self.profile(profile).attack_overrides.get(name, {})
        attack = validated(Attack, merged(attack.model_dump(), changed), f"attack {name} in profile {profile}")
        try:
            what = attack.sees.what()
            place = {"features": "depth", "gradients": "moment"}.get(what)
            if at and place:
                sees = attack.sees.model_dump() | {what: at}
                attack = attack.model_copy(update={"sees": validated(Sees, sees, "sees")})
            kind = ATTACKS[attack.kind or name]
            if kind.sees != what:
                raise ValueError(f"sees is {what}, but {kind.name} sees {kind.sees}: correct it")
            if at and not place:
                raise ValueError(f"at is {at}, but what {name} sees, {what}, has no depth or moment: leave it out")
            places = [{place: value} for value in getattr(attack.sees, what)] if place else [{}]
            factors = self.swept(name)
            swept = {
                setting: [overrides[setting]] if overrides and setting in overrides else values
                for setting, values in (sweep or attack.sweep).items()
            }
            found = []
            for where, values in product(places, product(*swept.values())):
                settings = kind.settings(
                    {**attack.settings, **(overrides or {}), **dict(zip(swept, values, strict=True))}
                )
                own = {**where, **{setting: settings[setting] for setting in factors}}
                more = (attack.sees.images_per_class, attack.sees.candidates)
                found.append(Variant(name, kind.name, attack.title, what, own, settings, *more))
            return found
        except (TypeError, ValueError) as error:
            raise SettingsError(f"attack {name} in profile {profile}: {str(error).removesuffix('.')}.") from error

    def variant(self, profile: str, reference: str | Mapping[str, Value]) -> Variant:
        """The one variant of an attack with these factors, or by its name; factors not given are its own."""
        factors = {"attack": reference} if isinstance(reference, str) else reference
        attack = str(factors["attack"])
        own = named(self.attacks, attack, "attack")
        for name in factors.keys() - {"attack", "depth", "moment", *self.swept(attack)}:
            raise SettingsError(f"attack {attack} is not told apart by {name}: correct the name or leave it out.")
        at = [str(factors[name]) for name in ("depth", "moment") if name in factors]
        sweep = {name: [factors.get(name, own.settings[name])] for name in self.swept(attack)}
        return self.variants(profile, attack, at=at, sweep=sweep)[0]

    def models(self, profile: str) -> list[Model]:
        """The models that a profile attacks, arm by arm, then the arms at other values of their sweeps."""
        chosen = self.profile(profile)
        own = [Model(arm, seed) for arm, seeds in chosen.arms.items() for seed in seeds]
        return own + [
            Model(arm, seed, value)
            for arm, seeds in chosen.sweeps.items()
            for value in sorted(self.arms[arm].sweep.bands)  # type: ignore[union-attr]  # checked at loading
            for seed in seeds
        ]

    def judges(self) -> dict[str, Model]:
        """The evaluators' models, by name."""
        return {name: Model(judge.arm, judge.seed) for name, judge in self.evaluators.items()}

    def factors(self, profile: str, model: Model) -> dict[str, Value]:
        """What tells a model's arm from others: its name, and the value of its sweep if it has one."""
        return {"arm": model.arm, **({} if model.arm == NONE else self.arm_of(profile, model).factors())}

    def training(self, profile: str, model: Model) -> Job:
        """The job that makes a model, which may be of any arm and seed."""
        arm = self.arm_of(profile, model)
        run = Wanted(f"train-{model}", "train", model, {"arm": model.arm, **arm.factors()}, {}, arm.recipe())
        return Job("train", model, runs=(run,))

    def attacking(self, profile: str, model: Model, group: str = "") -> Job:
        """The job of a group of attacks on a model, which may be of any arm and seed; no group: the profile's own."""
        chosen = self.profile(profile)
        names, at, sweep = chosen.attacks, [], {}
        if group:
            entry = named(chosen.further, group, "group")
            names, at, sweep = entry.attacks, entry.at, entry.sweep
        variants = [
            variant
            for name in self.attacks
            if name in names
            for variant in self.variants(profile, name, at=at, sweep=sweep)
            if (variant.sees == "nothing") == (model.arm == NONE)
        ]
        of_model = self.factors(profile, model)
        runs = [each.on(model, of_model) for each in variants]
        if model.arm != NONE and not group:
            recipe = self.arm_of(profile, model).recipe()
            runs.append(Wanted(f"mechanism-{model}", "mechanism", model, of_model, {}, recipe))
        return Job("attack", model, group, tuple(runs), tuple(variants))

    def jobs(self, profile: str) -> list[Job]:
        """All that a profile asks for: evaluators, models, attacks that need none, attacks, group by group."""
        chosen, models = self.profile(profile), self.models(profile)
        trainings = [self.training(profile, model) for model in dict.fromkeys([*self.judges().values(), *models])]
        own = [self.attacking(profile, model) for model in [Model(NONE, 0), *models]]
        grouped = [
            self.attacking(profile, Model(arm, seed), name)
            for name, group in chosen.further.items()
            for arm in group.arms
            for seed in group.seeds
        ]
        return trainings + [job for job in own + grouped if job.variants]
