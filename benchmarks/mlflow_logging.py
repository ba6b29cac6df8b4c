"""Logging a study's reports to MLflow: the sweeper's writer against Ray's own callback.

Both write the same values of the same trials to a SQLite file of their own: 60 metrics in each of
20 reports. Ray's callback writes each value as it comes, and the run waits; the sweeper's thread
takes reports from a queue and writes what has gathered in a second in one call. Reports of ours
come at the pace of cheap trials, and how far the writer is behind is the age of the oldest report
when it is written. CPU seconds of the process, which contains the database.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from unittest.mock import patch

from benchmarks.sizes import sized
from fairfm_core.stages import EpochValues, Stage
from sweeps.planning.records import RunRecord, TrialRecord
from sweeps.tracking import run_writer
from sweeps.tracking.experiment import open_experiment
from sweeps.tracking.run_writer import RunWriter
from sweeps.tracking.runs import start_trial
from sweeps.tracking.thread import TrackingThread

TRIALS = sized(1000, 2)
PLAIN_TRIALS = sized(3, 1)
"""Each costs the same, so fewer show as much."""
REPORTS = sized(20, 2)
METRICS = [f"metric_{m:02d}" for m in range(sized(60, 5))]
TRIALS_A_SECOND = 5.0
"""How fast cheap trials come on one core."""
GOAL_RATIO = 5.0
GOAL_SECONDS = 10.0
PATIENCE = 3600.0


class TimedWriter(RunWriter):
    """Notes the age of the oldest report at each writing, in seconds."""

    oldest = 0.0

    def rows(self, identity: str, rows: Sequence[EpochValues]) -> None:
        """Write the rows, then look at the clock."""
        super().rows(identity, rows)
        self.oldest = max([self.oldest, *(time.time() - row["time"] for row in rows)])


def bench_mlflow_logging() -> bool:
    """Print CPU seconds of a trial on both sides and how far ours was behind; whether the goals are
    met."""
    with tempfile.TemporaryDirectory() as name:
        ours, behind, written = _ours(Path(name) / "ours.db")
        plain, expected = _plain(Path(name) / "plain.db")
    assert written == expected, f"the last values differ: {written} and {expected}"
    print(f"logging {len(METRICS)} metrics x {REPORTS} reports to MLflow on SQLite", end=", ")
    print(f"CPU seconds a trial (load {os.getloadavg()[0]:.1f}):")
    print(f"  Ray's MLflowLoggerCallback, {PLAIN_TRIALS} trials {plain:8.3f}")
    print(f"  fairfm, {TRIALS:,} trials                  {ours:8.3f}  ratio {plain / ours:.1f}")
    print(f"  at most {behind:.1f} s behind, {TRIALS_A_SECOND:g} trials a second", end=" ")
    print(f"(goals: ratio {GOAL_RATIO:g}, {GOAL_SECONDS:g} s)")
    return plain / ours >= GOAL_RATIO and behind <= GOAL_SECONDS


def _ours(database: Path) -> tuple[float, float, dict[str, float]]:
    """CPU seconds of a trial, the largest age of a report, and the last values of the first run."""
    uri = f"sqlite:///{database}"
    client, experiment, _ = open_experiment(uri, "bench", owned=True)
    writer = TimedWriter(client, experiment, "bench")
    records: list[RunRecord] = [_record(t) for t in range(TRIALS)]
    began = time.process_time()
    with patch.object(run_writer, "TRACKED", set(METRICS)):
        thread = TrackingThread(lambda: (writer, []), uri, records, _end, _start)
        for t, record in enumerate(records):
            _report(thread, t, record.identity)
        thread.close(killed=False, seconds=PATIENCE)
    assert thread.degraded is None, thread.degraded
    seconds = (time.process_time() - began) / TRIALS
    (run,) = client.search_runs([experiment], "attributes.run_name = 'trial 0'")
    values = {name: run.data.metrics[f"train/{name}"] for name in METRICS}
    return seconds, writer.oldest, values


def _report(thread: TrackingThread, t: int, identity: str) -> None:
    """A trial's reports, spread over the time that it takes, and its end."""
    stage = cast(Stage, SimpleNamespace(fingerprint=identity))
    thread.stage_started(stage)
    for report in range(REPORTS):
        thread.stage_reported(stage, {"epoch": report, "time": time.time(), **_values(t, report)})
        time.sleep(1 / (TRIALS_A_SECOND * REPORTS))
    thread.stage_finished(cast(Stage, SimpleNamespace(fingerprint=f"evaluate {t}")))


def _values(t: int, report: int) -> dict[str, float]:
    return {name: t + report / 100 + m / 1e4 for m, name in enumerate(METRICS)}


def _record(t: int) -> TrialRecord:
    return TrialRecord(
        name=f"trial {t}",
        axes={"lr": str(t)},
        seed=0,
        group=f"group {t}",
        features=None,
        adapt=f"adapt {t}",
        evaluate=f"evaluate {t}",
        digest="data",
        config={},
    )


def _start(writer: RunWriter, record: RunRecord) -> None:
    assert isinstance(record, TrialRecord)
    start_trial(writer, record)


def _end(writer: RunWriter, record: RunRecord) -> None:
    """What the end of a trial writes of its epochs; there are no files here."""
    t, now = int(record.name.split()[1]), time.time()
    rows = [{"epoch": r, "time": now, **_values(t, r)} for r in range(REPORTS)]
    writer.rows(record.identity, rows)
    writer.end(record.identity, "FINISHED", int(now * 1000))


def _plain(database: Path) -> tuple[float, dict[str, float]]:
    """CPU seconds of a trial by Ray's callback, and the last values of the first run."""
    from mlflow import MlflowClient
    from ray.air.integrations.mlflow import MLflowLoggerCallback

    uri = f"sqlite:///{database}"
    client = MlflowClient(uri)
    experiment = client.create_experiment("plain")
    callback: Any = MLflowLoggerCallback(tracking_uri=uri, experiment_name="plain")
    callback.setup()
    began = time.process_time()
    for t in range(PLAIN_TRIALS):
        trial = PlainTrial(t)
        callback.log_trial_start(trial)
        for report in range(REPORTS):
            result = {"training_iteration": report, "timesteps_total": None, **_values(t, report)}
            callback.log_trial_result(report, trial, result)
        callback.log_trial_end(trial)
    seconds = (time.process_time() - began) / PLAIN_TRIALS
    (run,) = client.search_runs([experiment], "attributes.run_name = 'trial 0'")
    return seconds, {name: run.data.metrics[name] for name in METRICS}


class PlainTrial:
    """What Ray's callback asks a trial for."""

    def __init__(self, t: int) -> None:
        self.config = {"lr": t}
        self._name = f"trial {t}"

    def __str__(self) -> str:
        return self._name
