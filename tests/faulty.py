"""Faults where a process writes: one write, rename, fsync, creation or deletion fails, or the process is killed there.

    with Faults(folder, at=7, kind="full") as faults:
        ...

Points are counted from 1, each where something under the folder is about to change; `faults.count` says how many there
were, `faults.passed` which of them this process passed, and `faults.struck` at which it happened.

    full       this once nothing is left on the disk: of what was to be written the first half is
    read-only  from there on nothing can be changed any more
    killed     the process ends there, so that nothing after it happens, no cleaning up either
"""

import builtins
import errno
import fcntl
import io
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

KINDS = ("full", "read-only", "killed")
CHANGES = ("replace", "rename", "unlink", "remove", "rmdir", "mkdir", "fsync")
FAULTS = "FAULTS"  # in the environment of a process that has a fault: folder, point, kind and file of the count
NOW: list["Faults"] = []  # those that are in force: at most one
REAL = {name: getattr(os, name) for name in CHANGES}
OPEN = io.open


class Killed(BaseException):
    """The process has ended here."""


class Faults:
    """What is written under a folder, counted, and what fails of it.

    Args:
        folder: what lies outside is left alone.
        at: the point at which it happens; 0 only counts.
        kind: what happens, one of KINDS.
        shared: a file by which several processes count together; the one that is struck is then truly killed.
    """

    def __init__(self, folder: Path, at: int = 0, kind: str = "killed", shared: Path | None = None) -> None:
        self.folder, self.at, self.kind, self.shared = os.path.abspath(folder), at, kind, shared
        self.count, self.struck = 0, ""
        self.passed: list[str] = []

    def __enter__(self) -> "Faults":
        install()
        NOW.append(self)
        return self

    def __exit__(self, *_: Any) -> None:
        NOW.remove(self)

    @property
    def dead(self) -> bool:
        return bool(self.struck) and self.kind == "killed"

    def holds(self, path: Any) -> bool:
        path = path.fileno() if hasattr(path, "fileno") else path
        if isinstance(path, int):
            path = os.readlink(f"/proc/self/fd/{path}")
        return os.path.abspath(os.fsdecode(path)).startswith(self.folder + os.sep)

    def point(self, what: str, path: Any, half: Callable[[], Any] = lambda: None) -> None:
        """Pass a point, or be struck there, half of it being done if it is one that can be half done."""
        if not self.holds(path):
            return
        if self.struck and self.kind != "full":
            raise Killed if self.dead else OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))
        self.count = self._next()
        self.passed.append(f"{what} {path}")
        if self.count != self.at:
            return
        self.struck = f"{what} {path}"
        if self.shared:
            with OPEN(f"{self.shared}.struck", "w", encoding="utf-8") as file:
                file.write(self.struck)
        if self.kind == "read-only":
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))
        half()
        if self.kind == "full":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        if self.shared:
            os.kill(os.getpid(), signal.SIGKILL)
        raise Killed(self.struck)

    def _next(self) -> int:
        if self.shared is None:
            return self.count + 1
        with OPEN(self.shared, "ab") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            file.write(b".")
            file.flush()
            return os.fstat(file.fileno()).st_size


class Raw(io.FileIO):
    """A file whose writes are points, each as long as what a buffer hands on."""

    faults: Faults

    def write(self, data: Any) -> int:
        view = memoryview(data).cast("B")
        if self.faults.dead:
            return len(view)  # it has reached nothing
        self.faults.point("write", self.name, lambda: io.FileIO.write(self, view[: len(view) // 2]))
        return io.FileIO.write(self, view)


def opened(file: Any, mode: str = "r", buffering: int = -1, *text: Any, **options: Any) -> Any:
    """io.open, whose files have points."""
    writes = isinstance(mode, str) and set(mode) & set("wax+") and not isinstance(file, int)
    if not (writes and NOW and NOW[0].holds(file)) or options.keys() & {"opener", "closefd"}:
        return OPEN(file, mode, buffering, *text, **options)
    NOW[0].point("open", file)
    raw = Raw(file, mode.replace("b", "").replace("t", ""))
    raw.faults = NOW[0]
    if buffering == 0:
        return raw
    buffered = io.BufferedRandom(raw) if "+" in mode else io.BufferedWriter(raw)
    if "b" in mode:
        return buffered
    wrapped = io.TextIOWrapper(buffered, *text, **options)
    wrapped.mode = mode
    return wrapped


def changing(name: str) -> Callable[..., Any]:
    """A function of os that changes files, with a point before it."""

    def changed(path: Any, *arguments: Any, **options: Any) -> Any:
        there = name == "mkdir" and os.path.isdir(path)  # which no fault can change
        if NOW and not there:
            folder = options.get("dir_fd")
            place = path if folder is None else os.path.join(os.readlink(f"/proc/self/fd/{folder}"), path)
            NOW[0].point(name, arguments[0] if name in ("replace", "rename") else place)
        return REAL[name](path, *arguments, **options)

    return changed


def install() -> None:
    """Put points before all that changes files, without effect while no fault is in force."""
    builtins.open = io.open = opened
    for name in CHANGES:
        setattr(os, name, changing(name))
    shutil._USE_CP_SENDFILE = False  # by which a file is copied without a write


def from_environment() -> None:
    """The fault that FAULTS describes, for the life of this process."""
    if FAULTS in os.environ:
        folder, at, kind, shared = os.environ[FAULTS].split(os.pathsep)
        Faults(Path(folder), int(at), kind, Path(shared)).__enter__()
