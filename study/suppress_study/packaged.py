"""Networks that MindArmour's own package trains, in an environment of its own: how they are called, made and read.

A file's name has a hash of what it is made to depend on: the package's version, the driver's, the data, and the
settings. So one that is there is never trained again, whatever else changes, and one that no longer fits is not found.
What else may tell in the last bits, such as MindSpore's version, stands in the file beside it.
"""

import ctypes
import fcntl
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import mindspore as ms
import numpy as np

from suppress_privacy import training
from suppress_privacy.defences.layers import mask_layers, matched
from suppress_privacy.defences.masks import LayerUpdate, weights_to_suppress
from suppress_privacy.fetch import DATASETS
from suppress_privacy.files import atomically, sha256_of
from suppress_privacy.lenet import LeNet5
from suppress_privacy.mnist import files_of
from suppress_privacy.training import Defence, Facts
from suppress_study.settings import FOLDER, ROOT, Arm

PLACE = Path("results/mindarmour")  # from the project's folder
DRIVER = FOLDER / "mindarmour" / "train.py"
READY = Path("_build/mindarmour/ready")  # from the project's folder: its environment, see the Makefile
REQUIREMENTS = ROOT / "requirements-mindarmour.txt"
PARTS = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte")


def asked(arm: Arm, seed: int) -> dict[str, Any]:
    """What the driver is told of a training."""
    own = {"seed": seed, "epochs": arm.epochs, "batch_size": arm.batch_size, "lr": arm.optimizer and arm.optimizer.lr}
    defence = arm.defence or {}
    schedule = ("start_epoch", "end_epoch", "mask_times", "sparse_start", "sparse_end")
    layers = [vars(layer) for layer in mask_layers(defence["layers"])]
    return own | {name: defence[name] for name in schedule} | {"layers": layers}


def path_of(arm: Arm, seed: int) -> Path:
    """Where a training's checkpoint is, from the project's folder; how it was made stands beside it."""
    package = next(line for line in REQUIREMENTS.read_text("utf-8").splitlines() if line.startswith("mindarmour=="))
    data = {name: DATASETS["mnist"].sha256[name] for name in PARTS}
    version = next(line for line in DRIVER.read_text("utf-8").splitlines() if line.startswith("VERSION = "))
    content = [package.split()[0], version.split()[2], data, asked(arm, seed)]
    key = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:8]
    layers = arm.defence and arm.defence["layers"]
    return PLACE / f"{layers if isinstance(layers, str) else 'mindarmour'}-seed{seed}-{key}.ckpt"


class PackageError(ValueError):
    """Why MindArmour did not train a network, in one sentence."""


def train(arm: Arm, seed: int) -> None:
    """Have the package train a network of an arm, unless it is there.

    Raises:
        DataError: there is no full MNIST.
        PackageError: the package cannot be set up, or failed.
    """
    if (ROOT / path_of(arm, seed)).is_file() and (ROOT / path_of(arm, seed)).with_suffix(".json").is_file():
        return
    files, place = files_of("mnist"), ROOT / path_of(arm, seed)
    place.parent.mkdir(parents=True, exist_ok=True)
    _set_up()
    with tempfile.TemporaryDirectory() as folder:
        for name, content in files.items():
            Path(folder, name).write_bytes(content)
        made = Path(folder, place.name)
        command = [ROOT / READY.with_name("bin") / "python", DRIVER, folder, json.dumps(asked(arm, seed)), made]
        ended = subprocess.run(
            [*map(str, command)],
            env=os.environ | {"GLOG_v": "3"},
            stdout=subprocess.DEVNULL,  # it prints much
            preexec_fn=_end_with_parent,  # or it would go on for half an hour beside one that is started anew
            check=False,
        ).returncode
        if ended:
            raise PackageError(
                f"MindArmour's training of seed {seed} ended with exit code {ended}: see above, and mend it."
            )
        for whole in (place.with_suffix(".json"), place):
            with atomically(whole) as part:
                shutil.copyfile(made.with_suffix(whole.suffix), part)


def _end_with_parent() -> None:
    """Have the system end this process when its parent has ended, however that happens; Linux alone can."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


def _set_up() -> None:
    """Make the package's environment, where it is missing; another process that does so is waited for."""
    lock = (ROOT / READY.parent).with_suffix(".lock")
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("wb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        command = ["make", "--no-print-directory", str(READY), f"PYTHON={sys.executable}"]
        if subprocess.run(command, cwd=ROOT, check=False).returncode:
            raise PackageError("MindArmour's environment could not be set up: see above, mend it, and run again.")


class Left(Defence):
    """What the package's suppression has left of a network; it does nothing any more."""

    def __init__(self, network: LeNet5, arm: Arm) -> None:
        super().__init__(auto_prefix=False)
        settings, self._report = arm.defence or {}, {}
        for weight, layer in matched(network, mask_layers(settings["layers"])):
            values = weight.asnumpy().ravel()
            target = weights_to_suppress(weight.size, settings["sparse_end"], layer.min_num)
            threshold = float(np.abs(values[values != 0]).min(initial=np.inf))
            self._report[weight.name] = LayerUpdate(values != 0, values, threshold).entry(target)

    def report(self) -> dict[str, Facts]:
        """By layer, as `SuppressCtrl.report`; what was moved is not known."""
        return self._report


def load(arm: Arm, seed: int) -> tuple[LeNet5, training.History, Defence]:
    """The network that the package trained for an arm, the course of its training, and what it left.

    Raises:
        ValueError: it has not been trained, or its files do not belong together.
    """
    path = ROOT / path_of(arm, seed)
    beside = path.with_suffix(".json")
    if not (path.is_file() and beside.is_file()):
        raise ValueError(
            f"{path_of(arm, seed)}, or the .json beside it, is missing: restore both from the repository, or delete "
            "both and run again, to have MindArmour train it."
        )
    made = json.loads(beside.read_text("utf-8"))
    if sha256_of(path) != made["checkpoint"] or made["settings"] != asked(arm, seed):
        raise ValueError(f"{path.name} is not what {beside.name} says: restore both, or delete them and run again.")
    network = LeNet5()
    training.load_checkpoint(network, path)
    for parameter in network.get_parameters():
        if parameter.name in made["sparsity"]:
            weights = parameter.asnumpy()
            parameter.set_data(ms.Tensor(np.where(np.abs(weights) <= training.RESIDUE, np.float32(0), weights)))
    return network, training.History(loss=made["loss"], sparsity=made["sparsity"]), Left(network, arm)
