"""How long a graph of jobs takes: by hand where it is small, and within what is known of any."""

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from suppress_study.schedule import Graph

# Two ways of a start and an end, one of them longer, and a job that waits for nothing.
DIAMOND = Graph(
    {"start": 1.0, "short": 2.0, "long": 5.0, "end": 3.0, "alone": 4.0},
    {"start": [], "short": ["start"], "long": ["start"], "end": ["short", "long"], "alone": []},
)


@st.composite
def graphs(draw):
    """Each job may wait for any before it."""
    names = [f"job{number}" for number in range(draw(st.integers(1, 12)))]
    times = {name: draw(st.floats(0, 100)) for name in names}
    return Graph(times, {name: [each for each in names[:at] if draw(st.booleans())] for at, name in enumerate(names)})


def test_the_longest_way_goes_from_a_job_that_waits_for_nothing_to_one_that_none_waits_for():
    assert DIAMOND.longest() == ["start", "long", "end"]
    assert DIAMOND.remaining() == {"start": 9.0, "short": 5.0, "long": 8.0, "end": 3.0, "alone": 4.0}


@pytest.mark.parametrize(("cores", "time"), [(1, 15.0), (2, 9.0), (3, 9.0), (50, 9.0)])
def test_a_small_graph_takes_what_it_does_by_hand(cores, time):
    # Of two cores: start and alone; long at 1, short at 4, when alone has ended; end at 6.
    assert DIAMOND.takes(cores) == time


def test_of_jobs_that_could_start_the_one_that_most_waits_for_does():
    chain = {f"link{number}": [f"link{number - 1}"] if number else [] for number in range(4)}
    apart = {f"apart{number}": [] for number in range(4)}
    graph = Graph(dict.fromkeys(chain | apart, 1.0), apart | chain)
    assert graph.takes(2) == 4.0  # with the others first it would be six


@given(graphs(), st.integers(1, 6))
def test_any_graph_takes_no_less_than_can_be_and_no_more_than_list_scheduling_may(graph, cores):
    work, longest = sum(graph.times.values()), sum(graph.times[name] for name in graph.longest())
    taken = graph.takes(cores)
    about = 1e-9 * (1 + work)
    assert max(work / cores, longest) - about <= taken <= work / cores + (1 - 1 / cores) * longest + about
    assert math.isclose(graph.takes(1), work) and math.isclose(graph.takes(len(graph.times)), longest)
    way = graph.longest()
    assert all(earlier in graph.needs[name] for earlier, name in pairwise(way))
    assert math.isclose(longest, max(graph.remaining().values()))
