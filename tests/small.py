"""A network for tests that would do with any: a convolution and three dense layers under LeNet5's names."""

import mindspore as ms
import numpy as np
from mindspore import nn


class Small(nn.Cell):
    """From images [N, 1, 32, 32] to logits [N, 10]; its training is compiled in a third of LeNet5's time."""

    def __init__(self, seed=None):
        super().__init__()
        self.conv1, self.relu = nn.Conv2d(1, 4, 5, stride=4, pad_mode="valid", has_bias=False), nn.ReLU()
        self.fc1, self.fc2, self.fc3 = nn.Dense(196, 20), nn.Dense(20, 16), nn.Dense(16, 10)
        rng = np.random.default_rng(seed)
        for parameter in self.trainable_params():
            parameter.set_data(ms.Tensor(rng.normal(0, 0.1, parameter.shape).astype(np.float32)))

    def construct(self, x):
        x = self.relu(self.conv1(x))
        x = self.relu(self.fc1(x.reshape(x.shape[0], -1)))
        return self.fc3(self.relu(self.fc2(x)))
