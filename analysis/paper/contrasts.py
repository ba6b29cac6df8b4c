"""Paired tests of the paper's cells: planned comparisons, trends, and each model against the best.

All tests of one table are one family, corrected together (Holm 1979). A trend is the least-squares
slope of a number over the rows, a weighted sum of the models' numbers in the same draws of
patients, so that it has the interval and the p-value of a comparison.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import ceil

import numpy as np
from scipy.special import stdtrit

from analysis.paper.answers import PaperAnswer
from analysis.paper.published import AUC
from fairfm_core.errors import BadInput
from fairfm_core.evaluation.selection.comparison import difference_of, holm
from fairfm_core.evaluation.selection.replicates import Replicated, check_paired
from fairfm_core.evaluation.selection.spread import TrainingSpread, lent_spread
from fairfm_core.evaluation.tables import Row

POWER = 0.8
"""Power at which the smallest detectable difference is quoted."""
NO_TEST = (
    *("value_a", "value_b", "difference", "lo", "hi", "null_difference", "se_patients"),
    *("se_seeds", "freedom", "p_value", "p_holm", "detectable"),
)


@dataclass(frozen=True)
class NumberAsked:
    """Which number of the models is compared, and how sure the interval is."""

    protocol: str
    split: str
    name: str
    confidence: float

    def of(self, answer: PaperAnswer) -> Replicated | None:
        """The number of a model in every draw; None where it was not evaluated."""
        return answer.numbers.get((self.protocol, self.split, self.name))


def paired(
    first: PaperAnswer, other: PaperAnswer, asked: NumberAsked, lenders: Iterable[PaperAnswer] = ()
) -> Row:
    """First minus other; a model with one seed is lent the spread of the `lenders`."""
    return slope({"": (1.0, first), " ": (-1.0, other)}, asked, lenders)


def slope(
    parts: Mapping[str, tuple[float, PaperAnswer]],
    asked: NumberAsked,
    lenders: Iterable[PaperAnswer] = (),
) -> Row:
    """The sum of the models' numbers, each times its weight, with interval and p-value.

    Undefined, with the reason, where models predict different images or have different seeds.
    """
    held = [(weight, asked.of(answer), answer.label) for weight, answer in parts.values()]
    missing = [label for _, number, label in held if number is None]
    if missing:
        return _undefined(f"{missing[0]} has no {asked.name}")
    numbers = [(weight, number, label) for weight, number, label in held if number is not None]
    try:
        above, below = (_sides(numbers, sign) for sign in (1, -1))
        check_paired(above, below, ("the models", "the others"))
    except BadInput as error:
        return _undefined(str(error))
    row = difference_of(above, below, asked.confidence, _lent(lenders, asked, above.pairing))
    return row | {"p_holm": None, "detectable": detectable(row, asked.confidence)}


def detectable(row: Row, confidence: float) -> float | None:
    """The smallest true difference that a test like this finds with a power of 80 %."""
    if row["se_patients"] is None:
        return None
    error = float(np.hypot(row["se_patients"], row["se_seeds"] or 0.0))
    reach = stdtrit(row["freedom"], (1 + confidence) / 2) + stdtrit(row["freedom"], POWER)
    return float(reach) * error


def corrected(rows: Sequence[Row]) -> list[Row]:
    """The rows with `p_holm` over those that have a p-value."""
    tested = [number for number, row in enumerate(rows) if row["p_value"] is not None]
    values = holm([rows[number]["p_value"] for number in tested]) if tested else []
    by_row = dict(zip(tested, values, strict=True))
    return [row | {"p_holm": by_row.get(number)} for number, row in enumerate(rows)]


def too_few_draws(tests: Sequence[Row], draws: int, level: float, what: str) -> str | None:
    """That no gap of a family of tests could pass Holm's correction; None where one could.

    The p of a number with a null is 1 / (1 + draws) at least. Tests with a smaller one, those of
    AUCs, come before it and leave fewer to correct for.
    """
    tested = [row for row in tests if row["p_value"] is not None]
    least = 1 / (1 + draws)
    times = sum(row["p_value"] >= least for row in tested)
    if all(row["number"] == AUC for row in tested) or times * least < level:
        return None
    return (
        f"{what} cannot be told with {draws} draws: the p of a gap or a group is 1/{draws + 1} at"
        f" least, times {times} tests; set evaluation.replicates to {ceil(times / level)} or more."
    )


def _undefined(reason: str) -> Row:
    return dict.fromkeys(NO_TEST) | {"spread": None, "reason": reason}


def _sides(numbers: Sequence[tuple[float, Replicated, str]], sign: int) -> Replicated:
    """The weighted sum of the models whose weights have this sign, all weights positive."""
    parts = [(abs(w), number.independent()) for w, number, _ in numbers if w * sign > 0]
    labels = [label for w, _, label in numbers if w * sign > 0]
    first = parts[0][1]
    for (_, other), label in zip(parts[1:], labels[1:], strict=True):
        check_paired(first, other, (labels[0], label))
    if len({len(number.value_S) for _, number in parts}) > 1:
        raise BadInput(f"{' and '.join(labels)} have different numbers of seeds")
    nulls = [w * number.null_RS for w, number in parts if number.null_RS is not None]
    return replace(
        first,
        value_S=np.sum([w * number.value_S for w, number in parts], axis=0),
        replicate_BS=np.sum([w * number.replicate_BS for w, number in parts], axis=0),
        null_RS=np.sum(nulls, axis=0) if len(nulls) == len(parts) else None,
        no_p_value=next((n.no_p_value for _, n in parts if n.no_p_value), None),
    )


def _lent(
    lenders: Iterable[PaperAnswer], asked: NumberAsked, pairing: str
) -> TrainingSpread | None:
    held = (asked.of(answer) for answer in lenders)
    return lent_spread(each for each in held if each is not None and each.pairing == pairing)
