"""Tables of the report as plain data: the front, the gaps, the choices, the AUC of each group."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from analysis.front.choices import Chosen
from analysis.front.front import Front
from analysis.front.palette import Style
from analysis.front.rows import number_of
from analysis.front.text import seeds_text
from analysis.results.numbers import POINTS, Number, group_numbers, is_gap
from analysis.wording import (
    above_null,
    corrected,
    counted,
    definition_of,
    metric_title,
    p_value,
    points,
    signed,
    why_no_p_value,
    with_interval,
    with_null,
)
from fairfm_core.data.cohort_checks import EVALUATION_SPLITS
from fairfm_core.evaluation.numbers import number_named
from fairfm_core.evaluation.summary import summary_rows
from fairfm_core.evaluation.tables import Evaluation, Row

SHADE = 0.05
"""Difference from everybody's AUC at which a cell of the heat map has its full colour."""


@dataclass(frozen=True)
class TableCell:
    """A table cell: its text, a smaller second line, its sort key, and its CSS class."""

    text: str
    note: str = ""
    key: float | str = ""
    look: str = ""
    shade: float = 0.0
    """In −1..1: how far below or above the reference the value is."""


@dataclass(frozen=True)
class Line:
    """One configuration of a table."""

    label: str
    style: Style
    number: int | None
    """Its place on the front, from 1."""
    name: str
    """The configuration in words."""
    cells: tuple[TableCell, ...]
    note: str = ""
    """How many seeds it has."""
    missing: str = ""
    """Which of its seeds are missing."""


def front_names(front: Front, attributes: Sequence[str]) -> list[str]:
    """The numbers that the front's table shows: AUC, then the objectives, then every gap."""
    gaps = [f"gap_{attribute}" for attribute in attributes]
    return list(dict.fromkeys(["auc", *front.names, *gaps]))


def front_lines(front: Front, names: Sequence[str], look: Mapping[str, Style]) -> list[Line]:
    """Every configuration with its test numbers; gaps with their null and p-value."""
    return [
        Line(
            row["label"],
            look[row["label"]],
            place if row["on_front"] else None,
            front.named(row["label"]),
            (*(_front_cell(row, name) for name in names), _front_probability(row)),
            note=_seeds(row),
            missing=f"missing {row['missing_seeds']}" if row["missing_seeds"] else "",
        )
        for place, row in enumerate(front.rows, start=1)
    ]


def gap_lines(
    front: Front, evaluations: Mapping[str, Evaluation], look: Mapping[str, Style]
) -> list[Line]:
    """The AUC's gaps of every configuration in both definitions, and the objectives', on test."""
    lines = []
    for row in front.rows:
        if row["group"] not in evaluations:
            continue
        numbers = summary_rows(evaluations[row["group"]], "test", front.names)
        for name in filter(is_gap, numbers):
            cells = _gap_cells(name, numbers[name])
            lines.append(
                Line(row["label"], look[row["label"]], None, front.named(row["label"]), cells)
            )
    return lines


def group_columns(evaluations: Mapping[str, Evaluation]) -> list[tuple[str, str]]:
    """(attribute, group) of every group that occurs on test, those of an attribute together."""
    keys = list(
        dict.fromkeys(
            key for evaluation in evaluations.values() for key in group_numbers(evaluation, "test")
        )
    )
    attributes = list(dict.fromkeys(attribute for attribute, _ in keys))
    return sorted(keys, key=lambda key: attributes.index(key[0]))


def group_lines(
    front: Front,
    evaluations: Mapping[str, Evaluation],
    columns: Sequence[tuple[str, str]],
    look: Mapping[str, Style],
) -> list[Line]:
    """Mean AUC of each group on test, shaded by its difference from everybody's."""
    lines = []
    for row in front.rows:
        if row["group"] not in evaluations:
            continue
        aucs = group_numbers(evaluations[row["group"]], "test")
        everybody = number_of(row, "test", "auc")
        worst = {(a, row.get(f"test_gap_{a}_worst_group")) for a, _ in columns}
        cells = [_number_cell(everybody)]
        cells += [_group_cell(aucs.get(key), everybody, key in worst) for key in columns]
        lines.append(
            Line(row["label"], look[row["label"]], None, front.named(row["label"]), tuple(cells))
        )
    return lines


def _line(
    front: Front, label: str, look: Mapping[str, Style], cells: tuple[TableCell, ...]
) -> Line:
    """A line without a number: that of a table which is not about the front."""
    return Line(label, look[label], None, front.named(label), cells)


def _seeds(row: Row) -> str:
    """`2 seeds`, or `6 seeds (2 pre-trainings)`."""
    number, _, before = seeds_text(row).partition(" ")
    return f"{counted(int(number), 'seed')} {before}".rstrip()


def _front_cell(row: Row, name: str) -> TableCell:
    number = number_of(row, "test", name)
    if number["value"] is None:
        return _number_cell(number)
    if not is_gap(name):
        notes = filter(None, [corrected(number), _optimism(row) if name == "auc" else ""])
        return TableCell(with_interval(number), "; ".join(notes), number["value"])
    verdict = {True: "above", False: "within", None: ""}[above_null(number)]
    return TableCell(with_interval(number), with_null(number), number["value"], verdict)


def _number_cell(number: Number) -> TableCell:
    key = "" if number["value"] is None else number["value"]
    return TableCell(with_interval(number), "", key, "missing" if key == "" else "")


def _front_probability(row: Row) -> TableCell:
    """The probability of being on the front of each split, with its Monte Carlo error."""
    val, test = (_probability(row, split) for split in EVALUATION_SPLITS)
    if test is None:
        return TableCell("–")
    return TableCell(test, f"validation {val or '–'}", row["test_p_front"])


def _probability(row: Row, split: str) -> str | None:
    probability, error = row[f"{split}_p_front"], row[f"{split}_p_front_error"]
    return None if probability is None else f"{probability:.2f} ± {error:.2f}"


def choice_lines(front: Front, chosen: Sequence[Chosen], look: Mapping[str, Style]) -> list[Line]:
    """What each rule chooses on validation, with its AUC on both splits."""
    lines = []
    for each in chosen:
        if each.label is None:
            continue
        val, test = each.number("val", "auc"), each.number("test", "auc")
        optimism = each.optimism("auc")
        gain = TableCell("–") if optimism is None else TableCell(signed(optimism), "", optimism)
        rule = TableCell(each.rule, each.space)
        cells = rule, _number_cell(val), _number_cell(test), gain
        lines.append(_line(front, each.label, look, cells))
    return lines


def _optimism(row: Row) -> str:
    """`validation − test +0.6`, of members of the front; empty for others."""
    value = row.get("optimism_auc")
    return "" if value is None else f"validation − test {signed(value)}"


def _gap_cells(name: str, number: Number) -> tuple[TableCell, ...]:
    named = number_named(name)
    what = (
        TableCell(named.attribute),
        TableCell(metric_title(named.metric.name)),
        TableCell(definition_of(name)),
    )
    if number["value"] is None:
        return (
            *what,
            TableCell("undefined", str(number["reason"]), "", "missing"),
            *[TableCell("–")] * 5,
        )
    # A gap of two metrics together, equalized odds, has no worst group.
    order = f"{number['worst_group']} → {number['best_group']}" if number["worst_group"] else "–"
    null = "–" if number["null_mean"] is None else points(number["null_mean"])
    bound = "" if number["null_hi"] is None else f"to {points(number['null_hi'])}"
    fair = (_points_cell(number, "bias_corrected", points), _points_cell(number, "excess", signed))
    p = TableCell(p_value(number), "", number["p_value"])
    if number["p_value"] is None:
        p = TableCell("–", why_no_p_value(number), "")
    return (
        *what,
        _number_cell(number),
        fair[0],
        TableCell(null, bound, number["null_mean"] or ""),
        fair[1],
        p,
        TableCell(order),
    )


def _points_cell(number: Number, column: str, written: Callable[[float], str]) -> TableCell:
    value = number[column]
    return TableCell("–") if value is None else TableCell(written(value), "", value)


def _group_cell(number: Number | None, everybody: Number, worst: bool) -> TableCell:
    if number is None:
        return TableCell("–")
    if number["value"] is None:
        return TableCell("undefined", str(number["reason"]), "", "missing")
    shade = 0.0
    if everybody["value"] is not None:
        shade = max(-1.0, min(1.0, (number["value"] - everybody["value"]) / SHADE))
    limits = "" if number["lo"] is None else f"{points(number['lo'])}–{points(number['hi'])}"
    text = f"{POINTS * number['value']:.1f}"
    return TableCell(text, limits, number["value"], "worst" if worst else "", round(shade, 2))
