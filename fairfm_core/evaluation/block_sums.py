"""Sums over cells, block by block: by matrix product, or as what other groups leave.

Array suffixes: L lanes, K cells, P pieces, T terms.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from fairfm_core.evaluation.auc import Floats
from fairfm_core.evaluation.cases import Cases, Summed
from fairfm_core.evaluation.lanes import Block
from fairfm_core.evaluation.sums import Pieces, cell_sums


class BlockSums:
    """Sums of cases in a block; weights are gathered once for the cases that share pieces."""

    def __init__(self) -> None:
        self._block: Block | None = None
        self._weights: dict[Pieces, Floats] = {}

    def of(self, cases: Cases, summed: Summed, block: Block) -> Floats:
        """The weighted sum of every term over every cell, [L, K, T]."""
        if block is not self._block:
            self._block, self._weights = block, {}
        if summed.pieces not in self._weights:
            self._weights[summed.pieces] = summed.pieces.weights(block)
        return cell_sums(summed.pieces, self._weights[summed.pieces], summed.term_PT)


class GroupSums(BlockSums):
    """Sums over permuted groups, one group after the other.

    Every unit is in one group, so the last group holds what the others leave: sums are exact, so
    nothing is lost by subtracting, and the largest share of the work falls away.
    """

    def __init__(self, groups: int) -> None:
        super().__init__()
        self._group, self._last = 0, groups - 1
        self._seen: list[Floats] = []
        self._next = 0

    def begin(self, group: int) -> None:
        """Go on with the next group; blocks and cases come again in the same order."""
        self._group, self._next = group, 0

    def of(self, cases: Cases, summed: Summed, block: Block) -> Floats:
        """The weighted sum of every term over every cell, [L, K, T]."""
        place, self._next = self._next, self._next + 1
        if 0 < self._group == self._last:
            return _all(summed)[None] - self._seen[place]
        sum_LKT = super().of(cases, summed, block)
        if place == len(self._seen):
            self._seen.append(sum_LKT)
        else:
            self._seen[place] = self._seen[place] + sum_LKT
        return sum_LKT


def _all(summed: Summed) -> Floats:
    """The sum over all pieces of a cell, [K, T]."""
    parts = pairwise(summed.pieces.bounds_K)
    return np.array([summed.term_PT[start:stop].sum(axis=0) for start, stop in parts])
