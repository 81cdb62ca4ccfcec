"""Write anew what else is committed of the published run: python book/readme.py

The answer and the picture of the README, in both languages, and the description of the published files.
"""

import yaml

from report import cite, crate, figures, front
from report.context import Report
from report.language import in_chinese, told
from suppress_study.results import PUBLISHED
from suppress_study.settings import ROOT

README, PICTURE = ROOT / "README.md", "book/static/overview.png"
CHINESE, CHINESE_PICTURE = ROOT / "README.zh.md", "book/static/overview.zh.svg"
BEGIN, END = "<!-- written by book/readme.py -->\n", "<!-- to here -->\n"


def written(report: Report, readme: str, picture: str = PICTURE) -> str:
    """A README with what the published run says in it, in the language that texts are made in."""
    before, _, rest = readme.partition(BEGIN)
    _, _, after = rest.partition(END)
    entry = figures.FIGURES["overview"]
    shown = f"![{told(entry.alt)}]({picture})\n\n{told(entry.caption)}\n"
    return f"{before}{BEGIN}{front.answer(report)}\n\n{shown}{END}{after}"


def described(report: Report) -> str:
    """The published files as RO-Crate has them."""
    return crate.text(report, ROOT / PUBLISHED, yaml.safe_load(cite.CITATION.read_text("utf-8")))


def written_in_chinese(report: Report, readme: str) -> str:
    """The Chinese README likewise."""
    with in_chinese():
        return written(report, readme, CHINESE_PICTURE)


def main() -> None:
    report = Report.load(ROOT / PUBLISHED)
    README.write_text(written(report, README.read_text("utf-8")), "utf-8")
    CHINESE.write_text(written_in_chinese(report, CHINESE.read_text("utf-8")), "utf-8")
    figures.keep(report, "overview", ROOT / PICTURE)
    with in_chinese():
        figures.keep(report, "overview", ROOT / CHINESE_PICTURE)
    (ROOT / PUBLISHED / crate.NAME).write_text(described(report), "utf-8")


if __name__ == "__main__":
    main()
