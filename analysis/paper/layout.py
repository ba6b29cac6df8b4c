"""A table of the paper as a grid of marked lines of text, the same for every format."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest

import pandas as pd

from analysis.paper.cells import NOT_RUN, called
from analysis.paper.published import AUC, published
from analysis.paper.tables import PaperTable
from analysis.wording import (
    UNDEFINED,
    aligned,
    points,
    signed,
    signed_interval,
    title_of,
    with_interval,
    with_null,
)
from fairfm_core.evaluation.tables import Row

BEST, SECOND, PLAIN, GREY = "best", "second", "plain", "grey"
DAGGER = "†"


@dataclass(frozen=True)
class CellLine:
    """One line of a cell."""

    text: str
    mark: str = PLAIN
    """`best` is bold, `second` underlined, `grey` what is not ours or not the point."""


GridRow = tuple[tuple[CellLine, ...], ...]
"""Cells of a row, the name of the row first."""


@dataclass(frozen=True)
class TextGrid:
    """A table for people."""

    title: str
    head: tuple[str, ...]
    rows: tuple[GridRow, ...]


def cells_grid(table: PaperTable) -> TextGrid:
    """The cells: a row for each row and arm, a column for each number."""
    records = _records(table.cells)
    columns = list(dict.fromkeys(row["number"] for row in records))
    heads = [_head(next(r for r in records if r["number"] == name)) for name in columns]
    grouped: dict[tuple[str, str], list[Row]] = {}
    for row in records:
        grouped.setdefault((row["row"], row["arm"]), []).append(row)
    rows: list[GridRow] = []
    for key, cells in grouped.items():
        rows += [_grid_row(key, cells), *_difference_rows(table, key, columns)]
    return TextGrid(table.item.title, ("", *heads), tuple(rows))


def _difference_rows(
    table: PaperTable, key: tuple[str, str], columns: Sequence[str]
) -> Iterator[GridRow]:
    """Below the last arm of a row, the arms' planned difference."""
    pairs = [
        pair for pair in table.item.pairs if pair.first == key and pair.first[0] == pair.other[0]
    ]
    for pair in pairs:
        a, b = called(*pair.first), called(*pair.other)
        tests = {
            test["number"]: test
            for test in _records(table.tests)
            if (test["a"], test["b"]) == (a, b)
        }
        if tests:
            cells = (tuple(_difference_lines(tests.get(name))) for name in columns)
            name = (CellLine(key[0]), CellLine(f"{pair.first[1]} − {pair.other[1]}"))
            yield (name, *cells)


def _difference_lines(test: Row | None) -> Iterator[CellLine]:
    if test is not None:
        yield CellLine(_interval(test))
        yield CellLine(f"p {_p(test)} (Holm)", GREY)


def tests_grid(table: PaperTable) -> TextGrid | None:
    """The paired tests; None where no two rows were run."""
    records = _records(table.tests)
    if not records:
        return None
    head = ("a", "b", "number", "a − b", "fair models", "p (Holm)", "smallest detectable")
    rows = tuple(tuple((CellLine(text),) for text in _test_texts(row)) for row in records)
    return TextGrid(f"{table.item.title}: paired differences", head, rows)


def plain_table(grid: TextGrid) -> str:
    """The grid for a terminal: aligned columns, a line for each line of a cell."""
    lines = [list(grid.head)]
    for row in grid.rows:
        texts = zip_longest(*([line.text for line in cell] for cell in row), fillvalue="")
        lines += [list(each) for each in texts]
    return "\n".join([grid.title, aligned(lines)])


def _records(frame: pd.DataFrame) -> list[Row]:
    """Rows whose missing entries are None."""
    return [
        {str(key): None if pd.isna(value) else value for key, value in row.items()}
        for row in frame.to_dict("records")
    ]


def _head(row: Row) -> str:
    if row["column"] == AUC:
        return "AUC"
    return f"{row['column']} gap ({row['definition']})"


def _grid_row(key: tuple[str, str], cells: Sequence[Row]) -> GridRow:
    name = [CellLine(key[0])] + ([CellLine(key[1])] if key[1] else [])
    if cells[0]["model"] is None:
        run = CellLine(str(cells[0]["command"]), GREY)
        rest = [tuple(_published_lines(row)) for row in cells[1:]]
        first = (CellLine(NOT_RUN), *_published_lines(cells[0]))
        return ((*name, run), first, *rest)
    seeds = int(cells[0]["seeds"])
    model = f"{cells[0]['model']}, {seeds} seed{'s' if seeds > 1 else ''}"
    return ((*name, CellLine(model, GREY)), *(tuple(_lines(row)) for row in cells))


def _lines(row: Row) -> Iterator[CellLine]:
    """The number, its null, and what the paper reports."""
    if row["value"] is None:
        yield CellLine(UNDEFINED)
    else:
        mark = {1: BEST, 2: SECOND}.get(row["place"], PLAIN)
        tied = row["tested"] and row["place"] != 1 and row["told_from_best"] is not True
        yield CellLine(with_interval(row) + (DAGGER if tied else ""), mark)
        if row["column"] != AUC:
            yield from (CellLine(text, GREY) for text in with_null(row).split("; ", 1))
    yield from _published_lines(row)


def _published_lines(row: Row) -> Iterator[CellLine]:
    there = published(row["item"], row["row"], row["arm"], row["column"])
    if there is not None:
        verdict = "" if row["verdict"] is None else f": {row['verdict']}"
        yield CellLine(f"paper {there.text}{verdict}", GREY)


def _test_texts(row: Row) -> tuple[str, ...]:
    fair, least = row["null_difference"], row["detectable"]
    return (
        row["a"],
        row["b"] or "",
        title_of(row["number"]),
        _interval(row),
        "" if fair is None else signed(fair),
        _p(row),
        "" if least is None else points(least),
    )


def _interval(test: Row) -> str:
    return signed_interval({"value": test["difference"], "lo": test["lo"], "hi": test["hi"]})


def _p(test: Row) -> str:
    return "none" if test["p_holm"] is None else f"{test['p_holm']:.3f}"
