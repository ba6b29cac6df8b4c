"""Trials in MLflow: where their runs go, and what each of them holds."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from fairfm_core.artifacts import ArtifactStore
from fairfm_core.config.resolving import SCRATCH
from fairfm_core.errors import BadInput
from fairfm_core.evaluation.summary import final_metrics
from fairfm_core.evaluation.tables import read_evaluation
from fairfm_core.models.weights.provenance import COVERAGE
from sweeps.planning.plan import Plan
from sweeps.planning.records import PretrainingRecord, RunRecord, TrialRecord
from sweeps.tracking.run_writer import RunWriter, open_experiment
from sweeps.tracking.thread import TrackingThread


def start_pretraining(writer: RunWriter, record: PretrainingRecord) -> None:
    """Find or create the run and log what it trains."""
    writer.start(record.identity, record.name, "pretraining", {})
    shown = ("method", "epochs", "fraction", "batch_size", "base_lr", "seed")
    values = {name: str(record.config[name]) for name in shown}
    writer.params(record.identity, {**values, "corpora": "+".join(record.config["corpora"])})


def log_pretraining(writer: RunWriter, record: PretrainingRecord, store: ArtifactStore) -> None:
    """Write a finished pre-training: the same values and times whenever it is done."""
    start_pretraining(writer, record)
    stored = store.read_json("pretrain", record.identity, "history.json")
    writer.rows(record.identity, stored["history"])
    timestamp = int(store.done_record("pretrain", record.identity)["finished"] * 1000)
    kept = next(row for row in stored["history"] if row["epoch"] == stored["kept_epoch"])
    values = {
        "kept/epoch": float(stored["kept_epoch"]),
        "kept/loss": kept["loss"],
        "cost/training_seconds": sum(row["seconds"] for row in stored["history"]),
    }
    writer.final(record.identity, values, timestamp, [])
    writer.config(record.identity, record.config)
    writer.end(record.identity, "FINISHED", timestamp)


EVALUATION_FILES = ("metrics.parquet", "gaps.parquet")
EVALUATED = "fairfm.evaluate"
REASON = "fairfm.status_reason"


def tracking_uri(configured: str | None, store: ArtifactStore) -> str:
    """The study's URI, else MLFLOW_TRACKING_URI, else SQLite beside local artifacts.

    Raises BadInput for remote artifacts without either: SQLite needs a disk.
    """
    uri = configured or os.environ.get("MLFLOW_TRACKING_URI")
    if uri:
        return uri
    if not store.is_local:
        raise BadInput(
            f"results are at {store.location}, where MLflow's SQLite cannot be: give tracking.uri "
            "in the study or MLFLOW_TRACKING_URI"
        )
    return f"sqlite:///{store.path('mlflow.db')}"


def open_writer(store: ArtifactStore, study: str, uri: str) -> RunWriter:
    """The writer of a study's experiment; makes database and experiment where they lack."""
    client, experiment = open_experiment(uri, study, store.path("mlartifacts", study))
    return RunWriter(client, experiment, study)


def open_tracking(plan: Plan, store: ArtifactStore, uri: str) -> TrackingThread | None:
    """Start the tracking thread and queue what is finished but MLflow lacks.

    None, with a warning, when MLflow cannot be opened: a sweep runs without it.
    """
    records = [trial.record for trial in plan.trials]
    try:
        writer = open_writer(store, plan.study.study, uri)
        writer.close_stale()
    except Exception as error:  # the tracker's boundary: it may never end a sweep
        print(f"warning: MLflow at {uri} cannot be opened: {error}", file=sys.stderr)
        return None
    pretrainings = plan.pretrainings
    objectives = [objective.name for objective in plan.study.objectives]
    tracker = TrackingThread(
        writer, records, pretrainings, lambda w, r: log_run(w, r, store, objectives), start_run
    )
    for before in pretrainings:
        done = store.is_done("pretrain", before.identity)
        if done and not writer.finished(before.identity):
            tracker.replay(before)
    for trial in records:
        logged = writer.finished(trial.adapt) and writer.tag_of(trial.adapt, EVALUATED)
        if store.is_done("evaluate", trial.evaluate) and logged != trial.evaluate:
            tracker.replay(trial)
    return tracker


@contextmanager
def close_tracking(tracker: TrackingThread | None) -> Iterator[None]:
    """Flush at the end; runs still open when the sweep is interrupted end as KILLED."""
    try:
        yield
    except BaseException:
        if tracker is not None:
            tracker.close(killed=True)
        raise
    if tracker is not None:
        tracker.close(killed=False)


def start_run(writer: RunWriter, record: RunRecord) -> None:
    """Find or create the run of a trial or a pre-training."""
    if isinstance(record, TrialRecord):
        start_trial(writer, record)
    else:
        start_pretraining(writer, record)


def log_run(
    writer: RunWriter, record: RunRecord, store: ArtifactStore, objectives: Sequence[str] = ()
) -> None:
    """Write what is finished from its artifacts; `objectives` as in `log_trial`."""
    if isinstance(record, TrialRecord):
        log_trial(writer, record, store, objectives)
    else:
        log_pretraining(writer, record, store)


def start_trial(writer: RunWriter, trial: TrialRecord) -> None:
    """Find or create the trial's run and log its axes."""
    writer.start(trial.adapt, trial.name, "trial", {"fairfm.group": trial.group})
    axes = {axis.rsplit(".", 1)[-1]: label for axis, label in trial.axes.items()}
    writer.params(trial.adapt, {**axes, "seed": str(trial.seed)})


def log_trial(
    writer: RunWriter, trial: TrialRecord, store: ArtifactStore, objectives: Sequence[str] = ()
) -> None:
    """Write a finished trial from its artifacts: the same values and times whenever it is done.

    The study's `objectives` are logged beside the usual numbers, by name: `gap_ece_sex`.
    Where the run holds another evaluation of the trial, the values get the time of now, so that
    they stand as the latest.
    """
    before = writer.tag_of(trial.adapt, EVALUATED)
    start_trial(writer, trial)
    history = store.read_json("adapt", trial.adapt, "history.json")["history"]
    writer.rows(trial.adapt, history)
    finished = store.done_record("evaluate", trial.evaluate)["finished"]
    timestamp = int((finished if before in (None, trial.evaluate) else time.time()) * 1000)
    with (
        store.local_copy("evaluate", trial.evaluate, EVALUATION_FILES[0]) as metrics,
        store.local_copy("evaluate", trial.evaluate, EVALUATION_FILES[1]) as gaps,
    ):
        values = final_metrics(read_evaluation(metrics.parent), objectives)
        values["cost/training_seconds"] = sum(row["seconds"] for row in history)
        writer.final(trial.adapt, values, timestamp, [metrics, gaps])
    writer.params(trial.adapt, loaded_weights(trial, store))
    writer.config(trial.adapt, trial.config)
    writer.tag(trial.adapt, EVALUATED, trial.evaluate)
    writer.untag(trial.adapt, REASON)
    writer.end(trial.adapt, "FINISHED", timestamp)


def loaded_weights(trial: TrialRecord, store: ArtifactStore) -> dict[str, str]:
    """What the trial's backbone was filled with: the source's SHA-256 and what it covered."""
    if trial.weights is None:
        return {"weights": SCRATCH}
    coverage = store.read_json("adapt", trial.adapt, COVERAGE)
    return {
        "weights": _weights_name(trial.config),
        "weights_sha256": coverage["source_sha256"],
        "weights_loaded": f"{coverage['loaded']} tensors, {coverage['parameters']:,} parameters",
    }


def _weights_name(config: dict[str, Any]) -> str:
    if config["weights"] is not None:
        return str(config["weights"]["model"])
    before = config["pretraining"]
    share = "" if before["fraction"] == 1 else f" {before['fraction']:.0%} of"
    return f"{before['method']}, {before['epochs']} epochs on{share} {'+'.join(before['corpora'])}"
