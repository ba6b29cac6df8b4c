"""ChestX-ray14's reader on small made-up releases and on the real tables."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from PIL import Image

from fairfm_core.data.readers.chestxray14 import (
    FULL_TABLE,
    read_chestxray14,
    read_chestxray14_table,
)
from fairfm_core.data.readers.source import ReadOptions
from fairfm_core.errors import BadInput

HEADER = (
    "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,"
    "OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y]"
)
ROWS = (
    "00000001_000.png,Cardiomegaly,0,1,57,M,PA,2682,2749,0.143,0.143",
    "00000001_001.png,Cardiomegaly|Pleural_Thickening,1,1,58,M,PA,2894,2729,0.143,0.143",
    "00000002_000.png,No Finding,0,2,080Y,F,AP,2500,2048,0.171,0.171",
    "00000003_000.png,Hernia,0,3,411Y,F,PA,2582,2991,0.143,0.143",
)


def table(folder: Path, header: str = HEADER, rows: tuple[str, ...] = ROWS) -> Path:
    path = folder / "Data_Entry_2017.csv"
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return path


def release(folder: Path, images: str = "images", suffix: str = ".png") -> Path:
    """A folder as NIH's archives unpack to, with tiny images."""
    table(folder)
    (folder / images).mkdir(parents=True, exist_ok=True)
    for row in ROWS:
        name = Path(row.split(",")[0]).with_suffix(suffix)
        Image.new("L", (20, 20)).save(folder / images / name)
    return folder


def test_a_table_becomes_a_cohort(tmp_path) -> None:
    frame, notes = read_chestxray14_table(table(tmp_path))
    assert frame["patient_id"].tolist() == ["1", "1", "2", "3"]
    assert frame["sex"].tolist() == ["M", "M", "F", "F"]
    assert frame["view"].tolist() == ["PA", "PA", "AP", "PA"]
    assert frame["race"].isna().all()
    assert frame["age"][:3].tolist() == [57, 58, 80]
    assert frame["age"].isna()[3]
    assert notes["ages impossible, set to null"] == 1
    assert len([name for name in frame if name.startswith("y_")]) == 15
    assert frame["y_Cardiomegaly"].tolist() == [1, 1, 0, 0]
    assert frame["y_Pleural_Thickening"].tolist() == [0, 1, 0, 0]
    assert frame["y_No Finding"].tolist() == [0, 0, 1, 0]


@pytest.mark.parametrize(
    ("header", "end"),
    [
        (HEADER + ",", ","),  # the trailing empty column of 2017
        (HEADER, ","),
        (HEADER + ",", ""),
        (HEADER.replace("Patient Gender", "Patient Sex"), ""),
        (HEADER.replace(" ", "_"), ""),
        ("\ufeff" + HEADER, ""),
    ],
)
def test_header_spellings_and_trailing_commas(tmp_path, header: str, end: str) -> None:
    plain, _ = read_chestxray14_table(table(tmp_path))
    odd, _ = read_chestxray14_table(table(tmp_path, header, tuple(row + end for row in ROWS)))
    assert odd.equals(plain)


def test_ages_in_every_unit_and_blank_or_unknown_values(tmp_path) -> None:
    ages = ["60", "060Y", "018M", "073D", "155", "", "old"]
    sexes = ["M", "F", "f", "Male", "U", "", "M"]
    rows = tuple(
        f"{i:08d}_000.png,Mass,0,{i:08d},{age},{sex},PA,1,1,1,1"
        for i, (age, sex) in enumerate(zip(ages, sexes, strict=True))
    )
    frame, notes = read_chestxray14_table(table(tmp_path, rows=rows))
    assert frame["age"][:4].tolist() == pytest.approx([60, 60, 1.5, 0.2], abs=0.01)
    assert frame["age"][4:].isna().all()
    assert frame["sex"][:4].tolist() == ["M", "F", "F", "M"]
    assert frame["patient_id"].tolist() == [str(i) for i in range(7)]
    assert notes == {
        "rows in the table": 7,
        "ages impossible, set to null": 1,
        "ages unreadable or blank, set to null": 2,
        "sex neither M nor F, set to null": 2,
    }


def test_bytes_that_are_not_utf8_are_survived(tmp_path) -> None:
    path = table(tmp_path)
    path.write_bytes(path.read_bytes().replace(b"PA,2682", b"P\xe4,2682"))
    assert len(read_chestxray14_table(path)[0]) == 4


@pytest.mark.parametrize(
    ("header", "rows", "message"),
    [
        ("Path,Sex,Age", ("a,b,1",), r"lacks the column\(s\) Image Index.*it has Path, Sex, Age"),
        (HEADER.replace("Patient ID", "Patient"), ROWS, r"lacks the column\(s\) Patient ID"),
        (HEADER, ("a.png,Hernea,0,1,57,M,PA,1,1,1,1",), "'Hernea'.*did you mean 'Hernia'"),
        (HEADER, ("a.png,,0,1,57,M,PA,1,1,1,1",), r"Finding Labels is blank in line\(s\) 2"),
        (HEADER, (), "holds no rows"),
        (HEADER, ("a,b", 'c,"d'), "is damaged"),
    ],
)
def test_bad_tables_are_refused(tmp_path, header: str, rows, message: str) -> None:
    with pytest.raises(BadInput, match=message) as caught:
        read_chestxray14_table(table(tmp_path, header, rows))
    assert "\n" not in str(caught.value)


def test_a_broken_gz_is_refused(tmp_path) -> None:
    path = tmp_path / "Data_Entry_2017.csv.gz"
    path.write_bytes(gzip.compress("\n".join([HEADER, *ROWS]).encode())[:60])
    with pytest.raises(BadInput, match="not a readable csv"):
        read_chestxray14_table(path)
    path.write_bytes(b"<html>sign in</html>")
    with pytest.raises(BadInput, match="not a readable csv"):
        read_chestxray14_table(path)


@pytest.mark.parametrize("images", ["images", "images_001/images", "images_007", "."])
@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_images_are_found_wherever_nih_unpacks_them(tmp_path, images: str, suffix: str) -> None:
    source = read_chestxray14(str(release(tmp_path, images, suffix)), ReadOptions())
    assert [file.name for file in source.files] == [
        Path(row.split(",")[0]).with_suffix(suffix).name for row in ROWS
    ]
    assert source.frame["row"].tolist() == [0, 1, 2, 3]
    assert source.frame["split"].notna().all()
    assert source.notes["rows fewer than in NIH's full table"] == FULL_TABLE - 4
    assert not any(str(tmp_path) in str(value) for value in source.origin.values())


def test_missing_images_are_listed_unless_allowed(tmp_path) -> None:
    folder = release(tmp_path)
    (folder / "images" / "00000001_001.png").unlink()
    with pytest.raises(BadInput, match=r"1 of 4 images are missing.*00000001_001.png.*missing 1"):
        read_chestxray14(str(folder), ReadOptions())
    source = read_chestxray14(str(folder), ReadOptions(allow_missing=1))
    assert len(source.frame) == len(source.files) == 3
    assert source.notes["images missing, dropped"] == 1
    assert source.frame["row"].tolist() == [0, 1, 2]
    for file in (folder / "images").iterdir():
        file.unlink()
    with pytest.raises(BadInput, match="none of the 4 images"):
        read_chestxray14(str(folder), ReadOptions(allow_missing=9))


def test_official_lists_are_used_and_must_be_two(tmp_path) -> None:
    folder = release(tmp_path)
    (folder / "train_val_list.txt").write_text("00000001_000.png\n00000001_001.png\n")
    with pytest.raises(BadInput, match=r"holds train_val_list.txt but not test_list.txt"):
        read_chestxray14(str(folder), ReadOptions())
    (folder / "test_list.txt").write_text("00000002_000.png\n99999999_000.png\n")
    source = read_chestxray14(str(folder), ReadOptions())
    split = source.frame["split"]
    assert split[2] == "test"
    assert split[0] == split[1] in ("train", "val")
    assert split.isna().tolist() == [False, False, False, True]
    assert source.notes["images on no split list"] == 1
    assert source.origin["split"] == "lists"


@pytest.mark.parametrize("suffix", [".csv", ".csv.gz"])
def test_a_split_list_may_be_given(tmp_path, suffix: str) -> None:
    folder = release(tmp_path, suffix=".jpg")
    names = [row.split(",")[0] for row in ROWS]
    lines = zip(names, ["train", "train", "val", "test"], strict=True)
    text = "Image Index,split\n" + "\n".join(",".join(line) for line in lines)
    path = tmp_path / f"split{suffix}"
    path.write_bytes(gzip.compress(text.encode()) if suffix.endswith("gz") else text.encode())
    source = read_chestxray14(str(folder), ReadOptions(split_list=str(path)))
    assert source.frame["split"].tolist() == ["train", "train", "val", "test"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name,split\na,train\n", r"lacks the column\(s\) Image Index"),
        ("Image Index,split\n00000001_000.png,training\n", "did you mean 'train'"),
        ("Image Index,split\nother.png,train\n", "none of the 4 images"),
        (None, "does not exist"),
    ],
)
def test_bad_split_lists_are_refused(tmp_path, text: str | None, message: str) -> None:
    folder = release(tmp_path)
    if text is not None:
        (tmp_path / "list.csv").write_text(text)
    with pytest.raises(BadInput, match=message):
        read_chestxray14(str(folder), ReadOptions(split_list=str(tmp_path / "list.csv")))


def test_the_table_must_be_there_once(tmp_path) -> None:
    with pytest.raises(BadInput, match=r"does not exist.*nihcc"):
        read_chestxray14(str(tmp_path / "absent"), ReadOptions())
    with pytest.raises(BadInput, match=r"no Data_Entry\*.csv"):
        read_chestxray14(str(tmp_path), ReadOptions())
    folder = release(tmp_path)
    (folder / "Data_Entry_2020.csv").write_text(HEADER)
    with pytest.raises(BadInput, match=r"2 tables.*give the path of one of them"):
        read_chestxray14(str(folder), ReadOptions())
    named = read_chestxray14(str(folder / "Data_Entry_2017.csv"), ReadOptions())
    assert len(named.frame) == 4


@pytest.mark.slow
def test_the_full_table_has_the_published_counts(shared_data: Path) -> None:
    frame, notes = read_chestxray14_table(shared_data / "nih_metadata/Data_Entry_2017_v2020.csv.gz")
    assert (len(frame), frame["patient_id"].nunique()) == (112_120, 30_805)
    assert frame["sex"].value_counts().to_dict() == {"M": 63_340, "F": 48_780}
    assert frame["view"].value_counts().to_dict() == {"PA": 67_310, "AP": 44_810}
    assert (frame["age"].min(), frame["age"].max()) == (0, 95)
    assert sum(notes.values()) == notes["rows in the table"]
    published = {
        "No Finding": 60_361,
        "Infiltration": 19_894,
        "Effusion": 13_317,
        "Atelectasis": 11_559,
        "Nodule": 6_331,
        "Mass": 5_782,
        "Pneumothorax": 5_302,
        "Consolidation": 4_667,
        "Pleural_Thickening": 3_385,
        "Cardiomegaly": 2_776,
        "Emphysema": 2_516,
        "Edema": 2_303,
        "Fibrosis": 1_686,
        "Pneumonia": 1_431,
        "Hernia": 227,
    }
    assert {name: int(frame[f"y_{name}"].sum()) for name in published} == published


@pytest.mark.parametrize(
    ("name", "rows", "patients", "impossible"),
    [
        ("early_release_10000_sample_labels.csv", 10_000, 2_327, 0),
        ("kaggle_sample_5606_labels.csv", 5_606, 4_230, 1),
    ],
)
def test_odd_releases_are_read(shared_data: Path, name, rows, patients, impossible) -> None:
    frame, notes = read_chestxray14_table(shared_data / "nih_metadata" / name)
    assert (len(frame), frame["patient_id"].nunique()) == (rows, patients)
    assert notes["ages impossible, set to null"] == frame["age"].isna().sum() == impossible
    assert frame["age"].max() <= 95
    assert (frame["age"] < 0.1).sum() == (1 if impossible else 0)  # 001D


def test_real_images_are_matched_to_the_real_table(shared_data: Path) -> None:
    official = shared_data / "nih_metadata/official_split.csv.gz"
    options = ReadOptions(split_list=str(official))
    source = read_chestxray14(str(shared_data / "nih_cxr1100"), options)
    assert len(source.files) == len(source.frame) == 1_075
    assert source.frame["patient_id"].nunique() == 743
    assert source.frame["sex"].value_counts().to_dict() == {"M": 566, "F": 509}
    assert source.frame["split"].notna().all()
    assert int(source.frame["y_Pneumonia"].sum()) == 492


def test_the_official_lists_may_be_set_aside(tmp_path) -> None:
    folder = release(tmp_path)
    (folder / "train_val_list.txt").write_text("00000001_000.png\n00000001_001.png\n")
    (folder / "test_list.txt").write_text("00000002_000.png\n")
    source = read_chestxray14(str(folder), ReadOptions(random_split=True))
    assert source.origin["split"] == "random"
    assert source.frame["split"].notna().all()


def test_a_split_list_without_a_split_is_refused(tmp_path) -> None:
    folder = release(tmp_path)
    (tmp_path / "list.csv").write_text("Image Index,split\n00000001_000.png,\n")
    with pytest.raises(BadInput, match="none of the 4 images is on a split list"):
        read_chestxray14(str(folder), ReadOptions(split_list=str(tmp_path / "list.csv")))


def test_a_patient_with_two_sexes_is_dropped(tmp_path) -> None:
    folder = release(tmp_path)
    table(folder, rows=(ROWS[0].replace(",M,", ",F,"), *ROWS[1:]))
    source = read_chestxray14(str(folder), ReadOptions())
    assert source.frame["patient_id"].tolist() == ["2", "3"]
    assert source.notes["patients with more than one sex, dropped"] == 1
