"""Jobs of a study started from a process that has loaded all that they need: a fork, instead of seconds of imports.

    python -S study/suppress_study/starter.py notebook train ...     as python -m suppress_study.run notebook train ...

`Starter` serves whoever that command is told of by STUDY_STARTER: it forks itself, hands its child the caller's files,
folder and environment, and answers with the exit code. A fork has the code that was loaded; once a file of it has
changed, or where there is no starter, the command starts Python anew. Of the standard library alone, and without
site-packages: the caller is the short end.
"""

import gc
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import warnings
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

PLACE = "STUDY_STARTER"  # in the environment of a study's jobs: the socket
COUNTED = "STUDY_CORES"  # in a forked kernel's: how many MindSpore counted
OURS = [Path(__file__).resolve().parents[2] / folder for folder in ("lib", "study", "book")]
LOST = 137  # the exit code of what was killed
ANEW = "anew"  # in answer: the code has changed


class Starter:
    """Serves while the block lasts, and whoever is started in it is told where."""

    def __enter__(self) -> "Starter":
        self._folder = tempfile.mkdtemp(prefix="study-")  # which nobody else can open
        os.environ[PLACE] = f"{self._folder}/starter"
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(os.environ[PLACE])
            listening.listen(64)
            # It ends when this process does, however that comes: the pipe is its only word of it.
            command = [sys.executable, "-m", "suppress_study.starter", "--serve", str(listening.fileno())]
            own = os.environ | {"OMP_NUM_THREADS": "1"}  # as all jobs have it: libraries read it when they are loaded
            self._process = subprocess.Popen(command, env=own, stdin=subprocess.PIPE, pass_fds=[listening.fileno()])
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()
        del os.environ[PLACE]
        shutil.rmtree(self._folder)


def serve(listening: socket.socket) -> None:
    """Fork for each caller until standard input ends; what is needed is loaded with the first."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # from the keyboard all have it; a study's jobs end with it
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # children are not waited for
    loaded: dict[Path, int] = {}
    kernels: list[int] = []
    while True:
        ready, _, _ = select.select([listening, sys.stdin], [], [], 1)
        if sys.stdin in ready:
            return
        if kernels != (there := _kernels()):
            share_cores(kernels := there)
        if not ready:
            continue
        caller, _ = listening.accept()
        loaded = loaded or _load()
        with caller:
            if loaded != _written(loaded):
                caller.sendall(json.dumps(ANEW).encode())
                continue
            with warnings.catch_warnings():  # of threads: Arrow's, which holds nothing that is used here
                warnings.simplefilter("ignore", DeprecationWarning)
                child = os.fork()
            if not child:
                listening.close()
                _become(caller)


def _kernels() -> list[int]:
    """The processes of kernels that have been started and have not ended."""
    started = sorted(int(path.suffix[1:]) for path in Path(os.environ[PLACE]).parent.glob("kernel.*"))
    return [process for process in started if os.path.exists(f"/proc/{process}")]


def share_cores(processes: list[int]) -> None:
    """Give each process cores of its own: on cores in common MindSpore's threads, which spin, starve each other's."""
    cores = sorted(os.sched_getaffinity(0))
    for number, process in enumerate(processes):
        own = cores[number % len(cores) :: len(processes)]
        with suppress(OSError):  # it has ended
            for thread in os.listdir(f"/proc/{process}/task"):
                os.sched_setaffinity(int(thread), own)


def _load() -> dict[Path, int]:
    """Import what jobs use, and read the study; the files of this checkout that were loaded, and when each was written.

    Not what draws: Matplotlib takes its backend from the environment when it is loaded, and that is the kernel's.
    """
    import suppress_study.run
    import suppress_study.session_attack
    import suppress_study.session_play
    import suppress_study.session_train  # noqa: F401
    from suppress_study.plan import Study

    Study.load()
    gc.collect()
    gc.freeze()  # MindSpore collects garbage at each compilation: of what is loaded there is none
    places = [getattr(module, "__file__", None) for module in [*sys.modules.values()]]
    return _written(path for path in map(Path, filter(None, places)) if any(map(path.is_relative_to, OURS)))


def _written(paths: Iterable[Path]) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns if path.exists() else 0 for path in paths}


def _become(caller: socket.socket) -> NoReturn:
    """Do in this process what a caller asks for, as its own; end with it."""
    _, files, _, _ = socket.recv_fds(caller, 1, 3)
    for number, (given, name) in enumerate(zip(files, ("stdin", "stdout", "stderr"), strict=True)):
        os.dup2(given, number)
        os.close(given)
        # Python's own know what kind of file they were opened on.
        setattr(sys, name, open(number, "w" if number else "r", buffering=1, encoding="utf-8", closefd=False))  # noqa: SIM115
    asked = json.loads(caller.makefile().readline())
    os.chdir(asked["folder"])
    os.environ.clear()
    os.environ.update(asked["environ"])
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    threading.Thread(target=_heed, args=[caller], daemon=True).start()
    sys.argv[1:] = asked["arguments"]
    code = _code_of(_kernel if asked["arguments"][0] == "--kernel" else _job)
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    caller.sendall(json.dumps(code).encode())
    os._exit(code)


def _heed(caller: socket.socket) -> None:
    """Be interrupted as often as the caller was, and end with it."""
    while caller.recv(1):
        os.kill(os.getpid(), signal.SIGINT)
    os.kill(os.getpid(), signal.SIGKILL)


def _code_of(work: Callable[[], Any]) -> int:
    """The exit code of a process that does this and no more."""
    try:
        return int(work() or 0)
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except BaseException:
        sys.excepthook(*sys.exc_info())
        return 1


def _job() -> int:
    from suppress_study.run import main

    return main(sys.argv[1:])


def _kernel() -> None:
    from ipykernel.kernelapp import IPKernelApp

    os.environ.pop("JPY_PARENT_PID", None)  # its parent is not who asked for it, and has it ended otherwise
    _count_cores()
    Path(os.environ[PLACE]).with_name(f"kernel.{os.getpid()}").touch()
    IPKernelApp.launch_instance(sys.argv[2:])


def _count_cores() -> None:
    """Have MindSpore's oneDNN count the cores there are, before this process may be given fewer.

    It does so at its first use, for as long as the process lasts, and where it counts one it sums gradients otherwise.
    """
    import mindspore as ms

    from suppress_privacy import configure

    configure("CPU")
    one = ms.Tensor([[1.0]])
    ms.ops.MatMul()(one, one).asnumpy()
    os.environ[COUNTED] = str(len(os.sched_getaffinity(0)))


def usable_cores() -> int:
    """How many cores MindSpore has counted in this process, or will: of one alone it sums gradients otherwise."""
    return int(os.environ.get(COUNTED) or len(os.sched_getaffinity(0)))


def ask(arguments: list[str]) -> int:
    """Have a starter do it, and wait; without one, become a process that does.

    Returns:
        the exit code.
    """
    parent = os.getppid()
    with socket.socket(socket.AF_UNIX) as served:
        try:
            served.connect(os.environ[PLACE])
            socket.send_fds(served, [b"."], [0, 1, 2])
            asked = {"arguments": arguments, "folder": os.getcwd(), "environ": dict(os.environ)}
            served.sendall(json.dumps(asked).encode() + b"\n")
        except (KeyError, OSError):
            anew(arguments)
        signal.signal(signal.SIGINT, lambda *_: served.sendall(b"i"))
        while not select.select([served], [], [], 1)[0]:
            if os.getppid() != parent:
                return LOST  # and so the connection ends, and with it what was asked for
        answer = served.recv(64)
    if answer and json.loads(answer) == ANEW:
        anew(arguments)
    return json.loads(answer) if answer else LOST


def anew(arguments: list[str]) -> NoReturn:
    """Start Python for it."""
    kernel = arguments[0] == "--kernel"
    module, rest = ("ipykernel_launcher", arguments[1:]) if kernel else ("suppress_study.run", arguments)
    os.execv(sys.executable, [sys.executable, "-m", module, *rest])


if __name__ == "__main__":
    if sys.argv[1] == "--serve":
        serve(socket.socket(fileno=int(sys.argv[2])))
    else:
        sys.exit(ask(sys.argv[1:]))
