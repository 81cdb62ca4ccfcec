"""What all contenders share: the same sizes, the same random data, one JSON object printed at the end."""

import json
import os
import resource
import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

BATCH = 32
LR = 0.1
WARM = 30  # untimed steps
INTERVAL = 15  # steps between two mask updates, as in the published schedule
WEIGHTS = (1, 0.1, 5)  # of the attack's objective
ITERS = 100


def images_and_labels(channels: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """4,096 random images [N, C, 32, 32] and labels [N]."""
    rng = np.random.default_rng(0)
    return rng.random((4096, channels, 32, 32), np.float32), rng.integers(0, 10, 4096).astype(np.int32)


def features(count: int) -> np.ndarray:
    """So many random rows of what fc1 gives."""
    return np.random.default_rng(0).random((count, 120), np.float32)


def run(tasks: Sequence[Callable[[int], dict[str, Any]]], name: str, number: str) -> None:
    """Run one task and print what it returns, with the process's peak memory; all else goes to stderr."""
    answer = os.dup(1)
    os.dup2(2, 1)
    result = {task.__name__: task for task in tasks}[name](int(number))
    result["peak_memory_bytes"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    sys.stdout.flush()
    os.write(answer, json.dumps(result).encode())
