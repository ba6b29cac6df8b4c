"""Sums over the members of every group in permutations in which each unit is in one group.

Membership is yes or no, so a few pieces have few possible sums: these are made first, and then each
permutation takes the one that is its own ("four Russians"). That is fewer additions than a matrix
product has.

Array suffixes: U units, L permutations of one block, G groups, P pieces, T sufficient statistics, C
small sets of pieces, S their subsets, V tiles of WIDTH statistics.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from fairfm_core.compiled import compiled
from fairfm_core.evaluation.arrays import Floats, Ints
from fairfm_core.evaluation.kernels.blocks import Block
from fairfm_core.evaluation.kernels.cases import SummedStatistics
from fairfm_core.evaluation.kernels.intrinsics import WIDTH, add_rows, prefetch
from fairfm_core.evaluation.kernels.weighted_sums import Pieces

TOGETHER = 6
"""Pieces in a set: the sums of its subsets and those of a block fit into the nearest cache."""


@dataclass(frozen=True, eq=False)
class MemberSubsets:
    """Which pieces of each set are in a group."""

    place_C6: Ints
    """Places of the pieces; the last set is filled up with any, in no group."""
    subset_GCL: npt.NDArray[np.uint8]
    """Bit k stands for piece k of a set. The last column holds all of them, and the last group is
    left out if there are more."""


def permuted_sums(
    cases: Sequence[SummedStatistics], unit_N: Ints, block: Block, groups: int
) -> dict[SummedStatistics, Floats]:
    """The sum of every statistic over the members of every group, [L, G, T].

    A piece, the images of a patient in one joint cell, lies in one unit of any permuted attribute.
    Statistics are those of recalibrations that step from everybody's fit.
    """
    members: dict[Pieces, MemberSubsets] = {}
    sums: dict[SummedStatistics, Floats] = {}
    for each in cases:
        if each.pieces not in members:
            members[each.pieces] = _members(each.pieces, unit_N, block, groups)
        sums[each] = _sums(each, members[each.pieces], groups)
    return sums


def _members(pieces: Pieces, unit_N: Ints, block: Block, groups: int) -> MemberSubsets:
    unit_P = np.full(len(pieces.unit_P), -1, dtype=np.int64)
    inside_n = np.flatnonzero(pieces.piece_N >= 0)
    unit_P[pieces.piece_N[inside_n]] = unit_N[inside_n]
    inside_P = np.flatnonzero(unit_P >= 0)
    sets = -(-len(inside_P) // TOGETHER)
    place_P = np.zeros(sets * TOGETHER, dtype=np.int64)
    place_P[: len(inside_P)] = inside_P
    member_PL = np.zeros((len(place_P), block.used + 1), dtype=np.bool_)
    subset_GCL = np.zeros((max(1, groups - 1), sets, block.used + 1), dtype=np.uint8)
    for g, subset_CL in enumerate(subset_GCL):
        member_PL[: len(inside_P), :-1] = block.weight_UL[unit_P[inside_P], : block.used] == g
        member_PL[: len(inside_P), -1] = True
        for k in range(TOGETHER):
            subset_CL |= member_PL[k::TOGETHER].view(np.uint8) << np.uint8(k)
    return MemberSubsets(place_P.reshape(sets, TOGETHER), subset_GCL)


def _sums(summed: SummedStatistics, members: MemberSubsets, groups: int) -> Floats:
    """The last group holds what the others leave: sums are exact, so subtracting loses nothing."""
    statistics = summed.columns.everybody.count
    tiles = -(-statistics // WIDTH)
    statistic_PT = summed.statistic_PT
    if statistic_PT.shape[1] < tiles * WIDTH:
        statistic_PT = np.pad(statistic_PT, ((0, 0), (0, tiles * WIDTH - statistic_PT.shape[1])))
    shape = len(members.subset_GCL), tiles, members.subset_GCL.shape[2], WIDTH
    sum_GVLW = np.zeros(shape)
    _adder()(statistic_PT, members.place_C6, members.subset_GCL, sum_GVLW)
    sum_LGT = sum_GVLW.transpose(2, 0, 1, 3).reshape(shape[2], shape[0], -1)[:, :, :statistics]
    others_LGT, all_T = sum_LGT[:-1, : groups - 1], sum_LGT[-1, 0]
    last_LT = all_T - others_LGT.sum(axis=1)
    return np.concatenate([others_LGT, last_LT[:, None]], axis=1)


@cache
def _adder() -> Callable[..., Any]:
    return compiled(_add_subsets)


def _add_subsets(
    statistic_PT: Floats,
    place_C6: Ints,
    subset_GCL: npt.NDArray[np.uint8],
    sum_GVLW: Floats,
) -> None:
    """Sum over the sets c of the sum of the subset that each group and permutation picks from c.

    sum[g, v, l] = sum over c of sum over k in subset_GCL[g, c, l] of statistic_PT[place_C6[c, k]],
    for the columns of tile v. The sums of the 64 subsets of a set are made first, each from a
    smaller one by one addition of `WIDTH` numbers.

    `statistic_PT` [P, V x WIDTH] float64, contiguous; `place_C6` pieces of each set; `subset_GCL`
    bits of the members; `sum_GVLW` [G, V, L, WIDTH] is filled.
    """
    subset_SW = np.zeros((1 << TOGETHER, WIDTH))
    groups, tiles, lanes, _ = sum_GVLW.shape
    sum_LW = np.zeros((lanes, WIDTH))
    for g in range(groups):
        for tile in range(tiles):
            sum_LW[:] = 0.0
            for c in range(len(place_C6)):
                for k in range(TOGETHER):
                    if c + 2 < len(place_C6):
                        prefetch(statistic_PT, place_C6[c + 2, k], tile * WIDTH)
                        prefetch(statistic_PT, place_C6[c + 2, k], tile * WIDTH + WIDTH // 2)
                    first = 1 << k
                    for s in range(first):
                        place = place_C6[c, k], tile * WIDTH
                        add_rows(
                            subset_SW, first + s, subset_SW, s, statistic_PT, place[0], place[1]
                        )
                for lane in range(lanes):
                    add_rows(sum_LW, lane, sum_LW, lane, subset_SW, subset_GCL[g, c, lane], 0)
            sum_GVLW[g, tile] = sum_LW
