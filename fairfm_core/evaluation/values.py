"""Every metric of every group in many weightings: the engine behind intervals and nulls.

A value is computed for each weighting of the patients: the data as they are, bootstrap replicates,
permutations of groups. One seed and one pathology are sorted once; then one scan for the AUC, one
for the AUPRC and one matrix product for the rest serve all groups and a block of weightings.

Array suffixes: S seeds of one configuration, P pathologies, N images, G groups, B weightings, U
units that carry a weight, L lanes of a block, K cells, T terms.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from fairfm_core.evaluation.auc import Floats, Ints
from fairfm_core.evaluation.cases import Cases, Counted, Request, Units, all_cases
from fairfm_core.evaluation.groups import Groups
from fairfm_core.evaluation.lane_values import Lanes
from fairfm_core.evaluation.lanes import blocks_of
from fairfm_core.evaluation.metrics import Metric
from fairfm_core.evaluation.partition import Plan, plan_of
from fairfm_core.evaluation.sample import Sample
from fairfm_core.evaluation.weighting import Permuted, PermutedWeights, Weighting

Values = dict[str, Floats]
"""By the metric's name: [B, S, P, G]; NaN where it is undefined in a weighting."""


@dataclass(frozen=True, eq=False)
class Weightings:
    """The weights of units in many weightings, and how a protocol scales its cells in them."""

    weights_BU: npt.NDArray[Any]
    unit_N: Ints
    scale_BK2: Callable[[int], Floats | None]
    """For a pathology."""

    @property
    def units(self) -> Units:
        """The units."""
        heaviest = int(self.weights_BU.max(initial=1))
        return Units(self.unit_N, self.weights_BU.shape[1], heaviest)


def bootstrap_values(
    sample: Sample,
    weighting: Weighting,
    attributes: Sequence[Groups],
    weights_BU: npt.NDArray[Any],
    unit_N: Ints,
    request: Request,
) -> list[Values]:
    """The metrics of each attribute's groups when unit u weighs `weights_BU[:, u]`."""
    weightings = Weightings(
        weights_BU, unit_N, lambda p: weighting.scale_BK2(p, weights_BU, unit_N)
    )
    plan = plan_of(attributes, weighting.cells)
    counted = {
        p: Counted(np.flatnonzero(some_N), weighting.multiplicity_N(p), weighting.weights_N(p))
        for p, some_N in enumerate(weighting.counted_PN)
    }
    cases = all_cases(sample, plan, counted, weightings.units, request)
    return _values(sample, plan, cases, weightings, request.metrics(sample.pathologies))


def permuted_values(
    sample: Sample, weighting: Weighting, permuted: Permuted, request: Request
) -> Values:
    """The metrics of each permuted group: what a model would show if groups did not matter.

    Weights that depend on the attribute are made anew for the permuted groups, as they were for
    the real ones.
    """
    metrics = request.metrics(sample.pathologies)
    shape = (len(permuted.code_BU), *sample.score_SPN.shape[:2], len(permuted.groups.names))
    found = {metric.name: np.full(shape, np.nan) for metric in metrics}
    weights = {p: weighting.permuted(p, permuted) for p in range(len(sample.pathologies))}
    together = {p: each for p, each in weights.items() if each.drawn_BN is None}
    apart = [{p: each} for p, each in weights.items() if p not in together]
    for part in [together] * bool(together) + apart if permuted.groups.names else []:
        plan = _whole(permuted, next(iter(part.values())).cells)
        weightings = [_members(permuted, part, g) for g in range(len(permuted.groups.names))]
        counted = {p: _candidates(weighting, permuted, p, each) for p, each in part.items()}
        cases = all_cases(sample, plan, counted, weightings[0].units, request)
        for g, members in enumerate(weightings):
            (values,) = _values(sample, plan, cases, members, metrics)
            for name, value_BSPG in found.items():
                value_BSPG[:, :, list(part), g] = values[name][:, :, list(part), 0]
    return found


def _whole(permuted: Permuted, cells: Groups | None) -> Plan:
    """The images that take part in the permutations, as one group."""
    code_N = np.where(permuted.unit_N >= 0, 0, -1)
    return plan_of([Groups(permuted.groups.attribute, ("all",), code_N)], cells)


def _members(permuted: Permuted, weights: dict[int, PermutedWeights], g: int) -> Weightings:
    """Membership in permuted group g as weights; times the draws, where images are drawn anew."""
    first = next(iter(weights.values()))
    if first.drawn_BN is None:
        member_BU = (permuted.code_BU == g).astype(np.uint8)
        return Weightings(member_BU, permuted.unit_N, lambda p: weights[p].scale_of(g))
    member_BN = permuted.code_BU[:, permuted.unit_N] == g
    member_BN[:, permuted.unit_N < 0] = False
    drawn_BN = np.nan_to_num(first.drawn_BN * member_BN).astype(np.uint16)
    return Weightings(drawn_BN, np.arange(drawn_BN.shape[1]), lambda p: None)


def _candidates(
    weighting: Weighting, permuted: Permuted, p: int, weights: PermutedWeights
) -> Counted:
    """Images that may have a weight in a permutation."""
    case_n = np.flatnonzero((permuted.unit_N >= 0) & weighting.candidates_N(p))
    return Counted(case_n, weights.multiplicity_N, weighting.weights_N(p))


def _values(
    sample: Sample,
    plan: Plan,
    cases: Sequence[Cases],
    weightings: Weightings,
    metrics: Sequence[Metric],
) -> list[Values]:
    """The metrics of each attribute of a plan; NaN for pathologies without cases."""
    shape = (len(weightings.weights_BU), *sample.score_SPN.shape[:2])
    found = [
        {metric.name: np.full((*shape, len(groups.names)), np.nan) for metric in metrics}
        for groups in plan.attributes
    ]
    scales = {p: weightings.scale_BK2(p) for p in {each.p for each in cases}}
    start = 0
    for block in blocks_of(weightings.weights_BU):
        rows = slice(start, start + block.used)
        start = rows.stop
        gathered: dict[int, Floats] = {}  # of pieces that cases share
        totals = block.totals(np.array([each.count_U for each in cases]))
        for each, total in zip(cases, totals, strict=True):
            scale_BK2, pathology = scales[each.p], sample.pathologies[each.p]
            scale_LK2 = None if scale_BK2 is None else scale_BK2[rows]
            lanes = Lanes(plan, block, weightings.unit_N, total, scale_LK2)
            defined = [metric for metric in metrics if metric.only in (None, pathology)]
            for a, name, value_LG in lanes.values(each, defined, gathered):
                found[a][name][rows, each.s, each.p] = value_LG
    return found
