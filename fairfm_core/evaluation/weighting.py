"""How much each image of a split counts: the part of a test protocol that the AUCs see.

A protocol never changes predictions, it weighs them. Case n of pathology p in weighting b has the
weight of its patient (a bootstrap count, or membership in a permuted group) times a factor that
the protocol gives it. The class here gives none; `balanced.py` and `resampled.py` give theirs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from fairfm_core.evaluation.auc import Factor, Floats, Ints
from fairfm_core.evaluation.groups import Groups
from fairfm_core.evaluation.sample import Sample

Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Permuted:
    """Group labels of one attribute permuted over units, B times; images of no group take none."""

    groups: Groups
    unit_N: Ints
    """Unit of each image: its patient, or its patient in one group; -1 for one of no group."""
    code_BU: npt.NDArray[np.int16]
    """Index into `groups.names` that each unit has in each permutation."""


@dataclass(frozen=True, eq=False)
class Weighting:
    """Every labelled image counts once: the protocol `full`, and what the others change."""

    multiplicities: ClassVar[bool] = True
    """Whether weights are whole numbers: how often an image stands in the test set."""

    sample: Sample
    counted_PN: Bools
    """Images with a label and a weight."""
    undefined_P: tuple[str | None, ...]
    """Why the protocol has no weights for a pathology; None where it has."""
    cells: Groups | None = None
    """The cells that the protocol makes alike."""
    note: str | None = None
    """What a reader of any number under this protocol must know."""

    @property
    def member_N(self) -> Bools:
        """Images that take part in the protocol, labelled or not."""
        return np.ones(len(self.sample.frame), dtype=np.bool_)

    def weights_N(self, p: int) -> Floats:
        """Weight of every image for pathology `p`; 0 where it takes no part or is undefined."""
        weight_N: Floats = self.counted_PN[p].astype(np.float64)
        return weight_N

    def factor(self, p: int, weights_BQ: npt.NDArray[Any]) -> Factor | None:
        """Factors of the images of pathology `p` when patients weigh `weights_BQ`; None for 1.

        NaN in the rows in which the protocol is undefined.
        """
        return None

    def candidates_N(self, p: int) -> Bools:
        """Images that may have a weight for pathology `p` if groups are permuted."""
        return self.counted_PN[p]

    def permuted_factors(self, permuted: Permuted) -> Iterator[Sequence[Factor | None]]:
        """For each pathology in turn, factors of the images as members of each permuted group."""
        for _ in self.sample.pathologies:
            yield [None] * len(permuted.groups.names)


def unweighted(sample: Sample) -> Weighting:
    """Protocol `full`: every image with a label, once."""
    return Weighting(sample, ~np.isnan(sample.label_PN), (None,) * len(sample.pathologies))
