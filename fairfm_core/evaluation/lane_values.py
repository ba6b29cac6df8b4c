"""The metrics of one pathology in one block of weightings. Array suffixes as in `values.py`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from fairfm_core.evaluation.auc import Floats, Ints
from fairfm_core.evaluation.block_sums import BlockSums
from fairfm_core.evaluation.cases import Cases
from fairfm_core.evaluation.lanes import Block
from fairfm_core.evaluation.metrics import AUC, AUPRC, Metric
from fairfm_core.evaluation.pair_scan import pair_table
from fairfm_core.evaluation.partition import Partition, Plan
from fairfm_core.evaluation.precision_scan import average_precision
from fairfm_core.evaluation.terms import Columns

Found = tuple[int, str, Floats]
"""Place of an attribute, name of a metric, its values [L, G]."""


@dataclass(frozen=True, eq=False)
class Lanes:
    """A block of weightings of the units of the images, and what is to be put together in it."""

    plan: Plan
    block: Block
    unit_N: Ints
    total: int
    """A bound of the sum of weights in any lane."""
    scale_LK2: Floats | None
    """Scale of the protocol's cells; None for 1."""

    def values(self, cases: Cases, metrics: Sequence[Metric], sums: BlockSums) -> Iterator[Found]:
        """Every metric of every attribute's groups."""
        if AUC in metrics:
            yield from self._aucs(cases)
        if AUPRC in metrics:
            yield from self._precisions(cases)
        if cases.summed is not None:
            sum_LKT = self._scaled(sums.of(cases.summed))
            yield from self._of_sums(sum_LKT, cases.summed.columns, metrics)

    def _aucs(self, cases: Cases) -> Iterator[Found]:
        for partition in self.plan.paired:
            table = pair_table(
                cases.ranking, partition, self.unit_N, self.block, self.total, cases.multiplicity_N
            )
            scale_LK2 = self._scale_of(partition)
            for a, cells_G in partition.group_cells.items():
                auc_GL = [table.auc_of(cells, scale_LK2) for cells in cells_G]
                yield a, AUC.name, np.stack(auc_GL, axis=1) if auc_GL else self._nobody()

    def _precisions(self, cases: Cases) -> Iterator[Found]:
        for a, partition in enumerate(self.plan.single):
            scale_LK2 = self._scale_of(partition)
            yield (
                a,
                AUPRC.name,
                average_precision(
                    *(cases.ranking, partition, a, self.unit_N, self.block),
                    *(scale_LK2, cases.multiplicity_N),
                ),
            )

    def _of_sums(
        self, sum_LKT: Floats, columns: Columns, metrics: Sequence[Metric]
    ) -> Iterator[Found]:
        for a, cells_G in self.plan.joint.group_cells.items():
            sum_GLT = [sum_LKT[:, cells].sum(axis=1) for cells in cells_G]
            sum_LGT = np.stack(sum_GLT, axis=1) if sum_GLT else np.empty((self.block.used, 0, 1))
            for metric in metrics if sum_GLT else ():
                if metric.of is not None:
                    sums = columns.sums_of(sum_LGT, a, metric.point)
                    yield a, metric.name, metric.of(sums)

    def _scaled(self, sum_LKT: Floats) -> Floats:
        """Sums over both classes of a cell, each class times its scale."""
        if not self.plan.scaled:
            return sum_LKT
        lanes, cells, terms = sum_LKT.shape
        sum_LK2T = sum_LKT.reshape(lanes, cells // 2, 2, terms)
        scale_LK2 = self._scale_of(self.plan.joint)
        if scale_LK2 is not None:
            sum_LK2T = sum_LK2T * scale_LK2[..., None]
        summed: Floats = sum_LK2T.sum(axis=2)
        return summed

    def _scale_of(self, partition: Partition) -> Floats | None:
        return None if self.scale_LK2 is None else self.scale_LK2[:, partition.balance_K]

    def _nobody(self) -> Floats:
        return np.empty((self.block.used, 0))
