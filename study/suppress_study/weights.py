"""The last weights of trainings as they are published: each checkpoint byte for byte, packed as an .xz file.

    weights/train-baseline-seed0.ckpt.xz    in a folder of results; `xz -dk` unpacks it for MindSpore

runs.jsonl names the packed file by its SHA-256, and what is in it as the run's checkpoint.
"""

import hashlib
import lzma
import shutil
from collections.abc import Mapping
from pathlib import Path

from suppress_privacy.files import LARGEST, atomically, sha256_of

FOLDER = "weights"
# Of the four bytes of a float32 each is coded by those in its place: a tenth smaller so.
FORM = [{"id": lzma.FILTER_LZMA2, "preset": 6 | lzma.PRESET_EXTREME, "lc": 0, "lp": 2, "pb": 2}]
AT_MOST = 4_000_000  # bytes of a packed file, as a repository takes them; what is larger is not published
Checkpoint = Mapping[str, str]  # name and SHA-256, as a training's run has them


def packed(folder: Path, run: str) -> Path:
    """Where a training's weights are, if a folder of results has them published."""
    return folder / FOLDER / f"{run}.ckpt.xz"


def publish(checkpoints: Mapping[str, Checkpoint], folder: Path, place: Path) -> dict[str, str]:
    """Pack the last weights of trainings, those that are there and are what their runs recorded.

    Args:
        checkpoints: by name of the run.
        folder: of results, which has them as checkpoints of its own or as published before.
        place: folder that the packed files are written to.

    Returns:
        SHA-256 of each packed file by its name in `place`.
    """
    files = {}
    for run, checkpoint in checkpoints.items():
        before, own, path = packed(folder, run), folder / "checkpoints" / run / checkpoint["name"], packed(place, run)
        path.parent.mkdir(exist_ok=True)
        if own.is_file() and sha256_of(own) == checkpoint["sha256"]:
            path.write_bytes(lzma.compress(own.read_bytes(), filters=FORM))
        elif is_whole(before, checkpoint):
            shutil.copyfile(before, path)
        if path.is_file() and path.stat().st_size > AT_MOST:
            path.unlink()
        if path.is_file():
            files[str(path.relative_to(place))] = sha256_of(path)
    return files


def unpack(path: Path, checkpoint: Checkpoint) -> bytes:
    """The checkpoint in a packed file, to the byte what its run recorded; not unpacked beyond a limit.

    Raises:
        ValueError: it is missing, damaged, or of another training.
    """
    try:
        content = lzma.LZMADecompressor().decompress(path.read_bytes(), LARGEST)
    except (OSError, lzma.LZMAError) as error:
        raise ValueError(f"{path} is missing or damaged: restore it, or train the model again.") from error
    if hashlib.sha256(content).hexdigest() != checkpoint["sha256"]:
        raise ValueError(f"{path} holds other weights than its run recorded: restore it, or train the model again.")
    return content


def is_whole(path: Path, checkpoint: Checkpoint) -> bool:
    """Whether a packed file is there and holds that checkpoint."""
    try:
        return bool(unpack(path, checkpoint))
    except ValueError:
        return False


def restored(folder: Path, run: str, checkpoint: Checkpoint) -> Path:
    """A training's published weights as the checkpoint that they were, alone in a folder that is named by its bytes.

    Raises:
        ValueError: see `unpack`.
    """
    path = folder / "restored" / checkpoint["sha256"][:16] / checkpoint["name"]
    if not path.is_file() or sha256_of(path) != checkpoint["sha256"]:
        content = unpack(packed(folder, run), checkpoint)
        with atomically(path) as part:
            part.write_bytes(content)
    return path
