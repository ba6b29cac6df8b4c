"""The balanced training set and the groups it is balanced over."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairfm_core.config.evaluation import EvaluationSettings
from fairfm_core.config.trial import Data
from fairfm_core.data.balancing import balanced_subset, composition, group_sizes
from fairfm_core.data.groups import age_groups
from fairfm_core.errors import BadInput
from fairfm_core.evaluation.groups import group_labels


def images(races: list[str | None]) -> pd.DataFrame:
    n = len(races)
    return pd.DataFrame(
        {
            "image_id": [f"i{k:03d}" for k in range(n)],
            "patient_id": [f"p{k}" for k in range(n)],
            "sex": ["F", "M"] * (n // 2) + ["F"] * (n % 2),
            "race": pd.Series(races, dtype="str"),
            "age": np.linspace(20, 95, n),
            "weight": np.arange(n) / 7,
            "site": "north",
            "y_Edema": 0.0,
        }
    )


races = st.lists(st.sampled_from(["White", "Asian", "Black", None]), min_size=4, max_size=80)


@settings(max_examples=60, deadline=None)
@given(values=races, seed=st.integers(0, 1000), shuffle=st.randoms(use_true_random=False))
def test_groups_are_equal_and_row_order_does_not_matter(values, seed, shuffle) -> None:
    values = ["White", "Black", *values]
    frame = images(values)
    kept = frame.iloc[balanced_subset(frame, "race", seed)]
    smallest = frame["race"].value_counts().min()
    assert set(kept["race"].value_counts()) == {smallest}
    assert set(kept["race"]) == set(frame["race"].dropna())
    assert kept["image_id"].is_unique
    order = list(range(len(frame)))
    shuffle.shuffle(order)
    again = frame.iloc[order]
    assert set(again.iloc[balanced_subset(again, "race", seed)]["image_id"]) == set(
        kept["image_id"]
    )


def test_seeds_choose_differently_and_repeatably() -> None:
    frame = images(["White"] * 60 + ["Black"] * 20)
    first = balanced_subset(frame, "race", 0)
    assert first.tolist() == balanced_subset(frame, "race", 0).tolist()
    assert first.tolist() != balanced_subset(frame, "race", 1).tolist()
    assert first.tolist() == sorted(first)


def test_age_is_balanced_over_its_bins() -> None:
    frame = images(["White"] * 75)
    kept = frame.iloc[balanced_subset(frame, "age", 0)]
    assert age_groups(kept["age"]).value_counts().nunique() == 1


def test_age_groups_have_closed_lower_edges_and_keep_nulls() -> None:
    ages = pd.Series([39.9, 40.0, 59.99, 60.0, 80.0, np.nan])
    groups = age_groups(ages)
    assert groups[:5].tolist() == ["<40", "40-59", "40-59", "60-79", "80+"]
    assert pd.isna(groups[5])


def test_age_groups_are_those_of_the_evaluation() -> None:
    ages = pd.Series([0.0, 39.9, 40, 59.99, 60, 79, 80, 90, np.nan])
    frame = pd.DataFrame({"age": ages})
    evaluated = group_labels(frame, "age", EvaluationSettings().age_edges)
    assert [None if pd.isna(name) else name for name in age_groups(ages)] == evaluated.tolist()


@pytest.mark.parametrize(
    ("attribute", "message"),
    [
        ("rase", r"'rase' is not in the cohort \(did you mean 'race'\?\); it has sex, race, age"),
        ("site", "only the group north"),
        ("weight", "has 40 values"),
        ("y_Edema", "not in the cohort"),
    ],
)
def test_attributes_that_cannot_be_balanced_are_refused(attribute, message) -> None:
    with pytest.raises(BadInput, match=message):
        balanced_subset(images(["White", "Black"] * 20), attribute, 0)


def study_population(n: int = 3000) -> pd.DataFrame:
    """Race and sex as in the published training split: White patients are the most male."""
    rng = np.random.default_rng(0)
    race = rng.choice(["White", "Asian", "Black"], p=[0.78, 0.15, 0.07], size=n)
    female = np.where(race == "White", 0.39, np.where(race == "Asian", 0.45, 0.54))
    frame = images(race.tolist())
    return frame.assign(sex=np.where(rng.random(n) < female, "F", "M"))


def test_every_race_at_the_size_of_the_smallest_makes_sex_more_even() -> None:
    """Section 4.3, and what the paper reports of it."""
    frame = study_population()
    kept = balanced_subset(frame, "race", 0)
    table = composition(frame, kept).set_index(["attribute", "group"])
    smallest = (frame["race"] == "Black").sum()
    assert table.loc["race", "kept"].tolist() == [smallest] * 3
    assert table.loc[("race", "Black"), "images"] == smallest
    assert table.loc["race", "kept_share"].to_numpy() == pytest.approx(1 / 3)
    before, after = table.loc[("sex", "F"), ["share", "kept_share"]]
    assert abs(after - 0.5) < abs(before - 0.5) - 0.02
    counted = frame.iloc[kept]["sex"].value_counts()
    assert table.loc["sex", "kept"].to_dict() == counted.to_dict()
    assert table.loc["sex", "share"].sum() == pytest.approx(1)


def test_composition_leaves_out_unknown_groups() -> None:
    frame = images(["White", "Black", None] * 10)
    kept = balanced_subset(frame, "race", 0)
    table = composition(frame, kept)
    assert table.loc[table["attribute"] == "race", "images"].tolist() == [10, 10]
    assert "weight" not in set(table["attribute"])  # too many values to be groups


def test_race_and_sex_are_balanced_jointly() -> None:
    frame = study_population()
    kept = frame.iloc[balanced_subset(frame, ("race", "sex"), 0)]
    sizes = kept.groupby(["race", "sex"]).size()
    assert len(sizes) == 6
    smallest = frame.groupby(["race", "sex"]).size().min()
    assert set(sizes) == {smallest} == {group_sizes(frame, ["race", "sex"]).min()}
    other = frame.iloc[balanced_subset(frame, ("sex", "race"), 0)]
    assert other["image_id"].tolist() == kept["image_id"].tolist()


def test_a_combination_that_no_image_has_is_refused() -> None:
    frame = images(["White", "Black"] * 20).assign(sex=["F", "M"] * 20)
    with pytest.raises(BadInput, match="no image is Black x F, White x M: balancing race x sex"):
        balanced_subset(frame, ("race", "sex"), 0)
    with pytest.raises(BadInput, match="'sxe' is not in the cohort"):
        balanced_subset(frame, ("race", "sxe"), 0)


def test_the_setting_is_one_attribute_or_several() -> None:
    one = Data(dataset="d", balance="race")
    assert Data(dataset="d", balance=("race",)) == one == Data(dataset="d")
    assert one.balance == "race"
    several = Data(dataset="d", balance=("sex", "race"))
    assert several.balance == ("race", "sex")
    assert several == Data(dataset="d", balance=("race", "sex"))
    for wrong in ((), ("race", "race")):
        with pytest.raises(ValueError, match="name one or more, each once"):
            Data(dataset="d", balance=wrong)
