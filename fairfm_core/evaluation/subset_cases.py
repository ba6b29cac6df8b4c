"""The labelled images of a pathology as a scan over many ensembles sees them.

Array suffixes: E members, N images, n labelled images of one pathology, A attributes, K cells
(combinations of groups), S slots: one for each group of every attribute, in their order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fairfm_core.evaluation.auc import Floats, Ints
from fairfm_core.evaluation.ensemble import Combination
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
