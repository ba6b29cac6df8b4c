"""Student's t distribution. scipy is loaded when a value is asked for: many commands need none."""

from __future__ import annotations


def quantile(freedom: float, probability: float) -> float:
    """The value below which Student's t lies with this probability."""
    from scipy.special import stdtrit

    return float(stdtrit(freedom, probability))


def two_sided(freedom: float, value: float) -> float:
    """The probability that Student's t is at least as far from zero as `value`."""
    from scipy.special import stdtr

    return float(2 * stdtr(freedom, -abs(value)))
