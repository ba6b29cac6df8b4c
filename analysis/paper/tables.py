"""A table of the paper from stored results: its cells, its tests, and what a reader must know."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import pandas as pd

from analysis.paper.answers import PaperAnswer, PaperAnswers
from analysis.paper.cells import CELL_COLUMNS, called, cell_rows, number_columns, ranked
from analysis.paper.contrasts import NumberAsked, corrected, paired, slope
from analysis.paper.items import CellKey, PaperItem, WantedEnsemble
from analysis.paper.reading import footer
from fairfm_core.evaluation.tables import Row

TEST_COLUMNS = (
    *("item", "kind", "a", "b", "number", "difference", "lo", "hi", "null_difference"),
    *("p_value", "p_holm", "detectable", "spread", "reason"),
)


@dataclass(frozen=True, eq=False)
class PaperTable:
    """A table of the paper, with everything that its texts are made of."""

    item: PaperItem
    cells: pd.DataFrame
    """One row for each cell and number; columns of `CELL_COLUMNS`."""
    tests: pd.DataFrame
    """One row for each paired test; columns of `TEST_COLUMNS`."""
    footer: tuple[str, ...]
    """What the numbers are, one sentence each."""


@dataclass(frozen=True)
class _Test:
    kind: str
    first: CellKey
    other: CellKey


def paper_table(item: PaperItem, answers: PaperAnswers) -> PaperTable:
    """The table; rows that were not run say so, with the command that runs them."""
    item = replace(item, cells=(*item.cells, *answers.beside_cells))
    answers.prepare(cell.wanted for cell in item.cells)
    held = {cell.key: answers.answer(cell.wanted) for cell in item.cells}
    rows = ranked(
        [row for cell in item.cells for row in cell_rows(item, cell, held[cell.key], answers)],
        beside=[cell.row for cell in item.cells if cell.is_beside],
    )
    tests = corrected(list(_tests(item, held, rows, answers)))
    marked = [row | _told(row, tests) for row in rows]
    cells = pd.DataFrame(marked, columns=list(CELL_COLUMNS))
    own = [held[cell.key] for cell in item.cells if not cell.is_beside]
    shown = [answer for answer in own if answer is not None]
    return PaperTable(
        item,
        cells,
        pd.DataFrame(tests, columns=list(TEST_COLUMNS)),
        footer(item, shown, answers, tests),
    )


def _tests(
    item: PaperItem,
    held: dict[CellKey, PaperAnswer | None],
    rows: Sequence[Row],
    answers: PaperAnswers,
) -> Iterator[Row]:
    """Planned pairs, the trend, ensembles against their best member, all against the best."""
    lenders = [answer for answer in held.values() if answer is not None]
    for name in number_columns(answers):
        asked = NumberAsked(
            answers.protocol, answers.request.split, name, answers.settings.confidence
        )
        for test in _pairs(item, held, rows, name):
            first, other = held[test.first], held[test.other]
            assert first is not None
            assert other is not None
            found = paired(first, other, asked, lenders)
            yield _named(item, test.kind, called(*test.first), called(*test.other), name, found)
        yield from _trend(item, held, asked, lenders)
        yield from _against_members(item, held, asked, lenders)


def _pairs(
    item: PaperItem, held: dict[CellKey, PaperAnswer | None], rows: Sequence[Row], name: str
) -> list[_Test]:
    """Pairs of cells that were run, each once."""
    pairs = [_Test("planned", pair.first, pair.other) for pair in item.pairs]
    best = next((row for row in rows if row["number"] == name and row["place"] == 1), None)
    if best is not None:
        top = best["row"], best["arm"]
        pairs += [_Test("best", top, cell.key) for cell in item.cells if cell.key != top]
    once: dict[frozenset[CellKey], _Test] = {}
    for test in pairs:
        if held[test.first] is not None and held[test.other] is not None:
            once.setdefault(frozenset((test.first, test.other)), test)
    return list(once.values())


def _trend(
    item: PaperItem,
    held: dict[CellKey, PaperAnswer | None],
    asked: NumberAsked,
    lenders: Sequence[PaperAnswer],
) -> Iterator[Row]:
    if item.trend is None:
        return
    weights = item.trend.weights()
    parts = {row: (weights[row], answer) for row in weights if (answer := held[row, ""])}
    if len(parts) == len(weights):
        found = slope(parts, asked, lenders)
        what = f"per doubling of {item.trend.what}"
        yield _named(item, "trend", what, "", asked.name, found)


def _against_members(
    item: PaperItem,
    held: dict[CellKey, PaperAnswer | None],
    asked: NumberAsked,
    lenders: Sequence[PaperAnswer],
) -> Iterator[Row]:
    """Each ensemble against its member that is best in this number."""
    for cell in item.cells:
        answer = held[cell.key]
        if answer is None or not isinstance(cell.wanted, WantedEnsemble):
            continue
        best = best_member(answer, asked)
        found = paired(answer, best, asked, lenders)
        yield _named(item, "member", cell.row, best.label, asked.name, found)


def best_member(ensemble: PaperAnswer, asked: NumberAsked) -> PaperAnswer:
    """The member with the highest AUC, or the smallest gap; undefined numbers come last."""
    sign = 1.0 if asked.name == "auc" else -1.0

    def merit(member: PaperAnswer) -> float:
        number = asked.of(member)
        value = float("nan") if number is None else sign * float(number.value_S.mean())
        return value if value == value else float("-inf")

    return max(ensemble.members, key=merit)


def _named(item: PaperItem, kind: str, a: str, b: str, name: str, found: Row) -> Row:
    return {"item": item.name, "kind": kind, "a": a, "b": b, "number": name, **found}


def _told(row: Row, tests: Sequence[Row]) -> Row:
    """Whether a test of the family tells a cell from the best one in its column; None without."""
    if row["value"] is None or row["place"] in (None, 1):
        return {"p_best": None, "told_from_best": None}
    name = called(row["row"], row["arm"])
    best = row["best"]
    for test in tests:
        if test["number"] == row["number"] and {test["a"], test["b"]} == {name, best}:
            p = test["p_holm"]
            return {"p_best": p, "told_from_best": None if p is None else p < row["alpha"]}
    return {"p_best": None, "told_from_best": None}
