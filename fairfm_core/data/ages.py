"""Ages as published tables write them, in years."""

from __future__ import annotations

import pandas as pd

OLDEST = 120
YEARS = {"": 1.0, "Y": 1.0, "M": 1 / 12, "W": 7 / 365.25, "D": 1 / 365.25}


def years(text: pd.Series) -> tuple[pd.Series, dict[str, int]]:
    """Ages in years and notes of what became null.

    An age is a number of years (57), or a number with a unit (060Y, 013M, 001D).
    """
    parts = text.str.upper().str.extract(r"^(\d+(?:\.\d+)?)([YMWD]?)$")
    age = parts[0].astype("float64") * parts[1].map(YEARS)
    return possible(age)


def possible(age: pd.Series) -> tuple[pd.Series, dict[str, int]]:
    """Ages of 0 to 120 years, others null, and notes of how many those were."""
    impossible = (age < 0) | (age > OLDEST)
    return age.mask(impossible), {
        "ages impossible, set to null": int(impossible.sum()),
        "ages unreadable or blank, set to null": int(age.isna().sum()),
    }
