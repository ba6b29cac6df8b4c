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

from collections.abc import Iterable
from dataclasses import replace

import pandas as pd

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
    named = list(more)
    flat: dict[str, float] = {}
    present = set(evaluation.metrics["split"])
    for split in [name for name in EVALUATION_SPLITS if name in present]:
        for name, row in summary_rows(evaluation, split, named).items():
            numbers = {f"{split}/{name}": row["value"]}
            if split == "test":
                numbers |= {f"test_ci/{name}_{end}": row[end] for end in ("lo", "hi")}
                numbers[f"test_corrected/{name}"] = row.get("bias_corrected")
            flat |= {key: float(number) for key, number in numbers.items() if number is not None}
    cells = _of_first_protocol(evaluation, evaluation.metrics)
    cells = cells[(cells["metric"] == "auc") & (cells["pathology"] != "mean")]
    cells = cells[cells["split"].isin(EVALUATION_SPLITS)]
    return flat | {"quality/undefined_auc": float(cells["value"].isna().sum())}


def validation_metrics(evaluation: Evaluation, more: Iterable[str] = ()) -> dict[str, float]:
    """The `val/` numbers alone: what a search, an early stop or a choice may read.

    Test rows are removed before anything is computed, so no test number can pass.
    """
    metrics, gaps = (
        frame[frame["split"] == "val"] for frame in (evaluation.metrics, evaluation.gaps)
    )
    flat = final_metrics(replace(evaluation, metrics=metrics, gaps=gaps), more)
    return {key: value for key, value in flat.items() if key.startswith("val/")}


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
    metrics = _of_first_protocol(evaluation, evaluation.metrics)
    worst = metrics["metric"].str.startswith(WORST)
    for row in _records(metrics[worst | (metrics["attribute"] == "overall")], split):
        if row["metric"].startswith(WORST):
            rows[f"{row['metric']}_{row['attribute']}"] = row
        elif row["pathology"] == (number_named(row["metric"]).metric.only or "mean"):
            rows[row["metric"]] = row
    for row in _records(_of_first_protocol(evaluation, evaluation.gaps), split):
        rows[gap_name(row["metric"], row["definition"], row["attribute"])] = row
    return rows


def _of_first_protocol(evaluation: Evaluation, frame: pd.DataFrame) -> pd.DataFrame:
    return frame[frame["protocol"] == evaluation.protocol]


def _records(frame: pd.DataFrame, split: str) -> list[Row]:
    """The rows of one split as mappings; an undefined entry is None."""
    rows = frame[frame["split"] == split]
    return [
        {str(key): None if pd.isna(value) else value for key, value in row.items()}
        for row in rows.to_dict("records")
    ]
