"""Images of one's own as data to train on: from .npz files, or from IDX files of any size."""

import hashlib
from pathlib import Path

import numpy as np

from suppress_privacy import idx
from suppress_privacy.checks import checked
from suppress_privacy.files import read_arrays
from suppress_privacy.idx import DataError
from suppress_privacy.mnist import Mnist, resize

CHANNELS = (1, 3)
MNIST_SIDE = 28  #: images of that many pixels are resized as MNIST's are


@checked
def load_own(train: str, test: str, name: str = "own") -> Mnist:
    """Data of one's own: images to train on, and images to test on.

    Args:
        train, test: each an .npz file with `images` and `labels`, or a folder with IDX files, of which that part's are
            read. Images are uint8, or numbers in [0, 1], as [N, H, W], [N, C, H, W] or [N, H, W, C] with one or three
            channels; labels are integers from 0.
        name: what the data are called.

    Returns:
        Mnist, images float32 [N, C, H, W] in [0, 1]; bytes of 28x28 grey pixels are resized to 32x32, as MNIST's are.

    Raises:
        DataError: a file is missing, damaged, or holds something else; or both do not go together.

    Examples:
        >>> np.savez("mine.npz", images=images, labels=np.arange(4))
        >>> np.savez("others.npz", images=known[:3], labels=np.arange(3))
        >>> load_own("mine.npz", "others.npz", "mine").classes
        4
    """
    parts = [_part(Path(place), part) for place, part in ((train, "train"), (test, "t10k"))]
    (images, labels), (test_images, test_labels) = parts
    if images.shape[1:] != test_images.shape[1:]:
        shapes = f"{images.shape[1:]} in {train} and {test_images.shape[1:]} in {test}"
        raise DataError(f"images are of the shapes {shapes}: give both the same.")
    if missing := sorted({*range(int(labels.max()) + 1)} - {*np.unique(labels).tolist()}):
        raise DataError(f"{train} has labels up to {labels.max()} and none {missing[0]}: number the classes from 0.")
    if unknown := sorted({*np.unique(test_labels).tolist()} - {*np.unique(labels).tolist()}):
        raise DataError(
            f"{test} has the label {unknown[0]}, of which {train} has no image: give both the same classes."
        )
    if images.shape == test_images.shape and np.array_equal(images, test_images):
        raise DataError(f"{train} and {test} have the same images: test on others.")
    sha256 = {
        place: hashlib.sha256(images.tobytes() + labels.tobytes()).hexdigest()
        for place, (images, labels) in zip(("train", "test"), parts, strict=True)
    }
    return Mnist(images, labels, test_images, test_labels, name, sha256)


def _part(place: Path, part: str) -> tuple[np.ndarray, np.ndarray]:
    """The images and labels of one file or folder."""
    if place.is_dir():
        images, labels = idx.any_pair(place, part)
    else:
        try:
            arrays = read_arrays(place)
        except ValueError as error:
            raise DataError(f"{str(error).removesuffix('.')}: give an .npz file of images and labels.") from error
        if missing := [name for name in ("images", "labels") if name not in arrays]:
            has = ", ".join(arrays) or "nothing"
            raise DataError(f"{place} has {has}, and no array {missing[0]}: save images and labels in it.")
        images, labels = arrays["images"], arrays["labels"]
    return _pixels(images, place), _numbers(labels, len(images), place)


def _pixels(images: np.ndarray, place: Path) -> np.ndarray:
    """Images as float32 [N, C, H, W] in [0, 1]."""
    if images.ndim == 3:
        images = images[:, None]
    elif images.ndim == 4 and images.shape[1] not in CHANNELS and images.shape[3] in CHANNELS:
        images = images.transpose(0, 3, 1, 2)
    if images.ndim != 4 or images.shape[1] not in CHANNELS or not len(images):
        raise DataError(
            f"images of {place} have the shape {images.shape}; it must be [N, H, W] or [N, C, H, W], C 1 or 3."
        )
    if images.max() == images.min():
        raise DataError(f"images of {place} are all of one value, {images.max()}: give others.")
    if images.dtype == np.uint8 and images.max() == 1:
        raise DataError(f"images of {place} are bytes of 0 and 1, where white is 255: multiply them, or give numbers.")
    if images.dtype == np.uint8:
        if images.shape[1:] == (1, MNIST_SIDE, MNIST_SIDE):
            return resize(images[:, 0])
        return np.ascontiguousarray(images, np.float32) / np.float32(255)
    if images.dtype.kind != "f" or not (np.isfinite(images).all() and images.min() >= 0 and images.max() <= 1):
        raise DataError(
            f"images of {place} are {images.dtype}; they must be uint8, or numbers from 0 to 1: scale them."
        )
    return np.ascontiguousarray(images, np.float32)


def _numbers(labels: np.ndarray, count: int, place: Path) -> np.ndarray:
    """Labels as int32 [N]."""
    labels = labels.ravel() if labels.ndim == 2 and labels.shape[1] == 1 else labels
    if labels.shape != (count,):
        raise DataError(f"{place} has {count} images and labels of the shape {labels.shape}: give one for each image.")
    if labels.dtype.kind not in "iu" or labels.min() < 0 or labels.max() >= count:
        raise DataError(f"labels of {place} are {labels.dtype} and not classes numbered from 0: number them so.")
    return labels.astype(np.int32)
