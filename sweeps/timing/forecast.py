"""How long a study will take, and what that costs, before it starts.

Rates are what earlier runs on this machine have measured of each kind of work.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from fairfm_core.errors import first_ten
from sweeps.planning.caps import Caps
from sweeps.status.status import StudyStatus
from sweeps.status.usage import HOUR, Usage, read_usage
from sweeps.status.worker_time import duration
from sweeps.timing.durations import read_durations
from sweeps.timing.schedule import Amounts
from sweeps.timing.time_left import TimeLeft, shares_behind
from sweeps.timing.work import LiveJob, work_of_job


@dataclass(frozen=True)
class Forecast:
    """What the missing work of a study will take."""

    hours: float | None
    """By the clock; None where a kind of work was never measured."""
    gpu_hours: float | None
    """Of all GPUs together."""
    cost: float | None
    """By the prices of the study's caps; None without prices."""
    capacity: Amounts
    """The CPUs and GPUs that do it."""
    unknown: tuple[str, ...] = ()
    """The kinds of work that were never measured, in words."""

    def as_json(self) -> dict[str, Any]:
        """The forecast as JSON values."""
        return asdict(self)


def forecast(status: StudyStatus, jobs: Sequence[LiveJob], capacity: Amounts) -> Forecast:
    """What the `jobs` of a study's missing stages will take on `capacity`."""
    works = {job.name: (job, work_of_job(job, status.plan.data.values())) for job in jobs}
    behind = shares_behind(status.begun, jobs)
    timer = TimeLeft(works, capacity, max(1, int(capacity[0])), behind, read_durations())
    left = {name: timer.job_left(name, 0.0) for name in works}
    unknown = dict.fromkeys(works[name][1].words for name, each in left.items() if each is None)
    outlook = timer.outlook(0.0)
    if outlook is None:
        return Forecast(None, None, None, capacity, tuple(unknown))
    gpu_hours = sum((left[job.name] or 0.0) * job.demand.get("GPU", 0.0) / HOUR for job in jobs)
    hours, caps = outlook.seconds / HOUR, status.plan.spec.caps
    prices = None if caps is None else caps.prices
    cost = None if prices is None else prices.cost(hours, gpu_hours)
    return Forecast(hours, gpu_hours, cost, capacity)


def forecast_lines(ahead: Forecast, status: StudyStatus) -> Iterator[str]:
    """The forecast for people: time, GPU-hours, cost, and a cap that will end the run."""
    if not status.missing:
        return
    what = "time" if status.outlook is None else "time of this round"
    if ahead.hours is None or ahead.gpu_hours is None:
        yield (
            f"{what}: not known, as this machine has never measured {first_ten(ahead.unknown)}; "
            "`fairfm sweep run STUDY --limit 1` measures it"
        )
        return
    gpus = f", {ahead.gpu_hours:.2g} GPU-hours" if ahead.gpu_hours else ""
    yield (
        f"{what}: about {duration(HOUR * ahead.hours)} on {_capacity_text(ahead.capacity)} of this "
        f"machine{gpus}, by what earlier runs here have measured"
    )
    caps = status.plan.spec.caps
    if ahead.cost is not None:
        yield f"cost: about {ahead.cost:.2f} by caps.prices"
    used = read_usage(status.snapshot.store, status.plan.spec.study)
    if caps is not None and (cap := _reached(ahead, caps, used)):
        yield f"warning: {cap} before everything is done"


def _reached(ahead: Forecast, caps: Caps, used: Usage) -> str | None:
    """Which cap earlier runs and this one will reach together."""
    hours = used.hours + (ahead.hours or 0.0)
    return caps.reached(hours, used.gpu_hours + (ahead.gpu_hours or 0.0))


def _capacity_text(capacity: Amounts) -> str:
    cpus, gpus = capacity
    cores = f"{cpus:g} core{'s' if cpus != 1 else ''}"
    return f"{cores} and {gpus:g} GPU{'s' if gpus != 1 else ''}" if gpus else cores
