"""Build the book of one results folder into _build/html: python book/build.py results/quick"""

import importlib.util
import json
import shutil
import subprocess
import sys
from pathlib import Path

from suppress_privacy.study.tables import ARMS

BOOK = Path(__file__).parent
ROOT = BOOK.parent
KINDS = ("train", "attack")  # notebooks that are executed for each model
NOT_KEPT = """# {run}

The notebook of this run is not kept with its records, `results/{profile}/records/`, from which this book was
drawn. `make study PROFILE={profile} RESULTS=runs/{profile}` makes it again.
"""


def collect(results):
    """Put what the pages show of a run, and the copy of MathJax they need offline, under book/."""
    for folder in (BOOK / "notebooks", BOOK / "generated"):
        shutil.rmtree(folder, ignore_errors=True)
    generated = BOOK / "generated"
    shutil.copytree(results / "figures", generated / "figures")
    shutil.copy(results / "summary.json", generated)
    (generated / "records").mkdir()
    for record in (results / "records").glob("*.json"):
        shutil.copy(record, generated / "records")
    (BOOK / "notebooks").mkdir()
    summary = json.loads((results / "summary.json").read_text())
    # The contents page lists models by name alone; of several seeds it shows the first.
    shown = {f"{kind}-{arm}": f"{kind}-{arm}-seed{summary['seeds'][0]}" for kind in KINDS for arm in ARMS}
    for name, executed in {"compare": "compare", **shown}.items():
        source = results / "notebooks" / f"{executed}.ipynb"
        if not source.is_file():  # a book from records alone
            (BOOK / "notebooks" / f"{name}.md").write_text(NOT_KEPT.format(run=executed, profile=summary["profile"]))
            continue
        notebook = json.loads(source.read_text())
        notebook["metadata"].pop("papermill")  # it holds paths of the machine that ran it
        for cell in notebook["cells"]:
            cell["metadata"].pop("papermill", None)
        (BOOK / "notebooks" / f"{name}.ipynb").write_text(json.dumps(notebook))
    mathjax = Path(importlib.util.find_spec("sphinx-mathjax-offline").origin).parent / "static" / "mathjax"
    copied = generated / "static" / "mathjax"
    copied.mkdir(parents=True)
    shutil.copy(mathjax / "tex-chtml-full.js", copied)
    shutil.copytree(mathjax / "output" / "chtml" / "fonts", copied / "output" / "chtml" / "fonts")


def main(arguments):
    results = Path(arguments[0])
    if not (results / "summary.json").is_file():
        print(f"{results} holds no summary.json: run the study of that profile first.", file=sys.stderr)
        return 2
    collect(results)
    jupyter_book = Path(sys.executable).with_name("jupyter-book")
    # -W -n: a warning or a dead reference fails the build; --keep-going: and shows all of them first.
    strict = ["-W", "-n", "--keep-going", "--all"]
    return subprocess.run(
        [jupyter_book, "build", BOOK, "--config", ROOT / "_config.yml", "--path-output", ROOT, *strict], cwd=ROOT
    ).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
