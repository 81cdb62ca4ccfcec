"""Write anew what else is committed of the published run: python book/readme.py

The README's answer and its picture, and the description of the published files.
"""

import yaml

from report import cite, crate, figures, front
from report.context import Report
from suppress_study.results import PUBLISHED
from suppress_study.settings import ROOT

README = ROOT / "README.md"
PICTURE = ROOT / "book" / "static" / "overview.png"
BEGIN, END = "<!-- written by book/readme.py -->\n", "<!-- to here -->\n"


def written(report: Report, readme: str) -> str:
    """The README with what the published run says in it."""
    before, _, rest = readme.partition(BEGIN)
    _, _, after = rest.partition(END)
    entry = figures.FIGURES["overview"]
    shown = f"![{entry.alt}](book/static/overview.png)\n\n{entry.caption}\n"
    return f"{before}{BEGIN}{front.answer(report)}\n\n{shown}{END}{after}"


def described(report: Report) -> str:
    """The published files as RO-Crate has them."""
    return crate.text(report, ROOT / PUBLISHED, yaml.safe_load(cite.CITATION.read_text("utf-8")))


def main() -> None:
    report = Report.load(ROOT / PUBLISHED)
    README.write_text(written(report, README.read_text("utf-8")), "utf-8")
    figures.keep(report, "overview", PICTURE)
    (ROOT / PUBLISHED / crate.NAME).write_text(described(report), "utf-8")


if __name__ == "__main__":
    main()
