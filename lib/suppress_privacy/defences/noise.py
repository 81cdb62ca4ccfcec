"""Gaussian noise on the features that leave the user's device: the plainest defence against inversion.

    released = f(x) + sigma n,    n ~ N(0, 1) for every feature

Its strength is set by what it costs: sigma is the largest at which the accuracy is still a wanted one.
"""

import numpy as np

from suppress_privacy.lenet import Features, Rest, predict
from suppress_privacy.runtime import generator

HALVINGS = 30
LARGEST = 1e6  # noise beyond any feature's size


def accuracies_under(network, images, labels, *, depth, seed):
    """How accurate a network is whose features at `depth` are released with noise.

    Args:
        network (nn.Cell): with methods features(x, depth) and rest(x, depth).
        images (numpy.ndarray): float32 [N, C, H, W]; labels, int [N].
        depth (str): where the network is split.
        seed (int): draws the noise, the same for every sigma but for its scale.

    Returns:
        Callable: from sigma (float, in units of the features) to accuracy, in [0, 1].
    """
    rest = Rest(network, depth)
    features = predict(Features(network, depth), images)
    noise = generator(seed, "feature noise").standard_normal(features.shape, np.float32)

    def accuracy(sigma):
        return float(np.mean(predict(rest, features + np.float32(sigma) * noise).argmax(1) == labels))

    return accuracy


def sigma_at(wanted, accuracy):
    """The standard deviation at which the accuracy has come down to a wanted one, by bisection.

    Args:
        wanted (float): in [0, 1].
        accuracy (Callable): of `accuracies_under`.

    Returns:
        float; 0 where the network is no better than that without noise.

    Raises:
        ValueError: no noise brings the network down to that.
    """
    if accuracy(0.0) <= wanted:
        return 0.0
    low, high = 0.0, 1.0
    while accuracy(high) > wanted:
        low, high = high, 2 * high
        if high > LARGEST:
            raise ValueError(f"wanted is {wanted}, which noise does not bring the network down to: ask for more.")
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if accuracy(middle) > wanted else (low, middle)
    return high
