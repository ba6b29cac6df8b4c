"""Attributes of predictions as groups: cleaned, ages in years, measurements in bins or refused."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from fairfm_core.data.attribute_values import cleaned_attributes
from fairfm_core.data.groups import AGE, MOST_GROUPS, TIMES, binned, has_groups
from fairfm_core.data.readers.tabular.ages import possible, years
from fairfm_core.errors import BadInput, did_you_mean, first_ten, shortened
from fairfm_core.evaluation.groups import attribute_names, groups_of
from fairfm_core.evaluation.reading.form import PredictionForm

DEFAULT = ("sex", "race")
"""The attributes that are evaluated unless others are named, where the predictions have them."""
OF_PATIENTS = ("sex", "gender", "race", "ethnicity")
"""Attributes of which a patient has one value; others may differ between a patient's images."""
MOST_COMBINED = 64
"""Groups of combined attributes beyond which every pair of them would take minutes."""
CODE = r"0\d+"
"""A number that is a code: site 007 is not site 7."""


def chosen_attributes(frame: pd.DataFrame, wanted: Sequence[str]) -> tuple[str, ...]:
    """The attributes to evaluate: those wanted, or the usual ones that the predictions have.

    Raises:
        BadInput: none is wanted and the predictions have none of the usual ones.
    """
    known = attribute_names(frame)
    chosen = tuple(wanted) or tuple(name for name in DEFAULT if name in known)
    if not chosen:
        listed = first_ten(_named(known)) or "none"
        raise BadInput(
            "there is no column 'sex' or 'race'; say which columns are attributes, as in"
            f" --attributes gender,site (columns that may be: {listed})"
        )
    return chosen


def grouped(
    frame: pd.DataFrame,
    wanted: Sequence[str],
    form: PredictionForm,
    balanced: Sequence[str] = (),
) -> tuple[pd.DataFrame, list[str]]:
    """`frame` with its attributes cleaned and those with bins in bins, and notes of what changed.

    Args:
        frame: predictions under the names of the contract.
        wanted: attributes to evaluate; `race x sex` are combinations.
        form: bins by attribute, and what to do with a patient of two groups.
        balanced: attributes that the protocols need.

    Raises:
        BadInput: an attribute that the frame lacks, that is a measurement without bins or has too
            many groups, or bins of words.
    """
    names = attribute_names(frame)
    parts = list(dict.fromkeys(part for each in wanted for part in _parts(each, names)))
    for name in (*parts, *form.bins):
        _check_known(name, names, frame)
    parts += [name for name in balanced if name in names and name not in parts]
    # Only what is evaluated, or may be: a column of free text is not worth the time.
    used = [name for name in names if name in {*parts, *form.bins, *DEFAULT, AGE}]
    frame, changed = cleaned_attributes(frame, used)
    notes = [f"{step} ({count:,} images)" for step, count in changed.items()]
    for name in used:
        frame, more = _as_groups(frame, name, form.bins.get(name))
        notes += more
    for name in parts:
        _check_groups(frame[name], name)
    return _one_each(frame, [name for name in OF_PATIENTS if name in parts], form, notes)


def check_combinations(
    frame: pd.DataFrame, wanted: Sequence[str], age_edges: tuple[float, ...]
) -> None:
    """Raise BadInput for attributes that together have more groups than can be compared."""
    for attribute in wanted:
        count = len(groups_of(frame, attribute, age_edges).names)
        if count > MOST_COMBINED:
            raise BadInput(
                f"{attribute!r} has {count:,} groups, and at most {MOST_COMBINED} can be compared:"
                " combine fewer attributes, or merge groups in a column of their own"
            )


def _named(names: Sequence[str]) -> list[str]:
    """Names in quotes, long ones with their middle left out."""
    return [shortened(repr(name), 50) for name in names]


def _parts(attribute: str, names: Sequence[str]) -> list[str]:
    return [attribute] if attribute in names else [part.strip() for part in attribute.split(TIMES)]


def _check_known(name: str, names: Sequence[str], frame: pd.DataFrame) -> None:
    if name not in names:
        listed = first_ten(_named(names)) or "none"
        raise BadInput(
            f"unknown attribute {name!r}{did_you_mean(name, names)}; the predictions have: {listed}"
        )
    if not frame[name].notna().any():
        raise BadInput(f"attribute {name!r} is blank in every row; leave it out of --attributes")


def _as_groups(
    frame: pd.DataFrame, name: str, edges: tuple[float, ...] | None
) -> tuple[pd.DataFrame, list[str]]:
    """`frame` with one attribute as numbers where it holds numbers, in bins if there are edges."""
    column, notes = _as_numbers(frame[name], name)
    if edges is not None:
        if not pd.api.types.is_numeric_dtype(column):
            word = str(column.dropna().iloc[0])
            raise BadInput(f"--bins {name}: its values are words, such as {word!r}, not numbers")
        column = binned(column, edges)
    return frame.assign(**{name: column}), notes


def _as_numbers(column: pd.Series, name: str) -> tuple[pd.Series, list[str]]:
    """A column of numbers, also if they are stored as text; words stay words."""
    if name == AGE:
        return _in_years(column)
    if pd.api.types.is_numeric_dtype(column):
        floats = pd.api.types.is_float_dtype(column)
        return (column.where(np.isfinite(column)) if floats else column), []
    text = column.dropna()
    number = pd.to_numeric(text, errors="coerce")
    if number.isna().any() or not np.isfinite(number).all() or text.str.fullmatch(CODE).any():
        return column, []
    return pd.to_numeric(column, errors="coerce").astype("float64"), []


def _in_years(column: pd.Series) -> tuple[pd.Series, list[str]]:
    """Ages as numbers of years; a few groups in words, such as young and old, stay words."""
    blank = int(column.isna().sum())
    if pd.api.types.is_numeric_dtype(column):
        age, _ = possible(column.astype("float64"))
    else:
        age, _ = years(column)
        words = age.isna() & column.notna() & pd.to_numeric(column, errors="coerce").isna()
        if words.any() and column.nunique() <= MOST_GROUPS:
            return column, []
    gone = int(age.isna().sum()) - blank
    return age, [f"age: unreadable or outside 0 to 120 years, set to null ({gone:,} images)"] * (
        gone > 0
    )


def _check_groups(column: pd.Series, name: str) -> None:
    """Refuse what would be a group for each value, before any time is spent on it."""
    numeric = pd.api.types.is_numeric_dtype(column)
    frame = pd.DataFrame({name: column})
    if not column.notna().any():
        how = " as years (57, 057Y, 90+)" if name == AGE else ""
        raise BadInput(f"attribute {name!r} holds nothing that can be read{how}; leave it out")
    if has_groups(frame, name) and (name != AGE or numeric or column.nunique() <= MOST_GROUPS):
        return
    count = column.nunique()
    if numeric:
        edges = ",".join(f"{edge:g}" for edge in _edges(column))
        raise BadInput(
            f"attribute {name!r} is a measurement ({count:,} different values from"
            f" {column.min():g} to {column.max():g}), which has no groups: bin it, as in"
            f" --bins {name}={edges}"
        )
    examples = ", ".join(repr(str(value)[:40]) for value in column.dropna().unique()[:3])
    raise BadInput(
        f"attribute {name!r} has {count:,} different values, such as {examples}: more than"
        f" {MOST_GROUPS} cannot be compared; put them into fewer groups in a column of their own"
    )


def _edges(column: pd.Series) -> list[float]:
    """Edges that cut a measurement into thirds, rounded as far as they stay apart."""
    thirds = [float(edge) for edge in column.astype("float64").quantile([1 / 3, 2 / 3])]
    for digits in range(2, 8):
        edges = sorted({float(f"{edge:.{digits}g}") for edge in thirds})
        if len(edges) == len(thirds):
            break
    return edges


def _one_each(
    frame: pd.DataFrame, names: Sequence[str], form: PredictionForm, notes: list[str]
) -> tuple[pd.DataFrame, list[str]]:
    """`frame` with one group for each patient, for the attributes `names` of patients."""
    for name in names:
        values = frame.groupby("patient_id", sort=False)[name].nunique()
        several = values.index[values > 1]
        if not len(several):
            continue
        if form.conflicts == "refuse":
            raise BadInput(_conflict(frame, name, several))
        frame = frame.assign(**{name: frame[name].mask(frame["patient_id"].isin(several))})
        notes.append(f"{name}: set to null for {len(several):,} patients with several values")
    return frame, notes


def _conflict(frame: pd.DataFrame, name: str, several: pd.Index) -> str:
    rows = frame[frame["patient_id"] == several[0]]
    values = " and ".join(repr(str(value)) for value in rows[name].dropna().unique()[:2])
    return (
        f"{len(several):,} patient(s) have more than one {name}, such as patient"
        f" {str(several[0])!r} with {values}; give one each, or set {name} to null for them with"
        " --conflicts unknown"
    )
