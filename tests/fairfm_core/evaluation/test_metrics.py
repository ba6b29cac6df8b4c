"""A metric is one function and one row: no other file knows its name."""

from __future__ import annotations

import numpy as np
import pytest

from fairfm_core.config.evaluation import METRIC_FAMILIES, EvaluationSettings
from fairfm_core.errors import BadInput
from fairfm_core.evaluation.evaluate import evaluate
from fairfm_core.evaluation.metrics import FAMILIES, Metric, check_families, ratio
from fairfm_core.evaluation.predictions import Predictions
from tests.fairfm_core.evaluation.cohorts import cohort, pick


def test_a_new_row_is_all_that_a_new_metric_needs(monkeypatch):
    def prevalence(sums):
        return ratio(sums["positives"], sums["positives"] + sums["negatives"])

    row = (Metric("prevalence", 0.0, (), prevalence, reference=1.0),)
    monkeypatch.setitem(FAMILIES, "prevalence", row)
    settings = EvaluationSettings(metrics=("auc", "prevalence"), replicates=20)
    frame = cohort(600)
    result = evaluate(Predictions(frame), settings)
    where = {"pathology": "Edema", "attribute": "race", "metric": "prevalence"}
    for group, rows in frame.groupby("race"):
        cell = pick(result.metrics, group=group, **where)
        assert cell["value"] == pytest.approx(rows["y_Edema"].mean(), abs=1e-12)
        assert cell["lo"] < cell["value"] < cell["hi"]
    gap = pick(result.gaps, metric="prevalence", attribute="race", definition="gap_of_mean")
    assert np.isfinite([gap["value"], gap["null_mean"], gap["p_value"]]).all()


def test_an_unknown_family_is_refused_with_the_nearest_known_one():
    says = r"unknown family of metrics 'breir' \(did you mean 'brier'\?\)|unknown family.*'brier'"
    with pytest.raises(BadInput, match=says):
        check_families(("auc", "breir"))
    with pytest.raises(BadInput, match=says):
        evaluate(Predictions(cohort(60)), EvaluationSettings(metrics=("breir",)))


def test_the_default_families_are_known_and_leave_no_trace_in_a_fingerprint():
    check_families(METRIC_FAMILIES)
    assert EvaluationSettings(metrics=METRIC_FAMILIES).content() == {}
    assert EvaluationSettings(metrics=("auc",)).content() == {"metrics": ["auc"]}
