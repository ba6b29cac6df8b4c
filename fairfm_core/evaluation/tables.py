"""The tidy tables of an evaluation and their parquet files.

Metrics, gaps and differences are fractions (0.81, not 81). An undefined number is null with its
`reason`; `reason` also holds what a reader of a defined number must know, such as replicates that
were undefined. `n_positive` is null in rows of the mean over pathologies. Counts are of distinct
images that have a weight under the protocol, however large it is.

metrics      every metric of every pathology x group, of their mean, and of the worst group.
             `bias_corrected` is null but for the worst group, which noise makes look worse
gaps         best against worst group: value, interval, bias-corrected value, null, p-value, excess
differences  each group against everybody (`reference` = overall) and against each other group, with
             the value `relative` to the reference's and a two-sided p-value
thresholds   the operating points chosen on validation, by pathology and seed, with what they reach
weights      for each protocol, split, pathology and group, how many `images` it has and how many
             are `labelled`, how many of these have a weight (`unique_images`), the sum of their
             weights (the rows of a drawn test set), Kish's effective sample size `ess`, the largest
             weight (there the largest multiplicity), the copies beyond the first of each image
             (`duplicates`; null for weights that count no copies) and the weighted `prevalence`.
             Rows of the attribute `overall` describe everybody, those of one such as `race x sex`
             the cells that a protocol balances
replicates   the numbers of a summary in every bootstrap replicate, and gaps under the null, as
             lists. Two evaluations with the same `pairing` drew the same patients: their replicates
             can be subtracted
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from fairfm_core.errors import BadInput

if TYPE_CHECKING:
    import pandas as pd

Row = dict[str, Any]
File = str | PathLike[str] | IO[bytes]

MOST_ROWS = 50_000_000
"""Rows of the largest table that is read: one per image of the largest archive is a fraction."""

METRICS_FILE = "metrics.parquet"
GAPS_FILE = "gaps.parquet"
WEIGHTS_FILE = "weights.parquet"
DIFFERENCES_FILE = "differences.parquet"
THRESHOLDS_FILE = "thresholds.parquet"
REPLICATES_FILE = "replicates.parquet"

BY_PROTOCOL = ("metrics", "gaps", "weights", "differences")
"""Tables whose rows are chosen by protocol."""
TABLE = "table"
"""Column that names the table of a row, where several are kept as one."""

NO_P_VALUE = "no p-value"

LATER = ("bias_corrected",)
"""Columns that the tables of older results lack; they are read as nulls."""

METRICS_SCHEMA = pa.schema(
    [(name, pa.string()) for name in ("protocol", "split", "pathology", "attribute", "group")]
    + [("metric", pa.string())]
    + [(name, pa.float64()) for name in ("value", "lo", "hi")]
    + [(name, pa.int64()) for name in ("n", "n_patients", "n_positive")]
    + [("bias_corrected", pa.float64()), ("reason", pa.string())]
)
GAPS_SCHEMA = pa.schema(
    [(name, pa.string()) for name in ("protocol", "split", "metric", "attribute", "definition")]
    + [
        (name, pa.float64())
        for name in ("value", "lo", "hi", "bias_corrected", "null_mean", "null_hi", "p_value")
    ]
    + [("excess", pa.float64())]
    + [(name, pa.string()) for name in ("worst_group", "best_group", "reason")]
)
WEIGHTS_SCHEMA = pa.schema(
    [(name, pa.string()) for name in ("protocol", "split", "pathology", "attribute", "group")]
    + [(name, pa.int64()) for name in ("images", "labelled", "unique_images", "duplicates")]
    + [(name, pa.float64()) for name in ("weight_sum", "ess", "largest_weight", "prevalence")]
    + [("reason", pa.string())]
)


DIFFERENCES_SCHEMA = pa.schema(
    [(name, pa.string()) for name in ("protocol", "split", "pathology", "attribute", "group")]
    + [(name, pa.string()) for name in ("reference", "metric")]
    + [(name, pa.float64()) for name in ("value", "lo", "hi", "relative", "p_value")]
    + [("reason", pa.string())]
)
THRESHOLDS_SCHEMA = pa.schema(
    [("point", pa.string()), ("pathology", pa.string()), ("seed", pa.int64())]
    + [(name, pa.float64()) for name in ("threshold", "val_tpr", "val_fpr")]
    + [("reason", pa.string())]
)
REPLICATES_SCHEMA = pa.schema(
    [(name, pa.string()) for name in ("protocol", "split", "name", "pairing")]
    + [("value", pa.float64()), ("replicates", pa.list_(pa.float64()))]
    + [("null", pa.list_(pa.float64()))]
)


@dataclass(frozen=True)
class TableFile:
    """One table of an evaluation: its file, its columns, and whether older results lack it."""

    file: str
    schema: pa.Schema
    newer: bool = True

    def empty(self) -> pa.Table:
        """The table without rows."""
        return self.schema.empty_table()


TABLES = {
    "metrics": TableFile(METRICS_FILE, METRICS_SCHEMA, newer=False),
    "gaps": TableFile(GAPS_FILE, GAPS_SCHEMA, newer=False),
    "weights": TableFile(WEIGHTS_FILE, WEIGHTS_SCHEMA),
    "differences": TableFile(DIFFERENCES_FILE, DIFFERENCES_SCHEMA),
    "thresholds": TableFile(THRESHOLDS_FILE, THRESHOLDS_SCHEMA),
    "replicates": TableFile(REPLICATES_FILE, REPLICATES_SCHEMA),
}


class LazyTables(Mapping[str, pa.Table]):
    """The tables of an evaluation by name, each made when it is asked for first."""

    def __init__(self, make: Callable[[str], pa.Table]) -> None:
        self._make = make
        self._made: dict[str, pa.Table] = {}

    def __getitem__(self, name: str) -> pa.Table:
        if name not in self._made:
            self._made[name] = self._make(name)
        return self._made[name]

    def __iter__(self) -> Iterator[str]:
        return iter(TABLES)

    def __len__(self) -> int:
        return len(TABLES)


@dataclass(frozen=True, eq=False)
class Evaluation:
    """The tables of one model, or of the seeds of one configuration, by name.

    All but metrics and gaps are empty for results of older versions that did not store them. A
    table becomes a data frame when it is asked for: that takes longer than reading it.
    """

    tables: Mapping[str, pa.Table]

    @cached_property
    def metrics(self) -> pd.DataFrame:
        """Values of every group, of everybody and of the worst groups."""
        return self._frame("metrics")

    @cached_property
    def gaps(self) -> pd.DataFrame:
        """Gaps between the groups of each attribute."""
        return self._frame("gaps")

    @cached_property
    def weights(self) -> pd.DataFrame:
        """How much each group counts."""
        return self._frame("weights")

    @cached_property
    def differences(self) -> pd.DataFrame:
        """Differences of each group from everybody and from other groups."""
        return self._frame("differences")

    @cached_property
    def thresholds(self) -> pd.DataFrame:
        """Thresholds chosen on validation."""
        return self._frame("thresholds")

    @cached_property
    def replicates(self) -> pd.DataFrame:
        """The numbers of a summary in every draw."""
        return self._frame("replicates")

    @cached_property
    def protocol(self) -> str | None:
        """The first protocol of the settings: summaries, choices and fronts are based on it."""
        protocols = self.tables["metrics"]["protocol"]
        return str(protocols[0]) if len(protocols) else None

    def under(self, *protocols: str) -> Evaluation:
        """The rows of these protocols alone, in this order, so that the first one is its first.

        Replicates keep their rows, whose key names the protocol.
        """
        return Evaluation(LazyTables(lambda name: under_protocols(name, self.tables, protocols)))

    def draws(self, names: Iterable[str] | None = None) -> pa.Table:
        """The rows of the replicates of the named numbers; None means all."""
        table = self.tables["replicates"]
        return table if names is None else table.filter(_is_one_of(table["name"], names))

    def rows(self, name: str, split: str, **wanted: Iterable[str] | None) -> list[Row]:
        """Rows of one table and split under the first protocol; an undefined entry is None.

        Each of `wanted` names a column and the texts that it may hold there; None is undefined.
        Arrow is twenty times faster here than pandas.
        """
        table = self.tables[name]
        for column, texts in {"split": [split], "protocol": [self.protocol], **wanted}.items():
            kept = pc.is_null(table[column]) if texts is None else _is_one_of(table[column], texts)
            table = table.filter(kept)
        found: list[Row] = table.to_pylist()
        return found

    def _frame(self, name: str) -> pd.DataFrame:
        """Counts stay whole numbers: a nullable integer, not a float, where one is null."""
        import pandas as pd

        table = self.tables[name]
        frame: pd.DataFrame = table.to_pandas(types_mapper={pa.int64(): pd.Int64Dtype()}.get)
        return frame


def evaluation_of(**rows: Sequence[Row]) -> Evaluation:
    """Tables by name with the columns and types of the contract; NaN becomes null."""
    return _completed({name: _table(held, TABLES[name].schema) for name, held in rows.items()})


def write_evaluation(evaluation: Evaluation, folder: Path) -> None:
    """Write the tables as parquet into `folder`, which is made if it is missing."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, kept in TABLES.items():
        pq.write_table(evaluation.tables[name], folder / kept.file, compression="zstd")


def read_evaluation(folder: Path) -> Evaluation:
    """Read what `write_evaluation` wrote; BadInput without metrics or gaps (the others were added
    later)."""
    files = {name: folder / kept.file for name, kept in TABLES.items()}
    for name, kept in TABLES.items():
        if not kept.newer and not files[name].is_file():
            how = f"make it with `fairfm evaluate --out {folder}`"
            raise BadInput(f"{folder} has no {kept.file}; {how}")
    return _evaluation({name: file for name, file in files.items() if file.is_file()})


def evaluation_from(contents: Mapping[str, bytes]) -> Evaluation:
    """The evaluation whose tables, by name, have these files' contents; others are empty."""
    return _evaluation({name: pa.BufferReader(content) for name, content in contents.items()})


def _evaluation(sources: Mapping[str, Any]) -> Evaluation:
    return _completed({name: _conforming(source, TABLES[name]) for name, source in sources.items()})


def _completed(tables: Mapping[str, pa.Table]) -> Evaluation:
    """The evaluation of these tables; those that are not there are empty."""
    return Evaluation({name: tables.get(name, kept.empty()) for name, kept in TABLES.items()})


def under_protocols(
    name: str, tables: Mapping[str, pa.Table], protocols: Sequence[str]
) -> pa.Table:
    """The named table with the rows of these protocols, in this order, where it has such."""
    table = tables[name]
    if name not in BY_PROTOCOL:
        return table
    return pa.concat_tables(table.filter(pc.equal(table["protocol"], each)) for each in protocols)


def stacked(tables: Mapping[str, pa.Table]) -> pa.Table:
    """Tables below one another; the column `table` names that of each row."""
    marked = [
        table.append_column(TABLE, pa.array([name] * len(table), pa.string()))
        for name, table in tables.items()
    ]
    return pa.concat_tables(marked, promote_options="default")


def no_p_value(reason: str | None) -> str | None:
    """The part of a row's reason that says why it has no p-value; None if it has one."""
    notes = (reason or "").split("; ")
    return next((note for note in notes if note.startswith(NO_P_VALUE)), None)


def read_parquet(path: Any, called: str | None = None) -> pa.Table:
    """A parquet file, or a reader of its content; BadInput where it cannot be read or is too long.

    Errors name it as `called`, or else by its path. Raises FileNotFoundError for a missing file.
    """
    called = called or str(path)
    try:
        with pq.ParquetFile(path) as file:
            rows = file.metadata.num_rows
            if rows <= MOST_ROWS:
                table = file.read()
                table.validate(full=True)  # damaged text and lengths, which pandas would misreport
                return table
    except FileNotFoundError:
        raise
    except (pa.ArrowException, ValueError, OSError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        if "magic bytes" in reason or "file size is 0" in reason:
            reason = "it is of another format, or cut off"
        raise BadInput(f"cannot read {called} as a parquet file: {reason}") from error
    raise BadInput(f"{called} has {rows:,} rows, more than are read ({MOST_ROWS:,})")


def _conforming(source: Any, kept: TableFile) -> pa.Table:
    """The table's columns in the types of the contract; BadInput where one is missing."""
    schema, called = kept.schema, str(source) if isinstance(source, Path) else kept.file
    table = read_parquet(source, called)
    for name in [name for name in LATER if name in schema.names and name not in table.column_names]:
        table = table.append_column(name, pa.nulls(len(table), schema.field(name).type))
    if missing := [name for name in schema.names if name not in table.column_names]:
        raise BadInput(f"{called} has no column {missing[0]!r}")
    try:
        return table.select(schema.names).cast(schema)
    except pa.ArrowException as error:
        raise BadInput(f"{called} has a column of another type: {error}") from error


def _is_one_of(column: pa.ChunkedArray, texts: Iterable[str | None]) -> pa.ChunkedArray:
    return pc.is_in(column, pa.array(list(texts), pa.string()))


def _table(rows: Sequence[Row], schema: pa.Schema) -> pa.Table:
    columns = {
        field.name: pa.array([row[field.name] for row in rows], field.type, from_pandas=True)
        for field in schema
    }
    return pa.table(columns, schema=schema)
