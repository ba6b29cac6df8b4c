"""One pathology scored by one seed, ready for any weighting: sorted, and its terms added up.

Array suffixes: S seeds, P pathologies, N images, n counted images, U units that carry a weight,
K cells, T terms.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from fairfm_core.evaluation.arrays import Floats, Ints
from fairfm_core.evaluation.kernels.blocks import Block
from fairfm_core.evaluation.kernels.partition import Plan
from fairfm_core.evaluation.kernels.ranking import Ranking, ranked
from fairfm_core.evaluation.kernels.sufficient_statistics import Columns, Scored, summed_terms
from fairfm_core.evaluation.kernels.weighted_sums import Pieces, pieces_of
from fairfm_core.evaluation.metrics import Request
from fairfm_core.evaluation.predictions import Sample


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


def weight_bounds(cases: Sequence[Cases], block: Block) -> dict[Cases, int]:
    """Bounds of the sum of the weights of some cases in any lane of a block."""
    if not cases:
        return {}
    count_CU = np.array([each.count_U for each in cases], dtype=np.float32)
    total_CL = count_CU @ block.weight_UL.astype(np.float32)
    bounds = (1.01 * total_CL.max(axis=1, initial=0.0)).astype(np.int64) + 1
    return dict(zip(cases, bounds.tolist(), strict=True))
