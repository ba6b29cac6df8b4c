"""The named numbers of an evaluation: mean AUC, gaps and worst groups of one split.

Names: `auc` (mean over pathologies, everybody), `gap_<attribute>` (gap_of_mean),
`mean_of_gaps_<attribute>`, `worst_group_auc_<attribute>`; all of the evaluation's first protocol.
"""

from __future__ import annotations

from typing import Any

import pandas as pd

from fairfm_core.evaluation.summary import GAP_KEYS, PLAIN, gap_name, worst_group_name
from fairfm_core.evaluation.tables import Evaluation

POINTS = 100
"""AUC points in an AUC of 1; files hold fractions, texts and figures show points."""

Number = dict[str, Any]
"""value, lo, hi, reason; gaps also null_mean, null_hi, p_value, excess, worst_group, best_group."""


def named_numbers(evaluation: Evaluation, split: str) -> dict[str, Number]:
    """The numbers of `split` by name, as fractions; an undefined value or text is None."""
    metrics, gaps = (
        _rows(evaluation, frame, split) for frame in (evaluation.metrics, evaluation.gaps)
    )
    numbers: dict[str, Number] = {}
    for row in metrics:
        if row["pathology"] == "mean" and row["metric"] == "worst_group_auc":
            numbers[worst_group_name(PLAIN, row["attribute"])] = row
        elif row["pathology"] == "mean" and _is_everybodys_auc(row):
            numbers["auc"] = row
    for row in gaps:
        if row["metric"] == PLAIN:
            numbers[gap_name(PLAIN, row["definition"], row["attribute"])] = row
    return numbers


def _is_everybodys_auc(row: Number) -> bool:
    return bool(row["attribute"] == "overall" and row["metric"] == PLAIN)


def group_numbers(evaluation: Evaluation, split: str) -> dict[tuple[str, str], Number]:
    """Mean AUC over pathologies of each group, by (attribute, group)."""
    return {
        (row["attribute"], row["group"]): row
        for row in _rows(evaluation, evaluation.metrics, split)
        if row["pathology"] == "mean" and row["metric"] == "auc" and row["attribute"] != "overall"
    }


def undefined_cells(evaluation: Evaluation, split: str) -> list[Number]:
    """The pathology x group cells of `split` without an AUC, each with its reason."""
    return [
        row
        for row in _rows(evaluation, evaluation.metrics, split)
        if row["metric"] == "auc" and row["pathology"] != "mean" and row["value"] is None
    ]


def thinnest(evaluation: Evaluation, split: str) -> Number | None:
    """The group with the smallest effective sample of `split`; None if no weights are kept."""
    rows = [row for row in _rows(evaluation, evaluation.weights, split) if row["ess"] is not None]
    return min(rows, key=lambda row: row["ess"], default=None)


def is_gap(name: str) -> bool:
    """Whether a number is a gap between groups, so that smaller is better and it has a null."""
    return name.startswith(tuple(f"{key}_" for key in GAP_KEYS.values()))


def _rows(evaluation: Evaluation, frame: pd.DataFrame, split: str) -> list[Number]:
    rows = frame[(frame["protocol"] == evaluation.protocol) & (frame["split"] == split)]
    return [
        {str(key): None if pd.isna(value) else value for key, value in row.items()}
        for row in rows.to_dict("records")
    ]
