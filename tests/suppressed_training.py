"""A suppressed training that tests cut short: python tests/suppressed_training.py FOLDER OUT.npz"""

import os
import sys
import time
from dataclasses import replace
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from mindspore import nn

from small import Small
from suppress_privacy import MaskLayerDes, SuppressPrivacyFactory, configure, load_mnist, train

LAYERS = [("conv1.weight", True, True), ("fc1.weight", True, False), ("fc3.weight", True, True)]


class PowerCut(RuntimeError):
    pass


def few(digits):
    chosen = np.arange(0, 4000, 20)
    few = replace(digits, train_images=digits.train_images[chosen], train_labels=digits.train_labels[chosen])
    return replace(few, test_images=digits.test_images[::5], test_labels=digits.test_labels[::5])


def run(data, folder, *, stop_after=None, pause=0, seed=0, **options):
    """A suppressed training with momentum and noise; cut off after a step if asked, or slowed by a pause a step."""
    network = Small(seed)
    network.fc3.weight.set_data(network.fc3.weight * 10)  # beyond 0.5, where noise is added
    layers = [MaskLayerDes(name, None, noise, clip, -1) for name, noise, clip in LAYERS]
    defence = SuppressPrivacyFactory().create(
        network, layers, end_epoch=3, batch_num=10, start_epoch=1, mask_times=7, lr=0.05, sparse_end=0.9, seed=seed
    )
    after_step = defence.after_step

    def after_step_or_cut(step):
        after_step(step)
        time.sleep(pause)
        if step == stop_after:
            raise PowerCut

    object.__setattr__(defence, "after_step", after_step_or_cut)
    optimizer = nn.Momentum(network.trainable_params(), 0.05, 0.9)
    options = {"epochs": 3, "batch_size": 20, "seed": seed, "defence": defence, "checkpoints": folder} | options
    history = train(network, optimizer, data, **options)
    return {parameter.name: parameter.asnumpy() for parameter in network.get_parameters()}, history, defence.report()


if __name__ == "__main__":
    configure("CPU", "graph")
    folder, out = map(Path, sys.argv[1:])
    weights, _, _ = run(few(load_mnist("embedded")), folder, pause=0.05, save_every=1, resume=True)
    np.savez(out, **weights)
