"""How much each image of a split counts: the part of a test protocol that the AUCs see.

A protocol never changes predictions, it weights the images. Image n of pathology p in weighting b
has the weight of its patient (a bootstrap count) times a multiplicity, the same in every weighting,
times a scale that depends on its cell, class and the weighting. The class here has neither;
`balanced.py` adds scales, the drawn protocols multiplicities.

Array suffixes: P pathologies, N images, B weightings, U units that carry a weight, K cells of the
protocol, 2 the classes (negatives first).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from fairfm_core.evaluation.arrays import Bools, Floats, Ints
from fairfm_core.evaluation.groups import Groups
from fairfm_core.evaluation.predictions import SplitImages


@dataclass(frozen=True, eq=False)
class Weighting:
    """Every labelled image counts once: the protocol `full`, and the base of the others."""

    multiplicities: ClassVar[bool] = True
    """Whether weights are whole numbers: how often an image is in the test set."""

    images: SplitImages
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
        return np.ones(len(self.images.frame), dtype=np.bool_)

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


def unweighted(images: SplitImages) -> Weighting:
    """Protocol `full`: every image with a label, once."""
    return Weighting(images, ~np.isnan(images.label_PN), (None,) * len(images.pathologies))
