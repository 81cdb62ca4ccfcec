"""The parts of study.yaml as typed models: unknown keys, wrong types and unknown names are refused in one sentence."""

import json
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictFloat, StrictInt
from pydantic.functional_validators import AfterValidator, field_validator, model_validator

from suppress_privacy.checks import keywords
from suppress_privacy.controls import CONTROLS
from suppress_privacy.defences import DEFENCES
from suppress_privacy.fetch import DATASETS
from suppress_privacy.lenet import Activation

FOLDER = Path(__file__).parents[1]  # of study.yaml
ROOT = FOLDER.parent  # the project's
LENET5: tuple[int, Activation] = 120, "relu"  # units of fc1 and activation, in the tutorial
LEAST_COINS = 5  # models in a game: four shadows for each
NETWORKS = ("lenet5", "convnet")
MOMENTS = ("start", "middle", "end")  # of a training
Number = StrictFloat | StrictInt
Count = Annotated[StrictInt, Field(ge=1)]
Seed = Annotated[StrictInt, Field(ge=0)]
Range = Annotated[list[Annotated[Number, Field(ge=0, le=1)]], Field(min_length=2, max_length=2)]
Seeds = Annotated[list[Seed], Field(min_length=1)]
Names = Annotated[list[str], Field(min_length=1)]
Value = StrictFloat | StrictInt | StrictBool | str
Sweeps = dict[str, Annotated[list[Value], Field(min_length=1)]]


def _kept(value: Any) -> Any:
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"{value!r} is nothing that JSON can keep: use finite numbers, texts and lists of them"
        ) from error
    return value


def _made(network: str) -> str:
    module, colon, maker = network.partition(":")
    if network not in NETWORKS and not (
        colon and maker.isidentifier() and all(map(str.isidentifier, module.split(".")))
    ):
        raise ValueError(f"{network!r} is none of {', '.join(NETWORKS)}, nor of your own, as module:callable")
    return network


Network = Annotated[str, AfterValidator(_made)]  # one of NETWORKS, or what makes one of the user's own
Kept = Annotated[Any, AfterValidator(_kept)]  # what is kept with a run


class Checked(BaseModel):
    """A part of study.yaml or claims.yaml: what it does not know is refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Optimizer(Checked):
    name: Literal["sgd", "momentum"]
    lr: Annotated[Number, Field(gt=0)]
    momentum: Annotated[Number, Field(ge=0, lt=1)] = 0.0
    decay: Literal["none", "linear"] = "none"  # of the rate, to zero at the end of training

    @model_validator(mode="after")
    def _momentum_is_used(self) -> "Optimizer":
        if self.name == "sgd" and self.momentum != 0:
            raise ValueError(f"momentum is {self.momentum}, but sgd has none: use the optimizer momentum, or remove it")
        return self


class Band(Checked):
    """Where a sound training ends, for every seed: test accuracy, and zeros of each weight matrix."""

    test_accuracy: Range
    sparsity: Range


class Sweep(Checked):
    """An arm at other values of one setting of its defence: value -> what differs in its band."""

    setting: str
    title: str  # with {value:...} or {percent:...}
    bands: Annotated[dict[Number, dict[str, Range]], Field(min_length=1)]

    @field_validator("title")
    @classmethod
    def _can_be_filled_in(cls, title: str) -> str:
        try:
            title.format(value=0.5, percent=50.0)
        except (LookupError, ValueError, AttributeError) as error:
            raise ValueError(f"{title!r} has more in braces than value and percent: correct it") from error
        return title


class Arm(Checked):
    """How a network is made: trained from its seed's draw or another arm's weights, or cut from another's training."""

    title: str
    documented: str | None = None
    band: Band | None = None
    sweep: Sweep | None = None
    network: Network = "lenet5"
    channels: Count = 1  # of the images, which a ConvNet must know
    classes: Count = 10
    units: Count = LENET5[0]  # of LeNet5's fc1
    activation: Activation = LENET5[1]  # of LeNet5
    start: str | None = None  # an arm whose trained weights this one starts from
    cut: str | None = None  # an arm that this one is, after the epoch whose test accuracy is nearest to the wanted one
    accuracy_of: str | None = None  # the arm whose test accuracy is wanted, seed by seed
    as_accurate_as: str | None = None  # the arm whose mean test accuracy this one's settings were chosen to give
    epochs: Annotated[StrictInt, Field(ge=0)] = 0  # 0: not trained (any further)
    batch_size: Count = 32
    optimizer: Optimizer | None = None
    defence: dict[str, Kept] | None = None  # its kind, and that kind's settings in lib/
    package: StrictBool = False  # trained by MindArmour's own package, on the whole data of full size

    @model_validator(mode="before")
    @classmethod
    def _complete(cls, content: Any) -> Any:
        """The defence with its defaults, checked by its own definition."""
        if not isinstance(content, dict) or not isinstance(content.get("defence"), dict):
            return content
        settings = dict(content["defence"])
        kind = settings.pop("kind", None)
        if kind not in list(DEFENCES):  # of any type, such as a list
            raise ValueError(f"defence.kind is {kind!r}; allowed are {', '.join(DEFENCES)}: correct it")
        try:
            settings = keywords(DEFENCES[kind], settings)
            DEFENCES[kind](**settings)
        except (TypeError, ValueError) as error:
            raise ValueError(f"defence.{str(error).removesuffix('.')}") from error
        return content | {"defence": {"kind": kind, **settings}}

    @model_validator(mode="after")
    def _fits_together(self) -> "Arm":
        if (self.epochs > 0) != (self.optimizer is not None):
            given = "missing" if self.optimizer is None else "given"
            raise ValueError(f"epochs is {self.epochs}, the optimizer {given}; training needs both: change one")
        if self.defence is not None:
            kind, made = self.defence["kind"], self.made_by()
            if made.starts_trained and self.start is None:
                raise ValueError(f"start is missing; {kind} acts on a trained network: name its arm")
            if self.epochs > 0:
                made.fits(self.epochs, self.optimizer.lr if self.optimizer else 0.0)
        shape, own, by = (self.units, self.activation), self.defence or {}, self.optimizer
        if self.network == "lenet5" and (self.channels, self.classes) != (1, 10):
            of = f"{self.channels} channels and {self.classes} classes"
            raise ValueError(
                f"network is lenet5, for one channel and ten classes, and the images have {of}: name another"
            )
        if self.network != "lenet5" and shape != LENET5:
            raise ValueError(f"units and activation are LeNet5's, and network is {self.network}: leave them out")
        how = own.get("kind"), own.get("compat"), by and (by.name, by.decay), self.network, shape, self.earlier()
        if self.package and how != ("suppress", False, ("sgd", "none"), "lenet5", LENET5, []):
            raise ValueError("package is true, which is for LeNet5 by plain sgd under suppress: leave all else out")
        if self.cut and (self.accuracy_of is None or (self.optimizer and self.optimizer.decay != "none")):
            raise ValueError("cut needs accuracy_of, and a training at a rate that does not decay: add or change it")
        if self.sweep and self.sweep.setting not in (self.defence or {}):
            raise ValueError(f"sweep.setting is {self.sweep.setting!r}, which the defence has not: correct the name")
        return self

    def made_by(self) -> Any:
        """The defence's settings, as their own class in lib/."""
        settings = dict(self.defence or {})
        return DEFENCES[settings.pop("kind")](**settings)

    def recipe(self) -> dict[str, Any]:
        """What decides the outcome of making this arm: all but how it is called and judged."""
        return self.model_dump(exclude={"title", "documented", "band", "sweep", "as_accurate_as"})

    def earlier(self) -> list[str]:
        """The arms that must have been made, from the same seed, before this one can be."""
        return list(dict.fromkeys(name for name in (self.start, self.cut, self.accuracy_of) if name))

    def factors(self) -> dict[str, Value]:
        """The setting that the arm is swept over, with the value it has."""
        return {self.sweep.setting: (self.defence or {})[self.sweep.setting]} if self.sweep else {}


class Evaluator(Checked):
    arm: str
    seed: Seed


class Sees(Checked):
    """What an attacker has: one of the first five; nothing if none is given. Of the last ones every value is tried."""

    features: list[str] = []  # by the names of layers
    gallery: list[str] = []  # features there, and who the images may be
    gradients: list[Literal[MOMENTS]] = []  # type: ignore[valid-type]
    candidates: Annotated[StrictInt, Field(ge=0)] = 0  # for each of which it has the network's outputs
    images: StrictBool = False  # the candidates themselves, and no network: in games alone
    images_per_class: Count = 1  # whose gradients it has
    batch_size: Count = 1  # images of whose mean loss a gradient is
    sent: Literal["masked", "unmasked"] = "masked"  # as the client sends it under the defence, or before that acts
    another: StrictBool = False  # for each image the gradient of another one: a control
    network: Literal["", *CONTROLS] = ""  # type: ignore[valid-type]  # a control, in place of the study's models

    auxiliary: list[Count] = []  # no more images of its own than that
    auxiliary_kind: list[Literal["fashion-mnist"]] = []  # images of its own that show something else
    known: list[Literal["another-seed"]] = []  # not the victim, but the arm's network of another seed

    def what(self) -> str:
        kinds: dict[str, Any] = {"features": self.features, "gallery": self.gallery, "gradients": self.gradients}
        kinds |= {"outputs": self.candidates, "images": self.images}
        given = [kind for kind, value in kinds.items() if value] or ["nothing"]
        if len(given) > 1:
            raise ValueError(f"sees has {' and '.join(given)}; an attack sees one kind of thing: make it two attacks")
        return given[0]


class Attack(Checked):
    title: str
    kind: str = ""  # in lib/; none given: the attack's own name
    sees: Sees = Sees()
    settings: dict[str, Kept] = {}
    sweep: Sweeps = {}

    def own(self) -> dict[str, Any]:
        """Its settings, and how it sees what it sees."""
        return {**dict(self.sees), **self.settings}


class Game(Checked):
    """Membership by coin: each model is trained on a half of the images, drawn by lot; the others are its shadows."""

    title: str
    attacks: Names
    images: Annotated[StrictInt, Field(ge=0)] = 0  # of the training set, drawn once for all models; 0: all of them
    labels: Literal["true", "random"] = "true"
    canaries: Annotated[StrictInt, Field(ge=0)] = 0  # images with a wrong label, each in or out by a coin of its own

    def recipe(self) -> dict[str, Any]:
        """What decides who is in which training, and under which label."""
        return self.model_dump(exclude={"title", "attacks"})


class Targets(Checked):
    train_per_class: Count
    test_per_class: Count


class Group(Checked):
    """Attacks that are too dear for every model of a profile, or that look elsewhere."""

    attacks: Names
    arms: Names
    seeds: Seeds
    at: list[str] = []  # depths or moments, in place of the attacks' own
    sees: dict[str, Annotated[list[Value], Field(min_length=1)]] = {}  # besides what the attacks have of their own
    sweep: Sweeps = {}  # in place of the attacks' own


class OwnData(Checked):
    """Images of the user's own, see `load_own`; and what they are, so that a plan can be made before they are read."""

    train: str
    test: str
    classes: Annotated[StrictInt, Field(ge=2)]
    shape: Annotated[list[Count], Field(min_length=3, max_length=3)]  # channels, rows and columns


class Profile(Checked):
    note: str = ""  # what a reader must know before believing a figure; on every page
    data: str | OwnData
    arms: Annotated[dict[str, Seeds], Field(min_length=1)]
    sweeps: dict[str, Seeds] = {}  # arms at all values of their sweep
    attacks: Names  # on every model
    further: dict[Annotated[str, Field(pattern="^[a-z][a-z0-9]*$")], Group] = {}
    games: dict[str, dict[str, Annotated[StrictInt, Field(ge=LEAST_COINS)]]] = {}  # game -> arm -> models
    game_overrides: dict[str, dict[str, Any]] = {}
    targets: Targets
    matched: StrictBool = True  # whether controls of equal accuracy must be equal: not where all is cut short
    judges: Literal["made", "published"] = "made"  # evaluators that were published are taken, if they are current
    overrides: dict[str, dict[str, Any]] = {}  # of arms
    attack_overrides: dict[str, dict[str, Any]] = {}

    def seeds(self) -> list[int]:
        """All seeds of the profile's models."""
        return sorted({seed for seeds in self.arms.values() for seed in seeds})


CONTROLLED = ("accuracy-matched", "magnitude-finetuned", "feature-noise")  # that a campaign compares with, unasked
BESIDE = ("ridge-shuffled", "matching")  # and attacks that are a check, and a bound


class Campaign(Checked):
    """What of the study is asked of another network or other data; what is left out is the study's."""

    title: str
    data: str | OwnData  # a data set that lib/ knows by name; auto and embedded are MNIST; or files of one's own
    network: Network = "lenet5"
    layers: list[Kept] | str | None = None  # to suppress or prune, see `mask_layers`; None: as the arms have it
    depth: str = "fc1"  # the layer whose features leave the user's device
    near: str | None = None  # a layer so near to the image that an attack must do well there, as a check
    seeds: Seeds = [0]
    training: dict[str, Any] = {}  # of all arms that are trained: epochs, batch_size, optimizer
    arms: Names = ["baseline", "dense-sgd", "suppressed-example", *CONTROLLED]
    overrides: dict[str, dict[str, Any]] = {}  # of arms, evaluators' too
    attacks: Names = ["black", "mean", "class-mean", "nearest", "reference", "ridge", "decoder", "tuned", *BESIDE]
    attack_overrides: dict[str, dict[str, Any]] = {}
    further: dict[str, Group] = {}
    targets: Targets = Targets(train_per_class=25, test_per_class=25)
    matched: bool = True  # whether controls of equal accuracy must be equal

    def shape(self) -> tuple[int, int]:
        """Channels of its images, and classes."""
        if isinstance(self.data, OwnData):
            return self.data.shape[0], self.data.classes
        known = DATASETS.get(self.data, DATASETS["mnist"])
        return known.channels, known.classes


class Documented(Checked):
    source: str
    images: Count
    seeds: Count
    models: dict[str, dict[str, float]]


class Roles(Checked):
    ordinary: str
    suppressed: str
    control: str
    matched: str
    noise: str
    depth: str
