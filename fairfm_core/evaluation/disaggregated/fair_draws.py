"""What a fair model would show: draws of patients, recentred so that all groups are equal.

A bootstrap replicate deviates from the data, group by group, by E = replicate - value. A model that
treats all groups alike shows deviations of this kind about one common value, so a gap of the
deviations is a gap that noise alone makes. Two things keep E from being right as it stands:

spread     a bootstrap of n patients has (n - 1) / n of the variance
own value  a group whose sampled value happens to be extreme has too small a spread, as has a rate
           near 1: under the null it has the variance at the common value

So D = E sqrt(n / (n - 1)) sqrt(v(common) / v(own)), with n the patients of the smaller class that
the metric needs, v the metric's variance at a value (`Metric.variance`), and the common value the
mean of the groups' values weighted by m, the inverse of the sum of 1 / (patients) over the classes
needed. What everybody deviates by, W, changes with its groups: W + sum of (m / sum of m) (D - E).

A gap of D has the noise of the groups' own sizes, prevalences, clusters and weights. Permuted
groups do not: each gets the pooled prevalence, and with it too little noise where it has few
positives.
Simulated in `benchmarks/null.py`, which says where p-values hold; elsewhere there are none.

Array suffixes: B draws, S seeds, P pathologies, G groups, 2 the classes, negatives first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from fairfm_core.evaluation.arrays import Floats, Ints
from fairfm_core.evaluation.disaggregated.counts import CellCounts, Reasons
from fairfm_core.evaluation.metrics import BOTH, Metric, ratio
from fairfm_core.evaluation.tables import NO_P_VALUE

FEWEST_PATIENTS = 20
"""Effective patients of a class that a p-value needs in every group: simulated down to here."""
SHIFTED = "noise moves this metric away from its ideal, most in the smallest group"
CLASSES = ("negatives", "positives")
WITH = ("without", "with")


def needed_classes(metric: Metric) -> list[int]:
    """The classes whose patients limit what is known of a metric; both where it needs none."""
    return [CLASSES.index(name) for name in metric.needs or BOTH]


def pool_weights(metric: Metric, effective_PG2: Floats) -> Floats:
    """How much each group counts in the common value, [P, G]; they sum to 1 over the groups."""
    needed_PGC = np.maximum(effective_PG2[..., needed_classes(metric)], 1e-9)
    weight_PG = 1 / (1 / needed_PGC).sum(axis=-1)
    weights: Floats = weight_PG / weight_PG.sum(axis=-1, keepdims=True)
    return weights


def common_value(metric: Metric, value_SPG: Floats, effective_PG2: Floats) -> Floats:
    """The mean of the groups' values by `pool_weights`, [S, P, 1]; undefined groups left out."""
    weight_SPG = pool_weights(metric, effective_PG2) * np.isfinite(value_SPG)
    total_SP1 = weight_SPG.sum(axis=-1, keepdims=True)
    return ratio((weight_SPG * np.nan_to_num(value_SPG)).sum(axis=-1, keepdims=True), total_SP1)


def fair_deviations(
    metric: Metric, value_SPG: Floats, replicate_BSPG: Floats, effective_PG2: Floats
) -> Floats:
    """The deviations D [B, S, P, G] of a model that is fair; NaN where a value is undefined."""
    deviation_BSPG: Floats = replicate_BSPG - value_SPG
    fewest_PG = effective_PG2[..., needed_classes(metric)].min(axis=-1)
    correction_PG = np.sqrt(fewest_PG / np.maximum(fewest_PG - 1, 1))
    return deviation_BSPG * (correction_PG * _spread_ratio(metric, value_SPG, effective_PG2))


def _spread_ratio(metric: Metric, value_SPG: Floats, effective_PG2: Floats) -> Floats:
    """Standard error at the common value over that at the group's own; 1 where unknown."""
    if metric.variance is None:
        return np.ones_like(value_SPG)
    common_SP1 = common_value(metric, value_SPG, effective_PG2)
    negatives_PG, positives_PG = np.moveaxis(np.maximum(effective_PG2, 1), -1, 0)
    own_SPG, under_null_SPG = (
        metric.variance(at_SPG, positives_PG, negatives_PG)
        for at_SPG in (value_SPG, np.broadcast_to(common_SP1, value_SPG.shape))
    )
    # Without a spread of its own a group has no deviations to rescale.
    ratio_SPG = np.ones_like(value_SPG)
    np.divide(under_null_SPG, own_SPG, out=ratio_SPG, where=own_SPG > 0)
    ratios: Floats = np.sqrt(ratio_SPG)
    return ratios


@dataclass(frozen=True, eq=False)
class Withheld:
    """Why cells allow no p-value."""

    reason_PG: Reasons
    """None where a cell allows one."""
    fewest_PG: Floats
    """Effective patients of the smaller class that the metric needs."""

    @cached_property
    def anywhere(self) -> bool:
        """Whether any cell has a reason."""
        return bool((self.reason_PG != None).any())  # noqa: E711

    def first(self, places: Sequence[int], groups: Sequence[int]) -> str | None:
        """The reason of the smallest of these cells that has one; None if all allow a p-value."""
        if not self.anywhere:
            return None
        cells = [(self.fewest_PG[p, g], p, g) for p in places for g in groups]
        reasons = (self.reason_PG[p, g] for _, p, g in sorted(cells))
        return next((reason for reason in reasons if reason), None)


def withheld(
    metric: Metric,
    replicate_BSPG: Floats,
    counts: CellCounts,
    places: Ints,
    names: tuple[Sequence[str], Sequence[str]],
) -> Withheld:
    """Where a metric of the pathologies at `places` allows no p-value; `names`: pathologies,
    groups."""
    needed = needed_classes(metric)
    fewest_PG = counts.effective_PG2[places][..., needed].min(axis=-1)
    reason_PG = np.full(fewest_PG.shape, f"{NO_P_VALUE}: {SHIFTED}", dtype=object)
    if metric.shifted_by_noise:
        return Withheld(reason_PG, fewest_PG)
    still_PG = (replicate_BSPG == replicate_BSPG[:1]).all(axis=0).any(axis=0)
    for i, g in np.ndindex(reason_PG.shape):
        where = f"{names[0][i]} in {names[1][g]}"
        whys = [few_patients(counts, (int(places[i]), g, c), where) for c in needed]
        whys += [f"draws do not change the {metric.name} of {where}" if still_PG[i, g] else None]
        why = next((each for each in whys if each), None)
        reason_PG[i, g] = why and f"{NO_P_VALUE}: {why}"
    return Withheld(reason_PG, fewest_PG)


def few_patients(counts: CellCounts, cell: tuple[int, int, int], where: str) -> str | None:
    """That a cell has too few patients of a class; None where it has enough."""
    whose = f"patients {WITH[cell[-1]]} {where}"
    if counts.class_patients_PG2[cell] < FEWEST_PATIENTS:
        return f"fewer than {FEWEST_PATIENTS} {whose}"
    if counts.effective_PG2[cell] < FEWEST_PATIENTS:
        return f"weights leave an effective number below {FEWEST_PATIENTS} of {whose}"
    return None
