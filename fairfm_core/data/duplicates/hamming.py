"""Pairs of looks that differ in few bits, by multi-index hashing.

Two looks of 256 bits that differ in at most 15 are equal in at least one of 16 parts of 16 bits, so
only looks with an equal part are compared (Norouzi, Punjani and Fleet, "Fast Search in Hamming
Space with Multi-Index Hashing", CVPR 2012). The result is that of comparing all pairs. Shapes: N
looks of W words, P pairs.
"""

from __future__ import annotations

from itertools import count

import numpy as np
from numpy.typing import NDArray

from fairfm_core.data.image_store.appearance import Looks

PART = np.dtype("<u2")
"""The parts into which a look is divided: 16 bits, with low and high frequencies in each."""
LIMIT = 15
"""Bits in which the looks of a pair may differ: one fewer than there are parts.

Measured on 1,075 radiographs of 743 patients (`benchmarks/duplicates.py`): looks of different
patients differ in 58 bits and more; 99 % of copies differ in 11 or fewer after JPEG at quality 30,
in 14 after a stretch of contrast, in 4 after another size.
"""

Pairs = NDArray[np.int64]
"""Positions of two looks in a row, the smaller first, [P, 2]."""


def near_pairs(looks_NW: Looks) -> Pairs:
    """The pairs of looks that differ in at most `LIMIT` bits, sorted; blank images have none.

    Of equal looks each is paired with the next one only, and the first of them with other looks, so
    that N copies of a picture do not make N ** 2 pairs. All copies are still connected.
    """
    shown_M = np.flatnonzero(looks_NW.any(axis=1))
    sorted_M = shown_M[np.lexsort(looks_NW[shown_M].T)]
    again_M = np.zeros(len(sorted_M), dtype=np.bool_)
    again_M[1:] = (looks_NW[sorted_M[1:]] == looks_NW[sorted_M[:-1]]).all(axis=1)
    place_P = np.flatnonzero(again_M)
    equal_P2 = np.stack([sorted_M[place_P - 1], sorted_M[place_P]], axis=1)
    distinct_U = sorted_M[~again_M]
    near_P2 = distinct_U[_near_distinct(looks_NW[distinct_U])]
    pairs_P2 = np.sort(np.concatenate([equal_P2, near_P2]), axis=1)
    return pairs_P2[np.lexsort(pairs_P2.T[::-1])]


def _near_distinct(looks_UW: Looks) -> Pairs:
    """The near pairs of distinct looks, in any order."""
    size = len(looks_UW)
    keys = list(np.ascontiguousarray(looks_UW).view(PART).T)
    if sum(map(_comparisons, keys)) > size * (size - 1) // 2:
        keys = [np.zeros(size, dtype=PART)]  # the parts tell too few apart: compare all pairs once
    codes = [_near_in_runs(looks_UW, key_U) for key_U in keys]
    return np.stack(np.divmod(np.unique(np.concatenate(codes)), max(size, 1)), axis=1)


def _comparisons(key_U: NDArray[np.uint16]) -> int:
    """How many pairs have equal keys."""
    count_K = np.bincount(key_U)
    return int((count_K * (count_K - 1) // 2).sum())


def _near_in_runs(looks_UW: Looks, key_U: NDArray[np.uint16]) -> NDArray[np.int64]:
    """The near pairs among looks with equal keys, each as `smaller * U + larger`."""
    order_U = np.argsort(key_U, kind="stable")
    sorted_UW, sorted_key_U = looks_UW[order_U], key_U[order_U]
    end_U = np.searchsorted(sorted_key_U, sorted_key_U, side="right")
    start_L, codes = np.arange(len(order_U)), [np.empty(0, dtype=np.int64)]
    for shift in count(1):
        start_L = start_L[start_L + shift < end_U[start_L]]
        if not len(start_L):
            return np.concatenate(codes)
        different_LW = np.bitwise_count(sorted_UW[start_L] ^ sorted_UW[start_L + shift])
        near_P = start_L[different_LW.sum(axis=1, dtype=np.int64) <= LIMIT]
        one_P, other_P = order_U[near_P], order_U[near_P + shift]
        codes.append(np.minimum(one_P, other_P) * len(order_U) + np.maximum(one_P, other_P))
    raise AssertionError("unreachable")
