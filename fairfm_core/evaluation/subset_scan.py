"""AUCs of every group for all subsets of a pool of models: a walk over the subsets as a tree.

A child adds one member to its parent's sum, always a later one, so that a subset's sum is added up
in one order, whoever visits it when. Sorting packed keys of score and cell leaves nothing to look
up: one ascending pass then counts the wins of each group of every attribute. Counts are whole
numbers, so no thread or order changes a result.

Array suffixes: E members, P pathologies, n labelled images of one pathology, A attributes, K cells,
S slots (see `subset_cases.py`), D depths of the tree, M subsets by their bits: member e is in
subset m if bit e of m is set.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from fairfm_core.evaluation.auc import Floats, Ints
from fairfm_core.evaluation.ensemble import Combination
from fairfm_core.evaluation.machine_code import compiled
from fairfm_core.evaluation.subset_cases import Labelled

FORKED = 3
"""Each choice of the first members is a piece of work of its own: eight for each pathology."""


def subset_aucs(
    pathologies: Sequence[Labelled], combination: Combination, most: int, threads: int
) -> Floats:
    """AUC (0..1) of every group for every subset of at most `most` members, [M, P, S].

    NaN for subset 0, which has no member, for larger subsets and for groups that lack a class.
    """
    members = len(pathologies[0].score_En)
    slots = pathologies[0].slots.count
    auc_MPS = np.full((1 << members, len(pathologies), slots), np.nan)
    scan, forked = _scan(), min(FORKED, members)

    def work(piece: tuple[int, int]) -> None:
        p, bits = piece
        _walk(pathologies[p], combination, most, auc_MPS[:, p], scan).fork(bits, forked)

    pieces = [(p, bits) for p in range(len(pathologies)) for bits in range(1 << forked)]
    with ThreadPoolExecutor(threads) as executor:
        list(executor.map(work, pieces))
    return auc_MPS


@dataclass(frozen=True, eq=False)
class _Walk:
    """The subsets of one pathology that begin with a given choice of the first members."""

    cases: Labelled
    combination: Combination
    most: int
    auc_MS: Floats
    scan: Callable[..., Any]
    sum_Dn: Floats
    """Sums of the terms of the members on the way down, by their number."""
    key_n: Ints

    def fork(self, bits: int, forked: int) -> None:
        """The subset of the first members that `bits` names, then those that add later ones."""
        chosen = [e for e in range(forked) if bits >> e & 1]
        if len(chosen) > self.most:
            return
        for count, e in enumerate(chosen):
            self._add(e, count)
        if chosen:
            self._count_wins(bits, len(chosen))
        self._descend(bits, len(chosen), forked)

    def _descend(self, bits: int, count: int, first: int) -> None:
        if count == self.most:
            return
        for e in range(first, len(self.cases.term_En)):
            child = bits | 1 << e
            self._add(e, count)
            self._count_wins(child, count + 1)
            self._descend(child, count + 1, e + 1)

    def _add(self, e: int, count: int) -> None:
        np.add(self.sum_Dn[count], self.cases.term_En[e], out=self.sum_Dn[count + 1])

    def _count_wins(self, bits: int, count: int) -> None:
        if count == 1:  # a member alone keeps its scores as they are
            score_n = self.cases.score_En[bits.bit_length() - 1]
        else:
            score_n = self.combination.scores(self.sum_Dn[count], count)
        # Probabilities are not negative, so they are in the order of their bits.
        np.left_shift(score_n.view(np.int32), 32, out=self.key_n, dtype=np.int64)
        np.bitwise_or(self.key_n, self.cases.code_n, out=self.key_n)
        self.key_n.sort()
        slots = self.cases.slots
        win_S, below_S = np.zeros((2, slots.count + 1), dtype=np.int64)
        self.scan(self.key_n, slots.slot_KA, win_S, below_S)
        pairs_S = 2 * self.cases.negative_S * self.cases.positive_S
        np.divide(win_S[:-1], pairs_S, out=self.auc_MS[bits], where=pairs_S > 0)


def _walk(
    cases: Labelled, combination: Combination, most: int, auc_MS: Floats, scan: Callable[..., Any]
) -> _Walk:
    members, images = cases.term_En.shape
    sum_Dn, key_n = np.zeros((members + 1, images)), np.empty(images, dtype=np.int64)
    return _Walk(cases, combination, most, auc_MS, scan, sum_Dn, key_n)


@cache
def _scan() -> Callable[..., Any]:
    return compiled(_scan_loop)


def _scan_loop(key_n: Any, slot_KA: Any, win_S: Any, below_S: Any) -> None:
    """Add up twice the wins of each slot's positives over its negatives; a tie is half a win."""
    attributes = slot_KA.shape[1]
    start = 0
    while start < len(key_n):
        stop = start + 1
        while stop < len(key_n) and key_n[stop] >> 32 == key_n[start] >> 32:
            stop += 1
        # A positive counts the negatives seen before the block of its score, and again after it.
        for i in range(start, stop):
            if key_n[i] & 1:
                for a in range(attributes):
                    slot = slot_KA[(key_n[i] & 0xFFFFFFFF) >> 1, a]
                    win_S[slot] += below_S[slot]
        for i in range(start, stop):
            if not key_n[i] & 1:
                for a in range(attributes):
                    below_S[slot_KA[(key_n[i] & 0xFFFFFFFF) >> 1, a]] += 1
        for i in range(start, stop):
            if key_n[i] & 1:
                for a in range(attributes):
                    slot = slot_KA[(key_n[i] & 0xFFFFFFFF) >> 1, a]
                    win_S[slot] += below_S[slot]
        start = stop
