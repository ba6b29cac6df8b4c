"""Every metric of every group in many weightings: the engine behind intervals and nulls.

A value is computed for each weighting of the patients: the data as they are, bootstrap replicates,
permutations of groups. One seed and one pathology are sorted once; then one scan for the AUC and
the AUPRC and one matrix product for the rest serve all groups and a block of weightings. Where a
permuted group has no weights of its own, `permutation_values.py` is faster still.

Array suffixes: S seeds of one configuration, P pathologies, N images, G groups, B weightings, U
units that carry a weight, L lanes of a block, K cells, T terms.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from fairfm_core.evaluation.arrays import Floats, Ints
from fairfm_core.evaluation.groups import Groups
from fairfm_core.evaluation.kernels.blocks import Block, blocks_of
from fairfm_core.evaluation.kernels.cases import (
    Cases,
    Counted,
    Summed,
    Units,
    all_cases,
    weight_bounds,
)
from fairfm_core.evaluation.kernels.group_auc import joint_scan
from fairfm_core.evaluation.kernels.pairwise_auc import Visited, pair_table, visited
from fairfm_core.evaluation.kernels.partition import Partition, Plan, plan_of
from fairfm_core.evaluation.kernels.permuted_auc import Procession, procession
from fairfm_core.evaluation.kernels.sufficient_statistics import Columns
from fairfm_core.evaluation.kernels.weighted_auprc import Descent, average_precision, descent
from fairfm_core.evaluation.kernels.weighted_sums import Pieces, cell_sums
from fairfm_core.evaluation.metrics import AUC, AUPRC, Metric, Request
from fairfm_core.evaluation.predictions import Sample
from fairfm_core.evaluation.protocols.weighting import Weighting

Found = tuple[int, str, Floats]
"""Place of an attribute, name of a metric, its values [L, G]."""


@dataclass(frozen=True, eq=False)
class Order:
    """The order in which scans see the cases of one pathology, the same in every block."""

    plan: Plan
    cases: Cases
    unit_N: Ints

    @cached_property
    def visited(self) -> list[Visited]:
        """For the AUC, by partition."""
        return [visited(self.cases, partition, self.unit_N) for partition in self.plan.paired]

    @cached_property
    def procession(self) -> Procession:
        """For the AUC and the AUPRC together."""
        return procession(self.cases, self.unit_N)

    @cached_property
    def group_nA(self) -> npt.NDArray[np.int16]:
        """The group of each image of the procession in each attribute."""
        return self.plan.group_NA[self.procession.case_n]

    @cached_property
    def descents(self) -> list[Descent]:
        """For the AUPRC where cells are scaled, by attribute."""
        single = enumerate(self.plan.single)
        return [descent(self.cases, partition, a, self.unit_N) for a, partition in single]


@dataclass(frozen=True, eq=False)
class Lanes:
    """A block of weightings, and what is to be put together in it."""

    plan: Plan
    block: Block
    scales: dict[int, Floats | None]
    """By pathology the scale [B, K, 2] of the protocol's cells; None for 1."""
    sums: dict[Summed, Floats]
    totals: dict[Cases, int]
    """Bounds of the sum of weights in any lane."""
    rows: slice
    """The block's rows among the weightings."""

    def values(self, order: Order, metrics: Sequence[Metric]) -> Iterator[Found]:
        """Every metric of every attribute's groups for one pathology."""
        cases = order.cases
        scale_BK2 = self.scales[cases.p]
        scale_LK2 = None if scale_BK2 is None else scale_BK2[self.rows]
        if AUPRC in metrics and scale_LK2 is None:
            yield from self._areas(order)
        else:
            yield from self._aucs(order, scale_LK2)
            if AUPRC in metrics and scale_LK2 is not None:
                yield from self._scaled_auprcs(order, scale_LK2)
        if cases.summed is not None:
            sum_LKT = self._scaled(self.sums[cases.summed], scale_LK2)
            yield from self._of_sums(sum_LKT, cases.summed.columns, metrics)

    def _areas(self, order: Order) -> Iterator[Found]:
        """AUC and AUPRC by one scan."""
        counts = [len(groups.names) for groups in self.plan.attributes]
        total = self.totals[order.cases]
        both = joint_scan(order.procession, order.group_nA, sum(counts), self.block, total)
        for metric, value_LG in zip((AUC, AUPRC), both, strict=True):
            parts = np.split(value_LG, np.cumsum(counts)[:-1], axis=1)
            yield from ((a, metric.name, part_LG) for a, part_LG in enumerate(parts))

    def _scaled_auprcs(self, order: Order, scale_LK2: Floats) -> Iterator[Found]:
        for a, way in enumerate(order.descents):
            scale = scale_LK2[:, self.plan.single[a].balance_K]
            yield a, AUPRC.name, average_precision(way, self.block, scale)

    def _aucs(self, order: Order, scale_LK2: Floats | None) -> Iterator[Found]:
        for seen in order.visited:
            table = pair_table(seen, self.block, self.totals[order.cases])
            scale = _scale_of(scale_LK2, seen.partition)
            for a, cells_G in seen.partition.group_cells.items():
                auc_GL = [table.auc_of(cells, scale) for cells in cells_G]
                nobody = np.empty((self.block.used, 0))
                yield a, AUC.name, np.stack(auc_GL, axis=1) if auc_GL else nobody

    def _of_sums(
        self, sum_LKT: Floats, columns: Columns, metrics: Sequence[Metric]
    ) -> Iterator[Found]:
        for a, cells_G in self.plan.joint.group_cells.items():
            if not cells_G:
                continue
            sum_LGT = np.stack([sum_LKT[:, cells].sum(axis=1) for cells in cells_G], axis=1)
            for metric in metrics:
                if metric.of is not None:
                    yield a, metric.name, metric.of(columns.sums_of(sum_LGT, a, metric.point))

    def _scaled(self, sum_LKT: Floats, scale_LK2: Floats | None) -> Floats:
        """Sums over both classes of a cell, each class times its scale."""
        if not self.plan.scaled:
            return sum_LKT
        lanes, cells, terms = sum_LKT.shape
        sum_LK2T = sum_LKT.reshape(lanes, cells // 2, 2, terms)
        scale = _scale_of(scale_LK2, self.plan.joint)
        if scale is not None:
            sum_LK2T = sum_LK2T * scale[..., None]
        summed: Floats = sum_LK2T.sum(axis=2)
        return summed


def _scale_of(scale_LK2: Floats | None, partition: Partition) -> Floats | None:
    """The scale of the cells of a partition."""
    return None if scale_LK2 is None else scale_LK2[:, partition.balance_K]


def block_sums(
    cases: Sequence[Cases], blocks: Sequence[Block], exhaustive: bool
) -> list[dict[Summed, Floats]]:
    """The weighted sum of every term over every cell, [L, K, T], of each case in each block.

    Where each unit weighs 1 in exactly one of the blocks (`exhaustive`: permuted groups), the last
    one holds what the others leave: sums are exact, so nothing is lost by subtracting.
    """
    sharing: dict[Pieces, list[Summed]] = {}
    for each in cases:
        if each.summed is not None:
            sharing.setdefault(each.summed.pieces, []).append(each.summed)
    left = 1 if exhaustive and len(blocks) > 1 else 0
    found: list[dict[Summed, Floats]] = [{} for _ in blocks]
    for pieces, together in sharing.items():
        for block, sums in zip(blocks[: len(blocks) - left], found, strict=False):
            summed = cell_sums(pieces, block, [each.term_PT for each in together])
            sums |= dict(zip(together, summed, strict=True))
    if left:
        *others, last = found
        last |= {each: _everything(each) - sum(sums[each] for sums in others) for each in found[0]}
    return found


def _everything(summed: Summed) -> Floats:
    """The sum over all pieces of a cell, [1, K, T]."""
    parts = pairwise(summed.pieces.bounds_K)
    return np.array([[summed.term_PT[start:stop].sum(axis=0) for start, stop in parts]])


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
            Lanes(plan, block, scale, some, weight_bounds(cases, block), rows)
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
