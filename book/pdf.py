"""The book as one document, _build/book.pdf, and a link to it on every page: python book/pdf.py, after book/build.py

Chromium prints what Sphinx makes of all pages together, as static/print.css says.
"""

import json
import os
import shutil
import sys
from pathlib import Path

import yaml
from playwright.sync_api import sync_playwright

from build import BUILD, SHOWN, make
from report.context import Report
from suppress_privacy.files import sha256_of
from suppress_study.provenance import commit, tag
from suppress_study.settings import ROOT

CHROMIUM = "/usr/bin/chromium"
OPTIONS = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
PDF = BUILD / "book.pdf"
PLACE = "<!-- book.pdf -->"  # where a page has its link, see _config.yml
# Puts in what the title page says, makes one of pictures that are the same, lets links lead to their places in the
# document, and waits for formulas and pictures.
PREPARE = """({lines, same}) => {
  const title = document.createElement("header");
  title.className = "title-page";
  for (const line of lines) title.appendChild(document.createElement("p")).textContent = line;
  document.querySelector("#jb-print-docs-body > h1").after(title);
  for (const image of document.images) {
    image.loading = "eager";
    image.src = image.src.replace(/[^/]+$/, name => same[name] ?? name);
  }
  for (const cited of document.querySelectorAll(".citation[id]")) cited.id = `cited-${cited.id}`;
  for (const link of document.querySelectorAll("a[href]")) {
    const [page, id] = link.getAttribute("href").split(".html#");
    if (page.includes(":") || page.startsWith("#")) continue;
    const places = [`cited-${id}`, id, `document-${page.replace(".html", "")}`];
    const place = places.find(each => document.getElementById(each)?.checkVisibility());
    if (place) link.setAttribute("href", `#${place}`);
    else link.removeAttribute("href");
  }
  const pictures = Array.from(document.images, image => image.decode().catch(() => null));
  return Promise.all([MathJax.startup?.promise, ...pictures]).then(() => null);
}"""


def title_page() -> list[str]:
    """Title, subtitle and what the book is of."""
    config = yaml.safe_load((ROOT / "_config.yml").read_text("utf-8"))
    summary = Report.load(ROOT / json.loads(SHOWN.read_text("utf-8"))[0]).summary
    edition = f"Edition {', '.join(summary.tags)}" if summary.tags else "Published run"
    return [config["author"], f"{edition}: {summary.data.name}", f"Pages: {tag() or commit()}"]


def printed(source: Path, target: Path, lines: list[str]) -> None:
    """Print a page of HTML, with a title page that says these lines."""
    first: dict[str, str] = {}
    same = {each.name: first.setdefault(sha256_of(each), each.name) for each in sorted(source.parent.glob("_images/*"))}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=OPTIONS)
        page = browser.new_page()
        page.emulate_media(media="print")  # what a link leads to must be printed
        page.goto(source.as_uri())
        page.evaluate(PREPARE, {"lines": lines, "same": same})
        page.pdf(path=target, prefer_css_page_size=True, print_background=True, outline=True, tagged=True)
        browser.close()


def linked(html: Path, pdf: Path) -> None:
    """Put the document beside the pages, and a link to it on each."""
    shutil.copy(pdf, html / pdf.name)
    for page in html.rglob("*.html"):
        up = "../" * (len(page.relative_to(html).parts) - 1)
        link = f'<a href="{up}{pdf.name}">The whole book as PDF</a>'
        page.write_text(page.read_text("utf-8").replace(PLACE, link), "utf-8")


def main() -> int:
    if not os.access(CHROMIUM, os.X_OK):
        print(f"{CHROMIUM} is missing: install Debian's package chromium to have the book printed.", file=sys.stderr)
        return 2
    if not SHOWN.is_file():
        print("no book is there: python book/build.py results/full", file=sys.stderr)
        return 2
    shutil.rmtree(BUILD / "singlehtml", ignore_errors=True)
    if failed := make("--builder", "custom", "--custom-builder", "singlehtml"):
        return failed
    printed(BUILD / "singlehtml" / "index.html", PDF, title_page())
    linked(BUILD / "html", PDF)
    print(PDF.relative_to(ROOT))
    return 0


if __name__ == "__main__":
    sys.exit(main())
