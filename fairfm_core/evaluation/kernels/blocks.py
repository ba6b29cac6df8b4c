"""Weights of patients (or other units) in many weightings, laid out for the machine.

A weighting is a bootstrap replicate (how often each patient was drawn) or a permutation (whether a
patient is in a group). Lane l of a block holds weighting l; the lanes of a unit lie together, so
that one pass over the sorted images serves a whole block. Array suffixes: U units, B weightings,
L lanes of one block.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from fairfm_core.errors import BadInput

BLOCK_SIZE = 512
"""Lanes of a block: enough for long loops, few enough for the accumulators to stay in the cache."""
PADDED_TO = 32


@dataclass(frozen=True, eq=False)
class Block:
    """Some of the weightings: whole numbers [U, L]; the lanes beyond `used` are padding of 0."""

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
