"""AUC and AUPRC of the groups of an attribute in every permutation, by one scan from the top.

A permutation puts each unit into exactly one group. So an image counts for one group only, the
counts of the last group are what the others leave, and a positive costs one division however many
groups there are. The AUC is made of losses here: each positive loses to the negatives of its group
that come before it, in ties by half.

Array suffixes: U units, L permutations of one block, G groups, n sorted images.
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


def permuted_auc(
    seen: SortedImages, block: Block, groups: int, with_auprc: bool
) -> tuple[Floats, Floats | None]:
    """AUC and AUPRC [L, G], the latter if `with_auprc`; NaN for a group without a class.

    `block` holds the group of each unit in place of its weight.
    """
    small = int(seen.copies_n.sum(dtype=np.int64)) <= SMALL
    count, pairs = (np.uint16, np.uint32) if small else (np.uint32, np.uint64)
    shape = groups, block.weight_UL.shape[1]
    true_GL, false_GL = np.zeros(shape, dtype=count), np.zeros(shape, dtype=count)
    lost_GL, average_GL = np.zeros(shape, dtype=pairs), np.zeros(shape)
    codes_G = np.arange(groups).astype(block.weight_UL.dtype)
    _scan()(
        *(seen.unit_n, seen.positive_n, seen.opens_n, seen.copies_n, block.weight_UL, codes_G),
        *(true_GL, false_GL, lost_GL, average_GL, with_auprc),
    )
    auc_LG, auprc_LG = areas(true_GL, false_GL, lost_GL, average_GL, block.used)
    return auc_LG, auprc_LG if with_auprc else None


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
    code_UL: Counts,
    codes_G: Counts,
    true_GL: Counts,
    false_GL: Counts,
    lost_GL: Counts,
    average_GL: Floats,
    with_auprc: bool,
) -> None:
    """Go from the highest score down; each image counts for the group of its unit alone.

    The sums are those of `group_auc.py` with w = copies for members of the group and 0 for others:
    AUC = 1 - lost / (2 true false), AUPRC = average / true. While the scan goes, true and false of
    the last group are not kept: they are the totals less the other groups'.

    `unit_n`, `positive_n`, `opens_n` (first of its score), `copies_n` uint32: the n sorted images,
    ascending; `code_UL` the group of each unit in each permutation, `codes_G` the groups' numbers
    in the same type. The four arrays [G, L] are zeros when given and are filled: counts uint16 and
    `lost_GL` uint32, or uint32 and uint64; `average_GL` only `with_auprc`.
    """
    lanes, line = code_UL.shape[1], 64 // code_UL.itemsize
    true_L, false_L, share_L = true_GL[0].copy(), false_GL[0].copy(), np.zeros(lanes)
    all_true, all_false = true_L[0], false_L[0]
    stop = len(unit_n)
    while stop > 0:
        start, positives = stop - 1, int(positive_n[stop - 1])
        while not opens_n[start]:
            start -= 1
            positives += int(positive_n[start])
        if start >= AHEAD:
            for column in range(0, lanes, line):
                prefetch(code_UL, unit_n[start - AHEAD], column)
        mixed = 0 < positives < stop - start
        for n in range(start, stop):  # half of the losses: to the negatives of higher scores
            if mixed and positive_n[n]:
                _own(false_L, false_GL, all_false, code_UL, unit_n[n], codes_G)
                _lose(lost_GL, false_L, code_UL, unit_n[n], codes_G, copies_n[n])
        for n in range(start, stop):
            if positive_n[n]:
                all_true += copies_n[n]
                _count(true_GL, code_UL, unit_n[n], codes_G, copies_n[n])
            else:
                all_false += copies_n[n]
                _count(false_GL, code_UL, unit_n[n], codes_G, copies_n[n])
        for n in range(start, stop):  # the other half: to those of its score as well
            if positive_n[n]:
                times = copies_n[n] if mixed else np.uint32(2 * copies_n[n])
                _own(false_L, false_GL, all_false, code_UL, unit_n[n], codes_G)
                _lose(lost_GL, false_L, code_UL, unit_n[n], codes_G, times)
                if with_auprc:
                    _own(true_L, true_GL, all_true, code_UL, unit_n[n], codes_G)
                    for lane in range(lanes):
                        seen = np.uint32(true_L[lane] + false_L[lane])
                        share_L[lane] = float(copies_n[n]) * float(true_L[lane]) / float(seen)
                    _gain(average_GL, share_L, code_UL, unit_n[n], codes_G)
        stop = start
    last = len(true_GL) - 1
    for lane in range(lanes):
        true_GL[last, lane], false_GL[last, lane] = all_true, all_false
        for g in range(last):
            true_GL[last, lane] -= true_GL[g, lane]
            false_GL[last, lane] -= false_GL[g, lane]


# Rows are named by their place: a view of one would cost the counting of its references.


@register_jitable  # type: ignore[untyped-decorator]
def _count(count_GL: Any, code_UL: Any, u: Any, codes_G: Any, copies: Any) -> None:
    """Count an image for its group in every lane; the last group is left out."""
    for g in range(len(count_GL) - 1):
        code = codes_G[g]
        for lane in range(code_UL.shape[1]):
            count_GL[g, lane] += copies if code_UL[u, lane] == code else 0


@register_jitable  # type: ignore[untyped-decorator]
def _own(own_L: Any, count_GL: Any, total: Any, code_UL: Any, u: Any, codes_G: Any) -> None:
    """The count of the group that an image is in, in every lane."""
    last = len(count_GL) - 1
    for lane in range(len(own_L)):
        own_L[lane] = total
    for g in range(last):
        for lane in range(len(own_L)):
            own_L[lane] -= count_GL[g, lane]
    for g in range(last):
        code = codes_G[g]
        for lane in range(len(own_L)):
            counted, other = count_GL[g, lane], own_L[lane]
            own_L[lane] = counted if code_UL[u, lane] == code else other


@register_jitable  # type: ignore[untyped-decorator]
def _lose(lost_GL: Any, false_L: Any, code_UL: Any, u: Any, codes_G: Any, times: Any) -> None:
    for g in range(len(lost_GL)):
        code = codes_G[g]
        for lane in range(len(false_L)):
            lost = np.uint32(false_L[lane]) * times
            lost_GL[g, lane] += lost if code_UL[u, lane] == code else np.uint32(0)


@register_jitable  # type: ignore[untyped-decorator]
def _gain(average_GL: Any, share_L: Any, code_UL: Any, u: Any, codes_G: Any) -> None:
    """The precision at the score of a positive, for its group."""
    for g in range(len(average_GL)):
        code = codes_G[g]
        for lane in range(len(share_L)):
            average_GL[g, lane] += share_L[lane] if code_UL[u, lane] == code else 0.0
