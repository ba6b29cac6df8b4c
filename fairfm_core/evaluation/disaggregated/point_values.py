"""The values of some validation numbers after an epoch: without draws, intervals or nulls.

They are made by the steps of `evaluate`, so that a number that is read while a model is trained
means what it means at the end.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy.typing as npt
import pandas as pd

from fairfm_core.config.evaluation import EvaluationSettings
from fairfm_core.evaluation.disaggregated.split_rows import split_rows
from fairfm_core.evaluation.metrics import FAMILIES, MetricRequest, has_rates
from fairfm_core.evaluation.numbers import number_named
from fairfm_core.evaluation.operating_points import thresholds_on
from fairfm_core.evaluation.predictions import Sample, sample_of
from fairfm_core.evaluation.problem import Problem
from fairfm_core.evaluation.protocols.registry import weighting_of
from fairfm_core.evaluation.summary import validation_metrics
from fairfm_core.evaluation.tables import evaluation_of

SPLIT = "val"


@dataclass(frozen=True, eq=False)
class PointValues:
    """Makes the values of some numbers from the scores of the validation split."""

    validation: pd.DataFrame
    """Its rows without scores: ids, `split`, attributes and labels."""
    all_splits: pd.DataFrame
    """The rows of all evaluated splits: an attribute's groups are those of any split."""
    pathologies: tuple[str, ...]
    settings: EvaluationSettings
    """Of the evaluation; its draws are left out."""
    metrics: tuple[str, ...]
    """What to make, such as `val/auc` and `val/gap_race`."""

    def __call__(self, scores_NP: npt.NDArray[Any]) -> dict[str, float]:
        """The values by name, from probabilities [N, P]; an undefined one is left out."""
        problem = self._problem(self._sample(scores_NP))
        place = {"protocol": problem.settings.protocols[0], "split": SPLIT}
        rows = split_rows(problem, tables=("metrics", "gaps"))
        tables = {name: [{**place, **row} for row in each] for name, each in rows.items()}
        values = validation_metrics(evaluation_of(**tables, thresholds=[]), self._names)
        return {metric: values[metric] for metric in self.metrics if metric in values}

    def _sample(self, scores_NP: npt.NDArray[Any]) -> Sample:
        columns = {f"p_{name}": scores_NP[:, p] for p, name in enumerate(self.pathologies)}
        scores = pd.DataFrame(columns, self.validation.index)
        frame = pd.concat([self.validation, scores], axis=1)
        return sample_of([frame], SPLIT, self.pathologies, self.all_splits)

    def _problem(self, sample: Sample) -> Problem:
        settings = self._point_settings
        points = settings.operating_points if has_rates(settings.metrics) else ()
        thresholds = thresholds_on(sample, points, len(self.pathologies), seeds=1)
        weighting = weighting_of(settings.protocols[0], sample.images, settings)
        return Problem(sample, weighting, MetricRequest(settings.metrics, thresholds), settings)

    @cached_property
    def _point_settings(self) -> EvaluationSettings:
        """The settings without draws, with the families that the numbers belong to alone."""
        families = families_of(self._names)
        changes = {"replicates": 0, "intervals": "bootstrap", "metrics": families}
        return self.settings.model_copy(update=changes)

    @property
    def _names(self) -> list[str]:
        return [metric.removeprefix(f"{SPLIT}/") for metric in self.metrics]


def families_of(names: Sequence[str]) -> tuple[str, ...]:
    """The families of metrics that these numbers are made of; the AUC is always among them."""
    bases = {number_named(name).metric.name.partition("@")[0] for name in names}
    odds = {"tpr"} if "equalized_odds" in bases else set()
    wanted = bases | odds | {"auc"}
    return tuple(
        family for family, members in FAMILIES.items() if wanted & {each.name for each in members}
    )
