"""A checkout of its own, in which a whole study can run."""

import os
import shutil
import subprocess
import sys

# Of whoever runs the tests: the checkout has its own, and keeps what Python compiles of it.
OUTSIDE = {"PYTHONPATH", "PYTHON", "DEVICE", "MAKEFLAGS", "PYTHONDONTWRITEBYTECODE"}


def git(folder, *arguments):
    command = ["git", "-c", "user.name=A Stranger", "-c", "user.email=stranger@example.com", *arguments]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout


def take(source, folder):
    """The files that a commit of `source` would have now, with the environment that is there."""
    for name in git(source, "ls-files", "-z", "--cached", "--others", "--exclude-standard").split("\0")[:-1]:
        if (source / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source / name, folder / name)
    assert os.path.exists(f"{sys.prefix}/ready"), "these tests are run by `make test`"
    (folder / ".venv").symlink_to(sys.prefix)
    for name in ("requirements.lock", "pyproject.toml"):  # or make would set up another
        os.utime(folder / name, (0, 0))


def environment(**more):
    """The checkout's own: it has a path to its code."""
    return {name: value for name, value in os.environ.items() if name not in OUTSIDE} | {"TQDM_DISABLE": "1"} | more


def python(folder, *arguments, **environ):
    """The checkout's Python, or a module of it."""
    call = [folder / ".venv" / "bin" / "python", *map(str, arguments)]
    return subprocess.run(call, cwd=folder, env=environment(**environ), capture_output=True, text=True)


def launch(folder, command, *arguments, **environ):
    return python(folder, "-m", "suppress_study.run", command, *arguments, **environ)
