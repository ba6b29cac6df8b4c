"""The short version of the simulations of `make bench`: comparisons, extremes, seed levels.

Bounds are wide, at three standard errors: what they catch is a method that does not hold at all.
"""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks import comparisons, extremes, seed_levels
from benchmarks.simulated import (
    SimulatedWorld,
    influences,
    patient_draws,
    resampled,
    true_auc,
)

REPETITIONS = 100
MOST = 0.05 + 3 * np.sqrt(0.05 * 0.95 / REPETITIONS)
FAIR = comparisons.AUCS["fair"]


def test_the_simulated_auc_is_that_of_all_pairs() -> None:
    random = np.random.default_rng(0)
    label, score = random.random(60) < 0.4, random.integers(0, 9, 60).astype(float)
    member = random.random(60) < 0.7
    auc, influence = influences(label, score, member)
    above, below = score[member & label], score[member & ~label]
    wins = [(a > b) + 0.5 * (a == b) for a in above for b in below]
    assert auc == pytest.approx(np.mean(wins))
    assert influence.sum() == pytest.approx(0, abs=1e-12)
    assert (influence[~member] == 0).all()


def test_replicates_to_first_order_are_those_of_the_full_bootstrap() -> None:
    random = np.random.default_rng(1)
    drawn = SimulatedWorld((150, 90), ((0.85, 0.8),), (2,), 0.02).draw(random)
    weights = patient_draws(random, drawn.patients, 40)
    values, first_order = drawn.replicates(0, weights)
    full = resampled(drawn, 0, weights)
    once = resampled(drawn, 0, np.ones((1, drawn.patients)))[0]
    np.testing.assert_allclose(values, once, atol=1e-12)
    assert np.corrcoef(first_order.ravel(), full.ravel())[0, 1] > 0.97
    np.testing.assert_allclose(first_order.std(axis=0), full.std(axis=0), rtol=0.15)


@pytest.mark.slow
def test_null_comparisons_are_rarely_significant_with_a_spread_between_trainings() -> None:
    several = comparisons.simulated(
        SimulatedWorld(comparisons.SMALL, FAIR, (3, 3), 0.02), REPETITIONS
    )
    for number in comparisons.NUMBERS:
        assert np.mean(np.array(several.p_values[number, "now"]) <= 0.05) <= MOST, number
    one = comparisons.simulated(SimulatedWorld(comparisons.SMALL, FAIR, (1, 1), 0.02), REPETITIONS)
    assert one.p_values["auc", "now"] == [], "one training each: no p-value"
    assert np.mean(np.array(one.p_values["auc", "before"]) <= 0.05) > MOST, "what it would be"
    assert np.mean(np.array(one.p_values["auc", "lent"]) <= 0.05) <= MOST


@pytest.mark.slow
def test_comparisons_have_no_less_power_than_before() -> None:
    auc = comparisons.AUCS[comparisons.POWER]
    cell = comparisons.simulated(SimulatedWorld(comparisons.SMALL, auc, (3, 3), 0.01), REPETITIONS)
    power = {a: np.mean(np.array(cell.p_values["gap", a]) <= 0.05) for a in ("before", "now")}
    assert power["now"] >= power["before"]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["equal", "one .10 low"])
def test_intervals_of_extremes_cover(name: str) -> None:
    world = SimulatedWorld(extremes.SIZES[3], (extremes.worlds(3)[name],))
    rows = extremes.simulated(world, REPETITIONS)
    for kind in extremes.KINDS:
        of_kind = [row[kind] for row in rows]
        assert np.mean(extremes.covered(of_kind, "now")) >= 1 - MOST, kind
        plain = np.mean([row.plain - row.truth for row in of_kind])
        now = np.mean([row.now.corrected - row.truth for row in of_kind])
        assert abs(now) < abs(plain) or abs(plain) < 0.004, kind


@pytest.mark.slow
def test_intervals_and_comparisons_hold_where_pretrainings_vary_most() -> None:
    """Taking adaptations of one pre-training as independent does not hold there."""
    world = next(w for w in seed_levels.grid() if w.pretraining_spread == 0.03)
    outcomes = seed_levels.simulated(world, REPETITIONS)
    for number in seed_levels.NUMBERS:
        assert np.mean(seed_levels.coverage(outcomes, number, "now")) >= 1 - MOST, number
        assert np.mean(seed_levels.significant(outcomes, number, "now")) <= MOST, number
    assert np.mean(seed_levels.coverage(outcomes, "auc", "patients")) < 1 - MOST
    assert np.mean(seed_levels.significant(outcomes, "auc", "adaptations")) > MOST


def test_the_expected_auc_is_the_mean_over_training_runs() -> None:
    """Standard error of the mean: 0.0004."""
    world = SimulatedWorld(
        (2, 2), ((0.75, 0.9),), (20_000,), 0.03, pretrainings=10_000, pretraining_spread=0.05
    )
    distances = world._distances(np.array(world.auc[0]), 20_000, np.random.default_rng(0))
    found = np.array([[true_auc(d) for d in each] for each in distances]).mean(axis=0)
    np.testing.assert_allclose(found, world.expected[0], atol=0.0016)
    assert (np.abs(world.expected[0] - world.auc[0]) > 0.001).all()
