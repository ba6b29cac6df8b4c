"""Rows of the replicates table: the numbers of a summary in every bootstrap replicate.

With them any two models of the same images are compared, and the front's uncertainty is found,
without reading predictions again. Names are those of `summary.py`, for other metrics than the AUC
with the metric's name in them: `gap_tpr@fpr=0.2_race`.
"""

from __future__ import annotations

from collections.abc import Iterator

from fairfm_core.evaluation.auc import Floats
from fairfm_core.evaluation.fairness import group_means, worst_value
from fairfm_core.evaluation.gap_rows import gaps_of
from fairfm_core.evaluation.measured import Measured
from fairfm_core.evaluation.records import Row
from fairfm_core.evaluation.summary import gap_name, mean_name, worst_group_name


def replicate_rows(measured: Measured, pairing: str) -> list[Row]:
    """One row a number: its value and its replicates, means over seeds; NaN where undefined."""
    return [
        {
            "name": name,
            "pairing": pairing,
            "value": float(value_S.mean()),
            "replicates": replicate_BS.mean(axis=-1).tolist(),
        }
        for name, value_S, replicate_BS in _numbers(measured)
    ]


def _numbers(measured: Measured) -> Iterator[tuple[str, Floats, Floats]]:
    attribute, whole = measured.groups.attribute, len(measured.groups.names) == 1
    for metric in measured.request.metrics(measured.sample.pathologies):
        found = measured.of(metric)
        if attribute == "overall":
            mean_S, mean_BS = (
                group_means(of)[..., 0] for of in (found.value_SPG, found.replicate_BSPG)
            )
            yield mean_name(metric.name), mean_S, mean_BS
        elif not whole and measured.groups.names:
            worst_S, worst_BS = (
                worst_value(of, metric.ideal) for of in (found.value_SPG, found.replicate_BSPG)
            )
            yield worst_group_name(metric.name, attribute), worst_S, worst_BS
    if attribute != "overall" and not whole and measured.groups.names:
        for gap in gaps_of(measured):
            yield gap_name(gap.metric, gap.definition, attribute), gap.value_S, gap.replicate_BS
