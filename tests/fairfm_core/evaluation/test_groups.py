"""Groups of an evaluation: those of all splits, and what combinations consist of."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from fairfm_core.errors import BadInput
from fairfm_core.evaluation.groups import attribute_names, groups_of, joint_groups

FRAME = pd.DataFrame(
    {
        "image_id": ["a", "b", "c", "d", "e"],
        "sex": ["F", "M", None, "F", "M"],
        "age": [39.9, 40.0, 80.0, np.nan, 59.0],
        "site": [1, 2, 2, 1, 1],
    }
)


def test_values_as_they_are_and_null_is_no_group():
    groups = groups_of(FRAME, "sex", (40,))
    assert groups.names == ("F", "M")
    assert list(groups.code_N) == [0, 1, -1, 0, 1]
    assert groups.without == 1
    assert groups_of(FRAME, "site", (40,)).names == ("1", "2")


def test_age_has_named_bins_in_order():
    groups = groups_of(FRAME, "age", (40, 60, 80))
    assert groups.names == ("<40", "40-59", "80+")
    assert list(groups.code_N) == [0, 1, 2, -1, 1]


def test_age_that_is_already_in_words_is_left_alone():
    frame = pd.DataFrame({"age": ["old", "young", None]})
    assert groups_of(frame, "age", (40,)).names == ("old", "young")


def test_a_group_of_another_split_is_a_group_without_images():
    part = FRAME.iloc[[1, 3]]
    assert groups_of(part, "age", (40, 60, 80)).names == ("40-59",)
    groups = groups_of(part, "age", (40, 60, 80), FRAME)
    assert groups.names == ("<40", "40-59", "80+")
    assert list(groups.code_N) == [1, -1]
    joint = groups_of(part, "sex x site", (40,), FRAME)
    assert joint.names == ("F x 1", "M x 1", "M x 2")
    assert list(joint.code_N) == [2, 0]


def test_an_image_without_one_of_the_attributes_is_in_no_combination():
    groups = groups_of(FRAME, "sex x site", (40,))
    assert list(groups.code_N) == [0, 2, -1, 0, 1]
    joint = joint_groups([groups_of(FRAME, name, (40,)) for name in ("sex", "site")], 5)
    assert joint.attribute == "sex x site"
    assert joint.names == ("F x 1", "F x 2", "M x 1", "M x 2")
    assert list(joint.code_N) == [0, 3, -1, 0, 2]


def test_a_column_may_have_the_name_of_a_combination():
    frame = FRAME.assign(**{"sex x site": ["a", "b", "b", "a", "a"]})
    assert groups_of(frame, "sex x site", (40,)).names == ("a", "b")


def test_the_combination_of_nothing_is_everybody():
    groups = joint_groups([], 3)
    assert (groups.attribute, groups.names) == ("overall", ("all",))
    assert groups.code_N.dtype == np.int64
    assert list(groups.code_N) == [0, 0, 0]


def test_labels_and_scores_are_no_attributes():
    assert attribute_names(FRAME.assign(y_Edema=0.0, p_Edema=0.5)) == ["sex", "age", "site"]


@pytest.mark.parametrize("edges", [(), (60, 40), (40, 40)])
def test_bad_age_edges(edges):
    with pytest.raises(BadInput, match="in increasing order"):
        groups_of(FRAME, "age", edges)


def test_unknown_attribute():
    with pytest.raises(BadInput, match=r"unknown attribute 'sexx'.*did you mean 'sex'"):
        groups_of(FRAME, "sexx", (40,))
    with pytest.raises(BadInput, match=r"the predictions have: sex, age, site$"):
        groups_of(FRAME, "sexx", (40,))
    with pytest.raises(BadInput, match=r"the predictions have: none$"):
        groups_of(FRAME[["image_id"]], "sexx", (40,))
    with pytest.raises(BadInput, match="unknown attribute 'image_id'"):
        groups_of(FRAME, "image_id", (40,))
