"""The only writer to MLflow: a thread of the driver, fed by a queue, that never fails a trial.

The artifacts are the truth and MLflow is a view of them: a run is found or created by a fingerprint
and every value carries its own time, so that writing the same trial again changes nothing.
"""

from __future__ import annotations

import logging
import queue
import re
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from fairfm_core.errors import redacted
from fairfm_core.stages import EpochValues, Stage
from sweeps.planning.records import RunRecord
from sweeps.tracking.run_writer import RunWriter

log = logging.getLogger(__name__)

FLUSH_SECONDS = 1.0
"""Longest time that an epoch's row waits to be written."""
CLOSE_SECONDS = 60.0
"""Longest time that the end of a sweep waits for what is queued."""
PATIENCE_SECONDS = 600.0
"""How long a write is tried again before its run counts as incomplete."""
FIRST_PAUSE, LONGEST_PAUSE = 0.2, 5.0
"""Seconds before the second attempt, doubled before each further one up to the longest."""
PERMANENT = {
    *("INVALID_PARAMETER_VALUE", "BAD_REQUEST", "INVALID_STATE", "ENDPOINT_NOT_FOUND"),
    *("RESOURCE_DOES_NOT_EXIST", "RESOURCE_ALREADY_EXISTS"),
    *("PERMISSION_DENIED", "UNAUTHENTICATED"),
}
"""MLflow's error codes that another attempt would not change."""
LOGIN = "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"
IN_WORDS = {
    "UNAUTHENTICATED": f"user and password are not accepted; set {LOGIN}",
    "PERMISSION_DENIED": f"the user may not do this; set {LOGIN} to those of one who may write",
}
"""What an error code of MLflow means, where its own text is the page of an HTTP error."""
DRIVER = re.compile(r"^\((?:\w+\.)+\w+\) ")
"""What SQLAlchemy puts before the text of a database's own error."""
OPERATIONAL = "OperationalError"
"""Name that every database driver gives to a lock or a lost connection."""
ENDED = {"failed": "FAILED", "paused": "KILLED"}
"""MLflow's status of runs that end with a reason."""
OPENING = ""
"""Key of the experiment itself among the incomplete runs."""

Replay = RunRecord
"""A record that finished in an earlier run of the study and that MLflow lacks."""
Opened = tuple[RunWriter, list[Replay]]


def say(line: str) -> None:
    """Print one line about MLflow on stderr."""
    print(f"MLflow: {line}", file=sys.stderr)


def is_temporary(error: Exception) -> bool:
    """Whether the same write may succeed later: MLflow, its database or the network is away.

    Bad input is not, nor is a run that somebody deleted or a file that is missing.
    """
    code = getattr(error, "error_code", None)
    if code is not None:
        return code not in PERMANENT
    lasting = isinstance(error, FileNotFoundError | PermissionError)
    return (isinstance(error, OSError) and not lasting) or type(error).__name__ == OPERATIONAL


def reason_of(error: Exception) -> str:
    """An error in one line of at most 200 characters, without passwords.

    Text of one word or none says too little without the error's type.
    """
    known = IN_WORDS.get(getattr(error, "error_code", ""))
    if known is not None:
        return known
    text = redacted(" ".join(str(error).split("\n")[0].split()))
    text = DRIVER.sub("", text)[:200]
    return text if " " in text else f"{type(error).__name__}: {text}"


class TrackingThread:
    """A sweep's listener that queues every event for the writer's thread and never blocks.

    `opened` opens MLflow and returns its writer with the runs to write first; `place` is its URI
    for display. `start_run` and `log_run` write the beginning and the stored results of a run.
    `done` are the fingerprints of the stages that were finished before.
    """

    def __init__(
        self,
        opened: Callable[[], Opened],
        place: str,
        records: Sequence[RunRecord],
        log_run: Callable[[RunWriter, RunRecord], None],
        start_run: Callable[[RunWriter, RunRecord], None],
        done: Iterable[str] = (),
    ) -> None:
        self._opened = opened
        self._place = place
        self._log_run = log_run
        self._start_run = start_run
        self._training = {record.identity: record for record in records}
        """Runs by the fingerprint of the stage whose epochs they show."""
        self._needing: dict[str, list[RunRecord]] = defaultdict(list)
        for record in records:
            for fingerprint in record.stages:
                self._needing[fingerprint].append(record)
        self._done = set(done)
        """Fingerprints of finished stages."""
        self._queue: queue.Queue[tuple[str, Any, Any]] = queue.Queue(maxsize=10_000)
        self._rows: dict[str, list[EpochValues]] = defaultdict(list)
        self._open: dict[str, RunRecord] = {}
        self._writer: RunWriter | None = None
        self._incomplete: dict[str, str] = {}
        """Why MLflow lacks values of a run, by its identity."""
        self._warned = False
        self._patient = True
        self._closing = threading.Event()
        self._closed_by = float("inf")
        self._thread = threading.Thread(target=self._work, name="fairfm-tracking", daemon=True)
        self._thread.start()

    @property
    def experiment(self) -> str | None:
        """MLflow's id of the study's experiment; None until MLflow is open."""
        return None if self._writer is None else self._writer.experiment

    @property
    def degraded(self) -> str | None:
        """Why MLflow lacks values; None while it lacks none."""
        incomplete = dict(self._incomplete)
        if not incomplete:
            return None
        if OPENING in incomplete:
            return incomplete[OPENING]
        runs = f"{len(incomplete)} run{'s' if len(incomplete) > 1 else ''}"
        return f"it lacks values of {runs}: {next(iter(incomplete.values()))}"

    def extend(self, records: Sequence[RunRecord]) -> None:
        """Follow further runs, which a search has asked for; finished ones are written."""
        for record in records:
            if record.identity in self._training:
                continue
            self._training[record.identity] = record
            for fingerprint in record.stages:
                self._needing[fingerprint].append(record)
            if self._done.issuperset(record.sources):
                self._put("done", record, None)

    def stage_started(self, stage: Stage) -> None:
        """Start the run whose epochs the stage reports."""
        if stage.fingerprint in self._training:
            record = self._training[stage.fingerprint]
            self._open[record.identity] = record
            self._put("start", record, None)

    def stage_reported(self, stage: Stage, row: EpochValues) -> None:
        """Queue an epoch's row."""
        if stage.fingerprint in self._training and "epoch" in row:
            self._put("row", self._training[stage.fingerprint], row)

    def stage_finished(self, stage: Stage) -> None:
        """Finish every run that was waiting for this stage alone.

        A trial's is mostly its evaluation, but the training where that alone was made again.
        """
        self._done.add(stage.fingerprint)
        for record in self._needing[stage.fingerprint]:
            if stage.fingerprint in record.sources and self._done.issuperset(record.sources):
                self._open.pop(record.identity, None)
                self._put("done", record, None)

    def stage_paused(self, stage: Stage, epoch: int) -> None:
        """End the run, saying where its training has paused; it is started again if it goes on."""
        record = self._training.get(stage.fingerprint)
        if record is not None:
            self._open.pop(record.identity, None)
            self._put("paused", record, f"paused after epoch {epoch} by the search's halving")

    def stage_failed(self, stage: Stage, reason: str) -> None:
        """Mark every run that needs the stage as failed."""
        for record in self._needing[stage.fingerprint]:
            self._open.pop(record.identity, None)
            self._put("failed", record, reason)

    def worker_lost(self, stage: Stage, reason: str) -> None:
        """Write nothing: the run goes on."""

    def work_waits(self, waits: object) -> None:
        """Write nothing: the run goes on."""

    def close(self, killed: bool, seconds: float = CLOSE_SECONDS) -> None:
        """Write what is queued, within `seconds`; `killed` ends open runs as KILLED."""
        for record in list(self._open.values()) if killed else []:
            self._put("killed", record, None)
        self._closed_by = time.monotonic() + seconds
        self._closing.set()
        self._thread.join(seconds)
        if self._thread.is_alive():
            self._incomplete.setdefault(OPENING, "it did not accept all values in time")

    def _put(self, what: str, record: RunRecord, value: Any) -> None:
        try:
            self._queue.put_nowait((what, record, value))
        except queue.Full:
            self._incomplete[record.identity] = "the queue of values is full"

    def _work(self) -> None:
        """Open MLflow, then write until the sweep ends."""
        replays = self._open_mlflow()
        if self._writer is None:
            return
        for record in replays:
            self._attempt("done", record, None)
        for what, record, value in self._events():
            if what == "row":
                self._rows[record.identity].append(value)
            else:
                self._attempt(what, record, value)

    def _open_mlflow(self) -> list[Replay]:
        """Open MLflow, trying again while the sweep runs; returns the runs to write first.

        The writer stays None if MLflow cannot be used, or if the sweep ends before it is back.
        """
        for pause in pauses():
            closing = self._closing.is_set()
            try:
                self._writer, replays = self._opened()
                self._incomplete.pop(OPENING, None)
                return replays
            except Exception as error:  # the tracker's boundary: it must never end a sweep
                self._incomplete[OPENING] = f"it could not be opened: {reason_of(error)}"
                hopeless = not is_temporary(error)
                self._warn(f"at {self._place} cannot be opened: {reason_of(error)}", hopeless)
            if hopeless or closing:
                break
            self._closing.wait(pause)
        return []

    def _events(self) -> Iterator[tuple[str, RunRecord, Any]]:
        """Queued events until the sweep ends; rows are written between them, each second."""
        flushed = time.monotonic()
        while True:
            closing = self._closing.is_set()
            try:
                yield self._queue.get(block=not closing, timeout=FLUSH_SECONDS)
                idle = False
            except queue.Empty:
                idle = True
            if idle or time.monotonic() - flushed >= FLUSH_SECONDS:
                for identity in list(self._rows):
                    self._attempt("rows", self._training[identity], self._rows.pop(identity))
                flushed = time.monotonic()
            if idle and closing:
                return

    def _write(self, what: str, record: RunRecord, value: Any) -> None:
        assert self._writer is not None
        identity = record.identity
        if what == "start":
            self._start_run(self._writer, record)
        elif what == "rows":
            self._writer.rows(identity, value)
        elif what == "done":
            self._rows.pop(identity, None)  # the stored history holds them all
            self._log_run(self._writer, record)
        elif what == "killed":
            self._start_run(self._writer, record)
            self._writer.end(identity, "KILLED", int(time.time() * 1000))
        else:
            self._start_run(self._writer, record)
            self._writer.tag(identity, "fairfm.status_reason", str(value)[:5000])
            self._writer.end(identity, ENDED[what], int(time.time() * 1000))

    def _attempt(self, what: str, record: RunRecord, value: Any) -> None:
        """Write, retrying while MLflow is away; giving up leaves the run incomplete."""
        given_up = time.monotonic() + (PATIENCE_SECONDS if self._patient else 0)
        for pause in pauses():
            try:
                self._write(what, record, value)
                self._patient = True
                if what == "done":
                    self._incomplete.pop(record.identity, None)
                return
            except Exception as error:  # the tracker's boundary: it must never fail a trial
                log.info("MLflow, %s of %s: %s", what, record.name, redacted(str(error)))
                reason, hopeless = reason_of(error), not is_temporary(error)
            self._warn(f"does not accept values: {reason}", hopeless)
            if hopeless or time.monotonic() + pause > min(given_up, self._closed_by):
                self._incomplete[record.identity] = reason
                # Once patience has ended, a write is tried once until one succeeds.
                self._patient = self._patient and hopeless
                return
            time.sleep(pause)

    def _warn(self, trouble: str, hopeless: bool) -> None:
        """Warn about the first failure only, in one line."""
        if not self._warned:
            self._warned = True
            outlook = "" if hopeless else "; the run goes on and tries again"
            print(f"warning: MLflow {trouble}{outlook}", file=sys.stderr)


def pauses() -> Iterator[float]:
    """Seconds to wait after each attempt."""
    pause = FIRST_PAUSE
    while True:
        yield pause
        pause = min(2 * pause, LONGEST_PAUSE)
