"""Rows of the replicates table: the numbers of a summary in every bootstrap replicate.

They allow any two models of the same images to be compared, and the front's uncertainty to be
computed, without reading predictions again. Names are those of `numbers.py`: `gap_race`,
`gap_tpr@fpr=0.2_race`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from fairfm_core.evaluation.arrays import Floats
from fairfm_core.evaluation.disaggregated.gap_rows import Gap
from fairfm_core.evaluation.disaggregated.gaps import group_means, worst_value
from fairfm_core.evaluation.disaggregated.metric_frame import MetricFrame
from fairfm_core.evaluation.numbers import gap_name, worst_group_name
from fairfm_core.evaluation.tables import Row


@dataclass(frozen=True, eq=False)
class _Number:
    """A number of a summary, by seed: of the data, of every replicate, and under the null."""

    name: str
    value_S: Floats
    replicate_BS: Floats
    null_BS: Floats | None = None
    """Only for a gap."""


def replicate_rows(frame: MetricFrame, pairing: str, gaps: Sequence[Gap] = ()) -> list[Row]:
    """One row per number: its value, replicates and null, means over seeds; NaN where undefined.

    The replicates of a number that rests on a single patient are NaN: it has no interval.
    """
    alone = frame.fewest_patients(frame.places()) < 2
    rows = []
    for number in _numbers(frame, gaps):
        replicate_B = number.replicate_BS.mean(axis=-1)
        null_B = [] if number.null_BS is None else number.null_BS.mean(axis=-1).tolist()
        rows.append(
            {
                "name": number.name,
                "pairing": pairing,
                "value": float(number.value_S.mean()),
                "replicates": (
                    np.full_like(replicate_B, np.nan) if alone else replicate_B
                ).tolist(),
                "null": null_B,
            }
        )
    return rows


def _numbers(frame: MetricFrame, gaps: Sequence[Gap]) -> Iterator[_Number]:
    attribute, groups = frame.groups.attribute, len(frame.groups.names)
    for metric in frame.metrics:
        values = frame.of(metric)
        parts = values.value_SPG, values.replicate_BSPG
        if attribute == "overall":
            yield _Number(metric.name, *(group_means(of)[..., 0] for of in parts))
        elif groups:
            name = worst_group_name(metric.name, attribute)
            yield _Number(name, *(worst_value(of, metric.ideal) for of in parts))
    for gap in gaps if groups else ():
        # With a single group a gap is undefined; the formula would give 0.
        blank = np.nan if groups == 1 else 0.0
        numbers = gap.value_S + blank, gap.replicate_BS + blank, gap.null_BS + blank
        yield _Number(gap_name(gap.metric, gap.definition, attribute), *numbers)
