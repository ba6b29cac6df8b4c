"""AUC and AUPRC of the groups of several attributes in every weighting, by one scan from the top.

An image is in one group of each attribute, so a positive costs one product and one division for
each attribute. The AUC is made of losses: each positive loses to the negatives of its group that
come before it, in ties by half. Sums of whole numbers are exact: the AUC is, to the last digit,
that of `pairwise_auc.py`, which serves where cells are scaled and where the AUC alone is requested.

Array suffixes: U units, L weightings of one block, A attributes, G groups of all attributes one
after the other, n sorted images.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
from numba.extending import register_jitable

from fairfm_core.compiled import compiled
from fairfm_core.evaluation.arrays import Bools, Counts, Floats, Ints, Places
from fairfm_core.evaluation.kernels.blocks import Block
from fairfm_core.evaluation.kernels.cases import Cases
from fairfm_core.evaluation.kernels.intrinsics import AHEAD, prefetch
from fairfm_core.evaluation.kernels.pairwise_auc import SMALL
from fairfm_core.evaluation.metrics import ratio


@dataclass(frozen=True, eq=False)
class SortedImages:
    """The images of a scan, by ascending score: unit, class, first of its score, copies."""

    case_n: npt.NDArray[np.int32]
    unit_n: npt.NDArray[np.int32]
    positive_n: npt.NDArray[np.bool_]
    opens_n: npt.NDArray[np.bool_]
    copies_n: npt.NDArray[np.uint32]


def sorted_images(cases: Cases, unit_N: Ints) -> SortedImages:
    """The images of a case that belong to a unit and count at least once."""
    copies_N = np.ones(len(unit_N), dtype=np.uint32)
    if cases.multiplicity_N is not None:
        copies_N = cases.multiplicity_N.astype(np.uint32)
    ranking = cases.ranking.among((unit_N >= 0) & (copies_N > 0))
    copies_n = copies_N[ranking.case_n]
    unit_n = unit_N[ranking.case_n].astype(np.int32)
    return SortedImages(ranking.case_n, unit_n, ranking.positive_n, ranking.opens_n, copies_n)


def group_auc(
    seen: SortedImages, group_nA: npt.NDArray[np.int16], groups: int, block: Block, total: int
) -> tuple[Floats, Floats]:
    """AUC and AUPRC [L, G]; NaN for a group without weight on a class.

    `group_nA` is -1 for an image of no group; `total` bounds the sum of weights in any weighting.
    """
    count, pairs = (np.uint16, np.uint32) if total <= SMALL else (np.uint32, np.uint64)
    shape = groups, block.weight_UL.shape[1]
    true_GL, false_GL = np.zeros(shape, dtype=count), np.zeros(shape, dtype=count)
    lost_GL, average_GL = np.zeros(shape, dtype=pairs), np.zeros(shape)
    _scan()(
        *(seen.unit_n, seen.positive_n, seen.opens_n, seen.copies_n, group_nA),
        *(block.weight_UL, true_GL, false_GL, lost_GL, average_GL),
    )
    return areas(true_GL, false_GL, lost_GL, average_GL, block.used)


def areas(
    true_GL: Any, false_GL: Any, lost_GL: Any, average_GL: Floats, used: int
) -> tuple[Floats, Floats]:
    """AUC and AUPRC [L, G] from the counts of a scan; NaN for a group without a class."""
    counts = true_GL, false_GL, lost_GL
    true_GL, false_GL, lost_GL = (each[:, :used].astype(np.float64) for each in counts)
    pairs_GL = 2 * true_GL * false_GL
    auc_GL = ratio(pairs_GL - lost_GL, pairs_GL)
    return auc_GL.T, ratio(average_GL[:, :used], np.where(false_GL > 0, true_GL, 0.0)).T


@cache
def _scan() -> Callable[..., Any]:
    return compiled(_scan_loop)


def _scan_loop(
    unit_n: Places,
    positive_n: Bools,
    opens_n: Bools,
    copies_n: Counts,
    group_nA: npt.NDArray[np.int16],
    weight_UL: Counts,
    true_GL: Counts,
    false_GL: Counts,
    lost_GL: Counts,
    average_GL: Floats,
) -> None:
    """Go from the highest score down and count what each group's AUC and AUPRC are made of.

    For each group g and weighting l, with w = `weight_UL[unit, l]` times copies:
    true = sum of w over positives, false = sum of w over negatives,
    lost = sum over positives of w x (false above the positive's score + false including its score),
    average = sum over positives of w x true / (true + false), both including its score.
    So AUC = 1 - lost / (2 true false) and AUPRC = average / true.

    `unit_n`, `positive_n`, `opens_n` (first of its score), `copies_n` uint32: the n sorted images,
    ascending; `group_nA`: -1 for no group; `weight_UL` uint8 or uint16. The last four are zeros
    when given and are filled: counts uint16 and `lost_GL` uint32, or uint32 and uint64.
    """
    lanes, line = weight_UL.shape[1], 64 // weight_UL.itemsize
    stop = len(unit_n)
    while stop > 0:
        start, positives = stop - 1, int(positive_n[stop - 1])
        while not opens_n[start]:
            start -= 1
            positives += int(positive_n[start])
        if start >= AHEAD:
            for column in range(0, lanes, line):
                prefetch(weight_UL, unit_n[start - AHEAD], column)
        mixed = 0 < positives < stop - start
        for n in range(start, stop):  # half of the losses: to the negatives of higher scores
            if mixed and positive_n[n]:
                for a in range(group_nA.shape[1]):
                    g = group_nA[n, a]
                    if g >= 0:
                        _lose(lost_GL, false_GL, g, weight_UL, unit_n[n], copies_n[n])
        for n in range(start, stop):
            for a in range(group_nA.shape[1]):
                g = group_nA[n, a]
                if g >= 0 and positive_n[n]:
                    _count(true_GL, g, weight_UL, unit_n[n], copies_n[n])
                elif g >= 0:
                    _count(false_GL, g, weight_UL, unit_n[n], copies_n[n])
        for n in range(start, stop):  # the other half: to those of its score as well
            if positive_n[n]:
                times = copies_n[n] if mixed else np.uint32(2 * copies_n[n])
                for a in range(group_nA.shape[1]):
                    g = group_nA[n, a]
                    if g >= 0:
                        _lose(lost_GL, false_GL, g, weight_UL, unit_n[n], times)
                        _gain(average_GL, true_GL, false_GL, g, weight_UL, unit_n[n], copies_n[n])
        stop = start


# Rows are named by their place: a view of one would cost the counting of its references.


@register_jitable  # type: ignore[untyped-decorator]
def _count(count_GL: Any, g: Any, weight_UL: Any, u: Any, copies: Any) -> None:
    if copies == 1:
        for lane in range(weight_UL.shape[1]):
            count_GL[g, lane] += weight_UL[u, lane]
    else:
        for lane in range(weight_UL.shape[1]):
            count_GL[g, lane] += weight_UL[u, lane] * copies


@register_jitable  # type: ignore[untyped-decorator]
def _lose(lost_GL: Any, false_GL: Any, g: Any, weight_UL: Any, u: Any, times: Any) -> None:
    for lane in range(weight_UL.shape[1]):
        lost_GL[g, lane] += np.uint32(weight_UL[u, lane]) * times * np.uint32(false_GL[g, lane])


@register_jitable  # type: ignore[untyped-decorator]
def _gain(
    average_GL: Any, true_GL: Any, false_GL: Any, g: Any, weight_UL: Any, u: Any, copies: Any
) -> None:
    """Weight times precision at the score of a positive."""
    for lane in range(weight_UL.shape[1]):
        true = np.uint32(true_GL[g, lane])
        # 0 / 1 = 0 where nothing has a weight yet.
        seen = max(np.uint32(true + false_GL[g, lane]), np.uint32(1))
        weight = np.uint32(weight_UL[u, lane] * copies)
        average_GL[g, lane] += float(weight) * float(true) / float(seen)
