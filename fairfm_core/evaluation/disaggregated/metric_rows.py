"""Rows of the metrics table for one attribute of one split under one protocol."""

from __future__ import annotations

from collections.abc import Iterator

from fairfm_core.evaluation.arrays import Floats
from fairfm_core.evaluation.disaggregated.counts import named_reasons
from fairfm_core.evaluation.disaggregated.estimates import estimates
from fairfm_core.evaluation.disaggregated.gaps import group_means, worst_and_best, worst_value
from fairfm_core.evaluation.disaggregated.metric_frame import Measured, MetricValues, joined
from fairfm_core.evaluation.tables import Row

MEAN = "mean"
NOBODY: Row = {"n": None, "n_patients": None, "n_positive": None}


def metric_rows(measured: Measured) -> list[Row]:
    """Every metric of every pathology x group and of their mean, and of the worst group."""
    rows: list[Row] = []
    for metric in measured.metrics:
        found = measured.of(metric)
        rows += _cell_rows(measured, found)
        if metric.only is None:
            rows += _mean_rows(measured, found)
            rows += _worst_group_rows(measured, found)
    return [{"attribute": measured.groups.attribute, **row} for row in rows]


def _cell_rows(measured: Measured, found: MetricValues) -> Iterator[Row]:
    counts = measured.counts
    groups = range(len(measured.groups.names))
    cells = [(i, p, g) for g in groups for i, p in enumerate(found.places)]
    numbers = estimates(
        _by_cell(found.value_SPG),
        _by_cell(found.replicate_BSPG),
        [joined(found.reason_PG[i, g], found.no_interval) for i, _, g in cells],
        [counts.patients_PG[p, g] for _, p, g in cells],
        measured.confidence,
    )
    for (_, p, g), number in zip(cells, numbers, strict=True):
        yield {
            "pathology": measured.sample.pathologies[p],
            "group": measured.groups.names[g],
            "metric": found.metric.name,
            "n": counts.images_PG[p, g],
            "n_patients": counts.patients_PG[p, g],
            "n_positive": counts.positives_PG[p, g],
            **number,
        }


def _by_cell(value_SPG: Floats) -> Floats:
    """[..., P, G] as [..., cells], groups one after the other."""
    *lead, pathologies, groups = value_SPG.shape
    return value_SPG.swapaxes(-1, -2).reshape(*lead, groups * pathologies)


def _mean_rows(measured: Measured, found: MetricValues) -> Iterator[Row]:
    groups = range(len(measured.groups.names))
    notes = measured.weighting.note, found.no_interval
    whys = [named_reasons(measured.sample.pathologies, found.reason_PG[:, g]) for g in groups]
    numbers = estimates(
        group_means(found.value_SPG),
        group_means(found.replicate_BSPG),
        [joined(why and f"undefined for {why}", *notes) for why in whys],
        [measured.fewest_patients(found.places, [g]) for g in groups],
        measured.confidence,
    )
    for g, number in zip(groups, numbers, strict=True):
        key = {"pathology": MEAN, "group": measured.groups.names[g], "metric": found.metric.name}
        yield key | _group_counts(measured, g) | number


def _worst_group_rows(measured: Measured, found: MetricValues) -> Iterator[Row]:
    """The worst group's mean metric, sought anew in every seed and replicate; names the group."""
    names, ideal = measured.groups.names, found.metric.ideal
    if len(names) < 2:
        return
    extremes = worst_and_best(found.value_SPG.mean(axis=0), names, ideal)
    worst = extremes[0] if extremes else None
    counts = _group_counts(measured, names.index(worst)) if worst else NOBODY
    (number,) = estimates(
        worst_value(found.value_SPG, ideal)[..., None],
        worst_value(found.replicate_BSPG, ideal)[..., None],
        [joined(why_undefined(measured, found), found.no_interval)],
        [measured.fewest_patients(found.places)],
        measured.confidence,
    )
    metric = f"worst_group_{found.metric.name}"
    yield {"pathology": MEAN, "group": worst, "metric": metric, **counts, **number}


def why_undefined(measured: Measured, found: MetricValues) -> str | None:
    """Why numbers that need every group are undefined, naming the groups; None if they are."""
    groups = measured.groups
    if not groups.names:
        return f"no image has a value of {groups.attribute}"
    pathologies = tuple(measured.sample.pathologies[p] for p in found.places)
    reasons = [
        f"{groups.attribute}={name} undefined for {why}"
        for g, name in enumerate(groups.names)
        if (why := named_reasons(pathologies, found.reason_PG[:, g]))
    ]
    return joined(*reasons)


def _group_counts(measured: Measured, g: int) -> Row:
    """Counts of a whole group, labelled or not; positives of a mean have no meaning."""
    images = len(measured.members(g))
    return {"n": images, "n_patients": measured.patients_G[g], "n_positive": None}
