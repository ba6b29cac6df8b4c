"""What the outputs of each configuration tell of the groups: its scores, or its frozen features."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd

from analysis.results.results import Configuration, StudyResults, TrialResult
from fairfm_core.config.evaluation import EvaluationSettings
from fairfm_core.data.cohort import read_cohort
from fairfm_core.errors import BadInput
from fairfm_core.evaluation.arrays import Floats
from fairfm_core.evaluation.curves.attribute_probe import Encoding, encoded, probed
from fairfm_core.evaluation.predictions import Sample, sample_of

COHORT = "cohort.parquet"
SCORES, FEATURES = "scores", "features"
FIT = "val"
"""The split on which probes are fitted."""


def encodings(
    results: StudyResults,
    configuration: Configuration,
    split: str,
    settings: EvaluationSettings,
    data: str | None,
) -> Iterator[tuple[str, str, Encoding]]:
    """What is probed, the attribute, and what the probe finds on `split`.

    Scores always; the features of a linear probe if `data`, the folder of the prepared data, says
    which image each row is of. Raises BadInput where that has other images.
    """
    seeds = [results.predictions(trial) for trial in configuration.finished]
    frames, pathologies = [each.frame for each in seeds], seeds[0].pathologies
    fit, test = (sample_of(frames, name, pathologies) for name in (FIT, split))
    for attribute in settings.attributes:
        yield SCORES, attribute, encoded(fit, test, attribute, settings)
    if data is None or (stage := _features_stage(results, configuration.finished[0])) is None:
        return
    inputs = [_features(results, stage, sample, data)[None] for sample in (fit, test)]
    for attribute in settings.attributes:
        found = probed(inputs[0], inputs[1], (fit.images, test.images), attribute, settings)
        yield FEATURES, attribute, found


def _features_stage(results: StudyResults, trial: TrialResult) -> str | None:
    """The fingerprint of the features that a trial was trained on; None for a fine-tuned one."""
    (stored,) = (each for each in results.stored.trials if each.name == trial.name)
    return stored.features


def _features(results: StudyResults, stage: str, sample: Sample, data: str) -> Floats:
    """The features of a split's images, in the order of the sample, [N, D]."""
    name = f"{sample.split}.npy"
    with results.store.artifact("features", stage).local_copy(name) as path:
        feature_ND = np.load(path).astype(np.float64)
    ids = _ids(data, sample.split)
    if len(ids) != len(feature_ND) or set(ids) != set(sample.frame["image_id"].astype(str)):
        raise BadInput(
            f"{data} is not the data of these features: its split {sample.split} has other images;"
            " give the folder that the study was trained on"
        )
    place = {image: row for row, image in enumerate(ids)}
    rows: Floats = feature_ND[[place[str(image)] for image in sample.frame["image_id"]]]
    return rows


@lru_cache(maxsize=4)
def _ids(data: str, split: str) -> tuple[str, ...]:
    """The images of a split in the order of the features: that of the image store."""
    cohort: pd.DataFrame = read_cohort(Path(data) / COHORT)
    return tuple(cohort.loc[cohort["split"] == split, "image_id"].astype(str))
