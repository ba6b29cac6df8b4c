"""Weights of patients (or other units) in many weightings, laid out for the machine.

A weighting is a bootstrap replicate: how often each patient was drawn. A block holds some of the
weightings; in it the weights of one unit in all of them lie together, as the lanes of a vector
register do, so that one pass over the sorted images serves the whole block.

Array suffixes: U units, B weightings, L weightings of one block (lanes).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from fairfm_core.errors import BadInput

BLOCK_SIZE = 512
"""Weightings in a block: enough for long loops, few enough that accumulators stay in the cache."""
PADDED_TO = 32


@dataclass(frozen=True, eq=False)
class Block:
    """Some of the weightings: whole numbers [U, L]; columns beyond `used` are padding of 0."""

    weight_UL: npt.NDArray[Any]
    used: int


def blocks_of(weights_BU: npt.NDArray[Any]) -> Iterator[Block]:
    """The weightings in blocks; `weights_BU` holds whole numbers below 65,536, one row each."""
    for start in range(0, len(weights_BU), BLOCK_SIZE):
        rows = weights_BU[start : start + BLOCK_SIZE]
        yield Block(_transposed(rows), len(rows))


def _transposed(rows: npt.NDArray[Any]) -> npt.NDArray[Any]:
    largest = rows.max(initial=0)
    if largest >= 1 << 16:
        raise BadInput(
            f"an image or patient would count {largest:,} times, more than 65,535; draw fewer:"
            " lower resample_factor"
        )
    kind = np.uint8 if largest < 1 << 8 else np.uint16
    lanes = -(-len(rows) // PADDED_TO) * PADDED_TO
    weight_UL = np.zeros((rows.shape[1], lanes), dtype=kind)
    weight_UL[:, : len(rows)] = rows.astype(kind, copy=False).T
    return weight_UL
