"""Whether a network can learn from data: asked before a training begins, and said in one sentence if not."""

from dataclasses import replace

import numpy as np
from mindspore import Tensor, nn

from suppress_privacy.checks import check, described
from suppress_privacy.mnist import Mnist
from suppress_privacy.runtime import operator_by_operator


def fitted(network: nn.Cell, data: Mnist) -> Mnist:
    """Data as training takes it, images float32 and labels int32, once a network can learn from it.

    Raises:
        TypeError, ValueError: images that are no floats in [0, 1], or labels that are not one whole number each; or
            the network does not take such images, or tells fewer classes apart.

    Examples:
        >>> fitted(network, data).train_images.shape
        (4000, 1, 32, 32)
        >>> fitted(nn.SequentialCell(nn.Flatten(), nn.Dense(1024, 3)), data)
        Traceback (most recent call last):
        ValueError: train_labels are from 0 to 9; network tells 3 classes apart, numbered from 0: renumber them.
    """
    train, train_labels = _as_trained("train", data.train_images, data.train_labels)
    test, test_labels = _as_trained("test", data.test_images, data.test_labels)
    if train.shape[1:] != test.shape[1:]:
        shapes = f"{train.shape[1:]}, test_images of {test.shape[1:]}"
        raise ValueError(f"train_images are of shape {shapes}: give both the same.")
    data = replace(data, train_images=train, train_labels=train_labels, test_images=test, test_labels=test_labels)
    _require_fit(network, data)
    return data


def _as_trained(part: str, images: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    check(f"{part}_images", images, np.ndarray)
    check(f"{part}_labels", labels, np.ndarray)
    if labels.ndim != 1 or labels.dtype.kind not in "iu" or not 0 < len(labels) == len(images):
        given = f"{part}_labels is {described(labels)}, {part}_images {described(images)}"
        raise ValueError(f"{given}: give each image the number of its class, one whole number.")
    if images.dtype.kind != "f":
        raise ValueError(
            f"{part}_images is {described(images)}; pixels must be floats from 0 to 1: divide by the largest."
        )
    low, high = images.min(), images.max()
    if not (low >= 0 and high <= 1):
        bad = np.flatnonzero(~np.isfinite(images.reshape(len(images), -1)).all(1))
        infinite = f"has values that are not finite, first in image {bad[0]}" if len(bad) else ""
        found = infinite or f"is from {low:g} to {high:g}"
        raise ValueError(f"{part}_images {found}; pixels must be floats from 0 to 1: correct or rescale them.")
    return images.astype(np.float32, copy=False), labels.astype(np.int32, copy=False)


def _require_fit(network: nn.Cell, data: Mnist) -> None:
    """Raise unless a network takes the images, and tells as many classes apart as the labels name.

    Raises:
        ValueError: it does not.
    """
    name, shape = type(network).__name__, data.test_images.shape[1:]
    network.set_train(False)
    try:
        with operator_by_operator():
            logits = network(Tensor(data.test_images[:1])).asnumpy()
    except Exception as error:  # of whatever kind MindSpore has for it
        said = " ".join(str(error).split("\n\n")[0].split())[:200].removesuffix(".")
        raise ValueError(
            f"network is {name}, which does not take images of shape {shape} ({said}): give it images of the shape "
            "it is made for; suppress_privacy.mnist.resize makes 28x28 pixels [1, 32, 32]."
        ) from None
    if logits.ndim != 2:
        raise ValueError(f"network is {name}, whose outputs have shape {logits.shape}; they must be [N, classes].")
    for part, labels in (("train", data.train_labels), ("test", data.test_labels)):
        low, high = labels.min(), labels.max()
        if low < 0 or high >= logits.shape[1]:
            raise ValueError(
                f"{part}_labels are from {low} to {high}; network tells {logits.shape[1]} classes apart, numbered from "
                "0: renumber them."
            )
