"""Extremes over groups: the steps by plain loops, and coverage where the truth is known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from scipy import stats

from fairfm_core.evaluation.disaggregated.extremes import (
    NEAR,
    Extreme,
    arrangement,
    gap_extreme,
    gaps,
    simultaneous,
    worst_extreme,
)


def gap_by_loops(value_KSPG):
    """For each seed and pathology the widest of the parts; then the mean."""
    parts, seeds, pathologies, _ = value_KSPG.shape
    widest = [
        max(max(value_KSPG[k, s, p]) - min(value_KSPG[k, s, p]) for k in range(parts))
        for s in range(seeds)
        for p in range(pathologies)
    ]
    return sum(widest) / len(widest)


def heights_by_loops(value_KSPG, replicates):
    """Each group's height above the lowest; one near an end is level with it."""
    heights = np.zeros(value_KSPG.shape)
    for place in np.ndindex(value_KSPG.shape[:-1]):
        values, draws = value_KSPG[place], replicates[(slice(None), *place)]
        low, high = int(np.argmin(values)), int(np.argmax(values))
        for g, value in enumerate(values):
            up, down = value - values[low], values[high] - value
            end = low if up <= down else high
            error = np.std(draws[:, g] - draws[:, end], ddof=1)
            level = 0.0 if end == low else values[high] - values[low]
            heights[place][g] = level if min(up, down) <= NEAR * error else up
    return heights


def noisy(random, shape, scale=0.02, replicates=300):
    """Values that scatter, and replicates that scatter about them."""
    value = 0.8 + random.normal(0, scale, shape)
    return value, value + random.normal(0, scale, (replicates, *shape))


@hypothesis_settings(deadline=None, max_examples=25)
@given(
    st.integers(0, 999),
    st.sampled_from([(1, 1, 1, 2), (1, 2, 3, 3), (2, 1, 2, 4)]),
    st.sampled_from([0.01, 0.1]),
)
def test_gap_and_arrangement_by_loops(seed, shape, scale):
    random = np.random.default_rng(seed)
    value = random.random(shape).round(1)
    error = random.normal(0, scale, (20, *shape))
    assert gaps(value) == pytest.approx(gap_by_loops(value))
    heights = arrangement(value, error)
    np.testing.assert_allclose(heights, heights_by_loops(value, value + error), atol=1e-12)
    assert gaps(heights) == pytest.approx(gap_by_loops(value)), "the gap is the same"


@pytest.mark.parametrize("shape", [(1, 1, 1, 3), (1, 2, 3, 3), (2, 1, 1, 2)])
def test_lower_limit_and_correction_by_a_fine_search(shape):
    random = np.random.default_rng(7)
    value, replicates = noisy(random, shape)
    limits = gap_extreme(value, replicates, 0.95)
    error, gap = replicates - value, gap_by_loops(value)
    heights = heights_by_loops(value, replicates)

    def shown(factor):
        return np.array([gap_by_loops(factor * heights + each) for each in error])

    factors = np.linspace(0, 1, 41)
    by_factor = [shown(factor) for factor in factors]
    lower = [
        f for f, all_B in zip(factors, by_factor, strict=True) if (all_B > gap).mean() <= 0.035
    ]
    means = [f for f, all_B in zip(factors, by_factor, strict=True) if all_B.mean() <= gap]
    assert limits.lo == pytest.approx(gap * max(lower, default=0.0), abs=0.05 * gap)
    assert limits.corrected == pytest.approx(gap * max(means, default=0.0), abs=0.05 * gap)
    assert 0 <= limits.lo <= gap <= limits.hi
    assert 0 <= limits.corrected <= gap


def test_two_groups_far_apart_have_the_interval_of_their_difference():
    random = np.random.default_rng(1)
    value = np.array([0.6, 0.9])
    replicates = value + random.normal(0, 0.02, (4000, 2))
    limits = gap_extreme(value[None, None, None], replicates[:, None, None, None], 0.95)
    error = (replicates[:, 1] - replicates[:, 0]).std(ddof=1)
    assert limits.corrected == pytest.approx(0.3, abs=0.001)
    assert limits.lo == pytest.approx(0.3 - stats.norm.ppf(0.965) * error, abs=0.002)
    assert limits.hi == pytest.approx(0.3 + stats.norm.ppf(0.975) * error, abs=1e-9)
    worst = worst_extreme(value[None], replicates[:, None], 0.95)
    own = replicates[:, 0].std(ddof=1)
    assert worst.corrected == pytest.approx(0.6, abs=0.001)
    assert worst.lo == pytest.approx(0.6 - stats.norm.ppf(0.975) * own)
    assert worst.hi == pytest.approx(0.6 + stats.norm.ppf(0.97) * own), "one group may be the worst"


def test_limits_of_the_worst_group_by_loops():
    random = np.random.default_rng(2)
    value, replicates = noisy(random, (2, 3))
    limits = worst_extreme(value, replicates, 0.9)
    mean, error = value.mean(axis=0), replicates.mean(axis=1).std(axis=0, ddof=1)
    each = [value[s].argmin() for s in range(2)]
    mixed = np.mean([replicates[:, s, each[s]] for s in range(2)], axis=0)
    below = stats.norm.ppf(0.95)
    lows = [m - below * e for m, e in zip(mean, error, strict=True)]
    assert limits.lo == pytest.approx(
        min(value.min(axis=1).mean() - below * mixed.std(ddof=1), *lows)
    )
    sure = simultaneous(0.1, 3)
    worst_may_be = [
        m - sure * e <= min(mean + sure * error) for m, e in zip(mean, error, strict=True)
    ]
    above = stats.norm.ppf(0.94 ** (1 / sum(worst_may_be)))
    highs = [m + above * e for m, e, may in zip(mean, error, worst_may_be, strict=True) if may]
    assert limits.hi == pytest.approx(max(min(highs), value.min(axis=1).mean()))
    assert limits.lo <= limits.corrected <= limits.hi


def test_groups_that_are_equal_and_certain_have_no_gap():
    value = np.full((1, 1, 1, 3), 0.5)
    assert gap_extreme(value, np.repeat(value[None], 5, axis=0), 0.95) == Extreme(0, 0, 0)
    worst = worst_extreme(value[0, 0], np.repeat(value[0, 0][None], 5, axis=0), 0.95)
    assert worst == Extreme(0.5, 0.5, 0.5)


def test_a_mirrored_extreme_is_that_of_the_opposite_numbers():
    assert Extreme(0.2, 0.1, 0.4).mirrored == Extreme(-0.2, -0.4, -0.1)
    assert Extreme(0.2, -0.1, 1.4).within(0, 1) == Extreme(0.2, 0, 1)


@pytest.mark.slow
@pytest.mark.parametrize("truth", [(0.8, 0.8, 0.8), (0.7, 0.8, 0.8), (0.55, 0.7, 0.85)])
def test_intervals_cover_in_fair_and_unfair_worlds(truth):
    """Normal errors, groups of unequal size. The standard error of a coverage is 1.1 points."""
    random = np.random.default_rng(3)
    scale = np.array([0.012, 0.016, 0.02])
    covered = np.zeros(2)
    errors = []
    for _ in range(400):
        value = truth + random.normal(0, scale)
        replicates = value + random.normal(0, scale, (200, 3))
        gap = gap_extreme(value[None, None, None], replicates[:, None, None, None], 0.95)
        worst = worst_extreme(value[None], replicates[:, None], 0.95)
        true_gap, true_worst = max(truth) - min(truth), min(truth)
        covered += [gap.lo <= true_gap <= gap.hi, worst.lo <= true_worst <= worst.hi]
        errors.append((np.ptp(value) - true_gap, gap.corrected - true_gap))
    assert (covered / 400 >= 0.92).all()
    plain, corrected = np.mean(errors, axis=0)
    assert abs(corrected) <= max(0.5 * abs(plain), 0.005), (plain, corrected)
