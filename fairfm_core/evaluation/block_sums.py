"""Sums over cells in blocks of weightings: by matrix product, or as what other blocks leave.

Array suffixes: L lanes, K cells, P pieces, T terms.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from fairfm_core.evaluation.auc import Floats
from fairfm_core.evaluation.cases import Cases, Summed
from fairfm_core.evaluation.lanes import Block
from fairfm_core.evaluation.sums import Pieces, cell_sums


def block_sums(
    cases: Sequence[Cases], blocks: Sequence[Block], exhaustive: bool
) -> list[dict[Summed, Floats]]:
    """The weighted sum of every term over every cell, [L, K, T], of each case in each block.

    Where each unit weighs 1 in exactly one of the blocks (`exhaustive`: permuted groups), the last
    one holds what the others leave: sums are exact, so nothing is lost by subtracting.
    """
    sharing: dict[Pieces, list[Summed]] = {}
    for each in cases:
        if each.summed is not None:
            sharing.setdefault(each.summed.pieces, []).append(each.summed)
    left = 1 if exhaustive and len(blocks) > 1 else 0
    found: list[dict[Summed, Floats]] = [{} for _ in blocks]
    for pieces, together in sharing.items():
        for block, sums in zip(blocks[: len(blocks) - left], found, strict=False):
            summed = cell_sums(pieces, block, [each.term_PT for each in together])
            sums |= dict(zip(together, summed, strict=True))
    if left:
        *others, last = found
        last |= {each: _everything(each) - sum(sums[each] for sums in others) for each in found[0]}
    return found


def _everything(summed: Summed) -> Floats:
    """The sum over all pieces of a cell, [1, K, T]."""
    parts = pairwise(summed.pieces.bounds_K)
    return np.array([[summed.term_PT[start:stop].sum(axis=0) for start, stop in parts]])
