"""What a power calculation assumes of the models, beside the cohort.

Scores are binormal: given its label an image's score is normal with variance 1, and in positives
its mean is d higher, so that a group's AUC is Phi(d / sqrt 2).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from fairfm_core.errors import BadInput, did_you_mean
from fairfm_core.evaluation.arrays import Floats
from fairfm_core.evaluation.power.cohort import PlannedCohort

LEVEL = 0.05
"""Share of fair models that a test calls unfair."""
POWER = 0.8
"""Share of studies that find a gap of the smallest detectable size."""
USELESS = 0.5
"""The AUC below which no group is planned."""


@dataclass(frozen=True)
class ModelAssumptions:
    """What is assumed of the models; AUCs in 0..1."""

    auc: float = 0.8
    """Of every group but the lower one."""
    seeds: int = 1
    """Training runs of a configuration, whose AUCs are averaged."""
    seed_sd: float = 0.0
    """Standard deviation, between training runs, of a group's mean AUC; 0 leaves it out."""
    patient_correlation: float = 0.5
    """Of the scores of two images of a patient, given their labels."""
    model_correlation: float = 0.5
    """Of the scores that two models give to an image, given its label."""

    def __post_init__(self) -> None:
        if not USELESS < self.auc < 1:
            raise BadInput(f"auc: must lie between 0.5 and 1, not {self.auc:g}")
        if not 0 <= self.seed_sd < USELESS:
            raise BadInput(f"seed-sd: must be at least 0 and below 0.5, not {self.seed_sd:g}")
        for name in ("patient_correlation", "model_correlation"):
            if not 0 <= (value := getattr(self, name)) < 1:
                option = name.replace("_", "-")
                raise BadInput(f"{option}: must be at least 0 and below 1, not {value:g}")


@dataclass(frozen=True, eq=False)
class PowerSetting:
    """A cohort, models, and the group whose AUC is lower."""

    cohort: PlannedCohort
    models: ModelAssumptions
    lower: int
    """Place of the lower group among the groups; all others have the same AUC."""

    @property
    def largest_gap(self) -> float:
        """The gap at which the lower group's AUC is that of a useless model."""
        return self.models.auc - USELESS

    def auc_G(self, gap: float) -> Floats:
        """The groups' AUCs at a true gap."""
        auc_G = np.full(len(self.cohort.groups), self.models.auc)
        auc_G[self.lower] -= gap
        return auc_G

    def scaled(self, factor: float) -> PowerSetting:
        """The same with `factor` times as many patients."""
        return replace(self, cohort=self.cohort.scaled(factor))

    @property
    def lower_group(self) -> str:
        """The name of the lower group."""
        return self.cohort.groups[self.lower]


def power_setting(
    cohort: PlannedCohort, models: ModelAssumptions, lower: str | None = None
) -> PowerSetting:
    """The setting with the lower group by name, by default the smallest.

    Raises BadInput for an unknown group, and for a cohort of which no gap would have a p-value.
    """
    cohort.check_tested()
    if lower is None:
        return PowerSetting(cohort, models, cohort.smallest)
    if lower not in cohort.groups:
        hint = did_you_mean(lower, cohort.groups)
        raise BadInput(f"unknown group {lower!r}{hint}; one of: {', '.join(cohort.groups)}")
    return PowerSetting(cohort, models, cohort.groups.index(lower))
