"""Every run has a row that others can point to."""

import re
from dataclasses import replace
from html.parser import HTMLParser

from planted import planted

from report.runs import anchor, link, runs_table


class Rows(HTMLParser):
    """Rows of a table: anchor -> cells."""

    def __init__(self):
        super().__init__()
        self.rows, self.tag = {}, ""

    def handle_starttag(self, tag, attrs):
        self.tag = tag
        if tag == "tr":
            self.row = self.rows.setdefault(dict(attrs).get("id"), [])
        if tag in ("td", "th"):
            self.row.append("")

    def handle_endtag(self, tag):
        self.tag = ""

    def handle_data(self, data):
        if self.tag in ("td", "th"):
            self.row[-1] += data


def rows_of(results):
    parser = Rows()
    parser.feed(runs_table(results, {}))
    return parser.rows


def test_a_run_says_where_and_of_what_it_was_made():
    kept = planted().results
    results = replace(kept, runs=dict(kept.runs))  # the report is every test's
    name = "attack-reference-fc1-0.1-cpu-baseline-seed0"
    run = replace(results.runs[name], networks={"victim": "a" * 64, "lenet": "b" * 64}, superseded="another <run>")
    results.runs[name] = run
    results.runs["train-x"] = replace(run, name="train-x", networks={}, superseded="", checkpoint={"sha256": "c" * 64})
    rows = rows_of(results)
    assert len(rows) == len(results.runs) + 1  # and a head
    anchor = "attack-reference-fc1-0_1-cpu-baseline-seed0"
    shown = [name, "one", "a processor", "3", f"victim {'a' * 12}, lenet {'b' * 12}", "superseded by another <run>"]
    assert rows[anchor] == shown
    assert rows["train-x"][4:] == [f"trained {'c' * 12}", ""]


def test_a_link_leads_to_its_row():
    results = planted("full").results
    rows = rows_of(results)
    for run in results.runs:
        (target,) = re.findall(r'href="runs\.html#(.*?)"', link(run, "1"))
        assert rows[target][0] == run
        assert re.fullmatch(r"[\w-]+", target)  # a theme's scripts look for it as a selector


def test_markdown_does_not_end_the_table():
    assert "\n\n" not in runs_table(planted().results, {})


def test_a_run_says_which_figures_it_is_behind():
    results = planted().results
    first, second, *_ = results.runs
    shown = runs_table(results, {first: ["ladder", "grid"]})
    assert f'<tr id="{anchor(first)}" data-for="ladder grid">' in shown
    assert f'<tr id="{anchor(second)}" data-for="">' in shown
