"""A paper's Table 1: the characteristics of patients by split, and of one split by group."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pandas as pd

from analysis.cohort.flow import SPLIT_TITLES
from analysis.cohort.study_cohort import FROM_PREDICTIONS, StudyCohort
from fairfm_core.data.groups import AGE
from fairfm_core.data.population.characteristics import (
    EVERYBODY,
    IMAGES,
    LABEL,
    PATIENTS,
    POSITIVE,
    UNCERTAIN,
    UNLABELLED,
)
from fairfm_core.evaluation.tables import Row

Stratum = tuple[str, str, str]
"""Split, attribute and group."""
NONE = "–"
MOST_GROUPS = 8
"""Columns of groups in one table; more groups make further tables."""


@dataclass(frozen=True)
class CharacteristicsTable:
    """A table of texts; each cell has one line or two."""

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[tuple[str, ...], ...], ...]
    """The name of the characteristic first."""


def table_by_split(cohort: StudyCohort) -> CharacteristicsTable:
    """Everybody in each split."""
    strata = [(split, *EVERYBODY) for split in cohort.splits]
    head = tuple(SPLIT_TITLES[split] for split in cohort.splits)
    title = f"Table 1. Patients and images of {cohort.folder} by split"
    return _table(cohort, title, head, strata)


def tables_by_group(
    cohort: StudyCohort, split: str, attributes: Sequence[str]
) -> tuple[CharacteristicsTable, ...]:
    """The groups of these attributes in one split; several tables where there are many groups."""
    own = cohort.table[cohort.table["split"] == split]
    pairs = [(str(a), str(g)) for a, g in zip(own["attribute"], own["group"], strict=True)]
    groups = [pair for pair in dict.fromkeys(pairs) if pair[0] in attributes]
    title = f"Table 1, {SPLIT_TITLES[split]} split of {cohort.folder} by group"
    pages = [groups[n : n + MOST_GROUPS] for n in range(0, len(groups), MOST_GROUPS)]
    return tuple(
        _table(
            cohort,
            title if not number else f"{title} (continued)",
            tuple(f"{attribute} {group}" for attribute, group in page),
            [(split, *pair) for pair in page],
        )
        for number, page in enumerate(pages)
    )


def table_notes(cohort: StudyCohort) -> tuple[str, ...]:
    """One sentence for each thing to know of the tables."""
    notes = [
        "Numbers are patients or images with percentages of those that are known, as the first"
        " column says; ages are the lowest of each patient in the split, mean (standard deviation)."
        " Labels: positive images of those with a label."
    ]
    if cohort.stored is None:
        notes.append(FROM_PREDICTIONS)
    elif (cohort.table["level"] == UNCERTAIN).any() and _uncertain(cohort.table):
        policies = " and ".join(cohort.policies)
        notes.append(
            "Uncertain labels stand below; the trials read them by the policy"
            f" {policies} (data.labels)."
        )
    return tuple(notes)


def _uncertain(table: pd.DataFrame) -> bool:
    return bool(table.loc[table["level"] == UNCERTAIN, "count"].sum() > 0)


def _table(
    cohort: StudyCohort, title: str, head: tuple[str, ...], strata: Sequence[Stratum]
) -> CharacteristicsTable:
    """One column for each stratum, one row for each characteristic of any of them."""
    records: dict[Stratum, dict[tuple[str, str], Row]] = {stratum: {} for stratum in strata}
    for row in cohort.table.to_dict("records"):
        stratum = (row["split"], row["attribute"], row["group"])
        if stratum in records:
            records[stratum][row["variable"], row["level"]] = {str(k): v for k, v in row.items()}
    names = dict.fromkeys(key for held in records.values() for key in held)
    rows = tuple(_rows(list(names), [records[stratum] for stratum in strata]))
    return CharacteristicsTable(title, ("", *head), rows)


def _rows(
    names: Sequence[tuple[str, str]], columns: Sequence[dict[tuple[str, str], Row]]
) -> Iterator[tuple[tuple[str, ...], ...]]:
    variables = dict.fromkeys(variable for variable, _ in names)
    for variable in variables:
        if variable.startswith(LABEL):
            cells = tuple(_label_cell(column, variable) for column in columns)
            yield (variable.removeprefix(LABEL), "positive images, n (%)"), *cells
            continue
        levels = [level for name, level in names if name == variable]
        for level in sorted(levels, key=lambda level: level == "unknown"):
            held = [column.get((variable, level)) for column in columns]
            yield _name(variable, level, held), *(_cell(row) for row in held)


def _name(variable: str, level: str, held: Sequence[Row | None]) -> tuple[str, ...]:
    if variable in (PATIENTS, IMAGES):
        return (f"{variable}, n",)
    if variable == AGE:
        return ("age, years, mean (SD)",)
    unit = next(row["unit"] for row in held if row is not None)
    return (f"{variable} {level}", f"{unit}, n (%)")


def _cell(row: Row | None) -> tuple[str, ...]:
    if row is None:
        return ("0 (0.0 %)",)
    count, of = int(row["count"]), int(row["of"])
    if row["variable"] in (PATIENTS, IMAGES):
        return (f"{count:,}",)
    if row["variable"] == AGE:
        return _age_cell(row, of - count)
    return (_share(count, of),)


def _age_cell(row: Row, unknown: int) -> tuple[str, ...]:
    if pd.isna(row["mean"]):
        return (NONE, f"{unknown:,} unknown")
    sd = NONE if pd.isna(row["sd"]) else f"{row['sd']:.1f}"
    text = f"{row['mean']:.1f} ({sd})"
    return (text, f"{unknown:,} unknown") if unknown else (text,)


def _label_cell(column: dict[tuple[str, str], Row], variable: str) -> tuple[str, ...]:
    positive = column.get((variable, POSITIVE))
    if positive is None:
        return (NONE,)
    lines = [_share(int(positive["count"]), int(positive["of"]))]
    for level in (UNCERTAIN, UNLABELLED):
        row = column.get((variable, level))
        if row is not None and row["count"]:
            lines.append(f"{int(row['count']):,} {level}")
    return tuple(lines)


def _share(count: int, of: int) -> str:
    return f"{count:,} ({100 * count / of:.1f} %)" if of else NONE
