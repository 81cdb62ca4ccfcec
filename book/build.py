"""Build the book into _build/html: python book/build.py results/full [results/quick]

It shows the published run, and beside it another one if that is named.
"""

import filecmp
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Collection, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from report import cite, crate, everything, explorer, figures, front, language, previous, speed, switch, yours
from report.context import Report
from report.filling import NUMBERS
from report.language import _, told
from report.numbers import OVERVIEW, behind, of_both, substitutions
from report.provenance import Source, used_in, with_data
from report.runs import runs_table
from report.sentences import banner, warnings
from suppress_study.jobs import Model
from suppress_study.plan import Study
from suppress_study.results import published_campaigns
from suppress_study.settings import ROOT

BOOK = Path(__file__).parent
BUILD = ROOT / "_build"
TOC = BOOK / "generated" / "_toc.yml"
CONFIG = ROOT / "_config.yml"
CHINESE = BOOK / "generated" / switch.FOLDER  # how the Chinese edition is built
YOURS = "your_run"  # the page on a run beside the published one
PREVIOUS = "before"  # that on the published run beside the edition before
SAID = BUILD / "answer.txt"  # the answer, for who has just run the study
SHOWN = BUILD / "shown.json"  # the folders of results that the book shows, for who checks it


def collect(published: Path, own: Path | None = None) -> None:
    """Put what the pages show, and the copy of MathJax they need offline, under book/.

    Raises:
        ValueError: a folder has no summary, or damaged results.
    """
    report, beside = Report.load(published), Report.load(own) if own else None
    for folder in (BOOK / "notebooks", BOOK / "generated"):
        shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(published / "figures", BOOK / "generated" / "figures")
    (BOOK / "notebooks").mkdir()
    titles = Study.load().campaigns
    folders = published_campaigns(published, titles)
    others = {name: Report.load(folder) for name, folder in folders.items()}
    before = previous.comparison(published)
    bench = json.loads((ROOT / "results" / "bench.json").read_text("utf-8"))
    shown = behind(report, published / "figures")
    names, more = with_data(
        substitutions(report, published / "figures", beside, others, shown, before) | speed.substitutions(bench)
    )
    written = {"en": {"substitutions": names, "banner": banner(report)}}
    for name, content in included(report, shown).items():
        (BOOK / "generated" / name).write_text(content, "utf-8")
    for name, folder in folders.items():
        collect_notebook(folder / "notebooks" / "compare.ipynb", name, heading(titles[name].title, others[name]))
    if own and beside:
        collect_own(beside, own / "notebooks")
    absent = {page for page, there in {YOURS: own, PREVIOUS: before}.items() if not there}
    toc = contents(yaml.safe_load((BOOK / "_toc.yml").read_text("utf-8")), absent)  # of what is there now
    with language.in_chinese():
        written[language.CHINESE] = collect_chinese(report, published, beside, shown, toc)
    (BOOK / NUMBERS).write_text(json.dumps(written), "utf-8")
    collect_static(report, published, {name: source.shows for name, source in shown.items()} | more)
    TOC.write_text(yaml.safe_dump(toc), "utf-8")
    SAID.parent.mkdir(exist_ok=True)
    lines = [front.answer(report), yours.your_run(beside, report)]
    SHOWN.write_text(json.dumps([str(folder) for folder in (published, own) if folder]), "utf-8")
    SAID.write_text("".join(f"{plain(line)}\n" for line in lines if line), "utf-8")


def collect_chinese(
    report: Report, published: Path, own: Report | None, shown: Mapping[str, Source], toc: dict[str, Any]
) -> dict[str, Any]:
    """Put figures, contents and settings of the Chinese edition under book/; give what its pages show."""
    CHINESE.mkdir()
    figures.show(report, OVERVIEW, CHINESE)
    parts = []
    for part in toc["parts"]:
        chapters = [each for each in part["chapters"] if each["file"] in language.PAGES]
        parts += [{"caption": told(part["caption"]), "chapters": chapters}] if chapters else []
    toc = toc | {"parts": parts}
    (CHINESE / TOC.name).write_text(yaml.safe_dump(toc), "utf-8")
    config = yaml.safe_load(CONFIG.read_text("utf-8"))
    config |= {"title": told(config["title"]), "author": told(config["author"])}
    del config["sphinx"]["local_extensions"]["report.reference"]  # has pages in English alone
    settings = config["sphinx"]["config"]
    for name in [name for name in settings if name.startswith(("autodoc_", "napoleon_"))]:
        del settings[name]
    settings["html_theme_options"] |= {"extra_footer": "", "search_bar_text": _("Search this book...")}
    settings |= {
        "language": language.CHINESE,
        "project": config["title"],
        "locale_dirs": ["locale"],
        "html_static_path": ["static"],
        "html_js_files": [*settings["html_js_files"], "chinese.js"],
        "intersphinx_mapping": {"english": ["..", str(BUILD / "html" / "objects.inv")]},
        "intersphinx_disabled_reftypes": [],  # nor are pages, which are in English alone
    }
    (CHINESE / CONFIG.name).write_text(yaml.safe_dump(config), "utf-8")
    names = of_both(report, published / "figures", own, shown, switch.FOLDER)
    return {"substitutions": names, "banner": banner(report)}


def collect_static(report: Report, published: Path, tables: Mapping[str, pd.DataFrame]) -> None:
    """Files that pages link to as they are: data, pictures, what to cite, and MathJax."""
    static = BOOK / "generated" / "static"
    mathjax = Path(str(find_spec("sphinx-mathjax-offline").origin)).parent / "static" / "mathjax"  # type: ignore
    (static / "mathjax").mkdir(parents=True)
    shutil.copy(mathjax / "tex-chtml-full.js", static / "mathjax")
    shutil.copytree(mathjax / "output" / "chtml" / "fonts", static / "mathjax" / "output" / "chtml" / "fonts")
    explorer.write(report, static)
    citation = yaml.safe_load(cite.CITATION.read_text("utf-8"))
    shutil.copy(cite.CITATION, static)
    (static / "citation.bib").write_text(
        cite.bibtex(citation, cite.dated(report.results.runs.values())[1][:4]), "utf-8"
    )
    (static / crate.NAME).write_text(crate.text(report, published, citation), "utf-8")
    (static / "data").mkdir()
    for name, frame in tables.items():
        frame.to_csv(static / "data" / f"{name}.csv", index=False)


def included(report: Report, shown: Mapping[str, Source]) -> dict[str, str]:
    """What is too large to be read as Markdown: files that pages include as they are."""
    return {"runs.html": runs_table(report.results, used_in(shown)), "everything.html": everything.page(shown, report)}


def heading(title: str, campaign: Report) -> str:
    """How the page of another campaign's figures begins."""
    return f"# {title[0].upper()}{title[1:]}\n\nCampaign `{campaign.profile}`. {warnings(campaign)}"


def collect_own(report: Report, folder: Path) -> None:
    """A run's executed notebooks: of the tutorial's two models those of the first seed, by names without it."""
    roles, seed = report.study.roles, report.summary.seeds[0]
    collect_notebook(folder / "compare.ipynb", "yours")
    for kind in ("train", "attack"):
        for arm in (roles.ordinary, roles.suppressed):
            collect_notebook(folder / f"{kind}-{Model(arm, seed)}.ipynb", f"{kind}-{arm}")


def collect_notebook(source: Path, name: str, heading: str = "") -> None:
    """An executed notebook as a page, if it is there; its own first cell is the heading if none is given."""
    if source.is_file():
        notebook = as_shown(json.loads(source.read_text("utf-8")))
        if heading:
            notebook["cells"][0]["source"] = heading
        content = json.dumps(notebook)
        (BOOK / "notebooks" / f"{name}.ipynb").write_text(content, "utf-8")


def contents(toc: dict[str, Any], absent: Collection[str]) -> dict[str, Any]:
    """The table of contents without the pages that are absent, and notebooks that are not there."""

    def there(name: str) -> bool:
        if name.startswith("notebooks/"):
            return (BOOK / f"{name}.ipynb").is_file()
        return name not in absent

    parts = [part | {"chapters": [each for each in part["chapters"] if there(each["file"])]} for part in toc["parts"]]
    return toc | {"parts": [part for part in parts if part["chapters"]]}


def as_shown(notebook: dict[str, Any]) -> dict[str, Any]:
    """An executed notebook without the paths of the machine that ran it and without sections that show nothing.

    Images have their texts where a page looks for them.
    """
    notebook["metadata"].pop("papermill", None)
    notebook["cells"] = without_empty_sections(notebook["cells"])
    for cell in notebook["cells"]:
        cell["metadata"].pop("papermill", None)
        for output in cell.get("outputs", ()):
            alt = output.get("metadata", {}).get("image/png", {}).get("alt")
            if alt:
                cell["metadata"]["mystnb"] = {"image": {"alt": alt}}
    return notebook


def without_empty_sections(cells: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Cells without the headings under which all code shows nothing, and without that code."""
    title: list[dict[str, Any]] = []
    sections = [title]
    for cell in cells:
        if cell["cell_type"] == "markdown" and "".join(cell["source"]).startswith("##"):
            sections.append([])
        sections[-1].append(cell)
    return [cell for section in sections if section is title or not is_empty(section) for cell in section]


def is_empty(section: list[dict[str, Any]]) -> bool:
    """Whether a section has code, all of whose outputs are nothing."""
    code = [cell for cell in section if cell["cell_type"] == "code"]
    outputs = [output.get("data", {"": "text"}) for cell in code for output in cell["outputs"]]
    return bool(code) and all("image/png" not in data and not said(data) for data in outputs)


def said(data: dict[str, Any]) -> str:
    """The text of an output as a page shows it."""
    return "".join(data.get("text/markdown", data.get("text/plain", data.get("", "")))).strip()


def plain(text: str) -> str:
    """Markdown of one line for a terminal."""
    return text.replace("**", "").partition("{doc}")[0].strip()


def main(arguments: list[str]) -> int:
    try:
        collect(*map(Path, arguments))
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    shutil.rmtree(BUILD / "html", ignore_errors=True)  # pictures of an earlier book
    (BUILD / "book.pdf").unlink(missing_ok=True)
    failed = make("--all") or make_chinese()
    slim(BUILD / "html")
    return failed


def slim(book: Path) -> None:
    """Leave out what no reader opens, and of notebooks to download what their pages show."""
    for path in book.rglob("*.map"):  # with which a theme's authors read its scripts
        path.unlink()
    for path in (book / "_sources").rglob("*.ipynb"):
        notebook = json.loads(path.read_text("utf-8"))
        for cell in notebook["cells"]:
            if cell["cell_type"] == "code":
                cell |= {"outputs": [], "execution_count": None}
        path.write_text(json.dumps(notebook, ensure_ascii=False, indent=1), "utf-8")


def make_chinese() -> int:
    """Build the Chinese edition, and put it into a folder of the English one; the exit code."""
    built, place = BUILD / switch.FOLDER, BUILD / "html" / switch.FOLDER
    shutil.rmtree(built, ignore_errors=True)
    failed = make("--all", config=CHINESE / CONFIG.name, toc=CHINESE / TOC.name, output=built)
    if not failed:
        shutil.move(built / "_build" / "html", place)
        share(BUILD / "html", place)
        with language.in_chinese():
            name_parts(place)
    return failed


def name_parts(edition: Path) -> None:
    """Say in an edition's language what a page's parts and buttons are, to who points at them or has them read out."""
    in_english = rf'((?:title|aria-label)=")({"|".join(map(re.escape, language.OF_THEME))})(?=")'
    for page in edition.glob("*.html"):
        text = re.sub(in_english, lambda found: found[1] + told(found[2]), page.read_text("utf-8"))
        page.write_text(text, "utf-8")


def share(book: Path, edition: Path) -> None:
    """Take from an edition in a folder of the book what the book has too, and let its pages look for it there."""
    for path in [path for path in edition.rglob("*") if path.is_file() and path.suffix != ".html"]:
        there = book / path.relative_to(edition)
        if there.is_file() and filecmp.cmp(path, there, shallow=False):
            path.unlink()

    def moved(found: re.Match[str]) -> str:
        return f"{found[1]}{'../' * ((book / found[2]).exists() and not (edition / found[2]).exists())}{found[2]}"

    for page in edition.glob("*.html"):
        text = re.sub(r'((?:href|src)=")([^":#?]+)', moved, page.read_text("utf-8"))
        page.write_text(text, "utf-8")


def make(*options: str, config: Path = CONFIG, toc: Path = TOC, output: Path = ROOT) -> int:
    """Run jupyter-book on what was collected, with these options; its exit code."""
    # By this Python: the script names the one that it was installed by, which a moved checkout has left behind.
    jupyter_book = [sys.executable, Path(sys.executable).with_name("jupyter-book")]
    # -W -n: a warning or a dead reference fails the build; --keep-going: and shows all of them first.
    always = ["-W", "-n", "--keep-going", "--toc", toc, "--config", config, "--path-output", output]
    return subprocess.run([*jupyter_book, "build", BOOK, *always, *options], cwd=ROOT).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
