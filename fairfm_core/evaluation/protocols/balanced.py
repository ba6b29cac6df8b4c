"""Protocol `balanced`: for each pathology, image weights that balance the cells.

Cells are the combinations of the balancing attributes' groups (race x sex). Each cell has the same
total weight and the same prevalence of the pathology, that of all the images that take part; within
a cell all positives have the same weight, and all negatives. So with n images, K cells and
prevalence q, a positive of cell c has the weight n q / (K positives of c). The AUC of a union of
cells is then the plain mean, over its pairs of cells, of P(positive of one > negative of the
other): q cancels.

Images without a label or a balancing attribute have weight 0. A cell without positives or negatives
makes the protocol undefined for the pathology. In a bootstrap replicate the weights are computed
anew from the patients drawn, so that cells are balanced there too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from fairfm_core.config.evaluation import EvaluationSettings
from fairfm_core.errors import BadInput
from fairfm_core.evaluation.arrays import Bools, Floats, Ints
from fairfm_core.evaluation.groups import Groups, attribute_names, groups_of, joint_groups
from fairfm_core.evaluation.predictions import SplitImages
from fairfm_core.evaluation.protocols.weighting import Weighting


@dataclass(frozen=True, eq=False, kw_only=True)
class Balanced(Weighting):
    """Weights with equal totals and equal prevalence in every cell."""

    multiplicities: ClassVar[bool] = False

    cells: Groups
    parts: tuple[Groups, ...]
    """Groups of each balancing attribute; the cells are their combinations."""

    @property
    def attributes(self) -> tuple[str, ...]:
        """Names of the balancing attributes."""
        return tuple(part.attribute for part in self.parts)

    @property
    def member_N(self) -> Bools:
        """Images that have every balancing attribute."""
        return self.cells.code_N >= 0

    def weights_N(self, p: int) -> Floats:
        """Weight of every image for pathology `p`; they sum to the images that take part."""
        weight_N = np.zeros(len(self.images.frame))
        if (scale_1K2 := self._as_observed(p)) is not None:
            counted_n = np.flatnonzero(self.counted_PN[p])
            positive_n = (self.images.label_PN[p, counted_n] == 1).astype(np.int64)
            weight_N[counted_n] = scale_1K2[0, self.cells.code_N[counted_n], positive_n]
        return weight_N

    def scale_BK2(self, p: int, weights_BU: npt.NDArray[Any], unit_N: Ints) -> Floats | None:
        """Scale that balances the cells in every weighting; NaN where a cell lost a class."""
        if self.undefined_P[p]:
            return None
        return self._balancing(p, self.cells, weights_BU, unit_N)

    def _as_observed(self, p: int) -> Floats | None:
        once_Q = np.ones((1, len(self.images.patient_ids)))
        return self.scale_BK2(p, once_Q, self.images.patient_N)

    def _balancing(
        self, p: int, cells: Groups, weights_BU: npt.NDArray[Any], unit_N: Ints
    ) -> Floats:
        """Target weight / actual weight of every cell and class; NaN where one of them has none."""
        counted_n = np.flatnonzero(self.counted_PN[p])
        positive_n = (self.images.label_PN[p, counted_n] == 1).astype(np.int64)
        strata, units = 2 * len(cells.names), weights_BU.shape[1]
        place_n = unit_N[counted_n] * strata + 2 * cells.code_N[counted_n] + positive_n
        held_UC = np.bincount(place_n, minlength=units * strata).reshape(units, strata)
        held_BC = weights_BU.astype(np.float64) @ held_UC.astype(np.float64)
        held_BC[(held_BC == 0).any(axis=1)] = np.nan
        return self._target_2(p) / held_BC.reshape(len(weights_BU), len(cells.names), 2)

    def _target_2(self, p: int) -> Floats:
        """Total weight of the negatives and of the positives of every cell."""
        label_n = self.images.label_PN[p, self.counted_PN[p]]
        positives = np.count_nonzero(label_n == 1)
        totals_2 = np.array([len(label_n) - positives, positives], dtype=np.float64)
        return totals_2 / len(self.cells.names)


def balanced(images: SplitImages, settings: EvaluationSettings) -> Balanced:
    """The balanced weights of a split over `settings.balance`, a null attribute left out."""
    parts = balancing_groups(images, settings.balance, settings.age_edges)
    cells = joint_groups(parts, len(images.frame))
    counted_PN = ~np.isnan(images.label_PN) & (cells.code_N >= 0)
    undefined_P = tuple(
        _undefined(images.label_PN[p], counted_PN[p], parts, cells)
        for p in range(len(images.pathologies))
    )
    note = None
    if cells.without:
        note = f"{cells.without} images without {' or '.join(settings.balance)} weigh 0"
    return Balanced(images, counted_PN, undefined_P, cells=cells, note=note, parts=tuple(parts))


def balancing_groups(
    images: SplitImages, attributes: tuple[str, ...], age_edges: tuple[float, ...]
) -> list[Groups]:
    """The groups of each balancing attribute; BadInput for one that the predictions lack."""
    known = attribute_names(images.frame)
    if lacking := [name for name in attributes if name not in known]:
        raise BadInput(
            f"the protocol balances {' x '.join(attributes)}, but the predictions have no"
            f" {lacking[0]!r}: set `balance` to some of {', '.join(known) or 'none'}"
        )
    return [groups_of(images.frame, name, age_edges) for name in attributes]


def _undefined(
    label_N: npt.NDArray[Any], counted_N: Bools, parts: list[Groups], cells: Groups
) -> str | None:
    """Why the cells cannot be balanced: the first cell without positives or negatives."""
    for part in parts:
        if not part.names:
            return f"no balanced weights: no image has a value of {part.attribute}"
    for c, name in enumerate(cells.names):
        label_n = label_N[counted_N & (cells.code_N == c)]
        positives = np.count_nonzero(label_n == 1)
        for count, what in ((positives, "positives"), (len(label_n) - positives, "negatives")):
            if not count:
                where = f"{cells.attribute} = {name}"
                return f"no balanced weights: {where} has 0 {what} among {len(label_n)} images"
    return None
