"""The cohort: what is refused, what is offered, and that its digest is of content alone."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fairfm_core.data.cohort import (
    attributes,
    check_cohort,
    checked_cohort,
    cohort_digest,
    pathologies,
    read_cohort,
    write_cohort,
)
from fairfm_core.errors import BadInput


def cohort(n: int = 12) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "image_id": [f"i{i:02d}" for i in range(n)],
            "patient_id": [f"p{i // 2}" for i in range(n)],
            "sex": ["F", "M", None] * (n // 3),
            "race": ["White", "Black"] * (n // 2),
            "age": [float(20 + i) for i in range(n)],
            "site": ["north", "south"] * (n // 2),
            "y_Edema": [0.0, 1.0] * (n // 2),
            "y_Atelectasis": [1.0, np.nan] * (n // 2),
            "split": ["train", "train", "val", "val", "test", "test"] * (n // 6),
            "row": range(n),
        }
    )


def test_a_good_cohort_passes_and_names_its_parts() -> None:
    frame = cohort()
    check_cohort(frame)
    assert pathologies(frame) == ("Atelectasis", "Edema")
    assert attributes(frame) == ("sex", "race", "age", "site")


def test_an_attribute_that_is_null_throughout_is_not_offered() -> None:
    frame = cohort().assign(race=None)
    check_cohort(frame)
    assert attributes(frame) == ("sex", "age", "site")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: f.drop(columns=["sex", "row"]), r"lacks the column\(s\) sex, row"),
        (lambda f: f.drop(columns=["y_Edema", "y_Atelectasis"]), "no label column"),
        (lambda f: f.iloc[:0], "empty"),
        (lambda f: f.assign(image_id="same"), r"1 image id\(s\).*same"),
        (
            lambda f: f.assign(image_id=range(12)),
            r"image_id must be text.*row 0 \(0\), row 1 \(1\)",
        ),
        (lambda f: f.assign(patient_id=None), r"patient_id must be text.*in row 0 \(None\), row 1"),
        (
            lambda f: f.assign(patient_id=f["patient_id"].where(f["row"] != 7, "")),
            r"patient_id must be text .*; it is not in row 7 \(''\), counted from 0",
        ),
        (
            lambda f: f.assign(patient_id="p"),
            r"1 patient\(s\) are in more than one split: p \(i\d+ in \w+, i\d+ in \w+, i\d+ in",
        ),
        (lambda f: f.assign(y_Edema=-1.0), r"label y_Edema holds -1.0; allowed are 0, 1 and null"),
        (lambda f: f.assign(y_Edema="yes"), "label y_Edema holds yes"),
        (lambda f: f.assign(sex="female"), "sex holds female; allowed are F, M and null"),
        (lambda f: f.assign(split="validate"), "split 'validate' is not known"),
        (lambda f: f.assign(split="trian"), "did you mean 'train'"),
        (lambda f: f.assign(row=0), "belong to two images: 0"),
        (lambda f: f.assign(row=f["row"] - 1), "row must be a whole number"),
        (lambda f: f.assign(row=f["row"] * 0.5), "row must be a whole number"),
        (lambda f: f.assign(age="060Y"), "age must be a number"),
        (lambda f: f.assign(age=411.0), r"12 age\(s\) outside 0 to 120 years: 411"),
        (lambda f: pd.concat([f, f[["age"]]], axis=1), "repeated columns: age"),
    ],
)
def test_bad_cohorts_are_refused_in_one_line(change, message) -> None:
    with pytest.raises(BadInput, match=message) as caught:
        check_cohort(change(cohort()))
    assert "\n" not in str(caught.value)


def test_many_culprits_are_listed_ten_and_counted() -> None:
    frame = cohort()
    twice = pd.concat([frame, frame])
    with pytest.raises(BadInput, match=r"12 image id\(s\).*i09, \.\.\. \(12 in all\)"):
        check_cohort(twice)


def test_a_patient_may_have_images_outside_every_split() -> None:
    frame = cohort()
    frame.loc[0, "split"] = None
    check_cohort(frame)


def test_written_and_read_back_is_the_same_table_ordered_by_row(tmp_path) -> None:
    frame = cohort().assign(race=None)
    write_cohort(frame.sample(frac=1, random_state=0), tmp_path / "c.parquet")
    pd.testing.assert_frame_equal(read_cohort(tmp_path / "c.parquet"), checked_cohort(frame))


def test_every_arrow_text_type_is_read(tmp_path) -> None:
    frame = checked_cohort(cohort())
    plain = pa.Table.from_pandas(frame, preserve_index=False).replace_schema_metadata(None)
    text = [field.name for field in plain.schema if pa.types.is_large_string(field.type)]
    text = text or [field.name for field in plain.schema if pa.types.is_string(field.type)]
    assert "image_id" in text
    for kind in (pa.string(), pa.large_string(), pa.dictionary(pa.int32(), pa.string())):
        types = [(f.name, kind if f.name in text else f.type) for f in plain.schema]
        pq.write_table(plain.cast(pa.schema(types)), tmp_path / "c.parquet")
        read = read_cohort(tmp_path / "c.parquet")
        pd.testing.assert_frame_equal(read, frame)
        assert cohort_digest(read) == cohort_digest(frame)


def test_no_file_and_no_parquet_are_named(tmp_path) -> None:
    with pytest.raises(BadInput, match="no cohort at"):
        read_cohort(tmp_path / "absent.parquet")
    (tmp_path / "text.parquet").write_text("image_id\n")
    with pytest.raises(BadInput, match="not a readable parquet"):
        read_cohort(tmp_path / "text.parquet")


def test_the_digest_ignores_order_and_number_types() -> None:
    frame = cohort()
    digest = cohort_digest(frame)
    shuffled = frame.sample(frac=1, random_state=1)[sorted(frame.columns, reverse=True)]
    assert cohort_digest(shuffled) == digest
    assert cohort_digest(frame.assign(y_Edema=frame["y_Edema"].astype("int8"))) == digest
    assert cohort_digest(frame.assign(site=frame["site"].astype("category"))) == digest
    assert cohort_digest(checked_cohort(frame)) == digest


@pytest.mark.parametrize(
    "change",
    [
        lambda f: f.assign(y_Edema=1.0 - f["y_Edema"]),
        lambda f: f.assign(y_Atelectasis=f["y_Atelectasis"].fillna(0.0)),
        lambda f: f.assign(row=f["row"] + 1),
        lambda f: f.assign(site=f["site"].where(f["site"] != "north", "North")),
        lambda f: f.assign(sex=f["sex"].fillna("M")),
        lambda f: f.assign(extra=1.0),
        lambda f: f.rename(columns={"y_Edema": "y_Mass"}),
    ],
)
def test_the_digest_sees_every_change_of_content(change) -> None:
    assert cohort_digest(change(cohort())) != cohort_digest(cohort())
