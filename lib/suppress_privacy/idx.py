"""IDX files, as MNIST comes in: found under the names that people have them by, unzipped within bounds, and checked."""

import gzip
import io
import math
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

LARGEST = 1 << 26  #: bytes unzipped; MNIST's largest file has 47 million
ZIPPED = b"\x1f\x8b"
# What is often found under the name of an IDX file, by how it begins.
OTHERS = {
    b"<": "a web page",
    b"PK": "a zip archive",
    b"version https://git-lfs": "a Git LFS pointer",
    ZIPPED: "gzipped",
}


class DataError(RuntimeError):
    """A data file that is missing, damaged or not MNIST; the message says which, and what to do."""


def plain(name: str) -> str:
    """The published spelling of a file's name: with dashes, and without what compression adds."""
    return name.lower().removesuffix(".gz").replace(".", "-").replace("_", "-")


def files_of(folder: Path) -> list[Path]:
    """The files in a folder, by name; none where there is no folder.

    Raises:
        DataError: the folder cannot be read, or is a file.
    """
    try:
        return sorted(path for path in folder.iterdir() if path.is_file())
    except FileNotFoundError:
        return []
    except OSError as error:
        raise DataError(f"{folder} cannot be read ({error.strerror}): name a folder that can.") from error


def find(folders: Sequence[Path], name: str) -> Path | None:
    """The first file of that name, spelled in any of the ways there are; as it is published if there are several."""
    found = [path for folder in folders for path in files_of(folder) if plain(path.name) == name]
    return next((path for path in found if path.name == name), next(iter(found), None))


def further_down(folder: Path, name: str) -> Path | None:
    """A file of that name in a folder's folders, or in theirs."""
    deeper = (path for pattern in ("*/*", "*/*/*") for path in sorted(folder.glob(pattern)))
    return next((path for path in deeper if plain(path.name) == name and path.is_file()), None)


def read(path: Path) -> bytes:
    """What is in a file, unzipped where it is zipped, whatever its name says.

    Raises:
        DataError: it cannot be read or is cut short, or holds more than any of MNIST's files.
    """
    content = as_it_is(path)
    try:
        content = gzip.GzipFile(fileobj=io.BytesIO(content)).read(LARGEST + 1) if is_zipped(content) else content
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path} cannot be read ({error}): replace it with a whole copy.") from error
    if len(content) > LARGEST:
        raise DataError(f"{path} holds more than {LARGEST:,} bytes, more than any file of MNIST: replace it.")
    return content


def as_it_is(path: Path) -> bytes:
    """The bytes of a file.

    Raises:
        DataError: it cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}): let it be read, or name another.") from error


def is_zipped(content: bytes) -> bool:
    """Whether bytes are those of a gzipped file, by how they begin."""
    return content.startswith(ZIPPED)


def looks_like(content: bytes) -> str:
    """What a file seems to be that is no IDX file, in words; "" where nothing is known."""
    start = content[:100].lstrip()
    return next((what for sign, what in OTHERS.items() if start.startswith(sign)), "" if content else "empty")


def parsed(content: bytes, path: Path, dimensions: int) -> np.ndarray:
    """The array in an IDX file of bytes: uint8, with as many dimensions.

    Args:
        content: of the file, not zipped.
        path: the file, for the sentence.

    Raises:
        DataError: it is something else, or not as long as it says.
    """
    header = 4 + 4 * dimensions
    begins = content[:4] == bytes([0, 0, 8, dimensions]) and len(content) >= header
    shape = struct.unpack(f">{dimensions}I", content[4:header]) if begins else ()
    if not begins or math.prod(shape) != len(content) - header:
        length = f"{len(content) - header} bytes of data where it says {math.prod(shape)}" if begins else ""
        what = looks_like(content) or length
        said = f" ({what})" if what else ""
        raise DataError(f"{path} is no whole IDX file of {dimensions} dimensions{said}: replace it with MNIST's.")
    return np.frombuffer(content, np.uint8, offset=header).reshape(shape)


def pair(folder: Path, part: str) -> tuple[np.ndarray, np.ndarray]:
    """The images and labels of one part of a data set, as MindSpore's MnistDataset will find them in a folder.

    Args:
        folder, part: as of `any_pair`.

    Returns:
        uint8 [N, 28, 28] and [N].

    Raises:
        DataError: as `any_pair`; or the images are of another size, or labels not of ten classes.
    """
    images, labels = any_pair(folder, part)
    if images.shape[1:] != (28, 28):
        rows, columns = images.shape[1:]
        raise DataError(f"{folder} has {part} images of {rows}x{columns} pixels; MNIST's are 28x28: replace them.")
    if len(labels) and labels.max() > 9:
        low, high = labels.min(), labels.max()
        raise DataError(
            f"{folder} has {part} labels from {low} to {high}; there are ten classes, from 0: renumber them."
        )
    return images, labels


def any_pair(folder: Path, part: str) -> tuple[np.ndarray, np.ndarray]:
    """The images and labels of one part of a data set in MNIST's format, of any size and classes.

    Args:
        folder: where its files are, uncompressed and under MNIST's names.
        part: "train" or "t10k".

    Returns:
        uint8 [N, H, W] and [N].

    Raises:
        DataError: a file is missing, has another name or is something else, or one stands there that would be taken
            for one of the two; or there are more labels than images, or fewer.
    """
    arrays = []
    for name, dimensions in ((f"{part}-images-idx3-ubyte", 3), (f"{part}-labels-idx1-ubyte", 1)):
        path = folder / name
        found = [each for each in files_of(folder) if plain(each.name) == name or name in each.name]
        if path not in found:
            cure = f"; there is {found[0].name}: rename it, and unzip it if it is zipped" if found else ": put it there"
            raise DataError(f"{folder} has no {name}{cure}.")
        if len(found) > 1:
            other = next(each for each in found if each != path)
            raise DataError(f"{other} would be read as data beside {name}: move it to another folder.")
        content = as_it_is(path)
        if is_zipped(content):
            raise DataError(f"{path} is gzipped: unzip it (mv {name} {name}.gz; gunzip {name}.gz).")
        arrays.append(parsed(content, path, dimensions))
    images, labels = arrays
    if len(labels) != len(images):
        raise DataError(f"{folder} has {len(images)} {part} images and {len(labels)} labels: replace the wrong file.")
    return images, labels
