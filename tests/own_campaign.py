"""A campaign of a user's own, as small as it can be: images, a residual network, and the file that names both."""

import numpy as np
import yaml

CLASSES, SIDE = 3, 32
MODULE = '''"""A small residual network."""

from mindspore import nn, ops


class Block(nn.Cell):
    def __init__(self, channels):
        super().__init__()
        self.conv, self.norm, self.relu = nn.Conv2d(channels, channels, 3), nn.BatchNorm2d(channels), nn.ReLU()

    def construct(self, x):
        return self.relu(x + self.norm(self.conv(x)))


class Residual(nn.Cell):
    def __init__(self, seed=None):
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, stride=4)
        self.blocks = nn.CellList([Block(4), Block(4)])
        self.dense, self.head = nn.Dense(4 * 64, 24, activation="relu"), nn.Dense(24, 3)

    def construct(self, x):
        x = self.stem(x)
        for block in self.blocks:
            x = block(x)
        return self.head(self.dense(x.reshape(x.shape[0], -1)))


def text():
    return "no network"
'''
MINE = {
    "title": "a residual network on images of mine",
    "data": {"train": "train.npz", "test": "test.npz", "classes": CLASSES, "shape": [3, SIDE, SIDE]},
    "network": "residual_of_mine:Residual",
    "layers": ["blocks.*.weight", "dense.weight"],
    "depth": "dense",
    "near": "stem",
    "training": {"epochs": 2, "batch_size": 10},
    "overrides": {
        "suppressed-example": {"defence": {"start_epoch": 1, "end_epoch": 2, "mask_times": 15}},
        "evaluator-convnet": {"epochs": 1},
    },
    "targets": {"train_per_class": 2, "test_per_class": 2},
    "matched": False,
    "attacks": ["mean", "ridge"],
}


def images(count, seed):
    """Stripes whose number is the class, of a colour drawn by lot."""
    rng, labels = np.random.default_rng(seed), np.arange(count) % CLASSES
    waves = np.sin(np.linspace(0, 2 * np.pi, SIDE)[None] * (1 + labels[:, None]) + rng.uniform(0, 6, (count, 1)))
    stripes = np.broadcast_to(0.5 + 0.5 * waves[:, None, None], (count, 3, SIDE, SIDE))
    return (255 * stripes * rng.uniform(0.3, 1, (count, 3, 1, 1))).astype(np.uint8), labels


def write(folder):
    """All files of the campaign, into a folder."""
    for number, (name, count) in enumerate((("train", 300), ("test", 120))):
        pixels, labels = images(count, number)
        np.savez(folder / f"{name}.npz", images=pixels, labels=labels)
    (folder / "residual_of_mine.py").write_text(MODULE, "utf-8")
    (folder / "mine.yaml").write_text(yaml.safe_dump(MINE), "utf-8")
    return folder
