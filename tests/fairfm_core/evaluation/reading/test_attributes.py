import numpy as np
import pandas as pd
import pytest

from fairfm_core.errors import BadInput
from fairfm_core.evaluation.reading.attributes import (
    check_combinations,
    chosen_attributes,
    grouped,
)
from fairfm_core.evaluation.reading.form import PredictionForm

N = 60


def table(**columns):
    keys = {"image_id": [f"i{n}" for n in range(N)], "patient_id": [f"p{n}" for n in range(N)]}
    return pd.DataFrame({**keys, "split": "test", **columns})


def values(column, **bins):
    frame, _ = grouped(table(x=column), ["x"], PredictionForm(bins=bins))
    return frame["x"]


def test_the_usual_attributes_are_those_that_there_are():
    assert chosen_attributes(table(race="a", sex="F", age=3), ()) == ("sex", "race")
    assert chosen_attributes(table(race="a"), ()) == ("race",)
    assert chosen_attributes(table(race="a"), ("age",)) == ("age",)
    with pytest.raises(BadInput, match="columns that may be: 'gender'"):
        chosen_attributes(table(gender="a"), ())


def test_whole_numbers_as_text_are_numbers_and_codes_are_not():
    assert values(["1", "2"] * (N // 2)).tolist()[:2] == [1.0, 2.0]
    assert values(["01", "1"] * (N // 2)).tolist()[:2] == ["01", "1"]


def test_a_measurement_is_binned_as_told():
    binned = values(np.linspace(10, 40, N), x=(18.5, 25.0))
    assert set(binned) == {"<18.5", "18.5-<25", "25+"}
    assert binned[0] == "<18.5"


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_edges_that_are_proposed_make_three_groups(scale):
    column = scale * np.linspace(10, 40, N)
    with pytest.raises(BadInput, match="--bins x=") as caught:
        values(column)
    edges = tuple(map(float, str(caught.value).rpartition("=")[2].split(",")))
    assert values(column, x=edges).nunique() == 3


def test_twenty_values_are_groups_and_more_are_not():
    assert values(np.arange(N) % 20).nunique() == 20
    with pytest.raises(BadInput, match="21 different values from 0 to 20"):
        values(np.arange(N) % 21)
    with pytest.raises(BadInput, match="has 21 different values, such as 's0'"):
        values([f"s{n % 21}" for n in range(N)])


def test_free_text_that_is_not_evaluated_is_left_alone():
    frame, notes = grouped(
        table(sex="F", report=[f" text {n} " for n in range(N)]), ["sex"], PredictionForm()
    )
    assert frame["report"][3] == " text 3 "
    assert notes == []


def test_impossible_ages_become_null_and_are_counted():
    age = np.arange(N) + 20.0
    age[:3] = 999, -1, np.nan
    frame, notes = grouped(table(age=age), ["age"], PredictionForm())
    assert frame["age"].isna().sum() == 3
    assert notes == ["age: unreadable or outside 0 to 120 years, set to null (2 images)"]


def test_a_patient_has_one_race_but_may_have_two_views():
    twice = table(race=["a", "b"] * (N // 2), view=["PA", "AP"] * (N // 2))
    twice["patient_id"] = [f"p{n // 2}" for n in range(N)]
    grouped(twice, ["view"], PredictionForm())
    with pytest.raises(BadInput, match=r"30 patient\(s\) have more than one race, such as"):
        grouped(twice, ["view", "race"], PredictionForm())
    frame, notes = grouped(twice, ["race", "view"], PredictionForm(conflicts="unknown"))
    assert frame["race"].isna().all()
    assert frame["view"].notna().all()
    assert notes == ["race: set to null for 30 patients with several values"]


def test_a_missing_value_is_no_second_race():
    half = table(race=["a", None] * (N // 2))
    half["patient_id"] = [f"p{n // 2}" for n in range(N)]
    assert grouped(half, ["race"], PredictionForm())[1] == []


def test_combinations_are_counted_as_they_occur():
    frame = table(a=[f"a{n % 10}" for n in range(N)], b=[f"b{n // 10}" for n in range(N)])
    check_combinations(frame, ["a x b"], (40.0,))
    many = pd.concat([frame, frame.assign(b="b9")], ignore_index=True)
    with pytest.raises(BadInput, match="'a x b' has 70 groups, and at most 64"):
        check_combinations(many, ["a", "a x b"], (40.0,))
