"""How long jobs take where so many run at a time, and some wait for others: list scheduling.

Whenever a core is free, of the jobs that can start that one does from which the longest way leads to the end. Then

    max(work / cores, longest) <= time <= work / cores + (1 - 1 / cores) * longest

where `work` is the time of all jobs and `longest` that of the longest way (Graham 1969, SIAM J. Appl. Math. 17).
"""

from dataclasses import dataclass
from graphlib import TopologicalSorter
from heapq import heappop, heappush


@dataclass(frozen=True)
class Graph:
    """Jobs by name: what each takes, in any unit, and which others must have ended before it starts."""

    times: dict[str, float]
    needs: dict[str, list[str]]

    def remaining(self) -> dict[str, float]:
        """From the start of each job to the end of the last one that waits for it, were there cores enough."""
        found = dict(self.times)
        for name in reversed([*TopologicalSorter(self.needs).static_order()]):
            for earlier in self.needs[name]:
                found[earlier] = max(found[earlier], self.times[earlier] + found[name])
        return found

    def longest(self) -> list[str]:
        """The jobs of the longest way, first to last: no number of cores makes it shorter."""
        remaining = self.remaining()
        starting, way = [name for name in self.needs if not self.needs[name]], []
        while starting:
            way.append(max(starting, key=remaining.__getitem__))
            starting = [name for name, earlier in self.needs.items() if way[-1] in earlier]
        return way

    def takes(self, cores: int) -> float:
        """From the start of the first job to the end of the last, of at most so many at a time."""
        remaining, waiting = self.remaining(), TopologicalSorter(self.needs)
        waiting.prepare()
        ready: list[tuple[float, str]] = []
        running: list[tuple[float, str]] = []  # by when they end
        now = 0.0
        while waiting.is_active():
            for name in waiting.get_ready():
                heappush(ready, (-remaining[name], name))
            while ready and len(running) < cores:
                _, name = heappop(ready)
                heappush(running, (now + self.times[name], name))
            now, name = heappop(running)
            waiting.done(name)
        return now
