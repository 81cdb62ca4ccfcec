"""Links to terms carry their definitions, and show them to mouse, keyboard and screen reader."""

import re

import pytest
from bs4 import BeautifulSoup
from sphinx.application import Sphinx

from browser import browser_page
from conftest import ROOT

BOOK = ROOT / "book"


@pytest.fixture(scope="module")
def html(tmp_path_factory):
    """A page with links to terms, beside the book's glossary."""
    folder = tmp_path_factory.mktemp("terms")
    (folder / "glossary.md").write_text((BOOK / "glossary.md").read_text("utf-8"), "utf-8")
    page = "# A page\n\nOf {term}`skill` and {term}`images <private image>`, [all](glossary.md).\n"
    (folder / "index.md").write_text(f"{page}\n```{{toctree}}\nglossary\n```\n", "utf-8")
    settings = {"extensions": ["myst_parser", "report.terms"], "project": "terms", "html_theme": "basic"}
    out = folder / "html"
    Sphinx(folder, None, out, folder / "trees", "html", settings, status=None, warningiserror=True).build()
    return out


def test_a_link_to_a_term_has_its_definition_for_a_title(html):
    soup = BeautifulSoup((html / "index.html").read_text("utf-8"), "html.parser")
    skill, image = soup.select("a[href*='#term-']")
    assert skill["title"].startswith("The share of the mean image")
    assert image.text == "images" and image["title"].startswith("An image that its owner keeps.")
    assert not soup.select_one("p > a[href='glossary.html']").get("title")


def test_each_word_of_the_glossary_is_linked_to_and_each_link_has_a_word():
    known = set(re.findall(r"^(\w.*)$", (BOOK / "glossary.md").read_text("utf-8").partition("{glossary}\n")[2], re.M))
    pages = " ".join(page.read_text("utf-8") for page in BOOK.glob("*.md"))
    linked = re.findall(r"\{term\}`(?:[^`<]*<)?([^`>]+)>?`", re.sub(r"\s+", " ", pages))
    assert {each.lower() for each in linked} <= {each.lower() for each in known}


def test_a_definition_is_shown_to_mouse_and_keyboard_and_closed_by_escape(html):
    with browser_page(html.as_uri()) as page:
        page.goto(f"{page.home}/index.html")
        page.add_style_tag(path=BOOK / "static" / "book.css")
        page.add_script_tag(path=BOOK / "static" / "glossary.js")
        page.evaluate("document.dispatchEvent(new Event('DOMContentLoaded'))")
        link, tip = page.locator("a.term").first, page.locator("[role=tooltip]").first
        assert not tip.is_visible() and link.get_attribute("title") is None
        assert link.get_attribute("aria-describedby") == tip.get_attribute("id")
        link.hover()
        assert tip.is_visible() and tip.inner_text().startswith("The share of the mean image")
        page.set_viewport_size({"width": 390, "height": 600})
        page.locator("a.term").nth(1).hover()
        assert page.evaluate("document.documentElement.scrollWidth") <= 390  # nor does the page scroll sideways
        page.mouse.move(0, 500)
        assert not tip.is_visible()
        link.focus()
        assert tip.is_visible()
        page.keyboard.press("Escape")
        assert not tip.is_visible() and page.complaints == []
