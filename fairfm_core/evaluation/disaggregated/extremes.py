"""Estimates and intervals of extremes: of a gap, and of the worst group.

The largest of several noisy values is too large and the smallest too small, and a bootstrap adds
the same error once more: its percentile interval of a gap between equal groups never holds 0. What
is used instead, with E the deviations of the replicates from the values of the data:

arrangement  the values of the groups, but those that are not clearly (NEAR standard errors) apart
             from the best or the worst group are put level with the nearer of the two: noise adds
             most where groups are level. Scaled by a factor from 0 to 1, it has any smaller gap.
gap          `bias_corrected` is the gap of the scaled arrangement that shows, with E added, the
             measured gap in the mean over replicates. `lo` is the largest gap with which no more
             than a share LOWER of the replicates exceed the measured one: 0 if it could have come
             from equal groups. `hi` is the largest, over pairs of groups, of the difference's upper
             limit.
worst group  `lo` is the smallest lower limit of the groups. `hi` is the smallest upper limit of
             the groups that may be the worst, simultaneous over these (Sidak). `bias_corrected`
             subtracts the mean error of the worst in the arrangement scaled to the corrected gap.

A limit is a value and a multiple of its standard error over replicates. Coverage is simulated in
`benchmarks/extremes.py`: near the nominal level where groups are equal or far apart, above it in
between. With several seeds each seed has its own extremes, and the mean over seeds is estimated.

Array suffixes: B replicates, K parts (the rates of equalised odds; else one), S seeds, P
pathologies (1 for a gap of means), G groups.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce

import numpy as np
from scipy.special import ndtri

from fairfm_core.evaluation.arrays import Floats, Ints
from fairfm_core.evaluation.disaggregated.gaps import max_minus_min
from fairfm_core.evaluation.resampling.bootstrap import quantiles_of_sorted

LOWER, UPPER = 0.7, 0.5
"""Shares of 1 - confidence below a gap's lower and above its upper limit."""
WORST_LOWER, WORST_UPPER = 0.5, 0.6
"""The same for the worst group."""
MAY_BE_WORST = 0.1
"""Level of the simultaneous limits by which groups are ruled out as the worst."""
NEAR = 1.5
"""Standard errors of a difference up to which a group may be level with the best or the worst."""
FACTORS = np.linspace(0.0, 1.0, 9)
"""Scales of the arrangement that are computed; between them quantities are interpolated."""


@dataclass(frozen=True)
class Extreme:
    """A corrected estimate and an interval."""

    corrected: float
    lo: float
    hi: float

    def within(self, low: float, high: float) -> Extreme:
        """The same, restricted to the range of the metric."""
        return Extreme(*(min(max(x, low), high) for x in (self.corrected, self.lo, self.hi)))

    @property
    def mirrored(self) -> Extreme:
        """Of the numbers with the opposite sign."""
        return Extreme(-self.corrected, -self.hi, -self.lo)


def gap_extreme(value_KSPG: Floats, replicate_BKSPG: Floats, confidence: float) -> Extreme:
    """Of a gap: the mean over seeds and pathologies of the largest range of its parts.

    Replicates must be defined, two or more.
    """
    error_BKSPG = replicate_BKSPG - value_KSPG
    gap = float(gaps(value_KSPG))
    shown_FB = _gaps_of_arrangements(value_KSPG, error_BKSPG)
    outside = LOWER * (1 - confidence)
    shown_F = quantiles_of_sorted(np.sort(shown_FB.T, axis=0), 1 - outside)
    lo = gap * _factor(shown_F, gap)
    corrected = gap * _factor(shown_FB.mean(axis=1), gap)
    hi = _upper_limit(value_KSPG, error_BKSPG, float(ndtri(1 - UPPER * (1 - confidence))))
    return Extreme(corrected, lo, max(hi, gap))


def gaps(value_KSPG: Floats) -> Floats:
    """Mean over seeds and pathologies of the largest range of the parts, [..., K, S, P, G] to
    [...]."""
    range_KSP = max_minus_min(value_KSPG)
    largest_SP = reduce(np.maximum, np.moveaxis(range_KSP, -3, 0))
    gap: Floats = largest_SP.mean(axis=(-1, -2))
    return gap


def arrangement(value_G: Floats, error_BG: Floats) -> Floats:
    """Heights of the groups above the lowest: those near an end are level with it, [..., G]."""
    above_G, below_G = (
        value_G - value_G.min(axis=-1, keepdims=True),
        value_G.max(axis=-1, keepdims=True) - value_G,
    )
    low = above_G <= below_G
    end = np.where(low, value_G.argmin(-1)[..., None], value_G.argmax(-1)[..., None])
    apart_BG = error_BG - np.take_along_axis(error_BG, end[None], axis=-1)
    near_G = np.minimum(above_G, below_G) <= NEAR * apart_BG.std(axis=0, ddof=1)
    heights_G: Floats = np.where(near_G, np.where(low, 0.0, above_G + below_G), above_G)
    return heights_G


def _gaps_of_arrangements(value_KSPG: Floats, error_BKSPG: Floats) -> Floats:
    """The gap of every replicate about the scaled arrangement, [factors, B]."""
    heights_KSPG = arrangement(value_KSPG, error_BKSPG)
    scaled_FKSPG = FACTORS[:, None, None, None, None] * heights_KSPG
    return gaps(scaled_FKSPG[:, None] + error_BKSPG)


def _factor(shown_F: Floats, gap: float) -> float:
    """The factor at which a gap is shown; 0 where even equal groups show more, 1 at most."""
    return float(np.interp(gap, np.maximum.accumulate(shown_F), FACTORS, left=0.0, right=1.0))


def _upper_limit(value_KSPG: Floats, error_BKSPG: Floats, quantile: float) -> float:
    """The largest upper limit of the signed differences that may be the gap.

    They are the one of the measured extremes, seed by seed and pathology by pathology, and every
    pair of groups in the mean over both.
    """
    high, low = (
        _of_groups(error_BKSPG, places_KSP).mean(axis=(-1, -2))
        for places_KSP in (value_KSPG.argmax(axis=-1), value_KSPG.argmin(axis=-1))
    )
    widest = gaps(value_KSPG) + quantile * (high - low).std(axis=0, ddof=1).max()
    mean_KG, error_BKG = value_KSPG.mean(axis=(-3, -2)), error_BKSPG.mean(axis=(-3, -2))
    difference_KGG = mean_KG[:, :, None] - mean_KG[:, None]
    spread_KGG = (error_BKG[..., :, None] - error_BKG[..., None, :]).std(axis=0, ddof=1)
    return float(max(widest, (difference_KGG + quantile * spread_KGG).max()))


def _of_groups(error_BKSPG: Floats, places_KSP: Ints) -> Floats:
    """The errors of one group for each part, seed and pathology, [B, K, S, P]."""
    groups = error_BKSPG.shape[-1]
    columns = np.arange(places_KSP.size) * groups + places_KSP.ravel()
    chosen: Floats = error_BKSPG.reshape(len(error_BKSPG), -1).take(columns, axis=1)
    return chosen.reshape(error_BKSPG.shape[:-1])


def worst_extreme(mean_SG: Floats, replicate_BSG: Floats, confidence: float) -> Extreme:
    """Of the lowest group, which is the worst where larger is better.

    Replicates must be defined, two or more.
    """
    error_BSG = replicate_BSG - mean_SG
    worst = float(mean_SG.min(axis=-1).mean())
    alpha, groups = 1 - confidence, mean_SG.shape[-1]
    mean_G, spread_G = mean_SG.mean(axis=0), error_BSG.mean(axis=1).std(axis=0, ddof=1)
    below = float(ndtri(1 - WORST_LOWER * alpha))
    own_BS = np.take_along_axis(
        error_BSG, np.broadcast_to(mean_SG.argmin(axis=-1)[:, None], (*error_BSG.shape[:2], 1)), 2
    )[..., 0]
    lo = min(
        worst - below * float(own_BS.mean(axis=1).std(ddof=1)),
        float((mean_G - below * spread_G).min()),
    )
    sure = simultaneous(MAY_BE_WORST, groups)
    may_be_G = mean_G - sure * spread_G <= (mean_G + sure * spread_G).min()
    above = simultaneous(WORST_UPPER * alpha, int(may_be_G.sum()))
    hi = max(worst, float((mean_G + above * spread_G)[may_be_G].min()))
    corrected = worst - _error_of_the_worst(mean_SG, error_BSG)
    return Extreme(min(max(corrected, lo), hi), lo, hi)


def simultaneous(alpha: float, count: int) -> float:
    """Standard errors of one-sided limits that all hold with probability 1 - alpha (Sidak)."""
    return float(ndtri((1 - alpha) ** (1 / count)))


def _error_of_the_worst(mean_SG: Floats, error_BSG: Floats) -> float:
    """Mean error of the lowest group in the arrangement scaled to the corrected gap."""
    value_KSPG, error_BKSPG = mean_SG[None, :, None], error_BSG[:, None, :, None]
    shown_F = _gaps_of_arrangements(value_KSPG, error_BKSPG).mean(axis=1)
    factor = _factor(shown_F, float(gaps(value_KSPG)))
    return float((factor * arrangement(mean_SG, error_BSG) + error_BSG).min(axis=-1).mean())
