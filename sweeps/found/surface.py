"""What an objective may look like between the configurations that were tried, and how sure that is.

A Gaussian process over two parameters (Rasmussen and Williams 2006, chapters 2 and 5): a squared
exponential with a length for each parameter, and the known noise of every value plus an unknown
one, which covers training and all parameters that are not drawn. Its mean is only worth reading
where its standard deviation is small, so the two are never given apart.

Array suffixes: N configurations, G places, 2 parameters.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import numpy as np
from scipy.linalg import cho_factor, cho_solve, solve_triangular
from scipy.optimize import minimize

from fairfm_core.evaluation.arrays import Floats

LENGTHS = (0.1, 5.0)
"""Bounds of a length, in shares of a parameter's range."""
SIGNALS = (1e-2, 10.0)
"""Bounds of the variance of what two parameters explain, in variances of the values."""
NOISES = (1e-4, 2.0)
"""Bounds of the unknown noise's variance, in variances of the values."""
STARTS = np.log([[0.3, 0.3, 1.0, 0.1], [1.0, 1.0, 1.0, 0.5], [0.3, 2.0, 1.0, 0.1]])
"""Where the search for the most likely lengths, signal and noise begins."""


@dataclass(frozen=True)
class Surface:
    """A fitted surface; its four settings are those under which the values are most likely."""

    place_N2: Floats
    """Where the configurations lie, in shares 0..1 of the two ranges."""
    mean: float
    scale: float
    """The values are `mean` plus `scale` times what is fitted."""
    setting_4: Floats
    """Two lengths, the variance of the signal, the variance of the unknown noise."""
    factor_NN: Floats
    """Lower Cholesky factor of the values' covariance."""
    weight_N: Floats
    """The covariance's inverse times the values."""

    def at(self, place_G2: Floats) -> tuple[Floats, Floats]:
        """Mean [G] and standard deviation [G] of the surface, in units of the values.

        The deviation is that of the surface itself, without the noise of a single value.
        """
        cross_GN = _kernel(place_G2, self.place_N2, self.setting_4)
        solved_NG = solve_triangular(self.factor_NN, cross_GN.T, lower=True)
        variance_G = self.setting_4[2] - (solved_NG**2).sum(axis=0)
        mean_G = self.mean + self.scale * (cross_GN @ self.weight_N)
        return mean_G, self.scale * np.sqrt(np.maximum(variance_G, 0.0))


def fit_surface(place_N2: Floats, value_N: Floats, variance_N: Floats) -> Surface:
    """The surface through values whose noise has at least these variances."""
    mean, scale = float(value_N.mean()), float(value_N.std()) or 1.0
    standard_N, known_N = (value_N - mean) / scale, variance_N / scale**2
    bounds = np.log([LENGTHS, LENGTHS, SIGNALS, NOISES])
    found = [
        minimize(
            _unlikeliness, start, args=(place_N2, standard_N, known_N), bounds=bounds, tol=1e-6
        )
        for start in STARTS
    ]
    setting_4 = np.exp(min(found, key=lambda each: float(each.fun)).x)
    factor_NN = _factor(place_N2, known_N, setting_4)
    weight_N = cho_solve((factor_NN, True), standard_N)
    return Surface(place_N2, mean, scale, setting_4, factor_NN, weight_N)


def _unlikeliness(
    log_setting_4: Floats, place_N2: Floats, value_N: Floats, known_N: Floats
) -> float:
    """The negative logarithm of the values' density, without its constant."""
    factor_NN = _factor(place_N2, known_N, np.exp(log_setting_4))
    fit = value_N @ cho_solve((factor_NN, True), value_N)
    return float(0.5 * fit + np.log(np.diag(factor_NN)).sum())


def _factor(place_N2: Floats, known_N: Floats, setting_4: Floats) -> Floats:
    covariance_NN = _kernel(place_N2, place_N2, setting_4) + np.diag(known_N + setting_4[3])
    return cast(Floats, np.tril(cho_factor(covariance_NN, lower=True)[0]))


def _kernel(left_N2: Floats, right_M2: Floats, setting_4: Floats) -> Floats:
    apart_NM2 = (left_N2[:, None] - right_M2[None]) / setting_4[:2]
    covariance_NM: Floats = setting_4[2] * np.exp(-0.5 * (apart_NM2**2).sum(axis=-1))
    return covariance_NM
