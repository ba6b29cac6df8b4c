"""Race: from the entries of medical records to White, Asian and Black, joined to patients.

The mapping and the study population are those of Glocker 2022 and Gichoya 2022. CheXpert's
demographics and MIMIC-IV's admissions write races differently, so each has a mapping of its own.
"""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd

from fairfm_core.data.population.steps import contradictory, frequent, kept, without_patients
from fairfm_core.errors import BadInput

SUBSTRINGS = {"Black": "Black", "White": "White", "Asian": "Asian"}
"""For CheXpert's demographics: the first of these that occurs in an entry decides."""
PREFIXES = {"WHITE": "White", "ASIAN": "Asian", "BLACK": "Black"}
"""For MIMIC-IV: `ethnicity` up to 1.0, the finer `race` (WHITE - RUSSIAN, BLACK/AFRICAN) since."""


def race_by_substring(text: pd.Series) -> pd.Series:
    """The race in each of CheXpert's entries; null where none of the three occurs."""
    return _mapped(text, lambda entry: next((r for s, r in SUBSTRINGS.items() if s in entry), None))


def race_by_prefix(text: pd.Series) -> pd.Series:
    """The race in each of MIMIC-IV's entries; null where it starts with none of the three."""
    return _mapped(
        text.str.upper(),
        lambda entry: next((r for p, r in PREFIXES.items() if entry.startswith(p)), None),
    )


def _mapped(text: pd.Series, race_of: Callable[[str], str | None]) -> pd.Series:
    return text.map({entry: race_of(entry) for entry in text.dropna().unique()}).astype("str")


def with_race(
    frame: pd.DataFrame,
    records: pd.DataFrame,
    population: str,
    notes: dict[str, int],
    what: str,
) -> pd.DataFrame:
    """`frame` with the race of each patient; the study population keeps only patients with one.

    Patients whose records disagree are dropped from both populations: to take the first of two
    admissions would be to choose by the order of rows.

    Args:
        frame: a cohort; its race is replaced.
        records: `patient_id`, `race_text` as recorded and `race` as mapped, with one or more rows
            for a patient.
        population: `study` or `frontal`, see `ReadOptions`.
        notes: what was dropped, and the entries that name no known race, are added here.
        what: the records' name and file, for error messages.

    Raises:
        BadInput: the records include none of the patients, or nobody is left.
    """
    recorded = frame["patient_id"].isin(records["patient_id"])
    if not recorded.any():
        raise BadInput(
            f"{what} names none of the table's patients: their ids look like "
            f"{frame['patient_id'].iloc[0]!r}, its own like {records['patient_id'].iloc[0]!r}"
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


def unmapped(text: pd.Series, race: pd.Series, fate: str) -> dict[str, int]:
    """Notes of how many images have each entry that names no known race."""
    entries = text[race.isna()].fillna("blank").astype("str")
    return frequent(entries, lambda entry: f"images of race {entry!r}, {fate}")


def _by_patient(frame: pd.DataFrame, records: pd.DataFrame, column: str) -> pd.Series:
    """The known value of each row's patient; null where there is none."""
    known = records.dropna(subset=[column]).drop_duplicates("patient_id")
    values = known.set_index("patient_id")[column]
    return frame["patient_id"].map(values).astype("str")
