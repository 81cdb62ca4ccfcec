"""How pages are printed, on a page of each thing that is hard to print; test_workflow.py prints a whole book."""

import re
import sys

import pytest
from leaves import filled, need, texts
from PIL import Image

import pdf
from conftest import ROOT

PAGE = """<html><head><link rel="stylesheet" href="print.css"></head><body>
<script>window.MathJax = {}</script>
<aside class="bd-header-announcement">Announced</aside>
<div id="jb-print-docs-body"><h1>A book</h1><h2>Contents</h2></div>
<div class="bd-article"><article><div class="toctree-wrapper">
<span id="document-one"></span><h2>One</h2><p>Words. <a href="two.html#place">there</a> <a href="index.html#id1">[1]</a>
<a href="none.html#at-all">nowhere</a></p>
<table class="table"><thead><tr><th>head of the table</th><th>b</th></tr></thead><tbody>%(rows)s</tbody></table>
<h3>Picture</h3><figure><img src="_images/tall.png"><figcaption>Caption</figcaption></figure>
<details class="hide">Code of a notebook</details>
<pre>%(long)s</pre>
<span id="document-two"></span><h2>Two</h2><p id="place">Here. <span id="id1">no reference</span></p>
<div class="citation" id="id1">The reference.</div>
<table class="table"><tbody>%(many)s</tbody></table>
</div></article></div></body></html>"""


@pytest.fixture(scope="module")
def book(tmp_path_factory):
    need(pdf.CHROMIUM, "pdftotext", "pdftoppm")
    folder = tmp_path_factory.mktemp("single")
    (folder / "_images").mkdir()
    for name in ("tall", "tall_again"):
        Image.effect_noise((400, 3000), 80).save(folder / "_images" / f"{name}.png")
    row = "<tr><td>%s</td><td>cell</td></tr>"
    rows = {"rows": "".join(row % number for number in range(120)), "many": "".join(row % "unseen" for _ in range(300))}
    (folder / "index.html").write_text(PAGE % (rows | {"long": "long_word_" * 60}))
    (folder / "print.css").write_bytes((ROOT / "book" / "static" / "print.css").read_bytes())
    pdf.printed(folder / "index.html", folder / "book.pdf", ["Edition two"])
    return folder / "book.pdf"


def test_a_title_page_comes_first_and_the_others_have_numbers(book):
    first, *others = texts(book)
    assert first.split() == ["A", "book", "Edition", "two", "Contents"]
    assert [page.split()[-1] for page in others] == [str(number) for number in range(2, len(others) + 2)]


def test_tables_go_on_with_their_heads_and_nothing_is_cut_or_near_empty(book, tmp_path):
    pages = texts(book)
    with_rows = [page for page in pages if re.search(r"\d+ +cell", page)]
    assert len(with_rows) > 1 and all("head of the table" in page for page in with_rows)
    assert [int(each) for page in pages for each in re.findall(r"(\d+) +cell", page)] == [*range(120)]
    assert "".join("".join(pages).split()).count("long_word_") == 60
    assert min(filled(book, tmp_path)[1:-1]) > 0.2


def test_what_only_a_screen_has_a_use_for_is_left_out(book):
    text = "".join(texts(book))
    assert not re.search("Announced|Code of a notebook|unseen", text) and "The pages have this table" in text


def test_links_lead_to_places_in_the_document(book):
    content = book.read_bytes()
    assert b"file:" not in content and content.count(b"/Subtype /Link") == 2


def test_every_page_is_given_a_link_to_the_document(tmp_path):
    (tmp_path / "reference").mkdir()
    (tmp_path / "book.pdf").write_bytes(b"%PDF")
    html = tmp_path / "html"
    for name in ("index", "reference/lenet"):
        (html / name).parent.mkdir(parents=True, exist_ok=True)
        (html / f"{name}.html").write_text(f"<footer>{pdf.PLACE}</footer>")
    for _ in range(2):
        pdf.linked(html, tmp_path / "book.pdf")
    assert (html / "index.html").read_text() == '<footer><a href="book.pdf">The whole book as PDF</a></footer>'
    assert 'href="../book.pdf"' in (html / "reference" / "lenet.html").read_text()
    assert (html / "book.pdf").read_bytes() == b"%PDF"


@pytest.mark.parametrize(("missing", "said"), [("CHROMIUM", "install Debian's package chromium"), ("SHOWN", "no book")])
def test_what_is_missing_is_said(missing, said, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(pdf, "CHROMIUM", sys.executable)
    monkeypatch.setattr(pdf, missing, tmp_path / "none")
    assert pdf.main() == 2 and said in capsys.readouterr().err
