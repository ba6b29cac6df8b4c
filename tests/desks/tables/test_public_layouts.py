"""Public data sets in the layouts in which they are published, as few files each."""

from __future__ import annotations

import io
import json
from typing import Any

import numpy as np
import pandas as pd
import pydicom
import pytest
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian

from fairfm_core.data.readers.mentions import LABELS

from ..preparing import Desk, ramp

pytestmark = pytest.mark.slow  # hundreds of command lines: a minute together


def picture(roll: int, form: str = "PNG", bits: int = 8) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.roll(ramp(bits), 7 * roll)).save(file, form)
    return file.getvalue()


# CheXpert

PATIENTS = 6


def chexpert_table(prefix: str) -> str:
    records = [
        {
            "Path": f"{prefix}train/patient0000{i}/study1/view1_frontal.jpg",
            "Sex": "Male" if i % 2 else "Female",
            "Age": 50 + i,
            "Frontal/Lateral": "Frontal",
            "AP/PA": "AP",
        }
        | {label: (1.0 if label == "Edema" and i % 3 == 0 else None) for label in LABELS}
        for i in range(PATIENTS)
    ]
    return pd.DataFrame(records).to_csv(index=False)


SMALL, FULL = "CheXpert-v1.0-small/", "CheXpert-v1.0/"
BATCH = "CheXpert-v1.0 batch"


def batch_of(i: int) -> str:
    return f"{BATCH} 2 (train 1)" if i < 3 else f"{BATCH} 3 (train 2)"


def chexpert_files(layout: str) -> dict[str, bytes | str]:
    """The files of a published layout of CheXpert, by path."""
    images = {i: f"patient0000{i}/study1/view1_frontal.jpg" for i in range(PATIENTS)}
    places = {
        "small": (f"{SMALL}train.csv", SMALL, lambda i: f"{SMALL}train/"),
        "unpacked by Kaggle": ("train.csv", SMALL, lambda i: "train/"),
        "batches, table beside them": ("train.csv", FULL, lambda i: f"{batch_of(i)}/"),
        "batches with train/": ("train.csv", FULL, lambda i: f"{batch_of(i)}/train/"),
        "table in the first batch": (
            f"{BATCH} 1 (validate & csv)/train.csv",
            FULL,
            lambda i: f"{batch_of(i)}/",
        ),
    }
    table, prefix, place = places[layout]
    jpegs = {f"{place(i)}{path}": picture(i, "JPEG") for i, path in images.items()}
    return {table: chexpert_table(prefix), **jpegs}


LAYOUTS = (
    "small",
    "unpacked by Kaggle",
    "batches, table beside them",
    "batches with train/",
    "table in the first batch",
)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_chexpert_is_read_in_every_layout(desk: Desk, layout: str) -> None:
    desk.write({f"release/{name}": content for name, content in chexpert_files(layout).items()})
    said = desk.prepare(
        "--no-demographics", "--population", "frontal", kind="chexpert", source="release"
    )
    assert said.code == 0, said.err
    ids = [f"train/patient0000{i}/study1/view1_frontal.jpg" for i in range(PATIENTS)]
    assert desk.column("image_id") == ids
    assert desk.column("sex") == ["F", "M"] * 3


@pytest.mark.parametrize("column", ["Path", "patient_id"])
def test_chexperts_split_list_may_name_paths_or_patients(desk: Desk, column: str) -> None:
    desk.write({f"release/{name}": content for name, content in chexpert_files("small").items()})
    split = ["train", "train", "train", "validate", "test", "Test"]
    path = [f"{SMALL}train/patient0000{i}/study1/view1_frontal.jpg" for i in range(PATIENTS)]
    keys = path if column == "Path" else [f"patient0000{i}" for i in range(PATIENTS)]
    desk.write({"list.csv": pd.DataFrame({column: keys, "split": split}).to_csv(index=False)})
    options = ["--no-demographics", "--split-list", desk.folder / "list.csv"]
    said = desk.prepare(*options, kind="chexpert", source="release")
    assert said.code == 0, said.err
    assert desk.column("split") == ["train"] * 3 + ["val", "test", "test"]


def test_a_list_of_other_patients_is_refused(desk: Desk) -> None:
    desk.write({f"release/{name}": content for name, content in chexpert_files("small").items()})
    desk.write({"list.csv": "patient_id,split\nsomeone,train\n"})
    options = ["--no-demographics", "--split-list", desk.folder / "list.csv"]
    error = desk.prepare(*options, kind="chexpert", source="release").error
    assert "names none of the table's: its patient look like someone" in error


# CheXpert Plus


def chexpert_plus(form: str) -> dict[str, bytes | str]:
    races = ["White", "Black", "Asian", "Unknown", "White", "White"]
    records, labels = [], []
    for i in range(PATIENTS):
        path = f"train/patient0000{i}/study1/view1_frontal.jpg"
        records.append(
            {
                "path_to_image": path,
                "path_to_dcm": path.replace(".jpg", ".dcm"),
                "frontal_lateral": "Frontal",
                "ap_pa": "PA",
                "deid_patient_id": f"patient0000{i}",
                "report": "Lungs are\nclear, heart normal",
                "age": 60.0,
                "sex": "Male" if i % 2 else "Female",
                "race": races[i],
                "ethnicity": "Hispanic/Latino" if i == 5 else "Non-Hispanic/Non-Latino",
                "insurance_type": "Medicare",
                "split": "train",
            }
        )
        labels.append({"path_to_image": path} | dict.fromkeys(LABELS) | {"Edema": float(i % 2)})
    place = {"png": "PNG/", "chunks": "png_chexpert_plus_chunk_0/PNG/"}[form]
    images = {
        f"{place}{row['path_to_image'].replace('.jpg', '.png')}": picture(i)
        for i, row in enumerate(records)
    }
    lines = "\n".join(map(json.dumps, labels))
    table = pd.DataFrame(records).to_csv(index=False)
    names = {"df_chexpert_plus_240401.csv": table, "chexbert_labels/report_fixed.json": lines}
    return {**names, **images}


@pytest.mark.parametrize("form", ["png", "chunks"])
def test_chexpert_plus_is_read(desk: Desk, form: str) -> None:
    desk.write({f"plus/{name}": content for name, content in chexpert_plus(form).items()})
    said = desk.prepare(kind="chexpert-plus", source="plus")
    assert said.code == 0, said.err
    assert desk.column("race") == ["White", "Black", "Asian", "White"]
    assert desk.column("y_Edema") == [0, 1, 0, 0]
    assert desk.column("insurance") == ["Medicare"] * 4
    assert "images of Hispanic ethnicity, dropped: 1" in said.out


def test_labels_of_another_section_are_named_where_they_are_missing(desk: Desk) -> None:
    desk.write({f"plus/{name}": content for name, content in chexpert_plus("png").items()})
    said = desk.prepare("--report-section", "impression", kind="chexpert-plus", source="plus")
    assert "no chexbert_labels/impression_fixed.json in" in said.error


# PadChest


def padchest(**changes: Any) -> str:
    count = 6
    columns = {
        "": range(count),
        "ImageID": [f"image{i}.png" for i in range(count)],
        "ImageDir": [0, 0, 1, 1, 2, 2],
        "StudyDate_DICOM": "20140915",
        "StudyID": range(count),
        "PatientID": [f"p{i}" for i in range(count)],
        "PatientBirth": ["1930.0", "1929.0", "1980.0", "", "1950.0", "1950.0"],
        "PatientSex_DICOM": ["F", "M", "O", "F", "M", "nan"],
        "Projection": ["PA", "AP", "AP_horizontal", "PA", "PA", "L"],
        "Labels": [
            "['normal']",
            "['pleural effusion', 'nodule ']",
            "['cardiomegaly', 'NSG tube']",
            "['normal']",
            "nan",
            "['normal']",
        ],
    }
    return pd.DataFrame(columns | changes).to_csv(index=False)


PADCHEST = "PADCHEST_chest_x_ray_images_labels_160K_01.02.19.csv"


@pytest.mark.parametrize("layout", ["{folder}/{name}", "images/{folder}/{name}", "{name}"])
def test_padchest_is_read(desk: Desk, layout: str) -> None:
    folders = [0, 0, 1, 1, 2, 2]
    images = {
        layout.format(folder=folder, name=f"image{i}.png"): picture(i, bits=12)
        for i, folder in enumerate(folders)
    }
    desk.write(
        {f"pad/{name}": content for name, content in {PADCHEST: padchest(), **images}.items()}
    )
    said = desk.prepare(kind="padchest", source="pad")
    assert said.code == 0, said.err
    assert desk.column("age") == [84, 85, 34, None]
    assert desk.column("sex") == ["F", "M", None, "F"]
    assert desk.column("y_Pleural Effusion") == [0, 1, 0, 0]
    assert desk.column("y_Nodule") == [0, 1, 0, 0]
    assert desk.column("y_No Finding") == [1, 0, 0, 1]
    assert "images without labels, dropped: 1" in said.out
    assert "images read as values of 12 bits in deeper files: 4" in said.out


def test_a_finding_that_is_no_list_is_named(desk: Desk) -> None:
    desk.write({f"pad/{PADCHEST}": padchest(Labels="normal")})
    error = desk.prepare(kind="padchest", source="pad").error
    assert "Labels: 'normal' is not a list such as ['mass', 'nodule']" in error


# VinDr-CXR


def header(sex: str, age: str, roll: int) -> bytes:
    pixels = np.roll(ramp(12), roll)
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = UID("1.2.840.10008.5.1.4.1.1.1.1")
    dataset.file_meta.MediaStorageSOPInstanceUID = UID("1.2.3")
    content = {
        "PatientSex": sex,
        "PatientAge": age,
        "PhotometricInterpretation": "MONOCHROME2",
        "SamplesPerPixel": 1,
        "Rows": 16,
        "Columns": 16,
        "BitsAllocated": 16,
        "BitsStored": 12,
        "HighBit": 11,
        "PixelRepresentation": 0,
        "PixelData": pixels.tobytes(),
    }
    for name, value in content.items():
        setattr(dataset, name, value)
    dataset["PixelData"].VR = "OW"
    file = io.BytesIO()
    pydicom.dcmwrite(file, dataset, enforce_file_format=True)
    return file.getvalue()


def vindr() -> dict[str, bytes | str]:
    votes = {"a": (1, 1, 0), "b": (0, 0, 1), "c": (1, 1, 1), "d": (0, 0, 0)}
    train = [
        {"image_id": image, "rad_id": f"R{9 - r}", "Edema": vote, "No finding": 1 - vote}
        for image, seen in votes.items()
        for r, vote in enumerate(seen)
    ]
    test = [{"image_id": "t", "Edema": 1, "No finding": 0}]
    images = {f"train/{name}.dicom": header("F", "061Y", i) for i, name in enumerate(votes)}
    tables = {
        "annotations/image_labels_train.csv": pd.DataFrame(train).to_csv(index=False),
        "annotations/image_labels_test.csv": pd.DataFrame(test).to_csv(index=False),
    }
    return {**tables, **images, "test/t.dicom": header("O", "", 50)}


AGREED: dict[str, dict[str, list[float | None]]] = {
    "majority": {"y_Edema": [1, 0, 1, 0, 1]},
    "any": {"y_Edema": [1, 1, 1, 0, 1]},
    "unanimous": {"y_Edema": [None, None, 1, 0, 1], "u_Edema": [1, 1, 0, 0, 0]},
    "each": {
        "y_Edema (reader 1)": [0, 1, 1, 0, 1],
        "y_Edema (reader 3)": [1, 0, 1, 0, None],
    },
}


@pytest.mark.parametrize("agreement", AGREED)
def test_three_readers_make_one_label_or_each_their_own(desk: Desk, agreement: str) -> None:
    desk.write({f"vindr/{name}": content for name, content in vindr().items()})
    said = desk.prepare("--agreement", agreement, kind="vindr-cxr", source="vindr")
    assert said.code == 0, said.err
    assert desk.column("image_id") == ["a", "b", "c", "d", "t"]
    assert {name: desk.column(name) for name in AGREED[agreement]} == AGREED[agreement]
    assert desk.column("sex") == ["F"] * 4 + [None]
    assert desk.column("age") == [61] * 4 + [None]
    assert desk.column("split")[-1] == "test"
    assert "train images about which readers disagree: 2" in said.out


# BRAX


def brax() -> str:
    records = [
        {
            "DicomPath": f"Anonymized_DICOMs/id_{i}/image.dcm",
            "PngPath": f"images/id_{i}/image.png",
            "PatientID": f"id_{i}",
            "PatientSex": ["F", "M", "O"][i % 3],
            "PatientAge": ["45", "85 or more", "60"][i % 3],
            "AccessionNumber": i,
            "StudyDate": "20150101",
        }
        | {label: (-1.0 if label == "Edema" and i == 0 else None) for label in LABELS}
        | {"ViewPosition": ["PA", "AP", "L"][i % 3], "Rows": 16, "Columns": 16}
        for i in range(6)
    ]
    return pd.DataFrame(records).to_csv(index=False)


@pytest.mark.parametrize("table", ["master_spreadsheet_update.csv", "master_spreadsheet.csv"])
def test_brax_is_read(desk: Desk, table: str) -> None:
    images = {f"brax/images/id_{i}/image.png": picture(i) for i in range(6)}
    desk.write({f"brax/{table}": brax(), **images})
    said = desk.prepare(kind="brax", source="brax")
    assert said.code == 0, said.err
    assert desk.column("age") == [45, 85, 45, 85]
    assert desk.column("sex") == ["F", "M", "F", "M"]
    assert desk.column("u_Edema") == [1, 0, 0, 0]
    assert "images neither PA nor AP, dropped: 2" in said.out


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("chexpert-plus", "no df_chexpert_plus_*.csv in"),
        ("padchest", "no PADCHEST_chest_x_ray_images_labels_160K*.csv* in"),
        ("vindr-cxr", "no annotations/image_labels_train.csv in"),
        ("brax", "no master_spreadsheet_update.csv in"),
    ],
)
def test_an_empty_folder_says_what_is_missing_and_where_it_is(
    desk: Desk, kind: str, reason: str
) -> None:
    error = desk.prepare(kind=kind, source=".").error
    assert reason in error
    assert "https://" in error
