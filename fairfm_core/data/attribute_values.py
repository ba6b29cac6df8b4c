"""Values of attributes as people type them: cleaned in one way, wherever they are read.

White space at the ends and repeated inside is removed; words that mean "not known" become null; and
spellings that differ only in case become the most frequent one, so that "F" and "F " are one group.
Every change is counted.
"""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

UNKNOWN_WORDS = frozenset(
    {"", "nan", "none", "null", "na", "n/a", "<na>", "nil", "unknown", "unk", "not known"}
    | {"not available", "not reported", "not specified", "missing", "?", "-", "--", "."}
)
"""What stands for "not known", in lower case."""


def cleaned_column(text: pd.Series) -> tuple[pd.Series, dict[str, int]]:
    """A column of text cleaned, and how many values each step changed."""
    entries = text.dropna().unique()
    tidy = {entry: " ".join(str(entry).split()) for entry in entries}
    unknown = {entry for entry in entries if tidy[entry].lower() in UNKNOWN_WORDS}
    spelling = _spellings(text.map(tidy)[~text.isin(unknown)])
    cleaned = text.map({e: None if e in unknown else spelling[tidy[e]] for e in entries})
    counts = text.value_counts()
    changed = {
        "unknown in words, set to null": unknown,
        "white space removed": {e for e in entries if e not in unknown and tidy[e] != e},
        "spelling unified": {
            e for e in entries if e not in unknown and spelling[tidy[e]] != tidy[e]
        },
    }
    numbers = {step: int(counts[list(which)].sum()) for step, which in changed.items() if which}
    return cleaned.astype("str"), numbers


def cleaned_attributes(
    frame: pd.DataFrame, names: Iterable[str]
) -> tuple[pd.DataFrame, dict[str, int]]:
    """The text columns `names` of `frame` cleaned, and notes such as `race: white space removed`.

    Columns of numbers stay as they are.
    """
    notes: dict[str, int] = {}
    columns = {}
    for name in names:
        if pd.api.types.is_numeric_dtype(frame[name]) or not frame[name].notna().any():
            continue
        columns[name], changed = cleaned_column(frame[name])
        notes |= {f"{name}: {step}": count for step, count in changed.items()}
    return frame.assign(**columns), notes


def _spellings(text: pd.Series) -> dict[str, str]:
    """Each entry -> the most frequent entry that differs from it only in case."""
    counts = text.value_counts()
    ranked = sorted(counts.index, key=lambda entry: (-counts[entry], entry))
    first: dict[str, str] = {}
    for entry in ranked:
        first.setdefault(entry.casefold(), entry)
    return {entry: first[entry.casefold()] for entry in ranked}
