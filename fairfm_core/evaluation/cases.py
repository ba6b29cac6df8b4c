"""One pathology scored by one seed, ready for any weighting: sorted, and its terms added up.

Array suffixes: S seeds, P pathologies, N images, n counted images, U units that carry a weight,
K cells, T terms.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from fairfm_core.evaluation.auc import Floats, Ints
from fairfm_core.evaluation.metrics import Metric, chosen_metrics
from fairfm_core.evaluation.operating_points import Threshold
from fairfm_core.evaluation.partition import Plan
from fairfm_core.evaluation.ranking import Ranking, ranked
from fairfm_core.evaluation.sample import Sample
from fairfm_core.evaluation.sums import Pieces, pieces_of
from fairfm_core.evaluation.terms import Columns, Scored, summed_terms

SCANNED = ("auc", "auprc")
"""Families that need no sums."""


@dataclass(frozen=True, eq=False)
class Request:
    """Which metrics are asked for."""

    families: tuple[str, ...] = ("auc",)
    thresholds: dict[str, list[list[Threshold]]] = field(default_factory=dict)
    """For each operating point the thresholds by seed and pathology."""

    def metrics(self, pathologies: Sequence[str]) -> tuple[Metric, ...]:
        """The metrics by name."""
        return chosen_metrics(self.families, self.thresholds, pathologies)

    @property
    def needs_sums(self) -> bool:
        """Whether any metric is a function of sums."""
        return bool(set(self.families) - set(SCANNED))


@dataclass(frozen=True, eq=False)
class Counted:
    """Which images of a pathology count, and how much."""

    case_n: Ints
    multiplicity_N: Ints | None
    weight_N: Floats
    """The protocol's weight of each image, for the fits that terms stand at."""


@dataclass(frozen=True, eq=False)
class Units:
    """Who carries a weight: the patients, say, of the images."""

    unit_N: Ints
    count: int
    heaviest: int
    """The largest weight of a unit in any weighting."""


@dataclass(frozen=True, eq=False)
class Summed:
    """Terms of the images that share a unit and a cell, added up."""

    pieces: Pieces
    term_PT: Floats
    columns: Columns


@dataclass(frozen=True, eq=False)
class Cases:
    """The counted images of one pathology with the scores of one seed."""

    s: int
    p: int
    ranking: Ranking
    multiplicity_N: Ints | None
    count_U: Floats
    """Images of each unit, counted by their multiplicity."""
    summed: Summed | None


def all_cases(
    sample: Sample,
    plan: Plan,
    counted: dict[int, Counted],
    units: Units,
    request: Request,
) -> list[Cases]:
    """The cases of every seed and of the pathologies that are counted."""
    pieces = pieces_for(sample, plan, counted, units) if request.needs_sums else {}
    return [
        _cases(sample, plan, s, p, each, units, request, pieces.get(p))
        for s in range(len(sample.score_SPN))
        for p, each in counted.items()
    ]


def _cases(
    sample: Sample,
    plan: Plan,
    s: int,
    p: int,
    counted: Counted,
    units: Units,
    request: Request,
    pieces: Pieces | None,
) -> Cases:
    score_N, label_N = sample.score_SPN[s, p], sample.label_PN[p]
    case_n, multiplicity_N = counted.case_n, counted.multiplicity_N
    copies_n = np.ones(len(case_n))
    if multiplicity_N is not None:
        copies_n = multiplicity_N[case_n].astype(np.float64)
    count_U = np.bincount(units.unit_N[case_n], copies_n, units.count).astype(np.float64)
    summed = None
    if pieces is not None:
        weight_n = counted.weight_N[case_n]
        scored = Scored(score_N[case_n], label_N[case_n] == 1, weight_n, copies_n)
        thresholds = {point: found[s][p].value for point, found in request.thresholds.items()}
        groups = [
            (groups.code_N[case_n], len(groups.names))
            for groups in plan.attributes
            if "calibration" in request.families
        ]
        term_PT, columns = summed_terms(
            *(scored, pieces.piece_N[case_n], len(pieces.unit_P), thresholds, groups),
            total=float(count_U.sum()) * units.heaviest,
        )
        summed = Summed(pieces, term_PT, columns)
    return Cases(s, p, ranked(score_N, label_N, case_n), multiplicity_N, count_U, summed)


def pieces_for(
    sample: Sample, plan: Plan, counted: Iterable[int], units: Units
) -> dict[int, Pieces]:
    """Pieces of the plan's cells, shared by the pathologies.

    Where a protocol scales classes, each has its own, and cell k is cut into 2k and 2k + 1.
    """
    joint = plan.joint
    if not plan.scaled:
        return dict.fromkeys(counted, pieces_of(units.unit_N, joint.code_N, joint.cells))
    pieces = {}
    for p in counted:
        code_N = 2 * joint.code_N + (sample.label_PN[p] == 1)
        code_N[joint.code_N < 0] = -1
        pieces[p] = pieces_of(units.unit_N, code_N, 2 * joint.cells)
    return pieces
