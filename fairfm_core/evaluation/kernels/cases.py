"""One pathology scored by one seed, ready for any weighting: sorted, its statistics added up.

Array suffixes: S seeds, P pathologies (of statistics: pieces), N images, n counted images, C cases,
U units that carry a weight, K cells, T sufficient statistics, L weightings of one block.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from fairfm_core.evaluation.arrays import Floats, Ints
from fairfm_core.evaluation.kernels.blocks import Block
from fairfm_core.evaluation.kernels.partition import PartitionPlan
from fairfm_core.evaluation.kernels.ranking import Ranking, ranked
from fairfm_core.evaluation.kernels.sufficient_statistics import (
    ScoredImages,
    StatisticColumns,
    summed_statistics,
)
from fairfm_core.evaluation.kernels.weighted_sums import Pieces, pieces_of
from fairfm_core.evaluation.predictions import SplitImages
from fairfm_core.evaluation.problem import Problem
from fairfm_core.evaluation.protocols.weighting import Weighting


@dataclass(frozen=True, eq=False)
class CountedImages:
    """Which images of a pathology count, and how much each."""

    case_n: Ints
    multiplicity_N: Ints | None
    weight_N: Floats
    """The protocol's weight of each image, for the recalibrations that statistics are taken at."""
    copies_n: Floats
    """How often each counted image counts."""
    count_U: Floats
    """Images of each unit, counted by their multiplicity."""


@dataclass(frozen=True, eq=False)
class Units:
    """What carries a weight: the patients of the images, as a rule."""

    unit_N: Ints
    count: int
    heaviest: int
    """The largest weight of a unit in any weighting."""


@dataclass(frozen=True, eq=False)
class SummedStatistics:
    """Statistics of the images that share a unit and a cell, added up."""

    pieces: Pieces
    statistic_PT: Floats
    columns: StatisticColumns


@dataclass(frozen=True, eq=False)
class Cases:
    """The counted images of one pathology with the scores of one seed."""

    s: int
    p: int
    ranking: Ranking
    multiplicity_N: Ints | None
    count_U: Floats
    """Images of each unit, counted by their multiplicity."""
    summed: SummedStatistics | None


def counted_images(weighting: Weighting, units: Units) -> dict[int, CountedImages]:
    """The images that count, by pathology; the same for every model."""
    counted = {}
    for p, some_N in enumerate(weighting.counted_PN):
        case_n, multiplicity_N = np.flatnonzero(some_N), weighting.multiplicity_N(p)
        copies_n = np.ones(len(case_n))
        if multiplicity_N is not None:
            copies_n = multiplicity_N[case_n].astype(np.float64)
        count_U = np.bincount(units.unit_N[case_n], copies_n, units.count).astype(np.float64)
        weight_N = weighting.weights_N(p)
        counted[p] = CountedImages(case_n, multiplicity_N, weight_N, copies_n, count_U)
    return counted


def all_cases(
    problem: Problem,
    plan: PartitionPlan,
    counted: dict[int, CountedImages],
    units: Units,
    pieces: dict[int, Pieces],
) -> list[Cases]:
    """The cases of every seed and of the pathologies that are counted; with their statistics where
    there are `pieces`."""
    return [
        _cases(problem, plan, s, p, each, units, pieces.get(p))
        for s in range(len(problem.sample.score_SPN))
        for p, each in counted.items()
    ]


def _cases(
    problem: Problem,
    plan: PartitionPlan,
    s: int,
    p: int,
    counted: CountedImages,
    units: Units,
    pieces: Pieces | None,
) -> Cases:
    score_N, label_N = problem.sample.score_SPN[s, p], problem.sample.label_PN[p]
    case_n, summed = counted.case_n, None
    if pieces is not None:
        positive_n, weight_n = label_N[case_n] == 1, counted.weight_N[case_n]
        images = ScoredImages(score_N[case_n], positive_n, weight_n, counted.copies_n)
        total = float(counted.count_U.sum()) * units.heaviest
        summed = _summed(problem, plan, (s, p), images, case_n, pieces, total)
    ranking = ranked(score_N, label_N, case_n)
    return Cases(s, p, ranking, counted.multiplicity_N, counted.count_U, summed)


def _summed(
    problem: Problem,
    plan: PartitionPlan,
    place: tuple[int, int],
    images: ScoredImages,
    case_n: Ints,
    pieces: Pieces,
    total: float,
) -> SummedStatistics:
    """The statistics of the images `case_n` by piece; `place` is their seed and pathology."""
    s, p = place
    thresholds = {name: by_seed[s][p].value for name, by_seed in problem.request.thresholds.items()}
    groups = [
        (groups.code_N[case_n], len(groups.names))
        for groups in plan.attributes
        if "calibration" in problem.request.families
    ]
    statistic_PT, columns = summed_statistics(
        images, pieces.piece_N[case_n], len(pieces.unit_P), thresholds, groups, total
    )
    return SummedStatistics(pieces, statistic_PT, columns)


def pieces_for(
    images: SplitImages, plan: PartitionPlan, counted: Iterable[int], units: Units
) -> dict[int, Pieces]:
    """Pieces of the plan's cells, shared by the pathologies.

    Where a protocol scales classes, each has its own, and cell k is cut into 2k and 2k + 1.
    """
    joint = plan.joint
    if not plan.scaled:
        return dict.fromkeys(counted, pieces_of(units.unit_N, joint.code_N, joint.cells))
    pieces = {}
    for p in counted:
        code_N = 2 * joint.code_N + (images.label_PN[p] == 1)
        code_N[joint.code_N < 0] = -1
        pieces[p] = pieces_of(units.unit_N, code_N, 2 * joint.cells)
    return pieces


def weight_bounds(cases: Sequence[Cases], block: Block) -> dict[Cases, int]:
    """Bounds of the sum of the weights of some cases in any weighting of a block."""
    if not cases:
        return {}
    count_CU = np.array([each.count_U for each in cases], dtype=np.float32)
    total_CL = count_CU @ block.weight_UL.astype(np.float32)
    bounds = (1.01 * total_CL.max(axis=1, initial=0.0)).astype(np.int64) + 1
    return dict(zip(cases, bounds.tolist(), strict=True))
