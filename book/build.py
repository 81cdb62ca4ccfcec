"""Build the book of one results folder into _build/html: python book/build.py results/quick"""

import json
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from report import speed
from report.context import Report
from report.numbers import NUMBERS, substitutions
from report.runs import runs_table
from report.sentences import banner
from suppress_study.plan import Model

BOOK = Path(__file__).parent
ROOT = BOOK.parent
NOT_KEPT = """# {run}

The notebook of this run is not kept with its results, `results/{profile}`, from which this book was drawn.
`make study PROFILE={profile} RESULTS=runs/{profile}` makes it again.
"""


def collect(results: Path) -> None:
    """Put what the pages show of a run, and the copy of MathJax they need offline, under book/."""
    for folder in (BOOK / "notebooks", BOOK / "generated"):
        shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(results / "figures", BOOK / "generated" / "figures")
    report = Report.load(results)
    bench = json.loads((ROOT / "results" / "bench.json").read_text())
    written = {
        "substitutions": substitutions(report, results / "figures") | speed.substitutions(bench),
        "banner": banner(report),
    }
    (BOOK / NUMBERS).write_text(json.dumps(written))
    (BOOK / "generated" / "runs.html").write_text(runs_table(report.results))
    collect_notebooks(report, results / "notebooks")
    mathjax = Path(str(find_spec("sphinx-mathjax-offline").origin)).parent / "static" / "mathjax"  # type: ignore
    copied = BOOK / "generated" / "static" / "mathjax"
    copied.mkdir(parents=True)
    shutil.copy(mathjax / "tex-chtml-full.js", copied)
    shutil.copytree(mathjax / "output" / "chtml" / "fonts", copied / "output" / "chtml" / "fonts")


def collect_notebooks(report: Report, folder: Path) -> None:
    """The executed notebooks of the tutorial's two models: pages that name the model alone, of the first seed."""
    (BOOK / "notebooks").mkdir()
    roles, seed = report.study.roles, report.summary.seeds[0]
    arms = (roles.ordinary, roles.suppressed)
    shown = {f"{kind}-{arm}": f"{kind}-{Model(arm, seed)}" for kind in ("train", "attack") for arm in arms}
    for name, executed in {"compare": "compare", **shown}.items():
        source = folder / f"{executed}.ipynb"
        if source.is_file():
            content = json.dumps(as_shown(json.loads(source.read_text())))
            (BOOK / "notebooks" / f"{name}.ipynb").write_text(content)
        else:  # a book from results alone
            (BOOK / "notebooks" / f"{name}.md").write_text(NOT_KEPT.format(run=executed, profile=report.profile))


def as_shown(notebook: dict[str, Any]) -> dict[str, Any]:
    """An executed notebook without the paths of the machine that ran it, with images' texts where a page looks."""
    notebook["metadata"].pop("papermill", None)
    for cell in notebook["cells"]:
        cell["metadata"].pop("papermill", None)
        for output in cell.get("outputs", ()):
            alt = output.get("metadata", {}).get("image/png", {}).get("alt")
            if alt:
                cell["metadata"]["mystnb"] = {"image": {"alt": alt}}
    return notebook


def main(arguments: list[str]) -> int:
    results = Path(arguments[0])
    if not (results / "summary.json").is_file():
        print(f"{results} holds no summary.json: run the study of that profile first.", file=sys.stderr)
        return 2
    collect(results)
    # By this Python: the script names the one that it was installed by, which a moved checkout has left behind.
    jupyter_book = [sys.executable, Path(sys.executable).with_name("jupyter-book")]
    # -W -n: a warning or a dead reference fails the build; --keep-going: and shows all of them first.
    strict = ["-W", "-n", "--keep-going", "--all"]
    return subprocess.run(
        [*jupyter_book, "build", BOOK, "--config", ROOT / "_config.yml", "--path-output", ROOT, *strict], cwd=ROOT
    ).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
