"""Layouts in which other programs leave predictions, each a YAML file of a few lines.

A layout says which files hold the scores and the labels, what * of a numbered column means, whether
scores are logits, and by what the table of patients is joined. Layouts of published programs are in
the folder `layouts` beside this file; a user's own is read the same way.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator, model_validator

from fairfm_core.config.frozen import Frozen
from fairfm_core.config.yaml_input import read_record
from fairfm_core.errors import BadInput, did_you_mean

FOLDER = Path(__file__).parent / "layouts"
NUMBER, NAME = "{number}", "{name}"
"""What stands in a column's name for the pathology: its number, counted from 0, or its name."""
Split = Literal["train", "val", "test"]
FileNames = dict[Split, tuple[str, ...]]
"""Split -> names that its file may have."""


class PeopleLayout(Frozen):
    """The table that says who is on each image."""

    files: FileNames = Field(default_factory=dict)
    """Where a folder is given: names of the table of each split."""
    key: str | None = None
    """Its column that names an image; null for the number of the row, counted from 0."""
    labels: str | None = None
    """Its columns of labels, if it has any: they check those of the predictions."""


class PredictionLayout(Frozen):
    """Where a program leaves its predictions, and what its columns mean.

    Raises:
        BadInput: no pathology, a name of columns that fits all pathologies alike, a pattern that
            is none.
    """

    program: str
    """Who writes such files, in words."""
    predictions: FileNames
    """Files of scores."""
    truth: FileNames = Field(default_factory=dict)
    """Files of labels, where those are not beside the scores."""
    key: str | None = None
    """Column of both that names an image; null for the number of the row, counted from 0."""
    pathologies: tuple[str, ...]
    """Names of the pathologies, in the order of the columns."""
    labels: str
    """Columns of labels."""
    predicted: str
    """Columns of scores."""
    scores: Literal["probabilities", "logits", "percent"]
    """What a score is."""
    columns: dict[str, str] = Field(default_factory=dict)
    """Our name -> theirs: `image_id`, `patient_id` and attributes; without `image_id`, the key."""
    values: dict[str, dict[str, str]] = Field(default_factory=dict)
    """Attribute -> their word -> ours; other words stay."""
    patient_pattern: str | None = None
    """Without a column of patients: the part of `image_id` that names one, a regular expression."""
    people: PeopleLayout | None = None
    """Of the table of patients; null where the predictions name them."""

    @field_validator("patient_pattern")
    @classmethod
    def _compiles(cls, pattern: str | None) -> str | None:
        try:
            re.compile(pattern or "")
        except re.error as error:
            raise BadInput(f"{pattern!r} is no regular expression ({error})") from error
        return pattern

    @model_validator(mode="after")
    def _distinct(self) -> PredictionLayout:
        if not self.predictions or not self.pathologies:
            raise BadInput("name at least one file of predictions and one pathology")
        if len(set(self.pathologies)) < len(self.pathologies):
            raise BadInput("pathologies: each is named once, in the order of the columns")
        for name in ("labels", "predicted"):
            if len({*columns_of(getattr(self, name), self.pathologies)}) < len(self.pathologies):
                raise BadInput(f"{name}: say where the pathology stands, as in 'logit_{NUMBER}'")
        return self


def columns_of(pattern: str, pathologies: tuple[str, ...]) -> list[str]:
    """A program's columns of the pathologies, in their order."""
    return [
        pattern.replace(NUMBER, str(number)).replace(NAME, name)
        for number, name in enumerate(pathologies)
    ]


def known_layouts() -> tuple[str, ...]:
    """Names of the layouts of published programs."""
    return tuple(sorted(path.stem for path in FOLDER.glob("*.yaml")))


def read_layout(given: str) -> PredictionLayout:
    """The layout of a published program by its name, or that of a YAML file.

    Raises BadInput for neither, and for a file that is no layout.
    """
    path = Path(given)
    if given in known_layouts():
        path = FOLDER / f"{given}.yaml"
    elif not path.is_file():
        known = known_layouts()
        raise BadInput(
            f"--layout {given!r} is neither a file nor known{did_you_mean(given, known)}; known:"
            f" {', '.join(known)}"
        )
    layout, _ = read_record(PredictionLayout, path)
    return layout
