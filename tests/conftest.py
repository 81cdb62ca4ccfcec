import os

# One thread: MindSpore's threads spin, and results must not depend on the machine's cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# A core for each process that shares the files: on cores in common their threads, which spin, starve each other.
if worker := os.environ.get("PYTEST_XDIST_WORKER"):
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cores[int(worker.removeprefix("gw")) % len(cores)]})
for name in [name for name in os.environ if name.startswith("GIT_")]:
    del os.environ[name]  # a hook's, which name the repository that it is called in: tests make their own

import gc
import logging
import struct
import tempfile
import warnings
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.configuration import set_hypothesis_home_dir

from suppress_privacy import configure, fetch, load_mnist
from suppress_privacy.files import sha256_of
from suppress_privacy.runtime import choose_device

ROOT = Path(__file__).parent.parent
FIRST = ["test_workflow.py", "test_full_size.py", "test_ranks.py"]  # the longest, and what mostly waits

# Properties are tried on the same examples everywhere, however slow the machine, and nothing is left in the checkout.
set_hypothesis_home_dir(Path(tempfile.gettempdir(), "suppress-privacy-hypothesis"))
ALIKE = {"derandomize": True, "deadline": None, "database": None, "suppress_health_check": [HealthCheck.too_slow]}
settings.register_profile("properties", **ALIKE)
settings.register_profile("mutants", **ALIKE, phases=[Phase.explicit, Phase.generate])  # that one fails is enough
settings.load_profile("properties")


def pytest_addoption(parser):
    parser.addoption("--device", default="CPU", help="Ascend also runs the tests that need such a card")


def pytest_configure(config):
    try:
        choose_device(config.getoption("--device"))
    except ValueError as error:
        raise pytest.UsageError(str(error)) from error


def pytest_collection_modifyitems(config, items):
    if config.getoption("--device") != "Ascend":
        for item in items:
            if item.get_closest_marker("ascend"):
                item.add_marker(pytest.mark.skip(reason="needs an Ascend card: on one, make test DEVICE=Ascend"))
    # Handed out file by file to two processes: the longest first, so that neither waits for the other.
    items.sort(key=lambda item: [*FIRST, item.path.name].index(item.path.name))


@pytest.fixture(scope="session", autouse=True)
def graph_mode():
    configure("CPU", "graph")


@pytest.fixture(scope="module", autouse=True)
def sparing_collector():
    """MindSpore collects garbage at each compilation: it need not look at what earlier files have left for good."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def digits():
    """The 5,000 embedded digits."""
    return load_mnist("embedded")


def write_idx(path, array):
    header = struct.pack(">HBB", 0, 8, array.ndim) + struct.pack(f">{array.ndim}I", *array.shape)
    path.write_bytes(header + array.astype(np.uint8).tobytes())


@pytest.fixture
def idx_folder(tmp_path, monkeypatch):
    """A folder of four small IDX files that pass for MNIST, and no other source of it."""
    rng = np.random.default_rng(0)
    folder = tmp_path / "idx"
    folder.mkdir()
    for part, count in (("train", 40), ("t10k", 20)):
        write_idx(folder / f"{part}-images-idx3-ubyte", rng.integers(0, 256, (count, 28, 28)))
        write_idx(folder / f"{part}-labels-idx1-ubyte", rng.integers(0, 10, count))
    sha256 = {name: sha256_of(folder / name) for name in fetch.NAMES}
    for key, published in fetch.DATASETS.items():
        monkeypatch.setitem(fetch.DATASETS, key, replace(published, sha256=sha256, mirrors=()))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))  # which holds no package manager
    monkeypatch.setenv("SUPPRESS_PRIVACY_CACHE", str(tmp_path / "cache"))
    for name in ("MNIST_DIR", "FASHION_MNIST_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    return folder


@pytest.fixture(scope="session")
def original():
    """The real MindArmour 2.0.0, silenced: a namespace of what is compared."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.disable(logging.CRITICAL)
        try:
            from mindarmour.privacy.evaluation.inversion_attack import ImageInversionAttack, InversionLoss
            from mindarmour.privacy.sup_privacy import (
                MaskLayerDes,
                SuppressMasker,
                SuppressModel,
                SuppressPrivacyFactory,
            )
            from mindarmour.privacy.sup_privacy.sup_ctrl import conctrl
            from mindarmour.utils.logger import LogUtil
        finally:
            logging.disable(logging.NOTSET)
    LogUtil.get_instance().set_level("ERROR")
    # Two collections in every update of every layer: they change nothing and take most of the time.
    conctrl.gc = SimpleNamespace(collect=lambda: None)
    return SimpleNamespace(
        ImageInversionAttack=ImageInversionAttack,
        InversionLoss=InversionLoss,
        LogUtil=LogUtil,
        MaskLayerDes=MaskLayerDes,
        SuppressMasker=SuppressMasker,
        SuppressModel=SuppressModel,
        SuppressPrivacyFactory=SuppressPrivacyFactory,
    )
