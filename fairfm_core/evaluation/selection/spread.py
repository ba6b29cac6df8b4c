"""How much a number varies between training runs that differ in nothing but their seed.

The values of a configuration's seeds vary for two reasons: the training runs differ, and each
trained model errs on the sampled patients in its own way. `TrainingSpread` keeps both. The second
part is known from the replicates, in which patients are drawn and the models stay.

A configuration with one seed has no spread of its own. The other configurations of its study may
lend it theirs: the largest of them, so that it is assumed only to vary no more than the most
variable one. Simulated in `benchmarks/comparisons.py`.

Where each pre-training has several adaptations, S are the pre-trainings, each with the mean of its
adaptations (`Replicated.independent`): the mean squares of a nested design are those of these
means.

Array suffixes: S seeds, B replicates.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from fairfm_core.evaluation.selection.replicates import Replicated

FEWEST_LENDERS = 3
"""Configurations with several seeds that a study needs to lend their spread to one with one seed:
with fewer the largest spread may be small by chance."""
OWN = "own seeds"
OWN_PRETRAININGS = "own pre-trainings"


@dataclass(frozen=True)
class TrainingSpread:
    """The variance of one training's value about the mean of its configuration."""

    variance: float
    """Between the measured values of single training runs, in the number's unit squared."""
    of_patients: float
    """The part of it that the sampling of patients explains."""
    freedom: float
    """Degrees of freedom of `variance`."""
    source: str
    """Whose training runs it was measured on, in words."""


def own_spread(number: Replicated) -> TrainingSpread | None:
    """The spread between a configuration's own seeds; None with fewer than two."""
    source = (
        OWN if number.training_runs is None or number.training_runs.all_apart else OWN_PRETRAININGS
    )
    number = number.independent()
    seeds = len(number.value_S)
    if seeds < 2:
        return None
    replicate_BS = number.replicate_BS[np.isfinite(number.replicate_BS).all(axis=1)]
    of_patients = 0.0
    if len(replicate_BS) > 1:
        apart_BS = replicate_BS - replicate_BS.mean(axis=1, keepdims=True)
        of_patients = float(apart_BS.var(axis=0, ddof=1).sum()) / (seeds - 1)
    return TrainingSpread(float(number.value_S.var(ddof=1)), of_patients, seeds - 1, source)


def lent_spread(numbers: Iterable[Replicated]) -> TrainingSpread | None:
    """The largest spread of a study's configurations, for one that has a single seed.

    `numbers` are one number of all configurations. None with fewer than `FEWEST_LENDERS` that
    have several seeds and a defined value. Degrees of freedom are those of all lenders together.
    """
    spreads = [
        spread
        for number in numbers
        if np.isfinite(number.value_S).all() and (spread := own_spread(number))
    ]
    if len(spreads) < FEWEST_LENDERS:
        return None
    freedom = sum(spread.freedom for spread in spreads)
    runs = int(freedom) + len(spreads)
    return TrainingSpread(
        max(spread.variance for spread in spreads),
        float(np.mean([spread.of_patients for spread in spreads])),
        freedom,
        f"the study's: the largest of {len(spreads)} configurations ({runs} training runs)",
    )
