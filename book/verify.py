"""Whether what is published belongs together: python book/verify.py [--profile full] [--results results/full] [--json]

First the folder's files, runs, networks and figures, see `suppress_study.verify`; then what the README and the pages
say. A line for each check; the exit code is 1 if one finds something wrong.
"""

import argparse
import json
import re
import secrets
import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from difflib import SequenceMatcher
from pathlib import Path
from types import MappingProxyType
from typing import Any

import jinja2
from bs4 import BeautifulSoup
from markdown_it import MarkdownIt

import readme
from build import BOOK, BUILD, SHOWN, heading, included
from report import numbers, previous, sentences, speed, tables
from report.context import Report
from report.filling import without_empty_sections
from report.language import PAGES, in_chinese
from report.switch import FOLDER
from suppress_study.plan import Study
from suppress_study.results import PUBLISHED, published_campaigns
from suppress_study.settings import ROOT
from suppress_study.verify import Check, verify

DRAWINGS = ("figures/", f"{FOLDER}/")  # under generated/
OF_ONE_RUN = {"known_errors"}  # speaks of figures that were published once, whatever is published now
NOT_PROSE = (
    r"^```.*?^```$",  # code and figures
    r"^\$\$.*?^\$\$.*?$",  # equations
    r"\$[^$]+\$",
    r"`[^`]*`",
    r"\{\{.*?\}\}",
)
# Names (of claims too), versions and the level that all intervals have; ends of scales.
NAMES = "|".join(
    (
        r"\b[RH]\d\b",
        r"LeNet5",
        r"\bL2\b",
        r"SHA-256",
        r"AVX-512",
        r"MindArmour 2\.0\.0",
        r"Python 3\.11 or 3\.12",
        r"the 5,000\s+digits",
        r"\b95 %",
        r"(?<![.\d])[01](?![.\d])",
    )
)
NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
# What a built page has besides what is written: code, drawings, equations, numbers of figures, references.
APART = "pre, script, style, svg, code, .math, .headerlink, .caption-number, .cell_input, a[href^='#equation-']"
APART += ", .bibtex-citation, .citation"


def prose(text: str) -> str:
    """A page without code, equations, what is filled in, and names that have digits."""
    for pattern in NOT_PROSE:
        text = re.sub(pattern, "", text, flags=re.M | re.S)
    return re.sub(NAMES, "", text)


def written_figures(pages: Path) -> Iterator[str]:
    """Lines of the pages that state a figure by themselves, and not by its name."""
    for page in sorted(pages.glob("*.md")):
        if page.stem not in OF_ONE_RUN:
            for line in prose(page.read_text("utf-8")).splitlines():
                if NUMBER.search(line):
                    yield f"book/{page.name} states a figure of its own in {line.strip()[:80]!r}: write its name"


def figures_in(html: str) -> list[str]:
    """The numbers that a page shows, in their order."""
    soup = BeautifulSoup(html, "html.parser")
    article = soup.select_one("article") or soup
    for part in article.select(APART):
        part.decompose()
    return NUMBER.findall(article.get_text(" "))


def expected(page: str, names: dict[str, Any], files: Mapping[str, str] = MappingProxyType({})) -> list[str]:
    """The numbers that a page of the book is to show.

    Args:
        page: in Markdown, as its source has it.
        names: what it may write between double braces.
        files: what it may include as HTML, by the file's name; drawings show what is drawn, and not what is written.
    """
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined)  # as MyST has it
    text = environment.from_string(without_empty_sections(page, names)).render(names)
    included = r"^```\{raw\} html\n:file: generated/(\S+)\n```$"
    text = re.sub(included, lambda found: "" if found[1].startswith(DRAWINGS) else files[found[1]], text, flags=re.M)
    shown = r"^```\{\w+\}[^\n]*\n(?::[^\n]*\n)*(.*?)^```$"  # a directive's own text, such as a caption
    text = re.sub(shown, r"\1", text, flags=re.M | re.S)
    text = re.sub(r"\$\$.*?\$\$|\$[^$\n]+\$|\{cite[:a-z]*\}`[^`]*`", " ", text, flags=re.S)
    return figures_in(MarkdownIt("commonmark").enable("table").render(text))


def notebook(report: Report, begin: str) -> str:
    """What the notebook of all figures says, in Markdown, its tables made again.

    Args:
        report: of which results.
        begin: in place of its first cell.
    """
    cells = json.loads((ROOT / "notebooks" / "compare.ipynb").read_text("utf-8"))["cells"]
    text = [begin]
    for cell in cells[1:]:
        source = "".join(cell["source"])
        shown = re.search(r"^Markdown\((.*)\)$", source, flags=re.M | re.S)
        if cell["cell_type"] == "markdown":
            text.append(source)
        elif shown:
            text.append(str(eval(shown[1], {"tables": tables, "sentences": sentences, "report": report})))
    return "\n\n".join(text)


def pages_differ(report: Report, own: Report | None, html: Path) -> Iterator[str]:
    """Where the built book shows other numbers than the results give."""
    titles = Study.load().campaigns
    others = {name: Report.load(folder) for name, folder in published_campaigns(ROOT / PUBLISHED, titles).items()}
    bench = json.loads((ROOT / "results" / "bench.json").read_text("utf-8"))
    figures = ROOT / PUBLISHED / "figures"
    known = numbers.behind(report, figures)
    files = included(report, known)
    before = previous.comparison(ROOT / PUBLISHED)
    names = numbers.substitutions(report, figures, own, others, known, before) | speed.substitutions(bench)
    with in_chinese():
        chinese = numbers.of_both(report, figures, own, known, FOLDER)
    wanted = {page.stem: (page.read_text("utf-8"), names) for page in sorted(BOOK.glob("*.md"))}
    begun = {name: heading(titles[name].title, other) for name, other in others.items()}
    wanted |= {f"{FOLDER}/{name}": (wanted[name][0], chinese) for name in PAGES}
    wanted |= {f"notebooks/{name}": (notebook(other, begun[name]), {}) for name, other in others.items()}
    for name, (source, filled) in wanted.items():
        page = html / f"{name}.html"
        if page.is_file():
            asked, shown = expected(source, filled, files), figures_in(page.read_text("utf-8"))
            if name.startswith(FOLDER):  # where words have another order
                asked, shown = sorted(asked), sorted(shown)
            for _, *at in SequenceMatcher(None, asked, shown, autojunk=False).get_opcodes() if asked != shown else ():
                right, found = " ".join(asked[at[0] : at[1]]), " ".join(shown[at[2] : at[3]])
                if right != found:
                    said = f"shows {found or 'nothing'} where the results give {right or 'nothing'}"
                    yield f"{name}.html {said}: make book"


def of_pages(folder: Path) -> list[Check]:
    """Checks of the README and the pages, which show the published run alone."""
    if folder.resolve() != (ROOT / PUBLISHED).resolve():
        left = f"README and book show {PUBLISHED}"
        return [Check(name, "", left=left) for name in ("readme", "crate", "book")]
    report = Report.load(folder)
    stale = [
        f"{path.name} states other than the results give: python book/readme.py"
        for path, written in ((readme.README, readme.written), (readme.CHINESE, readme.written_in_chinese))
        if written(report, text := path.read_text("utf-8")) != text
    ]
    found = [Check("readme", "its answer is what the results give", stale)]
    path, stale = folder / readme.crate.NAME, [f"{readme.crate.NAME} is not of these files: python book/readme.py"]
    right = path.is_file() and path.read_text("utf-8") == readme.described(report)
    found.append(Check("crate", "it describes the published files", [] if right else stale))
    found.append(Check("pages", "none states a figure by itself", list(written_figures(BOOK))))
    shown = json.loads(SHOWN.read_text("utf-8")) if SHOWN.is_file() else []
    if not shown or not (BUILD / "html").is_dir():
        return [*found, Check("book", "", left="no book is there: make book")]
    own = Report.load(ROOT / shown[1]) if shown[1:] else None
    return [
        *found,
        Check("book", "each number it shows is the results'", list(pages_differ(report, own, BUILD / "html"))),
    ]


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python book/verify.py", description="Check what is published.")
    parser.add_argument("--profile", default=PUBLISHED.name, help=f"whose folder it is (default: {PUBLISHED.name})")
    parser.add_argument("--results", type=Path, help="a folder that has published results (default: results/PROFILE)")
    parser.add_argument(
        "--seed", type=int, help="of the lot of attacks that are run again (default: another each time)"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args(arguments)
    try:
        folder = options.results or ROOT / "results" / options.profile
        seed = secrets.randbelow(1 << 32) if options.seed is None else options.seed
        checks = verify(folder, seed)
        left = Check("pages", "", left="the files above must be right before")
        checks += [left] if checks[0].wrong else of_pages(folder)
    except ValueError as error:
        print(f"verify: {error}", file=sys.stderr)
        return 2
    print(
        json.dumps([asdict(check) for check in checks], indent=1)
        if options.json
        else "\n".join([*(check.told() for check in checks), f"attacks were drawn by --seed {seed}"])
    )
    return int(any(check.wrong for check in checks))


if __name__ == "__main__":
    sys.exit(main())
