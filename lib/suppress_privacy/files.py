"""Files that are whole or absent: whoever opens a path finds the old file or the whole new one."""

import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def atomically(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A temporary name beside `path`, for a file or a folder; renamed to it at the end, removed if anything fails.

        with atomically("folder/file.json") as part:
            part.write_text(content)

    The folder is made if need be. What a killed process leaves is called `.part-...`.
    """
    path = Path(path)
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
    """SHA-256 of a file's bytes."""
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()
