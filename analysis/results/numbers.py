"""Numbers of one split of an evaluation as rows, all of its first protocol."""

from __future__ import annotations

from typing import Any

from fairfm_core.evaluation.numbers import number_named
from fairfm_core.evaluation.tables import Evaluation

POINTS = 100
"""Points in 1: files hold fractions, texts and figures show points (0.81 is 81 points)."""

Number = dict[str, Any]
"""value, lo, hi, reason; extremes (gaps and worst groups) also bias_corrected; gaps also null_mean,
null_hi, p_value, excess, worst_group, best_group."""


def group_numbers(evaluation: Evaluation, split: str) -> dict[tuple[str, str], Number]:
    """Mean AUC over pathologies of each group, by (attribute, group)."""
    return {
        (row["attribute"], row["group"]): row
        for row in evaluation.rows("metrics", split, pathology=["mean"], metric=["auc"])
        if row["attribute"] != "overall"
    }


def undefined_cells(evaluation: Evaluation, split: str) -> list[Number]:
    """The pathology x group cells of `split` without an AUC, each with its reason."""
    return [
        row
        for row in evaluation.rows("metrics", split, value=None, metric=["auc"])
        if row["pathology"] != "mean"
    ]


def thinnest(evaluation: Evaluation, split: str) -> Number | None:
    """The group with the smallest effective sample of `split`; None if no weights are stored."""
    rows = [row for row in evaluation.rows("weights", split) if row["ess"] is not None]
    return min(rows, key=lambda row: row["ess"], default=None)


def is_gap(name: str) -> bool:
    """Whether a number is a gap between groups, so that smaller is better and it has a null."""
    return number_named(name).is_gap


def is_extreme(name: str) -> bool:
    """Whether a number is a maximum or a minimum over groups: a gap or the worst group."""
    return number_named(name).kind != "overall"
