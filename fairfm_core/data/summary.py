"""What a cohort holds: images, patients and prevalences by split and group."""

from __future__ import annotations

from typing import Any

import pandas as pd

from fairfm_core.data.cohort import attributes, pathologies, settled
from fairfm_core.data.cohort_checks import LABEL_PREFIX, SPLITS, UNCERTAIN_PREFIX
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


def cohort_summary(frame: pd.DataFrame) -> pd.DataFrame:
    """One row per split (and "all") and group, everybody first.

    Columns: `split, attribute, group, images, patients` and for every pathology
    `positive_<p>`, `labelled_<p>` (images with a known label), `prevalence_<p>`, their ratio
    (null where nothing is labelled), and `uncertain_<p>` where the cohort knows any. Uncertain
    labels count as absent, as a trial has it unless told otherwise. Rows without a split stand
    under "none"; age is binned, a null group is named "unknown", and attributes with too many
    values to be groups are left out.
    """
    frame, records = settled(frame, {}), []
    for split, part in _parts(frame):
        records.append(_record(part, split, "overall", "all"))
        for attribute in attributes(frame):
            groups = groups_of(part, attribute) if groups_of(frame, attribute) is not None else None
            if groups is None:
                continue
            by_group = part.groupby(groups.fillna("unknown"))
            for group in sorted(by_group.groups, key=_order):
                members = by_group.get_group(group)
                records.append(_record(members, split, attribute, str(group)))
    return pd.DataFrame.from_records(records)


def _parts(frame: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """The cohort, then each split that has images."""
    named = frame["split"].astype("str").fillna("none")
    parts = [(split, frame[named == split]) for split in (*SPLITS, "none")]
    return [("all", frame), *((split, part) for split, part in parts if len(part))]


def _order(group: object) -> tuple[bool, bool, str]:
    """By name, but an open lowest bin (<40) first and rows of no group last."""
    name = str(group)
    return name == "unknown", not name.startswith("<"), name


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
