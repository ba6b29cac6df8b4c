"""A model's AUC in every cell, pathology x group, against everybody's: what two figures show."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from analysis.figures.one_model.chosen import ChosenModel
from analysis.figures.subgroups import TOO_SMALL
from fairfm_core.evaluation.arrays import Floats
from fairfm_core.evaluation.disaggregated.difference_rows import (
    OVERALL,
    difference_rows,
    fair_differences,
)
from fairfm_core.evaluation.disaggregated.metric_frame import MetricFrame
from fairfm_core.evaluation.disaggregated.metric_rows import MEAN, metric_rows
from fairfm_core.evaluation.metrics import AUC
from fairfm_core.evaluation.tables import Row

COUNTS = ("n", "n_patients", "n_positive")
COLUMNS = (
    *("model", "study", "attribute", "group", "pathology", "auc", "value", "lo", "hi", "null"),
    *("p_value", *COUNTS, "shown", "reason"),
)
"""`value` is the group's AUC less everybody's, `null` the bound of it under a fair model."""


def cell_rows(model: ChosenModel) -> list[Row]:
    """Rows of every group of every attribute, the mean over pathologies last."""
    everybody, *attributes = model.frames
    return [row for frame in attributes for row in _rows(model, frame, everybody)]


def _rows(model: ChosenModel, frame: MetricFrame, everybody: MetricFrame) -> Iterator[Row]:
    own = {(r["pathology"], r["group"]): r for r in metric_rows(frame) if r["metric"] == AUC.name}
    bound_PG = _fair_bounds(fair_differences(frame, everybody, AUC), frame.confidence)
    pathologies, groups = [*frame.sample.pathologies, MEAN], frame.groups.names
    for row in difference_rows(frame, everybody):
        if row["reference"] != OVERALL or row["metric"] != AUC.name:
            continue
        name, group = row["pathology"], row["group"]
        cell = own[name, group]
        bound = bound_PG[pathologies.index(name), groups.index(group)]
        few = is_too_small(model, cell)
        named = {
            "model": model.name,
            "study": model.source.results.study,
            **{key: row[key] for key in ("attribute", "group", "pathology")},
            "auc": cell["value"],
            **{key: row[key] for key in ("value", "lo", "hi", "p_value")},
            "null": float(bound),
            **{key: cell[key] for key in COUNTS},
            "shown": row["value"] is not None and not few,
            "reason": TOO_SMALL if few else row["reason"],
        }
        yield defined(named)


def _fair_bounds(null_BPG: Floats, confidence: float) -> Floats:
    """The size that a fair model's differences stay below in so many of the draws, [P + 1, G]."""
    if not len(null_BPG):
        return np.full(null_BPG.shape[1:], np.nan)
    bound_PG: Floats = np.quantile(np.abs(null_BPG), confidence, axis=0)
    return bound_PG


def is_too_small(model: ChosenModel, cell: Row) -> bool:
    """Whether a cell of one pathology has too few positives or negatives to be drawn."""
    positives = cell["n_positive"]
    return positives is not None and min(positives, cell["n"] - positives) < model.fewest


def defined(row: Row) -> Row:
    """The row with None for NaN."""
    return {k: None if isinstance(v, float) and np.isnan(v) else v for k, v in row.items()}


def as_table(rows: list[Row]) -> pd.DataFrame:
    """The rows as a table; counts that are missing leave the others whole numbers."""
    frame = pd.DataFrame(rows, columns=list(COLUMNS))
    return frame.astype(dict.fromkeys(COUNTS, "Int64"))
