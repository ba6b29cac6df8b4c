"""Smallest detectable gaps by formula: known cases, directions, and the way back to patients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy.special import ndtri

from fairfm_core.evaluation.power.auc_variance import auc_variance
from fairfm_core.evaluation.power.formula import (
    detectable_difference,
    detectable_gap,
    gap_power,
    null_gap,
    patients_for,
)
from fairfm_core.evaluation.power.setting import PowerSetting

from .settings import planned

Detectable = Callable[[PowerSetting], float | None]


def gap_of(**changes: Any) -> float:
    gap = detectable_gap(planned(**changes))
    assert gap is not None
    return gap


def test_two_equal_groups_are_a_two_sided_test() -> None:
    """Of a difference of two AUCs: (1.96 + 0.84) standard errors, those of the two AUCs."""
    setting = planned(20_000, {"F": 0.5, "M": 0.5})
    gap = detectable_gap(setting)
    assert gap is not None
    variance = float(auc_variance(np.array(0.8), np.array([8000.0, 2000.0]), 1, 0.5))
    assert gap == pytest.approx((ndtri(0.975) + ndtri(0.8)) * np.sqrt(2 * variance), rel=0.04)


def test_power_at_the_detectable_gap_is_80_percent() -> None:
    setting = planned()
    gap = detectable_gap(setting)
    assert gap is not None
    assert gap_power(setting, gap) == pytest.approx(0.8, abs=1e-3)
    assert gap_power(setting, 1e-9) == pytest.approx(0.05, abs=1e-3)
    assert gap > null_gap(setting).hi > null_gap(setting).mean


def test_more_evidence_detects_smaller_gaps() -> None:
    gaps = [gap_of(patients=patients) for patients in (1000, 2000, 8000, 64_000)]
    assert gaps == sorted(gaps, reverse=True)
    assert gap_of(patients=64_000) == pytest.approx(gap_of(patients=16_000) / 2, rel=0.05)
    usual = gap_of()
    assert gap_of(images=3.0) < usual
    assert gap_of(images=3.0, patient_correlation=0.99) == pytest.approx(usual, rel=0.02)
    assert gap_of(pathologies=4) == pytest.approx(usual / 2, rel=0.1)
    assert gap_of(prevalence=(0.1,)) > usual
    assert gap_of(seeds=3, seed_sd=0.02) > usual
    assert gap_of(seeds=10, seed_sd=0.02) < gap_of(seeds=3, seed_sd=0.02)
    assert gap_of(lower="white") > 0


def test_models_that_resemble_each_other_are_compared_better() -> None:
    alike, unlike = (detectable_difference(planned(8000, model_correlation=r)) for r in (0.9, 0.1))
    assert alike is not None
    assert unlike is not None
    assert alike < unlike / 2


@pytest.mark.parametrize("detectable", [detectable_gap, detectable_difference])
def test_patients_lead_back_to_their_gap(detectable: Detectable) -> None:
    setting = planned()
    patients = patients_for(setting, 0.05, detectable)
    assert patients is not None
    back = detectable(setting.scaled(patients / 2000))
    assert back == pytest.approx(0.05, rel=1e-3)


def test_a_large_gap_needs_the_patients_of_a_p_value() -> None:
    """20 patients with a finding in the smallest group: 0.15 x 0.2 of all."""
    assert patients_for(planned(), 0.299, detectable_gap) == pytest.approx(20 / 0.03)


def test_what_cannot_be_detected_is_none() -> None:
    small = planned(700, auc=0.6)
    assert detectable_gap(small) is None
    assert detectable_difference(small) is None
    assert patients_for(small, 1e-6, detectable_gap) is None
