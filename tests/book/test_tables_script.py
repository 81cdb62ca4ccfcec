"""Tables are sorted and filtered in a browser, by keyboard too, from a file; without the script they are tables."""

import pandas as pd
import pytest

from browser import browser_page
from conftest import ROOT
from report.runs import anchor

ROWS = [  # name, number, figures and tables it is behind
    ("Beta", "1,000", "ladder grid"),
    ("alpha", "-0.5 [-1, 0]", "ladder"),
    ("", "n/a", ""),
    ("gamma <b>", "12 %", "ladder_table"),
    ("delta", "", "grid"),
    ("Epsilon", "2e-3", ""),
]


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """A page from a file, with one table."""
    frame = pd.DataFrame([row[:2] for row in ROWS], columns=["name", "number"])
    table = frame.to_html(index=False, classes="sortable")
    for name, _, used in ROWS:
        table = table.replace("    <tr>\n", f'    <tr id="{anchor(name)}" data-for="{used}">\n', 1)
    script = (ROOT / "book" / "static" / "tables.js").read_text()
    page = tmp_path_factory.mktemp("page") / "page.html"
    page.write_text(
        f'<meta charset="utf-8"><div class="wide" aria-label="A table">{table}</div><script>{script}</script>'
    )
    return page.as_uri()


@pytest.fixture(scope="module")
def browser(address):
    with browser_page(address) as page:
        yield page


@pytest.fixture
def page(browser, address):
    """The page as it is opened; nothing on it goes wrong."""
    browser.complaints.clear()
    browser.goto(address)
    yield browser
    assert browser.complaints == []


def shown(page, column=0):
    return [
        row.query_selector_all("td")[column].inner_text()
        for row in page.query_selector_all("tbody tr")
        if row.is_visible()
    ]


def test_a_head_sorts_numbers_as_numbers_up_and_then_down(page):
    up = ["-0.5 [-1, 0]", "2e-3", "12 %", "1,000"]
    page.get_by_role("button", name="number").click()
    assert shown(page, 1) == [*up, "n/a", ""]
    assert page.get_by_role("columnheader", name="number").get_attribute("aria-sort") == "ascending"
    page.get_by_role("button", name="number").click()
    assert shown(page, 1) == [*reversed(up), "n/a", ""]  # words and what is empty stay last
    assert page.get_by_role("columnheader", name="number").get_attribute("aria-sort") == "descending"
    page.get_by_role("button", name="name").click()
    assert shown(page) == ["alpha", "Beta", "delta", "Epsilon", "gamma <b>", ""]
    assert page.get_by_role("columnheader", name="number").get_attribute("aria-sort") is None


def test_words_in_any_order_filter_rows_and_their_number_is_said(page):
    box, told = page.get_by_role("searchbox", name="Filter the rows of: A table"), page.get_by_role("status")
    assert told.inner_text() == "6 of 6 rows"
    box.fill("a GAMMA")
    assert shown(page) == ["gamma <b>"] and told.inner_text() == "1 of 6 rows"
    box.fill("a")
    page.get_by_role("button", name="name").click()  # what is hidden stays so
    assert shown(page) == ["alpha", "Beta", "delta", "gamma <b>", ""] and told.inner_text() == "5 of 6 rows"
    box.fill("")
    assert len(shown(page)) == 6


def test_all_of_it_works_by_keyboard(page):
    page.keyboard.press("Tab")
    page.keyboard.type("beta")
    assert shown(page) == ["Beta"]
    for _ in "beta":
        page.keyboard.press("Backspace")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert shown(page)[0] == "alpha"


def test_an_address_asks_for_the_rows_behind_a_figure(page, address):
    page.goto(f"{address}?for=ladder")
    assert shown(page) == ["Beta", "alpha"] and page.get_by_role("status").inner_text() == "2 of 6 rows"
    page.get_by_role("searchbox").fill("e")
    assert shown(page) == ["Beta"]
    page.get_by_role("link", name="show all").click()
    assert len(shown(page)) == 6
    page.goto(f"{address}?for=<img src=x onerror=alert(1)>")
    assert shown(page) == [] and not page.query_selector_all("img")


def test_without_the_script_all_rows_are_there(browser, address):
    plain = browser.context.browser.new_page(java_script_enabled=False)
    plain.goto(f"{address}?for=ladder")
    assert len(shown(plain)) == 6 and plain.query_selector("input") is None
    plain.close()
