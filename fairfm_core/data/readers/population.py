"""Steps that restrict a study population; the notes count what each step drops."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd

from fairfm_core.errors import BadInput

MOST_LISTED = 10


def kept(frame: pd.DataFrame, mask: pd.Series, reason: str, notes: dict[str, int]) -> pd.DataFrame:
    """The rows where `mask` is true; adds to `notes` how many images were dropped, and why.

    Raises:
        BadInput: no row is left.
    """
    notes[f"images {reason}, dropped"] = int((~mask).sum())
    if len(frame) and not mask.any():
        raise BadInput(f"no image is left: all {len(frame)} are {reason}")
    return frame[mask]


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
    notes[f"patients {reason}, dropped"] = len(patients)
    return kept(frame, ~frame["patient_id"].isin(patients), f"of patients {reason}", notes)


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
