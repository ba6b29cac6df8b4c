"""The published split of CheXpert: rows of train.csv by number (chexploration, Apache-2.0)."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from fairfm_core.data.cohort_checks import check_leakage
from fairfm_core.data.tables import choose_columns, read_text_table
from fairfm_core.errors import BadInput, did_you_mean, first_ten

NAMES = {"train": "train", "validate": "val", "val": "val", "test": "test"}
COLUMNS = {"index": ("index",), "split": ("split",)}


def published_split(path: Path, table: pd.DataFrame) -> pd.Series:
    """The split of each row of CheXpert's `table`, null for rows that the list leaves out.

    Args:
        path: csv with `index`, the row of train.csv counted from 0, and `split`.
        table: the whole table in its own order, with `orientation` and `patient_id`.

    Raises:
        BadInput: a list of another shape, or one that cannot have been made for this table: a row
            beyond its end, a lateral image, a patient in two splits.
    """
    listed = choose_columns(read_text_table(path)[0], COLUMNS, f"split list {path}")
    for name in sorted(set(listed["split"].fillna("blank")) - set(NAMES)):
        raise BadInput(
            f"split list {path}: split {name!r} is not known{did_you_mean(name, NAMES)}; allowed "
            f"are train, validate and test"
        )
    rows = _row_numbers(listed["index"], path)
    if rows.max() >= len(table):
        raise _foreign(path, f"it names row {rows.max()}, the table has {len(table)} rows")
    split = listed["split"].map(NAMES).set_axis(rows).reindex(table.index).astype("str")
    chosen = table[split.notna()]
    lateral = chosen.loc[chosen["orientation"] != "Frontal", "image_id"]
    if len(lateral):
        raise _foreign(path, f"{len(lateral)} of its images are not frontal: {first_ten(lateral)}")
    try:
        check_leakage(table.assign(split=split))
    except BadInput as error:
        raise _foreign(path, str(error)) from error
    return split


def _row_numbers(text: pd.Series, path: Path) -> pd.Index:
    rows = pd.to_numeric(text, errors="coerce")
    wrong = text[~(rows >= 0) | (rows % 1 != 0)]
    if len(wrong):
        raise BadInput(f"split list {path}: index must be a row number, not {first_ten(wrong)}")
    twice = rows[rows.duplicated()]
    if len(twice):
        raise BadInput(
            f"split list {path}: {len(twice)} row(s) are listed twice: {first_ten(twice)}"
        )
    return pd.Index(rows.astype("int64"))


def _foreign(path: Path, reason: str) -> BadInput:
    return BadInput(
        f"the split file {path} does not belong to this table: {reason}; it counts the rows of "
        f"CheXpert's whole train.csv from 0, in their own order"
    )
