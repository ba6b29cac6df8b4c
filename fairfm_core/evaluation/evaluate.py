"""Predictions in, tables out: metrics of every group with intervals, gaps with their null.

With several seeds of one configuration each value is the mean over seeds of the one-seed value, and
intervals and nulls apply the same patient draws to all seeds jointly. One seed is
the special case; there is no second path.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from fairfm_core.config.evaluation import EvaluationSettings
from fairfm_core.data.cohort_checks import SPLITS
from fairfm_core.errors import BadInput, first_ten
from fairfm_core.evaluation.disaggregated.split_rows import split_rows
from fairfm_core.evaluation.metrics import MetricRequest, has_rates
from fairfm_core.evaluation.operating_points import threshold_rows, thresholds_on
from fairfm_core.evaluation.pairing import differ
from fairfm_core.evaluation.predictions import Predictions, Sample, join_splits, sample_of
from fairfm_core.evaluation.problem import Problem
from fairfm_core.evaluation.protocols.registry import weighting_of
from fairfm_core.evaluation.resampling.training_runs import TrainingRuns
from fairfm_core.evaluation.tables import (
    TABLES,
    Evaluation,
    Row,
    evaluation_of,
    read_evaluation,
    write_evaluation,
)

__all__ = [
    "Evaluation",
    "evaluate",
    "evaluate_seeds",
    "read_evaluation",
    "split_problem",
    "write_evaluation",
]


def evaluate(
    predictions: Predictions | Sequence[Predictions],
    settings: EvaluationSettings,
    tables: Collection[str] = tuple(TABLES),
) -> Evaluation:
    """The named tables of one model from its predictions, given in one table or one per split.

    The others stay empty. The groups of an attribute are those that occur in any of the splits: a
    group that one split lacks makes its gap there undefined, with the reason, and is never dropped.
    Raises BadInput for unknown attributes and tables that do not fit.
    """
    parts = [predictions] if isinstance(predictions, Predictions) else predictions
    return evaluate_seeds([join_splits(parts)], settings, tables=tables)


def evaluate_seeds(
    seeds: Sequence[Predictions],
    settings: EvaluationSettings,
    training_runs: TrainingRuns | None = None,
    tables: Collection[str] = tuple(TABLES),
) -> Evaluation:
    """The named tables of one configuration: means over its seeds, each with all its splits.

    The interval is that of the mean over these seeds under resampled patients. It includes the
    variation between training runs only if `training_runs` says which seeds are independent.
    Raises BadInput if the seeds are not predictions of the same images.
    """
    frames = _aligned(seeds)
    pathologies = seeds[0].pathologies
    splits = [name for name in SPLITS if (frames[0]["split"] == name).any()]
    samples = {split: sample_of(frames, split, pathologies) for split in splits}
    request = _request(samples.get("val"), (len(frames), len(pathologies)), settings)
    rows: dict[str, list[Row]] = {name: [] for name in TABLES}
    for protocol in settings.protocols:
        for split, sample in samples.items():
            weighting = weighting_of(protocol, sample.images, settings)
            problem = Problem(sample, weighting, request, settings)
            for name, of_split in split_rows(problem, training_runs, tables).items():
                place = {"protocol": protocol, "split": split}
                rows[name] += [{**place, **row} for row in of_split]
    if "thresholds" in tables and has_rates(settings.metrics):
        rows["thresholds"] += threshold_rows(request.thresholds, pathologies)
    return evaluation_of(**rows)


def split_problem(
    seeds: Sequence[Predictions], split: str, protocol: str, settings: EvaluationSettings
) -> Problem:
    """One split of one configuration under one protocol, as `evaluate_seeds` evaluates it.

    Raises BadInput if the seeds are not predictions of the same images.
    """
    frames = _aligned(seeds)
    pathologies = seeds[0].pathologies
    known = [name for name in ("val", split) if (frames[0]["split"] == name).any()]
    samples = {name: sample_of(frames, name, pathologies) for name in known}
    request = _request(samples.get("val"), (len(frames), len(pathologies)), settings)
    weighting = weighting_of(protocol, samples[split].images, settings)
    return Problem(samples[split], weighting, request, settings)


def _request(
    validation: Sample | None, shape: tuple[int, int], settings: EvaluationSettings
) -> MetricRequest:
    """The metrics of the settings, with the thresholds of so many seeds and pathologies."""
    seeds, pathologies = shape
    thresholds = thresholds_on(validation, settings.operating_points, pathologies, seeds)
    return MetricRequest(tuple(settings.metrics), thresholds)


def _aligned(seeds: Sequence[Predictions]) -> list[pd.DataFrame]:
    """The seeds' frames in one order of images; BadInput if they differ in more than scores."""
    if not seeds:
        raise BadInput("no predictions given; give at least one seed")
    frames = [_ordered(seed.frame) for seed in seeds]
    for number, frame in enumerate(frames[1:], start=1):
        _check_same_images(frames[0], frame, number)
    return frames


def _ordered(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows by split and image; returned unchanged if they are already in that order."""
    keys = pa.array(frame["split"].astype(str) + "\x1f" + frame["image_id"].astype(str))
    if pc.all(pc.less(keys[:-1], keys[1:])).as_py() in (True, None):
        return frame
    return frame.iloc[pc.sort_indices(keys).to_numpy()].reset_index(drop=True)


def _check_same_images(first: pd.DataFrame, other: pd.DataFrame, number: int) -> None:
    odd: list[Any] = sorted(set(first["image_id"]) ^ set(other["image_id"]), key=str)
    if odd:
        raise BadInput(f"seed {number} predicts different images from seed 0: {first_ten(odd)}")
    if names := sorted(map(str, set(first.columns) ^ set(other.columns))):
        raise BadInput(f"seed {number} has different columns from seed 0: {first_ten(names)}")
    for name in map(str, first.columns):
        if not name.startswith("p_") and differ(first[name], other[name]).any():
            raise BadInput(f"seed {number} has different values of {name!r} from seed 0")
