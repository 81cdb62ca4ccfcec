"""What is wrong with a page is found and named; test_workflow.py looks at all pages of a book."""

import pytest

import pages
from browser import browser_page

PAGE = """<!doctype html><html lang="en" data-theme="light"><meta charset="utf-8"><title>A page</title>
<meta name="viewport" content="width=device-width"><style>
:root { --pst-font-family-base: sans-serif; --pst-font-family-monospace: monospace; }
body { font-family: var(--pst-font-family-base); }
html[data-theme="dark"] body { background: black; color: white; }
</style><main><h1>A page</h1>%s</main></html>"""
SOUND = '<p>Words of <code style="font-family: var(--pst-font-family-monospace)">code</code>, and 1.5.</p>'
ALL, PHONE = [*pages.VIEWS], [(390, "light"), (390, "dark")]
FAULTS = {  # what is wrong, where, and how it is called
    '<p style="font-size: 10px">small</p>': (ALL, 'text smaller than 11 pixels: 1, first "small"'),
    '<svg viewBox="0 0 1000 40" width="1000" style="max-width: 100%"><text y="20" font-size="14">drawn</text></svg>': (
        [each for each in ALL if each[0] < 1280],
        'text smaller than 11 pixels: 1, first "drawn"',
    ),
    '<p style="font-family: serif">written</p>': (ALL, 'not the page\'s: 1, first "written"'),
    "<label>Name <input></label>": (ALL, 'not the page\'s: 1, first "<input>"'),
    '<div style="width: 700px">wide</div>': (PHONE, "scrolls sideways, being 7"),
    '<div style="overflow: hidden; width: 300px"><div style="width: 700px">cut</div></div>': (ALL, "text that is cut"),
    '<i class="fa-solid fa-sun"></i>': (ALL, "icons that are not drawn: 1"),
    '<p style="color: #555">pale</p>': ([(1280, "dark")], "color-contrast"),
    '<pre style="overflow: auto; height: 60px">long\n\n\n\n\n\n\ntext</pre>': ([PHONE[0], ALL[4]], "scrollable-region"),
    '<img src="picture.png" alt="picture.png">': (ALL, "pictures without words"),
    '<div class="drawn"></div>': (ALL, "figures not shown once"),
    "<button></button>": ([(1280, "light")], "button-name"),
    '<style>@font-face { font-family: None; src: url("none.woff") }</style><b style="font-family: None">b</b>': (
        ALL,
        "font None is missing",
    ),
}
ANYWHERE = {
    '<img src="https://example.com/picture.png" alt="">': "https://example.com/picture.png",
    "<script>console.error('failed')</script>": "failed",
    "<p>skill None, {{ number }}</p>": "says None for a value",
}


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A site, on which a page of the browser is."""
    folder = tmp_path_factory.mktemp("site")
    with browser_page(folder.as_uri()) as page:
        yield page, folder


def found(site, content):
    page, folder = site
    (folder / "index.html").write_text(PAGE % content)
    return [*pages.faults(page, folder, {"index": ["h1"]})]


def test_a_sound_page_has_no_fault(site):
    assert found(site, SOUND) == []
    page, folder = site
    assert [*pages.faults(page, folder, {"other": ["h1"]})] == ["other is missing"]


@pytest.mark.parametrize("content", FAULTS)
def test_what_is_wrong_is_named_in_the_views_where_it_is(site, content):
    views, words = FAULTS[content]
    faults = [fault for fault in found(site, SOUND + content) if words in fault]
    assert [fault.split(": ")[1] for fault in faults] == [f"at {width} pixels, {theme}" for width, theme in views]


@pytest.mark.parametrize("content", ANYWHERE)
def test_what_a_page_asks_for_and_says_is_noted(site, content):
    assert any(ANYWHERE[content] in fault for fault in found(site, SOUND + content))
