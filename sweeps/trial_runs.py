"""What a trial's MLflow run holds: swept axes, training rows, final metrics, files."""

from __future__ import annotations

from fairfm_core.artifacts import ArtifactStore
from fairfm_core.evaluation.records import read_evaluation
from fairfm_core.evaluation.summary import final_metrics
from sweeps.records import TrialRecord
from sweeps.tracking import RunWriter

EVALUATION_FILES = ("metrics.parquet", "gaps.parquet")


def start_trial(writer: RunWriter, trial: TrialRecord) -> None:
    """Find or create the trial's run and log its axes."""
    writer.start(trial.adapt, trial.name, "trial", {"fairfm.group": trial.group})
    axes = {axis.rsplit(".", 1)[-1]: label for axis, label in trial.axes.items()}
    writer.params(trial.adapt, {**axes, "seed": str(trial.seed)})


def log_trial(writer: RunWriter, trial: TrialRecord, store: ArtifactStore) -> None:
    """Write a finished trial from its artifacts: the same values and times whenever it is done."""
    start_trial(writer, trial)
    writer.rows(trial.adapt, store.read_json("adapt", trial.adapt, "history.json")["history"])
    finished = store.done_record("evaluate", trial.evaluate)["finished"]
    timestamp = int(finished * 1000)
    with (
        store.local_copy("evaluate", trial.evaluate, EVALUATION_FILES[0]) as metrics,
        store.local_copy("evaluate", trial.evaluate, EVALUATION_FILES[1]) as gaps,
    ):
        values = final_metrics(read_evaluation(metrics.parent))
        values["cost/seconds"] = store.done_record("adapt", trial.adapt)["seconds"]
        writer.final(trial.adapt, values, timestamp, [metrics, gaps])
    writer.config(trial.adapt, trial.config)
    writer.end(trial.adapt, "FINISHED", timestamp)
