"""What is offered to cite is what CITATION.cff says, and editions are those of the changelog."""

import pytest
import yaml
from pybtex.database import parse_string

from conftest import ROOT
from report import cite

PERSON = {"family-names": "Müller & Söhne", "given-names": "Ada"}


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {
            "authors": [PERSON, {"name": "A Body, Inc."}],
            "date-released": "2031-01-02",
            "doi": "10.1/x",
            "url": "https://a.b",
        },
    ],
)
def test_bibtex_reads_the_citation_as_it_is_written(changes):
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text()) | changes
    (entry,) = parse_string(cite.bibtex(citation, "2026"), "bibtex").entries.values()
    assert entry.fields["title"] == f"{{{citation['title']}}}" and entry.fields["version"] == citation["version"]
    assert entry.fields["year"] == ("2031" if changes else "2026")
    assert (entry.fields.get("doi"), entry.fields.get("url")) == (changes.get("doi"), changes.get("url"))
    names = [(person.last_names, person.first_names) for person in entry.persons["author"]]
    assert names == ([(["Müller", "&", "Söhne"], ["Ada"]), (["{A Body, Inc.}"], [])] if changes else names)
    assert len(names) == len(citation["authors"])
    assert "{{" not in cite.bibtex(citation, "2026")  # which a page would fill in


def test_editions_are_the_parts_of_the_changelog_that_say_so():
    changelog = """# Changelog

## Unreleased

- Not this.

## 0.3.0, 2026-12-01: the second edition

### Changed

- All of it, see [errors](book/known_errors.md).

## 0.2.0, 2026-11-25

- Nor this.

## 0.1.0, 2026-11-25: the first edition

- The first.
"""
    said = cite.editions(changelog)
    assert "this" not in said and said.index("the second edition") < said.index("The first.")
    assert "**Changed**" in said and "](known_errors.md)" in said and "#" not in said
    assert "the first edition" in cite.editions((ROOT / "CHANGELOG.md").read_text())
