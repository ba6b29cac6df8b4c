"""What a cohort holds: images, patients and prevalences by split and group, and small groups.

Uncertain labels count as absent here, which is what a trial does with them by default
(`data.labels`). The same numbers are drawn by `summary_figure.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd

from fairfm_core.config.evaluation import AGE_EDGES
from fairfm_core.data.cohort import attributes, pathologies, settled
from fairfm_core.data.cohort_checks import LABEL_PREFIX, SPLITS, UNCERTAIN_PREFIX
from fairfm_core.data.groups import Grouping, grouping, has_groups

UNKNOWN = "unknown"
"""The name under which images that belong to no group are listed."""
FEWEST_PATIENTS = 30
"""Patients in a split below which a group is reported as small: its gaps are mostly noise."""


def cohort_summary(frame: pd.DataFrame, age_edges: Sequence[float] = AGE_EDGES) -> pd.DataFrame:
    """One row per split (and "all") and group, everybody first.

    Columns: `split, attribute, group, images, patients` and for every pathology
    `positive_<p>`, `labelled_<p>` (images with a known label), `prevalence_<p>`, their ratio
    (null where nothing is labelled), and `uncertain_<p>` where the cohort has any. Rows without a
    split are listed under "none", rows whose group is null under "unknown"; attributes with too
    many values to be groups are left out.
    """
    frame = settled(frame, {})
    split_N = frame["split"].astype("str").fillna("none")
    attribute_groups = list(_attribute_groups(frame, age_edges))
    records = []
    for split in ("all", *SPLITS, "none"):
        inside_N = np.ones(len(frame), dtype=bool) if split == "all" else split_N == split
        if split != "all" and not inside_N.any():
            continue
        records.append(_record(frame[inside_N], split, "overall", "all"))
        for groups in attribute_groups:
            label_N = np.where(groups.code_N < 0, UNKNOWN, groups.label_N)
            for name in _listed(groups):
                members = frame[inside_N & (label_N == name)]
                if len(members):
                    records.append(_record(members, split, groups.attribute, name))
    return pd.DataFrame.from_records(records)


def summary_text(summary: pd.DataFrame) -> str:
    """A summary as an aligned table: prevalences in percent, positive images in brackets."""
    columns = ["split", "attribute", "group", "images", "patients"]
    shown = summary[columns].astype("str")
    for name in summary.columns:
        if name.startswith("prevalence_"):
            pathology = name.removeprefix("prevalence_")
            positive = summary[f"positive_{pathology}"]
            shown[pathology] = [
                f"{100 * share:.1f} ({count})" if share == share else "-"
                for share, count in zip(summary[name], positive, strict=True)
            ]
    return shown.to_string(index=False)


def small_groups(
    frame: pd.DataFrame,
    fewest: int = FEWEST_PATIENTS,
    age_edges: Sequence[float] = AGE_EDGES,
) -> list[str]:
    """The groups with fewer than `fewest` patients in a split, as `race Black in test (12)`.

    A group that a split lacks has 0 patients there.
    """
    small = []
    for groups in _attribute_groups(frame, age_edges):
        columns = {"group": groups.label_N, "split": frame["split"], "patient": frame["patient_id"]}
        members = pd.DataFrame(columns).dropna().drop_duplicates()
        sizes = pd.crosstab(members["group"], members["split"])
        for split in (name for name in SPLITS if name in sizes.columns):
            few = sizes[split][sizes[split] < fewest]
            small += [
                f"{groups.attribute} {group} in {split} ({count})" for group, count in few.items()
            ]
    return small


def _attribute_groups(frame: pd.DataFrame, age_edges: Sequence[float]) -> Iterator[Grouping]:
    """The groups of every attribute that has groups."""
    for attribute in attributes(frame):
        if has_groups(frame, attribute):
            yield grouping(frame, attribute, age_edges)


def _listed(groups: Grouping) -> list[str]:
    """The names of the groups: an open lowest bin (<40) first, images of no group last."""
    known = [name for name in groups.names if name != UNKNOWN]
    return [*sorted(known, key=lambda name: not name.startswith("<")), UNKNOWN]


def _record(part: pd.DataFrame, split: str, attribute: str, group: str) -> dict[str, Any]:
    record: dict[str, Any] = {
        "split": split,
        "attribute": attribute,
        "group": group,
        "images": len(part),
        "patients": part["patient_id"].nunique(),
    }
    for pathology in pathologies(part):
        label = part[LABEL_PREFIX + pathology]
        record[f"positive_{pathology}"] = int(label.sum())
        record[f"labelled_{pathology}"] = int(label.notna().sum())
        record[f"prevalence_{pathology}"] = float(label.mean())
        if UNCERTAIN_PREFIX + pathology in part.columns:
            record[f"uncertain_{pathology}"] = int(part[UNCERTAIN_PREFIX + pathology].sum())
    return record
