"""Where and how MindSpore runs: device, mode, threads, and the environment it needs.

Importing this module sets the environment variables that MindSpore's CPU kernels read once, at
their first use; `configure` chooses device and mode. No other module of the package does either.
"""

import os
import warnings
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

DEVICES = ("auto", "Ascend", "GPU", "CPU")
MODES = ("graph", "pynative")


def convolution_cure(cpu_flags, environ):
    """The variables that keep convolutions off oneDNN's scalar reference kernel.

    MindSpore hands oneDNN plain (NCHW) layouts. On processors with AVX-512, oneDNN 3 answers with
    `jit_uni_ncsp:conv+ref:any`, more than ten times slower than the `gemm:jit` kernel it picks when
    capped at AVX2. Other processors need no cap, and a value the user has set always stands.

    Args:
        cpu_flags (set of str): feature flags as the kernel reports them, e.g. `{"avx2", "avx512f"}`.
        environ (mapping): the environment to respect.

    Returns:
        dict of str to str, the variables to add; empty where the cure does not apply.
    """
    if "avx512f" not in cpu_flags or "ONEDNN_MAX_CPU_ISA" in environ:
        return {}
    return {"ONEDNN_MAX_CPU_ISA": "AVX2"}


def _cpu_flags():
    """Feature flags of the first processor; empty where the system does not list them (macOS)."""
    cpuinfo = Path("/proc/cpuinfo")
    if not cpuinfo.exists():
        return set()
    lines = [line for line in cpuinfo.read_text().splitlines() if line.startswith("flags")]
    return set(lines[0].split(":", 1)[1].split()) if lines else set()


os.environ.update(convolution_cure(_cpu_flags(), os.environ))
os.environ.setdefault("GLOG_v", "3")  # errors only: plugin probing alone prints ten [WARNING] lines

import mindspore as ms  # noqa: E402  the variables above are read when its kernels load

# MindSpore 2.10 calls Thread.getName() when the interpreter exits.
warnings.filterwarnings("ignore", message="getName\\(\\) is deprecated", category=DeprecationWarning)


@dataclass(frozen=True)
class Runtime:
    """What `configure` decided: `device` (Ascend, GPU, CPU), `mode`, OpenMP `threads` (None: all)."""

    device: str
    mode: str
    threads: int | None
    mindspore: str = ms.__version__


def available_devices():
    """Devices this MindSpore build can use on this machine, best first; CPU is always among them."""
    probes = (("Ascend", ms.device_context.ascend), ("GPU", ms.device_context.gpu))
    return [name for name, probe in probes if probe.is_available()] + ["CPU"]


def choose_device(device):
    """The device that a name stands for on this machine; "auto" takes the first of Ascend, GPU, CPU it has.

    Raises:
        ValueError: an unknown device, or one this machine does not have.
    """
    if device not in DEVICES:
        raise ValueError(f"device is {device!r}; allowed are {', '.join(DEVICES)}: 'auto' lets the machine decide.")
    available = available_devices()
    if device == "auto":
        return available[0]
    if device not in available:
        raise ValueError(f"device is {device!r}; this machine has {', '.join(available)}: use that or 'auto'.")
    return device


def configure(device="auto", mode="graph"):
    """Choose device and execution mode for this process.

    Threads are the environment's (`OMP_NUM_THREADS`): OpenMP reads it once, when MindSpore loads.

    Args:
        device (str): one of `DEVICES`.
        mode (str): "graph" compiles each network once; "pynative" runs operator by operator.

    Returns:
        Runtime.

    Raises:
        ValueError: an unknown device or mode, or a device this machine does not have.
    """
    if mode not in MODES:
        raise ValueError(f"mode is {mode!r}; allowed are {', '.join(MODES)}: 'graph' is the fast one.")
    device = choose_device(device)
    ms.set_device(device)
    ms.set_context(mode=ms.GRAPH_MODE if mode == "graph" else ms.PYNATIVE_MODE)
    if mode == "pynative" and device == "CPU":
        # The asynchronous pipeline's threads spin and starve the kernels on few cores.
        ms.runtime.launch_blocking()
    threads = os.environ.get("OMP_NUM_THREADS")
    return Runtime(device, mode, int(threads) if threads else None)


def generator(seed, *stream):
    """A NumPy generator for one named stream of draws.

    Args:
        seed (int): the run's seed, not negative.
        stream (str): names that keep draws apart ("initialisation", "batches", ...), so that taking
            more from one stream never shifts another.

    Returns:
        numpy.random.Generator; equal arguments give equal draws on every machine.
    """
    return np.random.default_rng([seed, *(zlib.crc32(name.encode()) for name in stream)])
