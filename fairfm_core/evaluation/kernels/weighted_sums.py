"""Sums of what the images of a cell contribute, in every weighting: one matrix product.

Most metrics (rates at a threshold, Brier score, calibration) are functions of weighted sums over
images. The images that share a weight and a cell are added up first: a piece. Array suffixes: N
images, U units, P pieces, K cells, L weightings of one block, T sufficient statistics.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np

from fairfm_core.compiled import compiled
from fairfm_core.evaluation.arrays import Floats, Ints
from fairfm_core.evaluation.kernels.blocks import Block

CACHED = 1024
"""Pieces whose weights in a block of weightings fit into a core's cache."""


@dataclass(frozen=True, eq=False)
class Pieces:
    """The pieces of a partition, those of a cell together."""

    piece_N: Ints
    """Piece of each image; -1 for one outside."""
    unit_P: Ints
    bounds_K: Ints
    """Cell k holds the pieces from `bounds_K[k]` to before `bounds_K[k + 1]`."""


def pieces_of(unit_N: Ints, code_N: Ints, cells: int) -> Pieces:
    """The images of a cell that share a unit; images with a negative code or unit are outside."""
    inside_n = np.flatnonzero((code_N >= 0) & (unit_N >= 0))
    units = int(unit_N.max(initial=-1)) + 1
    key_n = code_N[inside_n] * max(1, units) + unit_N[inside_n]
    key_P, piece_n = np.unique(key_n, return_inverse=True)
    piece_N = np.full(len(unit_N), -1, dtype=np.int64)
    piece_N[inside_n] = piece_n
    bounds_K = np.searchsorted(key_P, np.arange(cells + 1) * max(1, units))
    return Pieces(piece_N, key_P % max(1, units), bounds_K)


def weighted_sums(pieces: Pieces, block: Block, statistics: Sequence[Floats]) -> list[Floats]:
    """Weighted sums over every cell, [L, K, T], of each of some matrices of statistics [P, T].

    Some pieces at a time, all matrices side by side: weights stay in the cache, and one product of
    many columns is faster than many of a few. Weights come first: so BLAS takes a sixth less time.
    """
    ends = np.cumsum([0, *(statistic_PT.shape[1] for statistic_PT in statistics)])
    sum_KLT = np.zeros((len(pieces.bounds_K) - 1, block.used, ends[-1]))
    together_PT = np.empty((CACHED, ends[-1]))
    for k, (first, last) in enumerate(pairwise(pieces.bounds_K)):
        for start in range(first, last, CACHED):
            part = slice(start, min(start + CACHED, last))
            weight_PL = block.weight_UL[pieces.unit_P[part], : block.used].astype(np.float64)
            some_PT = together_PT[: len(weight_PL)]
            np.concatenate([statistic_PT[part] for statistic_PT in statistics], axis=1, out=some_PT)
            sum_KLT[k] += weight_PL.T @ some_PT
    sum_LKT = sum_KLT.transpose(1, 0, 2)
    return [sum_LKT[:, :, start:stop] for start, stop in pairwise(ends)]


def ordered_product(left_BU: Floats, right_UM: Floats) -> Floats:
    """A matrix product added up in one order, so that no digit depends on the number of threads."""
    product_BM = np.zeros((len(left_BU), right_UM.shape[1]))
    _multiplier()(np.ascontiguousarray(left_BU), np.ascontiguousarray(right_UM), product_BM)
    return product_BM


@cache
def _multiplier() -> Callable[..., Any]:
    return compiled(_multiply)


def _multiply(left_BU: Floats, right_UM: Floats, product_BM: Floats) -> None:
    """product[b, m] = sum over u, in ascending order, of left[b, u] x right[u, m].

    All float64 and contiguous; `product_BM` is zeros when given and is filled.
    """
    for first in range(0, len(left_BU), 8):  # eight rows share each row of the right from the cache
        last = min(first + 8, len(left_BU))
        for u in range(len(right_UM)):
            right_M = right_UM[u]
            for b in range(first, last):
                factor, product_M = left_BU[b, u], product_BM[b]
                for m in range(len(right_M)):
                    product_M[m] += factor * right_M[m]
