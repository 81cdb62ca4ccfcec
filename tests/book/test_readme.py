"""The README begins with what the published run says."""

import matplotlib.pyplot as plt
import numpy as np

import readme
from conftest import ROOT
from report import front
from report.figures import keep


def test_the_readme_begins_with_the_published_answer(published):
    text = readme.README.read_text()
    assert text == readme.written(published, text), "python book/readme.py writes it anew"
    title, answer, picture = text.split("\n\n")[:3]
    assert title.startswith("# ") and answer.endswith(front.answer(published)) and picture.startswith("![")


def test_another_answer_would_be_written(published):
    text = readme.README.read_text()
    stale = text.replace(front.answer(published), "**Yes.**")
    assert stale != text and readme.written(published, stale) == text


def test_the_readmes_picture_is_the_published_runs(published, tmp_path):
    """Within what another version of a font or a compressor changes."""
    keep(published, "overview", tmp_path / "overview.png")
    now, kept = plt.imread(tmp_path / "overview.png"), plt.imread(ROOT / "book" / "static" / "overview.png")
    assert now.shape == kept.shape and np.abs(now - kept).mean() < 0.01, "python book/readme.py draws it anew"
