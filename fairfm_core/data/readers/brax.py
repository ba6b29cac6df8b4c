"""BRAX: the reader of its table and images.

Cite Reis et al., Scientific Data 2022; PhysioNet's credentialed access. The labels are those of
CheXpert's labeller on Brazilian reports (`mentions.py`); the table has no race and no split.
Frontal images are kept.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from fairfm_core.data.population.steps import ROWS, kept, without_contradictions
from fairfm_core.data.readers.image_files import locate_images
from fairfm_core.data.readers.mentions import SPELLINGS, label_columns
from fairfm_core.data.readers.source import ReadOptions, Source, drawn_split, source_of_files
from fairfm_core.data.readers.tabular.ages import years
from fairfm_core.data.readers.tabular.tables import (
    check_not_blank,
    choose_columns,
    file_sha256,
    read_text_table,
)
from fairfm_core.errors import BadInput

COLUMNS = {
    "png": ("PngPath",),
    "dicom": ("DicomPath",),
    "patient_id": ("PatientID",),
    "sex": ("PatientSex",),
    "age": ("PatientAge",),
    "view": ("ViewPosition",),
}
TABLES = ("master_spreadsheet_update.csv", "master_spreadsheet.csv")
FRONTAL = ("PA", "AP")
FULL_TABLE = 40_967
WHERE = "BRAX is at https://physionet.org/content/brax/"


def read_brax(source: str, options: ReadOptions) -> Source:
    """BRAX from its folder (table, and images as PNG or DICOM files) or from its table.

    Raises:
        BadInput: a table or images that are absent or damaged.
    """
    path = _find_table(Path(source))
    frame, notes = read_brax_table(path)
    frame = without_contradictions(frame, "sex", notes)
    frame = kept(frame, frame["view"].isin(FRONTAL), "neither PA nor AP", notes)
    frame["split"] = drawn_split(frame, options)
    some = range(min(len(frame), 50))
    names = max(
        (list(frame["png"]), list(frame["dicom"])),
        key=lambda names: sum((path.parent / str(names[i])).is_file() for i in some),
    )
    files = locate_images(names, path.parent, options.allow_missing)
    origin = {"table": path.name, "table_sha256": file_sha256(path), "split": "random"}
    return source_of_files(frame.drop(columns=["png", "dicom"]), files, notes, origin)


def read_brax_table(path: Path) -> tuple[pd.DataFrame, dict[str, int]]:
    """BRAX's table as a cohort with `png` and `dicom`, the paths of an image, and notes."""
    what = f"BRAX's table {path}"
    text, replaced = read_text_table(path)
    table = choose_columns(text, COLUMNS, what)
    for name in ("png", "dicom", "patient_id"):
        check_not_blank(table[name], COLUMNS[name][0], path)
    age, ages = years(table["age"])
    sex = table["sex"].where(table["sex"].isin(["F", "M"]))
    labels, mentions = label_columns(choose_columns(text, SPELLINGS, what), what)
    frame = pd.DataFrame(
        {
            "image_id": table["png"],
            "patient_id": table["patient_id"],
            "sex": sex,
            "race": pd.Series(index=table.index, dtype="str"),
            "age": age,
            "view": table["view"],
            "png": table["png"],
            "dicom": table["dicom"],
        }
    )
    notes = {ROWS: len(frame), **ages, **mentions, **replaced}
    notes["sex neither M nor F, set to null"] = int(sex.isna().sum())
    if len(frame) < FULL_TABLE:
        notes["rows fewer than in BRAX's full table"] = FULL_TABLE - len(frame)
    return frame.join(labels), notes


def _find_table(source: Path) -> Path:
    if source.is_file():
        return source
    found = next((source / name for name in TABLES if (source / name).is_file()), None)
    if found is None:
        raise BadInput(f"no {TABLES[0]} in {source}; {WHERE}")
    return found
