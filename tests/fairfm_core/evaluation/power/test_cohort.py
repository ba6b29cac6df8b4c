"""A planned cohort from a table, and what is refused."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from fairfm_core.errors import BadInput
from fairfm_core.evaluation.power.cohort import PlannedCohort, cohort_of_frame

from .settings import planned


def frame_of(patients: int = 300) -> pd.DataFrame:
    random = np.random.default_rng(2)
    patient = np.repeat(np.arange(patients), 2)
    sex = np.array(["F", "M", None], dtype=object)[np.arange(patients) % 3][patient]
    return pd.DataFrame(
        {
            "patient_id": [f"p{number}" for number in patient],
            "sex": sex,
            "y_Edema": random.choice([0.0, 1.0, np.nan], size=len(patient)),
            "y_Mass": random.choice([0.0, 1.0], size=len(patient)),
        }
    )


@pytest.fixture
def cohort() -> PlannedCohort:
    return cohort_of_frame(frame_of(), "sex", ("Edema", "Mass"))


def test_counts_are_those_of_the_table(cohort: PlannedCohort) -> None:
    frame = frame_of()
    assert cohort.groups == ("F", "M")
    assert cohort.patients == 300
    images = patients = 0
    for p, g, c in np.ndindex(2, 2, 2):
        rows = frame[frame["sex"] == "FM"[g]]
        rows = rows[rows[f"y_{cohort.pathologies[p]}"] == c]
        assert cohort.class_patients_PG2[p, g, c] == len(set(rows["patient_id"]))
        images, patients = images + len(rows), patients + len(set(rows["patient_id"]))
    assert cohort.images_per_patient == pytest.approx(images / patients)


def test_a_cohort_grows_in_all_its_parts(cohort: PlannedCohort) -> None:
    twice = cohort.scaled(2)
    assert twice.patients == 600
    assert (twice.class_patients_PG2 == 2 * cohort.class_patients_PG2).all()
    assert (twice.members_G == 200).all()


def test_too_few_patients_are_refused_with_the_cell() -> None:
    with pytest.raises(BadInput, match="3 patients with pathology 1 in black: a gap has no"):
        planned(200, prevalence=(0.1,))


def test_one_group_has_no_gap() -> None:
    with pytest.raises(BadInput, match="sex has 1 group in this split; a gap needs two"):
        cohort_of_frame(frame_of().assign(sex="F"), "sex", ("Mass",))
