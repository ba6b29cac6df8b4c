"""Characteristics of patients and images by split and group: the numbers of a paper's Table 1.

Counted as the cohort has them: what it does not know is counted as unknown, and uncertain labels
as uncertain, whatever a trial makes of them. Shapes: N images, Q patients.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from fairfm_core.config.evaluation import AGE_EDGES
from fairfm_core.data.cohort import attributes, pathologies
from fairfm_core.data.cohort_checks import LABEL_PREFIX, SPLITS, UNCERTAIN_PREFIX
from fairfm_core.data.groups import AGE, grouping, has_groups

COLUMNS = ("split", "attribute", "group", "variable", "level", "unit", "count", "of", "mean", "sd")
"""`split`, `attribute` and `group` say of whom; `variable` and `level` of what; `count` of `of`
patients or images (`unit`) have it. `mean` and `sd` are those of an age in years."""
PATIENTS, IMAGES = "patients", "images"
EVERYBODY = ("overall", "all")
UNKNOWN, KNOWN, POSITIVE, UNCERTAIN, UNLABELLED = (
    "unknown",
    "known",
    "positive",
    "uncertain",
    "not labelled",
)
Row = dict[str, Any]
LABEL = "label "
"""Begins the variable of a pathology's labels."""


def characteristics(frame: pd.DataFrame, age_edges: Sequence[float] = AGE_EDGES) -> pd.DataFrame:
    """One row for each split, group, variable and level; columns are `COLUMNS`.

    Splits are those of the cohort; everybody comes first, then the groups of every attribute, with
    those of unknown group. An attribute is counted over patients where no patient has two values
    of it, else over images; a patient's age is the lowest of the images.
    """
    units = {name: _unit(frame, name) for name in attributes(frame) if has_groups(frame, name)}
    rows = [
        {"split": split, "attribute": attribute, "group": group, **row}
        for split, part in _splits(frame)
        for (attribute, group), members in _strata(part, age_edges)
        for row in _described(members, units)
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _splits(frame: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    for split in SPLITS:
        part = frame[frame["split"] == split]
        if len(part):
            yield split, part


def _strata(
    part: pd.DataFrame, age_edges: Sequence[float]
) -> Iterator[tuple[tuple[str, str], pd.DataFrame]]:
    yield EVERYBODY, part
    for attribute in attributes(part):
        if has_groups(part, attribute):
            groups = grouping(part, attribute, age_edges)
            label_N = np.where(groups.code_N < 0, UNKNOWN, groups.label_N)
            for name in (*groups.names, *((UNKNOWN,) if groups.without else ())):
                yield (attribute, name), part[label_N == name]


def _described(members: pd.DataFrame, units: Mapping[str, str]) -> Iterator[Row]:
    """The rows of one group of one split; `units` are of the attributes."""
    patients = members["patient_id"].nunique()
    yield _row(PATIENTS, "", PATIENTS, patients, patients)
    yield _row(IMAGES, "", IMAGES, len(members), len(members))
    for attribute, unit in units.items():
        if attribute == AGE and pd.api.types.is_numeric_dtype(members[AGE]):
            yield from _ages(members, patients)
        else:
            yield from _levels(members, attribute, unit)
    for pathology in pathologies(members):
        yield from _labels(members, pathology)


def _ages(members: pd.DataFrame, patients: int) -> Iterator[Row]:
    age_Q = members.groupby("patient_id")[AGE].min().dropna()
    mean = float(age_Q.mean()) if len(age_Q) else None
    sd = float(age_Q.std()) if len(age_Q) > 1 else None
    yield _row(AGE, KNOWN, PATIENTS, len(age_Q), patients, mean, sd)


def _levels(members: pd.DataFrame, attribute: str, unit: str) -> Iterator[Row]:
    counted = members
    if unit == PATIENTS:
        counted = members.groupby("patient_id")[[attribute]].first()
    names = counted[attribute].astype("object").where(counted[attribute].notna(), UNKNOWN)
    counts = names.astype("str").value_counts()
    for level in sorted(counts.index, key=lambda name: (name == UNKNOWN, name)):
        yield _row(attribute, level, unit, int(counts[level]), len(counted))


def _unit(frame: pd.DataFrame, attribute: str) -> str:
    """What an attribute is counted over: patients where none has two values of it."""
    once = frame.groupby("patient_id")[attribute].nunique().max() <= 1
    return PATIENTS if once else IMAGES


def _labels(members: pd.DataFrame, pathology: str) -> Iterator[Row]:
    label = members[LABEL_PREFIX + pathology]
    mark = UNCERTAIN_PREFIX + pathology
    uncertain = int((members[mark] == 1).sum()) if mark in members.columns else 0
    labelled = int(label.notna().sum())
    yield _row(LABEL + pathology, POSITIVE, IMAGES, int((label == 1).sum()), labelled)
    yield _row(LABEL + pathology, UNCERTAIN, IMAGES, uncertain, len(members))
    blank = len(members) - labelled - uncertain
    yield _row(LABEL + pathology, UNLABELLED, IMAGES, blank, len(members))


def _row(
    variable: str,
    level: str,
    unit: str,
    count: int,
    of: int,
    mean: float | None = None,
    sd: float | None = None,
) -> Row:
    counts = {"unit": unit, "count": count, "of": of}
    return {"variable": variable, "level": level, **counts, "mean": mean, "sd": sd}
