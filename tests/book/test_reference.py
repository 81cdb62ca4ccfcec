"""The pages on the library are made from it, and leave nothing out. How they look, test_workflow.py sees."""

import ast
import re
from typing import Annotated

import suppress_privacy
from conftest import ROOT
from report.reference import modules, page, with_plain_types, with_ranges
from suppress_privacy.checks import Bounds, checked

LIBRARY = ROOT / "lib" / "suppress_privacy"


def test_every_module_has_a_page():
    files = {path.relative_to(LIBRARY.parent).with_suffix("") for path in LIBRARY.rglob("*.py")}
    expected = {".".join(path.parts) for path in files if path.name != "__init__"} | {"suppress_privacy"}
    assert {module.__name__ for module in modules()} == expected


def test_every_public_name_is_documented():
    """What is not is left out of its page."""
    for path in sorted(LIBRARY.rglob("*.py")):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ClassDef | ast.FunctionDef) and not node.name.startswith("_"):
                assert ast.get_docstring(node), f"{path}: {node.name}"


def test_the_packages_page_leads_to_all_that_it_exports():
    shown = page(suppress_privacy)
    for name in suppress_privacy.__all__:
        thing = getattr(suppress_privacy, name)
        assert f"{{py:obj}}`{name} <{thing.__module__}.{thing.__qualname__}>`" in shown


def test_each_name_in_the_place_of_mindarmours_leads_to_its_page():
    text = (ROOT / "book" / "drop_in.md").read_text()
    imported = re.search(r"from suppress_privacy import \((.*?)\)", text, re.S)[1]
    assert set(re.findall(r"\w+", imported)) - set(re.findall(r"\{py:obj\}`[^`]*?\.(\w+)(?: <[^`]*)?`", text)) == set()


def test_an_arguments_range_stands_with_it_in_the_words_of_a_refusal():
    @checked
    def step(batch: Annotated[int, Bounds(at_least=1)], name: str, share: Annotated[float, Bounds(below=1)] = 0.5):
        """Do."""

    lines = ["Do.", "", ":param batch: images.", ":param name: its own.", "", ".. rubric:: Examples"]
    with_plain_types(None, step, False)
    with_ranges(None, "function", "step", step, None, lines)
    assert step.__annotations__ == {"batch": int, "name": str, "share": float}
    assert [line for line in lines if line.startswith(":type")] == [
        ":type batch: *an integer from 1*",
        ":type share: *a number below 1*",
    ]
    assert lines.count(":param batch: images.") == 1 and ":param share:" in lines
    assert lines[-1] == ".. rubric:: Examples"
