"""The study: what study.yaml asks for becomes models, attacks and runs, profile by profile."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import reduce
from itertools import product
from typing import Any, Self

from pydantic import PrivateAttr, model_validator

from suppress_privacy.attacks import ATTACKS
from suppress_privacy.checks import check
from suppress_privacy.lenet import DEPTHS
from suppress_study.content import Content
from suppress_study.jobs import NONE, OF_GRADIENTS, PLACES, WEAKER, Job, Model, Variant, in_game, parted
from suppress_study.reading import SettingsError, merged, named, validated
from suppress_study.results import Run, key
from suppress_study.settings import LEAST_COINS, Arm, Attack, Game, Profile, Sees, Value

Changes = Mapping[str, Any] | None  # settings, or values of them, in place of the study's


class Study(Content):
    _arms: dict[tuple[str, str, float | None], Arm] = PrivateAttr(default_factory=dict)

    @model_validator(mode="after")
    def _can_be_run(self) -> Self:
        self._require_depths("roles.depth", [self.roles.depth])
        for name, own in self.arms.items():
            if own.defence and (released := own.made_by().releases):
                self._require_depths(f"arms.{name}.defence.depth", [released])
        for profile in self.profiles:
            for arm in self.arms:
                self._require_earlier(profile, arm)
            asked = set()  # what tells runs apart, whatever they are called
            for name, arms in self.profiles[profile].games.items():
                self._require_paired(profile, name, arms)
            for run in (run for job in self.jobs(profile) for run in job.runs):
                place = run.kind, run.seed, key(run.factors)
                if place in asked:
                    raise ValueError(f"profiles.{profile} asks for {run.name} twice: remove one")
                asked.add(place)
        return self

    def _require_earlier(self, profile: str, name: str) -> None:
        planned = self.profiles[profile].arms
        arm = self.arm(profile, name)
        for earlier in (*arm.earlier(), *filter(None, [arm.as_accurate_as])):
            if earlier not in self.arms or self.arms[earlier].earlier():
                raise ValueError(
                    f"arms.{name} names {earlier!r}; it must be an arm that builds on no other: correct the name"
                )
            if not {*planned.get(name, ())} <= {*planned.get(earlier, ())}:
                raise ValueError(
                    f"profiles.{profile} does not train {earlier} from every seed of {name}, which names it: add it"
                )

    def _require_paired(self, profile: str, name: str, arms: Mapping[str, int]) -> None:
        for arm, count in arms.items():
            for earlier in self.arm(profile, arm).earlier():
                if arms.get(earlier, 0) < count:
                    raise ValueError(
                        f"profiles.{profile}.games.{name} has {count} of {arm}, which builds on {earlier}: have as many"
                    )

    def profile(self, name: str) -> Profile:
        return named(self.profiles, name, "profile")

    # Arms and models

    def arm(self, profile: str, name: str, overrides: Changes = None, value: float | None = None) -> Arm:
        """An arm as a profile makes it, at a value of its sweep, with a rerunner's `overrides` on top."""
        if overrides:
            return self._arm(profile, name, overrides, value)
        asked = profile, name, value
        if asked not in self._arms:  # a plan asks for each some hundred times
            self._arms[asked] = self._arm(*asked[:2], {}, value)
        return self._arms[asked]

    def _arm(self, profile: str, name: str, overrides: Mapping[str, Any], value: float | None) -> Arm:
        own = named(self.arms, name, "arm")
        changes = [self.profile(profile).overrides.get(name, {}), overrides]
        if value is not None:
            if own.sweep is None:
                raise SettingsError(f"arm {name} has no sweep, so no value {value:g} of one: leave it out.")
            titled = own.sweep.title.format(value=value, percent=100 * value)
            defence, band = {own.sweep.setting: value}, own.sweep.bands.get(value, {})
            changes.insert(0, {"title": titled, "documented": None, "defence": defence, "band": band})
        settings = reduce(merged, changes, own.model_dump(exclude_unset=True))
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
        if not swept:
            return Model(arm, seed)
        factors = named(self.arms, arm, "arm").factors()
        if factors.keys() != swept.keys():
            known = f"a value of {', '.join(factors)}" if factors else "nothing, for this arm has no sweep"
            raise SettingsError(f"swept is {dict(swept)}; with arm {arm} it must be {known}: correct it.")
        ((setting, value),) = swept.items()
        check(f"swept.{setting}", value, float)
        return Model(arm, seed, None if value == factors[setting] else value)

    def named_model(self, arm: str, value: str, seed: str) -> Model:
        """A model by the parts of a job's name; the arm's own value is the arm."""
        sweep = named(self.arms, arm, "arm").sweep if value else None
        if value and sweep is None:
            raise SettingsError(f"arm {arm} has no sweep, so no value {value} of one: leave it out.")
        return self.model(arm, int(seed), {sweep.setting: float(value.removeprefix("@"))} if sweep else {})

    def swept_by(self, model: Model) -> dict[str, Value]:
        """What `model` takes back."""
        return {} if model.value is None else dict.fromkeys(self.arms[model.arm].factors(), model.value)

    def models(self, profile: str) -> list[Model]:
        """The models that a profile attacks, arm by arm, then the arms at other values of their sweeps."""
        chosen = self.profile(profile)
        swept = {arm: sweep.bands for arm in chosen.sweeps if (sweep := self.arms[arm].sweep)}
        own = [Model(arm, seed) for arm, seeds in chosen.arms.items() for seed in seeds]
        return own + [
            Model(arm, seed, value)
            for arm, values in swept.items()
            for value in sorted(values)
            for seed in chosen.sweeps[arm]
        ]

    def judges(self) -> dict[str, Model]:
        """The evaluators' models, by name."""
        return {name: Model(judge.arm, judge.seed) for name, judge in self.evaluators.items()}

    def factors(self, profile: str, model: Model) -> dict[str, Value]:
        """What tells a model's arm from others: its name, and the value of its sweep if it has one."""
        return {"arm": model.arm, **({} if model.arm == NONE else self.arm_of(profile, model).factors())}

    # Attacks

    def swept(self, name: str) -> list[str]:
        """The settings that an attack is run at several values of, in any profile."""
        attack = self.attacks[name]
        groups = [group for profile in self.profiles.values() for group in profile.further.values()]
        sweeps = [attack.sweep, *(group.sweep for group in groups if name in group.attacks)]
        return [setting for setting in attack.own() if any(setting in sweep for sweep in sweeps)]

    def variants(
        self,
        profile: str,
        name: str,
        *,
        at: Sequence[str] = (),
        more: Changes = None,
        sweep: Changes = None,
        overrides: Changes = None,
    ) -> list[Variant]:
        """An attack at every place where it looks and every value it is swept over.

        Args:
            profile: which may change its settings.
            name: of study.yaml.
            at, sweep: in place of the attack's own.
            more: that it sees.
            overrides: a rerunner's, of its settings, which are then no longer swept over.
        """
        attack, own = named(self.attacks, name, "attack"), f"attack {name} in profile {profile}"
        changed = self.profile(profile).attack_overrides.get(name, {})
        changes = [attack.model_dump(), changed, parted(overrides or {})]
        attack = validated(Attack, reduce(merged, changes), own)
        swept = {which: values for which, values in (sweep or attack.sweep).items() if which not in (overrides or {})}
        try:
            kind, what = attack.kind or name, attack.sees.what()
            if not self.published and ATTACKS[kind].sees != what:
                raise ValueError(f"sees is {what}, but {kind} sees {ATTACKS[kind].sees}: correct it")
            if at and what not in PLACES:
                raise ValueError(f"at is {at}, but what {name} sees, {what}, has no depth or moment: leave it out")
            looks = PLACES.get(what)
            seen = {looks: list(at) or getattr(attack.sees, what)} if looks else {}
            self._require_depths("depth", seen.get("depth", ()))
            less = validated(Sees, attack.sees.model_dump() | dict(more or {}), "sees")
            seen |= {place: values for place in WEAKER if (values := getattr(less, place))}
            if not {*WEAKER}.isdisjoint(seen) and what != "features":
                raise ValueError(f"sees has {[*seen][-1]}, which attacks on features alone can do without: remove it")
            found = []
            for where, values in product(product(*seen.values()), product(*swept.values())):
                changed = parted(dict(zip(swept, values, strict=True)))
                kept = attack.sees.model_dump() | ({what: list(at)} if at else {}) | changed["sees"]
                sees = validated(Sees, kept, "sees")
                settings = attack.settings | changed["settings"]
                settings = settings if self.published else ATTACKS[kind].settings(settings)
                factors = dict(zip(seen, where, strict=True))
                factors |= {each: (settings | dict(sees))[each] for each in self.swept(name)}
                counts = {each: getattr(sees, each) for each in ("images_per_class", "candidates", *OF_GRADIENTS)}
                found.append(Variant(name, kind, attack.title, what, factors, settings, **counts))
            return found
        except (TypeError, ValueError) as error:
            raise SettingsError(f"{own}: {str(error).removesuffix('.')}.") from error

    def _require_depths(self, place: str, depths: Sequence[str]) -> None:
        """Raise unless a LeNet5 has these; of another network that is known once it is made."""
        if self.arms[self.roles.ordinary].network == "lenet5":
            for depth in depths:
                if depth not in DEPTHS:
                    raise ValueError(f"{place} is {depth!r}; allowed are {', '.join(DEPTHS)}: name one of these")

    def variant(self, profile: str, reference: str | Mapping[str, Value]) -> Variant:
        """The one variant of an attack with these factors, or by its name; factors not given are its own."""
        factors = {"attack": reference} if isinstance(reference, str) else reference
        if "game" in factors:
            game, alone = str(factors["game"]), {name: value for name, value in factors.items() if name != "game"}
            named(self.games, game, "game")
            return in_game(self.variant(profile, alone), game)
        attack = str(factors["attack"])
        own, swept = named(self.attacks, attack, "attack"), self.swept(attack)
        for name in factors.keys() - {"attack", *PLACES.values(), *WEAKER, *swept}:
            raise SettingsError(f"attack {attack} is not told apart by {name}: correct the name or leave it out.")
        at = list(dict.fromkeys(str(factors[name]) for name in PLACES.values() if name in factors))
        more = {name: [factors[name]] for name in WEAKER if name in factors}
        overrides = {name: factors.get(name, own.own()[name]) for name in swept}
        return self.variants(profile, attack, at=at, more=more, overrides=overrides)[0]

    def title(self, variant: Variant) -> str:
        """An attack's title with those of its factors that are not the same for all attacks beside it."""
        own, factors = self.attacks[variant.attack], dict(variant.factors)
        depth, moment = factors.pop("depth", None), factors.pop("moment", None)
        told = [
            value if isinstance(value, str) else f"{name.replace('_', ' ')} {value:g}"
            for name, value in factors.items()
            if name in (*own.sweep, *WEAKER) or value != own.own().get(name, value)
        ]
        title = own.title + (f" ({', '.join(told)})" if told else "")
        if depth not in (None, self.roles.depth):
            return f"{title} at {depth}"
        return f"{title}, {moment} of training" if moment else title

    # Jobs

    def training(self, profile: str, model: Model, overrides: Changes = None) -> Job:
        """The job that makes a model, which may be of any arm and seed."""
        arm = self.arm(profile, model.arm, overrides, model.value)
        factors = {"arm": model.arm, **arm.factors()}
        run = Run(f"train-{model}", "train", self.campaign, profile, factors, model.seed, arm.recipe())
        return Job("train", model, "", (run,))

    def attacking(
        self,
        profile: str,
        model: Model,
        group: str = "",
        *,
        attacks: Sequence[str] = (),
        at: Sequence[str] = (),
        overrides: Changes = None,
        factors: Mapping[str, Value] | None = None,
    ) -> Job:
        """The job of a group of attacks on a model, which may be of any arm and seed; no group: the profile's own.

        Args:
            profile, model, group: whose attacks, on what.
            attacks, at: a rerunner's, in place of the group's.
            overrides: of the attacks' settings.
            factors: of the model, where it is not the plan's own.
        """
        chosen = self.profile(profile)
        entry = named(chosen.further, group, "group") if group else None
        names, (sweep, more) = attacks or (entry or chosen).attacks, (entry.sweep, entry.sees) if entry else ({}, {})
        at = at or (entry.at if entry else ())
        variants = [
            each
            for name in names
            for each in self.variants(profile, name, at=at, more=more, sweep=sweep, overrides=overrides)
            if each.alone == (model.arm == NONE)
        ]
        if model.arm in self.arms:
            self._require_released(profile, model, variants)
            self.another(profile, model, variants)
        of_model, campaign, seed = dict(factors or self.factors(profile, model)), self.campaign, model.seed
        runs = [
            Run(f"attack-{each}-{model}", "attack", campaign, profile, of_model | each.columns(), seed, each.recipe())
            for each in variants
        ]
        if model.arm in self.arms and not group and not attacks:
            recipe = self.arm_of(profile, model).recipe()
            runs.append(Run(f"mechanism-{model}", "mechanism", campaign, profile, of_model, seed, recipe))
        return Job("attack", model, group, tuple(runs), tuple(variants))

    def _require_released(self, profile: str, model: Model, variants: Sequence[Variant]) -> None:
        """Raise unless what these attacks see leaves the user's device under the model's defence."""
        arm = self.arm_of(profile, model)
        released = arm.made_by().releases if arm.defence else None
        for each in variants:
            if released and (PLACES.get(each.sees), each.factors.get("depth")) != ("depth", released):
                alone = f"features at {released} alone leave the device of arm {model.arm}"
                raise SettingsError(f"attacks has {each}, but {alone}: leave it out, or name another arm.")

    def another(self, profile: str, model: Model, variants: Sequence[Variant]) -> Model | None:
        """The network of another seed that attacks on a model hold in its place, if one of them does.

        Raises:
            SettingsError: the profile has none.
        """
        if not any("known" in each.factors for each in variants):
            return None
        seeds = [each.seed for each in self.models(profile) if replace(each, seed=model.seed) == model]
        others = sorted({*seeds} - {model.seed}, key=lambda seed: (seed < model.seed, seed))
        if not others:
            raise SettingsError(
                f"arm {model.kind} has one seed in profile {profile}, and no network besides: add a seed."
            )
        return replace(model, seed=others[0])

    # Games

    def game(self, profile: str, name: str) -> Game:
        """A game as a profile plays it."""
        own = named(self.games, name, "game").model_dump()
        return validated(Game, merged(own, self.profile(profile).game_overrides.get(name, {})), f"game {name}")

    def coins(self, profile: str, name: str, model: Model) -> int:
        """How many models of an arm play a game: as many as the profile says; of others as few as can."""
        asked = self.profile(profile).games.get(name, {})
        return max(asked.values(), default=LEAST_COINS) if model.arm == NONE else asked.get(model.kind, LEAST_COINS)

    def playing(self, profile: str, name: str, model: Model) -> Job:
        """The job of all models of an arm that play a game, and of the attacks on each; the model's seed is not used.

        Without an arm: of the attacks that see no network, on the same draws.
        """
        game, own, campaign = self.game(profile, name), [], self.campaign
        if model.arm != NONE:
            own.append(self.arm_of(profile, model))
            if own[0].defence and own[0].made_by().releases:
                raise SettingsError(
                    f"arm {model.arm} differs in what it releases, not in its training: it plays no game."
                )
        variants = [
            in_game(each, name)
            for attack in game.attacks
            for each in self.variants(profile, attack)
            if (each.sees == "images") == (model.arm == NONE)
        ]
        rules = {"game": game.recipe()}
        count, runs = self.coins(profile, name, model), []
        for seed in range(count):
            one, of_model = replace(model, seed=seed), self.factors(profile, model)
            for arm in own:
                factors, settings = of_model | {"game": name}, arm.recipe() | rules
                runs.append(Run(f"coin-{name}-{one}", "coin", campaign, profile, factors, seed, settings))
            for each in variants:
                factors = of_model | each.columns()
                settings = each.recipe() | rules | {"models": count}
                runs.append(Run(f"attack-{each}-{one}", "attack", campaign, profile, factors, seed, settings))
        return Job("coins", replace(model, seed=0), name, tuple(runs), tuple(variants))

    def needs(self, profile: str, job: Job) -> list[Job]:
        """The jobs whose runs a job starts from, which must be there before; what a package trains is no job's."""
        arm = None if job.model.arm == NONE else self.arm_of(profile, job.model)
        earlier = arm.earlier() if arm and not arm.package else []
        if job.kind == "coins":
            return [self.playing(profile, job.group, Model(name, 0)) for name in earlier]
        if job.kind == "train":
            models = [Model(name, job.model.seed) for name in earlier]
        else:
            another = self.another(profile, job.model, job.variants)
            models = [*([job.model] if arm else []), *filter(None, [another]), *self.judges().values()]
        return [self.training(profile, model) for model in dict.fromkeys(models)]

    def jobs(self, profile: str) -> list[Job]:
        """All that a profile asks for: evaluators, models, attacks that need none, attacks, group by group; games."""
        chosen, models = self.profile(profile), self.models(profile)
        trainings = [self.training(profile, model) for model in dict.fromkeys([*self.judges().values(), *models])]
        own = [self.attacking(profile, model) for model in [Model(NONE, 0), *models]]
        grouped = [
            self.attacking(profile, Model(arm, seed), name)
            for name, group in chosen.further.items()
            for arm in group.arms
            for seed in group.seeds
        ]
        played = [
            self.playing(profile, name, Model(arm, 0)) for name, arms in chosen.games.items() for arm in [NONE, *arms]
        ]
        return trainings + [job for job in own + grouped + played if job.variants]
