"""Area under the ROC curve: exact, weighted, for many weightings of the same cases at once.

AUC = P(score of a positive > score of a negative) + 1/2 P(equal), in 0..1; with weights, the sum of
w+ w- over pairs. The cases are sorted once; every row of weights is then a cumulative sum.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from fairfm_core.evaluation.arrays import Floats, Ints

BLOCK = 2_000_000  # weights held at once, so that memory does not grow with the replicates


@dataclass(frozen=True, eq=False)
class RankedClasses:
    """The order of positives and negatives by score: all that an AUC needs of the scores."""

    negatives: Ints  # [negatives] their places among the cases, by ascending score
    positives: Ints  # [positives] likewise
    below: Ints  # [positives] number of negatives with a smaller score
    not_above: Ints  # [positives] number of negatives with a smaller or equal score


def rank_cases(scores_N: npt.NDArray[Any], labels_N: npt.NDArray[Any]) -> RankedClasses:
    """Sort the cases; `labels_N` is 1 (or True) for a positive and 0 for a negative."""
    order_N = np.argsort(scores_N, kind="stable")
    positive_N = labels_N[order_N].astype(bool)
    negatives, positives = order_N[~positive_N], order_N[positive_N]
    below = np.searchsorted(scores_N[negatives], scores_N[positives], side="left")
    not_above = np.searchsorted(scores_N[negatives], scores_N[positives], side="right")
    return RankedClasses(negatives, positives, below, not_above)


def ranked_auc(ranking: RankedClasses, weights_BU: npt.NDArray[Any], unit_N: Ints) -> Floats:
    """AUC [B] for each row of `weights_BU`; case n has the weight of its unit (say, its patient).

    NaN where a row leaves no weight on one of the classes. With whole-number weights all sums are
    exact, so the result is that of the literally repeated cases, whatever their order.
    """
    rows = max(1, BLOCK // max(1, len(unit_N)))
    starts = range(0, len(weights_BU), rows)
    blocks = [_block(ranking, weights_BU[start : start + rows], unit_N) for start in starts]
    return np.concatenate(blocks) if blocks else np.empty(0)


def _block(ranking: RankedClasses, weights_BU: npt.NDArray[Any], unit_N: Ints) -> Floats:
    negative_B = weights_BU.take(unit_N[ranking.negatives], axis=1)
    positive_B = weights_BU.take(unit_N[ranking.positives], axis=1).astype(np.float64)
    cumulative_B = np.zeros((len(weights_BU), len(ranking.negatives) + 1))
    np.cumsum(negative_B, axis=1, dtype=np.float64, out=cumulative_B[:, 1:])
    # Twice the weight of the negatives that a positive beats; a tie is half a win.
    beaten_B = cumulative_B.take(ranking.below, axis=1)
    beaten_B += cumulative_B.take(ranking.not_above, axis=1)
    wins_B = np.einsum("bi,bi->b", positive_B, beaten_B)
    pairs_B = 2.0 * cumulative_B[:, -1] * positive_B.sum(axis=1)
    return np.divide(wins_B, pairs_B, out=np.full(len(wins_B), np.nan), where=pairs_B > 0)


def weighted_auc(
    scores_N: npt.NDArray[Any], labels_N: npt.NDArray[Any], weights_BN: npt.NDArray[Any]
) -> Floats:
    """AUC [B] of the same N cases under each of B rows of non-negative weights.

    Equals `sklearn.metrics.roc_auc_score(labels, scores, sample_weight=row)`; NaN where one class
    has no weight. Labels are 0 or 1: leave out unknown ones first.
    """
    return ranked_auc(rank_cases(scores_N, labels_N), weights_BN, np.arange(len(scores_N)))


def auc(
    scores: npt.ArrayLike, labels: npt.ArrayLike, weights: npt.ArrayLike | None = None
) -> float:
    """AUC of one sample, ties counted one half; NaN if a class is missing or has no weight."""
    scores_N, labels_N = np.asarray(scores), np.asarray(labels)
    weights_N = np.ones(len(scores_N)) if weights is None else np.asarray(weights)
    return float(weighted_auc(scores_N, labels_N, weights_N[None])[0])
