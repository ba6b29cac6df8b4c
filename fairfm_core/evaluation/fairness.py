"""Fairness gaps of subgroup AUCs, and the gap that a fair model would show: the permutation null.

Gaps are in AUC (0.01 is one point). A maximum minus a minimum of noisy AUCs is above 0 even for a
perfectly fair model, more so with more and smaller groups; the null measures by how much.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from fairfm_core.evaluation.auc import Floats, rank_cases, ranked_auc
from fairfm_core.evaluation.groups import Groups
from fairfm_core.evaluation.sample import Sample
from fairfm_core.evaluation.weighting import Permuted, Weighting, unweighted
from fairfm_core.seeding import stream


def group_means(auc_PG: Floats) -> Floats:
    """Mean AUC over pathologies of each group: [..., P, G] -> [..., G]; NaN if any cell is NaN."""
    means: Floats = auc_PG.mean(axis=-2)
    return means


def gap_of_mean(auc_PG: Floats) -> Floats:
    """Best minus worst group of the mean AUC over pathologies (section 3): [..., P, G] -> [...].

    NaN wherever any cell is NaN: a group is never dropped from a gap.
    """
    gap: Floats = np.ptp(group_means(auc_PG), axis=-1)
    return gap


def mean_of_gaps(auc_PG: Floats) -> Floats:
    """Mean over pathologies of best minus worst group: [..., P, G] -> [...]; NaN as gap_of_mean.

    Never below `gap_of_mean`, with three to four times its noise floor.
    """
    gap: Floats = np.ptp(auc_PG, axis=-1).mean(axis=-1)
    return gap


GAP_DEFINITIONS: dict[str, Callable[[Floats], Floats]] = {
    "gap_of_mean": gap_of_mean,
    "mean_of_gaps": mean_of_gaps,
}


def worst_and_best(auc_PG: Floats, names: tuple[str, ...]) -> tuple[str, str] | None:
    """Groups with the lowest and the highest mean AUC over pathologies; None if a cell is NaN.

    Of equal groups the first by name is the worst and the last the best.
    """
    mean_G = group_means(auc_PG)
    if np.isnan(mean_G).any():
        return None
    return names[int(mean_G.argmin())], names[len(names) - 1 - int(mean_G[::-1].argmax())]


def permuted_aucs(
    sample: Sample,
    groups: Groups,
    permutations: int,
    seed: int,
    weighting: Weighting | None = None,
) -> Floats:
    """Subgroup AUCs with group labels permuted over patients, [permutations, S, P, G].

    A patient's images stay together. For an attribute that varies within a patient, such as age,
    the unit that is permuted is the (patient, group) pair: the patient's images in that group.
    Images of no group take no part. All pathologies and seeds share the permutations. Weights that
    depend on the attribute are made anew for the permuted groups, as they were for the real ones.
    """
    weighting = weighting or unweighted(sample)
    permuted = permuted_groups(sample, groups, permutations, seed)
    shape = (permutations, *sample.score_SPN.shape[:2], len(groups.names))
    auc_BSPG = np.full(shape, np.nan)
    for p, factors_G in enumerate(weighting.permuted_factors(permuted)):
        case_n = np.flatnonzero((permuted.unit_N >= 0) & weighting.candidates_N(p))
        for g, factor in enumerate(factors_G):
            of_cases = factor.of(case_n) if factor else None
            member_BU = permuted.code_BU == g
            for s in range(len(sample.score_SPN)):
                ranking = rank_cases(sample.score_SPN[s, p, case_n], sample.label_PN[p, case_n])
                unit_n = permuted.unit_N[case_n]
                auc_BSPG[:, s, p, g] = ranked_auc(ranking, member_BU, unit_n, of_cases)
    return auc_BSPG


def permuted_groups(sample: Sample, groups: Groups, permutations: int, seed: int) -> Permuted:
    """Group labels shuffled, `permutations` times, over patients or (patient, group) pairs."""
    member_n = np.flatnonzero(groups.code_N >= 0)
    pair_n = sample.patient_N[member_n] * len(groups.names) + groups.code_N[member_n]
    pairs_U, unit_n = np.unique(pair_n, return_inverse=True)
    unit_N = np.full(len(groups.code_N), -1, dtype=np.int64)
    unit_N[member_n] = unit_n
    code_U = (pairs_U % max(1, len(groups.names))).astype(np.int16)
    random = stream(seed, "permutation", groups.attribute)
    code_BU = random.permuted(np.tile(code_U, (permutations, 1)), axis=1)
    return Permuted(groups, unit_N, code_BU)


@dataclass(frozen=True)
class Null:
    """What a gap would be if groups did not matter, and how unusual the observed one is."""

    mean: float
    hi: float
    p_value: float
    defined: int
    permutations: int

    @property
    def note(self) -> str | None:
        """What a reader must know: None if every permutation was defined."""
        if self.defined == self.permutations > 0:
            return None
        if self.permutations == 0:
            return "no null: 0 permutations"
        lost = self.permutations - self.defined
        return f"{lost} of {self.permutations} permutations undefined (a group lost a class)"


def null_of(value: float, permuted_B: Floats, confidence: float) -> Null:
    """Mean and upper bound of the null gap, and p = (1 + #{null >= value}) / (1 + #null)."""
    null = permuted_B[np.isfinite(permuted_B)]
    if not null.size:
        return Null(np.nan, np.nan, np.nan, 0, len(permuted_B))
    # The tolerance keeps a permutation that equals the data from differing in the last bit.
    as_large = int((null >= value - 1e-12).sum())
    p_value = (1 + as_large) / (1 + len(null))
    hi = float(np.quantile(null, confidence))
    return Null(float(null.mean()), hi, p_value, len(null), len(permuted_B))
