"""Jobs that are forked: as if each had been started by itself, and ended with who asked for it."""

import os
import re
import signal
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager

import psutil
import pytest
from jupyter_client import BlockingKernelClient

from conftest import ROOT
from suppress_study import starter
from suppress_study.surroundings import surroundings

BARE = sys._base_executable  # which has none of the packages: what it gets done, another process did
SENTENCE = "nope: notebook is 'nope'; there are attack, compare, membership, train: name one of these.\n"


# The last digits of a gradient, which MindSpore sums otherwise in a process that has had one core alone.
GRADIENT = """
import hashlib
import mindspore as ms
import numpy as np
from suppress_privacy import configure
from suppress_study.starter import usable_cores

configure("CPU")
draws = np.random.default_rng(0)
images, weights = (ms.Tensor(draws.normal(size=size), ms.float32) for size in ((64, 6, 12, 12), (16, 6, 5, 5)))
convolution = ms.nn.Conv2d(6, 16, 5, pad_mode="valid", weight_init=weights)
(gradient,) = ms.grad(convolution, None, convolution.trainable_params())(images)
print("gradient", hashlib.sha256(gradient.asnumpy().tobytes()).hexdigest(), "of", usable_cores())
"""


@pytest.fixture(scope="module")
def served():
    """The environment in which there is a starter, which may use all cores, and its process."""
    before, own = {*psutil.Process().children()}, os.sched_getaffinity(0)
    os.sched_setaffinity(0, range(os.cpu_count()))
    with starter.Starter():
        (process,) = {*psutil.Process().children()} - before
        os.sched_setaffinity(0, own)
        yield surroundings(os.environ), process
    assert not process.is_running() and starter.PLACE not in os.environ


def run(environ, folder, python=BARE):
    """What a notebook that is not there comes to: exit code, output, errors."""
    command = [python, "-S", starter.__file__, "notebook", "nope", "out.ipynb"]
    ended = subprocess.run(command, env=environ, cwd=folder, capture_output=True, text=True, timeout=120)
    return ended.returncode, ended.stdout, ended.stderr


@contextmanager
def kernel(served, folder, beside=0):
    """One that was asked for and has begun, `beside` others: who asked, and its process."""
    environ, process = served
    place = folder / "connection.json"
    asked = subprocess.Popen([BARE, "-S", starter.__file__, "--kernel", "-f", place], env=environ)
    forked = max(descendants(process, beside + 1), key=lambda each: each.pid)
    deadline = time.monotonic() + 60
    while not place.exists():
        assert time.monotonic() < deadline
        time.sleep(0.1)
    try:
        yield asked, forked
    finally:
        asked.kill()
        asked.wait()
        forked.wait(10)


def descendants(process, count):
    """Those it has once there are so many."""
    deadline = time.monotonic() + 60
    while len(found := process.children(recursive=True)) != count:
        assert time.monotonic() < deadline, found
        time.sleep(0.1)
    return found


def test_what_is_forked_says_and_returns_what_a_process_of_its_own_does(served, tmp_path):
    environ, _ = served
    nowhere = environ | {starter.PLACE: str(tmp_path / "nowhere")}
    assert run(environ, tmp_path) == run(nowhere, tmp_path, sys.executable) == (2, "", SENTENCE)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_what_is_forked_ends_with_who_asked_for_it(served, how, tmp_path):
    with kernel(served, tmp_path) as (asked, forked):
        asked.send_signal(how)
        assert asked.wait(10) == -how
        forked.wait(10)


def test_who_asked_is_told_of_an_end_by_force(served, tmp_path):
    with kernel(served, tmp_path) as (asked, forked):
        forked.kill()
        assert asked.wait(10) == starter.LOST


def test_an_interrupt_reaches_what_is_forked_and_nothing_else(served, tmp_path):
    """A kernel notes it and goes on; the starter does not end of one from the keyboard."""
    with kernel(served, tmp_path) as (asked, forked):
        asked.send_signal(signal.SIGINT)
        served[1].send_signal(signal.SIGINT)
        time.sleep(0.5)
        assert asked.poll() is None and forked.is_running() and served[1].is_running()


def test_a_kernel_that_is_alone_has_all_cores_and_two_have_some_each(served, tmp_path):
    def shares(*kernels, deadline):
        wanted = len(cores) if len(kernels) == 1 else max(1, len(cores) // len(kernels))
        while {len(each.cpu_affinity()) for each in kernels} != {wanted}:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        return [{*each.cpu_affinity()} for each in kernels]

    cores = served[1].cpu_affinity()
    folders = [tmp_path / name for name in ("one", "two")]
    for folder in folders:
        folder.mkdir()
    with kernel(served, folders[0]) as (_, one):
        with kernel(served, folders[1], beside=1) as (_, two):
            both = shares(one, two, deadline=time.monotonic() + 10)
            assert len(cores) == 1 or not both[0] & both[1]
        assert shares(one, deadline=time.monotonic() + 10) == [{*cores}]


def gradient_of(forked, folder):
    """What a kernel prints once it has a core of its own."""
    deadline = time.monotonic() + 60
    while len(forked.cpu_affinity()) > 1:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    client = BlockingKernelClient(connection_file=str(folder / "connection.json"))
    client.load_connection_file()
    client.start_channels()
    client.wait_for_ready(60)
    said = []
    client.execute_interactive(GRADIENT, timeout=120, output_hook=lambda message: said.append(str(message["content"])))
    client.stop_channels()
    return digits_in("".join(said))


def digits_in(said):
    """The last digits of a gradient, as a hash, and of how many cores its sums are made."""
    found = re.search("gradient ([0-9a-f]{64}) of ([0-9]+)", said)
    assert found, said
    return found.groups()


def test_a_gradient_is_the_same_beside_others_as_alone(served, tmp_path):
    """A kernel that is given one core of several has counted them before."""
    environ, process = served
    cores = process.cpu_affinity()
    if len(cores) == 1:
        pytest.skip("a process of this machine has one core in any case: try it on two")
    alone = subprocess.Popen(
        [sys.executable, "-c", GRADIENT], env=environ | {"OMP_NUM_THREADS": "1"}, stdout=subprocess.PIPE, text=True
    )
    psutil.Process(alone.pid).cpu_affinity(cores)
    said, _ = alone.communicate(timeout=120)
    with ExitStack() as kernels:
        for beside in range(len(cores)):
            folder = tmp_path / str(beside)
            folder.mkdir()
            _, forked = kernels.enter_context(kernel(served, folder, beside))
        assert gradient_of(forked, folder) == digits_in(said)


@pytest.mark.parametrize(("cores", "count"), [(2, 1), (2, 2), (8, 3), (2, 5)])
def test_cores_are_shared_evenly(monkeypatch, cores, count):
    given = {}
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {*range(cores)})
    monkeypatch.setattr(os, "listdir", lambda path: [path.split("/")[2]])
    monkeypatch.setattr(os, "sched_setaffinity", lambda thread, own: given.update({thread: {*own}}))
    starter.share_cores([*range(100, 100 + count)])
    users = [sum(core in own for own in given.values()) for core in range(cores)]
    sizes = [len(own) for own in given.values()]
    assert len(given) == count and min(users) >= 1 and max(users) - min(users) <= 1 and max(sizes) - min(sizes) <= 1


def test_code_that_was_changed_since_is_not_run_as_it_was(served, tmp_path):
    """A process of its own is started, which the bare Python cannot."""
    environ, _ = served
    loaded = ROOT / "study" / "suppress_study" / "cost.py"
    before = loaded.stat()
    try:
        os.utime(loaded, ns=(before.st_atime_ns, before.st_mtime_ns + 1))
        code, _, said = run(environ | {"PYTHONPATH": ""}, tmp_path)
    finally:
        os.utime(loaded, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert code == 1 and "No module named" in said
    assert run(environ, tmp_path) == (2, "", SENTENCE)


def test_the_starter_ends_with_the_process_that_has_it():
    code = "import time; from suppress_study.starter import Starter; Starter().__enter__(); time.sleep(600)"
    leader = subprocess.Popen([sys.executable, "-c", code], env=surroundings(os.environ))
    (process,) = descendants(psutil.Process(leader.pid), 1)
    leader.kill()
    leader.wait()
    process.wait(10)
