"""Values with their intervals as parts of table rows.

Array suffixes: M numbers, S seeds, B replicates.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fairfm_core.evaluation.arrays import Floats
from fairfm_core.evaluation.disaggregated.metric_frame import joined
from fairfm_core.evaluation.resampling.bootstrap import NO_INTERVAL, ONE_PATIENT
from fairfm_core.evaluation.resampling.trainings import IntervalMaker
from fairfm_core.evaluation.tables import Row


def estimates(
    value_SM: Floats,
    replicate_BSM: Floats,
    reasons: Sequence[str | None],
    patients: Sequence[int],
    intervals: IntervalMaker,
) -> list[Row]:
    """`value`, `lo`, `hi` and `reason` of M numbers: means over seeds with percentile intervals.

    An undefined value has no interval, nor has one that rests on a single patient: drawing that
    patient once or three times gives the same value.
    """
    value_M = value_SM.mean(axis=0)
    limits = intervals.intervals(value_SM, replicate_BSM)
    rows: list[Row] = []
    for value, interval, why, count in zip(value_M, limits, reasons, patients, strict=True):
        if np.isnan(value):
            rows.append({"value": None, "lo": None, "hi": None, "reason": why})
        elif count < 2 and interval.replicates:
            note = joined(why, ONE_PATIENT)
            rows.append({"value": float(value), "lo": None, "hi": None, "reason": note})
        else:
            # A known reason for the missing interval says more than that there are no replicates.
            note = (
                interval.note if interval.replicates or not (why and NO_INTERVAL in why) else None
            )
            row = {"value": float(value), "lo": interval.lo, "hi": interval.hi}
            rows.append(row | {"reason": joined(why, note)})
    return rows
