"""Pages write names that exist, and every figure has its page."""

import re
from dataclasses import replace

import jinja2
import pytest
from planted import planted

from conftest import ROOT
from report import numbers, yours
from report.figures import FIGURES
from report.speed import substitutions as of_speed

PAGES = {page.stem: page.read_text() for page in sorted((ROOT / "book").glob("*.md"))}
BENCH = {"machine": "", "interval": ""}


@pytest.fixture(scope="module")
def substitutions(published, tmp_path_factory):
    folder = tmp_path_factory.mktemp("figures")
    for name in FIGURES.keys() - {"rank"}:
        (folder / f"{name}.html").touch()
    earlier = replace(yours.comparison(published, planted("quick")), settings=["epochs 10 instead of 3"])
    return numbers.substitutions(published, folder, planted("quick"), before=earlier)


def written(page):
    """What a page writes between double braces."""
    return re.findall(r"\{\{ (.*?) \}\}", PAGES[page])


# What the published run has nothing of.
NOT_YET = ("figure_rank", "your_notice", "candidates_table", "weaker_table", "weaker_found")
NOT_YET += ("weaker_small", "explorer_descent", "games_found", "games_small", "why")


@pytest.mark.parametrize("page", [page for page in PAGES if page != "speed"])
def test_a_page_writes_names_that_there_are(substitutions, page):
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined)  # as MyST has it
    for expression in written(page):
        said = environment.from_string(f"{{{{ {expression} }}}}").render(substitutions)
        assert (said and said != "None") or expression in NOT_YET, expression


def test_every_figure_is_on_a_page_and_in_the_notebook():
    on_pages = [name.removeprefix("figure_") for page in PAGES for name in written(page) if name.startswith("figure_")]
    # once at most on the pages that tell of it; and there is a page of all
    assert len(on_pages) == len({*on_pages}) and {*on_pages} < {*FIGURES}
    assert "overview" in written("index") and "all_figures" in written("all_figures")
    notebook = (ROOT / "notebooks" / "compare.ipynb").read_text()
    assert sorted(re.findall(r"figures\.show\(report, \\\"(\w+)\\\"", notebook)) == sorted(FIGURES)


def test_every_table_and_sentence_is_on_a_page():
    used = {name for page in PAGES for name in written(page)}
    assert {part.__name__ for part in numbers.PARTS} - numbers.TABLES.keys() <= used  # tables have a page of their own


def test_a_figure_has_its_words_and_one_that_is_missing_says_so(substitutions, published):
    said = FIGURES["ladder"].said(published)
    shown = "```{raw} html\n:file: generated/figures/ladder.html\n```"
    shown = f"{shown}\n\n:::{{container}} caption-of-figure\n{said}\n:::\n\n"
    assert substitutions["figure_ladder"].startswith(f'{shown}<p class="provenance">')
    assert substitutions["figure_rank"] == ""
    assert "generated/figures/overview.html" in substitutions["overview"]


def test_settings_are_quoted_as_prose_has_them(substitutions):
    assert substitutions["defence"]["mask_times"] == "1,000" and substitutions["defence"]["sparse_end"] == "0.95"
    assert substitutions["attacks"]["tuned"]["anchor_weights"] == "0.3, 1, 3"
    assert (substitutions["masks"]["LARGE_LAYER"], substitutions["upper_bound"]) == ("10,000", "1.2")
    assert (substitutions["fpr"], substitutions["seeds"]) == ("1 %", "5 seeds")
    assert substitutions["strongest"] == "tuned inversion, ridge decoder, decoder network"


def test_a_profile_quotes_its_own_settings(tmp_path):
    found = numbers.substitutions(planted("smoke"), tmp_path)
    assert found["attacks"]["tuned"]["iters"] == "20" and found["defence"]["end_epoch"] == "2"
    assert found["seeds"] == "one seed" and found["run"]["profile"] == "smoke"


def test_the_speed_pages_names_are_the_benchmarks():
    import json

    bench = json.loads((ROOT / "results" / "bench.json").read_text())
    assert set(written("speed")) == set(of_speed(bench))
