"""What must be true of a cohort before anything is computed from it; one function per check."""

from __future__ import annotations

import numpy as np
import pandas as pd

from fairfm_core.errors import BadInput, did_you_mean, first_ten

KEYS = ("image_id", "patient_id", "split", "row")
SPLITS = ("train", "val", "test")
EVALUATION_SPLITS = ("val", "test")
"""Splits on which a model is judged; the others are for training it."""
SEXES = ("F", "M")
LABEL_PREFIX = "y_"
UNCERTAIN_PREFIX = "u_"
TEXT_COLUMNS = ("image_id", "patient_id", "sex", "race", "split")
REQUIRED = ("image_id", "patient_id", "sex", "race", "age", "split", "row")


def check_cohort(frame: pd.DataFrame) -> None:
    """Raises BadInput, naming the culprits, unless `frame` is a cohort."""
    for check in (
        _check_columns,
        _check_names,
        _check_not_empty,
        _check_ids,
        _check_rows,
        _check_labels,
        _check_uncertain,
        _check_sex,
        _check_age,
        _check_splits,
        check_leakage,
    ):
        check(frame)


def _check_columns(frame: pd.DataFrame) -> None:
    repeated = frame.columns[frame.columns.duplicated()]
    if len(repeated):
        raise BadInput(
            f"the cohort has repeated columns: {first_ten(repeated)}; give each a name of its own"
        )
    missing = [name for name in REQUIRED if name not in frame.columns]
    if missing:
        raise BadInput(
            f"the cohort lacks the column(s) {', '.join(missing)}; it has "
            f"{first_ten(frame.columns)} (a column is required even if all its values are null)"
        )
    if not any(name.startswith(LABEL_PREFIX) for name in frame.columns):
        raise BadInput(
            f"the cohort has no label column: add y_<pathology> with 0, 1 or null; it has "
            f"{first_ten(frame.columns)}"
        )


def _check_names(frame: pd.DataFrame) -> None:
    """Refuses names that mean something else in predictions, before anything is trained."""
    if "y_mean" in frame.columns:
        raise BadInput(
            "a pathology may not be called 'mean', which is the mean over pathologies; rename it"
        )
    taken = [name for name in frame.columns if str(name).startswith("p_")]
    if taken:
        raise BadInput(
            f"the cohort has column(s) {first_ten(taken)}: p_<pathology> are predicted "
            "probabilities; rename them"
        )


def _check_not_empty(frame: pd.DataFrame) -> None:
    if frame.empty:
        raise BadInput("the cohort is empty: it needs one row per image")


def _check_ids(frame: pd.DataFrame) -> None:
    for name in ("image_id", "patient_id"):
        good_N = frame[name].map(lambda value: isinstance(value, str) and value != "")
        if not good_N.all():
            values = frame[name].reset_index(drop=True)[~good_N.to_numpy(dtype=bool)]
            rows = [f"row {row} ({value!r})" for row, value in values.items()]
            raise BadInput(
                f"{name} must be text in every row of the cohort, never null or empty; it is not "
                f"in {first_ten(rows)}, counted from 0"
            )
    twice = frame["image_id"][frame["image_id"].duplicated()].unique()
    if len(twice):
        raise BadInput(
            f"{len(twice)} image id(s) are in more than one row: {first_ten(twice)}; give each "
            "image one row"
        )


def _check_rows(frame: pd.DataFrame) -> None:
    row = frame["row"]
    if not pd.api.types.is_integer_dtype(row) or row.isna().any() or (row < 0).any():
        raise BadInput("row must be a whole number, 0 or more: the image's position in the store")
    twice = row[row.duplicated()].unique()
    if len(twice):
        raise BadInput(f"{len(twice)} row number(s) belong to two images: {first_ten(twice)}")


def _check_labels(frame: pd.DataFrame) -> None:
    for name in (name for name in frame.columns if name.startswith(LABEL_PREFIX)):
        values = frame[name].dropna().unique()
        wrong = [value for value in values if value not in (0, 1)]
        if wrong:
            raise BadInput(
                f"label {name} holds {first_ten(wrong)}; allowed are 0, 1 and null (map uncertain "
                f"labels first)"
            )


def _check_uncertain(frame: pd.DataFrame) -> None:
    for name in (name for name in frame.columns if name.startswith(UNCERTAIN_PREFIX)):
        label = LABEL_PREFIX + name.removeprefix(UNCERTAIN_PREFIX)
        if label not in frame.columns:
            raise BadInput(f"column {name} marks uncertain labels, but there is no column {label}")
        if not frame[name].isin([0, 1]).all():
            raise BadInput(f"column {name} must be 1 where {label} is uncertain and 0 elsewhere")
        both = int((frame[label].notna() & (frame[name] == 1)).sum())
        if both:
            raise BadInput(f"{both} image(s) are uncertain in {name} but {label} is not null")


def _check_sex(frame: pd.DataFrame) -> None:
    wrong = sorted(set(frame["sex"].dropna().astype(str)) - set(SEXES))
    if wrong:
        raise BadInput(f"sex holds {first_ten(wrong)}; allowed are F, M and null")


def _check_age(frame: pd.DataFrame) -> None:
    age = frame["age"]
    if not age.notna().any():
        return
    if not pd.api.types.is_numeric_dtype(age):
        raise BadInput("age must be a number of years or null; convert texts such as '060Y' first")
    years = age.dropna().to_numpy(dtype=np.float64)
    wrong = years[(years < 0) | (years > 120)]
    if len(wrong):
        raise BadInput(f"{len(wrong)} age(s) outside 0 to 120 years: {first_ten(wrong)}; use null")


def _check_splits(frame: pd.DataFrame) -> None:
    for name in sorted(set(frame["split"].dropna().astype(str)) - set(SPLITS)):
        raise BadInput(
            f"split {name!r} is not known{did_you_mean(name, SPLITS)}; allowed are "
            f"{', '.join(SPLITS)} and null"
        )


def check_leakage(frame: pd.DataFrame) -> None:
    """Raises BadInput where a patient has images in more than one split."""
    placed = frame.dropna(subset=["split"])
    firsts = placed.drop_duplicates(["patient_id", "split"])
    leaking = firsts[firsts["patient_id"].duplicated(keep=False)]
    if leaking.empty:
        return
    where = leaking["image_id"] + " in " + leaking["split"].astype("str")
    images = where.groupby(leaking["patient_id"]).agg(", ".join)
    culprits = [f"{patient} ({listed})" for patient, listed in images.items()]
    raise BadInput(
        f"{len(culprits)} patient(s) are in more than one split: {first_ten(culprits)}; give all "
        "images of a patient the same split"
    )
