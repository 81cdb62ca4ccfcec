"""One compiled training step, the loop around it, and its checkpoints."""

import json
import os
import re
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import mindspore as ms
import numpy as np
from mindspore import nn, ops
from tqdm import tqdm

from suppress_privacy.checkpoints import weights_in
from suppress_privacy.checks import Bounds, Seed, check, checked
from suppress_privacy.files import LARGEST, atomically, read_arrays
from suppress_privacy.fitting import fitted
from suppress_privacy.lenet import predict
from suppress_privacy.mnist import Mnist
from suppress_privacy.ranks import over_ranks
from suppress_privacy.runtime import generator

RESIDUE = 1e-7  #: up to it MindArmour counts as zero, for what acts through the gradient leaves some of a weight
CHECKPOINT_PREFIX = "checkpoint_lenet"  #: the tutorial's file names, checkpoint_lenet-{epoch}_{step}.ckpt
CHECKPOINTS_KEPT = 10
ToTrain = Annotated[nn.Cell, "the nn.Cell to train"]
Place = Annotated[str | os.PathLike, "a path"]
Tensors = tuple[ms.Tensor, ...]
Facts = dict[str, Any]  # plain data


@dataclass(frozen=True)
class Plan:
    """The training that a defence is made for.

    Examples:
        >>> Plan(data, epochs=10, batch_size=32, lr=0.1, seed=0).steps
        125
    """

    data: Mnist  #: a defence whose strength is set by accuracy looks at the images to choose on
    epochs: int
    batch_size: int
    lr: float
    seed: int
    wanted_accuracy: float | None = None  #: on these, in [0, 1], for a defence that is set by it

    @property
    def steps(self) -> int:
        """Steps an epoch."""
        return len(self.data.train_labels) // self.batch_size


class Defence(nn.Cell):
    """What a defence may do during training, and to what a trained network releases; this base class does nothing.

    `on_gradients` and `after_update` are compiled into the training step. `after_step` runs between
    steps and may set the defence's parameters, which the next step then uses.

    Examples:
        >>> class Halved(Defence):
        ...     def on_gradients(self, gradients):
        ...         return tuple(0.5 * gradient for gradient in gradients)
        >>> model = nn.SequentialCell(nn.Flatten(), nn.Dense(1024, 10))
        >>> optimizer = nn.SGD(model.trainable_params(), 0.1)
        >>> history = train(model, optimizer, data, epochs=1, batch_size=100, seed=0, defence=Halved())
        >>> history.test_accuracy[0] > 0.5
        True
    """

    releases: str | None = None  # the one depth whose features leave the user's device under it; None: any
    residue: float = 0.0  # what it leaves of a weight that it sets to zero, at most

    def begin(self, network: nn.Cell, *, count: int, batch_size: int, epochs: int, anew: bool) -> None:
        """Called before a training changes anything.

        Args:
            network: that will be trained.
            count, batch_size, epochs: images there are, images a step, and passes over the data.
            anew: False where the training goes on from a saved state.

        Raises:
            ValueError: the defence cannot act in such a training.
        """

    def attach(self, optimizer: nn.Optimizer) -> None:
        """Called with the optimiser it will act beside, before a step is compiled.

        Raises:
            ValueError: the defence cannot act beside it.
        """

    def end(self, step: int) -> None:
        """Called after the last step of a training, with its number.

        Raises:
            ValueError: the defence has not done what it is for.
        """

    def on_gradients(self, gradients: Tensors) -> Tensors:
        """Gradients as the optimiser shall see them: a tuple like the one given."""
        return gradients

    def after_update(self) -> None:
        """Change parameters in place, right after the optimiser has."""

    def batches(self, rng: np.random.Generator, count: int, batch_size: int) -> np.ndarray | list[np.ndarray]:
        """One epoch's batches: for each step the indices of its images, here every image once in a drawn order.

        Args:
            rng: to draw from, and nothing else.
            count, batch_size: images there are, and images a step.
        """
        steps = count // batch_size
        return rng.permutation(count)[: steps * batch_size].reshape(steps, batch_size)

    def step(self, forward: nn.Cell, optimizer: nn.Optimizer) -> nn.Cell:
        """The cell that does one training step from images and labels; see `TrainStep`."""
        return TrainStep(forward, optimizer, self)

    def after_step(self, step: int) -> None:
        """Called with the number of the step just done, counted from 1 over the whole training."""

    def release(self, features: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Features as they leave the user's device, float32 [N, ...]; what is random is drawn from `rng`."""
        return features

    def correct(self, network: nn.Cell, images: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """Of which images the network's user gets the right label under the defence; see `correct`."""
        return correct(network, images, labels)

    def report(self) -> dict[str, Facts]:
        """What the defence has done so far to each layer, by name, as plain data."""
        return {}

    def facts(self) -> Facts:
        """What else there is to say about the defence, as plain data."""
        return {}

    def state(self) -> Facts:
        """What `after_step` needs beyond the cell's parameters to go on later, as plain data."""
        return {}

    def restore(self, state: Facts) -> None:
        """Take back what `state` gave."""


class TrainStep(nn.Cell):
    """Forward, backward, optimiser and defence, compiled as one graph.

    Where MindSpore's parallel mode is DATA_PARALLEL, defence and optimiser are given the gradients of all ranks.

    Args:
        forward: from a batch's images and labels to its loss.
        optimizer: over the network's trainable parameters.
        defence: its in-graph parts are called in every step.

    Inputs:
        images, float32 [B, ...]; labels, int32 [B].

    Outputs:
        The batch's loss before the update.

    Examples:
        >>> step = TrainStep(with_cross_entropy(model), optimizer, Defence())
        >>> loss = step(Tensor(images), Tensor(labels))
        >>> loss.shape
        ()
    """

    def __init__(self, forward: nn.Cell, optimizer: nn.Optimizer, defence: Defence) -> None:
        super().__init__(auto_prefix=False)
        self.forward = forward  # a child, so that train and eval modes reach the network
        self.loss_and_gradients = ops.value_and_grad(forward, None, optimizer.parameters)
        self.optimizer, self.defence = optimizer, defence
        self.over_ranks = over_ranks(optimizer.parameters)
        defence.attach(optimizer)

    def construct(self, images: ms.Tensor, labels: ms.Tensor) -> ms.Tensor:
        loss, gradients = self.loss_and_gradients(images, labels)
        gradients = self.defence.on_gradients(self.over_ranks(gradients))
        loss = ops.depend(loss, self.optimizer(gradients))
        self.defence.after_update()
        return loss


def with_cross_entropy(network: nn.Cell) -> nn.Cell:
    """A classifier with its loss: from images and labels to the batch's mean cross-entropy in nats."""
    return nn.WithLossCell(network, nn.SoftmaxCrossEntropyWithLogits(sparse=True, reduction="mean"))


@dataclass
class History:
    """One entry an epoch: mean loss in nats, test accuracy in [0, 1], share of zeros in each weight.

    Where there are validation images, the accuracy on them, and that on the test images which are none.

    Examples:
        >>> isinstance(history, History), len(history.loss), history.until(0).loss
        (True, 1, [])
    """

    loss: list[float] = field(default_factory=list)
    test_accuracy: list[float] = field(default_factory=list)
    sparsity: dict[str, list[float]] = field(default_factory=dict)
    validation_accuracy: list[float] = field(default_factory=list)
    reported_accuracy: list[float] = field(default_factory=list)

    def as_dict(self) -> Facts:
        return asdict(self)

    def test(self, correct: np.ndarray, validation: np.ndarray) -> None:
        """Enter the accuracies after an epoch; `correct`, bool [N], of all test images."""
        self.test_accuracy.append(float(correct.mean()))
        if len(validation):
            self.validation_accuracy.append(float(correct[validation].mean()))
            self.reported_accuracy.append(float(np.delete(correct, validation).mean()))

    def to_choose_by(self) -> list[float]:
        """The accuracy on the images that choices are made on."""
        return self.validation_accuracy or self.test_accuracy

    def until(self, epoch: int) -> "History":
        """The first epochs of it."""
        cut = {name: values[:epoch] for name, values in vars(self).items() if name != "sparsity"}
        return History(**cut, sparsity={layer: shares[:epoch] for layer, shares in self.sparsity.items()})


@checked
def train(
    network: ToTrain,
    optimizer: Annotated[nn.Optimizer, "a nn.Optimizer over the network's parameters"],
    data: Annotated[Mnist, "what load_mnist returns, or a suppress_privacy.mnist.Mnist"],
    *,
    epochs: Annotated[int, Bounds(at_least=1), "the passes over the data"],
    batch_size: int,
    seed: Seed,
    defence: Annotated[Defence | None, "a Defence, or None for ordinary training"] = None,
    checkpoints: Place | None = None,
    save_every: Annotated[int, Bounds(at_least=1), "the steps between two states"] | None = None,
    resume: Literal[False, True, "last-good"] = False,
    step: Annotated[nn.Cell | None, "what defence.step gave, or None"] = None,
) -> History:
    """Train a network; every epoch visits all images once, in an order drawn from `seed`, or as the defence says.

    Args:
        network: changed in place.
        optimizer: over its trainable parameters.
        data: images and labels; an incomplete last batch is dropped, as in the tutorial.
        epochs: passes over the training images.
        batch_size: images a step, at most as many as there are.
        seed: seeds the order of the images, alike for every network and defence.
        defence: None trains ordinarily.
        checkpoints: folder for one checkpoint an epoch, the last 10 kept, and for the training's state, from
            which it can go on; one that has neither yet, unless it goes on.
        save_every: steps between two states; None saves one at the end of each epoch.
        resume: True goes on from the newest state in `checkpoints`, if there is one, and ends with the
            weights of an uninterrupted training, bit for bit; a damaged state is refused. "last-good" passes
            over a damaged one to the one before.
        step: the defence's step for this network and optimiser, which may be compiled already; None makes one.

    Raises:
        TypeError, ValueError: an argument of the wrong type or out of its range; data that the network cannot
            learn from; a state that is damaged or of another training; a folder that cannot be written, or has
            checkpoints of another training; an optimiser or a defence of another network, or a defence that cannot
            act in such a training. Nothing has changed then.
        ValueError: the training diverged, at the end of the epoch in which it did; or it is over and the defence
            has not done what it is for.

    Examples:
        >>> run = {"epochs": 1, "batch_size": 100, "seed": 0, "checkpoints": "trained"}
        >>> history = train(model, optimizer, data, **run)
        >>> [path.name for path in checkpoints_in("trained")]
        ['checkpoint_lenet-1_40.ckpt']
    """
    data = fitted(network, data)
    count = len(data.train_labels)
    check("batch_size", batch_size, Annotated[int, Bounds(at_least=1, at_most=count), "the training images"])
    if checkpoints is None and (resume or save_every):
        raise ValueError("checkpoints is None, but resume or save_every needs a folder: name one.")
    defence = defence or Defence()
    must_belong(network, optimizer.parameters, "optimizer")
    anew = not (resume and checkpoints and states_in(checkpoints))
    defence.begin(network, count=count, batch_size=batch_size, epochs=epochs, anew=anew)
    step_cell = step or defence.step(with_cross_entropy(network), optimizer)
    run = {"batch_size": batch_size, "seed": seed, "data": data.sha256, "defence": type(defence).__name__}
    states = None if checkpoints is None else States(checkpoints, step_cell, defence, run)
    progress = (states and states.begin(resume)) or Progress(dict(generator(seed, "batches").bit_generator.state))
    rng = np.random.default_rng()
    steps = count // batch_size
    with tqdm(total=epochs * steps, initial=progress.step, unit="step", disable=None) as bar:
        for epoch in range(progress.step // steps + 1, epochs + 1):
            step_cell.set_train(True)
            rng.bit_generator.state = progress.order
            for batch in defence.batches(rng, count, batch_size)[progress.step - (epoch - 1) * steps :]:
                progress.losses.append(step_cell(*map(ms.Tensor, (data.train_images[batch], data.train_labels[batch]))))
                progress.step += 1
                defence.after_step(progress.step)
                bar.update()
                if states and progress.step % (save_every or steps) == 0 and progress.step % steps:
                    states.save(progress)
            must_be_finite(network, epoch, progress.loss)
            progress.history.test(defence.correct(network, data.test_images, data.test_labels), data.validation)
            progress.end_epoch(rng.bit_generator.state, sparsity(network, defence.residue))
            of_epoch = {"loss": progress.history.loss[-1], "accuracy": progress.history.test_accuracy[-1]}
            bar.set_postfix({name: f"{value:.4f}" for name, value in of_epoch.items()})
            if states:
                states.keep(network, epoch, steps)
                states.save(progress)
    defence.end(progress.step)
    return progress.history


def must_belong(network: nn.Cell, parameters: Sequence[ms.Parameter], argument: str) -> None:
    """Raise ValueError unless the parameters that an argument acts on are a network's own, and not of another's."""
    own = {id(parameter) for parameter in network.get_parameters()}
    strange = [parameter.name for parameter in parameters if id(parameter) not in own]
    if strange:
        names = ", ".join(strange)
        raise ValueError(f"{argument} acts on {names} of another network than the one to train: make it for that one.")


def must_be_finite(network: nn.Cell, epoch: int, loss: float = 0.0) -> None:
    """Raise ValueError if an epoch's mean loss, in nats, or a trained parameter is no finite number."""
    values = {parameter.name: parameter.asnumpy() for parameter in network.trainable_params()}
    wrong = [name for name, value in values.items() if not np.isfinite(value).all()]
    if wrong or not np.isfinite(loss):
        found = f"values of {', '.join(wrong)} are not finite" if wrong else f"its mean loss is {loss}"
        raise ValueError(f"epoch {epoch} diverged, for {found}: train with a lower learning rate.")


@dataclass
class Progress:
    """How far a training is: what changes with every step, beyond parameters and the defence's state."""

    order: Facts  #: state of the generator that orders the images, at the start of the epoch
    step: int = 0
    losses: list[Any] = field(default_factory=list)  #: of the steps of this epoch; read from the device when needed
    history: History = field(default_factory=History)

    @property
    def loss(self) -> float:
        """Mean over the steps of this epoch, in nats."""
        return float(np.mean([float(loss) for loss in self.losses]))

    def end_epoch(self, order: Facts, sparsity: dict[str, float]) -> None:
        """Enter an epoch into the history; `order` is the generator's state at the start of the next."""
        self.history.loss.append(self.loss)
        for layer, share in sparsity.items():
            self.history.sparsity.setdefault(layer, []).append(share)
        self.losses, self.order = [], order


class States:
    """The saved states of one training: parameters (weights, optimiser, masks), progress, generators.

    Only what this training has written is ever deleted.

    Args:
        folder: where they are; the last two are kept.
        step_cell: whose parameters are saved and restored.
        defence: whose state goes with them.
        run: what makes this training this one; a state of another is refused.
    """

    KEPT = 2

    def __init__(self, folder: Place, step_cell: nn.Cell, defence: Defence, run: Facts) -> None:
        self.folder = Path(folder)
        self._saved: list[Path] = []
        self._parameters = list(step_cell.get_parameters())
        self._largest = LARGEST + 2 * sum(parameter.nbytes for parameter in self._parameters)
        self._defence = defence
        self._run = run | {"parameters": {parameter.name: list(parameter.shape) for parameter in self._parameters}}

    def begin(self, resume: Literal[False, True, "last-good"]) -> Progress | None:
        """Restore the state that a training goes on from, if it is to and there is one; else see to its folder.

        Raises:
            ValueError: the state is damaged or of another training; or the folder cannot be written, or has
                checkpoints or states of another training, which would be overwritten.
        """
        if resume and (progress := self.load(skip_damaged=resume == "last-good")):
            return progress
        if earlier := [*checkpoints_in(self.folder), *states_in(self.folder)]:
            place = f"checkpoints is {str(self.folder)!r}, which has {earlier[0].name} of another training"
            going_on = "" if not states_in(self.folder) else ", or go on from its state with resume=True"
            raise ValueError(f"{place}: name another folder{going_on}.")
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=self.folder).close()
        except OSError as error:
            place = f"checkpoints is {str(self.folder)!r}, which cannot be written ({error.strerror})"
            raise ValueError(f"{place}: name another folder.") from error
        return None

    def keep(self, network: nn.Cell, epoch: int, steps: int) -> None:
        """Write a network's checkpoint after an epoch of so many steps; the last 10 are kept."""
        save_checkpoint(network, self.folder / f"{CHECKPOINT_PREFIX}-{epoch}_{steps}.ckpt")
        (self.folder / f"{CHECKPOINT_PREFIX}-{epoch - CHECKPOINTS_KEPT}_{steps}.ckpt").unlink(missing_ok=True)

    def save(self, progress: Progress) -> None:
        """Write a state; whoever looks finds it whole or not at all."""
        progress.losses = [float(loss) for loss in progress.losses]
        arrays = {f"{number}": parameter.asnumpy() for number, parameter in enumerate(self._parameters)}
        facts = {"run": self._run, "progress": asdict(progress), "defence": self._defence.state()}
        path = self.folder / f"training_state-{progress.step:08d}.npz"
        with atomically(path) as part:
            np.savez(part, facts=json.dumps(facts), **arrays)
        self._saved.append(path)
        while len(self._saved) > self.KEPT:
            self._saved.pop(0).unlink(missing_ok=True)

    def load(self, *, skip_damaged: bool) -> Progress | None:
        """Restore the newest state; returns its Progress, or None where there is none."""
        for path in reversed(states_in(self.folder)):
            try:
                arrays = read_arrays(path, self._largest)
                facts = json.loads(str(arrays.pop("facts")))
            except (ValueError, KeyError, RecursionError) as error:
                if skip_damaged:
                    continue
                raise ValueError(f"{path} is damaged: delete it, or resume with 'last-good'.") from error
            different = sorted(key for key in self._run if facts["run"].get(key) != self._run[key])
            if different:
                raise ValueError(f"{path} is of another training ({', '.join(different)} differ): name another folder.")
            for number, parameter in enumerate(self._parameters):
                parameter.set_data(ms.Tensor(arrays[str(number)]))
            self._saved = [each for each in states_in(self.folder) if each <= path]
            self._defence.restore(facts["defence"])
            return Progress(**facts["progress"] | {"history": History(**facts["progress"]["history"])})
        return None


def correct(network: nn.Cell, images: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Of which images the largest logit is at their label, bool [N].

    Examples:
        >>> correct(model, images, labels).shape
        (4,)
    """
    return predict(network, images).argmax(1) == labels


def accuracy(network: nn.Cell, images: np.ndarray, labels: np.ndarray) -> float:
    """Share of images whose largest logit is at their label, in [0, 1].

    Examples:
        >>> accuracy(model, data.test_images, data.test_labels) == history.test_accuracy[-1]
        True
    """
    return float(correct(network, images, labels).mean())


def sparsity(network: nn.Cell, residue: float = 0.0) -> dict[str, float]:
    """Share of zeros in each weight (biases left out), by parameter name; up to `residue` all counts as zero.

    Examples:
        >>> sparsity(model)
        {'1.weight': 0.0}
    """
    weights = [parameter for parameter in network.get_parameters() if parameter.name.endswith("weight")]
    return {weight.name: float(np.mean(np.abs(weight.asnumpy()) <= residue)) for weight in weights}


@checked
def save_checkpoint(network: nn.Cell, path: Place) -> None:
    """Write the network's parameters; whoever reads `path` finds a whole file.

    Raises:
        TypeError, ValueError: not a nn.Cell; the path is a folder.

    Examples:
        >>> save_checkpoint(model, "one.ckpt")
    """
    if Path(path).is_dir():
        raise ValueError(f"{path} is a folder: name a file in it.")
    with atomically(path) as part:
        ms.save_checkpoint(network, str(part))


def checkpoints_in(folder: Place) -> list[Path]:
    """The checkpoints of a folder, oldest epoch first.

    Examples:
        >>> (last,) = checkpoints_in("trained")
    """
    named = re.compile(rf"{CHECKPOINT_PREFIX}-\d+_\d+\.ckpt")
    return sorted(filter(lambda path: named.fullmatch(path.name), Path(folder).glob("*.ckpt")), key=epoch_of)


def epoch_of(checkpoint: Path) -> int:
    """The epoch after which a checkpoint was saved, from its path.

    Examples:
        >>> epoch_of(last)
        1
    """
    return int(checkpoint.name.removeprefix(f"{CHECKPOINT_PREFIX}-").partition("_")[0])


def states_in(folder: Place) -> list[Path]:
    """The saved states of a training in a folder, oldest first."""
    return sorted(Path(folder).glob("training_state-*.npz"))


def forget(folder: Place) -> None:
    """Delete the checkpoints and states in a folder, for a training that is to begin there anew.

    Examples:
        >>> forget("trained")
        >>> checkpoints_in("trained")
        []
    """
    for old in (*checkpoints_in(folder), *states_in(folder)):
        old.unlink()


@checked
def load_checkpoint(network: nn.Cell, path: Place) -> None:
    """Load parameters into a network, from a checkpoint of this package, of MindSpore or of MindArmour.

    What else is in it, of an optimiser or of masks, is passed over.

    Raises:
        TypeError, ValueError: not a nn.Cell; the file is missing, damaged, or of another network, which is
            then unchanged.

    Examples:
        >>> load_checkpoint(model, "one.ckpt")
    """
    parameters = {parameter.name: parameter for parameter in network.get_parameters()}
    wanted = {name: (tuple(each.shape), str(each.dtype).lower()) for name, each in parameters.items()}
    for name, values in weights_in(Path(path), wanted).items():
        parameters[name].set_data(ms.Tensor(values))
