"""Patient bootstrap: the interval of any function of metrics, with whole patients resampled.

The unit is the patient, because images of one patient are not independent, and one draw serves all
pathologies, groups, seeds and models, so that comparisons are paired by construction. A percentile
interval of an extreme, such as a gap or the worst group, does not cover, because a bootstrap adds
the noise once more: `disaggregated/extremes.py` has the intervals of these.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from fairfm_core.evaluation.arrays import Floats
from fairfm_core.seeding import stream

NO_INTERVAL = "no interval"
ONE_PATIENT = f"{NO_INTERVAL}: one patient only"
UNVARYING = f"{NO_INTERVAL}: the replicates do not vary"
SMALLEST_SPREAD = 1e-12
"""Limits that are this close differ by rounding alone."""


@lru_cache(maxsize=4)
def unit_draws(
    units: int, replicates: int, seed: int, name: str = "patient bootstrap"
) -> npt.NDArray[np.uint16]:
    """How often each unit is drawn with replacement in each replicate, [replicates, units].

    A function of the number of units, the seed and the name alone: two models of the same images
    get the same draws. The trials of a study share them, so the last ones are kept in memory and
    are read-only.
    """
    random = stream(seed, name)
    counts_BU = np.zeros((replicates, units), dtype=np.uint16)
    for row_U in counts_BU:
        row_U[:] = np.bincount(random.integers(units, size=units), minlength=units)
    counts_BU.flags.writeable = False
    return counts_BU


@dataclass(frozen=True)
class Interval:
    """A percentile interval and the replicates it rests on; NaN limits where there are none."""

    lo: float
    hi: float
    defined: int
    replicates: int

    @property
    def varies(self) -> bool:
        """Whether the limits differ; they coincide where no draw can change the value, as for an
        AUC of 1, and say nothing about its error then."""
        return self.hi - self.lo > SMALLEST_SPREAD

    @property
    def note(self) -> str | None:
        """A note for the reader; None if every replicate was defined."""
        if self.defined == self.replicates > 0:
            return None
        if self.replicates == 0:
            return "no interval: 0 replicates"
        lost = self.replicates - self.defined
        return f"{lost} of {self.replicates} replicates undefined (a class was not drawn)"


def percentile_interval(values_B: npt.NDArray[Any], confidence: float) -> Interval:
    """Equal-tailed percentile interval of the defined replicates (Efron and Tibshirani 1993)."""
    defined: Floats = values_B[np.isfinite(values_B)]
    if not defined.size:
        return Interval(np.nan, np.nan, 0, len(values_B))
    tail = (1 - confidence) / 2
    lo, hi = np.quantile(defined, [tail, 1 - tail])
    return Interval(float(lo), float(hi), len(defined), len(values_B))


def percentile_intervals(values_BM: Floats, confidence: float) -> list[Interval]:
    """The intervals of M numbers, each from its replicates [B, M]; as `percentile_interval`."""
    replicates, count = values_BM.shape
    if not replicates or not np.isfinite(values_BM).all():
        return [percentile_interval(values_BM[:, m], confidence) for m in range(count)]
    tail = (1 - confidence) / 2
    sorted_BM = np.sort(values_BM, axis=0)
    lo_M, hi_M = quantiles_of_sorted(sorted_BM, tail), quantiles_of_sorted(sorted_BM, 1 - tail)
    return [
        Interval(lo, hi, replicates, replicates)
        for lo, hi in zip(lo_M.tolist(), hi_M.tolist(), strict=True)
    ]


def quantiles_of_sorted(sorted_BM: Floats, share: float) -> Floats:
    """The quantiles [M] of numbers sorted along the first axis: bit for bit those of `np.quantile`,
    in less time."""
    place = share * (len(sorted_BM) - 1)
    below = int(place)
    low_M, high_M = sorted_BM[below], sorted_BM[min(below + 1, len(sorted_BM) - 1)]
    part, step_M = place - below, high_M - low_M
    quantile_M: Floats = low_M + step_M * part if part < 0.5 else high_M - step_M * (1 - part)
    return quantile_M
