"""The study's networks: made as an arm says, kept with their checkpoints, found again by their run."""

import hashlib
import importlib
import inspect
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import mindspore as ms
import numpy as np
from mindspore import nn

from suppress_privacy import training
from suppress_privacy.convnet import ConvNet
from suppress_privacy.defences import DEFENCES
from suppress_privacy.defences.layers import mask_layers, matched
from suppress_privacy.fetch import DATASETS
from suppress_privacy.files import atomically, sha256_of
from suppress_privacy.lenet import Features, LeNet5, Rest, predict, require_whole
from suppress_privacy.mnist import Mnist
from suppress_privacy.training import Defence, History, Plan, checkpoints_in, train, with_cross_entropy
from suppress_study import packaged, weights
from suppress_study.code import hashes, module
from suppress_study.jobs import Model
from suppress_study.plan import Study
from suppress_study.provenance import numerical
from suppress_study.reading import validated
from suppress_study.results import Run, published_runs, read_job
from suppress_study.settings import ROOT, Arm, Optimizer


def untrained(arm: Arm, seed: int | None = None) -> nn.Cell:
    """A network of an arm's kind, its weights drawn from the seed."""
    if arm.network == "convnet":
        return ConvNet(8, arm.classes, channels=arm.channels, seed=seed)
    if arm.network == "lenet5":
        return LeNet5(seed=seed, units=arm.units, activation=arm.activation)
    return _own(arm.network, seed, "network")


def require_fits(study: Study, profile: str, data: Mnist) -> None:
    """Check that a campaign's network takes its images, knows its classes, and has the layers that are named.

    Raises:
        ValueError: it does not, or cannot be made.
    """
    ordinary = study.arm(profile, study.roles.ordinary)
    network, shape = untrained(ordinary, 0), data.train_images.shape[1:]
    try:
        given = predict(network, data.train_images[:2]).shape
    except (Exception, SystemExit) as error:  # of any kind, and often of many lines
        said = next((line for line in str(error).splitlines() if line.strip(" -")), type(error).__name__)
        raise ValueError(
            f"network {ordinary.network} does not take images of the shape {shape} ({said}): see to it."
        ) from error
    if given != (2, data.classes):
        wanted = f"of two images it must give two rows of {data.classes} logits, and it gives the shape {given}"
        raise ValueError(f"network is {ordinary.network}; {wanted}: see to it.")
    depths = [variant.factors.get("depth") for job in study.jobs(profile) for variant in job.variants]
    for depth in dict.fromkeys([study.roles.depth, *filter(None, depths)]):
        require_whole(network, str(depth), data.train_images[:3])
    for arm in study.arms.values():
        if arm.network == ordinary.network and "layers" in (arm.defence or {}):
            matched(network, mask_layers(arm.defence["layers"], network))  # type: ignore[index]


@dataclass(frozen=True)
class Trained:
    """A network of the study, how it came about, and what its defence does from here on."""

    network: nn.Cell
    arm: Arm
    seed: int
    history: History = field(default_factory=History)
    defence: Defence = field(default_factory=Defence)
    base: Arm | None = None  # how the network was made that its training started from
    checkpoints: Path | None = None  # folder of its training, for what it was like on the way
    file: Path | None = None  # of its weights, if it was not trained here
    _halves: dict[str, tuple[nn.Cell, nn.Cell]] = field(default_factory=dict, init=False, repr=False, compare=False)

    def at(self, moment: str) -> nn.Cell:
        """The network at the "start", in the "middle" or at the "end" of its training.

        Raises:
            ValueError: it was not trained here, or started from a trained one.
        """
        if moment == "end":
            return self.network
        if self.checkpoints is None or self.arm.package:
            raise ValueError(f"moment is {moment!r}; of a network from elsewhere only the end is known: use that.")
        if moment == "start" and self.base is not None:
            raise ValueError("moment is 'start'; this model started from a trained one: attack that at its end.")
        network = untrained(self.arm, self.seed)
        if moment == "middle":
            saved = checkpoints_in(self.checkpoints)
            if len(saved) == 1 < len(self.history.loss):
                raise ValueError(
                    "moment is 'middle'; of this model only the last weights are here, as they are published: train it "
                    "again, or attack it at its end."
                )
            training.load_checkpoint(network, saved[(len(saved) - 1) // 2])
        return network

    def halves(self, depth: str) -> tuple[nn.Cell, nn.Cell]:
        """The network up to a depth, and from there on, made once for each depth.

        When a compiled cell is let go, MindSpore compiles all others again at their next call.
        """
        if depth not in self._halves:
            self._halves[depth] = Features(self.network, depth), Rest(self.network, depth)
        return self._halves[depth]

    def sender(self, network: nn.Cell) -> Defence:
        """What acts on this model's gradients before they leave the device, as `network` is at some moment of it."""
        return self.arm.made_by().sender(network) if self.arm.defence else Defence()

    @cached_property
    def checkpoint(self) -> dict[str, str]:
        """The file of its weights, where it has one: name and SHA-256."""
        last = self.file or (checkpoints_in(self.checkpoints)[-1] if self.checkpoints else None)
        return {"name": last.name, "sha256": sha256_of(last)} if last else {}

    @property
    def sha256(self) -> str:
        return self.checkpoint.get("sha256", "")

    def outcome(self, earlier: Mapping[str, "Trained"]) -> dict[str, Any]:
        """What the run of its training says came out, as fields of `Run`; `earlier` is what it was built on, by arm."""
        history, defence = self.history, self.defence
        return {
            "checkpoint": self.checkpoint,
            "networks": {arm: made.sha256 for arm, made in earlier.items()},
            "results": {
                "test_accuracy": history.test_accuracy[-1],
                "reported_accuracy": (history.reported_accuracy or history.test_accuracy)[-1],
                "sparsity": {layer: shares[-1] for layer, shares in history.sparsity.items()},
                "history": history.as_dict(),
                "defence": defence.report(),
                "facts": defence.facts(),
            },
        }

    def shadow(self, seed: int, data: Mnist) -> nn.Cell:
        """A network made by this one's recipe on other data."""
        if self.defence.releases:
            raise ValueError("this model's protection is noise on its features, not its training: leave shadows out.")
        if self.arm.package:
            raise ValueError("this model was trained by MindArmour, which makes no shadows: leave them out.")
        arm, earlier = self.arm, {}
        if arm.cut:  # trained as long as this one was
            arm = arm.model_copy(update={"cut": None, "accuracy_of": None, "epochs": len(self.history.loss)})
        if self.base is not None and arm.start is not None:
            earlier[arm.start] = make(self.base, seed, data)
        return make(arm, seed, data, earlier=earlier).network


class Press:
    """Cells that are compiled once, in which one network of a recipe is made after another.

    What was made before is overwritten. These are given whatever cells made anew hold: the outcome is the same, bit
    for bit, and no graph is compiled again.
    """

    def __init__(self) -> None:
        self._cells: tuple[nn.Cell, Defence, nn.Optimizer | None, nn.Cell] | None = None

    def __call__(self, network: nn.Cell, defence: Defence, by: nn.Optimizer | None) -> tuple[Any, ...]:
        """What to train instead of these, which are new, and by which step."""
        step = network if by is None else defence.step(with_cross_entropy(network), by)
        if self._cells is None:
            self._cells = network, defence, by, step
        else:
            own = {parameter.name: parameter for parameter in self._cells[-1].get_parameters()}
            for new in step.get_parameters():  # a step that has been taken may have more
                own[new.name].set_data(ms.Tensor(new.asnumpy()))
            self._cells[1].restore(defence.state())
        return self._cells


def make(
    arm: Arm,
    seed: int,
    data: Mnist,
    checkpoints: Path | None = None,
    *,
    earlier: Mapping[str, Trained] | None = None,
    press: Press | None = None,
) -> Trained:
    """Make a network as an arm says.

    Args:
        arm: how.
        seed: seeds initial weights, order of the images, and the defence's draws.
        data: on what.
        checkpoints: folder for the checkpoints, if any are to be kept; those of this model's earlier training go.
        earlier: the networks that this one builds on, by arm.
        press: that earlier ones of this recipe, on as many images, were made in; None makes new cells.
    """
    earlier = earlier or {}
    if checkpoints is not None:
        training.forget(checkpoints)
    if arm.package:
        return _by_package(arm, seed, data, checkpoints)
    network = untrained(arm, seed)
    wanted = earlier[arm.accuracy_of].history.to_choose_by()[-1] if arm.accuracy_of else None
    if arm.cut is not None and wanted is not None:
        return _cut(arm, seed, network, earlier[arm.cut], wanted, checkpoints)
    base = None
    if arm.start is not None:
        copy_weights(earlier[arm.start].network, network)
        base = earlier[arm.start].arm
    defence = Defence()
    epochs, batch_size = arm.epochs, arm.batch_size
    if arm.defence is not None:
        rate = arm.optimizer.lr if arm.optimizer else 0.0
        defence = arm.made_by().make(network, Plan(data, epochs, batch_size, rate, seed, wanted))
    if arm.optimizer is not None:
        by = optimizer(arm.optimizer, network, epochs * (len(data.train_labels) // batch_size))
        network, defence, by, step = (press or Press())(network, defence, by)
        schedule: dict[str, Any] = {"epochs": epochs, "batch_size": batch_size, "seed": seed}
        history = train(network, by, data, **schedule, defence=defence, checkpoints=checkpoints, step=step)
    else:
        network, defence, _, _ = (press or Press())(network, defence, None)
        history = _as_it_is(network, checkpoints)
        history.test(defence.correct(network, data.test_images, data.test_labels), data.validation)
    return Trained(network, arm, seed, history, defence, base, checkpoints)


def key_of(recipe: Any, *parts: bytes, code: str) -> str:
    """A name for a network by all that decides its weights: recipe, data, machine, and the code that trains it.

    Args:
        recipe: plain data.
        parts: what else there is, such as positions of its images.
        code: the file of whoever makes it.
    """
    defences = {each.__module__ for each in DEFENCES.values()}
    said = hashes([Path(__file__), Path(code), *map(module, defences)])
    where = [ms.get_context(name) for name in ("device_target", "mode")]
    content = json.dumps([recipe, said, numerical(), where], sort_keys=True).encode()
    return hashlib.sha256(content + b"".join(parts)).hexdigest()[:32]


def optimizer(settings: Optimizer, network: nn.Cell, steps: int) -> nn.Optimizer:
    """The optimiser that an arm's settings name, over the network's trainable parameters, for so many steps."""
    rate: Any = settings.lr
    if settings.decay == "linear":
        rate = [settings.lr * (1 - step / steps) for step in range(steps)]
    if settings.name == "sgd":
        return nn.SGD(network.trainable_params(), rate)
    return nn.Momentum(network.trainable_params(), rate, settings.momentum)


def copy_weights(source: nn.Cell, network: nn.Cell) -> None:
    """Give a network the parameters of another of its kind."""
    values = source.parameters_dict()
    for parameter in network.get_parameters():
        parameter.set_data(ms.Tensor(values[parameter.name].asnumpy()))


def nearest_epoch(accuracies: list[float], wanted: float) -> int:
    """The epoch, from 1, after which the accuracy is nearest to the wanted one; the first of several."""
    return 1 + int(np.argmin(np.abs(np.array(accuracies) - wanted)))


class _Cut(Defence):
    """Says where a training was cut; it does nothing else."""

    def __init__(self, epochs: int, wanted: float) -> None:
        super().__init__(auto_prefix=False)
        self._facts = {"epochs": epochs, "wanted_accuracy": wanted}

    def facts(self) -> dict[str, Any]:
        return self._facts


def _cut(arm: Arm, seed: int, network: nn.Cell, whole: Trained, wanted: float, checkpoints: Path | None) -> Trained:
    """The network of an earlier training as it was after the epoch whose accuracy is nearest to the wanted one."""
    found = whole.history
    epoch = nearest_epoch(found.to_choose_by()[: arm.epochs], wanted)
    kept = checkpoints_in(whole.checkpoints) if whole.checkpoints else []
    until_then = [path for path in kept if training.epoch_of(path) <= epoch]
    if not until_then or training.epoch_of(until_then[-1]) != epoch:
        raise ValueError(f"{whole.checkpoints} has no checkpoint of epoch {epoch}: train {arm.cut} again.")
    training.load_checkpoint(network, until_then[-1])
    if checkpoints is not None:
        for path in until_then:
            with atomically(checkpoints / path.name) as part:
                shutil.copyfile(path, part)
    return Trained(network, arm, seed, found.until(epoch), _Cut(epoch, wanted), None, checkpoints)


def _by_package(arm: Arm, seed: int, data: Mnist, checkpoints: Path | None) -> Trained:
    """The network that MindArmour itself trained."""
    if data.name != (wanted := DATASETS["mnist"].name):
        raise ValueError(f"MindArmour's networks are trained on the whole {wanted}, and this run has {data.name}.")
    network, history, defence = packaged.load(arm, seed)
    history.test(defence.correct(network, data.test_images, data.test_labels), data.validation)
    if checkpoints is not None:
        steps = arm.epochs * (len(data.train_labels) // arm.batch_size)
        training.save_checkpoint(network, checkpoints / f"{training.CHECKPOINT_PREFIX}-{arm.epochs}_{steps}.ckpt")
    return Trained(network, arm, seed, history, defence, None, checkpoints)


def _as_it_is(network: nn.Cell, checkpoints: Path | None) -> History:
    """The history of no training at all, but for its accuracy; its checkpoint counts as epoch 0."""
    if checkpoints is not None:
        training.save_checkpoint(network, checkpoints / f"{training.CHECKPOINT_PREFIX}-0_0.ckpt")
    return History(sparsity={layer: [share] for layer, share in training.sparsity(network).items()})


def checkpoints_of(folder: Path, model: Model) -> Path:
    """Where the checkpoints of one training are in a folder of results, itself from the project's folder."""
    return ROOT / folder / "checkpoints" / f"train-{model}"


@dataclass(frozen=True)
class Models:
    """The networks that a profile made, each with the run of its training."""

    folders: Sequence[Path]  # of results, from the project's folder: the first that has a model counts
    study: Study
    profile: str

    def found(self, model: Model) -> tuple[Run, Path]:
        """The run of a model's training, and the folder that has it; of what is published only with its weights.

        Raises:
            ValueError: it has not been trained.
        """
        for folder in self.folders:
            path = ROOT / folder / "runs" / f"train-{model}.npz"
            if path.is_file() and (run := read_job(path)[0][0]).profile == self.profile:
                return run, folder
            if weights.packed(ROOT / folder, f"train-{model}").is_file():
                published = published_runs(ROOT / folder).get(f"train-{model}")
                if published and published.profile == self.profile:
                    return published, folder
        places, profile = " or ".join(dict.fromkeys(map(str, self.folders))), f"PROFILE={self.profile}"
        remedy = (
            f"make run TARGET=train-{model} {profile} puts it into results/{self.profile}, make study {profile} all"
        )
        missing = f"no run train-{model} of profile {self.profile} is in {places}"
        raise ValueError(f"{missing}: {remedy} of the profile; name that folder as models.")

    def load(self, model: Model) -> Trained:
        """The network of a finished training: the weights its run names, and no others.

        Raises:
            ValueError: there is no such run, or its checkpoint is not the one it recorded.
        """
        (run, folder), arm = self.found(model), self._recipe(model)
        path = checkpoints_of(folder, model) / run.checkpoint["name"]
        if not path.is_file() or sha256_of(path) != run.checkpoint["sha256"]:
            if not weights.packed(ROOT / folder, run.name).is_file():
                raise ValueError(
                    f"{path} is missing or is not what run {run.name} was made with: train the model again."
                )
            path = weights.restored(ROOT / folder, run.name, run.checkpoint)
        network = untrained(arm)
        training.load_checkpoint(network, path)
        base = self._recipe(Model(arm.start, model.seed)) if arm.start else None
        defence = arm.made_by().released(run.results["facts"]) if arm.defence else Defence()
        return Trained(network, arm, model.seed, History(**run.results["history"]), defence, base, path.parent)

    def earlier(self, arm: Arm, seed: int) -> dict[str, Trained]:
        """The networks that an arm builds on.

        Raises:
            ValueError: one of them has not been trained.
        """
        return {name: self.load(Model(name, seed)) for name in arm.earlier()}

    def _recipe(self, model: Model) -> Arm:
        """How a model was made, with a rerunner's overrides: shadow networks follow the same recipe."""
        (run, _), own = self.found(model), self.study.arm_of(self.profile, model)
        return validated(Arm, run.settings | {"title": own.title, "sweep": own.sweep}, run.name)


def published(folder: str | Path, arm: str, seed: int = 0, *, profile: str = "full") -> Trained:
    """A network that a folder of results has, at its arm's own value of a sweep.

        network = published("results/full", "baseline", seed=0).network

    Raises:
        ValueError: it has none.
    """
    return Models([Path(folder)], Study.of(ROOT / folder), profile).load(Model(arm, seed))


def own_network(source: str, arm: Arm, seed: int) -> Trained:
    """A network that was not trained here.

    Args:
        source: a checkpoint file of a LeNet5, from the project's folder, or "module:callable" that makes the network
            (your own code, which is run); for attacks on gradients it needs operators with second derivatives.
        arm, seed: how shadow networks of it are trained.

    Raises:
        ValueError: there is no such file, module or callable, or it makes no network.
    """
    if ":" not in source:
        network = LeNet5()
        training.load_checkpoint(network, ROOT / source)
        return Trained(network, arm, seed, file=ROOT / source)
    return Trained(_own(source, None, "victim"), arm, seed)


def _own(source: str, seed: int | None, what: str) -> nn.Cell:
    """The network that the user's own code makes, whose initial weights are drawn from the seed, if there is one.

    The code gets it by an argument `seed`, if it has one; otherwise it is MindSpore's global one.

    Raises:
        ValueError: there is no such module or callable, or it makes no network.
    """
    module, _, name = source.partition(":")
    try:
        maker = getattr(importlib.import_module(module), name)
        takes = seed is not None and "seed" in inspect.signature(maker).parameters
        if seed is not None:
            ms.set_seed(seed)
        network = maker(seed=seed) if takes else maker()
    except (Exception, SystemExit) as error:  # of any kind: it is the user's code, and may be a script that ends
        said = f"it ends Python with {error.code!r}" if isinstance(error, SystemExit) else error
        raise ValueError(f"{what} is {source!r}, which cannot be made ({said}): correct it.") from error
    if not isinstance(network, nn.Cell):
        raise ValueError(f"{what} is {source!r}, which makes a {type(network).__name__} and no nn.Cell: correct it.")
    return network


def own_name(source: str) -> str:
    """What the runs of a network that was not trained here are called: by the bytes of its file, or by its maker."""
    if ":" in source:
        return f"own-{source.replace(':', '.')}"
    return f"own-{Path(source).stem}-{sha256_of(ROOT / source)[:8]}"
