"""The only writer to MLflow: a thread of the driver, fed by a queue, that can never fail a trial.

Files are the truth and MLflow is a view of them: a run is found or created by its trial's
fingerprint, every value carries the time at which it arose, so writing the same trial again
changes nothing.
"""

from __future__ import annotations

import logging
import math
import os
import queue
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fairfm_core.stages import Stage
from sweeps.records import PretrainingRecord, RunRecord, TrialRecord

if TYPE_CHECKING:
    from mlflow import MlflowClient

log = logging.getLogger(__name__)

BATCH = 1000
"""MLflow's limit of metrics in one call."""

TRACKED = {
    *("loss", "val_auc", "lr", "images_per_second", "data_fraction", "memory_gb"),
    *("gradient_norm", "spread"),
}
"""Values of an epoch that a run shows; which of them, depends on the kind of training."""

FLUSH_SECONDS = 1.0
CLOSE_SECONDS = 60.0
ATTEMPTS = 3

Row = Mapping[str, float]


def quiet_mlflow() -> None:
    """No telemetry, no chatter, and short patience with a server that is down."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "3")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "ERROR")
    logging.getLogger("alembic").setLevel(logging.ERROR)
    # It prints a traceback for each attempt; the writer says once what went wrong.
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)


def open_experiment(uri: str, study: str, artifacts: str) -> tuple[MlflowClient, str]:
    """Client and id of the study's experiment; makes the schema before any worker starts."""
    quiet_mlflow()
    from mlflow import MlflowClient

    client = MlflowClient(uri)
    name = f"fairfm-{study}"
    found = client.get_experiment_by_name(name)
    if found is not None:
        return client, str(found.experiment_id)
    location = Path(artifacts).absolute().as_uri() if uri.startswith("sqlite") else None
    tags = {"mlflow.experimentKind": "custom_model_development"}
    return client, str(client.create_experiment(name, artifact_location=location, tags=tags))


class RunWriter:
    """Writes trials as flat runs of one experiment; every method may be called again safely."""

    def __init__(self, client: MlflowClient, experiment: str, study: str) -> None:
        self._client = client
        self.experiment = experiment
        self._study = study
        self._runs: dict[str, str] = {}
        self._status: dict[str, str] = {}
        self._tags: dict[str, dict[str, str]] = defaultdict(dict)
        self._params: dict[str, set[str]] = defaultdict(set)
        self._read_existing()

    def _read_existing(self) -> None:
        """Ids, statuses, tags and names of parameters by identity, read once."""
        token = None
        while True:
            page = self._client.search_runs([self.experiment], max_results=1000, page_token=token)
            for run in page:
                identity = run.data.tags.get("fairfm.fingerprint", "")
                if identity in self._runs:
                    log.warning("two MLflow runs of %s: %s", identity, run.info.run_id)
                self._runs[identity] = run.info.run_id
                self._status[identity] = run.info.status
                self._tags[identity] = dict(run.data.tags)
                self._params[identity] = set(run.data.params)
            token = page.token
            if not token:
                return

    def finished(self, identity: str) -> bool:
        """Whether the run of this identity stands as FINISHED."""
        return self._status.get(identity) == "FINISHED"

    def tag_of(self, identity: str, key: str) -> str | None:
        """The value of a run's tag, or None."""
        return self._tags[identity].get(key)

    def close_stale(self) -> None:
        """End as KILLED the runs that a dead driver left RUNNING; a resumed one runs again."""
        for identity, status in list(self._status.items()):
            if status == "RUNNING":
                self.end(identity, "KILLED", int(time.time() * 1000))

    def start(self, identity: str, name: str, kind: str, tags: Mapping[str, str]) -> str:
        """The run of this identity, found or created, and RUNNING."""
        if identity in self._runs:
            if self._status[identity] != "RUNNING":
                self._client.update_run(self._runs[identity], status="RUNNING", name=name)
        else:
            own = {"fairfm.fingerprint": identity, "fairfm.kind": kind, "fairfm.study": self._study}
            run = self._client.create_run(self.experiment, run_name=name, tags={**own, **tags})
            self._runs[identity] = run.info.run_id
        self._status[identity] = "RUNNING"
        return self._runs[identity]

    def params(self, identity: str, values: Mapping[str, str]) -> None:
        """Log the parameters that the run lacks: MLflow's never change, a study's labels may."""
        from mlflow.entities import Param

        lacking = {key: values[key] for key in values if key not in self._params[identity]}
        params = [Param(key, value) for key, value in lacking.items()]
        self._client.log_batch(self._runs[identity], params=params)
        self._params[identity].update(lacking)

    def rows(self, identity: str, rows: Sequence[Row]) -> None:
        """Log training rows: `train/<key>` at step = epoch, at the time the row arose."""
        from mlflow.entities import Metric

        metrics = [
            Metric(f"train/{key}", value, int(row["time"] * 1000), int(row["epoch"]))
            for row in rows
            for key, value in row.items()
            if key in TRACKED and math.isfinite(value)
        ]
        for start in range(0, len(metrics), BATCH):
            self._client.log_batch(self._runs[identity], metrics=metrics[start : start + BATCH])

    def final(self, identity: str, values: Row, timestamp: int, files: Sequence[Path]) -> None:
        """Log final values at step 0 and the files behind them."""
        from mlflow.entities import Metric

        metrics = [Metric(key, value, timestamp, 0) for key, value in values.items()]
        self._client.log_batch(self._runs[identity], metrics=metrics)
        for file in files:
            self._client.log_artifact(self._runs[identity], str(file))

    def config(self, identity: str, config: dict[str, Any]) -> None:
        """Keep the full resolved trial as `config.yaml`."""
        self._client.log_dict(self._runs[identity], config, "config.yaml")

    def tag(self, identity: str, key: str, value: str) -> None:
        """Set one tag of a run."""
        self._client.set_tag(self._runs[identity], key, value)
        self._tags[identity][key] = value

    def untag(self, identity: str, key: str) -> None:
        """Remove a tag that no longer holds."""
        if self._tags[identity].pop(key, None) is not None:
            self._client.delete_tag(self._runs[identity], key)

    def end(self, identity: str, status: str, timestamp: int) -> None:
        """Terminate the run."""
        self._client.set_terminated(self._runs[identity], status=status, end_time=timestamp)
        self._status[identity] = status


class TrackingThread:
    """A sweep's listener that hands every event to the writer's thread and returns at once."""

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
        alone: dict[str, RunRecord] = {record.identity: record for record in pretrainings}
        self._training = alone | {trial.adapt: trial for trial in trials}
        """Runs by the stage whose epochs they show."""
        self._ending = alone | {trial.evaluate: trial for trial in trials}
        """Runs by the stage that finishes them."""
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
        """Why MLflow could not be written, if it could not."""
        self._thread = threading.Thread(target=self._drain, name="fairfm-tracking", daemon=True)
        self._thread.start()

    def stage_started(self, stage: Stage) -> None:
        """Start the run whose training begins."""
        if stage.fingerprint in self._training:
            record = self._training[stage.fingerprint]
            self._open[record.identity] = record
            self._put("start", record, None)

    def stage_reported(self, stage: Stage, row: Row) -> None:
        """Pass an epoch's row on."""
        if stage.fingerprint in self._training and "epoch" in row:
            self._put("row", self._training[stage.fingerprint], row)

    def stage_finished(self, stage: Stage) -> None:
        """A finished evaluation is a finished trial, a finished pre-training is one itself."""
        if stage.fingerprint in self._ending:
            record = self._ending[stage.fingerprint]
            self._open.pop(record.identity, None)
            self._put("done", record, None)

    def stage_failed(self, stage: Stage, reason: str) -> None:
        """A failed stage fails every run that needs it."""
        for record in self._needing[stage.fingerprint]:
            self._open.pop(record.identity, None)
            self._put("failed", record, reason)

    def replay(self, record: RunRecord) -> None:
        """Write what finished in an earlier run of the study."""
        self._put("done", record, None)

    def close(self, killed: bool, seconds: float = CLOSE_SECONDS) -> None:
        """Write what is queued, within a time limit; `killed` ends open runs as such."""
        for record in list(self._open.values()) if killed else []:
            self._put("killed", record, None)
        self._put("close", None, None)
        self._thread.join(seconds)
        if self._thread.is_alive():
            self.degraded = self.degraded or "MLflow did not take all values in time"

    def _put(self, what: str, record: RunRecord | None, value: Any) -> None:
        try:
            self._queue.put_nowait((what, record, value))
        except queue.Full:
            self.degraded = "the queue to MLflow is full"

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
                self._attempt(lambda: self._write(what, record, value))  # noqa: B023 - called at once
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
