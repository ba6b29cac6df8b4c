"""Csv tables as they are found: broken off, mislabelled, badly encoded, of another data set."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from fairfm_core.data.readers.chestxray14 import COLUMNS as NIH
from fairfm_core.data.readers.tabular.tables import choose_columns, find_table, read_text_table
from fairfm_core.errors import BadInput


def written(folder: Path, text: str | bytes, name: str = "t.csv") -> Path:
    path = folder / name
    content = text.encode() if isinstance(text, str) else text
    path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    return path


@pytest.mark.parametrize("name", ["t.csv", "t.csv.gz"])
@pytest.mark.parametrize("end", ["", "\n", "\r\n", "\n\n"])
def test_a_whole_table_is_read_and_a_broken_one_is_not(tmp_path, name: str, end: str) -> None:
    text = "Path,Sex,Age,Edema\na.jpg,F,60,1.0\nb.jpg,M,61,"
    table, notes = read_text_table(written(tmp_path, text + end, name))
    assert table["Path"].tolist() == ["a.jpg", "b.jpg"]
    assert table["Edema"].isna().tolist() == [False, True]
    assert notes == {}
    with pytest.raises(BadInput, match="damaged: the header has 4 fields, line 3 has 2"):
        read_text_table(written(tmp_path, text.removesuffix("61,").removesuffix(",") + end, name))


def test_a_short_or_long_row_inside_is_named(tmp_path) -> None:
    """A spliced download: blanks at the end of a row would be read as labels that are absent."""
    text = "Path,Sex,Edema\na.jpg,F,1\nb.jpg,M\nc.jpg,F,1,,\nd.jpg,F,0,\n"
    with pytest.raises(BadInput, match="line 3 has 2, line 4 has 5"):
        read_text_table(written(tmp_path, text))


def test_words_that_mean_nothing_to_pandas_stay_words(tmp_path) -> None:
    table, _ = read_text_table(written(tmp_path, "Path,Race\nNA,None\nb.jpg, \nc.jpg,null\n"))
    assert table["Path"].tolist() == ["NA", "b.jpg", "c.jpg"]
    assert table["Race"].isna().tolist() == [False, True, False]


def test_a_last_row_of_several_lines_is_whole(tmp_path) -> None:
    table, _ = read_text_table(written(tmp_path, 'Path,Report\na.jpg,"no\n\nfinding, ""none"""\n'))
    assert table["Report"].tolist() == ['no\n\nfinding, "none"']


def test_bytes_that_are_not_utf8_are_counted(tmp_path) -> None:
    path = written(tmp_path, b"Path,Race\na.jpg,Sami \xe4\xf6\nb.jpg,S\xc3\xa1mi\n")
    table, notes = read_text_table(path)
    assert table["Race"].tolist() == ["Sami \ufffd\ufffd", "Sámi"]
    assert notes == {"bytes not UTF-8 in t.csv, replaced": 2}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"PK\x03\x04rest", "is an Excel or zip file, not a csv file"),
        (b"PAR1rest", "is a parquet file, not a csv file"),
        (b"", "has no header"),
        (b"\n\na,b\n", "has no header"),
        (b"a,b\n", "holds no rows"),
        (b'a,b\n1,"2\n', "not a readable csv file"),
    ],
)
def test_what_is_no_csv_is_named(tmp_path, text: bytes, message: str) -> None:
    with pytest.raises(BadInput, match=message) as caught:
        read_text_table(written(tmp_path, text))
    assert "\n" not in str(caught.value)


def test_a_missing_file_and_a_folder_are_named(tmp_path) -> None:
    with pytest.raises(BadInput, match=r"absent.csv does not exist"):
        read_text_table(tmp_path / "absent.csv")
    with pytest.raises(BadInput, match="cannot be read"):
        read_text_table(tmp_path)
    with pytest.raises(BadInput, match=r"no patients.csv or patients.csv.gz in .*; fetch it"):
        find_table([tmp_path, tmp_path / "hosp"], "patients", "fetch it")


@pytest.mark.parametrize(
    ("header", "kind"),
    [
        ("Path,Sex,Age,Frontal/Lateral,AP/PA", "CheXpert's table .kind chexpert"),
        ("Path,Sex,Age,FrontalLateral,Position", "CheXpert's table .kind chexpert"),
        ("dicom_id,subject_id", "a table of MIMIC-CXR .kind mimic-cxr"),
        ("subject_id,gender,anchor_age", "MIMIC-IV's patients"),
        ("PATIENT,PRIMARY_RACE", "CheXpert's demographics"),
        ("a,b", "is it the right file"),
    ],
)
def test_the_table_of_another_data_set_is_recognised(tmp_path, header: str, kind: str) -> None:
    row = ",".join("x" for _ in header.split(","))
    table, _ = read_text_table(written(tmp_path, f"{header}\n{row}\n"))
    with pytest.raises(BadInput, match=rf"lacks the column\(s\) Image Index.*{kind}"):
        choose_columns(table, NIH, "the table")
