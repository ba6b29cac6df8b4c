"""Sums of what the images of a cell contribute, in every weighting: one matrix product.

Most metrics (rates at a threshold, Brier score, calibration) are functions of weighted sums over
images. The images that share a weight and a cell are added up first: a piece. Array suffixes: N
images, U units, P pieces, K cells, L lanes, T terms.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from fairfm_core.evaluation.auc import Floats, Ints
from fairfm_core.evaluation.lanes import Block
from fairfm_core.evaluation.machine_code import compiled


@dataclass(frozen=True, eq=False)
class Pieces:
    """The pieces of a partition, those of a cell together."""

    piece_N: Ints
    """Piece of each image; -1 for one outside."""
    unit_P: Ints
    bounds_K: Ints
    """Cell k holds the pieces from `bounds_K[k]` to before `bounds_K[k + 1]`."""

    def weights(self, block: Block) -> Floats:
        """The weights of the pieces in every lane, [P, L]."""
        weight_PL: Floats = block.weight_UL[self.unit_P, : block.used].astype(np.float64)
        return weight_PL


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


def cell_sums(pieces: Pieces, weight_PL: Floats, term_PT: Floats) -> Floats:
    """The weighted sum of every term over every cell, [L, K, T]."""
    cells = len(pieces.bounds_K) - 1
    sum_LKT = np.empty((weight_PL.shape[1], cells, term_PT.shape[1]))
    for k in range(cells):
        part = slice(pieces.bounds_K[k], pieces.bounds_K[k + 1])
        # In this order of factors the product of so few columns is half as fast again.
        sum_LKT[:, k] = (term_PT[part].T @ weight_PL[part]).T
    return sum_LKT


def ordered_product(left_BU: Floats, right_UM: Floats) -> Floats:
    """A matrix product added up in one order, so that no digit depends on the number of threads."""
    product_BM = np.zeros((len(left_BU), right_UM.shape[1]))
    _multiplier()(np.ascontiguousarray(left_BU), np.ascontiguousarray(right_UM), product_BM)
    return product_BM


@cache
def _multiplier() -> Callable[..., Any]:
    return compiled(_multiply)


def _multiply(left_BU: Any, right_UM: Any, product_BM: Any) -> None:
    for first in range(0, len(left_BU), 8):  # eight rows share each row of the right from the cache
        last = min(first + 8, len(left_BU))
        for u in range(len(right_UM)):
            right_M = right_UM[u]
            for b in range(first, last):
                factor, product_M = left_BU[b, u], product_BM[b]
                for m in range(len(right_M)):
                    product_M[m] += factor * right_M[m]
