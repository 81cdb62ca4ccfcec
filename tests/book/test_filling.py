import re

from report import filling


def test_a_section_that_shows_nothing_is_left_out():
    page = "# Title\n\n{{ gone }}\n\n## Words\n\nProse.\n\n## Empty\n\nRead this:\n\n{{ gone }}\n\n{{ none }}\n\n"
    page += "### Half\n\n{{ gone }}\n\n{{ there }}\n"
    left = filling.without_empty_sections(page, {"gone": "", "none": "", "there": "table"})
    assert re.findall("^#+ (.*)$", left, flags=re.M) == ["Words", "Half"]
    assert filling.without_empty_sections(page, {}) == page  # an unknown name is for Sphinx to complain about
