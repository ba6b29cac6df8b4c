"""Rates from this run, from earlier ones and from work that is alike."""

from __future__ import annotations

import pytest

from fairfm_core.stages import Stage
from sweeps.timing.durations import Measured
from sweeps.timing.time_left import COLD_SECONDS, TimeLeft
from sweeps.timing.work import LiveJob, Work

CPU = (1.0, 0.0)
Jobs = dict[str, tuple[LiveJob, Work]]


def stage(name: str, **inputs: str) -> Stage:
    return Stage("features", {"name": name}, "", "", inputs)


def jobs(*works: Work) -> Jobs:
    made = [LiveJob((stage(str(number)),)) for number, _ in enumerate(works)]
    return {job.name: (job, work) for job, work in zip(made, works, strict=True)}


def work(amount: float, family: str = "tune", network: str = "net", **more: object) -> Work:
    return Work(family, f"{family} of {network}", amount, network=network, **more)  # type: ignore[arg-type]


def warm(given: Jobs, capacity: tuple[float, float] = CPU, **more: object) -> TimeLeft:
    """Of a run whose processes have all begun."""
    return TimeLeft(given, capacity, 0, **more)  # type: ignore[arg-type]


def seconds(time_left: TimeLeft, now: float) -> float | None:
    outlook = time_left.outlook(now)
    return None if outlook is None else outlook.seconds


def test_time_left_is_work_left_times_the_measured_rate() -> None:
    given = jobs(work(100), work(100), work(200, network="unseen"))
    first, second, _ = given
    time_left = warm(given)
    assert seconds(time_left, 0.0) is None
    time_left.started(first, 0.0)
    time_left.progressed(first, 0.5, 10.0)  # 50 units in 10 s: 0.2 s each
    assert time_left.job_left(first, 10.0) == pytest.approx(10.0)
    assert seconds(time_left, 10.0) == pytest.approx(10.0 + 20.0 + 40.0)
    assert seconds(time_left, 12.0) == pytest.approx(8.0 + 20.0 + 40.0)
    time_left.ended(first, 20.0)
    time_left.ended(second, 20.0, done=False)
    assert seconds(time_left, 20.0) == pytest.approx(40.0)


def test_what_an_earlier_run_has_done_is_neither_measured_nor_left() -> None:
    given = jobs(work(100), work(100))
    first = next(iter(given))
    time_left = warm(given, behind={first: 0.5})
    time_left.started(first, 0.0)
    time_left.progressed(first, 0.5, 1.0)  # the checkpoint's own epoch, reported again
    assert seconds(time_left, 1.0) is None
    time_left.progressed(first, 0.6, 10.0)  # 10 units in 10 s
    assert time_left.job_left(first, 10.0) == pytest.approx(40.0)
    assert seconds(time_left, 12.0) == pytest.approx(38.0 + 100.0)


def test_a_job_that_lost_its_worker_is_measured_from_its_new_start() -> None:
    given = jobs(work(100))
    (first,) = given
    time_left = warm(given)
    time_left.started(first, 0.0)
    time_left.progressed(first, 0.4, 40.0)
    time_left.started(first, 1000.0)
    assert seconds(time_left, 1000.0) == pytest.approx(60.0 + COLD_SECONDS)
    time_left.progressed(first, 0.5, 1020.0)  # in a new process: where its measurement begins
    time_left.progressed(first, 0.6, 1030.0)
    assert seconds(time_left, 1030.0) == pytest.approx(40.0)


def test_the_first_epoch_of_a_new_process_tells_nothing_about_the_others() -> None:
    given = jobs(work(100))
    (first,) = given
    time_left = TimeLeft(given, CPU, slots=2)
    time_left.started(first, 0.0)
    time_left.progressed(first, 0.1, 9.0)
    assert seconds(time_left, 9.0) is None
    time_left.progressed(first, 0.2, 10.0)
    assert seconds(time_left, 10.0) == pytest.approx(8.0)
    time_left.ended(first, 18.0)
    assert time_left.measured() == {work(100).kind: Measured(9.0, pytest.approx(90.0))}  # type: ignore[arg-type]


def test_a_long_first_epoch_is_measured_although_the_process_is_new() -> None:
    given = jobs(work(100))
    (first,) = given
    time_left = TimeLeft(given, CPU, slots=2)
    time_left.started(first, 0.0)
    time_left.progressed(first, 0.1, 100.0 + COLD_SECONDS)
    assert time_left.job_left(first, 105.0) == pytest.approx(900.0)


def test_earlier_runs_are_known_from_the_start_and_corrected_by_this_one() -> None:
    given = jobs(work(100), work(100))
    first = next(iter(given))
    known = {work(100).kind: Measured(50.0, 100.0)}
    time_left = warm(given, known=known)
    assert seconds(time_left, 0.0) == pytest.approx(100.0)
    time_left.started(first, 0.0)
    time_left.ended(first, 200.0)
    left = seconds(time_left, 200.0)
    assert left is not None
    assert 130.0 < left < 200.0


def test_work_of_another_size_is_judged_by_the_nearest_one() -> None:
    known = {work(100).kind: Measured(50.0, 100.0), work(1e6).kind: Measured(1.0, 100.0)}
    assert seconds(warm(jobs(work(1000)), known=known), 0.0) == pytest.approx(500.0)
    assert seconds(warm(jobs(work(3e5)), known=known), 0.0) == pytest.approx(3000.0)


def test_what_is_fixed_in_small_work_is_not_counted_again_in_large_work() -> None:
    """Evaluations of 64 units took a second, nearly all of it fixed: a million take no hours."""
    small = Work("evaluate", "evaluation", 64.0, rough=0.5 + 64e-6, fixed=0.5)
    large = Work("evaluate", "evaluation", 4.0**10, rough=0.5 + 4.0**10 * 1e-6, fixed=0.5)
    known = {small.kind: Measured(10.0, 640.0)}  # ten jobs of a second: half as fast as expected
    expected = 2.0 * (0.5 + 4.0**10 * 1e-6)
    assert seconds(warm(jobs(large), known=known), 0.0) == pytest.approx(expected, rel=1e-3)
    assert seconds(warm(jobs(small), known=known), 0.0) == pytest.approx(1.0)


def test_a_method_without_measurements_is_judged_by_others_with_the_same_network() -> None:
    given = jobs(work(100, "mae"), work(100, "mocov3", cost=3.0), work(100, "mae", "large"))
    first, second, _ = given
    time_left = warm(given, (3.0, 0.0), known={work(100, "mae", "large").kind: Measured(99, 1)})
    time_left.started(first, 0.0)
    time_left.progressed(first, 0.5, 5.0)
    assert time_left.job_left(second, 5.0) == pytest.approx(30.0)


def test_work_without_a_network_has_a_rough_expectation() -> None:
    evaluation = Work("evaluate", "evaluation", 10.0, rough=4.0)
    time_left = warm(jobs(evaluation, evaluation))
    assert seconds(time_left, 0.0) == pytest.approx(8.0)


def test_the_first_evaluation_of_a_process_tells_nothing_about_the_others() -> None:
    evaluation = Work("evaluate", "evaluation", 10.0, loads=True, rough=1.0)
    given = jobs(evaluation, evaluation, evaluation)
    first, second, _ = given
    time_left = TimeLeft(given, CPU, slots=1)
    time_left.started(first, 0.0)
    time_left.ended(first, 9.0)
    assert seconds(time_left, 9.0) == pytest.approx(2.0)
    time_left.started(second, 9.0)
    time_left.ended(second, 12.0)
    assert seconds(time_left, 12.0) == pytest.approx(3.0)


def test_a_job_that_is_overdue_is_expected_to_go_on_for_a_while() -> None:
    given = jobs(Work("evaluate", "evaluation", 10.0, rough=4.0))
    (first,) = given
    time_left = warm(given)
    time_left.started(first, 0.0)
    assert time_left.job_left(first, 3.0) == pytest.approx(1.0)
    assert time_left.job_left(first, 40.0) == pytest.approx(4.0)
