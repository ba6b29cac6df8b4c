"""What to expect of configurations that were chosen among many: means without their luck.

The best of many noisy means is too good, the more so the noisier they are. How much of the
differences between means is noise is known: from draws of patients, and from seeds. The rest is
taken for a Gaussian process over the parameters (Rasmussen and Williams 2006, chapter 2):
configurations with similar parameters are similarly good, and each has something of its own. So
each mean is pulled towards what those near it show, a mean over few seeds more than one over many.
How far parameters reach, how much they explain and how large the differences are is averaged over,
each setting weighed by how likely it makes the means.

Array suffixes: N configurations, P coordinates, B replicates, S seeds, H settings.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from fairfm_core.evaluation.arrays import Floats
from fairfm_core.evaluation.selection.replicates import Replicated
from fairfm_core.evaluation.selection.spread import own_spread

PRIOR_FREEDOM = 2.0
"""Weight of the assumption that training runs vary as much as patients do, in training runs."""
FEWEST = 5
"""Fewest configurations whose differences say anything."""
MOST_PLACED = 1000
"""Most configurations whose parameters are looked at, which takes seconds for each number."""
LENGTHS = (0.25, 0.5, 1.0, 2.0)
"""How far a parameter reaches, in shares of its range."""
SPREADS = (0.05, 0.2, 0.5, 1.0, 2.0)
"""Variance of the true differences, in variances of the means."""
OWN_SHARES = (0.03, 0.3)
"""The share of it that parameters do not explain."""
LEVEL = 1.0
"""Variance of the common level, in variances of the means."""


def shrunk(mean_N: Floats, noise_N: Floats, place_NP: Floats) -> Floats:
    """The means [N] pulled towards what configurations with similar parameters show.

    `noise_N` are the variances of their noise, `place_NP` their coordinates (`places`). With fewer
    than `FEWEST` means, or where all are equal, they stay as they are.
    """
    if len(mean_N) < FEWEST or mean_N.std() == 0:
        return mean_N
    from scipy.linalg import cho_solve, cholesky  # loaded on use: most studies have no search

    level, scale = float(mean_N.mean()), float(mean_N.std())
    value_N, noise_NN = (mean_N - level) / scale, np.diag(noise_N / scale**2 + 1e-9)
    likelihood, expected = [], []
    for prior_NN in _priors(place_NP):
        lower_NN = cholesky(prior_NN + noise_NN, lower=True)
        weight_N = cho_solve((lower_NN, True), value_N)
        likelihood.append(-0.5 * value_N @ weight_N - np.log(np.diag(lower_NN)).sum())
        expected.append(prior_NN @ weight_N)
    share_H = np.exp(np.array(likelihood) - max(likelihood))
    pulled_N: Floats = level + scale * (share_H / share_H.sum() @ np.array(expected))
    return pulled_N


def _priors(place_NP: Floats) -> Iterator[Floats]:
    """Covariances of the true values, by setting: with parameters that tell nothing, then more."""
    own_NN = np.eye(len(place_NP))
    shapes = [own_NN]
    if place_NP.shape[1] and len(place_NP) <= MOST_PLACED:
        square_NN = ((place_NP[:, None] - place_NP[None]) ** 2).sum(axis=-1)
        shapes += [
            (1 - own) * np.exp(-square_NN / (2 * length**2)) + own * own_NN
            for own in OWN_SHARES
            for length in LENGTHS
        ]
    for shape_NN in shapes:
        for spread in SPREADS:
            yield LEVEL + spread * shape_NN


def places(chosen: Sequence[Mapping[str, float | str]]) -> Floats:
    """Coordinates [N, P] of configurations, by what was chosen of each parameter.

    A number's is its rank among all, from 0 to 1, whatever the scale of its range; labels are one
    apart from each other. What a configuration does not have lies in the middle.
    """
    names = dict.fromkeys(name for each in chosen for name in each)
    columns = [column_N for name in names for column_N in _coordinates(chosen, name)]
    return np.stack(columns, axis=1) if columns else np.zeros((len(chosen), 0))


def _coordinates(chosen: Sequence[Mapping[str, float | str]], name: str) -> Iterator[Floats]:
    given = [each.get(name) for each in chosen]
    held = np.array([choice is not None for choice in given])
    numbers = [_number(choice) for choice in given if choice is not None]
    if all(number is not None for number in numbers):
        place_N = np.full(len(given), 0.5)
        place_N[held] = (_ranks(np.array(numbers, dtype=np.float64)) - 0.5) / len(numbers)
        yield place_N
        return
    labels = sorted({str(choice) for choice in given if choice is not None})
    for label in labels:
        is_label_N = np.array([float(str(choice) == label) for choice in given])
        yield np.where(held, is_label_N, 0.5) / np.sqrt(2)


def _ranks(value_N: Floats) -> Floats:
    """Each value's rank from 1; equal values share the mean of theirs."""
    _, place_N, count_K = np.unique(value_N, return_inverse=True, return_counts=True)
    rank_N: Floats = (np.cumsum(count_K) - (count_K - 1) / 2)[place_N]
    return rank_N


def _number(choice: float | str) -> float | None:
    try:
        return float(choice)
    except ValueError:
        return None


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
