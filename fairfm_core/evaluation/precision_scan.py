"""Area under the precision-recall curve of every group in every weighting, by one scan.

AUPRC is average precision: the sum over distinct scores, from the highest down, of (recall gained)
x (precision so far). It depends on prevalence: between groups of different prevalence it differs
even for a fair model, so compare it under a protocol that makes prevalences equal. Array suffixes:
K cells, L lanes, G groups, n ranked images.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from fairfm_core.evaluation.auc import Floats, Ints
from fairfm_core.evaluation.cases import Cases
from fairfm_core.evaluation.lanes import Block
from fairfm_core.evaluation.machine_code import compiled
from fairfm_core.evaluation.pair_scan import SMALL
from fairfm_core.evaluation.partition import Partition
from fairfm_core.evaluation.prefetching import AHEAD, prefetch


@dataclass(frozen=True, eq=False)
class Descent:
    """What a scan sees on its way: whose weight, which cell, which class, how often."""

    partition: Partition
    group_K: npt.NDArray[np.int32]
    groups: int
    unit_n: npt.NDArray[np.int32]
    code_n: npt.NDArray[np.int32]
    positive_n: npt.NDArray[np.bool_]
    opens_n: npt.NDArray[np.bool_]
    factor_n: npt.NDArray[np.uint32]


def descent(cases: Cases, partition: Partition, attribute: int, unit_N: Ints) -> Descent:
    """The way of a scan for an attribute; `partition` is its own, weights as in `visited`."""
    ranking, cells_G = cases.ranking, partition.group_cells[attribute]
    group_K = np.zeros(partition.cells, dtype=np.int32)
    for g, cells in enumerate(cells_G):
        group_K[cells] = g
    factor_n = np.ones(len(ranking.case_n), dtype=np.uint32)
    if cases.multiplicity_N is not None:
        factor_n = cases.multiplicity_N[ranking.case_n].astype(np.uint32)
    unit_n = unit_N[ranking.case_n].astype(np.int32)
    code_n = partition.code_N[ranking.case_n].astype(np.int32)
    order = ranking.positive_n, ranking.opens_n
    return Descent(partition, group_K, len(cells_G), unit_n, code_n, *order, factor_n)


def average_precision(
    way: Descent, block: Block, total: int, scale_LK2: Floats | None = None
) -> Floats:
    """AUPRC [L, G] of the groups of an attribute; NaN for a group without weight on a class.

    `total` bounds the sum of weights in any lane. With a scale the classes of a cell weigh more or
    less, as in `PairTable.auc_of`.
    """
    average_GL = np.zeros((way.groups, block.weight_UL.shape[1]))
    images = way.unit_n, way.code_n, way.positive_n, way.opens_n
    if scale_LK2 is None:
        count_GL = np.zeros(average_GL.shape, dtype=np.uint16 if total <= SMALL else np.uint32)
        _scan()(*images, way.factor_n, block.weight_UL, way.group_K, count_GL, average_GL)
    else:
        scale_2KL = np.zeros((2, way.partition.cells, block.weight_UL.shape[1]))
        scale_2KL[:, :, : block.used] = scale_LK2.transpose(2, 1, 0)
        _scaled_scan()(*images, block.weight_UL, way.group_K, scale_2KL, average_GL)
    return average_GL[:, : block.used].T


@cache
def _scan() -> Callable[..., Any]:
    return compiled(_scan_loop)


@cache
def _scaled_scan() -> Callable[..., Any]:
    return compiled(_scaled_loop)


def _scan_loop(
    unit_n: Any,
    code_n: Any,
    positive_n: Any,
    opens_n: Any,
    factor_n: Any,
    weight_UL: Any,
    group_K: Any,
    true_GL: Any,
    average_GL: Any,
) -> None:
    """Whole-number weights: counts are exact, and only positives cost a division."""
    groups, lanes = average_GL.shape
    false_GL, gained_GL = np.zeros_like(true_GL), np.zeros_like(true_GL)
    waiting_G = np.zeros(groups, dtype=np.bool_)
    stop, line = len(unit_n), 64 // weight_UL.itemsize
    while stop > 0:
        start = stop - 1
        while not opens_n[start]:
            start -= 1
        if start >= AHEAD:
            for column in range(0, lanes, line):
                prefetch(weight_UL, unit_n[start - AHEAD], column)
        for n in range(start, stop):  # the images with one score
            if code_n[n] < 0:
                continue
            g, unit_L, factor = group_K[code_n[n]], weight_UL[unit_n[n]], factor_n[n]
            if positive_n[n]:
                gained_L = gained_GL[g]
                waiting_G[g] = True
                for lane in range(lanes):
                    gained_L[lane] += unit_L[lane] * factor
            else:
                false_L = false_GL[g]
                if factor == 1:
                    for lane in range(lanes):
                        false_L[lane] += unit_L[lane]
                else:
                    for lane in range(lanes):
                        false_L[lane] += unit_L[lane] * factor
        for g in range(groups):  # one step of the curve
            if waiting_G[g]:
                waiting_G[g] = False
                true_L, false_L = true_GL[g], false_GL[g]
                gained_L, average_L = gained_GL[g], average_GL[g]
                for lane in range(lanes):
                    true_L[lane] += gained_L[lane]
                    true = float(true_L[lane])
                    # 0 / tiny = 0 where nothing weighs anything yet.
                    seen = true + float(false_L[lane]) + 1e-300
                    average_L[lane] += float(gained_L[lane]) * true / seen
                    gained_L[lane] = 0
        stop = start
    for g in range(groups):
        for lane in range(lanes):
            true = float(true_GL[g, lane])
            both = true > 0 and false_GL[g, lane] > 0
            average_GL[g, lane] = average_GL[g, lane] / true if both else np.nan


def _scaled_loop(
    unit_n: Any,
    code_n: Any,
    positive_n: Any,
    opens_n: Any,
    weight_UL: Any,
    group_K: Any,
    scale_2KL: Any,
    average_GL: Any,
) -> None:
    """The same where the classes of a cell are scaled, by another number in every lane."""
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
