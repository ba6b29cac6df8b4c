"""Predictions in, metrics and gaps out: subgroup AUCs with intervals, gaps with their null.

With several seeds of one configuration each value is the mean over seeds of the one-seed value, and
intervals and nulls apply the same patient draws and permutations to all seeds jointly. One seed is
the special case; there is no second path.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from fairfm_core.config import EvaluationSettings
from fairfm_core.errors import BadInput, first_ten
from fairfm_core.evaluation.attribute_rows import AttributeAucs, gap_rows, metric_rows
from fairfm_core.evaluation.cells import cell_aucs, count_cells
from fairfm_core.evaluation.effective_size import weight_rows
from fairfm_core.evaluation.fairness import permuted_aucs
from fairfm_core.evaluation.groups import Groups, everybody, groups_of
from fairfm_core.evaluation.intervals import Counts, patient_draws
from fairfm_core.evaluation.predictions import SPLITS, Predictions
from fairfm_core.evaluation.protocols import PROTOCOLS
from fairfm_core.evaluation.records import (
    Evaluation,
    Row,
    evaluation_of,
    read_evaluation,
    write_evaluation,
)
from fairfm_core.evaluation.sample import Sample, sample_of
from fairfm_core.evaluation.weighting import Weighting

__all__ = [
    "Evaluation",
    "evaluate",
    "evaluate_seeds",
    "join_splits",
    "read_evaluation",
    "write_evaluation",
]


def evaluate(
    predictions: Predictions | Sequence[Predictions], settings: EvaluationSettings
) -> Evaluation:
    """Metrics and gaps of one model from its predictions, given in one table or one per split.

    The groups of an attribute are those that occur in any of the splits: a group that one split
    lacks makes its gap there undefined, with the reason, and is never left out of it. Raises
    BadInput for unknown attributes and tables that do not fit.
    """
    parts = [predictions] if isinstance(predictions, Predictions) else predictions
    return evaluate_seeds([join_splits(parts)], settings)


def evaluate_seeds(seeds: Sequence[Predictions], settings: EvaluationSettings) -> Evaluation:
    """Metrics and gaps of one configuration: means over its seeds, each with all its splits.

    The interval is that of the mean over these seeds under resampled patients; the spread between
    seeds is not in it. Raises BadInput if the seeds are not predictions of the same images.
    """
    frames = _aligned(seeds)
    pathologies = seeds[0].pathologies
    tables: tuple[list[Row], list[Row], list[Row]] = ([], [], [])
    for protocol in settings.protocols:
        for split in (name for name in SPLITS if (frames[0]["split"] == name).any()):
            sample = sample_of(frames, split, pathologies)
            weighting = PROTOCOLS[protocol](sample, settings)
            split_rows = _split_rows(sample, weighting, settings, frames[0])
            for found, rows in zip(tables, split_rows, strict=True):
                found += [{"protocol": protocol, "split": split, **row} for row in rows]
    return evaluation_of(*tables)


def join_splits(parts: Sequence[Predictions]) -> Predictions:
    """One table of several splits of one model; raises BadInput if their columns differ."""
    if not parts:
        raise BadInput("no predictions given; give at least one table")
    if len(parts) == 1:
        return parts[0]
    names = set(parts[0].frame.columns)
    for part in parts[1:]:
        if odd := sorted(map(str, names ^ set(part.frame.columns))):
            raise BadInput(f"the predictions differ in columns: {first_ten(odd)}; give one model's")
    return Predictions(pd.concat([part.frame for part in parts], ignore_index=True))


def _split_rows(
    sample: Sample, weighting: Weighting, settings: EvaluationSettings, all_splits: pd.DataFrame
) -> tuple[list[Row], list[Row], list[Row]]:
    """Rows of metrics, gaps and weights of one split under one protocol."""
    draws_BQ = patient_draws(sample.patient_ids, settings.replicates, settings.seed)
    all_images = everybody(len(sample.frame))
    metrics = metric_rows(_aucs(sample, weighting, all_images, draws_BQ, settings))
    gaps: list[Row] = []
    weights = weight_rows(sample, weighting, all_images)
    for attribute in settings.attributes:
        groups = groups_of(sample.frame, attribute, settings.age_edges, all_splits)
        aucs = _aucs(sample, weighting, groups, draws_BQ, settings)
        null = permuted_aucs(sample, groups, settings.permutations, settings.seed, weighting)
        metrics += metric_rows(aucs)
        gaps += gap_rows(aucs, null)
        weights += weight_rows(sample, weighting, groups)
    if weighting.cells and weighting.cells.attribute not in settings.attributes:
        weights += weight_rows(sample, weighting, weighting.cells)
    return metrics, gaps, weights


def _aucs(
    sample: Sample,
    weighting: Weighting,
    groups: Groups,
    draws_BQ: Counts,
    settings: EvaluationSettings,
) -> AttributeAucs:
    counts = count_cells(sample, groups, settings.min_cases, weighting)
    once_Q = np.ones((1, len(sample.patient_ids)), dtype=np.uint16)
    value_SPG = cell_aucs(sample, groups, once_Q, weighting)[0]
    replicate_BSPG = cell_aucs(sample, groups, draws_BQ, weighting)
    undefined_PG = counts.reason_PG.astype(bool)
    value_SPG[:, undefined_PG] = np.nan
    replicate_BSPG[:, :, undefined_PG] = np.nan
    return AttributeAucs(
        sample, weighting, groups, counts, value_SPG, replicate_BSPG, settings.confidence
    )


def _aligned(seeds: Sequence[Predictions]) -> list[pd.DataFrame]:
    """The seeds' frames in one order of images; BadInput if they differ in more than scores."""
    if not seeds:
        raise BadInput("no predictions given; give at least one seed")
    frames = [
        seed.frame.sort_values("image_id", key=lambda ids: ids.astype(str), ignore_index=True)
        for seed in seeds
    ]
    for number, frame in enumerate(frames[1:], start=1):
        _check_same_images(frames[0], frame, number)
    return frames


def _check_same_images(first: pd.DataFrame, other: pd.DataFrame, number: int) -> None:
    odd: list[Any] = sorted(set(first["image_id"]) ^ set(other["image_id"]), key=str)
    if odd:
        raise BadInput(f"seed {number} predicts other images than seed 0: {first_ten(odd)}")
    if names := sorted(map(str, set(first.columns) ^ set(other.columns))):
        raise BadInput(f"seed {number} has other columns than seed 0: {first_ten(names)}")
    for name in map(str, first.columns):
        if not name.startswith("p_") and not first[name].equals(other[name]):
            raise BadInput(f"seed {number} has other values of {name!r} than seed 0")
