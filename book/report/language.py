"""Texts as they are, or in Chinese by catalogues, which `make texts` brings up to date."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

from babel.messages.pofile import read_po

CHINESE = "zh_CN"
CATALOGUES = Path(__file__).parents[1] / "locale" / CHINESE / "LC_MESSAGES"
PAGES = ("index", "verdict", "rerun", "drop_in", "glossary", "references")  # that there are in both languages
COMMENT = re.compile(r"(?:^|(?<=\s))# +(.+)$", re.M)  # in a block of code
OF_REPORT = "report"  # the catalogue of what is computed; every other one is of a page by its name
# What the study calls things in texts that a summary holds, besides their titles.
SAID = (
    *("the strongest attack", "the strongest attack on a gradient", "a training", "canaries", "others"),
    *("cpu", "ascend", "test images", "the same images out of it", "nothing is documented of this campaign", "none"),
    *("none differs beyond chance", "not part of the published run", "not comparable: too few published trainings"),
)
# How the study has put texts together that a summary holds, the most particular first.
COMPOSED = (
    "the opposite: {what}",
    "nothing to lower: {what} finds no members",
    "{what} of {arms} has fewer than {count} seeds in this run",
    "attack too weak: {checks}",
    "a model is not what it should be: {checks}",
    "{inside} of {compared} figures agree with the published run; {chance} of them would lie outside by chance; "
    "{found}.",
    "No figure of it can be held beside the published run ({notes}).",
    "not comparable: {data} with {count} training images",
    "not comparable: {data} of other bytes",
    "not comparable: {count} private images",
    "other settings: {settings}",
    "{count} differ beyond chance ({figures})",
    "{named} and {count} more",
    "about {count}",
    "{what}, expected {low} to {high}, {others}",
    "{what}, expected {low} to {high}",
    "{what}, less that of {other}",
    "{what}, images in the training",
    "{what}, training images",
    "{attack} of {arm}: {metric} {value}",
    "{arm}: {metric} {value}",
    "{attack} on training images, {arm}: {metric}",
    "{attack} among {group} on {arm}: {metric}",
    "{attack} among {group} of {arm}",
    "{attack} on {arm} beyond {other}: {metric}",
    "{attack} on {arm}: {metric}",
    "{attack} on {arm}",
    "{arm}: {metric}",
    "{named} ({count} seeds)",
    "{named} ({scale})",
    "{check} of {arm}",
    "{one} and {other}",
    "{one}, {other}",
)
# What Sphinx and the theme call parts and buttons of a page in English alone.
OF_THEME = (
    *("Toggle primary sidebar", "Toggle secondary sidebar", "System Settings", "Color mode", "Main", "Page"),
    *("Announcement", "Link to this heading", "Link to this term"),
)
HAN = "[\u4e00-\u9fff]"
NUMBERS, NUMBER = ("count", "value", "low", "high", "inside", "compared"), r"[-+]?\d[\d.,]*"
_known: ContextVar[Mapping[str, str] | None] = ContextVar("known", default=None)


@contextmanager
def in_chinese() -> Iterator[None]:
    """Make texts in Chinese meanwhile."""
    before = _known.set(catalogue(OF_REPORT))
    try:
        yield
    finally:
        _known.reset(before)


def catalogue(name: str) -> dict[str, str]:
    """What is translated for sure in a catalogue, by its English."""
    with (CATALOGUES / f"{name}.po").open("rb") as file:
        found = [each for each in read_po(file) if each.id and each.string and not each.fuzzy]
    return {str(each.id): str(each.string) for each in found}


def _(text: str, more: str = "", /, **values: object) -> str:
    """A text of the report's own, with values at the places of their names.

    Args:
        text: English; all that it can be stands within the call, where `make texts` looks for it.
        more: in its place where `count` is not one.

    Raises:
        KeyError: it is not translated.
    """
    text, known = more if more and values["count"] != 1 else text, _known.get()
    return text.format(**values) if known is None else _spaced(known[text].format(**values))


def told(text: str) -> str:
    """A text of study.yaml, claims.yaml or a summary; a name that is nobody's but the user's as it is."""
    known = _known.get()
    if known is None or text in known:
        return text if known is None else known[text]
    # Words that are known come before others: a title may hold what forms put between titles.
    words = "|".join([*map(re.escape, sorted(filter(text.__contains__, known), key=len, reverse=True)), ".+?"])
    for form in COMPOSED:
        if _match(form, ".+?", text) and (found := _match(form, words, text)):  # the first is made once for all texts
            return _spaced(known[form].format(**{name: told(part) for name, part in found.groupdict().items()}))
    return text


def _match(form: str, words: str, text: str) -> re.Match[str] | None:
    """How a text is put together in a form, whose places have a number or some words each."""
    places = {name: f"(?P<{name}>{NUMBER if name in NUMBERS else words})" for name in re.findall(r"\{(\w+)\}", form)}
    return re.fullmatch(re.sub(r"([.()])", r"\\\1", form).format(**places), text)


def _spaced(text: str) -> str:
    """A text with a space wherever what was put in makes Chinese and Latin or digits meet."""
    return re.sub(rf"(?<={HAN})(?=[A-Za-z\d])|(?<=[A-Za-z\d%])(?={HAN})", " ", text)
