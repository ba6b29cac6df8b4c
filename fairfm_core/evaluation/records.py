"""The tidy tables of an evaluation, metrics, gaps and weights, and their parquet files.

AUCs and gaps are fractions (0.81, not 81). An undefined number is null with its `reason`; `reason`
also holds what a reader of a defined number must know, such as replicates that were undefined.
`n_positive` is null in rows of the mean over pathologies. Counts are of distinct images that weigh
something under the protocol, however much.

Weights: for each protocol, split, pathology and group, how many `images` it has and how many are
`labelled`, how many of these weigh something (`unique_images`), the sum of their weights (the rows
of a drawn test set), Kish's effective sample size `ess`, the largest weight (there the largest
multiplicity), the copies beyond the first of each image (`duplicates`; null for weights that count
no copies) and the weighted `prevalence` of the pathology. Rows of the attribute `overall` are of
everybody, those of one such as `race x sex` of the cells that a protocol makes alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from fairfm_core.errors import BadInput

Row = dict[str, Any]

METRICS_FILE = "metrics.parquet"
GAPS_FILE = "gaps.parquet"
WEIGHTS_FILE = "weights.parquet"

METRICS_SCHEMA = pa.schema(
    [(name, pa.string()) for name in ("protocol", "split", "pathology", "attribute", "group")]
    + [("metric", pa.string())]
    + [(name, pa.float64()) for name in ("value", "lo", "hi")]
    + [(name, pa.int64()) for name in ("n", "n_patients", "n_positive")]
    + [("reason", pa.string())]
)
GAPS_SCHEMA = pa.schema(
    [(name, pa.string()) for name in ("protocol", "split", "metric", "attribute", "definition")]
    + [
        (name, pa.float64())
        for name in ("value", "lo", "hi", "null_mean", "null_hi", "p_value", "excess")
    ]
    + [(name, pa.string()) for name in ("worst_group", "best_group", "reason")]
)
WEIGHTS_SCHEMA = pa.schema(
    [(name, pa.string()) for name in ("protocol", "split", "pathology", "attribute", "group")]
    + [(name, pa.int64()) for name in ("images", "labelled", "unique_images", "duplicates")]
    + [(name, pa.float64()) for name in ("weight_sum", "ess", "largest_weight", "prevalence")]
    + [("reason", pa.string())]
)


def _no_weights() -> pd.DataFrame:
    return _frame(WEIGHTS_SCHEMA.empty_table())


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Metrics and gaps of one model, or of the seeds of one configuration, as tidy tables."""

    metrics: pd.DataFrame
    gaps: pd.DataFrame
    weights: pd.DataFrame = field(default_factory=_no_weights)
    """Effective sample sizes; without rows for results of a version that did not keep them."""

    @property
    def protocol(self) -> str | None:
        """The first protocol of the settings: summaries, choices and fronts are made of it."""
        protocols = self.metrics["protocol"]
        return str(protocols.iloc[0]) if len(protocols) else None


def evaluation_of(
    metrics: Sequence[Row], gaps: Sequence[Row], weights: Sequence[Row] = ()
) -> Evaluation:
    """Tables with the columns and types of the contract; NaN becomes null."""
    return Evaluation(
        _frame(_table(metrics, METRICS_SCHEMA)),
        _frame(_table(gaps, GAPS_SCHEMA)),
        _frame(_table(weights, WEIGHTS_SCHEMA)),
    )


def write_evaluation(evaluation: Evaluation, folder: Path) -> None:
    """Write metrics, gaps and weights as parquet into `folder`, which is made if it is missing."""
    folder.mkdir(parents=True, exist_ok=True)
    for frame, schema, name in (
        (evaluation.metrics, METRICS_SCHEMA, METRICS_FILE),
        (evaluation.gaps, GAPS_SCHEMA, GAPS_FILE),
        (evaluation.weights, WEIGHTS_SCHEMA, WEIGHTS_FILE),
    ):
        table = pa.Table.from_pandas(frame, schema, preserve_index=False)
        pq.write_table(table.replace_schema_metadata(None), folder / name, compression="zstd")


def read_evaluation(folder: Path) -> Evaluation:
    """Read what `write_evaluation` wrote; BadInput without metrics or gaps (weights are newer)."""
    tables = []
    for name in (METRICS_FILE, GAPS_FILE):
        if not (folder / name).is_file():
            raise BadInput(f"{folder} has no {name}; make it with `fairfm evaluate --out {folder}`")
        tables.append(_frame(pq.read_table(folder / name)))
    if (folder / WEIGHTS_FILE).is_file():
        tables.append(_frame(pq.read_table(folder / WEIGHTS_FILE)))
    return Evaluation(*tables)


def _table(rows: Sequence[Row], schema: pa.Schema) -> pa.Table:
    columns = {
        field.name: pa.array([row[field.name] for row in rows], field.type, from_pandas=True)
        for field in schema
    }
    return pa.table(columns, schema=schema)


def _frame(table: pa.Table) -> pd.DataFrame:
    """Counts stay whole numbers: a nullable integer, not a float, where one is null."""
    frame: pd.DataFrame = table.to_pandas(types_mapper={pa.int64(): pd.Int64Dtype()}.get)
    return frame
