"""Values with their intervals as parts of table rows.

Array suffixes: M numbers, S seeds, B replicates.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from fairfm_core.evaluation.arrays import Floats
from fairfm_core.evaluation.disaggregated.extremes import Extreme
from fairfm_core.evaluation.disaggregated.metric_frame import MetricFrame, joined
from fairfm_core.evaluation.metrics import Metric
from fairfm_core.evaluation.resampling.bootstrap import (
    NO_INTERVAL,
    ONE_PATIENT,
    UNVARYING,
    percentile_intervals,
)
from fairfm_core.evaluation.tables import Row


def estimates(
    value_SM: Floats,
    replicate_BSM: Floats,
    reasons: Sequence[str | None],
    patients: Sequence[int],
    confidence: float,
) -> list[Row]:
    """`value`, `lo`, `hi` and `reason` of M numbers: means over seeds with percentile intervals.

    An undefined value has no interval, nor has one that rests on a single patient: drawing that
    patient once or three times gives the same value. Nor one that no draw changes, such as an AUC
    of 1: an interval of no width would claim to know it exactly.
    """
    value_M = value_SM.mean(axis=0)
    intervals = percentile_intervals(replicate_BSM.mean(axis=1), confidence)
    rows: list[Row] = []
    for value, interval, why, count in zip(value_M, intervals, reasons, patients, strict=True):
        if np.isnan(value):
            rows.append({"value": None, "lo": None, "hi": None, "reason": why})
        elif count < 2 and interval.replicates:
            note = joined(why, ONE_PATIENT)
            rows.append({"value": float(value), "lo": None, "hi": None, "reason": note})
        elif interval.defined and not interval.varies:
            note = joined(why, UNVARYING, interval.note)
            rows.append({"value": float(value), "lo": None, "hi": None, "reason": note})
        else:
            # A known reason for the missing interval says more than that there are no replicates.
            note = (
                interval.note if interval.replicates or not (why and NO_INTERVAL in why) else None
            )
            limits = {"lo": interval.lo, "hi": interval.hi}
            rows.append({"value": float(value), **limits, "reason": joined(why, note)})
    return rows


UNSHOWN = f"{NO_INTERVAL}: not known to cover the extremes of this metric"
FEW_REPLICATES = f"{NO_INTERVAL}: fewer than 2 replicates defined"


def of_extreme(
    number: Row, metric: Metric, covers: bool, extreme: Callable[[], Extreme | None]
) -> Row:
    """A number that is an extreme over groups: the interval of an extreme in place of the
    percentiles, and `bias_corrected`.

    Without either where it has no interval, or where none is known to cover (`covers`).
    """
    nothing = {"lo": None, "hi": None, "bias_corrected": None}
    if number["lo"] is None or np.isnan(number["lo"]):
        return number | nothing
    if not covers:
        return number | nothing | {"reason": joined(number["reason"], UNSHOWN)}
    limits = extreme()
    if limits is None:
        return number | nothing | {"reason": joined(number["reason"], FEW_REPLICATES)}
    limits = limits if metric.two_sided else limits.within(0.0, 1.0)
    return number | {"lo": limits.lo, "hi": limits.hi, "bias_corrected": limits.corrected}


def with_training_spread(
    numbers: Sequence[Row],
    value_SM: Floats,
    frame: MetricFrame,
    metric: Metric,
    lowest: float = 0.0,
) -> list[Row]:
    """M numbers with intervals that also cover the spread between training runs.

    Unchanged for a frame that names no training runs. `lowest` is the smallest possible value.

    Each limit moves to sqrt(a^2 + b^2) from the value, with a its own distance and b that of
    Student's interval of the training runs alone (square-and-add: Zou and Donner 2008).
    """
    if frame.training_runs is None:
        return list(numbers)
    reach_M = frame.training_runs.reach(value_SM, frame.confidence)
    bounds = (-np.inf, np.inf) if metric.two_sided else (lowest, 1.0)
    return [
        row if row["lo"] is None or np.isnan(row["lo"]) else _widened(row, float(reach), bounds)
        for row, reach in zip(numbers, reach_M, strict=True)
    ]


def _widened(row: Row, reach: float, bounds: tuple[float, float]) -> Row:
    value, low, high = row["value"], *bounds
    below, above = max(value - row["lo"], 0.0), max(row["hi"] - value, 0.0)
    lo, hi = value - float(np.hypot(below, reach)), value + float(np.hypot(above, reach))
    return row | {"lo": max(min(lo, row["lo"]), low), "hi": min(max(hi, row["hi"]), high)}
