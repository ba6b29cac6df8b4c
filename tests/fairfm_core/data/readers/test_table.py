"""Any table with a YAML file that says what its columns mean."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from fairfm_core.data.preparation.kinds import read_kind
from fairfm_core.data.readers.source import ReadOptions, Source
from fairfm_core.errors import BadInput

FUNDUS: dict[str, Any] = {
    "table": "retina.csv",
    "images": "photos",
    "image": "file",
    "suffix": ".jpg",
    "patient": "person",
    "sex": {"column": "gender", "values": {"woman": "F", "man": "M"}},
    "race": {"column": "ethnicity", "values": {"A": "Asian", "W": "White"}},
    "age": "years",
    "attributes": {"camera": "device", "bmi_group": {"column": "bmi", "bins": [18.5, 25]}},
    "labels": {
        "Retinopathy": {"column": "grade", "values": {0: 0, 1: 0, 2: 1, 3: 1}},
        "Glaucoma": {
            "column": "glaucoma",
            "values": {True: 1, False: 0, "?": "uncertain", "": None},
        },
    },
}


def table() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "file": [f"eye{i}" for i in range(6)],
            "person": ["a", "a", "b", "c", "d", "e"],
            "gender": ["woman", "woman", "man", "man", "other", None],
            "ethnicity": ["A", "A", "W", "W", "Z", None],
            "years": ["60", "060Y", "018M", "411", "33", ""],
            "device": ["x", "y", "x", "y", "x", None],
            "bmi": [17.0, 20.0, 25.0, 30.5, None, 24.9],
            "grade": [0, 1, 2, 3, 0, 0],
            "glaucoma": ["yes", "No", "?", None, "TRUE", "false"],
        }
    )


def write(folder: Path, described: dict[str, Any] | None = None, rows: Any = None) -> Path:
    rows = table() if rows is None else rows
    (folder / "photos").mkdir(exist_ok=True, parents=True)
    for i in range(6):
        (folder / f"photos/eye{i}.jpg").touch()
    described = FUNDUS if described is None else described
    target = folder / str(described["table"])
    if target.suffix == ".parquet":
        rows.to_parquet(target)
    else:
        rows.to_csv(target, index=False)
    path = folder / "fundus.yaml"
    path.write_text(yaml.safe_dump(described))
    return path


def read(path: Path, **options: Any) -> Source:
    return read_kind("table", str(path), ReadOptions.model_validate(options))


@pytest.mark.parametrize("name", ["retina.csv", "retina.csv.gz", "retina.parquet"])
def test_a_described_table_is_a_cohort(tmp_path, name: str) -> None:
    source = read(write(tmp_path, FUNDUS | {"table": name}))
    frame = source.frame
    assert frame["image_id"].tolist() == [f"eye{i}.jpg" for i in range(6)]
    assert frame["patient_id"].tolist() == ["a", "a", "b", "c", "d", "e"]
    assert frame["sex"].fillna("-").tolist() == ["F", "F", "M", "M", "-", "-"]
    assert frame["race"].fillna("-").tolist() == ["Asian", "Asian", "White", "White", "-", "-"]
    assert frame["age"].fillna(-1).tolist() == [60, 60, 1.5, -1, 33, -1]
    assert frame["camera"].fillna("-").tolist() == ["x", "y", "x", "y", "x", "-"]
    groups = ["<18.5", "18.5-<25", "25+", "25+", "-", "18.5-<25"]
    assert frame["bmi_group"].fillna("-").tolist() == groups
    assert frame["y_Retinopathy"].tolist() == [0, 0, 1, 1, 0, 0]
    assert frame["y_Glaucoma"].fillna(-1).tolist() == [1, 0, -1, -1, 1, 0]
    assert frame["u_Glaucoma"].tolist() == [0, 0, 1, 0, 0, 0]
    assert source.notes["race 'Z', set to null"] == 1
    assert source.notes["sex 'other', set to null"] == 1
    assert source.notes["ages impossible, set to null"] == 1
    assert frame["split"].notna().all()
    assert not any(str(tmp_path) in str(value) for value in source.origin.values())


def test_labels_in_one_column(tmp_path) -> None:
    rows = table().assign(found=["a; b", "a", "none", "", "b;b", "none"])
    labels = {"column": "found", "separator": ";", "names": ["a", "b"], "ignore": ["none"]}
    frame = read(write(tmp_path, FUNDUS | {"labels": labels}, rows)).frame
    assert frame["y_a"].fillna(-1).tolist() == [1, 1, 0, -1, 0, 0]
    assert frame["y_b"].fillna(-1).tolist() == [1, 0, 0, -1, 1, 0]
    with pytest.raises(BadInput, match="label 'none' in column 'found' is not among the names"):
        read(write(tmp_path, FUNDUS | {"labels": labels | {"ignore": []}}, rows))


def test_a_split_column_is_taken_and_checked(tmp_path) -> None:
    rows = table().assign(set=["training", "training", "validation", "test", "extra", None])
    source = read(write(tmp_path, FUNDUS | {"split": "set"}, rows))
    assert source.frame["split"].fillna("-").tolist() == ["train"] * 2 + ["val", "test", "-", "-"]
    assert source.notes["split 'extra', set to null"] == 1
    leaking = rows.assign(set=["training", "test", "test", "test", "test", "test"])
    with pytest.raises(BadInput, match=r"1 patient\(s\) are in more than one split: a"):
        read(write(tmp_path, FUNDUS | {"split": "set"}, leaking))


def test_patients_who_contradict_themselves_are_dropped(tmp_path) -> None:
    rows = table().assign(ethnicity=["A", "W", "W", "W", None, None])
    source = read(write(tmp_path, rows=rows))
    assert "a" not in set(source.frame["patient_id"])
    assert source.notes["patients with more than one race, dropped"] == 1


@pytest.mark.parametrize(
    "name", ["../secret.jpg", "/etc/passwd", "a/../../x.jpg", "..", ".", "..\\secret.jpg"]
)
def test_image_paths_stay_below_their_root(tmp_path, name: str) -> None:
    rows = table()
    rows.loc[0, "file"] = name
    with pytest.raises(BadInput, match=r"1 image path\(s\) lead out of"):
        read(write(tmp_path, FUNDUS | {"suffix": ""}, rows))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labls": {}}, "unknown key 'labls'.*did you mean 'labels'"),
        ({"patient": "persn"}, r"lacks the column\(s\) persn; it has file, person"),
        ({"labels": {}}, "give at least one pathology"),
        ({"labels": ["grade"]}, "mapping of pathologies"),
        ({"labels": {"R": {"colum": "grade"}}}, "labels.R.*colum"),
        (
            {"labels": {"R": "grade"}},
            "column 'grade' holds '2', '3'; give each a meaning under values",
        ),
        ({"labels": {"R": {"column": "grade", "values": {0: 2}}}}, "labels.R"),
        ({"labels": {"column": "grade", "separator": "|"}}, "names"),
        ({"attributes": {"age": "years"}}, "'age' is reserved"),
        ({"attributes": {"y_x": "years"}}, "'y_x' is reserved"),
        ({"attributes": {"b": {"column": "bmi", "bins": [3, 2]}}}, "bins must be increasing"),
        (
            {"attributes": {"b": {"column": "bmi", "bins": [3], "values": {"x": "y"}}}},
            "values or bins, not both",
        ),
        ({"race": {"column": "ethnicity", "values": {"q": "Q"}}}, "none of the listed.*A, W, Z"),
        ({"table": "absent.csv"}, "absent.csv does not exist"),
        ({"table": "absent.parquet"}, "absent.parquet does not exist"),
    ],
)
def test_bad_descriptions_are_refused(tmp_path, change: dict[str, Any], message: str) -> None:
    path = write(tmp_path)
    path.write_text(yaml.safe_dump(FUNDUS | change))
    with pytest.raises(BadInput, match=message) as caught:
        read(path)
    assert "\n" not in str(caught.value)


def test_a_folder_or_a_damaged_parquet_file_is_refused(tmp_path) -> None:
    with pytest.raises(BadInput, match="is a folder: give the YAML file"):
        read(tmp_path)
    path = write(tmp_path, FUNDUS | {"table": "retina.parquet"})
    (tmp_path / "retina.parquet").write_bytes(b"PAR1 no more")
    with pytest.raises(BadInput, match="not a readable parquet"):
        read(path)


def test_sex_needs_no_values_where_it_is_spelt_plainly(tmp_path) -> None:
    rows = table().assign(gender=["Female", "f", "M", "male", "X", None])
    frame = read(write(tmp_path, FUNDUS | {"sex": "gender"}, rows)).frame
    assert frame["sex"].fillna("-").tolist() == ["F", "F", "M", "M", "-", "-"]


def test_the_description_is_part_of_the_origin_and_its_place_is_not(tmp_path) -> None:
    first = read(write(tmp_path / "a")).origin
    assert read(write(tmp_path / "b")).origin == first
    assert read(write(tmp_path / "c", FUNDUS | {"age": None})).origin != first
