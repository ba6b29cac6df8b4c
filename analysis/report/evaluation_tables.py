"""Tables of the report of one model's evaluation, as plain data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from analysis.evaluation.findings import OVERALL, AucCell, ModelFindings, Pathology, attributes_of
from analysis.report.tables import SHADE, TableCell
from analysis.results.numbers import Number
from analysis.wording import (
    metric_title,
    p_value,
    points,
    quoted,
    signed_interval,
    why_no_p_value,
    with_interval,
)

NOTHING = TableCell("–")
MOST_CELLS = 30
"""Rows of the table of worst cells."""


@dataclass(frozen=True)
class Row:
    """A row: its name and its cells."""

    name: str
    cells: tuple[TableCell, ...]


@dataclass(frozen=True)
class Table:
    """A table of the page."""

    title: str
    head: tuple[str, ...]
    rows: tuple[Row, ...]
    caption: str = ""
    sortable: bool = True
    shaded: bool = False
    """Whether cells are shaded by their difference from everybody's value."""
    every_protocol: bool = False
    """Whether its rows are of several protocols, which a column names."""


def gap_table(findings: ModelFindings) -> Table:
    """Every gap of the split shown, in both definitions and every protocol."""
    frame = findings.evaluation.gaps
    rows = [
        {str(key): None if value != value else value for key, value in row.items()}
        for row in frame[frame["split"] == findings.split].to_dict("records")
    ]
    head = ("Attribute", "Metric", "Definition", "Protocol", "Gap", "Corrected", "Null")
    return Table(
        "All gaps",
        (*head, "p", "Worst → best group"),
        tuple(Row(quoted(row["attribute"]), _gap_cells(row)) for row in rows),
        "Null: mean, and below it the bound.",
        every_protocol=True,
    )


def _gap_cells(row: Number) -> tuple[TableCell, ...]:
    what = TableCell(metric_title(row["metric"])), TableCell(row["definition"])
    start = (*what, TableCell(row["protocol"]))
    if row["value"] is None:
        return (*start, _undefined(row), *[NOTHING] * 4)
    null = NOTHING
    if row["null_mean"] is not None:
        null = TableCell(points(row["null_mean"]), f"to {points(row['null_hi'])}", row["null_mean"])
    p = TableCell(p_value(row), "", row["p_value"] or 0)
    if row["p_value"] is None:
        p = TableCell("–", why_no_p_value(row), "")
    fair = row["bias_corrected"]
    corrected = NOTHING if fair is None else TableCell(points(fair), "", fair)
    order = NOTHING
    if row["worst_group"] is not None:
        order = TableCell(f"{quoted(row['worst_group'])} → {quoted(row['best_group'])}")
    return (*start, _number_cell(row), corrected, null, p, order)


def group_table(findings: ModelFindings) -> Table:
    """Every group with its images, its AUC, the difference from everybody's, and other metrics."""
    others = [name for name in findings.metrics if name != "auc"]
    everybody = Row(
        "everybody",
        (
            NOTHING,
            _count(findings.everybody["auc"], "n"),
            _count(findings.everybody["auc"], "n_patients"),
            _number_cell(findings.everybody["auc"]),
            NOTHING,
            *(_number_cell(findings.everybody.get(name)) for name in others),
        ),
    )
    rows = [
        Row(
            quoted(group.attribute),
            (
                TableCell(quoted(group.name)),
                _count(group.auc, "n"),
                _count(group.auc, "n_patients"),
                _number_cell(group.auc),
                _difference_cell(group.difference),
                *(_number_cell(group.rates.get(name)) for name in others),
            ),
        )
        for group in findings.groups
    ]
    head = ("Attribute", "Group", "Images", "Patients", "AUC", "AUC less everybody’s")
    titles = (metric_title(name) for name in others)
    return Table("Groups", (*head, *titles), (everybody, *rows), "Means over pathologies.")


def cell_table(findings: ModelFindings) -> Table:
    """The cells of pathology and group whose AUC lies farthest below everybody's."""
    cells = findings.worst_cells[:MOST_CELLS] if len(findings.pathologies) > 1 else ()
    head = ("Pathology", "Attribute", "Group", "Positives", "Images", "AUC", "AUC less everybody’s")
    return Table("Worst cells", (*head, "p"), tuple(map(_cell_row, cells)))


def _cell_row(cell: AucCell) -> Row:
    row, difference = cell.auc, cell.difference
    p = NOTHING
    if difference is not None and difference["p_value"] is not None:
        p = TableCell(p_value(difference), "", difference["p_value"])
    names = TableCell(quoted(row["attribute"])), TableCell(quoted(row["group"]))
    counts = _count(row, "n_positive"), _count(row, "n")
    cells = (*names, *counts, _number_cell(row), _difference_cell(difference), p)
    return Row(quoted(row["pathology"]), cells)


def heat_maps(findings: ModelFindings) -> list[Table]:
    """For each attribute the AUC of every pathology in every group."""
    return [_heat_map(findings, attribute) for attribute in attributes_of(findings.groups)]


def _heat_map(findings: ModelFindings, attribute: str) -> Table:
    groups = sorted(group.name for group in findings.groups if group.attribute == attribute)
    rows = [
        Row(quoted(each.name), (_everybody_cell(each), *_heat_cells(each, attribute, groups)))
        for each in findings.pathologies
    ]
    return Table(
        quoted(attribute),
        ("Pathology", "everybody", *map(quoted, groups)),
        tuple(rows),
        "AUC, shaded by the difference from everybody’s: orange below, blue above, full colour at"
        f" {100 * SHADE:.0f} points; positives in brackets.",
        sortable=False,
        shaded=True,
    )


def _everybody_cell(each: Pathology) -> TableCell:
    return _heat_cell(each.auc, each.auc)


def _heat_cells(each: Pathology, attribute: str, groups: Sequence[str]) -> list[TableCell]:
    own = {cell.auc["group"]: cell.auc for cell in each.cells if cell.auc["attribute"] == attribute}
    return [_heat_cell(own[group], each.auc) if group in own else NOTHING for group in groups]


def _heat_cell(number: Number, everybody: Number) -> TableCell:
    positives = number["n_positive"] or 0
    if number["value"] is None:
        return TableCell("–", f"undefined ({positives:,})", "", "missing")
    shade = 0.0
    if everybody["value"] is not None:
        shade = max(-1.0, min(1.0, (number["value"] - everybody["value"]) / SHADE))
    limits = "" if number["lo"] is None else f"{points(number['lo'])}–{points(number['hi'])} "
    note = f"{limits}({positives:,})"
    return TableCell(points(number["value"]), note, number["value"], "", round(shade, 2))


def pathology_tables(findings: ModelFindings) -> list[Table]:
    """For each pathology every group with every metric."""
    metrics = findings.metrics
    tables = []
    for each in findings.pathologies:
        rows = findings.rows_of(each.name)
        named = [_pathology_row(group, numbers, metrics) for group, numbers in rows.items()]
        auc = f"AUC {with_interval(each.auc)}, {each.auc['n_positive'] or 0:,} positives"
        head = ("Attribute", "Group", "Positives", "Images", *map(metric_title, metrics))
        tables.append(Table(f"{quoted(each.name)}: {auc}", head, tuple(named)))
    return tables


def _pathology_row(
    group: tuple[str, str], numbers: dict[str, Number], metrics: Sequence[str]
) -> Row:
    attribute, name = group
    whole = attribute == OVERALL
    start = NOTHING if whole else TableCell(quoted(name))
    counts = _count(numbers["auc"], "n_positive"), _count(numbers["auc"], "n")
    cells = (start, *counts, *(_number_cell(numbers.get(metric)) for metric in metrics))
    return Row("everybody" if whole else quoted(attribute), cells)


def _undefined(number: Number) -> TableCell:
    return TableCell("undefined", str(number["reason"]), "", "missing")


def _number_cell(number: Number | None) -> TableCell:
    if number is None:
        return NOTHING
    if number["value"] is None:
        return TableCell("undefined", "", "", "missing")
    return TableCell(with_interval(number), "", number["value"])


def _difference_cell(number: Number | None) -> TableCell:
    if number is None or number["value"] is None:
        return NOTHING
    return TableCell(signed_interval(number), "", number["value"])


def _count(number: Number, name: str) -> TableCell:
    count = number[name]
    return NOTHING if count is None else TableCell(f"{count:,}", "", int(count))
