"""As a Sphinx extension, what leads from a page to the same one in the other language, or to the Chinese edition."""

from typing import Any

from docutils import nodes
from sphinx.application import Sphinx

from report.language import CHINESE, PAGES

FOLDER = "zh"  # of the Chinese edition, in that of the pages
OF_BOTH = (*PAGES, "search", "genindex")


def switch(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: nodes.document | None) -> None:
    """Give a page's template where the other language is, and say to search engines that the two belong together."""
    same = page in OF_BOTH
    if app.config.language == CHINESE:
        place, name, code, title = f"../{page}.html", "English", "en", "English"
    else:
        place, name, code = f"{FOLDER}/{page if same else 'index'}.html", "中文", "zh-CN"
        title = "中文版" if same else "中文版首页"
    href = context["pathto"](place, 1)
    context["other_language"] = {"href": href, "code": code, "name": name, "title": title, "same": same}
    if same and doctree:
        context["metatags"] += f'<link rel="alternate" hreflang="{code}" href="{href}">'


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("html-page-context", switch)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
