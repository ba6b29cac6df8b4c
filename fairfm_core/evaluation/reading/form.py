"""How a file of predictions of another program is laid out."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from fairfm_core.errors import BadInput
from fairfm_core.evaluation.reading.layout import PredictionLayout

LABELS, PREDICTED = "y_*", "p_*"
"""How the columns of labels and scores are named by default; * is the pathology."""


@dataclass(frozen=True)
class PredictionForm:
    """What a file's columns and numbers mean.

    Raises:
        BadInput: a pattern of columns without exactly one `*`, or edges that do not increase.
    """

    columns: Mapping[str, str] = field(default_factory=dict)
    """Our name -> the file's: `image_id`, `patient_id`, `split`, an attribute, `y_<pathology>` or
    `p_<pathology>`."""
    labels: str = LABELS
    """Columns of labels, with * for the pathology."""
    predicted: str = PREDICTED
    """Columns of scores, with * for the pathology."""
    scores: str = "probabilities"
    """What a score is, a key of `scores.SCALES`."""
    pathologies: tuple[str, ...] = ()
    """The pathologies to evaluate; empty for all."""
    bins: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    """Attribute -> inner edges of the bins that a measurement is cut into."""
    conflicts: Literal["refuse", "unknown"] = "refuse"
    """What to do with a patient of two sexes or races: refuse, or set the attribute to null."""
    images_as_patients: bool = False
    """Whether every image may count as a patient where the file names none."""
    delimiter: str | None = None
    """Between the fields of a csv file; by default the one that its header has."""
    encoding: str | None = None
    """Of a csv file; by default UTF-8."""
    layout: PredictionLayout | None = None
    """Where a known program leaves its predictions: its tables then come under our names."""
    people: Path | None = None
    """For a layout: the table that says who is on each image, or a folder of such tables."""

    def __post_init__(self) -> None:
        for option, pattern in (("--labels", self.labels), ("--predicted", self.predicted)):
            if pattern.count("*") != 1:
                raise BadInput(
                    f"{option} {pattern!r}: give the columns' name with one * for the pathology,"
                    " as in 'true_*'"
                )
        for name, edges in self.bins.items():
            if not edges or not all(map(math.isfinite, edges)) or sorted({*edges}) != [*edges]:
                raise BadInput(
                    f"--bins {name}: give one or more edges in increasing order, as in bmi=18.5,25"
                )


def matched(pattern: str, column: str) -> str | None:
    """What the * of a pattern stands for in a column's name; None if the name does not fit."""
    start, _, end = pattern.partition("*")
    fits = column.startswith(start) and column.endswith(end)
    name = column[len(start) : len(column) - len(end)].strip()
    return name if fits and name and len(column) > len(start) + len(end) else None
