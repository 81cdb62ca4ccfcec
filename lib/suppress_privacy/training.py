"""One compiled training step, the loop around it, and its checkpoints."""

import json
import os
import re
import zipfile
import zlib
from dataclasses import asdict, dataclass, field
from pathlib import Path

import mindspore as ms
import numpy as np
from mindspore import nn, ops
from tqdm import tqdm

from suppress_privacy.checks import checked
from suppress_privacy.lenet import predict
from suppress_privacy.mnist import Mnist
from suppress_privacy.runtime import generator

CHECKPOINT_PREFIX = "checkpoint_lenet"  # the tutorial's file names: checkpoint_lenet-{epoch}_{step}.ckpt
CHECKPOINTS_KEPT = 10


@dataclass(frozen=True)
class Plan:
    """The training that a defence is made for."""

    count: int  # training images
    epochs: int
    batch_size: int
    lr: float
    seed: int

    @property
    def steps(self):
        """Steps an epoch."""
        return self.count // self.batch_size


class Defence(nn.Cell):
    """What a defence may do during training; this base class does nothing.

    `on_gradients` and `after_update` are compiled into the training step. `after_step` runs between
    steps and may set the defence's parameters, which the next step then uses.
    """

    def attach(self, optimizer):
        """Called with the optimiser it will act beside, before a step is compiled."""

    def on_gradients(self, gradients):
        """Gradients as the optimiser shall see them: a tuple like the one given."""
        return gradients

    def after_update(self):
        """Change parameters in place, right after the optimiser has."""

    def batches(self, rng, count, batch_size):
        """One epoch's batches: for each step the indices of its images, here every image once in a drawn order.

        Args:
            rng (numpy.random.Generator): to draw from, and nothing else.
            count, batch_size (int): images there are, and images a step.
        """
        steps = count // batch_size
        return rng.permutation(count)[: steps * batch_size].reshape(steps, batch_size)

    def step(self, forward, optimizer):
        """The cell that does one training step from images and labels; see `TrainStep`."""
        return TrainStep(forward, optimizer, self)

    def after_step(self, step):
        """Called with the number of the step just done, counted from 1 over the whole training."""

    def report(self):
        """What the defence has done so far to each layer, by name, as plain data for the record."""
        return {}

    def facts(self):
        """What else a record should say about the defence, as plain data."""
        return {}

    def state(self):
        """What `after_step` needs beyond the cell's parameters to go on later, as plain data."""
        return {}

    def restore(self, state):
        """Take back what `state` gave."""


class TrainStep(nn.Cell):
    """Forward, backward, optimiser and defence, compiled as one graph.

    Args:
        forward (Cell): from a batch's images and labels to its loss.
        optimizer (nn.Optimizer): over the network's trainable parameters.
        defence (Defence): its in-graph parts are called in every step.

    Inputs:
        images (Tensor), float32 [B, ...]; labels (Tensor), int32 [B].

    Outputs:
        Tensor, the batch's loss before the update.
    """

    def __init__(self, forward, optimizer, defence):
        super().__init__(auto_prefix=False)
        self.forward = forward  # a child, so that train and eval modes reach the network
        self.loss_and_gradients = ops.value_and_grad(forward, None, optimizer.parameters)
        self.optimizer = optimizer
        self.defence = defence
        defence.attach(optimizer)

    def construct(self, images, labels):
        loss, gradients = self.loss_and_gradients(images, labels)
        loss = ops.depend(loss, self.optimizer(self.defence.on_gradients(gradients)))
        self.defence.after_update()
        return loss


def with_cross_entropy(network):
    """A classifier with its loss: from images and labels to the batch's mean cross-entropy in nats."""
    return nn.WithLossCell(network, nn.SoftmaxCrossEntropyWithLogits(sparse=True, reduction="mean"))


@dataclass
class History:
    """One entry an epoch: mean loss in nats, test accuracy in [0, 1], share of zeros in each weight."""

    loss: list = field(default_factory=list)
    test_accuracy: list = field(default_factory=list)
    sparsity: dict = field(default_factory=dict)

    def as_dict(self):
        return asdict(self)


def train(
    network,
    optimizer,
    data,
    *,
    epochs,
    batch_size,
    seed,
    defence=None,
    checkpoints=None,
    save_every=None,
    resume=False,
):
    """Train a network; every epoch visits all images once, in an order drawn from `seed`, or as the defence says.

    Args:
        network (Cell): the network; changed in place.
        optimizer (nn.Optimizer): over its trainable parameters.
        data (Mnist): images and labels; an incomplete last batch is dropped, as in the tutorial.
        epochs (int): passes over the training images.
        batch_size (int): images a step.
        seed (int): seeds the order of the images, alike for every network and defence.
        defence (Defence or None): None trains ordinarily.
        checkpoints (Path or None): folder for one checkpoint an epoch, the last 10 kept, and for the
            training's state, from which it can go on.
        save_every (int or None): steps between two states; None saves one at the end of each epoch.
        resume (bool or "last-good"): True goes on from the newest state in `checkpoints`, if there is
            one, and ends with the weights of an uninterrupted training, bit for bit; a damaged state is
            refused. "last-good" passes over a damaged one to the one before.

    Returns:
        History.

    Raises:
        TypeError, ValueError: an argument of the wrong type or out of its range; or a state that is damaged
            or of another training. Nothing has changed then.
    """
    checked("network", network, nn.Cell, "the nn.Cell to train")
    checked("optimizer", optimizer, nn.Optimizer, "a nn.Optimizer over the network's parameters")
    checked("data", data, Mnist, "what load_mnist returns, or a suppress_privacy.mnist.Mnist")
    count = len(data.train_labels)
    checked("epochs", epochs, int, "an integer from 1, the passes over the data", lambda v: v >= 1)
    checked(
        "batch_size", batch_size, int, f"an integer from 1 to {count}, the training images", lambda v: 1 <= v <= count
    )
    checked("seed", seed, int, "an integer from 0", lambda v: v >= 0)
    if defence is not None:
        checked("defence", defence, Defence, "a Defence, or None for ordinary training")
    if save_every is not None:
        checked("save_every", save_every, int, "a number of steps from 1, or None for once an epoch", lambda v: v >= 1)
    if resume not in (False, True, "last-good"):
        raise ValueError(f"resume is {resume!r}; allowed are False, True and 'last-good': choose one.")
    if checkpoints is None and (resume or save_every):
        raise ValueError("checkpoints is None, but resume or save_every needs a folder: name one.")
    defence = defence or Defence()
    step_cell = defence.step(with_cross_entropy(network), optimizer)
    run = {"batch_size": batch_size, "seed": seed, "data": data.sha256, "defence": type(defence).__name__}
    states = None if checkpoints is None else States(checkpoints, step_cell, defence, run)
    steps = count // batch_size
    if checkpoints is not None and not resume:
        forget(checkpoints)
    progress = (states.load(skip_damaged=resume == "last-good") if resume else None) or Progress(
        generator(seed, "batches").bit_generator.state
    )
    rng = np.random.default_rng()
    save_every = save_every or steps
    with tqdm(total=epochs * steps, initial=progress.step, unit="step", disable=None) as bar:
        for epoch in range(progress.step // steps + 1, epochs + 1):
            step_cell.set_train(True)
            rng.bit_generator.state = progress.order
            order = defence.batches(rng, count, batch_size)
            for batch in order[progress.step - (epoch - 1) * steps :]:
                loss = step_cell(ms.Tensor(data.train_images[batch]), ms.Tensor(data.train_labels[batch]))
                progress.losses.append(loss)
                progress.step += 1
                defence.after_step(progress.step)
                bar.update()
                if states and progress.step % save_every == 0 and progress.step % steps:
                    states.save(progress)
            history = progress.history
            history.loss.append(float(np.mean([float(loss) for loss in progress.losses])))
            history.test_accuracy.append(accuracy(network, data.test_images, data.test_labels))
            for layer, share in sparsity(network).items():
                history.sparsity.setdefault(layer, []).append(share)
            progress.losses, progress.order = [], rng.bit_generator.state
            bar.set_postfix(loss=f"{history.loss[-1]:.4f}", accuracy=f"{history.test_accuracy[-1]:.4f}")
            if states:
                save_checkpoint(network, Path(checkpoints) / f"{CHECKPOINT_PREFIX}-{epoch}_{steps}.ckpt")
                states.save(progress)
    return progress.history


@dataclass
class Progress:
    """How far a training is: what changes with every step, beyond parameters and the defence's state."""

    order: dict  # state of the generator that orders the images, at the start of the epoch
    step: int = 0
    losses: list = field(default_factory=list)  # of the steps of this epoch
    history: History = field(default_factory=History)


class States:
    """The saved states of one training: parameters (weights, optimiser, masks), progress, generators.

    Args:
        folder (Path): where they are; the last two are kept.
        step_cell (TrainStep): whose parameters are saved and restored.
        defence (Defence): whose state goes with them.
        run (dict): what makes this training this one; a state of another is refused.
    """

    KEPT = 2

    def __init__(self, folder, step_cell, defence, run):
        self._folder = Path(folder)
        self._parameters = list(step_cell.get_parameters())
        self._defence = defence
        self._run = run | {"parameters": {parameter.name: list(parameter.shape) for parameter in self._parameters}}

    def save(self, progress):
        """Write a state; whoever looks finds it whole or not at all."""
        self._folder.mkdir(parents=True, exist_ok=True)
        progress.losses = [float(loss) for loss in progress.losses]
        arrays = {f"{number}": parameter.asnumpy() for number, parameter in enumerate(self._parameters)}
        facts = {"run": self._run, "progress": asdict(progress), "defence": self._defence.state()}
        path = self._folder / f"training_state-{progress.step:08d}.npz"
        part = path.with_name(f".part-{path.name}")
        with part.open("wb") as file:
            np.savez(file, facts=json.dumps(facts), **arrays)
        os.replace(part, path)
        for old in states_in(self._folder)[: -self.KEPT]:
            old.unlink()

    def load(self, *, skip_damaged):
        """Restore the newest state; returns its Progress, or None where there is none."""
        for path in reversed(states_in(self._folder)):
            try:
                with np.load(path) as file:
                    arrays = dict(file)
                facts = json.loads(str(arrays.pop("facts")))
            except (OSError, ValueError, KeyError, zipfile.BadZipFile, zlib.error) as error:
                if skip_damaged:
                    continue
                raise ValueError(
                    f"{path} is damaged: delete it, or resume with 'last-good' from the state before it."
                ) from error
            different = sorted(key for key in self._run if facts["run"].get(key) != self._run[key])
            if different:
                raise ValueError(f"{path} is of another training ({', '.join(different)} differ): name another folder.")
            for number, parameter in enumerate(self._parameters):
                parameter.set_data(ms.Tensor(arrays[str(number)]))
            self._defence.restore(facts["defence"])
            saved = facts["progress"]
            return Progress(saved["order"], saved["step"], saved["losses"], History(**saved["history"]))
        return None


def accuracy(network, images, labels):
    """Share of images whose largest logit is at their label, in [0, 1]."""
    return float(np.mean(predict(network, images).argmax(1) == labels))


def sparsity(network):
    """Share of exact zeros in each weight (biases left out), by parameter name."""
    weights = [parameter for parameter in network.get_parameters() if parameter.name.endswith("weight")]
    return {weight.name: float(np.mean(weight.asnumpy() == 0)) for weight in weights}


def save_checkpoint(network, path):
    """Write the network's parameters; whoever reads `path` finds a whole file. The last 10 are kept."""
    checked("network", network, nn.Cell, "a nn.Cell")
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".part-{path.name}")
    ms.save_checkpoint(network, str(part))
    os.replace(part, path)
    for old in checkpoints_in(path.parent)[:-CHECKPOINTS_KEPT]:
        old.unlink()


def checkpoints_in(folder):
    """The checkpoints of a folder, oldest epoch first."""
    return sorted(Path(folder).glob(f"{CHECKPOINT_PREFIX}-*_*.ckpt"), key=epoch_of)


def epoch_of(checkpoint):
    """The epoch after which a checkpoint was saved, from its path."""
    return int(re.fullmatch(rf"{CHECKPOINT_PREFIX}-(\d+)_\d+\.ckpt", checkpoint.name).group(1))


def states_in(folder):
    """The saved states of a training in a folder, oldest first."""
    return sorted(Path(folder).glob("training_state-*.npz"))


def forget(folder):
    """Delete what an earlier training left in a folder, which must not pass for another's."""
    for old in (*checkpoints_in(folder), *states_in(folder)):
        old.unlink()


def load_checkpoint(network, path):
    """Load parameters into a network.

    Raises:
        TypeError, ValueError: not a nn.Cell; the file is missing, damaged, or of another network, which is
            then unchanged.
    """
    checked("network", network, nn.Cell, "a nn.Cell")
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"{path} is not a checkpoint file: train the model first, or name another file.")
    try:
        values = ms.load_checkpoint(str(path))
    except (ValueError, TypeError, RuntimeError) as error:
        raise ValueError(f"{path} is damaged or is not a checkpoint: train the model again.") from error
    wanted = {parameter.name: tuple(parameter.shape) for parameter in network.get_parameters()}
    found = {name: tuple(value.shape) for name, value in values.items()}
    if wanted != found:
        different = sorted(name for name in wanted | found if wanted.get(name) != found.get(name))
        raise ValueError(
            f"{path} is of another network ({', '.join(different)} differ): name a checkpoint of this one."
        )
    ms.load_param_into_net(network, values, strict_load=True)
