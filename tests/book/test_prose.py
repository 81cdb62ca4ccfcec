"""No sentence of the book states a figure: figures come from records and settings, by name."""

import re

from conftest import ROOT
from verify import prose, written_figures


def test_a_page_writes_no_figure_of_its_own():
    assert [*written_figures(ROOT / "book")] == []


def test_a_figure_would_be_seen():
    assert re.search(r"\d", prose("accuracy falls to 97.3 % and {{ this }} $x_0$ is not `0.3`"))
    assert not re.search(r"\d", prose("accuracy is {{ accuracy_1 }}, $x_0$ and `0.3`\n```\n5\n```\nof LeNet5 at 95 %"))
