"""An evaluation whose most important rows are at hand, while its tables are read when needed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import pyarrow as pa
import pyarrow.compute as pc

from analysis.results.number_table import holds_all
from fairfm_core.evaluation.summary import WORST
from fairfm_core.evaluation.tables import Evaluation, Row, under_protocols


class StoredTables(Mapping[str, pa.Table]):
    """The tables of a stored evaluation, read when the first of them is asked for."""

    def __init__(self, read: Callable[[], Evaluation]) -> None:
        self._read = read

    @cached_property
    def _tables(self) -> Mapping[str, pa.Table]:
        return self._read().tables

    def __getitem__(self, name: str) -> pa.Table:
        return self._tables[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._tables)

    def __len__(self) -> int:
        return len(self._tables)


@dataclass(frozen=True, eq=False)
class HeldEvaluation(Evaluation):
    """As the evaluation itself; rows that `held` contains are taken from there."""

    held: Mapping[str, pa.Table]
    """The `kept_rows` of the evaluation, by table."""
    often: Sequence[str]
    """Metrics whose rows are asked for again and again."""

    @cached_property
    def protocol(self) -> str | None:
        """The first protocol of the settings."""
        return Evaluation(self.held).protocol

    def under(self, *protocols: str) -> Evaluation:
        """As that of the evaluation itself; what is at hand stays so."""
        held = {name: under_protocols(name, self.held, protocols) for name in self.held}
        return replace(self, tables=super().under(*protocols).tables, held=held)

    def rows(self, name: str, split: str, **wanted: Iterable[str] | None) -> list[Row]:
        """As those of the evaluation itself."""
        lists = {key: None if texts is None else list(texts) for key, texts in wanted.items()}
        if name not in self.held or (name == "metrics" and not holds_all(lists)):
            return super().rows(name, split, **lists)
        if not set(lists.get("metric") or [""]).issubset(self._often):
            return Evaluation(self.held).rows(name, split, **lists)
        allowed = {"split": [split], **lists}
        return [row for row in self._rows[name] if _is_allowed(row, allowed)]

    @cached_property
    def _often(self) -> frozenset[str]:
        return frozenset([*self.often, *map(WORST.__add__, self.often)])

    @cached_property
    def _rows(self) -> dict[str, list[Row]]:
        """The rows of `often` under the first protocol, by table."""
        often = pa.array(sorted(self._often), pa.string())
        return {name: self._of_protocol(self.held[name], often) for name in ("metrics", "gaps")}

    def _of_protocol(self, table: pa.Table, metrics: pa.Array) -> list[Row]:
        wanted = pc.and_(
            pc.equal(table["protocol"], self.protocol), pc.is_in(table["metric"], metrics)
        )
        rows: list[Row] = table.filter(wanted).to_pylist()
        return rows


def _is_allowed(row: Row, allowed: Mapping[str, Sequence[str] | None]) -> bool:
    return all(
        row[column] is None if texts is None else row[column] in texts
        for column, texts in allowed.items()
    )
