"""What happens to stages while a sweep runs, and the Tune callback that notifies listeners."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from ray import tune
from ray.tune.experiment import Trial as TuneTrial

from fairfm_core.artifacts import ArtifactStore
from fairfm_core.errors import redacted
from fairfm_core.stages import EpochValues, Stage
from sweeps.execution.jobs import Job
from sweeps.execution.stage_scheduler import failures_of
from sweeps.execution.trainable import LEAVES, ROWS
from sweeps.execution.waiting import WaitWatch
from sweeps.interrupts import Check
from sweeps.ray_session.memory import why_lost
from sweeps.timing.work import Waits

FAILURE_HEADER = re.compile(r"^Failure # .*$", re.MULTILINE)
"""Tune's heading of each failure in a trial's file of errors."""


class Listener(Protocol):
    """Follows the stages of a running sweep; its methods must never raise and never block."""

    def stage_started(self, stage: Stage) -> None:
        """A worker has begun the stage."""

    def stage_reported(self, stage: Stage, row: EpochValues) -> None:
        """An epoch's values, or the validation metrics of an evaluation."""

    def stage_finished(self, stage: Stage) -> None:
        """The stage is done and its artifact published."""

    def stage_failed(self, stage: Stage, reason: str) -> None:
        """The stage cannot finish."""

    def worker_lost(self, stage: Stage, reason: str) -> None:
        """The stage goes on with another worker, from its last checkpoint."""

    def work_waits(self, waits: Waits) -> None:
        """Work has waited for a minute, and still does; again and again, until `waits` is empty."""


class RunEnded(BaseException):
    """Carries an exception that ends the run through Tune, which would first tidy up for others.

    Tidying asks Ray's servers to end every trial, and waits for them even when they are dead.
    """

    def __init__(self, cause: Exception) -> None:
        super().__init__(str(cause))
        self.cause = cause


class StageEvents(tune.Callback):  # type: ignore[misc]
    """Translates Tune's trial events into stage events and notifies the listeners."""

    def __init__(
        self,
        jobs: Mapping[str, Job],
        listeners: Sequence[Listener],
        store: ArtifactStore,
        check: Check,
        waits: WaitWatch,
    ) -> None:
        self._check = check
        self._waits = waits
        self._jobs = jobs
        self._listeners = listeners
        self._store = store

    def __getstate__(self) -> dict[str, Any]:
        """Leave the listeners out of Tune's snapshots: they hold threads and streams."""
        return {"_jobs": self._jobs, "_listeners": (), "_store": self._store}

    def on_step_begin(self, iteration: int, trials: list[TuneTrial], **info: Any) -> None:
        """Called at least every tenth of a second: where a run can be ended by RunEnded."""
        try:
            self._check()
        except Exception as error:
            raise RunEnded(error) from error
        self._waits.look(trials)

    def on_trial_start(
        self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, **info: Any
    ) -> None:
        """Tune has assigned the job to an actor."""
        self._waits.moved(trial, working=False)
        for stage in self._job(trial).wanted:
            self._notify("stage_started", stage)

    def on_trial_result(
        self,
        iteration: int,
        trials: list[TuneTrial],
        trial: TuneTrial,
        result: dict[str, Any],
        **info: Any,
    ) -> None:
        """Pass on the rows of an epoch; `on_trial_complete` handles the last result of a job."""
        self._waits.moved(trial)
        rows = result.get(ROWS) or {}
        for stage in self._job(trial).wanted:
            if stage.fingerprint in rows:
                self._notify("stage_reported", stage, rows[stage.fingerprint])

    def on_trial_complete(
        self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, **info: Any
    ) -> None:
        """The job has returned: each stage either finished or failed for a reason."""
        self._waits.moved(trial)
        job = self._job(trial)
        failed = failures_of(job, trial.last_result)
        for stage in job.wanted:
            if stage.fingerprint in failed:
                self._notify("stage_failed", stage, failed[stage.fingerprint])
            else:
                self._notify("stage_finished", stage)

    def on_trial_recover(
        self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, **info: Any
    ) -> None:
        """The job has lost its worker and is started again."""
        reason = _why_lost(trial)
        for stage in self._job(trial).wanted[:1]:
            self._notify("worker_lost", stage, reason)

    def on_trial_error(
        self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, **info: Any
    ) -> None:
        """The job has lost its worker more often than it is started again."""
        reason = f"lost its worker too often ({_why_lost(trial)})"
        for stage in self._job(trial).wanted:
            if self._store.is_done(stage.kind, stage.fingerprint):
                self._notify("stage_finished", stage)
                continue
            self._store.record_failure(stage.fingerprint, reason)
            self._notify("stage_failed", stage, reason)

    def _job(self, trial: TuneTrial) -> Job:
        return self._jobs[trial.config["job"]]

    def _notify(self, event: str, *values: Any) -> None:
        for listener in self._listeners:
            getattr(listener, event)(*values)


def _why_lost(trial: TuneTrial) -> str:
    """Why the trial has lost its worker the last time, in one line."""
    if LEAVES in (trial.last_result or {}):
        return "its node or process was asked to go; its last step is saved"
    # Tune's own `get_error` reads a copy of this file, which is made later.
    written = Path(trial.error_file).read_text() if trial.error_file else ""
    error = FAILURE_HEADER.split(written)[-1].strip()
    return why_lost(error) or redacted((error.splitlines() or ["no cause known"])[0])
