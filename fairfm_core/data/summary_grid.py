"""A cohort's summary as a grid of cells: what its figure shows, without drawing."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import pandas as pd

EVERYBODY = "everybody"
MOST_FOLD = 2.0
"""Prevalences that differ by this factor or more have the full colour."""
LEAST_EXPECTED = 10
"""A group that would hold fewer positive images at everybody's prevalence has no colour: noise."""
PREVALENCE = "prevalence_"


@dataclass(frozen=True)
class Cell:
    """A text of two lines and a shade; null where there is nothing to shade."""

    text: str
    shade: float | None


@dataclass(frozen=True)
class Grid:
    """Groups in columns; splits, then pathologies, in rows.

    Attributes:
        columns: the groups, everybody first.
        splits: all, then each split that has images.
        sizes: for each split the images (and patients) of each group, shaded by the group's share
            of the split, 0 to 1.
        pathologies: label names.
        prevalences: for each pathology the prevalence in percent (and positive images) in each
            group, over all splits, shaded by its ratio to everybody's: -1 half or less, 1 double
            or more, null where ten positive images are not to be expected.
    """

    columns: tuple[str, ...]
    splits: tuple[str, ...]
    sizes: tuple[tuple[Cell, ...], ...]
    pathologies: tuple[str, ...]
    prevalences: tuple[tuple[Cell, ...], ...]


Row = dict[str, Any]
"""One row of a summary."""


def summary_grid(summary: pd.DataFrame) -> Grid:
    """The grid of a `summary.cohort_summary`."""
    by_split: dict[str, dict[str, Row]] = {}
    for record in summary.to_dict("records"):
        row = {str(key): value for key, value in record.items()}
        by_split.setdefault(row["split"], {})[_group(row)] = row
    names = [name for name in summary.columns if name.startswith(PREVALENCE)]
    pathologies = tuple(name.removeprefix(PREVALENCE) for name in names)
    everywhere = by_split["all"]
    return Grid(
        columns=tuple(everywhere),
        splits=tuple(by_split),
        sizes=tuple(
            tuple(_size(groups.get(group), groups[EVERYBODY]) for group in everywhere)
            for groups in by_split.values()
        ),
        pathologies=pathologies,
        prevalences=tuple(
            tuple(_prevalence(row, everywhere[EVERYBODY], name) for row in everywhere.values())
            for name in pathologies
        ),
    )


def _group(row: Row) -> str:
    return EVERYBODY if row["attribute"] == "overall" else f"{row['attribute']} {row['group']}"


def _size(row: Row | None, everybody: Row) -> Cell:
    images, patients = (row["images"], row["patients"]) if row else (0, 0)
    return Cell(f"{images:,}\n({patients:,})", images / everybody["images"])


def _prevalence(row: Row, everybody: Row, pathology: str) -> Cell:
    share, overall = row[PREVALENCE + pathology], everybody[PREVALENCE + pathology]
    if math.isnan(share):
        return Cell("not\nlabelled", None)
    text = f"{100 * share:.1f}\n({row[f'positive_{pathology}']:,})"
    if row[f"labelled_{pathology}"] * overall < LEAST_EXPECTED:
        return Cell(text, None)
    fold = math.log(share / overall, MOST_FOLD) if share else -1.0
    return Cell(text, min(max(fold, -1.0), 1.0))
