"""Warns of groups too small for a fairness gap to say anything."""

from __future__ import annotations

import pandas as pd

from fairfm_core.data.cohort import attributes
from fairfm_core.data.cohort_checks import SPLITS
from fairfm_core.data.groups import groups_of

LEAST = 30
"""Patients in a split below which a group is named; its gaps are then mostly noise."""


def small_groups(frame: pd.DataFrame, least: int = LEAST) -> list[str]:
    """The groups with fewer than `least` patients in a split, as `race Black in test (12)`."""
    small = []
    for attribute in attributes(frame):
        groups = groups_of(frame, attribute)
        if groups is None:
            continue
        columns = {"group": groups, "split": frame["split"], "patient": frame["patient_id"]}
        members = pd.DataFrame(columns).dropna().drop_duplicates()
        sizes = pd.crosstab(members["group"], members["split"])
        for split in (name for name in SPLITS if name in sizes.columns):
            few = sizes[split][sizes[split] < least]
            small += [f"{attribute} {group} in {split} ({count})" for group, count in few.items()]
    return small
