"""Gaps of smaller and larger studies against patients written out, draw by draw."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from fairfm_core.config.evaluation import EvaluationSettings
from fairfm_core.evaluation.curves.gap_by_size import gaps_by_size
from fairfm_core.evaluation.evaluate import split_problem
from fairfm_core.evaluation.predictions import Predictions
from fairfm_core.seeding import stream

from ..cohorts import cohort


def test_each_draw_is_that_of_patients_written_out() -> None:
    frame = cohort(120, harm=0.5, unknown=0.0)
    settings = EvaluationSettings(attributes=("sex",), replicates=3, metrics=("auc",))
    problem = split_problem([Predictions(frame)], "test", "full", settings)
    ids = np.unique(frame["patient_id"])
    (found,) = gaps_by_size(problem, "mean_of_gaps", [100])
    random = stream(settings.seed, "study of a size", 100)
    for gap in found.gap_B:
        drawn = ids[random.integers(len(ids), size=100)]
        rows = frame.set_index("patient_id").loc[drawn]
        groups = [rows[rows["sex"] == sex] for sex in ("F", "M")]
        aucs = [
            [roc_auc_score(g[f"y_{p}"], g[f"p_{p}"].astype("float32")) for g in groups]
            for p in problem.sample.pathologies
        ]
        assert gap == pytest.approx(np.mean([max(a) - min(a) for a in aucs]), abs=1e-12)


def test_the_null_falls_with_the_root_of_the_size_and_a_planted_gap_stays() -> None:
    frame = cohort(600, harm=1.2, unknown=0.0)
    settings = EvaluationSettings(attributes=("race",), replicates=60, metrics=("auc",))
    problem = split_problem([Predictions(frame)], "test", "full", settings)
    small, large = gaps_by_size(problem, "gap_of_mean", [600, 9600])
    assert np.nanmean(small.null_B) / np.mean(large.null_B) == pytest.approx(4, rel=0.3)
    assert np.mean(large.gap_B) > 0.5 * np.nanmean(small.gap_B)
    assert large.found(0.95) == 1.0
    assert large.undefined == 0.0
