"""What is put under book/ before it is built."""

import subprocess
import sys

from build import as_shown, contents
from conftest import ROOT
from report.figures import FIGURES


def test_an_executed_notebooks_images_have_the_registrys_words():
    alt = FIGURES["ladder"].alt
    figure = {"output_type": "execute_result", "metadata": {"image/png": {"alt": alt}}, "data": {"image/png": ""}}
    own = {"mystnb": {"image": {"alt": "words of the notebook"}}, "papermill": {"duration": 1}}
    notebook = {
        "metadata": {"papermill": {"input_path": "/secret"}, "kernelspec": {}},
        "cells": [
            {"cell_type": "code", "metadata": {"tags": ["hide-input"], "papermill": {}}, "outputs": [figure]},
            {"cell_type": "code", "metadata": own, "outputs": [{"output_type": "stream", "text": ""}]},
            {"cell_type": "markdown", "metadata": {}, "source": ["words"]},
        ],
    }
    shown = as_shown(notebook)
    assert shown["metadata"] == {"kernelspec": {}}
    assert [cell["metadata"] for cell in shown["cells"]] == [
        {"tags": ["hide-input"], "mystnb": {"image": {"alt": alt}}},
        {"mystnb": {"image": {"alt": "words of the notebook"}}},
        {},
    ]


def test_sections_of_a_notebook_that_show_nothing_are_left_out():
    def code(*outputs):
        return {"cell_type": "code", "metadata": {}, "outputs": list(outputs), "source": []}

    def words(text):
        return {"cell_type": "markdown", "metadata": {}, "source": [text]}

    nothing = {"data": {"text/plain": "<Markdown>", "text/markdown": ""}, "metadata": {}}
    table = {"data": {"text/markdown": "| a |"}, "metadata": {}}
    picture = {"data": {"image/png": "", "text/plain": "<Image>"}, "metadata": {}}
    cells = [
        *(
            words("# Title"),
            code(),
            words("## Gone"),
            code(nothing),
            code(),
            words("## Table"),
            code(nothing, table),
        ),
        *(words("## Picture"), code(picture), words("## Words alone")),
    ]
    shown = as_shown({"metadata": {}, "cells": cells})["cells"]
    assert [cell["source"] for cell in shown if cell["cell_type"] == "markdown"] == [
        *(["# Title"], ["## Table"], ["## Picture"], ["## Words alone"]),
    ]


def test_the_contents_are_the_pages_that_there_are():
    results = {"chapters": [{"file": "verdict"}, {"file": "notebooks/nowhere"}]}
    toc = {"parts": [results, {"chapters": [{"file": "your_run"}]}]}
    assert contents(toc, {"your_run", "before"}) == {"parts": [{"chapters": [{"file": "verdict"}]}]}
    assert len(contents(toc, {"before"})["parts"]) == 2


def test_a_book_without_a_run_says_what_to_do(tmp_path):
    run = subprocess.run([sys.executable, ROOT / "book" / "build.py", tmp_path], capture_output=True, text=True)
    assert run.returncode == 2 and run.stderr.endswith("holds no summary.json: run the study of that profile first.\n")
