"""The YAML file that describes a table of images: which column is what, and what values mean.

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
rows: {field: [macula, disc]}
join: {table: people.xlsx, on: {person: ID}}
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from fairfm_core.config.frozen import Frozen
from fairfm_core.config.yaml_input import read_record, validated
from fairfm_core.data.cohort_checks import REQUIRED
from fairfm_core.errors import BadInput

WORDS = {"true": "yes", "on": "yes", "yes": "yes", "false": "no", "off": "no", "no": "no"}

Meaning = Literal[0, 1, "uncertain"] | None
AS_THEY_ARE: dict[str, Meaning] = {"0": 0, "1": 1, "": None}


def as_text(value: Any) -> str:
    """The form in which values are compared: 1.0 is 1, YAML's true and false are yes and no."""
    text = "" if value is None else str(value).strip()
    try:
        return f"{float(text):.15g}"
    except ValueError:
        return WORDS.get(text.lower(), text)


def _keys_as_text(values: Any) -> Any:
    return {as_text(k): v for k, v in values.items()} if isinstance(values, dict) else values


def _column_alone(given: Any) -> Any:
    return {"column": given} if isinstance(given, str) else given


class ColumnValues(Frozen):
    """A column and what its values mean; a value that is not listed means null (unknown).

    The name of the column alone, without a mapping, takes the values as they are.
    """

    column: str
    """Its name in the table, in the table's case."""
    values: dict[str, str | None] | None = None
    """Value in the table -> group; by default the values are the groups."""
    bins: tuple[float, ...] | None = None
    """Inner edges of bins for a number: (20, 30) makes the groups <20, 20-29 and 30+."""

    _keys = field_validator("values", mode="before")(_keys_as_text)
    _name = model_validator(mode="before")(_column_alone)

    @model_validator(mode="after")
    def _either(self) -> ColumnValues:
        if self.values is not None and self.bins is not None:
            raise BadInput("give values or bins, not both")
        if self.bins is not None and (not self.bins or list(self.bins) != sorted(set(self.bins))):
            raise BadInput(f"bins must be increasing numbers, not {list(self.bins)}")
        return self


class Label(Frozen):
    """The column of a label, also as its name alone.

    Without `values` it must hold 1, 0 or blank (unknown).
    """

    column: str
    """Its name in the table, in the table's case."""
    values: dict[str, Meaning] = Field(default_factory=lambda: {**AS_THEY_ARE})
    """Value in the table -> 1, 0, `uncertain` or null (unknown); "" is a blank."""

    _keys = field_validator("values", mode="before")(_keys_as_text)
    _name = model_validator(mode="before")(_column_alone)


class JoinedLabels(Frozen):
    """All labels in one column, with a separator between them or as a list."""

    column: str
    """Its name in the table, in the table's case."""
    separator: str = Field("|", min_length=1)
    """What stands between two labels."""
    form: Literal["separated", "list"] = "separated"
    """`list`: as Python and JSON write it, ['mass', 'nodule']."""
    names: tuple[str, ...] = Field(min_length=1)
    """Every label that may occur; each becomes a pathology."""
    ignore: tuple[str, ...] = ()
    """Further words that may occur and mean no pathology, such as "normal"."""


JOINED = {"separator", "names", "ignore", "form"}


class ComputedAge(Frozen):
    """The columns of two dates, or of two years, between which a patient's age is computed."""

    born: str
    """Column of the date or year of birth."""
    at: str
    """Column of the date or year of the study."""
    format: str | None = None
    """How the dates are written, such as %d/%m/%Y; by default a form that means one day only."""


class TableForm(Frozen):
    """How a file is written; by default as its name and its content say."""

    delimiter: str | None = Field(None, min_length=1, max_length=1)
    """Character between the fields of a csv file."""
    encoding: str | None = None
    """Encoding of a csv file, such as latin-1."""
    comment: str | None = Field(None, min_length=1)
    """Start of the lines of a csv file that are left out."""
    sheet: str | None = None
    """Sheet of an Excel file; by default its first."""


class Join(TableForm):
    """A second table, with a row for each value of a column of the first."""

    table: str
    """csv, csv.gz, xlsx or parquet, beside the YAML file or as an absolute path."""
    on: str | dict[str, str]
    """The column that both have, or a mapping from the first table's column to the second's."""

    @field_validator("on")
    @classmethod
    def _one(cls, on: str | dict[str, str]) -> str | dict[str, str]:
        if isinstance(on, dict) and len(on) != 1:
            raise BadInput("on: give one column, or one column of each table as {ours: theirs}")
        return on

    @property
    def columns(self) -> tuple[str, str]:
        """The column of the first table and that of the second."""
        return next(iter(self.on.items())) if isinstance(self.on, dict) else (self.on, self.on)


class TableDescription(TableForm):
    """A table and its images."""

    table: str
    """csv, csv.gz, xlsx or parquet, beside the YAML file or as an absolute path."""
    join: Join | None = None
    """A second table whose columns are used as if the first had them."""
    rows: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    """Column -> the values of the rows that are kept, such as {view: [PA, AP]}."""
    images: str = "."
    """Folder that the image paths are relative to."""
    image: str
    """Column with the path of each image, below that folder."""
    suffix: str = ""
    """File extension to append to each path, such as .jpg, if the column leaves it out."""
    patient: str
    """Column with the patient; all images of a patient are in the same split."""
    sex: ColumnValues | None = None
    """Column with the sex; female, woman and F, male, man and M are understood in any case."""
    race: ColumnValues | None = None
    """Column with the race or ethnicity; any groups."""
    age: str | ComputedAge | None = None
    """Column with the age in years, with a unit as in 060Y, 018M, or as a bound as in 90+; or the
    columns of the dates of birth and study."""
    attributes: dict[str, ColumnValues] = Field(default_factory=dict)
    """Further attributes by name."""
    labels: dict[str, Label] | JoinedLabels
    """Pathology -> its column, or one column for all."""
    split: ColumnValues | None = None
    """Column with train, val and test, also as training, validation and testing in any case; by
    default a split by patient is drawn at random."""

    @field_validator("labels", mode="before")
    @classmethod
    def _joined(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            raise BadInput(
                "give a mapping of pathologies to columns, or one column and the names in it"
            )
        if JOINED & given.keys():
            return validated(JoinedLabels, given, "labels")
        return {str(name): validated(Label, one, f"labels.{name}") for name, one in given.items()}

    @field_validator("rows", mode="before")
    @classmethod
    def _kept(cls, rows: Any) -> Any:
        """A single value stands for a list of one; values are compared as text."""
        if not isinstance(rows, dict):
            return rows
        lists = {k: v if isinstance(v, list | tuple) else [v] for k, v in rows.items()}
        return {column: tuple(as_text(value) for value in v) for column, v in lists.items()}

    @model_validator(mode="after")
    def _names(self) -> TableDescription:
        if not self.labels:
            raise BadInput("labels: give at least one pathology and its column")
        for name in self.attributes:
            if name in REQUIRED or name.startswith(("y_", "u_", "p_")):
                raise BadInput(f"attributes: {name!r} is reserved; choose another name")
        return self


def read_description(path: Path) -> TableDescription:
    """The description in a YAML file; raises BadInput for unknown keys and invalid values."""
    return read_record(TableDescription, path)[0]
