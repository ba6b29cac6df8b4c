"""What a YAML file says about a table of images: which column is what, and what its values mean.

table: retina.csv
images: photos
image: file
patient: person
sex: {column: gender, values: {woman: F, man: M}}
age: years
attributes: {camera: device, bmi_group: {column: bmi, bins: [18.5, 25]}}
labels:
  Retinopathy: {column: grade, values: {0: 0, 1: 0, 2: 1, 3: 1}}
  Glaucoma: {column: glaucoma, values: {yes: 1, no: 0, maybe: uncertain, "": null}}
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from fairfm_core.config.frozen import Frozen
from fairfm_core.config.yaml_input import read_yaml, validated
from fairfm_core.data.cohort_checks import REQUIRED
from fairfm_core.errors import BadInput

WORDS = {"true": "yes", "on": "yes", "yes": "yes", "false": "no", "off": "no", "no": "no"}

Meaning = Literal[0, 1, "uncertain"] | None
AS_THEY_ARE: dict[str, Meaning] = {"0": 0, "1": 1, "": None}


def as_text(value: Any) -> str:
    """A value as it is compared: 1.0 is 1, and the words that YAML takes for truth are yes, no."""
    text = "" if value is None else str(value).strip()
    try:
        return f"{float(text):.15g}"
    except ValueError:
        return WORDS.get(text.lower(), text)


def _keys_as_text(values: Any) -> Any:
    return {as_text(k): v for k, v in values.items()} if isinstance(values, dict) else values


def _column_alone(given: Any) -> Any:
    return {"column": given} if isinstance(given, str) else given


class Values(Frozen):
    """A column and what its values mean; a value that is not named means null."""

    column: str
    values: dict[str, str | None] | None = None
    """Value in the table -> group; null takes the values as they are."""
    bins: tuple[float, ...] | None = None
    """Inner edges that turn a number into groups: (20, 30) makes <20, 20-29 and 30+."""

    _keys = field_validator("values", mode="before")(_keys_as_text)
    _name = model_validator(mode="before")(_column_alone)

    @model_validator(mode="after")
    def _either(self) -> Values:
        if self.values is not None and self.bins is not None:
            raise BadInput("give values or bins, not both")
        if self.bins is not None and (not self.bins or list(self.bins) != sorted(set(self.bins))):
            raise BadInput(f"bins must be rising numbers, not {list(self.bins)}")
        return self


class Label(Frozen):
    """A label's column; without `values` it holds 1, 0 and blank (unknown)."""

    column: str
    values: dict[str, Meaning] = Field(default_factory=lambda: {**AS_THEY_ARE})
    """Value in the table -> 1, 0, `uncertain` or null (unknown); "" is a blank."""

    _keys = field_validator("values", mode="before")(_keys_as_text)
    _name = model_validator(mode="before")(_column_alone)


class JoinedLabels(Frozen):
    """All labels in one column, with a separator between them."""

    column: str
    separator: str = Field("|", min_length=1)
    names: tuple[str, ...] = Field(min_length=1)
    """Every label that may stand there; each becomes a pathology."""
    ignore: tuple[str, ...] = ()
    """Further words that may stand there and mean no pathology, such as "normal"."""


JOINED = {"separator", "names", "ignore"}


class TableDescription(Frozen):
    """A table and its images."""

    table: str
    """csv, csv.gz or parquet, beside the YAML file or as an absolute path."""
    images: str = "."
    """Folder that the image paths start from."""
    image: str
    """Column with the path of each image."""
    suffix: str = ""
    """Appended to each path, such as .jpg, where the column leaves it out."""
    patient: str
    """Column with the patient; images of one patient are never divided between splits."""
    sex: Values | None = None
    race: Values | None = None
    age: str | None = None
    """Column with the age in years, or with a unit as in 060Y, 018M."""
    attributes: dict[str, Values] = Field(default_factory=dict)
    """Further attributes by name."""
    labels: dict[str, Label] | JoinedLabels
    """Pathology -> its column, or one column for all."""
    split: Values | None = None
    """Column with train, val and test; null draws a split by patient."""

    @field_validator("labels", mode="before")
    @classmethod
    def _joined(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            raise BadInput("give a mapping of pathologies to columns, or column and names")
        if JOINED & given.keys():
            return validated(JoinedLabels, given, "labels")
        return {str(name): validated(Label, one, f"labels.{name}") for name, one in given.items()}

    @model_validator(mode="after")
    def _names(self) -> TableDescription:
        if not self.labels:
            raise BadInput("labels: name at least one pathology and its column")
        for name in self.attributes:
            if name in REQUIRED or name.startswith(("y_", "u_", "p_")):
                raise BadInput(f"attributes: {name!r} is taken; choose another name")
        return self


def read_description(path: Path) -> TableDescription:
    """The description in a YAML file; raises BadInput in one line for anything it does not know."""
    return validated(TableDescription, read_yaml(path), str(path))
