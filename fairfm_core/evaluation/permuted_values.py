"""Every metric of permuted groups: what a model would show if groups did not matter.

Array suffixes as in `values.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from fairfm_core.evaluation.cases import Cases, Counted, Request, Units, all_cases
from fairfm_core.evaluation.groups import Groups
from fairfm_core.evaluation.member_values import member_values
from fairfm_core.evaluation.partition import Plan, plan_of
from fairfm_core.evaluation.regrouping import regrouped
from fairfm_core.evaluation.sample import Sample
from fairfm_core.evaluation.values import Values, Weightings, weighted_values
from fairfm_core.evaluation.weighting import Permuted, PermutedWeights, Weighting

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
