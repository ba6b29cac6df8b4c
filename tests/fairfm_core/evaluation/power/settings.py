"""Planned cohorts that the tests of power share."""

from __future__ import annotations

from typing import Any

from fairfm_core.evaluation.power.cohort import cohort_of_numbers
from fairfm_core.evaluation.power.setting import ModelAssumptions, PowerSetting, power_setting

THREE = {"white": 0.6, "asian": 0.25, "black": 0.15}
SIX = dict.fromkeys("ABCDEF", 1 / 6)


def planned(
    patients: int = 2000,
    shares: dict[str, float] | None = None,
    prevalence: tuple[float, ...] = (0.2,),
    images: float = 1.0,
    pathologies: int = 1,
    lower: str | None = None,
    **models: Any,
) -> PowerSetting:
    """A setting from numbers."""
    cohort = cohort_of_numbers(patients, shares or THREE, prevalence, images, pathologies)
    return power_setting(cohort, ModelAssumptions(**models), lower)
