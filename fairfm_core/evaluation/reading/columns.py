"""Columns under the names of the contract: keys, `y_<pathology>`, `p_<pathology>`, attributes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import pandas as pd

from fairfm_core.data.attribute_values import UNKNOWN_WORDS
from fairfm_core.errors import BadInput, did_you_mean, first_ten, shortened
from fairfm_core.evaluation.predictions import KEYS
from fairfm_core.evaluation.reading.form import LABELS, PREDICTED, PredictionForm, matched

FOUND_IN_ANY_SPELLING = (*KEYS, "sex", "race", "age")
"""Columns that are also found as `PatientID`, `Patient ID` or `SEX`."""
SPLIT_OF_WORD = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validate": "val",
    "validation": "val",
    "dev": "val",
    "test": "test",
    "testing": "test",
}
LONGEST_NAME = 50
"""Characters of a column's name in a message."""
PREFIXES = (LABELS[:-1], PREDICTED[:-1])
OPTION_OF = {
    "y_": ("label", "--labels", "true_*"),
    "p_": ("score", "--predicted", "prob_*"),
}
"""How a pathology's column begins -> what it holds, the option that names it, and an example."""


@dataclass(frozen=True, eq=False)
class NamedTable:
    """A table under the names of the contract, and what was done to it."""

    frame: pd.DataFrame
    notes: tuple[str, ...] = ()


def named_table(
    table: pd.DataFrame, form: PredictionForm, file: str, alone: bool = True
) -> NamedTable:
    """The columns of one file under our names, with ids and split as text.

    Args:
        table: the file's columns.
        form: what they are called there.
        file: the file's name without its extension; it names the split if no column does.
        alone: whether it is the model's only file, so that the number of a row names an image.

    Raises:
        BadInput: a column that the form names and the file lacks, two columns for one name, or no
            pathology.
    """
    names = _given(table, form) | _by_pattern(table, form)
    names |= _spelled(table, names)
    frame = _renamed(table, form, names)
    notes = [f"{ours!r} is the column {theirs!r}" for theirs, ours in _noted(names, form)]
    frame, more = _with_keys(frame, form, file, "row " if alone else f"{file} row ")
    return NamedTable(frame, (*notes, *more))


def _given(table: pd.DataFrame, form: PredictionForm) -> dict[str, str]:
    """Our names of the columns that the form names, by theirs."""
    for ours, theirs in form.columns.items():
        if theirs not in table.columns:
            hint = did_you_mean(theirs, map(str, table.columns))
            raise BadInput(
                f"--column {ours}={theirs}: there is no column {theirs!r}{hint}; the file has"
                f" {quoted(table.columns)}"
            )
    return {theirs: ours for ours, theirs in form.columns.items()}


def _by_pattern(table: pd.DataFrame, form: PredictionForm) -> dict[str, str]:
    """Our names of labels and scores whose columns fit the patterns, by theirs."""
    taken = set(form.columns.values())
    names: dict[str, str] = {}
    for prefix, pattern in zip(PREFIXES, (form.labels, form.predicted), strict=True):
        found = {
            column: f"{prefix}{name}"
            for column in map(str, table.columns)
            if column not in taken and (name := matched(pattern, column))
        }
        own = prefix + "*"
        if not found and not any(ours.startswith(prefix) for ours in form.columns):
            kind, option, example = OPTION_OF[prefix]
            hint = " or one --column y_Edema=COLUMN each" if prefix == "y_" else ""
            raise BadInput(
                f"no {kind} column is called {pattern}; say how they are called, as in {option}"
                f" {example!r}{hint}; the file has {quoted(table.columns)}"
                if pattern == own
                else f"{option} {pattern!r} fits no column; the file has {quoted(table.columns)}"
            )
        names |= found
    return names


def _spelled(table: pd.DataFrame, names: dict[str, str]) -> dict[str, str]:
    """Keys and usual attributes under another spelling, if exactly one column has it."""
    found = {}
    free = [column for column in map(str, table.columns) if column not in names]
    for ours in FOUND_IN_ANY_SPELLING:
        if ours in free or ours in names.values():
            continue
        same = [column for column in free if _bare(column) == _bare(ours)]
        if len(same) == 1:
            found[same[0]] = ours
    return found


def _bare(name: str) -> str:
    return re.sub(r"[\W_]", "", name).lower()


def _renamed(table: pd.DataFrame, form: PredictionForm, names: dict[str, str]) -> pd.DataFrame:
    """The table under our names, without columns that have one of them by chance."""
    ours = list(names.values())
    if twice := sorted({name for name in ours if ours.count(name) > 1}):
        columns = [theirs for theirs, each in names.items() if each == twice[0]]
        raise BadInput(f"columns {quoted(columns)} are both {twice[0]!r}; rename one of them")
    chance = [
        column
        for column in table.columns
        if column not in names and (column in ours or str(column).startswith(PREFIXES))
    ]
    frame = table.drop(columns=chance).rename(columns=names)
    if not form.pathologies:
        return frame
    return _chosen(frame, form.pathologies)


def _chosen(frame: pd.DataFrame, pathologies: Sequence[str]) -> pd.DataFrame:
    """The table with the labels and scores of these pathologies alone."""
    known = [str(name)[2:] for name in frame.columns if str(name).startswith("y_")]
    for name in pathologies:
        if name not in known:
            hint = did_you_mean(name, known)
            raise BadInput(
                f"--pathologies: no pathology {name!r}{hint}; the file has {quoted(known)}"
            )
    others = [
        column
        for column in frame.columns
        if str(column).startswith(PREFIXES) and str(column)[2:] not in pathologies
    ]
    return frame.drop(columns=others)


def _noted(names: dict[str, str], form: PredictionForm) -> list[tuple[str, str]]:
    """Columns that were found under another spelling, which nobody has named."""
    return [
        (theirs, ours)
        for theirs, ours in names.items()
        if ours in FOUND_IN_ANY_SPELLING and ours not in form.columns
    ]


def _with_keys(
    frame: pd.DataFrame, form: PredictionForm, file: str, row: str
) -> tuple[pd.DataFrame, list[str]]:
    """The table with its three keys as text, and notes on those that it lacks."""
    notes = []
    rows = pd.RangeIndex(1, len(frame) + 1).astype(str)
    keys = {name: ids(frame[name]) for name in KEYS[:2] if name in frame}
    if "image_id" not in keys:
        keys["image_id"] = pd.Series(row + rows, dtype="str")
        notes.append("no column 'image_id': images are named and paired by their row")
    if "patient_id" not in keys:
        _check_patients(form, frame)
        keys["patient_id"] = keys["image_id"]
        notes.append(
            "no column 'patient_id': every image counts as a patient of its own, so intervals are"
            " too narrow where patients have several"
        )
    keys["split"], more = _split(frame, file)
    rest = frame.drop(columns=list(KEYS), errors="ignore")
    ordered = pd.DataFrame({name: keys[name].to_numpy() for name in KEYS}, dtype="str")
    return pd.concat([ordered, rest.reset_index(drop=True)], axis=1), [*notes, *more]


def _check_patients(form: PredictionForm, frame: pd.DataFrame) -> None:
    if not form.images_as_patients:
        hint = did_you_mean("patient_id", map(str, frame.columns))
        raise BadInput(
            f"there is no column 'patient_id'{hint}; name it with --column patient_id=COLUMN, or"
            " say --resampling images if every image is of another patient"
        )


def _split(frame: pd.DataFrame, file: str) -> tuple[pd.Series, list[str]]:
    """The split of each row as train, val or test; other words stay, for the contract to refuse."""
    if "split" in frame:
        text = frame["split"].astype("str").str.strip()
        return text.str.lower().map(SPLIT_OF_WORD).fillna(text), []
    split = SPLIT_OF_WORD.get(file.lower(), "test")
    note = f"no column 'split': every row of {file!r} counts as {split}"
    return pd.Series([split] * len(frame), dtype="str"), [note]


def ids(column: pd.Series) -> pd.Series:
    """Ids as text: 12.0 is 12, and words that mean unknown are null."""
    if pd.api.types.is_float_dtype(column):
        whole = column.isna() | (column % 1 == 0)
        column = column.astype("Int64") if whole.all() else column
    text = column.astype("str").str.strip()
    return text.mask(text.str.lower().isin(UNKNOWN_WORDS))


def quoted(names: Iterable[object]) -> str:
    """Ten names at most, in quotes, long ones shortened."""
    return first_ten(shortened(repr(str(name)), LONGEST_NAME) for name in names)
