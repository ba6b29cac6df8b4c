"""One pathology scored by one seed, ready for any weighting: sorted, its statistics at hand.

Array suffixes: S seeds, P pathologies, N images, n counted images, i images in the order of their
pieces, C cases, A attributes, U units that carry a weight, K cells, L weightings of one block.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fairfm_core.evaluation.arrays import Floats, Ints
from fairfm_core.evaluation.kernels.blocks import Block
from fairfm_core.evaluation.kernels.partition import PartitionPlan
from fairfm_core.evaluation.kernels.ranking import Ranking, ranked
from fairfm_core.evaluation.kernels.sufficient_statistics import (
    CaseStatistics,
    PieceImages,
    statistics_of,
)
from fairfm_core.evaluation.kernels.weighted_sums import Pieces, pieces_of
from fairfm_core.evaluation.problem import Problem
from fairfm_core.evaluation.protocols.weighting import Weighting


@dataclass(frozen=True, eq=False)
class CountedImages:
    """Which images of a pathology count, and how much each; the same for every model."""

    case_n: Ints
    multiplicity_N: Ints | None
    count_U: Floats
    """Images of each unit, counted by their multiplicity."""
    pieces: PieceImages | None
    """What statistics are made of; None where no metric needs sums."""


@dataclass(frozen=True, eq=False)
class Units:
    """What carries a weight: the patients of the images, as a rule."""

    unit_N: Ints
    count: int
    heaviest: int
    """The largest weight of a unit in any weighting."""


@dataclass(frozen=True, eq=False)
class Cases:
    """The counted images of one pathology with the scores of one seed."""

    s: int
    p: int
    ranking: Ranking
    multiplicity_N: Ints | None
    count_U: Floats
    """Images of each unit, counted by their multiplicity."""
    statistics: CaseStatistics | None


def counted_images(
    weighting: Weighting, plan: PartitionPlan, units: Units, needs_sums: bool
) -> dict[int, CountedImages]:
    """The images that count, by pathology."""
    pieces = _pieces(weighting, plan, units) if needs_sums else {}
    counted = {}
    for p, some_N in enumerate(weighting.counted_PN):
        case_n = np.flatnonzero(some_N)
        copies_N = _copies(weighting, p)
        count_U = np.bincount(units.unit_N[case_n], copies_N[case_n], units.count)
        images = _piece_images(weighting, plan, p, pieces[p]) if needs_sums else None
        counted[p] = CountedImages(
            case_n, weighting.multiplicity_N(p), count_U.astype(np.float64), images
        )
    return counted


def _copies(weighting: Weighting, p: int) -> Floats:
    """How often each image counts for a pathology; 0 for one left out."""
    multiplicity_N = weighting.multiplicity_N(p)
    copies_N: Floats = weighting.counted_PN[p].astype(np.float64)
    return copies_N if multiplicity_N is None else copies_N * multiplicity_N


def _pieces(weighting: Weighting, plan: PartitionPlan, units: Units) -> dict[int, Pieces]:
    """Pieces of the plan's cells, shared by the pathologies.

    Where a protocol scales classes, each has its own, and cell k is cut into 2k and 2k + 1.
    """
    joint, pathologies = plan.joint, range(len(weighting.counted_PN))
    if not plan.scaled:
        return dict.fromkeys(pathologies, pieces_of(units.unit_N, joint.code_N, joint.cells))
    pieces = {}
    for p in pathologies:
        code_N = 2 * joint.code_N + (weighting.images.label_PN[p] == 1)
        code_N[joint.code_N < 0] = -1
        pieces[p] = pieces_of(units.unit_N, code_N, 2 * joint.cells)
    return pieces


def _piece_images(weighting: Weighting, plan: PartitionPlan, p: int, pieces: Pieces) -> PieceImages:
    """The images of a pathology in the order of the pieces."""
    cuts = 2 if plan.scaled else 1
    group_AK = np.full((len(plan.attributes), cuts * plan.joint.cells), -1, dtype=np.int64)
    groups = []
    for a in range(len(plan.attributes)):
        members = [
            [cuts * int(k) + cut for k in cells for cut in range(cuts)]
            for cells in plan.joint.group_cells[a]
        ]
        for g, cells in enumerate(members):
            group_AK[a, cells] = g
        groups.append(tuple(pieces.images_of(cells) for cells in members))
    positive_N = (weighting.images.label_PN[p] == 1).astype(np.float64)
    columns = positive_N, weighting.weights_N(p), _copies(weighting, p)
    in_order = (column_N[pieces.image_i] for column_N in columns)
    return PieceImages(pieces, group_AK, tuple(groups), *in_order)


def all_cases(problem: Problem, counted: dict[int, CountedImages], units: Units) -> list[Cases]:
    """The cases of every seed and of the pathologies that are counted."""
    return [
        _cases(problem, s, p, each, units)
        for s in range(len(problem.sample.score_SPN))
        for p, each in counted.items()
    ]


def _cases(problem: Problem, s: int, p: int, counted: CountedImages, units: Units) -> Cases:
    score_N, label_N = problem.sample.score_SPN[s, p], problem.sample.label_PN[p]
    statistics = None
    if counted.pieces is not None:
        thresholds = {
            name: by_seed[s][p].value for name, by_seed in problem.request.thresholds.items()
        }
        recalibrated = "calibration" in problem.request.families
        total = float(counted.count_U.sum()) * units.heaviest
        statistics = statistics_of(counted.pieces, score_N, thresholds, recalibrated, total)
    ranking = ranked(score_N, label_N, counted.case_n)
    return Cases(s, p, ranking, counted.multiplicity_N, counted.count_U, statistics)


def weight_bounds(cases: Sequence[Cases], block: Block) -> dict[Cases, int]:
    """Bounds of the sum of the weights of some cases in any weighting of a block."""
    if not cases:
        return {}
    count_CU = np.array([each.count_U for each in cases], dtype=np.float32)
    total_CL = count_CU @ block.weight_UL.astype(np.float32)
    bounds = (1.01 * total_CL.max(axis=1, initial=0.0)).astype(np.int64) + 1
    return dict(zip(cases, bounds.tolist(), strict=True))
