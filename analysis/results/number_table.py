"""A study's numbers in one columnar table, so that a front reads a few files and not thousands.

`studies/<study>/numbers/` holds parts of the table: parquet files with the rows of evaluations that
fronts and reports are made of, and the objectives in every draw of patients. A part is named by the
checksum of its content and says which version of which evaluation its rows are copied from.

It is never the only truth. A part that is missing, damaged, of another revision or copied from an
evaluation that was made again counts for nothing: the rows are read from the evaluations' own files
and written again. So it may be deleted at any time, and two programs may write it at once.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from analysis.results.study_record import STUDIES
from fairfm_core.artifacts import ArtifactStore
from fairfm_core.errors import BadFile, BadInput
from fairfm_core.evaluation.selection.objectives import Objective
from fairfm_core.evaluation.summary import WORST
from fairfm_core.evaluation.tables import (
    TABLE,
    TABLES,
    Evaluation,
    read_parquet,
    stacked,
)
from fairfm_core.storage.checksums import checksum_of

REVISION = 1
"""Of the parts; one of another revision is written anew."""
FOLDER = "numbers"
PART = re.compile(r"([0-9a-f]{32})\.parquet")
MOST_PARTS = 8
"""Small parts that are kept side by side; more are joined."""
LARGE = 4 * 2**20
"""Bytes of a part that is joined with no other one: of thousands of evaluations, few are written
again."""
HELD = ("metrics", "gaps", "replicates")
"""The evaluations' tables of which rows are held."""
ABOUT = b"fairfm"
"""Key of what a part says of itself, in the metadata of its schema."""


@dataclass(frozen=True)
class EvaluationSource:
    """A stored evaluation."""

    fingerprint: str
    identity: str
    """Of its marker: another one after the evaluation was made again."""


@dataclass(frozen=True, eq=False)
class Part:
    """Rows copied from some evaluations, by table; those of one evaluation stand together."""

    rows: Mapping[str, pa.Table]
    sources: Mapping[str, str]
    """Identity of each evaluation's marker, by fingerprint."""

    @cached_property
    def places(self) -> dict[str, dict[str, slice]]:
        """Where the rows of each evaluation stand, by table and fingerprint."""
        return {name: dict(_runs(table["source"])) for name, table in self.rows.items()}

    def tables(self, fingerprint: str) -> dict[str, pa.Table]:
        """The rows of one evaluation, by table."""
        nowhere = slice(0, 0)
        return {
            name: table[self.places[name].get(fingerprint, nowhere)].select(
                TABLES[name].schema.names
            )
            for name, table in self.rows.items()
        }


class NumberTable:
    """The table of one study: finds the rows of evaluations, takes in new ones and keeps them."""

    def __init__(self, store: ArtifactStore, study: str, names: Iterable[str]) -> None:
        """`names` are the numbers whose values in every draw are held."""
        self._store = store
        self._place = (STUDIES, study, FOLDER)
        self.names = sorted(names)
        self._new: dict[str, tuple[str, Mapping[str, pa.Table]]] = {}
        self._useless: set[str] = set()
        """Files of parts that can never be used again."""
        self._found: dict[str, Part] | None = None
        """The parts that can be used, by file; None before one is looked for."""

    def find(self, source: EvaluationSource) -> Mapping[str, pa.Table] | None:
        """The rows of an evaluation, by table; None if they are not held."""
        for part in self._parts.values():
            if part.sources.get(source.fingerprint) == source.identity:
                return part.tables(source.fingerprint)
        identity, tables = self._new.get(source.fingerprint, (None, None))
        return tables if identity == source.identity else None

    def add(self, source: EvaluationSource, evaluation: Evaluation) -> Mapping[str, pa.Table]:
        """Take in the rows of an evaluation; returns them."""
        rows = kept_rows(evaluation, self.names)
        self._new[source.fingerprint] = source.identity, rows
        return rows

    def save(self) -> None:
        """Write what was added and remove what is useless, where the folder can be written."""
        if self._new:
            self._write()
        with suppress(OSError, BadInput):
            for name in sorted(self._useless):
                self._store.discard(self._store.path(*self._place, name))
        self._useless.clear()

    def _write(self) -> None:
        """Write what was added; with the small parts beside it, if they are many."""
        small = [name for name, size in self._files().items() if size < LARGE]
        joined = self._read_all(small) if len(small) >= MOST_PARTS else {}
        part = _joined([*joined.values(), _part(self._new)])
        content = _content(part, self.names)
        name = f"{checksum_of(content)}.parquet"
        with suppress(OSError, BadInput):  # somebody else's folder may be read-only
            self._store.write_bytes(content, *self._place, name)
            for old in joined.keys() - {name}:
                self._store.discard(self._store.path(*self._place, old))
        if self._found is not None:
            left = {old: kept for old, kept in self._found.items() if old not in joined}
            self._found = {**left, name: part}
        self._new.clear()

    @property
    def _parts(self) -> dict[str, Part]:
        """The parts that can be used, by file. A run, which only adds to them, holds none."""
        if self._found is None:
            self._found = self._read_all(self._files())
        return self._found

    def _files(self) -> dict[str, int]:
        """Sizes of the parts' files in bytes, by name; none where the folder cannot be read."""
        with suppress(OSError, BadInput):
            sizes = sorted(self._store.sizes(*self._place).items())
            return {name: size for name, size in sizes if PART.fullmatch(name)}
        return {}

    def _read_all(self, names: Iterable[str]) -> dict[str, Part]:
        """Those of the named parts that can be used."""
        read = {name: self._read(name) for name in names}
        return {name: part for name, part in read.items() if part is not None}

    def _read(self, name: str) -> Part | None:
        """One part; None where it is useless, cannot be read now, or is just being replaced."""
        try:
            content = self._store.read_bytes(*self._place, name)
        except (OSError, BadInput):
            return None
        part = _parsed(name, content, self.names)
        if part is None:
            self._useless.add(name)
        return part


def _parsed(name: str, content: bytes, names: Sequence[str]) -> Part | None:
    """The part in a file; None where it is damaged, of another revision or holds other numbers."""
    if checksum_of(content) != name.partition(".")[0]:
        return None
    try:
        table = read_parquet(pa.BufferReader(content))
        about = json.loads(table.schema.metadata[ABOUT])
        if (about["revision"], about["names"]) != (REVISION, names):
            return None
        return Part(_by_table(table), about["sources"])
    except (OSError, BadFile, BadInput, ValueError, KeyError, TypeError, pa.ArrowException):
        return None


def held_names(objectives: Iterable[Objective]) -> list[str]:
    """The numbers whose values in every draw a study's table holds."""
    return sorted({"auc", *(objective.name for objective in objectives)})


def kept_rows(evaluation: Evaluation, names: Sequence[str]) -> dict[str, pa.Table]:
    """The rows of an evaluation that the table holds, by table.

    Of the metrics: everybody, means over pathologies, worst groups, and whatever is undefined.
    """
    metrics, gaps = (evaluation.tables[name] for name in HELD[:2])
    kept = pc.or_(pc.equal(metrics["pathology"], "mean"), pc.is_null(metrics["value"]))
    kept = pc.or_(kept, pc.equal(metrics["attribute"], "overall"))
    kept = pc.or_(kept, pc.starts_with(metrics["metric"], WORST))
    draws = evaluation.draws(names)
    return {"metrics": metrics.filter(kept), "gaps": gaps, "replicates": draws}


def holds_all(wanted: Mapping[str, Sequence[str] | None]) -> bool:
    """Whether every row of the metrics with these values is among the `kept_rows`."""

    def within(column: str, texts: set[str]) -> bool:
        return texts.issuperset(wanted.get(column) or [""])

    worst = [metric.startswith(WORST) for metric in wanted.get("metric") or [""]]
    undefined = "value" in wanted and wanted["value"] is None
    return (
        undefined or all(worst) or within("pathology", {"mean"}) or within("attribute", {"overall"})
    )


def _part(new: Mapping[str, tuple[str, Mapping[str, pa.Table]]]) -> Part:
    rows = {
        name: pa.concat_tables(_of_source(f, tables[name]) for f, (_, tables) in new.items())
        for name in HELD
    }
    return Part(rows, {fingerprint: identity for fingerprint, (identity, _) in new.items()})


def _of_source(fingerprint: str, table: pa.Table) -> pa.Table:
    return table.add_column(0, "source", pa.array([fingerprint] * len(table), pa.string()))


def _joined(parts: Sequence[Part]) -> Part:
    """Several parts as one; of an evaluation in several, the rows of the last count."""
    last = {fingerprint: place for place, part in enumerate(parts) for fingerprint in part.sources}
    rows = {
        name: pa.concat_tables(
            _only(part.rows[name], [f for f in part.sources if last[f] == place])
            for place, part in enumerate(parts)
        ).combine_chunks()
        for name in HELD
    }
    return Part(rows, {f: parts[place].sources[f] for f, place in last.items()})


def _content(part: Part, names: Sequence[str]) -> bytes:
    """A part as a parquet file."""
    about = {"revision": REVISION, "names": list(names), "sources": part.sources}
    table = stacked({name: part.rows[name] for name in HELD})
    table = table.replace_schema_metadata({ABOUT: json.dumps(about, sort_keys=True)})
    texts = [field.name for field in table.schema if field.type == pa.string()]
    stream = io.BytesIO()
    pq.write_table(table, stream, compression="zstd", use_dictionary=texts)
    return stream.getvalue()


def _only(table: pa.Table, fingerprints: Sequence[str]) -> pa.Table:
    return table.filter(pc.is_in(table["source"], pa.array(fingerprints, pa.string())))


def _by_table(table: pa.Table) -> dict[str, pa.Table]:
    """The tables that a part was made of; raises KeyError or an error of Arrow for other files."""
    return {
        name: table.filter(pc.equal(table[TABLE], name))
        .select(["source", *TABLES[name].schema.names])
        .cast(pa.schema([("source", pa.string()), *TABLES[name].schema]))
        .combine_chunks()
        for name in HELD
    }


def _runs(column: pa.ChunkedArray) -> Iterator[tuple[str, slice]]:
    """Each distinct text of a column in which equal ones stand together, with its place."""
    encoded = column.combine_chunks().dictionary_encode()
    code_N = encoded.indices.to_numpy()
    starts = [0, *(np.flatnonzero(np.diff(code_N)) + 1).tolist(), len(code_N)]
    names: list[Any] = encoded.dictionary.to_pylist()
    for start, end in pairwise(starts):
        if end > start:
            yield names[code_N[start]], slice(start, end)
