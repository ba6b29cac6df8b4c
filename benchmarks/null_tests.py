"""Tests of a gap and of a difference that were tried, for one label: nothing of the engine.

All work on the matrix of wins: which positive lies above which negative. With memberships or
weights of positives and negatives as rows, an AUC is a product with it.

permutation   groups permuted over patients: the test of earlier versions
strata        groups permuted within patients with, and within patients without, a positive image
studentised   permuted groups; differences in units of their clustered DeLong errors
recentred     bootstrap of patients, deviations from the data, as they are

Array suffixes: Q patients, i positives, j negatives, G groups, R permutations or draws.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from fairfm_core.evaluation.arrays import Bools, Floats, Ints

DRAWS = 199


@dataclass(frozen=True, eq=False)
class LabelTable:
    """One label of a test set: patients as numbers, each in one group."""

    patient_N: Ints
    group_Q: Ints
    label_N: Bools
    score_N: Floats

    @classmethod
    def of(cls, frame: pd.DataFrame, name: str) -> LabelTable:
        """From predictions."""
        patient_N = pd.factorize(frame["patient_id"])[0]
        group_N, groups = pd.factorize(frame["group"], sort=True)
        group_Q = np.zeros(patient_N.max() + 1, dtype=np.int64)
        group_Q[patient_N] = group_N
        assert len(groups) == group_Q.max() + 1
        return cls(patient_N, group_Q, frame[f"y_{name}"] == 1, frame[f"p_{name}"].to_numpy())

    @cached_property
    def wins_ij(self) -> Floats:
        """1 where positive i lies above negative j, 1/2 in a tie."""
        positive_i, negative_j = (self.score_N[self.label_N], self.score_N[~self.label_N])
        above, level = positive_i[:, None] > negative_j, positive_i[:, None] == negative_j
        return (above + 0.5 * level).astype(np.float64)

    def aucs(self, weight_RQ: Floats) -> Floats:
        """AUC [R] when patients have these weights."""
        weight_Ri, weight_Rj = self._by_class(weight_RQ)
        total_R = weight_Ri.sum(axis=1) * weight_Rj.sum(axis=1)
        with np.errstate(invalid="ignore"):
            aucs: Floats = ((weight_Ri @ self.wins_ij) * weight_Rj).sum(axis=1) / total_R
        return aucs

    def influences(self, member_RQ: Floats) -> tuple[Floats, Floats]:
        """AUC [R] of some patients, and each patient's influence on it [R, Q]."""
        member_Ri, member_Rj = self._by_class(member_RQ)
        count_R1, other_R1 = (each.sum(axis=1, keepdims=True) for each in (member_Ri, member_Rj))
        place_Ri = member_Rj @ self.wins_ij.T / other_R1
        place_Rj = member_Ri @ self.wins_ij / count_R1
        auc_R1 = (member_Ri * place_Ri).sum(axis=1, keepdims=True) / count_R1
        influence_RN = np.empty((len(member_RQ), len(self.label_N)))
        influence_RN[:, self.label_N] = member_Ri * (place_Ri - auc_R1) / count_R1
        influence_RN[:, ~self.label_N] = member_Rj * (place_Rj - auc_R1) / other_R1
        order_N = np.argsort(self.patient_N, kind="stable")
        starts_Q = np.searchsorted(self.patient_N[order_N], np.arange(len(self.group_Q)))
        return auc_R1[:, 0], np.add.reduceat(influence_RN[:, order_N], starts_Q, axis=1)

    def _by_class(self, weight_RQ: Floats) -> tuple[Floats, Floats]:
        weight_RN = weight_RQ[:, self.patient_N]
        return weight_RN[:, self.label_N], weight_RN[:, ~self.label_N]


@dataclass(frozen=True)
class PValues:
    """Of the gap between the groups, and of the last group against everybody."""

    gap: float
    difference: float


Test = Callable[[LabelTable, np.random.Generator], PValues]


def permutation(table: LabelTable, random: np.random.Generator) -> PValues:
    """As earlier versions did."""
    return _plain(table, random.permuted(np.tile(table.group_Q, (DRAWS, 1)), axis=1))


def strata(table: LabelTable, random: np.random.Generator) -> PValues:
    """Groups permuted among patients who have a positive image, and among those who have none."""
    group_RQ = np.tile(table.group_Q, (DRAWS, 1))
    ill_Q = np.bincount(table.patient_N, table.label_N, len(table.group_Q)) > 0
    for some_Q in (ill_Q, ~ill_Q):
        group_RQ[:, some_Q] = random.permuted(group_RQ[:, some_Q], axis=1)
    return _plain(table, group_RQ)


def studentised(table: LabelTable, random: np.random.Generator) -> PValues:
    """The largest difference of two groups in standard errors, with groups permuted."""
    group_RQ = random.permuted(np.tile(table.group_Q, (DRAWS, 1)), axis=1)
    value_R, value = (_in_errors(table, codes) for codes in (group_RQ, table.group_Q[None]))
    return PValues(*(_share(value[k][0], value_R[k]) for k in range(2)))


def recentred(table: LabelTable, random: np.random.Generator) -> PValues:
    """Deviations of a bootstrap of patients, neither rescaled nor corrected."""
    patients = len(table.group_Q)
    drawn_RQ = random.multinomial(patients, np.full(patients, 1 / patients), DRAWS)
    member_GQ = _members(table)
    value_G = np.array([table.aucs(member_Q[None])[0] for member_Q in member_GQ])
    draw_RG = np.stack([table.aucs(drawn_RQ * member_Q) for member_Q in member_GQ], axis=1)
    error_RG = draw_RG - value_G
    gap = _share(np.ptp(value_G[:-1]), np.ptp(error_RG[:, :-1], axis=1))
    return PValues(gap, _share(*(abs(x[..., -2] - x[..., -1]) for x in (value_G, error_RG))))


def _plain(table: LabelTable, group_RQ: Ints) -> PValues:
    *member_GQ, all_Q = _members(table)
    everybody = table.aucs(all_Q[None])[0]
    value_G = np.array([table.aucs(member_Q[None])[0] for member_Q in member_GQ])
    codes = range(len(member_GQ))
    null_RG = np.stack([table.aucs((group_RQ == g).astype(float)) for g in codes], axis=1)
    gap = _share(np.ptp(value_G), np.ptp(null_RG, axis=1))
    return PValues(gap, _share(abs(value_G[-1] - everybody), np.abs(null_RG[:, -1] - everybody)))


def _members(table: LabelTable) -> Floats:
    """Membership of each group, then of everybody, [G + 1, Q]."""
    groups = [table.group_Q == g for g in range(table.group_Q.max() + 1)]
    return np.array([*groups, np.ones(len(table.group_Q))], dtype=np.float64)


def _in_errors(table: LabelTable, group_RQ: Ints) -> tuple[Floats, Floats]:
    """Largest difference of two groups, and of the last from everybody, in standard errors."""
    groups = int(table.group_Q.max()) + 1
    parts = [table.influences((group_RQ == g).astype(float)) for g in range(groups)]
    whole, influence_1Q = table.influences(np.ones((1, len(table.group_Q))))
    pairs = [
        np.abs(a - b) / np.sqrt(((of_a - of_b) ** 2).sum(axis=1))
        for k, (a, of_a) in enumerate(parts)
        for b, of_b in parts[:k]
    ]
    last, of_last = parts[-1]
    apart = np.abs(last - whole[0]) / np.sqrt(((of_last - influence_1Q) ** 2).sum(axis=1))
    return np.max(pairs, axis=0), apart


def _share(value: float, null_R: Floats) -> float:
    null_R = null_R[np.isfinite(null_R)]
    return float(1 + (null_R >= value - 1e-12).sum()) / (1 + len(null_R))


TRIED: dict[str, Test] = {
    "permutation": permutation,
    "strata": strata,
    "studentised": studentised,
    "recentred": recentred,
}
