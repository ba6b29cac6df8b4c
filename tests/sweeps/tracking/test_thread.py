"""The writer's thread: it waits for MLflow, never for long at the end, and says what is lacking."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from fairfm_core.errors import BadInput
from fairfm_core.stages import Stage
from sweeps.planning.records import RunRecord
from sweeps.tracking import thread
from sweeps.tracking.run_writer import RunWriter
from sweeps.tracking.runs import log_run, start_run
from sweeps.tracking.thread import TrackingThread, is_temporary, reason_of

from .conftest import IDENTITIES, OpenWriter, database, history, points, runs, store_of, trial


class Locked(OSError):
    """MLflow is away."""


class FakeWriter:
    """Stands for a writer where no MLflow is needed."""

    experiment = "1"

    def __init__(self) -> None:
        self.written: list[str] = []


@dataclass(frozen=True)
class FakeStage:
    """All that the thread reads of a stage."""

    fingerprint: str


def stage(kind: str) -> Stage:
    """A stage of the first trial."""
    record = trial("probe.s0")
    fingerprint = record.adapt if kind == "adapt" else record.evaluate
    return FakeStage(fingerprint)  # type: ignore[return-value]


def tracker(
    log: Callable[[RunWriter, RunRecord], None], opened: Callable[[], RunWriter] | None = None
) -> TrackingThread:
    """A thread over a fake MLflow."""

    def open_fake() -> tuple[RunWriter, list[RunRecord]]:
        writer = opened() if opened else FakeWriter()
        return writer, []  # type: ignore[return-value]

    return TrackingThread(open_fake, "http://host", [trial("probe.s0")], log, lambda w, r: None)


def test_a_write_is_tried_again_until_it_succeeds(capsys: pytest.CaptureFixture[str]) -> None:
    attempts = []

    def log(_: RunWriter, record: RunRecord) -> None:
        attempts.append(record.name)
        if len(attempts) < 3:
            raise Locked("database is locked")

    running = tracker(log)
    running.stage_finished(stage("evaluate"))
    running.close(killed=False)
    assert attempts == ["probe.s0"] * 3
    assert running.degraded is None
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert "database is locked; the run goes on and tries again" in lines[0]


def test_what_is_hopeless_is_tried_once(capsys: pytest.CaptureFixture[str]) -> None:
    attempts = []

    def log(_: RunWriter, record: RunRecord) -> None:
        attempts.append(record.name)
        raise FileNotFoundError("metrics.parquet")

    running = tracker(log)
    running.stage_finished(stage("evaluate"))
    running.close(killed=False)
    assert len(attempts) == 1
    assert running.degraded == "it lacks values of 1 run: FileNotFoundError: metrics.parquet"
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_the_end_of_a_sweep_waits_only_so_long(monkeypatch: pytest.MonkeyPatch) -> None:
    def log(_: RunWriter, record: RunRecord) -> None:
        raise Locked("database is locked")

    running = tracker(log)
    running.stage_finished(stage("evaluate"))
    began = time.monotonic()
    running.close(killed=False, seconds=1.0)
    assert time.monotonic() - began < 10
    assert running.degraded is not None
    assert "database is locked" in running.degraded


def test_after_patience_has_ended_writes_are_tried_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(thread, "PATIENCE_SECONDS", 0.5)
    attempts = []

    def log(_: RunWriter, record: RunRecord) -> None:
        attempts.append(record.name)
        if len(attempts) <= 4:
            raise Locked("database is locked")

    running = tracker(log)
    for _ in range(3):
        running.stage_finished(stage("evaluate"))
    running.close(killed=False, seconds=20)
    # 0, 0.2, then the next pause would end patience; once; once; the last one succeeds.
    assert 3 <= len(attempts) <= 4
    running = tracker(log)
    running.stage_finished(stage("evaluate"))
    running.close(killed=False, seconds=20)
    assert running.degraded is None


def test_mlflow_may_come_up_later() -> None:
    up = threading.Event()
    written = []

    def opened() -> RunWriter:
        if not up.is_set():
            raise Locked("connection refused")
        return FakeWriter()  # type: ignore[return-value]

    running = tracker(lambda w, record: written.append(record.name), opened)
    running.stage_finished(stage("evaluate"))
    time.sleep(0.3)
    assert running.experiment is None
    assert running.degraded == "it could not be opened: Locked: connection refused"
    up.set()
    running.close(killed=False)
    assert (running.experiment, running.degraded, written) == ("1", None, ["probe.s0"])


def test_a_database_that_cannot_be_used_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    def opened() -> RunWriter:
        raise BadInput("x.db was written by another version of MLflow")

    running = tracker(lambda w, r: None, opened)
    running.stage_finished(stage("evaluate"))
    running.close(killed=False)
    assert running.degraded is not None
    printed = capsys.readouterr().err
    assert printed == (
        "warning: MLflow at http://host cannot be opened: x.db was written by another version of "
        "MLflow\n"
    )


@pytest.mark.slow
def test_temporary_errors_are_recognised() -> None:
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import OperationalError

    assert is_temporary(MlflowException("API request failed"))
    assert is_temporary(OperationalError("SELECT 1", {}, Exception("database is locked")))
    assert is_temporary(sqlite3.OperationalError("database is locked"))
    assert not is_temporary(MlflowException.invalid_parameter_value("must be active"))
    assert not is_temporary(PermissionError("read-only"))
    assert not is_temporary(KeyError("x"))
    assert "hunter2" not in reason_of(OSError("http://ann:hunter2@host is down\nmore"))
    assert reason_of(OSError("first\nsecond")) == "OSError: first"
    assert reason_of(OSError("(sqlite3.OperationalError) disk I/O error\n[SQL: INSERT]")) == (
        "disk I/O error"
    )


@pytest.mark.slow
def test_a_database_locked_for_long_costs_nothing(
    results: Path, open_writer: OpenWriter, capsys: pytest.CaptureFixture[str]
) -> None:
    """Another program holds the database for longer than SQLite waits: the run goes on."""
    store, record = store_of(results), trial("probe.s0")
    writer = open_writer(results)

    def logged(w: RunWriter, r: RunRecord) -> None:
        log_run(w, r, store)

    running = TrackingThread(lambda: (writer, []), "here", [record], logged, start_run)
    with closing(sqlite3.connect(results / "mlflow.db", check_same_thread=False)) as other:
        other.execute("BEGIN EXCLUSIVE")
        running.stage_started(stage("adapt"))
        for row in history():
            running.stage_reported(stage("adapt"), row)
        running.stage_finished(stage("evaluate"))
        time.sleep(22)  # MLflow waits 20 s for a lock
        assert "locked" in capsys.readouterr().err
        other.rollback()
    running.close(killed=False)
    assert running.degraded is None
    (run,) = runs(database(results))
    assert (run.info.run_name, run.info.status) == ("probe.s0", "FINISHED")
    losses = points(database(results))["probe.s0", "train/loss"]
    assert losses == [(n, 1 / n) for n in (1, 2, 3)]


@pytest.mark.slow
def test_a_run_deleted_during_the_sweep_is_reported(results: Path, open_writer: OpenWriter) -> None:
    from mlflow import MlflowClient

    store, record = store_of(results), trial("probe.s0")
    writer = open_writer(results)
    run_id = writer.start(IDENTITIES["probe.s0"], "probe.s0", "trial", {})
    MlflowClient(database(results)).delete_run(run_id)
    running = TrackingThread(
        lambda: (writer, [record]), "here", [record], lambda w, r: log_run(w, r, store), start_run
    )
    running.close(killed=False)
    assert running.degraded is not None
    assert "it lacks values of 1 run" in running.degraded
    assert "active" in running.degraded
