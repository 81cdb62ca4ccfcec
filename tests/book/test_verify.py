"""What the pages show is compared number by number, and told line by line; built pages are in the workflow's test."""

import json

import pytest

import verify
from suppress_study.verify import Check


def test_the_numbers_of_a_page_are_those_that_a_reader_sees_as_figures():
    html = """<nav>1</nav><article><h1>Of 2 networks</h1><pre>3</pre><p>0.953 of <code>4</code> 10,000
    <span class="math">5</span> (<a href="#equation-x">6</a>)</p><span class="caption-number">Fig. 7</span>
    <td><p>+8.5</p></td></article>"""
    assert verify.figures_in(html) == ["2", "0.953", "10,000", "8.5"]


def test_the_numbers_that_a_page_is_to_show_come_from_what_fills_it():
    page = """# {{ title }}

{{ table }}

```{figure} x.png
:width: 300

Of {{ count }} images $x_1$
```

## Left out

{{ nothing }}

As {cite:t}`someone2020` says: `5`, and $$y = 6$$
"""
    table = "| a | b |\n| --- | --- |\n| 0.5 | **7** [6, 8] |"
    names = {"title": "Two", "table": table, "count": 4, "nothing": ""}
    assert verify.expected(page, names) == ["0.5", "7", "6", "8", "4"]
    assert verify.expected(page, names | {"nothing": "9"}) == ["0.5", "7", "6", "8", "4", "9"]


@pytest.mark.parametrize("wrong", [[], ["one is off", *"23456"]])
def test_each_check_is_a_line_and_what_is_wrong_decides_the_exit_code(monkeypatch, capsys, tmp_path, wrong):
    checks = [Check("files", "all there"), Check("tag", "one tag", wrong), Check("data", "", left="they are not here")]
    monkeypatch.setattr(verify, "verify", lambda folder, seed: [*checks])
    assert verify.main(["--results", str(tmp_path)]) == bool(wrong)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "ok     files: all there" and "left   data: they are not here" in lines
    assert [line for line in lines if line[0] == "w"][:1] == ["wrong  tag: one is off"] * bool(wrong)
    assert ("       and 1 more" in lines) == bool(wrong) != ("ok     tag: one tag" in lines)
    assert verify.main(["--results", str(tmp_path), "--json"]) == bool(wrong)
    said = json.loads(capsys.readouterr().out)
    assert {each["name"]: each["wrong"] for each in said if each["wrong"]} == ({"tag": wrong} if wrong else {})


def test_a_folder_that_has_published_nothing_is_refused_in_a_sentence(tmp_path, capsys):
    assert verify.main(["--results", str(tmp_path)]) == 2
    assert capsys.readouterr().err == f"verify: {tmp_path}/runs.jsonl is missing or damaged: restore it, or publish.\n"
