import re

import pytest

from conftest import ROOT
from report import filling


def test_a_section_that_shows_nothing_is_left_out():
    page = "# Title\n\n{{ gone }}\n\n## Words\n\nProse.\n\n## Empty\n\nRead this:\n\n{{ gone }}\n\n{{ none }}\n\n"
    page += "### Half\n\n{{ gone }}\n\n{{ there }}\n"
    left = filling.without_empty_sections(page, {"gone": "", "none": "", "there": "table"})
    assert re.findall("^#+ (.*)$", left, flags=re.M) == ["Title", "Words", "Half"]
    assert filling.without_empty_sections(page, {}) == page  # an unknown name is for Sphinx to complain about


@pytest.mark.parametrize("path", sorted((ROOT / "book").glob("*.md")), ids=lambda path: path.stem)
def test_a_page_of_which_nothing_was_run_has_its_title_and_says_so(path):
    page = path.read_text("utf-8")
    left = filling.without_empty_sections(page, dict.fromkeys(re.findall(r"\{\{ (\w+) \}\}", page), ""))
    title, text = left.split("\n", 1)
    assert title.startswith("# ") and text.strip()
    bare = filling.without_empty_sections(f"{title}\n\n{{{{ gone }}}}\n", {"gone": ""})
    assert bare == f"{title}\n\nNothing of this has been run.\n"
