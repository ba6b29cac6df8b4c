"""What a trial's MLflow run holds: swept axes, training rows, final metrics, files."""

from __future__ import annotations

from fairfm_core.artifacts import ArtifactStore
from fairfm_core.evaluation.records import read_evaluation
from fairfm_core.evaluation.summary import final_metrics
from sweeps.plan import PlannedTrial
from sweeps.tracking import RunWriter

EVALUATION_FILES = ("metrics.parquet", "gaps.parquet")


def start_trial(writer: RunWriter, planned: PlannedTrial) -> None:
    """Find or create the trial's run and log its axes."""
    identity = planned.adapt.fingerprint
    writer.start(identity, planned.name, "trial", {"fairfm.group": planned.group})
    axes = {axis.rsplit(".", 1)[-1]: label for axis, label in planned.axes.items()}
    writer.params(identity, {**axes, "seed": str(planned.trial.seed)})


def log_trial(writer: RunWriter, planned: PlannedTrial, store: ArtifactStore) -> None:
    """Write a finished trial from its artifacts: the same values and times whenever it is done."""
    identity, evaluated = planned.adapt.fingerprint, planned.evaluate.fingerprint
    start_trial(writer, planned)
    history = store.read_json("adapt", identity, "history.json")
    writer.rows(identity, history["history"])
    record = store.done_record("evaluate", evaluated)
    timestamp = int(record["finished"] * 1000)
    with (
        store.local_copy("evaluate", evaluated, EVALUATION_FILES[0]) as metrics,
        store.local_copy("evaluate", evaluated, EVALUATION_FILES[1]) as gaps,
    ):
        values = final_metrics(read_evaluation(metrics.parent))
        values["cost/seconds"] = store.done_record("adapt", identity)["seconds"]
        writer.final(identity, values, timestamp, [metrics, gaps])
    writer.config(identity, planned.trial.model_dump(mode="json"))
    writer.end(identity, "FINISHED", timestamp)
