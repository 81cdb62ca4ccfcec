"""The sizes that tell when a design has gone wrong."""

import sizes
from conftest import ROOT


def test_lines_of_code_are_counted_without_blanks_comments_and_docstrings():
    text = '"""Docstring,\nof two lines."""\n\nx = 1  # one\n# comment\n\n\ndef f(\n    a,\n):\n'
    text += '    """Doc."""\n    return a\n'
    assert len(sizes.code_lines(text)) == 5


def test_no_package_module_or_function_is_too_long():
    assert sizes.over() == []


def test_the_library_knows_nothing_of_the_study():
    words = ("study", "notebook", "snakemake", "papermill", "claims.yaml", "the book")
    for path in sorted((ROOT / "lib").rglob("*.py")):
        text = path.read_text().lower()
        assert [word for word in words if word in text] == [], path
