"""A PDF page by page, as poppler's tools see it."""

import os
import shutil
import subprocess

import numpy as np
import pytest
from PIL import Image

RESOLUTION = 20  # dots an inch: enough to see where there is something
FOOT = 0.06  # of the height, where the page's number is


def need(*tools):
    """Skip a test whose tools are not there; but where tests are all run, they must be."""
    missing = [tool for tool in tools if shutil.which(tool) is None]
    if missing and os.environ.get("CI"):
        pytest.fail(f"{', '.join(missing)} is missing: .ci/run installs it.")
    if missing:
        pytest.skip(f"{', '.join(missing)} is missing: install Debian's packages chromium and poppler-utils.")


def texts(pdf):
    """The text of each page."""
    return subprocess.run(["pdftotext", "-layout", pdf, "-"], capture_output=True, text=True, check=True).stdout.split(
        "\f"
    )[:-1]


def filled(pdf, folder):
    """Of each page, which share of its rows has anything: text, lines or pictures."""
    subprocess.run(["pdftoppm", "-gray", "-r", str(RESOLUTION), pdf, folder / "leaf"], check=True)
    pages = [np.asarray(Image.open(path)) for path in sorted(folder.glob("leaf*.pgm"))]
    return [float(np.mean((page[: -int(FOOT * len(page))] < 250).any(1))) for page in pages]
