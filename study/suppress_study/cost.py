"""What a profile's runs will take, from what runs like them took: core-hours, for a run has one thread; and hours.

    expected = mean over the measured runs most alike of  seconds * (work of the planned one / work of the measured one)

Work is the product of the settings that say how often something is done. Alike are, first, runs of the same settings on
the same arm; then of the same attack, or arm, and place; then of the same attack or arm. A model of a game that is
trained on a half of all images is half a training of its arm. What has no like is counted, and takes nothing. Neither
does what Snakemake does between jobs, nor the book.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from math import prod
from statistics import fmean

from suppress_study.jobs import PLACES
from suppress_study.plan import Study
from suppress_study.results import Run, key
from suppress_study.schedule import Graph

NODES = (1, 10, 100)  # of a cluster, of which the hours are told
HOUR = 3600
REPEATED = ("epochs", "images_per_class", "iters", "restarts", "shadows")
OF_COIN = 0.5  # of the images
Likeness = tuple[object, ...]


@dataclass
class Cost:
    """The runs of one family: of a kind, and if attacks, of what these see."""

    runs: int = 0
    seconds: float = 0.0  # of those that have a like
    unlike: int = 0  # runs that have none


def work(run: Run) -> float:
    """How often the run does what it does, on a share of the images."""
    settings = run.settings | run.settings.get("settings", {})
    share = OF_COIN if run.kind == "coin" else 1.0
    return share * prod(max(1, settings.get(name) or 1) for name in REPEATED)


def family(run: Run) -> str:
    return f"attacks on {run.settings['sees']}" if run.kind == "attack" else run.kind


def _likenesses(run: Run) -> Iterator[Likeness]:
    """What a run has in common with others, the closest first."""
    what = run.kind, run.factors.get("attack") or run.factors["arm"]
    yield *what, key(run.factors)
    yield *what, *(run.factors.get(place) for place in PLACES.values())
    yield what
    if run.kind == "mechanism":  # the same on every arm
        yield (run.kind,)
    if run.kind == "coin" and run.settings["game"]["images"] == 0:
        yield "train", run.factors["arm"]


def expecting(measured: Iterable[Run]) -> Callable[[Run], float | None]:
    """What tells the seconds that a run will take; None where nothing like it was measured.

    Args:
        measured: runs that were made, on the machine that is asked about; those superseded count too.
    """
    known: dict[Likeness, list[float]] = defaultdict(list)
    for run in measured:
        seconds = sum(run.times["seconds"].values()) / work(run)
        for likeness in _likenesses(run):
            known[likeness].append(seconds)

    def expected(run: Run) -> float | None:
        alike = next(filter(None, map(known.get, _likenesses(run))), None)
        return fmean(alike) * work(run) if alike else None

    return expected


def costs(planned: Iterable[Run], measured: Iterable[Run]) -> dict[str, Cost]:
    """What runs will take, by family."""
    expected = expecting(measured)
    found: dict[str, Cost] = defaultdict(Cost)
    for run in planned:
        cost, seconds = found[family(run)], expected(run)
        cost.runs += 1
        cost.unlike += seconds is None
        cost.seconds += seconds or 0.0
    return dict(found)


def graph(study: Study, profile: str, measured: Iterable[Run]) -> Graph:
    """The jobs of a profile, the hours of each, and what it starts from."""
    expected, jobs = expecting(measured), study.jobs(profile)
    hours = {str(job): sum(expected(run) or 0.0 for run in job.runs) / HOUR for job in jobs}
    return Graph(hours, {str(job): [str(each) for each in study.needs(profile, job)] for job in jobs})


def told(found: dict[str, Cost]) -> str:
    """The core-hours as lines of text."""
    rows = [*found.items(), ("all", total(found))]
    width = max(len(name) for name, _ in rows)
    lines = [f"{'':{width}}    runs  core-hours"]
    for name, cost in rows:
        unlike = f"  and {cost.unlike} runs whose like was never measured" if cost.unlike else ""
        lines.append(f"{name:{width}}  {cost.runs:6,}  {cost.seconds / HOUR:10.1f}{unlike}")
    return "\n".join(lines)


def total(found: Mapping[str, Cost]) -> Cost:
    """Of all families."""
    parts = [(cost.runs, cost.seconds, cost.unlike) for cost in found.values()] or [(0, 0.0, 0)]
    return Cost(*(sum(column) for column in zip(*parts, strict=True)))


def told_of_nodes(jobs: Graph, cores: int) -> str:
    """The hours that nodes with so many cores each will take, and the jobs that no number of nodes makes faster."""
    way = jobs.longest()
    lines = [f"{f'nodes of {cores} cores':21}  {'hours':>10}"]
    lines += [f"{nodes:21,}  {jobs.takes(nodes * cores):10.1f}" for nodes in NODES]
    lines += [f"{'at least, for in turn':21}  {sum(map(jobs.times.__getitem__, way)):10.1f}"]
    lines += [f"  {name:{max(map(len, way))}}  {jobs.times[name]:.1f}" for name in way]
    return "\n".join(lines)
