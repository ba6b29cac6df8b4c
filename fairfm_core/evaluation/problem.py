"""What one evaluation computes: the images of a split under one protocol, and the metrics wanted.

Every step below `evaluate.py` takes a `Problem` and passes it on as it is, down to the kernels.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from fairfm_core.config.evaluation import EvaluationSettings
from fairfm_core.evaluation.metrics import Metric, MetricRequest
from fairfm_core.evaluation.predictions import Sample
from fairfm_core.evaluation.protocols.weighting import Weighting


@dataclass(frozen=True, eq=False)
class Problem:
    """One split, weighted by one protocol, with the metrics to compute and how to compute them."""

    sample: Sample
    """The images of the split with the scores of every seed."""
    weighting: Weighting
    """The protocol's weights of these images: the same for every model."""
    request: MetricRequest
    """Families of metrics, and the thresholds that their rates use."""
    settings: EvaluationSettings

    @cached_property
    def metrics(self) -> tuple[Metric, ...]:
        """The metrics requested, in the order of the tables."""
        return self.request.metrics(self.sample.pathologies)

    def metrics_of(self, p: int) -> list[Metric]:
        """The metrics that are defined for pathology `p`."""
        name = self.sample.pathologies[p]
        return [metric for metric in self.metrics if metric.only in (None, name)]
