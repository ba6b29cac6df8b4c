"""The cohort: one table with one row per image, which every other part of the program reads.

Columns: `image_id` and `patient_id` text; `sex` F, M or null; `race` text or null; `age` years or
null; any further attribute; `y_<pathology>` 0, 1 or null; `split` train, val, test or null; `row`,
the position of the image in the image store. Where a source has uncertain labels, `u_<pathology>`
is 1 for them and 0 elsewhere; their `y_` is null until a trial's label policy settles them
(`settled`). Attributes are data: any column that is not a key, a label or a mark of uncertainty can
be one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from fairfm_core.data.cohort_checks import (
    KEYS,
    LABEL_PREFIX,
    TEXT_COLUMNS,
    UNCERTAIN_PREFIX,
    check_cohort,
)
from fairfm_core.errors import BadInput

LABEL_OF_POLICY = {"u_zeros": 0.0, "u_ones": 1.0}
"""What a policy makes of an uncertain label; others leave it null."""
FIRST_ATTRIBUTES = ("sex", "race", "age")
NUMBERED = (LABEL_PREFIX, UNCERTAIN_PREFIX)


def pathologies(frame: pd.DataFrame) -> tuple[str, ...]:
    """The names of the label columns without their `y_`, in alphabetical order.

    They are sorted because their order becomes that of a model's outputs, which must be the same
    for two files with the same content.
    """
    labels = [name for name in frame.columns if name.startswith(LABEL_PREFIX)]
    return tuple(sorted(name.removeprefix(LABEL_PREFIX) for name in labels))


def attributes(frame: pd.DataFrame) -> tuple[str, ...]:
    """The columns that can be protected attributes: sex, race, age, then the others by name.

    A column that is null in every row is left out (NIH, for example, publishes no race).
    """
    offered = {
        name
        for name in frame.columns
        if name not in KEYS and not name.startswith(NUMBERED) and frame[name].notna().any()
    }
    first = [name for name in FIRST_ATTRIBUTES if name in offered]
    return tuple(first + sorted(offered - set(first)))


def settled(frame: pd.DataFrame, policies: Mapping[str, str]) -> pd.DataFrame:
    """`frame` with every uncertain label set to 0, 1 or null by the policy of its pathology.

    Pathologies that are not in `policies` have `u_zeros`. Labels that are null without a mark of
    uncertainty stay null.
    """
    columns = {}
    for mark in (name for name in frame.columns if name.startswith(UNCERTAIN_PREFIX)):
        pathology = mark.removeprefix(UNCERTAIN_PREFIX)
        meaning = LABEL_OF_POLICY.get(policies.get(pathology, "u_zeros"))
        if meaning is not None:
            label = frame[LABEL_PREFIX + pathology]
            columns[LABEL_PREFIX + pathology] = label.mask(frame[mark] == 1, meaning)
    return frame.assign(**columns)


def checked_cohort(frame: pd.DataFrame) -> pd.DataFrame:
    """The cohort with its column types, ordered by `row`; raises BadInput unless it is valid."""
    check_cohort(frame)
    typed = dict.fromkeys(TEXT_COLUMNS, "str") | {"age": "float64", "row": "int64"}
    typed |= {name: "float64" for name in frame.columns if name.startswith(NUMBERED)}
    typed |= {name: "str" for name in frame.columns if frame[name].dtype.name == "category"}
    return frame.astype(typed).sort_values("row").reset_index(drop=True)


def read_cohort(path: Path) -> pd.DataFrame:
    """The cohort in a parquet file, checked and ordered by `row`; BadInput unless it is valid."""
    path = Path(path)
    if not path.is_file():
        raise BadInput(f"no cohort at {path}: expected a parquet file with one row per image")
    try:
        table = pq.read_table(path)
        table.validate(full=True)  # damaged text and lengths, of which pandas would make errors
        frame = table.to_pandas()
    except (pa.ArrowException, ValueError, OSError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise BadInput(
            f"{path} is not a readable parquet file ({reason}); prepare the data set again"
        ) from error
    return checked_cohort(frame)


def write_cohort(frame: pd.DataFrame, path: Path) -> None:
    """Checks a cohort and writes it as parquet (zstd), ordered by `row`."""
    table = pa.Table.from_pandas(checked_cohort(frame), preserve_index=False)
    pq.write_table(table.replace_schema_metadata(None), path, compression="zstd")


def cohort_digest(frame: pd.DataFrame) -> str:
    """SHA-256 (hex) of a cohort's content, whatever the order of its rows and columns.

    Numbers are digested as float64 and text as UTF-8, so equal values have equal digests whether
    they are int or float, `string`, `large_string` or dictionary columns.
    """
    ordered = frame.sort_values("image_id")
    digest = hashlib.sha256()
    for name in sorted(ordered.columns):
        digest.update(f"{len(name)}:{name}".encode())
        digest.update(_column_bytes(ordered[name]))
    return digest.hexdigest()


def _column_bytes(column: pd.Series) -> bytes:
    """A column's values in one canonical encoding, tagged by kind."""
    if not column.notna().any():
        return f"null {len(column)};".encode()
    if pd.api.types.is_numeric_dtype(column) or pd.api.types.is_bool_dtype(column):
        numbers = column.astype("float64").to_numpy(copy=True)
        numbers[np.isnan(numbers)] = np.nan  # a NaN has many bit patterns
        return b"numbers " + (numbers + 0.0).astype("<f8").tobytes()  # -0.0 becomes 0.0
    values = zip(column.astype("object").tolist(), column.isna().tolist(), strict=True)
    texts = ("-" if null else f"{len(text := str(value))}:{text}" for value, null in values)
    return ("texts " + ",".join(texts)).encode()
