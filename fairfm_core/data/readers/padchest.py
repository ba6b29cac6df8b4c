"""PadChest: the reader of its table and images.

Cite Bustos et al., Medical Image Analysis 2020. The table has a list of findings for each image,
the year of birth and the date of the study. There is no official split and no race. Frontal images
are kept: PA, AP and AP horizontal (lying down).
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from fairfm_core.data.population.steps import ROWS, kept, without_contradictions
from fairfm_core.data.readers.image_files import locate_images
from fairfm_core.data.readers.source import ReadOptions, Source, drawn_split, source_of_files
from fairfm_core.data.readers.tabular.ages import years_between
from fairfm_core.data.readers.tabular.tables import (
    check_not_blank,
    choose_columns,
    file_sha256,
    only_table,
    read_text_table,
)
from fairfm_core.data.readers.tabular.words import listed_words
from fairfm_core.errors import BadInput

COLUMNS = {
    "image_id": ("ImageID",),
    "folder": ("ImageDir",),
    "date": ("StudyDate_DICOM",),
    "patient_id": ("PatientID",),
    "born": ("PatientBirth",),
    "sex": ("PatientSex_DICOM",),
    "view": ("Projection",),
    "findings": ("Labels",),
}
FINDINGS = {
    "COPD signs": "COPD Signs",
    "cardiomegaly": "Cardiomegaly",
    "aortic elongation": "Aortic Elongation",
    "pleural effusion": "Pleural Effusion",
    "scoliosis": "Scoliosis",
    "pneumonia": "Pneumonia",
    "interstitial pattern": "Interstitial Pattern",
    "infiltrates": "Infiltration",
    "costophrenic angle blunting": "Costophrenic Angle Blunting",
    "air trapping": "Air Trapping",
    "alveolar pattern": "Alveolar Pattern",
    "nodule": "Nodule",
    "apical pleural thickening": "Apical Pleural Thickening",
    "atelectasis": "Atelectasis",
    "bronchiectasis": "Bronchiectasis",
    "consolidation": "Consolidation",
    "hemidiaphragm elevation": "Hemidiaphragm Elevation",
    "hiatal hernia": "Hiatal Hernia",
    "emphysema": "Emphysema",
    "pulmonary edema": "Edema",
    "pulmonary fibrosis": "Fibrosis",
    "pneumothorax": "Pneumothorax",
    "pulmonary mass": "Mass",
    "pleural thickening": "Pleural Thickening",
    "normal": "No Finding",
}
"""Findings of PadChest that become pathologies, and their names here; other words are no labels."""
NOT_LABELLED = {"nan", "none", ""}
FRONTAL = ("PA", "AP", "AP_horizontal")
TABLE = "PADCHEST_chest_x_ray_images_labels_160K*.csv*"
FULL_TABLE = 160_861
WHERE = "PadChest is at https://bimcv.cipf.es/bimcv-projects/padchest/"


def read_padchest(source: str, options: ReadOptions) -> Source:
    """PadChest from its folder (table and images) or from its table; frontal images.

    Raises:
        BadInput: a table or images that are absent or damaged.
    """
    path = only_table(Path(source), TABLE, WHERE)
    frame, notes = read_padchest_table(path)
    frame = without_contradictions(frame, "sex", notes)
    frame = kept(frame, frame["view"].isin(FRONTAL), "neither PA nor AP", notes)
    frame = kept(frame, frame["labelled"], "without labels", notes)
    frame["split"] = drawn_split(frame, options)
    names = _image_names(frame, path.parent)
    files = locate_images(names, path.parent, options.allow_missing)
    origin = {"table": path.name, "table_sha256": file_sha256(path), "split": "random"}
    return source_of_files(frame.drop(columns=["folder", "labelled"]), files, notes, origin)


def read_padchest_table(path: Path) -> tuple[pd.DataFrame, dict[str, int]]:
    """PadChest's table as a cohort with `folder` and `labelled`, and notes.

    The age is the year of the study less the year of birth; a sex other than M and F becomes null.
    """
    text, replaced = read_text_table(path)
    table = choose_columns(text, COLUMNS, f"PadChest's table {path}")
    for name in ("image_id", "patient_id"):
        check_not_blank(table[name], COLUMNS[name][0], path)
    age, ages = years_between(table["born"], table["date"].str[:4])
    sex = table["sex"].where(table["sex"].isin(["F", "M"]))
    findings = table["findings"].fillna("")
    labelled = ~findings.str.lower().isin(NOT_LABELLED)
    frame = pd.DataFrame(
        {
            "image_id": table["image_id"],
            "patient_id": table["patient_id"],
            "sex": sex,
            "race": pd.Series(index=table.index, dtype="str"),
            "age": age,
            "view": table["view"],
            "folder": table["folder"],
            "labelled": labelled,
        }
    )
    notes = {ROWS: len(frame), **ages, **replaced}
    notes["sex neither M nor F, set to null"] = int(sex.isna().sum())
    if len(frame) < FULL_TABLE:
        notes["rows fewer than in PadChest's full table"] = FULL_TABLE - len(frame)
    return frame.join(_labels(findings.where(labelled), path)), notes


def _labels(findings: pd.Series, path: Path) -> pd.DataFrame:
    """One column y_<label> of 0 and 1 for each of our findings, null where nothing is listed."""
    try:
        held = {entry: listed_words(entry) for entry in findings.dropna().unique()}
    except BadInput as error:
        raise BadInput(f"PadChest's table {path}: Labels: {error}") from None
    columns = {
        f"y_{name}": findings.map({entry: float(word in words) for entry, words in held.items()})
        for word, name in FINDINGS.items()
    }
    return pd.DataFrame(columns).astype("float64")


def _image_names(frame: pd.DataFrame, root: Path) -> list[str]:
    """The path of each image: below its numbered folder, as released, or below images/."""
    flat = list(frame["image_id"])
    numbered = list(frame["folder"].fillna("") + "/" + frame["image_id"])
    below = [[f"images/{name}" for name in names] for names in (numbered, flat)]
    layouts = (numbered, flat, *below)
    some = range(min(len(flat), 50))
    return max(layouts, key=lambda names: sum((root / names[i]).is_file() for i in some))
