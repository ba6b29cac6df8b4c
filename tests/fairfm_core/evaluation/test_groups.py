import numpy as np
import pandas as pd
import pytest

from fairfm_core.errors import BadInput
from fairfm_core.evaluation.groups import age_group_names, group_labels, groups_of

FRAME = pd.DataFrame(
    {
        "image_id": ["a", "b", "c", "d", "e"],
        "sex": ["F", "M", None, "F", "M"],
        "age": [39.9, 40.0, 80.0, np.nan, 59.0],
        "site": [1, 2, 2, 1, 1],
    }
)


def test_values_as_they_are_and_null_is_no_group():
    assert list(group_labels(FRAME, "sex", (40,))) == ["F", "M", None, "F", "M"]
    groups = groups_of(FRAME, "sex", (40,))
    assert groups.names == ("F", "M")
    assert list(groups.code_N) == [0, 1, -1, 0, 1]
    assert groups.without == 1
    assert groups_of(FRAME, "site", (40,)).names == ("1", "2")


def test_age_has_named_bins_in_order():
    groups = groups_of(FRAME, "age", (40, 60, 80))
    assert age_group_names((40, 60, 80)) == ("<40", "40-59", "60-79", "80+")
    assert groups.names == ("<40", "40-59", "80+")
    assert list(groups.code_N) == [0, 1, 2, -1, 1]
    assert age_group_names((0.5, 18)) == ("<0.5", "0.5 to <18", "18+")


def test_age_that_is_already_in_words_is_left_alone():
    frame = pd.DataFrame({"age": ["old", "young", None]})
    assert groups_of(frame, "age", (40,)).names == ("old", "young")


@pytest.mark.parametrize("edges", [(), (60, 40), (40, 40)])
def test_bad_age_edges(edges):
    with pytest.raises(BadInput, match="must be increasing"):
        groups_of(FRAME, "age", edges)


def test_unknown_attribute():
    with pytest.raises(BadInput, match=r"unknown attribute 'sexx'.*did you mean 'sex'"):
        group_labels(FRAME, "sexx", (40,))
    with pytest.raises(BadInput, match="unknown attribute 'image_id'"):
        group_labels(FRAME, "image_id", (40,))
