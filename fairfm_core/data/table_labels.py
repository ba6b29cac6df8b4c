"""The labels of a described table: a column each, or all in one column with a separator."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from fairfm_core.data.cohort_checks import LABEL_PREFIX, UNCERTAIN_PREFIX
from fairfm_core.data.table_description import JoinedLabels, Label, as_text
from fairfm_core.errors import BadInput, did_you_mean, first_ten


def labels_of(
    table: pd.DataFrame, labels: dict[str, Label] | JoinedLabels, path: Path
) -> pd.DataFrame:
    """Columns y_<pathology>, and u_<pathology> for those that know `uncertain`."""
    if isinstance(labels, JoinedLabels):
        return _joined(table[labels.column], labels, path)
    columns: dict[str, pd.Series] = {}
    for name, label in labels.items():
        meaning = _meanings(table[label.column], label, f"{path}: label {name!r}")
        uncertain = meaning == "uncertain"
        columns[LABEL_PREFIX + name] = meaning.mask(uncertain).astype("float64")
        if "uncertain" in label.values.values():
            columns[UNCERTAIN_PREFIX + name] = uncertain.astype("float64")
    return pd.DataFrame(columns)


def _meanings(text: pd.Series, label: Label, what: str) -> pd.Series:
    """0, 1, "uncertain" or null for each row; BadInput for a value without a meaning."""
    entries = text.fillna("").astype("str")
    unknown = [entry for entry in entries.unique() if as_text(entry) not in label.values]
    if unknown:
        shown = first_ten(repr(entry) for entry in sorted(unknown))
        raise BadInput(
            f"{what}: column {label.column!r} holds {shown}; say under values what each means: "
            f"1, 0, uncertain or null (unknown)"
        )
    return entries.map({entry: label.values[as_text(entry)] for entry in entries.unique()}).astype(
        object
    )


def _joined(text: pd.Series, labels: JoinedLabels, path: Path) -> pd.DataFrame:
    """1 for the labels a row names and 0 for the others; null where the row is blank."""
    entries = text.dropna().unique()
    sets = {
        entry: {word.strip() for word in entry.split(labels.separator)} - {""} for entry in entries
    }
    known = {*labels.names, *labels.ignore}
    for word in sorted(set().union(*sets.values()) - known):
        raise BadInput(
            f"{path}: label {word!r} in column {labels.column!r} is not among the names"
            f"{did_you_mean(word, known)}; add it to names or to ignore"
        )
    return pd.DataFrame(
        {
            LABEL_PREFIX + name: text.map({e: float(name in sets[e]) for e in entries}).astype(
                "float64"
            )
            for name in labels.names
        }
    )
