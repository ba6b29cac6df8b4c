"""VinDr-CXR: the reader of its labels, by three radiologists an image, and of its DICOM headers.

Cite Nguyen et al., Scientific Data 2022; PhysioNet's credentialed access. Each training image has
three rows, one for each radiologist; the labels of the test images are a consensus of five. Sex and
age are in the headers of the DICOM files. Patients are not published, so each image counts as a
patient of its own, which makes intervals too narrow where patients have several images.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pydicom

from fairfm_core.data.image_store.dicom import DAMAGED
from fairfm_core.data.readers.image_files import index_images, match_images
from fairfm_core.data.readers.source import ReadOptions, Source, drawn_split, source_of_files
from fairfm_core.data.readers.tabular.ages import years
from fairfm_core.data.readers.tabular.tables import (
    check_not_blank,
    choose_columns,
    file_sha256,
    read_text_table,
)
from fairfm_core.data.splits import listed_split
from fairfm_core.errors import BadInput, first_ten

IMAGE, READER = "image_id", "rad_id"
OTHER_NAMES = {
    "Other disease": "Other diseases",
    "Other disease(s)": "Other diseases",
    "No finding": "No Finding",
}
"""Labels under a name of their own in one of the two tables."""
FULL_TABLES = {"train": 15_000, "test": 3_000}
HEADER = ["PatientSex", "PatientAge"]
DICOM = (".dcm", ".dicom")
WHERE = "VinDr-CXR is at https://physionet.org/content/vindr-cxr/"


def read_vindr_cxr(source: str, options: ReadOptions) -> Source:
    """VinDr-CXR from its folder: annotations/ (or the tables themselves), train/ and test/.

    The official test images are the test split; the training images are divided at random into
    train and val, by the first two fractions.

    Raises:
        BadInput: tables or images that are absent or damaged.
    """
    folder = Path(source)
    paths = {split: _find_table(folder, split) for split in FULL_TABLES}
    notes: dict[str, int] = {}
    parts = {split: _labels(path, split, options, notes) for split, path in paths.items()}
    labels = pd.concat(parts.values()).astype("float64")
    ids = list(labels.index)
    files = match_images(ids, index_images(_image_folders(folder)), folder, options.allow_missing)
    unknown = pd.Series(None, index=range(len(ids)), dtype="str")
    frame = pd.DataFrame({"image_id": ids, "patient_id": ids, "race": unknown})
    frame = frame.join(_sex_and_age(files, notes)).join(labels.reset_index(drop=True))
    lists = {"train_val": parts["train"].index, "test": parts["test"].index}
    listed = (frame, lists, options.split_seed, options.fractions, options.strata)
    frame["split"] = drawn_split(frame, options) if options.random_split else listed_split(*listed)
    notes["patients not published: each image counts as a patient"] = len(frame)
    origin: dict[str, Any] = {f"{split}_sha256": file_sha256(p) for split, p in paths.items()}
    origin |= {"agreement": options.agreement}
    origin |= {"split": "random" if options.random_split else "lists"}
    return source_of_files(frame, files, notes, origin)


def _labels(path: Path, split: str, options: ReadOptions, notes: dict[str, int]) -> pd.DataFrame:
    """y_ and u_ columns by image id: one row for each image of a table."""
    votes, read = read_votes(path)
    notes |= read | {f"images in the {split} table": votes[IMAGE].nunique()}
    if votes[IMAGE].nunique() < FULL_TABLES[split]:
        fewer = FULL_TABLES[split] - votes[IMAGE].nunique()
        notes[f"images fewer than in VinDr-CXR's full {split} table"] = fewer
    labels = AGREEMENTS[options.agreement](votes)
    disagreed = votes.groupby(IMAGE).nunique().drop(columns=READER).gt(1).any(axis=1)
    notes[f"{split} images about which readers disagree"] = int(disagreed.sum())
    return labels


def read_votes(path: Path) -> tuple[pd.DataFrame, dict[str, int]]:
    """The rows of a table: image, reader (`consensus` in the test table) and 0 or 1 a label."""
    text, notes = read_text_table(path)
    choose_columns(text, {IMAGE: (IMAGE,)}, f"VinDr-CXR's labels {path}")
    check_not_blank(text[IMAGE], IMAGE, path)
    text = text.rename(columns=OTHER_NAMES)
    if READER not in text.columns:
        text = text.assign(**{READER: "consensus"})
    votes = text.drop(columns=[IMAGE, READER]).apply(pd.to_numeric, errors="coerce")
    wrong = [name for name in votes.columns if not votes[name].isin([0, 1]).all()]
    if wrong:
        raise BadInput(f"VinDr-CXR's labels {path}: {first_ten(wrong)} must hold 0 and 1 only")
    return text[[IMAGE, READER]].join(votes), notes


def _shares(votes: pd.DataFrame) -> pd.DataFrame:
    """The share of readers who saw each label in each image."""
    return votes.drop(columns=READER).groupby(IMAGE, sort=True).mean()


def majority(votes: pd.DataFrame) -> pd.DataFrame:
    """1 where more than half of the readers saw it."""
    return (_shares(votes) > 0.5).astype("float64").add_prefix("y_")


def seen_by_any(votes: pd.DataFrame) -> pd.DataFrame:
    """1 where at least one reader saw it."""
    return (_shares(votes) > 0).astype("float64").add_prefix("y_")


def unanimous(votes: pd.DataFrame) -> pd.DataFrame:
    """1 or 0 where all readers agree; otherwise uncertain."""
    shares = _shares(votes)
    split = (shares > 0) & (shares < 1)
    known = shares.mask(split).add_prefix("y_")
    return known.join(split.astype("float64").add_prefix("u_"))


def by_each(votes: pd.DataFrame) -> pd.DataFrame:
    """A label of each reader, `Edema (reader 1)`, in the order of their ids in an image."""
    ordered = votes.sort_values([IMAGE, READER])
    number = ordered.groupby(IMAGE).cumcount() + 1
    wide = ordered.drop(columns=READER).assign(reader=number).pivot(index=IMAGE, columns="reader")
    wide.columns = [f"y_{pair[0]} (reader {pair[1]})" for pair in wide.columns.to_list()]
    return wide


AGREEMENTS: dict[str, Callable[[pd.DataFrame], pd.DataFrame]] = {
    "majority": majority,
    "any": seen_by_any,
    "unanimous": unanimous,
    "each": by_each,
}
"""How several readers make one label."""


def _sex_and_age(files: list[Path | None], notes: dict[str, int]) -> pd.DataFrame:
    """Sex and age from the headers of DICOM files; null for other files."""
    headers = [_header(file) for file in files]
    text = pd.DataFrame(headers, columns=["sex", "age"]).astype("str")
    age, ages = years(text["age"])
    sex = text["sex"].str.upper()
    sex = sex.where(sex.isin(["F", "M"]))
    notes |= {**ages, "sex neither M nor F, set to null": int(sex.isna().sum())}
    return pd.DataFrame({"sex": sex, "age": age})


def _header(file: Path | None) -> tuple[str | None, str | None]:
    if file is None or file.suffix.lower() not in DICOM:
        return None, None
    try:
        header = pydicom.dcmread(file, stop_before_pixels=True, specific_tags=HEADER)
    except DAMAGED:  # preparing names the file
        return None, None
    return str(header.get("PatientSex") or "") or None, str(header.get("PatientAge") or "") or None


def _image_folders(folder: Path) -> list[Path]:
    places = [folder / "train", folder / "test", folder / "images", folder]
    return [place for place in places if place.is_dir()]


def _find_table(folder: Path, split: str) -> Path:
    name = f"image_labels_{split}.csv"
    places = [folder / "annotations" / name, folder / name]
    found = next((place for place in places if place.is_file()), None)
    if found is None:
        raise BadInput(f"no annotations/{name} in {folder}; {WHERE}")
    return found
