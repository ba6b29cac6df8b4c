"""How predictions are evaluated: the settings, and the names of operating points."""

from __future__ import annotations

from itertools import pairwise
from typing import Literal

from pydantic import Field, field_validator

from fairfm_core.config.frozen import Frozen, some_and_distinct
from fairfm_core.errors import BadInput, did_you_mean

ProtocolName = Literal["full", "balanced", "resample", "glocker"]
METRIC_FAMILIES = ("auc", "auprc", "rates", "brier", "ece", "calibration")
"""Families that are evaluated unless a study says otherwise; all that are known, and what each
holds, stand in `evaluation/metrics.py`. Not to be extended: stored evaluations that name no
families were made with these."""
GLOCKER_ATTRIBUTES = ("race", "age")
GLOCKER_LABELS = ("Pleural Effusion", "No Finding")
AGE_EDGES = (40.0, 60.0, 80.0)
"""Inner edges of the age bins in years, unless a study sets others."""


class EvaluationSettings(Frozen):
    """How predictions are turned into metrics, gaps, intervals and nulls."""

    protocols: tuple[ProtocolName, ...] = ("full",)
    """How the images of a split are weighted; summaries, objectives and fronts use the first."""
    attributes: tuple[str, ...] = ("sex", "race")
    """Protected attributes; `race x sex` are their combinations."""
    metrics: tuple[str, ...] = METRIC_FAMILIES
    """Families of metrics; the AUC is always among them."""
    operating_points: tuple[str, ...] = ("fpr=0.2",)
    """Operating points of the rates, chosen on validation: fpr=0.2, sensitivity=0.8, f1."""
    age_edges: tuple[float, ...] = AGE_EDGES
    """Inner age-bin edges in years: (40, 60) gives <40, 40-59 and 60+."""
    replicates: int = Field(200, ge=0)
    """Bootstrap replicates, for intervals and for the null of a gap."""
    resampling: Literal["patients", "images"] = "patients"
    """Bootstrap unit. Images of one patient are not independent: `images` is for comparison with
    published intervals, and is too narrow."""
    intervals: Literal["bootstrap", "delong"] = "bootstrap"
    """`delong`: the AUC's replicates are drawn from the normal approximation with DeLong's
    covariance by patients; analytic, for the AUC and its gaps only."""
    confidence: float = Field(0.95, gt=0, lt=1)
    """Confidence level of every interval."""
    min_cases: int = Field(1, ge=1)
    """Fewest positives and fewest negatives for an AUC to be defined."""
    seed: int = Field(0, ge=0)
    """Random seed for the bootstrap."""
    balance: tuple[str, ...] = ("race", "sex")
    """Attributes to balance: `balanced` and `resample` give their combinations equal size and
    prevalence."""
    resample_factor: float = Field(3.0, gt=0)
    """Size of a drawn test set, as a multiple of the split's images."""
    resample_seed: int = Field(42, ge=0)
    """Random seed for drawn test sets."""
    permutations: int | None = Field(None, ge=0, exclude=True)
    """Without effect since nulls are made of the replicates; studies of earlier versions set it."""

    @property
    def weighed_by(self) -> tuple[str, ...]:
        """Attributes that the protocols require."""
        balance = self.balance if {"balanced", "resample"} & set(self.protocols) else ()
        return tuple(dict.fromkeys((*balance, *GLOCKER_ATTRIBUTES * ("glocker" in self.protocols))))

    @field_validator("attributes")
    @classmethod
    def _distinct_attributes(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        return some_and_distinct(names)

    @field_validator("age_edges")
    @classmethod
    def _increasing_edges(cls, edges: tuple[float, ...]) -> tuple[float, ...]:
        if not edges or any(low >= high for low, high in pairwise(edges)):
            raise BadInput(f"{list(edges)} must be one or more increasing edges, as in [40, 60]")
        return edges

    @field_validator("operating_points")
    @classmethod
    def _known_points(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            parse_point(name)
        return some_and_distinct(names)

    @field_validator("protocols", "balance", "metrics")
    @classmethod
    def _distinct_names(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        return some_and_distinct(names)


WITH_RATE = ("fpr", "sensitivity")
WITHOUT_RATE = ("f1",)


def parse_point(point: str) -> tuple[str, float]:
    """Rule and rate (0 if it has none) of an operating point; raises BadInput if it is invalid."""
    rule, sign, text = point.partition("=")
    known = (*WITH_RATE, *WITHOUT_RATE)
    if rule not in known:
        raise BadInput(
            f"unknown operating point {point!r}{did_you_mean(rule, known)}; for example fpr=0.2,"
            " sensitivity=0.8, f1"
        )
    if rule in WITHOUT_RATE:
        if sign:
            raise BadInput(f"operating point {point!r}: {rule} takes no rate; write {rule!r}")
        return rule, 0.0
    try:
        rate = float(text)
    except ValueError:
        rate = 0.0
    if not 0 < rate < 1:
        raise BadInput(f"operating point {point!r} needs a rate between 0 and 1, as in {rule}=0.2")
    return rule, rate
