"""As a Sphinx extension, one page for each module of the library, from its docstrings.

Signatures show plain types; what a value may be besides, by its annotation, stands with the argument, in the words in
which the library refuses another.
"""

import inspect
import pkgutil
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, get_type_hints

from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.ext import autodoc

import suppress_privacy
from suppress_privacy.checks import annotations_of, words

FOLDER = "reference"  # of the pages, under the book's


def modules() -> Iterator[ModuleType]:
    """The package and all its modules that have anything of their own."""
    yield suppress_privacy
    for found in pkgutil.walk_packages(suppress_privacy.__path__, "suppress_privacy."):
        if not found.ispkg:
            yield import_module(found.name)


def page(module: ModuleType) -> str:
    """A module's page: what it documents; of the package, what it hands on, and a table of its modules."""
    name = module.__name__
    if module is not suppress_privacy:
        return f"# {name.partition('.')[2]}\n\n```{{eval-rst}}\n.. automodule:: {name}\n   :members:\n```\n"
    named = {each: getattr(module, each) for each in sorted(module.__all__)}
    links = [f"- {{py:obj}}`{each} <{it.__module__}.{it.__qualname__}>`\n" for each, it in named.items()]
    rows = [f"| [{each.__name__}]({each.__name__}.md) | {summary(each)} |\n" for each in modules()][1:]
    table = f"| module | what is in it |\n| --- | --- |\n{''.join(rows)}"
    return f"# {name}\n\n{module.__doc__}\n\n`from {name} import` any of:\n\n{''.join(links)}\n{table}"


def summary(module: ModuleType) -> str:
    """The first line of its docstring."""
    said, *_ = inspect.getdoc(module).splitlines()  # type: ignore[union-attr]
    return said.removesuffix("::")


def write(app: Sphinx, config: Config) -> None:
    """Write the pages; one that is the same already keeps its date, and is not read again."""
    folder = Path(app.srcdir) / FOLDER
    folder.mkdir(exist_ok=True)
    wanted = {folder / f"{module.__name__}.md": page(module) for module in modules()}
    for old in folder.iterdir():
        if old not in wanted or old.read_text("utf-8") != wanted[old]:
            old.unlink()
    for path, text in wanted.items():
        if not path.exists():
            path.write_text(text, "utf-8")


def with_plain_types(app: Sphinx, function: Callable[..., Any], bound: bool) -> None:
    """Let a signature have the types alone, and keep what else annotations say."""
    if inspect.isfunction(function):
        function.allowed = annotations_of(function)  # type: ignore[attr-defined]
        function.__annotations__ = get_type_hints(function)


def without_factory(
    app: Sphinx, what: str, name: str, thing: Any, options: Any, signature: str | None, returned: str | None
) -> tuple[str, str | None] | None:
    """Let a default that is made anew each time be written as what Sphinx can read."""
    return (signature.replace("<factory>", "..."), returned) if signature else None


def with_ranges(app: Sphinx, what: str, name: str, thing: Any, options: Any, lines: list[str]) -> None:
    """Add to each argument what its value may be, where that is more than a type."""
    function = thing.__init__ if inspect.isclass(thing) else thing
    fields = []
    for argument, annotation in getattr(function, "allowed", {}).items():
        if annotation != function.__annotations__[argument] and argument != "return":
            given = f":param {argument}:"
            fields += [] if any(line.startswith(given) for line in lines) else [given]
            fields += [f":type {argument}: *{words(annotation)}*"]
    # In one list with the other fields, which an example may follow.
    place = next((number for number, line in enumerate(lines) if line.startswith((":", ".. rubric"))), len(lines))
    lines[place:place] = ["", *fields, ""]


def setup(app: Sphinx) -> dict[str, bool]:
    app.setup_extension("sphinx.ext.autodoc")
    app.setup_extension("sphinx.ext.napoleon")
    autodoc._CLASS_NEW_BLACKLIST.append("mindspore.nn.cell.Cell.__new__")  # it takes whatever __init__ does
    app.connect("config-inited", write, priority=100)  # before the contents are read
    app.connect("autodoc-before-process-signature", with_plain_types)
    app.connect("autodoc-process-signature", without_factory)
    app.connect("autodoc-process-docstring", with_ranges, priority=600)  # after napoleon
    return {"parallel_read_safe": True}
