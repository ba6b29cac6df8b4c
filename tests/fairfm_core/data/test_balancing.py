"""The balanced training set and the groups it is balanced over."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairfm_core.config.evaluation import AGE_EDGES
from fairfm_core.config.trial import Data
from fairfm_core.data.balancing import balanced_subset, composition, sampled, share_of_patients
from fairfm_core.data.groups import binned
from fairfm_core.errors import BadInput


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


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(values=races, seed=st.integers(0, 1000), shuffle=st.randoms(use_true_random=False))
def test_groups_are_equal_and_row_order_does_not_matter(values, seed, shuffle) -> None:
    values = ["White", "Black", *values]
    frame = images(values)
    kept = frame.iloc[balanced_subset(frame, "race", AGE_EDGES, seed)]
    smallest = frame["race"].value_counts().min()
    assert set(kept["race"].value_counts()) == {smallest}
    assert set(kept["race"]) == set(frame["race"].dropna())
    assert kept["image_id"].is_unique
    order = list(range(len(frame)))
    shuffle.shuffle(order)
    again = frame.iloc[order]
    assert set(again.iloc[balanced_subset(again, "race", AGE_EDGES, seed)]["image_id"]) == set(
        kept["image_id"]
    )


def test_seeds_choose_differently_and_repeatably() -> None:
    frame = images(["White"] * 60 + ["Black"] * 20)
    first = balanced_subset(frame, "race", AGE_EDGES, 0)
    assert first.tolist() == balanced_subset(frame, "race", AGE_EDGES, 0).tolist()
    assert first.tolist() != balanced_subset(frame, "race", AGE_EDGES, 1).tolist()
    assert first.tolist() == sorted(first)


def test_the_images_that_are_kept_are_pinned() -> None:
    """Another draw of the same images moves every number of every balanced study."""
    frame = images(["White", "Black", None, "White"] * 5)
    assert balanced_subset(frame, "race", AGE_EDGES, 3).tolist() == [
        1,
        3,
        5,
        9,
        11,
        12,
        13,
        15,
        17,
        19,
    ]


def test_each_group_is_drawn_by_a_stream_of_its_own() -> None:
    """More images of one group leave the draw of the others alone, and no two draw alike."""

    def kept(asian: int) -> dict[str, list[int]]:
        sizes = {"Asian": asian, "Black": 40, "White": 40, "other": 10}
        frame = images([race for race, size in sizes.items() for _ in range(size)])
        place = frame.groupby("race").cumcount()
        frame["image_id"] = frame["race"] + place.map("{:03d}".format)
        drawn = place.iloc[balanced_subset(frame, "race", AGE_EDGES, 0)]
        return {race: members.tolist() for race, members in drawn.groupby(frame["race"])}

    few, many = kept(30), kept(200)
    assert few["Black"] == many["Black"]
    assert few["White"] == many["White"]
    assert few["Asian"] != many["Asian"]
    assert few["Black"] != few["White"]  # as many images, so one stream would take the same places


def test_age_is_balanced_over_its_bins() -> None:
    frame = images(["White"] * 75)
    kept = frame.iloc[balanced_subset(frame, "age", AGE_EDGES, 0)]
    assert binned(kept["age"], AGE_EDGES).value_counts().nunique() == 1


def test_age_is_balanced_over_the_bins_of_the_study() -> None:
    frame = images(["White"] * 75)
    kept = frame.iloc[balanced_subset(frame, "age", (30.5, 50.0), 0)]
    sizes = binned(kept["age"], (30.5, 50.0)).value_counts()
    assert set(sizes.index) == {"<30.5", "30.5-<50", "50+"}
    assert sizes.nunique() == 1


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
        balanced_subset(images(["White", "Black"] * 20), attribute, AGE_EDGES, 0)


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
    kept = balanced_subset(frame, "race", AGE_EDGES, 0)
    table = composition(frame, kept, AGE_EDGES).set_index(["attribute", "group"])
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
    kept = balanced_subset(frame, "race", AGE_EDGES, 0)
    table = composition(frame, kept, AGE_EDGES)
    assert table.loc[table["attribute"] == "race", "images"].tolist() == [10, 10]
    assert "weight" not in set(table["attribute"])  # too many values to be groups


def test_shares_are_of_the_images_whose_group_is_known() -> None:
    frame = images(["White", "White", "White", "Black", None, None, None, None])
    kept = np.array([0, 1, 3, 4, 5])
    race = composition(frame, kept, AGE_EDGES).query("attribute == 'race'").set_index("group")
    assert race["share"].to_dict() == {"Black": 1 / 4, "White": 3 / 4}
    assert race["kept_share"].to_dict() == {"Black": 1 / 3, "White": 2 / 3}
    lone = composition(frame, np.array([3, 4]), AGE_EDGES).query("attribute == 'race'")
    assert lone["kept_share"].tolist() == [1, 0]
    assert composition(frame, np.array([4]), AGE_EDGES).query("attribute == 'race'")[
        "kept_share"
    ].tolist() == [0, 0]


def test_composition_lists_groups_by_their_names() -> None:
    frame = images(["White", "Black"] * 10)
    table = composition(frame, np.arange(20), AGE_EDGES).query("attribute == 'age'")
    assert table["group"].tolist() == ["40-59", "60-79", "80+", "<40"]


def test_race_and_sex_are_balanced_jointly() -> None:
    frame = study_population()
    kept = frame.iloc[balanced_subset(frame, ("race", "sex"), AGE_EDGES, 0)]
    sizes = kept.groupby(["race", "sex"]).size()
    assert len(sizes) == 6
    smallest = frame.groupby(["race", "sex"]).size().min()
    assert set(sizes) == {smallest}
    assert len(kept) == 6 * smallest
    other = frame.iloc[balanced_subset(frame, ("sex", "race"), AGE_EDGES, 0)]
    assert other["image_id"].tolist() == kept["image_id"].tolist()


def test_a_combination_that_no_image_has_is_refused() -> None:
    frame = images(["White", "Black"] * 20).assign(sex=["F", "M"] * 20)
    with pytest.raises(
        BadInput, match=r"data.balance: no training image is Black x F, White x M, but"
    ):
        balanced_subset(frame, ("race", "sex"), AGE_EDGES, 0)
    old, young = frame["age"] >= 80, frame["age"] < 40
    apart = frame.assign(sex=np.where(old, "M", np.where(young, "F", frame["sex"])))
    with pytest.raises(BadInput, match=r"no training image is 80\+ x F, <40 x M, but .* age x sex"):
        balanced_subset(apart, ("age", "sex"), AGE_EDGES, 0)
    with pytest.raises(BadInput, match="'sxe' is not in the cohort"):
        balanced_subset(frame, ("race", "sxe"), AGE_EDGES, 0)


def test_the_setting_is_one_attribute_or_several() -> None:
    one = Data(dataset="d", balance="race")
    assert Data(dataset="d", balance=("race",)) == one == Data(dataset="d")
    assert one.balance == "race"
    several = Data(dataset="d", balance=("sex", "race"))
    assert several.balance == ("race", "sex")
    assert several == Data(dataset="d", balance=("race", "sex"))
    for wrong in ((), ("race", "race")):
        with pytest.raises(ValueError, match="give at least one name, and each only once"):
            Data(dataset="d", balance=wrong)


def test_a_sampling_is_chosen_by_its_name() -> None:
    frame = images(["White"] * 60 + ["Black"] * 20)
    every = sampled("standard", frame, None, AGE_EDGES, 0)
    assert every.tolist() == list(range(80))
    balanced = sampled("balanced", frame, "race", AGE_EDGES, 3)
    assert balanced.tolist() == balanced_subset(frame, "race", AGE_EDGES, 3).tolist()


def test_a_share_is_of_whole_patients_and_the_smaller_one_lies_inside_the_larger() -> None:
    patient = pd.Series([f"p{n % 40}" for n in range(100)])
    inside = [set(patient.iloc[share_of_patients(patient, f, 3)]) for f in (0.1, 0.25, 0.5, 1.0)]
    assert [len(each) for each in inside] == [4, 10, 20, 40]
    assert inside[0] < inside[1] < inside[2] < inside[3]
    kept = share_of_patients(patient, 0.25, 3)
    assert len(kept) == patient.isin(inside[1]).sum()
    order = np.random.default_rng(0).permutation(len(patient))
    shuffled = patient.iloc[order].reset_index(drop=True)
    assert set(shuffled.iloc[share_of_patients(shuffled, 0.25, 3)]) == inside[1]
    assert set(patient.iloc[share_of_patients(patient, 0.25, 4)]) != inside[1]


def test_a_sampling_draws_from_a_share_of_the_patients() -> None:
    frame = pd.DataFrame({"image_id": [str(n) for n in range(60)]})
    frame["patient_id"] = frame["image_id"]
    frame["sex"] = ["F"] * 20 + ["M"] * 40
    share = share_of_patients(frame["patient_id"], 0.5, 1)
    assert sampled("standard", frame, None, (), 1, 0.5).tolist() == share.tolist()
    kept = sampled("balanced", frame, "sex", (), 1, 0.5)
    assert set(kept) <= set(share)
    counts = frame["sex"].iloc[kept].value_counts()
    assert counts["F"] == counts["M"] == min(frame["sex"].iloc[share].value_counts())
    with pytest.raises(BadInput, match=r"data\.fraction 0\.001 leaves no patient of 60"):
        sampled("standard", frame, None, (), 1, 0.001)
