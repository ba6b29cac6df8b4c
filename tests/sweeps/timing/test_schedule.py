"""When a graph of jobs is done on limited resources."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sweeps.timing.schedule import Pending, longest_paths, makespan

CPU = (1.0, 0.0)


def job(name: str, seconds: float, *after: str, **more: object) -> Pending:
    return Pending(name, seconds, frozenset(after), **{"demand": CPU, **more})  # type: ignore[arg-type]


def test_a_chain_takes_the_sum_whatever_room_there_is() -> None:
    assert makespan([job("a", 3), job("b", 4, "a"), job("c", 5, "b")], (8.0, 0.0)) == 12


def test_independent_jobs_share_the_workers() -> None:
    assert makespan([job(name, 2) for name in "abcde"], (2.0, 0.0)) == 6


def test_jobs_with_gpus_wait_for_each_other_however_many_cores_there_are() -> None:
    gpu = {"demand": (4.0, 1.0)}
    jobs = [job("a", 5, **gpu), job("b", 5, **gpu), job("c", 1), job("d", 1)]
    assert makespan(jobs, (64.0, 1.0)) == 10


def test_shares_of_a_gpu_run_together() -> None:
    third = {"demand": (1.0, 1 / 3)}
    assert makespan([job(name, 5, **third) for name in "abc"], (64.0, 1.0)) == 5


def test_what_runs_holds_its_room_and_rank_decides_who_is_next() -> None:
    jobs = [job("late", 1, rank=5), job("early", 7, rank=1), job("now", 2, running=True)]
    assert makespan(jobs, CPU) == 10
    consumer = job("after early", 1, "early")
    assert makespan([*jobs, consumer], (2.0, 0.0)) == 8


def path_from(name: str, seconds: dict[str, float], after: dict[str, set[str]]) -> float:
    """By its definition: the job, then the worst of what waits for it."""
    waiting = [other for other, needs in after.items() if name in needs]
    return seconds[name] + max((path_from(o, seconds, after) for o in waiting), default=0.0)


@given(st.data())
def test_the_longest_path_is_that_of_its_definition(data: st.DataObject) -> None:
    names = [f"job{n}" for n in range(data.draw(st.integers(1, 7)))]
    seconds = {name: float(data.draw(st.integers(0, 9))) for name in names}
    after = {
        name: data.draw(st.sets(st.sampled_from([*names[:place], "done"])))
        for place, name in enumerate(names)
    }
    paths = longest_paths(seconds, after)
    assert paths == {name: path_from(name, seconds, after) for name in names}


def test_of_equal_rank_the_longest_path_goes_first() -> None:
    """In the order of the study the chain would begin last and end at 10."""
    chain = [job("first", 3), job("second", 3, "first")]
    assert makespan([*(job(name, 2) for name in "abc"), *chain], (2.0, 0.0)) == 6


def test_a_job_that_never_fits_runs_alone() -> None:
    assert makespan([job("a", 2), job("huge", 3, demand=(99.0, 0.0))], CPU) == 5


def test_nothing_is_done_at_once() -> None:
    assert makespan([], CPU) == 0


@pytest.mark.slow
def test_three_thousand_jobs_take_a_moment() -> None:
    jobs = [job(f"tune{n}", 5) for n in range(1500)]
    jobs += [job(f"evaluate{n}", 1, f"tune{n}", rank=-1) for n in range(1500)]
    begun = time.process_time()
    assert makespan(jobs, (2.0, 0.0)) == pytest.approx(1500 * 6 / 2, abs=6)
    assert time.process_time() - begun < 5.0
