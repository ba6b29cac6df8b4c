"""Every metric of permuted groups: what a model would show if groups did not matter.

From the top down: `permuted_values` puts the pathologies into parts by how a protocol weights them.
Where an image has the same weight in every group, one pass over the images serves all groups of the
attribute, because a permutation puts each unit into exactly one of them (`_plain_values`). Where
its weight depends on its permuted group, each group has a pass of its own with membership as weight
(`_scaled_values`, `weighted_values` of `replicate_values.py`).

The cases of the bootstrap are made ready for permutations by `regrouped`: other units, other cells,
the same statistics. A piece of the bootstrap, the images of a patient in one joint cell, lies in
one unit of any permuted attribute and in one cell of the rest. So nothing is sorted or computed
again: pieces are added up.

Array suffixes as in `replicate_values.py`; also R permutations, n images by their place among N.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np

from fairfm_core.compiled import compiled
from fairfm_core.evaluation.arrays import Floats, Ints
from fairfm_core.evaluation.groups import Groups
from fairfm_core.evaluation.kernels.blocks import Block, blocks_of
from fairfm_core.evaluation.kernels.cases import (
    Cases,
    CountedImages,
    SummedStatistics,
    Units,
    all_cases,
    pieces_for,
)
from fairfm_core.evaluation.kernels.partition import PartitionPlan, partition_plan
from fairfm_core.evaluation.kernels.permuted_auc import SortedImages, permuted_auc, sorted_images
from fairfm_core.evaluation.kernels.permuted_sums import permuted_sums
from fairfm_core.evaluation.kernels.weighted_sums import Pieces
from fairfm_core.evaluation.metrics import AUC, AUPRC, Metric
from fairfm_core.evaluation.problem import Problem
from fairfm_core.evaluation.protocols.weighting import Permuted, PermutedWeights
from fairfm_core.evaluation.resampling.replicate_values import (
    ValuesByMetric,
    Weightings,
    weighted_values,
)

Part = dict[int, PermutedWeights]
"""Weights of some pathologies, by their place."""


def permuted_values(
    problem: Problem, permuted: Permuted, cases: Sequence[Cases] = ()
) -> ValuesByMetric:
    """The metrics of each permuted group, [R, S, P, G].

    Weights that depend on the attribute are computed anew for the permuted groups, as they were for
    the real ones. `cases` of the bootstrap, if given, are reused: nothing is sorted again.
    """
    values = _undefined_values(problem, permuted)
    for part in _parts(problem, permuted) if permuted.groups.names else []:
        some = [each for each in cases if each.p in part]
        values_of = _scaled_values if _scaled(part) or _drawn(part) else _plain_values
        part_values = values_of(problem, permuted, some, part)
        for name, value_RSPG in values.items():
            value_RSPG[:, :, list(part)] = part_values[name][:, :, list(part)]
    return values


def _undefined_values(problem: Problem, permuted: Permuted) -> ValuesByMetric:
    """NaN for every metric of each permuted group."""
    pathologies = problem.sample.score_SPN.shape[:2]
    shape = (len(permuted.code_BU), *pathologies, len(permuted.groups.names))
    return {metric.name: np.full(shape, np.nan) for metric in problem.metrics}


def _parts(problem: Problem, permuted: Permuted) -> list[Part]:
    """The pathologies whose patients are weighted together; each that is drawn anew on its own."""
    pathologies = range(len(problem.sample.pathologies))
    weights = {p: problem.weighting.permuted(p, permuted) for p in pathologies}
    together = {p: each for p, each in weights.items() if each.drawn_BN is None}
    apart = [{p: each} for p, each in weights.items() if each.drawn_BN is not None]
    return [together, *apart] if together else apart


def _drawn(part: Part) -> bool:
    return any(each.drawn_BN is not None for each in part.values())


def _scaled(part: Part) -> bool:
    return any(each.scale_GBK2 is not None for each in part.values())


def _plain_values(
    problem: Problem, permuted: Permuted, cases: Sequence[Cases], part: Part
) -> ValuesByMetric:
    """Where an image has the same weight in every group: one pass serves all groups.

    Cases are those of the permuted units, or of the bootstrap. NaN for pathologies without cases.
    """
    if not cases:
        units = Units(permuted.unit_N, permuted.code_BU.shape[1], heaviest=1)
        cases = _new_cases(problem, permuted, part, units)
    groups, values = len(permuted.groups.names), _undefined_values(problem, permuted)
    summed = [each.summed for each in cases if each.summed is not None]
    sorted_by_case = {each: sorted_images(each, permuted.unit_N) for each in cases}
    start = 0
    for block in blocks_of(permuted.code_BU):
        rows = slice(start, start + block.used)
        start = rows.stop
        sums = permuted_sums(summed, permuted.unit_N, block, groups)
        for each in cases:
            images, metrics = sorted_by_case[each], problem.metrics_of(each.p)
            for name, value_LG in _block_values(each, images, block, groups, sums, metrics):
                values[name][rows, each.s, each.p] = value_LG
    return values


def _block_values(
    cases: Cases,
    images: SortedImages,
    block: Block,
    groups: int,
    sums: dict[SummedStatistics, Floats],
    metrics: Sequence[Metric],
) -> Iterator[tuple[str, Floats]]:
    """Every metric of one pathology in a block, [L, G]."""
    auc_LG, auprc_LG = permuted_auc(images, block, groups, with_auprc=AUPRC in metrics)
    yield AUC.name, auc_LG
    if auprc_LG is not None:
        yield AUPRC.name, auprc_LG
    if cases.summed is not None:
        for metric in metrics:
            if metric.of is not None:
                columns = cases.summed.columns.everybody
                named = columns.sums_of(sums[cases.summed], 0, metric.point)
                yield metric.name, metric.of(named)


def _scaled_values(
    problem: Problem, permuted: Permuted, cases: Sequence[Cases], part: Part
) -> ValuesByMetric:
    """Where the weight of an image depends on its permuted group: one pass for each group."""
    plan = _plan_of_members(permuted, part)
    weightings = [_membership(permuted, part, g) for g in range(len(permuted.groups.names))]
    heaviest = max(each.units.heaviest for each in weightings)
    units = replace(weightings[0].units, heaviest=heaviest)
    if cases and not _drawn(part):
        ready = regrouped(problem, plan, cases, units)
    else:
        ready = _new_cases(problem, permuted, part, units)
    by_group = weighted_values(problem, plan, ready, weightings, exhaustive=not _drawn(part))
    names = (metric.name for metric in problem.metrics)
    return {name: np.concatenate([of[name] for (of,) in by_group], axis=-1) for name in names}


def _membership(permuted: Permuted, part: Part, g: int) -> Weightings:
    """Membership in permuted group g as weights; times the draws, where images are drawn anew."""
    if not _drawn(part):
        member_BU = (permuted.code_BU == g).astype(np.uint8)
        return Weightings(member_BU, permuted.unit_N, lambda p: part[p].scale_of(g))
    (weights,) = part.values()
    assert weights.drawn_BN is not None
    member_BN = permuted.code_BU[:, permuted.unit_N] == g
    member_BN[:, permuted.unit_N < 0] = False
    # A permutation in which the draw is undefined draws no image and has no value.
    drawn_BN = np.nan_to_num(weights.drawn_BN * member_BN).astype(np.uint32)
    return Weightings(drawn_BN, np.arange(drawn_BN.shape[1]), lambda p: None)


def _plan_of_members(permuted: Permuted, part: Part) -> PartitionPlan:
    """The images that take part in the permutations, as one group."""
    code_N = np.where(permuted.unit_N >= 0, 0, -1)
    cells = next((each.cells for each in part.values() if each.cells is not None), None)
    return partition_plan([Groups(permuted.groups.attribute, ("all",), code_N)], cells)


def _new_cases(problem: Problem, permuted: Permuted, part: Part, units: Units) -> list[Cases]:
    """Cases of the images that may have a weight in a permutation."""
    counted = {}
    for p, weights in part.items():
        case_n = np.flatnonzero((permuted.unit_N >= 0) & problem.weighting.candidates_N(p))
        weight_N = problem.weighting.weights_N(p)
        counted[p] = CountedImages(case_n, weights.multiplicity_N, weight_N)
    return all_cases(problem, _plan_of_members(permuted, part), counted, units)


def regrouped(
    problem: Problem, plan: PartitionPlan, cases: Sequence[Cases], units: Units
) -> list[Cases]:
    """The cases with the units of a permutation and the cells of its plan.

    The first attribute of the cases must be everybody: recalibrations step from its fit.
    """
    needed = [each.p for each in cases if each.summed is not None]
    pieces = pieces_for(problem.sample, plan, dict.fromkeys(needed), units)
    maps: dict[tuple[Pieces, Pieces], Ints] = {}
    ready = []
    for each in cases:
        count_U = _counts_by_unit(each, units)
        if each.summed is None:
            ready.append(replace(each, count_U=count_U))
            continue
        key = each.summed.pieces, pieces[each.p]
        if key not in maps:
            maps[key] = _new_pieces(*key)
        summed = _added_up(each.summed, key[1], maps[key])
        ready.append(replace(each, count_U=count_U, summed=summed))
    return ready


def _counts_by_unit(cases: Cases, units: Units) -> Floats:
    """Images of each new unit, counted by their multiplicity, [U]."""
    case_n = cases.ranking.case_n
    unit_n = units.unit_N[case_n]
    copies_n = np.ones(len(case_n))
    if cases.multiplicity_N is not None:
        copies_n = cases.multiplicity_N[case_n].astype(np.float64)
    inside_n = unit_n >= 0
    return np.bincount(unit_n[inside_n], copies_n[inside_n], units.count).astype(np.float64)


def _new_pieces(old: Pieces, new: Pieces) -> Ints:
    """The new piece that each old one lies in, [P]; -1 for one outside."""
    new_P = np.full(len(old.unit_P), -1, dtype=np.int64)
    inside_n = np.flatnonzero(old.piece_N >= 0)
    new_P[old.piece_N[inside_n]] = new.piece_N[inside_n]
    return new_P


def _added_up(summed: SummedStatistics, pieces: Pieces, new_P: Ints) -> SummedStatistics:
    columns = summed.columns.everybody
    sum_QT = np.zeros((len(pieces.unit_P), columns.count))
    _adder()(summed.statistic_PT, new_P, sum_QT)
    return SummedStatistics(pieces, sum_QT, columns)


@cache
def _adder() -> Callable[..., Any]:
    return compiled(_add_rows)


def _add_rows(statistic_PT: Floats, new_P: Ints, sum_QT: Floats) -> None:
    """Add the statistics of old pieces up by new piece: sum_q = sum of x_p over p in q.

    `statistic_PT` [P, T'] float64 with T' >= T columns, of which the first T are taken; `new_P` [P]
    int64, the new piece of each old one, -1 for none; `sum_QT` [Q, T] float64, zeros, is filled.
    """
    for p in range(len(new_P)):
        if new_P[p] >= 0:
            sum_T = sum_QT[new_P[p]]
            for t in range(len(sum_T)):
                sum_T[t] += statistic_PT[p, t]
