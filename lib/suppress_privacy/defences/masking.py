"""What keeps suppressed weights at zero, whatever the optimiser: w <- w m, in place."""

import mindspore as ms
import numpy as np
from mindspore import nn, ops


class Masking(nn.Cell):
    """Multiplies weights by their masks, in place; to be called right after the optimiser.

    Row by row, since `ScatterMul` is the one multiplication that MindSpore 2.10 does in place on a CPU in graph
    mode: one operator a weight. To assign the product takes four, two of them copies of the weight, one of which
    falls to the forward pass.

    Args:
        weights, masks (ParameterTuple): of the same shapes; masks hold 0 and 1.
    """

    def __init__(self, weights, masks):
        super().__init__(auto_prefix=False)
        self.weights = weights
        self.masks = masks
        self.rows = tuple(ms.Tensor(np.arange(len(weight), dtype=np.int32)) for weight in weights)
        self.multiply_rows = ops.ScatterMul()

    def construct(self):
        for index in range(len(self.weights)):
            self.multiply_rows(self.weights[index], self.rows[index], self.masks[index])
