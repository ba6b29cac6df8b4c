"""MIMIC-CXR: the reader of its tables, joined to MIMIC-IV's patients and admissions.

Cite Johnson et al. 2019. Both data sets need PhysioNet's credentialed access. MIMIC-IV holds what
the tables of MIMIC-CXR lack: sex and age (patients) and race (admissions). The steps are those of
Glocker 2022: frontal images (AP, PA) of patients with one recorded race that is Asian, Black or
White. A finding that a report does not mention counts as absent (`mentions.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from fairfm_core.data.population.steps import ROWS, contradictory, kept, without_patients
from fairfm_core.data.readers.image_files import locate_images
from fairfm_core.data.readers.mentions import LABELS, SPELLINGS, label_columns
from fairfm_core.data.readers.races import race_by_prefix, with_race
from fairfm_core.data.readers.source import ReadOptions, Source, drawn_split, source_of_files
from fairfm_core.data.readers.tabular.ages import possible
from fairfm_core.data.readers.tabular.tables import (
    check_not_blank,
    choose_columns,
    file_sha256,
    find_table,
    read_text_table,
)
from fairfm_core.data.splits import SPLIT_NAMES, listed_split
from fairfm_core.errors import BadInput, first_ten

STEM = "mimic-cxr-2.0.0-"
METADATA = {
    "image_id": ("dicom_id",),
    "patient_id": ("subject_id",),
    "study": ("study_id",),
    "view": ("ViewPosition",),
    "date": ("StudyDate",),
}
STUDY = {"patient_id": ("subject_id",), "study": ("study_id",)}
SPLIT = {"image_id": ("dicom_id",), "split": ("split",)}
FRONTAL = ("AP", "PA")
FULL_TABLE = 377_110
WHERE = "MIMIC-CXR-JPG is at https://physionet.org/content/mimic-cxr-jpg/"
PATIENTS = {
    "patient_id": ("subject_id",),
    "sex": ("gender",),
    "anchor_age": ("anchor_age",),
    "anchor_year": ("anchor_year",),
}
ADMISSIONS = {"patient_id": ("subject_id",), "race_text": ("race", "ethnicity")}


def read_mimic_cxr(source: str, options: ReadOptions) -> Source:
    """MIMIC-CXR-JPG from its folder: its tables, the images in `files/` and MIMIC-IV's tables.

    `population: frontal` keeps the AP and PA images of every patient, with race null where unknown.

    Raises:
        BadInput: tables, a split list or images that are absent or damaged.
    """
    folder = Path(source)
    if not folder.is_dir():
        raise BadInput(f"{source} is not a folder: give the folder of MIMIC-CXR's tables; {WHERE}")
    metadata = find_table([folder], f"{STEM}metadata", WHERE)
    labels = find_table([folder], f"{STEM}{options.labeller}", WHERE)
    tables = {"table": metadata, "labels": labels}
    if not options.no_demographics:
        tables |= _mimic_iv(folder, options)
    frame, notes = read_images(metadata)
    frame = kept(frame, frame["view"].isin(FRONTAL), "neither AP nor PA", notes)
    frame = _with_labels(frame, labels, notes)
    if not options.no_demographics:
        frame = with_sex_and_age(frame, tables["patients"], notes)
        admissions = read_admissions(tables["admissions"])
        what = f"MIMIC-IV's admissions {tables['admissions']}"
        frame = with_race(frame, admissions, options.population, notes, what)
    split = _split_table(folder, options)
    frame["split"] = _split(frame, split, options, notes)
    names = _image_paths(frame)
    root = folder / "files" if (folder / "files").is_dir() else folder
    origin: dict[str, Any] = {name: path.name for name, path in tables.items()}
    origin |= {f"{name}_sha256": file_sha256(path) for name, path in tables.items()}
    origin |= {"population": options.population, "split": "random" if split is None else "list"}
    files = locate_images(names, root, options.allow_missing)
    return source_of_files(frame.drop(columns=["study", "date"]), files, notes, origin)


def read_images(path: Path) -> tuple[pd.DataFrame, dict[str, int]]:
    """The metadata as a cohort with `study` and `date` (YYYYMMDD), without sex, race and age."""
    text, notes = read_text_table(path)
    table = choose_columns(text, METADATA, f"MIMIC-CXR's metadata {path}")
    for name in ("image_id", "patient_id", "study"):
        check_not_blank(table[name], METADATA[name][0], path)
    unknown = pd.Series(index=table.index, dtype="str")
    frame = table.assign(sex=unknown, race=unknown, age=unknown.astype("float64"))
    notes = {ROWS: len(frame), **notes}
    if len(frame) < FULL_TABLE:
        notes["rows fewer than in MIMIC-CXR's full table"] = FULL_TABLE - len(frame)
    return frame, notes


def with_sex_and_age(frame: pd.DataFrame, path: Path, notes: dict[str, int]) -> pd.DataFrame:
    """`frame` with sex, and age = anchor_age + year of `date` - anchor_year.

    MIMIC shifts all dates of a patient by one offset, so only differences between them mean
    anything.
    """
    table = choose_columns(read_text_table(path)[0], PATIENTS, f"MIMIC-IV's patients {path}")
    sex = table["sex"].str.upper()
    patients = table.assign(sex=sex.where(sex.isin(["F", "M"])))
    twice = contradictory(patients["patient_id"], patients["sex"])
    frame = without_patients(frame, twice, "with more than one sex", notes)
    one_each = patients.drop_duplicates("patient_id").set_index("patient_id")
    of = one_each.reindex(frame["patient_id"]).set_axis(frame.index)
    year = pd.to_numeric(frame["date"].str[:4], errors="coerce")
    anchors = of[["anchor_age", "anchor_year"]].apply(pd.to_numeric, errors="coerce")
    age, ages = possible(anchors["anchor_age"] + year - anchors["anchor_year"])
    notes |= ages
    unknown = ~frame["patient_id"].isin(one_each.index)
    if unknown.all():
        raise BadInput(
            f"MIMIC-IV's patients {path} include none of the patients of these images: use the "
            "table of the same release"
        )
    if unknown.any():
        notes["images of patients without a record in MIMIC-IV's patients"] = int(unknown.sum())
    notes["sex neither M nor F, set to null"] = int((of["sex"].isna() & ~unknown).sum())
    return frame.assign(sex=of["sex"], age=age)


def read_admissions(path: Path) -> pd.DataFrame:
    """One row per patient and recorded race: patient_id, race_text and the race it is mapped to.

    The column is called `ethnicity` in MIMIC-IV 1.0 and `race`, with finer entries, from 2.0 on.
    """
    what = f"MIMIC-IV's admissions {path}"
    table = choose_columns(read_text_table(path)[0], ADMISSIONS, what).drop_duplicates()
    check_not_blank(table["patient_id"], "subject_id", path)
    return table.assign(race=race_by_prefix(table["race_text"]))


def _mimic_iv(folder: Path, options: ReadOptions) -> dict[str, Path]:
    """MIMIC-IV's two tables, in the folder given with --demographics or in the source itself."""
    below = folder if options.demographics is None else Path(options.demographics)
    places = [below, below / "core", below / "hosp"]
    where = (
        "download it from https://physionet.org/content/mimiciv/, pass its folder with "
        "--demographics FOLDER, or pass --no-demographics to leave sex, race and age null"
    )
    return {name: find_table(places, name, where) for name in ("patients", "admissions")}


def _with_labels(frame: pd.DataFrame, path: Path, notes: dict[str, int]) -> pd.DataFrame:
    """`frame` with the labels of each study; images of studies without labels are dropped."""
    what = f"MIMIC-CXR's labels {path}"
    text, replaced = read_text_table(path)
    studies = choose_columns(text, {**STUDY, **SPELLINGS}, what)
    twice = studies["study"][studies.duplicated(["patient_id", "study"])]
    if len(twice):
        raise BadInput(f"{what}: {len(twice)} studies are listed twice: {first_ten(twice)}")
    labels, mentions = label_columns(studies[list(LABELS)], what)
    notes |= mentions | replaced
    labels = studies[["patient_id", "study"]].join(labels).assign(labelled=True)
    joined = frame.merge(labels, how="left", on=["patient_id", "study"])
    joined = kept(joined, joined["labelled"].notna(), "of studies without labels", notes)
    return joined.drop(columns="labelled")


def _split_table(folder: Path, options: ReadOptions) -> Path | None:
    """The split list given, or the official one in the folder; None for a random split."""
    if options.split_list is not None:
        return Path(options.split_list)
    names = [f"{STEM}split.csv", f"{STEM}split.csv.gz"]
    official = next((folder / name for name in names if (folder / name).is_file()), None)
    return None if options.random_split else official


def _split(
    frame: pd.DataFrame, path: Path | None, options: ReadOptions, notes: dict[str, int]
) -> pd.Series:
    if path is None:
        return drawn_split(frame, options)
    table = choose_columns(read_text_table(path)[0], SPLIT, f"split list {path}").dropna()
    named = table["split"].replace(SPLIT_NAMES)
    lists = {str(name): set(ids) for name, ids in table["image_id"].groupby(named)}
    split = listed_split(frame, lists, options.split_seed, options.fractions, options.strata)
    notes["images on no split list"] = int(split.isna().sum())
    return split


def _image_paths(frame: pd.DataFrame) -> Sequence[str]:
    """pNN/pSUBJECT/sSTUDY/DICOM.jpg, NN being the first two digits of the subject."""
    patient, study, image = frame["patient_id"], frame["study"], frame["image_id"]
    paths = "p" + patient.str[:2] + "/p" + patient + "/s" + study + "/" + image + ".jpg"
    return list(paths)
