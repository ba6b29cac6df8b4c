"""What the interactive figure of a report shows: every number of every configuration, on test.

The reader chooses two numbers and a protocol, and selects configurations to compare. The page holds
the values in points with two decimals; its script draws them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

from analysis.front.front import Front
from analysis.front.palette import Style
from analysis.results.numbers import POINTS, Number
from analysis.results.replicates import StudyNumbers
from analysis.wording import better, definition_of, title_of
from fairfm_core.evaluation.numbers import number_named
from fairfm_core.evaluation.summary import summary_rows
from fairfm_core.evaluation.tables import Evaluation

COLUMNS = ("value", "lo", "hi", "null_mean", "null_hi", "p_value")
"""What is kept of a number, in this order; a gap alone has the last three."""
MOST_PAIRED = 12
"""Members of the front whose paired differences the page holds."""


def scatter_data(
    front: Front,
    evaluations: Mapping[str, Evaluation],
    numbers: StudyNumbers,
    protocols: Sequence[str],
    look: Mapping[str, Style],
) -> dict[str, Any]:
    """Configurations, numbers and values as JSON values.

    `values` holds, for each protocol and configuration, the columns of each number, or null where
    it is undefined. `differences` are the paired ones of front members, second minus first, under
    the first protocol, of the AUC and the objectives: their draws are stored, and those of other
    numbers would have to be computed again for every seed.
    """
    shown = {protocol: _numbers(front, evaluations, protocol) for protocol in protocols}
    usual = list(dict.fromkeys(["auc", *front.names]))
    names = [*usual, *(n for n in _all_names(shown.values()) if n not in usual)]
    return {
        "numbers": [_described(name) for name in names],
        "objectives": list(front.names),
        "protocols": list(protocols),
        "configurations": _configurations(front, look),
        "values": {
            protocol: [[_columns(row.get(name)) for name in names] for row in rows]
            for protocol, rows in shown.items()
        },
        "differences": _differences(front, numbers, usual),
    }


def _numbers(
    front: Front, evaluations: Mapping[str, Evaluation], protocol: str
) -> list[Mapping[str, Number]]:
    """The test numbers of each configuration under one protocol, in the order of the front."""
    return [
        summary_rows(evaluations[row["group"]].under(protocol), "test", front.names)
        if row["group"] in evaluations
        else {}
        for row in front.rows
    ]


def _all_names(shown: Any) -> list[str]:
    return list(dict.fromkeys(name for rows in shown for row in rows for name in row))


def _described(name: str) -> dict[str, Any]:
    return {
        "name": name,
        "title": title_of(name),
        "definition": definition_of(name),
        "better": better(name),
        "gap": number_named(name).is_gap,
    }


def _configurations(front: Front, look: Mapping[str, Style]) -> list[dict[str, Any]]:
    styles = [look[row["label"]] for row in front.rows]
    return [
        {
            "label": row["label"],
            "name": front.named(row["label"]),
            "number": place if row["on_front"] else None,
            "colour": style.colour,
            "path": style.path,
            "seeds": row["seeds"],
        }
        for place, (row, style) in enumerate(zip(front.rows, styles, strict=True), start=1)
    ]


def _columns(number: Number | None) -> list[float | None] | None:
    """A number's columns without those that are missing at the end; None if it is undefined."""
    if number is None or number["value"] is None:
        return None
    kept: list[float | None] = [_rounded(number, column) for column in COLUMNS]
    while kept[-1] is None:
        kept.pop()
    return kept


def _rounded(number: Number, column: str) -> float | None:
    """In points with two decimals; a p-value with three."""
    value = number.get(column)
    if value is None:
        return None
    return round(float(value), 3) if column == "p_value" else round(POINTS * float(value), 2)


def _differences(
    front: Front, numbers: StudyNumbers, names: Sequence[str]
) -> dict[str, list[list[float | None] | None]]:
    """By `i,j`, places of two members from 0: value and interval of each of these numbers, j minus
    i."""
    members = list(enumerate(front.members[:MOST_PAIRED]))
    return {
        f"{i},{j}": [_difference(numbers, b["group"], a["group"], name) for name in names]
        for (i, a), (j, b) in combinations(members, 2)
    }


def _difference(
    numbers: StudyNumbers, first: str, other: str, name: str
) -> list[float | None] | None:
    paired = numbers.difference(first, other, "test", name)
    if paired is None or paired["lo"] is None:
        return None
    return [_rounded(paired, column) for column in ("difference", "lo", "hi")]
