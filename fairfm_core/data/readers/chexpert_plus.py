"""CheXpert Plus: CheXpert's patients with race, insurance and labels of each part of the report.

Cite Chambon et al. 2024. Its terms are Stanford's. The images are PNG or DICOM files below PNG/ or
DICOM/, in one folder or in the chunks of the download; the labels are those of CheXbert, one JSON
record a line. A finding that a report does not mention counts as absent (`mentions.py`).
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from fairfm_core.data.population.steps import ROWS, kept, without_contradictions
from fairfm_core.data.readers.image_files import locate_images
from fairfm_core.data.readers.mentions import LABELS, SPELLINGS, label_columns
from fairfm_core.data.readers.source import ReadOptions, Source, drawn_split, source_of_files
from fairfm_core.data.readers.tabular.ages import years
from fairfm_core.data.readers.tabular.tables import (
    check_not_blank,
    choose_columns,
    file_sha256,
    only_table,
    read_text_table,
)
from fairfm_core.errors import BadInput

COLUMNS = {
    "image_id": ("path_to_image",),
    "patient_id": ("deid_patient_id",),
    "sex": ("sex",),
    "race": ("race",),
    "ethnicity": ("ethnicity",),
    "insurance": ("insurance_type",),
    "age": ("age",),
    "orientation": ("frontal_lateral",),
    "view": ("ap_pa",),
}
TABLE = "df_chexpert_plus_*.csv"
FULL_TABLE = 223_462
RACES = ("White", "Asian", "Black")
HISPANIC = "Hispanic/Latino"
PLACES = ("PNG", "DICOM", "*/PNG", "*/DICOM", "*")
"""Folders that may hold train/ and valid/, below that of the table and besides it."""
ENDINGS = (".png", ".jpg", ".dcm")
WHERE = "CheXpert Plus is at https://aimi.stanford.edu/datasets/chexpert-plus"


def read_chexpert_plus(source: str, options: ReadOptions) -> Source:
    """CheXpert Plus from its folder or its table; frontal images.

    The study population keeps White, Asian and Black patients who are not Hispanic, as in Glocker
    2022; `population: frontal` keeps every patient. The split is random by patient: the release's
    own has two hundred validation images and no test images.

    Raises:
        BadInput: tables or images that are absent or damaged.
    """
    path = only_table(Path(source), TABLE, WHERE)
    frame, notes = read_chexpert_plus_table(path)
    frame = without_contradictions(frame, "sex", notes)
    frame = without_contradictions(frame, "race", notes)
    frame = kept(frame, frame["orientation"] == "Frontal", "not frontal", notes)
    if options.population == "study":
        frame = kept(frame, frame["race"].isin(RACES), "of another or unknown race", notes)
        frame = kept(frame, frame["ethnicity"] != HISPANIC, "of Hispanic ethnicity", notes)
    labels = _find_labels(path.parent, options.report_section)
    frame = _with_labels(frame, labels, notes)
    frame = frame.drop(columns="orientation")
    frame["split"] = drawn_split(frame, options)
    origin: dict[str, Any] = {"table": path.name, "table_sha256": file_sha256(path)}
    origin |= {"labels": labels.name, "labels_sha256": file_sha256(labels)}
    origin |= {"population": options.population, "split": "random"}
    names = _names(path.parent, list(frame["image_id"]))
    files = locate_images(names, path.parent, options.allow_missing)
    return source_of_files(frame, files, notes, origin)


def read_chexpert_plus_table(path: Path) -> tuple[pd.DataFrame, dict[str, int]]:
    """The table as a cohort without labels and split, and notes."""
    text, replaced = read_text_table(path)
    table = choose_columns(text, COLUMNS, f"CheXpert Plus's table {path}")
    for name in ("image_id", "patient_id"):
        check_not_blank(table[name], COLUMNS[name][0], path)
    age, ages = years(table["age"])
    sex = table["sex"].str.upper().map({"MALE": "M", "FEMALE": "F"}).astype("str")
    notes = {ROWS: len(table), **ages, **replaced}
    notes["sex neither Male nor Female, set to null"] = int(sex.isna().sum())
    if len(table) < FULL_TABLE:
        notes["rows fewer than in CheXpert Plus's full table"] = FULL_TABLE - len(table)
    return table.assign(sex=sex, age=age), notes


def _with_labels(frame: pd.DataFrame, path: Path, notes: dict[str, int]) -> pd.DataFrame:
    """`frame` with the labels of each image; images without labels are dropped."""
    what = f"CheXpert Plus's labels {path}"
    records = choose_columns(_records(path), {"image_id": ("path_to_image",), **SPELLINGS}, what)
    records = records.drop_duplicates("image_id")
    labels, mentions = label_columns(records[list(LABELS)], what)
    notes |= mentions
    labelled = records[["image_id"]].join(labels).assign(labelled=True)
    joined = frame.merge(labelled, how="left", on="image_id")
    return kept(joined, joined["labelled"].notna(), "without labels", notes).drop(
        columns="labelled"
    )


def _records(path: Path) -> pd.DataFrame:
    """JSON records, one a line, as text."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
        records = [json.loads(line) for line in lines if line.strip()]
        table = pd.DataFrame.from_records(records)
    except (ValueError, TypeError, AttributeError) as error:
        reason = " ".join(str(error).split())
        raise BadInput(f"{path} does not hold one JSON record a line ({reason})") from error
    return table.apply(lambda column: column.map(str, na_action="ignore").astype("str"))


def _names(folder: Path, images: Sequence[str]) -> list[str]:
    """The path of each image below `folder`, in the place and with the ending that it has."""
    places = [folder, *(place for pattern in PLACES for place in sorted(folder.glob(pattern)))]
    tops = [place for place in places if any((place / top).is_dir() for top in ("train", "valid"))]
    return [_present(folder, tops, os.path.splitext(image)[0]) or image for image in images]


def _present(folder: Path, tops: Sequence[Path], stem: str) -> str | None:
    candidates = (top / f"{stem}{end}" for top in tops for end in ENDINGS)
    found = next((file for file in candidates if file.is_file()), None)
    return None if found is None else str(found.relative_to(folder))


def _find_labels(folder: Path, section: str) -> Path:
    name = f"{section}_fixed.json"
    places = [folder / "chexbert_labels" / name, folder / name]
    found = next((place for place in places if place.is_file()), None)
    if found is None:
        raise BadInput(f"no chexbert_labels/{name} in {folder}; {WHERE}")
    return found
