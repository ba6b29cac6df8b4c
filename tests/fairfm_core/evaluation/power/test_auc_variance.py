"""The variance of an AUC against integrals and against drawn scores."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import ndtr, ndtri

from fairfm_core.evaluation.power.auc_variance import (
    auc_variance,
    joint_excess,
    model_correlation_of_errors,
)
from fairfm_core.evaluation.power.setting import ModelAssumptions
from fairfm_core.evaluation.power.simulated_scores import SimulatedCell


@pytest.mark.parametrize("correlation", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("auc", [0.5, 0.8, 0.95])
def test_joint_excess_is_the_covariance_of_placements(auc: float, correlation: float) -> None:
    """E[Phi(x + d) Phi(y + d)] - A^2 for correlated standard normals, as a double integral."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(60)
    weights = weights / weights.sum()
    d = np.sqrt(2) * ndtri(auc)
    y_xy = correlation * nodes[:, None] + np.sqrt(1 - correlation**2) * nodes
    both = weights @ (ndtr(nodes + d)[:, None] * ndtr(y_xy + d)) @ weights
    assert joint_excess(np.array(auc), correlation) == pytest.approx(both - auc**2, abs=1e-6)


@pytest.mark.parametrize(
    ("auc", "patients", "images"),
    [(0.8, (300, 30), 1), (0.9, (100, 100), 1), (0.7, (200, 40), 4), (0.8, (150, 25), 1.5)],
)
def test_the_variance_is_that_of_drawn_scores(
    auc: float, patients: tuple[int, int], images: float
) -> None:
    models = ModelAssumptions()
    cell = SimulatedCell.of(np.array(patients, dtype=float), images, models)
    true_K = np.array([auc])
    a_KR, b_KR = cell.aucs([true_K, true_K], 2000, np.random.default_rng(0))
    assert a_KR.mean() == pytest.approx(auc, abs=0.004)
    expected = auc_variance(np.array(auc), np.array(patients, dtype=float), images, 0.5)
    assert a_KR.std() == pytest.approx(np.sqrt(expected), rel=0.06)
    shared = model_correlation_of_errors(np.array(auc), images, 0.5, 0.5)
    assert np.corrcoef(a_KR[0], b_KR[0])[0, 1] == pytest.approx(float(shared), abs=0.06)


def test_images_of_a_patient_that_tell_the_same_count_as_one() -> None:
    patients_2 = np.array([200.0, 50.0])
    once = auc_variance(np.array(0.8), patients_2, 1, 0.999999)
    assert auc_variance(np.array(0.8), patients_2, 5, 0.999999) == pytest.approx(once, rel=1e-3)
