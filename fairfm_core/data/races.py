"""Races as records write them -> White, Asian and Black (Glocker 2022, Gichoya 2022)."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd

from fairfm_core.data.population import frequent

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
