"""Where and how MindSpore runs: device, mode, threads, and the environment it needs.

Importing this module sets the environment variables that MindSpore's CPU kernels read once, at
their first use; `configure` chooses device and mode. No other module of the package does either. Where
a script has chosen for itself, what begins work calls `cure_pynative`.
"""

import os
import platform
import warnings
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

import numpy as np

from suppress_privacy.checks import checked

Device = Literal["auto", "Ascend", "GPU", "CPU"]
Mode = Literal["graph", "pynative"]
CPUINFO = Path("/proc/cpuinfo")
# How the names of vector and matrix instructions on floating-point numbers, and of those between types, begin.
ROUNDING = ("avx", "fma", "f16c", "amx", "neon", "asimd", "sve", "bf16", "i8mm")


def convolution_cure(cpu_flags: set[str], environ: Mapping[str, str]) -> dict[str, str]:
    """The variables that keep convolutions off oneDNN's scalar reference kernel.

    MindSpore hands oneDNN plain (NCHW) layouts. On processors with AVX-512, oneDNN 3 answers with
    `jit_uni_ncsp:conv+ref:any`, more than ten times slower than the `gemm:jit` kernel it picks when
    capped at AVX2. Other processors need no cap, and a value the user has set always stands.

    Args:
        cpu_flags: feature flags as the kernel reports them, e.g. `{"avx2", "avx512f"}`.
        environ: the environment to respect.

    Returns:
        The variables to add; empty where the cure does not apply.
    """
    if "avx512f" not in cpu_flags or "ONEDNN_MAX_CPU_ISA" in environ:
        return {}
    return {"ONEDNN_MAX_CPU_ISA": "AVX2"}


@cache
def _cpuinfo() -> dict[str, str]:
    """What Linux says of the first processor; nothing elsewhere."""
    try:
        first, *_ = CPUINFO.read_text("utf-8", "replace").split("\n\n")
    except OSError:
        return {}
    entries = (line.partition(":") for line in first.splitlines())
    return {name.strip(): value.strip() for name, _, value in entries}


def processor() -> str:
    """The processor's model name, or on ARM its numbers; where Linux gives neither, what Python's `platform` knows.

    Examples:
        >>> isinstance(processor(), str)  # such as AMD EPYC
        True
    """
    said = _cpuinfo()
    numbers = ", ".join(f"{name} {said[name]}" for name in ("CPU implementer", "CPU part") if name in said)
    return said.get("model name") or numbers or platform.processor() or platform.machine()


def instruction_sets() -> list[str]:
    """Those by which kernels are chosen, and with them how sums are rounded, sorted; none where Linux does not say.

    Examples:
        >>> instruction_sets() == sorted(instruction_sets())
        True
    """
    return sorted(each for each in _flags() if each.startswith(ROUNDING))


def _flags() -> set[str]:
    said = _cpuinfo()
    return set((said.get("flags") or said.get("Features") or "").split())  # x86-64, or ARM


os.environ.update(convolution_cure(_flags(), os.environ))
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


def available_devices() -> list[str]:
    """Devices this MindSpore build can use on this machine, best first; CPU is always among them."""
    probes = (("Ascend", ms.device_context.ascend), ("GPU", ms.device_context.gpu))
    return [name for name, probe in probes if probe.is_available()] + ["CPU"]


@checked
def choose_device(device: Device) -> str:
    """The device that a name stands for on this machine; "auto" takes the first of Ascend, GPU, CPU it has.

    Raises:
        TypeError, ValueError: no device's name, or a device this machine does not have.

    Examples:
        >>> choose_device("CPU"), choose_device("auto") in available_devices()
        ('CPU', True)
    """
    available = available_devices()
    if device == "auto":
        return available[0]
    if device not in available:
        raise ValueError(f"device is {device!r}; this machine has {', '.join(available)}: use that or 'auto'.")
    return device


@checked
def configure(device: Device = "auto", mode: Mode = "graph") -> Runtime:
    """Choose device and execution mode for this process.

    Threads are the environment's (`OMP_NUM_THREADS`): OpenMP reads it once, when MindSpore loads.

    Args:
        device: "auto" takes the best that this machine has.
        mode: "graph" compiles each network once; "pynative" runs operator by operator, much slower.

    Raises:
        TypeError, ValueError: an unknown device or mode, or a device this machine does not have.

    Examples:
        >>> found = configure("CPU", "pynative")
        >>> isinstance(found, Runtime), found.device, found.mode
        (True, 'CPU', 'pynative')
    """
    chosen = choose_device(device)
    ms.set_device(chosen)
    ms.set_context(mode=ms.GRAPH_MODE if mode == "graph" else ms.PYNATIVE_MODE)
    cure_pynative()
    threads = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()  # one number a level of nesting
    return Runtime(chosen, mode, int(threads) if threads.isdecimal() else None)  # OpenMP passes over what is no number


def cure_pynative() -> None:
    """In PyNative mode on a CPU, whoever chose them, let each operator end before the next begins.

    The asynchronous pipeline's threads spin and starve the kernels on few cores: a training step of LeNet5 takes
    five times as long and more. Results are the same, and graph mode and other devices are left as they are.
    """
    if ms.get_context("mode") == ms.PYNATIVE_MODE and ms.get_context("device_target") == "CPU":
        ms.runtime.launch_blocking()


@contextmanager
def operator_by_operator() -> Iterator[None]:
    """PyNative mode for what is tried inside: where that fails, MindSpore prints no pages and leaves no files."""
    mode = ms.get_context("mode")
    ms.set_context(mode=ms.PYNATIVE_MODE)
    try:
        yield
    finally:
        ms.set_context(mode=mode)


def generator(seed: int, *stream: str) -> np.random.Generator:
    """A NumPy generator for one named stream of draws.

    Args:
        seed: the run's, not negative.
        stream: names that keep draws apart ("initialisation", "batches", ...), so that taking
            more from one stream never shifts another.

    Returns:
        Equal arguments give equal draws on every machine.

    Examples:
        >>> one, other = generator(0, "batches"), generator(0, "noise")  # streams of their own
        >>> bool(one.random() == generator(0, "batches").random()), bool(one.random() == other.random())
        (True, False)
    """
    return np.random.default_rng([seed, *(zlib.crc32(name.encode()) for name in stream)])
