"""What is behind each figure and table: its data, its runs, their commits, and the commands that make it again."""

import inspect
import re
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import Any

import pandas as pd

from report import data
from report.context import NOBODY, Averaged, Cell, Factors, Report
from report.figures import FIGURES
from report.language import _
from suppress_study.jobs import Variant
from suppress_study.results import key
from suppress_study.summary import Arm

PLACE = "_static/data"  # of CSV files, from a page
RULE = re.compile(r"^\|(?:\s*:?-+:?\s*\|)+$", re.M)  # under the heads of a table in Markdown
OF_VERDICTS = ("verdict_table", "comparisons_table")
Write = Callable[[Report], str]


@dataclass(frozen=True)
class Source:
    """What one figure or table shows, and the runs that it comes from."""

    title: str  # of a table; "" of a figure, which has a caption
    shows: pd.DataFrame
    runs: list[str]  # empty of what is about all runs


@dataclass(frozen=True)
class Watched(Report):
    """A report that notes the runs behind whatever is looked up in it."""

    noted: set[str] = field(default_factory=set)

    @cached_property
    def _by_factors(self) -> dict[Cell, list[str]]:
        """Attacks by what they are of; trainings, and looks at their features, by the arm whose seeds they have."""
        seeds = {key(arm.factors): arm.seeds for arm in self.summary.arms}
        found = defaultdict(list)
        for run in self.results.runs.values():
            cell = key(run.factors)
            if not run.superseded and (run.kind == "attack" or run.seed in seeds.get(cell, ())):
                found[cell].append(run.name)
        return found

    def _note(self, arm: Factors, attack: Variant | None = None) -> None:
        alone = attack is not None and attack.alone
        cells = [] if alone else [key(arm)]
        cells += [key({**(NOBODY if alone else arm), **attack.columns()})] if attack else []
        self.noted.update(name for cell in cells for name in self._by_factors.get(cell, ()))

    def estimate(self, metric: str, arm: Factors, attack: Variant, evaluator: str = "") -> Averaged | None:
        found = super().estimate(metric, arm, attack, evaluator)
        if found:
            self._note(arm, attack)
        return found

    def difference(self, metric: str, arm: Factors, attack: Variant) -> Averaged | None:
        self._note(arm, attack)
        return super().difference(metric, arm, attack)

    def bound(self, metric: str, arm: Arm) -> Averaged | None:
        for attack in self.learned:
            self._note(arm.factors, attack)
        return super().bound(metric, arm)

    def runs(self, arm: Factors, attack: Variant) -> dict[int, str]:
        found = super().runs(arm, attack)
        self.noted.update(found.values())
        return found

    def picture(self, attack: Variant, arm: Factors) -> str | None:
        before = {*self.noted}  # without the seeds that keep no pictures
        found = super().picture(attack, arm)
        self.noted.clear()
        self.noted.update(before, [found] if found else [])
        return found

    @property
    def pair(self) -> list[Arm]:
        for arm in super().pair:
            self._note(arm.factors)
        return super().pair


def sources(report: Report, tables: Mapping[str, Write], figures: Collection[str]) -> dict[str, Source]:
    """What is behind these tables and figures of the book, by name; of what is empty nothing."""
    watched = Watched(**{each.name: getattr(report, each.name) for each in fields(Report)})
    kept = {}

    def keep(name: str, title: str, shows: pd.DataFrame) -> None:
        kept[name] = Source(title, shows, [run for run in report.results.runs if run in watched.noted])

    for name, write in tables.items():
        watched.noted.clear()
        if name in OF_VERDICTS:
            verdicts = report.summary.verdicts.values()
            watched.noted.update(run for found in verdicts for one in found.comparisons for run in one.runs)
        if text := write(watched):
            title = (inspect.getdoc(write) or name).split("\n\n")[0]
            keep(name, " ".join(title.split()).partition(". ")[0].rstrip("."), data.of_table(text))
    for name in figures:
        watched.noted.clear()
        drawn = FIGURES[name].draw(watched)
        if drawn and len(shows := data.of_figure(drawn, report.results.pictures.of(watched.noted))):
            keep(name, "", shows)  # a diagram has no data
    return kept


def with_line(text: str, name: str, source: Source | None, report: Report) -> str:
    """A figure or table with a small line under it, as a page of the book's own folder shows it."""
    return f"{text}\n\n{line(name, source, report)}\n" if text and source else text


def line(name: str, source: Source, report: Report) -> str:
    """Where its data are, which runs are behind it, at which commit, and which commands make it again."""
    runs = [report.results.runs[run] for run in source.runs] or [*report.results.runs.values()]
    address = f"runs.html{f'?for={name}' * bool(source.runs)}"
    counted = _("{count:,} run", "{count:,} runs", count=len(runs))
    versions = _versions({(run.commit, run.tag) for run in runs})
    study = f"<code>make study PROFILE={report.profile}</code>"
    said = [
        _taken(name),
        _("{runs} at {versions}", runs=f'<a href="{address}">{counted}</a>', versions=versions),
        _("{book} draws it again, {study} its runs", book="<code>make book</code>", study=study),
    ]
    return f'<p class="provenance">{" · ".join(said)}</p>'


def _taken(name: str) -> str:
    return f'<a href="{PLACE}/{name}.csv" download>{_("Data (CSV)")}</a>'


def with_data(written: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, pd.DataFrame]]:
    """What pages write, each table with a link to its data that has no line yet; and these data by name."""
    tables = {name: text for name, text in written.items() if isinstance(text, str) and RULE.search(text)}
    found = {name: data.of_table(text) for name, text in tables.items() if 'class="provenance"' not in text}
    linked = {name: f'{written[name]}\n\n<p class="provenance">{_taken(name)}</p>\n' for name in found}
    return {**written, **linked}, found


def _versions(found: Collection[tuple[str, str]]) -> str:
    """The commit with its tag, or how many commits."""
    if len(found) > 1:
        return _("{count} commits", count=len(found))
    ((commit, tag),) = found
    return _("commit {commit}", commit=f"<code>{commit}</code>{f' ({tag})' if tag else ''}")


def used_in(behind: Mapping[str, Source]) -> dict[str, list[str]]:
    """Names of figures and tables by the run that is behind them."""
    found = defaultdict(list)
    for name, source in behind.items():
        for run in source.runs:
            found[run].append(name)
    return found
