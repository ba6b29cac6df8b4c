"""AUCs of every group for all subsets of a pool of models: a walk over the subsets as a tree.

A child adds one member to its parent's sum, always a later one, so that a subset's sum is added up
in one order, whoever visits it when. Sorting packed keys of score and cell leaves nothing to look
up: one ascending pass then counts the wins of each group of every attribute. Counts are whole
numbers, so no thread or order changes a result.

Array suffixes: E members, P pathologies, n labelled images of one pathology, A attributes, K cells,
S slots (see `subset_auc.py`), D depths of the tree, M subsets by their bits: member e is in
subset m if bit e of m is set.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from fairfm_core.compiled import compiled
from fairfm_core.evaluation.arrays import Floats, Ints
from fairfm_core.evaluation.ensembles.ensemble import Combination
from fairfm_core.evaluation.groups import Groups


@dataclass(frozen=True, eq=False)
class Slots:
    """The cell of each image, and the slot of each attribute that a cell counts in."""

    cell_N: Ints
    slot_KA: Ints
    """`count` for a cell without a group of the attribute: one slot more that nobody reads."""
    count: int


@dataclass(frozen=True, eq=False)
class Labelled:
    """The labelled images of one pathology with what the members say of them."""

    slots: Slots
    code_n: Ints
    """Twice the image's cell, plus 1 for a positive."""
    negative_S: Ints
    positive_S: Ints
    score_En: npt.NDArray[np.float32]
    term_En: Floats
    """What is averaged of the scores."""


def slots_of(attributes: Sequence[Groups]) -> Slots:
    """The slots of the groups of some attributes of the same images."""
    sizes = [len(groups.names) for groups in attributes]
    first_A = np.cumsum([0, *sizes[:-1]])
    columns = [
        np.where(groups.code_N < 0, sum(sizes), first + groups.code_N)
        for first, groups in zip(first_A, attributes, strict=True)
    ]
    slot_KA, cell_N = np.unique(np.stack(columns, axis=1), axis=0, return_inverse=True)
    return Slots(cell_N.reshape(-1), np.ascontiguousarray(slot_KA), sum(sizes))


def labelled(
    slots: Slots,
    label_N: npt.NDArray[np.float32],
    score_EN: npt.NDArray[np.float32],
    combination: Combination,
) -> Labelled:
    """The images with a label (it is not NaN), and how many of each class every slot has."""
    case_n = np.flatnonzero(~np.isnan(label_N))
    positive_n = label_N[case_n] == 1
    cell_n = slots.cell_N[case_n]
    score_En = np.ascontiguousarray(score_EN[:, case_n])
    return Labelled(
        slots,
        2 * cell_n + positive_n,
        _counts(slots, cell_n[~positive_n]),
        _counts(slots, cell_n[positive_n]),
        score_En,
        np.array([combination.term(score_n) for score_n in score_En]),
    )


def _counts(slots: Slots, cell_n: Ints) -> Ints:
    count_K = np.bincount(cell_n, minlength=len(slots.slot_KA))
    count_S = np.zeros(slots.count + 1, dtype=np.int64)
    for slot_K in slots.slot_KA.T:
        np.add.at(count_S, slot_K, count_K)
    return count_S[:-1]


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
