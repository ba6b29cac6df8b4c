"""The gap that studies of other sizes would show, and the gap of fair models there.

A study of m patients is m patients drawn with replacement from the n of the split (m-out-of-n
bootstrap: Bickel, Götze and van Zwet, Statistica Sinica 1997). A fair model deviates in the same
draws as this one does about its own values (`disaggregated/fair_draws.py`). The split stands for
the population: what noise has added to its own gap stays in that of every size.

Array suffixes: B draws, U patients.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from fairfm_core.evaluation.arrays import Floats
from fairfm_core.evaluation.disaggregated.gap_rows import gaps_of
from fairfm_core.evaluation.disaggregated.metric_frame import MetricFrame
from fairfm_core.evaluation.disaggregated.split_rows import design_of
from fairfm_core.evaluation.metrics import AUC, MetricRequest
from fairfm_core.evaluation.problem import Problem
from fairfm_core.evaluation.resampling.replicate_values import resampled_images, weighted_values
from fairfm_core.seeding import stream


@dataclass(frozen=True, eq=False)
class GapBySize:
    """The AUC gap of one attribute in the draws of one size; means over seeds."""

    attribute: str
    patients: int
    gap_B: Floats
    """NaN in a draw in which a group lacks a class."""
    null_B: Floats
    """The gap of a fair model in the same draws."""

    @property
    def undefined(self) -> float:
        """Share of the draws without a gap."""
        return float(np.isnan(self.gap_B).mean()) if len(self.gap_B) else 1.0

    def found(self, confidence: float) -> float:
        """Share of the defined draws whose gap is beyond what so many fair models show."""
        gap_B, null_B = (each[np.isfinite(each)] for each in (self.gap_B, self.null_B))
        return float((gap_B > np.quantile(null_B, confidence)).mean())


def gaps_by_size(problem: Problem, definition: str, sizes: Sequence[int]) -> Iterator[GapBySize]:
    """The AUC gap of every attribute with two groups or more, size by size.

    `definition` is one of `GAP_DEFINITIONS`; the draws are as many as the settings' replicates.
    """
    alone = replace(problem, request=MetricRequest())
    design = design_of(problem.weighting, problem.settings)
    images = problem.sample.images
    for patients in sizes:
        weights_BU = _drawn(problem, patients)
        resampled = resampled_images(
            *(problem.weighting, design.attributes, weights_BU, images.patient_N, False)
        )
        values = weighted_values(alone, resampled)
        parts = list(zip(design.attributes, design.counts, values, strict=True))[1:]
        frames = [MetricFrame(alone, *part) for part in parts if len(part[0].names) > 1]
        for frame in frames:
            (gap,) = (
                each
                for each in gaps_of(frame)
                if (each.metric, each.definition) == (AUC.name, definition)
            )
            means = gap.replicate_BS.mean(axis=-1), gap.null_BS.mean(axis=-1)
            yield GapBySize(frame.groups.attribute, patients, *means)


def _drawn(problem: Problem, patients: int) -> npt.NDArray[np.uint16]:
    """The data as they are, then how often each patient is drawn, [1 + B, U]."""
    units = len(problem.sample.patient_ids)
    random = stream(problem.settings.seed, "study of a size", patients)
    drawn = [
        np.bincount(random.integers(units, size=patients), minlength=units)
        for _ in range(problem.settings.replicates)
    ]
    return np.array([np.ones(units), *drawn], dtype=np.uint16)
