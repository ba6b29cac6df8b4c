"""One split under one protocol: from the problem to the rows of every table.

Array suffixes: B bootstrap replicates, S seeds, P pathologies, G groups, U units that are
resampled, M numbers (seeds x pathologies x groups), n images inside the protocol's cells.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from fairfm_core.evaluation.arrays import Ints
from fairfm_core.evaluation.disaggregated.counts import count_cells
from fairfm_core.evaluation.disaggregated.difference_rows import difference_rows
from fairfm_core.evaluation.disaggregated.gap_rows import gap_rows, gaps_of
from fairfm_core.evaluation.disaggregated.metric_frame import MetricFrame
from fairfm_core.evaluation.disaggregated.metric_rows import metric_rows
from fairfm_core.evaluation.disaggregated.replicate_rows import replicate_rows
from fairfm_core.evaluation.groups import Groups, everybody, groups_of
from fairfm_core.evaluation.pairing import pairing_of
from fairfm_core.evaluation.problem import Problem
from fairfm_core.evaluation.protocols.effective_size import weight_rows
from fairfm_core.evaluation.protocols.weighting import Weighting
from fairfm_core.evaluation.resampling.bootstrap import unit_draws
from fairfm_core.evaluation.resampling.delong import influences, normal_replicates
from fairfm_core.evaluation.resampling.replicate_values import ValuesByMetric, bootstrap_values
from fairfm_core.evaluation.resampling.training_runs import TrainingRuns
from fairfm_core.evaluation.tables import Row


def split_rows(
    problem: Problem, all_splits: pd.DataFrame, training_runs: TrainingRuns | None = None
) -> dict[str, list[Row]]:
    """Rows by table; groups are those of `all_splits`, even where this split has none of one.

    Intervals cover the spread of `training_runs` if they are given.
    """
    frames = metric_frames(problem, all_splits)
    whole, *attributes = (replace(frame, training_runs=training_runs) for frame in frames)
    weighting, pairing = problem.weighting, pairing_of(problem.sample, problem.settings)
    rows: dict[str, list[Row]] = {
        "metrics": metric_rows(whole),
        "weights": weight_rows(weighting, whole.groups),
        "replicates": replicate_rows(whole, pairing),
        "gaps": [],
        "differences": [],
    }
    for frame in attributes:
        gaps = list(gaps_of(frame))
        rows["metrics"] += metric_rows(frame)
        rows["gaps"] += gap_rows(frame, gaps)
        rows["differences"] += difference_rows(frame, whole)
        rows["replicates"] += replicate_rows(frame, pairing, gaps)
        rows["weights"] += weight_rows(weighting, frame.groups)
    if weighting.cells and weighting.cells.attribute not in problem.settings.attributes:
        rows["weights"] += weight_rows(weighting, weighting.cells)
    return rows


def metric_frames(problem: Problem, all_splits: pd.DataFrame) -> list[MetricFrame]:
    """Everybody first, then every attribute of the settings: values and replicates."""
    sample, settings = problem.sample, problem.settings
    attributes = [everybody(len(sample.frame))]
    attributes += [
        groups_of(sample.frame, attribute, settings.age_edges, all_splits)
        for attribute in settings.attributes
    ]
    return [
        MetricFrame(problem, groups, count_cells(problem, groups), values)
        for groups, values in zip(attributes, _resampled(problem, attributes), strict=True)
    ]


def _resampled(problem: Problem, attributes: list[Groups]) -> list[ValuesByMetric]:
    """The data as they are, then the replicates, [1 + B, S, P, G]."""
    settings = problem.settings
    unit_N, units = _units(problem)
    once_1U = np.ones((1, units), dtype=np.uint16)
    if settings.intervals == "delong":
        observed = bootstrap_values(problem, attributes, once_1U, unit_N)
        return _with_normal_replicates(problem, attributes, observed, unit_N)
    name = f"{settings.resampling[:-1]} bootstrap"
    draws_BU = unit_draws(units, settings.replicates, settings.seed, name)
    return bootstrap_values(problem, attributes, np.concatenate([once_1U, draws_BU]), unit_N)


def _units(problem: Problem) -> tuple[Ints, int]:
    """What is resampled, patients or images: the unit of each image, and how many there are."""
    sample = problem.sample
    if problem.settings.resampling == "images":
        return np.arange(len(sample.frame)), len(sample.frame)
    return sample.patient_N, len(sample.patient_ids)


def _with_normal_replicates(
    problem: Problem, attributes: Sequence[Groups], observed: Sequence[ValuesByMetric], unit_N: Ints
) -> list[ValuesByMetric]:
    """Replicates of the AUC from the normal approximation; none for other metrics.

    There are none either where an attribute divides cells whose weights a protocol fixes: a group's
    share of such a cell is random, which the covariance does not account for.
    """
    replicates, seed = problem.settings.replicates, problem.settings.seed
    with_replicates = []
    analytic = influences(problem, attributes, unit_N)
    for values, groups, (_, influence_USPG) in zip(observed, attributes, analytic, strict=True):
        if not _whole_cells(problem.weighting, groups):
            with_replicates.append(values)
            continue
        units, *shape = influence_USPG.shape
        flat_UM = influence_USPG.reshape(units, math.prod(shape))
        drawn_BM = normal_replicates(flat_UM, replicates, seed)
        auc_BSPG = values["auc"] + drawn_BM.reshape(replicates, *shape)
        with_replicates.append(values | {"auc": np.concatenate([values["auc"], auc_BSPG])})
    return with_replicates


def _whole_cells(weighting: Weighting, groups: Groups) -> bool:
    """Whether each group is a union of cells whose weights a protocol fixes."""
    if weighting.cells is None or weighting.multiplicities:
        return True
    inside_n = np.flatnonzero(weighting.cells.code_N >= 0)
    cell_n, group_n = weighting.cells.code_N[inside_n], groups.code_N[inside_n]
    pairs = np.unique(np.stack([cell_n, group_n]), axis=1)
    return len(pairs[0]) == len(np.unique(cell_n))
