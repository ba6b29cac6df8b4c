"""Characteristics by split and group against counts of sets."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from fairfm_core.data.population.characteristics import characteristics


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    random = np.random.default_rng(3)
    patients = 60
    patient_N = random.integers(0, patients, 150)
    sex_Q = random.choice(["F", "M", None], patients)
    made = pd.DataFrame(
        {
            "image_id": [f"i{n}" for n in range(150)],
            "patient_id": [f"p{n}" for n in patient_N],
            "sex": sex_Q[patient_N],
            "age": np.where(
                patient_N % 9 == 0, np.nan, 20 + patient_N + random.integers(0, 3, 150)
            ),
            "view": random.choice(["AP", "PA"], 150),
            "split": np.where(patient_N % 2 == 0, "train", "test"),
        }
    )
    made["y_Edema"] = random.choice([0.0, 1.0, np.nan], 150)
    made["u_Edema"] = (made["y_Edema"].isna() & (random.random(150) < 0.5)).astype(float)
    return made


def row_of(table: pd.DataFrame, *key: str) -> pd.Series:
    columns = ["split", "attribute", "group", "variable", "level"]
    return table.set_index(columns).loc[key]


def test_every_count_is_that_of_a_loop_over_sets(frame: pd.DataFrame) -> None:
    table = characteristics(frame, (40, 60))
    groups = {"overall": {"all": frame}, "sex": dict(iter(frame.groupby("sex")))}
    groups["sex"]["unknown"] = frame[frame["sex"].isna()]
    for attribute, members in groups.items():
        for name, part in members.items():
            for split in ("train", "test"):
                own = part[part["split"] == split]
                of = split, attribute, name
                assert row_of(table, *of, "patients", "")["count"] == len({*own["patient_id"]})
                assert row_of(table, *of, "images", "")["count"] == len(own)
                label = row_of(table, *of, "label Edema", "positive")
                assert label["count"] == (own["y_Edema"] == 1).sum()
                assert label["of"] == own["y_Edema"].notna().sum()
                uncertain = row_of(table, *of, "label Edema", "uncertain")
                assert uncertain["count"] == own["u_Edema"].sum()
                ages: dict[str, float] = {}
                for row in own.dropna(subset=["age"]).itertuples():
                    ages[row.patient_id] = min(row.age, ages.get(row.patient_id, np.inf))
                age = row_of(table, *of, "age", "known")
                assert age["count"] == len(ages)
                assert age["mean"] == pytest.approx(np.mean([*ages.values()]))
                assert age["sd"] == pytest.approx(np.std([*ages.values()], ddof=1))


def test_what_a_patient_has_once_counts_patients_and_what_varies_counts_images(
    frame: pd.DataFrame,
) -> None:
    table = characteristics(frame)
    sexes = table.query("split == 'test' and attribute == 'overall' and variable == 'sex'")
    test = frame[frame["split"] == "test"]
    assert (sexes["unit"] == "patients").all()
    assert list(sexes["level"]) == ["F", "M", "unknown"]
    assert sexes["count"].sum() == test["patient_id"].nunique()
    views = table.query("split == 'test' and attribute == 'overall' and variable == 'view'")
    assert (views["unit"] == "images").all()
    assert views["count"].sum() == len(test)
