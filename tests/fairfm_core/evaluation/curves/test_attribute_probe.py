"""The attribute probe against scikit-learn, with planted and with absent information."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from fairfm_core.config.evaluation import EvaluationSettings
from fairfm_core.evaluation.curves.attribute_probe import Encoding, encoded, ridge_logistic
from fairfm_core.evaluation.kernels.recalibration import logit
from fairfm_core.evaluation.predictions import Sample, sample_of

from ..cohorts import cohort

SETTINGS = EvaluationSettings(replicates=40)


def samples(told: float = 0.0) -> tuple[Sample, Sample]:
    """Validation and test; scores of Black patients are higher by `told` logits."""
    frames = [cohort(400, split, seed, unknown=0.0) for seed, split in enumerate(("val", "test"))]
    frame = pd.concat(frames, ignore_index=True)
    raised = told * (frame["race"] == "Black")
    frame["p_Edema"] = 1 / (1 + np.exp(-logit(frame["p_Edema"].to_numpy()) - raised))
    first, other = (sample_of([frame], name, ("Edema", "Fracture")) for name in ("val", "test"))
    return first, other


def probe(told: float, attribute: str = "race") -> Encoding:
    return encoded(*samples(told), attribute, SETTINGS)


def test_the_fit_is_scikit_learns() -> None:
    random = np.random.default_rng(0)
    inputs, positive = random.normal(size=(200, 5)), random.random(200) < 0.3
    theirs = LogisticRegression(C=1.0, tol=1e-10, max_iter=1000).fit(inputs, positive)
    expected = [*theirs.intercept_, *theirs.coef_[0]]
    np.testing.assert_allclose(ridge_logistic(inputs, positive), expected, atol=1e-6)


def test_values_and_draws_are_those_of_scikit_learn() -> None:
    fit, test = samples(1.0)
    found = encoded(fit, test, "race", SETTINGS)
    inputs = [logit(each.score_SPN[0]).T for each in (fit, test)]
    scaled = [(each - inputs[0].mean(axis=0)) / inputs[0].std(axis=0) for each in inputs]
    for g, race in enumerate(found.groups):
        member = [(each.frame["race"] == race).to_numpy() for each in (fit, test)]
        model = LogisticRegression(C=1.0, tol=1e-10, max_iter=1000).fit(scaled[0], member[0])
        expected = roc_auc_score(member[1], model.decision_function(scaled[1]))
        assert found.value_G[g] == pytest.approx(expected, abs=1e-6)
    assert abs(found.draw_BG.mean(axis=0) - found.value_G).max() < 0.03


def test_what_is_told_is_found_and_what_is_not_lies_in_the_null() -> None:
    told, silent = probe(2.0), probe(0.0, "sex")
    black = told.groups.index("Black")
    assert told.value_G[black] > 0.8 > 0.65 > told.null_BG[:, black].max()
    assert told.within_label_G[black] > 0.8
    assert silent.value_G[0] == pytest.approx(silent.value_G[1], abs=1e-6)
    low, high = np.quantile(silent.null_BG[:, 0], [0.0, 1.0])
    assert low <= silent.value_G[0] <= high
    assert silent.null_BG.mean() == pytest.approx(0.5, abs=0.03)


def test_a_group_that_a_split_lacks_has_no_value() -> None:
    fit, test = samples()
    lacking = fit.frame.assign(race=fit.frame["race"].replace("Black", None), split="val")
    scored = {f"p_{p}": fit.score_SPN[0, n] for n, p in enumerate(fit.pathologies)}
    other = sample_of([lacking.assign(**scored)], "val", fit.pathologies, test.images.all_splits)
    found = encoded(other, test, "race", SETTINGS)
    assert np.isnan(found.value_G).tolist() == [group == "Black" for group in found.groups]
    assert np.isnan(found.draw_BG[:, found.groups.index("Black")]).all()
