"""study.yaml as a whole: its parts fit together, and every name in it is one that it defines, or that lib/ has."""

from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any, ClassVar, Self

from pydantic import Field, PrivateAttr, ValidationInfo
from pydantic.functional_validators import model_validator

from suppress_privacy.attacks import ATTACKS
from suppress_study.campaigns import FILE as CAMPAIGN
from suppress_study.campaigns import NAME, laid_over, understood
from suppress_study.reading import loaded, read
from suppress_study.settings import FOLDER, Arm, Attack, Campaign, Checked, Documented, Evaluator, Game, Profile, Roles


class File(Checked):
    """One of these files as a whole."""

    FILE: ClassVar[str]

    @classmethod
    def load(cls, path: Path | None = None) -> Self:
        """Read and check the file.

        Raises:
            SettingsError: it is missing, is not YAML, or something in it is wrong.
        """
        path = path or FOLDER / cls.FILE
        return loaded(cls, read(path), path, path.name, b"")

    @classmethod
    def of(cls, results: Path) -> Self:
        """As the published results of a folder were made by; today's where it has none, or has runs made since.

        Where the results are of a campaign, that is laid over it.

        Raises:
            SettingsError: see `load`.
        """
        published = results / cls.FILE
        if made_in(results) or not published.is_file():
            return cls.today(results)
        return loaded(cls, read(published), published, str(published), _campaign(results), published=True)

    @classmethod
    def today(cls, results: Path) -> Self:
        """As runs are made by that go into a folder of results: with its campaign, if it is of one.

        Raises:
            SettingsError: see `load`.
        """
        return loaded(cls, read(FOLDER / cls.FILE), FOLDER / cls.FILE, cls.FILE, _campaign(results))


def _campaign(results: Path) -> bytes:
    return read(path) if (path := results / CAMPAIGN).is_file() else b""


class Content(File):
    """study.yaml: every name in it is one that it defines, or that lib/ has."""

    FILE = "study.yaml"

    campaign: str
    documented: Documented | None = None
    campaigns: dict[Annotated[str, Field(pattern=f"^{NAME}$")], Campaign] = Field(default_factory=dict)
    roles: Roles
    arms: dict[str, Arm]
    evaluators: Annotated[dict[str, Evaluator], Field(min_length=1)]
    attacks: dict[str, Attack]
    games: dict[Annotated[str, Field(pattern="^[a-z]+$")], Game] = Field(default_factory=dict)
    profiles: dict[str, Profile]

    @classmethod
    def laid_over(cls, content: dict[str, Any], campaign: Any) -> dict[str, Any]:
        """The file's content with a campaign, as a folder of results has it, in place of its own."""
        return laid_over(content, *understood(campaign))

    _published: bool = PrivateAttr(default=False)  # then its attacks are what they were, and not asked of today's

    @model_validator(mode="after")
    def _is_published(self, info: ValidationInfo) -> Self:
        self._published = bool((info.context or {}).get("published"))
        return self

    @property
    def published(self) -> bool:
        return self._published

    @model_validator(mode="after")
    def _names_exist(self) -> Self:
        for place, names, known in self._uses():
            for name in names:
                if name not in known:
                    allowed = ", ".join(map(str, known))
                    raise ValueError(f"{place} names {name!r}; allowed are {allowed}: correct the name or define it")
        return self

    @model_validator(mode="after")
    def _seeds_differ(self) -> Self:
        judges = {judge.seed for judge in self.evaluators.values()}
        for name, profile in self.profiles.items():
            for seeds in profile.arms.values():
                if len(set(seeds)) < len(seeds) or judges & {*seeds}:
                    raise ValueError(
                        f"profiles.{name}.arms has the seeds {seeds}; seeds must differ from each other and from "
                        f"the evaluators' ({', '.join(map(str, sorted(judges)))}): they would judge themselves"
                    )
        return self

    def _uses(self) -> Iterator[tuple[str, Iterable[Any], Collection[Any]]]:
        """Where names stand, which, and the names that there are."""
        yield "roles", self.roles.model_dump(exclude={"depth"}).values(), self.arms
        yield "evaluators", (judge.arm for judge in self.evaluators.values()), self.arms
        models = self.documented.models if self.documented else ()
        yield "documented", (arm.documented for arm in self.arms.values() if arm.documented), models
        if not self._published:
            yield "attacks", (attack.kind or name for name, attack in self.attacks.items()), ATTACKS
        in_games = ("candidates", "images", "features")
        of_games = [name for name, attack in self.attacks.items() if any(getattr(attack.sees, one) for one in in_games)]
        for name, played in self.games.items():
            yield f"games.{name}.attacks", played.attacks, of_games
        elsewhere = [name for name, attack in self.attacks.items() if not attack.sees.images]
        for name, profile in self.profiles.items():
            place = f"profiles.{name}"
            yield f"{place}.games", [*profile.games, *profile.game_overrides], self.games
            for game, arms in profile.games.items():
                yield f"{place}.games.{game}", arms, self.arms
            for part, known in (("arms", self.arms), ("overrides", self.arms), ("attacks", elsewhere)):
                yield f"{place}.{part}", getattr(profile, part), known
            yield f"{place}.attack_overrides", profile.attack_overrides, self.attacks
            yield f"{place}.sweeps", profile.sweeps, [arm for arm in profile.arms if self.arms[arm].sweep]
            for group, entry in profile.further.items():
                yield f"{place}.further.{group}.attacks", entry.attacks, elsewhere
                yield f"{place}.further.{group}.arms", entry.arms, profile.arms  # only what is trained can be attacked
                for arm in entry.arms:
                    yield f"{place}.further.{group}.seeds", entry.seeds, profile.arms[arm]


def made_in(results: Path) -> list[Path]:
    """The files of the runs that a folder of results has beside its published tables."""
    return sorted((results / "runs").glob("[!.]*.npz"))
