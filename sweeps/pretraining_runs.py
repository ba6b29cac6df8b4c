"""Pre-trainings in MLflow: each one's curve is a run beside the trials that start from it."""

from __future__ import annotations

from fairfm_core.artifacts import ArtifactStore
from sweeps.records import PretrainingRecord
from sweeps.tracking import RunWriter


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
