"""The cells of a table as tidy rows: our number, its interval and null, and the paper's number."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from analysis.paper.answers import PaperAnswer, PaperAnswers
from analysis.paper.items import PaperCell, PaperItem
from analysis.paper.published import AUC, published
from fairfm_core.evaluation.disaggregated.gaps import GAP_DEFINITIONS
from fairfm_core.evaluation.numbers import gap_name
from fairfm_core.evaluation.summary import number_rows
from fairfm_core.evaluation.tables import Row

CELL_COLUMNS = (
    *("item", "row", "arm", "column", "number", "definition", "protocol", "split"),
    *("model", "studies", "seeds", "value", "lo", "hi", "bias_corrected"),
    *("null_mean", "null_hi", "p_value", "place", "p_best", "told_from_best"),
    *("published", "inferred", "difference", "verdict", "tested", "reason", "command"),
)
NOT_RUN = "not run"


def definitions(chosen: str) -> list[str]:
    """Both definitions of a gap, the chosen one first."""
    return [chosen, *(name for name in GAP_DEFINITIONS if name != chosen)]


def number_columns(answers: PaperAnswers) -> list[str]:
    """Names of the numbers that are tested: the AUC and the gaps in the chosen definition."""
    of = answers.request.definition
    return [AUC, *(gap_name(AUC, of, each) for each in answers.settings.attributes)]


def verdict(value: float | None, lo: float | None, hi: float | None) -> str | None:
    """Where a published number lies with respect to our interval: inside, above or below it."""
    if value is None or lo is None or hi is None:
        return None
    if value > hi:
        return "above"
    return "below" if value < lo else "inside"


def cell_rows(
    item: PaperItem, cell: PaperCell, answer: PaperAnswer | None, answers: PaperAnswers
) -> list[Row]:
    """A row for the AUC and for each gap in both definitions; without numbers if not run."""
    numbers = {} if answer is None else number_rows(answer.evaluation, answers.request.split)
    return [
        {
            "item": item.name,
            "row": cell.row,
            "arm": cell.arm,
            "column": column,
            "number": name,
            "definition": definition,
            "protocol": answers.protocol,
            "split": answers.request.split,
            "alpha": 1 - answers.settings.confidence,
            "tested": name in number_columns(answers),
            **_model(item, answer),
            **_number(numbers.get(name), answer),
            **_published(item, cell, column, numbers.get(name)),
            "place": None,
        }
        for column, name, definition in _columns(answers)
    ]


def _columns(answers: PaperAnswers) -> list[tuple[str, str, str | None]]:
    """Column, name of the number, and definition of the gap."""
    columns: list[tuple[str, str, str | None]] = [(AUC, AUC, None)]
    for definition in definitions(answers.request.definition):
        columns += [
            (attribute, gap_name(AUC, definition, attribute), definition)
            for attribute in answers.settings.attributes
        ]
    return columns


def ranked(rows: Sequence[Row], beside: Sequence[str] = ()) -> list[Row]:
    """The rows with their place in their column, 1 for the best, and what the best is called.

    Those of models `beside` the paper's have no place: best is the best of the paper's rows.
    """
    places: dict[int, Row] = {}
    for name in dict.fromkeys(row["number"] for row in rows):
        sign = -1 if name == AUC else 1
        held = [(n, row) for n, row in enumerate(rows) if row["number"] == name]
        defined = sorted(
            ((n, row) for n, row in held if row["value"] is not None and row["row"] not in beside),
            key=lambda each: (sign * each[1]["value"], each[0]),
        )
        for place, (n, _) in enumerate(defined, start=1):
            best = defined[0][1]
            places[n] = {"place": place, "best": called(best["row"], best["arm"])}
    return [row | places.get(n, {"place": None, "best": None}) for n, row in enumerate(rows)]


def called(row: str, arm: str) -> str:
    """A cell by name: `MAE, fine-tuned`."""
    return ", ".join(part for part in (row, arm) if part)


def _model(item: PaperItem, answer: PaperAnswer | None) -> Row:
    if answer is None:
        return {"model": None, "studies": None, "seeds": 0, "command": command(item)}
    studies = " ".join(answer.studies)
    return {"model": answer.label, "studies": studies, "seeds": answer.seeds, "command": None}


def command(item: PaperItem) -> str:
    """What runs the studies of an item."""
    return " && ".join(f"fairfm sweep run sweeps/studies/{each}.yaml" for each in item.studies)


def _number(row: Row | None, answer: PaperAnswer | None) -> Row:
    names = ("value", "lo", "hi", "bias_corrected", "null_mean", "null_hi", "p_value", "reason")
    if row is not None:
        return {name: row.get(name) for name in names}
    why = NOT_RUN if answer is None else "not evaluated"
    return dict.fromkeys(names) | {"reason": why}


def _published(item: PaperItem, cell: PaperCell, column: str, number: Row | None) -> Row:
    there = published(item.name, cell.row, cell.arm, column)
    empty: dict[str, Any] = {"published": None, "inferred": None}
    if there is None:
        return empty | {"difference": None, "verdict": None}
    ours = number or dict.fromkeys(("value", "lo", "hi"))
    value = ours["value"]
    return {
        "published": there.value,
        "inferred": there.inferred,
        "difference": None if value is None else value - there.value,
        "verdict": verdict(there.value, ours["lo"], ours["hi"]),
    }
