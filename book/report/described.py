"""As a Sphinx extension, what says of each page to search engines and to whoever shares it what it is about."""

from html import escape
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx

LENGTH = 200  # characters of a description, as much as is commonly shown


def describe(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: nodes.document | None) -> None:
    """Describe a page by the first of its own paragraphs."""
    if doctree is None:
        return
    own = (each.astext() for each in doctree.findall(nodes.paragraph) if isinstance(each.parent, nodes.section))
    said = " ".join(next(own, "").split())
    said = said if len(said) <= LENGTH else f"{said[:LENGTH].rsplit(' ', 1)[0]} …"
    title = doctree.next_node(nodes.title)
    tags = {
        "og:title": title.astext() if title else app.config.project,
        "og:type": "article",
        "og:site_name": app.config.html_title or app.config.project,
        "og:description": said,
    }
    metas = [f'<meta property="{name}" content="{escape(text)}">' for name, text in tags.items()]
    context["metatags"] += "\n".join([f'<meta name="description" content="{escape(said)}">', *metas])


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("html-page-context", describe)
    return {"parallel_read_safe": True}
