"""All figures of the book, by name."""

from report import charts, diagrams, portraits
from report.entries import FIGURES, Entry, keep, show

__all__ = ["FIGURES", "Entry", "charts", "diagrams", "keep", "portraits", "show"]
