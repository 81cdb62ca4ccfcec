"""What is wrong with a built book's pages, at three widths, light and dark: python tests/pages.py [SITE] [--all-rules]

Each page is loaded once. It may ask for nothing from elsewhere and complain of nothing, axe may find nothing, all text
must be large enough to be read, uncut, and in the page's fonts, and nothing may scroll sideways.
"""

import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from axe_playwright_python.base import AXE_SCRIPT

from browser import browser_page

TAGS = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice")
# Widths in pixels and themes, with axe's rules: all of them once, and those that may come to something else. With
# --all-rules each view is asked all of them, which takes some minutes.
VIEWS: dict[tuple[int, str], tuple[str, ...]] = {
    (390, "light"): ("scrollable-region-focusable", "target-size"),
    (390, "dark"): (),
    (768, "dark"): (),
    (768, "light"): (),
    (1280, "light"): TAGS,
    (1280, "dark"): ("color-contrast", "link-in-text-block"),
}
UNUSED: dict[str, str] = {}  # of these rules, each with the reason
SEARCHED = {"all_figures": "?highlight=the", "index": "?highlight=suppressed"}  # come to from a search
LIMITS = {"smallest": 11, "fewest": 20}  # pixels of a text's size, letters of what a picture is said to show
NO_VALUE = re.compile(r"\{\{|\bNone\b|\bnan\b")
SCRIPT = Path(__file__).with_suffix(".js").read_text("utf-8")
SETTLE = "() => Promise.all([window.MathJax?.startup.promise, document.fonts.ready]).then(() => null)"
SHOWN = "part => [...document.querySelectorAll(part)].some(each => each.checkVisibility())"
SHORTEN = "document.querySelectorAll('tbody tr:nth-child(n + 100)').forEach(each => each.remove())"  # rows are alike
CHANGE = "theme => Object.assign(document.documentElement.dataset, {theme, mode: theme})"
UNWATCHED = "window.FontAwesomeConfig = {observeMutations: false}"  # or each change here costs as much as the page
AT_ONCE = "*, ::before, ::after { transition: none !important; animation: none !important }"


def faults(page: Any, site: Path, parts: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """All that is wrong with a site's pages, in words.

    Args:
        page: of the browser, whose `home` has the site.
        site: the folder.
        parts: selectors of what pages must show that tell results, by their names.
    """
    names = sorted(path.relative_to(site).with_suffix("").as_posix() for path in site.rglob("*.html"))
    yield from (f"{name} is missing" for name in parts.keys() - names)
    page.add_init_script(UNWATCHED)
    seen: set[str] = set()
    for name in names:
        if "_static" not in name.split("/"):  # the theme's, which are parts of no page
            yield from (f"{name}: {fault}" for fault in of_page(page, name, parts.get(name, ()), seen))


def of_page(page: Any, name: str, parts: Sequence[str], seen: set[str]) -> list[str]:
    """All that is wrong with a page, in each view of it; without axe where all kinds of its elements were `seen`."""
    page.complaints.clear()
    page.set_viewport_size({"width": 390, "height": 900})
    page.goto(f"{page.home}/{name}.html{SEARCHED.get(name, '')}")
    page.evaluate(SETTLE)
    if name in SEARCHED and page.evaluate("() => typeof SphinxHighlight !== 'undefined'"):
        page.wait_for_selector("span.highlighted", state="attached", timeout=5000)
    for part in parts:
        page.wait_for_function(SHOWN, arg=part, timeout=5000)
    found = [f"says {each} for a value" for each in NO_VALUE.findall(page.inner_text("main"))] if parts else []
    page.evaluate(SHORTEN)
    page.add_style_tag(content=AT_ONCE)
    page.add_script_tag(content=SCRIPT)
    kinds = {*page.evaluate("kinds()")}
    is_new = not kinds <= seen
    if is_new:
        page.evaluate(AXE_SCRIPT)
    seen |= kinds
    unused = {"rules": {rule: {"enabled": False} for rule in UNUSED}}
    for (width, theme), rules in VIEWS.items():
        if page.viewport_size["width"] != width:
            page.set_viewport_size({"width": width, "height": 900})
        page.evaluate(CHANGE, theme)
        wrong = page.evaluate("limits => measure(limits)", LIMITS)
        if rules and is_new:
            wrong += page.evaluate("options => ask(options)", {"runOnly": rules, **unused})
        found += [f"at {width} pixels, {theme}: {each}" for each in wrong]
    return [*found, *page.complaints]


def main(site: Path) -> int:
    with browser_page(site.resolve().as_uri()) as page:
        found = [*faults(page, site, {})]
    print("\n".join(found))
    return bool(found)


if __name__ == "__main__":
    sites = [argument for argument in sys.argv[1:] if argument != "--all-rules"]
    if sites != sys.argv[1:]:
        VIEWS |= dict.fromkeys(VIEWS, TAGS)
    sys.exit(main(Path(*sites[:1] or ["_build/html"])))
