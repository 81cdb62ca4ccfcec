"""Pages state no figure by themselves, use no word that only their authors know, and begin with a finding."""

import re

import pytest
from planted import planted

from conftest import ROOT
from report import figures, numbers
from report.context import Report
from verify import expected, prose, written_figures

BOOK = ROOT / "book"
PAGES = {page.stem: page.read_text("utf-8") for page in sorted(BOOK.glob("*.md"))}
# What the code calls things; a reader is told: trivial guess, attacks by strength, validity check.
PRIVATE = re.compile(r"\b(floors?|ladders?|gates?|gated|climb(s|ed|ing)?)\b", re.I)
FOUND = {
    "before": "before_found",
    "index": "short_answer",
    "verdict": "answer",
    "defence": "accuracy_found",
    "tutorial": "tutorial_found",
}
FOUND |= {"strong_attacks": "attacks_found", "gradient_leakage": "gradients_found", "membership": "membership_found"}
FOUND |= {
    "controls": "controls_found",
    "elsewhere": "campaigns_found",
    "speed": "bench_found",
    "status": "status_answer",
    "explorer": "explorer_view",
}


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """What fills the pages, of the published run."""
    folder = tmp_path_factory.mktemp("figures")
    for name in figures.FIGURES:
        (folder / f"{name}.html").touch()
    return numbers.substitutions(Report.load(ROOT / "results" / "full"), folder)


def test_a_page_writes_no_figure_of_its_own():
    assert [*written_figures(ROOT / "book")] == []


def test_a_figure_would_be_seen():
    assert re.search(r"\d", prose("accuracy falls to 97.3 % and {{ this }} $x_0$ is not `0.3`"))
    assert not re.search(r"\d", prose("accuracy is {{ accuracy_1 }}, $x_0$ and `0.3`\n```\n5\n```\nof LeNet5 at 95 %"))


def words(said):
    """All texts of what fills pages, without code, links and what only shows a figure."""
    if isinstance(said, dict):
        return " ".join(words(each) for name, each in said.items() if not str(name).startswith("figure_"))
    return re.sub(r"`[^`]*`|<[^>]*>", "", str(said))


@pytest.mark.parametrize("page", PAGES)
def test_a_page_has_no_private_word(page):
    assert not PRIVATE.search(re.sub(r"\{\{.*?\}\}", "", prose(PAGES[page])))


def test_what_is_computed_has_no_private_word(published, tmp_path):
    for said in (published, numbers.substitutions(planted("full"), tmp_path)):
        assert not PRIVATE.search(words(said))


def test_a_private_word_would_be_seen():
    assert PRIVATE.search(prose("an attack that beats the floor")) and PRIVATE.search(words({"a": "all Gates passed"}))
    assert not PRIVATE.search(words({"figure_x": "the floors", "a": "`another-gate` is mitigated"}))


@pytest.mark.parametrize(("page", "name"), FOUND.items())
def test_a_page_opens_with_what_it_found(page, name):
    assert re.match(rf"# [^\n]+\n\n\{{\{{ {name} \}}\}}\n", PAGES[page])


def test_every_other_page_opens_with_a_sentence():
    for page in PAGES.keys() - FOUND.keys() - {"references", "your_run"}:
        assert re.match(r"# [^\n]+\n\n(\*\*)?[A-Z]", PAGES[page]), page


def shown_on_the_first_page(names):
    """Its numbers, without names that have digits."""
    named = re.compile(r"LeNet5|(?<=>)[RHE]\d[a-z]?(?=<)")
    plain = {name: named.sub("", said) if isinstance(said, str) else said for name, said in names.items()}
    return expected(PAGES["index"], plain)


def test_the_first_page_has_few_figures_and_three_facts(published):
    assert len(shown_on_the_first_page(published)) < 25
    assert published["facts"].count("\n- ") == 2 and published["facts"].startswith("- ")


def test_more_figures_on_the_first_page_would_be_seen(published):
    more = published | {"scope": " ".join(map(str, range(25)))}
    assert len(shown_on_the_first_page(more)) >= 25
