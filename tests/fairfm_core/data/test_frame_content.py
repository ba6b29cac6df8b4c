"""Equal frames have equal content, whatever their files; any difference in a value is one."""

import numpy as np
import pandas as pd
import pytest

from fairfm_core.data.frame_content import content_of

FRAME = pd.DataFrame(
    {
        "image_id": ["a", "b", "c"],
        "sex": ["F", None, "M"],
        "age": [40.0, np.nan, 61.0],
        "y_Edema": np.array([0, 1, np.nan], dtype=np.float32),
    }
)


def test_a_copy_and_a_frame_read_again_have_the_same_content(tmp_path):
    FRAME.to_parquet(tmp_path / "a.parquet")
    read = pd.read_parquet(tmp_path / "a.parquet")
    longer = pd.concat([FRAME, FRAME], ignore_index=True)
    for other in (FRAME.copy(), read, longer[3:], longer[:3]):
        assert content_of(other) == content_of(FRAME)
        assert hash(content_of(other)) == hash(content_of(FRAME))


@pytest.mark.parametrize(
    "changed",
    [
        FRAME.assign(sex=["F", "M", "M"]),
        FRAME.assign(sex=["F", "", "M"]),
        FRAME.assign(age=[40.0, np.nan, 62.0]),
        FRAME.assign(y_Edema=FRAME["y_Edema"].fillna(0)),
        FRAME.rename(columns={"y_Edema": "y_Fracture"}),
        FRAME.astype({"age": "float32"}),
        FRAME[["sex", "image_id", "age", "y_Edema"]],
        FRAME[::-1],
        FRAME[:2],
        FRAME[["image_id"]],
    ],
)
def test_a_difference_is_noticed(changed):
    assert content_of(changed) != content_of(FRAME)


def test_categories_and_mixed_values_count_by_value():
    first, other = (
        pd.DataFrame({"race": pd.Categorical(values, categories=["White", "Black"])})
        for values in (["White", "Black"], ["Black", "White"])
    )
    assert content_of(first) != content_of(other)
    mixed = pd.DataFrame({"site": pd.Series([1, "b"], dtype=object)})
    assert content_of(mixed) == content_of(mixed.copy())
    assert content_of(mixed) != content_of(
        pd.DataFrame({"site": pd.Series([1, "c"], dtype=object)})
    )
