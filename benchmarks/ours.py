"""What bench.py times of this package; each task runs in a process of its own and prints one JSON object.

python benchmarks/ours.py TASK NUMBER
"""

import statistics
import sys
import time
from typing import Any

import numpy as np
from mindspore import nn

import suppress_privacy as sp
from suppress_privacy.convnet import ConvNet
from suppress_privacy.defences.dpsgd import DpSgd
from suppress_privacy.defences.layers import PUBLISHED_LAYERS
from suppress_privacy.training import Defence, TrainStep, with_cross_entropy
from task import BATCH, INTERVAL, ITERS, LR, WARM, WEIGHTS, features, images_and_labels, run

import mindspore as ms  # isort: skip  (after the package, which sets its environment)

LAYERS = [sp.MaskLayerDes(**layer) for layer in PUBLISHED_LAYERS["mindarmour-example"]]
LARGE = 512  # images a batch where there is differential privacy
BLOCK = 75  # dense and suppressed steps take turns in blocks of so many


def control_for(network: nn.Cell, steps: int, layers: list[sp.MaskLayerDes]) -> sp.SuppressCtrl:
    """A control that updates its masks every 15 steps of one epoch of so many steps."""
    schedule = {"end_epoch": 1, "start_epoch": 1, "batch_num": steps, "mask_times": max(1, steps // INTERVAL)}
    return sp.SuppressPrivacyFactory().create(network, layers, lr=LR, sparse_end=0.95, **schedule)


class Trainer:
    """A network in training on batches of an array, step by step."""

    def __init__(self, network: nn.Cell, images: np.ndarray, labels: np.ndarray, defence: Defence) -> None:
        self.defence = defence
        optimizer = nn.SGD(network.trainable_params(), LR)
        self.step_cell = TrainStep(with_cross_entropy(network), optimizer, defence).set_train()
        self.images, self.labels, self.done = images, labels, 0

    def steps(self, count: int) -> float:
        """Seconds that so many steps took."""
        started = time.perf_counter()
        for _ in range(count):
            first = (self.done * BATCH) % (len(self.labels) - BATCH)
            batch = slice(first, first + BATCH)
            loss = self.step_cell(ms.Tensor(self.images[batch]), ms.Tensor(self.labels[batch]))
            self.done += 1
            self.defence.after_step(self.done)
        loss.asnumpy()  # steps are only queued until someone looks
        return time.perf_counter() - started


def step(count: int) -> dict[str, Any]:
    """Seconds a dense training step of LeNet5 takes."""
    trainer = Trainer(sp.LeNet5(seed=0), *images_and_labels(), Defence())
    trainer.steps(WARM)
    return {"seconds": trainer.steps(count) / count}


def epoch(count: int) -> dict[str, Any]:
    """Seconds of so many dense and suppressed steps, in turns within one process.

    `ratio` is the median over pairs of blocks, which one busy moment of the machine does not shift.
    """
    images, labels = images_and_labels()
    network = sp.LeNet5(seed=0)
    dense = Trainer(sp.LeNet5(seed=0), images, labels, Defence())
    suppressed = Trainer(network, images, labels, control_for(network, count + WARM, LAYERS))
    blocks: dict[Trainer, list[float]] = {dense: [], suppressed: []}
    for trainer in blocks:
        trainer.steps(WARM)
    for number in range(count // BLOCK):
        for trainer in (dense, suppressed) if number % 2 else (suppressed, dense):
            blocks[trainer].append(trainer.steps(BLOCK))
    pairs = zip(blocks[suppressed], blocks[dense], strict=True)
    return {
        "dense": sum(blocks[dense]),
        "suppressed": sum(blocks[suppressed]),
        "steps": BLOCK * len(blocks[suppressed]),
        "ratio": statistics.median(above / below for above, below in pairs),
    }


def private(count: int) -> dict[str, Any]:
    """Seconds of so many steps of DP-SGD and as many ordinary ones on 512 images, in turns within one process.

    `ratio` is the median over pairs of neighbours.
    """
    images, labels = (ms.Tensor(part[:LARGE]) for part in images_and_labels())
    steps = []
    for defence in (DpSgd(LARGE, clip_norm=1.0, noise_multiplier=1.0, seed=0), Defence()):
        network = sp.LeNet5(seed=0)
        steps.append(defence.step(with_cross_entropy(network), nn.SGD(network.trainable_params(), LR)).set_train())
    spent: list[list[float]] = [[], []]
    for number in range(count + 2):
        for step_cell, seconds in zip(steps, spent, strict=True):
            started = time.perf_counter()
            step_cell(images, labels).asnumpy()
            seconds += [time.perf_counter() - started] if number > 1 else []
    ratio = statistics.median(above / below for above, below in zip(*spent, strict=True))
    return {"private": sum(spent[0]), "dense": sum(spent[1]), "steps": count, "ratio": ratio}


def training(epochs: int) -> dict[str, Any]:
    """A whole suppressed training on MNIST, from compilation to the last evaluation; its peak memory."""
    data = sp.load_mnist()
    steps = len(data.train_labels) // BATCH
    network = sp.LeNet5(seed=0)
    schedule = {"end_epoch": epochs, "start_epoch": min(3, epochs), "batch_num": steps, "mask_times": 1000}
    control = sp.SuppressPrivacyFactory().create(network, LAYERS, lr=LR, sparse_end=0.95, **schedule)
    optimizer = nn.SGD(network.trainable_params(), LR)
    started = time.perf_counter()
    history = sp.train(network, optimizer, data, epochs=epochs, batch_size=BATCH, seed=0, defence=control)
    return {"seconds": time.perf_counter() - started, "test_accuracy": history.test_accuracy[-1], "data": data.name}


def attack(count: int) -> dict[str, Any]:
    """Seconds of the reference attack, 100 steps on so many images as one batch: at once, and when compiled."""
    network = sp.Features(sp.LeNet5(seed=0), "fc1")
    attack = sp.ImageInversionAttack(network, (1, 32, 32), (0, 1), WEIGHTS)
    found: dict[str, Any] = {"images": count}
    for name in ("first", "seconds"):
        started = time.perf_counter()
        attack.generate(features(count), iters=ITERS)
        found[name] = time.perf_counter() - started
    return found


def size(width: int) -> dict[str, Any]:
    """Seconds of a dense and a suppressed step of a deeper network, by its width."""
    images, labels = images_and_labels(3)
    found: dict[str, Any] = {}
    for name in ("dense", "suppressed"):
        network = ConvNet(width=width)
        found["weights"] = sum(parameter.size for parameter in network.trainable_params())
        layers = sp.propose_mask_layers(network)
        trainer = Trainer(
            network, images, labels, control_for(network, 90, layers) if name == "suppressed" else Defence()
        )
        trainer.steps(WARM)
        found[name] = trainer.steps(60) / 60
    return found


if __name__ == "__main__":
    sp.configure("CPU", "graph")
    run((step, epoch, private, training, attack, size), *sys.argv[1:])
