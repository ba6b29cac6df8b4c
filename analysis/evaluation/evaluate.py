"""`fairfm evaluate`: prediction files to tables in parquet."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from fairfm_core.config.evaluation import EvaluationSettings
from fairfm_core.errors import BadInput, Damaged
from fairfm_core.evaluation.evaluate import evaluate
from fairfm_core.evaluation.predictions import read_predictions
from fairfm_core.evaluation.tables import Evaluation, write_evaluation
from fairfm_core.storage.inspection import DONE, inspected, once_per_machine


def evaluate_files(paths: Sequence[Path], out: Path, settings: EvaluationSettings) -> Evaluation:
    """Evaluate one model's prediction files (or folders of them) and write the tables to `out`.

    Raises BadInput for files that are not predictions, or not of one model.
    """
    files = [file for path in paths for file in prediction_files(path)]
    evaluation = evaluate([read_predictions(file) for file in files], settings)
    write_evaluation(evaluation, out)
    return evaluation


def prediction_files(path: Path) -> list[Path]:
    """The file itself, or the parquet files of a folder; BadInput for a folder without any.

    Raises Damaged in the folder of a finished stage that is not as it was stored.
    """
    _check_stage(path)
    if not path.is_dir():
        return [path]
    files = sorted(path.glob("*.parquet"))
    if not files:
        raise BadInput(f"folder {path} holds no .parquet file; give a folder of prediction files")
    return files


def _check_stage(path: Path) -> None:
    """Raise Damaged if the path is, or lies in, the folder of a finished stage that is damaged."""
    real = path.resolve()
    for folder in (real, *real.parents[:2]):
        if (folder / DONE).is_file():
            kind, fingerprint = folder.parent.name, folder.name
            damage = inspected(folder, f"{kind}/{fingerprint}", once_per_machine).damage
            if damage is not None:
                raise Damaged(kind, fingerprint, damage)
