"""A page is described by its own first paragraph, with its title."""

from types import SimpleNamespace

from bs4 import BeautifulSoup
from docutils.core import publish_doctree

from report.described import LENGTH, describe

APP = SimpleNamespace(config=SimpleNamespace(project="A book", html_title="The book"))
SETTINGS = {"doctitle_xform": False, "report_level": 5}


def described(page):
    context = {"metatags": "<meta name='before'>"}
    describe(APP, "page", "page.html", context, page and publish_doctree(page, settings_overrides=SETTINGS))
    metas = BeautifulSoup(context["metatags"], "html.parser").select("meta")
    return {meta.get("name") or meta["property"]: meta.get("content") for meta in metas}


def test_the_first_paragraph_of_its_own_describes_a_page():
    found = described('A "title"\n=========\n\n* an item\n\n**No** protection\nwas "found".\n\nMore.\n')
    assert found["description"] == found["og:description"] == 'No protection was "found".'
    assert found["og:title"] == 'A "title"' and found["og:site_name"] == "The book" and "before" in found


def test_a_long_paragraph_is_cut_between_words():
    said = described(f"Title\n=====\n\n{'word ' * 100}\n")["description"]
    assert said.endswith("word …") and LENGTH - 10 < len(said) <= LENGTH + 2


def test_what_is_no_page_of_its_own_has_no_description():
    assert described(None) == {"before": None}
