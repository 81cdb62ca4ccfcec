"""As a Sphinx extension, what gives each link to a term of the glossary its definition for a title.

static/glossary.js shows it where the link is pointed at or has the focus; without it a browser shows the title.
"""

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment

GLOSSARY = "glossary"  # the page


def definitions(env: BuildEnvironment) -> dict[str, str]:
    """What each term means, by the anchor of its entry."""
    found: dict[str, str] = {}
    for item in env.get_doctree(GLOSSARY).findall(nodes.definition_list_item):
        text = " ".join(node.astext() for node in item.findall(nodes.definition))
        found |= {anchor: " ".join(text.split()) for term in item.findall(nodes.term) for anchor in term["ids"]}
    return found


def define(app: Sphinx, doctree: nodes.document, page: str) -> None:
    """Write the definitions into the links of a page."""
    links = [link for link in doctree.findall(nodes.reference) if f"{GLOSSARY}.html#term-" in link.get("refuri", "")]
    known = definitions(app.env) if links else {}
    for link in links:
        link["reftitle"] = known[link["refuri"].partition("#")[2]]


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("doctree-resolved", define, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
