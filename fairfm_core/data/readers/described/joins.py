"""The tables that a description names: read in any form, joined, and reduced to the rows wanted."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pyarrow as pa

from fairfm_core.data.population.steps import ROWS, kept
from fairfm_core.data.readers.described.table_description import (
    ComputedAge,
    Join,
    TableDescription,
    TableForm,
    as_text,
)
from fairfm_core.data.readers.tabular.spreadsheets import read_sheets
from fairfm_core.data.readers.tabular.tables import CsvForm, choose_columns, read_text_table
from fairfm_core.errors import BadInput, did_you_mean, first_ten

EXCEL = (".xlsx", ".xlsm")


def read_tables(folder: Path, described: TableDescription) -> tuple[pd.DataFrame, dict[str, int]]:
    """The columns that the description mentions, as text, and notes.

    Raises:
        BadInput: tables that are absent or damaged, lack a column or cannot be joined, or no row is
            left.
    """
    path = folder / described.table
    table, notes = _read(path, described)
    what = f"the table {path}"
    notes = {ROWS: len(table), **notes}
    if described.join is not None:
        table = _joined(table, folder / described.join.table, described.join, what, notes)
        what += f" joined with {described.join.table}"
    chosen = choose_columns(table, {name: (name,) for name in _columns(described)}, what)
    for column, values in described.rows.items():
        inside = chosen[column].fillna("").map(as_text).isin(values)
        reason = f"of rows whose {column} is not {', '.join(values)}"
        chosen = kept(chosen, inside, reason, notes, described.patient)
    return chosen, notes


def _read(path: Path, form: TableForm) -> tuple[pd.DataFrame, dict[str, int]]:
    """A csv, Excel or parquet file as text."""
    if path.suffix == ".parquet":
        return _parquet(path), {}
    if path.suffix.lower() in EXCEL:
        return _sheet(path, form.sheet), {}
    return read_text_table(path, CsvForm(form.delimiter, form.encoding, form.comment))


def _sheet(path: Path, name: str | None) -> pd.DataFrame:
    sheets = read_sheets(path)
    if name is not None and name not in sheets:
        raise BadInput(
            f"{path} has no sheet {name!r}{did_you_mean(name, sheets)}; it has {first_ten(sheets)}"
        )
    table = sheets[name] if name is not None else next(iter(sheets.values()))
    return table.mask(table == "")


def _joined(
    table: pd.DataFrame, path: Path, join: Join, what: str, notes: dict[str, int]
) -> pd.DataFrame:
    """`table` with the columns of the second table, null where that has no row."""
    other, read = _read(path, join)
    ours, theirs = join.columns
    choose_columns(table, {ours: (ours,)}, what)
    choose_columns(other, {theirs: (theirs,)}, f"the joined table {path}")
    other = other.dropna(subset=[theirs]).drop_duplicates()
    twice = other[theirs][other[theirs].duplicated()].unique()
    if len(twice):
        raise BadInput(
            f"{path} has several different rows for {len(twice)} value(s) of {theirs}: "
            f"{first_ten(twice)}; keep one row for each"
        )
    shared = sorted((set(table.columns) & set(other.columns)) - {ours, theirs})
    if shared:
        other = other.rename(columns={name: f"{name} ({path.name})" for name in shared})
    keys = other[theirs]
    if not table[ours].isin(keys).any():
        raise BadInput(
            f"{path} has a row for none of the {ours} of the first table: they look like "
            f"{first_ten(table[ours].dropna().unique()[:2])}, its {theirs} like "
            f"{first_ten(keys.unique()[:2])}"
        )
    notes |= read | {f"rows without a row in {path.name}": int((~table[ours].isin(keys)).sum())}
    columns = other.set_index(theirs, drop=theirs == ours)
    return table.join(columns, on=ours)


def _columns(described: TableDescription) -> list[str]:
    """Every column that the description mentions, once."""
    values = [described.sex, described.race, described.split, *described.attributes.values()]
    labels, age = described.labels, described.age
    columns = [described.image, described.patient, *described.rows]
    columns += [age.born, age.at] if isinstance(age, ComputedAge) else [age] if age else []
    columns += [one.column for one in values if one is not None]
    columns += [label.column for label in labels.values()] if isinstance(labels, dict) else []
    columns += [] if isinstance(labels, dict) else [labels.column]
    return list(dict.fromkeys(columns))


def _parquet(path: Path) -> pd.DataFrame:
    """A parquet file as text, whole numbers without a decimal point."""
    if not path.is_file():
        raise BadInput(f"{path} does not exist")
    try:
        table = pd.read_parquet(path)
    except (pa.ArrowInvalid, OSError) as error:
        reason = str(error).splitlines()[0]
        raise BadInput(f"{path} is not a readable parquet file ({reason})") from error
    return pd.DataFrame({str(name): _text(table[name]) for name in table.columns})


def _text(column: pd.Series) -> pd.Series:
    values = column.dropna().unique()
    if pd.api.types.is_float_dtype(column):
        return column.map({value: f"{value:.15g}" for value in values}).astype("str")
    text = column.map({value: str(value).strip() for value in values}).astype("str")
    return text.mask(text == "")
