"""Area under the precision-recall curve where a protocol scales cells and classes, by one scan.

AUPRC is average precision: the sum over distinct scores, from the highest down, of (recall gained)
x (precision so far). It depends on prevalence: between groups of different prevalence it differs
even for a fair model, so compare it under a protocol that makes prevalences equal. Where nothing
is scaled it is computed with the AUC: `group_auc.py`.

Array suffixes: K cells, L weightings of one block, G groups, n sorted images.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from fairfm_core.compiled import compiled
from fairfm_core.evaluation.arrays import Bools, Counts, Floats, Ints, Places
from fairfm_core.evaluation.kernels.blocks import Block
from fairfm_core.evaluation.kernels.cases import Cases
from fairfm_core.evaluation.kernels.partition import Partition


@dataclass(frozen=True, eq=False)
class SortedCells:
    """The images that a scan visits, by ascending score: unit, cell, class, first of its score."""

    partition: Partition
    group_K: npt.NDArray[np.int32]
    groups: int
    unit_n: npt.NDArray[np.int32]
    code_n: npt.NDArray[np.int32]
    positive_n: npt.NDArray[np.bool_]
    opens_n: npt.NDArray[np.bool_]


def sorted_cells(cases: Cases, partition: Partition, attribute: int, unit_N: Ints) -> SortedCells:
    """The images of a case for a scan of one attribute; `partition` is that of the attribute."""
    ranking, cells_G = cases.ranking, partition.group_cells[attribute]
    group_K = np.zeros(partition.cells, dtype=np.int32)
    for g, cells in enumerate(cells_G):
        group_K[cells] = g
    unit_n = unit_N[ranking.case_n].astype(np.int32)
    code_n = partition.code_N[ranking.case_n].astype(np.int32)
    order = ranking.positive_n, ranking.opens_n
    return SortedCells(partition, group_K, len(cells_G), unit_n, code_n, *order)


def weighted_auprc(images: SortedCells, block: Block, scale_LK2: Floats) -> Floats:
    """AUPRC [L, G] of the groups of an attribute; NaN for a group without weight on a class.

    The classes of a cell weigh more or less, as in `PairTable.auc_of`.
    """
    average_GL = np.zeros((images.groups, block.weight_UL.shape[1]))
    scale_2KL = np.zeros((2, images.partition.cells, block.weight_UL.shape[1]))
    scale_2KL[:, :, : block.used] = scale_LK2.transpose(2, 1, 0)
    visited = images.unit_n, images.code_n, images.positive_n, images.opens_n
    _scan()(*visited, block.weight_UL, images.group_K, scale_2KL, average_GL)
    return average_GL[:, : block.used].T


@cache
def _scan() -> Callable[..., Any]:
    return compiled(_scan_loop)


def _scan_loop(
    unit_n: Places,
    code_n: Places,
    positive_n: Bools,
    opens_n: Bools,
    weight_UL: Counts,
    group_K: Places,
    scale_2KL: Floats,
    average_GL: Floats,
) -> None:
    """Go from the highest score down and add up average precision, [G, L].

    AUPRC = sum over distinct scores of (weight of the positives with that score) x (true / all),
    divided by the weight of all positives; true and all are the weights of the positives and of all
    images with that score or a higher one. An image has the weight of its unit times the scale of
    its class and cell, `scale_2KL` (negatives first).

    `unit_n`, `code_n` (cell, -1 outside), `positive_n`, `opens_n` (first of its score): the n
    images, ascending; `group_K` the group of a cell. `average_GL` is zeros when given; NaN is
    written for a group without weight on a class.
    """
    groups, lanes = average_GL.shape
    true_GL, gained_GL = np.zeros((groups, lanes)), np.zeros((groups, lanes))
    all_GL = np.full((groups, lanes), 1e-300)
    waiting_G = np.zeros(groups, dtype=np.bool_)
    for n in range(len(unit_n) - 1, -1, -1):
        k = code_n[n]
        if k >= 0:
            g, unit_L = group_K[k], weight_UL[unit_n[n]]
            scale_L = scale_2KL[1 if positive_n[n] else 0, k]
            all_L, gained_L = all_GL[g], gained_GL[g]
            if positive_n[n]:
                waiting_G[g] = True
                for lane in range(lanes):
                    weight = unit_L[lane] * scale_L[lane]
                    all_L[lane] += weight
                    gained_L[lane] += weight
            else:
                for lane in range(lanes):
                    all_L[lane] += unit_L[lane] * scale_L[lane]
        if opens_n[n]:
            for g in range(groups):
                if waiting_G[g]:
                    waiting_G[g] = False
                    true_L, all_L = true_GL[g], all_GL[g]
                    gained_L, average_L = gained_GL[g], average_GL[g]
                    for lane in range(lanes):
                        true_L[lane] += gained_L[lane]
                        average_L[lane] += gained_L[lane] * true_L[lane] / all_L[lane]
                        gained_L[lane] = 0.0
    for g in range(groups):
        for lane in range(lanes):
            true = true_GL[g, lane]
            both = true > 0 and all_GL[g, lane] > true * (1 + 1e-12)
            average_GL[g, lane] = average_GL[g, lane] / true if both else np.nan
