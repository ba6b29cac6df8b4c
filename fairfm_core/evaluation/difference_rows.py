"""Rows of the differences table: each group against everybody, and against each other group.

A signed difference has none of a gap's upward bias: it is the number to test. Against everybody it
is the change relative to the average of the paper's Figures 3, 5 and 6.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from fairfm_core.evaluation.auc import Floats
from fairfm_core.evaluation.estimates import estimates
from fairfm_core.evaluation.fairness import two_sided
from fairfm_core.evaluation.measured import Measured, MetricValues, joined
from fairfm_core.evaluation.metric_rows import MEAN
from fairfm_core.evaluation.records import Row

OVERALL = "overall"


@dataclass(frozen=True, eq=False)
class Pair:
    """A group and what it is compared with, for one pathology or the mean of them."""

    pathology: str
    group: int
    reference: int | None
    """Another group; None for everybody."""
    place: int | None
    """The pathology's place in the metric's values; None for the mean."""


def difference_rows(measured: Measured, everybody: Measured) -> list[Row]:
    """Every metric of every group less that of everybody, and of every pair of groups."""
    rows: list[Row] = []
    for metric in measured.request.metrics(measured.sample.pathologies):
        found, whole = measured.of(metric), everybody.of(metric)
        pairs = list(_pairs(measured, found))
        rows += _rows(measured, found, whole, pairs)
    return rows


def _pairs(measured: Measured, found: MetricValues) -> Iterator[Pair]:
    names = [measured.sample.pathologies[p] for p in found.places]
    places: list[tuple[str, int | None]] = [(name, i) for i, name in enumerate(names)]
    groups = range(len(measured.groups.names))
    for name, place in [*places, *([(MEAN, None)] if found.metric.only is None else [])]:
        for g in groups:
            yield Pair(name, g, None, place)
        for first, second in combinations(groups, 2):
            yield Pair(name, first, second, place)


def _rows(
    measured: Measured, found: MetricValues, whole: MetricValues, pairs: Sequence[Pair]
) -> Iterator[Row]:
    value_SM = _differences(found.value_SPG, whole.value_SPG, pairs)
    replicate_BSM = _differences(found.replicate_BSPG, whole.replicate_BSPG, pairs)
    null_RM = _differences(found.null_RSPG, whole.value_SPG, pairs).mean(axis=1)
    judged_M = _differences(found.judged_SPG, whole.value_SPG, pairs).mean(axis=0)
    reasons = [joined(_why(found, whole, pair), found.no_interval) for pair in pairs]
    patients = [_patients(measured, pair) for pair in pairs]
    numbers = estimates(value_SM, replicate_BSM, reasons, patients, measured.confidence)
    names = measured.groups.names
    for m, (pair, number) in enumerate(zip(pairs, numbers, strict=True)):
        value = number["value"]
        reference = _reference(found.value_SPG, whole.value_SPG, pair).mean()
        yield {
            "pathology": pair.pathology,
            "attribute": measured.groups.attribute,
            "group": names[pair.group],
            "reference": OVERALL if pair.reference is None else names[pair.reference],
            "metric": found.metric.name,
            "relative": float(value / reference) if value is not None and reference else None,
            "p_value": None if value is None else two_sided(judged_M[m], null_RM[:, m]),
            **number,
        }


def _differences(of: Floats, whole: Floats, pairs: Sequence[Pair]) -> Floats:
    """Group less reference for every pair, [..., M]; `whole` holds the values of everybody."""
    columns = [_side(of, pair.group, pair.place) - _reference(of, whole, pair) for pair in pairs]
    return np.stack(columns, axis=-1) if columns else np.empty((*of.shape[:-2], 0))


def _reference(of: Floats, whole: Floats, pair: Pair) -> Floats:
    if pair.reference is None:
        return _side(whole, 0, pair.place)
    return _side(of, pair.reference, pair.place)


def _side(of: Floats, group: int, place: int | None) -> Floats:
    """Values [...] of a group for one pathology or the mean of them."""
    by_pathology = of[..., group]
    side: Floats = by_pathology.mean(axis=-1) if place is None else by_pathology[..., place]
    return side


def _why(found: MetricValues, whole: MetricValues, pair: Pair) -> str | None:
    """Why a difference is undefined."""
    other_P = whole.reason_PG[:, 0]
    if pair.reference is not None:
        other_P = found.reason_PG[:, pair.reference]
    reasons = [found.reason_PG[:, pair.group], other_P]
    if pair.place is not None:
        return joined(*dict.fromkeys(reason_P[pair.place] for reason_P in reasons))
    lost = sum(any(reason_P[p] is not None for reason_P in reasons) for p in range(len(other_P)))
    return f"undefined for {lost} of {len(other_P)} pathologies" if lost else None


def _patients(measured: Measured, pair: Pair) -> int:
    groups = [g for g in (pair.group, pair.reference) if g is not None]
    return min(measured.patients_G[g] for g in groups)
