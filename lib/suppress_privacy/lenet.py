"""LeNet5 as the tutorial trains it, with its features at any depth."""

import inspect
from typing import Annotated, Any, Literal, get_args

import numpy as np
from mindspore import Tensor, nn, ops
from mindspore.common.initializer import Initializer, TruncatedNormal
from scipy.stats import truncnorm

from suppress_privacy.checks import Seed, Whole, checked
from suppress_privacy.cut import cut
from suppress_privacy.runtime import cure_pynative, generator

WEIGHT_SIGMA = 0.05  #: the tutorial's initialiser, for weights and biases alike
Depth = Literal["conv1", "conv2", "fc1", "fc2", "logits"]
DEPTHS = get_args(Depth)


def conv(
    in_channels: int,
    out_channels: int,
    kernel_size: int,
    stride: int = 1,
    padding: int = 0,
    *,
    start: Initializer | str | None = None,
) -> nn.Conv2d:
    """The tutorial's convolution: valid, without bias, its weights from its initialiser if `start` names no other.

    Examples:
        >>> conv(1, 6, 5)(Tensor(images)).shape
        (4, 6, 28, 28)
    """
    start = start or TruncatedNormal(WEIGHT_SIGMA)
    shape = (in_channels, out_channels, kernel_size, stride, "valid", padding)
    return nn.Conv2d(*shape, has_bias=False, weight_init=start)


def fc_with_initialize(input_channels: int, out_channels: int, *, start: Initializer | str | None = None) -> nn.Dense:
    """The tutorial's dense layer, its weights and biases from the same.

    Examples:
        >>> fc_with_initialize(120, 84)(Tensor(view.features)).shape
        (4, 84)
    """
    start = start or TruncatedNormal(WEIGHT_SIGMA)
    return nn.Dense(input_channels, out_channels, start, start)


Activation = Literal["relu", "tanh"]


class LeNet5(nn.Cell):
    """LeNet5 for 1x32x32 images in [0, 1] (LeCun et al. 1998, in the tutorial's variant).

    Two valid 5x5 convolutions without bias (1 -> 6 -> 16 channels), each followed by ReLU and 2x2
    max pooling, then 400 -> 120 -> 84 -> 10 with biases and ReLU between.

    Args:
        seed: seeds the initial weights, TruncatedNormal(0.05) cut at two sigma. None draws from
            MindSpore's global seed, as the tutorial's class does.
        units: of fc1, 120 in the tutorial.
        activation: in place of ReLU, which the tutorial has; bounded, it suits training with differential privacy
            (Papernot et al. 2021).

    Inputs:
        x: images, float32 [N, 1, 32, 32].

    Outputs:
        logits, float32 [N, 10].

    Examples:
        >>> LeNet5(seed=0)(Tensor(images)).shape
        (4, 10)
    """

    @checked
    def __init__(self, seed: Seed | None = None, *, units: Whole = 120, activation: Activation = "relu") -> None:
        super().__init__()
        start = None if seed is None else "zeros"  # drawn below
        self.conv1, self.conv2 = conv(1, 6, 5, start=start), conv(6, 16, 5, start=start)
        shapes = ((400, units), (units, 84), (84, 10))
        self.fc1, self.fc2, self.fc3 = (fc_with_initialize(*shape, start=start) for shape in shapes)
        if seed is not None:
            rng = generator(seed, "initialisation")
            for parameter in self.trainable_params():
                drawn = truncnorm.rvs(-2, 2, scale=WEIGHT_SIGMA, size=parameter.shape, random_state=rng)
                parameter.set_data(Tensor(drawn.astype(np.float32)))
        self.activation, self.flatten = nn.ReLU() if activation == "relu" else nn.Tanh(), nn.Flatten()
        self.pooled_conv1 = PooledConvolution(self.conv1.out_channels, size=14)
        # The same numbers and gradients as a 2x2 max pool, at a third of its time on a CPU; untried on Ascend.
        self.pool1, self.pool2 = nn.AdaptiveMaxPool2d((14, 14)), nn.AdaptiveMaxPool2d((5, 5))
        # In the order of `DEPTHS`: layer, activation (its features end here), and what leads to the next layer.
        self.stages = (
            (self.conv1, self.activation, (self.pool1,)),  # [N, 1, 32, 32] -> [N, 6, 28, 28] -> [N, 6, 14, 14]
            (self.conv2, self.activation, (self.pool2, self.flatten)),  # -> [N, 16, 10, 10] -> [N, 400]
            (self.fc1, self.activation, ()),  # -> [N, 120]
            (self.fc2, self.activation, ()),  # -> [N, 84]
            (self.fc3, nn.Identity(), ()),  # -> [N, 10]
        )

    def features(self, x: Tensor, depth: str) -> Tensor:
        """What the network computes up to `depth`, one of `DEPTHS`: after that layer's activation."""
        if depth == "conv1":
            return self.activation(self.conv1(x))
        last = DEPTHS.index(depth)
        x = self.activation(self.pooled_conv1(x, self.conv1.weight))
        layer, activation, _ = self.stages[last]
        return activation(layer(through(x, self.stages[1:last])))

    def rest(self, x: Tensor, depth: str) -> Tensor:
        """What the network makes of its features at `depth`: logits."""
        first = DEPTHS.index(depth)
        _, _, onward = self.stages[first]
        for operation in onward:
            x = operation(x)
        return through(x, self.stages[first + 1 :])

    def construct(self, x: Tensor) -> Tensor:
        return self.features(x, "logits")


def through(x: Tensor, stages: tuple[Any, ...]) -> Tensor:
    """What stages of a network make of x, the way to the layer after them included."""
    for layer, activation, onward in stages:
        x = layer(x)
        for operation in onward:
            x = operation(x)
        # After the pool: as it never falls, the same numbers and gradients as before it, on a quarter of the values.
        x = activation(x)
    return x


class PooledConvolution(nn.Cell):
    """A valid 5x5 convolution of one channel and the 2x2 max pool after it, as one convolution of stride 2::

        max_p (w * x)(2i + p) = max_p (w_p * x)(2i),   p in {0, 1}^2,   w_p(k) = w(k - p)

    Each place p in a pool's window has a 6x6 kernel of its own, the 5x5 one moved there. The numbers are those of
    convolution and pool, and gradients are theirs up to the order of sums; on a CPU, where few channels make
    narrow matrices, the convolution's gradient takes a third of the time.

    Args:
        channels: O, that the convolution makes.
        size: S, rows and columns after the pool.

    Inputs:
        x, float32 [N, 1, 2S + 4, 2S + 4]; weight, float32 [O, 1, 5, 5].

    Outputs:
        float32 [N, O, S, S].
    """

    def __init__(self, channels: int, size: int) -> None:
        super().__init__()
        self.channels, self.size = channels, size
        moved = np.zeros((5, 5, 2, 2, 6, 6), np.float32)
        for row, column, down, right in np.ndindex(5, 5, 2, 2):
            moved[row, column, down, right, row + down, column + right] = 1
        self.moved = Tensor(moved.reshape(25, 4 * 36))
        self.convolution = ops.Conv2D(4 * channels, 6, stride=2, pad_mode="valid")
        self.pool = nn.AdaptiveMaxPool2d((1, size * size))

    def construct(self, x: Tensor, weight: Tensor) -> Tensor:
        kernels = ops.matmul(weight.reshape(self.channels, 25), self.moved)  # [O, 1, 5, 5] -> [O, 4 * 36]
        places = self.convolution(x, kernels.reshape(4 * self.channels, 1, 6, 6))  # -> [N, O * 4, S, S]
        pooled = self.pool(places.reshape(-1, self.channels, 4, self.size * self.size))  # -> [N, O, 1, S * S]
        return pooled.reshape(-1, self.channels, self.size, self.size)


class Features(nn.Cell):
    """A trained network seen from outside up to one depth; it shares the network's weights.

    Args:
        network: any; or one that has a method `features(x, depth)`, as `LeNet5` does.
        depth: a layer's name, see `cut`; with such a method, one of `DEPTHS`.

    Raises:
        TypeError, ValueError: no network, unknown depth, or one that the network cannot be cut at.

    Examples:
        >>> seen = Features(network, "conv1")(Tensor(images))
        >>> seen.shape
        (4, 6, 28, 28)
    """

    @checked
    def __init__(self, network: Annotated[nn.Cell, "a nn.Cell"], depth: str) -> None:
        super().__init__(auto_prefix=False)
        self.network, self.depth = _in_two(network, depth), depth

    def construct(self, x: Tensor) -> Tensor:
        return self.network.features(x, self.depth)


class Rest(nn.Cell):
    """The other half of a network split at one depth: from its features to logits; it shares the weights.

    Args:
        network: any; or one that has a method `rest(x, depth)`, as `LeNet5` does.
        depth: as of `Features`.

    Raises:
        ValueError: as `Features`.

    Examples:
        >>> bool(np.allclose(Rest(network, "conv1")(seen).asnumpy(), network(Tensor(images)).asnumpy(), atol=1e-5))
        True
    """

    def __init__(self, network: nn.Cell, depth: str) -> None:
        super().__init__(auto_prefix=False)
        self.network, self.depth = _in_two(network, depth), depth

    def construct(self, x: Tensor) -> Tensor:
        return self.network.rest(x, self.depth)


def _in_two(network: nn.Cell, depth: str) -> nn.Cell:
    """The network as one that has both halves as methods."""
    if not all(map(_is_half, (getattr(network, half, None) for half in ("features", "rest")))):
        return cut(network, depth)
    if depth not in DEPTHS:
        raise ValueError(f"depth is {depth!r}; allowed are {', '.join(DEPTHS)}: name one of these layers.")
    return network


def _is_half(method: Any) -> bool:
    """Whether it is a method of x and depth: a layer may have that name, or a method that is something else."""
    return inspect.ismethod(method) and [*inspect.signature(method).parameters] == ["x", "depth"]


def require_whole(network: nn.Cell, depth: str, images: np.ndarray) -> None:
    """Check, on some images, that both halves together are the network.

    Raises:
        ValueError: they are not, or cannot be run.

    Examples:
        >>> require_whole(network, "fc1", images)  # the halves are the network
    """
    features, rest = Features(network, depth), Rest(network, depth)
    for given in (images, images[:1]):  # code may look at how many there are
        expected = predict(network, given)
        try:
            found = predict(rest, predict(features, given))
        except Exception as error:  # of any kind: it is the user's code, taken apart
            raise ValueError(
                f"depth is {depth!r}; the halves of the network cannot be run: name another layer."
            ) from error
        if found.shape != expected.shape or not np.allclose(
            found, expected, rtol=1e-3, atol=1e-4 * np.abs(expected).max()
        ):
            raise ValueError(
                f"depth is {depth!r}; both halves together give other outputs than the network: name another."
            )


@checked
def predict(network: nn.Cell, images: np.ndarray, batch_size: Whole = 1000) -> np.ndarray:
    """Outputs of any network for many images, batch by batch.

    Args:
        network: maps [N, ...] to [N, ...].
        images: float32 [N, ...].
        batch_size: images at a time; the last batch may be smaller.

    Returns:
        float32, one output a row.

    Examples:
        >>> predict(network, data.test_images, batch_size=500).shape
        (1000, 10)
    """
    cure_pynative()
    network.set_train(False)
    starts = range(0, len(images), batch_size)
    return np.concatenate([network(Tensor(images[i : i + batch_size])).asnumpy() for i in starts])
