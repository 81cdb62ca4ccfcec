"""The code that a run depends on: modules, found by reading what imports what, and a hash of what each of them says.

Nothing is imported for it. A package's own file counts for the names that are taken from it alone, each of which leads
to the module that defines it: so an attack or a defence counts where it is used, and not because it is there. What
modules say is hashed without comments, docstrings and blank lines.
"""

import ast
import hashlib
import io
import os
import tokenize
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

from suppress_study.settings import ROOT

PACKAGES = {"suppress_privacy": ROOT / "lib", "suppress_study": ROOT / "study"}
# What these decide stands in a run's settings, and how a run is started and kept is not what comes out.
APART = {"campaigns", "content", "jobs", "plan", "reading", "settings"} | {
    *("code", "keys", "notebook", "pictures", "provenance", "results", "starter", "weights"),
}

DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def hashes(roots: Iterable[Path]) -> dict[str, str]:
    """The project's modules that these files import, and theirs, and so on, with the roots that are modules.

    Args:
        roots: Python files, of this project or not; or notebooks, of which the imports alone count.

    Returns:
        by path, seen from the project's folder: the first twelve digits of the SHA-256 of what the module says.
    """
    found: set[Path] = set()
    given = [path.resolve() for path in roots]
    waiting = [*given]
    while waiting:
        path = waiting.pop()
        if path not in found:
            found.add(path)
            waiting += _imported(path, path.stat().st_mtime_ns)
    modules = [path for path in found if path.suffix == ".py" and path.stem not in _apart(path)]
    return {_shown(path, given): _said(path, path.stat().st_mtime_ns) for path in sorted(modules)}


def module(name: str) -> Path:
    """The file of a module of this project, by its dotted name."""
    found = _file(name.split("."))
    if found is None:
        raise ValueError(f"{name} is no module of this project")
    return found


def _apart(path: Path) -> set[str]:
    return APART if path.parent == PACKAGES["suppress_study"] / "suppress_study" else set()


def _shown(path: Path, roots: list[Path]) -> str:
    """A path from the project's folder; or, of the user's own code, from the folder that all of it is in."""
    if path.is_relative_to(ROOT):
        return str(path.relative_to(ROOT))
    own = [each.parent for each in roots if not each.is_relative_to(ROOT)]
    return str(path.relative_to(os.path.commonpath(own)))


@cache
def _tree(path: Path, _written: int) -> ast.Module:
    if path.suffix == ".ipynb":
        import nbformat

        cells = nbformat.read(path, 4).cells
        return ast.parse("\n".join(cell.source for cell in cells if cell.cell_type == "code"))
    return ast.parse(path.read_bytes())


@cache
def _imported(path: Path, written: int) -> tuple[Path, ...]:
    """The project's files that one file imports from, whenever it does."""
    if path.stem in _apart(path):
        return ()
    found = []
    for node in ast.walk(_tree(path, written)):
        if isinstance(node, ast.Import):
            found += [_file(alias.name.split(".")) for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found += [_defined(str(node.module).split("."), alias.name) for alias in node.names]
    return tuple(dict.fromkeys(each.resolve() for each in found if each))


def _file(parts: list[str]) -> Path | None:
    """The file of a module or package, if it is the project's."""
    if parts[0] not in PACKAGES:
        return None
    place = PACKAGES[parts[0]].joinpath(*parts)
    return next((path for path in (place.with_suffix(".py"), place / "__init__.py") if path.is_file()), None)


def _defined(parts: list[str], name: str) -> Path | None:
    """The file of what `from parts import name` takes: a module, or where a package has the name from."""
    own = _file(parts)
    if own is None or own.name != "__init__.py":
        return own
    if inner := _file([*parts, name]):
        return inner
    for node in _tree(own, own.stat().st_mtime_ns).body:
        if isinstance(node, ast.ImportFrom) and name in {alias.asname or alias.name for alias in node.names}:
            return _defined(str(node.module).split("."), name)
    return own


@cache
def _said(path: Path, _written: int) -> str:
    return hashlib.sha256("\n".join(_lines(path)).encode()).hexdigest()[:12]


def _lines(path: Path) -> Iterator[str]:
    """A module's lines without comments, docstrings and blank ones."""
    text = path.read_text("utf-8")
    lines = text.splitlines()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            row = token.start[0] - 1
            lines[row] = lines[row][: token.start[1]]
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, DOCUMENTED) and ast.get_docstring(node):
            for row in range(node.body[0].lineno - 1, node.body[0].end_lineno or 0):
                lines[row] = ""
    yield from (stripped for line in lines if (stripped := line.rstrip()))
