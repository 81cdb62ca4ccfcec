"""One step of Adam on images (Kingma & Ba 2015), kept within the range of pixels."""

import mindspore as ms
import numpy as np
from mindspore import ops

BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8


def rates(length: float, step: int) -> ms.Tensor:
    """What a step needs to know: its length, and what corrects both moments for their start at zero; step from 0."""
    return ms.Tensor(np.array([length, 1 / (1 - BETA1 ** (step + 1)), 1 / (1 - BETA2 ** (step + 1))], dtype=np.float32))


def adam_step(
    images: ms.Tensor, first: ms.Tensor, second: ms.Tensor, rate: ms.Tensor, gradient: ms.Tensor
) -> tuple[ms.Tensor, ms.Tensor, ms.Tensor]:
    """The images after a step, and the two moments; to be called inside a compiled cell.

    Args:
        images, first, second, gradient: of one shape.
        rate: of `rates`.
    """
    first = BETA1 * first + (1 - BETA1) * gradient
    second = BETA2 * second + (1 - BETA2) * ops.square(gradient)
    step = rate[0] * (first * rate[1]) / (ops.sqrt(second * rate[2]) + EPSILON)
    return ops.clamp(images - step, 0.0, 1.0), first, second
