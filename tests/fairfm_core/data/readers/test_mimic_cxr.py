"""MIMIC-CXR's reader on made-up tables in the official layout."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from fairfm_core.data.preparation.kinds import read_kind
from fairfm_core.data.readers.mentions import LABELS
from fairfm_core.data.readers.source import ReadOptions, Source
from fairfm_core.errors import BadInput

STEM = "mimic-cxr-2.0.0-"
SUBJECTS = ("10000032", "10000764", "11000898", "12000935", "19000980")
RACES = (
    ("WHITE", "WHITE"),
    ("BLACK/AFRICAN AMERICAN",),
    ("ASIAN", "UNKNOWN"),  # two on record
    ("HISPANIC/LATINO",),
    ("ASIAN",),
)


def metadata() -> pd.DataFrame:
    """An AP and a lateral image of two studies for each subject."""
    records = [
        {
            "dicom_id": f"{subject}-{study}-{view}",
            "subject_id": subject,
            "study_id": f"5{i}{study}",
            "PerformedProcedureStepDescription": "CHEST (PA AND LAT)",
            "ViewPosition": view,
            "StudyDate": 21800506,
        }
        for i, subject in enumerate(SUBJECTS)
        for study in (1, 2)
        for view in ("AP", "LATERAL")
    ]
    return pd.DataFrame(records)


def labels() -> pd.DataFrame:
    studies = metadata()[["subject_id", "study_id"]].drop_duplicates()
    values = dict.fromkeys(sorted(LABELS)) | {"Edema": [1.0, 0.0, -1.0, None, 1.0] * 2}
    return studies.assign(**values)


def tables() -> dict[str, pd.DataFrame]:
    years = {"anchor_age": [52, 86, 79, 66, 91], "anchor_year": [2180, 2180, 2140, 2187, 2150]}
    patients = pd.DataFrame({"subject_id": SUBJECTS, "gender": list("FMFMF"), **years})
    pairs = [
        (subject, race) for subject, races in zip(SUBJECTS, RACES, strict=True) for race in races
    ]
    admissions = pd.DataFrame(pairs, columns=["subject_id", "ethnicity"]).assign(admittime="2180")
    return {
        f"{STEM}metadata": metadata(),
        f"{STEM}chexpert": labels(),
        "patients": patients,
        "admissions": admissions,
    }


def release(folder: Path, end: str = ".csv", iv: str = ".", **changed: pd.DataFrame) -> Path:
    """The tables in one folder, and empty files in the place of images."""
    folder.mkdir(exist_ok=True, parents=True)
    (folder / iv).mkdir(exist_ok=True)
    for name, table in (tables() | changed).items():
        place = folder / iv if name in ("patients", "admissions") else folder
        table.to_csv(place / f"{name}{end}", index=False)
    for row in metadata().itertuples():
        study = folder / f"files/p{row.subject_id[:2]}/p{row.subject_id}/s{row.study_id}"
        study.mkdir(parents=True, exist_ok=True)
        (study / f"{row.dicom_id}.jpg").touch()
    return folder


def read(folder: Path, **options: object) -> Source:
    return read_kind("mimic-cxr", str(folder), ReadOptions.model_validate(options))


def test_the_study_population(tmp_path) -> None:
    source = read(release(tmp_path))
    frame = source.frame
    assert frame["patient_id"].tolist() == [SUBJECTS[i] for i in (0, 0, 1, 1, 4, 4)]
    assert frame["race"].tolist() == ["White"] * 2 + ["Black"] * 2 + ["Asian"] * 2
    assert frame["sex"].tolist() == list("FFMMFF")
    assert frame["age"].isna().tolist() == [False] * 4 + [True] * 2
    assert frame["age"].tolist()[:4] == [52, 52, 86, 86]
    assert source.notes["ages impossible, set to null"] == 2  # 91 + 2180 - 2150
    assert source.notes["patients with more than one race, dropped"] == 1
    assert source.notes["images of race 'HISPANIC/LATINO', dropped"] == 2
    assert source.notes["images neither AP nor PA, dropped"] == 10
    assert source.files[0].relative_to(tmp_path).parts[:-1] == ("files", "p10", "p10000032", "s501")
    assert frame["y_Edema"].tolist()[:2] == [1, 0]
    assert frame["u_Edema"].tolist() == [0, 0, 1, 0, 0, 0]
    assert frame["split"].notna().all()
    assert not {"study", "date"} & set(frame.columns)
    assert not any(str(tmp_path) in str(value) for value in source.origin.values())


@pytest.mark.parametrize("iv", ["core", "hosp"])
def test_later_vintages_and_packed_tables(tmp_path, iv: str) -> None:
    plain = read(release(tmp_path / "a"))
    fine = tables()["admissions"].rename(columns={"ethnicity": "race"})
    finer = {"ASIAN": "ASIAN - CHINESE", "BLACK/AFRICAN AMERICAN": "BLACK/CAPE VERDEAN"}
    fine = fine.assign(race=fine["race"].replace(finer))
    fine.loc[1, "race"] = "WHITE - RUSSIAN"  # no contradiction to WHITE
    packed = read(release(tmp_path / "b", ".csv.gz", iv, admissions=fine))
    pd.testing.assert_frame_equal(plain.frame, packed.frame)


def test_mimic_iv_may_lie_elsewhere_or_be_renounced(tmp_path) -> None:
    folder = release(tmp_path / "a")
    for name in ("patients", "admissions"):
        (tmp_path / f"{name}.csv").write_bytes((folder / f"{name}.csv").read_bytes())
        (folder / f"{name}.csv").unlink()
    with pytest.raises(BadInput, match=r"no patients.csv.*physionet.*--no-demographics"):
        read(folder)
    assert len(read(folder, demographics=str(tmp_path)).frame) == 6
    without = read(folder, no_demographics=True).frame
    assert len(without) == 10
    assert without[["sex", "race", "age"]].isna().all(axis=None)


def test_every_frontal_image_may_be_kept(tmp_path) -> None:
    frame = read(release(tmp_path), population="frontal").frame
    assert frame["patient_id"].nunique() == 4
    assert frame.loc[frame["patient_id"] == SUBJECTS[3], "race"].isna().all()


def test_the_official_split_is_used_where_it_is(tmp_path) -> None:
    folder = release(tmp_path)
    split = {0: "train", 1: "validate", 2: "test", 3: "test", 4: "test"}
    official = metadata()[["dicom_id", "study_id", "subject_id"]]
    named = official["subject_id"].map({SUBJECTS[i]: name for i, name in split.items()})
    official = official.assign(split=named)
    official.to_csv(folder / f"{STEM}split.csv.gz", index=False)
    source = read(folder)
    assert source.frame["split"].tolist() == ["train"] * 2 + ["val"] * 2 + ["test"] * 2
    assert source.origin["split"] == "list"
    assert read(folder, random_split=True).origin["split"] == "random"
    with pytest.raises(BadInput, match="cannot be combined"):
        read(folder, random_split=True, split_list="x")
    leaking = official.assign(split=["train", "train", "test", "test"] * 5)
    leaking.to_csv(tmp_path / "leaking.csv", index=False)
    with pytest.raises(BadInput, match="in more than one split"):
        read(folder, split_list=str(tmp_path / "leaking.csv"))
    official.assign(split="trian").to_csv(tmp_path / "odd.csv", index=False)
    with pytest.raises(BadInput, match="did you mean 'train'"):
        read(folder, split_list=str(tmp_path / "odd.csv"))


def test_the_labeller_is_a_choice(tmp_path) -> None:
    folder = release(tmp_path)
    negbio = labels().rename(columns={"Lung Opacity": "Airspace Opacity"}).assign(Edema=0.0)
    with pytest.raises(BadInput, match=r"no mimic-cxr-2.0.0-negbio.csv"):
        read(folder, labeller="negbio")
    negbio.to_csv(folder / f"{STEM}negbio.csv", index=False)
    frame = read(folder, labeller="negbio").frame
    assert (frame["y_Edema"] == 0).all()
    assert "y_Lung Opacity" in frame


def test_studies_without_labels_are_dropped_and_twice_labelled_ones_refused(tmp_path) -> None:
    some = {f"{STEM}chexpert": labels().iloc[1:]}
    source = read(release(tmp_path / "a", **some))
    assert source.notes["images of studies without labels, dropped"] == 1
    twice = {f"{STEM}chexpert": pd.concat([labels(), labels().iloc[:1]])}
    with pytest.raises(BadInput, match="1 studies are listed twice: 501"):
        read(release(tmp_path / "b", **twice))


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("patients", lambda t: t.drop(columns="anchor_age"), r"lacks the column\(s\) anchor_age"),
        ("admissions", lambda t: t.drop(columns="ethnicity"), r"lacks the column\(s\) race"),
        ("admissions", lambda t: t.assign(subject_id=1), "names none of the table's patients"),
        ("admissions", lambda t: t.assign(ethnicity="OTHER"), "no image is left"),
        (f"{STEM}metadata", lambda t: labels(), r"column\(s\) dicom_id.*looks like.*MIMIC-CXR"),
        (f"{STEM}metadata", lambda t: t.assign(study_id=None), "study_id is blank"),
        (f"{STEM}chexpert", lambda t: t.assign(Edema=3), "Edema holds 3; allowed are"),
    ],
)
def test_bad_tables_are_refused(tmp_path, name: str, change, message: str) -> None:
    with pytest.raises(BadInput, match=message) as caught:
        read(release(tmp_path, **{name: change(tables()[name])}))
    assert "\n" not in str(caught.value)


def test_a_patient_with_two_sexes_is_dropped_and_odd_values_become_null(tmp_path) -> None:
    patients = tables()["patients"]
    patients = pd.concat([patients, patients.iloc[:1].assign(gender="M")])
    patients.loc[1, "gender"] = "U"
    patients = patients.astype({"anchor_age": "object"})
    patients.iloc[1, 2] = "old"
    source = read(release(tmp_path, patients=patients))
    assert source.notes["patients with more than one sex, dropped"] == 1
    assert SUBJECTS[0] not in set(source.frame["patient_id"])
    of_second = source.frame[source.frame["patient_id"] == SUBJECTS[1]]
    assert of_second[["sex", "age"]].isna().all(axis=None)


def test_the_source_must_be_a_folder_with_tables(tmp_path) -> None:
    with pytest.raises(BadInput, match=r"is not a folder.*physionet"):
        read(tmp_path / "absent")
    with pytest.raises(BadInput, match=r"no mimic-cxr-2.0.0-metadata.csv.*physionet"):
        read(tmp_path)
