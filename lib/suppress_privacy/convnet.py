"""A deeper convolutional network with batch normalisation, for 32x32 images: the defence is not LeNet5's alone."""

import numpy as np
from mindspore import Tensor, nn

from suppress_privacy.checks import Seed, Whole, checked
from suppress_privacy.runtime import generator


class ConvNet(nn.Cell):
    """Six 3x3 convolutions with batch norm and ReLU in three stages, then two dense layers (VGG's pattern).

    Args:
        width: channels of the first stage; the later ones have twice and four times as many.
        num_classes: outputs.
        channels: of the images.
        seed: seeds the initial weights, normal as by He et al. 2015; None draws them as MindSpore does, from
            its global seed.

    Inputs:
        x: images, float32 [N, channels, 32, 32].

    Outputs:
        Logits, float32 [N, num_classes].

    Raises:
        TypeError, ValueError: an argument of the wrong type or out of its range.

    Examples:
        >>> colour = ConvNet(width=4, channels=3, seed=0)
        >>> predict(colour, np.zeros((2, 3, 32, 32), np.float32)).shape
        (2, 10)
    """

    @checked
    def __init__(
        self, width: Whole = 16, num_classes: Whole = 10, *, channels: Whole = 3, seed: Seed | None = None
    ) -> None:
        super().__init__()
        cells = []
        for stage, side in ((width, 16), (2 * width, 8), (4 * width, 4)):
            for _ in range(2):
                cells += [nn.Conv2d(channels, stage, 3, has_bias=False), nn.BatchNorm2d(stage), nn.ReLU()]
                channels = stage
            cells.append(nn.AdaptiveMaxPool2d((side, side)))
        self.features = nn.SequentialCell(cells)
        self.flatten = nn.Flatten()
        # Biases would be drawn from MindSpore's global seed.
        self.fc1 = nn.Dense(channels * 16, 128, bias_init="zeros", activation="relu")
        self.fc2 = nn.Dense(128, num_classes, bias_init="zeros")
        if seed is not None:
            rng = generator(seed, "initialisation")
            for parameter in self.trainable_params():
                if parameter.ndim > 1:
                    sigma = np.sqrt(2 / np.prod(parameter.shape[1:]))
                    parameter.set_data(Tensor((sigma * rng.standard_normal(parameter.shape)).astype(np.float32)))

    def construct(self, x: Tensor) -> Tensor:
        x = self.flatten(self.features(x))  # [N, C, 32, 32] -> [N, 64 width]
        return self.fc2(self.fc1(x))
