"""Paired comparison of two configurations: is one more accurate, or fairer, than the other?

The difference of two models on the same patients is far better known than either value, because
both are drawn with the same patients in every replicate. A configuration may have several seeds.
Then two sources of error count, and are kept apart:

    patients  the variance, over replicates, of the difference of the means over seeds
    seeds     (variance between the seeds' values) / (number of seeds), summed over both sides

Their sum is the variance of the difference. The interval is that of Student's t, with the degrees
of freedom of Welch and Satterthwaite: with three seeds 1.96 standard errors are too few. The spread
of seeds contains some of the patients' noise too, so the interval is slightly too wide.

A gap is shifted upward by noise, and by more for the noisier model: two perfectly fair models of
different accuracy differ in their gaps. So the gaps of both are also computed with groups permuted,
the same permutations for both: `null_difference` is what fair models of this accuracy would show,
and `p_value` is the larger of those of Student's t and of that permutation test.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import stdtr, stdtrit

from fairfm_core.errors import BadInput, did_you_mean, first_ten
from fairfm_core.evaluation.arrays import Floats
from fairfm_core.evaluation.selection.replicates import Key, Replicated, check_paired, replicated
from fairfm_core.evaluation.tables import Evaluation, Row

COLUMNS = (
    *("a", "b", "protocol", "split", "name", "value_a", "value_b", "difference", "lo", "hi"),
    *("null_difference", "se_patients", "se_seeds", "freedom", "p_value", "p_holm"),
    *("seeds_a", "seeds_b", "reason"),
)
NUMBERS = ("lo", "hi", "null_difference", "se_patients", "se_seeds", "freedom", "p_value")


@dataclass(frozen=True, eq=False)
class Side:
    """A configuration by name, with the evaluation of each of its seeds."""

    name: str
    seeds: tuple[Evaluation, ...]


@dataclass(frozen=True)
class Family:
    """The tests that are declared together, and corrected together."""

    names: tuple[str, ...]
    """Numbers such as `auc`, `gap_race`."""
    split: str = "test"

    def holds(self, row: Row, protocol: str) -> bool:
        """Whether a row is one of the declared tests."""
        declared = row["split"] == self.split and row["name"] in self.names
        return bool(declared and row["protocol"] == protocol)


def compared(
    pairs: Sequence[tuple[Side, Side]], family: Family, confidence: float = 0.95
) -> pd.DataFrame:
    """Every number of each pair of configurations: a minus b, with interval and p-value.

    `p_holm` is the p-value corrected for all tests of the family in all pairs (Holm 1979), under
    the first protocol; other rows have none. Raises BadInput for configurations that cannot be
    paired, for a pair that is given twice, and for a family that names an unknown number.
    """
    rows: list[Row] = []
    named = [frozenset((a.name, b.name)) for a, b in pairs]
    if len(set(named)) < len(named):
        raise BadInput("a pair is compared twice, which would count its tests twice; give it once")
    for a, b in pairs:
        numbers = [replicated(side.seeds, side.name) for side in (a, b)]
        rows += _pair_rows(a, b, numbers[0], numbers[1], confidence)
    if not rows:
        raise BadInput("the configurations share no number; evaluate both with the same settings")
    protocol = rows[0]["protocol"]
    _check_family(family, rows, protocol)
    tested = [row for row in rows if family.holds(row, protocol) and row["p_value"] is not None]
    for row, corrected in zip(tested, holm([row["p_value"] for row in tested]), strict=True):
        row["p_holm"] = corrected
    return pd.DataFrame(rows, columns=list(COLUMNS))


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down correction: the k-th smallest of m times m - k + 1, never decreasing."""
    p_M = np.asarray(p_values, dtype=np.float64)
    order_M = np.argsort(p_M, kind="stable")
    stepped_M = p_M[order_M] * np.arange(len(p_M), 0, -1)
    corrected_M = np.empty(len(p_M))
    corrected_M[order_M] = np.minimum(1.0, np.maximum.accumulate(stepped_M))
    return [float(p) for p in corrected_M]


def _pair_rows(
    a: Side,
    b: Side,
    first: Mapping[Key, Replicated],
    other: Mapping[Key, Replicated],
    confidence: float,
) -> list[Row]:
    rows = []
    for key in [key for key in first if key in other]:
        check_paired(first[key], other[key], (a.name, b.name))
        protocol, split, name = key
        row: Row = {"a": a.name, "b": b.name, "protocol": protocol, "split": split, "name": name}
        row |= {"seeds_a": len(a.seeds), "seeds_b": len(b.seeds), "p_holm": None}
        rows.append(row | difference_of(first[key], other[key], confidence))
    return rows


def difference_of(a: Replicated, b: Replicated, confidence: float) -> Row:
    """One number of two configurations that pair: a minus b, with its errors, interval, p-value."""
    value_a, value_b = float(a.value_S.mean()), float(b.value_S.mean())
    difference = value_a - value_b
    row: Row = dict.fromkeys(NUMBERS)
    row |= {"value_a": value_a, "value_b": value_b, "difference": difference, "reason": None}
    all_B = a.replicate_BS.mean(axis=1) - b.replicate_BS.mean(axis=1)
    draws_B = all_B[np.isfinite(all_B)]
    lost = len(all_B) - len(draws_B)
    if not np.isfinite(difference):
        sides = {"a": value_a, "b": value_b}
        where = " and ".join(name for name, value in sides.items() if not np.isfinite(value))
        return row | {"reason": f"undefined for {where}: see its own evaluation"}
    if len(draws_B) < 2:
        return row | {"reason": f"no interval: {len(draws_B)} replicates defined for both"}
    error = _Error.of(draws_B, a.value_S, b.value_S)
    if error.total == 0 and difference != 0:
        return row | {"reason": "no interval: the replicates do not vary"}
    reach = error.total * float(stdtrit(error.freedom, (1 + confidence) / 2))
    notes = [error.note, f"{lost} of {len(all_B)} replicates undefined" if lost else None]
    row |= {"lo": difference - reach, "hi": difference + reach}
    row |= {"se_patients": error.patients, "se_seeds": error.seeds, "freedom": error.freedom}
    row["p_value"] = error.p_value(difference)
    if a.null_RS is not None and b.null_RS is not None:
        null_difference, p_null = _under_null(difference, a.null_RS, b.null_RS)
        row |= {"null_difference": null_difference, "p_value": max(row["p_value"], p_null)}
    return row | {"reason": "; ".join(note for note in notes if note) or None}


def _under_null(difference: float, a_RS: Floats, b_RS: Floats) -> tuple[float | None, float]:
    """Mean difference of two gaps under permuted groups, and its permutation p-value.

    Without a defined permutation they are None and 1.
    """
    null_R = a_RS.mean(axis=1) - b_RS.mean(axis=1)
    null_R = null_R[np.isfinite(null_R)]
    if not null_R.size:
        return None, 1.0
    centre = float(null_R.mean())
    as_far = int((np.abs(null_R - centre) >= abs(difference - centre) - 1e-12).sum())
    return centre, (1 + as_far) / (1 + len(null_R))


@dataclass(frozen=True)
class _Error:
    """Standard errors of a difference, in the unit of the number, and their degrees of freedom."""

    patients: float
    seeds: float | None
    """None where neither side has two seeds."""
    freedom: float
    note: str | None

    @classmethod
    def of(cls, draws_B: Floats, a_S: Floats, b_S: Floats) -> _Error:
        """From the replicates of the difference, and the seeds' values of both sides."""
        patients = float(draws_B.var(ddof=1))
        parts = [
            (float(x_S.var(ddof=1)) / len(x_S), len(x_S) - 1) for x_S in (a_S, b_S) if len(x_S) > 1
        ]
        seeds = sum(part for part, _ in parts)
        bottom = sum(part**2 / freedom for part, freedom in parts)
        freedom = (patients + seeds) ** 2 / bottom if bottom > 0 else np.inf
        note = None
        if len(parts) < 2:
            note = (
                "the interval leaves out the spread between training runs of a side with one seed"
            )
        return cls(patients**0.5, seeds**0.5 if parts else None, freedom, note)

    @property
    def total(self) -> float:
        """Standard error of the difference."""
        return float(np.hypot(self.patients, self.seeds or 0.0))

    def p_value(self, difference: float) -> float:
        """Two-sided, of Student's t; 1 where a model is compared with itself."""
        if self.total == 0:
            return 1.0
        return float(2 * stdtr(self.freedom, -abs(difference) / self.total))


def _check_family(family: Family, rows: Sequence[Row], protocol: str) -> None:
    known = dict.fromkeys(
        row["name"] for row in rows if row["split"] == family.split and row["protocol"] == protocol
    )
    if not known:
        splits = first_ten(dict.fromkeys(row["split"] for row in rows))
        raise BadInput(f"no predictions of split {family.split!r}; there are: {splits}")
    for name in family.names:
        if name not in known:
            hint = did_you_mean(name, known)
            raise BadInput(f"unknown number {name!r}{hint}; one of {first_ten(known)}")
