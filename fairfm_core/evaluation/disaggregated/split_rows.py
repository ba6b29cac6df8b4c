"""One split under one protocol: from the images to the rows of every table."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from fairfm_core.config.evaluation import EvaluationSettings
from fairfm_core.evaluation.arrays import Ints
from fairfm_core.evaluation.disaggregated.counts import count_cells
from fairfm_core.evaluation.disaggregated.difference_rows import difference_rows
from fairfm_core.evaluation.disaggregated.gap_rows import gap_rows, gaps_of
from fairfm_core.evaluation.disaggregated.metric_frame import Measured
from fairfm_core.evaluation.disaggregated.metric_rows import metric_rows
from fairfm_core.evaluation.disaggregated.replicate_rows import replicate_rows
from fairfm_core.evaluation.groups import Groups, everybody, groups_of
from fairfm_core.evaluation.kernels.cases import Cases
from fairfm_core.evaluation.metrics import Request
from fairfm_core.evaluation.pairing import pairing_of
from fairfm_core.evaluation.predictions import Sample
from fairfm_core.evaluation.protocols.effective_size import weight_rows
from fairfm_core.evaluation.protocols.weighting import Weighting
from fairfm_core.evaluation.resampling.bootstrap import Counts, unit_draws
from fairfm_core.evaluation.resampling.delong import influences, normal_replicates
from fairfm_core.evaluation.resampling.permutation import permuted_groups, with_observed
from fairfm_core.evaluation.resampling.permutation_values import permuted_values
from fairfm_core.evaluation.resampling.replicate_values import Bootstrapped, Values, bootstrapped
from fairfm_core.evaluation.tables import Row


def split_rows(
    sample: Sample,
    weighting: Weighting,
    settings: EvaluationSettings,
    request: Request,
    all_splits: pd.DataFrame,
) -> dict[str, list[Row]]:
    """Rows by table. Groups are those of `all_splits`: one that a split lacks is not left out."""
    whole, *attributes = measure(sample, weighting, settings, request, all_splits)
    pairing = pairing_of(sample, settings)
    rows: dict[str, list[Row]] = {
        "metrics": metric_rows(whole),
        "weights": weight_rows(sample, weighting, whole.groups),
        "replicates": replicate_rows(whole, pairing),
        "gaps": [],
        "differences": [],
    }
    for measured in attributes:
        rows["metrics"] += metric_rows(measured)
        gaps = list(gaps_of(measured))
        rows["gaps"] += gap_rows(measured, gaps)
        rows["differences"] += difference_rows(measured, whole)
        rows["replicates"] += replicate_rows(measured, pairing, gaps)
        rows["weights"] += weight_rows(sample, weighting, measured.groups)
    if weighting.cells and weighting.cells.attribute not in settings.attributes:
        rows["weights"] += weight_rows(sample, weighting, weighting.cells)
    return rows


def measure(
    sample: Sample,
    weighting: Weighting,
    settings: EvaluationSettings,
    request: Request,
    all_splits: pd.DataFrame,
) -> list[Measured]:
    """Everybody first, then every attribute of the settings: values, replicates and null."""
    groups = [everybody(len(sample.frame))]
    groups += [
        groups_of(sample.frame, attribute, settings.age_edges, all_splits)
        for attribute in settings.attributes
    ]
    resampled = _resampled(sample, weighting, groups, settings, request)
    measured = []
    for a, (each, found) in enumerate(zip(groups, resampled.values, strict=True)):
        counts = count_cells(sample, each, settings.min_cases, weighting)
        null: Values = {}
        if a > 0:  # everybody has no null
            null = _null(sample, weighting, each, settings, request, resampled.cases)
        measured.append(Measured(sample, weighting, each, counts, request, found, null, settings))
    return measured


def _resampled(
    sample: Sample,
    weighting: Weighting,
    groups: list[Groups],
    settings: EvaluationSettings,
    request: Request,
) -> Bootstrapped:
    """The data as they are, then the replicates, [1 + B, S, P, G]."""
    unit_N, units = _units(sample, settings)
    once_1U = np.ones((1, units), dtype=np.uint16)
    if settings.intervals == "delong":
        observed = bootstrapped(sample, weighting, groups, once_1U, unit_N, request)
        values = _with_normal(sample, weighting, groups, observed.values, unit_N, settings)
        return Bootstrapped(values, observed.cases)
    draws_BU: Counts = unit_draws(
        units, settings.replicates, settings.seed, f"{settings.resampling[:-1]} bootstrap"
    )
    weights_BU = np.concatenate([once_1U, draws_BU])
    return bootstrapped(sample, weighting, groups, weights_BU, unit_N, request)


def _units(sample: Sample, settings: EvaluationSettings) -> tuple[Ints, int]:
    """Whose weights are resampled: the unit of each image, and how many there are."""
    if settings.resampling == "images":
        return np.arange(len(sample.frame)), len(sample.frame)
    return sample.patient_N, len(sample.patient_ids)


def _with_normal(
    sample: Sample,
    weighting: Weighting,
    groups: list[Groups],
    values: list[Values],
    unit_N: Ints,
    settings: EvaluationSettings,
) -> list[Values]:
    """Replicates of the AUC from the normal approximation; of other metrics none.

    None either where a protocol fixes the weight of cells that an attribute cuts: the share of a
    cell that falls to a group is random then, which the covariance does not know.
    """
    found = []
    analytic = influences(sample, weighting, groups, unit_N)
    for held, each, (_, influence_USPG) in zip(values, groups, analytic, strict=True):
        if not _whole_cells(weighting, each):
            found.append(held)
            continue
        units, *shape = influence_USPG.shape
        flat_UM = influence_USPG.reshape(units, math.prod(shape))
        drawn_BM = normal_replicates(flat_UM, settings.replicates, settings.seed)
        auc_BSPG = held["auc"] + drawn_BM.reshape(settings.replicates, *shape)
        found.append(held | {"auc": np.concatenate([held["auc"], auc_BSPG])})
    return found


def _whole_cells(weighting: Weighting, groups: Groups) -> bool:
    """Whether each group is a union of cells that a protocol gives their weights."""
    if weighting.cells is None or weighting.multiplicities:
        return True
    inside_n = np.flatnonzero(weighting.cells.code_N >= 0)
    cell_n, group_n = weighting.cells.code_N[inside_n], groups.code_N[inside_n]
    pairs = np.unique(np.stack([cell_n, group_n]), axis=1)
    return len(pairs[0]) == len(np.unique(cell_n))


def _null(
    sample: Sample,
    weighting: Weighting,
    groups: Groups,
    settings: EvaluationSettings,
    request: Request,
    cases: list[Cases],
) -> Values:
    permuted = permuted_groups(sample, groups, settings.permutations, settings.seed)
    permuted = with_observed(permuted)
    return permuted_values(sample, weighting, permuted, request, cases)
