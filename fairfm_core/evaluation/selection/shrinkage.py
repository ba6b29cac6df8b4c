"""What to expect of configurations that were chosen among many: means pulled towards their average.

The best of many noisy means is too good, the more so the noisier they are. How much of the
differences between means is noise is known: from draws of patients, and from seeds. The rest of
the differences is taken to be normal (empirical Bayes): each mean is pulled towards the average of
all by the share of noise in it, a mean over few seeds more than one over many.

Array suffixes: N configurations, B replicates, S seeds.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fairfm_core.evaluation.arrays import Floats
from fairfm_core.evaluation.selection.replicates import Replicated
from fairfm_core.evaluation.selection.spread import own_spread

PRIOR_FREEDOM = 2.0
"""Weight of the assumption that training runs vary as much as patients do, in training runs."""
FEWEST = 5
"""Fewest configurations whose differences say anything."""


def shrunk(mean_N: Floats, noise_N: Floats) -> Floats:
    """The means [N] pulled towards their average; `noise_N` are the variances of their noise.

    With fewer than `FEWEST` means they stay as they are.
    """
    if len(mean_N) < FEWEST:
        return mean_N
    real = max(0.0, float(mean_N.var(ddof=1) - noise_N.mean()))
    spread_N = noise_N + mean_N.var()
    weight_N = 1 / spread_N if (spread_N > 0).all() else np.ones_like(mean_N)
    average = float((mean_N * weight_N).sum() / weight_N.sum())
    total_N = real + noise_N
    share_N = np.divide(real, total_N, out=np.ones_like(total_N), where=total_N > 0)
    pulled_N: Floats = average + share_N * (mean_N - average)
    return pulled_N


def noise_variances(numbers: Sequence[Replicated]) -> Floats:
    """The variance [N] of the noise in each configuration's mean, as it differs from the others'.

    What a draw of patients adds to all of them alike is no noise of a comparison.
    """
    replicate_NB = np.stack([number.replicate_BS.mean(axis=1) for number in numbers])
    replicate_NB = replicate_NB[:, np.isfinite(replicate_NB).all(axis=0)]
    apart_NB = replicate_NB - replicate_NB.mean(axis=0)
    patients_N = apart_NB.var(axis=1, ddof=1) if apart_NB.shape[1] > 1 else 0.0
    seeds_N = np.array([len(number.value_S) for number in numbers])
    noise_N: Floats = patients_N + training_variance(numbers) / seeds_N
    return noise_N


def training_variance(numbers: Sequence[Replicated]) -> float:
    """The variance between training runs, without what patients explain, of all configurations.

    While few have several seeds, it is assumed to be near that of patients.
    """
    of_patients = [_single_variance(number) for number in numbers]
    total = PRIOR_FREEDOM * float(np.mean(of_patients)) if of_patients else 0.0
    freedom = PRIOR_FREEDOM
    for number in numbers:
        if (spread := own_spread(number)) is not None:
            total += spread.freedom * (spread.variance - spread.of_patients)
            freedom += spread.freedom
    return max(0.0, total / freedom)


def _single_variance(number: Replicated) -> float:
    """The variance of one seed's value by draws of patients."""
    finite_BS = number.replicate_BS[np.isfinite(number.replicate_BS).all(axis=1)]
    return float(finite_BS.var(axis=0, ddof=1).mean()) if len(finite_BS) > 1 else 0.0
