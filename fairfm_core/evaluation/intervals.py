"""Patient bootstrap: the interval of any function of AUCs, with whole patients resampled.

The unit is the patient, because images of one patient are not independent, and one draw serves all
pathologies, groups, seeds and models, so that comparisons are paired by construction. A percentile
interval of a gap (a maximum minus a minimum) leans upward, may lie wholly above the gap itself and
can never contain 0: compare the gap with its null, not its interval with 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from fairfm_core.evaluation.auc import Floats
from fairfm_core.seeding import stream

Counts = npt.NDArray[np.uint16]


def patient_draws(patient_ids: npt.ArrayLike, replicates: int, seed: int) -> Counts:
    """How often each patient is drawn in each replicate, [replicates, Q distinct patients].

    Columns follow the sorted distinct ids; Q patients are drawn with replacement. A function of
    the set of patients and the seed alone: two models on the same images get the same draws.
    """
    patients = len(np.unique(np.asarray(patient_ids)))
    random = stream(seed, "patient bootstrap")
    counts_BQ = np.zeros((replicates, patients), dtype=np.uint16)
    for row_Q in counts_BQ:
        row_Q[:] = np.bincount(random.integers(patients, size=patients), minlength=patients)
    return counts_BQ


@dataclass(frozen=True)
class Interval:
    """A percentile interval and the replicates it rests on; NaN limits where there are none."""

    lo: float
    hi: float
    defined: int
    replicates: int

    @property
    def note(self) -> str | None:
        """What a reader must know: None if every replicate was defined."""
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
