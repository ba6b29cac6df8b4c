"""Data frames by what they hold: what was computed from one serves any other with the same content.

The trials of one data set have the same images, labels and groups, but each reads them from files
of its own. A function cached by `FrameContent` computes what follows from them once.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any

import pandas as pd
import pyarrow as pa


@dataclass(frozen=True)
class FrameContent:
    """A data frame that equals any other with the same columns, types and values in this order."""

    frame: pd.DataFrame = field(compare=False)
    digest: str


def content_of(frame: pd.DataFrame) -> FrameContent:
    """The frame by its content; the index is no part of it."""
    columns = {str(name): _values(frame[name]) for name in frame.columns}
    types = ([str(kind) for kind in frame.dtypes], len(frame))
    digest = hashlib.sha256(repr((list(columns), types)).encode())
    if columns:
        digest.update(pa.record_batch(columns).serialize())
    return FrameContent(frame, digest.hexdigest())


def _values(column: pd.Series[Any]) -> pa.Array:
    """A column as one array of plain values; as text where values of several kinds are mixed."""
    try:
        values = pa.array(column, from_pandas=True)
    except pa.ArrowException:
        values = pa.array(column.astype(str), from_pandas=True)
    if isinstance(values, pa.ChunkedArray):
        values = values.combine_chunks()
    return values.dictionary_decode() if pa.types.is_dictionary(values.type) else values
