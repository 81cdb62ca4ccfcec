"""Write the README's answer and its picture anew, from the published run: python book/readme.py"""

from report import figures, front
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


def main() -> None:
    report = Report.load(ROOT / PUBLISHED)
    README.write_text(written(report, README.read_text("utf-8")), "utf-8")
    figures.keep(report, "overview", PICTURE)


if __name__ == "__main__":
    main()
