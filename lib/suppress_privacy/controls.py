"""Networks that give an image away to an attack on gradients that works: its positive controls, never trained."""

import numpy as np
from mindspore import Tensor, nn, ops

from suppress_privacy.checks import Seed, checked
from suppress_privacy.runtime import generator


class Control(nn.Cell):
    """What controls share: parameters drawn from U(-0.5, 0.5), as DLG's authors draw them."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self._rng = generator(seed, "initialisation")

    def drawn(self, *shape: int) -> Tensor:
        return Tensor(self._rng.uniform(-0.5, 0.5, shape).astype(np.float32))


class SigmoidLeNet(Control):
    """LeNet with sigmoids and strides, without pools: what DLG was shown on (Zhu, Liu & Han 2019).

    Args:
        seed: draws the parameters.

    Inputs:
        x: images, float32 [N, 1, 32, 32].

    Outputs:
        logits, float32 [N, 10].

    Examples:
        >>> predict(SigmoidLeNet(seed=0), images).shape
        (4, 10)
    """

    @checked
    def __init__(self, seed: Seed = 0) -> None:
        super().__init__(seed)
        self.conv1 = nn.Conv2d(1, 12, 5, 2, "pad", 2, weight_init=self.drawn(12, 1, 5, 5))
        self.conv2 = nn.Conv2d(12, 12, 5, 2, "pad", 2, weight_init=self.drawn(12, 12, 5, 5))
        self.dense = nn.Dense(12 * 8 * 8, 10, self.drawn(10, 12 * 8 * 8), self.drawn(10))

    def construct(self, x: Tensor) -> Tensor:
        x = ops.sigmoid(self.conv2(ops.sigmoid(self.conv1(x))))  # [N, 1, 32, 32] -> [N, 12, 8, 8]
        return self.dense(x.reshape(x.shape[0], -1))


class Perceptron(Control):
    """One hidden dense layer, which sees the image itself: its gradient is a multiple of the image.

    Arguments, inputs and outputs as `SigmoidLeNet`.

    Examples:
        >>> predict(CONTROLS["perceptron"](seed=0), images).shape
        (4, 10)
    """

    @checked
    def __init__(self, seed: Seed = 0) -> None:
        super().__init__(seed)
        self.hidden = nn.Dense(1024, 64, self.drawn(64, 1024), self.drawn(64))
        self.out = nn.Dense(64, 10, self.drawn(10, 64), self.drawn(10))

    def construct(self, x: Tensor) -> Tensor:
        return self.out(ops.relu(self.hidden(x.reshape(x.shape[0], -1))))


CONTROLS = {"sigmoid-lenet": SigmoidLeNet, "perceptron": Perceptron}
