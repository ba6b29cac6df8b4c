"""One row of a front's table: a configuration's axes, seeds, and its numbers on both splits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from analysis.results.numbers import Number, is_extreme, is_gap
from analysis.results.results import Configuration
from fairfm_core.data.cohort_checks import EVALUATION_SPLITS
from fairfm_core.evaluation.selection.objectives import Objective
from fairfm_core.evaluation.summary import summary_rows
from fairfm_core.evaluation.tables import Evaluation, Row, no_p_value

LIMITS = ("lo", "hi")
CORRECTED = "bias_corrected"
GAP_COLUMNS = ("null_mean", "null_hi", "p_value", "excess", "worst_group", "best_group")
WHY = "no_p_value"
"""Column of the reason why a gap has no p-value."""


def front_row(
    configuration: Configuration,
    evaluation: Evaluation | None,
    objectives: Sequence[Objective],
    axes: Sequence[str],
    on_front: bool,
) -> Row:
    """The row of one configuration; without an evaluation it has no numbers, only the reason."""
    names = [objective.name for objective in objectives]
    numbers = {split: _numbers(evaluation, split, names) for split in EVALUATION_SPLITS}
    row: Row = {
        "label": configuration.label,
        **{axis: configuration.axes.get(axis) for axis in axes},
        "group": configuration.group,
        "protocol": evaluation.protocol if evaluation else None,
        "seeds": len(configuration.finished),
        **({"pretrainings": configuration.pretrainings} if configuration.both_levels else {}),
        "missing_seeds": " ".join(map(str, configuration.missing_seeds)) or None,
        "on_front": on_front,
        "reason": _kept_out(numbers["val"], names) if evaluation else "no finished trial",
        "val_auc": None,
    }
    for split, named in numbers.items():
        for name, number in named.items():
            row |= _columns(f"{split}_{name}", number, name)
    return row | _optimism(numbers, names, on_front)


def _numbers(evaluation: Evaluation | None, split: str, names: Sequence[str]) -> dict[str, Number]:
    return summary_rows(evaluation, split, names) if evaluation else {}


def _columns(start: str, number: Number, name: str) -> Row:
    extreme = (CORRECTED,) if is_extreme(name) else ()
    ends = (*LIMITS, *extreme, *(GAP_COLUMNS if is_gap(name) else ()))
    row = {start: number["value"], **{f"{start}_{end}": number[end] for end in ends}}
    return row | ({f"{start}_{WHY}": no_p_value(number["reason"])} if is_gap(name) else {})


def _kept_out(numbers: Mapping[str, Number], names: Sequence[str]) -> str | None:
    """Why objectives are undefined on validation; None if all are defined."""
    undefined = [name for name in names if name not in numbers or numbers[name]["value"] is None]
    reasons = [f"val/{name} undefined: {_why(numbers.get(name))}" for name in undefined]
    return "; ".join(reasons) or None


def _why(number: Number | None) -> str:
    return str(number["reason"]) if number else "not evaluated"


def _optimism(
    numbers: Mapping[str, Mapping[str, Number]], names: Sequence[str], on_front: bool
) -> dict[str, float | None]:
    """Validation minus test of a front member: how optimistic the choice was."""
    gains: dict[str, float | None] = {}
    for name in names:
        val, test = (numbers[split].get(name) for split in EVALUATION_SPLITS)
        gains[f"optimism_{name}"] = _difference(val, test) if on_front else None
    return gains


def _difference(first: Number | None, second: Number | None) -> float | None:
    if first is None or second is None or None in (first["value"], second["value"]):
        return None
    return float(first["value"] - second["value"])


def number_of(row: Row, split: str, name: str) -> Number:
    """One number of a front's row, as `summary_rows` gives it; undefined entries are None."""
    start = f"{split}_{name}"
    others = {end: row.get(f"{start}_{end}") for end in (*LIMITS, CORRECTED, *GAP_COLUMNS)}
    return {"value": row.get(start), "reason": row.get(f"{start}_{WHY}"), **others}
