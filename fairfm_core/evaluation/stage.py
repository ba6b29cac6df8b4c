"""The evaluate stage: one adaptation's predictions become metrics and gaps."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from fairfm_core.artifacts import ArtifactStore
from fairfm_core.config.evaluation import EvaluationSettings
from fairfm_core.data.cohort_checks import EVALUATION_SPLITS
from fairfm_core.errors import BadInput, Damaged
from fairfm_core.evaluation.predictions import Predictions, read_predictions
from fairfm_core.evaluation.summary import validation_metrics
from fairfm_core.evaluation.tables import (
    TABLES,
    Evaluation,
    evaluation_from,
    write_evaluation,
)
from fairfm_core.stages import Report, Stage
from fairfm_core.storage.artifact import Artifact


def run_evaluation(stage: Stage, store: ArtifactStore, folder: Path, report: Report) -> None:
    """Write the tables of the evaluation; report only validation values."""
    from fairfm_core.evaluation.evaluate import evaluate  # loads numba, which readers do without

    settings = EvaluationSettings(**stage.config)
    evaluation = evaluate(stored_predictions(store, stage.inputs["adapt"]), settings)
    write_evaluation(evaluation, folder)
    report(validation_metrics(evaluation))


def stored_predictions(store: ArtifactStore, adapt: str) -> list[Predictions]:
    """A finished adaptation's predictions of validation and test; raises Damaged."""
    predictions = []
    stage = _opened(store, "adapt", adapt)
    for split in EVALUATION_SPLITS:
        name = f"predictions/{split}.parquet"
        with stage.local_copy(name) as path:
            try:
                predictions.append(read_predictions(path))
            except (BadInput, OSError) as error:
                raise stage.damaged(f"{name} cannot be read: {error}") from error
    return predictions


def stored_evaluation(
    store: ArtifactStore, kind: str, fingerprint: str, tables: Iterable[str] = TABLES
) -> Evaluation:
    """The named tables of a finished evaluation, the others empty; raises Damaged."""
    stage = _opened(store, kind, fingerprint)
    files = {name: TABLES[name].file for name in tables}
    stored = {
        name: stage.read_bytes(file)
        for name, file in files.items()
        if not TABLES[name].newer or stage.has(file)
    }
    try:
        return evaluation_from(stored)
    except (BadInput, OSError) as error:
        raise stage.damaged(f"a table cannot be read: {error}") from error


def _opened(store: ArtifactStore, kind: str, fingerprint: str) -> Artifact:
    try:
        return store.artifact(kind, fingerprint)
    except FileNotFoundError:
        raise Damaged(kind, fingerprint, "it is missing") from None
