"""Independent trainings: what is drawn, what is averaged, and what intervals then cover."""

from __future__ import annotations

from collections import Counter
from itertools import product

import numpy as np
import pytest
from scipy import stats

from fairfm_core.config.evaluation import EvaluationSettings
from fairfm_core.errors import BadInput
from fairfm_core.evaluation.evaluate import evaluate_seeds
from fairfm_core.evaluation.predictions import Predictions
from fairfm_core.evaluation.resampling.trainings import IntervalMaker, Trainings

BALANCED = ["a", "a", "a", "b", "b", "b"]
UNEQUAL = ["a", "b", "a", "c", "a", "b"]


def test_names_are_numbered_in_order_of_appearance():
    assert Trainings.of(UNEQUAL).unit_of == (0, 1, 0, 2, 0, 1)
    assert Trainings.of([7]).number == 1
    assert Trainings.apart(3) == Trainings.of("xyz")
    assert Trainings.apart(3).all_apart
    assert not Trainings.of(UNEQUAL).all_apart
    with pytest.raises(BadInput, match="no trainings"):
        Trainings.of([])


def test_of_equal_sizes_the_means_are_those_of_the_models():
    value_SM = np.random.default_rng(0).normal(size=(6, 4))
    expected = [value_SM[:3].mean(axis=0), value_SM[3:].mean(axis=0)]
    np.testing.assert_allclose(Trainings.of(BALANCED).means(value_SM), expected)


def test_of_unequal_sizes_the_mean_is_still_that_of_all_models():
    value_S = np.random.default_rng(1).normal(size=6)
    means = Trainings.of(UNEQUAL).means(value_S)
    assert means.mean() == pytest.approx(value_S.mean())
    # Deviations count by the training's share of the models: 3, 2 and 1 of 6, times 3 trainings.
    by_hand = [value_S[[0, 2, 4]].mean(), value_S[[1, 5]].mean(), value_S[3]]
    shares = [3 * 3 / 6, 3 * 2 / 6, 3 * 1 / 6]
    deviations = [w * (m - value_S.mean()) for w, m in zip(shares, by_hand, strict=True)]
    np.testing.assert_allclose(means - value_S.mean(), deviations)


def test_the_standard_error_is_that_of_the_nested_analysis_of_variance():
    """Mean square between pre-trainings / number of models."""
    value_S = np.random.default_rng(2).normal(size=6)
    groups = value_S[:3], value_S[3:]
    between = sum(3 * (g.mean() - value_S.mean()) ** 2 for g in groups) / (2 - 1)
    error = Trainings.of(BALANCED).standard_error(value_S[:, None])
    assert error.item() == pytest.approx(np.sqrt(between / 6))


def slowly_drawn(names, replicates, random):
    """Trainings with replacement, then models within each, one at a time."""
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
    drawn = Trainings.of(names).drawn_models(50, np.random.default_rng(3))
    assert drawn.tolist() == slowly_drawn(names, 50, np.random.default_rng(3))


def test_all_nested_draws_are_equally_likely():
    """Two trainings of two models: 4 draws of trainings, each with 16 of models within."""
    members = {"a": (0, 1), "b": (2, 3)}
    expected = Counter(
        (*first, *second)
        for one, two in product("ab", repeat=2)
        for first in product(members[one], repeat=2)
        for second in product(members[two], repeat=2)
    )
    drawn = Trainings.of("aabb").drawn_models(64_000, np.random.default_rng(4))
    found = Counter(map(tuple, drawn.tolist()))
    assert found.keys() == expected.keys()
    assert len(expected) == 64
    assert stats.chisquare([found[key] for key in expected]).pvalue > 1e-4


def test_trainings_of_one_model_each_are_drawn_as_seeds_always_were():
    drawn = Trainings.apart(4).drawn_models(30, np.random.default_rng(5))
    assert (drawn == np.random.default_rng(5).integers(4, size=(30, 4))).all()


def test_without_noise_of_patients_the_interval_is_students():
    value_SM = np.random.default_rng(6).normal(size=(6, 2))
    constant_BSM = np.broadcast_to(value_SM, (2000, 6, 2))
    maker = IntervalMaker(0.95, 0, Trainings.of(["a", "a", "b", "b", "c", "c"]))
    for m, interval in enumerate(maker.intervals(value_SM, constant_BSM)):
        means = value_SM[:, m].reshape(3, 2).mean(axis=1)
        exact = stats.ttest_1samp(means, 0).confidence_interval(0.95)
        assert interval.lo == pytest.approx(exact.low, abs=0.02 * (exact.high - exact.low))
        assert interval.hi == pytest.approx(exact.high, abs=0.02 * (exact.high - exact.low))


def test_equal_trainings_leave_the_interval_of_the_patients():
    value_SM = np.full((4, 1), 0.8)
    replicate_BSM = np.repeat(np.random.default_rng(7).normal(0.8, 0.01, (500, 1, 1)), 4, axis=1)
    plain = IntervalMaker(0.95, 0).intervals(value_SM, replicate_BSM)
    both = IntervalMaker(0.95, 0, Trainings.of("aabb")).intervals(value_SM, replicate_BSM)
    assert both == plain


def simulated_coverage(trainings, worlds=500):
    """How often the interval of a mean over 3 pre-trainings x 2 adaptations covers the truth, 0.

    A model's value is the mean over 60 patients of pre-training + adaptation + patient + the
    model's own error on the patient; the pre-training varies most.
    """
    covered = 0
    for world in range(worlds):
        random = np.random.default_rng(world)
        pretraining_S = np.repeat(random.normal(0, 1.0, 3), 2)
        model_S = pretraining_S + random.normal(0, 0.5, 6)
        patient_N1 = random.normal(0, 4.0, (60, 1))
        seen_NS = model_S + patient_N1 + random.normal(0, 1.5, (60, 6))
        share_BN = random.multinomial(60, np.full(60, 1 / 60), 200) / 60
        maker = IntervalMaker(0.95, world, trainings)
        replicate_BSM = (share_BN @ seen_NS)[:, :, None]
        (interval,) = maker.intervals(seen_NS.mean(axis=0)[:, None], replicate_BSM)
        covered += interval.lo <= 0 <= interval.hi
    return covered / worlds


@pytest.mark.slow
def test_the_interval_covers_where_pretrainings_vary_and_ignoring_them_does_not():
    """Standard error of each share: 0.01 at 0.95."""
    both = simulated_coverage(Trainings.of("aabbcc"))
    adaptations = simulated_coverage(Trainings.apart(6))
    patients = simulated_coverage(None)
    assert 0.93 <= both <= 0.99
    assert adaptations < 0.91, "adaptations of one pre-training are not independent"
    assert patients < 0.80


def test_values_stay_and_intervals_widen(make_frame):
    settings = EvaluationSettings(replicates=60, permutations=10, metrics=("auc",))
    seeds = [Predictions(make_frame(model=model)) for model in range(4)]
    plain = evaluate_seeds(seeds, settings)
    both = evaluate_seeds(seeds, settings, Trainings.of("aabb"))
    for name in ("metrics", "gaps", "differences"):
        one, other = getattr(plain, name), getattr(both, name)
        assert one["value"].equals(other["value"])
        defined = one["lo"].notna()
        assert defined.any()
        narrow, wide = ((each["hi"] - each["lo"])[defined] for each in (one, other))
        assert wide.mean() > 1.2 * narrow.mean()
        assert (wide > 0.9 * narrow).all()
    assert plain.replicates["replicates"].tolist() == both.replicates["replicates"].tolist()
