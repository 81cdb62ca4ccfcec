"""Jobs that are forked: as if each had been started by itself, and ended with who asked for it."""

import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager

import psutil
import pytest

from conftest import ROOT
from suppress_study import starter
from suppress_study.surroundings import surroundings

BARE = sys._base_executable  # which has none of the packages: what it gets done, another process did
SENTENCE = "nope: notebook is 'nope'; there are attack, compare, membership, train: name one of these.\n"


@pytest.fixture(scope="module")
def served():
    """The environment in which there is a starter, and its process."""
    before = {*psutil.Process().children()}
    with starter.Starter():
        (process,) = {*psutil.Process().children()} - before
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
    yield asked, forked
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
