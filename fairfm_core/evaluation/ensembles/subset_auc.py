"""AUCs of every group for all subsets of a pool of models, by a walk over the tree of subsets.

A child adds one member to its parent, always a later one, so each subset's terms are added in one
order, whichever thread visits it. Each score is packed with the image's class and cell into one
64-bit key, so that a sorted key needs no look-up by image: one ascending pass then counts the wins
of each group of every attribute. Counts are whole numbers, so results do not depend on the number
of threads.

A slot is one group of one attribute; slots are numbered over the attributes in their order. A cell
is a combination of groups, one of each attribute.

Array suffixes: E members, P pathologies, N images, n labelled images of one pathology, A
attributes, K cells, S slots, D number of members added on the way down the tree, M subsets by their
bits: member e is in subset m if bit e of m is set.
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

FORKED = 3
"""Every choice among the first 3 members is a task of its own: eight for each pathology."""


@dataclass(frozen=True, eq=False)
class Slots:
    """The cell of each image, and the slots that each cell counts in."""

    cell_N: Ints
    slot_KA: Ints
    """The slot of a cell by attribute; `count`, a slot that is never read, for a cell without a
    group of the attribute."""
    count: int


@dataclass(frozen=True, eq=False)
class LabelledImages:
    """The labelled images of one pathology, with every member's scores of them."""

    slots: Slots
    code_n: Ints
    """Twice the image's cell, plus 1 for a positive."""
    negative_S: Ints
    """Number of negatives in each slot."""
    positive_S: Ints
    """Number of positives in each slot."""
    score_En: npt.NDArray[np.float32]
    term_En: Floats
    """The term of each score that a combination averages."""


def slots_of(attributes: Sequence[Groups]) -> Slots:
    """The slots of the groups of some attributes, all of the same images [N]."""
    sizes = [len(groups.names) for groups in attributes]
    first_A = np.cumsum([0, *sizes[:-1]])
    columns = [
        np.where(groups.code_N < 0, sum(sizes), first + groups.code_N)
        for first, groups in zip(first_A, attributes, strict=True)
    ]
    slot_KA, cell_N = np.unique(np.stack(columns, axis=1), axis=0, return_inverse=True)
    return Slots(cell_N.reshape(-1), np.ascontiguousarray(slot_KA), sum(sizes))


def labelled_images(
    slots: Slots,
    label_N: npt.NDArray[np.float32],
    score_EN: npt.NDArray[np.float32],
    combination: Combination,
) -> LabelledImages:
    """The images of one pathology whose label is not NaN, with their terms and class counts."""
    image_n = np.flatnonzero(~np.isnan(label_N))
    positive_n = label_N[image_n] == 1
    cell_n = slots.cell_N[image_n]
    score_En = np.ascontiguousarray(score_EN[:, image_n])
    return LabelledImages(
        slots,
        2 * cell_n + positive_n,
        _counts(slots, cell_n[~positive_n]),
        _counts(slots, cell_n[positive_n]),
        score_En,
        np.array([combination.term(score_n) for score_n in score_En]),
    )


def _counts(slots: Slots, cell_n: Ints) -> Ints:
    """Number of images in each slot [S], from the images' cells."""
    count_K = np.bincount(cell_n, minlength=len(slots.slot_KA))
    count_S = np.zeros(slots.count + 1, dtype=np.int64)
    for slot_K in slots.slot_KA.T:
        np.add.at(count_S, slot_K, count_K)
    return count_S[:-1]


def subset_aucs(
    pathologies: Sequence[LabelledImages], combination: Combination, most: int, threads: int
) -> Floats:
    """AUC (0..1) of every group for every subset of at most `most` members, [M, P, S].

    NaN for subset 0, which has no member, for larger subsets and for groups that lack a class.
    """
    members = len(pathologies[0].score_En)
    slots = pathologies[0].slots.count
    auc_MPS = np.full((1 << members, len(pathologies), slots), np.nan)
    scan, forked = _scan(), min(FORKED, members)

    def work(task: tuple[int, int]) -> None:
        p, bits = task
        _walk_over(pathologies[p], combination, most, auc_MPS[:, p], scan).fork(bits, forked)

    tasks = [(p, bits) for p in range(len(pathologies)) for bits in range(1 << forked)]
    with ThreadPoolExecutor(threads) as executor:
        list(executor.map(work, tasks))
    return auc_MPS


def _walk_over(
    images: LabelledImages,
    combination: Combination,
    most: int,
    auc_MS: Floats,
    scan: Callable[..., Any],
) -> _Walk:
    """A walk with scratch arrays of its own, so that walks on several threads share none."""
    members, count = images.term_En.shape
    sum_Dn, key_n = np.zeros((members + 1, count)), np.empty(count, dtype=np.int64)
    return _Walk(images, combination, most, auc_MS, scan, sum_Dn, key_n)


@dataclass(frozen=True, eq=False)
class _Walk:
    """The subsets of one pathology that begin with a given choice of the first members."""

    images: LabelledImages
    combination: Combination
    most: int
    """The largest number of members of a subset."""
    auc_MS: Floats
    """Output: the AUC of each slot of the subsets visited."""
    scan: Callable[..., Any]
    """`_scan_loop`, compiled."""
    sum_Dn: Floats
    """Scratch: row d is the sum of the terms of the first d members on the way down."""
    key_n: Ints
    """Scratch: the sorted keys of one subset."""

    def fork(self, bits: int, forked: int) -> None:
        """Visit the subset `bits` of the first `forked` members, then all that add later ones."""
        chosen = [e for e in range(forked) if bits >> e & 1]
        if len(chosen) > self.most:
            return
        for count, e in enumerate(chosen):
            self._add(e, count)
        if chosen:
            self._write_aucs(bits, len(chosen))
        self._descend(bits, len(chosen), forked)

    def _descend(self, bits: int, count: int, first: int) -> None:
        """Visit every subset that adds members from `first` on to `bits`, which has `count`."""
        if count == self.most:
            return
        for e in range(first, len(self.images.term_En)):
            child = bits | 1 << e
            self._add(e, count)
            self._write_aucs(child, count + 1)
            self._descend(child, count + 1, e + 1)

    def _add(self, e: int, count: int) -> None:
        """The sum of `count` members and member e, as row `count + 1`."""
        np.add(self.sum_Dn[count], self.images.term_En[e], out=self.sum_Dn[count + 1])

    def _write_aucs(self, bits: int, count: int) -> None:
        """The AUC of each slot of subset `bits`, whose `count` terms are summed: wins / pairs."""
        if count == 1:  # a member alone keeps its scores as they are
            score_n = self.images.score_En[bits.bit_length() - 1]
        else:
            score_n = self.combination.scores(self.sum_Dn[count], count)
        # Probabilities are not negative, so they sort like their bits.
        np.left_shift(score_n.view(np.int32), 32, out=self.key_n, dtype=np.int64)
        np.bitwise_or(self.key_n, self.images.code_n, out=self.key_n)
        self.key_n.sort()
        slots = self.images.slots
        win_S, below_S = np.zeros((2, slots.count + 1), dtype=np.int64)
        self.scan(self.key_n, slots.slot_KA, win_S, below_S)
        pairs_S = 2 * self.images.negative_S * self.images.positive_S
        np.divide(win_S[:-1], pairs_S, out=self.auc_MS[bits], where=pairs_S > 0)


@cache
def _scan() -> Callable[..., Any]:
    """The compiled loop; compiled once, on first use."""
    return compiled(_scan_loop)


def _scan_loop(key_n: Any, slot_KA: Any, win_S: Any, below_S: Any) -> None:
    """Count, for every slot, twice the wins of its positives over its negatives; a tie is half.

    win_S[s] += sum over positives i and negatives j of slot s of (2 [p_i > p_j] + [p_i = p_j]), so
    that AUC_s = win_S[s] / (2 positives_s negatives_s).

    key_n [n], int64, ascending: bits 32 and up are the score's float32 bits, bits 1 to 31 the
    image's cell, bit 0 is 1 for a positive. slot_KA [K, A], int64: the slot of a cell by attribute.
    win_S [S + 1], int64, zeros, is written; below_S [S + 1], int64, zeros, is scratch: the
    negatives of each slot seen so far. The last slot takes the cells without a group.
    """
    attributes = slot_KA.shape[1]
    start = 0
    while start < len(key_n):
        stop = start + 1
        while stop < len(key_n) and key_n[stop] >> 32 == key_n[start] >> 32:
            stop += 1
        # A positive counts the negatives seen before the block of its score, and again after it:
        # those below it count twice, those of its own score once.
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
