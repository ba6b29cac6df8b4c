"""CheXpert's reader on made-up releases in the official layout."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from fairfm_core.data.preparation.kinds import read_kind
from fairfm_core.data.readers.chexpert import FULL_TABLE, read_chexpert_table
from fairfm_core.data.readers.mentions import LABELS
from fairfm_core.data.readers.source import ReadOptions, Source
from fairfm_core.errors import BadInput

FIRST = ("Path", "Sex", "Age", "Frontal/Lateral", "AP/PA")
NON_HISPANIC = "Non-Hispanic/Non-Latino"
RACES = ("White", "Black, non-Hispanic", "Asian", "White or Caucasian", "Other", "White")
ETHNICITIES = (NON_HISPANIC, "Not Hispanic", NON_HISPANIC, NON_HISPANIC, NON_HISPANIC, "Unknown")


def rows(patients: int = 6, prefix: str = "CheXpert-v1.0-small/") -> pd.DataFrame:
    """Two frontal images and a lateral one for each patient."""
    records = []
    for i in range(1, patients + 1):
        for number, view in enumerate(("frontal", "lateral", "frontal"), 1):
            record: dict[str, object] = dict.fromkeys(LABELS)
            record |= {
                "Path": f"{prefix}train/patient{i:05d}/study1/view{number}_{view}.jpg",
                "Sex": "Female" if i % 2 else "Male",
                "Age": 40 + i,
                "Frontal/Lateral": view.title(),
                "AP/PA": "AP" if view == "frontal" else None,
                "Edema": (1.0, 0.0, -1.0, None)[i % 4],
                "Support Devices": 1.0,
            }
            records.append(record)
    return pd.DataFrame(records)[[*FIRST, *LABELS]]


def demographics(patients: int = 6) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "PATIENT": [f"patient{i:05d}" for i in range(1, patients + 1)],
            "GENDER": "Female",
            "AGE_AT_CXR": 99,
            "PRIMARY_RACE": [RACES[i % 6] for i in range(patients)],
            "ETHNICITY": [ETHNICITIES[i % 6] for i in range(patients)],
        }
    )


def release(folder: Path, table: pd.DataFrame | None = None, demo: bool = True) -> Path:
    """A folder as CheXpert unpacks to; the images are empty files."""
    table = rows() if table is None else table
    root = folder / "CheXpert-v1.0-small"
    root.mkdir(parents=True, exist_ok=True)
    table.to_csv(root / "train.csv", index=False)
    for path in table["Path"]:
        image = root / path[path.index("train/") :]
        image.parent.mkdir(parents=True, exist_ok=True)
        image.touch()
    if demo:
        demographics().to_excel(folder / "CHEXPERT DEMO.xlsx", sheet_name="Demo", index=False)
    return root


def split_list(folder: Path, splits: dict[int, str]) -> str:
    path = folder / "split.csv"
    pd.DataFrame({"index": list(splits), "split": list(splits.values())}).to_csv(path)
    return str(path)


def read(source: Path, **options: object) -> Source:
    return read_kind("chexpert", str(source), ReadOptions.model_validate(options))


def test_the_study_population_without_a_list(tmp_path) -> None:
    source = read(release(tmp_path))
    frame = source.frame
    assert frame["patient_id"].unique().tolist() == [f"patient0000{i}" for i in (1, 2, 3, 4)]
    assert frame["race"].tolist() == [r for r in ("White", "Black", "Asian", "White") for _ in "12"]
    assert frame["sex"].tolist() == ["F", "F", "M", "M"] * 2
    assert frame["age"].tolist() == [41, 41, 42, 42, 43, 43, 44, 44]
    assert frame["image_id"][0] == "train/patient00001/study1/view1_frontal.jpg"
    assert (frame["view"] == "AP").all()
    assert frame["split"].notna().all()
    assert source.notes["images not frontal, dropped"] == 6
    assert source.notes["images of race 'Other', dropped"] == 2
    assert source.notes["images of Hispanic or unknown ethnicity, dropped"] == 2
    assert source.notes["rows fewer than in CheXpert's full table"] == FULL_TABLE - 18
    assert not any(str(tmp_path) in str(value) for value in source.origin.values())


def test_every_frontal_image_may_be_kept(tmp_path) -> None:
    source = read(release(tmp_path), population="frontal")
    assert len(source.frame) == 12
    assert source.frame["race"].isna().tolist() == [False] * 8 + [True] * 2 + [False] * 2
    assert source.notes["images of race 'Other', set to null"] == 2


def test_mentions_become_labels_and_marks(tmp_path) -> None:
    frame = read(release(tmp_path)).frame
    assert frame["y_Edema"].tolist()[::2][0] == 0.0
    assert frame["u_Edema"].tolist() == [0, 0, 1, 1, 0, 0, 0, 0]
    assert frame["y_Edema"].isna().tolist() == [False, False, True, True] + [False] * 4
    assert frame["y_Edema"].tolist()[4:] == [0, 0, 1, 1]  # not mentioned, present
    assert (frame["y_Fracture"] == 0).all()
    assert [name for name in frame if name.startswith("u_")] == ["u_Edema"]


@pytest.mark.parametrize(
    "change",
    [
        lambda t: t.rename(columns={"Frontal/Lateral": "FrontalLateral", "AP/PA": "Position"}),
        lambda t: t.assign(Path=t["Path"].str.replace("-small", "")),
        lambda t: t.assign(Path=t["Path"].str.replace("CheXpert-v1.0-small/", "a/b/c/")),
        lambda t: t.assign(Path=t["Path"].str.replace("CheXpert-v1.0-small/", "")),
        lambda t: t[[*LABELS, *FIRST]],
    ],
)
def test_every_spelling_gives_the_same_cohort(tmp_path, change) -> None:
    plain = read(release(tmp_path / "a"))
    changed = read(release(tmp_path / "b", change(rows())))
    pd.testing.assert_frame_equal(plain.frame, changed.frame)


def test_the_source_may_be_the_parent_or_the_table(tmp_path) -> None:
    root = release(tmp_path)
    by_root = read(root).files
    assert read(tmp_path).files == read(root / "train.csv").files == by_root
    (root / "train.csv").rename(tmp_path / "train.csv")
    assert read(tmp_path).files == by_root  # the table above the images


def test_demographics_are_found_or_must_be_renounced(tmp_path) -> None:
    root = release(tmp_path, demo=False)
    with pytest.raises(BadInput, match=r"CHEXPERT DEMO.xlsx.*stanford.*--no-demographics"):
        read(root)
    without = read(root, no_demographics=True)
    assert without.frame["race"].isna().all()
    assert len(without.frame) == 12
    demographics().to_csv(tmp_path / "demo.csv", index=False)
    named = read(root, demographics=str(tmp_path / "demo.csv"))
    demographics().to_excel(root / "CHEXPERT DEMO.xlsx", index=False)
    pd.testing.assert_frame_equal(read(root).frame, named.frame)
    with pytest.raises(BadInput, match="cannot be combined"):
        read(root, demographics="x", no_demographics=True)
    with pytest.raises(BadInput, match=r"absent.xlsx does not exist"):
        read(root, demographics=str(tmp_path / "absent.xlsx"))


def test_the_published_split_is_joined_by_row_number(tmp_path) -> None:
    root = release(tmp_path)
    listed = {0: "train", 2: "train", 3: "validate", 6: "test", 8: "test"}
    frame = read(root, split_list=split_list(tmp_path, listed)).frame
    assert frame["split"].tolist() == ["train", "train", "val", "test", "test"]
    assert frame["patient_id"].str[-1].tolist() == list("11233")
    both = read(root, split_list=split_list(tmp_path, listed), population="frontal").frame
    assert both["split"].notna().sum() == 5
    assert len(both) == 12


@pytest.mark.parametrize(
    ("listed", "message"),
    [
        ({1: "train", 3: "test"}, "does not belong.*1 of its images are not frontal.*lateral"),
        ({0: "train", 99: "test"}, "does not belong.*row 99, the table has 18 rows"),
        ({0: "train", 2: "test"}, r"does not belong.*1 patient\(s\) are in more than one split"),
        ({0: "trian"}, "did you mean 'train'"),
        ({-1: "train"}, "must be a row number, not -1"),
    ],
)
def test_a_list_of_another_table_is_refused(tmp_path, listed, message: str) -> None:
    root = release(tmp_path)
    with pytest.raises(BadInput, match=message) as caught:
        read(root, split_list=split_list(tmp_path, listed))
    assert "\n" not in str(caught.value)


def test_a_list_with_a_row_twice_or_other_columns_is_refused(tmp_path) -> None:
    root = release(tmp_path)
    path = tmp_path / "list.csv"
    path.write_text(",index,split\n0,0,train\n1,0,train\n")
    with pytest.raises(BadInput, match=r"1 row\(s\) are listed twice: 0"):
        read(root, split_list=str(path))
    path.write_text("Image Index,split\na.png,train\n")
    with pytest.raises(BadInput, match=r"lacks the column\(s\) index"):
        read(root, split_list=str(path))


def test_patients_who_contradict_themselves_are_dropped(tmp_path) -> None:
    table, demo = rows(), demographics()
    table.loc[1, "Sex"] = "Male"  # the lateral image counts too
    root = release(tmp_path, table)
    again = demo.iloc[[1, 2]].assign(PRIMARY_RACE=["Asian", "Asian, non-Hispanic"])
    pd.concat([demo, again]).to_excel(tmp_path / "CHEXPERT DEMO.xlsx", index=False)
    source = read(root)
    assert source.frame["patient_id"].unique().tolist() == ["patient00003", "patient00004"]
    assert source.notes["patients with more than one race, dropped"] == 1
    assert source.notes["patients with more than one sex, dropped"] == 1


def test_odd_values_are_survived_and_counted(tmp_path) -> None:
    table = rows().astype({"Age": "object"})
    table.loc[0:2, "Sex"] = "Unknown"
    table.loc[3, "Age"] = "155"
    table.loc[6, "Age"] = None
    frame, notes = read_chexpert_table(release(tmp_path, table) / "train.csv")
    assert frame["sex"].isna().sum() == notes["sex neither Male nor Female, set to null"] == 3
    assert notes["ages impossible, set to null"] == notes["ages unreadable or blank, set to null"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.drop(columns=["Sex", "AP/PA"]), r"lacks the column\(s\) Sex, AP/PA"),
        (lambda t: t.drop(columns=["Edema"]), r"lacks the column\(s\) Edema; it has Path"),
        (lambda t: t.assign(Edema=2.0), "Edema holds 2.0; allowed are 1, 0, -1"),
        (lambda t: t.assign(Path="image.jpg"), "are not of the form"),
        (lambda t: t.assign(Path=None), r"Path is blank in line\(s\) 2, 3"),
        (lambda t: t[t["Frontal/Lateral"] == "Lateral"], "no image is left: all 6 are not frontal"),
    ],
)
def test_bad_tables_are_refused(tmp_path, change, message: str) -> None:
    root = release(tmp_path)
    change(rows()).to_csv(root / "train.csv", index=False)
    with pytest.raises(BadInput, match=message) as caught:
        read(root)
    assert "\n" not in str(caught.value)


def test_bad_sources_and_demographics_are_refused(tmp_path) -> None:
    with pytest.raises(BadInput, match=r"does not exist.*stanford"):
        read(tmp_path / "absent")
    with pytest.raises(BadInput, match=r"no train.csv in.*stanford"):
        read(tmp_path)
    root = release(tmp_path)
    demo = tmp_path / "CHEXPERT DEMO.xlsx"
    demographics().assign(PATIENT="someone").to_excel(demo, index=False)
    with pytest.raises(BadInput, match=r"names none of the table's patients.*'someone'"):
        read(root)
    demographics().drop(columns="ETHNICITY").to_excel(demo, index=False)
    with pytest.raises(BadInput, match=r"lacks the column\(s\) ETHNICITY"):
        read(root)
    demo.write_bytes(b"<html>")
    with pytest.raises(BadInput, match="not a readable Excel file"):
        read(root)
    demo.write_bytes(b"PK\x03\x04 broken off")
    with pytest.raises(BadInput, match="not a readable Excel file"):
        read(root)


def test_missing_images_are_listed_unless_allowed(tmp_path) -> None:
    root = release(tmp_path)
    (root / "train/patient00001/study1/view1_frontal.jpg").unlink()
    with pytest.raises(BadInput, match=r"1 of 8 images are missing.*view1_frontal.*missing 1"):
        read(root)
    source = read(root, allow_missing=1)
    assert len(source.frame) == len(source.files) == 7
    assert source.frame["row"].tolist() == list(range(7))


def test_foreign_options_are_refused(tmp_path) -> None:
    with pytest.raises(BadInput, match="chexpert has no option --labeller"):
        read(tmp_path, labeller="negbio")
    with pytest.raises(BadInput, match="chestxray14 has no option --demographics"):
        read_kind("chestxray14", str(tmp_path), ReadOptions(demographics="x"))


def test_valid_csv_is_read_where_it_is_named(tmp_path) -> None:
    root = release(tmp_path)
    table = rows().iloc[:3].assign(Path=lambda t: t["Path"].str.replace("train/", "valid/"))
    table.to_csv(root / "valid.csv", index=False)
    (root / "train").rename(root / "valid")
    source = read(root / "valid.csv", no_demographics=True)
    assert source.frame["image_id"][0] == "valid/patient00001/study1/view1_frontal.jpg"
    assert len(source.files) == 2
    with pytest.raises(BadInput, match="does not belong to this table"):
        read(
            root / "valid.csv", split_list=split_list(tmp_path, {6: "train"}), no_demographics=True
        )
