"""Tables as people keep them: delimiters, encodings, lists, filters, dates, joins, odd values."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from ..preparing import Desk, ramp

pytestmark = pytest.mark.slow  # hundreds of command lines: a minute together

COUNT = 12


def png(roll: int) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.roll(ramp(), 7 * roll)).save(file, "PNG")
    return file.getvalue()


def rows(**columns: Any) -> pd.DataFrame:
    """Twelve images of six patients, and further columns."""
    base = {
        "file": [f"{i}.png" for i in range(COUNT)],
        "person": [f"p{i // 2}" for i in range(COUNT)],
        "edema": [i // 2 % 2 for i in range(COUNT)],
    }
    return pd.DataFrame(base | columns)


def alternating(*values: Any) -> list[Any]:
    """The values in turn, one a patient."""
    return [values[i // 2 % len(values)] for i in range(COUNT)]


@pytest.fixture
def filled(desk: Desk) -> Desk:
    """A desk with the twelve images."""
    desk.write({f"{i}.png": png(i) for i in range(COUNT)})
    return desk


NAMED = rows(sex=alternating("F", "M"), place=alternating("Köln", "Bonn"))
FORMS: dict[str, tuple[bytes, dict[str, Any]]] = {
    "semicolons": (NAMED.to_csv(index=False, sep=";").encode(), {}),
    "tabs": (NAMED.to_csv(index=False, sep="\t").encode(), {}),
    "a given delimiter": (NAMED.to_csv(index=False, sep="!").encode(), {"delimiter": "!"}),
    "UTF-16": (NAMED.to_csv(index=False).encode("utf-16"), {}),
    "UTF-8 with a mark": (NAMED.to_csv(index=False).encode("utf-8-sig"), {}),
    "Latin-1": (NAMED.to_csv(index=False).encode("latin-1"), {"encoding": "latin-1"}),
    "comments": (
        ("# exported\n" + NAMED.to_csv(index=False)).replace("\n5.png", "\n# note\n5.png").encode(),
        {"comment": "#"},
    ),
    "Windows line ends": (NAMED.to_csv(index=False, lineterminator="\r\n").encode(), {}),
}


@pytest.mark.parametrize("name", FORMS)
def test_csv_files_are_read_in_any_form(filled: Desk, name: str) -> None:
    content, form = FORMS[name]
    filled.write({"clinic.csv": content})
    filled.describe(sex="sex", attributes={"place": "place"}, **form)
    said = filled.prepare()
    assert said.code == 0, said.err
    assert filled.column("sex") == NAMED["sex"].tolist()
    assert filled.column("place") == NAMED["place"].tolist()


@pytest.mark.parametrize("sheet", [None, "second"])
def test_excel_files_are_read(filled: Desk, sheet: str | None) -> None:
    with pd.ExcelWriter(filled.folder / "clinic.xlsx") as book:
        if sheet is not None:
            pd.DataFrame({"note": ["see the other sheet"]}).to_excel(book, sheet_name="first")
        NAMED.to_excel(book, sheet_name="second", index=False)
    named = {} if sheet is None else {"sheet": sheet}
    filled.describe(table="clinic.xlsx", sex="sex", **named)
    assert filled.prepare().code == 0
    assert filled.column("sex") == NAMED["sex"].tolist()


LISTS = {
    "python": "['a', 'b ']",
    "JSON": '["a", "b"]',
}


@pytest.mark.parametrize("name", LISTS)
def test_labels_may_be_a_list(filled: Desk, name: str) -> None:
    filled.describe(
        rows(found=alternating(LISTS[name], "['a']", "[]", None)),
        labels={"column": "found", "form": "list", "names": ["a", "b"]},
    )
    assert filled.prepare().code == 0
    assert filled.column("y_a")[::2] == [1, 1, 0, None, 1, 1]
    assert filled.column("y_b")[::2] == [1, 0, 0, None, 1, 0]


def test_rows_are_filtered(filled: Desk) -> None:
    filled.describe(rows(view=["PA", "L"] * 6), rows={"view": "PA"})
    said = filled.prepare()
    assert "images of rows whose view is not PA, dropped: 6" in said.out
    assert len(filled.data.frame) == 6


DATES = {
    "days": ({"born": "1960-03-01", "at": "2020-03-01"}, 60.0),
    "digits": ({"born": "19600301", "at": "20200301"}, 60.0),
    "a year of birth": ({"born": "1960", "at": "20201231"}, 60.0),
    "German": ({"born": "01.03.1960", "at": "01.03.2020"}, 60.0),
}


@pytest.mark.parametrize("name", DATES)
def test_ages_are_computed_from_dates(filled: Desk, name: str) -> None:
    dates, age = DATES[name]
    filled.describe(rows(**dates), age={"born": "born", "at": "at"})
    assert filled.prepare().code == 0
    assert filled.column("age") == pytest.approx([age] * COUNT, abs=0.01)


def test_dates_that_may_mean_two_days_need_their_form(filled: Desk) -> None:
    table = rows(born="03/04/1960", at="03/04/2020")
    filled.describe(table, age={"born": "born", "at": "at"})
    assert 'give their form, such as format: "%d/%m/%Y"' in filled.prepare().error
    filled.describe(age={"born": "born", "at": "at", "format": "%d/%m/%Y"})
    assert filled.prepare().code == 0
    assert filled.column("age") == pytest.approx([60.0] * COUNT, abs=0.01)


BOUNDS = {">90": 90.0, "90+": 90.0, "85 or more": 85.0, "060Y": 60.0, "18M": 1.5, "57,5": 57.5}


@pytest.mark.parametrize("text", BOUNDS)
def test_ages_are_read_as_they_are_typed(filled: Desk, text: str) -> None:
    filled.describe(rows(years=text), age="years")
    said = filled.prepare()
    assert filled.column("age") == [BOUNDS[text]] * COUNT
    bound = "ages as a lower bound (such as >90 or 90+), taken as the bound: 12" in said.out
    assert bound == (BOUNDS[text] in (85.0, 90.0))


def test_two_tables_are_joined(filled: Desk) -> None:
    people = pd.DataFrame({"ID": [f"p{i}" for i in range(5)], "sex": ["f", "M", "F", "m", "F"]})
    filled.write({"people.csv": people.to_csv(index=False, sep=";")})
    filled.describe(rows(), sex="sex", join={"table": "people.csv", "on": {"person": "ID"}})
    said = filled.prepare()
    assert said.code == 0, said.err
    assert filled.column("sex")[::2] == ["F", "M", "F", "M", "F", None]
    assert "rows without a row in people.csv: 2" in said.out


def test_paths_may_be_written_as_on_windows(desk: Desk) -> None:
    desk.write({f"scans/{i}.png": png(i) for i in range(COUNT)})
    desk.describe(rows(file=[f"scans\\{i}.png" for i in range(COUNT)]))
    assert desk.prepare().code == 0
    assert len(desk.data.frame) == COUNT


def test_the_key_on_is_written_without_quotes(filled: Desk) -> None:
    """In YAML 1.1 it would be the value true."""
    filled.write({"people.csv": "ID,sex\np0,F\n"})
    filled.describe(rows(), sex="sex")
    described = filled.folder / "clinic.yaml"
    described.write_text(described.read_text() + "join: {table: people.csv, on: {person: ID}}\n")
    assert filled.prepare().code == 0
    assert filled.column("sex")[0] == "F"


def test_attributes_are_cleaned_in_one_way_and_counted(filled: Desk) -> None:
    race = ["White", "white ", "White", "White", "Asian", "asian", "nan", "Unknown", "None", "n/a"]
    filled.describe(
        rows(race=[*race, "Black  African", "Black African"], person=list("abcdefghijkl")),
        race="race",
    )
    said = filled.prepare()
    expected = ["White"] * 4 + ["Asian"] * 2 + [None] * 4 + ["Black African"] * 2
    assert filled.column("race") == expected
    assert "race: unknown in words, set to null: 4" in said.out
    assert "race: white space removed: 1" in said.out
    assert "race: spelling unified: 2" in said.out
    assert filled.data.manifest.notes["race: spelling unified"] == 2


def test_one_patient_typed_in_two_ways_is_no_contradiction(filled: Desk) -> None:
    filled.describe(
        rows(race=["White", "white "] * 6, sex=["F ", "female"] * 6), race="race", sex="sex"
    )
    said = filled.prepare()
    assert said.code == 0, said.err
    assert filled.column("race") == ["White"] * COUNT
    assert filled.column("sex") == ["F"] * COUNT


def test_splits_are_known_in_any_case(filled: Desk) -> None:
    filled.describe(rows(part=alternating("Train", "TEST", "Validation")), split="part")
    assert filled.prepare().code == 0
    assert filled.column("split") == alternating("train", "test", "val")


def test_a_misspelt_split_is_refused_and_another_word_left_out(filled: Desk) -> None:
    filled.describe(rows(part=alternating("train", "val", "trian")), split="part")
    error = filled.prepare().error
    assert "split: part holds 'trian' in " in error
    assert "(did you mean 'train'?)" in error
    filled.describe(rows(part=alternating("train", "val", "unused")), split="part")
    assert "split 'unused', set to null" in filled.prepare().out


def test_random_splits_keep_the_shares_of_what_is_asked(desk: Desk) -> None:
    patients = range(120)
    table = pd.DataFrame(
        {
            "file": "0.png",
            "person": [f"p{i}" for i in patients],
            "edema": [int(i % 5 == 0) for i in patients],
            "sex": ["F" if i % 2 else "M" for i in patients],
            "age": [30 + 50 * (i % 3 == 0) for i in patients],
        }
    )
    desk.write({f"{i}.png": png(i) for i in patients})
    table["file"] = [f"{i}.png" for i in patients]
    desk.describe(table, sex="sex", age="age")
    options = ["--stratify", "sex,age,Edema", "--fractions", 0.5, 0.25, 0.25]
    said = desk.prepare(*options)
    assert said.code == 0, said.err
    frame = desk.data.frame
    for split, count in (("train", 60), ("val", 30), ("test", 30)):
        part = frame[frame["split"] == split]
        assert abs(len(part) - count) <= 4
        assert abs(part["y_Edema"].sum() - count / 5) <= 3
        assert abs((part["age"] > 50).sum() - count / 3) <= 4
        assert abs((part["sex"] == "F").sum() - count / 2) <= 4
    assert frame.groupby("patient_id")["split"].nunique().max() == 1


REFUSED: dict[str, tuple[pd.DataFrame, dict[str, Any], str]] = {
    "an unknown encoding": (rows(), {"encoding": "utf-99"}, "encoding 'utf-99' is not known"),
    "a wrong encoding": (rows(place="Köln"), {"encoding": "ascii"}, "is not written in ascii"),
    "an ending that is missing": (
        rows(file=[str(i) for i in range(COUNT)]),
        {},
        "(with the ending .png the first is there: set suffix: .png)",
    ),
    "another ending": (
        rows(file=[f"{i}.jpg" for i in range(COUNT)]),
        {},
        "(the first is there as 0.png)",
    ),
    "an ending twice": (
        rows(),
        {"suffix": ".png"},
        "(the first is there as 0.png: leave suffix out); is it the right folder?",
    ),
    "bins of words": (
        rows(bmi=alternating("high", "low")),
        {"attributes": {"bmi": {"column": "bmi", "bins": [25]}}},
        "bmi: bmi holds no numbers, so it has no bins; it holds high, low",
    ),
    "a list that is none": (
        rows(found="a, b"),
        {"labels": {"column": "found", "form": "list", "names": ["a"]}},
        "column 'found': 'a, b' is not a list such as ['mass', 'nodule']",
    ),
    "no row left": (
        rows(view="L"),
        {"rows": {"view": ["PA", "AP"]}},
        "no image is left: all 12 are of rows whose view is not PA, AP",
    ),
    "a filter of an absent column": (rows(), {"rows": {"veiw": "PA"}}, "lacks the column(s) veiw"),
    "a join without a table": (
        rows(),
        {"join": {"table": "people.csv", "on": "person"}},
        "people.csv does not exist",
    ),
    "a join without a key": (
        rows(),
        {"join": {"table": "clinic.csv", "on": {"person": "ID"}}},
        "lacks the column(s) ID",
    ),
    "a join of two keys": (
        rows(),
        {"join": {"table": "clinic.csv", "on": {"person": "a", "file": "b"}}},
        "on: give one column",
    ),
    "a join with several rows": (
        rows(),
        {"join": {"table": "clinic.csv", "on": "person"}},
        "has several different rows for 6 value(s) of person: p0, p1",
    ),
    "an unknown sheet": (
        rows(),
        {"table": "clinic.xlsx", "sheet": "frist"},
        "did you mean 'first'",
    ),
    "an Excel file that is none": (rows(), {"table": "broken.xlsx"}, "not a readable Excel file"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_meant_is_refused_in_one_line(filled: Desk, name: str) -> None:
    table, described, reason = REFUSED[name]
    if "sheet" in described:
        table.to_excel(filled.folder / "clinic.xlsx", sheet_name="first", index=False)
    filled.write({"broken.xlsx": b"PK\x03\x04 broken off"})
    filled.describe(table, **described)
    assert reason in filled.prepare().error


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("sexx", "'sexx' is neither an attribute nor a pathology (did you mean 'sex'?)"),
        ("person", "--stratify: 'person' is neither"),
    ],
)
def test_strata_of_nothing_are_refused(filled: Desk, name: str, reason: str) -> None:
    filled.describe(rows(sex=alternating("F", "M")), sex="sex")
    assert reason in filled.prepare("--stratify", f"sex,{name}").error
