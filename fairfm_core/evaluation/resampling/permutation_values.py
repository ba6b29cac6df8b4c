"""Every metric of permuted groups: what a model would show if groups did not matter.

Array suffixes as in `replicate_values.py`.
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
    Counted,
    Summed,
    Units,
    all_cases,
    pieces_for,
)
from fairfm_core.evaluation.kernels.partition import Plan, plan_of
from fairfm_core.evaluation.kernels.permuted_auc import Procession, member_scan, procession
from fairfm_core.evaluation.kernels.permuted_sums import member_sums
from fairfm_core.evaluation.kernels.weighted_sums import Pieces
from fairfm_core.evaluation.metrics import AUC, AUPRC, Metric, Request
from fairfm_core.evaluation.predictions import Sample
from fairfm_core.evaluation.protocols.weighting import Permuted, PermutedWeights, Weighting
from fairfm_core.evaluation.resampling.replicate_values import Values, Weightings, weighted_values


def member_values(
    sample: Sample, cases: Sequence[Cases], permuted: Permuted, metrics: Sequence[Metric]
) -> dict[str, Floats]:
    """The metrics by name, [R, S, P, G]; NaN for pathologies without cases.

    Cases are those of the permuted units, or of the bootstrap: nothing is sorted or computed again.
    """
    groups = len(permuted.groups.names)
    shape = (len(permuted.code_BU), *sample.score_SPN.shape[:2], groups)
    found = {metric.name: np.full(shape, np.nan) for metric in metrics}
    summed = [each.summed for each in cases if each.summed is not None]
    seen = {each: procession(each, permuted.unit_N) for each in cases}
    start = 0
    for block in blocks_of(permuted.code_BU):
        rows = slice(start, start + block.used)
        start = rows.stop
        sums = member_sums(summed, permuted.unit_N, block, groups)
        for each in cases:
            pathology = sample.pathologies[each.p]
            defined = [metric for metric in metrics if metric.only in (None, pathology)]
            for name, value_LG in _values(each, seen[each], block, groups, sums, defined):
                found[name][rows, each.s, each.p] = value_LG
    return found


def _values(
    cases: Cases,
    seen: Procession,
    block: Block,
    groups: int,
    sums: dict[Summed, Floats],
    metrics: Sequence[Metric],
) -> Iterator[tuple[str, Floats]]:
    """Every metric of one pathology in a block, [L, G]."""
    auc_LG, auprc_LG = member_scan(seen, block, groups, precise=AUPRC in metrics)
    yield AUC.name, auc_LG
    if auprc_LG is not None:
        yield AUPRC.name, auprc_LG
    if cases.summed is not None:
        for metric in metrics:
            if metric.of is not None:
                columns = cases.summed.columns.everybody
                named = columns.sums_of(sums[cases.summed], 0, metric.point)
                yield metric.name, metric.of(named)


def regrouped(sample: Sample, plan: Plan, cases: Sequence[Cases], units: Units) -> list[Cases]:
    """The cases with the units of a permutation and the cells of its plan.

    The first attribute of the cases must be everybody: recalibrations step from its fit.
    """
    needed = [each.p for each in cases if each.summed is not None]
    pieces = pieces_for(sample, plan, dict.fromkeys(needed), units)
    maps: dict[tuple[Pieces, Pieces], Ints] = {}
    found = []
    for each in cases:
        count_U = _counted(each, units)
        if each.summed is None:
            found.append(replace(each, count_U=count_U))
            continue
        key = each.summed.pieces, pieces[each.p]
        if key not in maps:
            maps[key] = _new_piece(*key)
        summed = _added_up(each.summed, key[1], maps[key])
        found.append(replace(each, count_U=count_U, summed=summed))
    return found


def _counted(cases: Cases, units: Units) -> Floats:
    """Images of each new unit, counted by their multiplicity."""
    case_n = cases.ranking.case_n
    unit_n = units.unit_N[case_n]
    copies_n = np.ones(len(case_n))
    if cases.multiplicity_N is not None:
        copies_n = cases.multiplicity_N[case_n].astype(np.float64)
    inside_n = unit_n >= 0
    return np.bincount(unit_n[inside_n], copies_n[inside_n], units.count).astype(np.float64)


def _new_piece(old: Pieces, new: Pieces) -> Ints:
    """The new piece that each old one lies in, [P]; -1 for one outside."""
    new_P = np.full(len(old.unit_P), -1, dtype=np.int64)
    inside_n = np.flatnonzero(old.piece_N >= 0)
    new_P[old.piece_N[inside_n]] = new.piece_N[inside_n]
    return new_P


def _added_up(summed: Summed, pieces: Pieces, new_P: Ints) -> Summed:
    columns = summed.columns.everybody
    sum_PT = np.zeros((len(pieces.unit_P), columns.count))
    _adder()(summed.term_PT, new_P, sum_PT)
    return Summed(pieces, sum_PT, columns)


@cache
def _adder() -> Callable[..., Any]:
    return compiled(_add_rows)


def _add_rows(term_PT: Any, new_P: Any, sum_PT: Any) -> None:
    for p in range(len(new_P)):
        if new_P[p] >= 0:
            sum_T = sum_PT[new_P[p]]
            for t in range(len(sum_T)):
                sum_T[t] += term_PT[p, t]


Part = dict[int, PermutedWeights]
"""Weights of some pathologies, by their place."""


def permuted_values(
    sample: Sample,
    weighting: Weighting,
    permuted: Permuted,
    request: Request,
    cases: Sequence[Cases] = (),
) -> Values:
    """The metrics of each permuted group, [R, S, P, G].

    Weights that depend on the attribute are made anew for the permuted groups, as they were for
    the real ones. `cases` of the bootstrap, if given, are taken over: sorted once, added up once.
    """
    groups = len(permuted.groups.names)
    shape = (len(permuted.code_BU), *sample.score_SPN.shape[:2], groups)
    metrics = request.metrics(sample.pathologies)
    found = {metric.name: np.full(shape, np.nan) for metric in metrics}
    for part in _parts(sample, weighting, permuted) if groups else []:
        some = [each for each in cases if each.p in part]
        values_of = _scaled_values if _scaled(part) or _drawn(part) else _plain_values
        values = values_of(sample, weighting, permuted, request, some, part)
        for name, value_BSPG in found.items():
            value_BSPG[:, :, list(part)] = values[name][:, :, list(part)]
    return found


def _plain_values(
    sample: Sample,
    weighting: Weighting,
    permuted: Permuted,
    request: Request,
    cases: Sequence[Cases],
    part: Part,
) -> Values:
    """Where an image weighs the same in every group: one pass serves all groups."""
    if not cases:
        units = Units(permuted.unit_N, permuted.code_BU.shape[1], heaviest=1)
        cases = _new_cases(sample, weighting, permuted, request, part, units)
    return member_values(sample, cases, permuted, request.metrics(sample.pathologies))


def _scaled_values(
    sample: Sample,
    weighting: Weighting,
    permuted: Permuted,
    request: Request,
    cases: Sequence[Cases],
    part: Part,
) -> Values:
    """Where the weight of an image depends on its permuted group: one pass for each group."""
    plan, metrics = _whole(permuted, part), request.metrics(sample.pathologies)
    weightings = [_members(permuted, part, g) for g in range(len(permuted.groups.names))]
    heaviest = max(each.units.heaviest for each in weightings)
    units = replace(weightings[0].units, heaviest=heaviest)
    if cases and not _drawn(part):
        ready = regrouped(sample, plan, cases, units)
    else:
        ready = _new_cases(sample, weighting, permuted, request, part, units)
    each_of = weighted_values(sample, plan, ready, weightings, metrics, not _drawn(part))
    names = (metric.name for metric in metrics)
    return {name: np.concatenate([of[name] for (of,) in each_of], axis=-1) for name in names}


def _new_cases(
    sample: Sample,
    weighting: Weighting,
    permuted: Permuted,
    request: Request,
    part: Part,
    units: Units,
) -> list[Cases]:
    counted = {p: _candidates(weighting, permuted, p, each) for p, each in part.items()}
    return all_cases(sample, _whole(permuted, part), counted, units, request)


def _parts(sample: Sample, weighting: Weighting, permuted: Permuted) -> list[Part]:
    """The pathologies whose patients are weighed together; each that is drawn anew by itself."""
    weights = {p: weighting.permuted(p, permuted) for p in range(len(sample.pathologies))}
    together = {p: each for p, each in weights.items() if each.drawn_BN is None}
    apart = [{p: each} for p, each in weights.items() if each.drawn_BN is not None]
    return [together, *apart] if together else apart


def _drawn(part: Part) -> bool:
    return any(each.drawn_BN is not None for each in part.values())


def _scaled(part: Part) -> bool:
    return any(each.scale_GBK2 is not None for each in part.values())


def _whole(permuted: Permuted, part: Part) -> Plan:
    """The images that take part in the permutations, as one group."""
    code_N = np.where(permuted.unit_N >= 0, 0, -1)
    cells = next((each.cells for each in part.values() if each.cells is not None), None)
    return plan_of([Groups(permuted.groups.attribute, ("all",), code_N)], cells)


def _members(permuted: Permuted, part: Part, g: int) -> Weightings:
    """Membership in permuted group g as weights; times the draws, where images are drawn anew."""
    if not _drawn(part):
        member_BU = (permuted.code_BU == g).astype(np.uint8)
        return Weightings(member_BU, permuted.unit_N, lambda p: part[p].scale_of(g))
    (weights,) = part.values()
    assert weights.drawn_BN is not None
    member_BN = permuted.code_BU[:, permuted.unit_N] == g
    member_BN[:, permuted.unit_N < 0] = False
    # A permutation in which the draw is undefined draws nobody, and so has no value.
    drawn_BN = np.nan_to_num(weights.drawn_BN * member_BN).astype(np.uint32)
    return Weightings(drawn_BN, np.arange(drawn_BN.shape[1]), lambda p: None)


def _candidates(
    weighting: Weighting, permuted: Permuted, p: int, weights: PermutedWeights
) -> Counted:
    """Images that may have a weight in a permutation."""
    case_n = np.flatnonzero((permuted.unit_N >= 0) & weighting.candidates_N(p))
    return Counted(case_n, weights.multiplicity_N, weighting.weights_N(p))
