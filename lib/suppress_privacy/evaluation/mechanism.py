"""Why an attack succeeds or fails: how much of an image is left in a network's features."""

import numpy as np
from mindspore import Tensor, nn, ops


class _Pullback(nn.Cell):
    """Gradient of a weighted sum of each image's features with respect to that image."""

    def __init__(self, network: nn.Cell) -> None:
        super().__init__(auto_prefix=False)
        self.network = network
        self.gradient = ops.GradOperation(sens_param=True)

    def construct(self, images: Tensor, weights: Tensor) -> Tensor:
        return self.gradient(self.network)(images, weights)


def jacobians(network: nn.Cell, images: np.ndarray) -> np.ndarray:
    """d features / d image of each image, float64 [N, F, P], one row of all of them a backward pass.

    Args:
        network: from images [N, C, H, W] to features [N, F].
        images: float32 [N, C, H, W].

    Examples:
        >>> found = jacobians(Features(network, "logits"), images[:2])
        >>> found.shape
        (2, 10, 1024)
    """
    network.set_train(False)
    pullback = _Pullback(network)
    given = Tensor(images)
    count = network(given).shape[1]
    rows = []
    for unit in range(count):
        weights = np.zeros((len(images), count), np.float32)
        weights[:, unit] = 1
        rows.append(pullback(given, Tensor(weights)).asnumpy().reshape(len(images), -1))
    return np.stack(rows, axis=1).astype(np.float64)


def effective_rank(matrices: np.ndarray) -> np.ndarray:
    """exp of the entropy of the normalised singular values (Roy & Vetterli 2007), per matrix.

    Args:
        matrices: [N, F, P], finite.

    Returns:
        float64 [N], from 1 to min(F, P); 0 for a matrix of zeros.

    Examples:
        >>> effective_rank(np.eye(4)[None]).round(6).tolist()
        [4.0]
        >>> bool((effective_rank(found) <= 10).all())
        True
    """
    values = np.linalg.svd(matrices, compute_uv=False)  # [N, min(F, P)]
    total = values.sum(1, keepdims=True)
    shares = values / np.where(total > 0, total, 1)
    entropy = -(shares * np.log(np.where(shares > 0, shares, 1))).sum(1)
    return np.where(total[:, 0] > 0, np.exp(entropy), 0.0)


def dead_units(features: np.ndarray) -> float:
    """The share of units that are zero for every image, in [0, 1]; features [N, F].

    Examples:
        >>> dead_units(np.array([[0.0, 1.0], [0.0, 2.0]]))
        0.5
    """
    return float(np.mean(np.all(np.asarray(features) == 0, axis=0)))


def feature_norm(features: np.ndarray) -> np.ndarray:
    """Euclidean norm of the features, per image: float64 [N]; features [N, ...].

    Examples:
        >>> feature_norm(np.array([[3.0, 4.0]])).tolist()
        [5.0]
    """
    return np.linalg.norm(features.reshape(len(features), -1).astype(np.float64), axis=1)
