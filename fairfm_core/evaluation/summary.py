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

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress

from fairfm_core.data.cohort_checks import EVALUATION_SPLITS
from fairfm_core.errors import BadInput
from fairfm_core.evaluation.metrics import AUC
from fairfm_core.evaluation.numbers import gap_name, number_named
from fairfm_core.evaluation.tables import Evaluation, Row

WORST = "worst_group_"
"""How the metric is named in the rows of the worst group."""


def final_metrics(evaluation: Evaluation, more: Iterable[str] = ()) -> dict[str, float]:
    """The numbers of a finished trial: those of the AUC, then those that `more` names.

    An undefined number is left out, never replaced. `quality/undefined_auc` is the number of
    undefined AUCs (pathology x group cells) in all splits.
    """
    cells = [
        row["value"]
        for split in EVALUATION_SPLITS
        for row in evaluation.rows("metrics", split, metric=["auc"])
        if row["pathology"] != "mean"
    ]
    undefined = float(cells.count(None))
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
    named = list(more)
    rows = _rows_of(evaluation, split, dict.fromkeys([AUC.name, *_metrics_of(named)]))
    usual = {name: row for name, row in rows.items() if number_named(name).of_auc}
    return usual | {name: rows[name] for name in named if name in rows}


def number_rows(evaluation: Evaluation, split: str) -> dict[str, Row]:
    """The row of every number of one split by its name (see `numbers.py`).

    Rows are those of the metrics and the gaps table; an undefined entry is None.
    """
    held = (evaluation.tables[name]["metric"].unique().to_pylist() for name in ("metrics", "gaps"))
    metrics = {metric.removeprefix(WORST) for names in held for metric in names}
    return _rows_of(evaluation, split, metrics)


def _metrics_of(names: Iterable[str]) -> Iterator[str]:
    """The metrics of numbers; a name that no version knows has none."""
    for name in names:
        with suppress(BadInput):
            yield number_named(name).metric.name


def _rows_of(evaluation: Evaluation, split: str, metrics: Iterable[str]) -> dict[str, Row]:
    """The rows of the numbers of these metrics, by name."""
    named = list(metrics)
    rows = {
        row["metric"]: row
        for row in evaluation.rows("metrics", split, metric=named, attribute=["overall"])
        if row["pathology"] == _pathology_of(row["metric"])
    }
    for row in evaluation.rows("metrics", split, metric=map(WORST.__add__, named)):
        rows[f"{row['metric']}_{row['attribute']}"] = row
    for row in evaluation.rows("gaps", split, metric=named):
        rows[gap_name(row["metric"], row["definition"], row["attribute"])] = row
    return rows


def _pathology_of(metric: str) -> str:
    """Which pathology's row is the number: the only one of a metric of one label, else the mean."""
    return number_named(metric).metric.only or "mean"
