"""Checkpoints as MindSpore's format has them, read without trust: whoever wrote them, and whatever is in them."""

from pathlib import Path

import numpy as np
from mindspore.train.checkpoint_pb2 import Checkpoint

NUMBERS = (
    "Int8",
    "UInt8",
    "Int16",
    "UInt16",
    "Int32",
    "UInt32",
    "Int64",
    "UInt64",
    "Float16",
    "Float32",
    "Float64",
    "Bool",
)
CHECKSUM = b"crc_num"  #: begins the last bytes of a file that has a checksum
CHECKSUM_BYTES = 17
MINDARMOUR = "networks."  #: what MindArmour's defence puts before the names of a network's parameters


def read_checkpoint(path: Path) -> dict[str, np.ndarray]:
    """The arrays in a checkpoint by name; entries that are no numbers are left out.

    MindSpore's own reader believes the shapes that a file states, and reads memory behind an array that is shorter.

    Raises:
        ValueError: the file is missing or damaged, or is no checkpoint.

    Examples:
        >>> from suppress_privacy import save_checkpoint
        >>> save_checkpoint(network, "one.ckpt")
        >>> read_checkpoint(Path("one.ckpt"))["conv1.weight"].shape
        (6, 1, 5, 5)
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ValueError(
            f"{path} is not a checkpoint file ({error.strerror}): train the model first, or name another file."
        ) from error
    if content[-CHECKSUM_BYTES:].startswith(CHECKSUM):
        content = content[:-CHECKSUM_BYTES]
    parts: dict[str, list] = {}
    try:
        for entry in Checkpoint.FromString(content).value:
            if entry.tensor.tensor_type in NUMBERS:
                parts.setdefault(entry.tag, []).append(entry.tensor)
        arrays = {name: _joined(tensors) for name, tensors in parts.items()}
    except Exception as error:  # of whatever kind: these bytes may be anything
        raise ValueError(f"{path} is damaged or is not a checkpoint: train the model again.") from error
    if not arrays:
        raise ValueError(f"{path} is damaged or is not a checkpoint (no array is in it): train the model again.")
    return arrays


def _joined(tensors: list) -> np.ndarray:
    """One array from the parts that a large one is kept in."""
    shape = [] if list(tensors[0].dims) == [0] else tensors[0].dims  # a number by itself
    content = b"".join(tensor.tensor_content for tensor in tensors)
    return np.frombuffer(content, tensors[0].tensor_type.lower()).reshape(shape)


def weights_in(path: Path, wanted: dict[str, tuple]) -> dict[str, np.ndarray]:
    """The arrays of a network in a checkpoint, whatever an optimiser or a defence has left beside them.

    Args:
        path: what MindSpore's `ModelCheckpoint` wrote, under this package or under MindArmour, or `save_checkpoint`.
        wanted: name -> (shape, type), of the network's parameters.

    Raises:
        ValueError: as `read_checkpoint`; or one of the network's is missing or of another shape or type, or there is
            an entry that is neither the network's nor of an optimiser.
    """
    found = read_checkpoint(path)
    before = "" if wanted.keys() & found.keys() else MINDARMOUR
    own = {before + name: name for name in wanted}
    different = [
        name
        for stored, name in own.items()
        if stored not in found or (found[stored].shape, found[stored].dtype.name) != wanted[name]
    ]
    # An optimiser's state of a weight is called by what it is and the weight's name; the rest of it is numbers.
    different += [
        name
        for name, values in found.items()
        if not (name in own or name.partition(".")[2] in own or values.size == 1 or name.startswith("learning_rate"))
    ]
    if different:
        names = ", ".join(sorted(different))
        raise ValueError(f"{path} is of another network ({names} differ): name one of this network.")
    return {name: found[stored] for stored, name in own.items()}
