"""Files of predictions as plain tables, in whichever format they are written."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd
import pyarrow as pa

from fairfm_core.data.readers.tabular.spreadsheets import read_sheets
from fairfm_core.data.readers.tabular.tables import CsvForm, column_names, read_text_table
from fairfm_core.errors import BadInput, shortened
from fairfm_core.evaluation.reading.form import PredictionForm, matched
from fairfm_core.evaluation.reading.npz_files import read_npz, read_numbered_npz
from fairfm_core.evaluation.tables import read_parquet

FORMATS = ("parquet", "csv", "csv.gz", "tsv", "npz", "xlsx")
"""File extensions, in the order in which a folder is searched for them."""
SAID = "parquet, csv (also .gz or .tsv), npz or xlsx"
INDEX = r"(?:__index_level_\d+__|Unnamed: \d+)?"
"""Names of columns that pandas makes of row numbers."""
UNREADABLE = {
    b"\x80": "a Python pickle",
    b"\x93NUMPY": "a single .npy array",
    b"\x89HDF": "HDF5",
    b"ARROW1": "an Arrow (Feather) file",
    b"\xd0\xcf\x11\xe0": "an Excel file of the old format (.xls)",
    b"{": "JSON",
    b"[": "JSON",
    b"<": "a web page or XML",
}
"""Bytes at the start of a file -> a format that is not read."""


def read_table(path: Path, form: PredictionForm) -> pd.DataFrame:
    """The columns of a file as numbers or text; its content decides the format, not its name.

    Raises:
        BadInput: no such file, or one of another format, damaged or empty.
    """
    if not path.is_file():
        raise BadInput(f"no predictions at {path}; give a file ({SAID}) or a folder of files")
    table = _reader(path)(path, form)
    named = table.rename(columns=lambda name: str(name).strip())
    return named.loc[:, ~named.columns.str.fullmatch(INDEX)]


def _reader(path: Path) -> Callable[[Path, PredictionForm], pd.DataFrame]:
    start = path.read_bytes()[:8] if path.stat().st_size < 8 else _start(path)
    if not start:
        raise BadInput(f"{path} is empty")
    for mark, kind in UNREADABLE.items():
        if start.startswith(mark):
            raise BadInput(f"{path} is {kind}, which is not read; write {SAID}")
    if start.startswith(b"PAR1"):
        return _parquet
    if start.startswith(b"PK"):
        return _npz if _holds_arrays(path) else _workbook
    # A file that is called parquet and is none was cut off or damaged: say so in its own terms.
    return _parquet if path.suffix == ".parquet" and b"\0" in start else _csv


def _start(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(8)


def _holds_arrays(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            arrays = any(name.endswith(".npy") for name in archive.namelist())
            return arrays or path.suffix == ".npz"
    except (zipfile.BadZipFile, OSError, ValueError):
        return path.suffix == ".npz"


def _npz(path: Path, form: PredictionForm) -> pd.DataFrame:
    return read_npz(path) if form.layout is None else read_numbered_npz(path)


def _workbook(path: Path, form: PredictionForm) -> pd.DataFrame:
    """The sheet of an Excel file that has labels; the first one if none is seen to have any."""
    sheets = read_sheets(path)
    labelled = [name for name, sheet in sheets.items() if _has_labels(sheet, form)]
    if len(labelled) > 1:
        raise BadInput(
            f"{path}: sheets {' and '.join(map(repr, labelled[:2]))} both hold labels; save the"
            " one to evaluate as a file of its own"
        )
    sheet = sheets[next(iter(labelled or sheets))]
    return sheet.mask(sheet == "")


def _has_labels(sheet: pd.DataFrame, form: PredictionForm) -> bool:
    return any(matched(form.labels, str(column)) for column in sheet)


def _csv(path: Path, form: PredictionForm) -> pd.DataFrame:
    written = CsvForm(form.delimiter, form.encoding)
    names = column_names(path, written)
    if len(names) < 2:
        raise BadInput(
            f"{path} is no table of predictions: its first line, {shortened(names[0], 40)!r}, names"
            f" one column only; give {SAID}, or the character between fields with --delimiter"
        )
    _check_once(names, path)
    return read_text_table(path, written)[0]


def _check_once(names: Sequence[str], path: Path) -> None:
    if twice := sorted({name for name in names if name and names.count(name) > 1}):
        raise BadInput(f"{path} has the column {twice[0]!r} more than once; rename one of them")


def _parquet(path: Path, form: PredictionForm) -> pd.DataFrame:
    """The columns of numbers and text; an index that pandas stored is a column like any other."""
    table = read_parquet(path)
    _check_once(table.column_names, path)
    plain = {name: column for name in table.column_names if (column := _plain(table[name]))}
    frame: pd.DataFrame = pa.table(plain).to_pandas(ignore_metadata=True)
    return frame


def _plain(column: pa.ChunkedArray) -> pa.ChunkedArray | None:
    """A column as numbers or text; None for lists, structures and bytes."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        return _plain(column.cast(kind.value_type))
    if pa.types.is_boolean(kind) or pa.types.is_integer(kind) or pa.types.is_floating(kind):
        return column
    if pa.types.is_decimal(kind):
        return column.cast(pa.float64())
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_null(kind):
        return column.cast(pa.string())
    return column.cast(pa.string()) if pa.types.is_temporal(kind) else None
