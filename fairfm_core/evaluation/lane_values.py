"""The metrics of one pathology in one block of weightings. Array suffixes as in `values.py`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from fairfm_core.evaluation.auc import Floats, Ints
from fairfm_core.evaluation.cases import Cases, Summed
from fairfm_core.evaluation.joint_scan import joint_scan
from fairfm_core.evaluation.lanes import Block
from fairfm_core.evaluation.member_scan import Procession, procession
from fairfm_core.evaluation.metrics import AUC, AUPRC, Metric
from fairfm_core.evaluation.pair_scan import Visited, pair_table, visited
from fairfm_core.evaluation.partition import Partition, Plan
from fairfm_core.evaluation.precision_scan import Descent, average_precision, descent
from fairfm_core.evaluation.terms import Columns

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
