import pandas as pd
import pytest

from fairfm_core.errors import BadInput
from fairfm_core.evaluation.reading.columns import named_table
from fairfm_core.evaluation.reading.form import PredictionForm, matched

PLAIN = {
    "image_id": ["1", "2"],
    "patient_id": ["a", "b"],
    "split": ["val", "test"],
    "sex": ["F", "M"],
    "y_A": [0, 1],
    "p_A": [0.1, 0.9],
}


def named(columns=None, form=None, **changes):
    table = pd.DataFrame({**PLAIN, **(columns or {}), **changes})
    return named_table(table, form or PredictionForm(), "preds")


@pytest.mark.parametrize(
    ("pattern", "column", "name"),
    [
        ("y_*", "y_Edema", "Edema"),
        ("y_*", "y_", None),
        ("*_true", "Edema_true", "Edema"),
        ("prob (*)", "prob (Pleural Effusion)", "Pleural Effusion"),
        ("y_*", "x_Edema", None),
        ("*", "Edema", "Edema"),
        ("ab*ba", "aba", None),
    ],
)
def test_the_star_is_the_pathology(pattern, column, name):
    assert matched(pattern, column) == name


def test_keys_are_found_in_any_spelling():
    table = pd.DataFrame(PLAIN).rename(columns={"patient_id": "Patient ID", "sex": "SEX"})
    found = named_table(table, PredictionForm(), "preds")
    assert list(found.frame.columns) == list(PLAIN)
    assert found.notes == ("'patient_id' is the column 'Patient ID'", "'sex' is the column 'SEX'")


def test_a_column_that_is_named_wins_over_one_of_that_name():
    form = PredictionForm(columns={"sex": "Gender"})
    assert named({"Gender": ["x", "y"]}, form).frame["sex"].tolist() == ["x", "y"]


def test_columns_that_only_look_like_labels_are_left_out_under_other_patterns():
    form = PredictionForm(labels="true_*", predicted="prob_*")
    frame = named({"true_B": [0, 1], "prob_B": [0.2, 0.3]}, form).frame
    assert {name for name in frame.columns if name[:2] in ("y_", "p_")} == {"y_B", "p_B"}


def test_two_columns_for_one_name_are_refused():
    form = PredictionForm(columns={"y_A": "truth"}, labels="y_*")
    with pytest.raises(BadInput, match="are both 'y_A'; rename one of them"):
        named({"truth": [1, 0]}, form)


def test_ids_as_floats_are_whole_and_words_for_unknown_are_null():
    assert named(patient_id=[12.0, 13.0]).frame["patient_id"].tolist() == ["12", "13"]
    assert named(patient_id=["nan", "b"]).frame["patient_id"].isna().tolist() == [True, False]


def test_pathologies_may_be_chosen():
    more = {"y_B": [0, 1], "p_B": [0.2, 0.3]}
    frame = named(more, PredictionForm(pathologies=("B",))).frame
    assert [name for name in frame.columns if name[:2] in ("y_", "p_")] == ["y_B", "p_B"]


@pytest.mark.parametrize("pattern", ["true", "*_*", ""])
def test_a_pattern_has_one_star(pattern):
    with pytest.raises(BadInput, match=r"--labels .* with one \* for the pathology"):
        PredictionForm(labels=pattern)


@pytest.mark.parametrize("edges", [(), (3.0, 2.0), (1.0, 1.0), (float("nan"),), (float("inf"),)])
def test_edges_increase(edges):
    with pytest.raises(BadInput, match="--bins bmi: give one or more edges in increasing order"):
        PredictionForm(bins={"bmi": edges})
