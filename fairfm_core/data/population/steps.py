"""Steps that restrict a study population; the notes count what each step drops.

The wording of these notes is a contract: `flow.py` reads the flow of patients from them.
"""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd

from fairfm_core.errors import BadInput

MOST_LISTED = 10
ROWS = "rows in the table"
"""The note that counts what a reader began with."""
OF_PATIENTS = "of patients "
"""Begins the reason of a step that drops patients with all their images."""


def images_dropped(reason: str) -> str:
    """The note that counts the images that a step drops."""
    return f"images {reason}, dropped"


def patients_dropped(reason: str) -> str:
    """The note that counts the patients of whom a step leaves no image."""
    if reason.startswith(OF_PATIENTS):
        return f"patients {reason.removeprefix(OF_PATIENTS)}, dropped"
    return f"patients with only images {reason}, dropped"


def kept(
    frame: pd.DataFrame,
    mask: pd.Series,
    reason: str,
    notes: dict[str, int],
    patient: str = "patient_id",
) -> pd.DataFrame:
    """The rows where `mask` is true; adds to `notes` how many images were dropped, and why.

    `patient` is the column of the patient.

    Raises:
        BadInput: no row is left.
    """
    notes |= dropped_notes(reason, frame[patient], mask)
    if len(frame) and not mask.any():
        raise BadInput(f"no image is left: all {len(frame)} are {reason}")
    return frame[mask]


def dropped_notes(reason: str, patients: pd.Series, mask: pd.Series) -> dict[str, int]:
    """How many images are outside `mask`, and how many of the `patients` lose all of theirs.

    Where no image is dropped, no patient is, and only the images are counted.
    """
    dropped = int((~mask).sum())
    lost = patients.nunique() - patients[mask].nunique()
    images = {images_dropped(reason): dropped}
    return images | ({patients_dropped(reason): lost} if dropped else {})


def contradictory(patients: pd.Series, values: pd.Series) -> set[str]:
    """The patients with more than one known value of an attribute that does not change."""
    pairs = pd.DataFrame({"patient": patients, "value": values}).dropna().drop_duplicates()
    twice = pairs["patient"].duplicated()
    return set(pairs.loc[twice, "patient"])


def without_patients(
    frame: pd.DataFrame, patients: set[str], reason: str, notes: dict[str, int]
) -> pd.DataFrame:
    """`frame` without some patients; adds to `notes` how many patients and images were dropped."""
    patients = patients & set(frame["patient_id"])
    if not patients:
        return frame
    return kept(frame, ~frame["patient_id"].isin(patients), f"{OF_PATIENTS}{reason}", notes)


def without_contradictions(
    frame: pd.DataFrame, attribute: str, notes: dict[str, int]
) -> pd.DataFrame:
    """`frame` without the patients whose rows disagree about `attribute`, counted in `notes`.

    There is no way to know which value is right, and a guess would move patients between groups.
    """
    patients = contradictory(frame["patient_id"], frame[attribute])
    return without_patients(frame, patients, f"with more than one {attribute}", notes)


def frequent(entries: pd.Series, note: Callable[[str], str]) -> dict[str, int]:
    """A note for each of the ten most frequent entries, then one for all others together."""
    counts = entries.value_counts().sort_index().sort_values(ascending=False, kind="stable")
    listed = {note(str(entry)): int(count) for entry, count in counts.iloc[:MOST_LISTED].items()}
    if len(counts) > MOST_LISTED:
        rest = f"{len(counts) - MOST_LISTED} others"
        listed[note(rest)] = int(counts.iloc[MOST_LISTED:].sum())
    return listed
