"""Decoders: maps from features to images, learned from the attacker's own images run through the network.

They suit themselves to the network under attack, whatever its defence does to the features
(Dosovitskiy & Brox 2016; the closed form is ridge regression, Hoerl & Kennard 1970).
"""

from dataclasses import dataclass

import numpy as np
from mindspore import Tensor, nn
from scipy.linalg import LinAlgError, solve
from tqdm import tqdm

from suppress_privacy.attacks.registry import attack
from suppress_privacy.attacks.views import FeatureView, Reconstruction
from suppress_privacy.checks import Positive, Seed, Whole
from suppress_privacy.lenet import predict
from suppress_privacy.runtime import generator

PENALTIES = (1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1)  # of which the held-out images choose
PREDICTED = 250  # images decoded at a time


@dataclass(frozen=True)
class Ridge:
    """An affine map from standardised features to images, clipped to the pixels' range."""

    mean: np.ndarray  # [F], of the features it was fitted on
    scale: float  # their standard deviation around it, all features together
    weights: np.ndarray  # [F, P]
    offset: np.ndarray  # [P], the mean image
    shape: tuple[int, ...]  # (C, H, W)
    penalty: float
    held_out_mse: dict[float, float]  # by penalty

    def __call__(self, features: np.ndarray) -> np.ndarray:
        """Images [N, C, H, W] for features [N, ...]."""
        flat = (features.reshape(len(features), -1) - self.mean) / self.scale
        images = flat @ self.weights + self.offset
        return np.clip(images, 0, 1).astype(np.float32).reshape(-1, *self.shape)


def fitted_ridge(view: FeatureView, *, seed: int, shuffle: np.random.Generator | None = None) -> Ridge:
    """Fit a ridge regression from features to pixels; its penalty is the best on the held-out images.

        W = argmin |Z W - (X - mean X)|^2 + M penalty |W|^2,    Z: standardised features, M images

    Args:
        view: its features of private images are not looked at.
        seed: draws noise like that on the private features, if there is any.
        shuffle: draws an order in which images and features are paired
            wrongly, so that nothing but the mean image can be learned.
    """
    images = view.learning()
    noise = generator(seed, "attacker's noise")
    features = _flat(view.as_seen(images, noise)).astype(np.float64)
    pixels = _flat(images).astype(np.float64)
    if shuffle is not None:
        pixels = pixels[shuffle.permutation(len(pixels))]
    mean, offset = features.mean(0), pixels.mean(0)
    scale = features.std() or 1.0  # a dead layer has no spread
    centred = (features - mean) / scale  # [M, F]
    gram, cross = centred.T @ centred, centred.T @ (pixels - offset)  # [F, F], [F, P]
    held_out = view.held_out()
    held_out_features = view.as_seen(held_out, noise)
    fitted: list[Ridge] = []
    losses: dict[float, float] = {}
    for penalty in PENALTIES:
        try:
            weights = solve(gram + len(images) * penalty * np.eye(len(gram)), cross, assume_a="pos")
        except LinAlgError:
            continue  # too small a penalty for these features' rounding
        fitted.append(Ridge(mean, scale, weights, offset, images.shape[1:], penalty, losses))
        losses[penalty] = float(((fitted[-1](held_out_features) - held_out) ** 2).mean())
    return min(reversed(fitted), key=lambda one: losses[one.penalty])  # of equals the largest penalty


@attack("ridge", sees="features")
def ridge(view: FeatureView, *, seed: Seed, shuffled: bool) -> Reconstruction:
    """Ridge regression.

    Args:
        view: what the attacker has.
        seed: draws the order of the shuffled control, and noise where the features have any.
        shuffled: True pairs images and features wrongly, a control that must not do better than the
            mean image.
    """
    decoder = fitted_ridge(view, seed=seed, shuffle=generator(seed, "shuffled features") if shuffled else None)
    chosen = {"penalty": decoder.penalty, "held_out_mse": {str(key): mse for key, mse in decoder.held_out_mse.items()}}
    return Reconstruction(decoder(view.features), chosen=chosen)


class DecoderNetwork(nn.Cell):
    """Features to images: one dense layer, then two transposed convolutions.

    Args:
        count: features of one image.
        shape: channels, height and width of one image; sides divisible by 4.
        rng: draws the initial weights (He et al. 2015).

    Inputs:
        x: standardised features, [N, count].

    Outputs:
        images in (0, 1), [N, C, H, W].
    """

    CHANNELS = (32, 16)

    def __init__(self, count: int, shape: tuple[int, ...], rng: np.random.Generator) -> None:
        super().__init__()
        channels, height, width = shape
        first, second = self.CHANNELS
        self.start = (-1, first, height // 4, width // 4)

        def drawn(*size: int, fan_in: int) -> Tensor:
            return Tensor((rng.standard_normal(size) * np.sqrt(2 / fan_in)).astype(np.float32))

        def upsampling(wide: int, slim: int) -> nn.Cell:
            weight = drawn(wide, slim, 4, 4, fan_in=4 * wide)
            return nn.Conv2dTranspose(wide, slim, 4, 2, "pad", 1, has_bias=True, weight_init=weight, bias_init="zeros")

        units = first * (height // 4) * (width // 4)
        self.dense = nn.Dense(count, units, drawn(units, count, fan_in=count), "zeros")
        self.up1 = upsampling(first, second)
        self.up2 = upsampling(second, channels)
        self.relu, self.sigmoid = nn.ReLU(), nn.Sigmoid()

    def construct(self, x: Tensor) -> Tensor:
        x = self.relu(self.dense(x)).reshape(self.start)  # [N, F] -> [N, 32, H/4, W/4]
        return self.sigmoid(self.up2(self.relu(self.up1(x))))  # -> [N, 16, H/2, W/2] -> [N, C, H, W]


@attack("decoder", sees="features")
def convolutional(view: FeatureView, *, seed: Seed, epochs: Whole, batch_size: Whole, lr: Positive) -> Reconstruction:
    """A small transposed-convolution network, trained by Adam on squared error with cosine decay.

    Args:
        view: what the attacker has.
        seed: draws initial weights and the order of the images.
        epochs, batch_size: the training's length.
        lr: Adam's first rate.

    Raises:
        ValueError: there are fewer images to learn from than a step takes.
    """
    images = view.learning()
    noise = generator(seed, "attacker's noise")
    features = _flat(view.as_seen(images, noise))
    mean, scale = features.mean(0), features.std() or 1.0

    def standardised(values: np.ndarray) -> np.ndarray:
        return ((_flat(values) - mean) / scale).astype(np.float32)

    features = standardised(features)
    rng = generator(seed, "decoder")
    decoder = DecoderNetwork(features.shape[1], images.shape[1:], rng)
    steps = len(images) // batch_size
    if steps == 0:
        raise ValueError(f"batch_size is {batch_size}; there are {len(images)} images to learn from: take fewer.")
    rates = nn.cosine_decay_lr(0.0, lr, epochs * steps, steps, epochs)
    loss = nn.WithLossCell(decoder, nn.MSELoss())
    step = nn.TrainOneStepCell(loss, nn.Adam(decoder.trainable_params(), rates)).set_train()
    for _ in tqdm(range(epochs), unit="epoch", disable=None):
        if view.release is not None:  # another draw each time, or the decoder learns this one
            features = standardised(view.as_seen(images, noise))
        for batch in rng.permutation(len(images))[: steps * batch_size].reshape(steps, batch_size):
            step(Tensor(features[batch]), Tensor(images[batch]))
    held_out = view.held_out()
    found = predict(decoder, standardised(view.as_seen(held_out, noise)), PREDICTED)
    chosen = {"held_out_mse": float(((found - held_out) ** 2).mean())}
    return Reconstruction(predict(decoder, standardised(view.features), PREDICTED), chosen=chosen)


def _flat(values: np.ndarray) -> np.ndarray:
    return values.reshape(len(values), -1)
