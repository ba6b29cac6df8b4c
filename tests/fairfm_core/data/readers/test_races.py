"""Races as records write them, on the counts that the real tables are known to have."""

from __future__ import annotations

import pandas as pd

from fairfm_core.data.population.steps import contradictory
from fairfm_core.data.readers.races import race_by_prefix, race_by_substring, unmapped

# Images per PRIMARY_RACE of CheXpert's demographics, joined to train.csv.
PRIMARY_RACE = {
    "White": 102_402,
    "Other": 28_095,
    "White, non-Hispanic": 22_154,
    "Asian": 20_434,
    "Unknown": 15_186,
    "Black or African American": 9_909,
    "Race and Ethnicity Unknown": 8_716,
    "Other, Hispanic": 3_621,
    "Native Hawaiian or Other Pacific Islander": 2_809,
    "Asian, non-Hispanic": 2_793,
    "Black, non-Hispanic": 2_000,
    "White, Hispanic": 922,
    "Other, non-Hispanic": 566,
    "American Indian or Alaska Native": 457,
    "Patient Refused": 405,
    "Pacific Islander, non-Hispanic": 337,
    "Native American, non-Hispanic": 55,
    "Black, Hispanic": 52,
    "Asian, Hispanic": 37,
    "Native American, Hispanic": 25,
    "White or Caucasian": 13,
    "Pacific Islander, Hispanic": 10,
    "Asian - Historical Conv": 8,
}


def test_the_published_strings_give_the_published_totals() -> None:
    text = pd.Series(list(PRIMARY_RACE)).repeat(list(PRIMARY_RACE.values()))
    text = text.reset_index(drop=True)
    assert len(text) == 221_006
    race = race_by_substring(text)
    assert race.value_counts().to_dict() == {"White": 125_491, "Asian": 23_272, "Black": 11_961}
    assert int(race.isna().sum()) == 60_282
    notes = unmapped(text, race, "dropped")
    assert notes["images of race 'Other', dropped"] == 28_095
    assert notes["images of race '2 others', dropped"] == 35
    assert len(notes) == 11
    assert sum(notes.values()) == 60_282


def test_black_is_tried_before_white_and_white_before_asian() -> None:
    text = pd.Series(["White and Black", "Asian, White", None])
    assert race_by_substring(text).tolist()[:2] == ["Black", "White"]
    assert race_by_substring(text).isna()[2]


def test_both_vintages_of_mimic() -> None:
    coarse = ["WHITE", "BLACK/AFRICAN AMERICAN", "ASIAN"]
    fine = ["WHITE - RUSSIAN", "BLACK/CAPE VERDEAN", "ASIAN - CHINESE", "white"]
    others = ["HISPANIC/LATINO", "UNABLE TO OBTAIN", None]
    race = race_by_prefix(pd.Series([*coarse, *fine, *others]))
    assert race.tolist()[:7] == ["White", "Black", "Asian", "White", "Black", "Asian", "White"]
    assert race[7:].isna().all()


def test_only_known_values_contradict() -> None:
    patients = pd.Series(["a", "a", "b", "b", "c", "c"])
    assert contradictory(patients, pd.Series(["F", "M", "F", None, "M", "M"])) == {"a"}
