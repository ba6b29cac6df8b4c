"""Sufficient statistics: what each image contributes to the sums that metrics follow from.

They are added up by piece (the images of a unit in a cell) and rounded to multiples of a power of
two that leaves every partial sum exact in double precision: sums then depend neither on the order
of addition nor on the number of threads. The rounding moves a mean by less than 1e-10 of the
largest statistic.

Array suffixes: N images, i those inside the cells in the order of their pieces, m some of these, A
attributes, G groups, P pieces, p some of them, R operating points, T statistics, K cells.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
from numba.extending import register_jitable

from fairfm_core.compiled import compiled
from fairfm_core.evaluation.arrays import Floats, Ints
from fairfm_core.evaluation.kernels.recalibration import SMALLEST, fitted_groups, logit
from fairfm_core.evaluation.kernels.weighted_sums import Pieces
from fairfm_core.evaluation.metrics import WeightedSums

BINS = 15
"""Bins of equal width in 0..1 for the calibration error (Guo et al., ICML 2017)."""
NEWTON = 12
"""First, second and third derivatives of the likelihoods of the two recalibrations."""
PLAIN = ("positives", "negatives", "squared")
"""Sums of one value of 0..1 an image: its name here, its line in `_write`."""
PLAIN_COUNT = len(PLAIN)
EXACT_BITS = 52
STEEPEST_LOGIT = float(-np.log(SMALLEST)) + 0.1


@dataclass(frozen=True, eq=False)
class StatisticColumns:
    """Which column of the sums holds which statistic."""

    points: tuple[str, ...]
    """Operating points."""
    recalibrated: int
    """Attributes whose groups are recalibrated."""

    @property
    def bins(self) -> int:
        """First column of the bins."""
        return len(PLAIN) + 2 * len(self.points)

    @property
    def calibrations(self) -> int:
        """First column of the recalibrations."""
        return self.bins + BINS

    @property
    def count(self) -> int:
        """Number of columns."""
        return self.calibrations + NEWTON * self.recalibrated

    def of_attribute(self, a: int) -> list[slice]:
        """The columns that the metrics of one attribute's groups follow from."""
        own = slice(self.calibrations + NEWTON * a, self.calibrations + NEWTON * (a + 1))
        return [slice(0, self.calibrations), *([own] if self.recalibrated else [])]

    def sums_of(self, sum_T: Floats, fitted_3: Floats | None, point: str | None) -> WeightedSums:
        """Sums by name, rates at one operating point, from the columns of one attribute.

        `sum_T` is [T, ...], `fitted_3` the recalibrations [..., 3].
        """
        named = {name: sum_T[place] for place, name in enumerate(PLAIN)}
        named["bins"] = np.moveaxis(sum_T[self.bins : self.calibrations], 0, -1)
        if point is not None:
            place = len(PLAIN) + 2 * self.points.index(point)
            named["above_positives"], named["above_negatives"] = sum_T[place : place + 2]
        if fitted_3 is not None:
            named["calibration"] = np.moveaxis(sum_T[self.calibrations :], 0, -1)
            named["fitted"] = fitted_3
        return named

    def steps(self, total: float) -> Floats:
        """The power of two that each statistic is rounded to, [T]; `total` bounds all weights."""
        far = STEEPEST_LOGIT
        largest_T = np.ones(self.count)
        largest_T[self.calibrations :] = np.tile(
            [
                1.0,
                far,
                *(far**k / 4 for k in range(3)),
                *(far**k / 10 for k in range(4)),
                1.0,
                0.25,
                0.1,
            ],
            self.recalibrated,
        )
        exponent_T = np.ceil(np.log2(largest_T * max(total, 1.0)))
        return np.exp2(exponent_T - EXACT_BITS)


@dataclass(frozen=True, eq=False)
class PieceImages:
    """The images of one pathology in the order of their pieces; the same for every model."""

    pieces: Pieces
    group_AK: Ints
    """The group of each cell in each attribute; -1 for none."""
    groups: tuple[tuple[list[slice], ...], ...]
    """For each attribute: where the images of each of its groups are."""
    label_i: Floats
    """1 for a positive, else 0."""
    weight_i: Floats
    """The protocol's weight, which recalibrations are taken at; 0 for an image left out."""
    copies_i: Floats
    """How often the image counts; 0 for one left out."""


@dataclass(frozen=True, eq=False)
class CaseStatistics:
    """What the images of one pathology contribute with the scores of one seed."""

    images: PieceImages
    columns: StatisticColumns
    score_i: npt.NDArray[np.float32]
    logit_i: Floats
    threshold_R: Floats
    step_T: Floats
    fitted_AG3: tuple[Floats, ...]
    """For each attribute the recalibration of its groups; none where it is not requested."""

    @property
    def count(self) -> int:
        """Number of statistics."""
        return self.columns.count

    def write(self, cell: int, first: int, last: int, out_pT: Floats) -> None:
        """Write the statistics of the pieces from `first` to before `last`, all of one cell."""
        images, bounds_p = self.images, self.images.pieces.bounds_P[first : last + 1]
        some = slice(int(bounds_p[0]), int(bounds_p[-1]))
        fitted_A3 = np.full((len(self.fitted_AG3), 3), np.nan)
        for a, fitted_G3 in enumerate(self.fitted_AG3):
            if images.group_AK[a, cell] >= 0:
                fitted_A3[a] = fitted_G3[images.group_AK[a, cell]]
        with np.errstate(over="ignore"):
            odds_Am = np.exp(-fitted_A3[:, 0, None] - fitted_A3[:, 1, None] * self.logit_i[some])
        _writer()(
            *(bounds_p - some.start, self.score_i[some], images.label_i[some]),
            *(images.copies_i[some], self.logit_i[some], odds_Am, np.exp(-fitted_A3[:, 2])),
            *(self.threshold_R, self.step_T, out_pT),
        )


def statistics_of(
    images: PieceImages,
    score_N: npt.NDArray[np.float32],
    thresholds: dict[str, float],
    recalibrated: bool,
    total: float,
) -> CaseStatistics:
    """The statistics of a case; `thresholds` are the operating points by name.

    `recalibrated`: whether the groups of every attribute are; `total` bounds the sum of weights.
    """
    score_i = score_N[images.pieces.image_i]
    columns = StatisticColumns(tuple(thresholds), len(images.groups) if recalibrated else 0)
    logit_i = logit(score_i)
    fitted = _fits(images, logit_i) if recalibrated else ()
    threshold_R = np.array(list(thresholds.values()))
    return CaseStatistics(
        images, columns, score_i, logit_i, threshold_R, columns.steps(total), fitted
    )


def _fits(images: PieceImages, logit_i: Floats) -> tuple[Floats, ...]:
    """Recalibrations by attribute; those after the first start from its first group's."""
    fitted: list[Floats] = []
    for parts_G in images.groups:
        start = [fitted[0][0]] if fitted and len(fitted[0]) else []
        data = logit_i, images.label_i, images.weight_i
        fitted.append(fitted_groups(*data, parts_G, *start))
    return tuple(fitted)


@cache
def _writer() -> Callable[..., Any]:
    return compiled(_write)


def _write(
    bounds_p: Ints,
    score_m: npt.NDArray[np.float32],
    label_m: Floats,
    copies_m: Floats,
    logit_m: Floats,
    odds_Am: Floats,
    factor_A: Floats,
    threshold_R: Floats,
    step_T: Floats,
    out_pT: Floats,
) -> None:
    """Compute the T statistics of each image, round them to multiples of `step_T`, add by piece.

    With label y, score p, u = logit p: y, 1 - y, (y - p)^2; for each threshold y [p >= t] and
    (1 - y) [p >= t]; y - p in the bin of p; for each attribute, at the fit of the cell's group with
    q = sigmoid(a + b u): the derivatives of the likelihood, first y - q times 1, u; second
    v = q (1 - q) times 1, u, u^2; third v (1 - 2q) times 1, u, u^2, u^3; then the same three of the
    fit with the slope held at 1. A fit that does not exist contributes 0.

    Piece p holds the images from `bounds_p[p]` to before `bounds_p[p + 1]`; `copies_m` whole
    numbers; `odds_Am` exp(-(a + b u)) and `factor_A` exp(-a) of the fit with slope 1, NaN where
    there is none; `out_pT` is overwritten.
    """
    bins = PLAIN_COUNT + 2 * len(threshold_R)
    # Adding a number whose last bit is a step, and subtracting it, rounds to whole steps.
    round_T = step_T * (1.5 * 2.0**EXACT_BITS)
    for p in range(len(bounds_p) - 1):
        out_pT[p] = 0.0
        for m in range(bounds_p[p], bounds_p[p + 1]):
            copies, score, label, u = copies_m[m], float(score_m[m]), label_m[m], logit_m[m]
            if copies == 0.0:
                continue
            positive, negative, distance = copies * label, copies * (1.0 - label), label - score
            out_pT[p, 0] += positive
            out_pT[p, 1] += negative
            _add(out_pT, p, 2, copies, distance * distance, round_T)
            for r in range(len(threshold_R)):
                if score >= threshold_R[r]:
                    out_pT[p, PLAIN_COUNT + 2 * r] += positive
                    out_pT[p, PLAIN_COUNT + 2 * r + 1] += negative
            _add(out_pT, p, bins + min(int(score * BINS), BINS - 1), copies, distance, round_T)
            kept = min(max(score, SMALLEST), 1 - SMALLEST)
            even_odds = (1 - kept) / kept
            for a in range(len(factor_A)):
                t = bins + BINS + NEWTON * a
                odds, offset_odds = odds_Am[a, m], factor_A[a] * even_odds
                probability = 1 / (1 + odds) if odds >= 0 else label
                residual, variance = label - probability, probability * (1 - probability)
                third = variance * (1 - 2 * probability)
                _add(out_pT, p, t, copies, residual, round_T)
                _add(out_pT, p, t + 1, copies, residual * u, round_T)
                _add(out_pT, p, t + 2, copies, variance, round_T)
                _add(out_pT, p, t + 3, copies, variance * u, round_T)
                _add(out_pT, p, t + 4, copies, variance * u * u, round_T)
                _add(out_pT, p, t + 5, copies, third, round_T)
                _add(out_pT, p, t + 6, copies, third * u, round_T)
                _add(out_pT, p, t + 7, copies, third * u * u, round_T)
                _add(out_pT, p, t + 8, copies, third * u * u * u, round_T)
                probability = 1 / (1 + offset_odds) if offset_odds >= 0 else label
                variance = probability * (1 - probability)
                _add(out_pT, p, t + 9, copies, label - probability, round_T)
                _add(out_pT, p, t + 10, copies, variance, round_T)
                _add(out_pT, p, t + 11, copies, variance * (1 - 2 * probability), round_T)


@register_jitable  # type: ignore[untyped-decorator]
def _add(out_pT: Any, p: Any, t: Any, copies: Any, statistic: Any, round_T: Any) -> None:
    """Add a statistic, rounded to whole steps, as often as its image counts."""
    out_pT[p, t] += copies * ((statistic + round_T[t]) - round_T[t])
