"""Sufficient statistics: what each image contributes to the sums that metrics follow from.

They are added up by piece (the images of a unit in a cell) and rounded to multiples of a power of
two that leaves every partial sum exact in double precision: sums then depend neither on the order
of addition nor on the number of threads. The rounding moves a mean by less than 1e-10 of the
largest statistic.

Array suffixes: n images of one pathology under a protocol, A attributes, G groups, P pieces, R
operating points, T statistics, L weightings of one block.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from fairfm_core.compiled import compiled
from fairfm_core.evaluation.arrays import Bools, Floats, Ints
from fairfm_core.evaluation.kernels.recalibration import SMALLEST, fitted_groups, logit
from fairfm_core.evaluation.metrics import WeightedSums

BINS = 15
"""Bins of equal width in 0..1 for the calibration error (Guo et al., ICML 2017)."""
NEWTON = 12
"""First, second and third derivatives of the likelihoods of the two recalibrations."""
PLAIN = ("positives", "negatives", "squared")
"""Sums of one value of 0..1 an image: its name here, its line in `_add`."""
PLAIN_COUNT = len(PLAIN)
EXACT_BITS = 52
STEEPEST_LOGIT = float(-np.log(SMALLEST)) + 0.1


@dataclass(frozen=True, eq=False)
class StatisticColumns:
    """Which column of the sums holds which statistic, and the fits that the last are taken at."""

    points: tuple[str, ...]
    """Operating points."""
    fitted_AG3: tuple[Floats, ...]
    """For each attribute the recalibration of its groups; none where it is not requested."""

    @property
    def bins(self) -> int:
        """First column of the bins."""
        return len(PLAIN) + 2 * len(self.points)

    @property
    def count(self) -> int:
        """Number of columns."""
        return self.bins + BINS + NEWTON * len(self.fitted_AG3)

    def sums_of(self, sum_LGT: Floats, attribute: int, point: str | None) -> WeightedSums:
        """The sums of the groups of one attribute by name, rates at one operating point."""
        named = {name: sum_LGT[..., place] for place, name in enumerate(PLAIN)}
        named["bins"] = sum_LGT[..., self.bins : self.bins + BINS]
        if point is not None:
            place = len(PLAIN) + 2 * self.points.index(point)
            named["above_positives"] = sum_LGT[..., place]
            named["above_negatives"] = sum_LGT[..., place + 1]
        if self.fitted_AG3:
            place = self.bins + BINS + NEWTON * attribute
            named["calibration"] = sum_LGT[..., place : place + NEWTON]
            named["fitted"] = self.fitted_AG3[attribute]
        return named

    def steps(self, total: float) -> Floats:
        """The power of two that each statistic is rounded to, [T]; `total` bounds all weights."""
        far = STEEPEST_LOGIT
        largest_T = np.ones(self.count)
        largest_T[self.bins + BINS :] = np.tile(
            [
                1.0,
                far,
                *(far**k / 4 for k in range(3)),
                *(far**k / 10 for k in range(4)),
                1.0,
                0.25,
                0.1,
            ],
            len(self.fitted_AG3),
        )
        exponent_T = np.ceil(np.log2(largest_T * max(total, 1.0)))
        return np.exp2(exponent_T - EXACT_BITS)


@dataclass(frozen=True, eq=False)
class ScoredImages:
    """The images of one pathology: scores, labels, protocol's weights and copies."""

    score_n: npt.NDArray[Any]
    positive_n: npt.NDArray[np.bool_]
    weight_n: Floats
    copies_n: Floats


def summed_statistics(
    scored: ScoredImages,
    piece_n: Ints,
    pieces: int,
    thresholds: dict[str, float],
    groups: Sequence[tuple[Ints, int]],
    total: float,
) -> tuple[Floats, StatisticColumns]:
    """Statistics added up by piece, [P, T], and their columns.

    `thresholds` are the operating points by name; `groups` holds, for each attribute that is to be
    recalibrated, the group of each image and their number; `total` bounds the sum of weights.
    """
    logit_n = logit(scored.score_n)
    fitted = _fits(scored, logit_n, groups)
    columns = StatisticColumns(tuple(thresholds), fitted)
    most = max((count for _, count in groups), default=0)
    fitted_AG3 = np.full((len(groups), most, 3), np.nan)
    for a, fitted_G3 in enumerate(fitted):
        fitted_AG3[a, : len(fitted_G3)] = fitted_G3
    code_An = np.array([code_n for code_n, _ in groups], dtype=np.int64).reshape(
        len(groups), len(logit_n)
    )
    sum_PT = np.zeros((pieces, columns.count))
    _adder()(
        *(scored.score_n, scored.positive_n, scored.copies_n, logit_n, piece_n),
        *(np.array(list(thresholds.values())), code_An, fitted_AG3, columns.steps(total), sum_PT),
    )
    return sum_PT, columns


def _fits(
    scored: ScoredImages, logit_n: Floats, groups: Sequence[tuple[Ints, int]]
) -> tuple[Floats, ...]:
    """Recalibrations by attribute; those after the first start from its first group's."""
    fitted: list[Floats] = []
    for code_n, count in groups:
        start = [fitted[0][0]] if fitted and len(fitted[0]) else []
        data = logit_n, scored.positive_n, scored.weight_n
        fitted.append(fitted_groups(*data, code_n, count, *start))
    return tuple(fitted)


@cache
def _adder() -> Callable[..., Any]:
    return compiled(_add)


def _add(
    score_n: npt.NDArray[Any],
    positive_n: Bools,
    copies_n: Floats,
    logit_n: Floats,
    piece_n: Ints,
    threshold_R: Floats,
    code_An: Ints,
    fitted_AG3: Floats,
    step_T: Floats,
    sum_PT: Floats,
) -> None:
    """Compute the T statistics of each image, round them to multiples of `step_T`, add by piece.

    With label y, score p, u = logit p: y, 1 - y, (y - p)^2; for each threshold y [p >= t] and
    (1 - y) [p >= t]; y - p in the bin of p; for each attribute, at the fit of the image's group
    with q = sigmoid(a + b u): the derivatives of the likelihood, first y - q times 1, u; second
    v = q (1 - q) times 1, u, u^2; third v (1 - 2q) times 1, u, u^2, u^3; then the same three of the
    fit with the slope held at 1. A fit that does not exist contributes 0.

    `score_n` float32 or float64; `copies_n` whole numbers; `piece_n` -1 for an image outside;
    `code_An` -1 for one of no group; `fitted_AG3` NaN where there is no fit; `sum_PT` is zeros when
    given and is filled.
    """
    statistics = len(step_T)
    bins = PLAIN_COUNT + 2 * len(threshold_R)
    statistic_T = np.zeros(statistics)
    whole_T = 1 / step_T
    for n in range(len(score_n)):
        if piece_n[n] < 0:
            continue
        score, label, u = float(score_n[n]), 1.0 if positive_n[n] else 0.0, logit_n[n]
        statistic_T[:] = 0.0
        statistic_T[0], statistic_T[1] = label, 1.0 - label
        statistic_T[2] = (label - score) ** 2
        for r in range(len(threshold_R)):
            if score >= threshold_R[r]:
                place = PLAIN_COUNT + 2 * r
                statistic_T[place], statistic_T[place + 1] = label, 1.0 - label
        statistic_T[bins + min(int(score * BINS), BINS - 1)] = label - score
        for a in range(len(code_An)):
            g, t = code_An[a, n], bins + BINS + NEWTON * a
            if g < 0:
                continue
            joint = fitted_AG3[a, g, 0] + fitted_AG3[a, g, 1] * u
            if np.isfinite(joint):
                probability = 1 / (1 + np.exp(-joint))
                residual, variance = label - probability, probability * (1 - probability)
                third_derivative = variance * (1 - 2 * probability)
                statistic_T[t], statistic_T[t + 1] = residual, residual * u
                statistic_T[t + 2], statistic_T[t + 3], statistic_T[t + 4] = (
                    variance,
                    variance * u,
                    variance * u * u,
                )
                statistic_T[t + 5], statistic_T[t + 6] = third_derivative, third_derivative * u
                statistic_T[t + 7], statistic_T[t + 8] = (
                    third_derivative * u * u,
                    third_derivative * u * u * u,
                )
            if np.isfinite(fitted_AG3[a, g, 2]):
                probability = 1 / (1 + np.exp(-(fitted_AG3[a, g, 2] + u)))
                variance = probability * (1 - probability)
                statistic_T[t + 9], statistic_T[t + 10] = label - probability, variance
                statistic_T[t + 11] = variance * (1 - 2 * probability)
        sum_T, copies = sum_PT[piece_n[n]], copies_n[n]
        for t in range(statistics):
            sum_T[t] += copies * (np.rint(statistic_T[t] * whole_T[t]) * step_T[t])
