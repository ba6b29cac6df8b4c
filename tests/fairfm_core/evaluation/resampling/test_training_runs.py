"""Independent training runs: what is drawn, and what is averaged."""

from __future__ import annotations

from collections import Counter
from itertools import product

import numpy as np
import pytest
from scipy import stats

from fairfm_core.errors import BadInput
from fairfm_core.evaluation.resampling.training_runs import TrainingRuns

BALANCED = ["a", "a", "a", "b", "b", "b"]
UNEQUAL = ["a", "b", "a", "c", "a", "b"]


def test_names_are_numbered_in_order_of_appearance():
    assert TrainingRuns.of(UNEQUAL).unit_of == (0, 1, 0, 2, 0, 1)
    assert TrainingRuns.of([7]).number == 1
    assert TrainingRuns.apart(3) == TrainingRuns.of("xyz")
    assert TrainingRuns.apart(3).all_apart
    assert not TrainingRuns.of(UNEQUAL).all_apart
    with pytest.raises(BadInput, match="no training runs"):
        TrainingRuns.of([])


def test_of_equal_sizes_the_means_are_those_of_the_models():
    value_SM = np.random.default_rng(0).normal(size=(6, 4))
    expected = [value_SM[:3].mean(axis=0), value_SM[3:].mean(axis=0)]
    np.testing.assert_allclose(TrainingRuns.of(BALANCED).means(value_SM), expected)


def test_of_unequal_sizes_the_mean_is_still_that_of_all_models():
    value_S = np.random.default_rng(1).normal(size=6)
    means = TrainingRuns.of(UNEQUAL).means(value_S)
    assert means.mean() == pytest.approx(value_S.mean())
    # Deviations count by the run's share of the models: 3, 2 and 1 of 6, times 3 training runs.
    by_hand = [value_S[[0, 2, 4]].mean(), value_S[[1, 5]].mean(), value_S[3]]
    shares = [3 * 3 / 6, 3 * 2 / 6, 3 * 1 / 6]
    deviations = [w * (m - value_S.mean()) for w, m in zip(shares, by_hand, strict=True)]
    np.testing.assert_allclose(means - value_S.mean(), deviations)


def test_the_standard_error_is_that_of_the_nested_analysis_of_variance():
    """Mean square between pre-trainings / number of models."""
    value_S = np.random.default_rng(2).normal(size=6)
    groups = value_S[:3], value_S[3:]
    between = sum(3 * (g.mean() - value_S.mean()) ** 2 for g in groups) / (2 - 1)
    error = TrainingRuns.of(BALANCED).standard_error(value_S[:, None])
    assert error.item() == pytest.approx(np.sqrt(between / 6))


def slowly_drawn(names, replicates, random):
    """Training runs with replacement, then models within each, one at a time."""
    first = random.integers(len(names), size=(replicates, len(set(names))))
    within = random.random((replicates, len(names)))
    places = list(dict.fromkeys(names))
    drawn = []
    for b in range(replicates):
        training_of_place = [names[model] for model in first[b]]
        row = []
        for s, name in enumerate(names):
            training = training_of_place[places.index(name)]
            members = [model for model, each in enumerate(names) if each == training]
            row.append(members[int(within[b, s] * len(members))])
        drawn.append(row)
    return drawn


@pytest.mark.parametrize("names", [BALANCED, UNEQUAL, ["a"], ["a", "a"], list("abc")])
def test_draws_equal_those_of_a_plain_loop(names):
    drawn = TrainingRuns.of(names).drawn_models(50, np.random.default_rng(3))
    assert drawn.tolist() == slowly_drawn(names, 50, np.random.default_rng(3))


def test_all_nested_draws_are_equally_likely():
    """Two training runs of two models: 4 draws of training runs, each with 16 of models within."""
    members = {"a": (0, 1), "b": (2, 3)}
    expected = Counter(
        (*first, *second)
        for one, two in product("ab", repeat=2)
        for first in product(members[one], repeat=2)
        for second in product(members[two], repeat=2)
    )
    drawn = TrainingRuns.of("aabb").drawn_models(64_000, np.random.default_rng(4))
    found = Counter(map(tuple, drawn.tolist()))
    assert found.keys() == expected.keys()
    assert len(expected) == 64
    assert stats.chisquare([found[key] for key in expected]).pvalue > 1e-4


def test_trainings_of_one_model_each_are_drawn_as_seeds_always_were():
    drawn = TrainingRuns.apart(4).drawn_models(30, np.random.default_rng(5))
    assert (drawn == np.random.default_rng(5).integers(4, size=(30, 4))).all()


def test_the_reach_is_that_of_students_interval():
    value_SM = np.random.default_rng(6).normal(size=(6, 2))
    reach_M = TrainingRuns.of(["a", "a", "b", "b", "c", "c"]).reach(value_SM, 0.9)
    for m, reach in enumerate(reach_M):
        exact = stats.ttest_1samp(value_SM[:, m].reshape(3, 2).mean(axis=1), 0)
        limits = exact.confidence_interval(0.9)
        assert reach == pytest.approx((limits.high - limits.low) / 2)
