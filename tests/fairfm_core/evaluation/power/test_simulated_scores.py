"""Simulated AUCs against the plain AUC of the same scores."""

from __future__ import annotations

import numpy as np
import pytest

from fairfm_core.evaluation.auc import auc
from fairfm_core.evaluation.power.simulated_scores import (
    clustered_noise,
    images_of,
    shifted_aucs,
)


def test_shifted_aucs_are_those_of_each_test_set() -> None:
    random = np.random.default_rng(3)
    negative_RN, positive_RN = random.normal(size=(7, 31)), random.normal(size=(7, 12))
    shift_K = np.array([-0.5, 0.0, 1.2])
    found_KR = shifted_aucs(negative_RN, positive_RN, shift_K)
    labels = np.repeat([0, 1], [31, 12])
    for k, r in np.ndindex(3, 7):
        scores = np.append(negative_RN[r], positive_RN[r] + shift_K[k])
        assert found_KR[k, r] == pytest.approx(auc(scores, labels), abs=1e-12)


@pytest.mark.parametrize("mean", [1.0, 1.5, 2.3, 7.0])
def test_images_are_whole_numbers_with_the_mean(mean: float) -> None:
    images_Q = images_of(100, mean)
    assert images_Q.min() >= 1
    assert images_Q.sum() == pytest.approx(100 * mean, abs=1)


def test_the_noise_of_a_patient_correlates() -> None:
    noise_RN = clustered_noise(np.array([2, 2]), 0.3, 20_000, np.random.default_rng(0))
    assert noise_RN.std() == pytest.approx(1, abs=0.02)
    assert np.corrcoef(noise_RN.T)[0, 1:] == pytest.approx([0.3, 0, 0], abs=0.03)
