"""The only writer to MLflow: a thread of the driver, fed by a queue, that never fails a trial.

The artifacts are the truth and MLflow is a view of them: a run is found or created by a fingerprint
and every value carries its own time, so that writing the same trial again changes nothing.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

from fairfm_core.stages import Stage
from sweeps.planning.records import PretrainingRecord, RunRecord, TrialRecord
from sweeps.tracking.run_writer import Row, RunWriter

log = logging.getLogger(__name__)

FLUSH_SECONDS = 1.0
"""Longest time that an epoch's row waits to be written."""
CLOSE_SECONDS = 60.0
"""Longest time that the end of a sweep waits for what is queued."""
ATTEMPTS = 3
"""How often a write is tried before MLflow counts as incomplete."""


class TrackingThread:
    """A sweep's listener that queues every event for the writer's thread and never blocks.

    `start_run` and `log_run` write the beginning and the stored results of a run.
    """

    def __init__(
        self,
        writer: RunWriter,
        trials: Sequence[TrialRecord],
        pretrainings: Sequence[PretrainingRecord],
        log_run: Callable[[RunWriter, RunRecord], None],
        start_run: Callable[[RunWriter, RunRecord], None],
    ) -> None:
        self._writer = writer
        self.experiment = writer.experiment
        self._log_run = log_run
        self._start_run = start_run
        own: dict[str, RunRecord] = {record.identity: record for record in pretrainings}
        self._training = own | {trial.adapt: trial for trial in trials}
        """Runs by the fingerprint of the stage whose epochs they show."""
        self._ending = own | {trial.evaluate: trial for trial in trials}
        """Runs by the fingerprint of the stage that finishes them."""
        self._needing: dict[str, list[RunRecord]] = defaultdict(list)
        for record in pretrainings:
            self._needing[record.identity].append(record)
        for trial in trials:
            for fingerprint in trial.stages:
                self._needing[fingerprint].append(trial)
        self._queue: queue.Queue[tuple[str, Any, Any]] = queue.Queue(maxsize=10_000)
        self._rows: dict[str, list[Row]] = defaultdict(list)
        self._open: dict[str, RunRecord] = {}
        self.degraded: str | None = None
        """Why MLflow lacks values; None as long as it lacks none."""
        self._thread = threading.Thread(target=self._drain, name="fairfm-tracking", daemon=True)
        self._thread.start()

    def stage_started(self, stage: Stage) -> None:
        """Start the run whose epochs the stage reports."""
        if stage.fingerprint in self._training:
            record = self._training[stage.fingerprint]
            self._open[record.identity] = record
            self._put("start", record, None)

    def stage_reported(self, stage: Stage, row: Row) -> None:
        """Queue an epoch's row."""
        if stage.fingerprint in self._training and "epoch" in row:
            self._put("row", self._training[stage.fingerprint], row)

    def stage_finished(self, stage: Stage) -> None:
        """Finish the run of a trial that is evaluated, or of a pre-training."""
        if stage.fingerprint in self._ending:
            record = self._ending[stage.fingerprint]
            self._open.pop(record.identity, None)
            self._put("done", record, None)

    def stage_failed(self, stage: Stage, reason: str) -> None:
        """Mark every run that needs the stage as failed."""
        for record in self._needing[stage.fingerprint]:
            self._open.pop(record.identity, None)
            self._put("failed", record, reason)

    def worker_lost(self, stage: Stage, reason: str) -> None:
        """Write nothing: the run goes on."""

    def replay(self, record: RunRecord) -> None:
        """Queue a record that finished in an earlier run of the study."""
        self._put("done", record, None)

    def close(self, killed: bool, seconds: float = CLOSE_SECONDS) -> None:
        """Write what is queued, within `seconds`; `killed` ends open runs as KILLED."""
        for record in list(self._open.values()) if killed else []:
            self._put("killed", record, None)
        self._put("close", None, None)
        self._thread.join(seconds)
        if self._thread.is_alive():
            self.degraded = self.degraded or "MLflow did not accept all values in time"

    def _put(self, what: str, record: RunRecord | None, value: Any) -> None:
        try:
            self._queue.put_nowait((what, record, value))
        except queue.Full:
            self.degraded = "the queue of values for MLflow is full"

    def _drain(self) -> None:
        flushed = time.monotonic()
        while True:
            try:
                what, record, value = self._queue.get(timeout=FLUSH_SECONDS)
            except queue.Empty:
                what, record, value = "flush", None, None
            if what == "row":
                self._rows[record.identity].append(value)
            elif record is not None:
                self._attempt(lambda: self._write(what, record, value))  # noqa: B023 - called here
            if what in {"flush", "close"} or time.monotonic() - flushed >= FLUSH_SECONDS:
                self._attempt(self._flush)
                flushed = time.monotonic()
            if what == "close":
                return

    def _write(self, what: str, record: RunRecord, value: Any) -> None:
        identity = record.identity
        if what == "start":
            self._start_run(self._writer, record)
        elif what == "done":
            self._rows.pop(identity, None)  # the stored history holds them all
            self._log_run(self._writer, record)
        elif what == "killed":
            self._writer.end(identity, "KILLED", int(time.time() * 1000))
        else:
            self._start_run(self._writer, record)
            self._writer.tag(identity, "fairfm.status_reason", str(value)[:5000])
            self._writer.end(identity, "FAILED", int(time.time() * 1000))

    def _flush(self) -> None:
        for identity in list(self._rows):
            self._writer.rows(identity, self._rows[identity])
            del self._rows[identity]

    def _attempt(self, write: Callable[[], None]) -> None:
        reason = ""
        for attempt in range(ATTEMPTS):
            try:
                write()
                return
            except Exception as error:  # the tracker's boundary: it may never fail a trial
                reason = f"{type(error).__name__}: {str(error).splitlines()[0][:200]}"
                log.info("MLflow, attempt %d: %s", attempt + 1, error)
                time.sleep(0.2 * 2**attempt)
        self.degraded = reason
