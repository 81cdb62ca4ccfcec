"""Ranks: processes that train one network together, each on its part of every batch (MindSpore's DATA_PARALLEL)."""

import hashlib
from collections.abc import Iterable

import mindspore as ms
import numpy as np
from mindspore import nn, ops


def data_parallel() -> bool:
    """Whether this process is to train as one of several ranks."""
    return ms.get_auto_parallel_context("parallel_mode") == ms.ParallelMode.DATA_PARALLEL


def over_ranks(parameters: Iterable[ms.Parameter]) -> nn.Cell:
    """The cell that makes of a rank's gradients those of all ranks: their mean, or without `gradients_mean` their sum.

    A process by itself keeps its own.
    """
    return nn.DistributedGradReducer(parameters) if data_parallel() else nn.Identity()


def must_be_alike(parameters: Iterable[ms.Parameter], state: object, step: int) -> None:
    """Raise ValueError, on every rank, unless all have the same values of the parameters and the same state."""
    if not data_parallel():
        return
    digest = hashlib.sha256(repr(state).encode())
    for parameter in parameters:
        digest.update(parameter.asnumpy().tobytes())
    own = np.frombuffer(digest.digest(), np.uint8).astype(np.float32)  # bytes as a type that every device gathers
    if (ops.AllGather()(ms.Tensor(own)).asnumpy().reshape(-1, len(own)) != own).any():
        raise ValueError(
            f"ranks differ in weights, masks or seeds after step {step}: give all of them the same seeds (of the "
            "network, of the control, or mindspore.set_seed), and set DATA_PARALLEL before the model is made."
        )
