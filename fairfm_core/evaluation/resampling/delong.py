"""DeLong's covariance of AUCs with patients as clusters: the analytic counterpart of the bootstrap.

Each image has a placement: for a positive the share of the group's negatives below it, for a
negative the share of positives above it (ties half). A patient's influence on an AUC is the sum of
its images' placements less their means, over the class's weight; the covariance of two AUCs (of
groups, pathologies or seeds) is I / (I - 1) times the sum over the I patients of the products of
their influences. DeLong et al., Biometrics 1988; Obuchowski, Biometrics 1997. Under a protocol that
holds the weight of each cell and class fixed, placements are taken about the mean of their own.

Array suffixes: N images, n ranked images, U units (patients), G groups, K cells, B draws.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np

from fairfm_core.compiled import compiled
from fairfm_core.evaluation.arrays import Bools, Floats, Ints
from fairfm_core.evaluation.groups import Groups
from fairfm_core.evaluation.kernels.ranking import Ranking, ranked
from fairfm_core.evaluation.kernels.weighted_sums import ordered_product
from fairfm_core.evaluation.problem import Problem
from fairfm_core.seeding import stream


def influences(
    problem: Problem, attributes: Sequence[Groups], unit_N: Ints
) -> list[tuple[Floats, Floats]]:
    """For each attribute its AUCs [S, P, G] and the units' influences on them, [U, S, P, G].

    NaN for a group without weight on a class. Influences sum to 0 over the units.
    """
    sample, weighting = problem.sample, problem.weighting
    units = int(unit_N.max(initial=-1)) + 1
    shape = sample.score_SPN.shape[:2]
    results = [
        (np.full((*shape, len(g.names)), np.nan), _by_unit(units, shape, len(g.names)))
        for g in attributes
    ]
    for s, p in np.ndindex(shape):
        case_n = np.flatnonzero(weighting.counted_PN[p])
        ranking = ranked(sample.score_SPN[s, p], sample.label_PN[p], case_n)
        weight_n = weighting.weights_N(p)[ranking.case_n]
        cell_n = np.zeros(len(weight_n), dtype=np.int64)
        if weighting.cells is not None and not weighting.multiplicities:
            cell_n = weighting.cells.code_N[ranking.case_n]
        for (auc_SPG, influence_USPG), groups in zip(results, attributes, strict=True):
            code_n, count = groups.code_N[ranking.case_n], len(groups.names)
            auc_SPG[s, p], placement_n, total_G2 = _placed(ranking, weight_n, code_n, count)
            influence_n = _centred(ranking, placement_n, weight_n, code_n, cell_n, total_G2)
            place_n = unit_N[ranking.case_n] * (count + 1) + code_n + 1  # first those of no group
            summed_U = np.bincount(place_n, influence_n, units * (count + 1))
            influence_USPG[:, s, p] = summed_U.reshape(units, count + 1)[:, 1:]
            influence_USPG[:, s, p, np.isnan(auc_SPG[s, p])] = np.nan
    return results


def _by_unit(units: int, shape: tuple[int, int], groups: int) -> Floats:
    """An array for influences [U, S, P, G], with those of a pathology contiguous in memory."""
    return np.empty((*shape, units, groups)).transpose(2, 0, 1, 3)


def normal_replicates(influence_UM: Floats, replicates: int, seed: int) -> Floats:
    """Draws [B, M] of M AUCs about their values, from the normal with DeLong's covariance.

    Each draw gives every unit a standard normal multiplier, the same for all models of the same
    images: two models' draws are paired, as bootstrap replicates are.
    """
    units = len(influence_UM)
    scale = np.sqrt(units / (units - 1)) if units > 1 else np.nan
    multiplier_BU = stream(seed, "delong").standard_normal((replicates, units))
    drawn: Floats = scale * ordered_product(multiplier_BU, influence_UM)
    return drawn


def _placed(
    ranking: Ranking, weight_n: Floats, code_n: Ints, groups: int
) -> tuple[Floats, Floats, Floats]:
    """AUC of each group, the placement of each image within its group, weight of both classes."""
    place_n = 2 * (code_n + 1) + ranking.positive_n  # first the images of no group
    held = np.bincount(place_n, weight_n, 2 * (groups + 1)).astype(np.float64)
    total_G2 = held.reshape(groups + 1, 2)[1:]
    placement_n = np.zeros(len(weight_n))
    wins_G = np.zeros(groups)
    _placements()(
        *(ranking.positive_n, ranking.opens_n, weight_n, code_n, total_G2), placement_n, wins_G
    )
    auc_G = np.full(groups, np.nan)
    defined_G = (total_G2 > 0).all(axis=1)
    np.divide(wins_G, total_G2[:, 1], out=auc_G, where=defined_G)
    return auc_G, placement_n, total_G2


def _centred(
    ranking: Ranking,
    placement_n: Floats,
    weight_n: Floats,
    code_n: Ints,
    cell_n: Ints,
    total_G2: Floats,
) -> Floats:
    """Influence of each image on its group's AUC: weighted placements less their stratum's mean."""
    class_n = ranking.positive_n.astype(np.int64)
    cells = int(cell_n.max(initial=0)) + 1
    stratum_n = (np.maximum(code_n, 0) * cells + cell_n) * 2 + class_n
    strata = max(1, len(total_G2)) * cells * 2
    member_n = weight_n * (code_n >= 0)
    held = np.bincount(stratum_n, member_n, minlength=strata)
    centre = np.bincount(stratum_n, member_n * placement_n, minlength=strata)
    centre = np.divide(centre, held, out=np.zeros(strata), where=held > 0)
    total_n = total_G2[np.maximum(code_n, 0), class_n] if len(total_G2) else member_n
    share_n = np.divide(member_n, total_n, out=np.zeros(len(member_n)), where=total_n > 0)
    influence_n: Floats = share_n * (placement_n - centre[stratum_n])
    return influence_n


@cache
def _placements() -> Callable[..., Any]:
    return compiled(_placement_loop)


def _placement_loop(
    positive_n: Bools,
    opens_n: Bools,
    weight_n: Floats,
    code_n: Ints,
    total_G2: Floats,
    placement_n: Floats,
    wins_G: Floats,
) -> None:
    """Placement of each image within its group, and each group's weighted sum over its positives.

    Of a positive: (weight of the group's negatives below + half of those tied) / all of them; of a
    negative: (weight of positives above + half of those tied) / all. wins = sum over positives of
    weight x placement, so that AUC = wins / weight of the positives.

    The n images by ascending score: class, whether the first of its score, weight, group (-1 for
    none); `total_G2` the weight of negatives and positives. The last two are zeros when given and
    are filled.
    """
    groups = len(total_G2)
    below_G2 = np.zeros((groups, 2))
    tied_G2 = np.zeros((groups, 2))
    start = 0
    while start < len(positive_n):
        stop = start
        tied_G2[:] = 0.0
        while stop < len(positive_n) and (stop == start or not opens_n[stop]):
            if code_n[stop] >= 0:
                tied_G2[code_n[stop], 1 if positive_n[stop] else 0] += weight_n[stop]
            stop += 1
        for n in range(start, stop):
            g = code_n[n]
            if g < 0:
                continue
            if positive_n[n]:
                placement_n[n] = (below_G2[g, 0] + 0.5 * tied_G2[g, 0]) / total_G2[g, 0]
                wins_G[g] += weight_n[n] * placement_n[n]
            else:
                above = total_G2[g, 1] - below_G2[g, 1] - 0.5 * tied_G2[g, 1]
                placement_n[n] = above / total_G2[g, 1]
        below_G2 += tied_G2
        start = stop
