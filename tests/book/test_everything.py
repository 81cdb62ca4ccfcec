"""The page of all figures has every estimate, and every table whole."""

import re
from dataclasses import replace

import pandas as pd
import pytest
from bs4 import BeautifulSoup
from planted import planted

from report import everything
from report.numbers import TABLES, behind
from report.provenance import Source


def test_every_estimate_of_the_summary_has_its_row(published):
    shown = everything.estimates(published).shows
    rows = published.summary.estimates
    assert shown[["mean", "low", "high"]].to_numpy().tolist() == [
        [row["mean"], row["low"], row["high"]] for row in rows
    ]
    assert (shown["values"] * shown.seeds).tolist() == [row["n"] for row in rows]


@pytest.mark.parametrize("profile", ["smoke", "full"])
def test_titles_tell_all_that_differs_apart(profile):
    shown = everything.estimates(planted(profile)).shows
    assert not shown.duplicated(["attack", "network", "metric", "judge"]).any()


def test_estimates_have_the_titles_of_what_they_are_of(published):
    shown = everything.estimates(published).shows.set_index(["attack", "network", "metric", "judge"])
    suppressed, attack = published.pair[1], published.learned[-1]
    found = published.estimate("rank1", suppressed.factors, attack)
    row = shown.loc[attack.title, suppressed.title, "identified among its class", ""]
    assert (row["mean"], row.low, row["values"], row.seeds) == (found.mean, found.low, 500, 5)
    assert {"black image"} == {attack for attack, network, *_ in shown.index if network == "any"} - {"mean image"}


def test_what_the_plan_has_no_more_is_named_by_its_factors():
    report = planted()
    rows = [{**row, "arm": "gone", "attack": "of-old"} for row in report.summary.estimates[:1]]
    old = replace(report, summary=report.summary.model_copy(update={"estimates": rows}))
    assert everything.estimates(old).shows[["attack", "network"]].to_numpy().tolist() == [["of-old", "gone"]]


def test_all_tables_stand_on_the_page_as_their_data_say(tmp_path):
    report = planted()
    known = behind(report, tmp_path)
    page = everything.page(known, report)
    sections = dict(re.findall(r'<section id="(\w+)">(.*?)</section>', page, flags=re.S))
    written = {name for name, write in TABLES.items() if write(report)}
    assert set(sections) == written | {"estimates"} and set(re.findall(r'href="#(\w+)"', page)) == set(sections)
    for name, section in sections.items():
        table = BeautifulSoup(section, "html.parser").table
        assert [cell.text for cell in table.thead.select("th")] == [*known[name].shows.columns]
        rows = [[cell.text for cell in row.select("td")] for row in table.tbody.select("tr")]
        if name != "estimates":
            assert rows == known[name].shows.to_numpy().tolist()
        assert len(rows) == len(known[name].shows) and f"_static/data/{name}.csv" in section
    assert known["ladder_table"].shows.iloc[3, 2] in sections["ladder_table"]


def test_what_a_table_says_is_text_and_long_texts_are_whole():
    source = Source("a < b", pd.DataFrame({"text": ["<b>x</b>" + 200 * "y"]}), [])
    page = everything.page({"x": source}, planted())
    assert "&lt;b&gt;x&lt;/b&gt;" + 200 * "y" in page and "<h2>a &lt; b</h2>" in page
