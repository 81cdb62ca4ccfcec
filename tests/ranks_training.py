"""Suppressed trainings on ranks, as `test_ranks.py` has msrun start them: python tests/ranks_training.py FOLDER"""

import os
import re
import sys
from pathlib import Path
from unittest.mock import patch

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from mindspore import nn
from mindspore.communication import get_rank

from small import Small
from suppress_privacy import MaskLayerDes, SuppressMasker, SuppressModel, SuppressPrivacyFactory, load_mnist

LAYERS = [("conv1.weight", True, True), ("fc1.weight", True, False), ("fc2.weight", True, True)]
BATCH, EPOCHS, SPARSITY = 40, 4, 0.8
PAGE = Path(__file__).parent.parent / "book" / "drop_in.md"


def beginning():
    """What the page's lines for several devices define, once they have run."""
    _, _, section = PAGE.read_text("utf-8").partition("## More than one device")
    names = {}
    exec(re.search(r"```python\n(.*?)```", section, re.S)[1], names)
    return names


def run(data, *, seed=0):
    """Train by the drop-in classes, on batches of images and labels, an update of masks every 15 steps."""
    network, steps = Small(seed=0), data.get_dataset_size()
    layers = [MaskLayerDes(name, None, noise, clip, -1) for name, noise, clip in LAYERS]
    schedule = {"start_epoch": 2, "end_epoch": EPOCHS, "batch_num": steps, "mask_times": steps * (EPOCHS - 1) // 15}
    control = SuppressPrivacyFactory().create(network, layers, **schedule, sparse_end=SPARSITY, seed=seed)
    loss = nn.SoftmaxCrossEntropyWithLogits(sparse=True, reduction="mean")
    model = SuppressModel(network, loss, nn.Momentum(network.trainable_params(), 0.03, 0.9))
    model.link_suppress_ctrl(control)
    model.train(EPOCHS, data, callbacks=[SuppressMasker(model, control)], dataset_sink_mode=False)
    return {each.name: each.asnumpy() for each in [*network.get_parameters(), *control.masks]}


def refused(*arguments, **options):
    """The sentence by which a training is refused."""
    try:
        run(*arguments, **options)
    except ValueError as error:
        return str(error)
    return ""


if __name__ == "__main__":
    part, digits, folder = beginning()["part"], load_mnist("embedded"), Path(sys.argv[1])
    rank = get_rank()

    def data():
        return part(digits.train_images, digits.train_labels, BATCH)

    np.savez(folder / f"averaged-{rank}.npz", **run(data()))
    sentences = [refused(data(), seed=rank)]
    with patch("suppress_privacy.training.over_ranks", lambda parameters: nn.Identity()):
        sentences.append(refused(data()))
        with patch("suppress_privacy.mindarmour.must_be_alike"):
            np.savez(folder / f"apart-{rank}.npz", **run(data()))
    (folder / f"refused-{rank}.txt").write_text("\n".join(sentences), "utf-8")
