import os
import platform
import subprocess
import sys

import numpy as np
import pytest

from suppress_privacy import runtime


@pytest.mark.parametrize(
    ("flags", "environ", "expected"),
    [
        ({"avx2", "avx512f"}, {}, {"ONEDNN_MAX_CPU_ISA": "AVX2"}),
        ({"avx2"}, {}, {}),
        (set(), {}, {}),
        ({"avx512f"}, {"ONEDNN_MAX_CPU_ISA": "AVX512_CORE"}, {}),
    ],
)
def test_the_cure_applies_where_it_helps_and_never_over_the_user(flags, environ, expected):
    assert runtime.convolution_cure(flags, environ) == expected


@pytest.mark.parametrize(
    ("given", "threads"), [("3", 3), ("4,2", 4), (" 2 ", 2), ("", None), ("many", None), ("-1", None)]
)
def test_threads_are_what_openmp_takes_them_for(given, threads, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", given)
    assert runtime.configure("CPU").threads == threads


@pytest.mark.skipif(not os.path.exists("/proc/cpuinfo"), reason="nothing is said of the processor")
def test_the_processor_is_named_as_linux_names_it():
    said = subprocess.run(["grep", "-m1", "^model name", "/proc/cpuinfo"], capture_output=True, text=True).stdout
    name = said.partition(": ")[2].strip()
    assert runtime.processor() and name in ("", runtime.processor())  # on ARM it gives numbers


X86 = "processor : 0\nmodel name : One 3000\nflags : sse avx2 fma sme avx512_bf16 amx_tile\n\nflags : avx_vnni\n"
ARM = "processor : 0\nFeatures : fp asimd asimdhp crc32 sve\nCPU implementer : 0x41\nCPU part : 0xd40\n\n"


@pytest.mark.parametrize(
    ("cpuinfo", "name", "sets"),
    [
        (X86, "One 3000", ["amx_tile", "avx2", "avx512_bf16", "fma"]),
        (ARM, "CPU implementer 0x41, CPU part 0xd40", ["asimd", "asimdhp", "sve"]),
        ("", platform.processor() or platform.machine(), []),
        (None, platform.processor() or platform.machine(), []),
    ],
)
def test_a_processor_is_told_by_model_and_by_the_instructions_that_decide_rounding(
    cpuinfo, name, sets, monkeypatch, tmp_path
):
    """As Linux has it on x86-64 and on ARM, as it may not have it, and where there is no such file."""
    said = tmp_path / "cpuinfo"
    if cpuinfo is not None:
        said.write_text(cpuinfo, "utf-8")
    monkeypatch.setattr(runtime, "CPUINFO", said)
    runtime._cpuinfo.cache_clear()
    try:
        assert runtime.processor() == name and runtime.instruction_sets() == sets
    finally:
        runtime._cpuinfo.cache_clear()


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="oneDNN names its kernels so on x86-64 alone")
def test_convolutions_of_a_plain_interpreter_run_on_the_fast_kernel():
    script = """
import numpy as np, mindspore as ms
from suppress_privacy import Defence, LeNet5, configure
from suppress_privacy.training import TrainStep, with_cross_entropy
configure("CPU")
network = LeNet5(seed=0)
step = TrainStep(with_cross_entropy(network), ms.nn.SGD(network.trainable_params(), 0.1), Defence())
step(ms.Tensor(np.zeros((32, 1, 32, 32), np.float32)), ms.Tensor(np.zeros(32, np.int32)))
"""
    environ = {key: value for key, value in os.environ.items() if key != "ONEDNN_MAX_CPU_ISA"}
    command = [sys.executable, "-c", script]
    run = subprocess.run(command, env=environ | {"ONEDNN_VERBOSE": "1"}, capture_output=True, text=True, check=True)
    convolutions = [line for line in run.stdout.splitlines() if ",exec," in line and ",convolution," in line]
    assert len(convolutions) >= 5  # two forward, three backward
    assert not [line for line in convolutions if "ref:any" in line]


def test_auto_takes_a_device_this_machine_has():
    assert runtime.choose_device("auto") == runtime.available_devices()[0]


def test_an_unknown_or_absent_device_is_refused_with_the_remedy():
    with pytest.raises(ValueError, match="device is 'TPU'; it must be 'auto' or 'Ascend' or 'GPU' or 'CPU'"):
        runtime.choose_device("TPU")
    absent = [name for name in ("Ascend", "GPU") if name not in runtime.available_devices()]
    for name in absent:
        with pytest.raises(ValueError, match=f"device is '{name}'; this machine has .*: use that or 'auto'"):
            runtime.choose_device(name)


def test_streams_of_draws_are_repeatable_and_apart():
    def draw(*arguments):
        return runtime.generator(*arguments).random(4)

    assert np.array_equal(draw(3, "batches"), draw(3, "batches"))
    assert not np.array_equal(draw(3, "batches"), draw(4, "batches"))
    assert not np.array_equal(draw(3, "batches"), draw(3, "initialisation"))
