"""One split under one protocol: from the problem to the rows of every table.

Array suffixes: B bootstrap replicates, S seeds, P pathologies, G groups, U units that are
resampled, M numbers (seeds x pathologies x groups), n images inside the protocol's cells.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import chain

import numpy as np
import numpy.typing as npt

from fairfm_core.config.evaluation import EvaluationSettings
from fairfm_core.evaluation.arrays import Ints
from fairfm_core.evaluation.disaggregated.counts import CellCounts, count_cells
from fairfm_core.evaluation.disaggregated.difference_rows import difference_rows
from fairfm_core.evaluation.disaggregated.gap_rows import Gap, gap_rows, gaps_of
from fairfm_core.evaluation.disaggregated.metric_frame import MetricFrame
from fairfm_core.evaluation.disaggregated.metric_rows import metric_rows
from fairfm_core.evaluation.disaggregated.replicate_rows import replicate_rows
from fairfm_core.evaluation.groups import Groups, everybody, groups_of
from fairfm_core.evaluation.metrics import MetricRequest
from fairfm_core.evaluation.pairing import pairing_of
from fairfm_core.evaluation.predictions import SplitImages
from fairfm_core.evaluation.problem import Problem
from fairfm_core.evaluation.protocols.effective_size import weight_rows
from fairfm_core.evaluation.protocols.weighting import Weighting
from fairfm_core.evaluation.resampling.bootstrap import unit_draws
from fairfm_core.evaluation.resampling.delong import influences, normal_replicates
from fairfm_core.evaluation.resampling.replicate_values import (
    ResampledImages,
    ValuesByMetric,
    resampled_images,
    weighted_values,
)
from fairfm_core.evaluation.resampling.training_runs import TrainingRuns
from fairfm_core.evaluation.tables import TABLES, Row


@dataclass(frozen=True, eq=False)
class SplitDesign:
    """What the evaluations of all models of a split under one protocol share: no score is in it."""

    attributes: tuple[Groups, ...]
    """Everybody first, then every attribute of the settings."""
    counts: tuple[CellCounts, ...]
    resampled: ResampledImages
    """The data as they are, then the bootstrap replicates."""
    weights: tuple[Row, ...]
    """Rows of the table of weights."""
    pairing: str


@lru_cache(maxsize=8)
def design_of(weighting: Weighting, settings: EvaluationSettings) -> SplitDesign:
    """The design of a split, made once for all models of these images."""
    images = weighting.images
    attributes = (
        everybody(len(images.frame)),
        *(
            groups_of(images.frame, attribute, settings.age_edges, images.all_splits)
            for attribute in settings.attributes
        ),
    )
    return SplitDesign(
        attributes,
        tuple(count_cells(weighting, groups, settings.min_cases) for groups in attributes),
        _resampled(weighting, attributes, settings),
        tuple(_weight_rows(weighting, attributes, settings)),
        pairing_of(images, settings),
    )


def split_rows(
    problem: Problem,
    training_runs: TrainingRuns | None = None,
    tables: Collection[str] = tuple(TABLES),
) -> dict[str, list[Row]]:
    """Rows of the named tables; groups are those of all splits, even where this split has none.

    Intervals cover the spread of `training_runs` if they are given.
    """
    design = design_of(problem.weighting, problem.settings)
    frames = metric_frames(problem, design)
    whole, *attributes = (replace(frame, training_runs=training_runs) for frame in frames)
    gaps = [list(gaps_of(frame)) for frame in attributes]
    of_each: list[tuple[MetricFrame, list[Gap]]] = [
        (whole, []),
        *zip(attributes, gaps, strict=True),
    ]
    rows: dict[str, Callable[[], Iterable[Row]]] = {
        "metrics": lambda: chain.from_iterable(map(metric_rows, [whole, *attributes])),
        "weights": lambda: design.weights,
        "gaps": lambda: chain.from_iterable(map(gap_rows, attributes, gaps)),
        "differences": lambda: chain.from_iterable(difference_rows(f, whole) for f in attributes),
        "replicates": lambda: chain.from_iterable(
            replicate_rows(frame, design.pairing, own) for frame, own in of_each
        ),
    }
    return {name: list(make()) for name, make in rows.items() if name in tables}


def metric_frames(problem: Problem, design: SplitDesign) -> list[MetricFrame]:
    """Everybody first, then every attribute of the settings: values and replicates."""
    values = weighted_values(problem, design.resampled)
    if problem.settings.intervals == "delong":
        values = _with_normal_replicates(problem, design.attributes, values)
    return [
        MetricFrame(problem, *parts)
        for parts in zip(design.attributes, design.counts, values, strict=True)
    ]


def _resampled(
    weighting: Weighting, attributes: Sequence[Groups], settings: EvaluationSettings
) -> ResampledImages:
    """The data as they are, then the replicates that are drawn: 1 + B weightings, or 1."""
    analytic = {"replicates": 0} if settings.intervals == "delong" else {}
    drawn = settings.model_copy(update=analytic)
    unit_N, weights_BU = unit_weights(weighting.images, drawn)
    needs_sums = MetricRequest(settings.metrics).needs_sums
    return resampled_images(weighting, attributes, weights_BU, unit_N, needs_sums)


def unit_weights(
    images: SplitImages, settings: EvaluationSettings
) -> tuple[Ints, npt.NDArray[np.uint16]]:
    """The unit of each image, and how often each unit counts: in the data as they are, then in
    every bootstrap replicate, [1 + B, U]."""
    unit_N, units = _units(images, settings)
    name = f"{settings.resampling[:-1]} bootstrap"
    draws_BU = unit_draws(units, settings.replicates, settings.seed, name)
    return unit_N, np.concatenate([np.ones((1, units), dtype=np.uint16), draws_BU])


def _units(images: SplitImages, settings: EvaluationSettings) -> tuple[Ints, int]:
    """What is resampled, patients or images: the unit of each image, and how many there are."""
    if settings.resampling == "images":
        return np.arange(len(images.frame)), len(images.frame)
    return images.patient_N, len(images.patient_ids)


def _weight_rows(
    weighting: Weighting, attributes: Sequence[Groups], settings: EvaluationSettings
) -> Iterator[Row]:
    """Weights in the groups of every attribute, and in the protocol's cells."""
    for groups in attributes:
        yield from weight_rows(weighting, groups)
    if weighting.cells and weighting.cells.attribute not in settings.attributes:
        yield from weight_rows(weighting, weighting.cells)


def _with_normal_replicates(
    problem: Problem, attributes: Sequence[Groups], observed: Sequence[ValuesByMetric]
) -> list[ValuesByMetric]:
    """Replicates of the AUC from the normal approximation; none for other metrics.

    There are none either where an attribute divides cells whose weights a protocol fixes: a group's
    share of such a cell is random, which the covariance does not account for.
    """
    replicates, seed = problem.settings.replicates, problem.settings.seed
    with_replicates = []
    unit_N, _ = _units(problem.sample.images, problem.settings)
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
