"""Sums of what the images of a cell contribute, in every weighting: one matrix product.

Most metrics (rates at a threshold, Brier score, calibration) are functions of weighted sums over
images. The images that share a weight and a cell are added up first: a piece. Array suffixes: N
images, i images inside the cells, U units, P pieces, p some of them, K cells, L weightings of one
block, T sufficient statistics of one case, M those of all cases.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Any, Protocol

import numpy as np

from fairfm_core.compiled import compiled
from fairfm_core.evaluation.arrays import Floats, Ints
from fairfm_core.evaluation.kernels.blocks import Block

CACHED = 1024
"""Pieces whose weights and statistics fit into a core's cache."""


@dataclass(frozen=True, eq=False)
class Pieces:
    """The pieces of a partition, those of a cell together."""

    image_i: Ints
    """The images inside, those of a piece together."""
    bounds_P: Ints
    """Piece p holds the images from `bounds_P[p]` to before `bounds_P[p + 1]`."""
    unit_P: Ints
    bounds_K: Ints
    """Cell k holds the pieces from `bounds_K[k]` to before `bounds_K[k + 1]`."""

    def images_of(self, cells: Sequence[int]) -> list[slice]:
        """Where the images of some cells are; those of adjacent cells together."""
        parts: list[slice] = []
        for k in sorted(cells):
            first, last = (int(self.bounds_P[self.bounds_K[each]]) for each in (k, k + 1))
            if parts and parts[-1].stop == first:
                first = parts.pop().start
            parts.append(slice(first, last))
        return [part for part in parts if part.start < part.stop]


class PieceTerms(Protocol):
    """What the images of one case contribute."""

    @property
    def count(self) -> int:
        """Number of statistics."""

    def write(self, cell: int, first: int, last: int, out_pT: Floats) -> None:
        """Write the statistics of the pieces from `first` to before `last`, all of one cell."""


def pieces_of(unit_N: Ints, code_N: Ints, cells: int) -> Pieces:
    """The images of a cell that share a unit; images with a negative code or unit are outside."""
    inside_n = np.flatnonzero((code_N >= 0) & (unit_N >= 0))
    units = max(1, int(unit_N.max(initial=-1)) + 1)
    key_n = code_N[inside_n] * units + unit_N[inside_n]
    order_n = np.argsort(key_n, kind="stable")
    key_P, first_P = np.unique(key_n[order_n], return_index=True)
    bounds_P = np.append(first_P, len(inside_n))
    bounds_K = np.searchsorted(key_P, np.arange(cells + 1) * units)
    return Pieces(inside_n[order_n], bounds_P, key_P % units, bounds_K)


def weighted_sums(pieces: Pieces, block: Block, cases: Sequence[PieceTerms]) -> Floats:
    """Weighted sums over every cell of what some cases contribute, [K, L, M].

    Some pieces at a time, all cases side by side: their statistics are made where the product finds
    them in the cache, and one product of many columns is faster than many of a few. Weights come
    first: so BLAS takes a sixth less time.
    """
    ends = np.cumsum([0, *(case.count for case in cases)])
    sum_KLM = np.zeros((len(pieces.bounds_K) - 1, block.used, ends[-1]))
    together_pM = np.empty((CACHED, ends[-1]))
    for k, (start, stop) in enumerate(pairwise(pieces.bounds_K)):
        for first in range(start, stop, CACHED):
            last = min(first + CACHED, stop)
            some_pM = together_pM[: last - first]
            for case, (left, right) in zip(cases, pairwise(ends), strict=True):
                case.write(k, first, last, some_pM[:, left:right])
            weight_pL = block.weight_UL[pieces.unit_P[first:last], : block.used].astype(np.float64)
            sum_KLM[k] += weight_pL.T @ some_pM
    return sum_KLM


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
