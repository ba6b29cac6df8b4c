"""The evaluate stage: one adaptation's predictions become metrics and gaps."""

from __future__ import annotations

from pathlib import Path

from fairfm_core.artifacts import ArtifactStore
from fairfm_core.config.evaluation import EvaluationSettings
from fairfm_core.data.cohort_checks import EVALUATION_SPLITS
from fairfm_core.evaluation.evaluate import evaluate
from fairfm_core.evaluation.predictions import Predictions, read_predictions
from fairfm_core.evaluation.summary import validation_metrics
from fairfm_core.evaluation.tables import write_evaluation
from fairfm_core.stages import Report, Stage


def run_evaluation(stage: Stage, store: ArtifactStore, folder: Path, report: Report) -> None:
    """Write the tables of the evaluation; report only validation values."""
    settings = EvaluationSettings(**stage.config)
    evaluation = evaluate(stored_predictions(store, stage.inputs["adapt"]), settings)
    write_evaluation(evaluation, folder)
    report(validation_metrics(evaluation))


def stored_predictions(store: ArtifactStore, adapt: str) -> list[Predictions]:
    """A finished adaptation's predictions of validation and test."""
    predictions = []
    for split in EVALUATION_SPLITS:
        with store.local_copy("adapt", adapt, f"predictions/{split}.parquet") as path:
            predictions.append(read_predictions(path))
    return predictions
