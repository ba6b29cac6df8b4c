"""Rows of the metrics table for one attribute of one split under one protocol."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from fairfm_core.evaluation.arrays import Floats
from fairfm_core.evaluation.disaggregated.counts import named_reasons
from fairfm_core.evaluation.disaggregated.estimates import (
    estimates,
    of_extreme,
    with_training_spread,
)
from fairfm_core.evaluation.disaggregated.extremes import Extreme, worst_extreme
from fairfm_core.evaluation.disaggregated.gaps import group_means, worst_and_best, worst_value
from fairfm_core.evaluation.disaggregated.metric_frame import MetricFrame, MetricValues, joined
from fairfm_core.evaluation.tables import Row

MEAN = "mean"
NOBODY: Row = {"n": None, "n_patients": None, "n_positive": None}


def metric_rows(frame: MetricFrame) -> list[Row]:
    """Every metric of every pathology x group and of their mean, and of the worst group."""
    rows: list[Row] = []
    for metric in frame.metrics:
        values = frame.of(metric)
        rows += _cell_rows(frame, values)
        if metric.only is None:
            rows += _mean_rows(frame, values)
            rows += _worst_group_rows(frame, values)
    return [{"attribute": frame.groups.attribute, "bias_corrected": None, **row} for row in rows]


def _cell_rows(frame: MetricFrame, values: MetricValues) -> Iterator[Row]:
    counts = frame.counts
    groups = range(len(frame.groups.names))
    cells = [(i, p, g) for g in groups for i, p in enumerate(values.places)]
    numbers = estimates(
        _by_cell(values.value_SPG),
        _by_cell(values.replicate_BSPG),
        [joined(values.reason_PG[i, g], values.no_interval) for i, _, g in cells],
        [counts.patients_PG[p, g] for _, p, g in cells],
        frame.confidence,
    )
    numbers = with_training_spread(numbers, _by_cell(values.value_SPG), frame, values.metric)
    for (_, p, g), number in zip(cells, numbers, strict=True):
        yield {
            "pathology": frame.sample.pathologies[p],
            "group": frame.groups.names[g],
            "metric": values.metric.name,
            "n": counts.images_PG[p, g],
            "n_patients": counts.patients_PG[p, g],
            "n_positive": counts.positives_PG[p, g],
            **number,
        }


def _by_cell(value_SPG: Floats) -> Floats:
    """[..., P, G] as [..., cells], groups one after the other."""
    *lead, pathologies, groups = value_SPG.shape
    return value_SPG.swapaxes(-1, -2).reshape(*lead, groups * pathologies)


def _mean_rows(frame: MetricFrame, values: MetricValues) -> Iterator[Row]:
    groups = range(len(frame.groups.names))
    notes = frame.problem.weighting.note, values.no_interval
    whys = [named_reasons(frame.sample.pathologies, values.reason_PG[:, g]) for g in groups]
    numbers = estimates(
        group_means(values.value_SPG),
        group_means(values.replicate_BSPG),
        [joined(why and f"undefined for {why}", *notes) for why in whys],
        [frame.fewest_patients(values.places, [g]) for g in groups],
        frame.confidence,
    )
    numbers = with_training_spread(numbers, group_means(values.value_SPG), frame, values.metric)
    for g, number in zip(groups, numbers, strict=True):
        key = {"pathology": MEAN, "group": frame.groups.names[g], "metric": values.metric.name}
        yield key | _group_counts(frame, g) | number


def _worst_group_rows(frame: MetricFrame, values: MetricValues) -> Iterator[Row]:
    """The mean metric of the worst group, which is determined anew in each seed and replicate."""
    names, ideal = frame.groups.names, values.metric.ideal
    if len(names) < 2:
        return
    extremes = worst_and_best(values.value_SPG.mean(axis=0), names, ideal)
    worst = extremes[0] if extremes else None
    counts = _group_counts(frame, names.index(worst)) if worst else NOBODY
    value_S1 = worst_value(values.value_SPG, ideal)[..., None]
    (number,) = estimates(
        value_S1,
        worst_value(values.replicate_BSPG, ideal)[..., None],
        [joined(why_undefined(frame, values), values.no_interval)],
        [frame.fewest_patients(values.places)],
        frame.confidence,
    )
    metric = values.metric
    covers = not (metric.shifted_by_noise or metric.two_sided)
    number = of_extreme(number, metric, covers, lambda: _worst(frame, values))
    (number,) = with_training_spread([number], value_S1, frame, metric)
    key = {"pathology": MEAN, "group": worst, "metric": f"worst_group_{metric.name}"}
    yield key | counts | number


def _worst(frame: MetricFrame, values: MetricValues) -> Extreme | None:
    """The corrected value of the worst group and its interval; None with fewer than two defined
    replicates."""
    replicate_BSG = group_means(values.replicate_BSPG)
    replicate_BSG = replicate_BSG[np.isfinite(replicate_BSG).all(axis=(1, 2))]
    if len(replicate_BSG) < 2:
        return None
    sign = 1.0 if values.metric.ideal > values.metric.reference else -1.0
    mean_SG = sign * group_means(values.value_SPG)
    limits = worst_extreme(mean_SG, sign * replicate_BSG, frame.confidence)
    return limits if sign > 0 else limits.mirrored


def why_undefined(frame: MetricFrame, values: MetricValues) -> str | None:
    """Why numbers that need every group are undefined, naming the groups; None if defined.

    Groups with the same reason share it: `race=Asian, race=Black undefined for Edema: 0 images`.
    """
    groups = frame.groups
    if not groups.names:
        return f"no image has a value of {groups.attribute}"
    pathologies = tuple(frame.sample.pathologies[p] for p in values.places)
    alike: dict[str, list[str]] = {}
    for g, name in enumerate(groups.names):
        if why := named_reasons(pathologies, values.reason_PG[:, g]):
            alike.setdefault(why, []).append(f"{groups.attribute}={name}")
    return joined(*(f"{', '.join(names)} undefined for {why}" for why, names in alike.items()))


def _group_counts(frame: MetricFrame, g: int) -> Row:
    """Counts of a whole group, labelled or not; a mean has no count of positives."""
    counts = frame.counts
    images, patients = counts.members_G[g], counts.member_patients_G[g]
    return {"n": images, "n_patients": patients, "n_positive": None}
