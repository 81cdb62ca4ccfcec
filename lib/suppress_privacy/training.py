"""One compiled training step, the loop around it, and its checkpoints."""

import os
import re
from dataclasses import asdict, dataclass, field
from pathlib import Path

import mindspore as ms
import numpy as np
from mindspore import nn, ops
from tqdm import tqdm

from suppress_privacy.lenet import predict
from suppress_privacy.runtime import generator

CHECKPOINT_PREFIX = "checkpoint_lenet"  # the tutorial's file names: checkpoint_lenet-{epoch}_{step}.ckpt
CHECKPOINTS_KEPT = 10


class Defence(nn.Cell):
    """What a defence may do during training; this base class does nothing.

    `on_gradients` and `after_update` are compiled into the training step. `after_step` runs between
    steps and may set the defence's parameters, which the next step then uses.
    """

    def on_gradients(self, gradients):
        """Gradients as the optimiser shall see them: a tuple like the one given."""
        return gradients

    def after_update(self):
        """Change parameters in place, right after the optimiser has."""

    def after_step(self, step):
        """Called with the number of the step just done, counted from 1 over the whole training."""

    def report(self):
        """What the defence has done so far, as plain data for the record."""
        return {}


class TrainStep(nn.Cell):
    """Forward, backward, optimiser and defence, compiled as one graph.

    Args:
        network (Cell): maps [B, ...] to logits [B, C].
        optimizer (nn.Optimizer): over the network's trainable parameters.
        defence (Defence): its in-graph parts are called in every step.

    Inputs:
        images (Tensor), float32 [B, ...]; labels (Tensor), int32 [B].

    Outputs:
        Tensor, the batch's mean cross-entropy before the update, in nats.
    """

    def __init__(self, network, optimizer, defence):
        super().__init__(auto_prefix=False)
        loss = nn.SoftmaxCrossEntropyWithLogits(sparse=True, reduction="mean")
        self.loss_and_gradients = ops.value_and_grad(nn.WithLossCell(network, loss), None, optimizer.parameters)
        self.optimizer = optimizer
        self.defence = defence

    def construct(self, images, labels):
        loss, gradients = self.loss_and_gradients(images, labels)
        loss = ops.depend(loss, self.optimizer(self.defence.on_gradients(gradients)))
        self.defence.after_update()
        return loss


@dataclass
class History:
    """One entry an epoch: mean loss in nats, test accuracy in [0, 1], share of zeros in each weight."""

    loss: list = field(default_factory=list)
    test_accuracy: list = field(default_factory=list)
    sparsity: dict = field(default_factory=dict)

    def as_dict(self):
        return asdict(self)


def train(network, optimizer, data, *, epochs, batch_size, seed, defence=None, checkpoints=None):
    """Train a network; every epoch visits all images once, in an order drawn from `seed`.

    Args:
        network (Cell): the network; changed in place.
        optimizer (nn.Optimizer): over its trainable parameters.
        data (Mnist): images and labels; an incomplete last batch is dropped, as in the tutorial.
        epochs (int): passes over the training images.
        batch_size (int): images a step.
        seed (int): seeds the order of the images, alike for every network and defence.
        defence (Defence or None): None trains ordinarily.
        checkpoints (Path or None): folder for one checkpoint an epoch, the last 10 kept.

    Returns:
        History.

    Raises:
        ValueError: epochs or batch_size out of range.
    """
    count = len(data.train_labels)
    if epochs < 1:
        raise ValueError(f"epochs is {epochs}; it must be at least 1: give the number of passes over the data.")
    if not 1 <= batch_size <= count:
        raise ValueError(f"batch_size is {batch_size}; allowed are 1 to {count}, the number of training images.")
    defence = defence or Defence()
    step_cell = TrainStep(network, optimizer, defence)
    rng = generator(seed, "batches")
    steps = count // batch_size
    history = History()
    with tqdm(total=epochs * steps, unit="step", disable=None) as bar:
        for epoch in range(1, epochs + 1):
            step_cell.set_train(True)
            order = rng.permutation(count)[: steps * batch_size].reshape(steps, batch_size)
            losses = []
            for step, batch in enumerate(order, (epoch - 1) * steps + 1):
                losses.append(step_cell(ms.Tensor(data.train_images[batch]), ms.Tensor(data.train_labels[batch])))
                defence.after_step(step)
                bar.update()
            history.loss.append(float(np.mean([loss.asnumpy() for loss in losses], dtype=np.float64)))
            history.test_accuracy.append(accuracy(network, data.test_images, data.test_labels))
            for layer, share in sparsity(network).items():
                history.sparsity.setdefault(layer, []).append(share)
            bar.set_postfix(loss=f"{history.loss[-1]:.4f}", accuracy=f"{history.test_accuracy[-1]:.4f}")
            if checkpoints is not None:
                save_checkpoint(network, Path(checkpoints) / f"{CHECKPOINT_PREFIX}-{epoch}_{steps}.ckpt")
    return history


def accuracy(network, images, labels):
    """Share of images whose largest logit is at their label, in [0, 1]."""
    return float(np.mean(predict(network, images).argmax(1) == labels))


def sparsity(network):
    """Share of exact zeros in each weight (biases left out), by parameter name."""
    weights = [parameter for parameter in network.get_parameters() if parameter.name.endswith("weight")]
    return {weight.name: float(np.mean(weight.asnumpy() == 0)) for weight in weights}


def save_checkpoint(network, path):
    """Write the network's parameters; whoever reads `path` finds a whole file. The last 10 are kept."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".part-{path.name}")
    ms.save_checkpoint(network, str(part))
    os.replace(part, path)
    for old in checkpoints_in(path.parent)[:-CHECKPOINTS_KEPT]:
        old.unlink()


def checkpoints_in(folder):
    """The checkpoints of a folder, oldest epoch first."""

    def epoch(path):
        return int(re.fullmatch(rf"{CHECKPOINT_PREFIX}-(\d+)_\d+\.ckpt", path.name).group(1))

    return sorted(Path(folder).glob(f"{CHECKPOINT_PREFIX}-*_*.ckpt"), key=epoch)


def load_checkpoint(network, path):
    """Load parameters into a network.

    Raises:
        ValueError: the file is missing, damaged, or of another network; the network is then unchanged.
    """
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
