"""`fairfm evaluate`: prediction files to tables in parquet."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from fairfm_core.config.evaluation import EvaluationSettings
from fairfm_core.errors import BadInput
from fairfm_core.evaluation.evaluate import evaluate
from fairfm_core.evaluation.predictions import read_predictions
from fairfm_core.evaluation.tables import Evaluation, write_evaluation


def evaluate_files(paths: Sequence[Path], out: Path, settings: EvaluationSettings) -> Evaluation:
    """Evaluate one model's prediction files (or folders of them) and write the tables to `out`.

    Raises BadInput for files that are not predictions, or not of one model.
    """
    files = [file for path in paths for file in prediction_files(path)]
    evaluation = evaluate([read_predictions(file) for file in files], settings)
    write_evaluation(evaluation, out)
    return evaluation


def prediction_files(path: Path) -> list[Path]:
    """The file itself, or the parquet files of a folder; BadInput for a folder without any."""
    if not path.is_dir():
        return [path]
    files = sorted(path.glob("*.parquet"))
    if not files:
        raise BadInput(f"folder {path} holds no .parquet file; give a folder of prediction files")
    return files
