"""Ages and dates as tables write them, in years.

An age is a number of years (57), a number with a unit (060Y, 013M, 3 weeks) or a bound (>90, 90+,
85 or more). A bound counts as its number.
"""

from __future__ import annotations

import pandas as pd

from fairfm_core.errors import BadInput, first_ten

OLDEST = 120
"""Age in years beyond which an entry is an error."""
YEARS_PER_UNIT = {"": 1.0, "Y": 1.0, "M": 1 / 12, "W": 7 / 365.25, "D": 1 / 365.25}
DAYS_PER_YEAR = 365.25
AGE = (
    r"^(>=?|≥|OVER)?\s*(\d+(?:[.,]\d+)?)\s*"
    r"([YMWD])?(?:EARS?|RS?|ONTHS?|EEKS?|AYS?)?(?:\s+OLD)?\s*"
    r"(\+|OR (?:MORE|OLDER|OVER)|AND (?:MORE|OLDER|OVER))?$"
)
BOUNDS = "ages as a lower bound (such as >90 or 90+), taken as the bound"
YEAR_ALONE = r"^(\d{4})(?:\.0)?$"
FORMATS = ("%Y%m%d", "%Y-%m-%d", "%d.%m.%Y", "%Y/%m/%d")
"""The ways to write a date that mean one day only; others need their format."""


def years(text: pd.Series) -> tuple[pd.Series, dict[str, int]]:
    """Ages in years, and notes of how many were bounds and how many became null."""
    parts = text.str.strip().str.upper().str.extract(AGE)
    number = parts[1].str.replace(",", ".").astype("float64")
    age, notes = possible(number * parts[2].fillna("").map(YEARS_PER_UNIT))
    bounds = int((parts[0].notna() | parts[3].notna()).sum())
    return age, notes | ({BOUNDS: bounds} if bounds else {})


def possible(age: pd.Series) -> tuple[pd.Series, dict[str, int]]:
    """Ages outside 0 to 120 years set to null, and notes of how many ages are null."""
    impossible = (age < 0) | (age > OLDEST)
    return age.mask(impossible), {
        "ages impossible, set to null": int(impossible.sum()),
        "ages unreadable or blank, set to null": int(age.isna().sum()),
    }


def years_between(
    born: pd.Series, at: pd.Series, format_: str | None = None
) -> tuple[pd.Series, dict[str, int]]:
    """The age in years at one date of people who were born at another, and notes.

    Where either is a year alone, the age is the difference of the years.

    Raises:
        BadInput: dates in none of the known forms.
    """
    year = [column.str.extract(YEAR_ALONE)[0].astype("float64") for column in (born, at)]
    dated = zip((born, at), year, strict=True)
    day = [_dates(column[one.isna()], format_) for column, one in dated]
    years_of = [
        one.fillna(date.dt.year.astype("float64").reindex(one.index))
        for one, date in zip(year, day, strict=True)
    ]
    exact = (day[1].reindex(at.index) - day[0].reindex(born.index)).dt.days / DAYS_PER_YEAR
    return possible(exact.fillna(years_of[1] - years_of[0]))


def _dates(text: pd.Series, format_: str | None) -> pd.Series:
    """Dates, null where blank; a time behind a date is dropped."""
    day = text.str.strip() if format_ else text.str.strip().str.replace(r"[T ].*$", "", regex=True)
    dates = pd.Series(pd.NaT, index=text.index, dtype="datetime64[ns]")
    for form in (format_,) if format_ else FORMATS:
        dates = dates.fillna(pd.to_datetime(day, format=form, errors="coerce"))
    wrong = text[text.notna() & dates.isna()]
    if len(wrong) and len(wrong) == text.notna().sum():
        known = ", ".join(FORMATS)
        raise BadInput(
            f"{wrong.name}: no date is of the form {format_ or known}, such as "
            f'{first_ten(wrong.unique()[:3])}; give their form, such as format: "%d/%m/%Y"'
        )
    return dates
