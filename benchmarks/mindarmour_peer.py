"""What bench.py times of MindArmour 2.0.0, in a process of its own; prints one JSON object.

    python benchmarks/mindarmour_peer.py cured|bare TASK NUMBER

`cured` has both remedies that make it fast on a CPU: convolutions kept off the scalar AVX-512 path, and
PyNative mode without its spinning pipeline threads. `bare` is MindArmour as it comes. $MASK_LAYERS is JSON: the layers
to mask, as `MaskLayerDes` takes them.
"""

import json
import logging
import os
import sys
import time
from typing import Any

import numpy as np

from task import BATCH, INTERVAL, ITERS, LR, WARM, WEIGHTS, features, images_and_labels, run

CURED = sys.argv[1] == "cured"
if CURED:  # before MindSpore is imported
    os.environ.setdefault("ONEDNN_MAX_CPU_ISA", "AVX2")

import mindspore as ms
from mindspore import nn
from mindspore.dataset import NumpySlicesDataset
from mindspore.train import Callback, RunContext

logging.disable(logging.CRITICAL)
from mindarmour.privacy.evaluation.inversion_attack import ImageInversionAttack
from mindarmour.privacy.sup_privacy import MaskLayerDes, SuppressMasker, SuppressModel, SuppressPrivacyFactory
from mindarmour.utils.logger import LogUtil


class LeNet5(nn.Cell):
    """The tutorial's network, with the operators it has."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 6, 5, pad_mode="valid")
        self.conv2 = nn.Conv2d(6, 16, 5, pad_mode="valid")
        self.fc1 = nn.Dense(400, 120)
        self.fc2 = nn.Dense(120, 84)
        self.fc3 = nn.Dense(84, 10)
        self.relu = nn.ReLU()
        self.pool = nn.MaxPool2d(2, 2)
        self.flatten = nn.Flatten()

    def first_layers(self, x: ms.Tensor) -> ms.Tensor:
        x = self.pool(self.relu(self.conv1(x)))
        x = self.pool(self.relu(self.conv2(x)))
        return self.relu(self.fc1(self.flatten(x)))

    def construct(self, x: ms.Tensor) -> ms.Tensor:
        return self.fc3(self.relu(self.fc2(self.first_layers(x))))


class FirstLayers(nn.Cell):
    def __init__(self, network: LeNet5) -> None:
        super().__init__(auto_prefix=False)
        self.network = network

    def construct(self, x: ms.Tensor) -> ms.Tensor:
        return self.network.first_layers(x)


class Clock(Callback):
    """Times the steps after the warm-up."""

    def on_train_step_end(self, run_context: RunContext) -> None:
        run = run_context.original_args()
        if run.cur_step_num == WARM:
            run.net_outputs.asnumpy()
            self.started = time.perf_counter()

    def on_train_end(self, run_context: RunContext) -> None:
        run_context.original_args().net_outputs.asnumpy()
        self.seconds = time.perf_counter() - self.started


def trained(count: int, suppressed: bool) -> float:
    """Seconds that so many steps of `SuppressModel.train` take."""
    steps = count + WARM
    images, labels = images_and_labels()
    order = np.arange(steps * BATCH) % len(labels)
    dataset = NumpySlicesDataset((images[order], labels[order]), ["image", "label"], shuffle=False).batch(BATCH)
    network = LeNet5()
    loss = nn.SoftmaxCrossEntropyWithLogits(sparse=True, reduction="mean")
    model = SuppressModel(network, loss, nn.SGD(network.trainable_params(), LR))
    clock = Clock()
    callbacks: list[Callback] = [clock]
    if suppressed:
        control = SuppressPrivacyFactory().create(
            network,
            [MaskLayerDes(**layer) for layer in json.loads(os.environ["MASK_LAYERS"])],
            end_epoch=1,
            start_epoch=1,
            batch_num=steps,
            mask_times=max(1, steps // INTERVAL),
            lr=LR,
            sparse_end=0.95,
        )
        model.link_suppress_ctrl(control)
        callbacks.insert(0, SuppressMasker(model, control))
    model.train(1, dataset, callbacks=callbacks, dataset_sink_mode=False)
    return clock.seconds


def step(count: int) -> dict[str, Any]:
    return {"seconds": trained(count, suppressed=False) / count}


def epoch(count: int) -> dict[str, Any]:
    return {"suppressed": trained(count, suppressed=True), "steps": count}


def attack(count: int) -> dict[str, Any]:
    """Each call compiles anew, so the seconds for `count` images are those of `count` + 1 less those of one."""
    network = FirstLayers(LeNet5()).set_train(False)
    attack = ImageInversionAttack(network, (1, 32, 32), (0, 1), list(WEIGHTS))
    targets = features(count + 1)
    seconds = []
    for images in (1, count + 1):
        started = time.perf_counter()
        attack.generate(targets[:images], iters=ITERS)
        seconds.append(time.perf_counter() - started)
    return {"first": seconds[0], "seconds": seconds[1] - seconds[0], "images": count}


if __name__ == "__main__":
    graph = CURED and sys.argv[2] == "attack"
    ms.set_device("CPU")
    ms.set_context(mode=ms.GRAPH_MODE if graph else ms.PYNATIVE_MODE)
    if CURED and not graph:
        ms.runtime.launch_blocking()
    LogUtil.get_instance().set_level("ERROR")
    run((step, epoch, attack), *sys.argv[2:])
