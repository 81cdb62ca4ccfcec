"""Files that are whole or absent: whoever opens a path finds the old file or the whole new one."""

import hashlib
import os
import shutil
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

LARGEST = 1 << 30  #: bytes that the arrays of one file may take


@contextmanager
def atomically(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A temporary name beside `path`, for a file or a folder; renamed to it at the end, removed if anything fails::

        with atomically("folder/file.json") as part:
            part.write_text(content)

    The folder is made if need be; a link to a file stays one. What a killed process leaves is called `.part-...`.

    Examples:
        >>> with atomically("answer.txt") as part:
        ...     _ = part.write_text("whole")
        >>> Path("answer.txt").read_text()
        'whole'
    """
    path = Path(os.path.realpath(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".part-{os.getpid()}-{path.name}")
    _discard(part)  # of a process that was killed and had this one's number, as in a container each has
    try:
        yield part
        for written in (part, *part.rglob("*")):
            if written.is_file():
                _to_disk(written)  # or a power cut could leave the name, and nothing in it
        os.replace(part, path)
    finally:
        _discard(part)


def _discard(part: Path) -> None:
    if part.is_dir():
        shutil.rmtree(part)
    part.unlink(missing_ok=True)


def _to_disk(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sha256_of(path: str | os.PathLike[str]) -> str:
    """SHA-256 of a file's bytes.

    Examples:
        >>> sha256_of("answer.txt")[:12]
        '5d5766cf2d78'
    """
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def read_arrays(path: str | os.PathLike[str], at_most: int = LARGEST, only: str = "") -> dict[str, np.ndarray]:
    """The arrays of an .npz file by name, whoever wrote it: nothing in it is executed, nor unpacked beyond a limit.

    Args:
        path: what `numpy.savez` wrote.
        at_most: bytes that the arrays may take together.
        only: the name of the one array to read; empty: all of them.

    Raises:
        ValueError: it is missing, damaged or something else, has objects in it, or would take more.

    Examples:
        >>> np.savez("arrays.npz", images=images)
        >>> read_arrays("arrays.npz")["images"].shape
        (4, 1, 32, 32)
    """
    try:
        with zipfile.ZipFile(path) as archive:
            entries = [archive.getinfo(f"{only}.npy")] if only else archive.infolist()
            size = sum(entry.file_size for entry in entries)
            if size > at_most:
                raise ValueError(f"it would take {size:,} bytes, more than {at_most:,}")
            arrays = {}
            for entry in entries:
                with archive.open(entry) as file:
                    array = np.lib.format.read_array(file, allow_pickle=False)
                if array.size > array.nbytes:
                    raise ValueError(f"{entry.filename} has {array.size:,} values of no bytes")
                arrays[entry.filename.removesuffix(".npy")] = array
            return arrays
    except Exception as error:  # of whatever kind: these bytes may be anything
        raise ValueError(f"{path} cannot be read as arrays ({error}).") from error
