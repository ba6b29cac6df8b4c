"""Operating points: thresholds chosen on validation, at which rates are compared between groups.

    fpr=0.2           the lowest threshold with a pooled false positive rate of at most 0.2
    sensitivity=0.8   the highest threshold with a pooled true positive rate of at least 0.8
    f1                the threshold with the largest pooled F1, the highest of equal ones

An image is called positive if its score is at or above the threshold. Every labelled validation
image counts once, whatever the protocol; each pathology and each seed has its own threshold. A
threshold is never chosen on test, where the rates would no longer be an honest estimate.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from fairfm_core.config.evaluation import parse_point
from fairfm_core.evaluation.arrays import Floats
from fairfm_core.evaluation.predictions import Sample
from fairfm_core.evaluation.tables import Row

NOBODY = np.inf
"""A threshold above every score: no image is called positive."""


@dataclass(frozen=True, eq=False)
class Curve:
    """Counts, or weights, at every threshold worth choosing, from the highest score down."""

    threshold_T: Floats
    true_T: Floats
    """Positives at or above the threshold."""
    false_T: Floats
    """Negatives at or above the threshold."""

    @property
    def tpr_T(self) -> Floats:
        """True positive rate, sensitivity."""
        return self.true_T / self.true_T[-1]

    @property
    def fpr_T(self) -> Floats:
        """False positive rate."""
        return self.false_T / self.false_T[-1]


def curve_of(
    score_n: npt.NDArray[Any], label_n: npt.NDArray[Any], weight_n: Floats | None = None
) -> Curve:
    """The curve of the distinct scores, after a first point at which nobody is positive.

    Images count once each, or by `weight_n`.
    """
    counted_n = np.ones(len(score_n)) if weight_n is None else weight_n
    order_n = np.argsort(-score_n)  # the order of equal scores changes no count
    sorted_n, positive_n = score_n[order_n], label_n[order_n] == 1
    last_n = np.append(sorted_n[1:] != sorted_n[:-1], True)
    by_class = (counted_n[order_n] * hits_n for hits_n in (positive_n, ~positive_n))
    counts = [np.cumsum(counts_n)[last_n] for counts_n in by_class]
    true_T, false_T = (np.concatenate([[0.0], count]) for count in counts)
    return Curve(np.concatenate([[NOBODY], sorted_n[last_n]]).astype(np.float64), true_T, false_T)


def _at_most_fpr(curve: Curve, rate: float) -> float:
    return float(curve.threshold_T[np.flatnonzero(curve.fpr_T <= rate)[-1]])


def _at_least_sensitivity(curve: Curve, rate: float) -> float:
    return float(curve.threshold_T[np.flatnonzero(curve.tpr_T >= rate)[0]])


def _largest_f1(curve: Curve, rate: float) -> float:
    f1_T = 2 * curve.true_T / (curve.true_T + curve.false_T + curve.true_T[-1])
    return float(curve.threshold_T[int(np.argmax(f1_T))])


RULES: dict[str, Callable[[Curve, float], float]] = {
    "fpr": _at_most_fpr,
    "sensitivity": _at_least_sensitivity,
    "f1": _largest_f1,
}


@dataclass(frozen=True, eq=False)
class Threshold:
    """One threshold, or why there is none."""

    value: float
    """NaN where there is none."""
    tpr: float
    """Pooled true positive rate on validation."""
    fpr: float
    """Pooled false positive rate on validation."""
    reason: str | None


def chosen_threshold(point: str, score_n: npt.NDArray[Any], label_n: npt.NDArray[Any]) -> Threshold:
    """The threshold of an operating point on labelled validation images."""
    for count, name in (((label_n == 1).sum(), "positives"), ((label_n == 0).sum(), "negatives")):
        if not count:
            reason = f"no threshold: 0 {name} among {len(label_n)} validation images"
            return Threshold(np.nan, np.nan, np.nan, reason)
    rule, rate = parse_point(point)
    curve = curve_of(score_n, label_n)
    value = RULES[rule](curve, rate)
    t = int(np.flatnonzero(curve.threshold_T == value)[0])
    return Threshold(value, float(curve.tpr_T[t]), float(curve.fpr_T[t]), None)


def thresholds_on(
    validation: Sample | None, points: tuple[str, ...], pathologies: int, seeds: int
) -> dict[str, list[list[Threshold]]]:
    """For each operating point the thresholds by seed and pathology."""
    if validation is None:
        none = Threshold(np.nan, np.nan, np.nan, "no threshold: no validation split was given")
        return {point: [[none] * pathologies for _ in range(seeds)] for point in points}
    return {
        point: [
            [_on(validation, point, s, p) for p in range(len(validation.pathologies))]
            for s in range(seeds)
        ]
        for point in points
    }


def _on(validation: Sample, point: str, s: int, p: int) -> Threshold:
    labelled_n = np.flatnonzero(~np.isnan(validation.label_PN[p]))
    score_n = validation.score_SPN[s, p, labelled_n]
    return chosen_threshold(point, score_n, validation.label_PN[p, labelled_n])


def threshold_rows(
    thresholds: dict[str, list[list[Threshold]]], pathologies: tuple[str, ...]
) -> list[Row]:
    """Rows of the thresholds table; seeds by their place."""
    return [
        {
            "point": point,
            "pathology": pathologies[p],
            "seed": s,
            "threshold": each.value,
            "val_tpr": each.tpr,
            "val_fpr": each.fpr,
            "reason": each.reason,
        }
        for point, seeds in thresholds.items()
        for s, by_pathology in enumerate(seeds)
        for p, each in enumerate(by_pathology)
    ]
