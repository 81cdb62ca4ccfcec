"""The same training step and attack in plain PyTorch, for bench.py; prints one JSON object.

python benchmarks/torch_peer.py TASK NUMBER       (in an environment with torch and numpy)
"""

import os
import sys
import time
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from task import BATCH, ITERS, LR, WARM, WEIGHTS, features, images_and_labels, run


class LeNet5(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 6, 5, bias=False)
        self.conv2 = nn.Conv2d(6, 16, 5, bias=False)
        self.fc1 = nn.Linear(400, 120)
        self.fc2 = nn.Linear(120, 84)
        self.fc3 = nn.Linear(84, 10)

    def first_layers(self, x: torch.Tensor) -> torch.Tensor:
        x = functional.max_pool2d(functional.relu(self.conv1(x)), 2)
        x = functional.max_pool2d(functional.relu(self.conv2(x)), 2)
        return functional.relu(self.fc1(x.flatten(1)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc3(functional.relu(self.fc2(self.first_layers(x))))


def step(count: int) -> dict[str, Any]:
    """Seconds an eager training step takes."""
    torch.manual_seed(0)
    images, labels = images_and_labels()
    labels = labels.astype("int64")
    network = LeNet5()
    optimizer = torch.optim.SGD(network.parameters(), LR)

    def steps(number: int) -> float:
        for done in range(number):
            first = (done * BATCH) % (len(labels) - BATCH)
            batch = slice(first, first + BATCH)
            optimizer.zero_grad()
            loss = functional.cross_entropy(network(torch.from_numpy(images[batch])), torch.from_numpy(labels[batch]))
            loss.backward()
            optimizer.step()
        return loss.item()

    steps(WARM)
    started = time.perf_counter()
    steps(count)
    return {"seconds": (time.perf_counter() - started) / count}


def attack(count: int) -> dict[str, Any]:
    """Seconds of the reference attack at the CPU scale, 100 steps on so many images as one batch."""
    torch.manual_seed(0)
    network = LeNet5()
    targets = torch.from_numpy(features(count))
    scale = targets.square().mean(1)
    started = time.perf_counter()
    images = 0.05 * torch.rand(count, 1, 32, 32)
    for _ in range(ITERS):
        images.requires_grad_(True)
        mismatch = (network.first_layers(images) - targets).square().mean(1) / scale
        rows = (images[:, :, 1:] - images[:, :, :-1]).square().mean((1, 3)).sum(1)
        columns = (images[:, :, :, 1:] - images[:, :, :, :-1]).square().mean((1, 2)).sum(1)
        norm = images.square().mean((1, 2, 3))
        objective = WEIGHTS[0] * mismatch + WEIGHTS[1] * (rows + columns) + WEIGHTS[2] * norm
        (gradient,) = torch.autograd.grad(objective.sum(), images)
        images = (images.detach() - 0.01 * gradient.sign()).clamp(0, 1)
    return {"seconds": time.perf_counter() - started, "images": count}


def version(_: int) -> dict[str, Any]:
    return {"version": torch.__version__}


if __name__ == "__main__":
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    run((step, attack, version), *sys.argv[1:])
