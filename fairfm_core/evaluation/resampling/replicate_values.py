"""Every metric of every group in many weightings: the engine behind intervals and nulls.

A weighting gives each patient (or other unit) a whole-number weight: the data as they are, or a
bootstrap replicate. The images of one seed and one pathology are sorted once; then, for each block
of weightings, one scan computes the AUC and the AUPRC of all groups, and one matrix product the
weighted sums that all other metrics follow from.

From the top down: `resampled_images` prepares what all models of the same images share,
`weighted_values` goes over the blocks, `BlockValues` computes the metrics of one pathology in one
block or of all that share a matrix product.

Array suffixes: S seeds of one configuration, P pathologies, N images, G groups, B weightings, U
units that carry a weight, L weightings of one block, K cells, C cases, T sufficient statistics, M
those of all cases.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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
    Units,
    all_cases,
    counted_images,
    weight_bounds,
)
from fairfm_core.evaluation.kernels.group_auc import SortedImages, group_auc, sorted_images
from fairfm_core.evaluation.kernels.pairwise_auc import CellVisits, cell_visits, pairwise_wins
from fairfm_core.evaluation.kernels.partition import Partition, PartitionPlan, partition_plan
from fairfm_core.evaluation.kernels.weighted_auprc import SortedCells, sorted_cells, weighted_auprc
from fairfm_core.evaluation.kernels.weighted_sums import Pieces, weighted_sums
from fairfm_core.evaluation.metrics import AUC, AUPRC, Metric
from fairfm_core.evaluation.problem import Problem
from fairfm_core.evaluation.protocols.weighting import Weighting

ValuesByMetric = dict[str, Floats]
"""By the metric's name: [B, S, P, G]; NaN where it is undefined in a weighting."""
GroupValues = tuple[int, str, Floats]
"""Place of an attribute, name of a metric, its values [L, G]."""


@dataclass(frozen=True, eq=False)
class ResampledImages:
    """The images of a problem in many weightings: what the values of every model are made with.

    No score enters it, so it serves all models of the same images.
    """

    plan: PartitionPlan
    counted: dict[int, CountedImages]
    units: Units
    scales: dict[int, Floats | None]
    """By pathology the scale [B, K, 2] of the protocol's cells; None for 1."""
    blocks: tuple[Block, ...]

    @property
    def weightings(self) -> int:
        """Number of weightings."""
        return sum(block.used for block in self.blocks)


def resampled_images(
    weighting: Weighting,
    attributes: Sequence[Groups],
    weights_BU: npt.NDArray[Any],
    unit_N: Ints,
    needs_sums: bool,
) -> ResampledImages:
    """The images of a split when unit u has the weight `weights_BU[:, u]`.

    `unit_N` is the unit of each image: its patient, as a rule. `needs_sums`: whether any metric is
    a function of weighted sums.
    """
    plan = partition_plan(attributes, weighting.cells)
    units = Units(unit_N, weights_BU.shape[1], int(weights_BU.max(initial=1)))
    counted = counted_images(weighting, plan, units, needs_sums)
    scales = {p: weighting.scale_BK2(p, weights_BU, unit_N) for p in counted}
    return ResampledImages(plan, counted, units, scales, tuple(blocks_of(weights_BU)))


def bootstrap_values(
    problem: Problem, attributes: Sequence[Groups], weights_BU: npt.NDArray[Any], unit_N: Ints
) -> list[ValuesByMetric]:
    """The metrics of each attribute's groups in weightings, as those of `resampled_images`."""
    needs_sums = problem.request.needs_sums
    return weighted_values(
        problem,
        resampled_images(problem.weighting, attributes, weights_BU, unit_N, needs_sums),
    )


def weighted_values(problem: Problem, resampled: ResampledImages) -> list[ValuesByMetric]:
    """The metrics of each attribute of the plan, block by block."""
    plan = resampled.plan
    values = _undefined_values(problem, plan, resampled.weightings)
    cases = all_cases(problem, resampled.counted, resampled.units)
    orders = [VisitOrder(plan, each, resampled.units.unit_N) for each in cases]
    start = 0
    for block in resampled.blocks:
        rows = slice(start, start + block.used)
        start = rows.stop
        computed = BlockValues(plan, block, resampled.scales, weight_bounds(cases, block), rows)
        for order in orders:
            s, p = order.cases.s, order.cases.p
            for a, name, value_LG in computed.scanned(order, problem.metrics_of(p)):
                values[a][name][rows, s, p] = value_LG
        for together in sharing_pieces(cases):
            for a, metric, value_LCG in computed.from_sums(together, problem.metrics):
                for c, (s, p) in enumerate((each.s, each.p) for each in together):
                    if metric in problem.metrics_of(p):
                        values[a][metric.name][rows, s, p] = value_LCG[:, c]
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
    totals: dict[Cases, int]
    """Bounds of the sum of weights in any weighting of the block."""
    rows: slice
    """The block's rows among the weightings."""

    def scanned(self, order: VisitOrder, metrics: Sequence[Metric]) -> Iterator[GroupValues]:
        """AUC and AUPRC of every attribute's groups for one pathology."""
        cases = order.cases
        scale_BK2 = self.scales[cases.p]
        scale_LK2 = None if scale_BK2 is None else scale_BK2[self.rows]
        if AUPRC in metrics and scale_LK2 is None:
            yield from self._aucs_and_auprcs(order)
        else:
            yield from self._aucs(order, scale_LK2)
            if AUPRC in metrics and scale_LK2 is not None:
                yield from self._scaled_auprcs(order, scale_LK2)

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

    def from_sums(
        self, cases: Sequence[Cases], metrics: Sequence[Metric]
    ) -> Iterator[tuple[int, Metric, Floats]]:
        """The metrics of some cases that are functions of weighted sums, with the place of the
        attribute: [L, C, G]."""
        statistics = [each.statistics for each in cases if each.statistics is not None]
        columns, pieces = statistics[0].columns, statistics[0].images.pieces
        sum_KLM = weighted_sums(pieces, self.block, statistics)
        sum_KLCT = self._scaled(sum_KLM.reshape(*sum_KLM.shape[:2], len(cases), -1), cases)
        for a, cells_G in self.plan.joint.group_cells.items():
            if not cells_G:
                continue
            sum_TLCG = _by_group(sum_KLCT, cells_G, columns.of_attribute(a))
            fitted_CG3 = None
            if columns.recalibrated:
                fitted_CG3 = np.array([each.fitted_AG3[a] for each in statistics])
            for metric in metrics:
                if metric.of is not None:
                    sums = columns.sums_of(sum_TLCG, fitted_CG3, metric.point)
                    yield a, metric, metric.of(sums)

    def _scaled(self, sum_KLCT: Floats, cases: Sequence[Cases]) -> Floats:
        """Sums over both classes of a cell, each class times its scale."""
        if not self.plan.scaled:
            return sum_KLCT
        cells, *shape = sum_KLCT.shape
        sum_K2LCT = sum_KLCT.reshape(cells // 2, 2, *shape)
        scale_BK2 = self.scales[cases[0].p]  # each pathology has its own pieces here
        if scale_BK2 is not None:
            scale_LK2 = scale_BK2[self.rows][:, self.plan.joint.balance_K]
            sum_K2LCT = sum_K2LCT * scale_LK2.transpose(1, 2, 0)[..., None, None]
        summed: Floats = sum_K2LCT.sum(axis=1)
        return summed


def _by_group(sum_KLCT: Floats, cells_G: Sequence[Ints], columns: Sequence[slice]) -> Floats:
    """Sums of some columns over the cells of each group, [T, L, C, G]."""
    _, weightings, cases, _ = sum_KLCT.shape
    width = sum(part.stop - part.start for part in columns)
    sum_TLCG = np.empty((width, weightings, cases, len(cells_G)))
    start = 0
    for part in columns:
        rows = slice(start, start + part.stop - part.start)
        start = rows.stop
        for g, cells in enumerate(cells_G):
            summed_LCT = np.zeros((weightings, cases, rows.stop - rows.start))
            for k in cells:
                summed_LCT += sum_KLCT[k, :, :, part]
            sum_TLCG[rows, :, :, g] = np.moveaxis(summed_LCT, -1, 0)
    return sum_TLCG


def _scale_of(scale_LK2: Floats | None, partition: Partition) -> Floats | None:
    """The scale of the cells of a partition."""
    return None if scale_LK2 is None else scale_LK2[:, partition.balance_K]


def sharing_pieces(cases: Sequence[Cases]) -> list[list[Cases]]:
    """The cases that have statistics, those that share their pieces together."""
    sharing: dict[Pieces, list[Cases]] = {}
    for each in cases:
        if each.statistics is not None:
            sharing.setdefault(each.statistics.images.pieces, []).append(each)
    return list(sharing.values())
