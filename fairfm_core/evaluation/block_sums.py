"""Sums over cells, block by block: by matrix product, or as what other groups leave.

Array suffixes: L lanes, K cells, P pieces, T terms.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from fairfm_core.evaluation.auc import Floats
from fairfm_core.evaluation.cases import Cases, Summed
from fairfm_core.evaluation.lanes import Block
from fairfm_core.evaluation.sums import Pieces, cell_sums


@dataclass(frozen=True, eq=False)
class _Stack:
    """Terms of all cases that share pieces, side by side: one product is faster than many."""

    pieces: Pieces
    term_PT: Floats
    place: dict[Summed, slice]


class BlockSums:
    """Sums of some cases in one block after another."""

    def __init__(self, cases: Sequence[Cases]) -> None:
        self._stacks = _stacks([each.summed for each in cases if each.summed is not None])
        self._sums: dict[Summed, Floats] = {}

    def begin(self, block: Block) -> None:
        """Sum every term of every case over every cell in each lane of a block."""
        self._sums = {}
        for number, stack in enumerate(self._stacks):
            sum_LKT = self._summed(number, stack, block)
            self._sums |= {summed: sum_LKT[:, :, at] for summed, at in stack.place.items()}

    def of(self, summed: Summed) -> Floats:
        """The sums of one case in the block, [L, K, T]."""
        return self._sums[summed]

    def _summed(self, number: int, stack: _Stack, block: Block) -> Floats:
        return cell_sums(stack.pieces, stack.pieces.weights(block), stack.term_PT)


class GroupSums(BlockSums):
    """Sums over permuted groups, one group after the other, each in the same blocks.

    Every unit is in one group, so the last group holds what the others leave: sums are exact, so
    nothing is lost by subtracting, and the largest share of the work falls away.
    """

    def __init__(self, cases: Sequence[Cases], groups: int) -> None:
        super().__init__(cases)
        self._group, self._last, self._block = 0, groups - 1, -1
        self._seen: dict[tuple[int, int], Floats] = {}

    def begin_group(self, group: int) -> None:
        """Go on with the next group."""
        self._group, self._block = group, -1

    def begin(self, block: Block) -> None:
        """Sum as in `BlockSums`; blocks come again in the same order for each group."""
        self._block += 1
        super().begin(block)

    def _summed(self, number: int, stack: _Stack, block: Block) -> Floats:
        key = self._block, number
        if 0 < self._group == self._last:
            return _all(stack)[None] - self._seen[key]
        sum_LKT = super()._summed(number, stack, block)
        self._seen[key] = self._seen[key] + sum_LKT if key in self._seen else sum_LKT
        return sum_LKT


def _stacks(found: Sequence[Summed]) -> list[_Stack]:
    sharing: dict[Pieces, list[Summed]] = {}
    for summed in found:
        sharing.setdefault(summed.pieces, []).append(summed)
    return [_stack(pieces, together) for pieces, together in sharing.items()]


def _stack(pieces: Pieces, together: Sequence[Summed]) -> _Stack:
    ends = np.cumsum([0, *(summed.term_PT.shape[1] for summed in together)])
    place = {each: slice(a, b) for each, (a, b) in zip(together, pairwise(ends), strict=True)}
    return _Stack(pieces, np.concatenate([each.term_PT for each in together], axis=1), place)


def _all(stack: _Stack) -> Floats:
    """The sum over all pieces of a cell, [K, T]."""
    parts = pairwise(stack.pieces.bounds_K)
    return np.array([stack.term_PT[start:stop].sum(axis=0) for start, stop in parts])
