"""Validation AUCs of many heads, equal to those of one head at a time to the last bit.

Sorting each column of scores with its labels would take longer than the training. Here the label is
the lowest bit of an integer that orders as the score does: a sort of plain integers, which
processors vectorise, is followed by one counting scan. Counts are exact, so any order of counting
gives the same AUC.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fairfm_core.compiled import compiled


@dataclass(frozen=True, eq=False)
class Known:
    """The images whose label of one pathology is known, with both classes among them."""

    pathology: int
    """Its position among the P pathologies."""
    image_n: NDArray[np.int64]
    label_n: NDArray[np.uint32]

    @property
    def pairs(self) -> int:
        """Number of pairs of a positive and a negative."""
        positives = int(self.label_n.sum())
        return positives * (len(self.label_n) - positives)


def defined_pathologies(labels_NP: NDArray[np.float64]) -> list[Known]:
    """The pathologies that have both classes; NaN labels are unknown."""
    defined = []
    for pathology, label_N in enumerate(labels_NP.T):
        image_n = np.flatnonzero(~np.isnan(label_N))
        known = Known(pathology, image_n, (label_N[image_n] != 0).astype(np.uint32))
        if known.pairs:
            defined.append(known)
    return defined


def mean_aucs(scores_KPN: NDArray[np.float32], pathologies: list[Known]) -> list[float]:
    """Mean AUC of each head over the pathologies; NaN if a score is NaN or none is defined.

    Equals `fitting.mean_auc` of each head exactly. Scores are probabilities in 0..1.
    """
    if not pathologies:
        return [float("nan")] * len(scores_KPN)
    auc_KP = np.stack([_aucs(scores_KPN, known) for known in pathologies], axis=1)
    auc_KP[[not np.isfinite(scores_PN).all() for scores_PN in scores_KPN]] = np.nan
    return [float(np.mean(auc_P)) for auc_P in auc_KP]


def _aucs(scores_KPN: NDArray[np.float32], known: Known) -> NDArray[np.float64]:
    """AUC [K] of one pathology, ties counted one half."""
    # Floats from 0 to 1 order as the integers of their bits, whose two highest bits are 0.
    bits_Kn = scores_KPN[:, known.pathology].view(np.uint32)
    if len(known.image_n) < bits_Kn.shape[1]:
        bits_Kn = bits_Kn[:, known.image_n]
    keys_Kn = (bits_Kn << np.uint32(1)) | known.label_n
    keys_Kn.sort(axis=1)
    wins_K: NDArray[np.int64] = _scan()(keys_Kn)
    return wins_K / (2 * known.pairs)


@cache
def _scan() -> Callable[..., Any]:
    return compiled(_twice_the_wins)


def _twice_the_wins(keys_Kn: Any) -> Any:
    """Twice the number of pairs whose positive wins, [K] int64; a tie is half a win.

    `keys_Kn` [K heads, n images] uint32, sorted in each row: twice the bits of the score, plus 1
    for a positive. A positive adds the negatives below its score and those not above it.
    """
    wins_K = np.zeros(len(keys_Kn), dtype=np.int64)
    for k in range(len(keys_Kn)):
        below = not_above = score = 0
        for key in keys_Kn[k]:
            if key >> 1 != score:
                score = key >> 1
                below = not_above
            # Among equal scores the negatives come first, as their lowest bit is 0.
            if key & 1:
                wins_K[k] += below + not_above
            else:
                not_above += 1
    return wins_K
