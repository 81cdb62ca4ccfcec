"""The environment of what is started here: the caller's shell decides nothing of what comes out."""

import os
import re
from collections.abc import Mapping
from pathlib import Path

from suppress_study.settings import ROOT

OWN = ROOT / ".cache"  # for caches, and for settings in place of the user's
DECIDING = re.compile(
    "MPLBACKEND|MATPLOTLIBRC|PYTHON(HOME|INSPECT|IOENCODING|OPTIMIZE|SAFEPATH|STARTUP|WARNINGS)|"
    "(GIT|GLOG|JUPYTER|PAPERMILL|SNAKEMAKE|VLOG)_.*"
)
FOLDERS = ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "MPLCONFIGDIR")


def surroundings(environ: Mapping[str, str]) -> dict[str, str]:
    """An environment without what decides results and pictures; what is started runs the code of this checkout.

    A home, cache or temporary folder that cannot be written is replaced by one of the project's.
    """
    found = {name: value for name, value in environ.items() if not DECIDING.fullmatch(name)}
    found |= {name: str(OWN / name.lower()) for name in FOLDERS} | {"PYTHONUTF8": "1", "GLOG_v": "3"}
    _can_be_made(OWN)  # IPython complains of a folder whose parent is not there yet
    code = [*(str(ROOT / folder) for folder in ("lib", "study", "book")), environ.get("PYTHONPATH", "")]
    found["PYTHONPATH"] = os.pathsep.join(dict.fromkeys(filter(None, os.pathsep.join(code).split(os.pathsep))))
    home = environ.get("HOME") or os.path.expanduser("~")
    if not os.access(home, os.W_OK):
        home = found["HOME"] = str(OWN / "home")
    if not _can_be_made(Path(found.get("XDG_CACHE_HOME") or f"{home}/.cache")):
        found["XDG_CACHE_HOME"] = str(OWN)
    if not os.access(found.get("TMPDIR", home), os.W_OK):
        found.pop("TMPDIR", None)
    return found


def _can_be_made(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(folder, os.W_OK)
