"""Fairness gaps of subgroup AUCs, and the gap that a fair model would show: its null.

Gaps are in AUC (0.01 is one point). A maximum minus a minimum of noisy AUCs is above 0 even for a
perfectly fair model, more so with more and smaller groups; the null (`fair_draws.py`) measures by
how much.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce

import numpy as np

from fairfm_core.evaluation.arrays import Floats


def group_means(auc_PG: Floats) -> Floats:
    """Mean AUC over pathologies of each group: [..., P, G] -> [..., G]; NaN if any cell is NaN."""
    means: Floats = auc_PG.mean(axis=-2)
    return means


def max_minus_min(value_G: Floats) -> Floats:
    """Largest minus smallest over groups, [..., G] -> [...]; NaN if any is NaN."""
    parts = [value_G[..., g] for g in range(value_G.shape[-1])]  # faster than a loop over rows
    largest_less_smallest: Floats = reduce(np.maximum, parts) - reduce(np.minimum, parts)
    return largest_less_smallest


def gap_of_mean(auc_PG: Floats) -> Floats:
    """Best minus worst group of the mean AUC over pathologies (section 3): [..., P, G] -> [...].

    NaN wherever any cell is NaN: a group is never dropped from a gap.
    """
    return max_minus_min(group_means(auc_PG))


def mean_of_gaps(auc_PG: Floats) -> Floats:
    """Mean over pathologies of best minus worst group: [..., P, G] -> [...]; NaN as gap_of_mean.

    Never below `gap_of_mean`, with three to four times its noise floor.
    """
    gap: Floats = max_minus_min(auc_PG).mean(axis=-1)
    return gap


GAP_DEFINITIONS: dict[str, Callable[[Floats], Floats]] = {
    "gap_of_mean": gap_of_mean,
    "mean_of_gaps": mean_of_gaps,
}


LEVELS: dict[str, Callable[[Floats], Floats]] = {
    "gap_of_mean": lambda value_PG: value_PG.mean(axis=-2, keepdims=True),
    "mean_of_gaps": lambda value_PG: value_PG,
}
"""What the extremes of a definition are taken of: the mean over pathologies, as one pathology, or
each of them."""


EQUALIZED_ODDS_GAPS: dict[str, Callable[[Floats, Floats], Floats]] = {
    "gap_of_mean": lambda tpr_PG, fpr_PG: np.maximum(gap_of_mean(tpr_PG), gap_of_mean(fpr_PG)),
    "mean_of_gaps": lambda tpr_PG, fpr_PG: np.maximum(
        max_minus_min(tpr_PG), max_minus_min(fpr_PG)
    ).mean(axis=-1),
}
"""Equalised-odds difference: the larger of the gaps in TPR and in FPR (Hardt et al., 2016)."""


def worst_and_best(
    value_PG: Floats, names: tuple[str, ...], ideal: float = 1.0
) -> tuple[str, str] | None:
    """Groups farthest from and nearest to the ideal in the mean over pathologies; None if a cell
    is NaN.

    Among equal groups the first by name is the worst and the last the best.
    """
    off_G = -np.abs(group_means(value_PG) - ideal)
    if np.isnan(off_G).any():
        return None
    return names[int(off_G.argmin())], names[len(names) - 1 - int(off_G[::-1].argmax())]


def worst_value(value_PG: Floats, ideal: float = 1.0) -> Floats:
    """Mean over pathologies of the group farthest from the ideal: [..., P, G] -> [...]; NaN if any
    cell is NaN."""
    mean_G = group_means(value_PG)
    worst_G = np.abs(mean_G - ideal).argmax(axis=-1)
    worst: Floats = np.take_along_axis(mean_G, worst_G[..., None], axis=-1)[..., 0]
    return np.where(np.isnan(mean_G).any(axis=-1), np.nan, worst)


MARGIN = 0.01
"""Epsilon of equation 1: the fairness score of the least fair model of a plot, one point."""


def fairness_scores(gap_M: Floats, margin: float = MARGIN) -> Floats:
    """Fairness score of each of the models [M] of one plot, FS = C - gap (Khan et al., equation 1).

    C is that of `fairness_constant`, so the least fair model scores exactly `margin`. It depends on
    the models shown together: it is computed when a plot is drawn and never stored.
    """
    scores: Floats = margin + (np.nanmax(gap_M) - gap_M)
    return scores


def fairness_constant(gap_M: Floats, margin: float = MARGIN) -> float:
    """C of the fairness scores of one plot: the largest gap of its models [M] plus `margin`."""
    return float(np.nanmax(gap_M)) + margin


@dataclass(frozen=True)
class Null:
    """What a gap would be if groups did not matter, and how unusual the observed one is."""

    mean: float
    hi: float
    p_value: float
    defined: int
    draws: int

    @property
    def note(self) -> str | None:
        """Why there is no null; None where there is one."""
        if self.draws == 0:
            return "no null: 0 replicates"
        return None if self.defined else "no null: fewer than 2 replicates defined"


def null_of(value: float, draw_B: Floats, confidence: float) -> Null:
    """Mean and upper bound of the null gap, and p = (1 + #{null >= value}) / (1 + #null)."""
    null = draw_B[np.isfinite(draw_B)]
    if len(null) < 2:
        return Null(np.nan, np.nan, np.nan, 0, len(draw_B))
    # The tolerance keeps a draw that equals the data from differing in the last bit.
    as_large = int((null >= value - 1e-12).sum())
    p_value = (1 + as_large) / (1 + len(null))
    hi = float(np.quantile(null, confidence))
    return Null(float(null.mean()), hi, p_value, len(null), len(draw_B))


def two_sided(value_M: Floats, draw_BM: Floats) -> Floats:
    """p = (1 + #{|null| >= |value|}) / (1 + #null) of M signed differences; NaN without a null."""
    defined_BM = np.isfinite(draw_BM)
    with np.errstate(invalid="ignore"):
        large_M = (np.abs(draw_BM) >= np.abs(value_M) - 1e-12).sum(axis=0)
    null_M = defined_BM.sum(axis=0)
    p_M: Floats = np.where(
        (null_M > 1) & np.isfinite(value_M), (1 + large_M) / (1 + null_M), np.nan
    )
    return p_M
