"""Every metric of every group in many weightings: the engine behind intervals and nulls.

A weighting gives each patient (or other unit) a whole-number weight: the data as they are, or a
bootstrap replicate. The images of one seed and one pathology are sorted once; then, for each block
of weightings, one scan computes the AUC and the AUPRC of all groups, and one matrix product the
weighted sums that all other metrics follow from.

From the top down: `bootstrap_values` prepares the cases of a problem, `weighted_values` goes over
the blocks, `BlockValues` computes the metrics of one pathology in one block, `sums_of_block` the
weighted sums of a block.

Array suffixes: S seeds of one configuration, P pathologies, N images, G groups, B weightings, U
units that carry a weight, L weightings of one block, K cells, T sufficient statistics.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from fairfm_core.evaluation.arrays import Floats, Ints
from fairfm_core.evaluation.groups import Groups
from fairfm_core.evaluation.kernels.blocks import Block, blocks_of
from fairfm_core.evaluation.kernels.cases import (
    Cases,
    CountedImages,
    SummedStatistics,
    Units,
    all_cases,
    weight_bounds,
)
from fairfm_core.evaluation.kernels.group_auc import SortedImages, group_auc, sorted_images
from fairfm_core.evaluation.kernels.pairwise_auc import CellVisits, cell_visits, pairwise_wins
from fairfm_core.evaluation.kernels.partition import Partition, PartitionPlan, partition_plan
from fairfm_core.evaluation.kernels.sufficient_statistics import StatisticColumns
from fairfm_core.evaluation.kernels.weighted_auprc import SortedCells, sorted_cells, weighted_auprc
from fairfm_core.evaluation.kernels.weighted_sums import Pieces, weighted_sums
from fairfm_core.evaluation.metrics import AUC, AUPRC, Metric
from fairfm_core.evaluation.problem import Problem

ValuesByMetric = dict[str, Floats]
"""By the metric's name: [B, S, P, G]; NaN where it is undefined in a weighting."""
GroupValues = tuple[int, str, Floats]
"""Place of an attribute, name of a metric, its values [L, G]."""


def bootstrap_values(
    problem: Problem, attributes: Sequence[Groups], weights_BU: npt.NDArray[Any], unit_N: Ints
) -> list[ValuesByMetric]:
    """The metrics of each attribute's groups when unit u has the weight `weights_BU[:, u]`.

    `unit_N` is the unit of each image: its patient, as a rule.
    """
    weighting = problem.weighting
    weightings = Weightings(
        weights_BU, unit_N, lambda p: weighting.scale_BK2(p, weights_BU, unit_N)
    )
    plan = partition_plan(attributes, weighting.cells)
    counted = {
        p: CountedImages(
            np.flatnonzero(some_N), weighting.multiplicity_N(p), weighting.weights_N(p)
        )
        for p, some_N in enumerate(weighting.counted_PN)
    }
    cases = all_cases(problem, plan, counted, weightings.units)
    return weighted_values(problem, plan, cases, weightings)


@dataclass(frozen=True, eq=False)
class Weightings:
    """The weights of units in many weightings, and how a protocol scales its cells in them."""

    weights_BU: npt.NDArray[Any]
    unit_N: Ints
    scale_BK2: Callable[[int], Floats | None]
    """Scale of the protocol's cells for a pathology; None for 1."""

    @property
    def units(self) -> Units:
        """The units."""
        heaviest = int(self.weights_BU.max(initial=1))
        return Units(self.unit_N, self.weights_BU.shape[1], heaviest)


def weighted_values(
    problem: Problem, plan: PartitionPlan, cases: Sequence[Cases], weightings: Weightings
) -> list[ValuesByMetric]:
    """The metrics of each attribute of a plan, block by block; NaN for pathologies without
    cases."""
    values = _undefined_values(problem, plan, len(weightings.weights_BU))
    scale = {p: weightings.scale_BK2(p) for p in {one.p for one in cases}}
    start = 0
    for block in blocks_of(weightings.weights_BU):
        rows = slice(start, start + block.used)
        start = rows.stop
        sums, bounds = sums_of_block(cases, block), weight_bounds(cases, block)
        computed = BlockValues(plan, block, scale, sums, bounds, rows)
        for each in cases:
            order = VisitOrder(plan, each, weightings.unit_N)
            for a, name, value_LG in computed.of(order, problem.metrics_of(each.p)):
                values[a][name][rows, each.s, each.p] = value_LG
    return values


def _undefined_values(
    problem: Problem, plan: PartitionPlan, weightings: int
) -> list[ValuesByMetric]:
    """NaN for every metric of each attribute."""
    shape = (weightings, *problem.sample.score_SPN.shape[:2])
    return [
        {metric.name: np.full((*shape, len(groups.names)), np.nan) for metric in problem.metrics}
        for groups in plan.attributes
    ]


@dataclass(frozen=True, eq=False)
class VisitOrder:
    """The order in which scans visit the cases of one pathology, the same in every block."""

    plan: PartitionPlan
    cases: Cases
    unit_N: Ints

    @cached_property
    def cell_visits(self) -> list[CellVisits]:
        """For the AUC alone, by partition."""
        return [cell_visits(self.cases, partition, self.unit_N) for partition in self.plan.paired]

    @cached_property
    def sorted_images(self) -> SortedImages:
        """For the AUC and the AUPRC together."""
        return sorted_images(self.cases, self.unit_N)

    @cached_property
    def group_nA(self) -> npt.NDArray[np.int16]:
        """The group of each sorted image in each attribute."""
        return self.plan.group_NA[self.sorted_images.case_n]

    @cached_property
    def sorted_cells(self) -> list[SortedCells]:
        """For the AUPRC where cells are scaled, by attribute."""
        single = enumerate(self.plan.single)
        return [sorted_cells(self.cases, partition, a, self.unit_N) for a, partition in single]


@dataclass(frozen=True, eq=False)
class BlockValues:
    """A block of weightings, and what the metrics are computed from in it."""

    plan: PartitionPlan
    block: Block
    scales: dict[int, Floats | None]
    """By pathology the scale [B, K, 2] of the protocol's cells; None for 1."""
    sums: dict[SummedStatistics, Floats]
    totals: dict[Cases, int]
    """Bounds of the sum of weights in any weighting of the block."""
    rows: slice
    """The block's rows among the weightings."""

    def of(self, order: VisitOrder, metrics: Sequence[Metric]) -> Iterator[GroupValues]:
        """Every metric of every attribute's groups for one pathology."""
        cases = order.cases
        scale_BK2 = self.scales[cases.p]
        scale_LK2 = None if scale_BK2 is None else scale_BK2[self.rows]
        if AUPRC in metrics and scale_LK2 is None:
            yield from self._aucs_and_auprcs(order)
        else:
            yield from self._aucs(order, scale_LK2)
            if AUPRC in metrics and scale_LK2 is not None:
                yield from self._scaled_auprcs(order, scale_LK2)
        if cases.summed is not None:
            sum_LKT = self._scaled(self.sums[cases.summed], scale_LK2)
            yield from self._from_sums(sum_LKT, cases.summed.columns, metrics)

    def _aucs_and_auprcs(self, order: VisitOrder) -> Iterator[GroupValues]:
        """AUC and AUPRC of all attributes by one scan."""
        counts = [len(groups.names) for groups in self.plan.attributes]
        total = self.totals[order.cases]
        both = group_auc(order.sorted_images, order.group_nA, sum(counts), self.block, total)
        for metric, value_LG in zip((AUC, AUPRC), both, strict=True):
            parts = np.split(value_LG, np.cumsum(counts)[:-1], axis=1)
            yield from ((a, metric.name, part_LG) for a, part_LG in enumerate(parts))

    def _aucs(self, order: VisitOrder, scale_LK2: Floats | None) -> Iterator[GroupValues]:
        """AUC by one scan for each partition, from the wins between its cells."""
        for visits in order.cell_visits:
            wins = pairwise_wins(visits, self.block, self.totals[order.cases])
            scale = _scale_of(scale_LK2, visits.partition)
            for a, cells_G in visits.partition.group_cells.items():
                auc_GL = [wins.auc_of(cells, scale) for cells in cells_G]
                nobody = np.empty((self.block.used, 0))
                yield a, AUC.name, np.stack(auc_GL, axis=1) if auc_GL else nobody

    def _scaled_auprcs(self, order: VisitOrder, scale_LK2: Floats) -> Iterator[GroupValues]:
        """AUPRC by one scan for each attribute."""
        for a, images in enumerate(order.sorted_cells):
            scale = scale_LK2[:, self.plan.single[a].balance_K]
            yield a, AUPRC.name, weighted_auprc(images, self.block, scale)

    def _from_sums(
        self, sum_LKT: Floats, columns: StatisticColumns, metrics: Sequence[Metric]
    ) -> Iterator[GroupValues]:
        """The metrics that are functions of weighted sums."""
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
        weightings, cells, statistics = sum_LKT.shape
        sum_LK2T = sum_LKT.reshape(weightings, cells // 2, 2, statistics)
        scale = _scale_of(scale_LK2, self.plan.joint)
        if scale is not None:
            sum_LK2T = sum_LK2T * scale[..., None]
        summed: Floats = sum_LK2T.sum(axis=2)
        return summed


def _scale_of(scale_LK2: Floats | None, partition: Partition) -> Floats | None:
    """The scale of the cells of a partition."""
    return None if scale_LK2 is None else scale_LK2[:, partition.balance_K]


def sums_of_block(cases: Sequence[Cases], block: Block) -> dict[SummedStatistics, Floats]:
    """The weighted sum of every statistic over every cell, [L, K, T], of each case in a block.

    By matrix product, one for all cases that share their pieces.
    """
    sharing: dict[Pieces, list[SummedStatistics]] = {}
    for each in cases:
        if each.summed is not None:
            sharing.setdefault(each.summed.pieces, []).append(each.summed)
    sums: dict[SummedStatistics, Floats] = {}
    for pieces, together in sharing.items():
        summed = weighted_sums(pieces, block, [each.statistic_PT for each in together])
        sums |= dict(zip(together, summed, strict=True))
    return sums
