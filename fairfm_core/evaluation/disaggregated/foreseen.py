"""What labels and groups decide before any model is trained: numbers that cannot be defined, cells
too small for an interval, groups that no image of a split belongs to.

The counts and reasons are those of the evaluation itself, made with scores that mean nothing.

Array suffixes: N images, P pathologies, G groups.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from fairfm_core.config.evaluation import EvaluationSettings
from fairfm_core.data.cohort import attributes
from fairfm_core.data.cohort_checks import EVALUATION_SPLITS
from fairfm_core.evaluation.disaggregated.counts import CellCounts, Reasons, count_cells
from fairfm_core.evaluation.disaggregated.metric_frame import reasons_by_labels
from fairfm_core.evaluation.groups import Groups, everybody, groups_of
from fairfm_core.evaluation.metrics import MetricRequest
from fairfm_core.evaluation.numbers import NamedNumber
from fairfm_core.evaluation.operating_points import thresholds_on
from fairfm_core.evaluation.predictions import KEYS, Sample, sample_of
from fairfm_core.evaluation.problem import Problem
from fairfm_core.evaluation.protocols.registry import weighting_of

FEW_CASES = 5
"""With fewer positives or negatives, intervals are wide or missing: of one case, more than a third
of the bootstrap replicates are undefined; of five, one in 150."""


@dataclass(frozen=True)
class Cell:
    """One pathology in one group of an attribute, and what is wrong with it."""

    attribute: str
    group: str
    pathology: str
    reason: str

    def text(self) -> str:
        """`race Black, Edema: 0 positives among 12 images`; everybody is not named."""
        group = "" if self.attribute == "overall" else f"{self.attribute} {self.group}, "
        return f"{group}{self.pathology}: {self.reason}"


@dataclass(frozen=True, eq=False)
class LabelledSplit:
    """One split of a cohort under the first protocol: what an evaluation of any model counts."""

    problem: Problem
    both: pd.DataFrame
    """The images of all evaluated splits, whose groups are those of every split."""

    @property
    def sample(self) -> Sample:
        """The images of the split."""
        return self.problem.sample

    def undefined(self, number: NamedNumber) -> list[Cell]:
        """The cells because of which a number is undefined; empty for one that is defined."""
        groups = self._groups(number.attribute)
        counts = count_cells(self.problem.weighting, groups, self.problem.settings.min_cases)
        reason_PG = reasons_by_labels(self.problem, counts, number.metric)
        return list(self._cells(groups, reason_PG, number.metric.only))

    def small(self, attribute: str) -> list[Cell]:
        """The defined cells with the fewest cases first, as far as an interval of them means
        little."""
        groups = self._groups(attribute)
        counts = count_cells(self.problem.weighting, groups, self.problem.settings.min_cases)
        fewest_PG = np.minimum(counts.positives_PG, counts.images_PG - counts.positives_PG)
        reason_PG = np.full(fewest_PG.shape, None, dtype=object)
        for p, g in np.argwhere((fewest_PG > 0) & (fewest_PG < FEW_CASES)):
            reason_PG[p, g] = _counted(counts, int(p), int(g))
        cells = self._cells(groups, reason_PG, None)
        return sorted(cells, key=lambda cell: int(cell.reason.split()[0]))

    def _groups(self, attribute: str) -> Groups:
        if not attribute:
            return everybody(len(self.sample.frame))
        edges = self.problem.settings.age_edges
        return groups_of(self.sample.frame, attribute, edges, self.both)

    def _cells(self, groups: Groups, reason_PG: Reasons, only: str | None) -> Iterator[Cell]:
        for g, p in np.ndindex(reason_PG.shape[::-1]):
            pathology = self.sample.pathologies[p]
            if reason_PG[p, g] is not None and only in (None, pathology):
                yield Cell(groups.attribute, groups.names[g], pathology, str(reason_PG[p, g]))


def labelled_splits(
    frame: pd.DataFrame, pathologies: Sequence[str], settings: EvaluationSettings
) -> dict[str, LabelledSplit]:
    """Validation and test of a cohort, whose uncertain labels are settled, by name."""
    names = tuple(pathologies)
    columns = [*KEYS, *attributes(frame), *(f"y_{name}" for name in names)]
    both = frame.loc[frame["split"].isin(EVALUATION_SPLITS), columns]
    both = both.sort_values(["split", "image_id"], ignore_index=True)  # as predictions are stored
    both = both.assign(**{f"p_{name}": np.float32(0.5) for name in names})
    samples = {split: sample_of([both], split, names) for split in EVALUATION_SPLITS}
    thresholds = thresholds_on(samples["val"], settings.operating_points, len(names), 1)
    request = MetricRequest(tuple(settings.metrics), thresholds)
    protocol = settings.protocols[0]
    return {
        split: LabelledSplit(
            Problem(sample, weighting_of(protocol, sample.images, settings), request, settings),
            both,
        )
        for split, sample in samples.items()
    }


def _counted(counts: CellCounts, p: int, g: int) -> str:
    images, positives = int(counts.images_PG[p, g]), int(counts.positives_PG[p, g])
    negatives = images - positives
    fewest = min(positives, negatives)
    name = "positive" if positives <= negatives else "negative"
    return f"{fewest} {name}{'s' * (fewest != 1)} among {images} images"
