"""A study's MLflow runs: where they are kept, when they are written, and what each one holds.

There is one run for each trial and one for each pre-training, beside the trials that start from it.
Everything that is logged comes from stored artifacts, so a run can be written again at any time.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator, Sequence, Set
from contextlib import contextmanager
from typing import Any

from fairfm_core.artifacts import ArtifactStore
from fairfm_core.config.resolving import SCRATCH
from fairfm_core.errors import BadInput
from fairfm_core.evaluation.stage import stored_evaluation
from fairfm_core.evaluation.summary import final_metrics
from fairfm_core.models.weights.provenance import COVERAGE
from sweeps.planning.plan import StudyPlan
from sweeps.planning.records import PretrainingRecord, RunRecord, TrialRecord
from sweeps.tracking.run_writer import RunWriter, open_experiment
from sweeps.tracking.thread import TrackingThread

EVALUATION_FILES = ("metrics.parquet", "gaps.parquet")
"""Tables that a trial's run keeps as artifacts."""
EVALUATED = "fairfm.evaluate"
"""Tag of a trial's run: the fingerprint of the evaluation whose values it holds."""
REASON = "fairfm.status_reason"
"""Tag of a failed run: why it failed."""
PRETRAINING_PARAMETERS = ("method", "epochs", "fraction", "batch_size", "base_lr", "seed")
"""Values of a pre-training's recipe that its run shows as parameters."""


def tracking_uri(configured: str | None, store: ArtifactStore) -> str:
    """The study's URI, else MLFLOW_TRACKING_URI, else SQLite beside local artifacts.

    Raises BadInput for remote artifacts without either: SQLite needs a local disk.
    """
    uri = configured or os.environ.get("MLFLOW_TRACKING_URI")
    if uri:
        return uri
    if not store.is_local:
        raise BadInput(
            f"MLflow's SQLite database cannot be kept at {store.location}, where the results are: "
            "set tracking.uri in the study or MLFLOW_TRACKING_URI"
        )
    return f"sqlite:///{store.path('mlflow.db')}"


def open_writer(store: ArtifactStore, study: str, uri: str) -> RunWriter:
    """The writer of a study's experiment; creates database and experiment where they are missing.

    Raises MlflowException when `uri` cannot be opened.
    """
    client, experiment = open_experiment(uri, study, store.path("mlartifacts", study))
    return RunWriter(client, experiment, study)


def open_tracking(
    plan: StudyPlan, done: Set[str], store: ArtifactStore, uri: str
) -> TrackingThread | None:
    """Start the tracking thread and queue the finished runs that MLflow lacks.

    `done` are the fingerprints of finished stages. Returns None, with a warning on stderr, when
    MLflow cannot be opened: a sweep runs without it.
    """
    trials, pretrainings = [trial.record for trial in plan.trials], plan.pretrainings
    try:
        writer = open_writer(store, plan.spec.study, uri)
        writer.close_stale()
    except Exception as error:  # the tracker's boundary: it may never end a sweep
        print(f"warning: MLflow at {uri} cannot be opened: {error}", file=sys.stderr)
        return None
    objectives = [objective.name for objective in plan.spec.objectives]
    tracker = TrackingThread(
        writer, trials, pretrainings, lambda w, r: log_run(w, r, store, objectives), start_run
    )
    for pretraining in pretrainings:
        if pretraining.identity in done and not writer.finished(pretraining.identity):
            tracker.replay(pretraining)
    for trial in trials:
        logged = writer.finished(trial.adapt) and writer.tag_of(trial.adapt, EVALUATED)
        if trial.evaluate in done and logged != trial.evaluate:
            tracker.replay(trial)
    return tracker


@contextmanager
def close_tracking(tracker: TrackingThread | None) -> Iterator[None]:
    """Write what is queued when the block ends; after an exception, open runs end as KILLED."""
    try:
        yield
    except BaseException:
        if tracker is not None:
            tracker.close(killed=True)
        raise
    if tracker is not None:
        tracker.close(killed=False)


def start_run(writer: RunWriter, record: RunRecord) -> None:
    """Find or create the run of a trial or a pre-training and log its parameters."""
    if isinstance(record, TrialRecord):
        start_trial(writer, record)
    else:
        start_pretraining(writer, record)


def log_run(
    writer: RunWriter, record: RunRecord, store: ArtifactStore, objectives: Sequence[str] = ()
) -> None:
    """Write a finished trial or pre-training from its artifacts; `objectives` as in `log_trial`."""
    if isinstance(record, TrialRecord):
        log_trial(writer, record, store, objectives)
    else:
        log_pretraining(writer, record, store)


def start_trial(writer: RunWriter, trial: TrialRecord) -> None:
    """Find or create the trial's run and log its axes and seed as parameters."""
    writer.start(trial.adapt, trial.name, "trial", {"fairfm.group": trial.group})
    axes = {axis.rsplit(".", 1)[-1]: label for axis, label in trial.axes.items()}
    writer.params(trial.adapt, {**axes, "seed": str(trial.seed)})


def log_trial(
    writer: RunWriter, trial: TrialRecord, store: ArtifactStore, objectives: Sequence[str] = ()
) -> None:
    """Write a finished trial from its artifacts: the same values and times every time.

    The study's `objectives` are logged beside the usual numbers, by name: `gap_ece_sex`.
    Where the run holds another evaluation of the trial, the values are dated now, so that MLflow
    shows them as the latest.
    """
    before = writer.tag_of(trial.adapt, EVALUATED)
    start_trial(writer, trial)
    history = store.artifact("adapt", trial.adapt).read_json("history.json")["history"]
    writer.rows(trial.adapt, history)
    finished = store.done_record("evaluate", trial.evaluate)["finished"]
    timestamp = int((finished if before in (None, trial.evaluate) else time.time()) * 1000)
    with (
        store.local_copy("evaluate", trial.evaluate, EVALUATION_FILES[0]) as metrics,
        store.local_copy("evaluate", trial.evaluate, EVALUATION_FILES[1]) as gaps,
    ):
        evaluation = stored_evaluation(store, "evaluate", trial.evaluate)
        values = final_metrics(evaluation, objectives)
        values["cost/training_seconds"] = sum(row["seconds"] for row in history)
        writer.final(trial.adapt, values, timestamp, [metrics, gaps])
    writer.params(trial.adapt, loaded_weights(trial, store))
    writer.config(trial.adapt, trial.config)
    writer.tag(trial.adapt, EVALUATED, trial.evaluate)
    writer.untag(trial.adapt, REASON)
    writer.end(trial.adapt, "FINISHED", timestamp)


def loaded_weights(trial: TrialRecord, store: ArtifactStore) -> dict[str, str]:
    """Parameters that name the trial's initial weights, their SHA-256 and how much was loaded."""
    if trial.weights is None:
        return {"weights": SCRATCH}
    coverage = store.artifact("adapt", trial.adapt).read_json(COVERAGE)
    return {
        "weights": _weights_name(trial.config),
        "weights_sha256": coverage["source_sha256"],
        "weights_loaded": f"{coverage['loaded']} tensors, {coverage['parameters']:,} parameters",
    }


def _weights_name(config: dict[str, Any]) -> str:
    """A published model's name, or method, length and corpora of a pre-training."""
    if config["weights"] is not None:
        return str(config["weights"]["model"])
    recipe = config["pretraining"]
    share = "" if recipe["fraction"] == 1 else f" {recipe['fraction']:.0%} of"
    return f"{recipe['method']}, {recipe['epochs']} epochs on{share} {'+'.join(recipe['corpora'])}"


def start_pretraining(writer: RunWriter, record: PretrainingRecord) -> None:
    """Find or create the pre-training's run and log its recipe and corpora as parameters."""
    writer.start(record.identity, record.name, "pretraining", {})
    values = {name: str(record.config[name]) for name in PRETRAINING_PARAMETERS}
    writer.params(record.identity, {**values, "corpora": "+".join(record.config["corpora"])})


def log_pretraining(writer: RunWriter, record: PretrainingRecord, store: ArtifactStore) -> None:
    """Write a finished pre-training from its artifact: the same values and times every time."""
    start_pretraining(writer, record)
    stored = store.artifact("pretrain", record.identity).read_json("history.json")
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
