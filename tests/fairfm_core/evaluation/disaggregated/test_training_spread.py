"""Intervals that cover the spread between training runs as well as the sampling of patients."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from fairfm_core.config.evaluation import EvaluationSettings
from fairfm_core.evaluation.disaggregated.estimates import estimates, with_training_spread
from fairfm_core.evaluation.evaluate import evaluate_seeds
from fairfm_core.evaluation.metrics import AUC, FAMILIES
from fairfm_core.evaluation.predictions import Predictions
from fairfm_core.evaluation.resampling.training_runs import TrainingRuns

SLOPE = FAMILIES["calibration"][0]
"""A metric without bounds."""


def frame(training_runs, confidence=0.95):
    return SimpleNamespace(training_runs=training_runs, confidence=confidence)


def row(value=0.8, lo=0.77, hi=0.82):
    return {"value": value, "lo": lo, "hi": hi, "reason": None}


def test_each_limit_keeps_its_own_distance_for_patients():
    value_SM = np.array([[0.7], [0.9]])
    training_runs = TrainingRuns.apart(2)
    reach = training_runs.reach(value_SM, 0.95).item()
    (found,) = with_training_spread([row()], value_SM, frame(training_runs), SLOPE)
    assert found["lo"] == pytest.approx(0.8 - np.hypot(0.03, reach))
    assert found["hi"] == pytest.approx(0.8 + np.hypot(0.02, reach))
    assert reach == pytest.approx(12.706 * 0.1, rel=1e-4)
    (bounded,) = with_training_spread([row()], value_SM, frame(training_runs), AUC)
    assert (bounded["lo"], bounded["hi"]) == (0.0, 1.0)
    (difference,) = with_training_spread([row()], value_SM, frame(training_runs), AUC, lowest=-1.0)
    assert difference["lo"] == found["lo"]


def test_equal_trainings_leave_the_interval_of_the_patients():
    value_SM = np.full((4, 1), 0.8)
    (found,) = with_training_spread([row()], value_SM, frame(TrainingRuns.of("aabb")), AUC)
    assert (found["lo"], found["hi"]) == (pytest.approx(0.77), pytest.approx(0.82))
    # An interval that does not hold the value, as percentiles of a biased number, stays as it is.
    shifted = row(value=0.85)
    (found,) = with_training_spread([shifted], value_SM, frame(TrainingRuns.of("aabb")), AUC)
    assert (found["lo"], found["hi"]) == (pytest.approx(0.77), pytest.approx(0.85))


def test_what_has_no_interval_gets_none():
    value_SM = np.array([[0.7, 0.7], [0.9, 0.9]])
    rows = [row(lo=None, hi=None), row(lo=np.nan, hi=np.nan)]
    assert with_training_spread(rows, value_SM, frame(TrainingRuns.apart(2)), AUC) == rows
    assert with_training_spread([row()], value_SM, frame(None), AUC) == [row()]


def simulated_coverage(training_runs, worlds=500):
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
        value_SM, replicate_BSM = seen_NS.mean(axis=0)[:, None], (share_BN @ seen_NS)[:, :, None]
        numbers = estimates(value_SM, replicate_BSM, [None], [60], 0.95)
        (found,) = with_training_spread(numbers, value_SM, frame(training_runs), SLOPE)
        covered += found["lo"] <= 0 <= found["hi"]
    return covered / worlds


@pytest.mark.slow
def test_the_interval_covers_where_pretrainings_vary_and_ignoring_them_does_not():
    """Standard error of each share: 0.01 at 0.95."""
    both = simulated_coverage(TrainingRuns.of("aabbcc"))
    adaptations = simulated_coverage(TrainingRuns.apart(6))
    patients = simulated_coverage(None)
    assert 0.93 <= both <= 0.99
    assert adaptations < 0.91, "adaptations of one pre-training are not independent"
    assert patients < 0.80


def test_values_stay_and_intervals_widen(make_frame):
    settings = EvaluationSettings(replicates=60, metrics=("auc",))
    seeds = [Predictions(make_frame(model=model)) for model in range(4)]
    plain = evaluate_seeds(seeds, settings)
    both = evaluate_seeds(seeds, settings, TrainingRuns.of("aabb"))
    for name in ("metrics", "gaps", "differences"):
        one, other = getattr(plain, name), getattr(both, name)
        assert one["value"].equals(other["value"])
        defined = one["lo"].notna()
        assert defined.any()
        assert (other["lo"] <= one["lo"])[defined].all()
        assert (other["hi"] >= one["hi"])[defined].all()
        widths = [(each["hi"] - each["lo"])[defined].mean() for each in (one, other)]
        assert widths[1] > 1.2 * widths[0]
    for one, other in zip(
        plain.replicates["replicates"], both.replicates["replicates"], strict=True
    ):
        np.testing.assert_array_equal(one, other)
