"""What a study will take, from what earlier runs have measured."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fairfm_core.artifacts import open_store
from fairfm_core.snapshot import take_snapshot
from sweeps.execution.live_jobs import jobs_of
from sweeps.planning.plan import make_plan
from sweeps.planning.study import StudySpec
from sweeps.preflight.resources import Cluster
from sweeps.status.status import StudyStatus
from sweeps.status.usage import UsageMeter
from sweeps.timing.durations import Measured, add_durations
from sweeps.timing.forecast import forecast, forecast_lines
from sweeps.timing.work import work_of_job

ONE_CORE = Cluster(({"CPU": 1.0},))
RATE = 0.01
"""Seconds for a unit of any work."""
CAPS = {"max_hours": 1.0, "prices": {"hour": 36.0}}


@pytest.fixture
def status(
    study_values: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> StudyStatus:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    spec = StudySpec.model_validate({**study_values, "caps": CAPS})
    return StudyStatus(make_plan(spec), take_snapshot(open_store(str(tmp_path / "results"))))


def test_what_was_never_measured_is_named(status: StudyStatus) -> None:
    ahead = forecast(status, jobs_of(status, ONE_CORE), (1.0, 0.0))
    assert ahead.hours is ahead.cost is None
    assert ahead.unknown == (
        "extracting features of test_convnext",
        "fine-tuning of test_convnext",
    )
    (line,) = forecast_lines(ahead, status)
    assert line.startswith("time: not known, as this machine has never measured extracting")


def test_time_on_one_core_is_work_times_rate(status: StudyStatus) -> None:
    jobs = jobs_of(status, ONE_CORE)
    works = [work_of_job(job, status.plan.data.values()) for job in jobs]
    add_durations({work.kind: Measured(RATE, 1.0) for work in works})
    ahead = forecast(status, jobs, (1.0, 0.0))
    seconds = RATE * sum(work.amount for work in works)
    assert ahead.hours == pytest.approx(seconds / 3600)
    assert ahead.gpu_hours == 0.0
    assert ahead.cost == pytest.approx(seconds / 100)  # at 36 an hour
    first, cost, *_ = forecast_lines(ahead, status)
    assert first.endswith("on 1 core of this machine, by what earlier runs here have measured")
    assert cost == f"cost: about {seconds / 100:.2f} by caps.prices"
    two = forecast(status, jobs, (2.0, 0.0))
    assert two.hours is not None
    assert ahead.hours / 2 <= two.hours * (1 + 1e-9)
    assert two.hours < ahead.hours


def test_a_cap_that_will_end_the_run_is_told(status: StudyStatus) -> None:
    jobs = jobs_of(status, ONE_CORE)
    works = [work_of_job(job, status.plan.data.values()) for job in jobs]
    add_durations({work.kind: Measured(1.0, work.amount) for work in works})
    ahead = forecast(status, jobs, (1.0, 0.0))
    assert len(list(forecast_lines(ahead, status))) == 2
    store, name = status.snapshot.store, status.plan.spec.study
    clock = iter([0.0, *[3599.0] * 9])
    UsageMeter(store, name, None, lambda stage: 0.0, clock=lambda: next(clock)).save()
    warning = list(forecast_lines(ahead, status))[-1]
    assert warning == "warning: caps.max_hours of 1 is reached before everything is done"
