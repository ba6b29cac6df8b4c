"""The range and the largest of independent normals with means and spreads of their own.

A gap is a range: the largest of the groups' AUCs less the smallest. Array suffixes: G groups,
x places of an integral.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq
from scipy.special import ndtr

from fairfm_core.evaluation.arrays import Floats

REACH = 8.0
"""Standard deviations over which integrals run."""
PLACES = 241
"""Places of an integral over one normal."""


def range_probability(gap: float, mean_G: Floats, sd_G: Floats) -> float:
    """P(largest - smallest <= gap): sum over g of the integral of g's density times the product
    over the others of P(x <= other <= x + gap)."""
    z_x = np.linspace(-REACH, REACH, PLACES)
    density_x = np.exp(-(z_x**2) / 2) / np.sqrt(2 * np.pi)
    total = 0.0
    for g in range(len(mean_G)):
        x_x = mean_G[g] + sd_G[g] * z_x
        others = [h for h in range(len(mean_G)) if h != g]
        above_xh = (x_x[:, None] - mean_G[others]) / sd_G[others]
        inside_xh = ndtr(above_xh + gap / sd_G[others]) - ndtr(above_xh)
        total += float(np.trapezoid(density_x * inside_xh.prod(axis=1), z_x))
    return min(1.0, total)


def range_quantile(probability: float, sd_G: Floats) -> float:
    """The gap that normals with equal means stay below with this probability."""
    largest = 2 * REACH * float(sd_G.max())
    none_G = np.zeros(len(sd_G))

    def excess(gap: float) -> float:
        return range_probability(gap, none_G, sd_G) - probability

    return float(brentq(excess, 0.0, largest, xtol=1e-5 * largest))


@dataclass(frozen=True, eq=False)
class Largest:
    """The largest of independent normals with mean 0."""

    mean: float
    variance: float
    share_G: Floats
    """Probability that each is the largest."""


def largest_of(sd_G: Floats) -> Largest:
    """Moments of the largest of normals with mean 0 and these standard deviations."""
    x_x = np.linspace(-REACH, REACH, 4 * PLACES) * float(sd_G.max())
    below_xG = ndtr(x_x[:, None] / sd_G)
    density_xG = np.exp(-((x_x[:, None] / sd_G) ** 2) / 2) / (sd_G * np.sqrt(2 * np.pi))
    of_g = [
        density_xG[:, g] * np.delete(below_xG, g, axis=1).prod(axis=1) for g in range(len(sd_G))
    ]
    share_G = np.array([np.trapezoid(each, x_x) for each in of_g])
    density_x = np.sum(of_g, axis=0)
    mean = float(np.trapezoid(x_x * density_x, x_x))
    variance = float(np.trapezoid((x_x - mean) ** 2 * density_x, x_x))
    return Largest(mean, variance, share_G)
