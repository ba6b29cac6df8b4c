"""An evaluation as a flat dictionary of numbers, for trackers and objectives.

Keys have exactly one slash: `<split>/auc` (mean over pathologies, everybody), `<split>/gap_<a>`
(gap_of_mean), `<split>/mean_of_gaps_<a>`, `<split>/worst_group_auc_<a>`, and the limits of the
test interval, `test_ci/auc_lo`, `test_ci/gap_<a>_hi` and so on. Gaps and worst groups are extremes,
which noise exaggerates: beside them stands the corrected value, `test_corrected/gap_<a>`. All are
of the first protocol of the evaluation's settings; numbers of the other protocols are in its tables
only. Numbers of metrics other than the AUC, such as `<split>/gap_ece_<a>`, are included if they are
named.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from fairfm_core.data.cohort_checks import EVALUATION_SPLITS
from fairfm_core.evaluation.numbers import gap_name, number_named
from fairfm_core.evaluation.tables import Evaluation, Row

WORST = "worst_group_"
"""How the metric is named in the rows of the worst group."""


def final_metrics(evaluation: Evaluation, more: Iterable[str] = ()) -> dict[str, float]:
    """The numbers of a finished trial: those of the AUC, then those that `more` names.

    An undefined number is left out, never replaced. `quality/undefined_auc` is the number of
    undefined AUCs (pathology x group cells) in all splits.
    """
    cells = evaluation.metrics
    cells = cells[(cells["metric"] == "auc") & (cells["pathology"] != "mean")]
    cells = cells[
        (cells["protocol"] == evaluation.protocol) & cells["split"].isin(EVALUATION_SPLITS)
    ]
    undefined = float(cells["value"].isna().sum())
    named, splits = list(more), EVALUATION_SPLITS
    of_split = (_flat(evaluation, split, named).items() for split in splits)
    flat = {key: value for items in of_split for key, value in items}
    return flat | {"quality/undefined_auc": undefined}


def validation_metrics(evaluation: Evaluation, more: Iterable[str] = ()) -> dict[str, float]:
    """The `val/` numbers alone: what a search, an early stop or a choice may read.

    No row of another split is read.
    """
    return _flat(evaluation, "val", list(more))


def _flat(evaluation: Evaluation, split: str, more: Sequence[str]) -> dict[str, float]:
    """The defined numbers of one split by their keys."""
    flat: dict[str, float] = {}
    for name, row in summary_rows(evaluation, split, more).items():
        numbers = {f"{split}/{name}": row["value"]}
        if split == "test":
            numbers |= {f"test_ci/{name}_{end}": row[end] for end in ("lo", "hi")}
            numbers[f"test_corrected/{name}"] = row.get("bias_corrected")
        flat |= {key: float(number) for key, number in numbers.items() if number is not None}
    return flat


def summary_rows(evaluation: Evaluation, split: str, more: Iterable[str] = ()) -> dict[str, Row]:
    """Rows of the AUC and what is made of it, then of the numbers that `more` names; by name.

    An undefined entry of a row is None. A number that was not evaluated is left out.
    """
    rows = number_rows(evaluation, split)
    usual = {name: row for name, row in rows.items() if number_named(name).of_auc}
    return usual | {name: rows[name] for name in more if name in rows}


def number_rows(evaluation: Evaluation, split: str) -> dict[str, Row]:
    """The row of every number of one split by its name (see `numbers.py`).

    Rows are those of the metrics and the gaps table; an undefined entry is None.
    """
    rows: dict[str, Row] = {}
    for row in _records(evaluation, evaluation.metrics, split):
        if row["metric"].startswith(WORST):
            rows[f"{row['metric']}_{row['attribute']}"] = row
        elif row["attribute"] == "overall" and row["pathology"] == _pathology_of(row["metric"]):
            rows[row["metric"]] = row
    for row in _records(evaluation, evaluation.gaps, split):
        rows[gap_name(row["metric"], row["definition"], row["attribute"])] = row
    return rows


def _pathology_of(metric: str) -> str:
    """Which pathology's row is the number: the only one of a metric of one label, else the mean."""
    return number_named(metric).metric.only or "mean"


def _records(evaluation: Evaluation, frame: pd.DataFrame, split: str) -> list[Row]:
    """The rows of one split under the first protocol, of everybody or of worst groups in metrics.

    An undefined entry is None. Arrow is twenty times faster here than pandas.
    """
    table = pa.Table.from_pandas(frame, preserve_index=False)
    wanted = pc.and_(
        pc.equal(table["split"], split), pc.equal(table["protocol"], evaluation.protocol)
    )
    if "pathology" in table.column_names:
        worst = pc.starts_with(table["metric"], WORST)
        wanted = pc.and_(wanted, pc.or_(worst, pc.equal(table["attribute"], "overall")))
    rows: list[Row] = table.filter(wanted).to_pylist()
    return rows
