"""Examples in the library's docstrings: they run, and show every name that users call.

They stand in docstrings, where `help` and editors show them too, and the reference has them from there.
"""

import ast
import doctest
import re
from functools import cache

import pytest

from conftest import ROOT
from suppress_privacy import configure

LIBRARY = ROOT / "lib" / "suppress_privacy"
TREES = {path: ast.parse(path.read_text()) for path in sorted(LIBRARY.rglob("*.py"))}
# Who uses the library: what they call, others do.
USERS = [
    ast.parse(path.read_text()) for folder in ("study", "book", "benchmarks") for path in (ROOT / folder).rglob("*.py")
]
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef)


def module_name(path):
    return ".".join(path.relative_to(ROOT / "lib").with_suffix("").parts).removesuffix(".__init__")


def examples(path):
    """The examples of a module, as its page has them: from top to bottom, in one namespace."""
    nodes = [node for node in ast.walk(TREES[path]) if isinstance(node, DOCUMENTED)]
    found = []
    for node in sorted(nodes, key=lambda node: getattr(node, "lineno", 0)):
        found += doctest.DocTestParser().get_examples(ast.get_docstring(node) or "", getattr(node, "name", ""))
    return found


def own(tree):
    """The names that a module gives itself."""
    names = set()
    for node in tree.body:
        targets = getattr(node, "targets", [getattr(node, "target", None)])
        names |= {node.name} if isinstance(node, ast.ClassDef | ast.FunctionDef) else set()
        names |= {each.id for target in targets if target for each in ast.walk(target) if isinstance(each, ast.Name)}
    return {name for name in names if not name.startswith("_")}


@cache
def identifiers(tree):
    """All names in a module's code, with those that it imports."""
    kinds = ((ast.Name, "id"), (ast.Attribute, "attr"), (ast.alias, "name"))
    return {getattr(node, key) for node in ast.walk(tree) for kind, key in kinds if isinstance(node, kind)}


@cache
def imported(tree):
    """What a module imports, by full name, and the modules that it is from."""
    lines = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    return {f"{line.module}.{alias.name}" for line in lines for alias in line.names} | {line.module for line in lines}


def called(path):
    """The classes and functions of a module that users call: by import, from the package, or by a registry."""
    used = {name for tree in USERS if module_name(path) in imported(tree) for name in identifiers(tree)}
    used |= identifiers(TREES[LIBRARY / "__init__.py"])
    things = [node for node in TREES[path].body if isinstance(node, ast.ClassDef | ast.FunctionDef)]
    things = [node for node in things if not node.name.startswith("_")]
    entered = {
        node.name
        for node in things
        if any(ast.unparse(each).startswith("attack(") for each in node.decorator_list)
        or any(each.arg == "kind" for each in getattr(node, "keywords", ()))
    }
    return ({node.name for node in things} & used) | entered


@pytest.fixture(scope="module")
def start():
    """What the reference says examples begin with."""
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "book" / "reference.md").read_text(), re.S)
    namespace = {"__name__": "examples"}
    exec(code, namespace)
    yield namespace
    configure("CPU", "graph")


@pytest.mark.parametrize("path", [path for path in TREES if examples(path)], ids=module_name)
def test_examples_give_what_they_show(path, start, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    exported = {}
    exec(f"from {module_name(path)} import {', '.join(sorted(own(TREES[path])))}", exported)
    test = doctest.DocTest(examples(path), start | exported, module_name(path), str(path), 0, None)
    said = []
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    runner.run(test, out=said.append)
    assert not said, "".join(said)


@pytest.mark.parametrize("path", TREES, ids=module_name)
def test_every_name_that_users_call_has_an_example(path):
    shown = "".join(each.source + each.want for each in examples(path))
    assert called(path) - set(re.findall(r"\w+", shown)) == set()
