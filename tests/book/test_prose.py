"""No sentence of the book states a figure: figures come from records and settings, by name."""

import re

import pytest

from conftest import ROOT

OF_ONE_RUN = {"known_errors"}  # speaks of figures that were published once, whatever is published now
PAGES = sorted(page for page in (ROOT / "book").glob("*.md") if page.stem not in OF_ONE_RUN)
NOT_PROSE = (
    r"^```.*?^```$",  # code and figures
    r"^\$\$.*?^\$\$.*?$",  # equations
    r"\$[^$]+\$",
    r"`[^`]*`",
    r"\{\{.*?\}\}",
)
# Names (of claims too), versions and the level that all intervals have; ends of scales.
NAMES = "|".join(
    (
        r"\b[RH]\d\b",
        r"LeNet5",
        r"\bL2\b",
        r"SHA-256",
        r"AVX-512",
        r"MindArmour 2\.0\.0",
        r"Python 3\.11 or 3\.12",
        r"the 5,000\s+digits",
        r"\b95 %",
        r"(?<![.\d])[01](?![.\d])",
    )
)


def prose(text):
    for pattern in NOT_PROSE:
        text = re.sub(pattern, "", text, flags=re.M | re.S)
    return re.sub(NAMES, "", text)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_writes_no_figure_of_its_own(page):
    found = [line.strip() for line in prose(page.read_text()).splitlines() if re.search(r"\d", line)]
    assert found == []


def test_a_figure_would_be_seen():
    assert re.search(r"\d", prose("accuracy falls to 97.3 % and {{ this }} $x_0$ is not `0.3`"))
    assert not re.search(r"\d", prose("accuracy is {{ accuracy_1 }}, $x_0$ and `0.3`\n```\n5\n```\nof LeNet5 at 95 %"))
