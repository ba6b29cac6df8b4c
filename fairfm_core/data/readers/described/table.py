"""Any table of images, described by a YAML file: fundus photographs, knees, whatever comes next.

`table_description.py` defines the file. It names the columns of the image, the patient, the
attributes and the labels (a column for each, or one column with all of them and a separator), and
says what their values mean.
"""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path
from typing import Any

import pandas as pd

from fairfm_core.config.fingerprint import fingerprint
from fairfm_core.data.attribute_values import cleaned_column
from fairfm_core.data.cohort_checks import LABEL_PREFIX, SPLITS, UNCERTAIN_PREFIX
from fairfm_core.data.groups import binned
from fairfm_core.data.population.steps import frequent, without_contradictions
from fairfm_core.data.readers.described.joins import read_tables
from fairfm_core.data.readers.described.table_description import (
    ColumnValues,
    ComputedAge,
    JoinedLabels,
    Label,
    TableDescription,
    as_text,
    read_description,
)
from fairfm_core.data.readers.image_files import locate_images
from fairfm_core.data.readers.source import ReadOptions, Source, drawn_split, source_of_files
from fairfm_core.data.readers.tabular.ages import years, years_between
from fairfm_core.data.readers.tabular.tables import check_not_blank, file_sha256
from fairfm_core.data.readers.tabular.words import listed_words, separated_words
from fairfm_core.errors import BadInput, did_you_mean, first_ten

SEX_NAMES = {"f": "F", "m": "M", "female": "F", "male": "M", "woman": "F", "man": "M"}
"""Usual entries, whatever their case."""
SPLIT_WORDS = {name: name for name in SPLITS}
SPLIT_WORDS |= {"training": "train", "validate": "val", "validation": "val", "valid": "val"}
SPLIT_WORDS |= {"testing": "test"}
NEARLY = 0.75
"""How alike, from 0 to 1, a word is to the name of a split that it probably means."""


def read_described_table(source: str, options: ReadOptions) -> Source:
    """The table and images that the YAML file `source` describes.

    Raises:
        BadInput: a description, a table or images that are absent or damaged, or values in the
            table that the description does not cover.
    """
    path = Path(source)
    if path.is_dir():
        raise BadInput(f"{source} is a folder: give the YAML file that describes the table")
    described = read_description(path)
    table_path = path.parent / described.table
    table, notes = read_tables(path.parent, described)
    frame = cohort_of(table, described, table_path, notes)
    for attribute in ("sex", "race"):
        frame = without_contradictions(frame, attribute, notes)
    if described.split is None:
        frame["split"] = drawn_split(frame, options)
    root = path.parent / described.images
    files = locate_images(list(frame["image_id"]), root, options.allow_missing)
    content = described.content() | {"table": table_path.name, "images": ""}
    if described.join is not None:
        content["join"] |= {"table": file_sha256(path.parent / described.join.table)}
    origin: dict[str, Any] = {
        "table": table_path.name,
        "table_sha256": file_sha256(table_path),
        "description": fingerprint(content),
        "split": "random" if described.split is None else "column",
    }
    return source_of_files(frame, files, notes, origin)


def cohort_of(
    table: pd.DataFrame, described: TableDescription, path: Path, notes: dict[str, int]
) -> pd.DataFrame:
    """A table of text as a cohort without `row`; adds to `notes` the values that became null."""
    for column in (described.image, described.patient):
        check_not_blank(table[column], column, path)
    frame = pd.DataFrame(
        {
            "image_id": table[described.image] + described.suffix,
            "patient_id": table[described.patient],
            "sex": _groups(table, described.sex, "sex", notes, SEX_NAMES),
            "race": _groups(table, described.race, "race", notes),
            "age": pd.Series(index=table.index, dtype="float64"),
        }
    )
    if described.age is not None:
        frame["age"], ages = _ages(table, described.age)
        notes |= ages
    for name, values in described.attributes.items():
        frame[name] = _groups(table, values, name, notes)
    frame = frame.join(labels_of(table, described.labels, path))
    if described.split is not None:
        frame["split"] = _groups(table, described.split, "split", notes, SPLIT_WORDS)
        if described.split.values is None:
            _refuse_misspelt_splits(table[described.split.column], frame["split"])
    return frame


def _refuse_misspelt_splits(text: pd.Series, split: pd.Series) -> None:
    """Raises BadInput for what is nearly the name of a split: its rows would be left out."""
    for entry in text[text.notna() & split.isna()].astype("str").unique():
        if get_close_matches(entry.casefold(), SPLIT_WORDS, cutoff=NEARLY):
            hint = did_you_mean(entry, SPLIT_WORDS)
            raise BadInput(
                f"split: {text.name} holds {entry!r} in {(text == entry).sum()} row(s){hint}; "
                f"known: {', '.join(SPLIT_WORDS)}; correct it, or say what it means, as in split: "
                f"{{column: {text.name}, values: {{{entry}: train, ...}}}}"
            )


def _ages(table: pd.DataFrame, age: str | ComputedAge) -> tuple[pd.Series, dict[str, int]]:
    if isinstance(age, str):
        return years(table[age])
    return years_between(table[age.born], table[age.at], age.format)


def _groups(
    table: pd.DataFrame,
    values: ColumnValues | None,
    name: str,
    notes: dict[str, int],
    default: dict[str, str] | None = None,
) -> pd.Series:
    """The group of each row; null where the column is blank or its value is not listed."""
    if values is None:
        return pd.Series(index=table.index, dtype="str")
    named = default if values.values is None else values.values
    text = table[values.column]
    if values.bins is not None:
        groups = _binned(text, values.bins, f"{name}: {values.column}")
    elif named is not None:
        groups = _mapped(text, dict(named), f"{name}: {values.column}")
    else:
        groups, changed = cleaned_column(text)
        notes |= {f"{name}: {step}": count for step, count in changed.items()}
        return groups
    unknown = text[text.notna() & groups.isna()].astype("str")
    notes |= frequent(unknown, lambda entry: f"{name} {entry!r}, set to null")
    return groups


def _binned(text: pd.Series, edges: tuple[float, ...], what: str) -> pd.Series:
    number = pd.to_numeric(text, errors="coerce")
    if text.notna().any() and number.isna().all():
        raise BadInput(
            f"{what} holds no numbers, so it has no bins; it holds {first_ten(text.unique()[:3])}: "
            "give values instead of bins"
        )
    return binned(number, edges)


def _mapped(text: pd.Series, named: dict[str, Any], what: str) -> pd.Series:
    """The group that each value names, as it is written or else whatever its case."""
    entries = text.dropna().unique()
    folded = {name.casefold(): group for name, group in named.items()}
    group_of = {
        entry: named.get(as_text(entry), folded.get(" ".join(as_text(entry).split()).casefold()))
        for entry in entries
    }
    groups = text.map(group_of).astype("str")
    if len(entries) and groups.isna().all():
        raise BadInput(
            f"{what} holds none of the listed values ({first_ten(named)}); it holds "
            f"{first_ten(sorted(entries))}"
        )
    return groups


def labels_of(
    table: pd.DataFrame, labels: dict[str, Label] | JoinedLabels, path: Path
) -> pd.DataFrame:
    """Columns y_<pathology>, and u_<pathology> where values can mean `uncertain`."""
    if isinstance(labels, JoinedLabels):
        return _joined(table[labels.column], labels, path)
    columns: dict[str, pd.Series] = {}
    for name, label in labels.items():
        meaning = _meanings(table[label.column], label, f"{path}: label {name!r}")
        uncertain = meaning == "uncertain"
        columns[LABEL_PREFIX + name] = meaning.mask(uncertain).astype("float64")
        if "uncertain" in label.values.values():
            columns[UNCERTAIN_PREFIX + name] = uncertain.astype("float64")
    return pd.DataFrame(columns)


def _meanings(text: pd.Series, label: Label, what: str) -> pd.Series:
    """0, 1, "uncertain" or null for each row; BadInput for a value without a meaning."""
    entries = text.fillna("").astype("str")
    unknown = [entry for entry in entries.unique() if as_text(entry) not in label.values]
    if unknown:
        shown = first_ten(repr(entry) for entry in sorted(unknown))
        raise BadInput(
            f"{what}: column {label.column!r} holds {shown}; give each a meaning under values: "
            f"1, 0, uncertain or null (unknown)"
        )
    return entries.map({entry: label.values[as_text(entry)] for entry in entries.unique()}).astype(
        object
    )


def _joined(text: pd.Series, labels: JoinedLabels, path: Path) -> pd.DataFrame:
    """1 for the labels that a row lists and 0 for the others; null where the row is blank."""
    entries = text.dropna().unique()
    sets = {entry: _words(entry, labels, path) for entry in entries}
    known = {*labels.names, *labels.ignore}
    for word in sorted(set().union(*sets.values()) - known):
        raise BadInput(
            f"{path}: label {word!r} in column {labels.column!r} is not among the names"
            f"{did_you_mean(word, known)}; add it to names or to ignore"
        )
    return pd.DataFrame(
        {
            LABEL_PREFIX + name: text.map({e: float(name in sets[e]) for e in entries}).astype(
                "float64"
            )
            for name in labels.names
        }
    )


def _words(entry: str, labels: JoinedLabels, path: Path) -> frozenset[str]:
    if labels.form == "separated":
        return separated_words(entry, labels.separator)
    try:
        return listed_words(entry)
    except BadInput as error:
        raise BadInput(f"{path}: column {labels.column!r}: {error}") from None
