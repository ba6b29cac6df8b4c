"""Races as records write them -> White, Asian and Black (Glocker 2022, Gichoya 2022)."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd

from fairfm_core.data.readers.population import contradictory, frequent, kept, without_patients
from fairfm_core.errors import BadInput


def with_race(
    frame: pd.DataFrame,
    records: pd.DataFrame,
    population: str,
    notes: dict[str, int],
    what: str,
) -> pd.DataFrame:
    """`frame` with the race of each patient; the study population keeps the known ones alone.

    Patients whose records disagree are dropped from either population: the first of two admissions
    would be a choice by the order of rows.

    Args:
        frame: a cohort with any race.
        records: `patient_id`, `race_text` as recorded and `race` as mapped; several rows for a
            patient are allowed.
        population: `study` or `frontal`, see `ReadOptions`.
        notes: gains what was dropped, and the entries that are no known race.
        what: the records' name and file, for the error.

    Raises:
        BadInput: the records name none of the patients, or nobody is left.
    """
    recorded = frame["patient_id"].isin(records["patient_id"])
    if not recorded.any():
        raise BadInput(
            f"{what} names none of the table's patients, which look like "
            f"{frame['patient_id'].iloc[0]!r}; its own like {records['patient_id'].iloc[0]!r}"
        )
    entry = records["race"].fillna(records["race_text"].str.split(" - ").str[0])
    twice = contradictory(records["patient_id"], entry)
    frame = without_patients(frame, twice, "with more than one race", notes)
    if population == "study":
        mask = recorded.loc[frame.index]
        frame = kept(frame, mask, "of patients without a record of race", notes)
    text = _by_patient(frame, records, "race_text")
    frame = frame.assign(race=_by_patient(frame, records, "race"))
    fate = "dropped" if population == "study" else "set to null"
    notes |= unmapped(text, frame["race"], fate)
    if population == "study":
        frame = kept(frame, frame["race"].notna(), "of another or unknown race", notes)
    return frame


def _by_patient(frame: pd.DataFrame, records: pd.DataFrame, column: str) -> pd.Series:
    """The known value of each row's patient; null where there is none."""
    known = records.dropna(subset=[column]).drop_duplicates("patient_id")
    values = known.set_index("patient_id")[column]
    return frame["patient_id"].map(values).astype("str")


SUBSTRINGS = {"Black": "Black", "White": "White", "Asian": "Asian"}
"""CheXpert's demographics: tried in this order, the first that occurs decides."""
PREFIXES = {"WHITE": "White", "ASIAN": "Asian", "BLACK": "Black"}
"""MIMIC-IV: `ethnicity` until 1.0, the finer `race` (WHITE - RUSSIAN, BLACK/AFRICAN) from 2.0."""


def race_by_substring(text: pd.Series) -> pd.Series:
    """The race of each of CheXpert's entries; null where none of the three is named."""
    return _mapped(text, lambda entry: next((r for s, r in SUBSTRINGS.items() if s in entry), None))


def race_by_prefix(text: pd.Series) -> pd.Series:
    """The race of each of MIMIC-IV's entries; null where it begins with none of the three."""
    return _mapped(
        text.str.upper(),
        lambda entry: next((r for p, r in PREFIXES.items() if entry.startswith(p)), None),
    )


def unmapped(text: pd.Series, race: pd.Series, fate: str) -> dict[str, int]:
    """Notes: images by entry that is no known race, the ten most frequent, and all of them."""
    entries = text[race.isna()].fillna("blank").astype("str")
    return frequent(entries, lambda entry: f"images of race {entry!r}, {fate}")


def _mapped(text: pd.Series, race_of: Callable[[str], str | None]) -> pd.Series:
    return text.map({entry: race_of(entry) for entry in text.dropna().unique()}).astype("str")
