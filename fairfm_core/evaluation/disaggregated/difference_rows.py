"""Rows of the differences table: each group against everybody, and against each other group.

A signed difference has none of a gap's upward bias: it is the number to test. Against everybody it
is the change relative to the average of the paper's Figures 3, 5 and 6.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from fairfm_core.evaluation.arrays import Floats, Ints
from fairfm_core.evaluation.disaggregated.estimates import estimates, with_training_spread
from fairfm_core.evaluation.disaggregated.gaps import two_sided
from fairfm_core.evaluation.disaggregated.metric_frame import MetricFrame, MetricValues, joined
from fairfm_core.evaluation.disaggregated.metric_rows import MEAN
from fairfm_core.evaluation.metrics import Metric
from fairfm_core.evaluation.tables import Row

OVERALL = "overall"


@dataclass(frozen=True, eq=False)
class Pair:
    """A group and its reference, for one pathology or for the mean over pathologies."""

    pathology: str
    group: int
    reference: int | None
    """Another group; None for everybody."""
    place: int | None
    """The pathology's place in the metric's values; None for the mean."""


def difference_rows(frame: MetricFrame, everybody: MetricFrame) -> list[Row]:
    """Each metric's difference between each group and everybody, and between each pair of
    groups."""
    rows: list[Row] = []
    for metric in frame.metrics:
        values, whole = frame.of(metric), everybody.of(metric)
        pairs = list(_pairs(frame, values))
        rows += _rows(frame, everybody, values, whole, pairs)
    return rows


def fair_differences(frame: MetricFrame, everybody: MetricFrame, metric: Metric) -> Floats:
    """What each group of a fair model differs from everybody by, in every draw, [B, P + 1, G].

    Means over seeds; the last of P + 1 is the mean over pathologies. NaN where undefined.
    """
    values, whole = frame.of(metric), everybody.of(metric)
    null_BSPG = values.null_BSPG - values.null_of_everybody_BSP(whole)[..., None]
    return _with_mean(null_BSPG.mean(axis=1))


def _pairs(frame: MetricFrame, values: MetricValues) -> Iterator[Pair]:
    names = [frame.sample.pathologies[p] for p in values.places]
    places: list[tuple[str, int | None]] = [(name, i) for i, name in enumerate(names)]
    groups = range(len(frame.groups.names))
    for name, place in [*places, *([(MEAN, None)] if values.metric.only is None else [])]:
        for g in groups:
            yield Pair(name, g, None, place)
        for first, second in combinations(groups, 2):
            yield Pair(name, first, second, place)


def _rows(
    frame: MetricFrame,
    everybody: MetricFrame,
    values: MetricValues,
    whole: MetricValues,
    pairs: Sequence[Pair],
) -> Iterator[Row]:
    value_SM = _differences(values.value_SPG, whole.value_SPG, pairs)
    # DeLong may give everybody replicates but an attribute none: then there are none here.
    shared = slice(len(values.replicate_BSPG))
    replicate_BSM = _differences(values.replicate_BSPG, whole.replicate_BSPG[shared], pairs)
    null_of_all_BSP1 = values.null_of_everybody_BSP(whole)[..., None]
    null_BM = _differences(values.null_BSPG, null_of_all_BSP1, pairs).mean(axis=1)
    p_M = two_sided(value_SM.mean(axis=0), null_BM).tolist()
    reference_M = _references(values.value_SPG, whole.value_SPG, pairs).mean(axis=0).tolist()
    reasons = [joined(_why(values, whole, pair), values.no_interval) for pair in pairs]
    patients = _patients(frame, everybody, values, pairs)
    numbers = estimates(value_SM, replicate_BSM, reasons, patients, frame.confidence)
    numbers = with_training_spread(numbers, value_SM, frame, values.metric, lowest=-1.0)
    names = frame.groups.names
    for m, (pair, number) in enumerate(zip(pairs, numbers, strict=True)):
        value, reference = number["value"], reference_M[m]
        why = None if value is None or np.isnan(p_M[m]) else _no_p_value(values, pair)
        yield {
            "pathology": pair.pathology,
            "attribute": frame.groups.attribute,
            "group": names[pair.group],
            "reference": OVERALL if pair.reference is None else names[pair.reference],
            "metric": values.metric.name,
            "relative": value / reference if value is not None and reference else None,
            "p_value": None if value is None or why else p_M[m],
            **number,
            "reason": joined(number["reason"], why),
        }


def _differences(of: Floats, whole: Floats, pairs: Sequence[Pair]) -> Floats:
    """Group minus reference for every pair, [..., M]; `whole` holds the values of everybody."""
    places, groups = _places(of, pairs), [pair.group for pair in pairs]
    differences: Floats = _with_mean(of)[..., places, groups] - _references(of, whole, pairs)
    return differences


def _references(of: Floats, whole: Floats, pairs: Sequence[Pair]) -> Floats:
    """What each pair is compared with, [..., M]."""
    places = _places(of, pairs)
    others = [0 if pair.reference is None else pair.reference for pair in pairs]
    other_group_M = np.array([pair.reference is not None for pair in pairs], dtype=bool)
    everybody: Floats = _with_mean(whole)[..., places, [0] * len(pairs)]
    if not other_group_M.any():
        return everybody
    return np.where(other_group_M, _with_mean(of)[..., places, others], everybody)


def _with_mean(value_PG: Floats) -> Floats:
    """The values of every pathology, and below them their mean, [..., P + 1, G]."""
    return np.concatenate([value_PG, value_PG.mean(axis=-2, keepdims=True)], axis=-2)


def _places(of: Floats, pairs: Sequence[Pair]) -> list[int]:
    """Rows of `_with_mean` that the pairs refer to."""
    return [of.shape[-2] if pair.place is None else pair.place for pair in pairs]


def _why(values: MetricValues, whole: MetricValues, pair: Pair) -> str | None:
    """Why a difference is undefined."""
    if not (values.undefined or whole.undefined):
        return None
    other_P = whole.reason_PG[:, 0]
    if pair.reference is not None:
        other_P = values.reason_PG[:, pair.reference]
    reasons = [values.reason_PG[:, pair.group], other_P]
    if pair.place is not None:
        return joined(*dict.fromkeys(reason_P[pair.place] for reason_P in reasons))
    lost = sum(any(reason_P[p] is not None for reason_P in reasons) for p in range(len(other_P)))
    return f"undefined for {lost} of {len(other_P)} pathologies" if lost else None


def _no_p_value(values: MetricValues, pair: Pair) -> str | None:
    """Why a difference has no p-value; None where it has one."""
    places = range(len(values.places)) if pair.place is None else [pair.place]
    groups = [pair.group] if pair.reference is None else [pair.group, pair.reference]
    return values.withheld.first(places, groups)


def _patients(
    frame: MetricFrame, everybody: MetricFrame, values: MetricValues, pairs: Sequence[Pair]
) -> list[int]:
    """Patients of the smallest cell that each difference rests on, [M]."""
    own_PG, all_PG = (
        _with_least(each.counts.patients_PG[values.places]) for each in (frame, everybody)
    )
    fewest = []
    for pair in pairs:
        place = -1 if pair.place is None else pair.place
        other = all_PG[place][0] if pair.reference is None else own_PG[place][pair.reference]
        fewest.append(min(own_PG[place][pair.group], other))
    return fewest


def _with_least(patients_PG: Ints) -> list[list[int]]:
    """The patients of every pathology, and below them the fewest of each group."""
    least_G = patients_PG.min(axis=0, initial=np.iinfo(np.int64).max)
    rows: list[list[int]] = np.vstack([patients_PG, least_G]).tolist()
    return rows
