"""AUC of every group in every weighting, by one scan over the sorted images.

AUC = P(score of a positive > score of a negative) + 1/2 P(equal). In ascending order each positive
counts the weight of the negatives below it, for each pair of cells and for a whole block of
weightings at once. Weights are whole numbers and so are all sums: the result is that of the
literally repeated images, exact until the one division at the end, in any order and on any number
of threads.

Array suffixes: K cells, W cells that a cell is compared with, C cells of one group, L weightings of
one block, G groups, V (v inside the partition) visits; see `ranking.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from fairfm_core.compiled import compiled
from fairfm_core.evaluation.arrays import Counts, Floats, Ints, Places
from fairfm_core.evaluation.kernels.blocks import Block
from fairfm_core.evaluation.kernels.cases import Cases
from fairfm_core.evaluation.kernels.intrinsics import AHEAD, prefetch
from fairfm_core.evaluation.kernels.partition import Partition
from fairfm_core.evaluation.kernels.ranking import Ranking

SMALL = 65_535
"""Up to this total weight counts fit into 16 bits and twice the number of pairs into 32."""


@dataclass(frozen=True, eq=False)
class PairwiseWins:
    """Twice the wins of the positives of a cell over the negatives of another, and both weights."""

    first_K: Ints
    wins_KWL: Floats
    """Over the cells from `first_K` on, as many as any cell is compared with."""
    positive_KL: Floats
    negative_KL: Floats

    def auc_of(self, cells: Ints, scale_LK2: Floats | None) -> Floats:
        """AUC [L] of a union of cells; NaN where a class has no weight.

        With a scale the weights of the negatives and positives of cell k are multiplied by
        `scale_LK2[:, k]`.
        """
        wins_CCL = self.wins_KWL[cells[:, None], cells - self.first_K[cells][:, None]]
        positive_CL, negative_CL = self.positive_KL[cells], self.negative_KL[cells]
        if scale_LK2 is not None:
            losing_CL, winning_CL = (scale_LK2[:, cells, y].T for y in (0, 1))
            wins_CCL = wins_CCL * winning_CL[:, None] * losing_CL
            positive_CL, negative_CL = positive_CL * winning_CL, negative_CL * losing_CL
        pairs_L = 2.0 * positive_CL.sum(axis=0) * negative_CL.sum(axis=0)
        wins_L = wins_CCL.sum(axis=(0, 1))
        return np.divide(wins_L, pairs_L, out=np.full(len(wins_L), np.nan), where=pairs_L > 0)


@dataclass(frozen=True, eq=False)
class CellVisits:
    """What a scan sees at each visit: whose weight, which cell, how many counts, how often."""

    ranking: Ranking
    partition: Partition
    unit_v: npt.NDArray[np.int32]
    code_v: npt.NDArray[np.int32]
    counts_v: npt.NDArray[np.uint8]
    factor_v: npt.NDArray[np.uint32]


def cell_visits(cases: Cases, partition: Partition, unit_N: Ints) -> CellVisits:
    """The visits of a scan; image n has the weight of its unit times its multiplicity.

    Images outside the partition are left out.
    """
    visits = cases.ranking.visits
    code_V = partition.code_N[visits.case_V]
    inside_v = np.flatnonzero(code_V >= 0)
    case_v, counts_v = visits.case_V[inside_v], visits.counts_V[inside_v]
    factor_v = np.maximum(counts_v, 1).astype(np.uint32)
    if cases.multiplicity_N is not None:
        factor_v *= cases.multiplicity_N[case_v].astype(np.uint32)
    unit_v, code_v = unit_N[case_v].astype(np.int32), code_V[inside_v].astype(np.int32)
    return CellVisits(cases.ranking, partition, unit_v, code_v, counts_v, factor_v)


def pairwise_wins(seen: CellVisits, block: Block, total: int) -> PairwiseWins:
    """The wins between cells in every weighting of a block.

    `total` bounds the sum of weights in any weighting.
    """
    partition = seen.partition
    kind, count = (np.uint32, np.uint16) if total <= SMALL else (np.uint64, np.uint64)
    lanes, cells = block.weight_UL.shape[1], partition.cells
    width = int((partition.stop_K - partition.first_K).max(initial=0))
    wins_KWL = np.zeros((cells, width, lanes), dtype=kind)
    twice_KL = np.zeros((cells, lanes), dtype=kind)
    below_KL = np.zeros((cells, lanes), dtype=count)
    _scan()(
        *(seen.unit_v, seen.code_v, seen.counts_v, seen.factor_v),
        *(block.weight_UL, partition.first_K, partition.stop_K, wins_KWL, twice_KL, below_KL),
    )
    used = block.used
    wins, twice, below = wins_KWL[:, :, :used], twice_KL[:, :used], below_KL[:, :used]
    return _table(seen.ranking, partition, wins, twice, below)


def _table(
    ranking: Ranking,
    partition: Partition,
    wins_KWL: npt.NDArray[Any],
    twice_KL: npt.NDArray[Any],
    below_KL: npt.NDArray[Any],
) -> PairwiseWins:
    """The table of the scan; if it swapped the classes, swapped back."""
    first_K, cell_K = partition.first_K, np.arange(partition.cells)
    wins = wins_KWL.astype(np.float64)
    counted, below = twice_KL.astype(np.float64) / 2, below_KL.astype(np.float64)
    if not ranking.turned:
        return PairwiseWins(first_K, wins, counted, below)
    # Cell k is compared with the cells of its own range alone, so the other way round too.
    other_KW = np.minimum(first_K[:, None] + np.arange(wins.shape[1]), partition.cells - 1)
    lost = 2.0 * below[:, None] * counted[other_KW]
    back = wins[other_KW, (cell_K - first_K)[:, None]]
    return PairwiseWins(first_K, lost - back, below, counted)


@cache
def _scan() -> Callable[..., Any]:
    return compiled(_scan_loop)


def _scan_loop(
    unit_v: Places,
    code_v: Places,
    counts_v: Counts,
    factor_v: Counts,
    weight_UL: Counts,
    first_K: Ints,
    stop_K: Ints,
    wins_KWL: Counts,
    twice_KL: Counts,
    below_KL: Counts,
) -> None:
    """Go from the lowest score up and count the wins between cells.

    For each cell k, cell e = `first_K[k]` + w before `stop_K[k]` and weighting l:
    below[k] = weight of the negatives of k; twice[k] = 2 x weight of its positives;
    wins[k, w] = sum over the visits of positives of k of weight x below[e] at that moment. A
    positive counts twice (`factor_v`), or once before and once after the negatives of its score, so
    that wins = 2 x (wins + ties / 2).

    `unit_v`, `code_v` (cell), `counts_v` uint8 (0 for a negative), `factor_v` uint32 (times that
    the visit counts): the v visits; `weight_UL` uint8 or uint16. The last three are zeros when
    given and are filled: uint32 with `below_KL` uint16, or all uint64.
    """
    lanes = weight_UL.shape[1]
    weight_L = np.empty(lanes, dtype=twice_KL.dtype)
    line = 64 // weight_UL.itemsize
    for v in range(len(unit_v)):
        if v + AHEAD < len(unit_v):
            for column in range(0, lanes, line):
                prefetch(weight_UL, unit_v[v + AHEAD], column)
        k, factor = code_v[v], factor_v[v]
        unit_L = weight_UL[unit_v[v]]
        if counts_v[v] == 0:
            below_L = below_KL[k]
            if factor == 1:
                for lane in range(lanes):
                    below_L[lane] += unit_L[lane]
            else:
                for lane in range(lanes):
                    below_L[lane] += unit_L[lane] * factor
        else:
            twice_L = twice_KL[k]
            for lane in range(lanes):
                weight_L[lane] = unit_L[lane] * factor
                twice_L[lane] += weight_L[lane]
            for e in range(first_K[k], stop_K[k]):
                wins_L, below_L = wins_KWL[k, e - first_K[k]], below_KL[e]
                for lane in range(lanes):
                    wins_L[lane] += weight_L[lane] * below_L[lane]
