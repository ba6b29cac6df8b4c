"""Paired comparison of two configurations: is one more accurate, or fairer, than the other?

The difference of two models on the same patients is far better known than either value, because
both are drawn with the same patients in every replicate. A claim about two configurations is a
claim about training runs yet to come, so the spread between training runs counts too. With several
seeds on each side, the variance of the difference of the means is

    patients  what all seeds of a side share when patients are drawn: the variance, over replicates,
              of the difference, less the share that is each model's own
    seeds     (variance between the seeds' values) / (number of seeds), summed over both sides; each
              model's own share of the patients' noise is part of it

and never less than the variance over replicates. This is the analysis of readers and cases by
Obuchowski and Rockette (1995), with seeds as readers that are nested in configurations; degrees of
freedom are those of Hillis (2007, 2014), with unequal variances (Welch and Satterthwaite). With
three seeds 1.96 standard errors are too few.

With one seed the spread between training runs is unknown, so there is no p-value, unless the other
configurations of the study lend theirs (`spread.py`). The interval is then that of the difference
between these trained models.

A gap is shifted upward by noise, and by more for the noisier model: two perfectly fair models of
different accuracy differ in their gaps. So both are compared with the gaps of fair models in the
same draws (`disaggregated/fair_draws.py`): `null_difference` is what fair models of this accuracy
would show, and `p_value` is the larger of those of Student's t and of the draws against it. Where a
gap has no p-value of its own there is none here. Type-I errors and power of all this are simulated
in `benchmarks/comparisons.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from fairfm_core.errors import BadInput, did_you_mean, first_ten
from fairfm_core.evaluation.arrays import Floats
from fairfm_core.evaluation.numbers import number_named
from fairfm_core.evaluation.resampling.bootstrap import UNVARYING
from fairfm_core.evaluation.resampling.student import quantile, two_sided
from fairfm_core.evaluation.resampling.training_runs import TrainingRuns
from fairfm_core.evaluation.selection.replicates import Key, Replicated, check_paired, replicated
from fairfm_core.evaluation.selection.spread import TrainingSpread, own_spread
from fairfm_core.evaluation.tables import Evaluation, Row

COLUMNS = (
    *("a", "b", "protocol", "split", "name", "value_a", "value_b", "difference", "lo", "hi"),
    *("null_difference", "se_patients", "se_seeds", "freedom", "p_value", "p_holm"),
    *("seeds_a", "seeds_b", "spread", "reason"),
)
NUMBERS = ("lo", "hi", "null_difference", "se_patients", "se_seeds", "freedom", "p_value")
UNKNOWN = "the spread between training runs is unknown"
Lender = Callable[[Key, str], TrainingSpread | None]
"""The spread that a study lends to a configuration with one seed, by number and pairing."""


@dataclass(frozen=True, eq=False)
class Side:
    """A configuration by name, with the evaluation of each of its seeds."""

    name: str
    seeds: tuple[Evaluation, ...]
    training_runs: TrainingRuns | None = None
    """Which seeds are independent training runs; None means that each is."""


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


def nothing_lent(key: Key, pairing: str) -> TrainingSpread | None:
    """No spread: the models are not part of a study."""
    return None


def compared(
    pairs: Sequence[tuple[Side, Side]],
    family: Family,
    confidence: float = 0.95,
    lent: Lender = nothing_lent,
) -> pd.DataFrame:
    """Every number of each pair of configurations: a minus b, with interval and p-value.

    `p_holm` is the p-value corrected for all tests of the family in all pairs that have a p-value
    (Holm 1979), under the first protocol; other rows have none. Raises BadInput for configurations
    that cannot be paired, for a pair that is given twice, and for a family that names an unknown
    number.
    """
    rows: list[Row] = []
    named = [frozenset((a.name, b.name)) for a, b in pairs]
    if len(set(named)) < len(named):
        raise BadInput("a pair is compared twice, which would count its tests twice; give it once")
    for a, b in pairs:
        numbers = [replicated(side.seeds, side.name, side.training_runs) for side in (a, b)]
        rows += _pair_rows(a, b, numbers[0], numbers[1], confidence, lent)
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
    lent: Lender,
) -> list[Row]:
    rows = []
    for key in [key for key in first if key in other]:
        check_paired(first[key], other[key], (a.name, b.name))
        protocol, split, name = key
        row: Row = {"a": a.name, "b": b.name, "protocol": protocol, "split": split, "name": name}
        row |= {"seeds_a": len(a.seeds), "seeds_b": len(b.seeds), "p_holm": None}
        spread = lent(key, first[key].pairing)
        found = difference_of(first[key], other[key], confidence, spread)
        rows.append(row | _possible(name, found))
    return rows


def _possible(name: str, row: Row) -> Row:
    """The difference with its limits cut at -1 and 1 if its number lies in 0..1."""
    if row["lo"] is None or number_named(name).metric.two_sided:
        return row
    return row | {"lo": max(row["lo"], -1.0), "hi": min(row["hi"], 1.0)}


def difference_of(
    a: Replicated, b: Replicated, confidence: float, lent: TrainingSpread | None = None
) -> Row:
    """One number of two configurations that pair: a minus b, with its errors, interval, p-value.

    `lent` is the spread between training runs that a side with one seed is given; without it there
    is no p-value.
    """
    spreads = {name: own_spread(side) or lent for name, side in (("a", a), ("b", b))}
    a, b = a.independent(), b.independent()
    value_a, value_b = float(a.value_S.mean()), float(b.value_S.mean())
    difference = value_a - value_b
    row: Row = dict.fromkeys(NUMBERS) | {"spread": None, "reason": None}
    row |= {"value_a": value_a, "value_b": value_b, "difference": difference}
    all_B = a.replicate_BS.mean(axis=1) - b.replicate_BS.mean(axis=1)
    draws_B = all_B[np.isfinite(all_B)]
    lost = len(all_B) - len(draws_B)
    if not np.isfinite(difference):
        sides = {"a": value_a, "b": value_b}
        where = " and ".join(name for name, value in sides.items() if not np.isfinite(value))
        return row | {"reason": f"undefined for {where}: the evaluation of each says why"}
    if len(draws_B) < 2:
        return row | {"reason": f"no interval: {len(draws_B)} replicates defined for both"}
    error = DifferenceError.of(draws_B, [*zip(spreads.values(), _seeds(a, b), strict=True)])
    if error.total == 0 and difference != 0:
        return row | {"reason": UNVARYING}
    reach = error.total * quantile(error.freedom, (1 + confidence) / 2)
    row |= {"lo": difference - reach, "hi": difference + reach, "spread": _sources(spreads)}
    row |= {"se_patients": error.patients, "se_seeds": error.seeds, "freedom": error.freedom}
    row["null_difference"], p_null = _under_null(difference, a, b)
    why = a.no_p_value or b.no_p_value
    why = why or _no_p_value([name for name, spread in spreads.items() if spread is None])
    if why is None:
        row["p_value"] = max(error.p_value(difference), p_null)
    notes = [why, f"{lost} of {len(all_B)} replicates undefined" if lost else None]
    return row | {"reason": "; ".join(note for note in notes if note) or None}


def _seeds(*sides: Replicated) -> list[int]:
    return [len(side.value_S) for side in sides]


def _sources(spreads: Mapping[str, TrainingSpread | None]) -> str | None:
    """Whose training runs the spread was measured on; None where that of a side is unknown."""
    sources = {name: spread.source for name, spread in spreads.items() if spread}
    if len(sources) < len(spreads):
        return None
    if len(set(sources.values())) == 1:
        return next(iter(sources.values()))
    return "; ".join(f"{name}: {source}" for name, source in sources.items())


def _no_p_value(alone: Sequence[str]) -> str | None:
    """Why there is no p-value: the sides whose only training has no known spread."""
    if not alone:
        return None
    who = "one training each" if len(alone) > 1 else f"{alone[0]} has one training"
    return f"no p-value: {who}: {UNKNOWN}; the interval leaves it out"


def _under_null(difference: float, a: Replicated, b: Replicated) -> tuple[float | None, float]:
    """Mean difference of the gaps of two fair models, and the p-value of the draws against it.

    None and 0 for numbers without a null; None and 1 without a defined draw.
    """
    if a.null_RS is None or b.null_RS is None:
        return None, 0.0
    null_R = a.null_RS.mean(axis=1) - b.null_RS.mean(axis=1)
    null_R = null_R[np.isfinite(null_R)]
    if not null_R.size:
        return None, 1.0
    centre = float(null_R.mean())
    as_far = int((np.abs(null_R - centre) >= abs(difference - centre) - 1e-12).sum())
    return centre, (1 + as_far) / (1 + len(null_R))


@dataclass(frozen=True)
class DifferenceError:
    """Standard errors of a difference, in the unit of the number, and their degrees of freedom."""

    patients: float
    """Of what the seeds of a side share."""
    seeds: float | None
    """None where the spread between training runs of neither side is known."""
    freedom: float

    @classmethod
    def of(
        cls, draws_B: Floats, sides: Sequence[tuple[TrainingSpread | None, int]]
    ) -> DifferenceError:
        """From the replicates of the difference; of each side its spread and number of seeds."""
        over_replicates = float(draws_B.var(ddof=1))
        known = [(spread, count) for spread, count in sides if spread is not None]
        parts = [(spread.variance / count, spread.freedom) for spread, count in known]
        seeds = sum(part for part, _ in parts)
        own = sum(spread.of_patients / count for spread, count in known)
        shared = max(0.0, over_replicates - own, over_replicates - seeds)
        bottom = sum(part**2 / freedom for part, freedom in parts)
        freedom = (shared + seeds) ** 2 / bottom if bottom > 0 else np.inf
        return cls(shared**0.5, seeds**0.5 if parts else None, freedom)

    @property
    def total(self) -> float:
        """Standard error of the difference."""
        return float(np.hypot(self.patients, self.seeds or 0.0))

    def p_value(self, difference: float) -> float:
        """Two-sided, of Student's t; 1 where a model is compared with itself."""
        if self.total == 0:
            return 1.0
        return two_sided(self.freedom, difference / self.total)


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
