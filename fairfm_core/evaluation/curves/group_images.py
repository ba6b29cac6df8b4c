"""The labelled images of one group, and sums over them in the data and in every draw of patients.

Curves are made of such sums: the draws, and the weights of the protocol in each, are those of the
metrics, so that a curve and a number beside it are of the same patients. Intervals cover patients
alone, not the spread between training runs.

Array suffixes: S seeds, n images of the group with a label, T columns, B draws, U units, K cells
of the protocol.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from fairfm_core.evaluation.arrays import Bools, Floats, Ints
from fairfm_core.evaluation.disaggregated.split_rows import unit_weights
from fairfm_core.evaluation.problem import Problem

DRAWS_AT_ONCE = 256
"""Draws in memory as floating-point numbers."""


@dataclass(frozen=True, eq=False)
class GroupImages:
    """The images of one group with a label of one pathology and a weight under the protocol."""

    problem: Problem
    pathology: int
    """Its place among those of the sample."""
    member_N: Bools
    """Which images of the split are of the group."""

    @cached_property
    def case_n(self) -> Ints:
        """Their places in the split."""
        return np.flatnonzero(self.problem.weighting.counted_PN[self.pathology] & self.member_N)

    @cached_property
    def positive_n(self) -> Bools:
        """Whether the pathology is present."""
        positive_n: Bools = self.problem.sample.label_PN[self.pathology, self.case_n] == 1
        return positive_n

    @cached_property
    def score_Sn(self) -> Floats:
        """Predicted probabilities of every seed."""
        return self.problem.sample.score_SPN[:, self.pathology, self.case_n].astype(np.float64)

    @cached_property
    def weight_n(self) -> Floats:
        """Weights under the protocol."""
        return self.problem.weighting.weights_N(self.pathology)[self.case_n]

    def drawn_sums(self, column_nT: Floats) -> Floats:
        """Weighted sums of columns: of the data as they are, then of every draw, [1 + B, T].

        NaN in draws in which the protocol is undefined.
        """
        weighting = self.problem.weighting
        unit_N, weights_BU = unit_weights(weighting.images, self.problem.settings)
        scale_BK2 = weighting.scale_BK2(self.pathology, weights_BU, unit_N)
        times_N = weighting.multiplicity_N(self.pathology)
        if times_N is not None:
            column_nT = column_nT * times_N[self.case_n, None]
        if scale_BK2 is None:
            return _sums(weights_BU, unit_N[self.case_n], column_nT)
        assert weighting.cells is not None, "scales are of cells"
        cell_n = weighting.cells.code_N[self.case_n]
        total_BT = np.zeros((len(weights_BU), column_nT.shape[1]))
        for k, c in np.ndindex(scale_BK2.shape[1:]):
            own_n = np.flatnonzero((cell_n == k) & (self.positive_n == bool(c)))
            sum_BT = _sums(weights_BU, unit_N[self.case_n[own_n]], column_nT[own_n])
            total_BT += scale_BK2[:, k, c, None] * sum_BT
        return total_BT


def _sums(weights_BU: np.ndarray, unit_n: Ints, column_nT: Floats) -> Floats:
    """The sums of the columns when each image has the weight of its unit, [B, T]."""
    units, place_n = np.unique(unit_n, return_inverse=True)
    held_UT = np.zeros((len(units), column_nT.shape[1]))
    np.add.at(held_UT, place_n, column_nT)
    starts = range(0, len(weights_BU), DRAWS_AT_ONCE)
    own_BU = weights_BU[:, units]
    blocks = [own_BU[start : start + DRAWS_AT_ONCE].astype(np.float64) for start in starts]
    return np.concatenate([block_BU @ held_UT for block_BU in blocks])
