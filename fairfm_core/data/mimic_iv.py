"""MIMIC-IV's patients (sex, age) and admissions (race), which MIMIC-CXR's tables do not hold."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from fairfm_core.data.ages import possible
from fairfm_core.data.population import contradictory, without_patients
from fairfm_core.data.races import race_by_prefix
from fairfm_core.data.tables import check_not_blank, choose_columns, read_text_table
from fairfm_core.errors import BadInput

PATIENTS = {
    "patient_id": ("subject_id",),
    "sex": ("gender",),
    "anchor_age": ("anchor_age",),
    "anchor_year": ("anchor_year",),
}
ADMISSIONS = {"patient_id": ("subject_id",), "race_text": ("race", "ethnicity")}


def read_admissions(path: Path) -> pd.DataFrame:
    """One row per patient and recorded race: patient_id, race_text and race as mapped.

    The column is `ethnicity` in MIMIC-IV 1.0 and `race`, with finer entries, from 2.0 on.
    """
    what = f"MIMIC-IV's admissions {path}"
    table = choose_columns(read_text_table(path)[0], ADMISSIONS, what).drop_duplicates()
    check_not_blank(table["patient_id"], "subject_id", path)
    return table.assign(race=race_by_prefix(table["race_text"]))


def with_sex_and_age(frame: pd.DataFrame, path: Path, notes: dict[str, int]) -> pd.DataFrame:
    """`frame` with sex, and age = anchor_age + year of `date` - anchor_year.

    Dates are shifted, a patient's by one offset, so only their difference to the anchor counts.
    """
    table = choose_columns(read_text_table(path)[0], PATIENTS, f"MIMIC-IV's patients {path}")
    sex = table["sex"].str.upper()
    patients = table.assign(sex=sex.where(sex.isin(["F", "M"])))
    twice = contradictory(patients["patient_id"], patients["sex"])
    frame = without_patients(frame, twice, "with more than one sex", notes)
    one_each = patients.drop_duplicates("patient_id").set_index("patient_id")
    of = one_each.reindex(frame["patient_id"]).set_axis(frame.index)
    year = pd.to_numeric(frame["date"].str[:4], errors="coerce")
    anchors = of[["anchor_age", "anchor_year"]].apply(pd.to_numeric, errors="coerce")
    age, ages = possible(anchors["anchor_age"] + year - anchors["anchor_year"])
    notes |= ages
    unknown = ~frame["patient_id"].isin(one_each.index)
    if unknown.all():
        raise BadInput(
            f"MIMIC-IV's patients {path} hold none of the patients of these images: "
            "is it of the same release?"
        )
    if unknown.any():
        notes["images of patients without a record in MIMIC-IV's patients"] = int(unknown.sum())
    notes["sex neither M nor F, set to null"] = int((of["sex"].isna() & ~unknown).sum())
    return frame.assign(sex=of["sex"], age=age)
