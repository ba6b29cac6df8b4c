"""Groups that are too small for a gap are reported."""

from __future__ import annotations

import pandas as pd

from fairfm_core.data.summary import small_groups


def test_patients_are_counted_by_split_and_group() -> None:
    frame = pd.DataFrame(
        {
            "image_id": [f"i{i}" for i in range(8)],
            "patient_id": ["a", "a", "b", "c", "d", "e", "f", "f"],
            "sex": ["F", "F", "M", "M", "F", "M", None, None],
            "race": None,
            "age": 30.0,
            "y_Edema": 1.0,
            "u_Edema": 0.0,
            "split": ["train", "train", "train", "train", "test", "test", "test", None],
            "row": range(8),
        }
    )
    few = ["sex F in train (1)", "sex F in test (1)", "sex M in test (1)"]
    assert small_groups(frame, fewest=2) == few
    assert small_groups(frame, fewest=1) == []
    assert "age <40 in test (3)" in small_groups(frame)


def test_a_group_that_is_absent_from_a_split_counts_as_zero() -> None:
    frame = pd.DataFrame(
        {
            "patient_id": ["a", "b", "c"],
            "sex": ["F", "M", "F"],
            "split": ["train", "train", "test"],
        }
    )
    assert small_groups(frame, fewest=1) == ["sex M in test (0)"]
