"""Bring the catalogues of the Chinese edition up to date with the English texts: python book/texts.py, or make texts

New texts come in empty, changed ones with their old translation, marked fuzzy: translate both, in
book/locale/zh_CN/LC_MESSAGES, and take the mark away. Tests name what is left.
"""

import ast
import re
import sys
from collections.abc import Iterator
from itertools import chain

import yaml
from babel.messages.catalog import Catalog
from babel.messages.pofile import write_po
from markdown_it import MarkdownIt
from sphinx_intl.basic import update

from build import BOOK, BUILD, CONFIG, TOC
from report import cards, figures, language
from suppress_privacy.evaluation.metrics import METRICS, label
from suppress_study import compare, launch
from suppress_study.claims import Claims
from suppress_study.plan import Study
from suppress_study.results import PUBLISHED
from suppress_study.settings import ROOT

TEMPLATES = BUILD / "texts"
CODE = r"`[^`]*`|\{[\w:]+\}`[^`]*`"  # in a text; what is nothing else is the same in all languages


def of_page(page: str) -> Iterator[str]:
    """The texts of a page as MyST hands them to gettext: of headings, paragraphs, items and cells; comments of code."""
    for token in MarkdownIt("commonmark").enable("table").parse(page):
        if token.type == "inline" and re.search(r"[^\W\d_]", re.sub(CODE + r"|^\{\{ \w+ \}\}$", "", token.content)):
            yield token.content.replace("\n", " ")  # as Sphinx does
        elif token.type == "fence" and token.info == "{glossary}":
            yield from re.findall(r"^ *(\S.*)$", token.content, re.M)
        elif token.type == "fence":
            yield from language.COMMENT.findall(token.content)


def of_code() -> Iterator[str]:
    """The texts of the code's own that are looked up, in the calls of `_`."""
    for path in sorted(BOOK.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "_":
                parts = [part for argument in node.args for part in ast.walk(argument)]
                values = [part.value for part in parts if isinstance(part, ast.Constant)]
                yield from (value for value in values if isinstance(value, str))


def of_data() -> Iterator[str]:
    """Titles and wordings of the book and the study, and the forms in which the study puts them together."""
    config = yaml.safe_load(CONFIG.read_text("utf-8"))
    yield from (config["title"], config["author"])
    yield from (part["caption"] for part in yaml.safe_load((BOOK / TOC.name).read_text("utf-8"))["parts"])
    overview, published = figures.FIGURES["overview"], ROOT / PUBLISHED
    for study, claims in ((Study.load(), Claims.load()), (Study.of(published), Claims.of(published))):
        yield from (each.title for each in (*study.arms.values(), *study.attacks.values()))
        yield from filter(None, (profile.note for profile in study.profiles.values()))
        yield from (text for claim in claims.claims.values() for text in (claim.text, claim.source))
    yield from (*map(label, (*METRICS, *cards.OF_MODELS)), "test error", "zeros")
    yield from (*launch.EXIT_CODES, *compare.EXIT_CODES, *cards.TITLES.values(), overview.caption, overview.alt)
    yield from (*language.SAID, *language.COMPOSED, *language.OF_THEME)


def texts() -> dict[str, list[str]]:
    """All texts by catalogue, each once."""
    found = {page: of_page((BOOK / f"{page}.md").read_text("utf-8")) for page in language.PAGES}
    found[language.OF_REPORT] = chain(of_code(), of_data())
    return {name: [*dict.fromkeys(each)] for name, each in found.items()}


def main() -> int:
    TEMPLATES.mkdir(parents=True, exist_ok=True)
    for name, found in texts().items():
        template = Catalog(project="suppress-privacy", copyright_holder="")
        for text in found:
            template.add(text)
        with (TEMPLATES / f"{name}.pot").open("wb") as file:
            write_po(file, template, width=100)
    update(str(BOOK / "locale"), str(TEMPLATES), [language.CHINESE], line_width=100, ignore_obsolete=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
