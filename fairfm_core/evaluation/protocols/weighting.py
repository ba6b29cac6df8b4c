"""How much each image of a split counts: the part of a test protocol that the AUCs see.

A protocol never changes predictions, it weights the images. Image n of pathology p in weighting b
has the weight of its patient (a bootstrap count, or membership in a permuted group) times a
multiplicity, the same in every weighting, times a scale that depends on its cell, class and the
weighting. The class here has neither; `balanced.py` adds scales, the drawn protocols
multiplicities.

Array suffixes: P pathologies, N images, B weightings, U units that carry a weight, K cells of the
protocol, 2 the classes (negatives first), G groups.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from fairfm_core.evaluation.arrays import Bools, Floats, Ints
from fairfm_core.evaluation.groups import Groups
from fairfm_core.evaluation.predictions import Sample


@dataclass(frozen=True, eq=False)
class Permuted:
    """Group labels of one attribute permuted over units, B times; images of no group have none."""

    groups: Groups
    unit_N: Ints
    """Unit of each image: its patient, or its patient in one group; -1 for one of no group."""
    code_BU: npt.NDArray[np.int16]
    """Index into `groups.names` that each unit has in each permutation."""


@dataclass(frozen=True, eq=False)
class PermutedWeights:
    """The weights of the images of one pathology as members of permuted groups."""

    multiplicity_N: Ints | None = None
    """Whole-number weights, the same in every permutation; None for 1."""
    cells: Groups | None = None
    """The cells that the scale balances within a permuted group."""
    scale_GBK2: Sequence[Floats] | None = None
    """For each permuted group, the scale of its cells in every permutation."""
    drawn_BN: npt.NDArray[Any] | None = None
    """How often each image is drawn in each permutation, where the draw looks at the group."""

    def scale_of(self, g: int) -> Floats | None:
        """The scale of the cells of permuted group g in every permutation; None for 1."""
        return None if self.scale_GBK2 is None else self.scale_GBK2[g]


@dataclass(frozen=True, eq=False)
class Weighting:
    """Every labelled image counts once: the protocol `full`, and the base of the others."""

    multiplicities: ClassVar[bool] = True
    """Whether weights are whole numbers: how often an image is in the test set."""

    sample: Sample
    counted_PN: Bools
    """Images with a label and a weight."""
    undefined_P: tuple[str | None, ...]
    """Why the protocol has no weights for a pathology; None where it has."""
    cells: Groups | None = None
    """The cells that the protocol balances."""
    note: str | None = None
    """What a reader of any number under this protocol must know."""

    @property
    def member_N(self) -> Bools:
        """Images that take part in the protocol, labelled or not."""
        return np.ones(len(self.sample.frame), dtype=np.bool_)

    def weights_N(self, p: int) -> Floats:
        """Weight of every image for pathology `p`; 0 where it is left out or undefined."""
        weight_N: Floats = self.counted_PN[p].astype(np.float64)
        return weight_N

    def multiplicity_N(self, p: int) -> Ints | None:
        """Whole-number weight of the images of pathology `p`; None where each counts once."""
        return None

    def scale_BK2(self, p: int, weights_BU: npt.NDArray[Any], unit_N: Ints) -> Floats | None:
        """Scale of the cells of pathology `p` when units have the weights `weights_BU`; None for 1.

        NaN in the rows in which the protocol is undefined.
        """
        return None

    def candidates_N(self, p: int) -> Bools:
        """Images that may have a weight for pathology `p` if groups are permuted."""
        return self.counted_PN[p]

    def permuted(self, p: int, permuted: Permuted) -> PermutedWeights:
        """Weights of the images of pathology `p` as members of the permuted groups."""
        return PermutedWeights(self.multiplicity_N(p))


def unweighted(sample: Sample) -> Weighting:
    """Protocol `full`: every image with a label, once."""
    return Weighting(sample, ~np.isnan(sample.label_PN), (None,) * len(sample.pathologies))
