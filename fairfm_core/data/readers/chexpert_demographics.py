"""CheXpert's demographics: race and ethnicity of each patient, from `CHEXPERT DEMO.xlsx`."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from fairfm_core.data.population.steps import kept
from fairfm_core.data.readers.races import race_by_substring, with_race
from fairfm_core.data.readers.source import ReadOptions
from fairfm_core.data.readers.tabular.spreadsheets import read_sheets
from fairfm_core.data.readers.tabular.tables import check_not_blank, choose_columns, read_text_table
from fairfm_core.errors import BadInput

FILE = "CHEXPERT DEMO.xlsx"
COLUMNS = {
    "patient_id": ("PATIENT",),
    "race_text": ("PRIMARY_RACE",),
    "ethnicity": ("ETHNICITY",),
}
NOT_HISPANIC = ("Non-Hispanic/Non-Latino", "Not Hispanic")


def find_demographics(folder: Path, options: ReadOptions) -> Path | None:
    """The demographics file: the one given, or one beside the table or a folder above it.

    None with `no_demographics`.

    Raises:
        BadInput: no such file and no `no_demographics`.
    """
    if options.no_demographics:
        if options.demographics is not None:
            raise BadInput("--demographics and --no-demographics cannot be combined")
        return None
    if options.demographics is not None:
        if not Path(options.demographics).is_file():
            raise BadInput(f"demographics {options.demographics} does not exist")
        return Path(options.demographics)
    for place in (folder / FILE, folder.absolute().parent / FILE):
        if place.is_file():
            return place
    raise BadInput(
        f"race needs {FILE!r}, which is neither in {folder} nor in its parent: download it with "
        f"CheXpert, under Stanford's agreement, from "
        f"https://stanfordmlgroup.github.io/competitions/chexpert/, pass its path with "
        f"--demographics FILE, or pass --no-demographics to leave race null"
    )


def read_demographics(path: Path) -> pd.DataFrame:
    """Columns patient_id, race_text, ethnicity and race, in the order of the file."""
    table = read_text_table(path)[0] if ".csv" in path.suffixes else _sheet(path)
    demographics = choose_columns(table, COLUMNS, f"CheXpert's demographics {path}")
    check_not_blank(demographics["patient_id"], "PATIENT", path)
    return demographics.assign(race=race_by_substring(demographics["race_text"]))


def with_demographics(
    frame: pd.DataFrame, path: Path, population: str, notes: dict[str, int]
) -> pd.DataFrame:
    """`frame` with race; the study population keeps three races, without Hispanic patients."""
    demographics = read_demographics(path)
    what = f"CheXpert's demographics {path}"
    frame = with_race(frame, demographics, population, notes, what)
    if population == "frontal":
        return frame
    other = demographics.loc[~demographics["ethnicity"].isin(NOT_HISPANIC), "patient_id"]
    mask = ~frame["patient_id"].isin(other)
    return kept(frame, mask, "of Hispanic or unknown ethnicity", notes)


def _sheet(path: Path) -> pd.DataFrame:
    """The first sheet of an Excel file that has a column PATIENT, as text."""
    tables = list(read_sheets(path).values())
    return next((table for table in tables if "PATIENT" in table.columns), tables[0])
