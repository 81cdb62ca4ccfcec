"""What a profile will take: by the runs most alike, in proportion to the work."""

from dataclasses import replace

import pytest

import planted_study as planted
from suppress_study.cost import Cost, costs, family, graph, told, told_of_nodes, work
from suppress_study.schedule import Graph

STUDY = planted.study()
PLANNED = {run.name: run for job in STUDY.jobs("tiny") for run in job.runs}


def took(run, seconds, **settings):
    return replace(run, settings=run.settings | settings, times={"seconds": {"it": seconds / 2, "data": seconds / 2}})


def test_what_was_measured_itself_costs_what_it_did():
    found = costs(PLANNED.values(), [took(run, 7.0) for run in PLANNED.values()])
    assert sum(cost.runs for cost in found.values()) == len(PLANNED)
    assert sum(cost.seconds for cost in found.values()) == pytest.approx(7.0 * len(PLANNED))
    assert all(cost.unlike == 0 for cost in found.values())
    assert set(found) == {family(run) for run in PLANNED.values()} >= {"train", "attacks on features", "mechanism"}


def test_nothing_measured_is_said_and_not_guessed():
    found = costs(PLANNED.values(), [])
    assert {cost.seconds for cost in found.values()} == {0.0}
    assert sum(cost.unlike for cost in found.values()) == len(PLANNED)
    assert f"and {len(PLANNED)} runs whose like was never measured" in told(found).splitlines()[-1]


def test_the_closest_likeness_counts_and_more_work_costs_more():
    trainings = [run for run in PLANNED.values() if run.kind == "train"]
    arm = trainings[-1].factors["arm"]
    own = [run for run in trainings if run.factors["arm"] == arm]
    others = [took(run, 1000.0) for run in trainings if run.factors["arm"] != arm]
    half = took(own[0], 10.0, epochs=work(own[0]) * 2)
    found = costs(PLANNED.values(), [*others, half])["train"]
    assert found.seconds == pytest.approx(5.0 * len(own) + 1000.0 * len(others))


def test_the_table_adds_up():
    lines = told({"train": Cost(2, 3600.0, 0), "mechanism": Cost(1000, 1800.0, 1)}).splitlines()
    assert lines[1].split() == ["train", "2", "1.0"]
    assert lines[3].split()[:3] == ["all", "1,002", "1.5"] and "and 1 runs" in lines[2] and "and 1 runs" in lines[3]


def test_a_model_of_a_game_of_all_images_costs_half_a_training_and_one_of_few_is_not_guessed():
    study = planted.study(games={"canaries": {"dense-sgd": 5}, "random": {"memoriser": 5}})
    planned = {run.name: run for job in study.jobs("tiny") for run in job.runs}
    trained = [took(run, 10.0) for run in planned.values() if run.kind == "train" and run.factors["arm"] == "dense-sgd"]
    found = costs(planned.values(), trained)["coin"]
    assert (found.runs, found.unlike) == (10, 5) and found.seconds == pytest.approx(5 * 5.0)
    coin = took(planned["coin-canaries-dense-sgd-seed0"], 4.0)  # a measured one counts before a training does
    assert costs(planned.values(), [*trained, coin])["coin"].seconds == pytest.approx(5 * 4.0)


def test_jobs_take_the_hours_of_their_runs_and_wait_for_what_they_start_from():
    jobs = {str(job): job for job in STUDY.jobs("tiny")}
    hourly = graph(STUDY, "tiny", [took(run, 3600.0) for run in PLANNED.values()])
    assert hourly.times == pytest.approx({name: len(job.runs) for name, job in jobs.items()})
    for name, job in jobs.items():
        assert hourly.needs[name] == [str(each) for each in STUDY.needs("tiny", job)]


def test_the_hours_of_nodes_end_with_the_jobs_that_no_number_of_them_makes_faster():
    times = {"first": 2.5, "then": 1.25, **{f"other{number}": 1.0 for number in range(40)}}
    needs = {name: ["first"] if name == "then" else [] for name in times}
    lines = [line.split() for line in told_of_nodes(Graph(times, needs), 4).splitlines()]
    assert lines[0] == ["nodes", "of", "4", "cores", "hours"]
    assert [line[0] for line in lines[1:4]] == ["1", "10", "100"]
    assert float(lines[1][1]) >= 10.9 and float(lines[3][1]) == pytest.approx(3.75, abs=0.051)
    assert lines[4][-1] == lines[3][1] and lines[5:] == [["first", "2.5"], ["then", "1.2"]]
