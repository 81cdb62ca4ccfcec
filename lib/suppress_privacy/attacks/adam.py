"""One step of Adam on images (Kingma & Ba 2015), kept within the range of pixels."""

import numpy as np
from mindspore import Tensor, nn, ops

Tensors = tuple[Tensor, ...]
BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8


def rates(length: float, step: int) -> Tensor:
    """What a step needs to know: its length, and what corrects both moments for their start at zero; step from 0."""
    return Tensor(np.array([length, 1 / (1 - BETA1 ** (step + 1)), 1 / (1 - BETA2 ** (step + 1))], dtype=np.float32))


class TotalAndEach(nn.Cell):
    """An objective's sum over images, to differentiate, and its value for each of them."""

    def __init__(self, objective: nn.Cell) -> None:
        super().__init__(auto_prefix=False)
        self.objective = objective

    def construct(self, images: Tensor, *known: Tensor) -> tuple[Tensor, Tensor]:
        each = self.objective(images, *known)
        return each.sum(), each


class AdamStep(nn.Cell):
    """One step for a batch, compiled once; the images are independent of each other.

    Args:
        objective: from images and whatever else it takes to one value an image.
        signed: step by the signs of the gradient.

    Inputs:
        images; first and second, the moments, like images; rate, of `rates`; what else the objective takes.

    Outputs:
        images, first and second after the step, and the objective before it.
    """

    def __init__(self, objective: nn.Cell, *, signed: bool = False) -> None:
        super().__init__(auto_prefix=False)
        self.total = TotalAndEach(objective)
        self.value_and_gradient = ops.value_and_grad(self.total, 0, None, has_aux=True)
        self.signed = signed

    def construct(self, images: Tensor, first: Tensor, second: Tensor, rate: Tensor, *known: Tensor) -> Tensors:
        (_, each), gradient = self.value_and_gradient(images, *known)
        if self.signed:
            gradient = ops.sign(gradient)
        first = BETA1 * first + (1 - BETA1) * gradient
        second = BETA2 * second + (1 - BETA2) * ops.square(gradient)
        step = rate[0] * (first * rate[1]) / (ops.sqrt(second * rate[2]) + EPSILON)
        return ops.clamp(images - step, 0.0, 1.0), first, second, each
