"""One LeNet5 trained whole by MindArmour's own suppress-privacy package, which runs in an environment of its own.

    python train.py MNIST_FOLDER SETTINGS CHECKPOINT

MNIST_FOLDER has the two IDX files of the training images, SETTINGS is JSON: what an arm of the study says of its
training, and a seed. Beside the checkpoint stands, as .json, how it was made: settings, versions, data, loss and zeros
after each epoch.

Network, pipeline and training are those of the package's own example. Two remedies make it fast on a CPU and change no
result beyond the last bits: convolutions are kept off oneDNN's scalar AVX-512 path, and PyNative mode's spinning
pipeline threads are off. Nothing of this project is imported.
"""

import hashlib
import json
import logging
import os
import platform
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

os.environ["ONEDNN_MAX_CPU_ISA"] = "AVX2"  # before MindSpore is imported, whatever the caller's shell has

import mindspore as ms
import mindspore.dataset as ds
from mindspore import nn
from mindspore.common.initializer import TruncatedNormal
from mindspore.dataset import transforms, vision
from mindspore.train import Callback, RunContext

logging.disable(logging.CRITICAL)
from mindarmour.privacy.sup_privacy import MaskLayerDes, SuppressMasker, SuppressModel, SuppressPrivacyFactory
from mindarmour.utils.logger import LogUtil

VERSION = 1  # raised with every change that changes a network: those made before count no longer
FILES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte")
SHUFFLED = 10000  # images in the tutorial's buffer
ZERO = 1e-7  # below this the package counts a weight as zero: it leaves about 1e-9


class LeNet5(nn.Cell):
    """The package's example network."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 6, 5, pad_mode="valid", weight_init=TruncatedNormal(0.05))
        self.conv2 = nn.Conv2d(6, 16, 5, pad_mode="valid", weight_init=TruncatedNormal(0.05))
        self.fc1 = self._dense(400, 120)
        self.fc2 = self._dense(120, 84)
        self.fc3 = self._dense(84, 10)
        self.relu = nn.ReLU()
        self.pool = nn.MaxPool2d(2, 2)
        self.flatten = nn.Flatten()

    @staticmethod
    def _dense(inputs: int, outputs: int) -> nn.Dense:
        return nn.Dense(inputs, outputs, TruncatedNormal(0.05), TruncatedNormal(0.05))

    def construct(self, x: ms.Tensor) -> ms.Tensor:
        x = self.pool(self.relu(self.conv1(x)))
        x = self.pool(self.relu(self.conv2(x)))
        x = self.relu(self.fc1(self.flatten(x)))
        return self.fc3(self.relu(self.fc2(x)))


class Course(Callback):
    """Mean loss of each epoch, and the share of each masked weight that is zero after it."""

    def __init__(self, network: nn.Cell, masked: list[str]) -> None:
        super().__init__()
        self.loss: list[float] = []
        self.sparsity: dict[str, list[float]] = {name: [] for name in masked}
        self._network, self._losses = network, []

    def on_train_step_end(self, run_context: RunContext) -> None:
        self._losses.append(run_context.original_args().net_outputs)

    def on_train_epoch_end(self, run_context: RunContext) -> None:
        self.loss.append(float(np.mean([loss.asnumpy() for loss in self._losses])))
        self._losses.clear()
        weights = dict(self._network.parameters_and_names())  # the package renames them
        for name, shares in self.sparsity.items():
            shares.append(float((np.abs(weights[name].asnumpy()) < ZERO).mean()))
        print(f"epoch {len(self.loss)}: loss {self.loss[-1]:.4f}", file=sys.stderr, flush=True)


def pipeline(folder: str, batch_size: int) -> ds.Dataset:
    """The tutorial's: 32x32 pixels in [0, 1], shuffled through a buffer."""
    data = ds.MnistDataset(folder, "train")
    data = data.map(transforms.TypeCast(ms.int32), "label", num_parallel_workers=1)
    pixels = [vision.Resize((32, 32), vision.Inter.LINEAR), vision.Rescale(1 / 255, 0.0), vision.HWC2CHW()]
    data = data.map(pixels, "image", num_parallel_workers=1)
    return data.shuffle(SHUFFLED).batch(batch_size, drop_remainder=True)


def sha256_of(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def main(folder: str, given: str, checkpoint: str) -> None:
    settings: dict[str, Any] = json.loads(given)
    ms.set_device("CPU")
    ms.set_context(mode=ms.PYNATIVE_MODE)  # the package knows no other
    ms.runtime.launch_blocking()
    LogUtil.get_instance().set_level("ERROR")
    ms.set_seed(settings["seed"])
    np.random.seed(settings["seed"])  # of the package's noise
    data = pipeline(folder, settings["batch_size"])
    network, epochs, rate = LeNet5(), settings["epochs"], settings["lr"]
    control = SuppressPrivacyFactory().create(
        network,
        [MaskLayerDes(**layer) for layer in settings["layers"]],
        policy="local_train",
        end_epoch=settings["end_epoch"],
        batch_num=data.get_dataset_size(),
        start_epoch=settings["start_epoch"],
        mask_times=settings["mask_times"],
        lr=rate,
        sparse_end=settings["sparse_end"],
        sparse_start=settings["sparse_start"],
    )
    loss = nn.SoftmaxCrossEntropyWithLogits(sparse=True, reduction="mean")
    model = SuppressModel(network, loss, nn.SGD(network.trainable_params(), rate))
    model.link_suppress_ctrl(control)
    course = Course(network, [layer["layer_name"] for layer in settings["layers"]])
    started, used = time.perf_counter(), time.process_time()
    model.train(epochs, data, callbacks=[SuppressMasker(model, control), course], dataset_sink_mode=False)
    seconds = {"seconds": time.perf_counter() - started, "cpu_seconds": time.process_time() - used}
    made = {
        "settings": settings,
        "versions": {name: version(name) for name in ("mindarmour", "mindspore", "numpy")},
        "python": platform.python_version(),
        "driver": VERSION,
        "threads": os.environ.get("OMP_NUM_THREADS"),
        "machine": {"system": platform.platform(), "processor": platform.processor()},
        "data": {name: sha256_of(Path(folder, name)) for name in FILES},
        **{name: round(value, 1) for name, value in seconds.items()},
        "loss": course.loss,
        "sparsity": course.sparsity,
    }
    whole, part = Path(checkpoint), Path(f"{checkpoint}.part.ckpt")
    weights = [{"name": name, "data": parameter} for name, parameter in network.parameters_and_names()]
    ms.save_checkpoint(weights, str(part))
    made["checkpoint"] = sha256_of(part)
    beside = whole.with_suffix(".json")
    half = beside.with_name(f"{beside.name}.part")
    half.write_text(json.dumps(made, indent=1) + "\n", "utf-8")
    half.replace(beside)
    part.replace(whole)  # last: where it is, both are whole


if __name__ == "__main__":
    main(*sys.argv[1:])
