"""Every metric of every group in many weightings: the engine behind intervals and nulls.

A value is computed for each weighting of the patients: the data as they are, bootstrap replicates,
permutations of groups. One seed and one pathology are sorted once; then one scan for the AUC and
the AUPRC and one matrix product for the rest serve all groups and a block of weightings. Where a
permuted group has no weights of its own, `member_values.py` is faster still.

Array suffixes: S seeds of one configuration, P pathologies, N images, G groups, B weightings, U
units that carry a weight, L lanes of a block, K cells, T terms.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from fairfm_core.evaluation.auc import Floats, Ints
from fairfm_core.evaluation.block_sums import block_sums
from fairfm_core.evaluation.cases import Cases, Counted, Request, Units, all_cases
from fairfm_core.evaluation.groups import Groups
from fairfm_core.evaluation.lane_values import Lanes, Order
from fairfm_core.evaluation.lanes import blocks_of
from fairfm_core.evaluation.metrics import Metric
from fairfm_core.evaluation.partition import Plan, plan_of
from fairfm_core.evaluation.sample import Sample
from fairfm_core.evaluation.weighting import Weighting

Values = dict[str, Floats]
"""By the metric's name: [B, S, P, G]; NaN where it is undefined in a weighting."""


@dataclass(frozen=True, eq=False)
class Weightings:
    """The weights of units in many weightings, and how a protocol scales its cells in them."""

    weights_BU: npt.NDArray[Any]
    unit_N: Ints
    scale_BK2: Callable[[int], Floats | None]
    """For a pathology."""

    @property
    def units(self) -> Units:
        """The units."""
        heaviest = int(self.weights_BU.max(initial=1))
        return Units(self.unit_N, self.weights_BU.shape[1], heaviest)


@dataclass(frozen=True, eq=False)
class Bootstrapped:
    """Values of each attribute, and the cases that they are of."""

    values: list[Values]
    cases: list[Cases]


def bootstrapped(
    sample: Sample,
    weighting: Weighting,
    attributes: Sequence[Groups],
    weights_BU: npt.NDArray[Any],
    unit_N: Ints,
    request: Request,
) -> Bootstrapped:
    """The metrics of each attribute's groups when unit u weighs `weights_BU[:, u]`."""
    weightings = Weightings(
        weights_BU, unit_N, lambda p: weighting.scale_BK2(p, weights_BU, unit_N)
    )
    plan = plan_of(attributes, weighting.cells)
    counted = {
        p: Counted(np.flatnonzero(some_N), weighting.multiplicity_N(p), weighting.weights_N(p))
        for p, some_N in enumerate(weighting.counted_PN)
    }
    cases = all_cases(sample, plan, counted, weightings.units, request)
    metrics = request.metrics(sample.pathologies)
    (values,) = weighted_values(sample, plan, cases, [weightings], metrics)
    return Bootstrapped(values, cases)


def bootstrap_values(
    sample: Sample,
    weighting: Weighting,
    attributes: Sequence[Groups],
    weights_BU: npt.NDArray[Any],
    unit_N: Ints,
    request: Request,
) -> list[Values]:
    """The values of `bootstrapped`."""
    return bootstrapped(sample, weighting, attributes, weights_BU, unit_N, request).values


def weighted_values(
    sample: Sample,
    plan: Plan,
    cases: Sequence[Cases],
    weightings: Sequence[Weightings],
    metrics: Sequence[Metric],
    exhaustive: bool = False,
) -> list[list[Values]]:
    """For each of the weightings the metrics of each attribute of a plan.

    They run side by side, over the same units. NaN for pathologies without cases. `exhaustive`
    tells that each unit weighs 1 in exactly one of them.
    """
    shape = (len(weightings[0].weights_BU), *sample.score_SPN.shape[:2])
    found: list[list[Values]] = [
        [
            {metric.name: np.full((*shape, len(groups.names)), np.nan) for metric in metrics}
            for groups in plan.attributes
        ]
        for _ in weightings
    ]
    start = 0
    scales = [{p: each.scale_BK2(p) for p in {one.p for one in cases}} for each in weightings]
    for blocks in zip(*(blocks_of(each.weights_BU) for each in weightings), strict=True):
        rows = slice(start, start + blocks[0].used)
        start = rows.stop
        sums = block_sums(cases, blocks, exhaustive)
        lanes = [
            Lanes(plan, block, scale, some, block.totals(cases), rows)
            for block, scale, some in zip(blocks, scales, sums, strict=True)
        ]
        for each in cases:
            order = Order(plan, each, weightings[0].unit_N)
            pathology = sample.pathologies[each.p]
            defined = [metric for metric in metrics if metric.only in (None, pathology)]
            for values, lane in zip(found, lanes, strict=True):
                for a, name, value_LG in lane.values(order, defined):
                    values[a][name][rows, each.s, each.p] = value_LG
    return found
