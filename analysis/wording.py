"""How numbers and names are written for people: AUC points, intervals, directions, lists."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from analysis.results.numbers import POINTS, Number
from fairfm_core.evaluation.summary import GAP_KEYS


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """Columns of text, each as wide as its longest entry and flush left."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )


UNDEFINED = "undefined"
DEFINITIONS = {key: definition for definition, key in GAP_KEYS.items()}


def points(value: float | None) -> str:
    """A fraction in AUC points with one decimal: 0.8141 -> `81.4`."""
    return UNDEFINED if value is None else f"{POINTS * value:.1f}"


def with_interval(number: Number) -> str:
    """Value and interval in AUC points: `81.4 (80.9–81.9)`."""
    value = points(number["value"])
    if number["value"] is None or number["lo"] is None:
        return value
    return f"{value} ({points(number['lo'])}–{points(number['hi'])})"


def with_null(number: Number) -> str:
    """What a fair model would show, in AUC points, and the p-value."""
    if number["null_mean"] is None:
        return "no null"
    null = f"{points(number['null_mean'])}, to {points(number['null_hi'])}"
    return f"null {null}; p {p_value(number)}"


def p_value(number: Number) -> str:
    """The permutation p-value with three decimals."""
    return UNDEFINED if number["p_value"] is None else f"{number['p_value']:.3f}"


def signed(value: float) -> str:
    """A difference in AUC points with its sign: `+0.4`, `−1.2`."""
    text = f"{POINTS * value:+.1f}".replace("-", "−")
    return "0.0" if text in ("+0.0", "−0.0") else text


def above_null(number: Number) -> bool | None:
    """Whether a gap exceeds its null's upper bound; None where either is undefined."""
    if number["value"] is None or number["null_hi"] is None:
        return None
    return bool(number["value"] > number["null_hi"])


def title_of(name: str) -> str:
    """A number's name in words: `gap_race` -> `race gap`, with its definition where it has two."""
    for prefix in ("worst_group_auc_", "mean_of_gaps_", "gap_"):
        if name.startswith(prefix):
            attribute = name.removeprefix(prefix)
            words = {"gap_": f"{attribute} gap", "mean_of_gaps_": f"{attribute} mean of gaps"}
            return words.get(prefix, f"worst {attribute} group's AUC")
    return "AUC" if name == "auc" else name


def definition_of(name: str) -> str:
    """The definition behind a number's name, as the methods text calls it."""
    for key, definition in DEFINITIONS.items():
        if name.startswith(f"{key}_"):
            return definition
    return "mean over pathologies"


def listed(names: Sequence[str], last: str = "and") -> str:
    """`a`, `a and b`, `a, b and c`."""
    head, tail = names[:-1], names[-1:]
    return f" {last} ".join([part for part in (", ".join(head), *tail) if part])


def counted(count: int, noun: str) -> str:
    """`1 trial`, `3 trials`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def short_axis(axis: str) -> str:
    """The last part of a dotted axis: `data.sampling` -> `sampling`."""
    return axis.rsplit(".", 1)[-1]


def configuration_title(row: Mapping[str, Any], axes: Sequence[str]) -> str:
    """A configuration's axes in words: `backbone vit, sampling balanced`."""
    held = [(axis, row[axis]) for axis in axes if row[axis] is not None]
    return ", ".join(f"{short_axis(axis)} {label}" for axis, label in held) or str(row["label"])
