"""The metrics of one attribute's groups: values, replicates, null, and why any is undefined.

Array suffixes: S seeds, P pathologies, G groups, B bootstrap replicates, 2 the classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from fairfm_core.evaluation.arrays import Floats, Ints
from fairfm_core.evaluation.disaggregated.counts import CellCounts, Reasons
from fairfm_core.evaluation.disaggregated.fair_draws import (
    Withheld,
    fair_deviations,
    pool_weights,
    withheld,
)
from fairfm_core.evaluation.groups import Groups
from fairfm_core.evaluation.metrics import AUC, Metric
from fairfm_core.evaluation.predictions import Sample
from fairfm_core.evaluation.problem import Problem
from fairfm_core.evaluation.resampling.replicate_values import ValuesByMetric
from fairfm_core.evaluation.resampling.training_runs import TrainingRuns

ANALYTIC = "no interval: DeLong's method applies only to the AUC"
UNFIXED = "no interval: with these weights DeLong's method holds only for balanced attributes"
NOT_CALIBRATED = "no logistic recalibration: the scores separate the classes or are all equal"


@dataclass(frozen=True, eq=False)
class MetricValues:
    """One metric of the groups of one attribute."""

    metric: Metric
    places: Ints
    """The pathologies it is defined for, by their place in the sample; P runs over these."""
    value_SPG: Floats
    replicate_BSPG: Floats
    effective_PG2: Floats
    """Effective patients of each class, negatives first."""
    reason_PG: Reasons
    """Why a value is undefined; None where it is not."""
    no_interval: str | None
    """Why the metric has no replicates although some were requested."""
    withheld: Withheld
    """Where there is no p-value."""

    @cached_property
    def undefined(self) -> bool:
        """Whether any value is undefined."""
        return bool((self.reason_PG != None).any())  # noqa: E711

    @cached_property
    def null_BSPG(self) -> Floats:
        """What the groups of a fair model deviate from their common value by, in every draw."""
        values = self.value_SPG, self.replicate_BSPG
        return fair_deviations(self.metric, *values, self.effective_PG2)

    def null_of_everybody_BSP(self, whole: MetricValues) -> Floats:
        """What everybody (`whole`) deviates by in the same draws."""
        draws = slice(len(self.replicate_BSPG))
        deviation_BSP = (whole.replicate_BSPG[draws] - whole.value_SPG)[..., 0]
        weight_PG = pool_weights(self.metric, self.effective_PG2)
        moved_BSPG = self.null_BSPG - (self.replicate_BSPG - self.value_SPG)
        moved_BSP: Floats = np.nansum(weight_PG * moved_BSPG, axis=-1)
        return deviation_BSP + moved_BSP


@dataclass(frozen=True, eq=False)
class MetricFrame:
    """The groups of one attribute of one split under one protocol."""

    problem: Problem
    groups: Groups
    counts: CellCounts
    values: ValuesByMetric
    """[1 + B, S, P, G]: the data as they are, then the replicates."""
    training_runs: TrainingRuns | None = None
    """Independent training runs whose spread intervals cover; None for that of patients alone."""

    @property
    def sample(self) -> Sample:
        """The images of the split."""
        return self.problem.sample

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """The metrics requested."""
        return self.problem.metrics

    @property
    def confidence(self) -> float:
        """Confidence level of every interval."""
        return self.problem.settings.confidence

    def of(self, metric: Metric) -> MetricValues:
        """One metric, NaN wherever it is undefined."""
        return self._by_name[metric.name]

    @cached_property
    def _by_name(self) -> dict[str, MetricValues]:
        return {metric.name: self._of(metric) for metric in self.metrics}

    def _of(self, metric: Metric) -> MetricValues:
        pathologies = self.sample.pathologies
        places = np.flatnonzero([metric.only in (None, name) for name in pathologies])
        reason_PG = self._reasons(metric)[places]
        value_BSPG = self.values[metric.name][:, :, places]
        value_BSPG[:, :, reason_PG.astype(bool)] = np.nan
        names = [pathologies[p] for p in places], self.groups.names
        return MetricValues(
            *(metric, places, value_BSPG[0], value_BSPG[1:]),
            *(self.counts.effective_PG2[places], reason_PG, self._no_interval(metric)),
            withheld(metric, value_BSPG[1:], self.counts, places, names),
        )

    def _no_interval(self, metric: Metric) -> str | None:
        if self.problem.settings.intervals != "delong" or not self.problem.settings.replicates:
            return None
        if metric != AUC:
            return ANALYTIC
        return UNFIXED if len(self.values[AUC.name]) == 1 else None

    def _reasons(self, metric: Metric) -> Reasons:
        """What the labels say, and no fit."""
        reason_PG = reasons_by_labels(self.problem, self.counts, metric)
        if metric.calibrated:
            lost_PG = np.isnan(self.values[metric.name][0]).any(axis=0)
            reason_PG[lost_PG & (reason_PG == None)] = NOT_CALIBRATED  # noqa: E711
        return reason_PG

    def places(self) -> Ints:
        """All pathologies, by their place."""
        return np.arange(len(self.sample.pathologies))

    def fewest_patients(self, places: Ints, groups: Sequence[int] | None = None) -> int:
        """Patients in the smallest cell that a number of these pathologies and groups rests on."""
        patients_PG = self.counts.patients_PG[places]
        some_PG = patients_PG if groups is None else patients_PG[:, list(groups)]
        return int(some_PG.min(initial=np.iinfo(np.int64).max))

    @property
    def left_out(self) -> str | None:
        """How many images without a group are left out of every gap, and the protocol's note."""
        without = self.groups.without
        left_out = f"{without} images without {self.groups.attribute} left out" if without else None
        return joined(left_out, self.problem.weighting.note)


def reasons_by_labels(problem: Problem, counts: CellCounts, metric: Metric) -> Reasons:
    """Why a metric is undefined whatever the scores are, [P, G]; None where it is not: too few
    cases, no weights, or no threshold."""
    reason_PG = counts.reasons(metric.needs)
    if metric.point is not None:
        for seed in problem.request.thresholds[metric.point]:
            for p, threshold in enumerate(seed):
                reason_PG[p][reason_PG[p] == None] = threshold.reason  # noqa: E711
    return reason_PG


def joined(*notes: str | None) -> str | None:
    """The notes joined into one text; None if there are none."""
    return "; ".join(note for note in notes if note) or None
