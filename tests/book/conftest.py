"""What tests of the report share."""

import pytest

from conftest import ROOT
from report.context import Report


@pytest.fixture(scope="session")
def published():
    """The published run's report, which no test changes."""
    return Report.load(ROOT / "results" / "full")
