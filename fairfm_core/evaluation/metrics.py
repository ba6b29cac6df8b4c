"""The metrics by name: the ideal, what a group must have, and how the value follows from sums.

A metric of a group is either a scan over sorted images (`auc`, `auprc`) or a function of weighted
sums over its images (all others). Adding one of the latter is one function and one row here, in a
family or as a new one, which settings then may name. Rates are taken at an operating point, a
threshold chosen on validation: `tpr@fpr=0.2`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np

from fairfm_core.errors import BadInput, did_you_mean
from fairfm_core.evaluation.arrays import Floats
from fairfm_core.evaluation.operating_points import Threshold

WeightedSums = Mapping[str, Floats]
"""Weighted sums of the statistics of `kernels/sufficient_statistics.py` by name: [L, G], or
[L, G, m] for one of m parts."""

BOTH = ("positives", "negatives")
NO_FINDING = "No Finding"


Variance = Callable[[Floats, Floats, Floats], Floats]
"""Sampling variance, up to a factor, from value, positives and negatives; all of one shape."""


def variance_of_auc(value: Floats, positives: Floats, negatives: Floats) -> Floats:
    """Variance of an AUC A with m positives and n negatives (Hanley and McNeil, Radiology 1982).

    (A (1 - A) + (m - 1) (A / (2 - A) - A^2) + (n - 1) (2 A^2 / (1 + A) - A^2)) / (m n)
    """
    of_positives = value / (2 - value) - value**2
    of_negatives = 2 * value**2 / (1 + value) - value**2
    terms = (positives - 1) * of_positives + (negatives - 1) * of_negatives
    variance: Floats = (value * (1 - value) + terms) / (positives * negatives)
    return variance


def variance_of_share(value: Floats, positives: Floats, negatives: Floats) -> Floats:
    """Variance of a share q, up to its number of cases: q (1 - q)."""
    variance: Floats = value * (1 - value)
    return variance


@dataclass(frozen=True)
class Metric:
    """A metric of a group."""

    name: str
    ideal: float
    """The value of a perfect model; the worst group is the one farthest from it."""
    needs: tuple[str, ...] = BOTH
    """Classes of which a group must hold enough images."""
    of: Callable[[WeightedSums], Floats] | None = None
    """Its value from sums; None for a scan."""
    at_points: bool = False
    """Whether it is a rate at a threshold: one metric for each operating point of the study."""
    point: str | None = None
    """The operating point that it is taken at."""
    only: str | None = None
    """The one pathology it is defined for."""
    calibrated: bool = False
    """Whether it needs a logistic recalibration that converged."""
    reference: float = 0.0
    """The value of a useless model: the fixed reference of a hypervolume."""
    two_sided: bool = False
    """Whether values fall short of the ideal on both sides."""
    shifted_by_noise: bool = False
    """Whether a small group's value is off on average, by more than its interval allows for."""
    variance: Variance | None = None
    """Its sampling variance at a value, up to a factor; None where the value does not tell."""

    def __post_init__(self) -> None:
        assert self.reference != self.ideal, f"{self.name}: a useless model is not an ideal one"


def ratio(numerator: Floats, denominator: Floats) -> Floats:
    """The quotient; NaN where the denominator is not positive."""
    out = np.full(np.shape(numerator), np.nan)
    return np.divide(numerator, denominator, out=out, where=denominator > 0)


def _everybody(sums: WeightedSums) -> Floats:
    return sums["positives"] + sums["negatives"]


def brier(sums: WeightedSums) -> Floats:
    """Brier score: mean of (y - p)^2."""
    return ratio(sums["squared"], _everybody(sums))


def expected_calibration_error(sums: WeightedSums) -> Floats:
    """ECE: sum over bins of p of |sum of (y - p)|, over all images (15 bins of equal width)."""
    return ratio(np.abs(sums["bins"]).sum(axis=-1), _everybody(sums))


def calibration_slope(sums: WeightedSums) -> Floats:
    """Slope b of logit P(y) = a + b logit(p), a step of second order from the fit to the data.

    The step of the data itself is 0; of a bootstrap replicate it is the one-step bootstrap, with
    the third derivatives of the likelihood in it, so that small groups are followed too.
    """
    fitted_G3 = sums["fitted"]
    s0, s1, h0, h1, h2, *turns = (sums["calibration"][..., part] for part in range(9))
    determinant = h0 * h2 - h1 * h1
    # If all scores are equal the fit has no slope: its determinant is 0 up to rounding.
    determinant = np.where(determinant > 1e-9 * h0 * h2, determinant, 0.0)

    def solved(r0: Floats, r1: Floats) -> tuple[Floats, Floats]:
        return ratio(h2 * r0 - h1 * r1, determinant), ratio(h0 * r1 - h1 * r0, determinant)

    step_a, step_b = first = solved(s0, s1)
    for _ in range(2):
        bent = [_bent(step_a, step_b, turns[k : k + 3]) for k in range(2)]
        step_a, step_b = solved(s0 - bent[0], s1 - bent[1])
    # Where the correction is larger than the step, the expansion no longer holds: keep the step.
    near = np.abs(step_b - first[1]) <= np.abs(first[1])
    return _with_both(sums, fitted_G3[..., 1] + np.where(near, step_b, first[1]))


def _bent(step_a: Floats, step_b: Floats, turns: Sequence[Floats]) -> Floats:
    """Half the third derivative along a step: half of sum t (a + b u)^2, times u^k."""
    t0, t1, t2 = turns
    bent: Floats = 0.5 * (step_a**2 * t0 + 2 * step_a * step_b * t1 + step_b**2 * t2)
    return bent


def calibration_intercept(sums: WeightedSums) -> Floats:
    """Intercept a of logit P(y) = a + logit(p) (calibration in the large), by one step."""
    s, h, t = (sums["calibration"][..., part] for part in range(9, 12))
    first = ratio(s, h)
    step = first
    for _ in range(2):
        step = ratio(s - 0.5 * step**2 * t, h)
    near = np.abs(step - first) <= np.abs(first)
    return _with_both(sums, sums["fitted"][..., 2] + np.where(near, step, first))


def _with_both(sums: WeightedSums, values: Floats) -> Floats:
    """The values; NaN where a class has no weight: one step cannot show that the fit diverges."""
    return np.where((sums["positives"] > 0) & (sums["negatives"] > 0), values, np.nan)


def true_positive_rate(sums: WeightedSums) -> Floats:
    """Sensitivity: share of positives at or above the threshold."""
    return ratio(sums["above_positives"], sums["positives"])


def false_positive_rate(sums: WeightedSums) -> Floats:
    """Share of negatives at or above the threshold."""
    return ratio(sums["above_negatives"], sums["negatives"])


def false_negative_rate(sums: WeightedSums) -> Floats:
    """Share of positives below the threshold: 1 - TPR."""
    return 1.0 - true_positive_rate(sums)


AUC = Metric("auc", ideal=1.0, reference=0.5, variance=variance_of_auc)
AUPRC = Metric("auprc", ideal=1.0, variance=variance_of_share)
Rate = partial(Metric, at_points=True, variance=variance_of_share)
RATES = (
    Rate("tpr", 1.0, ("positives",), true_positive_rate),
    Rate("fpr", 0.0, ("negatives",), false_positive_rate, reference=1.0),
    Rate("fnr", 0.0, ("positives",), false_negative_rate, reference=1.0),
    # For `No Finding` a false positive is a sick patient called healthy (Seyyed-Kalantari et al.,
    # Nature Medicine 2021), a false negative a healthy one called sick.
    Rate(
        *("underdiagnosis", 0.0, ("negatives",), false_positive_rate),
        only=NO_FINDING,
        reference=1.0,
    ),
    Rate(
        *("overdiagnosis", 0.0, ("positives",), false_negative_rate),
        only=NO_FINDING,
        reference=1.0,
    ),
)
FAMILIES: dict[str, tuple[Metric, ...]] = {
    "auc": (AUC,),
    "auprc": (AUPRC,),
    "rates": RATES,
    # The references are the worst values that a probability of 0.5 for every image can have.
    "brier": (Metric("brier", 0.0, (), brier, reference=0.25),),
    "ece": (
        Metric(*("ece", 0.0, (), expected_calibration_error), reference=0.5, shifted_by_noise=True),
    ),
    "calibration": (
        Metric("calibration_slope", 1.0, BOTH, calibration_slope, calibrated=True, two_sided=True),
        Metric(
            *("calibration_intercept", 0.0, BOTH, calibration_intercept),
            calibrated=True,
            reference=1.0,
            two_sided=True,
        ),
    ),
}


SCANNED = ("auc", "auprc")
"""Families that need no sums."""


@dataclass(frozen=True, eq=False)
class MetricRequest:
    """Which metrics are requested; raises BadInput for an unknown family."""

    families: tuple[str, ...] = ("auc",)
    thresholds: dict[str, list[list[Threshold]]] = field(default_factory=dict)
    """For each operating point the thresholds by seed and pathology."""

    def __post_init__(self) -> None:
        check_families(self.families)

    def metrics(self, pathologies: Sequence[str]) -> tuple[Metric, ...]:
        """The metrics by name."""
        return chosen_metrics(self.families, self.thresholds, pathologies)

    @property
    def needs_sums(self) -> bool:
        """Whether any metric is a function of sums."""
        return bool(set(self.families) - set(SCANNED))


def has_rates(families: Iterable[str]) -> bool:
    """Whether any metric of these families is taken at operating points."""
    return any(metric.at_points for family in families for metric in FAMILIES[family])


def check_families(names: Iterable[str]) -> None:
    """Raise BadInput, with the nearest known name, for a name that is not a family of metrics."""
    for name in names:
        if name not in FAMILIES:
            known = ", ".join(FAMILIES)
            hint = did_you_mean(name, FAMILIES)
            raise BadInput(f"unknown family of metrics {name!r}{hint}; known: {known}")


def chosen_metrics(
    families: Iterable[str], points: Iterable[str], pathologies: Iterable[str]
) -> tuple[Metric, ...]:
    """The metrics of some families, the rates at each operating point; the AUC always."""
    known, chosen = set(pathologies), []
    for family in FAMILIES:
        if family != AUC.name and family not in families:
            continue
        for metric in FAMILIES[family]:
            if metric.only is not None and metric.only not in known:
                continue
            if metric.at_points:
                chosen += [replace(metric, name=f"{metric.name}@{p}", point=p) for p in points]
            else:
                chosen.append(metric)
    return tuple(chosen)
