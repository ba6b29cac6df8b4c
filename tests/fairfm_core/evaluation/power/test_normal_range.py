"""The range of normals against known values and against drawn ones."""

from __future__ import annotations

import numpy as np
import pytest

from fairfm_core.evaluation.power.normal_range import (
    largest_of,
    range_probability,
    range_quantile,
)


@pytest.mark.parametrize(("groups", "mean"), [(2, 1.1284), (3, 1.6926), (6, 2.5344)])
def test_the_mean_range_of_equal_normals(groups: int, mean: float) -> None:
    """Tippett's values (Biometrika 1925)."""
    assert 2 * largest_of(np.ones(groups)).mean == pytest.approx(mean, abs=1e-4)


def test_two_normals_differ_by_a_normal() -> None:
    assert range_quantile(0.95, np.array([3.0, 4.0])) == pytest.approx(1.959964 * 5, rel=1e-4)


def test_unequal_normals_are_those_that_are_drawn() -> None:
    mean_G, sd_G = np.array([0.0, 1.0, 0.0]), np.array([0.1, 1.0, 2.0])
    drawn_RG = mean_G + sd_G * np.random.default_rng(0).standard_normal((100_000, 3))
    range_R = drawn_RG.max(axis=1) - drawn_RG.min(axis=1)
    for gap in (0.5, 2.0, 4.0):
        share = (range_R <= gap).mean()
        assert range_probability(gap, mean_G, sd_G) == pytest.approx(share, abs=0.006)
    largest = largest_of(sd_G)
    centred_RG = drawn_RG - mean_G
    assert largest.mean == pytest.approx(centred_RG.max(axis=1).mean(), abs=0.015)
    assert largest.variance == pytest.approx(centred_RG.max(axis=1).var(), rel=0.02)
    share_G = np.bincount(centred_RG.argmax(axis=1), minlength=3) / len(centred_RG)
    assert largest.share_G == pytest.approx(share_G, abs=0.006)
    assert largest.share_G.sum() == pytest.approx(1.0, abs=1e-3)
