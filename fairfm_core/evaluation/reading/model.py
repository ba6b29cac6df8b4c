"""One model's predictions from the files of any program, checked and cleaned."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from fairfm_core.config.evaluation import EvaluationSettings
from fairfm_core.data.cohort_checks import check_leakage
from fairfm_core.errors import BadInput, first_ten
from fairfm_core.evaluation.predictions import KEYS, Predictions
from fairfm_core.evaluation.reading.attributes import (
    check_combinations,
    chosen_attributes,
    grouped,
)
from fairfm_core.evaluation.reading.columns import named_table
from fairfm_core.evaluation.reading.files import read_table
from fairfm_core.evaluation.reading.form import PredictionForm
from fairfm_core.evaluation.reading.laid_out import ProgramFiles
from fairfm_core.evaluation.reading.scores import (
    doubts,
    is_decision,
    label_numbers,
    numbers,
    probabilities,
)

DEFAULT_SETTINGS = EvaluationSettings()


@dataclass(frozen=True, eq=False)
class ReadModel:
    """One model's predictions of all its splits."""

    predictions: Predictions
    attributes: tuple[str, ...]
    """The attributes to evaluate."""
    notes: tuple[str, ...]
    """What was changed or taken for granted, a sentence each."""


def read_model(
    paths: Sequence[Path],
    form: PredictionForm,
    attributes: Sequence[str] = (),
    settings: EvaluationSettings = DEFAULT_SETTINGS,
) -> ReadModel:
    """The predictions of one model in one or more files.

    Args:
        paths: files of its splits.
        form: what columns and numbers mean.
        attributes: those to evaluate; without any, sex and race where the predictions have them.
        settings: how they will be evaluated; says which further attributes the protocols need.

    Raises:
        BadInput: files that cannot be read or do not fit, and all that `grouped` refuses.
    """
    read = _tables(paths, form)
    tables = [_named(path, table, form, len(read) == 1) for path, table in read]
    frame = _joined([each for each, _ in tables], [path for path, _ in read])
    notes = list(dict.fromkeys(note for _, more in tables for note in more))
    where = " and ".join(map(str, paths[:2])) if len(paths) < 3 else f"{paths[0]} to {paths[-1]}"
    try:
        frame, more = _probabilities(frame, form)
        wanted = chosen_attributes(frame, attributes)
        frame, changed = grouped(frame, wanted, form, settings.weighed_by)
        check_combinations(frame, wanted, settings.age_edges)
        predictions = Predictions(frame)
        check_leakage(frame)
    except BadInput as error:
        raise BadInput(f"{where}: {error}") from error
    return ReadModel(predictions, wanted, (*notes, *more, *changed))


def _tables(paths: Sequence[Path], form: PredictionForm) -> list[tuple[Path, pd.DataFrame]]:
    """The tables that hold predictions: each file, or one for each split of a program's layout."""

    def read(path: Path) -> pd.DataFrame:
        table = read_table(path, form)
        if table.empty:
            raise BadInput(f"{path} holds no rows; one row per image is expected")
        return table

    if form.layout is None:
        return [(path, read(path)) for path in paths]
    return ProgramFiles(form.layout, paths, form.people, read).tables()


def _named(
    path: Path, table: pd.DataFrame, form: PredictionForm, alone: bool
) -> tuple[pd.DataFrame, tuple[str, ...]]:
    try:
        named = named_table(table, form, path.name.partition(".")[0], alone)
    except BadInput as error:
        raise BadInput(f"{path}: {error}") from error
    return named.frame, named.notes


def _joined(frames: Sequence[pd.DataFrame], paths: Sequence[Path]) -> pd.DataFrame:
    """One table of several files; raises BadInput if their columns differ."""
    names = set(frames[0].columns)
    for frame, path in zip(frames[1:], paths[1:], strict=True):
        if odd := sorted(map(str, names ^ set(frame.columns))):
            raise BadInput(
                f"{paths[0]} and {path} differ in columns: {first_ten(map(repr, odd))}; give the"
                " files of one model"
            )
    if len(frames) == 1:
        return frames[0]
    return pd.concat([_alike(frame) for frame in frames], ignore_index=True)


def _alike(frame: pd.DataFrame) -> pd.DataFrame:
    """Whole numbers as floats: one file may have blanks where another has none."""
    whole = [n for n in frame.columns if pd.api.types.is_integer_dtype(frame[n])]
    return frame.astype(dict.fromkeys(whole, "float64"))


def _probabilities(frame: pd.DataFrame, form: PredictionForm) -> tuple[pd.DataFrame, list[str]]:
    """`frame` with its labels 1, 0 or null and its scores as probabilities in 32 bits."""
    columns: dict[str, np.ndarray] = {}
    low, high, decided = np.inf, -np.inf, True
    for name in map(str, frame.columns):
        if name in KEYS or not name.startswith(("y_", "p_")):
            continue
        if name.startswith("y_"):
            columns[name] = label_numbers(frame[name], name)
            continue
        score_N = numbers(frame[name], name)
        columns[name] = probabilities(score_N, form.scores, name, frame["image_id"].to_numpy())
        low, high = min(low, score_N.min()), max(high, score_N.max())
        decided = decided and is_decision(score_N)
    return frame.assign(**columns), doubts(form.scores, low, high, decided)
